//! Applications that answer: the seam between the card manager and whatever runs an application's code.
//!
//! The card manager knows an application by its registry entry. When it is selected, a [`Runtime`] is asked for the code:
//! today the [`Resident`] applets, written in Rust and registered under the AID of the package they stand for; a virtual
//! machine that runs the load file itself would be another [`Runtime`].

pub mod ndef;

use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};

/// The persistent data of one application: one byte string, written all or nothing with the command that changes it.
pub trait AppletMemory {
    /// What was written last; empty before.
    fn read(&self) -> &[u8];

    /// Replaces it.
    ///
    /// # Errors
    /// [`StatusWord::NOT_ENOUGH_MEMORY`] above [`APPLET_DATA_MAX`].
    fn write(&mut self, data: &[u8]) -> Result<(), StatusWord>;
}

/// Most bytes of persistent data of one application.
pub const APPLET_DATA_MAX: usize = 16 * 1024;

/// What an applet answers: response data with 9000, or a status word.
pub type AppletResult = Result<Vec<u8>, StatusWord>;

/// The code of one application, from its selection to the next.
pub trait Applet: Send {
    /// INSTALL [for install]: `parameters` is the content of tag C9.
    ///
    /// # Errors
    /// A status word refuses the installation.
    fn install(&mut self, memory: &mut dyn AppletMemory, parameters: &[u8]) -> Result<(), StatusWord>;

    /// SELECT by name has chosen this application.
    ///
    /// # Errors
    /// Any refusal leaves the application selected before in place; the card answers 6999.
    fn select(&mut self, memory: &mut dyn AppletMemory) -> Result<(), StatusWord>;

    /// Any command but SELECT by name.
    ///
    /// # Errors
    /// The status word to answer with.
    fn process(&mut self, memory: &mut dyn AppletMemory, command: &CommandApdu<'_>) -> AppletResult;

    /// STORE DATA behind INSTALL [for personalization].
    ///
    /// # Errors
    /// 6D00 unless the applet knows personalization.
    fn store_data(&mut self, memory: &mut dyn AppletMemory, data: &[u8], last: bool) -> Result<(), StatusWord> {
        let _ = (memory, data, last);
        Err(StatusWord::INS_UNSUPPORTED)
    }
}

/// Runs applications.
pub trait Runtime: Send {
    /// The code of `module` in the load file `package`, or `None` where this runtime has none: its commands are answered
    /// with 6D00. `load_file` is the load file data in place.
    fn applet(&self, package: &Aid, load_file: &[u8], module: &Aid) -> Option<Box<dyn Applet>>;
}

type Constructor = fn() -> Box<dyn Applet>;

/// Native applets, by the AID of the package they stand for.
#[derive(Default)]
pub struct Resident {
    packages: Vec<(Vec<u8>, Constructor)>,
}

impl Resident {
    /// None registered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The applets every emulated card has: the NDEF tag.
    #[must_use]
    pub fn standard() -> Self {
        Self::new().register(&ndef::PACKAGE_AID, || Box::new(ndef::Ndef::new()))
    }

    /// Registers an applet for all modules of a package.
    #[must_use]
    pub fn register(mut self, package: &[u8], constructor: Constructor) -> Self {
        self.packages.push((package.to_vec(), constructor));
        self
    }
}

impl Runtime for Resident {
    fn applet(&self, package: &Aid, _load_file: &[u8], _module: &Aid) -> Option<Box<dyn Applet>> {
        let (_, constructor) = self.packages.iter().find(|(aid, _)| aid == package.as_bytes())?;
        Some(constructor())
    }
}
