//! The connection to the terminal.
use crate::args::Global;
use payterm_dbus::{Address, Client, ROOT, bus_name, fault_of, wire};
use payterm_schema::{Caller, Fault, RequestKey, terminal::Transaction};
use std::time::Duration;
use zbus::connection::Builder;

/// Time for connecting and for the answer of a recall, as in the client.
const WITHIN: Duration = Duration::from_secs(30);

pub struct Bus {
    pub client: Client,
    address: Address,
    lane: String,
    /// Who calls is found out by the daemon: this is not looked at.
    pub caller: Caller,
}

impl Bus {
    pub async fn connect(global: &Global) -> Result<Self, Fault> {
        let (address, lane) = (global.address(), global.lane.clone());
        let client = Client::connect(address.clone(), &lane).await?;
        Ok(Self { client, address, lane, caller: Caller { app: String::new(), uid: 0, manager: false, kinds: Vec::new(), limit: None } })
    }

    /// The key that the user means with `id` or `app/id`.
    pub async fn key(&self, text: &str) -> Result<RequestKey, Fault> {
        if text.contains('/') { parse(text) } else { Ok(self.recall(text).await?.outcome.key) }
    }

    /// A recall by bare id: what the app is called, only the daemon knows, and the client has no call without it.
    pub async fn recall(&self, text: &str) -> Result<Transaction, Fault> {
        parse(text)?;
        let builder = match &self.address {
            Address::System => Builder::system(),
            Address::Session => Builder::session(),
            Address::Peer(_) => Builder::address(self.address.to_string().as_str()).p2p(),
            Address::Bus(address) => Builder::address(address.as_str()),
        };
        let name = (!matches!(self.address, Address::Peer(_))).then(|| bus_name(&self.lane));
        let call = async {
            let conn = builder.build().await?;
            conn.call_method(name.as_deref(), ROOT, Some("org.payterm.Terminal1.Manager"), "Recall", &text).await
        };
        let late = |_| Fault::Unreachable { cause: "no answer within 30 s".into() };
        let reply = tokio::time::timeout(WITHIN, call).await.map_err(late)?.map_err(fault_of)?;
        let unclear = || Fault::Unreachable { cause: "the daemon's answer is not understood".into() };
        let body = reply.body();
        let fields = body.deserialize::<zbus::Structure<'_>>().map_err(|_| unclear())?;
        wire::decode("answer", fields.fields().first().ok_or_else(unclear)?, wire::ANSWER)
    }
}

/// Checks `id` or `app/id`.
pub fn parse(text: &str) -> Result<RequestKey, Fault> {
    let (app, id) = text.split_once('/').unwrap_or(("app", text));
    RequestKey::new(app, id)
}
