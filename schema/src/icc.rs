//! EMV data elements of a message (F55): BER-TLV (EMV Book 3 annex B) that can hold no card data.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de};
use std::{borrow::Cow, fmt, str::FromStr};

/// Tag of a data element, one to three bytes: `9F26`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u32);

/// Error in EMV data; it names byte or tag and holds no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IccError {
    #[error("byte {0}: the data ends inside an element")]
    Short(usize),
    #[error("byte {0}: a tag of one to three bytes")]
    Tag(usize),
    #[error("byte {0}: a length of one to three bytes")]
    Length(usize),
    #[error("tag {0}: card data, which no message's EMV data may hold")]
    CardData(Tag),
    #[error("tag {0}: a template; only issuer scripts (71, 72) are known to hold no card data")]
    Template(Tag),
    #[error("tag {0}: twice")]
    Twice(Tag),
    #[error("more than {max} bytes", max = Icc::MAX)]
    Long,
}

impl Tag {
    /// Tags of the card's own data (EMV Book 3 annex A): 56 and 57 tracks, 5A PAN, 5F20 name, 5F24 expiry, 99
    /// PIN data, 9F0B name, 9F1F and 9F20 discretionary data, 9F6B track 2 of contactless magnetic mode.
    pub const CARD_DATA: [Tag; 10] = [
        Tag(0x56),
        Tag(0x57),
        Tag(0x5A),
        Tag(0x5F20),
        Tag(0x5F24),
        Tag(0x99),
        Tag(0x9F0B),
        Tag(0x9F1F),
        Tag(0x9F20),
        Tag(0x9F6B),
    ];
    /// Tags of the issuer script templates, before and after the final cryptogram.
    pub const SCRIPTS: [Tag; 2] = [Tag(0x71), Tag(0x72)];
    /// Tag of the results of issuer scripts, five bytes each (UnionPay DF31; EMV 4.3 Book 4 annex A5).
    pub const SCRIPT_RESULTS: Tag = Tag(0xDF31);

    /// Tag of its bytes as a number, `Tag::new(0x9F26)`; none for what is no tag of one to three bytes.
    pub fn new(bytes: u32) -> Option<Self> {
        let all = bytes.to_be_bytes();
        let skip = all.iter().take_while(|b| **b == 0).count();
        let (tag, length) = read_tag(all.get(skip..)?)?;
        (length == all.len() - skip).then_some(tag)
    }
    fn is_template(self) -> bool {
        let first = self.0.to_be_bytes().into_iter().find(|b| *b != 0);
        first.is_some_and(|b| b & 0x20 != 0)
    }
    /// Refuses tags that no [`Icc`] may hold: card data, and templates other than issuer scripts.
    pub fn check(self) -> Result<(), IccError> {
        if Tag::CARD_DATA.contains(&self) {
            return Err(IccError::CardData(self));
        }
        if self.is_template() && !Tag::SCRIPTS.contains(&self) {
            return Err(IccError::Template(self));
        }
        Ok(())
    }
    fn put(self, out: &mut Vec<u8>) {
        out.extend(self.0.to_be_bytes().into_iter().skip_while(|b| *b == 0));
    }
}
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X}", self.0)
    }
}
impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Tag {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|b| b.is_ascii_hexdigit()) && text.len() <= 6;
        let number = digits.then(|| u32::from_str_radix(text, 16).ok()).flatten();
        let tag = number.and_then(Tag::new).filter(|t| t.to_string().eq_ignore_ascii_case(text));
        tag.ok_or("an EMV tag in hex, as in 9F26")
    }
}
impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// EMV data elements of one message, in their order. No tag of [`Tag::CARD_DATA`] is among them, so that it
/// may be written where no card data may be; a template is a well-formed issuer script; any other tag occurs
/// once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Icc(Vec<(Tag, Vec<u8>)>);

impl Icc {
    /// Greatest size, in bytes: F55 holds 255, and a script with its results fits too.
    pub const MAX: usize = 1_024;

    /// Parses the elements of a message from BER-TLV, and refuses what an [`Icc`] may not hold.
    pub fn parse(bytes: &[u8]) -> Result<Self, IccError> {
        if bytes.len() > Icc::MAX {
            return Err(IccError::Long);
        }
        let elements = elements(bytes)?;
        for (i, (tag, value)) in elements.iter().enumerate() {
            tag.check()?;
            if Tag::SCRIPTS.contains(tag) {
                script(value)?;
            } else if elements.iter().take(i).any(|(earlier, _)| earlier == tag) {
                return Err(IccError::Twice(*tag));
            }
        }
        Ok(Self(elements))
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Elements in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Tag, &[u8])> {
        self.0.iter().map(|(tag, value)| (*tag, value.as_slice()))
    }
    /// Values of a tag; a script may occur several times.
    pub fn values(&self, tag: Tag) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(t, _)| *t == tag).map(|(_, value)| value.as_slice())
    }
    /// BER-TLV of all elements.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.0.iter().for_each(|element| put(element, &mut out));
        out
    }
    /// Elements with what is in issuer scripts left out: as people may see them.
    pub fn without_scripts(mut self) -> Self {
        self.0
            .iter_mut()
            .filter(|(tag, _)| Tag::SCRIPTS.contains(tag))
            .for_each(|(_, script)| script.clear());
        self
    }
    /// BER-TLV of the elements that `tags` names, in the order of that list.
    pub fn pick(&self, tags: &[Tag]) -> Vec<u8> {
        let mut out = Vec::new();
        for tag in tags {
            self.0.iter().filter(|(t, _)| t == tag).for_each(|element| put(element, &mut out));
        }
        out
    }
}

/// Checks an issuer script: elements that are no templates and no card data.
fn script(value: &[u8]) -> Result<(), IccError> {
    for (tag, _) in elements(value)? {
        if tag.is_template() {
            return Err(IccError::Template(tag));
        }
        tag.check()?;
    }
    Ok(())
}

/// Parses any BER-TLV, whatever its tags; zeros between elements are filling (EMV Book 3 annex B1).
pub fn elements(bytes: &[u8]) -> Result<Vec<(Tag, Vec<u8>)>, IccError> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        if *first == 0 {
            rest = after;
            continue;
        }
        let at = bytes.len() - rest.len();
        let (tag, length) = read_tag(rest).ok_or(IccError::Tag(at))?;
        rest = rest.get(length..).unwrap_or_default();
        let (size, after) = match rest {
            [n, after @ ..] if *n < 0x80 => (usize::from(*n), after),
            [0x81, n, after @ ..] => (usize::from(*n), after),
            [0x82, high, low, after @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), after),
            [] | [0x81 | 0x82, ..] => return Err(IccError::Short(at)),
            [_, ..] => return Err(IccError::Length(at)),
        };
        let (value, after) = after.split_at_checked(size).ok_or(IccError::Short(at))?;
        found.push((tag, value.to_vec()));
        rest = after;
    }
    Ok(found)
}

/// Tag at the beginning, and its length in bytes.
fn read_tag(bytes: &[u8]) -> Option<(Tag, usize)> {
    let number = |bytes: &[u8]| Tag(bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
    match bytes {
        [0, ..] | [] => None,
        [first, ..] if first & 0x1F != 0x1F => Some((number(&bytes[..1]), 1)),
        [_, second, ..] if second & 0x80 == 0 => Some((number(&bytes[..2]), 2)),
        [_, _, third, ..] if third & 0x80 == 0 => Some((number(&bytes[..3]), 3)),
        [_, ..] => None,
    }
}

fn put((tag, value): &(Tag, Vec<u8>), out: &mut Vec<u8>) {
    tag.put(out);
    match value.len() as u16 {
        n @ 0..0x80 => out.push(n as u8),
        n @ 0x80..0x100 => out.extend([0x81, n as u8]),
        n => {
            out.push(0x82);
            out.extend(n.to_be_bytes()); // at most `Icc::MAX`
        }
    }
    out.extend_from_slice(value);
}

/// Shows tags and lengths only: a value is of no use to a reader of logs.
impl fmt::Debug for Icc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(tag, v)| format!("{tag} {} bytes", v.len()))).finish()
    }
}

/// Serialised as the hex digits of its BER-TLV.
impl Serialize for Icc {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut text = String::new();
        for byte in self.bytes() {
            text.push_str(&format!("{byte:02X}"));
        }
        s.serialize_str(&text)
    }
}
impl<'de> Deserialize<'de> for Icc {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return Err(de::Error::custom("an even number of hex digits"));
        };
        let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
        let bytes: Option<Vec<u8>> = pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect();
        Icc::parse(&bytes.ok_or_else(|| de::Error::custom("hex digits"))?).map_err(de::Error::custom)
    }
}
impl JsonSchema for Icc {
    fn schema_name() -> Cow<'static, str> {
        "Icc".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "EMV data elements as BER-TLV in hex digits; none of them is card data",
            "pattern": "^([0-9A-F]{2})*$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tag(text: &str) -> Tag {
        text.parse().unwrap()
    }

    #[test]
    fn elements_come_back_in_any_order_and_are_picked_by_tag() {
        let bytes = [
            0x9F, 0x26, 2, 0xAA, 0xBB, 0x00, 0x95, 5, 0, 0, 0, 0x80, 0, 0x71, 5, 0x86, 3, 1, 2, 3, 0x71, 2,
            0x86, 0, 0xDF, 0x31, 1, 7,
        ];
        let icc = Icc::parse(&bytes).unwrap();
        let tags: Vec<String> = icc.iter().map(|(t, _)| t.to_string()).collect();
        assert_eq!(tags, ["9F26", "95", "71", "71", "DF31"]);
        assert_eq!(icc.values(tag("71")).count(), 2);
        assert_eq!(
            icc.pick(&[tag("DF31"), tag("9F36"), tag("95")]),
            [0xDF, 0x31, 1, 7, 0x95, 5, 0, 0, 0, 0x80, 0]
        );
        let without_filling: Vec<u8> = bytes[..5].iter().chain(&bytes[6..]).copied().collect();
        assert_eq!(icc.bytes(), without_filling);
        let shown = icc.clone().without_scripts();
        assert_eq!(shown.pick(&[tag("71"), tag("DF31")]), [0x71, 0, 0x71, 0, 0xDF, 0x31, 1, 7]);
        assert_eq!(Icc::parse(&shown.bytes()).as_ref(), Ok(&shown));
        let json = serde_json::to_string(&icc).unwrap();
        assert!(json.starts_with("\"9F2602AABB9505"), "{json}");
        assert_eq!(serde_json::from_str::<Icc>(&json).unwrap(), icc);
        assert_eq!(
            format!("{icc:?}"),
            r#"["9F26 2 bytes", "95 5 bytes", "71 5 bytes", "71 2 bytes", "DF31 1 bytes"]"#
        );
    }

    #[test]
    fn card_data_is_refused_wherever_it_stands() {
        for card in Tag::CARD_DATA {
            let mut element = Vec::new();
            put(&(card, vec![0x12]), &mut element);
            assert_eq!(Icc::parse(&element), Err(IccError::CardData(card)));
            for script in [0x71, 0x72] {
                let inside = [&[script, element.len() as u8], &element[..]].concat();
                assert_eq!(Icc::parse(&inside), Err(IccError::CardData(card)));
            }
            let template = [&[0x70, element.len() as u8], &element[..]].concat();
            assert_eq!(Icc::parse(&template), Err(IccError::Template(tag("70"))));
            let json = format!("\"{}\"", element.iter().map(|b| format!("{b:02x}")).collect::<String>());
            assert!(serde_json::from_str::<Icc>(&json).is_err(), "not from disk either");
        }
        assert_eq!(
            Icc::parse(&[0x71, 2, 0x72, 0]),
            Err(IccError::Template(tag("72"))),
            "a script in a script"
        );
    }

    #[test]
    fn what_is_malformed_is_named_with_its_place() {
        for (bytes, want) in [
            (&[0x9F][..], IccError::Tag(0)),
            (&[0x95, 0, 0x9F, 0x81, 0x81, 0x81], IccError::Tag(2)),
            (&[0x95], IccError::Short(0)),
            (&[0x95, 3, 1, 2], IccError::Short(0)),
            (&[0, 0x95, 0x81], IccError::Short(1)),
            (&[0x95, 0x82, 1], IccError::Short(0)),
            (&[0x95, 0x80], IccError::Length(0)),
            (&[0x95, 0x83, 0, 0, 1, 1], IccError::Length(0)),
            (&[0x95, 0, 0x95, 0], IccError::Twice(Tag(0x95))),
            (&[0x71, 1, 0x86], IccError::Short(0)),
        ] {
            assert_eq!(Icc::parse(bytes), Err(want), "{bytes:02X?}");
        }
        assert_eq!(Icc::parse(&[0; Icc::MAX + 1]), Err(IccError::Long));
        assert!(Icc::parse(&[0; Icc::MAX]).unwrap().is_empty());
        for bad in ["", "9F", "9F2", "9F2600", "009F26", "9F26 ", "GG", "1F8181", "0"] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
        assert_eq!((tag("95").to_string(), tag("df8129").to_string()), ("95".into(), "DF8129".into()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused_and_what_is_taken_comes_back(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Ok(icc) = Icc::parse(&bytes) {
                prop_assert_eq!(Icc::parse(&icc.bytes()), Ok(icc.clone()));
                prop_assert!(icc.iter().all(|(t, _)| !Tag::CARD_DATA.contains(&t)));
            }
        }

        #[test]
        fn elements_of_any_length_come_back(
            values in prop::collection::btree_map(
                0x9F01u32..0x9F7F,
                prop::collection::vec(any::<u8>(), 0..300),
                0..4,
            ),
        ) {
            let elements = values.into_iter().filter_map(|(n, v)| Some((Tag::new(n)?, v)));
            let elements: Vec<_> = elements.filter(|(t, _)| t.check().is_ok()).collect();
            let mut bytes = Vec::new();
            elements.iter().for_each(|e| put(e, &mut bytes));
            prop_assume!(bytes.len() <= Icc::MAX);
            prop_assert_eq!(Icc::parse(&bytes), Ok(Icc(elements)));
        }
    }
}
