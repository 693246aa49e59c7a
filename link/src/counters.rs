//! What went over the link.

/// Counters since the link was opened. Differences between two readings say what an operation cost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Requests that the card answered or should have answered: an APDU is one, a whole direct write is one.
    pub exchanges: u64,
    /// Bytes sent to the card in those exchanges.
    pub bytes_sent: u64,
    /// Bytes received in those exchanges.
    pub bytes_received: u64,
    /// Transactions on the wire (SD commands, data blocks, polls); 0 where there is no wire.
    pub wire_transactions: u64,
}
