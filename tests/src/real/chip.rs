//! Chip cards at the real programs: paytermd with readers of a pcscd, or with its own, and test cards in
//! them; and customers who pull their card out at any command.
use crate::{
    real::{
        audit::{self, Said, Verdict},
        pcscd::{Inserted, READERS},
        stack::{Result, Stack, caller},
        traffic::{Issued, PATIENCE},
    },
    sim::{fixtures::cny, rng::Rng},
};
use payterm_dbus::Client;
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControl};
use payterm_schema::{
    Fault, Kind, Outcome, Request, RequestKey, Status, Terminal, Time,
    config::{Config, DeviceConfig, EmvConfig, Language, OfflineLimits},
    device::DeviceKind,
    record::Obligation,
    request::RequestWire,
};
use payterm_simulator::card::{Given, PERSONAS, Personas, TestCard, ca_key_370, vpcd::Behaviour};
use rustix::process::{Signal, kill_process};
use std::{
    collections::BTreeMap,
    net::TcpListener,
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

/// A card that is not pulled and answers.
pub const PLAIN: Behaviour = Behaviour { t0: false, pull_at: None, mute_at: None };
/// Of every persona that is used here.
const PIN: &str = "123456";
/// More commands than a sale has.
const COMMANDS: u32 = 20;
/// Pulls between two settlements: a batch has room for both sales of each.
const BATCH: u32 = 200;

/// Readers of a terminal, by where cards are inserted and tapped.
#[derive(Clone, Copy)]
pub enum Readers {
    /// The virtual ones of the pcscd that runs.
    Pcscd,
    /// The terminal's own, at these ports.
    Own([u16; 2]),
}
impl Readers {
    /// Own readers at ports that are free.
    pub fn own() -> Result<Self> {
        let free = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        Ok(Self::Own([free[0].local_addr()?.port(), free[1].local_addr()?.port()]))
    }
    /// Ports of cards that are inserted, and tapped.
    pub fn ports(self) -> [u16; 2] {
        match self {
            Self::Pcscd => READERS.map(|(_, port)| port),
            Self::Own(ports) => ports,
        }
    }

    /// A configuration with these readers, the test CA's key and the personas' applications.
    pub fn configure(self, config: &mut Config) {
        let kinds = [("chip", DeviceKind::ChipReader), ("tap", DeviceKind::ContactlessReader)];
        config.devices.retain(|device| kinds.iter().all(|(_, kind)| device.kind != *kind));
        for (n, (name, kind)) in kinds.into_iter().enumerate() {
            let (driver, option, value) = match self {
                Self::Pcscd => ("pcsc", "reader", READERS[n].0.to_owned()),
                Self::Own(ports) => ("virtual", "card", format!("127.0.0.1:{}", ports[n])),
            };
            let mut device = DeviceConfig::new(name, kind, driver);
            device.options.insert(option.into(), value.into());
            config.devices.push(device);
        }
        config.terminal.language = Language::En;
        let key = hex::encode(ca_key_370([0xA0, 0, 0, 0x03, 0x33]));
        let emv = config.store.dir.with_file_name("emv.toml");
        let aid = |last| {
            format!(
                "[[aid]]\naid = \"A0000003330101{last}\"\nversion = \"0030\"\n\
                 tap = {{ most = 500_000, cvm = 1_000 }}\n"
            )
        };
        let text = format!("version = 1\nkeys = [\"{key}\"]\n{}{}", aid("01"), aid("02"));
        std::fs::write(&emv, text).expect("a file");
        // A card is mute soon.
        config.emv = Some(EmvConfig { card_ms: 500, ..EmvConfig::new(emv) });
    }
}

/// The persona's card, of today.
pub fn card(persona: &str) -> Result<TestCard> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let today = Time(now.try_into()?).local(480);
    let bcd = |n: u8| n / 10 * 16 + n % 10;
    let date = [(today.year() % 100) as u8, today.month().into(), today.day()].map(bcd);
    Ok(TestCard::new(&Personas::parse(PERSONAS)?, persona, date)?)
}

/// What a customer with a card in the reader is told.
enum Word {
    Ended(Box<Outcome>),
    /// It was pulled: to be inserted again.
    NotRead,
    /// It was in before the reader looked for one: out, and in again.
    TakenForOld,
}

/// A counter at which cards are pulled.
struct Counter {
    stack: Stack,
    readers: Readers,
    client: Client,
    virtuals: VirtualControl,
    cards: BTreeMap<&'static str, TestCard>,
    /// Cards that are used no more.
    spent: Vec<TestCard>,
    issued: Vec<Issued>,
    verdict: Verdict,
}

/// So many customers pull their card out at a command, the first at each in turn, the others at random; after
/// each of them somebody pays. In the end journal, papers, acquirer and the cards' own lists are compared.
pub async fn pulls(readers: Readers, count: u32, seed: u64) -> Result<Verdict> {
    let mut counter = Counter::new(readers, seed, |_| ()).await?;
    let mut rng = Rng::new(seed);
    for n in 0..count {
        let (persona, at) = match n {
            0..COMMANDS => ("debit", n + 1),
            _ => {
                let personas = ["debit", "debit", "offline", "refuses-after-approval"];
                (personas[rng.roll(4) as usize], 1 + rng.roll(COMMANDS.into()) as u32)
            }
        };
        counter.sale(n, "pulled", persona, Behaviour { pull_at: Some(at), ..PLAIN }).await?;
        let next = counter.sale(n, "next", "debit", PLAIN).await?;
        if next.status != Status::Approved {
            let line = format!("behind a pull at {at} of {persona}: {:?} {:?}", next.status, next.reason);
            counter.verdict.unexplained.push(line);
        }
        counter.verdict.blows += 1;
        if n % BATCH == BATCH - 1 || n == count - 1 {
            counter.settle(n).await?;
        }
    }
    counter.end().await
}

/// So many sales that a card approves by itself while no acquirer can be reached, with kill -9 at random
/// moments of these and while the acquirer is told of them. Then it has each TC once, and the books are
/// compared.
pub async fn certificates(count: u32, kills: u32, seed: u64) -> Result<Verdict> {
    let mut counter = Counter::new(Readers::own()?, seed, by_themselves).await?;
    let mut rng = Rng::new(seed);
    let began = Instant::now();
    while !counter.client.totals(&caller()).await?.iter().all(|t| t.signed_in) {
        if began.elapsed() > PATIENCE {
            return Err(format!("not signed in: {}", counter.stack.log_tail()).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    counter.stack.kill_acquirer();
    let each = count / kills.max(1);
    for n in 0..count {
        let killed = each > 0 && n % each == each - 1;
        let killer = if killed { Some(counter.killer(rng.roll(150))?) } else { None };
        match (counter.sale(n, "alone", "offline", PLAIN).await, killer) {
            (Ok(_), None) => {}
            (_, Some(killer)) => {
                killer.join().map_err(|_| "the killer panicked")??;
                counter.again().await?;
            }
            (Err(why), None) => return Err(why),
        }
        // It approves three in a row.
        if n % 3 == 2 {
            let spent = counter.cards.insert("offline", card("offline")?);
            counter.spent.extend(spent);
        }
    }
    counter.stack.start_acquirer("127.0.0.1:0")?;
    let address = counter.stack.hosts.get("unionpay").cloned().ok_or("no listener")?;
    counter.stack.reconfigure(|config| config.accounts[0].address = address)?;
    // The last start is to its end.
    for _ in 0..3 {
        counter.again().await?;
        tokio::time::sleep(Duration::from_millis(100 + rng.roll(500))).await;
    }
    counter.rest().await?;
    counter.settle(count).await?;
    counter.end().await
}

/// Cards may approve by themselves, without bounds but a batch's.
fn by_themselves(config: &mut Config) {
    let many = cny(100_000_000);
    config.accounts[0].offline.card = Some(OfflineLimits {
        per_card: Some(many.clone()),
        per_card_count: 1_000_000,
        total: Some(many),
        total_count: 1_000_000,
        ..OfflineLimits::default()
    });
    config.settlement.batch_max = 900;
    let emv = config.store.dir.with_file_name("emv.toml");
    let text = std::fs::read_to_string(&emv).expect("it was written");
    let codes = "floor = 100_000\nonline = \"FC00000000\"\ndefault = \"FC00000000\"\ntap =";
    std::fs::write(emv, text.replace("tap =", codes)).expect("a file");
}

impl Counter {
    async fn new(readers: Readers, seed: u64, change: fn(&mut Config)) -> Result<Self> {
        let stack = Stack::start(|config, _| {
            readers.configure(config);
            change(config);
            config.log.level = "warn".into();
            let papers = config.store.dir.with_file_name("papers.txt");
            for device in config.devices.iter_mut().filter(|d| d.name == "printer") {
                device.address = Some(format!("file:{}", papers.display()));
                device.options.insert("paper_mm".into(), 80.into());
            }
        })?;
        let mut cards = BTreeMap::new();
        for persona in ["debit", "offline", "refuses-after-approval"] {
            cards.insert(persona, card(persona)?);
        }
        let (client, virtuals) = (stack.client().await?, stack.virtuals()?);
        let verdict = Verdict { seed, ..Verdict::default() };
        let (spent, issued) = (Vec::new(), Vec::new());
        Ok(Self { stack, readers, client, virtuals, cards, spent, issued, verdict })
    }

    /// Kills the daemon so much later.
    fn killer(&self, ms: u64) -> Result<JoinHandle<rustix::io::Result<()>>> {
        let pid = self.stack.daemon_process().ok_or("no daemon")?;
        Ok(std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(ms));
            kill_process(pid, Signal::KILL)
        }))
    }
    /// The daemon is killed, if it is there, and started again; what was asked for last is known, or never
    /// came.
    async fn again(&mut self) -> Result<()> {
        self.verdict.blows += 1;
        self.stack.kill_daemon();
        self.stack.start_daemon(&[])?;
        (self.client, self.virtuals) = (self.stack.client().await?, self.stack.virtuals()?);
        let last = self.issued.last().ok_or("nothing was asked for")?;
        match self.client.wait(&caller(), &last.key(), true).await {
            Ok(_) => Ok(()),
            Err(Fault::NotFound { .. }) if !last.started => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    async fn start(&mut self, wire: RequestWire) -> Result<RequestKey> {
        self.issued.push(Issued::new(wire.clone()));
        let key = self.client.start(&caller(), Request::try_from(wire)?).await?;
        self.issued.iter_mut().rev().take(1).for_each(|last| last.started = true);
        Ok(key)
    }

    /// A sale; who is told that the card was not read inserts it again.
    async fn sale(&mut self, n: u32, who: &str, persona: &'static str, how: Behaviour) -> Result<Outcome> {
        // Another amount than the last one's, which the screen may still show, and none that the demo world
        // has a rule for; a card has 10,000.00.
        let amount = format!("{}.{:02}", if who == "next" { 2 } else { 0 }, 10 + n % 90);
        let id = format!("{who}-{n}");
        let key = self
            .start(RequestWire {
                note: Some(id.clone()),
                id,
                kind: Kind::Sale.name().into(),
                amount: Some(amount.clone()),
                currency: Some("CNY".into()),
                ..RequestWire::default()
            })
            .await?;
        self.virtuals.wait_screen(&amount, PATIENCE)?;
        let mut how = how;
        loop {
            let card = self.cards.remove(persona).ok_or("a card that is away")?;
            let [port, _] = self.readers.ports();
            let inserted = Inserted::insert(card, port, how)?;
            let outcome = self.word(&key, how.pull_at.is_some()).await;
            let card = match self.readers {
                Readers::Pcscd => inserted.take_out()?,
                Readers::Own(_) => inserted.pull()?,
            };
            self.cards.insert(persona, card);
            match outcome? {
                Word::Ended(outcome) => return Ok(*outcome),
                Word::NotRead => how = PLAIN,
                Word::TakenForOld => {}
            }
        }
    }

    /// What the terminal says of a sale whose card is in the reader, and perhaps pulled.
    async fn word(&mut self, key: &RequestKey, pulled: bool) -> Result<Word> {
        let (me, began) = (caller(), Instant::now());
        let mut outcome = std::pin::pin!(self.client.wait(&me, key, true));
        while began.elapsed() < PATIENCE {
            if let Ok(outcome) = tokio::time::timeout(Duration::from_millis(4), &mut outcome).await {
                return Ok(Word::Ended(Box::new(outcome?)));
            }
            // Refused, unless the pad asks for it.
            let _ = self.virtuals.pin(PIN, When::Now);
            if pulled && self.virtuals.wait_screen("Card not read", Duration::ZERO).is_ok() {
                return Ok(Word::NotRead);
            }
            if self.virtuals.wait_screen("Take old card out", Duration::ZERO).is_ok() {
                return Ok(Word::TakenForOld);
            }
        }
        Err(format!("{key} does not end: {:?}", self.virtuals.screen()).into())
    }

    /// Settles the batch: each TC is told, once.
    async fn settle(&mut self, n: u32) -> Result<()> {
        let kind = Kind::Settlement.name().to_owned();
        let key =
            self.start(RequestWire { id: format!("batch-{n}"), kind, ..RequestWire::default() }).await?;
        let outcome = self.client.wait(&caller(), &key, true).await?;
        if outcome.status != Status::Approved {
            self.verdict.unexplained.push(format!("{key}: {:?} {:?}", outcome.status, outcome.reason));
        }
        Ok(())
    }

    /// All that is owed is answered, and all papers are out; gives what is owed all the same.
    async fn rest(&self) -> Result<Vec<Obligation>> {
        let (me, began) = (caller(), Instant::now());
        loop {
            let open = self.client.obligations(&me).await?;
            let rests = open.is_empty() && self.client.papers(&me).await?.is_empty();
            if rests || began.elapsed() > PATIENCE {
                return Ok(open);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The books are compared.
    async fn end(mut self) -> Result<Verdict> {
        let obligations = self.rest().await?;
        let said = Said { obligations, totals: self.client.totals(&caller()).await? };
        if !self.stack.stop_daemon()? {
            self.verdict.unexplained.push("the daemon did not stop in order".into());
        }
        audit::judge(&self.stack, &self.issued, &said, &mut self.verdict)?;
        let given: Vec<&[Given]> = self.cards.values().chain(&self.spent).map(TestCard::given).collect();
        audit::cards(&self.stack, &given, &mut self.verdict)?;
        let log = std::fs::read_to_string(self.stack.daemon_log())?;
        let errors = log.lines().filter(|l| l.contains("ERROR")).take(10);
        self.verdict.unexplained.extend(errors.map(|l| format!("the log has {l}")));
        if !self.verdict.ok() {
            self.stack.keep();
            self.verdict.kept = Some(self.stack.dir.clone());
        }
        Ok(self.verdict)
    }
}
