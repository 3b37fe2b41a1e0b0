//! Stripe readers, scanners and keypads: armed for what is asked for, by their switch or by an order.
use super::{
    DeviceEvent,
    shell::{Port, Shell, Told, Up},
};
use actix::Context;
use payterm_devices::{DeviceError, Face, Handle, Interrupt, SourceEvent, Switch};
use payterm_schema::host::EntryMode;
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError},
    },
    time::{Duration, Instant},
};

/// An armed reader says this often that it lives; one that is switched does so while it rests, too.
const POLL: Duration = Duration::from_secs(10);
const SWITCHED_POLL: Duration = Duration::from_secs(3);

#[derive(Default)]
pub struct Source {
    /// The last order was to wait for an instrument; one that is switched always does.
    armed: bool,
    offer_seen: Option<u64>,
    /// Entry modes that the driver was last armed for.
    armed_for: Vec<EntryMode>,
}

pub enum Order {
    Arm(Vec<EntryMode>),
    Disarm,
    SelfTest,
}
/// An event and the time at which it was read.
pub struct Read(SourceEvent, Instant);

impl Port for Source {
    type Driver = Box<dyn payterm_devices::Source>;
    type Order = Order;
    type Report = Read;
    type Opened = Option<Arc<Switch>>;

    fn driver(face: Face) -> Option<Self::Driver> {
        match face.handle() {
            Handle::Source(source) => Some(source),
            Handle::Card(_) | Handle::PinPad(_) | Handle::Display(_) | Handle::Printer(_) => None,
        }
    }
    fn open(driver: &Self::Driver) -> (Option<Interrupt>, Self::Opened) {
        (Some(driver.interrupt()), driver.switch())
    }
    fn run(mut source: Self::Driver, orders: &Receiver<Order>, up: &Up<Self>) -> Result<(), DeviceError> {
        // One that is switched waits for an instrument all the time.
        let (mut armed, poll) = at_first(source.switch().is_some());
        while let Some(order) = next_order(orders, armed) {
            match order {
                // `Told::Waiting` acknowledges it.
                Some(Order::Arm(modes)) => {
                    source.arm(&modes)?;
                    armed = true;
                }
                Some(Order::Disarm) => {
                    source.disarm()?;
                    armed = false;
                    up.tell(Told::Done);
                }
                Some(Order::SelfTest) => up.tested(source.self_test()?),
                None => {
                    if !up.tell(Told::Waiting(poll)) {
                        return Ok(());
                    }
                    if let Some(event) = source.next(poll)? {
                        up.report(Read(event, Instant::now()));
                    }
                }
            }
        }
        Ok(())
    }
    fn self_test(_: Vec<String>) -> Order {
        Order::SelfTest
    }

    fn waits(&self) -> bool {
        self.armed
    }
    fn opened(shell: &mut Shell<Self>, switch: Self::Opened, ctx: &mut Context<Shell<Self>>) {
        shell.port.armed = switch.is_some();
        armed_by(shell, switch, ctx);
    }
    fn left(&mut self, _: &str) {
        *self = Self::default();
    }
    fn report(shell: &mut Shell<Self>, Read(event, read): Read, _: &mut Context<Shell<Self>>) {
        shell.context.event(match event {
            SourceEvent::Instrument(instrument) => DeviceEvent::Instrument(instrument, read),
            SourceEvent::Key(key) => DeviceEvent::Key(key, read),
        });
    }
    fn refresh(shell: &mut Shell<Self>, ctx: &mut Context<Shell<Self>>) {
        let Some((offer, modes)) = shell.context.orders() else { return };
        if shell.port.offer_seen.replace(offer) == Some(offer) {
            return;
        }
        let time = shell.command_time();
        match modes {
            Some(modes) if modes.is_empty() && shell.port.armed && shell.port.armed_for.is_empty() => {}
            Some(modes) => {
                shell.port.armed_for.clone_from(&modes);
                if shell.order(Order::Arm(modes), time, ctx) {
                    shell.port.armed = true;
                }
            }
            // At once: a card that is read now must not be lost, nor pay what comes next.
            None => {
                if shell.port.armed && shell.order(Order::Disarm, time, ctx) {
                    shell.port.armed = false;
                }
            }
        }
    }
}

/// Takes over how a reader that was just opened is armed: by its switch, or by an order now.
pub fn armed_by<P: Port>(shell: &mut Shell<P>, switch: Option<Arc<Switch>>, ctx: &mut Context<Shell<P>>) {
    let Some(switch) = switch else { return P::refresh(shell, ctx) };
    let config = &shell.context.config;
    shell.context.desired().switched(&config.name, config.kind, switch);
}

/// Whether a reader waits as soon as it is open, and how often it says that it lives while it does.
pub fn at_first(switched: bool) -> (bool, Duration) {
    if switched { (true, SWITCHED_POLL) } else { (false, POLL) }
}

/// The next order; `Some(None)`: there is none, and an armed device may wait for its customer. None: the
/// actor no longer listens.
fn next_order<O>(orders: &Receiver<O>, armed: bool) -> Option<Option<O>> {
    if !armed {
        return orders.recv().ok().map(Some);
    }
    match orders.try_recv() {
        Ok(order) => Some(Some(order)),
        Err(TryRecvError::Empty) => Some(None),
        Err(TryRecvError::Disconnected) => None,
    }
}
