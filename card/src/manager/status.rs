//! GET STATUS (GlobalPlatform 2.3.1 section 11.4): what is on the card, in as many parts as the answers need.

use super::{ChannelState, Manager};
use crate::refusal::{Outcome, Response, refuse};
use crate::registry::{self, CARD_MANAGER_AID};
use crate::tlv;
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};

const ISSUER_DOMAIN: u8 = 0x80;
const APPLICATIONS: u8 = 0x40;
const LOAD_FILES: u8 = 0x20;
const LOAD_FILES_AND_MODULES: u8 = 0x10;

/// P2: the next part of a listing, not its first.
const NEXT: u8 = 0x01;
/// P2: entries as TLV, not in the form of older cards.
const AS_TLV: u8 = 0x02;

/// Life cycle state of every load file: loaded.
const LOADED: u8 = 0x01;
/// Privileges of the issuer security domain: security domain, card lock and terminate, default selected, CVM management;
/// of the second byte all but global service; receipt generation.
const ISSUER_PRIVILEGES: [u8; 3] = [0x9E, 0xFE, 0x80];

/// Longest response where Le is short.
const RESPONSE_MAX: usize = 256;

/// A GET STATUS whose answer did not fit one response: what is left, for the next.
pub(super) struct Listing {
    subset: u8,
    format: u8,
    rest: Vec<Vec<u8>>,
}

/// What there is to say of an entry.
struct Entry<'a> {
    aid: &'a [u8],
    state: u8,
    privileges: Option<[u8; 3]>,
    load_file: Option<Aid>,
    version: Option<[u8; 2]>,
    modules: &'a [Aid],
    domain: Option<Aid>,
}

impl Entry<'_> {
    /// Template E3 (table 11-36) with the objects that the tag list names; all of them without one. The AID is never
    /// left out.
    fn template(&self, tags: Option<&[u16]>) -> Vec<u8> {
        let wanted = |tag: &u16| *tag == 0x4F || tags.is_none_or(|tags| tags.contains(tag));
        let mut objects: Vec<(u16, &[u8])> = vec![(0x4F, self.aid)];
        let state = [self.state];
        objects.push((0x9F70, &state));
        objects.extend(self.privileges.as_ref().map(|privileges| (0xC5, &privileges[..])));
        objects.extend(self.load_file.as_ref().map(|aid| (0xC4, aid.as_bytes())));
        objects.extend(self.version.as_ref().map(|version| (0xCE, &version[..])));
        objects.extend(self.domain.as_ref().map(|aid| (0xCC, aid.as_bytes())));
        objects.extend(self.modules.iter().map(|module| (0x84, module.as_bytes())));
        let mut data = Vec::new();
        let listed = objects.into_iter().filter(|(tag, _)| wanted(tag));
        listed.for_each(|(tag, value)| tlv::push(&mut data, tag, value));
        tlv::object(0xE3, &data)
    }

    /// The form of older cards (table 11-35): AID behind its length, state, first byte of the privileges; with `modules`
    /// their number and their AIDs, each behind its length.
    fn row(&self, with_modules: bool) -> Vec<u8> {
        let byte = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        let mut row = vec![byte(self.aid.len())];
        row.extend_from_slice(self.aid);
        row.extend([self.state, self.privileges.map_or(0, |privileges| privileges[0])]);
        if with_modules {
            let modules = self.modules.get(..usize::from(u8::MAX)).unwrap_or(self.modules);
            row.push(byte(modules.len()));
            for module in modules {
                row.push(byte(module.as_bytes().len()));
                row.extend_from_slice(module.as_bytes());
            }
        }
        row
    }
}

/// The tags of a tag list, of one or two bytes each; `None` for a list that is cut short. An empty list names no tag and
/// stands for all.
fn tag_list(mut list: &[u8]) -> Option<Vec<u16>> {
    let mut tags = Vec::new();
    while let Some((&first, rest)) = list.split_first() {
        list = rest;
        if first & 0x1F == 0x1F {
            let (&second, rest) = rest.split_first()?;
            list = rest;
            tags.push(u16::from_be_bytes([first, second]));
        } else {
            tags.push(u16::from(first));
        }
    }
    Some(tags)
}

impl Manager {
    pub(super) fn get_status(&mut self, command: &CommandApdu<'_>) -> Outcome {
        let previous = self.context.listing.take();
        let (subset, format) = (command.p1, command.p2 & AS_TLV);
        if command.p2 & !(NEXT | AS_TLV) != 0 {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let criteria = tlv::all(command.data).ok_or(StatusWord::WRONG_DATA)?;
        let (prefix, tags) = match criteria.as_slice() {
            [(0x4F, prefix)] => (*prefix, Vec::new()),
            [(0x4F, prefix), (0x5C, list)] => (*prefix, tag_list(list).ok_or(StatusWord::WRONG_DATA)?),
            _ => return refuse(StatusWord::WRONG_DATA),
        };
        let mut entries = if command.p2 & NEXT == 0 {
            let tags = Some(tags.as_slice()).filter(|tags| !tags.is_empty());
            self.listed(subset, format, prefix, tags).ok_or(StatusWord::WRONG_P1_P2)?
        } else {
            let listing = previous.filter(|listing| (listing.subset, listing.format) == (subset, format));
            listing.ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?.rest
        };
        if entries.is_empty() {
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        }
        let room = command.le.map_or(RESPONSE_MAX, |le| usize::try_from(le).unwrap_or(RESPONSE_MAX)).max(RESPONSE_MAX);
        let room = match &self.context.channel {
            ChannelState::Open(channel) => channel.response_room(room),
            _ => room,
        };
        let mut used = 0;
        let fitting = entries.iter().take_while(|entry| {
            used += entry.len();
            used <= room
        });
        let rest = entries.split_off(fitting.count().max(1));
        let warning = (!rest.is_empty()).then_some(StatusWord::MORE_DATA);
        if warning.is_some() {
            self.context.listing = Some(Listing { subset, format, rest });
        }
        Ok(Response { data: entries.concat(), warning })
    }

    /// The entries of a subset whose AIDs begin with `prefix`, as they go out; `None` for a subset that does not exist.
    fn listed(&self, subset: u8, format: u8, prefix: &[u8], tags: Option<&[u16]>) -> Option<Vec<Vec<u8>>> {
        let out = |entry: &Entry<'_>| match format {
            AS_TLV => entry.template(tags),
            _ => entry.row(subset == LOAD_FILES_AND_MODULES),
        };
        let matches = |aid: &Aid| aid.as_bytes().starts_with(prefix);
        let entries = match subset {
            ISSUER_DOMAIN => {
                let state = self.life_cycle() as u8;
                let privileges = Some(ISSUER_PRIVILEGES);
                let (load_file, version, domain) = (None, None, None);
                let entry =
                    Entry { aid: &CARD_MANAGER_AID, state, privileges, load_file, version, modules: &[], domain };
                if CARD_MANAGER_AID.starts_with(prefix) { vec![out(&entry)] } else { Vec::new() }
            }
            APPLICATIONS => {
                let applications = registry::applications(&self.memory).into_iter().map(|found| found.entry);
                let listed = applications.filter(|application| matches(&application.aid)).map(|application| {
                    out(&Entry {
                        aid: application.aid.as_bytes(),
                        state: application.shown_state(),
                        privileges: Some(application.privileges),
                        load_file: Some(application.load_file),
                        version: None,
                        modules: &[],
                        domain: Some(application.domain),
                    })
                });
                listed.collect()
            }
            LOAD_FILES | LOAD_FILES_AND_MODULES => {
                let files = registry::load_files(&self.memory).into_iter().map(|found| found.entry);
                let listed = files.filter(|file| matches(&file.aid)).map(|file| {
                    out(&Entry {
                        aid: file.aid.as_bytes(),
                        state: LOADED,
                        privileges: None,
                        load_file: None,
                        version: Some([file.major, file.minor]),
                        modules: if subset == LOAD_FILES_AND_MODULES { &file.modules } else { &[] },
                        domain: Some(file.domain),
                    })
                });
                listed.collect()
            }
            _ => return None,
        };
        Some(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_lists_are_of_one_and_two_byte_tags() {
        assert_eq!(tag_list(&[0x4F, 0x9F, 0x70, 0xC5]), Some(vec![0x4F, 0x9F70, 0xC5]));
        assert_eq!(tag_list(&[]), Some(vec![]));
        assert_eq!(tag_list(&[0x4F, 0x9F]), None);
    }
}
