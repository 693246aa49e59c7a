//! `card/`: one value a file.

use crate::apps::hex;
use crate::status::{View, ended_line};
use smcard_ioctl::life_cycle_name;

macro_rules! values {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal;)*) => {
        /// The files of `card/`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum CardValue { $($(#[$doc])+ $variant),* }

        impl CardValue {
            /// All of them, by name.
            pub const ALL: &'static [CardValue] = &[$(CardValue::$variant),*];

            /// The name of the file.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(CardValue::$variant => $name),* }
            }
        }
    };
}

values! {
    /// Secure command set of the card; `none` without a wire.
    AssdVersion = "assd_version";
    /// Bytes received in exchanges.
    BytesReceived = "bytes_received";
    /// Bytes sent in exchanges.
    BytesSent = "bytes_sent";
    /// Protected memory, bytes.
    CapacityBytes = "capacity_bytes";
    /// Card identification, hexadecimal.
    Cid = "cid";
    /// How a batch gets into the card: `yes` = in one exchange; `no` = by commands, each an exchange.
    DirectWrite = "direct_write";
    /// Exchanges with the card since it was opened.
    Exchanges = "exchanges";
    /// Free protected memory, bytes.
    FreeBytes = "free_bytes";
    /// Issues that have ended since the mount.
    Issues = "issues";
    /// Longest file that can be written, bytes.
    LargestFreeBytes = "largest_free_bytes";
    /// Why the last upload was refused, or why the last issue got no answer; empty where nothing went wrong.
    LastError = "last_error";
    /// How the last issue ended; `none` before the first.
    LastIssue = "last_issue";
    /// Life cycle of the card.
    LifeCycle = "life_cycle";
    /// How the card leaves privileged mode.
    Privilege = "privilege";
    /// What the card does with a broken issue.
    Recovery = "recovery";
    /// Security level of the secure channel, hexadecimal; `00` = none.
    SecurityLevel = "security_level";
    /// What the card hangs on.
    Source = "source";
    /// Transactions on the wire.
    WireTransactions = "wire_transactions";
}

impl CardValue {
    /// The file of this name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.name().as_bytes() == name)
    }

    /// What the file holds, with its line feed.
    #[must_use]
    pub fn text(self, view: &View) -> String {
        let properties = &view.properties;
        let value = match self {
            CardValue::AssdVersion => properties.assd_version.unwrap_or("none").to_owned(),
            CardValue::BytesReceived => view.counters.bytes_received.to_string(),
            CardValue::BytesSent => view.counters.bytes_sent.to_string(),
            CardValue::CapacityBytes => view.memory.capacity.to_string(),
            CardValue::Cid => hex(&properties.cid),
            CardValue::DirectWrite => if properties.direct_write { "yes" } else { "no" }.to_owned(),
            CardValue::Exchanges => view.counters.exchanges.to_string(),
            CardValue::FreeBytes => view.memory.free.to_string(),
            CardValue::Issues => view.issues.to_string(),
            CardValue::LargestFreeBytes => view.memory.largest.to_string(),
            CardValue::LastError => last_error(view),
            CardValue::LastIssue => view.ended.as_ref().map_or_else(|| "none".to_owned(), ended_line),
            CardValue::LifeCycle => match view.card {
                None => "unknown".to_owned(),
                Some(card) => {
                    life_cycle_name(card.life_cycle).map_or_else(|| format!("{:02X}", card.life_cycle), str::to_owned)
                }
            },
            CardValue::Privilege => {
                view.card.and_then(|card| card.privilege).unwrap_or(properties.privilege).word().to_owned()
            }
            CardValue::Recovery => {
                view.card.and_then(|card| card.recovery).unwrap_or(properties.recovery).word().to_owned()
            }
            CardValue::SecurityLevel => format!("{:02X}", view.auth_level),
            CardValue::Source => properties.source.replace(|c: char| c.is_control(), "?"),
            CardValue::WireTransactions => view.counters.wire_transactions.to_string(),
        };
        value + "\n"
    }
}

fn last_error(view: &View) -> String {
    if !view.upload_error.is_empty() {
        return view.upload_error.clone();
    }
    let silence = view.ended.as_ref().and_then(|ended| ended.silence.as_ref());
    silence.map(|(_, text)| text.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{CardInfo, Memory};

    #[test]
    fn one_line_a_file_and_the_names_are_sorted() {
        let view = View::default();
        for value in CardValue::ALL {
            let text = value.text(&view);
            assert_eq!(text.matches('\n').count(), 1, "{}", value.name());
            assert_eq!(CardValue::from_name(value.name().as_bytes()), Some(*value));
        }
        assert!(CardValue::ALL.is_sorted_by_key(|value| value.name()));
        assert_eq!(CardValue::from_name(b"nothing"), None);
    }

    #[test]
    fn values_are_plain() {
        let mut view = View { memory: Memory { capacity: 64, free: 32, largest: 16 }, ..View::default() };
        assert_eq!(CardValue::LifeCycle.text(&view), "unknown\n");
        view.card = Some(CardInfo { life_cycle: 0x0F, recovery: None, privilege: None, level: 0 });
        assert_eq!(CardValue::LifeCycle.text(&view), "SECURED\n");
        assert_eq!(CardValue::FreeBytes.text(&view), "32\n");
        assert_eq!(CardValue::Cid.text(&view), format!("{}\n", "0".repeat(32)));
        assert_eq!(CardValue::Recovery.text(&view), "restart\n");
        view.upload_error = "a: cut".into();
        assert_eq!(CardValue::LastError.text(&view), "a: cut\n");
    }
}
