//! The vault: keys in memory behind a mutex, and their sealed file.
use crate::{
    KeyedHash, SealingKey, file,
    keys::{self, AccountKeys, Keys},
    sealing,
};
use payterm_primitives::{self as primitives, PrimitiveError, f62::F62Error, tr31::Tr31Error};
use payterm_schema::{
    AccountId,
    secret::{Mac, MacAlgorithm, MacError, MacValue, Pan, Pin, PinBlock, SecretBytes},
};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// No text of it holds key, PIN or card data.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("vault {path}: {what} failed")]
    Io {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("vault: it was sealed under another sealing key")]
    WrongKey,
    #[error("vault: the file is damaged: {0}")]
    Damaged(&'static str),
    #[error("vault: written by a newer program (version {found}, this one knows {known})")]
    Newer { found: u16, known: u16 },
    #[error("no randomness from the operating system: {0}")]
    Random(getrandom::Error),
    #[error("{0}")]
    Account(String),
    #[error("account {account}: no {key}")]
    NoKey { account: String, key: &'static str },
    /// `what` names the component or key.
    #[error("{what}: {rule}")]
    Key { what: &'static str, rule: &'static str },
    #[error("{0}: the check value is wrong")]
    CheckValue(&'static str),
    #[error(transparent)]
    KeyBlock(#[from] Tr31Error),
    #[error(transparent)]
    Primitive(#[from] PrimitiveError),
    /// Never says what was typed.
    #[error("operator's password: {0}")]
    Password(&'static str),
    #[error("no service key: load it with vault service-key")]
    NoServiceKey,
    #[error("sealed value: damaged, or of another key, purpose or context")]
    Unseal,
}

/// Reason why the working keys of a sign-in reply were not taken. The account has no working keys
/// afterwards.
#[derive(Debug, thiserror::Error)]
pub enum KeysRefused {
    #[error("account {0}: no TMK to decipher working keys with")]
    NoTmk(String),
    #[error(transparent)]
    Form(#[from] F62Error),
    #[error("F62: the MAK is of single length, and the profile says keys.mak = \"double\"")]
    SingleMak,
    #[error(
        "F62: a key that others have replaced since (an old reply?); an acquirer that hands out few needs \
         keys.repeat = true in its profile"
    )]
    Replaced,
    /// The keys were good, or had to go, and the sealed file could not be written.
    #[error("working keys could not be stored")]
    Store(#[source] VaultError),
}

/// What an acquirer's profile says of its working keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyRules {
    /// The MAK has 16 bytes; a single-length one is refused.
    pub double_mak: bool,
    /// Keys that others have replaced may come again: the acquirer hands out few.
    pub repeat: bool,
}

/// Keys of all accounts of one terminal. Used through `Arc` from several threads; a change is durable when
/// its call returns. One process at a time owns the directory (the store's lock sees to it).
pub struct Vault {
    pub(crate) dir: PathBuf,
    pub(crate) sealing: SealingKey,
    keys: Mutex<Keys>,
    /// Lock of the terminal's own key: held while it is made, so that there is one.
    pub(crate) terminal: Mutex<()>,
}

impl Vault {
    /// Opens `dir/vault.sealed`, or makes an empty one. `dir` must exist.
    pub fn open(dir: &Path, sealing: SealingKey) -> Result<Self, VaultError> {
        let keys = match file::read(file::VAULT, dir, &sealing)? {
            Some(plain) => {
                keys::decode(plain.reveal()).ok_or(VaultError::Damaged("its content is malformed"))?
            }
            None => {
                file::write(file::VAULT, dir, &sealing, &[])?;
                Keys::new()
            }
        };
        Ok(Self { dir: dir.into(), sealing, keys: Mutex::new(keys), terminal: Mutex::new(()) })
    }

    /// Check value (first 3 bytes) of the account's TMK, for the operator's screen; `None` when no TMK is
    /// loaded.
    pub fn tmk_check_value(&self, account: &str) -> Option<[u8; 3]> {
        let [a, b, c, _] = self.lock().get(account)?.tmk.as_ref()?.kcv();
        Some([a, b, c])
    }

    /// The working keys of F62 in a sign-in reply (host-protocol §4): 24, 40 or 60 bytes. Those in use, or of
    /// the last sign-in that was taken, may come again and change nothing. Whatever is refused leaves the
    /// account without working keys.
    pub fn import_working_keys(
        &self,
        account: &str,
        f62: &SecretBytes,
        rules: KeyRules,
    ) -> Result<(), KeysRefused> {
        let mut keys = self.lock();
        let entry = keys.get_mut(account).filter(|k| k.tmk.is_some());
        let Some((entry, tmk)) = entry.and_then(|e| e.tmk.clone().map(|t| (e, t))) else {
            return Err(KeysRefused::NoTmk(account.into()));
        };
        // The host works with the new keys from its reply on: the old ones are of no use, whatever comes of
        // the new.
        let old = entry.working.take();
        match self.judge(entry, &tmk, f62, rules) {
            Ok((set, _)) if old.as_ref() == Some(&set) => {
                entry.working = old;
                Ok(())
            }
            Ok((set, hashes)) => {
                let before = entry.clone();
                entry.note(&hashes);
                entry.working = Some(set);
                self.save(&keys).map_err(|e| {
                    keys.insert(account.into(), before);
                    KeysRefused::Store(e)
                })
            }
            Err(refused) => {
                if old.is_some() {
                    self.save(&keys).map_err(KeysRefused::Store)?;
                }
                Err(refused)
            }
        }
    }

    /// The keys of F62 and their hashes, when they may be taken.
    fn judge(
        &self,
        known: &AccountKeys,
        tmk: &primitives::DesKey,
        f62: &SecretBytes,
        rules: KeyRules,
    ) -> Result<(primitives::KeySet, Vec<[u8; keys::HASH]>), KeysRefused> {
        let set = primitives::parse_f62(tmk, f62.reveal())?;
        if rules.double_mak && set.mak.reveal().len() != 16 {
            return Err(KeysRefused::SingleMak);
        }
        // Key by key: of two messages that were taken a third can be made. Parity makes no other key.
        let hash = |key: &primitives::Key| {
            let bare = Zeroizing::new(key.reveal().iter().map(|b| b & 0xFE).collect::<Vec<_>>());
            let hash = self.keyed_hash("working-key", &bare);
            std::array::from_fn(|i| hash[i])
        };
        let hashes: Vec<_> =
            [Some(&set.pik), Some(&set.mak), set.tdk.as_ref()].into_iter().flatten().map(hash).collect();
        if known.has_replaced(&hashes) && !rules.repeat {
            return Err(KeysRefused::Replaced);
        }
        Ok((set, hashes))
    }

    /// Removes the working keys: at sign-off, or when the host says that they are wrong. On an error they are
    /// gone from memory, but may come back with a restart.
    pub fn clear_working_keys(&self, account: &str) -> Result<(), VaultError> {
        let mut keys = self.lock();
        match keys.get_mut(account).and_then(|k| k.working.take()) {
            Some(_) => self.save(&keys),
            None => Ok(()),
        }
    }

    pub fn has_working_keys(&self, account: &str) -> bool {
        self.lock().get(account).is_some_and(|k| k.working.is_some())
    }

    /// Removes every key of the account (taken out of service). On an error they are gone from memory, but
    /// may come back with a restart.
    pub fn erase_account(&self, account: &str) -> Result<(), VaultError> {
        let mut keys = self.lock();
        match keys.remove(account) {
            Some(_) => self.save(&keys),
            None => Ok(()),
        }
    }

    /// Makes and verifies MACs under the account's MAK; follows each sign-in.
    pub fn account_mac(self: &Arc<Self>, account: &str) -> AccountMac {
        AccountMac { vault: Arc::clone(self), account: account.into() }
    }

    /// F52: ISO 9564-1 format 0 under the account's PIK.
    pub fn pin_block(&self, account: &str, pin: &Pin, pan: &Pan) -> Result<PinBlock, VaultError> {
        Ok(primitives::encode_pin_block(&self.working(account, "PIK")?.pik, pin, pan)?)
    }

    /// Enciphers one track for F35 or F36 under the account's TDK: upper-case hex digits, one a nibble (see
    /// [`payterm_primitives::encipher_track`]).
    pub fn encipher_track(&self, account: &str, track: &str) -> Result<Zeroizing<String>, VaultError> {
        let tdk = self.working(account, "TDK")?.tdk.ok_or_else(|| no_key(account, "TDK"))?;
        Ok(primitives::encipher_track(&tdk.des()?, track)?)
    }

    /// Seals a value for the store: AES-256-GCM under a key of this `purpose`, bound to `context` (the row it
    /// belongs to). Result: `1 | nonce 12 | cipher text | tag 16`, 29 bytes longer than `plain`.
    pub fn seal(&self, purpose: &str, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let body = sealing::seal(&self.seal_key(purpose), &aad(purpose, context), plain)
            .map_err(VaultError::Random)?;
        Ok([&[SEAL_VERSION], &*body].concat())
    }

    /// Opens a value that [`Vault::seal`] made with the same purpose and context.
    pub fn unseal(&self, purpose: &str, context: &[u8], sealed: &[u8]) -> Result<SecretBytes, VaultError> {
        let body = sealed.strip_prefix(&[SEAL_VERSION]).ok_or(VaultError::Unseal)?;
        sealing::unseal(&self.seal_key(purpose), &aad(purpose, context), body).ok_or(VaultError::Unseal)
    }

    /// HMAC-SHA-256 under a key of this `purpose`: the same data gives the same hash on this terminal only.
    pub fn keyed_hash(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        sealing::keyed_hash(&self.sealing.derive(&["hash:", purpose]), data)
    }

    /// The hash of [`Vault::keyed_hash`]'s purpose for many parts and calls ([`SealingKey::keyed_hash`]).
    pub fn hasher(&self, purpose: &str) -> KeyedHash {
        self.sealing.keyed_hash(purpose)
    }

    fn seal_key(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        self.sealing.derive(&["seal:", purpose])
    }

    /// Changes one account, on disk first: on an error memory is as before.
    pub(crate) fn change<R>(
        &self,
        account: &str,
        change: impl FnOnce(&mut AccountKeys) -> Result<R, VaultError>,
    ) -> Result<R, VaultError> {
        let account = AccountId::new(account).map_err(VaultError::Account)?;
        let mut keys = self.lock();
        let mut next = keys.clone();
        let result = change(next.entry(account.as_str().to_owned()).or_default())?;
        self.save(&next)?;
        *keys = next;
        Ok(result)
    }

    /// Changes the keys of several accounts at once: all of them or none.
    pub(crate) fn change_all<T>(
        &self,
        all: Vec<(AccountId, T)>,
        mut change: impl FnMut(&mut AccountKeys, T),
    ) -> Result<(), VaultError> {
        let mut keys = self.lock();
        let mut next = keys.clone();
        for (account, value) in all {
            change(next.entry(account.as_str().to_owned()).or_default(), value);
        }
        self.save(&next)?;
        *keys = next;
        Ok(())
    }

    fn working(&self, account: &str, key: &'static str) -> Result<primitives::KeySet, VaultError> {
        self.lock().get(account).and_then(|k| k.working.clone()).ok_or_else(|| no_key(account, key))
    }

    fn save(&self, keys: &Keys) -> Result<(), VaultError> {
        file::write(file::VAULT, &self.dir, &self.sealing, &keys::encode(keys))
    }

    pub(crate) fn service_key(&self) -> Option<SecretBytes> {
        self.lock().get(keys::TERMINAL).and_then(|k| k.service.clone())
    }

    /// Sets the service key; on disk first: on an error memory is as before.
    pub(crate) fn set_service_key(&self, key: SecretBytes) -> Result<(), VaultError> {
        let mut keys = self.lock();
        let mut next = keys.clone();
        next.entry(keys::TERMINAL.to_owned()).or_default().service = Some(key);
        self.save(&next)?;
        *keys = next;
        Ok(())
    }

    /// A panic of another thread leaves the map whole: it is changed by single assignments only.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.dir.display())
    }
}

const SEAL_VERSION: u8 = 1;

/// The lengths keep purpose and context apart.
fn aad(purpose: &str, context: &[u8]) -> Vec<u8> {
    [&[SEAL_VERSION], (purpose.len() as u64).to_be_bytes().as_slice(), purpose.as_bytes(), context].concat()
}

pub(crate) fn no_key(account: &str, key: &'static str) -> VaultError {
    VaultError::NoKey { account: account.into(), key }
}

/// [`Mac`] of one account: what a host codec gets in place of a key.
#[derive(Clone, Debug)]
pub struct AccountMac {
    vault: Arc<Vault>,
    account: String,
}

impl AccountMac {
    fn key(&self) -> Result<primitives::Key, MacError> {
        self.vault.working(&self.account, "MAK").map(|k| k.mak).map_err(|_| MacError::NoKey)
    }
}

impl Mac for AccountMac {
    fn mac(&self, algorithm: MacAlgorithm, data: &[u8]) -> Result<MacValue, MacError> {
        primitives::mac(algorithm, &self.key()?, data).map_err(|e| MacError::Store(e.to_string()))
    }
    fn verify(&self, algorithm: MacAlgorithm, data: &[u8], mac: &[u8]) -> Result<bool, MacError> {
        Ok(self.mac(algorithm, data)?.reveal().ct_eq(mac).into())
    }
}
