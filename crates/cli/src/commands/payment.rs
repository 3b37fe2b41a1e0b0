//! Parts that the commands of payments share: their arguments, and a request from start to outcome with live
//! progress and Ctrl-C.
use crate::{
    Failure,
    args::Global,
    bus::Bus,
    exit_of, show,
    ui::{Ui, err, pairs},
};
use clap::Args;
use futures_util::StreamExt;
use payterm_schema::{
    Fault, Kind, Notice, Outcome, Request, RequestKey, Status, Terminal, request::RequestWire,
    terminal::TerminalInfo,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Args)]
pub struct Run {
    /// Id of the request, 1 to 64 of A-Z a-z 0-9 - _ . ; without it a new one is made and told on stderr
    /// first. The same id never runs twice.
    #[arg(long)]
    pub id: Option<String>,
    /// Text on the slip, up to 40 characters.
    #[arg(long)]
    pub note: Option<String>,
    /// The acquirer account; else the terminal's routing decides.
    #[arg(long)]
    pub account: Option<String>,
    /// The cashier must confirm before the card is asked for.
    #[arg(long)]
    pub confirm: bool,
    /// Return as soon as the request is on disk (exit status 14).
    #[arg(long)]
    pub no_wait: bool,
    /// Do not return with "unknown": wait for the final outcome, however long that takes.
    #[arg(long = "final", conflicts_with = "no_wait")]
    pub final_only: bool,
}

#[derive(Args)]
pub struct Paid {
    /// As people write it: 12.34.
    #[arg(long)]
    pub amount: String,
    /// ISO 4217 code: CNY.
    #[arg(long)]
    pub currency: String,
    #[command(flatten)]
    pub run: Run,
}

#[derive(Args)]
pub struct AuthorisationOf {
    /// Request id of the pre-authorisation.
    #[arg(long, value_name = "ID", required_unless_present = "auth_code", conflicts_with = "auth_code")]
    pub original_id: Option<String>,
    /// Authorisation code 授权码 of the pre-authorisation (F38), with its date.
    #[arg(long, requires = "date")]
    pub auth_code: Option<String>,
    /// MMDD.
    #[arg(long, requires = "auth_code")]
    pub date: Option<String>,
}
impl AuthorisationOf {
    pub fn wire(self) -> RequestWire {
        RequestWire {
            original_id: self.original_id,
            original_auth_code: self.auth_code,
            original_date: self.date,
            ..RequestWire::default()
        }
    }
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct OriginalArg {
    /// Request id of the sale.
    #[arg(long, value_name = "ID")]
    pub original_id: Option<String>,
    /// RRN 检索参考号 of the sale (F37).
    #[arg(long)]
    pub rrn: Option<String>,
    /// STAN 凭证号 of the sale in the open batch (F11).
    #[arg(long)]
    pub stan: Option<u32>,
}
impl OriginalArg {
    pub fn wire(self) -> RequestWire {
        RequestWire {
            original_id: self.original_id,
            original_rrn: self.rrn,
            original_stan: self.stan,
            ..RequestWire::default()
        }
    }
}

pub fn paid(amount: String, currency: String, wire: RequestWire) -> RequestWire {
    RequestWire { amount: Some(amount), currency: Some(currency), ..wire }
}

pub async fn pay(global: &Global, ui: &Ui, kind: Kind, wire: RequestWire, run: Run) -> Result<u8, Failure> {
    let fresh = run.id.is_none();
    let id = run.id.map_or_else(new_id, Ok)?;
    let wire = RequestWire {
        id: id.clone(),
        kind: kind.name().into(),
        account: run.account,
        note: run.note,
        confirm: Some(run.confirm),
        // Who does not wait leaves the bus at once: that must not cancel.
        cancel_on_caller_lost: Some(!run.no_wait),
        ..wire
    };
    let request = Request::try_from(wire)?;
    let bus = Bus::connect(global, ui).await?;
    if fresh {
        // Told before the call and even when quiet: whoever loses the answer can recall it.
        err(&ui.say("cli-request-id", &[("id", &id)]));
    }
    let watcher = if run.no_wait { None } else { Some(Watcher::start(&bus, ui).await?) };
    let key = bus.client.start(&bus.caller, request).await.inspect_err(|fault| lost(ui, fault, &id))?;
    let Some(watcher) = watcher else {
        let t = bus.client.recall(&bus.caller, &key).await.inspect_err(|fault| lost(ui, fault, &id))?;
        ui.result(&t.outcome, || show::outcome(ui, &t.outcome));
        return Ok(exit_of(&t.outcome));
    };
    watcher.outcome(&bus, ui, &key, run.final_only, true).await
}

/// Waits for the outcome of a request that was started before.
pub async fn wait(bus: &Bus, ui: &Ui, key: &RequestKey, final_only: bool) -> Result<u8, Failure> {
    Watcher::start(bus, ui).await?.outcome(bus, ui, key, final_only, false).await
}

/// Table of an outcome that has ended, with the number to call where `phone` is one.
fn ended(ui: &Ui, o: &Outcome, phone: &str) -> String {
    let service = (!phone.is_empty()).then(|| (ui.text("label-service"), phone.to_owned()));
    pairs(ui.texts.outcome_lines(o, ui.zone()).into_iter().chain(service))
}

/// `YYYYMMDDhhmmss-` in UTC and 64 random bits: two machines and two calls within a second differ.
fn new_id() -> Result<String, Failure> {
    let form = time::macros::format_description!("[year][month][day][hour][minute][second]");
    let digits = time::OffsetDateTime::now_utc().format(form).map_err(Failure::local)?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| Failure::Local(e.to_string()))?;
    Ok(format!("{digits}-{}", hex::encode(random)))
}

/// Tells what to do when the answer was lost: the request may be running.
fn lost(ui: &Ui, fault: &Fault, id: &str) {
    if matches!(fault, Fault::Unreachable { .. } | Fault::Restarting { .. } | Fault::ShuttingDown) {
        err(&ui.say("cli-outcome-lost", &[("id", &id)]));
    }
}

struct Watcher {
    notices: payterm_schema::terminal::Notices,
    interrupt: Signal,
    info: Option<std::sync::Arc<TerminalInfo>>,
    last: String,
}

impl Watcher {
    /// Before the request starts, so that nothing of it is missed.
    async fn start(bus: &Bus, ui: &Ui) -> Result<Self, Failure> {
        let info = if ui.quiet { None } else { Some(bus.client.info().await?) };
        let notices = bus.client.notices();
        let interrupt = signal(SignalKind::interrupt()).map_err(Failure::local)?;
        Ok(Self { notices, interrupt, info, last: String::new() })
    }

    /// The first Ctrl-C cancels (with `cancels`), the second, or the first without, leaves the request
    /// running.
    async fn outcome(
        mut self,
        bus: &Bus,
        ui: &Ui,
        key: &RequestKey,
        final_only: bool,
        cancels: bool,
    ) -> Result<u8, Failure> {
        let mut interrupts = if cancels { 0 } else { 1 };
        let mut wait_final = false;
        loop {
            let Some(mut outcome) = self
                .wait(bus, ui, key, wait_final, &mut interrupts)
                .await
                .inspect_err(|fault| lost(ui, fault, &key.id))?
            else {
                let t = bus
                    .client
                    .recall(&bus.caller, key)
                    .await
                    .inspect_err(|fault| lost(ui, fault, &key.id))?;
                err(&ui.say("cli-goes-on", &[("id", &key.id)]));
                ui.result(&t.outcome, || show::outcome(ui, &t.outcome));
                return Ok(exit_of(&t.outcome));
            };
            if outcome.status == Status::Unknown && final_only && !wait_final {
                ui.progress(&ui.text("cli-wait-final"));
                wait_final = true;
                continue;
            }
            show::with_texts(ui, &mut outcome);
            let phone = if outcome.needs_service() {
                bus.client.info().await.map(|i| i.service_phone.clone()).unwrap_or_default()
            } else {
                String::new()
            };
            ui.result(&outcome, || ended(ui, &outcome, &phone));
            return Ok(exit_of(&outcome));
        }
    }

    /// Waits for the outcome; none when the user has left.
    async fn wait(
        &mut self,
        bus: &Bus,
        ui: &Ui,
        key: &RequestKey,
        wait_final: bool,
        interrupts: &mut u8,
    ) -> Result<Option<Outcome>, Fault> {
        let mut answer = bus.client.wait(&bus.caller, key, wait_final);
        let mut told = true;
        loop {
            tokio::select! {
                outcome = &mut answer => return outcome.map(Some),
                notice = self.notices.next(), if told => match notice {
                    Some(n) => self.progress(ui, key, &n),
                    None => told = false,
                },
                _ = self.interrupt.recv() => {
                    *interrupts += 1;
                    if *interrupts > 1 {
                        return Ok(None);
                    }
                    // A refusal is told and waited on: the frame has left, the outcome is on its way.
                    match bus.client.cancel(&bus.caller, key).await.map_err(|f| ui.texts.fault(&f)) {
                        Ok(()) => ui.progress(&ui.text("cli-cancelling")),
                        Err(fault) => err(&ui.say("cli-cancel-refused", &[("fault", &fault)])),
                    }
                }
            }
        }
    }

    fn progress(&mut self, ui: &Ui, key: &RequestKey, notice: &Notice) {
        let (Notice::Phase { key: k, phase, screen }, Some(info)) = (notice, &self.info) else { return };
        if k != key {
            return;
        }
        let lines = ui.texts.screen(screen, &ui.screen_context(info.test, &info.shop));
        let text = format!("[{}] {}", ui.texts.word(*phase), lines.join(" | "));
        if text != self.last {
            ui.progress(&text);
            self.last = text;
        }
    }
}
