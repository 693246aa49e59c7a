//! `[card]`: which card, and what is known of its oddities.

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de::Error as _};
use smcard_link::quirks::{CardMatch, QuirkOverrides, QuirkRow, QuirkTable};
use smcard_link::sd::Cid;
use std::fmt;

/// `[card]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CardConfig {
    /// Only the card with this CID; another is refused.
    #[serde(deserialize_with = "cid")]
    pub cid: Option<Cid>,
    /// Lines of the wire's trace that are kept.
    #[serde(deserialize_with = "lines")]
    pub trace_lines: usize,
    /// Options that override what is known of the card.
    pub quirks: Options,
    /// Cards to be known beside those the program knows.
    pub known: Vec<Known>,
}

impl Default for CardConfig {
    fn default() -> Self {
        CardConfig { cid: None, trace_lines: 2000, quirks: Options::default(), known: Vec::new() }
    }
}

/// A row of `[[card.known]]`: the cards it is for, and their options. What is left out fits every card.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Manufacturer, first byte of the CID.
    pub manufacturer: Option<u8>,
    /// OEM, two characters.
    pub oem: Option<String>,
    /// Product, five characters.
    pub product: Option<String>,
    /// Their options.
    pub quirks: Options,
}

/// Options by name, as `docs/ASSD.md` lists them; values as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Options;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("options of a card, by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Options, A::Error> {
                let mut options = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, toml::Value>()? {
                    let value = match value {
                        toml::Value::String(text) => text,
                        toml::Value::Integer(number) => number.to_string(),
                        toml::Value::Boolean(truth) => if truth { "yes" } else { "no" }.to_owned(),
                        other => return Err(A::Error::invalid_type(unexpected(&other), &"a word or a number")),
                    };
                    options.push((name, value));
                }
                Ok(Options(options))
            }
        }
        deserializer.deserialize_map(Table)
    }
}

fn unexpected(value: &toml::Value) -> de::Unexpected<'_> {
    match value {
        toml::Value::Float(number) => de::Unexpected::Float(*number),
        toml::Value::Array(_) => de::Unexpected::Seq,
        toml::Value::Table(_) => de::Unexpected::Map,
        _ => de::Unexpected::Other("date"),
    }
}

impl CardConfig {
    /// What is known of cards, with what the configuration adds.
    ///
    /// # Errors
    /// In words: an option that does not exist, a value it cannot have, a name of another length than in a CID.
    pub fn table(&self) -> Result<QuirkTable, String> {
        let mut table = QuirkTable::default();
        // The first row of the file shall be the first of the table.
        for (number, known) in self.known.iter().enumerate().rev() {
            let row = known.row().map_err(|why| format!("[[card.known]] number {}: {why}", number + 1))?;
            table.add(row);
        }
        table.override_all(self.quirks.overrides().map_err(|why| format!("[card.quirks] {why}"))?);
        Ok(table)
    }
}

impl Known {
    fn row(&self) -> Result<QuirkRow, String> {
        let cards = CardMatch {
            manufacturer: self.manufacturer,
            oem: self.oem.as_deref().map(|oem| characters("oem", oem)).transpose()?,
            product: self.product.as_deref().map(|product| characters("product", product)).transpose()?,
        };
        Ok(QuirkRow { cards, quirks: self.quirks.overrides()? })
    }
}

fn characters<const N: usize>(field: &str, text: &str) -> Result<[u8; N], String> {
    text.as_bytes().try_into().map_err(|_| format!("{field} is {N} characters, as in the CID, not {text:?}"))
}

impl Options {
    fn overrides(&self) -> Result<QuirkOverrides, String> {
        let mut overrides = QuirkOverrides::NONE;
        for (name, value) in &self.0 {
            overrides.set(name, value).map_err(|error| error.to_string())?;
        }
        Ok(overrides)
    }
}

/// Most lines of a trace.
const TRACE_LINES_MAX: usize = 100_000;

fn lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let lines = usize::deserialize(deserializer)?;
    let wrong = de::Unexpected::Unsigned(u64::try_from(lines).unwrap_or(u64::MAX));
    if lines <= TRACE_LINES_MAX { Ok(lines) } else { Err(D::Error::invalid_value(wrong, &"at most 100000 lines")) }
}

fn cid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cid>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let bytes = digits.filter(|digits| digits.len() == 32).map(|digits| {
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
        }
        bytes
    });
    let expected = "32 hexadecimal digits, as in card/cid";
    bytes.map(|bytes| Some(Cid(bytes))).ok_or_else(|| D::Error::invalid_value(de::Unexpected::Str(&text), &expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_and_its_options_are_read() {
        let text = "cid = \"000102030405060708090A0b0c0d0e0f\"\ntrace_lines = 5\n[quirks]\nfunction = 1\nchecked = true\n\
            write_token = \"FC\"\n[[known]]\nmanufacturer = 3\nproduct = \"SU04G\"\nquirks = { blocks_max = 4 }\n";
        let card: CardConfig = toml::from_str(text).unwrap();
        assert_eq!(card.cid.unwrap().0[10..12], [0x0A, 0x0B]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut options = card.quirks.0;
        options.sort();
        assert_eq!(options, [pair("checked", "yes"), pair("function", "1"), pair("write_token", "FC")]);
        assert_eq!((card.known[0].manufacturer, card.known[0].oem.as_deref()), (Some(3), None));
        assert_eq!(card.known[0].quirks.0, [pair("blocks_max", "4")]);
    }

    #[test]
    fn options_go_into_the_table_and_the_first_row_wins() {
        let text = "[quirks]\nretries = 9\n[[known]]\nmanufacturer = 3\nquirks = { blocks_max = 4 }\n\
            [[known]]\noem = \"SD\"\nquirks = { blocks_max = 5 }\n";
        let card: CardConfig = toml::from_str(text).unwrap();
        let cid = Cid([3, b'S', b'D', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let quirks = card.table().unwrap().find(&cid);
        assert_eq!((quirks.blocks_max, quirks.retries), (4, 9));
        for (text, named) in [
            ("[quirks]\nblocks_max = 1000", "[card.quirks] blocks_max"),
            ("[quirks]\nblock_max = 1", "blocks_max"),
            ("[[known]]\nproduct = \"SU04\"\nquirks = {}", "[[card.known]] number 1: product is 5 characters"),
        ] {
            let error = toml::from_str::<CardConfig>(text).unwrap().table().unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, named) in [
            ("cid = \"12\"", "32 hexadecimal digits"),
            ("[quirks]\na = [1]", "a word or a number"),
            ("cidd = 1", "cidd"),
        ] {
            let error = toml::from_str::<CardConfig>(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
