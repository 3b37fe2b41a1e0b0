//! The terminal's own RSA key: made when it applies, sealed in `terminal.sealed`, and the way in for the
//! master keys that an acquirer wraps to it.
use crate::{
    Vault, VaultError, file,
    keys::AccountKeys,
    load::{TMK, not_degenerate},
};
use getrandom::SysRng;
use payterm_primitives::{DesKey, PrimitiveError, wrap};
use payterm_schema::AccountId;
use rsa::{
    PrivateKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey},
};
use sha2::{Digest, Sha256};
use std::sync::PoisonError;

/// The public half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalKey {
    /// SubjectPublicKeyInfo in DER, in hex.
    pub public: String,
    /// SHA-256 of it in hex: the terminal's name before it has a number.
    pub fingerprint: String,
}

/// A TMK as it came: RSA-OAEP to the terminal's key under `label`, and its check value of 3 or 4 bytes.
#[derive(Clone, Debug)]
pub struct WrappedTmk {
    pub account: AccountId,
    pub label: String,
    pub wrapped: Vec<u8>,
    pub check_value: Vec<u8>,
}

impl Vault {
    /// The terminal's key; made and stored when there is none, which takes some seconds.
    pub fn terminal_key(&self) -> Result<TerminalKey, VaultError> {
        let damaged = VaultError::Damaged("the terminal's key is malformed");
        let public = self.private(true)?.to_public_key().to_public_key_der().map_err(|_| damaged)?;
        Ok(TerminalKey {
            public: hex::encode(public.as_bytes()),
            fingerprint: hex::encode(Sha256::digest(public.as_bytes())),
        })
    }

    /// Takes the master keys over, all of them or none; they replace what the accounts had. Nothing is
    /// changed before each of them unwraps, has 16 bytes and is what its check value says.
    pub fn load_tmks_wrapped(&self, keys: &[WrappedTmk]) -> Result<(), VaultError> {
        let mut clear = Vec::with_capacity(keys.len());
        for k in keys {
            let key = wrap::unwrap(self.private(false)?, &k.label, &k.wrapped)?;
            if key.reveal().len() != 16 {
                return Err(TMK.refuse("must be 16 bytes"));
            }
            not_degenerate(&TMK, key.reveal())?;
            let tmk = DesKey::new(key.reveal())?;
            if !tmk.kcv_fits(&k.check_value) {
                return Err(VaultError::CheckValue("TMK"));
            }
            clear.push((k.account.clone(), tmk));
        }
        self.change_all(clear, AccountKeys::set_tmk)
    }

    /// Reads the private key, each time: it is needed twice in a terminal's life and does not stay in
    /// memory.
    fn private(&self, make: bool) -> Result<PrivateKey, VaultError> {
        let _one = self.terminal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(der) = file::read(file::TERMINAL, &self.dir, &self.sealing)? {
            return PrivateKey::from_pkcs8_der(der.reveal())
                .map_err(|_| VaultError::Damaged("the terminal's key is malformed"));
        }
        if !make {
            return Err(VaultError::Damaged("the terminal's key is not there"));
        }
        let failed = |_| VaultError::Primitive(PrimitiveError::Wrap("the terminal's key could not be made"));
        let key = PrivateKey::new(&mut SysRng, wrap::BITS).map_err(failed)?;
        let der =
            key.to_pkcs8_der().map_err(|_| VaultError::Damaged("the terminal's key cannot be encoded"))?;
        file::write(file::TERMINAL, &self.dir, &self.sealing, der.as_bytes())?;
        Ok(key)
    }
}
