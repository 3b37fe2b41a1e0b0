//! Keys on their way into the vault: the sealing key at start, a master key by hand.
use crate::store::{self, StoreError};
use payterm_schema::{config::Config, secret::SecretBytes};
use payterm_vault::{SealingKey, SealingKeyError, Vault, VaultError};
use std::io::{self, BufRead, Read};
use zeroize::Zeroizing;

/// Name of the sealing key among systemd's credentials.
const CREDENTIAL: &str = "payterm-vault-key";
/// Greatest input in bytes: a key block and some line ends.
const INPUT: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub enum KeyLoadError {
    #[error("account {0}: not in the configuration")]
    Account(String),
    #[error("line {line}: {rule}")]
    Line { line: usize, rule: &'static str },
    #[error("standard input: {0}")]
    Input(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    SealingKey(#[from] SealingKeyError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

pub fn sealing_key(config: &Config) -> Result<SealingKey, SealingKeyError> {
    match &config.vault.key_file {
        Some(file) => SealingKey::from_file(file),
        None => SealingKey::from_credentials(CREDENTIAL),
    }
}

/// Loads the account's TMK while no daemon runs on the state directory; answers its check value (6 hex digits).
pub fn load_tmk(config: &Config, account: &str, input: impl BufRead) -> Result<String, KeyLoadError> {
    if !config.accounts.iter().any(|a| a.id.as_str() == account) {
        return Err(KeyLoadError::Account(account.into()));
    }
    let _lock = store::hold(&config.store.dir)?;
    let vault = Vault::open(&config.store.dir, sealing_key(config)?)?;
    let mut text = Zeroizing::new(String::with_capacity(INPUT as usize));
    input.take(INPUT).read_to_string(&mut text)?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    match lines[..] {
        [block] => vault.load_tmk_block(account, block)?,
        [a, b, kcv] => {
            let (a, b) = (component(1, a)?, component(2, b)?);
            vault.load_tmk_components(account, &a.0, &a.1, &b.0, &b.1, &hex_of(3, kcv)?)?;
        }
        _ => return Err(KeyLoadError::Line { line: lines.len() + 1, rule: "one line (a key block) or three (two components, check value of the key)" }),
    }
    Ok(vault.tmk_check_value(account).map(hex::encode_upper).unwrap_or_default())
}

fn component(line: usize, text: &str) -> Result<(SecretBytes, Vec<u8>), KeyLoadError> {
    let (key, kcv) = text.split_once(' ').ok_or(KeyLoadError::Line { line, rule: "a component and its check value, in hex" })?;
    Ok((SecretBytes::new(hex_of(line, key)?), hex_of(line, kcv.trim())?))
}
fn hex_of(line: usize, text: &str) -> Result<Vec<u8>, KeyLoadError> {
    hex::decode(text).map_err(|_| KeyLoadError::Line { line, rule: "hex digits" })
}
