//! The connection to the terminal.
use crate::args::Global;
use payterm_dbus::Client;
use payterm_schema::{Caller, Fault, RequestKey, Terminal, terminal::Transaction};

pub struct Bus {
    pub client: Client,
    /// Who calls is found out by the daemon: this is not looked at.
    pub caller: Caller,
}

impl Bus {
    pub async fn connect(global: &Global) -> Result<Self, Fault> {
        let client = Client::connect(global.address(), &global.lane).await?;
        Ok(Self {
            client,
            caller: Caller { app: String::new(), uid: 0, manager: false, kinds: Vec::new(), limit: None },
        })
    }

    /// The key that the user means with `id` or `app/id`.
    pub async fn key(&self, text: &str) -> Result<RequestKey, Fault> {
        if text.contains('/') { parse(text) } else { Ok(self.recall(text).await?.outcome.key) }
    }

    /// By `id` or `app/id`. What this user's app is called, only the daemon knows.
    pub async fn recall(&self, text: &str) -> Result<Transaction, Fault> {
        let key = parse(text)?;
        if text.contains('/') {
            self.client.recall(&self.caller, &key).await
        } else {
            self.client.recall_id(text).await
        }
    }
}

/// Checks `id` or `app/id`.
pub fn parse(text: &str) -> Result<RequestKey, Fault> {
    let (app, id) = text.split_once('/').unwrap_or(("app", text));
    RequestKey::new(app, id)
}
