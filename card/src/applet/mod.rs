//! Applications that answer: the seam between the card manager and whatever runs an application's code.
//!
//! The card manager knows an application by its registry entry. When it is selected, a [`Runtime`] is asked for the code:
//! today the [`Resident`] applets, written in Rust and registered under the AID of the package they stand for; a virtual
//! machine that runs the load file itself would be another [`Runtime`].

pub mod ndef;

use crate::settings::LifeCycle;
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};

/// What the card holds for one application: its persistent data, one byte string, written all or nothing with the command
/// that changes it; and what it may ask of the card, where its privileges allow it (GlobalPlatform 2.3.1 section 6.6).
pub trait AppletMemory {
    /// What was written last; empty before.
    fn read(&self) -> &[u8];

    /// Replaces it.
    ///
    /// # Errors
    /// [`StatusWord::NOT_ENOUGH_MEMORY`] above [`APPLET_DATA_MAX`].
    fn write(&mut self, data: &[u8]) -> Result<(), StatusWord>;

    /// Changes the application's own life cycle state: 07 to 7F with the three lowest bits set (table 11-4).
    ///
    /// # Errors
    /// 6A80 for any other state.
    fn set_state(&mut self, state: u8) -> Result<(), StatusWord> {
        let _ = state;
        Err(StatusWord::CONDITIONS_NOT_SATISFIED)
    }

    /// Locks the card, or terminates it for ever.
    ///
    /// # Errors
    /// 6982 without the privilege card lock or card terminate; 6985 where the life cycle does not allow it, 6A80 for any
    /// other state.
    fn set_card_state(&mut self, state: LifeCycle) -> Result<(), StatusWord> {
        let _ = state;
        Err(StatusWord::CONDITIONS_NOT_SATISFIED)
    }

    /// Locks or unlocks an application. To lock itself an application needs no privilege.
    ///
    /// # Errors
    /// 6982 without the privilege global lock, 6A88 where there is no such application, 6985 where it is so already or an
    /// issue is unfinished.
    fn lock_application(&mut self, aid: &Aid, locked: bool) -> Result<(), StatusWord> {
        let _ = (aid, locked);
        Err(StatusWord::CONDITIONS_NOT_SATISFIED)
    }
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
