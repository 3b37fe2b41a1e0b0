//! The actor of one face, whatever its kind: the driver's thread, the deadline of each command, health, the
//! self-test. What is particular to a kind is its [`Port`].
use super::{
    DeviceContext,
    unit::{FromFace, ToFace},
};
use crate::{mishap::Part, supervise::Life};
use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle, StreamHandler};
use payterm_devices::{DeviceError, Face, Interrupt};
use payterm_schema::{
    Device, DeviceState,
    config::DeviceConfig,
    fault::with_causes,
    selftest::{Finding, Verdict},
};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};
use tokio::sync::{
    mpsc::{self, UnboundedSender},
    oneshot,
};

/// Messages that may wait for a device. 64.
const MAILBOX: usize = 64;
/// Orders that may wait for the driver; more means that it hangs. 16.
const ORDERS: usize = 16;
/// Time that a driver gets beyond its own time-outs before it counts as hung. 2 s.
const GRACE: Duration = Duration::from_secs(2);

/// Longest time of one command.
pub fn command_time(config: &DeviceConfig) -> Duration {
    Duration::from_millis(u64::from(config.command_timeout_ms)) + GRACE
}

/// A kind of device: what its driver may be told, what it tells, and the state around it.
pub trait Port: Default + Unpin + 'static {
    type Driver: Send + 'static;
    type Order: Send + 'static;
    type Report: Send + 'static;
    /// Facts that are known of a driver once it is open.
    type Opened: Send + 'static;

    /// The face, if it is of this kind.
    fn driver(face: Face) -> Option<Self::Driver>;
    /// Answers, on the driver's thread, how its waits are ended, and what else is to be known.
    fn open(driver: &Self::Driver) -> (Option<Interrupt>, Self::Opened);
    /// Carries out orders, on the driver's thread, until there are no more, or nobody hears the reports.
    fn run(driver: Self::Driver, orders: &Receiver<Self::Order>, up: &Up<Self>) -> Result<(), DeviceError>;
    /// Order of a self-test. `slots`: the accounts whose PIN keys a pad needs.
    fn self_test(slots: Vec<String>) -> Self::Order;

    /// The driver waits for something else than orders: it is interrupted to take one.
    fn waits(&self) -> bool {
        false
    }
    /// A customer or a paper is being served; its deadline stands.
    fn is_busy(&self) -> bool {
        false
    }
    fn opened(shell: &mut Shell<Self>, opened: Self::Opened, ctx: &mut Context<Shell<Self>>);
    /// The driver was left: who waits is told why.
    fn left(&mut self, why: &str);
    fn report(shell: &mut Shell<Self>, report: Self::Report, ctx: &mut Context<Shell<Self>>);
    /// Makes the device do what is wanted. It is open.
    fn refresh(_: &mut Shell<Self>, _: &mut Context<Shell<Self>>) {}
    /// An order without an answer of its own is carried out.
    fn done(shell: &mut Shell<Self>, ctx: &mut Context<Shell<Self>>) {
        Self::refresh(shell, ctx);
    }
    fn tested(shell: &mut Shell<Self>, _: &Finding, ctx: &mut Context<Shell<Self>>) {
        Self::refresh(shell, ctx);
    }
}

/// News from a driver's thread.
pub enum Told<P: Port> {
    Opened(Option<Interrupt>, P::Opened),
    /// The last order is carried out.
    Done,
    /// A wait of this time begins.
    Waiting(Duration),
    Tested(Finding),
    Report(P::Report),
    Failed(String),
}

/// Way up from a driver's thread.
pub struct Up<P: Port>(UnboundedSender<Told<P>>);
impl<P: Port> Up<P> {
    /// Tells the actor; false: nobody listens any more.
    pub fn tell(&self, told: Told<P>) -> bool {
        self.0.send(told).is_ok()
    }
    pub fn report(&self, report: P::Report) -> bool {
        self.tell(Told::Report(report))
    }
    pub fn tested(&self, finding: Finding) {
        self.tell(Told::Tested(finding));
    }
}

/// The driver's thread while it is ours. Dropped, it takes no more orders, and then its wait ends: the thread
/// finds that it is left.
struct Running<O> {
    /// Opening of the unit that it comes from.
    opening: u64,
    /// Nobody else holds it: see [`Shell::orders`].
    orders: Arc<SyncSender<O>>,
    /// Dropped behind the orders.
    wait: Wait,
    reports: SpawnHandle,
    is_open: bool,
}
/// Interrupt that ends a wait of the driver, once it is open.
#[derive(Default)]
struct Wait(Option<Interrupt>);
impl Wait {
    fn end(&self) {
        if let Some(interrupt) = &self.0 {
            interrupt();
        }
    }
}
impl Drop for Wait {
    fn drop(&mut self) {
        self.end();
    }
}

pub struct Shell<P: Port> {
    life: Life,
    seat: usize,
    /// Tells this actor from the one that it replaces.
    actor: u64,
    pub context: Arc<DeviceContext>,
    pub port: P,
    running: Option<Running<P::Order>>,
    /// Waits for the finding of the test under way; customer and paper go on meanwhile.
    testing: Option<oneshot::Sender<Finding>>,
    deadline: Option<SpawnHandle>,
}

impl<P: Port> Actor for Shell<P> {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.life.begin(ctx);
        self.here();
    }
}

impl<P: Port> Shell<P> {
    pub fn new(life: Life, seat: usize, context: Arc<DeviceContext>) -> Self {
        static ACTORS: AtomicU64 = AtomicU64::new(0);
        Self {
            life,
            seat,
            actor: ACTORS.fetch_add(1, Ordering::Relaxed),
            context,
            port: P::default(),
            running: None,
            testing: None,
            deadline: None,
        }
    }

    fn here(&self) {
        (self.context.unit)(FromFace::Here { seat: self.seat, actor: self.actor });
    }
    pub fn command_time(&self) -> Duration {
        command_time(&self.context.config)
    }
    pub fn is_open(&self) -> bool {
        self.running.as_ref().is_some_and(|r| r.is_open)
    }
    pub fn state(&self, state: DeviceState, health: &str) {
        self.context.change(|d| {
            d.state = state;
            health.clone_into(&mut d.health);
        });
    }
    pub fn now(&self) -> Option<Device> {
        self.context.around.registry.get(&self.context.config.name)
    }
    pub fn pass(&self) {
        self.context.around.mishaps.pass(Part::Device);
    }
    /// Ends the wait of the driver.
    pub fn interrupt(&self) {
        if let Some(running) = &self.running {
            running.wait.end();
        }
    }

    /// A thread around the driver.
    fn take(&mut self, opening: u64, driver: P::Driver, ctx: &mut Context<Self>) {
        let (orders, taken) = sync_channel(ORDERS);
        let (up, mut down) = mpsc::unbounded_channel();
        let running = self.context.around.tasks.driver_token();
        let thread =
            std::thread::Builder::new().name(format!("dev-{}", self.context.config.name)).spawn(move || {
                let _running = running;
                let up = Up::<P>(up);
                let (interrupt, opened) = P::open(&driver);
                up.tell(Told::Opened(interrupt, opened));
                if let Err(e) = P::run(driver, &taken, &up) {
                    up.tell(Told::Failed(with_causes(&e)));
                }
            });
        let reports = ctx.add_stream(futures_util::stream::poll_fn(move |cx| down.poll_recv(cx)));
        let orders = Arc::new(orders);
        self.running = Some(Running { opening, orders, wait: Wait::default(), reports, is_open: false });
        match thread {
            Ok(_) => self.expect_within(self.command_time(), ctx),
            Err(e) => self.failed(&format!("its thread could not be started: {e}"), ctx),
        }
    }

    /// Until something is heard, this much time.
    pub fn expect_within(&mut self, time: Duration, ctx: &mut Context<Self>) {
        self.relax(ctx);
        self.deadline = Some(ctx.run_later(time, |act, ctx| {
            act.deadline = None;
            act.failed("no answer from its driver in time: abandoned", ctx);
        }));
    }
    pub fn relax(&mut self, ctx: &mut Context<Self>) {
        if let Some(d) = self.deadline.take() {
            ctx.cancel_future(d);
        }
    }

    /// Leaves the driver to its thread.
    fn leave(&mut self, why: &str, ctx: &mut Context<Self>) {
        self.relax(ctx);
        self.context.failed(why);
        if let Some(running) = self.running.take() {
            ctx.cancel_future(running.reports);
        }
        if let Some(found) = self.testing.take() {
            found.send(Finding::failed("device-failed").with("why", why)).ok();
        }
        self.port.left(why);
    }
    /// Leaves the driver to its thread, and the unit with it.
    pub fn failed(&mut self, why: &str, ctx: &mut Context<Self>) {
        let opening = self.running.as_ref().map(|r| r.opening);
        self.leave(why, ctx);
        if let Some(opening) = opening {
            (self.context.unit)(FromFace::Failed { seat: self.seat, opening, why: why.into() });
        }
    }

    /// Way of another thread to the driver's, past this actor. It keeps no driver that is left: the end of
    /// its orders is how a thread finds that out.
    pub fn orders(&self) -> Weak<SyncSender<P::Order>> {
        self.running.as_ref().map_or_else(Weak::new, |running| Arc::downgrade(&running.orders))
    }
    /// Hands an order to the driver; `within`: an answer is due by then. False: it takes none.
    pub fn order(&mut self, order: P::Order, within: Duration, ctx: &mut Context<Self>) -> bool {
        let Some(running) = &self.running else { return false };
        match running.orders.try_send(order) {
            Ok(()) => {
                if self.port.waits() {
                    self.interrupt();
                }
                self.expect_within(within, ctx);
                true
            }
            Err(e) => {
                let why = match e {
                    TrySendError::Full(_) => "its driver takes no more commands",
                    TrySendError::Disconnected(_) => "its driver ended",
                };
                self.failed(why, ctx);
                false
            }
        }
    }
}

impl<P: Port> StreamHandler<Told<P>> for Shell<P> {
    fn handle(&mut self, told: Told<P>, ctx: &mut Context<Self>) {
        let busy = self.port.is_busy();
        match told {
            Told::Opened(interrupt, opened) => {
                self.relax(ctx);
                if let Some(running) = &mut self.running {
                    (running.wait, running.is_open) = (Wait(interrupt), true);
                }
                self.state(DeviceState::Idle, "");
                P::opened(self, opened, ctx);
            }
            // What was asked before the customer or the paper came: their deadline stands.
            Told::Done if busy => {}
            Told::Done => {
                self.relax(ctx);
                P::done(self, ctx);
            }
            // The driver waits again: it must come back from that wait.
            Told::Waiting(time) => {
                if !busy {
                    self.expect_within(time + self.command_time(), ctx);
                }
            }
            Told::Tested(finding) => {
                if !busy {
                    self.relax(ctx);
                }
                P::tested(self, &finding, ctx);
                if let Some(found) = self.testing.take() {
                    found.send(finding).ok();
                }
            }
            Told::Report(report) => P::report(self, report, ctx),
            Told::Failed(why) => self.failed(&why, ctx),
        }
    }

    /// The thread has ended: after a panic of its driver, or because it was told to.
    fn finished(&mut self, ctx: &mut Context<Self>) {
        if self.running.is_some() {
            self.failed("its driver panicked", ctx);
        }
    }
}

/// Hands an opened face to its actor.
pub struct Take {
    pub opening: u64,
    pub face: Face,
}
/// Tells the actor of a face that its unit is left.
pub struct Leave {
    pub why: String,
}
impl Message for ToFace {
    type Result = ();
}
impl<P: Port> Handler<ToFace> for Shell<P> {
    type Result = ();
    fn handle(&mut self, m: ToFace, ctx: &mut Context<Self>) {
        match m {
            ToFace::Take(Take { opening, face }) => {
                // The unit chose it by its kind.
                let Some(driver) = P::driver(face) else { unreachable!("a face of another kind") };
                self.take(opening, driver, ctx);
            }
            ToFace::Leave(Leave { why }) => self.leave(&why, ctx),
            ToFace::Renewed => {
                if self.running.is_some() {
                    self.leave("its unit is being restarted", ctx);
                }
                self.here();
            }
        }
    }
}

/// Look at what is wanted again.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Refresh;

impl<P: Port> Handler<Refresh> for Shell<P> {
    type Result = ();
    fn handle(&mut self, _: Refresh, ctx: &mut Context<Self>) {
        self.pass();
        if self.is_open() {
            P::refresh(self, ctx);
        }
    }
}

/// Tests the device; answered within its own time-out.
#[derive(Message)]
#[rtype(result = "Finding")]
pub struct Examine {
    /// The accounts whose PIN keys a pad needs.
    pub slots: Vec<String>,
}

impl<P: Port> Handler<Examine> for Shell<P> {
    type Result = ResponseFuture<Finding>;
    fn handle(&mut self, m: Examine, ctx: &mut Context<Self>) -> Self::Result {
        self.pass();
        if !self.is_open() {
            let health = self.now().map(|d| d.health).unwrap_or_default();
            let why = if health.is_empty() { "it is being opened".to_owned() } else { health };
            return Box::pin(async move { Finding::failed("device-failed").with("why", why) });
        }
        // A device that serves a customer or prints, works.
        if self.port.is_busy() || self.testing.is_some() {
            return Box::pin(async { Finding::new(Verdict::Passed, "busy") });
        }
        let (found, finding) = oneshot::channel();
        self.testing = Some(found);
        self.order(P::self_test(m.slots), self.command_time(), ctx);
        Box::pin(async move {
            finding
                .await
                .unwrap_or_else(|_| Finding::failed("device-failed").with("why", "it is being restarted"))
        })
    }
}
