//! DES, check values, MACs, PIN blocks, track encipherment, F62, key blocks and signatures on keys in hand.
//!
//! Invariant: of the terminal only the vault depends on this crate; beside it the acquirer simulator and
//! tests do. A terminal has its keys in the vault.
pub mod f62;
mod key;
pub mod mac;
pub mod pin;
pub mod signature;
pub mod tr31;
pub mod track;
pub mod wrap;

use cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::TdesEde3;
use payterm_schema::secret::SecretBytes;
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use f62::{KeySet, build_f62, parse_f62};
pub use key::{Algorithm, Key};
pub use mac::mac;
pub use pin::{decode_pin_block, encode_pin_block};
pub use track::{decipher_track, encipher_track};

/// No text of it holds data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrimitiveError {
    #[error("key: {got} bytes, must be {rule}")]
    KeyLength { got: usize, rule: &'static str },
    #[error("key: it is for {got:?}, {need:?} is needed here")]
    Algorithm { got: Algorithm, need: Algorithm },
    #[error("data: {0} bytes, must be a multiple of 8")]
    DataLength(usize),
    #[error("pin block: {0}")]
    PinBlock(&'static str),
    #[error("track: {0}")]
    Track(&'static str),
    #[error("wrapped key: {0}")]
    Wrap(&'static str),
    #[error("no randomness from the operating system: {0}")]
    Random(getrandom::Error),
}

/// A DES key: 8 bytes single, 16 two-key or 24 three-key triple DES (EDE). Parity is not enforced. Zeroised
/// on drop, masked `Debug`.
#[derive(Clone)]
pub struct DesKey(SecretBytes);

impl DesKey {
    pub fn new(key: &[u8]) -> Result<Self, PrimitiveError> {
        match key.len() {
            8 | 16 | 24 => Ok(Self(SecretBytes::new(key.to_vec()))),
            got => Err(PrimitiveError::KeyLength { got, rule: "8, 16 or 24" }),
        }
    }
    /// A random key of 8, 16 or 24 bytes with odd parity.
    pub fn generate(len: usize) -> Result<Self, PrimitiveError> {
        let mut bytes = Zeroizing::new(vec![0; len.min(24)]);
        getrandom::fill(&mut bytes).map_err(PrimitiveError::Random)?;
        for b in bytes.iter_mut() {
            *b ^= u8::from(b.count_ones() % 2 == 0);
        }
        Self::new(&bytes)
    }
    /// Bytes of the key: 8, 16 or 24.
    pub fn key_len(&self) -> usize {
        self.0.reveal().len()
    }
    pub fn reveal(&self) -> &[u8] {
        self.0.reveal()
    }
    fn into_bytes(self) -> SecretBytes {
        self.0
    }
    pub fn encrypt_block(&self, block: [u8; 8]) -> [u8; 8] {
        let mut b = Array(block);
        self.cipher().encrypt_block(&mut b);
        b.0
    }
    pub fn decrypt_block(&self, block: [u8; 8]) -> [u8; 8] {
        let mut b = Array(block);
        self.cipher().decrypt_block(&mut b);
        b.0
    }
    /// Enciphers one block in its place, without a copy of the clear one.
    pub fn encrypt_in_place(&self, block: &mut [u8; 8]) {
        self.cipher().encrypt_block(block.into());
    }
    /// ECB over whole blocks, without padding.
    pub fn encrypt_ecb(&self, data: &[u8]) -> Result<Vec<u8>, PrimitiveError> {
        let mut out = data.to_vec();
        let cipher = self.cipher();
        blocks(&mut out)?.for_each(|b| cipher.encrypt_block(b.into()));
        Ok(out)
    }
    /// ECB over whole blocks; what comes out is taken for a secret.
    pub fn decrypt_ecb(&self, data: &[u8]) -> Result<SecretBytes, PrimitiveError> {
        let mut out = Zeroizing::new(data.to_vec());
        let cipher = self.cipher();
        blocks(&mut out)?.for_each(|b| cipher.decrypt_block(b.into()));
        Ok(SecretBytes::new(std::mem::take(&mut out)))
    }
    /// Check value: the first 4 bytes of enciphering 8 zero bytes (host-protocol §4; many papers show the
    /// first 3).
    pub fn kcv(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.encrypt_block([0; 8]);
        [a, b, c, d]
    }
    /// Does a check value of 3 or 4 bytes fit? Constant time.
    pub fn kcv_fits(&self, kcv: &[u8]) -> bool {
        matches!(kcv.len(), 3 | 4) && self.kcv()[..kcv.len()].ct_eq(kcv).into()
    }
    /// Single DES is triple DES with one key thrice, two-key has K3 = K1 (NIST SP 800-67, keying options).
    fn expanded(&self) -> Zeroizing<[u8; 24]> {
        let key = self.0.reveal();
        let mut k = Zeroizing::new([0; 24]);
        k.iter_mut().zip(key.iter().cycle()).for_each(|(to, from)| *to = *from);
        k
    }
    fn cipher(&self) -> TdesEde3 {
        TdesEde3::new((&*self.expanded()).into())
    }
}

impl fmt::Debug for DesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DesKey({} bytes)", self.key_len())
    }
}

/// Constant time.
impl PartialEq for DesKey {
    fn eq(&self, other: &Self) -> bool {
        self.reveal().ct_eq(other.reveal()).into()
    }
}
impl Eq for DesKey {}

/// Tells whether two neighbouring parts of 8 bytes are equal but for parity, which makes triple DES a single
/// DES. Constant time.
pub fn has_equal_parts(key: &[u8]) -> bool {
    key.as_chunks::<8>().0.windows(2).any(|w| same_part(&w[0], &w[1]))
}

/// Tells whether a part of 8 bytes of one key is, but for parity, one of the other.
fn share_a_part(one: &[u8], other: &[u8]) -> bool {
    let parts = |key| <[u8]>::as_chunks::<8>(key).0;
    parts(one).iter().any(|a| parts(other).iter().any(|b| same_part(a, b)))
}

fn same_part(a: &[u8; 8], b: &[u8; 8]) -> bool {
    a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) & 0xFE == 0
}

fn blocks(data: &mut [u8]) -> Result<impl Iterator<Item = &mut [u8; 8]>, PrimitiveError> {
    let len = data.len();
    match data.as_chunks_mut() {
        (blocks, []) => Ok(blocks.iter_mut()),
        _ => Err(PrimitiveError::DataLength(len)),
    }
}

pub(crate) fn xor<const N: usize>(a: [u8; N], b: [u8; N]) -> [u8; N] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_length_by_published_vectors() {
        // Single: the worked example of FIPS 46 tutorials; double: the TMK of host-protocol §4; triple: NIST
        // SP 800-67 B.1.
        let e = |k: &str, d: &str| {
            hex::encode_upper(
                DesKey::new(&hex::decode(k).unwrap()).unwrap().encrypt_ecb(&hex::decode(d).unwrap()).unwrap(),
            )
        };
        assert_eq!(e("133457799BBCDFF1", "0123456789ABCDEF"), "85E813540F0AB405");
        assert_eq!(e("CA5D92598DCA48CE8A4C76361A9269E9", "0000000000000000"), "43C6CCCB5B1BC494");
        assert_eq!(
            e("0123456789ABCDEF23456789ABCDEF01456789ABCDEF0123", "5468652071756663"),
            "A826FD8CE53B855F"
        );
    }

    #[test]
    fn lengths_are_refused_by_number() {
        for n in [0, 7, 9, 15, 17, 23, 25] {
            assert!(
                matches!(DesKey::new(&vec![1; n]), Err(PrimitiveError::KeyLength { got, .. }) if got == n)
            );
        }
        let k = DesKey::generate(16).unwrap();
        assert!(k.reveal().iter().all(|b| b.count_ones() % 2 == 1));
        assert_eq!(k.encrypt_ecb(&[0; 9]), Err(PrimitiveError::DataLength(9)));
        assert_eq!(k.decrypt_ecb(&[0; 7]).err(), Some(PrimitiveError::DataLength(7)));
        assert_eq!(k.decrypt_ecb(&k.encrypt_ecb(&[7; 24]).unwrap()).unwrap().reveal(), [7; 24]);
    }

    #[test]
    fn check_values_of_three_or_four_bytes_only() {
        let k = DesKey::new(&[0x11; 8]).unwrap();
        let v = k.kcv();
        assert!(k.kcv_fits(&v) && k.kcv_fits(&v[..3]));
        assert!(!k.kcv_fits(&v[..2]) && !k.kcv_fits(&[]) && !k.kcv_fits(&k.encrypt_block([0; 8])));
        assert!(!k.kcv_fits(&[v[0], v[1], v[2] ^ 1]));
    }
}
