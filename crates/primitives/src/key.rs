//! Keys of any algorithm, for what is kept and handed over; what computes with one asks for its own kind.
use super::{DesKey, PrimitiveError};
use payterm_schema::secret::SecretBytes;
use std::fmt;
use subtle::ConstantTimeEq;

/// Cipher that a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// DES and triple DES: 8, 16 or 24 bytes.
    Des,
    /// 16, 24 or 32 bytes.
    Aes,
    /// 16 bytes (GB/T 32907).
    Sm4,
}

/// A key and its algorithm. Zeroised on drop, masked `Debug`.
#[derive(Clone)]
pub struct Key {
    algorithm: Algorithm,
    bytes: SecretBytes,
}

impl Key {
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, PrimitiveError> {
        let got = key.len();
        let (fits, rule) = match algorithm {
            Algorithm::Des => (matches!(got, 8 | 16 | 24), "8, 16 or 24 for DES"),
            Algorithm::Aes => (matches!(got, 16 | 24 | 32), "16, 24 or 32 for AES"),
            Algorithm::Sm4 => (got == 16, "16 for SM4"),
        };
        if fits {
            Ok(Self { algorithm, bytes: SecretBytes::new(key.to_vec()) })
        } else {
            Err(PrimitiveError::KeyLength { got, rule })
        }
    }
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    pub fn reveal(&self) -> &[u8] {
        self.bytes.reveal()
    }
    /// The key as a DES key; refused for one of another algorithm.
    pub fn des(&self) -> Result<DesKey, PrimitiveError> {
        match self.algorithm {
            Algorithm::Des => DesKey::new(self.reveal()),
            got @ (Algorithm::Aes | Algorithm::Sm4) => {
                Err(PrimitiveError::Algorithm { got, need: Algorithm::Des })
            }
        }
    }
}
impl From<DesKey> for Key {
    fn from(key: DesKey) -> Self {
        Self { algorithm: Algorithm::Des, bytes: key.into_bytes() }
    }
}
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {} bytes)", self.algorithm, self.reveal().len())
    }
}

/// Constant time.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.reveal().ct_eq(other.reveal()).into()
    }
}
impl Eq for Key {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_belong_to_the_algorithm() {
        for (algorithm, good) in
            [(Algorithm::Des, &[8, 16, 24][..]), (Algorithm::Aes, &[16, 24, 32]), (Algorithm::Sm4, &[16])]
        {
            for size in 0..40 {
                let key = Key::new(algorithm, &vec![0xAB; size]);
                assert_eq!(key.is_ok(), good.contains(&size), "{algorithm:?} {size}");
            }
        }
    }

    #[test]
    fn a_key_serves_its_own_algorithm_only_and_shows_nothing() {
        let (des, aes) = (Key::new(Algorithm::Des, &[0xAB; 16]), Key::new(Algorithm::Aes, &[0xAB; 16]));
        let (des, aes) = (des.unwrap(), aes.unwrap());
        assert_ne!(des, aes, "the same bytes are not the same key");
        assert_eq!(des.des().map(Key::from), Ok(des.clone()));
        assert_eq!(aes.des(), Err(PrimitiveError::Algorithm { got: Algorithm::Aes, need: Algorithm::Des }));
        assert_eq!(format!("{des:?} {aes:?}"), "Key(Des, 16 bytes) Key(Aes, 16 bytes)");
    }
}
