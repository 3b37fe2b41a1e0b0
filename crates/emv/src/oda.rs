//! Offline data authentication and PIN encipherment with RSA (EMV 4.4 Book 2: static data authentication,
//! offline dynamic data authentication, PIN encipherment; Book 3 §10.3: which one is done).
//!
//! Every signature gives back what was signed: 6A, a format, content, SHA-1 over it and over what is not
//! repeated in it, BC. The checks stand in the order of the book; the first that fails is the [`Flaw`].
mod certificate;
pub mod chain;
mod key;

pub use key::{CaKey, CardKey, KeyFault, MODULUS_MAX, MODULUS_MIN};

use crate::{Tag, Tags};
use key::PublicKey;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

const TAG_LIST: Tag = Tag(0x9F4A);
const STATIC: Tag = Tag(0x93);
const DYNAMIC: Tag = Tag(0x9F4B);
const PIN_CERTIFICATE: Tag = Tag(0x9F2D);
/// The only hash algorithm: SHA-1.
const SHA_1: u8 = 0x01;
/// Bytes of what a PIN is enciphered in, but for the padding: 7F, PIN block, the card's number.
const PIN_BLOCK_LEN: usize = 17;

/// A certificate that the certification authority takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    pub rid: [u8; 5],
    /// Index of the CA key.
    pub index: u8,
    /// Serial number of the issuer's certificate.
    pub serial: [u8; 3],
}

/// What the terminal trusts, and on which day.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub ca: &'a [CaKey],
    pub revoked: &'a [Revoked],
    /// YYMMDD, BCD; a year below 50 is one of 2000.
    pub date: [u8; 3],
}

/// How a card is authenticated offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Static data authentication.
    Sda,
    /// Dynamic data authentication, by INTERNAL AUTHENTICATE.
    Dda,
    /// Combined: the signature over the application cryptogram.
    Cda,
}

/// The method that both have: CDA before DDA before SDA. `aip` is 82, `capabilities` is 9F33.
pub fn method([aip, _]: [u8; 2], [_, _, security]: [u8; 3]) -> Option<Method> {
    let both = |card: u8, terminal: u8| aip & card != 0 && security & terminal != 0;
    if both(0x01, 0x08) {
        Some(Method::Cda)
    } else if both(0x20, 0x40) {
        Some(Method::Dda)
    } else if both(0x40, 0x80) {
        Some(Method::Sda)
    } else {
        None
    }
}

/// Why an authentication, or the encipherment of a PIN, failed. A tag says of which certificate, signature
/// or value. All are of Book 2 but for the first, which is of Book 3 too: it also sets "data missing".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("{0} is not there (Book 3 §10.3)")]
    MissingData(Tag),
    #[error("there is no CA key with the index {0:02X} (Book 2, retrieval of the CA key)")]
    NoCaKey(u8),
    #[error("the CA key with the index {0:02X} has ended, and is used no more (Book 2, CA key management)")]
    CaKeyEnded(u8),
    #[error("9F4A names more than 82, or not once (Book 3 §10.3)")]
    TagList,
    #[error("{0}: it does not have the length that it must have (Book 2, its retrieval)")]
    Length(Tag),
    #[error("{0}: as a number it is not below the modulus (Book 2, RSA)")]
    Range(Tag),
    #[error("{0}: its trailer is not BC (Book 2, its retrieval)")]
    Trailer(Tag),
    #[error("{0}: its header is not 6A (Book 2, its retrieval)")]
    Header(Tag),
    #[error("{0}: its format is another (Book 2, its retrieval)")]
    Format(Tag),
    #[error("{0}: its key is too short, or longer than the key that signs (Book 2, its retrieval)")]
    KeyLength(Tag),
    #[error("{0}: it is no exponent 03 or 010001 in the length that is certified (Book 2, RSA)")]
    Exponent(Tag),
    #[error("{0}: it is not what is left of the key (Book 2, its retrieval)")]
    Remainder(Tag),
    #[error("{0}: its hash algorithm is not SHA-1 (Book 2, its retrieval)")]
    HashAlgorithm(Tag),
    #[error("{0}: its hash is another (Book 2, its retrieval)")]
    Hash(Tag),
    #[error("90: it is not for an issuer of this card number (Book 2, retrieval of the issuer's key)")]
    Issuer,
    #[error("{0}: it is for another card number (Book 2, retrieval of the card's key)")]
    Pan(Tag),
    #[error("{0}: its expiry is no month (Book 2, its retrieval)")]
    Expiry(Tag),
    #[error("{0}: it has expired (Book 2, its retrieval)")]
    Expired(Tag),
    #[error("the terminal's date is none")]
    Date,
    #[error("90: it is revoked (Book 2, retrieval of the issuer's key)")]
    Revoked,
    #[error("{0}: its public key algorithm is not RSA (Book 2, its retrieval)")]
    KeyAlgorithm(Tag),
    #[error("{0}: its modulus is even, or its first bit is 0 (Book 2, RSA)")]
    Modulus(Tag),
    #[error("9F4B: its dynamic data is longer than the room for it, or too short (Book 2, DDA and CDA)")]
    DynamicLength,
    #[error("9F4B: its dynamic number does not have 2 to 8 bytes (Book 2, DDA)")]
    DynamicNumber,
    #[error("9F4B: its CID is not that of the answer (Book 2, CDA)")]
    Cid,
    #[error("9F4B: its transaction data hash is another (Book 2, CDA)")]
    TransactionHash,
    #[error("{got} bytes of padding, must be {need} (Book 2, PIN encipherment)")]
    Padding { got: usize, need: usize },
}

/// What a certificate or signature gave back. May hold a card number.
struct Recovered {
    tag: Tag,
    bytes: Zeroizing<Vec<u8>>,
}
impl Recovered {
    fn open(key: &PublicKey, tag: Tag, signed: &[u8], format: u8) -> Result<Self, Flaw> {
        if signed.len() != key.size() {
            return Err(Flaw::Length(tag));
        }
        let bytes = key.recover(signed).ok_or(Flaw::Range(tag))?;
        if bytes.last() != Some(&0xBC) {
            return Err(Flaw::Trailer(tag));
        }
        if bytes.first() != Some(&0x6A) {
            return Err(Flaw::Header(tag));
        }
        if bytes.get(1) != Some(&format) {
            return Err(Flaw::Format(tag));
        }
        Ok(Self { tag, bytes })
    }
    /// Between the header, and hash and trailer.
    fn parts(&self) -> (&[u8], &[u8]) {
        let [_, body @ .., _] = self.bytes.as_slice() else { return (&[], &[]) };
        body.split_last_chunk().map_or((&[], &[]), |(content, hash): (_, &[u8; 20])| (content, hash))
    }
    fn content(&self) -> &[u8] {
        self.parts().0
    }
    /// Checks the hash over its content and what comes behind it.
    fn check_hash(&self, algorithm: u8, behind: &[&[u8]]) -> Result<(), Flaw> {
        if algorithm != SHA_1 {
            return Err(Flaw::HashAlgorithm(self.tag));
        }
        let (content, hash) = self.parts();
        let all: Vec<&[u8]> = std::iter::once(content).chain(behind.iter().copied()).collect();
        if sha1(&all) == *hash { Ok(()) } else { Err(Flaw::Hash(self.tag)) }
    }
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    parts.iter().fold(Sha1::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

fn need(tags: &Tags, tag: Tag) -> Result<&[u8], Flaw> {
    tags.get(tag).ok_or(Flaw::MissingData(tag))
}

/// 9F4A, where it is there, names 82 and nothing else.
fn check_tag_list(tags: &Tags) -> Result<(), Flaw> {
    if tags.get(TAG_LIST).is_none_or(|list| list == [0x82]) { Ok(()) } else { Err(Flaw::TagList) }
}

/// Authenticates the card's static data (SDA): its data authentication code, 9F45.
///
/// `signed`: the records to be authenticated, in order, and behind them the value of 82 when 9F4A is there.
pub fn static_data(keys: Keys<'_>, rid: [u8; 5], tags: &Tags, signed: &[u8]) -> Result<[u8; 2], Flaw> {
    let signature = need(tags, STATIC)?;
    check_tag_list(tags)?;
    let issuer = certificate::issuer_key(keys, rid, tags)?;
    let recovered = Recovered::open(&issuer, STATIC, signature, 0x03)?;
    let Some(&[_format, algorithm, a, b]) = recovered.content().first_chunk() else {
        return Err(Flaw::Length(STATIC));
    };
    recovered.check_hash(algorithm, &[signed])?;
    Ok([a, b])
}

/// The card's key, for DDA and CDA. Its certificate covers the static data too: `signed` as for
/// [`static_data`].
pub fn card_key(keys: Keys<'_>, rid: [u8; 5], tags: &Tags, signed: &[u8]) -> Result<CardKey, Flaw> {
    check_tag_list(tags)?;
    let issuer = certificate::issuer_key(keys, rid, tags)?;
    certificate::card_key(keys, &issuer, tags, signed).map(CardKey)
}

/// The key under which a PIN goes to the card: the one for PINs, where there is a certificate of it, else
/// the card's own. A certificate that is there and fails is not passed over.
pub fn pin_key(keys: Keys<'_>, rid: [u8; 5], tags: &Tags, card: Option<&CardKey>) -> Result<CardKey, Flaw> {
    let own = certificate::pin_key(keys, rid, tags)?.map(CardKey);
    own.or_else(|| card.cloned()).ok_or(Flaw::MissingData(PIN_CERTIFICATE))
}

/// The parts of a dynamic signature: hash algorithm, dynamic number, what comes behind it.
fn dynamic_parts(content: &[u8]) -> Result<(u8, &[u8], &[u8]), Flaw> {
    let [_format, algorithm, len, rest @ ..] = content else { return Err(Flaw::DynamicLength) };
    let dynamic = rest.get(..usize::from(*len)).ok_or(Flaw::DynamicLength)?;
    let [len, rest @ ..] = dynamic else { return Err(Flaw::DynamicNumber) };
    if !(2..=8).contains(len) {
        return Err(Flaw::DynamicNumber);
    }
    let (number, behind) = rest.split_at_checked(usize::from(*len)).ok_or(Flaw::DynamicLength)?;
    Ok((*algorithm, number, behind))
}

/// Checks the answer to INTERNAL AUTHENTICATE (DDA): the card's dynamic number, 9F4C.
///
/// `signed` is 9F4B, `ddol_values` what the card was told.
pub fn dynamic_data(key: &CardKey, signed: &[u8], ddol_values: &[u8]) -> Result<Vec<u8>, Flaw> {
    let recovered = Recovered::open(&key.0, DYNAMIC, signed, 0x05)?;
    let (algorithm, number, _) = dynamic_parts(recovered.content())?;
    recovered.check_hash(algorithm, &[ddol_values])?;
    Ok(number.to_vec())
}

/// What a combined signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combined {
    /// 9F4C.
    pub dynamic_number: Vec<u8>,
    /// 9F26.
    pub cryptogram: [u8; 8],
}

/// Checks the signature in an answer of GENERATE AC (CDA).
///
/// `signed` is 9F4B, `un` is 9F37, `cid` the answer's 9F27. `transaction` is what the card hashed: the
/// values of the PDOL, of CDOL1, after a second GENERATE AC of CDOL2, and the objects of the answer with tag
/// and length but for 9F4B, in their order.
pub fn combined_data(
    key: &CardKey,
    signed: &[u8],
    un: [u8; 4],
    cid: u8,
    transaction: &[u8],
) -> Result<Combined, Flaw> {
    let recovered = Recovered::open(&key.0, DYNAMIC, signed, 0x05)?;
    let (algorithm, number, behind) = dynamic_parts(recovered.content())?;
    let (signed_cid, behind) = behind.split_first().ok_or(Flaw::DynamicLength)?;
    let (cryptogram, behind) = behind.split_first_chunk().ok_or(Flaw::DynamicLength)?;
    let hash: &[u8; 20] = behind.first_chunk().ok_or(Flaw::DynamicLength)?;
    if *signed_cid != cid {
        return Err(Flaw::Cid);
    }
    recovered.check_hash(algorithm, &[&un])?;
    if sha1(&[transaction]) != *hash {
        return Err(Flaw::TransactionHash);
    }
    Ok(Combined { dynamic_number: number.to_vec(), cryptogram: *cryptogram })
}

/// Enciphers a PIN block for VERIFY.
///
/// `card_random` is the card's answer to GET CHALLENGE, `padding` as many random bytes as
/// [`CardKey::padding_len`] says.
pub fn encipher_pin(
    key: &CardKey,
    block: &Zeroizing<[u8; 8]>,
    card_random: [u8; 8],
    padding: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Flaw> {
    let mut clear = Zeroizing::new(Vec::with_capacity(PIN_BLOCK_LEN + padding.len()));
    clear.push(0x7F);
    clear.extend_from_slice(&**block);
    clear.extend_from_slice(&card_random);
    clear.extend_from_slice(padding);
    // 7F is below the first byte of every modulus: only the length can be wrong.
    key.0.recover(&clear).ok_or(Flaw::Padding { got: padding.len(), need: key.padding_len() })
}

#[cfg(test)]
mod tests;
