//! The client: a `Terminal` over the bus. The caller argument is not used: the daemon finds out who calls.
use crate::{
    bus_name,
    error::fault_of,
    interfaces::{batch, manager, onboarding, operators, queue, setup, standard},
    path::{ROOT, parse, path},
    row::{Call, Patience},
    types::{Answer, Gives, value},
    wire,
};
use futures_util::{Stream, StreamExt};
use payterm_schema::{
    AccountId, Caller, Device, Fault, Money, Notice, Outcome, Request, RequestKey, Screen, SelfTest,
    Terminal,
    account::Stan,
    config::Language,
    emv_lists::EmvLists,
    offline::{OfflineAnswer, QueueAct},
    onboarding::{OfferShown, OnboardingShown, Step},
    operator::{OperatorRequest, Operators},
    page::Printable,
    paper::{PaperJob, PaperStatus, SlipCopy},
    reconciliation::Reconciliation,
    record::Obligation,
    terminal::{BatchTotals, Explanation, Filter, Notices, Reply, TerminalInfo, Transaction},
    totals::{Scope, TotalsReport},
};
use serde::Serialize;
use std::{
    fmt,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::mpsc;
use zbus::{Connection, DynamicType, Message, MessageStream, connection::Builder, message::Type};

/// Place at which the daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    System,
    Session,
    /// A peer-to-peer Unix socket.
    Peer(PathBuf),
    /// A bus by its D-Bus address: `unix:path=/run/bus`.
    Bus(String),
}
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::System => f.write_str("system"),
            Address::Session => f.write_str("session"),
            Address::Peer(path) => write!(f, "unix:path={}", path.display()),
            Address::Bus(address) => f.write_str(address),
        }
    }
}
impl Address {
    pub(crate) fn builder(&self) -> Builder<'static> {
        let (place, plain) = match self {
            Address::System => (zbus::Address::system(), Builder::system()),
            Address::Session => (zbus::Address::session(), Builder::session()),
            Address::Peer(_) => return Builder::address(self.to_string().as_str()).p2p(),
            Address::Bus(address) => (address.parse(), Builder::address(address.as_str())),
        };
        // An address may name the bus daemon that it was made by, its guid: one that was restarted has
        // another.
        place.map_or(plain, |at: zbus::Address| Builder::address(zbus::Address::new(at.transport().clone())))
    }
}

/// Time to connect and to find the daemon, D-Bus activation included (dbus-daemon itself gives a service 25
/// s).
const CONNECT: Duration = Duration::from_secs(30);
/// Time for an answer of [`Patience::Moment`].
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Time for one of [`Patience::Test`]: a device may take 10 s, a line 20 s, and another caller's test may
/// be under way.
const SELF_TEST_WITHIN: Duration = Duration::from_secs(90);
const BUS: &str = "org.freedesktop.DBus";
/// Notices that wait for a reader; a slower one loses the newest.
const NOTICES: usize = 1024;

/// A connection to the daemon. It stays usable when the daemon restarts on the same bus; when the connection
/// itself is lost every call answers [`Fault::Unreachable`] and the client is made anew.
#[derive(Clone, Debug)]
pub struct Client {
    conn: Connection,
    name: Option<String>,
}

impl Client {
    /// Connects and finds out that a terminal is there. `lane` is empty for the only or first terminal.
    pub async fn connect(address: Address, lane: &str) -> Result<Self, Fault> {
        let conn = tokio::time::timeout(CONNECT, address.builder().build())
            .await
            .map_err(|_| late(CONNECT))?
            .map_err(fault_of)?;
        let name = conn.is_bus().then(|| bus_name(lane));
        let client = Self { conn, name };
        client.send::<standard::peer::Ping, _>(&(), Some(CONNECT)).await?;
        Ok(client)
    }

    /// Ends when the connection is lost.
    pub async fn lost(&self) {
        self.conn.closed().await;
    }

    /// Closes the connection: the daemon sees its caller leave.
    pub async fn close(self) {
        let _ = self.conn.close().await;
    }

    /// [`Terminal::recall`] of a request of this connection's own app by its id alone: what the app is
    /// called, only the daemon knows.
    pub async fn recall_id(&self, id: &str) -> Result<Transaction, Fault> {
        self.ask(manager::Recall { request: id.into() }).await
    }

    /// [`Terminal::paper`] of this connection's own app by its id alone.
    pub async fn paper_id(&self, id: &str, wait: bool) -> Result<PaperStatus, Fault> {
        match wait {
            true => self.ask(manager::WaitPaper { id: id.into() }).await,
            false => self.ask(manager::Paper { id: id.into() }).await,
        }
    }

    /// Makes the call of a row, and waits for its answer as long as the row says.
    async fn ask<C: Call>(&self, call: C) -> Result<<C::Gives as Gives>::Value, Fault> {
        C::Gives::read(&self.message(call).await?)
    }
    async fn message<C: Call>(&self, call: C) -> Result<Message, Fault> {
        let within = match C::METHOD.patience {
            Patience::Moment => Some(ANSWER_WITHIN),
            Patience::Test => Some(SELF_TEST_WITHIN),
            Patience::Long => None,
        };
        let mut arguments = call.arguments()?;
        match (arguments.pop(), arguments.is_empty()) {
            (None, _) => self.send::<C, _>(&(), within).await,
            (Some(Answer::Object(only)), true) => self.send::<C, _>(&only, within).await,
            (Some(last), _) => {
                let values = arguments.into_iter().chain([last]).map(Answer::into_value);
                let body = wire::arguments(values.collect()).map_err(fault_of)?;
                self.send::<C, _>(&body, within).await
            }
        }
    }
    async fn send<C: Call, B: Serialize + DynamicType>(
        &self,
        body: &B,
        within: Option<Duration>,
    ) -> Result<Message, Fault> {
        let (interface, member) = (C::INTERFACE, C::METHOD.name);
        let call = self.conn.call_method(self.name.as_deref(), ROOT, Some(interface), member, body);
        let answer = match within {
            Some(t) => tokio::time::timeout(t, call).await.map_err(|_| late(t))?,
            None => call.await,
        };
        match answer {
            Err(error @ zbus::Error::MethodError(..)) => Err(self.with_data(error).await),
            answer => answer.map_err(fault_of),
        }
    }
    /// The fault with its data, when no other call of this connection has failed since.
    async fn with_data(&self, error: zbus::Error) -> Fault {
        let told = if let zbus::Error::MethodError(_, text, _) = &error { text.clone() } else { None };
        let fault = fault_of(error);
        let (interface, member) = (manager::LastFault::INTERFACE, manager::LastFault::METHOD.name);
        let call = self.conn.call_method(self.name.as_deref(), ROOT, Some(interface), member, &());
        let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_WITHIN, call).await else { return fault };
        match <manager::LastFault as Call>::Gives::read(&answer) {
            Ok(Some(last)) if told == Some(last.to_string()) => last,
            Ok(_) | Err(_) => fault,
        }
    }
}

fn late(within: Duration) -> Fault {
    Fault::Unreachable { cause: format!("no answer within {} s", within.as_secs()) }
}

impl Terminal for Client {
    fn start<'a>(&'a self, _: &'a Caller, request: Request) -> Reply<'a, RequestKey> {
        Box::pin(self.ask(manager::Start { request }))
    }
    fn wait<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, final_only: bool) -> Reply<'a, Outcome> {
        let transaction = key.clone();
        match final_only {
            true => Box::pin(self.ask(manager::WaitFinal { transaction })),
            false => Box::pin(self.ask(manager::Wait { transaction })),
        }
    }
    fn recall<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, Transaction> {
        Box::pin(self.ask(manager::Recall { request: path(key) }))
    }
    fn cancel<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, ()> {
        Box::pin(self.ask(manager::Cancel { transaction: key.clone() }))
    }
    fn confirm<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, yes: bool) -> Reply<'a, ()> {
        Box::pin(self.ask(manager::Confirm { transaction: key.clone(), yes }))
    }
    /// Does nothing: the daemon sees for itself who leaves.
    fn caller_lost<'a>(&'a self, _: &'a RequestKey) -> Reply<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn list<'a>(&'a self, _: &'a Caller, filter: Filter) -> Reply<'a, Vec<Outcome>> {
        Box::pin(self.ask(manager::List { filter }))
    }
    fn explain<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, Explanation> {
        Box::pin(self.ask(manager::Explain { request: path(key) }))
    }
    fn reprint<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, copy: Option<SlipCopy>) -> Reply<'a, ()> {
        let request = path(key);
        match copy {
            None => Box::pin(self.ask(manager::Reprint { request })),
            Some(copy) => Box::pin(self.ask(manager::ReprintCopy { request, copy })),
        }
    }
    fn print<'a>(&'a self, _: &'a Caller, id: String, paper: Printable) -> Reply<'a, u64> {
        match paper {
            Printable::Drawer(_) => Box::pin(self.ask(manager::OpenDrawer { id })),
            json @ (Printable::Page(_) | Printable::Invoice(_)) => {
                Box::pin(self.ask(manager::Print { id, json }))
            }
        }
    }
    fn paper<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, wait: bool) -> Reply<'a, PaperStatus> {
        let id = path(key);
        match wait {
            true => Box::pin(self.ask(manager::WaitPaper { id })),
            false => Box::pin(self.ask(manager::Paper { id })),
        }
    }
    fn report<'a>(&'a self, _: &'a Caller, scope: Scope) -> Reply<'a, TotalsReport> {
        Box::pin(self.ask(batch::Report { scope }))
    }
    fn reconcile<'a>(
        &'a self,
        _: &'a Caller,
        account: Option<AccountId>,
        file: String,
    ) -> Reply<'a, Reconciliation> {
        Box::pin(self.ask(batch::Reconcile { account, file }))
    }
    fn print_report<'a>(&'a self, _: &'a Caller, scope: Scope) -> Reply<'a, ()> {
        Box::pin(self.ask(batch::PrintReport { scope }))
    }
    fn devices(&self) -> Reply<'_, Vec<Device>> {
        Box::pin(self.ask(manager::Devices {}))
    }
    fn obligations<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<Obligation>> {
        Box::pin(self.ask(queue::Obligations {}))
    }
    fn retry_obligation<'a>(&'a self, _: &'a Caller, txn: u64) -> Reply<'a, ()> {
        Box::pin(self.ask(queue::Retry { txn }))
    }
    fn resolve_obligation<'a>(
        &'a self,
        _: &'a Caller,
        txn: u64,
        executed: bool,
        stan: Option<Stan>,
        reference: &'a str,
    ) -> Reply<'a, ()> {
        Box::pin(self.ask(queue::Resolve { txn, executed, stan, reference: reference.into() }))
    }
    fn queue<'a>(&'a self, _: &'a Caller, act: QueueAct) -> Reply<'a, ()> {
        match act {
            QueueAct::Forward { txn } => Box::pin(self.ask(queue::Forward { txn: txn.unwrap_or(0) })),
            QueueAct::Hold { txn } => Box::pin(self.ask(queue::Hold { txn })),
            QueueAct::Release { txn } => Box::pin(self.ask(queue::Release { txn })),
            QueueAct::WriteOff { txn, why } => Box::pin(self.ask(queue::WriteOff { txn, why })),
        }
    }
    fn offline_why<'a>(
        &'a self,
        _: &'a Caller,
        amount: Money,
        account: Option<AccountId>,
    ) -> Reply<'a, Vec<OfflineAnswer>> {
        let currency = amount.currency.code().into();
        Box::pin(self.ask(queue::OfflineWhy { amount: amount.value(), currency, account }))
    }
    fn papers<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<PaperJob>> {
        Box::pin(self.ask(queue::Papers {}))
    }
    fn release_paper<'a>(&'a self, _: &'a Caller, paper: u64, print: bool) -> Reply<'a, ()> {
        Box::pin(self.ask(queue::ReleasePaper { paper, print }))
    }
    fn totals<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<BatchTotals>> {
        Box::pin(self.ask(batch::Totals {}))
    }
    fn operator_session<'a>(&'a self, _: &'a Caller, request: OperatorRequest) -> Reply<'a, ()> {
        match request {
            OperatorRequest::LogOn { operator } => Box::pin(self.ask(operators::LogOn { operator })),
            OperatorRequest::LogOff => Box::pin(self.ask(operators::LogOff {})),
            OperatorRequest::ChangePassword => Box::pin(self.ask(operators::ChangePassword {})),
            OperatorRequest::Add { operator } => Box::pin(self.ask(operators::Add { operator })),
            OperatorRequest::Remove { operator } => Box::pin(self.ask(operators::Remove { operator })),
            OperatorRequest::Unlock { operator } => Box::pin(self.ask(operators::Unlock { operator })),
            OperatorRequest::EndRecovery => Box::pin(self.ask(operators::EndRecovery {})),
        }
    }
    fn operators<'a>(&'a self, _: &'a Caller) -> Reply<'a, Operators> {
        Box::pin(self.ask(operators::List {}))
    }
    /// `running` and `screen` are told as far as they are this app's own; else none and `Idle`.
    fn info(&self) -> Reply<'_, Arc<TerminalInfo>> {
        Box::pin(async move {
            let all = standard::properties::GetAll { interface_name: manager::NAME.into() };
            let p: Info = value(&self.message(all).await?)?;
            Ok(Arc::new(TerminalInfo {
                version: p.version,
                api: p.api,
                language: p.language,
                shop: p.shop,
                service_phone: p.service_phone,
                zone: p.zone,
                test: p.test,
                accounts: p.accounts,
                running: parse(&p.running),
                screen: serde_json::from_value(p.screen).unwrap_or_else(|_| Screen::idle()),
                inhibit_reasons: p.inhibit_reasons,
            }))
        })
    }
    fn self_test<'a>(&'a self, _: &'a Caller, print: bool) -> Reply<'a, SelfTest> {
        Box::pin(self.ask(setup::SelfTest { print }))
    }
    fn last_self_test(&self) -> Reply<'_, Option<SelfTest>> {
        Box::pin(self.ask(setup::LastSelfTest {}))
    }
    fn emv_lists(&self) -> Reply<'_, Option<EmvLists>> {
        Box::pin(self.ask(setup::EmvLists {}))
    }
    fn set_language<'a>(&'a self, _: &'a Caller, language: Language) -> Reply<'a, ()> {
        Box::pin(self.ask(setup::SetLanguage { language }))
    }
    fn support_bundle<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<u8>> {
        Box::pin(self.ask(setup::SupportBundle {}))
    }
    fn offer<'a>(&'a self, _: &'a Caller) -> Reply<'a, OfferShown> {
        Box::pin(self.ask(onboarding::Offer {}))
    }
    fn onboarding<'a>(&'a self, _: &'a Caller) -> Reply<'a, OnboardingShown> {
        Box::pin(self.ask(onboarding::State {}))
    }
    fn apply<'a>(&'a self, _: &'a Caller, step: Step) -> Reply<'a, ()> {
        match step {
            Step::Draft(json) => Box::pin(self.ask(onboarding::SetDraft { json })),
            Step::Accept { hash } => Box::pin(self.ask(onboarding::Accept { hash })),
            Step::Submit => Box::pin(self.ask(onboarding::Submit {})),
            Step::Refresh => Box::pin(self.ask(onboarding::Refresh {})),
            Step::Activate => Box::pin(self.ask(onboarding::Activate {})),
        }
    }
    /// Ends when the connection or the daemon is lost. Must be called inside a Tokio runtime.
    fn notices(&self) -> Notices {
        let (to, from) = mpsc::channel(NOTICES);
        // Before the subscription, so that nothing that follows it is missed; read without pause, because a
        // stream that is not read stops the whole connection.
        let stream = MessageStream::from(&self.conn);
        tokio::spawn(forward(self.clone(), stream, to));
        Box::pin(Received(from))
    }
}

/// The manager's properties as they are named on the bus.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    version: String,
    api: u32,
    language: String,
    shop: String,
    service_phone: String,
    zone: payterm_schema::zone::Zone,
    test: bool,
    accounts: Vec<payterm_schema::AccountId>,
    running: String,
    screen: serde_json::Value,
    inhibit_reasons: Vec<payterm_schema::InhibitReason>,
}

struct Received(mpsc::Receiver<Notice>);
impl Stream for Received {
    type Item = Notice;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.0.poll_recv(cx)
    }
}

async fn forward(client: Client, mut stream: MessageStream, to: mpsc::Sender<Notice>) {
    let subscribe = async {
        if let Some(name) = &client.name {
            let rule = format!(
                "type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{name}'"
            );
            client
                .conn
                .call_method(Some(BUS), "/org/freedesktop/DBus", Some(BUS), "AddMatch", &rule)
                .await
                .map_err(fault_of)?;
        }
        client.message(manager::Subscribe {}).await
    };
    let mut subscribe = std::pin::pin!(subscribe);
    let mut early = Vec::new();
    // Reading goes on while the answer is awaited; what the daemon's connection is called on the bus, its
    // answer tells.
    let owner = loop {
        tokio::select! {
            biased;
            m = stream.next() => match m {
                Some(Ok(m)) if early.len() < NOTICES => early.push(m),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            answer = &mut subscribe => match answer {
                Ok(m) => break m.header().sender().map(|s| s.as_str().to_owned()),
                Err(fault) => return tracing::warn!(%fault, "no notices"),
            },
        }
    };
    for m in early {
        forward_one(&m, owner.as_deref(), &to);
    }
    loop {
        tokio::select! {
            () = to.closed() => return,
            m = stream.next() => match m {
                Some(Ok(m)) if restarted(&m, client.name.as_deref()) => return,
                Some(Ok(m)) => forward_one(&m, owner.as_deref(), &to),
                Some(Err(_)) | None => return,
            },
        }
    }
}

/// Forwards a notice of the daemon's own signals only: on a bus anybody may send us one.
fn forward_one(m: &Message, owner: Option<&str>, to: &mpsc::Sender<Notice>) {
    let h = m.header();
    let ours = m.message_type() == Type::Signal && h.sender().map(|s| s.as_str()) == owner;
    if ours
        && h.interface().is_some_and(|i| i.as_str() == manager::NAME)
        && h.member().is_some_and(|n| n.as_str() == "Notice")
        && let Ok(notice) = value(m)
        && to.try_send(notice).is_err()
    {
        tracing::warn!("a notice was lost: its reader is too slow");
    }
}

fn restarted(m: &Message, name: Option<&str>) -> bool {
    let h = m.header();
    let from_bus = h.sender().is_some_and(|s| s.as_str() == BUS)
        && h.member().is_some_and(|n| n.as_str() == "NameOwnerChanged");
    from_bus && m.body().deserialize::<(&str, &str, &str)>().is_ok_and(|(n, _, _)| Some(n) == name)
}
