//! What each command of GPShell becomes.

use super::super::{NoteKind, Place, ScriptFault, ScriptReason};
use super::options::Options;
use super::{Reader, data};
use crate::aid::Aid;
use crate::apdu::{CommandApdu, SHORT_DATA_MAX};
use crate::cap::{CapFile, Include};
use crate::issue::{Blocks, Install, check_installs, load_commands, load_file};
use zeroize::Zeroizing;

/// A command that becomes one of a batch, or several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    SendApdu,
    SendApduNoStop,
    Select,
    Delete,
    DeleteKey,
    Install,
    InstallForLoad,
    Load,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForPersonalization,
    StoreData,
}

/// What is to be done with a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Command(Name),
    Link(&'static str),
    Channel(&'static str),
    Refused(&'static str, &'static str),
    Exit,
}

const ASKS: &str = "it asks the card for something, and nobody hears the answer within a batch";
const KEYS: &str = "keys travel encrypted for a session, and a batch has none";
const OPEN_PLATFORM: &str = "OpenPlatform 2.0.1 codes its commands otherwise; only mode_211 is read";

const KINDS: [(&str, Kind); 38] = [
    ("send_apdu", Kind::Command(Name::SendApdu)),
    ("send_apdu_nostop", Kind::Command(Name::SendApduNoStop)),
    ("select", Kind::Command(Name::Select)),
    ("delete", Kind::Command(Name::Delete)),
    ("delete_key", Kind::Command(Name::DeleteKey)),
    ("install", Kind::Command(Name::Install)),
    ("install_for_load", Kind::Command(Name::InstallForLoad)),
    ("load", Kind::Command(Name::Load)),
    ("install_for_install", Kind::Command(Name::InstallForInstall)),
    ("install_for_make_selectable", Kind::Command(Name::InstallForMakeSelectable)),
    ("install_for_personalization", Kind::Command(Name::InstallForPersonalization)),
    ("store_data", Kind::Command(Name::StoreData)),
    ("mode_211", Kind::Link("mode_211")),
    ("enable_trace", Kind::Link("enable_trace")),
    ("enable_timer", Kind::Link("enable_timer")),
    ("establish_context", Kind::Link("establish_context")),
    ("release_context", Kind::Link("release_context")),
    ("card_connect", Kind::Link("card_connect")),
    ("card_disconnect", Kind::Link("card_disconnect")),
    ("list_readers", Kind::Link("list_readers")),
    ("print", Kind::Link("print")),
    ("gemXpressoPro", Kind::Link("gemXpressoPro")),
    ("visa_key_derivation", Kind::Link("visa_key_derivation")),
    ("emv_cps11_key_derivation", Kind::Link("emv_cps11_key_derivation")),
    ("get_secure_channel_protocol_details", Kind::Link("get_secure_channel_protocol_details")),
    ("open_sc", Kind::Channel("open_sc")),
    ("close_sc", Kind::Channel("close_sc")),
    ("exit", Kind::Exit),
    ("mode_201", Kind::Refused("mode_201", OPEN_PLATFORM)),
    ("get_status", Kind::Refused("get_status", ASKS)),
    ("get_data", Kind::Refused("get_data", ASKS)),
    ("get_card_recognition_data", Kind::Refused("get_card_recognition_data", ASKS)),
    ("get_key_information_templates", Kind::Refused("get_key_information_templates", ASKS)),
    ("get_extended_card_resources_information", Kind::Refused("get_extended_card_resources_information", ASKS)),
    ("put_sc_key", Kind::Refused("put_sc_key", KEYS)),
    ("put_dm_keys", Kind::Refused("put_dm_keys", KEYS)),
    ("put_dm_token_keys", Kind::Refused("put_dm_token_keys", KEYS)),
    ("put_dm_receipt_keys", Kind::Refused("put_dm_receipt_keys", KEYS)),
];

/// The command of this name.
pub(super) fn kind(word: &str) -> Option<Kind> {
    KINDS.into_iter().find(|(name, _)| *name == word).map(|(_, kind)| kind)
}

impl Reader<'_> {
    /// Appends what a command of the script becomes.
    pub(super) fn command(&mut self, place: Place, name: Name, options: &Options<'_>) -> Result<(), ScriptFault> {
        let fault = |reason| ScriptFault { place, reason };
        // GPShell itself goes on where nothing was there to delete.
        let goes_on = match name {
            Name::SendApduNoStop => Some("send_apdu_nostop"),
            Name::Delete => Some("delete"),
            Name::DeleteKey => Some("delete_key"),
            _ => options.no_stop.then_some("-noStop"),
        };
        if let Some(command) = goes_on {
            self.script.note(place, NoteKind::GoesOn(command));
        }
        match name {
            Name::SendApdu | Name::SendApduNoStop => {
                options.required("-APDU").map_err(fault)?;
                let bytes = options.bytes("-APDU").map_err(fault)?;
                self.script.push(place, &bytes)
            }
            Name::Select => {
                let aid = options.aid("-AID").map_err(fault)?;
                self.selected = aid;
                let data = aid.as_ref().map_or(&[][..], Aid::as_bytes);
                self.made(place, [0x00, 0xA4, 0x04, 0x00], data)
            }
            Name::Delete => {
                let aid = options.required_aid("-AID").map_err(fault)?;
                let length = u8::try_from(aid.as_bytes().len()).unwrap_or(u8::MAX);
                self.made(place, [0x80, 0xE4, 0x00, 0x80], &[&[0x4F, length], aid.as_bytes()].concat())
            }
            Name::DeleteKey => {
                let mut data = Vec::new();
                if options.text("-keyind").is_some() {
                    data.extend([0xD0, 1, options.byte("-keyind").map_err(fault)?]);
                }
                match options.byte("-keyver").map_err(fault)? {
                    0 if data.is_empty() => {
                        return Err(fault(ScriptReason::OptionValue { option: "-keyver", needs: "to be given" }));
                    }
                    0 => {}
                    version => data.extend([0xD2, 1, version]),
                }
                self.made(place, [0x80, 0xE4, 0x00, 0x80], &data)
            }
            Name::Install => self.install(place, options),
            Name::InstallForLoad => {
                let package = options.required_aid("-pkgAID").map_err(fault)?;
                let domain = self.domain(options).map_err(fault)?;
                let data = data::for_load(&package, domain.as_ref(), options).map_err(fault)?;
                self.made(place, [0x80, 0xE6, 0x02, 0x00], &data)
            }
            Name::Load => {
                let cap = self.cap(options).map_err(fault)?;
                self.load(place, &cap)
            }
            Name::InstallForInstall => {
                let package = options.required_aid("-pkgAID").map_err(fault)?;
                let module = options.required_aid("-AID").map_err(fault)?;
                let instance = options.aid("-instAID").map_err(fault)?.unwrap_or(module);
                let data = data::for_install(&package, &module, &instance, options).map_err(fault)?;
                self.made(place, [0x80, 0xE6, 0x04, 0x00], &data)
            }
            Name::InstallForMakeSelectable => {
                let instance = options.required_aid("-instAID").map_err(fault)?;
                let privileges = data::privileges(options).map_err(fault)?;
                let data = data::for_instance(&instance, privileges.as_bytes()).map_err(fault)?;
                self.made(place, [0x80, 0xE6, 0x08, 0x00], &data)
            }
            Name::InstallForPersonalization => {
                let instance = options.required_aid("-AID").map_err(fault)?;
                let data = data::for_instance(&instance, &[]).map_err(fault)?;
                self.made(place, [0x80, 0xE6, 0x20, 0x00], &data)
            }
            Name::StoreData => self.store(place, options),
        }
    }

    /// A command with Le, as a secure channel's host sends it.
    fn made(&mut self, place: Place, [cla, ins, p1, p2]: [u8; 4], data: &[u8]) -> Result<(), ScriptFault> {
        self.script.push_made(place, &CommandApdu::new(cla, ins, p1, p2, data).with_le(256))
    }

    /// The security domain named, else the application selected last, else the one that runs the batch.
    fn domain(&self, options: &Options<'_>) -> Result<Option<Aid>, ScriptReason> {
        Ok(options.aid("-sdAID")?.or(self.selected))
    }

    fn cap(&mut self, options: &Options<'_>) -> Result<CapFile, ScriptReason> {
        let bytes = (self.read_cap)(options.required("-file")?).map_err(ScriptReason::Cap)?;
        CapFile::read(&bytes).map_err(|error| ScriptReason::Cap(error.to_string()))
    }

    fn load(&mut self, place: Place, cap: &CapFile) -> Result<(), ScriptFault> {
        let refused = |error: crate::IssueError| ScriptFault { place, reason: ScriptReason::Cap(error.to_string()) };
        let file = load_file(&cap.load_file_data(Include::default())).map_err(refused)?;
        for command in load_commands(&file, Blocks::default()).map_err(refused)? {
            self.script.push_made(place, &command)?;
        }
        Ok(())
    }

    /// INSTALL \[for load\], LOAD, and INSTALL \[for install and make selectable\] for the applet named, or for all.
    fn install(&mut self, place: Place, options: &Options<'_>) -> Result<(), ScriptFault> {
        let fault = |reason| ScriptFault { place, reason };
        let wrong = |why: String| fault(ScriptReason::Cap(why));
        let cap = self.cap(options).map_err(fault)?;
        let file = cap.load_file().map_err(|error| wrong(error.to_string()))?;
        let applets = file.applets().map(|applet| Aid::new(applet.aid)).collect::<Result<Vec<_>, _>>();
        let applets = applets.map_err(|error| wrong(error.to_string()))?;
        let package = Aid::new(file.package().aid).map_err(|error| wrong(error.to_string()))?;
        if options.aid("-pkgAID").map_err(fault)?.is_some_and(|named| named != package) {
            return Err(wrong(format!("the CAP file holds package {package}, not the one that -pkgAID names")));
        }
        let (module, instance) = (options.aid("-AID").map_err(fault)?, options.aid("-instAID").map_err(fault)?);
        let installs: Vec<Install> = if module.is_some() || instance.is_some() {
            let none = || wrong("the package has no applet to install".to_owned());
            let module = module.or_else(|| applets.first().copied()).ok_or_else(none)?;
            vec![Install::new(module, instance.unwrap_or(module))]
        } else {
            applets.into_iter().map(|applet| Install::new(applet, applet)).collect()
        };
        check_installs(&installs, &package, &file).map_err(|error| wrong(error.to_string()))?;

        let domain = self.domain(options).map_err(fault)?;
        let for_load = data::for_load(&package, domain.as_ref(), options).map_err(fault)?;
        self.made(place, [0x80, 0xE6, 0x02, 0x00], &for_load)?;
        self.load(place, &cap)?;
        for install in &installs {
            let data = data::for_install(&package, &install.module, &install.instance, options).map_err(fault)?;
            self.made(place, [0x80, 0xE6, 0x0C, 0x00], &data)?;
        }
        Ok(())
    }

    /// STORE DATA in blocks of 255 bytes, numbered, the last one marked.
    fn store(&mut self, place: Place, options: &Options<'_>) -> Result<(), ScriptFault> {
        const LAST: u8 = 0x80;
        let fault = |reason| ScriptFault { place, reason };
        let data: Zeroizing<Vec<u8>> = options.bytes("-data").map_err(fault)?;
        let answer = options.byte("-responseDataExpected").map_err(fault)? != 0;
        let p1 = options.byte("-dataFormat").map_err(fault)?
            | options.byte("-dataEncryption").map_err(fault)?
            | u8::from(answer);
        let blocks: Vec<&[u8]> = if data.is_empty() { vec![&[]] } else { data.chunks(SHORT_DATA_MAX).collect() };
        if blocks.len() > 256 {
            return Err(fault(ScriptReason::OptionValue { option: "-data", needs: "at most 256 blocks of 255 bytes" }));
        }
        let count = blocks.len();
        for (number, block) in (0..=u8::MAX).zip(blocks) {
            let last = usize::from(number) + 1 == count;
            let command = CommandApdu::new(0x80, 0xE2, if last { p1 | LAST } else { p1 }, number, block);
            let command = if last && answer { command.with_le(256) } else { command };
            self.script.push_made(place, &command)?;
        }
        Ok(())
    }
}
