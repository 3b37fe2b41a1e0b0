//! Commands to a card (EMV 4.4 Book 1, application selection, and Book 3 §6.5).
use crate::Tag;
use std::fmt;
use zeroize::Zeroizing;

/// A command of one of the four cases of ISO 7816-3: the kernel's own are of case 2, 3 or 4, one of an
/// issuer's script may have neither data nor answer. Its debug text is its header and the length of its data:
/// that may hold a card number or a PIN.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    header: [u8; 4],
    data: Zeroizing<Vec<u8>>,
    /// An answer with data is expected.
    answers: bool,
}

/// Application cryptogram that is asked for (Book 3 §6.5.5, bits 8 and 7 of P1 and of the CID).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cryptogram {
    /// Decline.
    Aac = 0x00,
    /// Approve offline.
    Tc = 0x40,
    /// Ask the issuer.
    Arqc = 0x80,
}

impl Command {
    /// # Panics
    /// When the data does not fit a short command, or nothing goes either way: what the kernel makes is
    /// bounded before.
    fn new(header: [u8; 4], data: &[u8], answers: bool) -> Self {
        assert!(data.len() <= 255 && (answers || !data.is_empty()), "{} bytes of data", data.len());
        Self { header, data: Zeroizing::new(data.to_vec()), answers }
    }

    /// SELECT by name, the first or the next that fits (Book 1, SELECT).
    pub fn select(name: &[u8], next: bool) -> Self {
        Self::new([0x00, 0xA4, 0x04, if next { 0x02 } else { 0x00 }], name, true)
    }
    /// READ RECORD of a short file.
    ///
    /// # Panics
    /// When it is none: SFI 1 to 30, record 1 to 255.
    pub fn read_record(sfi: u8, record: u8) -> Self {
        assert!((1..=30).contains(&sfi) && record > 0, "SFI {sfi}, record {record}");
        Self::new([0x00, 0xB2, record, sfi << 3 | 0x04], &[], true)
    }
    /// GET PROCESSING OPTIONS with the values that the PDOL asks for.
    pub fn get_processing_options(values: &[u8]) -> Self {
        let mut data = Zeroizing::new(Vec::with_capacity(values.len() + 3));
        crate::tlv::write(&mut data, Tag(0x83), values);
        Self::new([0x80, 0xA8, 0x00, 0x00], &data, true)
    }
    /// GENERATE AC; `cda`: with a signature over it.
    pub fn generate_ac(asked: Cryptogram, cda: bool, values: &[u8]) -> Self {
        Self::new([0x80, 0xAE, asked as u8 | if cda { 0x10 } else { 0x00 }, 0x00], values, true)
    }
    pub fn internal_authenticate(values: &[u8]) -> Self {
        Self::new([0x00, 0x88, 0x00, 0x00], values, true)
    }
    pub fn external_authenticate(issuer: &[u8]) -> Self {
        Self::new([0x00, 0x82, 0x00, 0x00], issuer, false)
    }
    /// GET DATA of 9F36, 9F13, 9F17 or 9F4F.
    ///
    /// # Panics
    /// When the tag does not have two bytes.
    pub fn get_data(tag: Tag) -> Self {
        let [0, 0, p1 @ 0x01..=0xFF, p2] = tag.0.to_be_bytes() else { panic!("GET DATA of {tag}") };
        Self::new([0x80, 0xCA, p1, p2], &[], true)
    }
    pub fn get_challenge() -> Self {
        Self::new([0x00, 0x84, 0x00, 0x00], &[], true)
    }
    /// A command of an issuer's script; none: it is none of case 1 to 4, or one that is the terminal's alone
    /// to send, since it would change the run: SELECT, VERIFY, GENERATE AC, GET PROCESSING OPTIONS, INTERNAL
    /// and EXTERNAL AUTHENTICATE, GET RESPONSE and GET CHALLENGE. All that it is answered with is asked for
    /// (Le 00).
    pub fn of_issuer(bytes: &[u8]) -> Option<Self> {
        let (header, body) = bytes.split_first_chunk::<4>()?;
        let [_, ins, ..] = *header;
        if matches!(ins, 0x20 | 0x82 | 0x84 | 0x88 | 0xA4 | 0xA8 | 0xAE | 0xC0) {
            return None;
        }
        let (data, answers) = match body {
            [] => (&[][..], false),
            [_] => (&[][..], true),
            [len, data @ ..] => {
                let (data, rest) = data.split_at_checked(usize::from(*len))?;
                (data, matches!(rest, [_]).then_some(true).or(rest.is_empty().then_some(false))?)
            }
        };
        if body.len() > 1 && data.is_empty() {
            return None;
        }
        Some(Self { header: *header, data: Zeroizing::new(data.to_vec()), answers })
    }
    /// GET RESPONSE: what the card has for the command before.
    fn get_response() -> Self {
        Self::new([0x00, 0xC0, 0x00, 0x00], &[], true)
    }

    /// Its bytes, all the answer's that there are asked for.
    pub fn bytes(&self) -> Zeroizing<Vec<u8>> {
        self.asking(0)
    }
    /// Its bytes, so many of the answer's asked for; 0: 256.
    pub(crate) fn asking(&self, le: u8) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.data.len() + 6));
        out.extend_from_slice(&self.header);
        if !self.data.is_empty() {
            out.push(self.data.len() as u8);
            out.extend_from_slice(&self.data);
        }
        if self.answers {
            out.push(le);
        }
        out
    }
    pub(crate) fn response(le: u8) -> Zeroizing<Vec<u8>> {
        Self::get_response().asking(le)
    }
    /// CLA, INS, P1, P2.
    pub(crate) fn header(&self) -> [u8; 4] {
        self.header
    }
    /// Data goes to the card, and data is expected from it.
    pub(crate) fn is_case_4(&self) -> bool {
        self.answers && !self.data.is_empty()
    }
    pub(crate) fn answers(&self) -> bool {
        self.answers
    }
}
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X?} and {} bytes", self.header, self.data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_1_and_3_commands_byte_by_byte() {
        let aid = [0xA0, 0, 0, 3, 0x33, 1, 1, 1];
        for (command, bytes) in [
            (Command::select(&aid, false), "00A4040008A00000033301010100"),
            (Command::select(&aid, true), "00A4040208A00000033301010100"),
            (Command::read_record(1, 2), "00B2020C00"),
            (Command::read_record(30, 255), "00B2FFF400"),
            (Command::get_processing_options(&[]), "80A8000002830000"),
            (Command::get_processing_options(&[1, 2]), "80A80000048302010200"),
            (Command::generate_ac(Cryptogram::Arqc, false, &[7]), "80AE8000010700"),
            (Command::generate_ac(Cryptogram::Tc, true, &[7]), "80AE5000010700"),
            (Command::generate_ac(Cryptogram::Aac, false, &[7]), "80AE0000010700"),
            (Command::internal_authenticate(&[1, 2, 3, 4]), "00880000040102030400"),
            (Command::external_authenticate(&[1; 8]), "00820000080101010101010101"),
            (Command::get_data(Tag(0x9F36)), "80CA9F3600"),
            (Command::get_challenge(), "0084000000"),
        ] {
            let hex: String = command.bytes().iter().map(|b| format!("{b:02X}")).collect();
            assert_eq!(hex, bytes, "{command:?}");
        }
    }

    #[test]
    fn book_3_10_10_commands_of_an_issuer_are_of_case_1_to_4_and_not_the_terminals_own() {
        for good in [
            &[0x84, 0x1E, 0, 0][..],
            &[0x84, 0xCA, 0, 0, 0],
            &[0x84, 0x24, 0, 0, 2, 7, 8],
            &[0x04, 0xDA, 0x9F, 0x58, 2, 7, 8, 0],
        ] {
            assert_eq!(Command::of_issuer(good).map(|c| c.bytes().to_vec()), Some(good.to_vec()));
        }
        for bad in [&[][..], &[0x84, 0x1E, 0], &[0x84, 0x24, 0, 0, 3, 7, 8], &[0x84, 0x24, 0, 0, 0, 0]] {
            assert_eq!(Command::of_issuer(bad), None, "{bad:02X?}");
        }
        assert_eq!(Command::of_issuer(&[0x84, 0x24, 0, 0, 1, 7, 8, 9]), None, "more than a length");
        for ins in [0x20, 0x82, 0x84, 0x88, 0xA4, 0xA8, 0xAE, 0xC0] {
            assert_eq!(Command::of_issuer(&[0x00, ins, 0, 0, 1, 7]), None, "{ins:02X}");
        }
    }

    #[test]
    fn its_text_holds_no_data() {
        assert_eq!(format!("{:?}", Command::select(b"secret", false)), "[00, A4, 04, 00] and 6 bytes");
    }
}
