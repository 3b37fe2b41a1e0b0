//! Mixed traffic for the real daemon: what customers, cashiers and apps do on one evening, drawn from a seed.
//!
//! Mishap model of the *apps*: the same request is started twice; its caller leaves the bus; it is cancelled;
//! a second client waits for the same request, asks for it again with other content, or wants another
//! transaction meanwhile. Of the *customer*: a wrong PIN first, a card without money, a code that is paid
//! late, never, or refused.
use crate::{
    real::{
        drain,
        stack::{Result, Stack, caller},
    },
    sim::rng::Rng,
};
use payterm_dbus::{Address, Client};
use payterm_devices::{
    virtual_bench::When,
    virtual_control::{VirtualControl, VirtualControlError},
};
use payterm_schema::{
    Fault, Kind, Outcome, Request, RequestKey, Status, Terminal,
    kind::{AmountRule, OriginalBy},
    request::RequestWire,
};
use std::time::{Duration, Instant};

/// Longest time that the terminal may take for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Rich enough for an evening; the world's `more` has them.
pub const CARDS: [(&str, &str); 4] = [
    ("6212345678900095003", "123456"),
    ("6212345678900096001", "123456"),
    ("6212345678900097009", "bypass"),
    ("6212345678900098007", "bypass"),
];
const POOR: &str = "6212345678900000508";
/// The shop's own cards come behind those: no chip, no PIN, another account, and the merchant accepts them
/// while its line is down.
pub const OWN_CARDS: usize = 6;
/// World that [`crate::real::stack::Stack::start_world`] needs for it.
pub fn world() -> String {
    let card = |(i, (pan, pin)): (usize, &(&str, &str))| {
        let pin = if *pin == "bypass" { String::new() } else { format!("pin = \"{pin}\"\n") };
        format!(
            "[[card]]\nname = \"rich-{i}\"\npan = \"{pan}\"\nexpiry = \"3012\"\n{pin}currency = \
             \"CNY\"\nbalance = \"1000000.00\"\n"
        )
    };
    CARDS.iter().enumerate().map(card).collect::<String>() + &drain::world(OWN_CARDS)
}
pub fn card_name(i: usize) -> String {
    format!("rich-{i}")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pays {
    /// Card that its kind asks for: the original's card, some card, none.
    AsAsked,
    WrongPinFirst,
    Poor,
    /// Card of the shop's own.
    Own,
    Code(&'static [&'static str]),
    /// Without a card or a code ever: the terminal gives up.
    Never,
}
/// Deed of the evening.
#[derive(Clone, Copy, Debug)]
pub struct Deed {
    /// Parts of all.
    pub share: u64,
    pub kind: Kind,
    pub pays: Pays,
}
const fn deed(share: u64, kind: Kind, pays: Pays) -> Deed {
    Deed { share, kind, pays }
}
/// A new kind is a line here (and, with an original, one in [`originals`]).
pub const MIX: &[Deed] = &[
    deed(36, Kind::Sale, Pays::AsAsked),
    deed(4, Kind::Sale, Pays::WrongPinFirst),
    deed(2, Kind::Sale, Pays::Poor),
    deed(1, Kind::Sale, Pays::Never),
    deed(10, Kind::Sale, Pays::Own),
    deed(8, Kind::Sale, Pays::Code(&["131234567890123456", "280123456789012345", "6212345678901234567"])),
    deed(2, Kind::Sale, Pays::Code(&["1392345678901234567", "289212345678901234", "6292345678901234567"])),
    deed(2, Kind::Sale, Pays::Code(&["139012345678901234", "289012345678901234", "6290345678901234567"])),
    deed(1, Kind::Sale, Pays::Code(&["139112345678901234", "289112345678901234"])),
    deed(8, Kind::Void, Pays::AsAsked),
    deed(6, Kind::Refund, Pays::AsAsked),
    deed(3, Kind::Balance, Pays::AsAsked),
    deed(8, Kind::PreAuth, Pays::AsAsked),
    deed(2, Kind::PreAuthCancel, Pays::AsAsked),
    deed(3, Kind::Completion, Pays::AsAsked),
    deed(3, Kind::CompletionAdvice, Pays::AsAsked),
    deed(2, Kind::CompletionCancel, Pays::AsAsked),
    deed(4, Kind::TipAdjust, Pays::AsAsked),
    deed(4, Kind::VoiceSale, Pays::AsAsked),
    deed(1, Kind::Echo, Pays::AsAsked),
    deed(1, Kind::SignIn, Pays::AsAsked),
    deed(2, Kind::Settlement, Pays::AsAsked),
];
/// Kinds that it may be done to.
fn originals(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::Void => &[Kind::Sale, Kind::VoiceSale],
        Kind::Refund => &[Kind::Sale, Kind::VoiceSale, Kind::Completion, Kind::CompletionAdvice],
        Kind::PreAuthCancel | Kind::Completion | Kind::CompletionAdvice => &[Kind::PreAuth],
        Kind::CompletionCancel => &[Kind::Completion, Kind::CompletionAdvice],
        Kind::TipAdjust => &[Kind::Sale],
        _ => &[],
    }
}
/// Originals are looked for among the last so many requests.
const LOOK_BACK: usize = 60;

/// Request as the app remembers it.
#[derive(Clone, Debug)]
pub struct Issued {
    pub wire: RequestWire,
    /// Index of the customer's card: of [`CARDS`], then of the shop's own.
    pub card: usize,
    /// `Start` was answered.
    pub started: bool,
    /// The last word: of the first wait, or of a later one.
    pub told: Option<Outcome>,
}
impl Issued {
    pub fn new(wire: RequestWire) -> Self {
        Self { wire, card: 0, started: false, told: None }
    }
    pub fn key(&self) -> RequestKey {
        RequestKey { app: "demo".into(), id: self.wire.id.clone() }
    }
}

/// Why the traffic stopped.
#[derive(Debug)]
pub enum Stop {
    /// A call or the virtual devices failed: the daemon is gone, or this is a defect.
    Broken(String),
    /// The store could not write; the request may or may not be on disk.
    Store(String),
    Defect(String),
}
impl From<Fault> for Stop {
    fn from(e: Fault) -> Self {
        match e {
            Fault::Unreachable { .. } | Fault::ShuttingDown => Stop::Broken(e.to_string()),
            Fault::StoreFailed { .. } | Fault::Restarting { .. } | Fault::DiskFull { .. } => {
                Stop::Store(e.to_string())
            }
            e => Stop::Defect(format!("{}: {e}", e.name())),
        }
    }
}
type Went<T = ()> = std::result::Result<T, Stop>;

/// Manner in which an app asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Plain,
    Cancels,
    /// Sends the same request again at once.
    Twice,
    /// The caller leaves the bus; somebody else waits.
    Vanishes,
    /// Two other clients meanwhile.
    Beside,
}

pub struct App {
    pub rng: Rng,
    pub client: Client,
    pub virtuals: VirtualControl,
    /// Names the bus: callers come and go.
    bus: String,
    pub issued: Vec<Issued>,
    /// The shop's own account cannot reach its host: then its cards come more often.
    pub down: bool,
}

impl App {
    pub async fn new(stack: &Stack, seed: u64) -> Result<Self> {
        Ok(Self {
            rng: Rng::new(seed),
            client: stack.client().await?,
            virtuals: stack.virtuals()?,
            bus: stack.bus.clone(),
            issued: Vec::new(),
            down: false,
        })
    }
    /// The daemon was started again.
    pub async fn again(&mut self, stack: &Stack) -> Result<()> {
        (self.client, self.virtuals) = (stack.client().await?, stack.virtuals()?);
        Ok(())
    }

    /// Makes a request, from its start to what its first wait tells.
    pub async fn request(&mut self) -> Went {
        let mut deed = self.draw();
        let mut original = self.original(deed.kind);
        if deed.kind.row().original != OriginalBy::None && original.is_none() {
            (deed, original) = (deed_of_a_quiet_shop(), None);
        }
        let id = format!("r-{}", self.issued.len() + 1);
        let row = deed.kind.row();
        let minor = match (deed.kind, row.amount) {
            (Kind::TipAdjust, _) => Some(self.rng.between(1, 20)),
            // Without one, all that is left.
            (_, AmountRule::Optional) if deed.kind != Kind::Refund || self.rng.roll(3) == 0 => None,
            (_, AmountRule::None) => None,
            (Kind::Refund, _) => Some(self.rng.between(1, 60)),
            (Kind::Completion | Kind::CompletionAdvice, _) => Some(self.rng.between(50, 110)),
            // Some amounts below 2.00 meet the same trouble for ever in the demo world, and an advice comes
            // again as it is.
            _ if deed.pays == Pays::Own => Some(self.rng.between(200, 300)),
            (_, AmountRule::Needed | AmountRule::Optional) => Some(self.rng.between(100, 300)),
        };
        let manner = match self.rng.roll(100) {
            0..=5 => Manner::Cancels,
            6..=13 => Manner::Twice,
            14..=19 => Manner::Vanishes,
            20..=29 => Manner::Beside,
            _ => Manner::Plain,
        };
        let wire = RequestWire {
            id: id.clone(),
            kind: deed.kind.name().into(),
            amount: minor.map(|m| format!("{}.{:02}", m / 100, m % 100)),
            currency: minor.map(|_| "CNY".into()),
            // Both accounts are signed in, asked and settled.
            account: (!row.authorisation)
                .then(|| if self.rng.roll(3) == 0 { drain::ACCOUNT } else { "cup" }.into()),
            original_id: original.as_ref().map(|o| o.wire.id.clone()),
            auth_code: row.voice.then(|| "V12345".into()),
            cancel_on_caller_lost: (self.rng.roll(3) > 0).then_some(false),
            // On every slip: by it a paper is known.
            note: Some(id),
            ..RequestWire::default()
        };
        let (first, many) = if deed.pays == Pays::Own { (CARDS.len(), OWN_CARDS) } else { (0, CARDS.len()) };
        let card = original.map_or_else(|| first + self.rng.roll(many as u64) as usize, |o| o.card);
        self.issued.push(Issued { wire, card, started: false, told: None });
        self.go(deed, manner).await
    }

    fn draw(&mut self) -> Deed {
        if self.down && self.rng.roll(2) == 0 {
            return deed(1, Kind::Sale, Pays::Own);
        }
        let mut at = self.rng.roll(MIX.iter().map(|d| d.share).sum());
        let hit = |d: &&Deed| {
            let here = at < d.share;
            at = at.saturating_sub(d.share);
            here
        };
        MIX.iter().find(hit).copied().unwrap_or_else(deed_of_a_quiet_shop)
    }

    /// Some approved payment of late, also one that is undone already.
    fn original(&mut self, kind: Kind) -> Option<Issued> {
        let kinds = originals(kind);
        let fits = |i: &&Issued| {
            i.told.as_ref().is_some_and(|o| o.status == Status::Approved && kinds.contains(&o.kind))
        };
        let late: Vec<Issued> = self.issued.iter().rev().take(LOOK_BACK).filter(fits).cloned().collect();
        self.rng.one(&late).cloned()
    }

    async fn go(&mut self, deed: Deed, manner: Manner) -> Went {
        let Some(issued) = self.issued.last() else { return Ok(()) };
        let (wire, key) = (issued.wire.clone(), issued.key());
        if manner == Manner::Vanishes {
            let passing = Client::connect(Address::Bus(self.bus.clone()), "").await?;
            start(&passing, &wire).await?;
        } else {
            start(&self.client, &wire).await?;
        }
        if let Some(issued) = self.issued.last_mut() {
            issued.started = true;
        }
        if manner == Manner::Twice {
            start(&self.client, &wire).await?;
        }
        self.customer(deed, &key).await?;
        match manner {
            Manner::Cancels => {
                tokio::time::sleep(Duration::from_millis(self.rng.roll(30))).await;
                match self.client.cancel(&caller(), &key).await {
                    Err(Fault::TooLate { .. }) | Ok(()) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            Manner::Beside => return self.beside(&key, &wire).await,
            Manner::Plain | Manner::Twice | Manner::Vanishes => {}
        }
        let told = self.wait(&key).await?;
        self.told(told)
    }

    fn told(&mut self, told: Outcome) -> Went {
        if let Some(issued) = self.issued.iter_mut().rfind(|i| i.wire.id == told.key.id) {
            issued.told = Some(told);
        }
        Ok(())
    }

    async fn wait(&self, key: &RequestKey) -> Went<Outcome> {
        let waiting = tokio::time::timeout(PATIENCE, self.client.wait(&caller(), key, false)).await;
        Ok(waiting.map_err(|_| Stop::Defect(format!("{key}: no word within {PATIENCE:?}")))??)
    }

    /// Plays the customer. What refuses it before the card is asked for has ended it by the time that `Start`
    /// is answered.
    async fn customer(&mut self, deed: Deed, key: &RequestKey) -> Went {
        let row = deed.kind.row();
        if row.card == payterm_schema::kind::CardRule::None || deed.pays == Pays::Never {
            return Ok(());
        }
        if self.client.recall(&caller(), key).await?.outcome.status != Status::Running {
            return Ok(());
        }
        let card = self.issued.last().map_or(0, |i| i.card);
        if let Some(own) = card.checked_sub(CARDS.len()) {
            let track2 = format!(";{}=30121010000012300000?", drain::pan(own));
            return self.virtuals.swipe_tracks(&track2, false, When::Queue).map(drop).or_else(full);
        }
        let (pan, pin) = CARDS[card];
        let pins: &[&str] = if pin == "bypass" { &["bypass"] } else { &["123456"] };
        match deed.pays {
            Pays::Code(codes) => {
                // What its first digits say and its length, and otherwise a new one: a code pays once.
                let like = self.rng.one(codes).copied().unwrap_or_default();
                let (kind, rest) = like.split_at_checked(4).unwrap_or_default();
                let digit = |_| char::from_digit(self.rng.roll(10) as u32, 10);
                let fresh: String = rest.chars().filter_map(digit).collect();
                self.virtuals.scan(&format!("{kind}{fresh}"), When::Queue).map(drop).or_else(full)
            }
            Pays::WrongPinFirst if pin != "bypass" => self.swipe(pan, &["000000", pin]),
            Pays::Poor => self.swipe(POOR, &["123456"]),
            Pays::AsAsked | Pays::WrongPinFirst if row.pin => self.swipe(pan, pins),
            Pays::AsAsked | Pays::WrongPinFirst | Pays::Own | Pays::Never => self.swipe(pan, &[]),
        }
    }
    fn swipe(&mut self, pan: &str, pins: &[&str]) -> Went {
        self.virtuals.swipe(pan, "3012", When::Queue).map(drop).or_else(full)?;
        pins.iter().try_for_each(|p| self.virtuals.pin(p, When::Queue).or_else(full))
    }

    /// Others at the same time: one waits for the same request, one wants its id for something else, one
    /// wants to be served.
    async fn beside(&mut self, key: &RequestKey, wire: &RequestWire) -> Went {
        let connect = || Client::connect(Address::Bus(self.bus.clone()), "");
        let (second, third) = tokio::try_join!(connect(), connect())?;
        let echo = RequestWire {
            id: format!("{}-e", wire.id),
            kind: "echo".into(),
            account: Some("cup".into()),
            ..RequestWire::default()
        };
        let other = RequestWire { note: Some("other content".into()), ..wire.clone() };
        let me = caller();
        let (mine, theirs, reused, served) = tokio::join!(
            self.client.wait(&me, key, false),
            second.wait(&me, key, false),
            async { third.start(&me, Request::try_from(other)?).await },
            async { third.start(&me, Request::try_from(echo.clone())?).await },
        );
        // Also when its answer was lost with the daemon.
        if !matches!(served, Err(Fault::Busy { .. })) {
            self.issued.push(Issued { started: served.is_ok(), ..Issued::new(echo) });
        }
        let (mine, theirs) = (mine?, theirs?);
        // Who comes later may hear the end where the other heard `Unknown`.
        if mine.status.is_final() && theirs.status.is_final() && mine != theirs {
            return Err(Stop::Defect(format!("{key}: one was told {mine:?}, another {theirs:?}")));
        }
        self.told(mine)?;
        match reused {
            Err(Fault::KeyReused { .. }) => {}
            Err(e) => return Err(e.into()),
            Ok(key) => return Err(Stop::Defect(format!("{key}: started with other content"))),
        }
        match served {
            Err(Fault::Busy { .. }) => Ok(()),
            Err(e) => Err(e.into()),
            Ok(key) => {
                let told = self.wait(&key).await?;
                self.told(told)
            }
        }
    }

    /// Plays the app when the terminal is back: it asks for what it does not know the end of, and now and
    /// then for anything.
    pub async fn come_back(&mut self, unexplained: &mut Vec<String>, lost: &mut Vec<String>) -> Result<()> {
        let last = self.issued.len().saturating_sub(3)..self.issued.len();
        let some = (0..8).map(|_| self.rng.roll(self.issued.len() as u64) as usize).collect::<Vec<_>>();
        for at in last.clone().chain(some) {
            let Some(i) = self.issued.get(at).cloned() else { continue };
            let key = i.key();
            match self.client.recall(&caller(), &key).await {
                Ok(t) => unexplained.extend(changed(&i, &t.outcome)),
                Err(Fault::NotFound { .. }) if !i.started => {}
                Err(Fault::NotFound { .. }) => {
                    lost.push(format!("{key}: Start was answered, and it is not known"))
                }
                Err(e) => return Err(format!("recall of {key}: {e}").into()),
            }
        }
        let Some(i) = self.issued.last().cloned() else { return Ok(()) };
        if self.rng.roll(2) == 0 {
            return Ok(());
        }
        // The same id must meet the same transaction.
        let again = async {
            start(&self.client, &i.wire).await?;
            self.wait(&i.key()).await
        };
        match again.await {
            Ok(told) => {
                unexplained.extend(changed(&i, &told));
                if let Some(last) = self.issued.last_mut() {
                    (last.started, last.told) = (true, Some(told));
                }
            }
            Err(Stop::Broken(why) | Stop::Defect(why) | Stop::Store(why)) => {
                unexplained.push(format!("{}: asked again: {why}", i.key()))
            }
        }
        Ok(())
    }
}

fn deed_of_a_quiet_shop() -> Deed {
    deed(1, Kind::Sale, Pays::AsAsked)
}

/// Tells how a final outcome has changed, which none may: only a tip, a refund, an advice that was forwarded
/// may add to it.
pub fn changed(i: &Issued, now: &Outcome) -> Option<String> {
    let told = i.told.as_ref().filter(|t| t.status.is_final())?;
    let same = told.status == now.status
        && told.sums.amount == now.sums.amount
        && (told.rrn == now.rrn || now.forwarding.is_some())
        && told.txn == now.txn;
    (!same).then(|| format!("{} was told {told:?} and is {now:?}", i.key()))
}

/// Until the terminal is free.
async fn start(client: &Client, wire: &RequestWire) -> Went<RequestKey> {
    let began = Instant::now();
    loop {
        match client.start(&caller(), Request::try_from(wire.clone())?).await {
            Err(Fault::Busy { .. }) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(3)).await
            }
            other => return Ok(other?),
        }
    }
}

/// Leftovers of requests that ended before their card was asked for: then there is enough.
fn full(e: VirtualControlError) -> Went {
    match e {
        VirtualControlError::Refused(_) => Ok(()),
        e => Err(Stop::Broken(format!("virtuals: {e}"))),
    }
}
