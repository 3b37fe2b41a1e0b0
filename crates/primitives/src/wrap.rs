//! Wrapping a key to a terminal's RSA key: RSAES-OAEP with SHA-256 and a label (RFC 8017 section 7.1).
use super::PrimitiveError;
use getrandom::SysRng;
use payterm_schema::secret::SecretBytes;
use rsa::{
    PrivateKey, PublicKey,
    oaep::{DecryptingKey, EncryptingKey},
    pkcs8::DecodePublicKey,
    traits::{PublicKeyParts, RandomizedDecryptor, RandomizedEncryptor},
};
use sha2::Sha256;

/// Bits of a terminal's key.
pub const BITS: usize = 2048;

/// `public` is SubjectPublicKeyInfo in DER; a key of another size is refused.
pub fn wrap(public: &[u8], label: &str, key: &[u8]) -> Result<Vec<u8>, PrimitiveError> {
    let public = PublicKey::from_public_key_der(public)
        .map_err(|_| PrimitiveError::Wrap("the public key is malformed"))?;
    if public.size() != BITS / 8 {
        return Err(PrimitiveError::Wrap("the public key must have 2048 bits"));
    }
    let wrapped =
        EncryptingKey::<Sha256>::new_with_label(public, label.as_bytes()).encrypt_with_rng(&mut SysRng, key);
    wrapped.map_err(|_| PrimitiveError::Wrap("the key cannot be wrapped"))
}

/// Blinded, and one answer for everything that is wrong.
pub fn unwrap(private: PrivateKey, label: &str, wrapped: &[u8]) -> Result<SecretBytes, PrimitiveError> {
    let key = DecryptingKey::<Sha256>::new_with_label(private, label.as_bytes());
    let clear = key.decrypt_with_rng(&mut SysRng, wrapped);
    clear.map(SecretBytes::new).map_err(|_| PrimitiveError::Wrap("it does not unwrap"))
}
