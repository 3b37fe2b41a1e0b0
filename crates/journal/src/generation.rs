//! The generation file: how far the marks were when the journal was last opened or left in order, in a file
//! outside the state directory. A state directory whose marks are behind it is an old copy that was put back.
//!
//! 32 bytes: the marks' generation, 8, and the first 24 of the keyed hash of `generation` and that. What
//! another terminal has written, or nobody whole, says nothing.
use crate::{StoreError, files};
use payterm_vault::KeyedHash;
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

fn bytes(key: &KeyedHash, generation: u64) -> [u8; 32] {
    let number = generation.to_be_bytes();
    let hash = key.of(&[b"generation", &number]);
    let mut all = [0; 32];
    all[..8].copy_from_slice(&number);
    all[8..].copy_from_slice(&hash[..24]);
    all
}

/// The generation that it names; none: there is no file, or not of this terminal.
pub(crate) fn read(path: &Path, key: &KeyedHash) -> Result<Option<u64>, StoreError> {
    let found = match fs::read(path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(files::file_error(path)(e)),
    };
    let number = found.first_chunk().map(|n| u64::from_be_bytes(*n));
    Ok(number.filter(|n| found == bytes(key, *n)))
}

/// Replaces it; synced, with its name.
pub(crate) fn write(path: &Path, key: &KeyedHash, generation: u64) -> Result<(), StoreError> {
    // Its whole name and more: lanes may keep theirs side by side, `lane.1` and `lane.2`.
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    files::private(&new)?
        .write_all(&bytes(key, generation))
        .and_then(|()| fs::File::open(&new)?.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .map_err(files::file_error(path))?;
    files::sync_dir(path.parent().unwrap_or(path))
}
