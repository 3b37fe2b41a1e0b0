//! `paytermctl emv card`: a card in a reader, run by the terminal's kernel to an AAC.
use super::{
    NOT_GOOD, local, now,
    objects::{self, Manner, Object},
};
use crate::{Failure, ui::Ui};
use clap::Args;
use payterm_devices::{
    CardDevice, CardFault, CardReader, DeviceError, Drivers, Env, Face, VirtualBench,
    emv_config::{self, Lists},
};
use payterm_emv::{
    Contact, Tag, Tags, Tap, explain,
    step::{Choice, End, Gone, HostWord, Input, Note, PinWord, Proceed, Step, Verdict, Why},
    terminal::{Depth, Parameters, Terminal, Transaction},
    tlv,
};
use payterm_schema::{
    Currency, DeviceKind, Fault, Money,
    config::{DeviceConfig, EmvConfig, ExpiredKeys},
};
use payterm_texts::clean;
use serde::Serialize;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Time of one command.
const CARD_TIME: Duration = Duration::from_secs(5);
/// What could be sent to a host, and is not shown: a cryptogram, and the signature that holds one.
const CRYPTOGRAMS: &[Tag] = &[Tag(0x9F26), Tag(0x9F4B)];

/// Runs a card in a reader of pcscd as a payment of the terminal would, and has it decline: shows what it
/// says, masked, and what the kernel makes of it.
///
/// By contact the card is asked for an AAC, whatever is found. A tapped card cannot be asked for that: it is
/// run for an amount of nothing and told that the issuer must be asked; its cryptogram goes nowhere. No
/// cryptogram is shown. The card counts a transaction (9F36). No PIN is asked for: a rule that wants one
/// fails. Terminal data are the defaults of [emv].
#[derive(Args)]
pub struct Card {
    /// Applications and CA keys: the file of [emv] (docs/emv-parameters.toml).
    #[arg(long, value_name = "FILE")]
    parameters: PathBuf,
    /// Name of the reader, or a part of it that no other reader's has. Default: the only one.
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
    /// The reader has no contacts: the card is tapped.
    #[arg(long)]
    tap: bool,
    /// Amount that the card is told. Not for taps.
    #[arg(long, default_value = "1.00", conflicts_with = "tap")]
    amount: String,
    /// Its currency.
    #[arg(long, default_value = "CNY")]
    currency: String,
    /// Which application is taken, where the card has several in common with the terminal: its place, from 1.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    application: u8,
    /// Seconds in which a card is to come.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

impl Card {
    pub fn run(self, ui: &Ui) -> Result<u8, Failure> {
        let currency: Currency =
            self.currency.parse().map_err(|_| Fault::invalid("currency", "an ISO 4217 code"))?;
        let amount = Money::parse(if self.tap { "0" } else { &self.amount }, currency)
            .map_err(|e| Fault::invalid("amount", &e.to_string()))?;
        let lists = Lists::read(&self.parameters);
        let parameters = lists.and_then(|l| l.parameters(ExpiredKeys::Refuse)).map_err(Failure::Local)?;
        let terminal = emv_config::terminal(&EmvConfig::new(&self.parameters), None, false, [0xFF; 2])?;
        let mut reader = self.open(ui)?;
        ui.progress(&ui.text(if self.tap { "cli-emv-tap" } else { "cli-emv-insert" }));
        let waited = reader.wait(Duration::from_secs(self.wait)).map_err(|e| no_reader(ui, &e))?;
        if waited.is_none() {
            return Err(Failure::Local(ui.say("cli-emv-no-card", &[("seconds", &self.wait)])));
        }
        let atr = reader.power().map_err(|fault| match fault {
            CardFault::Reader(e) => {
                Failure::Local(ui.say("cli-emv-card-held", &[("problem", &with_cause(&e))]))
            }
            CardFault::Removed => Failure::Local(ui.text("cli-emv-removed")),
            CardFault::Mute => Failure::Local(ui.text("cli-emv-mute")),
        })?;
        let transaction = transaction(ui, amount)?;
        let run =
            Run { reader: &mut *reader, choice: usize::from(self.application) - 1, seen: Seen::default() };
        let ran = run.finish(self.tap, terminal, parameters, transaction);
        // The card is switched off, however it went; there is nobody to tell that it failed.
        reader.release().map_err(drop).ok();
        let (end, seen) = ran?;
        let page = Page::of(&end, seen, hex::encode_upper(atr), currency);
        ui.result(&page, || text(ui, &page));
        Ok(if page.good { 0 } else { NOT_GOOD })
    }

    fn open(&self, ui: &Ui) -> Result<Box<dyn CardReader>, Failure> {
        let kind = if self.tap { DeviceKind::ContactlessReader } else { DeviceKind::ChipReader };
        let mut device = DeviceConfig::new("reader", kind, "pcsc");
        device.options.extend(self.reader.clone().map(|name| ("reader".to_owned(), name.into())));
        let encipher = Arc::new(|_: &str, _: &_, _: &_| Err("no vault".to_owned()));
        let env = Env { bench: VirtualBench::new(), encipher, kernel: None };
        let faces = Drivers::default().open(&device, &env).map_err(|e| match (e, &self.reader) {
            (DeviceError::Gone { .. }, None) => Failure::Local(ui.text("cli-emv-no-reader")),
            (DeviceError::Gone { .. }, Some(name)) => {
                Failure::Local(ui.say("cli-emv-no-such-reader", &[("name", name)]))
            }
            (DeviceError::Rule { rule, .. }, _) => Fault::invalid("reader", &rule).into(),
            (e, _) => no_reader(ui, &e),
        })?;
        match faces.into_iter().next() {
            Some(
                Face::ChipReader(CardDevice { reader, .. })
                | Face::ContactlessReader(CardDevice { reader, .. }),
            ) => Ok(reader),
            _ => Err(Failure::Local(ui.text("cli-emv-no-reader"))),
        }
    }
}

fn with_cause(e: &DeviceError) -> String {
    payterm_schema::fault::with_causes(e)
}
fn no_reader(ui: &Ui, e: &DeviceError) -> Failure {
    Failure::Local(ui.say("cli-emv-no-pcscd", &[("problem", &with_cause(e))]))
}

fn transaction(ui: &Ui, amount: Money) -> Result<Transaction, Failure> {
    let (date, time) = local(ui.zone(), now());
    let mut unpredictable = [0; 4];
    getrandom::fill(&mut unpredictable).map_err(|e| Failure::Local(format!("random bytes: {e}")))?;
    Ok(Transaction {
        amount: amount.minor(),
        other: 0,
        currency: amount.currency.numeric(),
        exponent: amount.currency.digits().try_into().unwrap_or(u8::MAX),
        kind: 0,
        date,
        time,
        sequence: 1,
        unpredictable,
        draw: 50,
        depth: Depth::Decline,
        force_online: false,
    })
}

/// What was seen of a run.
#[derive(Default)]
struct Seen {
    exchanges: Vec<Exchange>,
    applications: Vec<String>,
}
/// A command, and what the card said to it.
#[derive(Serialize)]
struct Exchange {
    command: &'static str,
    /// CLA, INS, P1, P2.
    header: String,
    /// None: no answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<Object>,
    /// Bytes that are no data objects; hidden.
    #[serde(skip_serializing_if = "is_zero")]
    other: usize,
}
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A run of the kernel: what comes of an input.
type Kernel = Box<dyn FnMut(Input<'_>) -> Step>;

struct Run<'a> {
    reader: &'a mut dyn CardReader,
    choice: usize,
    seen: Seen,
}
impl Run<'_> {
    fn finish(
        mut self,
        tap: bool,
        terminal: Terminal,
        parameters: Parameters,
        transaction: Transaction,
    ) -> Result<(Box<End>, Seen), Failure> {
        let (terminal, parameters) = (Arc::new(terminal), Arc::new(parameters));
        let (mut kernel, mut step): (Kernel, Step) = if tap {
            let (mut run, step) = Tap::start(terminal, parameters, transaction).map_err(Failure::local)?;
            (Box::new(move |input| run.step(input)), step)
        } else {
            let (mut run, step) =
                Contact::start(terminal, parameters, transaction).map_err(Failure::local)?;
            (Box::new(move |input| run.step(input)), step)
        };
        let mut asked = 0;
        loop {
            step = match step {
                Step::Send(command) => {
                    let said = self.reader.transmit(&command, CARD_TIME);
                    // GET RESPONSE fetches what another command was answered with.
                    let ins = command.get(1).copied().unwrap_or_default();
                    asked = if ins == 0xC0 { asked } else { ins };
                    self.seen.exchanges.push(exchange(&command, asked, said.as_deref().ok()));
                    match said {
                        Ok(answer) => kernel(Input::Answer(&answer)),
                        Err(fault) => kernel(Input::Gone(match fault {
                            CardFault::Removed => Gone::Removed,
                            CardFault::Mute => Gone::Mute,
                            CardFault::Reader(_) => Gone::Reader,
                        })),
                    }
                }
                Step::Choose(choices) => {
                    if self.choice >= choices.len() {
                        let rule = format!("1 to {}", choices.len());
                        return Err(Fault::invalid("application", &rule).into());
                    }
                    self.seen.applications = choices.iter().map(label).collect();
                    kernel(Input::Chosen(Some(self.choice)))
                }
                Step::Parameters(_) => kernel(Input::Parameters(None)),
                Step::Read(_) => kernel(Input::Proceed(Proceed { online_pin: true, ..Proceed::default() })),
                Step::Pin(_) if tap => kernel(Input::Stop),
                Step::Pin(_) => kernel(Input::Pin(PinWord::NoPad)),
                Step::Online(_) => kernel(Input::Host(HostWord::NotSent { offline: false })),
                Step::Completed(_) => kernel(Input::Scripts),
                Step::Done(end) => return Ok((end, self.seen)),
            };
        }
    }
}

fn label(choice: &Choice) -> String {
    choice.name.iter().map(|b| if (b' '..=b'~').contains(b) { char::from(*b) } else { '?' }).collect()
}

/// `asked`: the command whose answer it is.
fn exchange(command: &[u8], asked: u8, answer: Option<&Vec<u8>>) -> Exchange {
    let header = command.get(..4).unwrap_or_default();
    let (data, status) = answer.and_then(|a| a.split_last_chunk::<2>()).unzip();
    let data = data.unwrap_or_default();
    let (mut objects, broken) = objects::objects(data, CRYPTOGRAMS);
    let mut other = 0;
    if let Ok(Some(values)) = tlv::find(data, Tag(0x80)) {
        objects = format_1(asked, values);
    } else if broken.is_some() {
        (objects, other) = (Vec::new(), data.len());
    }
    Exchange {
        command: explain::command(header.get(1).copied().unwrap_or_default()),
        header: hex::encode_upper(header),
        status: status.map(hex::encode_upper),
        objects,
        other,
    }
}

/// Values of an answer of format 1 (Book 3 §6.5): which they are depends on the command.
fn format_1(asked: u8, values: &[u8]) -> Vec<Object> {
    let manner = Manner { currency: None, hidden: CRYPTOGRAMS };
    let one = |tag, value: &[u8]| objects::primitive(Tag(tag), value, manner);
    match (asked, values) {
        (0xA8, [a, b, afl @ ..]) => vec![one(0x82, &[*a, *b]), one(0x94, afl)],
        (0xAE, [cid, a, b, rest @ ..]) if rest.len() >= 8 => {
            let (cryptogram, issuer) = rest.split_at(8);
            vec![one(0x9F27, &[*cid]), one(0x9F36, &[*a, *b]), one(0x9F26, cryptogram), one(0x9F10, issuer)]
        }
        (_, _) => vec![one(0x9F4B, values)],
    }
}

#[derive(Serialize)]
struct Page {
    atr: String,
    exchanges: Vec<Exchange>,
    /// Names among which one was taken, in the card's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applications: Vec<String>,
    /// Decisions in their order.
    log: Vec<String>,
    /// TVR, TSI, CVM results, cryptogram's kind.
    results: Vec<Object>,
    verdict: String,
    why: String,
    /// It ended as it was told: with an AAC, a tap without an approval.
    good: bool,
}
impl Page {
    fn of(end: &End, seen: Seen, atr: String, currency: Currency) -> Self {
        let Seen { exchanges, applications } = seen;
        // The exchanges stand above it.
        let decided = |note: &&Note| !matches!(note, Note::Sent(_) | Note::Status(_));
        Self {
            atr,
            exchanges,
            applications,
            log: end.log.iter().filter(decided).map(Note::to_string).collect(),
            results: results(&end.tags, currency),
            verdict: end.verdict.to_string(),
            why: end.why.to_string(),
            good: is_good(end),
        }
    }
}

/// An AAC by contact; in a tap any cryptogram but a TC, with nothing that is not true.
fn is_good(end: &End) -> bool {
    let asked = matches!(end.why, Why::Card | Why::NotSent | Why::Stopped);
    asked && end.cid.is_some() && matches!(end.verdict, Verdict::Declined | Verdict::Ended(_))
}

fn results(tags: &Tags, currency: Currency) -> Vec<Object> {
    let manner = Manner { currency: Some(currency), hidden: CRYPTOGRAMS };
    let of = |tag| Some(objects::primitive(Tag(tag), tags.get(Tag(tag))?, manner));
    [0x84, 0x9F02, 0x95, 0x9B, 0x9F34, 0x9F27].into_iter().filter_map(of).collect()
}

fn text(ui: &Ui, page: &Page) -> String {
    let title = |id: &str| format!("\n{}\n", ui.text(id));
    let mut out = ui.say("cli-emv-atr", &[("atr", &page.atr)]) + "\n";
    for Exchange { command, header, status, objects, other } in &page.exchanges {
        let status = status.clone().unwrap_or_else(|| ui.text("cli-emv-no-answer"));
        out += &format!("\n{command} {header}: {status}\n{}", objects::page(ui, objects, 2));
        if *other > 0 {
            out += &format!("  {}\n", ui.say("cli-emv-other", &[("bytes", other)]));
        }
    }
    if !page.applications.is_empty() {
        out += &title("cli-emv-applications");
        let line = |(at, name): (usize, &String)| format!("  {} {}\n", at + 1, clean(name));
        out.extend(page.applications.iter().enumerate().map(line));
    }
    out += &title("cli-emv-log");
    out.extend(page.log.iter().map(|line| format!("  {}\n", ui.texts.kernel(line))));
    out += &title("cli-emv-results");
    out += &objects::page(ui, &page.results, 2);
    let [verdict, why] = [&page.verdict, &page.why].map(|said| ui.texts.kernel(said));
    out + &format!("\n{}\n", ui.say("cli-emv-end", &[("verdict", &verdict), ("why", &why)]))
}
