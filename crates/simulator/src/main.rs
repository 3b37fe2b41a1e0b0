//! `payterm-acquirer`: the acquirer for demos and tests.
mod show;

use clap::{Args, Parser, Subcommand};
use payterm_schema::Kind;
use payterm_simulator::{
    acquirer::{self, Acquirer, Listen, Options},
    bank::{chip, settlement},
    card::{Script, When},
    code::Code,
    control::{self, Command},
    journal, keys, ledger,
    mishap::{Mishap, Plan},
    tms::Decision,
    world::World,
};
use rusqlite::{Connection, OpenFlags};
use std::{
    error::Error,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(
    name = "payterm-acquirer",
    version,
    about = "An acquirer for demos and tests: the other end of payterm's host protocol. TEST DATA ONLY."
)]
struct Cli {
    #[command(subcommand)]
    run: Run,
}

#[derive(Subcommand)]
enum Run {
    /// Run until SIGTERM or SIGINT.
    Serve(Serve),
    /// Make trouble for the next messages of the acquirer that runs on STATE.
    Mishap(Trouble),
    /// List the mishaps that wait.
    Mishaps(At),
    /// Forget the mishaps that wait.
    ClearMishaps(At),
    /// Forget the wrong PINs of a card.
    Unblock {
        #[command(flatten)]
        at: At,
        card: String,
    },
    /// Scripts for the next answer to a chip card.
    Script(Told),
    /// Chip data of requests, reversals and script notices.
    Chips(At),
    /// Counters of the running acquirer.
    Stats(At),
    /// Onboardings for a terminal.
    Onboardings {
        #[command(subcommand)]
        action: Onboardings,
    },
    /// All postings of the ledger.
    Ledger(At),
    /// Balances of all ledger accounts.
    Balances(At),
    /// Holds on cards: pre-authorisations that are neither completed nor cancelled.
    Holds(At),
    /// Settlements of the terminals' batches.
    Settlements(At),
    /// The file for reconciliation of a batch, as CSV.
    Reconciliation {
        #[arg(long)]
        state: PathBuf,
        #[command(flatten)]
        world: Rules,
        #[arg(long)]
        account: String,
        #[arg(long)]
        batch: u32,
    },
    /// Status uploads of the terminals.
    Statuses(At),
    /// Check the ledger; exits 1 when a rule does not hold.
    Check(At),
    /// The last 10,000 messages, masked.
    Log {
        #[command(flatten)]
        at: At,
        /// Show every field.
        #[arg(long)]
        fields: bool,
    },
    /// The world's cards. Test PANs and tracks are shown in clear only with --reveal.
    Cards {
        #[command(flatten)]
        world: Rules,
        #[arg(long)]
        reveal: bool,
    },
    /// TEST KEYS: an account's TMK as two components with check values.
    Tmk {
        #[command(flatten)]
        world: Rules,
        /// Name of the account, `cup`.
        #[arg(long)]
        account: String,
    },
}

#[derive(Subcommand)]
enum Onboardings {
    /// All of them.
    List(At),
    /// Approves one that is in review, and gives it an account of the world.
    Approve {
        #[command(flatten)]
        at: At,
        id: String,
        /// This account; else one that no other onboarding has.
        #[arg(long)]
        account: Option<String>,
    },
    /// Rejects one that is in review.
    Reject {
        #[command(flatten)]
        at: At,
        id: String,
        /// Up to 200 characters.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Args)]
struct At {
    /// State directory.
    #[arg(long)]
    state: PathBuf,
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Rules {
    /// World file; default: the embedded demo world.
    #[arg(long)]
    rules: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}
impl Rules {
    fn world(&self) -> Result<World> {
        Ok(self.rules.as_deref().map_or_else(World::demo, World::load)?)
    }
}

#[derive(Args)]
struct Serve {
    /// ADDRESS:PORT or PROFILE=ADDRESS:PORT; may be repeated. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: Vec<Listen>,
    /// State directory (made when it is not there).
    #[arg(long)]
    state: PathBuf,
    /// World file; default: the embedded demo world.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// Written when the acquirer listens: {"unionpay":"127.0.0.1:40001", ...}
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// PEM certificate chain: TLS on every listener.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM private key.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The terminal management listens here (HTTPS); its CA and signing key are written to STATE/tms.
    #[arg(long, value_name = "ADDRESS:PORT")]
    tms: Option<std::net::SocketAddr>,
    /// Seconds after which a silent connection is closed.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    idle: u64,
    /// Ledger in memory, nothing synced, no control socket: for benchmarks.
    #[arg(long)]
    fast: bool,
}

#[derive(Args)]
struct Trouble {
    #[command(flatten)]
    at: At,
    /// How many messages.
    #[arg(long, default_value_t = 1)]
    next: u32,
    /// Only requests of this kind: sale, void, refund, pre_auth ... (the names of docs/kinds.md).
    #[arg(long, value_parser = kind)]
    kind: Option<Kind>,
    /// Only messages with this MTI: 0400.
    #[arg(long)]
    mti: Option<String>,
    /// Only this account.
    #[arg(long)]
    account: Option<String>,
    /// delay MS, drop-request, drop-reply, duplicate-reply, corrupt-reply, bad-mac, no-mac, close-mid-frame,
    /// busy, wrong-stan, late-reply MS, code F39, requirement DIGIT; of a settlement not-balanced,
    /// settle-error, bad-totals; of a download of CA keys and applications (kind parameters) endless-list,
    /// zero-checksum, truncated-tlv, no-entry, no-end.
    #[arg(verbatim_doc_comment)]
    name: String,
    /// Milliseconds, response code or digit, for those that have one.
    value: Option<String>,
}
impl Trouble {
    fn mishap(&self) -> Result<Mishap> {
        let bare = |m: Mishap| {
            if self.value.is_none() { Ok(m) } else { Err(format!("{} takes no value", self.name).into()) }
        };
        let value = || self.value.as_deref().ok_or_else(|| format!("{} needs a value", self.name));
        match self.name.as_str() {
            "delay" => Ok(Mishap::Delay { ms: value()?.parse()? }),
            "drop-request" => bare(Mishap::DropRequest),
            "drop-reply" => bare(Mishap::DropReply),
            "duplicate-reply" => bare(Mishap::DuplicateReply),
            "corrupt-reply" => bare(Mishap::CorruptReply),
            "bad-mac" => bare(Mishap::BadMac),
            "no-mac" => bare(Mishap::NoMac),
            "close-mid-frame" => bare(Mishap::CloseMidFrame),
            "busy" => bare(Mishap::Busy),
            "wrong-stan" => bare(Mishap::WrongStan),
            "late-reply" => Ok(Mishap::LateReply { ms: value()?.parse()? }),
            "code" => Ok(Mishap::Code { code: value()?.parse::<Code>()? }),
            "not-balanced" => bare(Mishap::NotBalanced),
            "settle-error" => bare(Mishap::SettleError),
            "bad-totals" => bare(Mishap::BadTotals),
            "endless-list" => bare(Mishap::EndlessList),
            "zero-checksum" => bare(Mishap::ZeroChecksum),
            "truncated-tlv" => bare(Mishap::TruncatedTlv),
            "no-entry" => bare(Mishap::NoEntry),
            "no-end" => bare(Mishap::NoEnd),
            "requirement" => Ok(Mishap::Requirement { digit: value()?.parse()? }),
            other => Err(format!("mishap: there is no '{other}'; see --help").into()),
        }
    }
}

#[derive(Args)]
struct Told {
    #[command(flatten)]
    at: At,
    /// Name of the card, `chip-debit`.
    card: String,
    /// application-block, card-block, pin-unblock, offline-count COUNT.
    #[arg(verbatim_doc_comment)]
    name: String,
    /// Payments in a row that the card approves by itself, 0 to 255.
    count: Option<u8>,
    /// Before the card's last word (71), not behind it (72).
    #[arg(long)]
    before: bool,
}
impl Told {
    fn script(&self) -> Result<Script> {
        let when = if self.before { When::Before } else { When::After };
        Ok(match (self.name.as_str(), self.count) {
            ("application-block", None) => Script::ApplicationBlock { when },
            ("card-block", None) => Script::CardBlock { when },
            ("pin-unblock", None) => Script::PinUnblock { when },
            ("offline-count", Some(count)) => Script::OfflineCount { when, count },
            (other, _) => return Err(format!("script: there is no such '{other}'; see --help").into()),
        })
    }
}

fn kind(text: &str) -> std::result::Result<Kind, String> {
    Kind::named(text).ok_or_else(|| format!("one of {}", Kind::names()))
}

fn main() -> ExitCode {
    match run(Cli::parse().run) {
        Ok(code) => code,
        // The reader of a pipe went away: not worth a word.
        Err(e)
            if e.downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "payterm-acquirer: {e}");
            ExitCode::from(2)
        }
    }
}

fn serve(s: Serve) -> Result<ExitCode> {
    let level = std::env::var("RUST_LOG").ok().and_then(|level| level.parse::<Targets>().ok());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let level = level.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    tracing_subscriber::registry().with(level).with(lines).init();
    let world = s.rules.as_deref().map_or_else(World::demo, World::load)?;
    let options = Options {
        listen: s.listen,
        state: (!s.fast).then_some(s.state),
        tls: s.tls_cert.zip(s.tls_key),
        tms: s.tms,
        idle: std::time::Duration::from_secs(s.idle),
        log: !s.fast,
        ..Options::default()
    };
    // Before the server answers anybody, so that a signal that comes early is not lost.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut term, mut int) = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        Ok::<_, std::io::Error>((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    })?;
    let running = Acquirer::start(world, options)?;
    let mut out = std::io::stdout().lock();
    for (profile, address) in &running.addrs {
        writeln!(out, "listening {profile} {address}")?;
    }
    out.flush()?;
    if let Some(file) = s.ready_file {
        let mut part = file.clone().into_os_string();
        part.push(".part");
        std::fs::write(&part, serde_json::to_vec(&running.addrs)?)?;
        std::fs::rename(part, file)?;
    }
    runtime.block_on(async {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    });
    running.stop();
    writeln!(out, "stopped")?;
    Ok(ExitCode::SUCCESS)
}

fn run(run: Run) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match run {
        Run::Serve(s) => return serve(s),
        Run::Mishap(t) => {
            let plan =
                Plan { mishap: t.mishap()?, next: t.next, kind: t.kind, mti: t.mti, account: t.account };
            reply(&mut out, &t.at, &Command::Mishap(plan))?;
        }
        Run::Mishaps(at) => reply(&mut out, &at, &Command::Mishaps)?,
        Run::ClearMishaps(at) => reply(&mut out, &at, &Command::Clear)?,
        Run::Unblock { at, card } => reply(&mut out, &at, &Command::Unblock { card })?,
        Run::Script(told) => {
            let command = Command::Script { card: told.card.clone(), scripts: vec![told.script()?] };
            reply(&mut out, &told.at, &command)?;
        }
        Run::Chips(at) => show::rows(&mut out, at.json, chip::chips(&open(&at.state)?)?, show::chip)?,
        Run::Onboardings { action } => {
            let (at, command) = match action {
                Onboardings::List(at) => (at, Command::Onboardings),
                Onboardings::Approve { at, id, account } => {
                    (at, Command::Decide { id, decision: Decision::Approve { account } })
                }
                Onboardings::Reject { at, id, reason } => {
                    (at, Command::Decide { id, decision: Decision::Reject { reason } })
                }
            };
            onboardings(&mut out, &at, &command)?;
        }
        Run::Stats(at) => reply(&mut out, &at, &Command::Stats)?,
        Run::Ledger(at) => {
            show::rows(&mut out, at.json, ledger::postings(&open(&at.state)?)?, show::posting)?
        }
        Run::Balances(at) => {
            show::rows(&mut out, at.json, ledger::balances(&open(&at.state)?)?, show::balance)?;
        }
        Run::Holds(at) => show::rows(&mut out, at.json, ledger::holds(&open(&at.state)?)?, show::hold)?,
        Run::Settlements(at) => {
            show::rows(&mut out, at.json, settlement::settlements(&open(&at.state)?)?, show::settlement)?;
        }
        Run::Reconciliation { state, world, account, batch } => {
            let world = world.world()?;
            let account = world.account(&account).ok_or("no such account in the world")?;
            write!(out, "{}", settlement::file(&open(&state)?, &world, account, batch)?)?;
        }
        Run::Statuses(at) => {
            show::rows(&mut out, at.json, ledger::statuses(&open(&at.state)?)?, show::status)?;
        }
        Run::Check(at) => {
            let report = ledger::check(&open(&at.state)?)?;
            show::check(&mut out, at.json, &report)?;
            return Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Run::Log { at, fields } => {
            let all = journal::read(&open(&at.state)?)?;
            show::rows(&mut out, at.json, all, |out, m| show::message(out, m, fields))?;
        }
        Run::Cards { world, reveal } => show::cards(&mut out, &world.world()?, world.json, reveal)?,
        Run::Tmk { world, account } => {
            let w = world.world()?;
            let a = w.account(&account).ok_or_else(|| format!("account {account}: not in this world"))?;
            show::components(&mut out, world.json, &keys::components(a)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn onboardings(out: &mut impl Write, at: &At, command: &Command) -> Result<()> {
    let all = control::send(&at.state, command)?.onboardings.unwrap_or_default();
    if at.json {
        return show::json(out, &all);
    }
    for h in all {
        let (s, word) = (&h.submission, format!("{:?}", h.verdict));
        let given = h.account.map(|a| format!("  account {a}")).unwrap_or_default();
        let reason = h.reason.map(|r| format!("  {r}")).unwrap_or_default();
        writeln!(
            out,
            "{}  {:<8}  revision {}  {}  {}{given}{reason}",
            s.onboarding,
            word,
            s.revision,
            show::time(h.received),
            s.draft.name
        )?;
    }
    Ok(())
}

fn reply(out: &mut impl Write, at: &At, command: &Command) -> Result<()> {
    let r = control::send(&at.state, command)?;
    if at.json {
        return show::json(out, &r);
    }
    for p in r.mishaps.iter().flatten() {
        show::json(out, p)?;
    }
    if let Some(n) = r.cleared {
        writeln!(out, "{n} forgotten")?;
    }
    if let Some(s) = r.stats {
        writeln!(
            out,
            "connections {}\nframes {}\nbad frames {}\nmishaps {}",
            s.connections, s.frames, s.bad_frames, s.mishaps
        )?;
    }
    Ok(())
}

/// The state of an acquirer, running or not, for reading.
fn open(state: &Path) -> Result<Connection> {
    let file = acquirer::database(state);
    let c = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|e| format!("{}: {e}", file.display()))?;
    c.pragma_update(None, "query_only", true)?;
    Ok(c)
}
