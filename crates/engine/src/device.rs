//! Devices: one unit is opened by one actor, each of its faces is served by an actor of its own, around a
//! driver that blocks on a named thread. Every command has a deadline; a driver that hangs is abandoned with
//! its thread and opened again with backoff. Nobody else waits for it.
//!
//! Invariant: what a device is wanted to do stands in [`DesiredState`], outside the actors: a device that is
//! made anew does it. No callback of a driver runs under a lock.
mod card;
mod desired;
mod display;
mod pad;
mod printer;
mod registry;
mod shell;
mod source;
mod unit;

pub use card::{CardReader, EndCard, OpenPort, RunCard, StopCard, TellCard};
pub use desired::DesiredState;
pub use display::Display;
pub use pad::{AbortPin, AskPin, CheckedBy, PinPad};
pub use printer::{Print, Printer};
pub use registry::{Registry, Sheet};
pub use shell::{Examine, Refresh, Shell, command_time};

use crate::{
    mishap::Mishaps,
    supervise::{self, Child, Gone, Tasks},
};
use actix::Actor;
use futures_util::future::{BoxFuture, FutureExt};
use payterm_devices::{DisplaySize, Drivers, Env};
use payterm_schema::{
    Device, DeviceKind, DeviceState, Instrument, Screen,
    card::Interface,
    config::{DeviceConfig, DeviceRole, Language},
    device::Key,
    host::EntryMode,
    selftest::Finding,
};
use source::Source;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use unit::{FromFace, Seat, ToFace, Unit, UnitContext};

/// News of a device for the terminal.
#[derive(Debug)]
pub enum DeviceEvent {
    /// A card or code was given; with the time at which it was read.
    Instrument(Instrument, Instant),
    /// This reader found a chip card.
    Card {
        reader: String,
        interface: Interface,
        at: Instant,
    },
    /// A card of before was still in a reader that was armed.
    CardLeftIn {
        at: Instant,
    },
    /// The card of this run was pulled out, or its reader is lost, while it waited for a word.
    CardGone {
        tag: u64,
    },
    /// A key was pressed; with the time at which it was read.
    Key(Key, Instant),
    PinDigits {
        tag: u64,
        digits: u8,
    },
    /// A state has changed: see [`Registry`].
    Changed(Device),
    /// A printer that could not print can again.
    PrinterReady,
}

/// A page as the lines of a display of this role and size, as they are now; none: in the terminal's language.
pub type Draw =
    Arc<dyn Fn(&Screen, Option<DeviceRole>, Option<Language>, DisplaySize) -> Vec<String> + Send + Sync>;

/// Surroundings of all devices.
#[derive(Clone)]
pub struct Surroundings {
    pub desired: Arc<Mutex<DesiredState>>,
    pub registry: Registry,
    /// A display's lines.
    pub draw: Draw,
    pub events: Arc<dyn Fn(DeviceEvent) + Send + Sync>,
    pub mishaps: Mishaps,
    /// Incarnation that all actors and threads of the devices belong to.
    pub tasks: Tasks,
}

/// Surroundings of the actor of one face; outlive it.
pub struct DeviceContext {
    pub config: DeviceConfig,
    around: Surroundings,
    unit: Arc<dyn Fn(FromFace) + Send + Sync>,
}

impl DeviceContext {
    fn desired(&self) -> MutexGuard<'_, DesiredState> {
        self.around.desired.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Offer of now, and what this reader is to take; none: whoever offers has switched it.
    fn orders(&self) -> Option<(u64, Option<Vec<EntryMode>>)> {
        let desired = self.desired();
        let orders = (desired.offer(), desired.of(self.config.kind));
        (!desired.is_switched(&self.config.name)).then_some(orders)
    }
    fn event(&self, event: DeviceEvent) {
        (self.around.events)(event);
    }
    fn change(&self, change: impl FnOnce(&mut Device)) {
        if let Some(now) = self.around.registry.change(&self.config.name, change) {
            self.event(DeviceEvent::Changed(now));
        }
    }
    /// Shows the device as failed: its driver is left, nobody serves it.
    fn failed(&self, why: &str) {
        self.desired().forget(&self.config.name);
        self.change(|d| {
            d.state = DeviceState::Failed;
            why.clone_into(&mut d.health);
            d.restarts += 1;
        });
    }
}

/// The actor of a face, by what may be asked of it.
#[derive(Clone)]
enum FaceActor {
    Source(Child<Shell<Source>>),
    Card(Child<Shell<CardReader>>),
    PinPad(Child<Shell<PinPad>>),
    Display(Child<Shell<Display>>),
    Printer(Child<Shell<Printer>>),
}

struct Entry {
    name: String,
    kind: DeviceKind,
    role: Option<DeviceRole>,
    actor: FaceActor,
}

/// All configured devices.
#[derive(Clone)]
pub struct Devices(Arc<Vec<Entry>>);

impl Devices {
    /// Starts the actors of all units and their faces.
    pub fn start(configs: &[DeviceConfig], drivers: &Drivers, env: &Env, around: &Surroundings) -> Self {
        let mut entries = Vec::new();
        for main in configs.iter().filter(|d| d.part_of.is_none()) {
            let parts = configs.iter().filter(|d| d.part_of.as_ref() == Some(&main.name));
            let unit: Child<Unit> = Child::default();
            let seats = [main].into_iter().chain(parts).enumerate().map(|(seat, config)| {
                around.registry.add(config, drivers.is_virtual(config));
                let to_unit = unit.clone();
                let context = Arc::new(DeviceContext {
                    config: config.clone(),
                    around: around.clone(),
                    unit: Arc::new(move |news| drop(tokio::spawn(to_unit.ask(news)))),
                });
                let (actor, to_face) = face(seat, context);
                entries.push(Entry {
                    name: config.name.clone(),
                    kind: config.kind,
                    role: config.role(),
                    actor,
                });
                Seat { name: config.name.clone(), kind: config.kind, to_face }
            });
            let seats = seats.collect();
            let context = Arc::new(UnitContext {
                config: main.clone(),
                drivers: drivers.clone(),
                env: env.clone(),
                seats,
                tasks: around.tasks.clone(),
            });
            supervise::keep(
                &around.tasks,
                format!("unit {}", main.name),
                unit,
                move |life| Unit::new(life, context.clone()).start(),
                || (),
            );
        }
        Self(Arc::new(entries))
    }

    /// The PIN pad that customers use.
    pub fn pin_pad(&self) -> Option<&Child<Shell<PinPad>>> {
        self.0.iter().find_map(|e| match &e.actor {
            FaceActor::PinPad(pad) if e.role == Some(DeviceRole::Customer) => Some(pad),
            FaceActor::PinPad(_)
            | FaceActor::Source(_)
            | FaceActor::Card(_)
            | FaceActor::Display(_)
            | FaceActor::Printer(_) => None,
        })
    }
    /// The printer of slips, with its name.
    pub fn receipt_printer(&self) -> Option<(&str, &Child<Shell<Printer>>)> {
        self.0.iter().find_map(|e| match &e.actor {
            FaceActor::Printer(printer) if e.role == Some(DeviceRole::Receipt) => {
                Some((e.name.as_str(), printer))
            }
            FaceActor::Printer(_)
            | FaceActor::Source(_)
            | FaceActor::Card(_)
            | FaceActor::Display(_)
            | FaceActor::PinPad(_) => None,
        })
    }
    /// Sheet on which slips come out; none until their printer was opened.
    pub fn receipt_sheet(&self, registry: &Registry) -> Option<Sheet> {
        registry.sheet(self.receipt_printer()?.0)
    }

    /// The screen has changed.
    pub fn draw(&self) {
        for e in self.0.iter() {
            if let FaceActor::Display(display) = &e.actor {
                display.nudge(Refresh);
            }
        }
    }
    /// Readers that are not switched look at what is wanted.
    pub fn arm(&self, desired: &DesiredState) {
        for e in self.0.iter().filter(|e| !desired.is_switched(&e.name)) {
            match &e.actor {
                FaceActor::Source(source) => source.nudge(Refresh),
                FaceActor::Card(reader) => reader.nudge(Refresh),
                FaceActor::PinPad(_) | FaceActor::Display(_) | FaceActor::Printer(_) => {}
            }
        }
    }
    /// The chip reader of this name.
    pub fn card_reader(&self, name: &str) -> Option<&Child<Shell<CardReader>>> {
        self.0.iter().find(|e| e.name == name).and_then(|e| match &e.actor {
            FaceActor::Card(reader) => Some(reader),
            FaceActor::Source(_) | FaceActor::PinPad(_) | FaceActor::Display(_) | FaceActor::Printer(_) => {
                None
            }
        })
    }
    /// Whatever card runs, runs no more.
    pub fn end_cards(&self) {
        for e in self.0.iter() {
            if let FaceActor::Card(reader) = &e.actor {
                drop(tokio::spawn(reader.ask(EndCard { tag: None })));
            }
        }
    }
    pub fn abort_pin(&self, tag: u64) {
        for e in self.0.iter() {
            if let FaceActor::PinPad(pad) = &e.actor {
                pad.nudge(AbortPin { tag });
            }
        }
    }

    pub fn names(&self) -> impl Iterator<Item = (&str, DeviceKind)> {
        self.0.iter().map(|e| (e.name.as_str(), e.kind))
    }
    /// Tests a device. `slots`: the accounts whose PIN keys a pad needs.
    pub fn examine(&self, name: &str, slots: &[String]) -> BoxFuture<'static, Result<Finding, Gone>> {
        let m = Examine { slots: slots.to_vec() };
        match self.0.iter().find(|e| e.name == name).map(|e| &e.actor) {
            Some(FaceActor::Source(a)) => a.ask(m).boxed(),
            Some(FaceActor::Card(a)) => a.ask(m).boxed(),
            Some(FaceActor::PinPad(a)) => a.ask(m).boxed(),
            Some(FaceActor::Display(a)) => a.ask(m).boxed(),
            Some(FaceActor::Printer(a)) => a.ask(m).boxed(),
            None => std::future::ready(Err(Gone)).boxed(),
        }
    }
}

/// Starts the actor of a face, and says how its unit speaks to it.
fn face(seat: usize, context: Arc<DeviceContext>) -> (FaceActor, Arc<dyn Fn(ToFace) + Send + Sync>) {
    fn keep<P: shell::Port>(
        seat: usize,
        context: Arc<DeviceContext>,
        actor: impl FnOnce(Child<Shell<P>>) -> FaceActor,
    ) -> (FaceActor, Arc<dyn Fn(ToFace) + Send + Sync>) {
        let (child, ended) = (Child::default(), context.clone());
        supervise::keep(
            &context.clone().around.tasks,
            format!("device {}", context.config.name),
            child.clone(),
            move |life| Shell::<P>::new(life, seat, context.clone()).start(),
            move || ended.failed("its actor is being restarted"),
        );
        let to = child.clone();
        (actor(child), Arc::new(move |m| drop(tokio::spawn(to.ask(m)))))
    }
    match context.config.kind {
        DeviceKind::MagneticReader | DeviceKind::Scanner | DeviceKind::Keypad => {
            keep(seat, context, FaceActor::Source)
        }
        DeviceKind::ChipReader | DeviceKind::ContactlessReader => keep(seat, context, FaceActor::Card),
        DeviceKind::PinPad => keep(seat, context, FaceActor::PinPad),
        DeviceKind::Display => keep(seat, context, FaceActor::Display),
        DeviceKind::Printer => keep(seat, context, FaceActor::Printer),
    }
}
