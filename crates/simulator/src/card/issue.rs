//! Personalisation: the files of an application, its certificates under the test CA, its keys.
use super::{
    crypt::card_key,
    persona::{ApplicationRow, Authentication, Certificate, Issuer, IssuerAuthentication, Persona},
    rsa::Pair,
};
use payterm_emv::{Tag, tlv};
use payterm_primitives::DesKey;

/// What is authorised with: amount, other amount, country, TVR, currency, date, kind, random number.
const CDOL1: &[u8] =
    &[0x9F, 0x02, 6, 0x9F, 0x03, 6, 0x9F, 0x1A, 2, 0x95, 5, 0x5F, 0x2A, 2, 0x9A, 3, 0x9C, 1, 0x9F, 0x37, 4];
/// CDOL2 before those: the issuer's code; with its answer behind it, where the card takes it there.
const CODE: &[u8] = &[0x8A, 2];
const CODE_AND_ANSWER: &[u8] = &[0x8A, 2, 0x91, 10];
const DDOL: &[u8] = &[0x9F, 0x37, 4];
/// Index of the test CA's key.
pub const CA_INDEX: u8 = 0xF1;

/// An application as it is on the card.
#[derive(Clone)]
pub(super) struct Application {
    pub(super) row: ApplicationRow,
    pub(super) aip: [u8; 2],
    pub(super) afl: Vec<u8>,
    /// SFI, number, content.
    pub(super) records: Vec<(u8, u8, Vec<u8>)>,
    /// Its last year, BCD.
    pub(super) expires: u8,
    pub(super) cdol1: Vec<u8>,
    pub(super) cdol2: Vec<u8>,
    pub(super) ac_key: DesKey,
    pub(super) mac_key: DesKey,
    pub(super) atc: u16,
    pub(super) last_online: u16,
    pub(super) offline_limit: u64,
    pub(super) offline_count: u16,
    pub(super) blocked: bool,
}

/// Keys of a card.
#[derive(Clone)]
pub(super) struct CardKeys {
    pub(super) card: Pair,
    pub(super) pin: Option<Pair>,
}

/// One object.
pub(super) fn object(tag: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 6);
    tlv::write(&mut out, Tag(tag), value);
    out
}

/// An application, made for a day (YYMMDD, BCD).
pub(super) fn application(
    persona: &Persona,
    row: &ApplicationRow,
    issuer: &Issuer,
    keys: &CardKeys,
    date @ [yy, ..]: [u8; 3],
) -> Application {
    let method = match row.authentication {
        Authentication::Sda => 0x40,
        Authentication::Dda => 0x20,
        Authentication::Cda => 0x21,
    };
    let external = row.issuer_authentication == IssuerAuthentication::External;
    // Cardholder verification and risk management always.
    let aip = [method | 0x18 | if external { 0x04 } else { 0x00 }, 0];
    let code = match row.issuer_authentication {
        IssuerAuthentication::Cdol2 => CODE_AND_ANSWER,
        IssuerAuthentication::None | IssuerAuthentication::External => CODE,
    };
    let cdol2 = [code, CDOL1].concat();
    let risk = risk_data(row, date);
    // Book 3 §10.3: files 11 to 30 are signed with their template.
    let signed = if row.signed_file > 10 { object(0x70, &risk) } else { risk.clone() };
    let files = [
        (1, 1, holder(row, date)),
        (row.signed_file, 1, risk),
        (2, 2, [object(0x8C, CDOL1), object(0x8D, &cdol2), object(0x9F49, DDOL)].concat()),
    ];
    let certificates = certificates(persona, row, keys, date, &[&signed[..], &aip].concat());
    let certificates = certificates.into_iter().filter(|content| !content.is_empty());
    let certificates: Vec<_> = certificates.zip(1..).map(|(content, number)| (3, number, content)).collect();
    // SFI, first and last record, how many of them are authenticated offline.
    let afl = [
        [1 << 3, 1, 1, 0],
        [row.signed_file << 3, 1, 1, 1],
        [2 << 3, 2, 2, 0],
        [3 << 3, 1, certificates.len() as u8, 0],
    ];
    Application {
        aip,
        afl: afl.concat(),
        records: files.into_iter().chain(certificates).map(|(s, n, c)| (s, n, object(0x70, &c))).collect(),
        expires: year(yy, 4),
        cdol1: CDOL1.to_vec(),
        cdol2,
        ac_key: card_key(&issuer.ac.0, &row.pan, row.psn),
        mac_key: card_key(&issuer.mac.0, &row.pan, row.psn),
        atc: 0,
        last_online: 0,
        offline_limit: row.offline_limit,
        offline_count: row.offline_count,
        blocked: row.blocked,
        row: row.clone(),
    }
}

/// The year, so many later or earlier, BCD. Test cards live in 2000 to 2099.
fn year(yy: u8, more: i16) -> u8 {
    let n = i16::from(yy >> 4) * 10 + i16::from(yy & 0x0F) + more;
    let n = n.rem_euclid(100) as u8;
    n / 10 * 16 + n % 10
}

/// Digits two a byte, an F behind an odd number of them.
fn bcd(digits: &str) -> Vec<u8> {
    let even = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("{digits}F") };
    hex::decode(even).expect("digits, by the persona's check")
}

/// Track 2 equivalent of a card that ends with this year.
pub(super) fn track2(row: &ApplicationRow, last: u8) -> Vec<u8> {
    bcd(&format!("{}D{last:02X}12220{}", row.pan, row.discretionary))
}

/// Track 2 equivalent and name.
fn holder(row: &ApplicationRow, [yy, ..]: [u8; 3]) -> Vec<u8> {
    [object(0x57, &track2(row, year(yy, 4))), object(0x5F20, row.holder.as_bytes())].concat()
}

/// The record that is authenticated offline.
fn risk_data(row: &ApplicationRow, [yy, ..]: [u8; 3]) -> Vec<u8> {
    [
        object(0x5A, &bcd(&row.pan)),
        object(0x5F24, &[year(yy, 4), 0x12, 0x31]),
        object(0x5F25, &[year(yy, -1), 0x01, 0x01]),
        object(0x5F28, &[0x01, 0x56]),
        object(0x5F34, &bcd(&format!("{:02}", row.psn))),
        object(0x8E, &row.cvm.0),
        object(0x9F07, &[0xFF, 0x00]),
        object(0x9F08, &[0x00, 0x30]),
        object(0x9F0D, &[0xD8, 0x60, 0x04, 0xA8, 0x00]),
        object(0x9F0E, &[0x00, 0x10, 0x98, 0x00, 0x00]),
        object(0x9F0F, &[0xD8, 0x68, 0x04, 0xF8, 0x00]),
        object(0x9F42, &[0x01, 0x56]),
        object(0x9F4A, &[0x82]),
    ]
    .concat()
}

/// The contents of the records of file 3; some may be empty.
fn certificates(
    persona: &Persona,
    row: &ApplicationRow,
    keys: &CardKeys,
    [yy, mm, _]: [u8; 3],
    signed: &[u8],
) -> [Vec<u8>; 6] {
    let ca = super::pair(if persona.certificate == Certificate::WrongCa { "wrong-ca" } else { "ca" });
    let issuer = super::pair("issuer");
    let good = [0x12, year(yy, 4)];
    let own = match (persona.certificate, mm) {
        (Certificate::Good | Certificate::WrongCa, _) => good,
        (Certificate::Expired, 0x01) => [0x12, year(yy, -1)],
        (Certificate::Expired, _) => [year(mm, -1), yy],
    };
    let mut pan = bcd(&row.pan);
    pan.resize(10, 0xFF);
    let identifier = [&pan[..3], &[0xFF]].concat();
    let (cert, rest) = ca.certify(&[&[0x02], identifier.as_slice()].concat(), good, &issuer, &[]);
    // An empty remainder is left out.
    let optional = |tag, value: &[u8]| if value.is_empty() { vec![] } else { object(tag, value) };
    let issued =
        [object(0x8F, &[CA_INDEX]), object(0x9F32, &issuer.exponent), optional(0x92, &rest)].concat();
    let front = [&[0x04], pan.as_slice()].concat();
    let (card, of_card) = match row.authentication {
        Authentication::Sda => {
            let signature = issuer.sign(&[0x03, 0x01, 0xDA, 0xC0], &[signed]);
            (object(0x93, &signature), vec![])
        }
        Authentication::Dda | Authentication::Cda => {
            let (card, rest) = issuer.certify(&front, own, &keys.card, signed);
            let of_card = [object(0x9F47, &keys.card.exponent), optional(0x9F48, &rest)].concat();
            (object(0x9F46, &card), of_card)
        }
    };
    let (pin, of_pin) = keys.pin.as_ref().map_or_else(Default::default, |pin| {
        let (cert, rest) = issuer.certify(&front, own, pin, &[]);
        (object(0x9F2D, &cert), [object(0x9F2E, &pin.exponent), optional(0x9F2F, &rest)].concat())
    });
    [object(0x90, &cert), issued, card, of_card, pin, of_pin]
}
