//! Certificates: from a key that is trusted to the next (EMV 4.4 Book 2, retrieval of the issuer's and the
//! card's public keys).
use super::{
    Flaw, Keys, Recovered,
    key::{CaKey, KeyFault, MODULUS_MIN, PublicKey},
};
use crate::{Tag, Tags, terminal};
use zeroize::Zeroizing;

/// Where a certificate stands, and what it is.
pub(super) struct Place {
    pub(super) certificate: Tag,
    exponent: Tag,
    pub(super) remainder: Tag,
    pub(super) format: u8,
    /// Bytes of what names its owner: identifier of an issuer, number of a card.
    pub(super) owner: usize,
}
pub(super) const ISSUER: Place =
    Place { certificate: Tag(0x90), exponent: Tag(0x9F32), remainder: Tag(0x92), format: 0x02, owner: 4 };
pub(super) const CARD: Place = Place {
    certificate: Tag(0x9F46),
    exponent: Tag(0x9F47),
    remainder: Tag(0x9F48),
    format: 0x04,
    owner: 10,
};
pub(super) const PIN: Place = Place {
    certificate: Tag(0x9F2D),
    exponent: Tag(0x9F2E),
    remainder: Tag(0x9F2F),
    format: 0x04,
    owner: 10,
};
const CA_INDEX: Tag = Tag(0x8F);
const PAN: Tag = Tag(0x5A);
/// The only public key algorithm of this file: RSA.
const RSA: u8 = 0x01;

/// What a certificate says of its key.
pub(super) struct Fields<'a> {
    pub(super) owner: &'a [u8],
    /// MMYY.
    pub(super) expiry: [u8; 2],
    pub(super) serial: [u8; 3],
    pub(super) hash_algorithm: u8,
    pub(super) key_algorithm: u8,
    pub(super) key_len: usize,
    pub(super) exponent_len: usize,
    /// The modulus, or its first bytes; filled up with BB.
    pub(super) modulus: &'a [u8],
}
impl<'a> Fields<'a> {
    pub(super) fn of(content: &'a [u8], owner: usize) -> Option<Self> {
        let (_format, rest) = content.split_first()?;
        let (owner, rest) = rest.split_at_checked(owner)?;
        let (&[m, y, a, b, c, hash_algorithm, key_algorithm, key_len, exponent_len], modulus) =
            rest.split_first_chunk()?;
        Some(Self {
            owner,
            expiry: [m, y],
            serial: [a, b, c],
            hash_algorithm,
            key_algorithm,
            key_len: key_len.into(),
            exponent_len: exponent_len.into(),
            modulus,
        })
    }
}

/// The key that a certificate holds. `hashed`: what is hashed behind the key; `judge`: the checks that one
/// kind has of its own.
fn certified(
    signer: &PublicKey,
    tags: &Tags,
    place: &Place,
    hashed: &[u8],
    judge: &dyn Fn(&Fields<'_>) -> Result<(), Flaw>,
) -> Result<PublicKey, Flaw> {
    let tag = place.certificate;
    let signed = super::need(tags, tag)?;
    let exponent = super::need(tags, place.exponent)?;
    let recovered = Recovered::open(signer, tag, signed, place.format)?;
    let fields = Fields::of(recovered.content(), place.owner).ok_or(Flaw::Length(tag))?;
    if !(MODULUS_MIN..=signer.size()).contains(&fields.key_len) {
        return Err(Flaw::KeyLength(tag));
    }
    if exponent.len() != fields.exponent_len {
        return Err(Flaw::Exponent(place.exponent));
    }
    let need = fields.key_len.saturating_sub(fields.modulus.len());
    let remainder = tags.get(place.remainder).unwrap_or_default();
    if remainder.len() != need {
        let missing = !tags.has(place.remainder);
        return Err(if missing { Flaw::MissingData } else { Flaw::Remainder }(place.remainder));
    }
    recovered.check_hash(fields.hash_algorithm, &[remainder, exponent, hashed])?;
    judge(&fields)?;
    if fields.key_algorithm != RSA {
        return Err(Flaw::KeyAlgorithm(tag));
    }
    let mut modulus = fields.modulus.to_vec();
    modulus.truncate(fields.key_len);
    modulus.extend_from_slice(remainder);
    PublicKey::new(&modulus, exponent).map_err(|fault| match fault {
        KeyFault::Exponent => Flaw::Exponent(place.exponent),
        KeyFault::Size(_) => Flaw::KeyLength(tag),
        KeyFault::Modulus | KeyFault::Checksum => Flaw::Modulus(tag),
    })
}

/// The authority's key that the card names.
pub(super) fn ca_key<'k>(keys: Keys<'k>, rid: [u8; 5], tags: &Tags) -> Result<&'k CaKey, Flaw> {
    let &[index] = super::need(tags, CA_INDEX)? else { return Err(Flaw::Length(CA_INDEX)) };
    keys.ca.iter().find(|ca| ca.rid == rid && ca.index == index).ok_or(Flaw::NoCaKey(index))
}

/// The issuer's key.
pub(super) fn issuer_key(keys: Keys<'_>, rid: [u8; 5], tags: &Tags) -> Result<PublicKey, Flaw> {
    let &[index] = super::need(tags, CA_INDEX)? else { return Err(Flaw::Length(CA_INDEX)) };
    let ca = ca_key(keys, rid, tags)?;
    if let Some(until) = ca.until
        && terminal::day(&keys.date).ok_or(Flaw::Date)? > until
    {
        return Err(Flaw::CaKeyEnded(index));
    }
    let pan = pan(tags)?;
    certified(&ca.key, tags, &ISSUER, &[], &|fields| {
        if !names_issuer(fields.owner, &*pan) {
            return Err(Flaw::Issuer);
        }
        check_expiry(ISSUER.certificate, fields.expiry, keys.date)?;
        let revoked = |r: &super::Revoked| r.rid == rid && r.index == index && r.serial == fields.serial;
        if keys.revoked.iter().any(revoked) { Err(Flaw::Revoked) } else { Ok(()) }
    })
}

/// The card's key; `signed` is the static data that its certificate covers.
pub(super) fn card_key(
    keys: Keys<'_>,
    issuer: &PublicKey,
    tags: &Tags,
    signed: &[u8],
) -> Result<PublicKey, Flaw> {
    of_card(keys, issuer, tags, &CARD, signed)
}

/// The card's key for PINs, when it has one of its own.
pub(super) fn pin_key(keys: Keys<'_>, rid: [u8; 5], tags: &Tags) -> Result<Option<PublicKey>, Flaw> {
    if !tags.has(PIN.certificate) {
        return Ok(None);
    }
    of_card(keys, &issuer_key(keys, rid, tags)?, tags, &PIN, &[]).map(Some)
}

fn of_card(
    keys: Keys<'_>,
    issuer: &PublicKey,
    tags: &Tags,
    place: &Place,
    signed: &[u8],
) -> Result<PublicKey, Flaw> {
    let pan = pan(tags)?;
    certified(issuer, tags, place, signed, &|fields| {
        if fields.owner != *pan {
            return Err(Flaw::Pan(place.certificate));
        }
        check_expiry(place.certificate, fields.expiry, keys.date)
    })
}

/// The card number, filled up with F to 20 digits.
fn pan(tags: &Tags) -> Result<Zeroizing<[u8; 10]>, Flaw> {
    let digits = super::need(tags, PAN)?;
    let mut pan = Zeroizing::new([0xFF; 10]);
    pan.get_mut(..digits.len()).ok_or(Flaw::Length(PAN))?.copy_from_slice(digits);
    Ok(pan)
}

/// Tells whether an identifier of 3 to 8 digits, filled up with F, begins the card number.
fn names_issuer(identifier: &[u8], pan: &[u8]) -> bool {
    let digits = nibbles(identifier).take_while(|n| *n <= 9).count();
    (3..=8).contains(&digits)
        && nibbles(identifier).skip(digits).all(|n| n == 0x0F)
        && nibbles(identifier).zip(nibbles(pan)).take(digits).all(|(a, b)| a == b)
}
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().flat_map(|b| [b >> 4, b & 0x0F])
}

/// Checks an expiry MMYY, BCD, against the date YYMMDD: valid to the month's last day.
fn check_expiry(tag: Tag, [month, year]: [u8; 2], [yy, mm, _]: [u8; 3]) -> Result<(), Flaw> {
    let last = year_and_month(year, month).ok_or(Flaw::Expiry(tag))?;
    let today = year_and_month(yy, mm).ok_or(Flaw::Date)?;
    if last < today { Err(Flaw::Expired(tag)) } else { Ok(()) }
}

/// Year and month of two BCD bytes. A year below 50 is one of 2000.
fn year_and_month(year: u8, month: u8) -> Option<(u16, u16)> {
    let number = |b: u8| (b >> 4 <= 9 && b & 0x0F <= 9).then(|| u16::from(b >> 4) * 10 + u16::from(b & 0x0F));
    let (year, month) = (number(year)?, number(month)?);
    (1..=12).contains(&month).then_some((if year < 50 { 2000 + year } else { 1900 + year }, month))
}
