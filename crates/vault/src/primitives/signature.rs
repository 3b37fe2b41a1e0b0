//! Signatures of the terminal management: ECDSA on P-256 with SHA-256 (FIPS 186-5), in ASN.1.
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use std::fmt;
use zeroize::Zeroizing;

/// SubjectPublicKeyInfo of a P-256 key up to the point (RFC 5480): all of them begin with these bytes.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86,
    0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT: usize = 65;

/// The public key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier([u8; POINT]);

impl Verifier {
    /// From SubjectPublicKeyInfo in DER; none for any other kind of key.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let point: [u8; POINT] = der.strip_prefix(&SPKI)?.try_into().ok()?;
        (point[0] == 4).then_some(Self(point))
    }
    pub fn good(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.0).verify(message, signature).is_ok()
    }
}

/// The key that signs: for the acquirer simulator and tests.
pub struct Signer(EcdsaKeyPair);

impl Signer {
    /// A new key as PKCS#8 in DER.
    pub fn generate() -> Option<Zeroizing<Vec<u8>>> {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).ok()?;
        Some(Zeroizing::new(made.as_ref().to_vec()))
    }
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new()).ok().map(Self)
    }
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec())
    }
    /// SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> Vec<u8> {
        [&SPKI[..], self.0.public_key().as_ref()].concat()
    }
}
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_refuses_what_was_changed() {
        let signer = Signer::from_pkcs8(&Signer::generate().unwrap()).unwrap();
        let other = Signer::from_pkcs8(&Signer::generate().unwrap()).unwrap();
        let public = Verifier::from_spki(&signer.spki()).unwrap();
        let signature = signer.sign(b"words").unwrap();
        assert!(public.good(b"words", &signature));
        assert!(
            !public.good(b"words.", &signature)
                && !public.good(b"words", &other.sign(b"words").unwrap())
                && !public.good(b"words", &[])
        );
        for cut in [0, 26, 90] {
            assert!(Verifier::from_spki(&signer.spki()[..cut]).is_none());
        }
    }

    /// Made by `openssl ecparam -name prime256v1 -genkey`, `openssl ec -pubout -outform DER`, `openssl dgst
    /// -sha256 -sign`.
    #[test]
    fn a_signature_of_openssl_is_good() {
        let spki = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200043e0e12654be27fbbcce23aeb626e14964d0c61a4b269d71bd518a1f1ff230fe60739656d83c799862c8380eafd1ef927f295d5a72f6fdf0c45cc76cb5804e636").unwrap();
        let signature = hex::decode(
            "304502203c15b992eacfa09f08f70cc0b520f7f56da6ec0218063e598d89d0644ec96c41022100e351562a27029f5b891a0fee7ac3c6d1269dbdefb04b5a0d3467a52bf2f50989",
        )
        .unwrap();
        assert!(Verifier::from_spki(&spki).unwrap().good(b"payterm", &signature));
    }
}
