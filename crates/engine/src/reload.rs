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
    config::{AccountConfig, Config, TlsConfig, TmsConfig},
};
use payterm_texts::TemplateFault;
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};
use tokio::sync::oneshot;

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
/// templates, the TLS files of lines that have TLS, those of the terminal management, and who may call. TLS
/// files are of a host: where its address has changed too, neither is taken.
pub fn taken(running: &Config, new: &Config) -> Config {
    let mut taken = running.clone();
    taken.terminal.language = new.terminal.language;
    taken.log.level.clone_from(&new.log.level);
    taken.paper.templates.clone_from(&new.paper.templates);
    taken.bus.callers.clone_from(&new.bus.callers);
    for account in &mut taken.accounts {
        if let Some(tls) = tls_of(account, running, new) {
            account.tls = Some(tls);
        }
    }
    if let (Some(tms), Some(new)) = (&mut taken.tms, same_management(running, new)) {
        tms.ca.clone_from(&new.ca);
        tms.signing_key.clone_from(&new.signing_key);
        tms.server_name.clone_from(&new.server_name);
    }
    taken
}

/// The new `[tms]`, where it is of the terminal management that is asked now.
fn same_management<'a>(running: &Config, new: &'a Config) -> Option<&'a TmsConfig> {
    let (now, new) = (running.tms.as_ref()?, new.tms.as_ref()?);
    (now.authority() == new.authority()).then_some(new)
}

/// The TLS of a line that has some as the new configuration names it; none where it names no such line at
/// that address. The CA of an account that was granted, which the running file does not have, is the
/// terminal management's.
fn tls_of(line: &AccountConfig, running: &Config, new: &Config) -> Option<TlsConfig> {
    let now = line.tls.as_ref()?;
    if running.accounts.iter().any(|a| a.id == line.id) {
        new.accounts.iter().find(|a| a.id == line.id && a.address == line.address)?.tls.clone()
    } else {
        let tms = same_management(running, new)?;
        Some(TlsConfig { ca: tms.ca.clone(), ..now.clone() })
    }
}

/// Files that a new configuration names, read and found good.
struct Files {
    templates: spooler::Loaded,
    tls: BTreeMap<AccountId, Tls>,
    believed: Option<Believed>,
}

impl Files {
    fn read(running: &Config, new: &Config, lines: &[AccountConfig]) -> Result<Self, ReloadError> {
        let templates = templates::load(new.paper.templates.as_deref());
        if let Some(fault) = templates.1.first() {
            return Err(ReloadError::Template(fault.clone()));
        }
        let mut tls = BTreeMap::new();
        for line in lines {
            if let Some(of) = tls_of(line, running, new) {
                let made = hostlink::connector(&of, &line.address)
                    .map_err(|cause| ReloadError::Tls { account: line.id.clone(), cause })?;
                tls.insert(line.id.clone(), made);
            }
        }
        Ok(Self { templates, tls, believed: same_management(running, new).map(Believed::read).transpose()? })
    }
}

/// What `read` makes of files, on a named thread of its own. The runtime waits for its own threads at the
/// end, and a mount that is dead lets none go. None: the thread ended without an answer.
pub async fn aside<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    let thread = std::thread::Builder::new().name("payterm-reload".into());
    // Nobody may be waiting any more.
    thread.spawn(move || answer.send(read()).ok()).ok()?;
    answered.await.ok()
}

impl Engine {
    /// Takes [`taken`] of a configuration that was checked as at a start. Its files are read anew even when
    /// their names are the same.
    pub async fn reload(&self, new: &Config) -> Result<(), ReloadError> {
        let (running, terminal, lines, mut files, _turn) = loop {
            let (running, terminal) = (self.kept.config(), self.door.now());
            let lines: Vec<_> = terminal.iter().flat_map(|t| &t.lines).cloned().collect();
            let configs: Vec<_> = lines.iter().map(|line| line.config.clone()).collect();
            let own = (running.clone(), new.clone());
            // A directory that hangs keeps neither a payment waiting nor the terminal's end.
            let files = aside(move || Files::read(&own.0, &own.1, &configs)).await;
            let files = files.ok_or(ReloadError::Unread)??;
            // Not while the terminal is built anew, or left. One that was meanwhile has other lines.
            let turn = self.turn.lock().await;
            let as_read = match (&terminal, self.door.now()) {
                (Some(then), Some(now)) => Arc::ptr_eq(then, &now),
                (then, now) => then.is_none() && now.is_none(),
            };
            if as_read && running == self.kept.config() {
                break (running, terminal, lines, files, turn);
            }
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[account]]
        id = "cup"
        profile = "unionpay"
        mid = "898310000000001"
        tid = "10000001"
        currency = "CNY"
        address = "pos.acquirer.test:9000"
        tls = { ca = "/cup.pem" }

        [tms]
        url = "https://tms.acquirer.test"
        ca = "/tms.pem"
        signing_key = "/signing.pem"
    "#;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }
    fn ca(config: &Config) -> String {
        config.accounts[0].tls.as_ref().unwrap().ca.display().to_string()
    }

    #[test]
    fn the_tls_of_a_line_is_taken_while_it_is_the_same_line() {
        let running = config(FILE);
        let other_ca = FILE.replace("/cup.pem", "/new.pem");
        assert_eq!(ca(&taken(&running, &config(&other_ca))), "/new.pem");
        // Renamed, with another address, and removed: it runs on as it is.
        for (from, to) in [("id = \"cup\"", "id = \"other\""), ("pos.acquirer.test:", "new.acquirer.test:")] {
            let new = config(&other_ca.replace(from, to));
            assert_eq!(taken(&running, &new).accounts, running.accounts, "{to}");
        }
        let removed =
            config(FILE.split_once("[tms]").map(|(_, tms)| format!("[tms]{tms}")).unwrap().as_str());
        assert!(removed.accounts.is_empty());
        assert_eq!(taken(&running, &removed).accounts, running.accounts);
        assert_eq!(tls_of(&running.accounts[0], &running, &removed), None);
    }

    #[test]
    fn the_ca_of_a_granted_line_is_the_managements() {
        let running = config(FILE);
        let granted = AccountConfig { id: AccountId::new("granted").unwrap(), ..running.accounts[0].clone() };
        let of = |new: &str| tls_of(&granted, &running, &config(new)).map(|tls| tls.ca.display().to_string());
        let other_ca = FILE.replace("/tms.pem", "/new.pem");
        assert_eq!(of(&other_ca).as_deref(), Some("/new.pem"));
        assert_eq!(of(&other_ca.replace("//tms.", "//new.")), None, "of another management");
    }

    #[test]
    fn another_management_is_not_half_taken() {
        let running = config(FILE);
        let other_ca = FILE.replace("/tms.pem", "/new.pem");
        let same = other_ca.replace("acquirer.test\"", "acquirer.test:443/\"");
        let now = taken(&running, &config(&same)).tms.unwrap();
        assert_eq!((now.ca.to_str(), now.url), (Some("/new.pem"), running.tms.clone().unwrap().url));
        let other = config(&other_ca.replace("//tms.", "//new."));
        assert_eq!(taken(&running, &other).tms, running.tms);
        assert!(same_management(&running, &other).is_none(), "nor are its files read for the one that runs");
    }
}
