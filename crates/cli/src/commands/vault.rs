//! `paytermctl vault`: provisioning of keys into the vault of a terminal that is not running. Only check
//! values are shown.
use crate::{Failure, args::account, secret, ui::Ui};
use clap::{Args, Subcommand, ValueEnum};
use payterm_schema::{AccountId, Fault, secret::SecretBytes};
use payterm_vault::{SealingKey, Vault};
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

#[derive(Args)]
pub struct VaultAt {
    /// State directory of the terminal.
    #[arg(long, env = "PAYTERM_STATE", value_name = "DIR")]
    pub state: PathBuf,
    /// The file with the sealing key, mode 0600.
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
}

#[derive(Subcommand)]
pub enum VaultAction {
    /// Makes the vault, and the sealing key if its file is not there.
    Init {
        #[command(flatten)]
        at: VaultAt,
    },
    /// Loads an account's terminal master key from two components of 16 bytes: component 1, its check value,
    /// component 2, its check value, check value of the key, each a line of hex.
    TmkComponents {
        #[command(flatten)]
        at: VaultAt,
        #[arg(long, value_parser = account)]
        account: AccountId,
    },
    /// Loads an account's key block protection key from two components, in the same order.
    KbpkComponents {
        #[command(flatten)]
        at: VaultAt,
        #[arg(long, value_parser = account)]
        account: AccountId,
        #[arg(long, value_enum)]
        algorithm: KeyAlgorithm,
    },
    /// Loads an account's terminal master key from a key block (TR-31 version B or D), one line.
    TmkBlock {
        #[command(flatten)]
        at: VaultAt,
        #[arg(long, value_parser = account)]
        account: AccountId,
    },
    /// Loads the service key from two components of 16 or 32 bytes, in the same order. Customer service has
    /// the same key in a vault of its own.
    ServiceKey {
        #[command(flatten)]
        at: VaultAt,
    },
    /// For customer service: the code that unlocks the terminal which shows this challenge.
    ServiceCode {
        #[command(flatten)]
        at: VaultAt,
        /// The 8 digits on the terminal's screen.
        challenge: String,
    },
    /// Which keys these accounts have: check values only.
    Status {
        #[command(flatten)]
        at: VaultAt,
        #[arg(long = "account", required = true, value_parser = account)]
        accounts: Vec<AccountId>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyAlgorithm {
    /// For key blocks of version D.
    Aes,
    /// For key blocks of version B.
    Tdes,
}

pub fn run(ui: &Ui, action: VaultAction) -> Result<u8, Failure> {
    secret::keep_in()?;
    match action {
        VaultAction::Init { at } => {
            if !at.state.exists() {
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&at.state)
                    .map_err(|e| Failure::Local(format!("{}: {e}", at.state.display())))?;
            }
            let _lock = lock(&at.state)?;
            let key = if at.key_file.exists() {
                SealingKey::from_file(&at.key_file)
            } else {
                SealingKey::create_file(&at.key_file)
            };
            Vault::open(&at.state, key.map_err(Failure::local)?).map_err(Failure::local)?;
        }
        VaultAction::TmkComponents { at, account } => {
            let (vault, _lock) = open(&at)?;
            let k = Components::read()?;
            vault
                .load_tmk_components(
                    account.as_str(),
                    &k.first.0,
                    &k.first.1,
                    &k.second.0,
                    &k.second.1,
                    &k.kcv,
                )
                .map_err(Failure::local)?;
        }
        VaultAction::KbpkComponents { at, account, algorithm } => {
            let (vault, _lock) = open(&at)?;
            let k = Components::read()?;
            let load = match algorithm {
                KeyAlgorithm::Aes => Vault::load_kbpk_aes,
                KeyAlgorithm::Tdes => Vault::load_kbpk_tdes,
            };
            load(&vault, account.as_str(), &k.first.0, &k.first.1, &k.second.0, &k.second.1, &k.kcv)
                .map_err(Failure::local)?;
        }
        VaultAction::TmkBlock { at, account } => {
            let (vault, _lock) = open(&at)?;
            vault.load_tmk_block(account.as_str(), &secret::line("key block")?).map_err(Failure::local)?;
        }
        VaultAction::ServiceKey { at } => {
            let (vault, _lock) = open(&at)?;
            let k = Components::read()?;
            vault
                .load_service_key(&k.first.0, &k.first.1, &k.second.0, &k.second.1, &k.kcv)
                .map_err(Failure::local)?;
        }
        VaultAction::ServiceCode { at, challenge } => {
            if challenge.len() != 8 || !challenge.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Fault::invalid("challenge", "8 digits").into());
            }
            let (vault, _lock) = open(&at)?;
            let code = vault.service_code(&challenge).map_err(Failure::local)?;
            ui.result(&serde_json::json!({ "code": code.reveal() }), || code.reveal().to_owned());
            return Ok(0);
        }
        VaultAction::Status { at, accounts } => {
            let (vault, _lock) = open(&at)?;
            let rows: Vec<_> = accounts
                .iter()
                .map(|a| KeyStatus {
                    account: a.to_string(),
                    tmk_check_value: vault.tmk_check_value(a.as_str()).map(hex::encode_upper),
                    working_keys: vault.has_working_keys(a.as_str()),
                })
                .collect();
            let (yes, no) = (ui.text("yes"), ui.text("cli-none"));
            let cells = |r: &KeyStatus| {
                [
                    r.account.clone(),
                    r.tmk_check_value.clone().unwrap_or_else(|| no.clone()),
                    if r.working_keys { yes.clone() } else { no.clone() },
                ]
            };
            ui.result(&rows, || {
                ui.table(["label-account", "cli-tmk-check-value", "cli-working-keys"], rows.iter().map(cells))
            });
            return Ok(0);
        }
    }
    ui.done();
    Ok(0)
}

#[derive(Serialize)]
struct KeyStatus {
    account: String,
    tmk_check_value: Option<String>,
    working_keys: bool,
}

/// An existing vault, with the terminal's own lock on its directory: a running terminal holds the keys in
/// memory and would write over what is loaded here.
fn open(at: &VaultAt) -> Result<(Vault, File), Failure> {
    let lock = lock(&at.state)?;
    if !at.state.join("vault.sealed").exists() {
        return Err(Failure::Local(format!(
            "{}: no vault here; make one with vault init",
            at.state.display()
        )));
    }
    let key = SealingKey::from_file(&at.key_file).map_err(Failure::local)?;
    Ok((Vault::open(&at.state, key).map_err(Failure::local)?, lock))
}

fn lock(state: &Path) -> Result<File, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::Local(format!("{}: {why}", state.display()));
    let owner = std::fs::metadata(state).map_err(|e| failed(&e))?.uid();
    let us = rustix::process::geteuid().as_raw();
    if owner != us {
        // The files would belong to another user than the terminal runs as.
        return Err(failed(&format!("belongs to uid {owner}; run as that user, not as uid {us}")));
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(state.join("lock"))
        .map_err(|e| failed(&e))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(failed(&"in use: stop the terminal first")),
        Err(e) => Err(failed(&e)),
    }
}

/// Two components with their check values, and the check value of the key. Each part is asked for on its own,
/// so that two people can type one after the other.
struct Components {
    first: (SecretBytes, Vec<u8>),
    second: (SecretBytes, Vec<u8>),
    kcv: Vec<u8>,
}
impl Components {
    fn read() -> Result<Self, Fault> {
        Ok(Self {
            first: (bytes("component 1")?, bytes("check value of component 1")?.reveal().to_vec()),
            second: (bytes("component 2")?, bytes("check value of component 2")?.reveal().to_vec()),
            kcv: bytes("check value of the key")?.reveal().to_vec(),
        })
    }
}

fn bytes(what: &str) -> Result<SecretBytes, Fault> {
    let mut text = secret::line(what)?;
    // Written down in groups.
    text.retain(|c| !c.is_ascii_whitespace());
    hex::decode(text.as_bytes())
        .map(SecretBytes::new)
        .map_err(|_| Fault::invalid(what, "pairs of hexadecimal digits"))
}
