//! Counters, and how hard a commit tries.

/// Whether commits survive a loss of power.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Every commit is durable when it returns.
    #[default]
    Barrier,
    /// No barriers. For comparison runs and benches only: after a loss of power the image may be beyond opening.
    None,
}

/// What a store did since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Commits that returned `Ok` and were not empty.
    pub commits: u64,
    /// Barriers asked of the medium.
    pub barriers: u64,
    /// Bytes written to the medium: journal and extents.
    pub bytes_written: u64,
    /// How often the journal changed halves.
    pub compactions: u64,
    /// The most bytes of one journal half that were ever in use.
    pub journal_fill: u64,
}
