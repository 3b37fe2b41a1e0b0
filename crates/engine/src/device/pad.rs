//! PIN pads: one entry at a time, with the number of digits typed so far.
use super::{
    DeviceEvent,
    display::DRAW,
    shell::{Port, Shell, Up},
};
use actix::{AsyncContext, Context, Handler, Message, ResponseFuture};
use payterm_devices::{DeviceError, Face, Handle, Interrupt};
use payterm_schema::{DeviceState, Money, Pan, card::CardPin, secret::PinEntry, verify::CardPort};
use std::{sync::mpsc::Receiver, time::Duration};
use tokio::sync::oneshot;

#[derive(Message)]
#[rtype(result = "PinEntry")]
pub struct AskPin {
    pub tag: u64,
    pub checked_by: CheckedBy,
    pub amount: Option<Money>,
    pub timeout: Duration,
}

/// Who checks the PIN, and what the pad needs for that.
pub enum CheckedBy {
    /// `slot`: the account whose PIK is used.
    Issuer { slot: String, pan: Pan },
    /// The card in the reader, which is shown it.
    Card { pin: CardPin, card: Box<dyn CardPort> },
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct AbortPin {
    pub tag: u64,
}

/// Entry under way.
struct Entering {
    tag: u64,
    abort: bool,
    done: oneshot::Sender<PinEntry>,
}

#[derive(Default)]
pub struct PinPad {
    entering: Option<Entering>,
    /// Entry and number of digits typed, until that is told ([`DRAW`]); then none.
    pin_progress: Option<(u64, u8)>,
    /// At least one digit of the PIN was typed.
    any_typed: bool,
}

pub enum Order {
    Enter(Box<AskPin>),
    /// Tests the pad; with the accounts whose PIN keys are needed.
    SelfTest(Vec<String>),
}
pub enum Report {
    Digits { tag: u64, digits: u8 },
    Entered(PinEntry),
}

impl Port for PinPad {
    type Driver = Box<dyn payterm_schema::PinPad>;
    type Order = Order;
    type Report = Report;
    type Opened = ();

    fn driver(face: Face) -> Option<Self::Driver> {
        match face.handle() {
            Handle::PinPad(pad) => Some(pad),
            Handle::Source(_) | Handle::Card(_) | Handle::Display(_) | Handle::Printer(_) => None,
        }
    }
    fn open(driver: &Self::Driver) -> (Option<Interrupt>, ()) {
        (Some(driver.interrupt()), ())
    }
    fn run(mut pad: Self::Driver, orders: &Receiver<Order>, up: &Up<Self>) -> Result<(), DeviceError> {
        for order in orders {
            match order {
                Order::SelfTest(slots) => up.tested(pad.self_test(&slots)),
                Order::Enter(m) => {
                    let AskPin { tag, checked_by, amount, timeout } = *m;
                    let mut progress = |n: usize| {
                        let digits = u8::try_from(n).unwrap_or(u8::MAX);
                        up.report(Report::Digits { tag, digits });
                    };
                    let entry = match checked_by {
                        CheckedBy::Issuer { slot, pan } => {
                            pad.enter(&slot, &pan, amount, timeout, &mut progress)
                        }
                        CheckedBy::Card { pin, mut card } => {
                            pad.verify(&pin, &mut *card, amount, timeout, &mut progress)
                        }
                    };
                    up.report(Report::Entered(entry));
                }
            }
        }
        Ok(())
    }
    fn self_test(slots: Vec<String>) -> Order {
        Order::SelfTest(slots)
    }

    fn is_busy(&self) -> bool {
        self.entering.is_some()
    }
    fn opened(_: &mut Shell<Self>, (): (), _: &mut Context<Shell<Self>>) {}
    fn left(&mut self, why: &str) {
        if let Some(Entering { done, .. }) = self.entering.take() {
            done.send(PinEntry::Failed(why.into())).ok();
        }
        *self = Self::default();
    }
    fn report(shell: &mut Shell<Self>, report: Report, ctx: &mut Context<Shell<Self>>) {
        match report {
            Report::Digits { tag, digits } => progress(shell, tag, digits, ctx),
            Report::Entered(entry) => {
                (shell.port.pin_progress, shell.port.any_typed) = (None, false);
                shell.relax(ctx);
                shell.state(DeviceState::Idle, "");
                if let Some(Entering { done, .. }) = shell.port.entering.take() {
                    done.send(entry).ok();
                }
            }
        }
    }
}

fn progress(shell: &mut Shell<PinPad>, tag: u64, digits: u8, ctx: &mut Context<Shell<PinPad>>) {
    if shell.port.entering.as_ref().is_some_and(|e| e.abort && e.tag == tag) {
        shell.interrupt();
    }
    // That none is typed yet is what the screen shows anyway. The last one that comes before the screen is
    // drawn counts.
    shell.port.any_typed |= digits > 0;
    if shell.port.any_typed && shell.port.pin_progress.replace((tag, digits)).is_none() {
        ctx.run_later(DRAW, |shell, _| {
            if let Some((tag, digits)) = shell.port.pin_progress.take() {
                shell.context.event(DeviceEvent::PinDigits { tag, digits });
            }
        });
    }
}

impl Handler<AskPin> for Shell<PinPad> {
    type Result = ResponseFuture<PinEntry>;
    fn handle(&mut self, m: AskPin, ctx: &mut Context<Self>) -> Self::Result {
        self.pass();
        // It may have waited for this actor to be made anew.
        let wanted = self.context.desired().pin == Some(m.tag);
        if !wanted || !self.is_open() || self.port.is_busy() {
            let why = match (wanted, self.is_open()) {
                (false, _) => "nobody waits for this PIN any more",
                (true, true) => "the PIN pad is busy",
                (true, false) => "the PIN pad does not work",
            };
            return Box::pin(async move { PinEntry::Failed(why.into()) });
        }
        let (done, entry) = oneshot::channel();
        let tag = m.tag;
        self.port.entering = Some(Entering { tag, abort: false, done });
        // Everybody is told; an entry that is over at once is nothing to tell.
        ctx.run_later(DRAW, move |shell, _| {
            if shell.port.entering.as_ref().is_some_and(|e| e.tag == tag) {
                shell.state(DeviceState::Busy, "");
            }
        });
        let card_ms = match &m.checked_by {
            CheckedBy::Issuer { .. } => 0,
            CheckedBy::Card { pin, .. } => pin.card_ms,
        };
        let time = m.timeout + Duration::from_millis(card_ms.into()) + self.command_time();
        self.order(Order::Enter(Box::new(m)), time, ctx);
        Box::pin(async move {
            entry.await.unwrap_or_else(|_| PinEntry::Failed("the PIN pad is being restarted".into()))
        })
    }
}

impl Handler<AbortPin> for Shell<PinPad> {
    type Result = ();
    fn handle(&mut self, m: AbortPin, _: &mut Context<Self>) {
        if let Some(entering) = self.port.entering.as_mut().filter(|e| e.tag == m.tag) {
            // When the entry has not begun yet, its first sign of life is answered with this again.
            entering.abort = true;
            self.interrupt();
        }
    }
}
