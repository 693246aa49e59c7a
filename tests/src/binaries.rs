//! Where the programs under test are.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folder with `smcardd` and `smcardctl` of the build profile this test, or program, was built with.
///
/// # Panics
/// If one of them has not been built.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // target/PROFILE/deps/TEST, or target/PROFILE/PROGRAM
        let this = env::current_exe().unwrap();
        let folder = this.parent().unwrap();
        let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder }.to_owned();
        for name in ["smcardd", "smcardctl"] {
            let program = folder.join(name);
            assert!(program.is_file(), "{} is not built; run: make mounted", program.display());
        }
        folder
    })
}

/// The daemon.
#[must_use]
pub fn smcardd() -> PathBuf {
    folder().join("smcardd")
}

/// The command line.
#[must_use]
pub fn smcardctl() -> PathBuf {
    folder().join("smcardctl")
}

/// `PATH` with the programs under test in front.
#[must_use]
pub fn search_path() -> String {
    format!("{}:{}", folder().display(), env::var("PATH").unwrap_or_default())
}

/// A file of the source tree, by its path from the root of the workspace.
#[must_use]
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
