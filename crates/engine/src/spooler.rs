//! The spooler: renders a paper and drives the printer, one job at a time. What is to be printed, and whether
//! it was, is the machine's; this actor keeps nothing.
use crate::{
    clock::NOT_BEFORE,
    device::{Devices, Print, Registry},
    language::Spoken,
    mishap::{Mishaps, Part},
    supervise::Life,
};
use actix::{Actor, Context, Handler, Message, ResponseActFuture, WrapFuture};
use payterm_devices::{PaperWidth, PrintJob};
use payterm_hosts::Profile;
use payterm_schema::{
    AccountId,
    config::Config,
    paper::{PaperJob, PrintResult},
};
use payterm_texts::{SlipContext, TemplateFault, Templates, columns_of, slip};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Jobs that may wait. 16: the machine has one at the printer.
const MAILBOX: usize = 16;

/// Renderer of papers, also for the dispute page.
pub struct Papers {
    config: Arc<Config>,
    acquirers: BTreeMap<AccountId, Arc<Profile>>,
    templates: Mutex<Arc<Loaded>>,
    spoken: Spoken,
}

/// Templates that serve, and what is wrong with those that do not.
pub type Loaded = (Templates, Vec<TemplateFault>);

impl Papers {
    pub fn new(
        config: Arc<Config>,
        acquirers: BTreeMap<AccountId, Arc<Profile>>,
        templates: Loaded,
        spoken: Spoken,
    ) -> Self {
        Self { config, acquirers, templates: Mutex::new(Arc::new(templates)), spoken }
    }
    /// The next paper is made with these.
    pub fn set_templates(&self, templates: Loaded) {
        *self.templates.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(templates);
    }
    pub fn templates(&self) -> Arc<Loaded> {
        self.templates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn paper(&self, job: &PaperJob, duplicate: bool) -> payterm_texts::Paper {
        let t = &self.config.terminal;
        let acquirer = job.outcome().and_then(|o| o.account.as_ref()).and_then(|a| self.acquirers.get(a));
        let context = SlipContext {
            language: self.spoken.language(),
            zone: t.zone.clone(),
            not_before: NOT_BEFORE,
            host_offset_minutes: acquirer.map_or(0, |p| p.utc_offset_minutes),
            service_phone: t.service_phone.clone(),
            qr: self.config.paper.qr.clone(),
            invoice_qr: self.config.paper.invoice_qr.clone(),
            duplicate,
            acquirer_name: acquirer.map(|p| p.title.clone()).unwrap_or_default(),
        };
        slip(job, &context, &self.templates().0)
    }
    /// The paper as plain text, 58 mm wide.
    pub fn text(&self, job: &PaperJob, duplicate: bool) -> String {
        self.paper(job, duplicate).to_text(columns_of(58))
    }
}

/// A printer that is being opened is looked at so often, every so many milliseconds.
const OPENING_LOOKS: u32 = 100;
const OPENING_EVERY: std::time::Duration = std::time::Duration::from_millis(10);

pub struct Spooler {
    pub life: Life,
    pub papers: Arc<Papers>,
    pub devices: Devices,
    pub registry: Registry,
    pub mishaps: Mishaps,
}

#[derive(Message)]
#[rtype(result = "PrintResult")]
pub struct Spool {
    pub job: Box<PaperJob>,
    pub duplicate: bool,
}

impl Actor for Spooler {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.life.begin(ctx);
    }
}

impl Handler<Spool> for Spooler {
    /// Atomic: the next job waits until this one is answered.
    type Result = actix::AtomicResponse<Self, PrintResult>;
    fn handle(&mut self, m: Spool, _: &mut Self::Context) -> Self::Result {
        self.mishaps.pass(Part::Spooler);
        let work: ResponseActFuture<Self, PrintResult> = match self.devices.receipt_printer() {
            None => Box::pin(
                async { PrintResult::NotStarted("no printer is configured".into()) }.into_actor(self),
            ),
            Some((_, printer)) => {
                let (papers, printer) = (self.papers.clone(), printer.clone());
                let (devices, registry) = (self.devices.clone(), self.registry.clone());
                let answer = async move {
                    let Some(width) = opened(&devices, &registry).await else {
                        return PrintResult::NotStarted("the printer is not open yet".into());
                    };
                    let mm = width.mm();
                    // Milliseconds of computing (templates, QR code): not on the thread that tells the
                    // outcome.
                    let rendered = tokio::task::spawn_blocking(move || {
                        let paper = papers.paper(&m.job, m.duplicate);
                        PrintJob {
                            id: m.job.id,
                            escpos: paper.to_escpos(mm),
                            text: paper.to_text(columns_of(mm)),
                            drawer: m.job.at_most_once(),
                        }
                    });
                    let Ok(job) = rendered.await else {
                        return PrintResult::NotStarted("the paper could not be rendered".into());
                    };
                    let here = printer.addr().is_some();
                    match printer.ask(Print(job)).await {
                        Ok(result) => result,
                        // Nobody was there to take it, or it died with the job in its hands.
                        Err(gone) if here => PrintResult::Unconfirmed(gone.to_string()),
                        Err(gone) => PrintResult::NotStarted(gone.to_string()),
                    }
                };
                Box::pin(answer.into_actor(self))
            }
        };
        actix::AtomicResponse::new(work)
    }
}

/// Width of the slips' paper once their printer is open: at another width a slip would come out wrong. A
/// printer that takes longer says itself when it is there.
async fn opened(devices: &Devices, registry: &Registry) -> Option<PaperWidth> {
    for _ in 0..OPENING_LOOKS {
        if let Some(width) = devices.receipt_width(registry) {
            return Some(width);
        }
        tokio::time::sleep(OPENING_EVERY).await;
    }
    None
}
