//! The connection to the terminal.
use crate::{args::Global, ui::Ui};
use payterm_dbus::Client;
use payterm_schema::{
    Caller, Fault, Outcome, RequestKey, Terminal,
    terminal::{Filter, Transaction},
};

pub struct Bus {
    pub client: Client,
    /// Caller that the front door asks for; the daemon finds out who calls and does not look at it.
    pub caller: Caller,
}

impl Bus {
    /// Connects, and takes the terminal's time zone over, unless the user has chosen one.
    pub async fn connect(global: &Global, ui: &Ui) -> Result<Self, Fault> {
        let client = Client::connect(global.address(), &global.lane).await?;
        if !ui.has_zone()
            && let Ok(info) = client.info().await
        {
            ui.set_zone(info.zone.clone());
        }
        Ok(Self {
            client,
            caller: Caller { app: String::new(), uid: 0, manager: false, kinds: Vec::new(), limit: None },
        })
    }

    /// Connects after the id was checked.
    pub async fn connect_for(global: &Global, ui: &Ui, id: &str) -> Result<Self, Fault> {
        parse(id)?;
        Self::connect(global, ui).await
    }

    /// The key that the user means with `id` or `app/id`.
    pub async fn key(&self, text: &str) -> Result<RequestKey, Fault> {
        if text.contains('/') { parse(text) } else { Ok(self.recall(text).await?.outcome.key) }
    }

    /// Recalls by `id` or `app/id`. What this user's app is called, only the daemon knows.
    pub async fn recall(&self, text: &str) -> Result<Transaction, Fault> {
        let key = parse(text)?;
        if text.contains('/') {
            self.client.recall(&self.caller, &key).await
        } else {
            self.client.recall_id(text).await
        }
    }

    /// The transaction of a reference (`R0001-17`), if the text is one and this caller may see it. An app's
    /// own ids come first: it may number its orders like that.
    pub async fn by_reference(&self, text: &str) -> Result<Option<Outcome>, Fault> {
        let Some(txn) = Outcome::txn_of(text) else { return Ok(None) };
        match self.recall(text).await {
            Ok(Transaction { outcome, .. }) => return Ok(Some(outcome)),
            Err(Fault::NotFound { .. }) => {}
            Err(fault) => return Err(fault),
        }
        self.referred(text, txn).await.map(Some)
    }

    /// The transaction of this number, when the reference is this terminal's: the number of another
    /// terminal's is another payment here.
    pub async fn referred(&self, text: &str, txn: u64) -> Result<Outcome, Fault> {
        let filter = Filter { before: Some(txn.saturating_add(1)), limit: Some(1), ..Filter::default() };
        let found = self
            .client
            .list(&self.caller, filter)
            .await?
            .into_iter()
            .find(|o| o.txn == txn && o.reference().eq_ignore_ascii_case(text));
        found.ok_or_else(|| Fault::not_found("reference", text))
    }
}

/// Checks `id` or `app/id`.
pub fn parse(text: &str) -> Result<RequestKey, Fault> {
    let (app, id) = text.split_once('/').unwrap_or(("app", text));
    RequestKey::new(app, id)
}
