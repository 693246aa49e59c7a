//! `apps/`: a folder for each application, package and security domain on the card.

use crate::terminal::inventory::Content;
use smcard_ioctl::life_cycle_name;
use std::collections::{BTreeMap, HashMap};

/// GET STATUS kind of the issuer security domain.
const KIND_ISD: u8 = 0x80;
/// GET STATUS kind of load files.
const KIND_LOAD_FILE: u8 = 0x20;
/// Privilege bit: security domain (GlobalPlatform 2.3.1, table 11-7).
const PRIVILEGE_SECURITY_DOMAIN: u8 = 0x80;
/// Most AIDs that ever get a number; a card that shows more different ones is not followed.
const NUMBERS_MAX: usize = 65_536;

/// The files in the folder of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppField {
    /// Its AID in hexadecimal.
    Aid,
    /// `application`, `package` or `security-domain`.
    Kind,
    /// Its life cycle state in words.
    State,
    /// The AID of its package.
    Package,
    /// The version of the package.
    Version,
}

impl AppField {
    /// All of them.
    pub const ALL: &'static [AppField] =
        &[AppField::Aid, AppField::Kind, AppField::State, AppField::Package, AppField::Version];

    /// The name of the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AppField::Aid => "aid",
            AppField::Kind => "kind",
            AppField::State => "state",
            AppField::Package => "package",
            AppField::Version => "version",
        }
    }

    /// The file of this name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name().as_bytes() == name)
    }
}

/// One folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct App {
    number: u32,
    kind: &'static str,
    state: String,
    package: String,
    version: String,
}

/// All folders, by AID in hexadecimal.
#[derive(Debug, Default)]
pub struct Apps {
    folders: BTreeMap<String, App>,
    numbers: HashMap<String, u32>,
}

impl Apps {
    /// Takes over what the card says it holds: pairs of GET STATUS kind and entry.
    pub fn replace(&mut self, contents: Vec<(u8, Content)>) {
        let versions: HashMap<Vec<u8>, (u8, u8)> = contents
            .iter()
            .filter(|(kind, _)| *kind == KIND_LOAD_FILE)
            .filter_map(|(_, content)| Some((content.aid.clone(), content.version?)))
            .collect();
        self.folders.clear();
        for (kind, content) in contents {
            let aid = hex(&content.aid);
            let Some(number) = self.number(&aid) else { continue };
            let package = match kind {
                KIND_LOAD_FILE => Some(&content.aid),
                _ => content.package.as_ref(),
            };
            let version = package.and_then(|package| versions.get(package)).copied().or(content.version);
            let app = App {
                number,
                kind: kind_word(kind, content.privileges),
                state: state_words(kind, content.state),
                package: package.map(|package| hex(package)).unwrap_or_default(),
                version: version.map(|(major, minor)| format!("{major}.{minor}")).unwrap_or_default(),
            };
            // A package and an application of one AID cannot both be on a card; the first entry stays.
            self.folders.entry(aid).or_insert(app);
        }
    }

    fn number(&mut self, aid: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(aid) {
            return Some(*number);
        }
        let number = u32::try_from(self.numbers.len()).ok()?;
        (self.numbers.len() < NUMBERS_MAX).then_some(())?;
        self.numbers.insert(aid.to_owned(), number);
        Some(number)
    }

    /// Names and numbers of the folders.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.folders.iter().map(|(aid, app)| (aid.as_str(), app.number))
    }

    /// The number of the folder of this name.
    #[must_use]
    pub fn by_name(&self, name: &[u8]) -> Option<u32> {
        std::str::from_utf8(name).ok().and_then(|name| self.folders.get(name)).map(|app| app.number)
    }

    /// What a file holds, with its line feed; `None` where the application is no longer on the card.
    #[must_use]
    pub fn value(&self, number: u32, field: AppField) -> Option<String> {
        let (aid, app) = self.folders.iter().find(|(_, app)| app.number == number)?;
        let value = match field {
            AppField::Aid => aid,
            AppField::Kind => app.kind,
            AppField::State => &app.state,
            AppField::Package => &app.package,
            AppField::Version => &app.version,
        };
        Some(format!("{value}\n"))
    }

    /// True where the card shows an application with this number.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        self.folders.values().any(|app| app.number == number)
    }
}

fn kind_word(kind: u8, privileges: u8) -> &'static str {
    match kind {
        KIND_LOAD_FILE => "package",
        KIND_ISD => "security-domain",
        _ if privileges & PRIVILEGE_SECURITY_DOMAIN != 0 => "security-domain",
        _ => "application",
    }
}

/// Life cycle states in words (GlobalPlatform 2.3.1, tables 11-3 to 11-6).
fn state_words(kind: u8, state: u8) -> String {
    let word = match (kind, state) {
        (KIND_LOAD_FILE, 0x01) => Some("LOADED"),
        (KIND_ISD, _) => life_cycle_name(state),
        (_, 0x03) => Some("INSTALLED"),
        (_, 0x07) => Some("SELECTABLE"),
        (_, 0x0F) => Some("PERSONALIZED"),
        (_, 0x80..) if state & 0x03 == 0x03 => Some("LOCKED"),
        (_, 0x08..=0x7F) if state & 0x07 == 0x07 => Some("SELECTABLE, application state"),
        _ => None,
    };
    match word {
        Some(word) if word.ends_with("state") => format!("{word} {state:02X}"),
        Some(word) => word.to_owned(),
        None => format!("{state:02X}"),
    }
}

/// Bytes in hexadecimal, upper case, as AIDs are written.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(aid: &[u8], state: u8, privileges: u8, package: Option<&[u8]>, version: Option<(u8, u8)>) -> Content {
        let package = package.map(<[u8]>::to_vec);
        Content { aid: aid.to_vec(), state, privileges, package, version, modules: Vec::new() }
    }

    #[test]
    fn an_application_is_told_in_words_with_its_packages_version() {
        let mut apps = Apps::default();
        apps.replace(vec![
            (0x80, content(&[0xA0, 0, 0, 1, 0x51], 0x0F, 0x9E, None, None)),
            (0x40, content(&[0xD2; 5], 0x07, 0, Some(&[0xD1; 5]), None)),
            (0x20, content(&[0xD1; 5], 0x01, 0, None, Some((1, 3)))),
        ]);
        let value = |name: &str, field| apps.value(apps.by_name(name.as_bytes()).unwrap(), field).unwrap();
        assert_eq!(value("D2D2D2D2D2", AppField::Kind), "application\n");
        assert_eq!(value("D2D2D2D2D2", AppField::State), "SELECTABLE\n");
        assert_eq!(value("D2D2D2D2D2", AppField::Package), "D1D1D1D1D1\n");
        assert_eq!(value("D2D2D2D2D2", AppField::Version), "1.3\n");
        assert_eq!(value("D1D1D1D1D1", AppField::Kind), "package\n");
        assert_eq!(value("D1D1D1D1D1", AppField::State), "LOADED\n");
        assert_eq!(value("A000000151", AppField::State), "SECURED\n");
        assert_eq!(value("A000000151", AppField::Kind), "security-domain\n");
    }

    #[test]
    fn an_application_keeps_its_number_when_it_comes_back() {
        let mut apps = Apps::default();
        apps.replace(vec![(0x40, content(&[1; 5], 7, 0, None, None)), (0x40, content(&[2; 5], 7, 0, None, None))]);
        let number = apps.by_name(b"0202020202").unwrap();
        apps.replace(vec![]);
        assert!(!apps.contains(number));
        assert_eq!(apps.value(number, AppField::Aid), None);
        apps.replace(vec![(0x40, content(&[2; 5], 0x83, 0x80, None, None))]);
        assert_eq!(apps.by_name(b"0202020202"), Some(number));
        assert_eq!(apps.value(number, AppField::State).unwrap(), "LOCKED\n");
        assert_eq!(apps.value(number, AppField::Kind).unwrap(), "security-domain\n");
    }
}
