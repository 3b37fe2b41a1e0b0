//! What values say, in words: bits by their names (EMV 4.4 Book 3 Annex C, Book 4 Annex A; UnionPay's
//! qualifiers, issuer application data and script results), lists taken apart, the lines of a run's log.
//!
//! Invariant: nothing of a sensitive value is in any text.
use crate::{
    Tag, dol,
    oda::Method,
    records,
    step::{By, Fired, Note, RuleEnd, Verdict},
    tag::{Format, Row},
    verification,
};
use std::fmt;

/// Bits of a value: byte in the first digit, bit in the second, and what it says when it is set.
type Bits = &'static [(u8, &'static str)];

/// Application interchange profile (82).
const AIP: Bits = &[
    (0x17, "SDA supported"),
    (0x16, "DDA supported"),
    (0x15, "cardholder verification supported"),
    (0x14, "terminal risk management to be performed"),
    (0x13, "issuer authentication by EXTERNAL AUTHENTICATE"),
    (0x11, "CDA supported"),
];
/// Application usage control (9F07).
const USAGE: Bits = &[
    (0x18, "domestic cash"),
    (0x17, "international cash"),
    (0x16, "domestic goods"),
    (0x15, "international goods"),
    (0x14, "domestic services"),
    (0x13, "international services"),
    (0x12, "at ATMs"),
    (0x11, "at other terminals than ATMs"),
    (0x28, "domestic cashback"),
    (0x27, "international cashback"),
];
/// Terminal capabilities (9F33).
const CAPABILITIES: Bits = &[
    (0x18, "manual key entry"),
    (0x17, "magnetic stripe"),
    (0x16, "chip with contacts"),
    (0x28, "plain PIN for the card"),
    (0x27, "enciphered PIN for the issuer"),
    (0x26, "signature"),
    (0x25, "enciphered PIN for the card"),
    (0x24, "no CVM"),
    (0x38, "SDA"),
    (0x37, "DDA"),
    (0x36, "card capture"),
    (0x34, "CDA"),
];
/// Additional terminal capabilities (9F40).
const ADDITIONAL: Bits = &[
    (0x18, "cash"),
    (0x17, "goods"),
    (0x16, "services"),
    (0x15, "cashback"),
    (0x14, "inquiry"),
    (0x13, "transfer"),
    (0x12, "payment"),
    (0x11, "administrative"),
    (0x28, "cash deposit"),
    (0x38, "numeric keys"),
    (0x37, "alphabetic and special keys"),
    (0x36, "command keys"),
    (0x35, "function keys"),
    (0x48, "prints for the attendant"),
    (0x47, "prints for the cardholder"),
    (0x46, "shows to the attendant"),
    (0x45, "shows to the cardholder"),
    (0x42, "ISO 8859-10"),
    (0x41, "ISO 8859-9"),
    (0x58, "ISO 8859-8"),
    (0x57, "ISO 8859-7"),
    (0x56, "ISO 8859-6"),
    (0x55, "ISO 8859-5"),
    (0x54, "ISO 8859-4"),
    (0x53, "ISO 8859-3"),
    (0x52, "ISO 8859-2"),
    (0x51, "ISO 8859-1"),
];
/// Terminal transaction qualifiers (9F66), as qPBOC has them.
const TERMINAL_QUALIFIERS: Bits = &[
    (0x17, "contactless debit and credit"),
    (0x16, "qPBOC"),
    (0x15, "chip with contacts"),
    (0x14, "offline only"),
    (0x13, "online PIN"),
    (0x12, "signature"),
    (0x28, "online cryptogram required"),
    (0x27, "CVM required"),
    (0x48, "fDDA version 01"),
];
/// Card transaction qualifiers (9F6C).
const CARD_QUALIFIERS: Bits = &[
    (0x18, "online PIN required"),
    (0x17, "signature required"),
    (0x16, "go online where its signature is wrong"),
    (0x15, "insert the card where its signature is wrong"),
    (0x14, "go online where it has expired"),
    (0x28, "verified by the device"),
];

/// What a value says, a line each: its bits by name, a list's entries. None for what has nothing more to say
/// than its digits, and for what is sensitive.
pub fn explain(tag: Tag, value: &[u8]) -> Vec<String> {
    let Some(row) = tag.row().filter(|row| !row.sensitive) else { return Vec::new() };
    match (tag.0, value) {
        (0x82, _) => bits(AIP, value),
        (0x9F07, _) => bits(USAGE, value),
        (0x9F33, _) => bits(CAPABILITIES, value),
        (0x9F40, _) => bits(ADDITIONAL, value),
        (0x9F66, _) => bits(TERMINAL_QUALIFIERS, value),
        (0x9F6C, _) => bits(CARD_QUALIFIERS, value),
        (0x95 | 0x9F0D | 0x9F0E | 0x9F0F, _) => results(&verification::TVR, value),
        (0x9B, _) => results(&verification::TSI, value),
        (0x9F27, [cid]) => cryptogram_information(*cid),
        (0x9F34, [code, condition, result]) => {
            let result = match result {
                1 => "failed",
                2 => "successful",
                _ => "result unknown",
            };
            vec![format!("{}, {result}", rule([*code, *condition]))]
        }
        (0x8E, _) => methods(value),
        (0x94, _) => locator(value),
        (0x8C | 0x8D | 0x97 | 0x9F38 | 0x9F49 | 0x9F4F, _) => list(value),
        (0x9F4A, _) => value.iter().map(|b| named(Tag(u32::from(*b)))).collect(),
        (0x9F35, [kind]) => terminal_type(*kind),
        (0x9C, [kind]) => transaction_type(*kind),
        (0x9F10, [7, index, version, 3, verification, ..]) if value.len() >= 8 => {
            let kind = |bits: u8, two: &'static str| match bits & 0x03 {
                0 => "AAC",
                1 => "TC",
                2 => two,
                _ => "reserved",
            };
            let [first, second] = [kind(verification >> 4, "ARQC"), kind(verification >> 6, "not asked for")];
            vec![
                format!("key index {index:02X}, cryptogram version {version:02X}"),
                format!("first cryptogram {first}, second {second}"),
            ]
        }
        (0x9F5B | 0xDF31, _) => script_results(value),
        (_, _) => malformed(row, value).into_iter().collect(),
    }
}

/// Why a value has not the form of its row (Book 3 §4.3); none: it has.
fn malformed(row: &Row, value: &[u8]) -> Option<String> {
    let formed = value.is_empty() || records::is_formed(row.tag, row.format, row.len, value);
    (!formed).then(|| {
        let (least, most) = row.len;
        let count = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        format!(
            "malformed: it must have {count} bytes{}",
            match row.format {
                Format::N => " of digits",
                Format::Cn | Format::An | Format::Ans | Format::B => "",
            }
        )
    })
}

/// The names of the bits that are set; of one without a name its place.
fn bits(names: Bits, value: &[u8]) -> Vec<String> {
    each_bit(value, |place| names.iter().find(|(bit, _)| *bit == place).map(|(_, name)| *name))
}
fn results(rows: &[verification::Row], value: &[u8]) -> Vec<String> {
    let row = |place: u8| rows.iter().find(|r| r.byte << 4 | r.bit == place);
    each_bit(value, |place| row(place).map(|r| r.name))
}
fn each_bit<'a>(value: &[u8], name: impl Fn(u8) -> Option<&'a str>) -> Vec<String> {
    let places = value.iter().zip(1u8..=15).flat_map(|(byte, at)| {
        (1u8..=8).rev().filter(move |bit| byte >> (bit - 1) & 1 == 1).map(move |bit| (at, bit))
    });
    let line =
        |(at, bit): (u8, u8)| format!("byte {at} bit {bit}: {}", name(at << 4 | bit).unwrap_or("reserved"));
    places.map(line).collect()
}

/// Cryptogram information data (9F27).
fn cryptogram_information(cid: u8) -> Vec<String> {
    let mut out = vec![cryptogram_kind(cid).to_owned()];
    if cid & 0x08 != 0 {
        out.push("an advice is wanted".into());
    }
    let reason = match cid & 0x07 {
        0 => return out,
        1 => "service not allowed",
        2 => "PIN try limit exceeded",
        3 => "issuer authentication failed",
        _ => "reserved",
    };
    out.push(format!("reason: {reason}"));
    out
}
fn cryptogram_kind(cid: u8) -> &'static str {
    match cid & 0xC0 {
        0x00 => "AAC: declined",
        0x40 => "TC: approved",
        0x80 => "ARQC: the issuer is to be asked",
        _ => "reserved",
    }
}

/// A rule of cardholder verification, its two bytes (Book 3 Annex C3; 20 by PBOC).
fn rule([code, condition]: [u8; 2]) -> String {
    let method = match code & 0x3F {
        0x00 => "fail",
        0x01 => "plain PIN for the card",
        0x02 => "enciphered PIN for the issuer",
        0x03 => "plain PIN for the card, and signature",
        0x04 => "enciphered PIN for the card",
        0x05 => "enciphered PIN for the card, and signature",
        0x1E => "signature",
        0x1F => "no CVM",
        0x20 => "cardholder's certificate",
        0x3F => "none",
        _ => "unknown method",
    };
    let condition = match condition {
        0x00 => "always",
        0x01 => "for unattended cash",
        0x02 => "for neither cash nor cashback",
        0x03 => "where the terminal has it",
        0x04 => "for manual cash",
        0x05 => "for cashback",
        0x06 => "in its currency below X",
        0x07 => "in its currency above X",
        0x08 => "in its currency below Y",
        0x09 => "in its currency above Y",
        _ => "on an unknown condition",
    };
    format!("{method}, {condition}")
}

/// List of cardholder verification methods (8E).
fn methods(value: &[u8]) -> Vec<String> {
    let Some(([x, y], rules)) = value.split_first_chunk::<8>().map(|(front, rules)| {
        let half = |at: usize| front.iter().skip(at).take(4).fold(0u32, |n, b| n << 8 | u32::from(*b));
        ([half(0), half(4)], rules)
    }) else {
        return vec!["malformed: two amounts of 4 bytes, and rules".into()];
    };
    let mut out = vec![format!("X {x}, Y {y}, in minor units")];
    let (pairs, rest) = rules.as_chunks::<2>();
    out.extend(pairs.iter().map(|pair @ [code, _]| {
        let then = if code & 0x40 != 0 { "the next rule" } else { "failed" };
        format!("{}; if unsuccessful: {then}", rule(*pair))
    }));
    if !rest.is_empty() {
        out.push("malformed: half a rule at its end".into());
    }
    out
}

/// Application file locator (94).
fn locator(value: &[u8]) -> Vec<String> {
    let Ok(files) = records::locate(value) else {
        return vec![
            "malformed: entries of 4 bytes: file, first and last record, how many are signed".into(),
        ];
    };
    let line = |r: records::Records| {
        let signed = match r.signed {
            0 => "none signed".into(),
            n => format!("the first {n} signed"),
        };
        format!("file {}, records {} to {}, {signed}", r.sfi, r.first, r.last)
    };
    files.into_iter().map(line).collect()
}

/// Data object list.
fn list(value: &[u8]) -> Vec<String> {
    match dol::entries(value) {
        Ok(entries) => entries.into_iter().map(|(tag, len)| format!("{} [{len}]", named(tag))).collect(),
        Err(why) => vec![format!("malformed: {why}")],
    }
}
/// A tag with its name.
pub fn named(tag: Tag) -> String {
    tag.row().map_or_else(|| tag.to_string(), |row| format!("{tag} {}", row.name))
}

/// Terminal type (9F35).
fn terminal_type(kind: u8) -> Vec<String> {
    let whose = match kind >> 4 {
        1 => "a bank's",
        2 => "a merchant's",
        3 => "the cardholder's",
        _ => return vec!["reserved".into()],
    };
    let what = match kind & 0x0F {
        1 => "attended, online only",
        2 => "attended, can do both",
        3 => "attended, offline only",
        4 => "unattended, online only",
        5 => "unattended, can do both",
        6 => "unattended, offline only",
        _ => return vec!["reserved".into()],
    };
    vec![format!("{whose}, {what}")]
}

/// Transaction type (9C), the first two digits of the processing code.
fn transaction_type(kind: u8) -> Vec<String> {
    let name = match kind {
        0x00 => "goods and services",
        0x01 => "cash",
        0x03 => "pre-authorisation",
        0x09 => "goods with cashback",
        0x20 => "refund or void",
        0x30 | 0x31 => "balance",
        _ => return Vec::new(),
    };
    vec![name.into()]
}

/// Results of issuer scripts, five bytes each (Book 4 Annex A).
fn script_results(value: &[u8]) -> Vec<String> {
    let (all, rest) = value.as_chunks::<5>();
    let line = |[first, id @ ..]: &[u8; 5]| {
        let id = u32::from_be_bytes(*id);
        let number = first & 0x0F;
        match first >> 4 {
            0 => format!("script {id:08X}: not performed"),
            1 if number == 0 => format!("script {id:08X}: failed, its command is unknown"),
            1 => format!("script {id:08X}: failed at command {number}"),
            2 => format!("script {id:08X}: successful"),
            _ => format!("script {id:08X}: reserved"),
        }
    };
    let mut out: Vec<String> = all.iter().map(line).collect();
    if !rest.is_empty() {
        out.push("malformed: five bytes a script".into());
    }
    out
}

/// Name of a command by its second byte (ISO 7816-4; Book 3 §6.5).
pub fn command(ins: u8) -> &'static str {
    match ins {
        0x16 => "CARD BLOCK",
        0x18 => "APPLICATION UNBLOCK",
        0x1E => "APPLICATION BLOCK",
        0x20 => "VERIFY",
        0x24 => "PIN CHANGE/UNBLOCK",
        0x82 => "EXTERNAL AUTHENTICATE",
        0x84 => "GET CHALLENGE",
        0x88 => "INTERNAL AUTHENTICATE",
        0xA4 => "SELECT",
        0xA8 => "GET PROCESSING OPTIONS",
        0xAE => "GENERATE AC",
        0xB2 => "READ RECORD",
        0xC0 => "GET RESPONSE",
        0xCA => "GET DATA",
        0xDA => "PUT DATA",
        0xDC => "UPDATE RECORD",
        _ => "command",
    }
}

/// Hex digits of some bytes.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

/// One sentence.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(header @ [_, ins, _, _]) => write!(f, "sent {} ({})", hex(header), command(*ins)),
            Self::Status(sw) => write!(f, "status {sw:04X}"),
            Self::Candidates(n) => write!(f, "applications in common: {n}"),
            Self::Selected(name) => write!(f, "selected {}", hex(name)),
            Self::Ignored(tag) => write!(f, "left out {}: not the card's to give here", named(*tag)),
            Self::Asked(list, tags) => {
                let tags: Vec<String> = tags.iter().map(Tag::to_string).collect();
                write!(f, "{} asks for {}", named(*list), tags.join(" "))
            }
            Self::Tvr(bit) => write!(f, "TVR: {}", place_of(&verification::TVR, *bit as u8)),
            Self::Tsi(bit) => write!(f, "TSI: {}", place_of(&verification::TSI, *bit as u8)),
            Self::Authentication { method: None, .. } => {
                f.write_str("offline data authentication: card and terminal have none in common")
            }
            Self::Authentication { method: Some(method), flaw } => {
                let name = match method {
                    Method::Sda => "SDA",
                    Method::Dda => "DDA",
                    Method::Cda => "CDA",
                };
                match (flaw, method) {
                    (Some(flaw), _) => write!(f, "{name} failed: {flaw}"),
                    (None, Method::Cda) => write!(f, "{name}: its key is good, its signature comes later"),
                    (None, Method::Sda | Method::Dda) => write!(f, "{name}: good"),
                }
            }
            Self::Rule(pair, end) => {
                let end = match end {
                    RuleEnd::Skipped => "skipped, its condition does not hold",
                    RuleEnd::Unknown => "unknown",
                    RuleEnd::Unsupported => "the terminal does not have it",
                    RuleEnd::Failed => "failed",
                    RuleEnd::Done => "done",
                };
                write!(f, "CVM rule {} ({}): {end}", hex(pair), rule(*pair))
            }
            Self::Cvm(results) => write!(f, "CVM results {}", hex(results)),
            Self::Action(fired, kind) => {
                let by = match fired {
                    Fired::Denial => "action codes for denial",
                    Fired::Online => "action codes for online",
                    Fired::Default => "default action codes",
                    Fired::Nothing => "no action code fits",
                    Fired::OnlineOnly => "the terminal does not decide alone",
                    Fired::Host => "the host's word",
                    Fired::NoReply => "no reply of the host",
                    Fired::Signature => "a wrong signature",
                    Fired::Depth => "the run goes to an AAC",
                };
                let kind = cryptogram_kind(*kind as u8);
                write!(f, "{by}: asks for {}", kind.split(':').next().unwrap_or(kind))
            }
            Self::Ttq(value) => write!(f, "terminal's qualifiers (9F66) {}", hex(value)),
            Self::Ctq(value) => write!(f, "card's qualifiers (9F6C) {}", hex(value)),
            Self::Fdda(None) => f.write_str("fDDA: good"),
            Self::Fdda(Some(flaw)) => write!(f, "fDDA failed: {flaw}"),
            Self::Cid(cid) => write!(f, "the card gives {}", cryptogram_kind(*cid)),
            Self::Script(result) => write!(f, "{}", script_results(result).join("; ")),
            Self::End(verdict, why) => write!(f, "end: {verdict}, {why}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approved(By::Card) => "approved by the card",
            Self::Approved(By::CardUnableOnline) => "approved by the card, the issuer could not be asked",
            Self::Approved(By::HostAndCard) => "approved by host and card",
            Self::Approved(By::Host) => "approved by the host",
            Self::Declined => "declined",
            Self::Ended(_) => "no decision",
            Self::Read => "read",
        })
    }
}

/// A bit's place and name.
fn place_of(rows: &[verification::Row], place: u8) -> String {
    let name = rows.iter().find(|r| r.byte << 4 | r.bit == place).map_or("", |r| r.name);
    format!("byte {} bit {}: {name}", place >> 4, place & 0x0F)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::DICTIONARY;
    use proptest::prelude::*;

    fn lines(tag: u32, value: &[u8]) -> Vec<String> {
        explain(Tag(tag), value)
    }

    #[test]
    fn book_3_annex_c_bits_have_their_names() {
        for (tag, value, said) in [
            (
                0x95,
                &[0x80, 0, 0x04, 0x80, 0][..],
                &[
                    "byte 1 bit 8: offline data authentication not performed",
                    "byte 3 bit 3: online CVM captured",
                    "byte 4 bit 8: floor limit exceeded",
                ][..],
            ),
            (
                0x9B,
                &[0xE8, 0],
                &[
                    "byte 1 bit 8: offline data authentication performed",
                    "byte 1 bit 7: cardholder verification performed",
                    "byte 1 bit 6: card risk management performed",
                    "byte 1 bit 4: terminal risk management performed",
                ],
            ),
            (
                0x82,
                &[0x21, 0x01],
                &["byte 1 bit 6: DDA supported", "byte 1 bit 1: CDA supported", "byte 2 bit 1: reserved"],
            ),
            (
                0x9F33,
                &[0x20, 0x40, 0x08],
                &[
                    "byte 1 bit 6: chip with contacts",
                    "byte 2 bit 7: enciphered PIN for the issuer",
                    "byte 3 bit 4: CDA",
                ],
            ),
            (
                0x9F40,
                &[0, 0, 0, 0x02, 0x81],
                &["byte 4 bit 2: ISO 8859-10", "byte 5 bit 8: ISO 8859-8", "byte 5 bit 1: ISO 8859-1"],
            ),
            (
                0x9F66,
                &[0x26, 0x80, 0, 0x80],
                &[
                    "byte 1 bit 6: qPBOC",
                    "byte 1 bit 3: online PIN",
                    "byte 1 bit 2: signature",
                    "byte 2 bit 8: online cryptogram required",
                    "byte 4 bit 8: fDDA version 01",
                ],
            ),
            (
                0x9F6C,
                &[0x80, 0x80],
                &["byte 1 bit 8: online PIN required", "byte 2 bit 8: verified by the device"],
            ),
            (0x9F07, &[0, 0x80], &["byte 2 bit 8: domestic cashback"]),
            (0x9F27, &[0x80], &["ARQC: the issuer is to be asked"]),
            (0x9F27, &[0x0A], &["AAC: declined", "an advice is wanted", "reason: PIN try limit exceeded"]),
            (
                0x9F34,
                &[0x42, 0x03, 0x02],
                &["enciphered PIN for the issuer, where the terminal has it, successful"],
            ),
            (0x9F35, &[0x22], &["a merchant's, attended, can do both"]),
            (0x9C, &[0x00], &["goods and services"]),
        ] {
            assert_eq!(lines(tag, value), said, "{tag:X}");
        }
    }

    #[test]
    fn lists_are_taken_apart() {
        assert_eq!(
            lines(0x8E, &[0, 0, 0, 10, 0, 0, 0, 0, 0x42, 0x06, 0x1F, 0]),
            [
                "X 10, Y 0, in minor units",
                "enciphered PIN for the issuer, in its currency below X; if unsuccessful: the next rule",
                "no CVM, always; if unsuccessful: failed",
            ]
        );
        assert_eq!(lines(0x8E, &[0; 3]).len(), 1);
        assert_eq!(
            lines(0x94, &[0x10, 1, 2, 1, 0x18, 1, 1, 0]),
            ["file 2, records 1 to 2, the first 1 signed", "file 3, records 1 to 1, none signed",]
        );
        assert!(lines(0x94, &[0x10, 1, 2])[0].starts_with("malformed"));
        assert_eq!(
            lines(0x8C, &[0x9F, 0x02, 6, 0xDF, 0x7F, 1]),
            ["9F02 Amount, Authorised (Numeric) [6]", "DF7F [1]",]
        );
        assert!(lines(0x9F38, &[0x9F])[0].starts_with("malformed"));
        assert_eq!(lines(0x9F4A, &[0x82]), ["82 Application Interchange Profile"]);
        assert_eq!(
            lines(0xDF31, &[0x21, 0, 0, 0, 1, 0x12, 0, 0, 0, 2]),
            ["script 00000001: successful", "script 00000002: failed at command 2",]
        );
        assert_eq!(
            lines(0x9F10, &[7, 1, 3, 3, 0xA0, 0, 0, 1]),
            ["key index 01, cryptogram version 03", "first cryptogram ARQC, second not asked for",]
        );
        assert_eq!(lines(0x9A, &[0x26, 0x1A, 0x01]), ["malformed: it must have 3 bytes of digits"]);
    }

    proptest! {
        /// Whatever a value is, and nothing of one that names card or holder.
        #[test]
        fn any_value_has_its_lines(
            at in 0..DICTIONARY.len(),
            value in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let row = &DICTIONARY[at];
            let lines = explain(row.tag, &value);
            prop_assert!(!row.sensitive || lines.is_empty());
        }
    }
}
