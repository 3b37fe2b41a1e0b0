//! Chip readers, contact and contactless: a card is found once an offer, and stays in the reader's hands. A
//! card transaction runs on the reader's own thread, kernel and all, so that a command to the card costs no
//! hop.
//!
//! Invariant: a reader that runs a card takes no other order before the run is ended.
use super::{
    DeviceEvent,
    shell::{Port, Shell, Told, Up},
    source::{armed_by, at_first},
};
use actix::{Context, Handler, Message, MessageResult, ResponseFuture};
use payterm_devices::{CardDevice, CardFault, CardKernel, DeviceError, Face, Handle, Interrupt, Switch};
use payterm_schema::{
    card::{CardDecision, CardFailure, CardRun, CardStep, CardWord, Interface},
    verify::{CardPort, Verify},
};
use std::{
    sync::{
        Arc, Weak,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// How often it is looked whether a card is still there while the terminal thinks. 200 ms: a pull is shown
/// at once to the eye.
const PRESENCE: Duration = Duration::from_millis(200);
/// How often a reader that nobody needs is asked whether it is still there. 5 s: the next customer is to meet
/// one that is open again.
const IDLE: Duration = Duration::from_secs(5);
/// Time for one call of a kernel. 5 min: ten times `flow.card_timeout_ms` as it is by default, at which the
/// machine ends the run itself.
const CALL: Duration = Duration::from_secs(300);
/// Time that a kernel that is ended gets for the command under way. 10 s: twice that of one command.
const ENDING: Duration = Duration::from_secs(10);
/// Time that a card's word on a PIN may take longer than the card. 1 s: a look whether the card is there may
/// come before its turn.
const PORT: Duration = Duration::from_secs(1);

/// Begins a card transaction on the card that the reader found; answered with its first step. None: no card
/// says anything.
#[derive(Message)]
#[rtype(result = "Option<CardStep>")]
pub struct RunCard {
    pub tag: u64,
    pub run: CardRun,
}
/// Answers the last step; answered with the next one.
#[derive(Message)]
#[rtype(result = "Option<CardStep>")]
pub struct TellCard {
    pub tag: u64,
    pub word: CardWord,
}
/// Opens the way of a PIN pad to the card of this run; it leads nowhere once the run is over. `time`: what
/// the card has for VERIFY.
#[derive(Message)]
#[rtype(result = "Box<dyn CardPort>")]
pub struct OpenPort {
    pub tag: u64,
    pub time: Duration,
}
/// Ends the run's call under way as far as it came; its step is told as always.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopCard {
    pub tag: u64,
}
/// Ends the run, and lets go of the card. None: whatever run there is.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EndCard {
    pub tag: Option<u64>,
}

#[derive(Default)]
pub struct CardReader {
    /// The last order was to wait for a card; one that is switched always does.
    armed: bool,
    offer_seen: Option<u64>,
    /// Ends a call of the kernel; none: the reader has no kernel.
    kernel: Option<Interrupt>,
    run: Option<Run>,
}
struct Run {
    tag: u64,
    /// Waits for the next step.
    asked: Option<oneshot::Sender<Option<CardStep>>>,
    /// The card has ended it, or is gone: it may be run again before it is let go.
    over: bool,
    /// Nobody hears its steps any more.
    ending: bool,
    /// Where a PIN pad waits for the card's word on VERIFY.
    pad: Weak<Answer>,
    events: Arc<dyn Fn(DeviceEvent) + Send + Sync>,
}
/// Takes the card's status word on VERIFY; none: it has none any more.
type Answer = SyncSender<Option<u16>>;
impl Run {
    /// Nobody hears its steps any more. A pad that waits for the card is free at once: what the card makes of
    /// a PIN that it was shown already is told to nobody, and counts in its tries all the same.
    fn end(&mut self) {
        (self.ending, self.asked) = (true, None);
        if let Some(pad) = self.pad.upgrade() {
            pad.try_send(None).ok();
        }
    }
    /// The card's next step, for who waits; the card's end is told to all.
    fn says(&mut self, step: Option<CardStep>) {
        self.over = matches!(step, None | Some(CardStep::Done { .. }));
        match (self.asked.take(), step) {
            (Some(asked), step) => drop(asked.send(step)),
            (None, None) if !self.ending => (self.events)(DeviceEvent::CardGone { tag: self.tag }),
            (None, _) => {}
        }
    }
}

pub enum Order {
    Arm,
    Disarm,
    SelfTest,
    Run {
        tag: u64,
        run: CardRun,
    },
    Tell {
        tag: u64,
        word: CardWord,
    },
    /// From the PIN pad's own thread. Dropped, the answer says that no card answers.
    Verify {
        tag: u64,
        command: Verify,
        time: Duration,
        answer: Arc<Answer>,
    },
    EndRun {
        tag: u64,
    },
}
pub enum Report {
    /// A card was found at this time.
    Found(Interface, Instant),
    /// A card of before was still in when the reader was armed.
    LeftIn(Instant),
    Step {
        tag: u64,
        step: Option<CardStep>,
    },
    Ended {
        tag: u64,
    },
}

impl Port for CardReader {
    type Driver = CardDevice;
    type Order = Order;
    type Report = Report;
    /// The reader's switch, and what ends a call of its kernel.
    type Opened = (Option<Arc<Switch>>, Option<Interrupt>);

    fn driver(face: Face) -> Option<CardDevice> {
        match face.handle() {
            Handle::Card(card) => Some(card),
            Handle::Source(_) | Handle::PinPad(_) | Handle::Display(_) | Handle::Printer(_) => None,
        }
    }
    fn open(driver: &CardDevice) -> (Option<Interrupt>, Self::Opened) {
        let kernel = driver.kernel.as_ref().map(|kernel| kernel.interrupt());
        (Some(driver.reader.interrupt()), (driver.reader.switch(), kernel))
    }
    fn run(mut device: CardDevice, orders: &Receiver<Order>, up: &Up<Self>) -> Result<(), DeviceError> {
        let switched = device.reader.switch().is_some();
        let (mut waits, poll) = at_first(switched);
        // Of the run that waits for a word; whether its card must stay meanwhile: one that is tapped has said
        // all.
        let mut running: Option<u64> = None;
        let mut stays = true;
        // A card that is in when the reader is opened was given for nothing that is asked now.
        device.reader.release()?;
        loop {
            let patience = match running {
                Some(_) => PRESENCE,
                None if waits => Duration::ZERO,
                None => IDLE,
            };
            let order = match orders.recv_timeout(patience) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            match order {
                // `Told::Waiting` acknowledges it.
                Some(Order::Arm) => {
                    waits = true;
                    if device.reader.occupied()? {
                        up.report(Report::LeftIn(Instant::now()));
                    }
                }
                Some(Order::Disarm) => {
                    device.reader.release()?;
                    waits = switched;
                    up.tell(Told::Done);
                }
                Some(Order::SelfTest) => up.tested(device.reader.self_test()?),
                Some(Order::Run { tag, run }) => {
                    stays = run.interface == Interface::Contact;
                    running = step(&mut device, up, tag, |kernel, card| kernel.run(&run, card))?;
                }
                Some(Order::Tell { tag, word }) if running == Some(tag) => {
                    running = step(&mut device, up, tag, |kernel, card| kernel.tell(word, card))?;
                }
                Some(Order::Verify { tag, command, time, answer }) if running == Some(tag) => {
                    let said = device.reader.transmit(command.reveal(), time);
                    running = shown(&mut device, up, tag, said, &answer)?;
                }
                // That the card is gone was told already.
                Some(Order::Tell { .. } | Order::Verify { .. }) => {}
                Some(Order::EndRun { tag }) => {
                    running = None;
                    device.kernel.iter_mut().for_each(|kernel| kernel.end());
                    device.reader.release()?;
                    waits = switched;
                    up.report(Report::Ended { tag });
                }
                None => match running {
                    Some(tag) if stays && !device.reader.present()? => {
                        device.kernel.iter_mut().for_each(|kernel| kernel.end());
                        running = None;
                        up.report(Report::Step { tag, step: None });
                    }
                    Some(_) => {}
                    // A reader that is lost says so.
                    None if !waits => drop(device.reader.occupied()?),
                    None => {
                        if !up.tell(Told::Waiting(poll)) {
                            return Ok(());
                        }
                        if let Some(interface) = device.reader.wait(poll)? {
                            up.report(Report::Found(interface, Instant::now()));
                            // One card an order.
                            waits = switched;
                        }
                    }
                },
            }
        }
    }
    fn self_test(_: Vec<String>) -> Order {
        Order::SelfTest
    }

    fn waits(&self) -> bool {
        self.armed
    }
    fn is_busy(&self) -> bool {
        self.run.is_some()
    }
    fn opened(shell: &mut Shell<Self>, (switch, kernel): Self::Opened, ctx: &mut Context<Shell<Self>>) {
        (shell.port.armed, shell.port.kernel) = (switch.is_some(), kernel);
        armed_by(shell, switch, ctx);
    }
    fn left(&mut self, _: &str) {
        // A call under way is not to go on with a card for nobody.
        if let Some(interrupt) = &self.kernel {
            interrupt();
        }
        if let Some(mut run) = self.run.take() {
            run.says(None);
        }
        *self = Self::default();
    }
    fn report(shell: &mut Shell<Self>, report: Report, ctx: &mut Context<Shell<Self>>) {
        match report {
            Report::Found(interface, at) => found(shell, interface, at, ctx),
            Report::LeftIn(at) => shell.context.event(DeviceEvent::CardLeftIn { at }),
            Report::Step { tag, step } => {
                if let Some(run) = shell.port.run.as_mut().filter(|run| run.tag == tag && !run.ending) {
                    run.says(step);
                    shell.relax(ctx);
                }
            }
            Report::Ended { tag } => {
                if shell.port.run.take_if(|run| run.tag == tag).is_some() {
                    shell.relax(ctx);
                    Self::refresh(shell, ctx);
                }
            }
        }
    }
    fn refresh(shell: &mut Shell<Self>, ctx: &mut Context<Shell<Self>>) {
        // The card at work keeps its reader.
        if shell.port.run.is_some() {
            return;
        }
        let Some((offer, modes)) = shell.context.orders() else { return };
        if shell.port.offer_seen.replace(offer) == Some(offer) {
            return;
        }
        let (order, armed) = match modes {
            Some(_) => (Order::Arm, true),
            // At once: a card that is found now must not be lost, nor pay what comes next.
            None if shell.port.armed => (Order::Disarm, false),
            None => return,
        };
        let time = shell.command_time();
        if shell.order(order, time, ctx) {
            shell.port.armed = armed;
        }
    }
}

/// A call of the kernel, on the reader's thread; its step is told. Gives the run's tag while the run waits
/// for a word.
fn step(
    device: &mut CardDevice,
    up: &Up<CardReader>,
    tag: u64,
    call: impl FnOnce(
        &mut dyn CardKernel,
        &mut dyn payterm_devices::CardReader,
    ) -> Result<Option<CardStep>, CardFault>,
) -> Result<Option<u64>, DeviceError> {
    let CardDevice { reader, kernel } = device;
    let said = kernel.as_mut().map_or(Ok(None), |kernel| call(kernel.as_mut(), reader.as_mut()));
    let (step, fault) = match said {
        Ok(step) => (step, None),
        Err(CardFault::Removed | CardFault::Mute) => (None, None),
        Err(CardFault::Reader(e)) => (None, Some(e)),
    };
    let waits = matches!(
        step,
        Some(
            CardStep::Read(_)
                | CardStep::Choose(_)
                | CardStep::NeedPin(_)
                | CardStep::GoOnline { .. }
                | CardStep::Completed { .. }
        )
    );
    let lost =
        matches!(step, Some(CardStep::Done { decision: CardDecision::Failed(CardFailure::Reader), .. }));
    up.report(Report::Step { tag, step });
    match fault {
        Some(e) => Err(e),
        // One that does not work any more says so again, and is opened anew.
        None if lost => reader.present().map(|_| None),
        None => Ok(waits.then_some(tag)),
    }
}

/// The card was shown a PIN; only its status word is told, and to the pad alone. Gives the run's tag while
/// the run goes on.
fn shown(
    device: &mut CardDevice,
    up: &Up<CardReader>,
    tag: u64,
    said: Result<Zeroizing<Vec<u8>>, CardFault>,
    answer: &Answer,
) -> Result<Option<u64>, DeviceError> {
    let fault = match said.as_deref().map(|said| said.last_chunk()) {
        Ok(Some(sw)) => {
            // A pad that has stopped waiting is told nothing.
            answer.try_send(Some(u16::from_be_bytes(*sw))).ok();
            return Ok(Some(tag));
        }
        Ok(None) | Err(CardFault::Removed | CardFault::Mute) => None,
        Err(CardFault::Reader(_)) => said.err(),
    };
    device.kernel.iter_mut().for_each(|kernel| kernel.end());
    up.report(Report::Step { tag, step: None });
    match fault {
        Some(CardFault::Reader(e)) => Err(e),
        Some(CardFault::Removed | CardFault::Mute) | None => Ok(None),
    }
}

/// Way of a PIN pad's thread to the reader's, for one VERIFY: no actor's message holds a PIN.
struct PadPort {
    tag: u64,
    time: Duration,
    orders: Weak<SyncSender<Order>>,
    answer: Option<Arc<Answer>>,
    said: Receiver<Option<u16>>,
}
impl PadPort {
    fn new(tag: u64, time: Duration, orders: Weak<SyncSender<Order>>, run: Option<&mut Run>) -> Self {
        let (answer, said) = sync_channel(1);
        let answer = run.map(|run| {
            let answer = Arc::new(answer);
            run.pad = Arc::downgrade(&answer);
            answer
        });
        Self { tag, time, orders, answer, said }
    }
}
impl CardPort for PadPort {
    fn verify(&mut self, command: Verify) -> Option<u16> {
        let order = Order::Verify { tag: self.tag, command, time: self.time, answer: self.answer.take()? };
        self.orders.upgrade()?.try_send(order).ok()?;
        self.said.recv_timeout(self.time + PORT).ok().flatten()
    }
}

fn found(
    shell: &mut Shell<CardReader>,
    interface: Interface,
    at: Instant,
    ctx: &mut Context<Shell<CardReader>>,
) {
    // A reader that is not switched rests until the next order: nothing more is heard of it.
    let switched = shell.context.desired().is_switched(&shell.context.config.name);
    if !switched {
        shell.relax(ctx);
    }
    let reader = shell.context.config.name.clone();
    shell.context.event(DeviceEvent::Card { reader, interface, at });
}

impl Handler<RunCard> for Shell<CardReader> {
    type Result = ResponseFuture<Option<CardStep>>;
    fn handle(&mut self, RunCard { tag, run }: RunCard, ctx: &mut Context<Self>) -> Self::Result {
        self.pass();
        let works = self.port.run.as_ref().is_some_and(|run| !run.over || run.ending);
        if !self.is_open() || self.port.kernel.is_none() || works {
            return Box::pin(async { None });
        }
        let (asked, step) = oneshot::channel();
        let events = self.context.around.events.clone();
        self.port.run =
            Some(Run { tag, asked: Some(asked), over: false, ending: false, pad: Weak::new(), events });
        let time = CALL + self.command_time();
        self.order(Order::Run { tag, run }, time, ctx);
        Box::pin(async move { step.await.ok().flatten() })
    }
}

impl Handler<TellCard> for Shell<CardReader> {
    type Result = ResponseFuture<Option<CardStep>>;
    fn handle(&mut self, TellCard { tag, word }: TellCard, ctx: &mut Context<Self>) -> Self::Result {
        self.pass();
        let run = self.port.run.as_mut().filter(|run| run.tag == tag && !run.ending);
        let Some(run) = run.filter(|run| run.asked.is_none()) else { return Box::pin(async { None }) };
        let (asked, step) = oneshot::channel();
        run.asked = Some(asked);
        let time = CALL + self.command_time();
        self.order(Order::Tell { tag, word }, time, ctx);
        Box::pin(async move { step.await.ok().flatten() })
    }
}

impl Handler<OpenPort> for Shell<CardReader> {
    type Result = MessageResult<OpenPort>;
    fn handle(&mut self, OpenPort { tag, time }: OpenPort, _: &mut Context<Self>) -> Self::Result {
        self.pass();
        let orders = self.orders();
        let run = self.port.run.as_mut().filter(|run| run.tag == tag && !run.ending);
        let port: Box<dyn CardPort> = Box::new(PadPort::new(tag, time, orders, run));
        MessageResult(port)
    }
}

impl Handler<StopCard> for Shell<CardReader> {
    type Result = ();
    fn handle(&mut self, StopCard { tag }: StopCard, _: &mut Context<Self>) {
        if self.port.run.as_ref().is_some_and(|run| run.tag == tag)
            && let Some(interrupt) = &self.port.kernel
        {
            interrupt();
        }
    }
}

impl Handler<EndCard> for Shell<CardReader> {
    type Result = ();
    fn handle(&mut self, m: EndCard, ctx: &mut Context<Self>) {
        let mine = |run: &&mut Run| m.tag.is_none_or(|tag| tag == run.tag) && !run.ending;
        let Some(run) = self.port.run.as_mut().filter(mine) else { return };
        let tag = run.tag;
        run.end();
        if let Some(interrupt) = &self.port.kernel {
            interrupt();
        }
        let time = ENDING + self.command_time();
        self.order(Order::EndRun { tag }, time, ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pad_is_free_as_soon_as_its_run_is_ended() {
        let (orders, reader) = sync_channel(1);
        let orders = Arc::new(orders);
        let long = Duration::from_secs(60);
        let new = || Run {
            tag: 7,
            asked: None,
            over: false,
            ending: false,
            pad: Weak::new(),
            events: Arc::new(|_| ()),
        };
        let verify = || Verify::plain(&[0x24; 8]);
        let shows = |run: &mut Run| {
            let mut port = PadPort::new(7, long, Arc::downgrade(&orders), Some(run));
            let pad = std::thread::spawn(move || port.verify(verify()));
            let Ok(Order::Verify { answer, .. }) = reader.recv() else { panic!("no VERIFY") };
            (pad, answer)
        };
        let began = Instant::now();
        // The card thinks.
        let mut run = new();
        let (pad, answer) = shows(&mut run);
        run.end();
        assert_eq!(pad.join().unwrap(), None);
        answer.try_send(Some(0x9000)).unwrap_err();
        // It answers; it is gone.
        let (pad, answer) = shows(&mut new());
        answer.try_send(Some(0x63C2)).unwrap();
        assert_eq!(pad.join().unwrap(), Some(0x63C2));
        let (pad, answer) = shows(&mut new());
        drop(answer);
        assert_eq!(pad.join().unwrap(), None);
        // A run that is over has no way to a card.
        assert_eq!(PadPort::new(7, long, Arc::downgrade(&orders), None).verify(verify()), None);
        assert!(began.elapsed() < long);
    }
}
