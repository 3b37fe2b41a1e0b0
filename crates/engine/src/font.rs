//! The shop's font from its file.
use payterm_texts::Font;
use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// Greatest size of the file, in bytes: Chinese fonts are of some ten million.
const FILE_MAX: u64 = 64 << 20;

/// Font of `paper.font`; the error says what is wrong with the file. Without a file: none.
pub fn load(path: Option<&Path>) -> Result<Option<Font>, String> {
    let Some(path) = path else { return Ok(None) };
    let wrong = |rule: String| format!("{}: {rule}", path.display());
    let mut bytes = Vec::new();
    // A pipe or a device would be waited for.
    let found = fs::metadata(path).and_then(|m| match m.len() {
        _ if !m.is_file() => Err(io::Error::other("no file")),
        n if n > FILE_MAX => Err(io::Error::other("more than 64 MiB")),
        _ => File::open(path),
    });
    found.and_then(|f| f.take(FILE_MAX).read_to_end(&mut bytes)).map_err(|e| wrong(e.to_string()))?;
    Font::new(bytes).map(Some).ok_or_else(|| wrong("no TrueType or OpenType font".into()))
}
