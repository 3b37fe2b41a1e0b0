//! The files `vault.sealed` and `terminal.sealed`.
//!
//! `"PAYTERMV" | version u16 | key check 8 | body length u32 | body | SHA-256 of all before`, big endian;
//! body = nonce 12, cipher text, tag 16, AES-256-GCM with everything before the body as additional data. The
//! hash is no protection: it tells a torn file from a wrong key.
use crate::{SealingKey, VaultError, sealing};
use payterm_schema::secret::SecretBytes;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

/// A sealed file: its name, and the purpose of its key, so that one cannot stand in for another.
#[derive(Clone, Copy)]
pub(crate) struct Sealed {
    pub name: &'static str,
    purpose: &'static str,
}
/// Keys of the accounts.
pub(crate) const VAULT: Sealed = Sealed { name: "vault.sealed", purpose: "file" };
/// The terminal's own RSA key.
pub(crate) const TERMINAL: Sealed = Sealed { name: "terminal.sealed", purpose: "file:terminal" };
const MAGIC: &[u8; 8] = b"PAYTERMV";
const VERSION: u16 = 1;
const HEADER: usize = 8 + 2 + 8 + 4;
const HASH: usize = 32;
/// Room for 100 accounts with the hashes of all their keys; more is no vault of ours.
const MAX_FILE: usize = 4 << 20;

/// Reads a sealed file; none when there is no file.
pub(crate) fn read(what: Sealed, dir: &Path, key: &SealingKey) -> Result<Option<SecretBytes>, VaultError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let path = dir.join(what.name);
    let io = |step| move |e: io::Error| VaultError::Io { path: dir.join(what.name), what: step, source: e };
    let file = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::NOENT) if dir.is_dir() => return Ok(None),
        Err(e) => return Err(io("open")(e.into())),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(io("read"))?;
    if bytes.len() > MAX_FILE {
        return Err(VaultError::Damaged("it is longer than 4 MiB"));
    }
    open(what, &bytes, key).map(Some)
}

fn open(what: Sealed, bytes: &[u8], key: &SealingKey) -> Result<SecretBytes, VaultError> {
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(VaultError::Damaged("it is cut short"))?;
    let (version, _) = rest.split_first_chunk::<2>().ok_or(VaultError::Damaged("it is cut short"))?;
    if magic != MAGIC {
        return Err(VaultError::Damaged("it does not begin as a vault"));
    }
    // The version comes first: a later layout may have its length and hash elsewhere.
    match u16::from_be_bytes(*version) {
        VERSION => {}
        0 => return Err(VaultError::Damaged("its version is 0")),
        found => return Err(VaultError::Newer { found, known: VERSION }),
    }
    let (content, hash) = bytes.split_last_chunk::<HASH>().ok_or(VaultError::Damaged("it is cut short"))?;
    let (header, body) = content.split_at_checked(HEADER).ok_or(VaultError::Damaged("it is cut short"))?;
    if header[18..] != (body.len() as u32).to_be_bytes() || Sha256::digest(content)[..] != hash[..] {
        return Err(VaultError::Damaged("it is torn or changed: length or hash does not fit"));
    }
    if header[10..18] != key_check(key) {
        return Err(VaultError::WrongKey);
    }
    sealing::unseal(&key.derive(&[what.purpose]), header, body)
        .ok_or(VaultError::Damaged("its seal does not fit its content"))
}

/// Durable when it returns `Ok`; until then the former file stands.
pub(crate) fn write(what: Sealed, dir: &Path, key: &SealingKey, plain: &[u8]) -> Result<(), VaultError> {
    let body_len = (12 + plain.len() + 16) as u32; // a few KiB
    let mut out =
        [MAGIC.as_slice(), &VERSION.to_be_bytes(), &key_check(key), &body_len.to_be_bytes()].concat();
    let body = sealing::seal(&key.derive(&[what.purpose]), &out, plain).map_err(VaultError::Random)?;
    out.extend_from_slice(&body);
    let hash = Sha256::digest(&out);
    out.extend_from_slice(&hash);

    let new = dir.join(format!("{}.new", what.name));
    let io = |step| {
        let path = new.clone();
        move |e: io::Error| VaultError::Io { path, what: step, source: e }
    };
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io("remove")(e)),
        _ => {} // gone, or left over from a power cut
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(
        rustix::fs::open(&new, flags, Mode::from_raw_mode(0o600)).map_err(|e| io("create")(e.into()))?,
    );
    let done = file.write_all(&out).and_then(|()| file.sync_all()).map_err(io("write"));
    let done = done.and_then(|()| std::fs::rename(&new, dir.join(what.name)).map_err(io("rename")));
    if done.is_err() {
        let _ = std::fs::remove_file(&new); // the first error is the one to tell
    }
    done.and_then(|()| sync_parent(&new).map_err(io("sync the directory of")))
}

/// Makes a created or renamed entry durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Tells one sealing key from another; derived, so it says nothing about the key.
fn key_check(key: &SealingKey) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *key.derive(&["key check"]);
    [a, b, c, d, e, f, g, h]
}
