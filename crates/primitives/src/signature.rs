//! Signatures of the terminal management: ECDSA on P-256 with SHA-256 (FIPS 186-5), in ASN.1.
use p256::{
    ecdsa::{
        DerSignature, SigningKey, VerifyingKey,
        signature::{Signer as _, Verifier as _},
    },
    elliptic_curve::Generate,
    pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding},
};
use std::fmt;
use zeroize::Zeroizing;

/// The public key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier(VerifyingKey);

impl Verifier {
    /// Reads SubjectPublicKeyInfo in DER; none for any other kind of key.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        VerifyingKey::from_public_key_der(der).ok().map(Self)
    }
    pub fn good(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::try_from(signature).is_ok_and(|s| self.0.verify(message, &s).is_ok())
    }
}

/// The key that signs: for the acquirer simulator and tests.
pub struct Signer(SigningKey);

impl Signer {
    /// A new key as PKCS#8 in DER.
    pub fn generate() -> Option<Zeroizing<Vec<u8>>> {
        let key = SigningKey::try_generate().ok()?;
        Some(key.to_pkcs8_der().ok()?.to_bytes())
    }
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        SigningKey::from_pkcs8_der(der).ok().map(Self)
    }
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature: DerSignature = self.0.try_sign(message).ok()?;
        Some(signature.as_bytes().to_vec())
    }
    /// SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> Option<Vec<u8>> {
        Some(self.0.verifying_key().to_public_key_der().ok()?.into_vec())
    }
    /// SubjectPublicKeyInfo in PEM (RFC 7468).
    pub fn spki_pem(&self) -> Option<String> {
        self.0.verifying_key().to_public_key_pem(LineEnding::LF).ok()
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
        let public = Verifier::from_spki(&signer.spki().unwrap()).unwrap();
        let signature = signer.sign(b"words").unwrap();
        assert!(public.good(b"words", &signature));
        assert!(
            !public.good(b"words.", &signature)
                && !public.good(b"words", &other.sign(b"words").unwrap())
                && !public.good(b"words", &[])
        );
        let spki = signer.spki().unwrap();
        for cut in [0, 26, 90] {
            assert!(Verifier::from_spki(&spki[..cut]).is_none());
        }
        let p384 =
            [&hex::decode("3076301006072a8648ce3d020106052b81040022036200").unwrap()[..], &[4; 97]].concat();
        assert!(Verifier::from_spki(&p384).is_none(), "another curve");
        let mut off = spki;
        off[40] ^= 1;
        assert!(Verifier::from_spki(&off).is_none(), "a point beside the curve");
    }

    /// Made by `openssl ecparam -name prime256v1 -genkey`, `openssl ec -pubout -outform DER`, `openssl dgst
    /// -sha256 -sign`.
    #[test]
    fn a_signature_of_openssl_is_good() {
        let spki = hex::decode(
            "3059301306072a8648ce3d020106082a8648ce3d030107034200043e0e12654be27fbbcce23ae\
        b626e14964d0c61a4b269d71bd518a1f1ff230fe60739656d83c799862c8380eafd1ef927f295d5a72f6fdf0c45cc76cb5804\
        e636",
        )
        .unwrap();
        let signature = hex::decode(
            "304502203c15b992eacfa09f08f70cc0b520f7f56da6ec0218063e598d89d0644ec96c41022100e351562a27029f5b89\
            1a0fee7ac3c6d1269dbdefb04b5a0d3467a52bf2f50989",
        )
        .unwrap();
        assert!(Verifier::from_spki(&spki).unwrap().good(b"payterm", &signature));
    }
}
