//! The sealing key and what is derived from it.
//!
//! Keys are derived by HKDF-SHA-256 (RFC 5869) with salt `payterm-vault` and an info text for each purpose;
//! sealing is AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce for each call: at most 2^32 values a
//! purpose, far above a terminal's life.
use aes_gcm::{Aes256Gcm, Nonce, Tag, aead::AeadInOut};
use cipher::KeyInit;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use payterm_schema::secret::SecretBytes;
use rustix::fs::{Mode, OFlags};
use sha2::Sha256;
use std::{
    fmt,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// 32 bytes under which everything of the vault is sealed. Zeroised on drop, masked `Debug`.
pub struct SealingKey(Zeroizing<[u8; 32]>);

#[derive(Debug, thiserror::Error)]
pub enum SealingKeyError {
    #[error("sealing key {path}: {what} failed")]
    Io {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("sealing key {0}: is a symbolic link; name the file itself")]
    Symlink(PathBuf),
    #[error("sealing key {0}: is not a regular file")]
    NotAFile(PathBuf),
    #[error("sealing key {path}: mode {mode:04o} lets {who} at it; it must be 0600 or 0400")]
    Mode { path: PathBuf, mode: u32, who: &'static str },
    #[error("sealing key {path}: belongs to uid {owner}; it must belong to root or to uid {us}")]
    Owner { path: PathBuf, owner: u32, us: u32 },
    #[error("sealing key {path}: {len} bytes; it must be 32 bytes or 64 hex digits")]
    Content { path: PathBuf, len: usize },
    #[error("sealing key {0}: all bytes are the same")]
    Constant(PathBuf),
    #[error("credential '{0}': must be a plain file name")]
    CredentialName(String),
    #[error("credential '{0}': $CREDENTIALS_DIRECTORY is not set (systemd's LoadCredential=)")]
    NoCredentials(String),
    #[error("no randomness from the operating system: {0}")]
    Random(getrandom::Error),
}

/// Longest key file that is read: 64 hex digits and a line end.
const MAX_FILE: usize = 66;

impl SealingKey {
    /// Takes the bytes that another key store gave.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// Reads 32 raw bytes or 64 hex digits. Refused: a symbolic link, an owner who is neither we nor root,
    /// any right for group or others.
    pub fn from_file(path: &Path) -> Result<Self, SealingKeyError> {
        read(path, 0o077)
    }

    /// Reads `$CREDENTIALS_DIRECTORY/<name>` (systemd.exec(5), LoadCredential=).
    ///
    /// systemd lets the service's user in by an ACL, whose mask shows as the group's read bit (0440) on
    /// root's file: that bit alone is no refusal here.
    pub fn from_credentials(name: &str) -> Result<Self, SealingKeyError> {
        let dir = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|d| !d.is_empty());
        Self::from_credentials_in(
            &PathBuf::from(dir.ok_or_else(|| SealingKeyError::NoCredentials(name.into()))?),
            name,
        )
    }

    fn from_credentials_in(dir: &Path, name: &str) -> Result<Self, SealingKeyError> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(SealingKeyError::CredentialName(name.into()));
        }
        read(&dir.join(name), 0o037)
    }

    /// Makes a file with a fresh random key, mode 0600, and answers the key. An existing file is never
    /// touched.
    pub fn create_file(path: &Path) -> Result<Self, SealingKeyError> {
        let io = |what| move |e: io::Error| SealingKeyError::Io { path: path.into(), what, source: e };
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(SealingKeyError::Random)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(
            rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).map_err(|e| io("create")(e.into()))?,
        );
        let mut text = Zeroizing::new(hex::encode(*key));
        text.push('\n');
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| crate::file::sync_parent(path));
        if let Err(e) = written {
            let _ = std::fs::remove_file(path); // half a key is no key
            return Err(io("write")(e));
        }
        Ok(Self(key))
    }

    /// The hash of one purpose, also without the vault: what it keeps stays checkable where the vault is not
    /// opened.
    pub fn keyed_hash(&self, purpose: &str) -> KeyedHash {
        KeyedHash(hmac(&self.derive(&["hash:", purpose])))
    }

    /// The 32-byte key of one purpose.
    pub(crate) fn derive(&self, purpose: &[&str]) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        let info: Vec<&[u8]> = purpose.iter().map(|p| p.as_bytes()).collect();
        Hkdf::<Sha256>::new(Some(b"payterm-vault"), &*self.0)
            .expand_multi_info(&info, &mut *out)
            .expect("32 bytes are within RFC 5869's 255 blocks");
        out
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// All checks are made on the open file, so that it cannot be exchanged between check and use.
fn read(path: &Path, refused: u32) -> Result<SealingKey, SealingKeyError> {
    let path = || path.to_path_buf();
    let io = |what| move |e: io::Error| SealingKeyError::Io { path: path(), what, source: e };
    // NONBLOCK: a FIFO in this place must not hang the start.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path(), flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::LOOP) => return Err(SealingKeyError::Symlink(path())),
        Err(e) => return Err(io("open")(e.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(|e| io("stat")(e.into()))?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(SealingKeyError::NotAFile(path()));
    }
    let (mode, us) = (stat.st_mode & 0o7777, rustix::process::geteuid().as_raw());
    if stat.st_uid != 0 && stat.st_uid != us {
        return Err(SealingKeyError::Owner { path: path(), owner: stat.st_uid, us });
    }
    if mode & refused != 0 {
        return Err(SealingKeyError::Mode {
            path: path(),
            mode,
            who: if mode & 0o007 != 0 { "others" } else { "the group" },
        });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(io("read"))?;
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() == 32 {
        key.copy_from_slice(&bytes);
    } else {
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        hex::decode_to_slice(text, &mut *key)
            .map_err(|_| SealingKeyError::Content { path: path(), len: bytes.len() })?;
    }
    if key.iter().all(|b| *b == key[0]) {
        return Err(SealingKeyError::Constant(path()));
    }
    Ok(SealingKey(key))
}

/// `nonce 12 | cipher text | tag 16`.
pub(crate) fn seal(key: &[u8; 32], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce)?;
    // Room for all of it at once: a buffer that grows would leave the clear text behind.
    let mut out = Vec::with_capacity(NONCE + plain.len() + TAG);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let tag = Aes256Gcm::new(key.into())
        .encrypt_inout_detached(&Nonce::from(nonce), aad, (&mut out[NONCE..]).into())
        .expect("AES-GCM takes 64 GiB, memory ends before");
    out.extend_from_slice(&tag);
    Ok(out)
}

/// Opens a sealed value; none: too short, other key, other `aad`, or changed.
pub(crate) fn unseal(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
    let (cipher_text, tag) = rest.split_last_chunk::<TAG>()?;
    let mut plain = Zeroizing::new(cipher_text.to_vec());
    Aes256Gcm::new(key.into())
        .decrypt_inout_detached(&Nonce::from(*nonce), aad, plain.as_mut_slice().into(), &Tag::from(*tag))
        .ok()?;
    Some(SecretBytes::new(std::mem::take(&mut plain)))
}

const NONCE: usize = 12;
const TAG: usize = 16;

/// HMAC-SHA-256 (RFC 2104).
pub(crate) fn keyed_hash(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    let mut mac = hmac(key);
    mac.update(data);
    mac.finalize().into_bytes().into()
}
fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// HMAC-SHA-256 under the key of one purpose, for who hashes much and sees no key.
#[derive(Clone)]
pub struct KeyedHash(Hmac<Sha256>);

impl KeyedHash {
    /// The hash of all parts; each goes in behind its length, so that no two lists of parts hash alike.
    pub fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}
impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(..)")
    }
}
