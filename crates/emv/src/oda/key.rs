//! RSA public keys, and the one operation with them: what a signature gives back (EMV 4.4 Book 2, RSA
//! algorithm of the approved algorithms).
use super::sha1;
use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use zeroize::Zeroizing;

/// Bytes of the shortest modulus. 64: cards with keys of 512 bits are still about.
pub const MODULUS_MIN: usize = 64;
/// Bytes of the longest modulus. 248: 1984 bits, so that a certificate fits an answer.
pub const MODULUS_MAX: usize = 248;

/// Why a key is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("its modulus has {0} bytes, must be {MODULUS_MIN} to {MODULUS_MAX}")]
    Size(usize),
    #[error("its modulus is even, or its first bit is 0")]
    Modulus,
    #[error("its exponent is neither 03 nor 010001")]
    Exponent,
    #[error("its checksum is not the SHA-1 of RID, index, modulus and exponent")]
    Checksum,
}

/// A public key, made ready for use.
#[derive(Clone)]
pub(super) struct PublicKey {
    size: usize,
    /// Squarings before the one multiplication: 1 for the exponent 3, 16 for 65537.
    squarings: u32,
    params: BoxedMontyParams,
}

impl PublicKey {
    /// A key of a modulus whose first bit is 1, big endian, and an exponent in one byte or three.
    pub(super) fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyFault> {
        let squarings = match exponent {
            [3] => 1,
            [1, 0, 1] => 16,
            _ => return Err(KeyFault::Exponent),
        };
        let size = modulus.len();
        if !(MODULUS_MIN..=MODULUS_MAX).contains(&size) {
            return Err(KeyFault::Size(size));
        }
        if modulus.first().is_none_or(|first| first & 0x80 == 0) {
            return Err(KeyFault::Modulus);
        }
        let odd = Odd::new(BoxedUint::from_be_slice_vartime(modulus)).into_option();
        let params = BoxedMontyParams::new_vartime(odd.ok_or(KeyFault::Modulus)?);
        Ok(Self { size, squarings, params })
    }
    pub(super) fn modulus(&self) -> Vec<u8> {
        let bytes = self.params.modulus().to_be_bytes();
        // Limbs have 8 bytes each, the modulus as many as it has.
        bytes.get(bytes.len().saturating_sub(self.size)..).unwrap_or_default().to_vec()
    }
    pub(super) fn exponent(&self) -> &'static [u8] {
        if self.squarings == 1 { &[3] } else { &[1, 0, 1] }
    }
    /// Bytes of the modulus.
    pub(super) fn size(&self) -> usize {
        self.size
    }
    /// The number to the power of the exponent, in as many bytes as the modulus has. None when it is not as
    /// long as the modulus, or not below it.
    ///
    /// What comes out may hold a card number, what goes in a PIN: both are zeroised.
    pub(super) fn recover(&self, number: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if number.len() != self.size {
            return None;
        }
        let base = Zeroizing::new(BoxedUint::from_be_slice_vartime(number));
        if *base >= **self.params.modulus() {
            return None;
        }
        let base = Zeroizing::new(BoxedMontyForm::new(BoxedUint::clone(&base), &self.params));
        let square = |x: Zeroizing<BoxedMontyForm>, _| Zeroizing::new(x.square());
        let power = (0..self.squarings).fold(base.clone(), square);
        let power = Zeroizing::new(power.mul(&base));
        let bytes = Zeroizing::new(Zeroizing::new(power.retrieve()).to_be_bytes());
        // Limbs have 8 bytes each, the modulus as many as it has.
        Some(Zeroizing::new(bytes.get(bytes.len().checked_sub(self.size)?..)?.to_vec()))
    }
}

/// A public key of a certification authority: what all certificates of an application provider hang on.
#[derive(Clone)]
pub struct CaKey {
    pub(super) rid: [u8; 5],
    pub(super) index: u8,
    pub(super) key: PublicKey,
    /// Last day on which it is used, YYYYMMDD as a number; none: it has no end.
    pub(super) until: Option<u32>,
}

impl CaKey {
    /// A key of a modulus of 64 to 248 bytes. The checksum, where there is one, is recomputed; one of zeros
    /// is as wrong as any.
    pub fn new(
        rid: [u8; 5],
        index: u8,
        modulus: &[u8],
        exponent: &[u8],
        checksum: Option<[u8; 20]>,
    ) -> Result<Self, KeyFault> {
        let key = PublicKey::new(modulus, exponent)?;
        let key = Self { rid, index, key, until: None };
        if checksum.is_some_and(|sum| sum != key.checksum()) {
            return Err(KeyFault::Checksum);
        }
        Ok(key)
    }
    /// The key with a last day, YYYYMMDD as a number, or none: from the next one on it authenticates no card.
    pub fn until(self, until: Option<u32>) -> Self {
        Self { until, ..self }
    }
    /// Last day on which it is used, YYYYMMDD as a number.
    pub fn last_day(&self) -> Option<u32> {
        self.until
    }
    /// Bytes of its modulus.
    pub fn size(&self) -> usize {
        self.key.size()
    }
    /// SHA-1 over RID, index, modulus and exponent.
    pub fn checksum(&self) -> [u8; 20] {
        sha1(&[&self.rid, &[self.index], &self.key.modulus(), self.key.exponent()])
    }
    /// RID and index, by which a card names it.
    pub fn name(&self) -> ([u8; 5], u8) {
        (self.rid, self.index)
    }
    /// What a signature of this key gives back, in as many bytes as the modulus has; none: it is not as long
    /// as the modulus, or not below it.
    pub fn recover(&self, signed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.key.recover(signed)
    }
}

/// A public key of a card, recovered from its certificate.
#[derive(Clone)]
pub struct CardKey(pub(super) PublicKey);

impl CardKey {
    /// A key of a modulus of 64 to 248 bytes: for a PIN pad that enciphers with it elsewhere.
    pub fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyFault> {
        PublicKey::new(modulus, exponent).map(Self)
    }
    /// Its modulus, big endian, first bit 1.
    pub fn modulus(&self) -> Vec<u8> {
        self.0.modulus()
    }
    /// Its exponent: 03 or 010001.
    pub fn exponent(&self) -> &'static [u8] {
        self.0.exponent()
    }
    /// Bytes of the random padding that [`encipher_pin`](super::encipher_pin) takes.
    pub fn padding_len(&self) -> usize {
        self.0.size().saturating_sub(super::PIN_BLOCK_LEN)
    }
}
