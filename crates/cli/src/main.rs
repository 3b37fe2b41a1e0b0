//! `paytermctl`: the terminal's bus client, the control of its virtual devices, and tools that need no
//! terminal.
//!
//! Invariant: an exit status of 0 after a payment means approved, and nothing else does; no secret is ever
//! printed, and none has to stand on the command line.
mod acquirer_file;
mod apply;
mod args;
mod bus;
mod explain;
mod journal;
mod keys;
mod operators;
mod papers;
mod pay;
mod queue;
mod secret;
mod setup;
mod show;
mod ui;
mod virtual_devices;
mod wires;

use args::{Cli, Command, FrameAction, Global, OfflineAction, PapersAction, SupportAction, YesNo};
use bus::Bus;
use clap::{CommandFactory, Parser};
use futures_util::StreamExt;
use payterm_hosts::Profile;
use payterm_schema::{
    AccountId, Fault, Kind, Money, Outcome, Status, Terminal,
    money::MoneyError,
    page::{Drawer, Printable},
    request::RequestWire,
    terminal::Filter,
};
use std::{error::Error, io::Write, process::ExitCode};
use ui::{Ui, out};
use wires::{authorisation, of, paid};

/// The exit status of a request; the text of `--help` and of the man page says the same.
pub fn exit_of(o: &Outcome) -> u8 {
    match o.status {
        // Nobody asks for it any more, and the acquirer may hold the payment.
        Status::Declined if o.written_off() => 13,
        Status::Approved => 0,
        Status::Declined => 10,
        Status::Cancelled => 11,
        Status::Failed => 12,
        Status::Unknown => 13,
        Status::Running => 14,
    }
}

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    Fault(Fault),
    /// On this machine: a file, the vault, the virtual devices. The text holds no secret.
    Local(String),
}
impl From<Fault> for Failure {
    fn from(f: Fault) -> Self {
        Failure::Fault(f)
    }
}
impl Failure {
    /// The whole chain of causes on one line.
    pub fn local(e: impl Error) -> Self {
        let mut text = e.to_string();
        let mut cause = e.source();
        while let Some(c) = cause {
            text = format!("{text}: {c}");
            cause = c.source();
        }
        Failure::Local(text)
    }
    fn tell(&self, ui: &Ui) -> u8 {
        match self {
            Failure::Fault(fault) => {
                ui.fault(fault);
                match fault {
                    Fault::Invalid { .. } => 2,
                    Fault::Unreachable { .. } => 4,
                    Fault::Busy { .. }
                    | Fault::KeyReused { .. }
                    | Fault::NotFound { .. }
                    | Fault::NotAllowed { .. }
                    | Fault::TooLate { .. }
                    | Fault::NotActivated
                    | Fault::WrongState { .. }
                    | Fault::NoAccount { .. }
                    | Fault::Original { .. }
                    | Fault::NotLoggedOn
                    | Fault::TerminalLocked
                    | Fault::OperatorLocked { .. }
                    | Fault::NotDone { .. }
                    | Fault::Management { .. }
                    | Fault::StoreFailed { .. }
                    | Fault::JournalRestored { .. }
                    | Fault::RequestLost { .. }
                    | Fault::JournalDamaged { .. }
                    | Fault::DiskFull { .. }
                    | Fault::Restarting { .. }
                    | Fault::ShuttingDown => 3,
                }
            }
            Failure::Local(cause) => {
                if ui.json {
                    out(&serde_json::json!({"fault": "Local", "cause": cause}).to_string());
                }
                ui::err(&format!("paytermctl: {cause}"));
                3
            }
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|e| {
        if e.use_stderr() && std::env::args_os().any(|a| a == "--json") {
            let rule =
                e.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            out(&serde_json::to_string(&Fault::Invalid { field: "arguments".into(), rule })
                .unwrap_or_default());
        }
        e.exit()
    });
    let ui = Ui::new(&cli.global);
    let done =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::local).and_then(
            |runtime| {
                let done = runtime.block_on(run(&cli.global, &ui, cli.command));
                // Nothing of the connection is worth waiting for.
                runtime.shutdown_background();
                done
            },
        );
    ExitCode::from(done.unwrap_or_else(|failure| failure.tell(&ui)))
}

async fn run(global: &Global, ui: &Ui, command: Command) -> Result<u8, Failure> {
    let plain = RequestWire::default;
    let pay = |kind: Kind, wire, run| pay::pay(global, ui, kind, wire, run);
    match command {
        Command::Sale { amount, currency, run } => {
            return pay(
                Kind::Sale,
                RequestWire { amount: Some(amount), currency: Some(currency), ..plain() },
                run,
            )
            .await;
        }
        Command::Void { original, run } => return pay(Kind::Void, of(original), run).await,
        Command::Refund { original: o, amount, currency, run } => {
            let wire = RequestWire {
                original_id: o.original_id,
                original_rrn: o.rrn,
                original_date: o.date,
                amount,
                currency,
                ..plain()
            };
            return pay(Kind::Refund, wire, run).await;
        }
        Command::PreAuth(p) => return pay(Kind::PreAuth, paid(p.amount, p.currency, plain()), p.run).await,
        Command::PreAuthCancel { original, amount, currency, run } => {
            return pay(
                Kind::PreAuthCancel,
                RequestWire { amount, currency, ..authorisation(original) },
                run,
            )
            .await;
        }
        Command::Completion { original, advice, paid: p } => {
            let kind = if advice { Kind::CompletionAdvice } else { Kind::Completion };
            return pay(kind, paid(p.amount, p.currency, authorisation(original)), p.run).await;
        }
        Command::CompletionCancel { original, run } => {
            return pay(Kind::CompletionCancel, of(original), run).await;
        }
        Command::Tip { original, paid: p } => {
            return pay(Kind::TipAdjust, paid(p.amount, p.currency, of(original)), p.run).await;
        }
        Command::VoiceSale { auth_code, paid: p } => {
            let wire = RequestWire { auth_code: Some(auth_code), ..plain() };
            return pay(Kind::VoiceSale, paid(p.amount, p.currency, wire), p.run).await;
        }
        Command::Parameters(run) => return pay(Kind::Parameters, plain(), run).await,
        Command::StatusUpload(run) => return pay(Kind::StatusUpload, plain(), run).await,
        Command::Settle(run) => return pay(Kind::Settlement, plain(), run).await,
        Command::Batches { account, limit } => {
            let account = account
                .map(|a| AccountId::new(&a))
                .transpose()
                .map_err(|rule| Fault::invalid("account", &rule))?;
            let filter = Filter {
                kind: Some(Kind::Settlement),
                status: Some(Status::Approved),
                account,
                limit,
                ..Filter::default()
            };
            let bus = Bus::connect(global).await?;
            let mut all = bus.client.list(&bus.caller, filter).await?;
            all.iter_mut().for_each(|o| show::with_texts(ui, o));
            ui.result(&all, || show::batches(ui, &all));
        }
        Command::Reconcile { file, account } => {
            let account = account
                .map(|a| AccountId::new(&a))
                .transpose()
                .map_err(|rule| Fault::invalid("account", &rule))?;
            let text =
                acquirer_file::read(&file).map_err(|e| Failure::Local(format!("{}: {e}", file.display())))?;
            let bus = Bus::connect(global).await?;
            let result = bus.client.reconcile(&bus.caller, account, text).await?;
            ui.result(&result, || show::reconciliation(ui, &result));
            return Ok(if result.differences.is_empty() { 0 } else { 22 });
        }
        Command::Balance(run) => return pay(Kind::Balance, plain(), run).await,
        Command::SignIn(run) => return pay(Kind::SignIn, plain(), run).await,
        Command::SignOff(run) => return pay(Kind::SignOff, plain(), run).await,
        Command::Echo(run) => return pay(Kind::Echo, plain(), run).await,
        Command::Wait { id, final_only } => {
            let bus = connect(global, &[&id]).await?;
            let key = bus.key(&id).await?;
            return pay::wait(&bus, ui, &key, final_only, false).await;
        }
        Command::Recall { id } => {
            let bus = connect(global, &[&id]).await?;
            let mut t = bus.recall(&id).await?;
            show::with_texts(ui, &mut t.outcome);
            ui.result(&t, || show::transaction(ui, &t));
            return Ok(exit_of(&t.outcome));
        }
        Command::Cancel { id } => {
            let bus = connect(global, &[&id]).await?;
            bus.client.cancel(&bus.caller, &bus.key(&id).await?).await?;
            ui.done();
        }
        Command::Confirm { id, answer } => {
            let bus = connect(global, &[&id]).await?;
            bus.client.confirm(&bus.caller, &bus.key(&id).await?, answer == YesNo::Yes).await?;
            ui.done();
        }
        Command::List(list) => {
            let filter = show::filter(ui, list)?;
            let bus = Bus::connect(global).await?;
            let mut all = bus.client.list(&bus.caller, filter).await?;
            all.iter_mut().for_each(|o| show::with_texts(ui, o));
            ui.result(&all, || show::list(ui, &all));
        }
        Command::Explain { id } => {
            let bus = connect(global, &[&id]).await?;
            let key = match setup::by_reference(&bus, &id).await? {
                Some(outcome) => outcome.key,
                None => bus.key(&id).await?,
            };
            let page = bus.client.explain(&bus.caller, &key).await?;
            ui.result(&page, || explain::page(ui, &page));
        }
        Command::Reprint { id, copy } => return papers::reprint(global, ui, id, copy).await,
        Command::Print { file, id, no_wait } => return papers::print(global, ui, &file, id, no_wait).await,
        Command::OpenDrawer { id } => {
            return papers::own(global, ui, Printable::Drawer(Drawer {}), id, false).await;
        }
        Command::Devices => {
            let all = Bus::connect(global).await?.client.devices().await?;
            ui.result(&all, || show::devices(ui, &all));
        }
        Command::Offline { action: OfflineAction::Why { amount, currency, account } } => {
            let amount =
                Money::parse(&amount, currency.parse().map_err(|e: MoneyError| Failure::Fault(e.into()))?)
                    .map_err(|e| Failure::Fault(e.into()))?;
            let bus = Bus::connect(global).await?;
            let answer = bus.client.offline_why(&bus.caller, amount, account).await?;
            ui.result(&answer, || show::offline(ui, &answer, amount.currency));
        }
        Command::Queue { action } => queue::run(global, ui, action).await?,
        Command::Papers { action } => {
            let bus = Bus::connect(global).await?;
            match action {
                None => {
                    let all = bus.client.papers(&bus.caller).await?;
                    ui.result(&all, || show::papers(ui, &all));
                }
                Some(PapersAction::Release { job, how }) => {
                    bus.client.release_paper(&bus.caller, job, how.print).await?;
                    ui.done();
                }
            }
        }
        Command::Totals { by, shift, print } => return papers::totals(global, ui, by, shift, print).await,
        Command::Operators { action } => operators::run(global, ui, action).await?,
        Command::Info => {
            let info = Bus::connect(global).await?.client.info().await?;
            ui.result(&info, || show::info(ui, &info));
        }
        Command::Inhibited { wait, except } => return setup::inhibited(global, ui, wait, &except).await,
        Command::SelfTest { print } => return setup::self_test(global, ui, print).await,
        Command::Language { language } => setup::language(global, ui, language.into()).await?,
        Command::Support { action: SupportAction::Bundle { out } } => setup::bundle(global, ui, out).await?,
        Command::Apply { action } => apply::run(global, ui, action).await?,
        Command::Watch => return watch(global, ui).await,
        Command::Virtual(args) => virtual_devices::run(ui, args)?,
        Command::Vault { action } => keys::run(ui, action)?,
        Command::Journal { action } => return journal::run(global, ui, action).await,
        Command::Frame { action: FrameAction::Decode { profile, hex } } => decode(ui, &profile, hex)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "paytermctl", &mut script);
            out(&String::from_utf8_lossy(&script));
        }
        Command::Man { dir } => man(&dir).map_err(Failure::local)?,
    }
    Ok(0)
}

/// Ids are checked before the terminal is looked for.
async fn connect(global: &Global, ids: &[&str]) -> Result<Bus, Fault> {
    ids.iter().try_for_each(|id| bus::parse(id).map(drop))?;
    Bus::connect(global).await
}

async fn watch(global: &Global, ui: &Ui) -> Result<u8, Failure> {
    let bus = Bus::connect(global).await?;
    let info = bus.client.info().await?;
    let mut notices = bus.client.notices();
    loop {
        tokio::select! {
            notice = notices.next() => match notice {
                Some(n) => ui.result(&n, || show::notice(ui, &n, &info)),
                None => return Err(Fault::Unreachable { cause: "the connection was lost".into() }.into()),
            },
            _ = tokio::signal::ctrl_c() => return Ok(0),
        }
    }
}

fn decode(ui: &Ui, profile: &str, hex: String) -> Result<(), Failure> {
    let profile = match Profile::builtin(profile) {
        Ok(p) => p,
        Err(unknown) if !std::path::Path::new(profile).exists() => return Err(Failure::local(unknown)),
        Err(_) => Profile::parse(
            &std::fs::read_to_string(profile).map_err(|e| Failure::Local(format!("{profile}: {e}")))?,
        )
        .map_err(Failure::local)?,
    };
    let text = secret::or_stdin(hex, "frame")?;
    let bytes = zeroize::Zeroizing::new(
        hex::decode(text.as_bytes()).map_err(|_| Fault::invalid("frame", "pairs of hexadecimal digits"))?,
    );
    let frame = payterm_hosts::decode(&profile, &bytes).map_err(Failure::local)?;
    let fields = payterm_hosts::trace(&profile, &frame.envelope, &frame.message);
    ui.result(&fields, || explain::fields(&fields));
    Ok(())
}

/// A page a command. The main page is made by parts: the generator would put exit status and environment
/// under "EXTRA".
fn man(dir: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    let (page, mut roff) = (clap_mangen::Man::new(Cli::command().disable_help_subcommand(true)), Vec::new());
    page.render_title(&mut roff)?;
    page.render_name_section(&mut roff)?;
    page.render_synopsis_section(&mut roff)?;
    page.render_description_section(&mut roff)?;
    page.render_options_section(&mut roff)?;
    page.render_subcommands_section(&mut roff)?;
    for (title, text) in [("EXIT STATUS", args::EXIT_STATUS), ("ENVIRONMENT", args::ENVIRONMENT)] {
        writeln!(roff, ".SH \"{title}\"\n.nf\n{}\n.fi", text.replace('-', "\\-"))?;
    }
    std::fs::write(dir.join("paytermctl.1"), roff)
}
