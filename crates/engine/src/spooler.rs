//! The spooler: renders a paper and drives the printer, one job at a time. What is to be printed, and whether
//! it was, is the machine's; this actor keeps nothing.
use crate::{
    clock::NOT_BEFORE,
    device::{Devices, Print, Registry, Sheet},
    language::Spoken,
    mishap::{Mishaps, Part},
    supervise::Life,
};
use actix::{Actor, Context, Handler, Message, WrapFuture};
use payterm_devices::PrintJob;
use payterm_hosts::Profile;
use payterm_schema::{
    AccountId,
    config::Config,
    paper::{PaperJob, PrintResult},
};
use payterm_texts::{Font, Letters, SlipContext, TemplateFault, Templates, columns_of, slip};
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
    /// The shop's font, for what a printer has no character for.
    font: Option<Arc<Font>>,
    spoken: Spoken,
}

/// Templates that serve, and what is wrong with those that do not.
pub type Loaded = (Templates, Vec<TemplateFault>);

impl Papers {
    pub fn new(
        config: Arc<Config>,
        acquirers: BTreeMap<AccountId, Arc<Profile>>,
        templates: Loaded,
        font: Option<Font>,
        spoken: Spoken,
    ) -> Self {
        let (templates, font) = (Mutex::new(Arc::new(templates)), font.map(Arc::new));
        Self { config, acquirers, templates, font, spoken }
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

/// End of a job.
pub struct Spooled {
    pub result: PrintResult,
    /// Characters that the printer lacks and that something else stands for.
    pub replaced: u32,
}

#[derive(Message)]
#[rtype(result = "Spooled")]
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
    type Result = actix::AtomicResponse<Self, Spooled>;
    fn handle(&mut self, m: Spool, _: &mut Self::Context) -> Self::Result {
        self.mishaps.pass(Part::Spooler);
        let (devices, registry, papers) = (self.devices.clone(), self.registry.clone(), self.papers.clone());
        let work = async move {
            printed(&devices, &registry, papers, m)
                .await
                .unwrap_or_else(|why| Spooled { result: PrintResult::NotStarted(why.into()), replaced: 0 })
        };
        actix::AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}

/// Lays a paper out and prints it; an error says why nothing of it has begun.
async fn printed(
    devices: &Devices,
    registry: &Registry,
    papers: Arc<Papers>,
    m: Spool,
) -> Result<Spooled, &'static str> {
    let (_, printer) = devices.receipt_printer().ok_or("no printer is configured")?;
    let sheet = opened(devices, registry).await.ok_or("the printer is not open yet")?;
    // Milliseconds of computing (templates, QR code): not on the thread that tells the outcome.
    let rendered = tokio::task::spawn_blocking(move || {
        let paper = papers.paper(&m.job, m.duplicate);
        let mm = sheet.width.mm();
        let escpos = paper.to_escpos(mm, &Letters { model: sheet.model, font: papers.font.clone() });
        let job = PrintJob {
            id: m.job.id,
            escpos: escpos.bytes,
            text: paper.to_text(columns_of(mm)),
            drawer: m.job.at_most_once(),
        };
        (job, escpos.replaced)
    });
    let (job, replaced) = rendered.await.map_err(|_| "the paper could not be rendered")?;
    let here = printer.addr().is_some();
    let result = match printer.ask(Print(job)).await {
        Ok(result) => result,
        // Nobody was there to take it, or it died with the job in its hands.
        Err(gone) if here => PrintResult::Unconfirmed(gone.to_string()),
        Err(gone) => PrintResult::NotStarted(gone.to_string()),
    };
    Ok(Spooled { result, replaced })
}

/// Sheet of the slips once their printer is open: on another one a slip would come out wrong. A printer that
/// takes longer says itself when it is there.
async fn opened(devices: &Devices, registry: &Registry) -> Option<Sheet> {
    for _ in 0..OPENING_LOOKS {
        if let Some(sheet) = devices.receipt_sheet(registry) {
            return Some(sheet);
        }
        tokio::time::sleep(OPENING_EVERY).await;
    }
    None
}
