//! A test card's memory: what a pull does not take, kept in a file.
use super::{Given, TestCard};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

/// Counters, tries, blocks and the list of cryptograms. No number, PIN or key is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Name of the persona.
    pub persona: String,
    pub tries: u8,
    pub blocked: bool,
    /// Random numbers so far.
    pub drawn: u64,
    /// In the card's order.
    pub applications: Vec<ApplicationMemory>,
    pub given: Vec<Given>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationMemory {
    pub atc: u16,
    pub last_online: u16,
    pub offline_count: u16,
    pub blocked: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("{path}: {cause}")]
    File { path: String, cause: std::io::Error },
    #[error("{path}: {cause}")]
    Syntax { path: String, cause: serde_json::Error },
    #[error("{path}: the memory of another card than {persona}")]
    Other { path: String, persona: String },
}

/// Bytes as hex digits.
pub(super) mod digits {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: impl AsRef<[u8]>, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode_upper(bytes))
    }
    pub fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(d: D) -> Result<T, D::Error> {
        let bytes = hex::decode(String::deserialize(d)?).map_err(de::Error::custom)?;
        T::try_from(bytes).map_err(|_| de::Error::custom("another number of hex digits"))
    }
}

/// Greatest size of a file.
const MAX: u64 = 16 << 20;

/// The file of one card's memory.
pub struct Kept {
    path: PathBuf,
    /// What is in it.
    written: Option<Memory>,
}

impl Kept {
    /// Opens the file, and gives the card the memory that is in it; without a file the card is new.
    pub fn open(path: &Path, card: &mut TestCard) -> Result<Self, MemoryError> {
        let name = || path.display().to_string();
        let fail = |cause| MemoryError::File { path: name(), cause };
        let mut kept = Self { path: path.to_owned(), written: None };
        match std::fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(kept),
            Err(e) => return Err(fail(e)),
            Ok(m) if m.len() > MAX => return Err(fail(std::io::Error::other("too large"))),
            Ok(_) => {}
        }
        let text = std::fs::read(path).map_err(fail)?;
        let memory: Memory =
            serde_json::from_slice(&text).map_err(|cause| MemoryError::Syntax { path: name(), cause })?;
        if !card.remember(&memory) {
            return Err(MemoryError::Other { path: name(), persona: card.name.clone() });
        }
        kept.written = Some(memory);
        Ok(kept)
    }

    /// Writes what has changed: whole, or not at all, and on disk when this returns.
    pub fn write(&mut self, card: &TestCard) -> std::io::Result<()> {
        let memory = card.memory();
        if self.written.as_ref() == Some(&memory) {
            return Ok(());
        }
        let mut part = self.path.clone().into_os_string();
        part.push(".part");
        let mut file = File::create(&part)?;
        file.write_all(&serde_json::to_vec(&memory)?)?;
        file.sync_all()?;
        std::fs::rename(&part, &self.path)?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()?;
        self.written = Some(memory);
        Ok(())
    }
}

impl TestCard {
    /// What it would keep in its memory now.
    pub fn memory(&self) -> Memory {
        let applications = self.applications.iter().map(|a| ApplicationMemory {
            atc: a.atc,
            last_online: a.last_online,
            offline_count: a.offline_count,
            blocked: a.blocked,
        });
        Memory {
            persona: self.name.clone(),
            tries: self.tries,
            blocked: self.blocked,
            drawn: self.drawn,
            applications: applications.collect(),
            given: self.given.clone(),
        }
    }

    /// Takes a memory up; false, and nothing is changed, when it is another card's.
    pub fn remember(&mut self, memory: &Memory) -> bool {
        if memory.persona != self.name || memory.applications.len() != self.applications.len() {
            return false;
        }
        (self.tries, self.blocked, self.drawn) = (memory.tries, memory.blocked, memory.drawn);
        self.given.clone_from(&memory.given);
        for (application, kept) in self.applications.iter_mut().zip(&memory.applications) {
            application.atc = kept.atc;
            application.last_online = kept.last_online;
            application.offline_count = kept.offline_count;
            application.blocked = kept.blocked;
        }
        self.reset();
        true
    }
}
