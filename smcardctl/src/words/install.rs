//! INSTALL in words (GlobalPlatform Card Specification 2.3.1, section 11.5).

use super::{Words, aid, bytes};

const LOAD: u8 = 0x02;
const INSTALL: u8 = 0x04;
const MAKE_SELECTABLE: u8 = 0x08;
const EXTRADITION: u8 = 0x10;
const PERSONALIZATION: u8 = 0x20;
const REGISTRY_UPDATE: u8 = 0x40;
const MORE: u8 = 0x80;

/// Name and detail of an INSTALL with this P1.
pub(super) fn words(p1: u8, data: &[u8]) -> Words {
    let name = match p1 & !MORE {
        LOAD => "INSTALL [for load]",
        INSTALL => "INSTALL [for install]",
        MAKE_SELECTABLE => "INSTALL [for make selectable]",
        0x0C => "INSTALL [for install and make selectable]",
        EXTRADITION => "INSTALL [for extradition]",
        PERSONALIZATION => "INSTALL [for personalization]",
        REGISTRY_UPDATE => "INSTALL [for registry update]",
        _ => "INSTALL",
    };
    if p1 & MORE != 0 {
        return Words::new(name, format!("a part of {}", bytes(data.len())));
    }
    let detail = match p1 {
        LOAD => for_load(data),
        INSTALL | MAKE_SELECTABLE | 0x0C => for_install(data),
        EXTRADITION | PERSONALIZATION | REGISTRY_UPDATE => other(data),
        _ => None,
    };
    Words::new(name, detail.unwrap_or_else(|| format!("data of {} that do not fit it", bytes(data.len()))))
}

/// Takes a field: a length of one byte, then as many bytes.
fn field<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&length, rest) = data.split_first()?;
    let (value, rest) = rest.split_at_checked(usize::from(length))?;
    *data = rest;
    Some(value)
}

/// Load file AID, security domain AID, hash, parameters, token.
fn for_load(mut data: &[u8]) -> Option<String> {
    let (file, domain, hash) = (field(&mut data)?, field(&mut data)?, field(&mut data)?);
    let mut words = format!("load file {}", aid(file));
    if !domain.is_empty() {
        words.push_str(&format!(" into security domain {}", aid(domain)));
    }
    if !hash.is_empty() {
        words.push_str(&format!(", hash of {}", bytes(hash.len())));
    }
    Some(words)
}

/// Load file AID, module AID, instance AID, privileges, parameters, token.
fn for_install(mut data: &[u8]) -> Option<String> {
    let (file, module, instance) = (field(&mut data)?, field(&mut data)?, field(&mut data)?);
    let (privileges, parameters) = (field(&mut data)?, field(&mut data)?);
    let mut words = match (file, module) {
        ([], _) | (_, []) => aid(instance),
        (file, module) if instance.is_empty() || instance == module => {
            format!("{} of load file {}", aid(module), aid(file))
        }
        (file, module) => format!("{} from module {} of load file {}", aid(instance), aid(module), aid(file)),
    };
    let names = self::privileges(privileges);
    if !names.is_empty() {
        words.push_str(&format!(", privileges: {}", names.join(", ")));
    }
    // C9 00 is the empty parameter that every install has.
    if parameters.len() > 2 {
        words.push_str(&format!(", parameters of {}", bytes(parameters.len())));
    }
    Some(words)
}

/// Security domain AID, 0, application AID.
fn other(mut data: &[u8]) -> Option<String> {
    let (domain, _, application) = (field(&mut data)?, field(&mut data)?, field(&mut data)?);
    Some(match (domain, application) {
        ([], application) => aid(application),
        (domain, []) => format!("security domain {}", aid(domain)),
        (domain, application) => format!("{} to security domain {}", aid(application), aid(domain)),
    })
}

/// The names of privileges of one or three bytes (tables 11-7 to 11-9); an unknown bit is shown by its value.
fn privileges(bytes: &[u8]) -> Vec<String> {
    const NAMES: [[&str; 8]; 3] = [
        [
            "security domain",
            "DAP verification",
            "delegated management",
            "card lock",
            "card terminate",
            "card reset",
            "CVM management",
            "mandated DAP verification",
        ],
        [
            "trusted path",
            "authorized management",
            "token management",
            "global delete",
            "global lock",
            "global registry",
            "final application",
            "global service",
        ],
        [
            "receipt generation",
            "ciphered load file",
            "contactless activation",
            "contactless self-activation",
            "",
            "",
            "",
            "",
        ],
    ];
    let mut names = Vec::new();
    for (index, byte) in bytes.iter().enumerate() {
        let row = NAMES.get(index).copied().unwrap_or_default();
        for (bit, name) in row.into_iter().enumerate() {
            let mask = 0x80_u8 >> bit;
            match (byte & mask != 0, name) {
                (false, _) => {}
                (true, "") => names.push(format!("bit {mask:02X} of byte {}", index + 1)),
                (true, name) => names.push(name.to_owned()),
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(p1: u8, hex: &str) -> String {
        let Words { name, detail } = words(p1, &crate::hex::parse(hex).unwrap());
        format!("{name}: {detail}")
    }

    #[test]
    fn for_load_names_load_file_and_domain() {
        assert_eq!(say(0x02, "08 F0534D4341524401 00 00 00 00"), "INSTALL [for load]: load file F0534D4341524401");
        assert_eq!(
            say(0x02, "05 A000000001 07 A0000001510000 02 AABB 00 00"),
            "INSTALL [for load]: load file A000000001 into security domain A0000001510000, hash of 2 bytes"
        );
    }

    #[test]
    fn for_install_names_instance_module_load_file_privileges() {
        let file = "08 F0534D4341524401 0A F0534D434152440101";
        let wrong_length = say(0x0C, file);
        assert!(wrong_length.ends_with("that do not fit it"), "{wrong_length}");
        assert_eq!(
            say(0x0C, "08 F0534D4341524401 09 F0534D434152440101 07 D2760000850101 01 04 02 C900 00"),
            "INSTALL [for install and make selectable]: D2760000850101 from module F0534D434152440101 of load file \
             F0534D4341524401, privileges: card reset"
        );
        assert_eq!(
            say(0x04, "05 A000000001 05 A000000002 05 A000000002 03 800001 05 C903AABBCC 00"),
            "INSTALL [for install]: A000000002 of load file A000000001, privileges: security domain, bit 01 of byte 3, \
             parameters of 5 bytes"
        );
        assert_eq!(say(0x08, "00 00 05 A000000002 01 00 00 00"), "INSTALL [for make selectable]: A000000002");
    }

    #[test]
    fn parameters_and_damaged_data_stay_hidden() {
        assert!(!say(0x04, "05 A000000001 05 A000000002 05 A000000003 01 00 05 C903C0FFEE 00").contains("C0FFEE"));
        assert_eq!(say(0x04, "05 A0C0FFEE"), "INSTALL [for install]: data of 5 bytes that do not fit it");
        assert_eq!(say(0x82, "05 A0C0FFEE"), "INSTALL [for load]: a part of 5 bytes");
        assert_eq!(say(0x02, ""), "INSTALL [for load]: data of 0 bytes that do not fit it");
    }

    #[test]
    fn extradition_and_personalization_name_both_sides() {
        assert_eq!(
            say(0x10, "07 A0000001510000 00 05 A000000002 00 00 00"),
            "INSTALL [for extradition]: A000000002 to security domain A0000001510000"
        );
        assert_eq!(say(0x20, "00 00 05 A000000002 00 00 00"), "INSTALL [for personalization]: A000000002");
    }
}
