//! The client: a `Terminal` over the bus. The caller argument is not used: the daemon finds out who calls.
use crate::{
    bus_name,
    describe::{APPLICATION, BATCH, MANAGER, OPERATORS, PROPERTIES, QUEUE, SETUP},
    error::fault_of,
    path::{ROOT, parse, path},
    wire::{self, ANSWER, Object},
};
use futures_util::{Stream, StreamExt};
use payterm_schema::{
    AccountId, Caller, Device, Fault, Money, Notice, Outcome, Request, RequestKey, Screen, SelfTest,
    Terminal,
    account::Stan,
    application::{ApplicationShown, OfferShown, Step},
    config::Language,
    offline::{OfflineAnswer, QueueAct},
    operator::{OperatorRequest, Operators},
    page::Printable,
    paper::{PaperJob, PaperStatus, SlipCopy},
    reconciliation::Reconciliation,
    record::Obligation,
    request::RequestWire,
    terminal::{BatchTotals, Explanation, Filter, Notices, Reply, TerminalInfo, Transaction},
    totals::{Scope, TotalsReport},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::mpsc;
use zbus::{Connection, DynamicType, Message, MessageStream, Variant, connection::Builder, message::Type};

/// Where the daemon is.
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
        match self {
            Address::System => Builder::system(),
            Address::Session => Builder::session(),
            Address::Peer(_) => Builder::address(self.to_string().as_str()).p2p(),
            Address::Bus(address) => Builder::address(address.as_str()),
        }
    }
}

/// Time to connect and to find the daemon, D-Bus activation included (dbus-daemon itself gives a service 25
/// s).
const CONNECT: Duration = Duration::from_secs(30);
/// Time for every answer but that of a wait: the daemon answers them from memory, the store or one commit.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Time for a self-test: a device may take 10 s, a line 20 s, and another caller's test may be under way.
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
        client.call(ROOT, "org.freedesktop.DBus.Peer", "Ping", Vec::new(), Some(CONNECT)).await?;
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
        self.ask(MANAGER, "Recall", vec![Variant::from(id.to_owned())]).await
    }

    /// [`Terminal::paper`] of this connection's own app by its id alone.
    pub async fn paper_id(&self, id: &str, wait: bool) -> Result<PaperStatus, Fault> {
        self.paper_of(vec![Variant::from(id.to_owned())], wait).await
    }
    async fn paper_of(&self, arguments: Vec<Variant<'static>>, wait: bool) -> Result<PaperStatus, Fault> {
        let (member, within) = if wait { ("WaitPaper", None) } else { ("Paper", Some(ANSWER_WITHIN)) };
        let json: String = value(&self.call(ROOT, MANAGER, member, arguments, within).await?)?;
        serde_json::from_str(&json).map_err(unclear)
    }

    async fn call(
        &self,
        path: &str,
        interface: &str,
        member: &str,
        arguments: Vec<Variant<'static>>,
        within: Option<Duration>,
    ) -> Result<Message, Fault> {
        if arguments.is_empty() {
            self.call_with(path, interface, member, &(), within).await
        } else {
            self.call_with(path, interface, member, &wire::arguments(arguments).map_err(fault_of)?, within)
                .await
        }
    }
    async fn call_with<B: Serialize + DynamicType>(
        &self,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
        within: Option<Duration>,
    ) -> Result<Message, Fault> {
        let call = self.conn.call_method(self.name.as_deref(), path, Some(interface), member, body);
        match within {
            Some(t) => tokio::time::timeout(t, call).await.map_err(|_| late(t))?,
            None => call.await,
        }
        .map_err(fault_of)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        interface: &str,
        member: &str,
        arguments: Vec<Variant<'static>>,
    ) -> Result<T, Fault> {
        value(&self.call(ROOT, interface, member, arguments, Some(ANSWER_WITHIN)).await?)
    }
    /// An answer that is a JSON text.
    async fn json<T: DeserializeOwned>(&self, interface: &str, member: &str) -> Result<T, Fault> {
        let json: String = self.ask(interface, member, Vec::new()).await?;
        serde_json::from_str(&json).map_err(unclear)
    }
    async fn tell(
        &self,
        interface: &str,
        member: &str,
        arguments: Vec<Variant<'static>>,
    ) -> Result<(), Fault> {
        self.call(ROOT, interface, member, arguments, Some(ANSWER_WITHIN)).await.map(drop)
    }
}

fn late(within: Duration) -> Fault {
    Fault::Unreachable { cause: format!("no answer within {} s", within.as_secs()) }
}

fn unclear(cause: impl fmt::Display) -> Fault {
    Fault::Unreachable { cause: format!("the daemon's answer is not understood: {cause}") }
}

/// The first argument of a reply or signal.
fn value<T: DeserializeOwned>(message: &Message) -> Result<T, Fault> {
    let body = message.body();
    let fields = body.deserialize::<zbus::Structure<'_>>().map_err(unclear)?;
    let first = fields.fields().first().ok_or_else(|| unclear("no value"))?;
    wire::decode("answer", first, ANSWER).map_err(unclear)
}

fn argument<T: Serialize>(value: &T) -> Result<Vec<Variant<'static>>, Fault> {
    Ok(vec![wire::encode(value)?])
}
fn id(key: &RequestKey) -> Vec<Variant<'static>> {
    vec![Variant::from(path(key))]
}
fn object(key: &RequestKey) -> Vec<Variant<'static>> {
    vec![crate::calls::object_path(path(key))]
}

impl Terminal for Client {
    fn start<'a>(&'a self, _: &'a Caller, request: Request) -> Reply<'a, RequestKey> {
        Box::pin(async move {
            let request = Object::of(&RequestWire::from(request))?;
            let text: String =
                value(&self.call_with(ROOT, MANAGER, "Start", &request, Some(ANSWER_WITHIN)).await?)?;
            parse(&text).ok_or_else(|| unclear(format!("path {text}")))
        })
    }
    fn wait<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, final_only: bool) -> Reply<'a, Outcome> {
        Box::pin(async move {
            let member = if final_only { "WaitFinal" } else { "Wait" };
            value(&self.call(ROOT, MANAGER, member, object(key), None).await?)
        })
    }
    fn recall<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, Transaction> {
        Box::pin(self.ask(MANAGER, "Recall", id(key)))
    }
    fn cancel<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, ()> {
        Box::pin(self.tell(MANAGER, "Cancel", object(key)))
    }
    fn confirm<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, yes: bool) -> Reply<'a, ()> {
        let arguments = object(key).into_iter().chain([Variant::Bool(yes)]).collect();
        Box::pin(self.tell(MANAGER, "Confirm", arguments))
    }
    /// Does nothing: the daemon sees for itself who leaves.
    fn caller_lost<'a>(&'a self, _: &'a RequestKey) -> Reply<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn list<'a>(&'a self, _: &'a Caller, filter: Filter) -> Reply<'a, Vec<Outcome>> {
        Box::pin(async move { self.ask(MANAGER, "List", argument(&filter)?).await })
    }
    fn explain<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, Explanation> {
        Box::pin(async move {
            let json: String = self.ask(MANAGER, "Explain", id(key)).await?;
            serde_json::from_str(&json).map_err(unclear)
        })
    }
    fn reprint<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, copy: Option<SlipCopy>) -> Reply<'a, ()> {
        match copy {
            None => Box::pin(self.tell(MANAGER, "Reprint", id(key))),
            Some(copy) => Box::pin(self.tell(
                MANAGER,
                "ReprintCopy",
                id(key).into_iter().chain([Variant::from(copy.name())]).collect(),
            )),
        }
    }
    fn print<'a>(&'a self, _: &'a Caller, id: String, paper: Printable) -> Reply<'a, u64> {
        Box::pin(async move {
            if let Printable::Drawer(_) = paper {
                return self.ask(MANAGER, "OpenDrawer", vec![Variant::from(id)]).await;
            }
            let json = serde_json::to_string(&paper).map_err(unclear)?;
            self.ask(MANAGER, "Print", vec![Variant::from(id), Variant::from(json)]).await
        })
    }
    fn paper<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, wait: bool) -> Reply<'a, PaperStatus> {
        Box::pin(self.paper_of(id(key), wait))
    }
    fn report<'a>(&'a self, _: &'a Caller, scope: Scope) -> Reply<'a, TotalsReport> {
        Box::pin(async move {
            let json: String = self.ask(BATCH, "Report", vec![Variant::from(scope.name())]).await?;
            serde_json::from_str(&json).map_err(unclear)
        })
    }
    fn reconcile<'a>(
        &'a self,
        _: &'a Caller,
        account: Option<AccountId>,
        file: String,
    ) -> Reply<'a, Reconciliation> {
        Box::pin(async move {
            let account = account.map_or_else(String::new, |a| a.as_str().to_owned());
            let json: String =
                self.ask(BATCH, "Reconcile", vec![Variant::from(account), Variant::from(file)]).await?;
            serde_json::from_str(&json).map_err(unclear)
        })
    }
    fn print_report<'a>(&'a self, _: &'a Caller, scope: Scope) -> Reply<'a, ()> {
        Box::pin(self.tell(BATCH, "PrintReport", vec![Variant::from(scope.name())]))
    }
    fn devices(&self) -> Reply<'_, Vec<Device>> {
        Box::pin(self.ask(MANAGER, "Devices", Vec::new()))
    }
    fn obligations<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<Obligation>> {
        Box::pin(self.ask(QUEUE, "Obligations", Vec::new()))
    }
    fn retry_obligation<'a>(&'a self, _: &'a Caller, txn: u64) -> Reply<'a, ()> {
        Box::pin(self.tell(QUEUE, "Retry", vec![Variant::U64(txn)]))
    }
    fn resolve_obligation<'a>(
        &'a self,
        _: &'a Caller,
        txn: u64,
        executed: bool,
        stan: Option<Stan>,
        reference: &'a str,
    ) -> Reply<'a, ()> {
        let stan = Variant::U32(stan.map_or(0, Stan::get));
        Box::pin(self.tell(
            QUEUE,
            "Resolve",
            vec![Variant::U64(txn), Variant::Bool(executed), stan, Variant::from(reference.to_owned())],
        ))
    }
    fn queue<'a>(&'a self, _: &'a Caller, act: QueueAct) -> Reply<'a, ()> {
        let (member, arguments, within) = match act {
            QueueAct::Forward { txn } => {
                ("Forward", vec![Variant::U64(txn.unwrap_or(0))], Some(ANSWER_WITHIN))
            }
            QueueAct::Hold { txn } => ("Hold", vec![Variant::U64(txn)], Some(ANSWER_WITHIN)),
            QueueAct::Release { txn } => ("Release", vec![Variant::U64(txn)], Some(ANSWER_WITHIN)),
            // As long as the supervisor needs at the keypad.
            QueueAct::WriteOff { txn, why } => {
                ("WriteOff", vec![Variant::U64(txn), Variant::from(why)], None)
            }
        };
        Box::pin(async move { self.call(ROOT, QUEUE, member, arguments, within).await.map(drop) })
    }
    fn offline_why<'a>(
        &'a self,
        _: &'a Caller,
        amount: Money,
        account: Option<AccountId>,
    ) -> Reply<'a, OfflineAnswer> {
        let account = account.map(|a| a.to_string()).unwrap_or_default();
        Box::pin(self.ask(
            QUEUE,
            "OfflineWhy",
            vec![
                Variant::from(amount.value()),
                Variant::from(amount.currency.code().to_owned()),
                Variant::from(account),
            ],
        ))
    }
    fn papers<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<PaperJob>> {
        Box::pin(self.ask(QUEUE, "Papers", Vec::new()))
    }
    fn release_paper<'a>(&'a self, _: &'a Caller, job: u64, print: bool) -> Reply<'a, ()> {
        Box::pin(self.tell(QUEUE, "ReleasePaper", vec![Variant::U64(job), Variant::Bool(print)]))
    }
    fn totals<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<BatchTotals>> {
        Box::pin(self.ask(BATCH, "Totals", Vec::new()))
    }
    /// Waits as long as the operator needs at the keypad.
    fn operator_session<'a>(&'a self, _: &'a Caller, request: OperatorRequest) -> Reply<'a, ()> {
        let (member, operator) = match request {
            OperatorRequest::LogOn { operator } => ("LogOn", Some(operator)),
            OperatorRequest::LogOff => ("LogOff", None),
            OperatorRequest::ChangePassword => ("ChangePassword", None),
            OperatorRequest::Add { operator } => ("Add", Some(operator)),
            OperatorRequest::Remove { operator } => ("Remove", Some(operator)),
            OperatorRequest::Unlock { operator } => ("Unlock", Some(operator)),
            OperatorRequest::EndRecovery => ("EndRecovery", None),
        };
        let arguments = operator.map(|o| Variant::from(o.to_string())).into_iter().collect();
        Box::pin(async move { self.call(ROOT, OPERATORS, member, arguments, None).await.map(drop) })
    }
    fn operators<'a>(&'a self, _: &'a Caller) -> Reply<'a, Operators> {
        Box::pin(self.ask(OPERATORS, "List", Vec::new()))
    }
    /// `running` and `screen` are told as far as they are this app's own; else none and `Idle`.
    fn info(&self) -> Reply<'_, TerminalInfo> {
        Box::pin(async move {
            let p: Info = self.ask(PROPERTIES, "GetAll", vec![Variant::from(MANAGER)]).await?;
            Ok(TerminalInfo {
                version: p.version,
                api: p.api,
                language: p.language,
                shop: p.shop,
                service_phone: p.service_phone,
                test: p.test,
                accounts: p.accounts,
                running: parse(&p.running),
                screen: serde_json::from_value(p.screen).unwrap_or(Screen::Idle),
                inhibit_reasons: p.inhibit_reasons,
            })
        })
    }
    fn self_test<'a>(&'a self, _: &'a Caller, print: bool) -> Reply<'a, SelfTest> {
        Box::pin(async move {
            value(
                &self
                    .call(ROOT, SETUP, "SelfTest", vec![Variant::Bool(print)], Some(SELF_TEST_WITHIN))
                    .await?,
            )
        })
    }
    fn last_self_test(&self) -> Reply<'_, Option<SelfTest>> {
        Box::pin(async move {
            let report: serde_json::Value = self.ask(SETUP, "LastSelfTest", Vec::new()).await?;
            if report.as_object().is_some_and(serde_json::Map::is_empty) {
                Ok(None)
            } else {
                serde_json::from_value(report).map_err(unclear)
            }
        })
    }
    fn set_language<'a>(&'a self, _: &'a Caller, language: Language) -> Reply<'a, ()> {
        Box::pin(self.tell(SETUP, "SetLanguage", vec![Variant::from(language.tag().to_owned())]))
    }
    fn support_bundle<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<u8>> {
        Box::pin(async move {
            self.call(ROOT, SETUP, "SupportBundle", Vec::new(), Some(ANSWER_WITHIN))
                .await?
                .body()
                .deserialize::<Vec<u8>>()
                .map_err(unclear)
        })
    }
    fn offer<'a>(&'a self, _: &'a Caller) -> Reply<'a, OfferShown> {
        Box::pin(self.json(APPLICATION, "Offer"))
    }
    fn application<'a>(&'a self, _: &'a Caller) -> Reply<'a, ApplicationShown> {
        Box::pin(self.json(APPLICATION, "State"))
    }
    fn apply<'a>(&'a self, _: &'a Caller, step: Step) -> Reply<'a, ()> {
        Box::pin(async move {
            let (member, arguments) = match step {
                Step::Draft(draft) => {
                    ("SetDraft", vec![Variant::from(serde_json::to_string(&draft).map_err(unclear)?)])
                }
                Step::Accept { hash } => ("Accept", vec![Variant::from(hash)]),
                Step::Submit => ("Submit", Vec::new()),
                Step::Refresh => ("Refresh", Vec::new()),
                Step::Activate => ("Activate", Vec::new()),
            };
            self.tell(APPLICATION, member, arguments).await
        })
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
        client.call(ROOT, MANAGER, "Subscribe", Vec::new(), Some(ANSWER_WITHIN)).await
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

/// Only the daemon's own signals: on a bus anybody may send us one.
fn forward_one(m: &Message, owner: Option<&str>, to: &mpsc::Sender<Notice>) {
    let h = m.header();
    let ours = m.message_type() == Type::Signal && h.sender().map(|s| s.as_str()) == owner;
    if ours
        && h.interface().is_some_and(|i| i.as_str() == MANAGER)
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
