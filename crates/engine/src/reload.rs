//! What a running terminal takes of a configuration that was changed: everything that it names is read first,
//! and of one that is wrong in any part nothing is taken.
use crate::{
    Engine,
    hostlink::{self, Tls, TlsError},
    spooler, templates,
    tms::{Believed, TmsError},
};
use payterm_schema::{
    AccountId, Caller, Fault, Terminal,
    config::{AccountConfig, Config, TlsConfig},
};
use payterm_texts::TemplateFault;
use std::{collections::BTreeMap, sync::PoisonError};

#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("template {0}")]
    Template(TemplateFault),
    #[error("account {account}: {cause}")]
    Tls { account: AccountId, cause: TlsError },
    #[error(transparent)]
    Tms(#[from] TmsError),
    #[error("terminal.language: {0}")]
    Language(Fault),
    #[error("the files that it names were not read: a thread ended")]
    Unread,
}

/// The running configuration with what is taken of a new one without a restart: language, log level,
/// templates, the TLS files of lines that have TLS, those of the terminal management, and who may call.
pub fn taken(running: &Config, new: &Config) -> Config {
    let mut taken = running.clone();
    taken.terminal.language = new.terminal.language;
    taken.log.level.clone_from(&new.log.level);
    taken.paper.templates.clone_from(&new.paper.templates);
    taken.bus.callers.clone_from(&new.bus.callers);
    for account in &mut taken.accounts {
        if let Some(tls) = tls_of(account, new) {
            account.tls = Some(tls);
        }
    }
    if let (Some(tms), Some(new)) = (&mut taken.tms, &new.tms) {
        tms.ca.clone_from(&new.ca);
        tms.signing_key.clone_from(&new.signing_key);
        tms.server_name.clone_from(&new.server_name);
    }
    taken
}

/// The TLS of a line that has some as the new configuration names it. The CA of an account that was granted
/// is the terminal management's.
fn tls_of(line: &AccountConfig, new: &Config) -> Option<TlsConfig> {
    let now = line.tls.as_ref()?;
    match new.accounts.iter().find(|a| a.id == line.id) {
        Some(account) => account.tls.clone(),
        None => new.tms.as_ref().map(|tms| TlsConfig { ca: tms.ca.clone(), ..now.clone() }),
    }
}

/// Files that a new configuration names, read and found good.
struct Files {
    templates: spooler::Loaded,
    tls: BTreeMap<AccountId, Tls>,
    believed: Option<Believed>,
}

impl Files {
    fn read(new: &Config, lines: &[AccountConfig]) -> Result<Self, ReloadError> {
        let templates = templates::load(new.paper.templates.as_deref());
        if let Some(fault) = templates.1.first() {
            return Err(ReloadError::Template(fault.clone()));
        }
        let mut tls = BTreeMap::new();
        for line in lines {
            if let Some(of) = tls_of(line, new) {
                let made = hostlink::connector(&of, &line.address)
                    .map_err(|cause| ReloadError::Tls { account: line.id.clone(), cause })?;
                tls.insert(line.id.clone(), made);
            }
        }
        Ok(Self { templates, tls, believed: new.tms.as_ref().map(Believed::read).transpose()? })
    }
}

impl Engine {
    /// Takes [`taken`] of a configuration that was checked as at a start. Its files are read anew even when
    /// their names are the same.
    pub async fn reload(&self, new: &Config) -> Result<(), ReloadError> {
        // Not while the terminal is built anew, or left.
        let _turn = self.turn.lock().await;
        let (running, terminal) = (self.kept.config(), self.door.now());
        let lines: Vec<_> = terminal.iter().flat_map(|t| &t.lines).cloned().collect();
        let configs: Vec<_> = lines.iter().map(|line| line.config.clone()).collect();
        let own = new.clone();
        // A directory that hangs keeps no payment waiting.
        let files = tokio::task::spawn_blocking(move || Files::read(&own, &configs));
        let mut files = files.await.map_err(|_| ReloadError::Unread)??;
        // The last that can fail.
        if running.terminal.language != new.terminal.language {
            let spoken = self.door.set_language(&Caller::payterm(), new.terminal.language).await;
            spoken.map_err(ReloadError::Language)?;
        }
        if let Some(terminal) = terminal {
            terminal.papers.set_templates(files.templates);
        }
        for line in lines {
            if let Some(tls) = files.tls.remove(&line.config.id) {
                line.set_tls(tls);
            }
        }
        if let (Some(tms), Some(believed)) = (&self.kept.tms, files.believed) {
            tms.set_believed(believed);
        }
        *self.kept.config.lock().unwrap_or_else(PoisonError::into_inner) = taken(&running, new);
        Ok(())
    }
}
