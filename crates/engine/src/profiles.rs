//! Acquirers' profiles: built in by name, or a file.
use payterm_hosts::{Profile, ProfileError};
use payterm_schema::{AccountId, config::AccountConfig};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("account {account}: profile {path}: {cause}")]
    Read { account: AccountId, path: PathBuf, cause: std::io::Error },
    #[error("account {account}: {cause}")]
    Profile { account: AccountId, cause: ProfileError },
}

/// Names of the built-in profiles.
pub fn names() -> impl Iterator<Item = &'static str> {
    Profile::names()
}

/// Returns the profile that the account names.
pub fn load(a: &AccountConfig) -> Result<Profile, LoadError> {
    let parsed = if a.profile.contains('/') {
        let read = |cause| LoadError::Read { account: a.id.clone(), path: a.profile.clone().into(), cause };
        Profile::parse(&std::fs::read_to_string(&a.profile).map_err(read)?)
    } else {
        Profile::builtin(&a.profile)
    };
    parsed.map_err(|cause| LoadError::Profile { account: a.id.clone(), cause })
}
