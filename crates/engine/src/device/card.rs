//! Chip readers, contact and contactless: a card is found once an offer, and stays in the reader's hands.
//! Running a card transaction on it (`CardKernel`) is the chip issue's.
use super::{
    DeviceEvent,
    shell::{Port, Shell, Told, Up},
    source::{armed_by, at_first, next_order},
};
use actix::Context;
use payterm_devices::{CardDevice, DeviceError, Face, Handle, Interrupt, Switch};
use payterm_schema::{Instrument, card::Interface};
use std::{
    sync::{Arc, mpsc::Receiver},
    time::Instant,
};

#[derive(Default)]
pub struct CardReader {
    /// The last order was to wait for a card; one that is switched always does.
    armed: bool,
    offer_seen: Option<u64>,
}

pub enum Order {
    Arm,
    Disarm,
    SelfTest,
}
/// A card was found at this time.
pub struct Found(Interface, Instant);

impl Port for CardReader {
    type Driver = CardDevice;
    type Order = Order;
    type Report = Found;
    type Opened = Option<Arc<Switch>>;

    fn driver(face: Face) -> Option<CardDevice> {
        match face.handle() {
            Handle::Card(card) => Some(card),
            Handle::Source(_) | Handle::PinPad(_) | Handle::Display(_) | Handle::Printer(_) => None,
        }
    }
    fn open(driver: &CardDevice) -> (Option<Interrupt>, Self::Opened) {
        (Some(driver.reader.interrupt()), driver.reader.switch())
    }
    fn run(device: CardDevice, orders: &Receiver<Order>, up: &Up<Self>) -> Result<(), DeviceError> {
        let mut reader = device.reader;
        let switched = reader.switch().is_some();
        let (mut waits, poll) = at_first(switched);
        while let Some(order) = next_order(orders, waits) {
            match order {
                // `Told::Waiting` acknowledges it.
                Some(Order::Arm) => waits = true,
                Some(Order::Disarm) => {
                    reader.release()?;
                    waits = switched;
                    up.tell(Told::Done);
                }
                Some(Order::SelfTest) => up.tested(reader.self_test()?),
                None => {
                    if !up.tell(Told::Waiting(poll)) {
                        return Ok(());
                    }
                    if let Some(interface) = reader.wait(poll)? {
                        up.report(Found(interface, Instant::now()));
                        // One card an order.
                        waits = switched;
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
    fn report(shell: &mut Shell<Self>, Found(interface, at): Found, ctx: &mut Context<Shell<Self>>) {
        // A reader that is not switched rests until the next order: nothing more is heard of it.
        let switched = shell.context.desired().is_switched(&shell.context.config.name);
        if !switched {
            shell.relax(ctx);
        }
        let instrument = match interface {
            Interface::Contact => Instrument::Inserted,
            Interface::Contactless => Instrument::Tapped,
        };
        shell.context.event(DeviceEvent::Instrument(instrument, at));
    }
    fn refresh(shell: &mut Shell<Self>, ctx: &mut Context<Shell<Self>>) {
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
