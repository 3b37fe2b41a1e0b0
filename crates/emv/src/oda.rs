//! Offline data authentication (EMV 4.4 Book 2). Stands in for the half that is built beside this one: every
//! call is refused.
use crate::Tags;
use zeroize::Zeroizing;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("not built")]
    NotBuilt,
}

/// Public key of a certification authority.
pub struct CaKey;
impl CaKey {
    pub fn new(
        _rid: [u8; 5],
        _index: u8,
        _modulus: &[u8],
        _exponent: &[u8],
        _checksum: Option<[u8; 20]>,
    ) -> Result<Self, KeyFault> {
        Err(KeyFault::NotBuilt)
    }
}

/// Issuer certificate that its authority took back.
pub struct Revoked {
    pub rid: [u8; 5],
    pub index: u8,
    pub serial: [u8; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Sda,
    Dda,
    Cda,
}

/// The best method that card (AIP) and terminal (9F33 byte 3) both have.
pub fn method(aip: [u8; 2], capabilities: [u8; 3]) -> Option<Method> {
    let ([aip, _], [_, _, has]) = (aip, capabilities);
    [(Method::Cda, 0x01, 0x08), (Method::Dda, 0x20, 0x40), (Method::Sda, 0x40, 0x80)]
        .into_iter()
        .find(|(_, card, terminal)| aip & card != 0 && has & terminal != 0)
        .map(|(method, ..)| method)
}

#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub ca: &'a [CaKey],
    pub revoked: &'a [Revoked],
    /// YYMMDD, BCD.
    pub date: [u8; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("{0} is missing")]
    MissingData(crate::Tag),
    #[error("not built")]
    NotBuilt,
}

/// Public key of a card.
pub struct CardKey;

pub struct Combined {
    pub dynamic_number: Vec<u8>,
    pub cryptogram: [u8; 8],
}

/// A card without an index of an authority's key has nothing that could be checked.
fn none<T>(tags: &Tags) -> Result<T, Flaw> {
    let index = crate::Tag(0x8F);
    Err(if tags.has(index) { Flaw::NotBuilt } else { Flaw::MissingData(index) })
}
pub fn static_data(_keys: Keys<'_>, _rid: [u8; 5], tags: &Tags, _signed: &[u8]) -> Result<[u8; 2], Flaw> {
    none(tags)
}
pub fn card_key(_keys: Keys<'_>, _rid: [u8; 5], tags: &Tags, _signed: &[u8]) -> Result<CardKey, Flaw> {
    none(tags)
}
pub fn pin_key(
    _keys: Keys<'_>,
    _rid: [u8; 5],
    _tags: &Tags,
    _card: Option<&CardKey>,
) -> Result<CardKey, Flaw> {
    Err(Flaw::NotBuilt)
}
pub fn dynamic_data(_key: &CardKey, _signed: &[u8], _ddol_values: &[u8]) -> Result<Vec<u8>, Flaw> {
    Err(Flaw::NotBuilt)
}
pub fn combined_data(
    _key: &CardKey,
    _signed: &[u8],
    _un: [u8; 4],
    _cid: u8,
    _transaction: &[u8],
) -> Result<Combined, Flaw> {
    Err(Flaw::NotBuilt)
}
pub fn encipher_pin(
    _key: &CardKey,
    _block: &Zeroizing<[u8; 8]>,
    _card_random: [u8; 8],
    _padding: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Flaw> {
    Err(Flaw::NotBuilt)
}
