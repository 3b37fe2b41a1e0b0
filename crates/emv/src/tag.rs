//! The dictionary of data objects (EMV 4.4 Book 3 Annex A; 56, 9F66, 9F6B, 9F6C of the contactless books;
//! 9F61, 9F62, 9F63, 9F69, 9F74, 9F77 to 9F7B, DF31, DF69 of UnionPay's and PBOC's).
use std::fmt;

/// A tag of one to three bytes, big endian: `Tag(0x9F02)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

impl Tag {
    /// Tells whether its value holds objects (Annex B1: bit 6 of the first byte).
    pub fn is_constructed(self) -> bool {
        let [_, a, b, c] = self.0.to_be_bytes();
        let first = [a, b, c].into_iter().find(|b| *b != 0).unwrap_or_default();
        first & 0x20 != 0
    }
    /// Its row, where it has one.
    pub fn row(self) -> Option<&'static Row> {
        let at = DICTIONARY.binary_search_by_key(&self, |row| row.tag).ok()?;
        DICTIONARY.get(at)
    }
    /// Tells whether no text may show its value. An unknown one is not shown.
    pub fn is_sensitive(self) -> bool {
        self.row().is_none_or(|row| row.sensitive)
    }
}
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..0x100 => write!(f, "{:02X}", self.0),
            0x100..0x1_0000 => write!(f, "{:04X}", self.0),
            _ => write!(f, "{:06X}", self.0),
        }
    }
}
impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Form of a value (Book 3 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Numeric: two digits a byte, right-justified behind zeros.
    N,
    /// Compressed numeric: two digits a byte, left-justified before F.
    Cn,
    /// Letters and digits.
    An,
    /// Letters, digits and special characters.
    Ans,
    /// Bytes.
    B,
}

/// Who gives the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Card,
    Terminal,
    Issuer,
}

/// What is known of a data object.
#[derive(Debug)]
pub struct Row {
    pub tag: Tag,
    pub name: &'static str,
    pub format: Format,
    /// Fewest and most bytes.
    pub len: (u8, u8),
    pub source: Source,
    /// Templates in which it comes.
    pub templates: &'static [Tag],
    /// It is, or holds, card number, track, name, expiry, service code or PIN. A card's certificates hold its
    /// number: whoever has the public keys of authority and issuer reads it. An issuer's script may hold a
    /// new PIN, enciphered.
    pub sensitive: bool,
}

const fn row(tag: u32, name: &'static str, format: Format, len: (u8, u8), source: Source) -> Row {
    Row { tag: Tag(tag), name, format, len, source, templates: &[], sensitive: false }
}
impl Row {
    const fn of(self, templates: &'static [Tag]) -> Self {
        Self { templates, ..self }
    }
    const fn sensitive(self) -> Self {
        Self { sensitive: true, ..self }
    }
}

/// Record templates.
const RECORD: &[Tag] = &[Tag(0x70), Tag(0x77)];
/// Answers of GET PROCESSING OPTIONS and GENERATE AC.
const ANSWER: &[Tag] = &[Tag(0x77), Tag(0x80)];
const ENTRY_OR_FCI: &[Tag] = &[Tag(0x61), Tag(0xA5)];
const ENTRY: &[Tag] = &[Tag(0x61)];
const FCI: &[Tag] = &[Tag(0xA5)];
const SCRIPT: &[Tag] = &[Tag(0x71), Tag(0x72)];
const DISCRETIONARY: &[Tag] = &[Tag(0xBF0C), Tag(0x73)];
const FILE: &[Tag] = &[Tag(0x6F)];

use Format::{An, Ans, B, Cn, N};
use Source::{Card, Issuer, Terminal};

/// All rows, by tag.
#[rustfmt::skip]
pub const DICTIONARY: [Row; 140] = [
    row(0x42, "Issuer Identification Number", N, (3, 3), Card).of(DISCRETIONARY),
    row(0x4F, "Application Dedicated File Name", B, (5, 16), Card).of(ENTRY),
    row(0x50, "Application Label", Ans, (1, 16), Card).of(ENTRY_OR_FCI),
    row(0x56, "Track 1 Data", B, (0, 76), Card).of(RECORD).sensitive(),
    row(0x57, "Track 2 Equivalent Data", B, (0, 19), Card).of(RECORD).sensitive(),
    row(0x5A, "Application Primary Account Number", Cn, (0, 10), Card).of(RECORD).sensitive(),
    row(0x61, "Application Template", B, (0, 252), Card).of(&[Tag(0x70), Tag(0xBF0C)]),
    row(0x6F, "File Control Information Template", B, (0, 252), Card),
    row(0x70, "Record Template", B, (0, 252), Card),
    row(0x71, "Issuer Script Template 1", B, (0, 255), Issuer).sensitive(),
    row(0x72, "Issuer Script Template 2", B, (0, 255), Issuer).sensitive(),
    row(0x73, "Directory Discretionary Template", B, (0, 252), Card).of(ENTRY),
    row(0x77, "Response Message Template Format 2", B, (0, 252), Card),
    row(0x80, "Response Message Template Format 1", B, (0, 252), Card),
    row(0x81, "Amount, Authorised (Binary)", B, (4, 4), Terminal),
    row(0x82, "Application Interchange Profile", B, (2, 2), Card).of(ANSWER),
    row(0x83, "Command Template", B, (0, 252), Terminal),
    row(0x84, "Dedicated File Name", B, (5, 16), Card).of(FILE),
    row(0x86, "Issuer Script Command", B, (0, 255), Issuer).of(SCRIPT).sensitive(),
    row(0x87, "Application Priority Indicator", B, (1, 1), Card).of(ENTRY_OR_FCI),
    row(0x88, "Short File Identifier", B, (1, 1), Card).of(FCI),
    row(0x89, "Authorisation Code", An, (6, 6), Issuer),
    row(0x8A, "Authorisation Response Code", An, (2, 2), Issuer),
    row(0x8C, "Card Risk Management Data Object List 1", B, (0, 252), Card).of(RECORD),
    row(0x8D, "Card Risk Management Data Object List 2", B, (0, 252), Card).of(RECORD),
    row(0x8E, "Cardholder Verification Method List", B, (10, 252), Card).of(RECORD),
    row(0x8F, "Certification Authority Public Key Index", B, (1, 1), Card).of(RECORD),
    row(0x90, "Issuer Public Key Certificate", B, (0, 248), Card).of(RECORD),
    row(0x91, "Issuer Authentication Data", B, (8, 16), Issuer),
    row(0x92, "Issuer Public Key Remainder", B, (0, 248), Card).of(RECORD),
    row(0x93, "Signed Static Application Data", B, (0, 248), Card).of(RECORD),
    row(0x94, "Application File Locator", B, (0, 252), Card).of(ANSWER),
    row(0x95, "Terminal Verification Results", B, (5, 5), Terminal),
    row(0x97, "Transaction Certificate Data Object List", B, (0, 252), Card).of(RECORD),
    row(0x98, "Transaction Certificate Hash Value", B, (20, 20), Terminal),
    row(0x99, "Transaction PIN Data", B, (0, 255), Terminal).sensitive(),
    row(0x9A, "Transaction Date", N, (3, 3), Terminal),
    row(0x9B, "Transaction Status Information", B, (2, 2), Terminal),
    row(0x9C, "Transaction Type", N, (1, 1), Terminal),
    row(0x9D, "Directory Definition File Name", B, (5, 16), Card).of(ENTRY),
    row(0xA5, "File Control Information Proprietary Template", B, (0, 252), Card).of(FILE),
    row(0x5F20, "Cardholder Name", Ans, (2, 26), Card).of(RECORD).sensitive(),
    row(0x5F24, "Application Expiration Date", N, (3, 3), Card).of(RECORD).sensitive(),
    row(0x5F25, "Application Effective Date", N, (3, 3), Card).of(RECORD),
    row(0x5F28, "Issuer Country Code", N, (2, 2), Card).of(RECORD),
    row(0x5F2A, "Transaction Currency Code", N, (2, 2), Terminal),
    row(0x5F2D, "Language Preference", An, (2, 8), Card).of(FCI),
    row(0x5F30, "Service Code", N, (2, 2), Card).of(RECORD).sensitive(),
    row(0x5F34, "Application PAN Sequence Number", N, (1, 1), Card).of(RECORD),
    row(0x5F36, "Transaction Currency Exponent", N, (1, 1), Terminal),
    row(0x5F50, "Issuer URL", Ans, (0, 252), Card).of(DISCRETIONARY),
    row(0x5F53, "International Bank Account Number", B, (0, 34), Card).of(DISCRETIONARY).sensitive(),
    row(0x5F54, "Bank Identifier Code", B, (8, 11), Card).of(DISCRETIONARY),
    row(0x5F55, "Issuer Country Code, two letters", An, (2, 2), Card).of(DISCRETIONARY),
    row(0x5F56, "Issuer Country Code, three letters", An, (3, 3), Card).of(DISCRETIONARY),
    row(0x5F57, "Account Type", N, (1, 1), Terminal),
    row(0x9F01, "Acquirer Identifier", N, (6, 6), Terminal),
    row(0x9F02, "Amount, Authorised (Numeric)", N, (6, 6), Terminal),
    row(0x9F03, "Amount, Other (Numeric)", N, (6, 6), Terminal),
    row(0x9F04, "Amount, Other (Binary)", B, (4, 4), Terminal),
    row(0x9F05, "Application Discretionary Data", B, (1, 32), Card).of(RECORD),
    row(0x9F06, "Application Identifier of the terminal", B, (5, 16), Terminal),
    row(0x9F07, "Application Usage Control", B, (2, 2), Card).of(RECORD),
    row(0x9F08, "Application Version Number of the card", B, (2, 2), Card).of(RECORD),
    row(0x9F09, "Application Version Number of the terminal", B, (2, 2), Terminal),
    row(0x9F0B, "Cardholder Name Extended", Ans, (27, 45), Card).of(RECORD).sensitive(),
    row(0x9F0D, "Issuer Action Code, Default", B, (5, 5), Card).of(RECORD),
    row(0x9F0E, "Issuer Action Code, Denial", B, (5, 5), Card).of(RECORD),
    row(0x9F0F, "Issuer Action Code, Online", B, (5, 5), Card).of(RECORD),
    row(0x9F10, "Issuer Application Data", B, (0, 32), Card).of(ANSWER),
    row(0x9F11, "Issuer Code Table Index", N, (1, 1), Card).of(FCI),
    row(0x9F12, "Application Preferred Name", Ans, (1, 16), Card).of(ENTRY_OR_FCI),
    row(0x9F13, "Last Online Application Transaction Counter Register", B, (2, 2), Card),
    row(0x9F14, "Lower Consecutive Offline Limit", B, (1, 1), Card).of(RECORD),
    row(0x9F15, "Merchant Category Code", N, (2, 2), Terminal),
    row(0x9F16, "Merchant Identifier", Ans, (15, 15), Terminal),
    row(0x9F17, "PIN Try Counter", B, (1, 1), Card),
    row(0x9F18, "Issuer Script Identifier", B, (4, 4), Issuer).of(SCRIPT),
    row(0x9F1A, "Terminal Country Code", N, (2, 2), Terminal),
    row(0x9F1B, "Terminal Floor Limit", B, (4, 4), Terminal),
    row(0x9F1C, "Terminal Identification", An, (8, 8), Terminal),
    row(0x9F1D, "Terminal Risk Management Data", B, (1, 8), Terminal),
    row(0x9F1E, "Interface Device Serial Number", An, (8, 8), Terminal),
    row(0x9F1F, "Track 1 Discretionary Data", Ans, (0, 76), Card).of(RECORD).sensitive(),
    row(0x9F20, "Track 2 Discretionary Data", Cn, (0, 19), Card).of(RECORD).sensitive(),
    row(0x9F21, "Transaction Time", N, (3, 3), Terminal),
    row(0x9F22, "Certification Authority Public Key Index of the terminal", B, (1, 1), Terminal),
    row(0x9F23, "Upper Consecutive Offline Limit", B, (1, 1), Card).of(RECORD),
    row(0x9F24, "Payment Account Reference", An, (29, 29), Card).of(RECORD).sensitive(),
    row(0x9F26, "Application Cryptogram", B, (8, 8), Card).of(ANSWER),
    row(0x9F27, "Cryptogram Information Data", B, (1, 1), Card).of(ANSWER),
    row(0x9F2A, "Kernel Identifier", B, (1, 8), Card).of(ENTRY),
    row(0x9F2D, "ICC PIN Encipherment Public Key Certificate", B, (0, 248), Card).of(RECORD).sensitive(),
    row(0x9F2E, "ICC PIN Encipherment Public Key Exponent", B, (1, 3), Card).of(RECORD),
    row(0x9F2F, "ICC PIN Encipherment Public Key Remainder", B, (0, 248), Card).of(RECORD),
    row(0x9F32, "Issuer Public Key Exponent", B, (1, 3), Card).of(RECORD),
    row(0x9F33, "Terminal Capabilities", B, (3, 3), Terminal),
    row(0x9F34, "Cardholder Verification Method Results", B, (3, 3), Terminal),
    row(0x9F35, "Terminal Type", N, (1, 1), Terminal),
    row(0x9F36, "Application Transaction Counter", B, (2, 2), Card).of(ANSWER),
    row(0x9F37, "Unpredictable Number", B, (4, 4), Terminal),
    row(0x9F38, "Processing Options Data Object List", B, (0, 252), Card).of(FCI),
    row(0x9F39, "Point-of-Service Entry Mode", N, (1, 1), Terminal),
    row(0x9F3A, "Amount, Reference Currency", B, (4, 4), Terminal),
    row(0x9F3B, "Application Reference Currency", N, (2, 8), Card).of(RECORD),
    row(0x9F3C, "Transaction Reference Currency Code", N, (2, 2), Terminal),
    row(0x9F3D, "Transaction Reference Currency Exponent", N, (1, 1), Terminal),
    row(0x9F40, "Additional Terminal Capabilities", B, (5, 5), Terminal),
    row(0x9F41, "Transaction Sequence Counter", N, (2, 4), Terminal),
    row(0x9F42, "Application Currency Code", N, (2, 2), Card).of(RECORD),
    row(0x9F43, "Application Reference Currency Exponent", N, (1, 4), Card).of(RECORD),
    row(0x9F44, "Application Currency Exponent", N, (1, 1), Card).of(RECORD),
    row(0x9F45, "Data Authentication Code", B, (2, 2), Card),
    row(0x9F46, "ICC Public Key Certificate", B, (0, 248), Card).of(RECORD).sensitive(),
    row(0x9F47, "ICC Public Key Exponent", B, (1, 3), Card).of(RECORD),
    row(0x9F48, "ICC Public Key Remainder", B, (0, 248), Card).of(RECORD),
    row(0x9F49, "Dynamic Data Authentication Data Object List", B, (0, 252), Card).of(RECORD),
    row(0x9F4A, "Static Data Authentication Tag List", B, (0, 252), Card).of(RECORD),
    row(0x9F4B, "Signed Dynamic Application Data", B, (0, 248), Card).of(ANSWER),
    row(0x9F4C, "ICC Dynamic Number", B, (2, 8), Card),
    row(0x9F4D, "Log Entry", B, (2, 2), Card).of(DISCRETIONARY),
    row(0x9F4E, "Merchant Name and Location", Ans, (0, 252), Terminal),
    row(0x9F4F, "Log Format", B, (0, 252), Card),
    row(0x9F5B, "Issuer Script Results", B, (5, 80), Terminal),
    row(0x9F61, "Cardholder Certificate Number", Ans, (0, 40), Card).of(RECORD).sensitive(),
    row(0x9F62, "Cardholder Certificate Kind", Cn, (1, 1), Card).of(RECORD),
    row(0x9F63, "Card Product Identification", B, (16, 16), Card).of(RECORD),
    row(0x9F66, "Terminal Transaction Qualifiers", B, (4, 4), Terminal),
    row(0x9F69, "Card Authentication Related Data", B, (5, 16), Card).of(RECORD),
    row(0x9F6B, "Track 2 Data", B, (0, 19), Card).of(RECORD).sensitive(),
    row(0x9F6C, "Card Transaction Qualifiers", B, (2, 2), Card).of(ANSWER),
    row(0x9F74, "Electronic Cash Issuer Authorisation Code", An, (6, 6), Card).of(RECORD),
    row(0x9F77, "Electronic Cash Balance Limit", N, (6, 6), Card).of(RECORD),
    row(0x9F78, "Electronic Cash Single Transaction Limit", N, (6, 6), Card).of(RECORD),
    row(0x9F79, "Electronic Cash Balance", N, (6, 6), Card),
    row(0x9F7A, "Electronic Cash Terminal Support Indicator", B, (1, 1), Terminal),
    row(0x9F7B, "Electronic Cash Terminal Transaction Limit", N, (6, 6), Terminal),
    row(0xBF0C, "File Control Information Issuer Discretionary Data", B, (0, 222), Card).of(FCI),
    row(0xDF31, "Issuer Script Results", B, (5, 80), Terminal),
    row(0xDF69, "SM Algorithm Support Indicator", B, (1, 1), Terminal),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_say_what_can_be() {
        assert!(DICTIONARY.windows(2).all(|two| two[0].tag < two[1].tag));
        for row in &DICTIONARY {
            assert!(row.len.0 <= row.len.1, "{}", row.tag);
            let unknown = |t: &&Tag| t.row().is_none() || !t.is_constructed();
            // Format 1 of an answer is 80, a primitive object that holds values only.
            let odd = row.templates.iter().filter(|t| t.0 != 0x80).find(unknown);
            assert!(odd.is_none(), "{} comes in {odd:?}", row.tag);
            assert_eq!(row.tag.row().map(|r| r.name), Some(row.name));
        }
    }

    #[test]
    fn a_tag_is_written_as_it_stands_in_the_books() {
        assert_eq!(format!("{} {} {:?}", Tag(0x5A), Tag(0x9F02), Tag(0xDF_8129)), "5A 9F02 DF8129");
        assert!(Tag(0x70).is_constructed() && Tag(0xBF0C).is_constructed() && Tag(0x61).is_constructed());
        assert!(!Tag(0x9F02).is_constructed() && !Tag(0x80).is_constructed());
    }

    #[test]
    fn what_names_a_person_or_card_is_sensitive_and_so_are_scripts_and_the_unknown() {
        let all = [0x56, 0x57, 0x5A, 0x5F20, 0x5F24, 0x5F30, 0x99, 0x9F0B, 0x9F1F, 0x9F20, 0x9F2D];
        for tag in all.into_iter().chain([0x71, 0x72, 0x86, 0x9F46, 0x9F61, 0x9F6B, 0xDF01]) {
            assert!(Tag(tag).is_sensitive(), "{}", Tag(tag));
        }
        assert!(!Tag(0x9F26).is_sensitive());
    }
}
