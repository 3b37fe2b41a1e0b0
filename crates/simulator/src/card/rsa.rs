//! Test keys of RSA, and what is signed with them: 6A, content, SHA-1 over it and what is behind it, BC (EMV
//! 4.4 Book 2, signature scheme with message recovery).
use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use sha1::{Digest, Sha1};

/// A key pair of `cards/rsa-keys.txt`: name, modulus, exponent, private exponent a line.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) modulus: Vec<u8>,
    pub(super) exponent: Vec<u8>,
    private: Vec<u8>,
}

impl Pair {
    pub(super) fn named(name: &str) -> Option<Self> {
        let all = include_str!("../../cards/rsa-keys.txt");
        let mut words = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?.split(' ');
        let mut next = || hex::decode(words.next()?).ok();
        Some(Self { modulus: next()?, exponent: next()?, private: next()? })
    }
    pub(super) fn len(&self) -> usize {
        self.modulus.len()
    }
    /// The number to the power of the private exponent. None when it is not as long as the modulus, or not
    /// below it.
    pub(super) fn private(&self, number: &[u8]) -> Option<Vec<u8>> {
        let modulus = BoxedUint::from_be_slice_vartime(&self.modulus);
        let base = BoxedUint::from_be_slice_vartime(number);
        if number.len() != self.len() || base >= modulus {
            return None;
        }
        let params = BoxedMontyParams::new(Odd::new(modulus).into_option()?);
        let power = BoxedMontyForm::new(base, &params).pow(&BoxedUint::from_be_slice_vartime(&self.private));
        let bytes = power.retrieve().to_be_bytes();
        Some(bytes.get(bytes.len().checked_sub(self.len())?..)?.to_vec())
    }
    /// The signature of `content`, filled up with BB to `len()` - 22 bytes.
    ///
    /// # Panics
    /// When the content is longer: what is signed here is made here.
    pub(super) fn sign(&self, content: &[u8], behind: &[&[u8]]) -> Vec<u8> {
        let mut content = content.to_vec();
        assert!(content.len() <= self.len() - 22, "{} bytes to sign", content.len());
        content.resize(self.len() - 22, 0xBB);
        let hash = sha1(&[&[content.as_slice()], behind].concat());
        self.private(&[&[0x6A], content.as_slice(), &hash, &[0xBC]].concat()).expect("6A is below a modulus")
    }
    /// Certificate and remainder of `key`. `front` is format and owner, `expiry` MMYY, `hashed` what is
    /// covered besides.
    pub(super) fn certify(
        &self,
        front: &[u8],
        expiry: [u8; 2],
        key: &Pair,
        hashed: &[u8],
    ) -> (Vec<u8>, Vec<u8>) {
        let lens = [1, 1, key.len() as u8, key.exponent.len() as u8];
        let head = [front, &expiry, &[0x00, 0x15, 0x07], &lens].concat();
        let room = (self.len() - 22 - head.len()).min(key.len());
        let (inside, rest) = key.modulus.split_at(room);
        let signed = self.sign(&[&head, inside].concat(), &[rest, &key.exponent, hashed]);
        (signed, rest.to_vec())
    }
}

pub(super) fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    parts.iter().fold(Sha1::new(), |hash, part| hash.chain_update(part)).finalize().into()
}
