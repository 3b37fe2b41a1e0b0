//! Bench of the virtual devices: one a terminal, shared by the virtual drivers and the control socket.
//!
//! A driver waits at its device's [`Switch`] and controllers wait at the bench: an event is handed over at
//! once, nobody polls. Each device has a lock of its own, never held across a caller's code nor together with
//! another one's.
use crate::{Armed, DeviceError, Interrupt, SourceEvent, Switch};
use payterm_schema::{DeviceKind, host::EntryMode, secret::Pin, selftest::Finding};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Number of papers that a virtual printer keeps in memory; older ones are forgotten.
const PAPERS_KEPT: usize = 200;
/// Greatest number of events that are queued ahead for one device.
const QUEUE_MOST: usize = 64;

/// Bench of the virtual devices of one terminal; clones share it.
#[derive(Clone, Default)]
pub struct VirtualBench(Arc<Shared>);

#[derive(Default)]
struct Shared {
    devices: Mutex<BTreeMap<String, Arc<Device>>>,
    /// Condition at which controllers wait for what drivers do; `watching` counts them, so that nobody is
    /// woken for nothing.
    watch: Condvar,
    watching: AtomicUsize,
    /// Number of things that drivers did while somebody watched.
    changes: Mutex<u64>,
}

struct Device(Mutex<Slot>);
impl Device {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        lock(&self.0)
    }
    /// Changes the device and wakes its driver.
    fn change<T>(&self, act: impl FnOnce(&mut Slot) -> T) -> T {
        let mut slot = self.lock();
        let done = act(&mut slot);
        slot.switch.poke();
        done
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // A planted panic is raised outside the lock; every change under it is complete.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Act of a customer at a PIN pad.
#[derive(Debug)]
pub enum PinAct {
    Digits(Pin),
    /// Types some digits and takes them back.
    Clear,
    Bypass,
    Cancel,
}

/// Time of an act, for when nobody asks for it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Act is refused.
    Now,
    /// Act is kept for the next time that the device is armed.
    Queue,
    /// Act waits, and is refused after this time.
    Within(Duration),
}

/// Refusal of a command: its field and the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Refused {
    pub field: String,
    pub rule: String,
}
impl Refused {
    pub fn new(field: &str, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }
}

/// Virtual device.
pub(crate) struct Slot {
    kind: DeviceKind,
    /// Number of the driver: only the newest has the device; one that hung and comes back late gets nothing.
    generation: u64,
    open: bool,
    unplugged: bool,
    hang: Option<Duration>,
    panic: bool,
    interrupted: bool,
    /// Switch of the newest driver: what the device is to take.
    switch: Arc<Switch>,
    /// Offer whose instrument has been given.
    served: Option<u64>,
    events: VecDeque<(SourceEvent, Keep)>,
    pin_asked: bool,
    /// Acts at the PIN pad, each with whether it is kept for a later entry.
    pins: VecDeque<(PinAct, bool)>,
    pub(crate) lines: Vec<String>,
    pub(crate) paper_out: bool,
    pub(crate) offline: bool,
    pub(crate) cover_open: bool,
    /// Fault of a reader that answers and reads nothing: a worn head, a covered window.
    read_fault: bool,
    papers: VecDeque<String>,
    printed: u64,
}

/// Time for which an event is kept that nobody took.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Queued,
    /// Until the device rests again; it has rested this often.
    Live(u64),
}

fn mode_of(event: &SourceEvent) -> Option<EntryMode> {
    match event {
        SourceEvent::Key(_) => None,
        SourceEvent::Instrument(i) => Some(i.mode()),
    }
}
fn kind_of(event: &SourceEvent) -> DeviceKind {
    mode_of(event).map_or(DeviceKind::Keypad, |m| m.row().device)
}

impl Slot {
    fn new(kind: DeviceKind) -> Self {
        Slot {
            kind,
            generation: 0,
            open: false,
            unplugged: false,
            hang: None,
            panic: false,
            interrupted: false,
            switch: Arc::default(),
            served: None,
            events: VecDeque::new(),
            pin_asked: false,
            pins: VecDeque::new(),
            lines: Vec::new(),
            paper_out: false,
            offline: false,
            cover_open: false,
            read_fault: false,
            papers: VecDeque::new(),
            printed: 0,
        }
    }
    fn usable(&self) -> bool {
        self.open && !self.unplugged
    }
    pub(crate) fn set(&mut self, modes: Option<&[EntryMode]>) {
        self.switch.set(modes);
    }
    /// State of the switch now; events that came before the device last rested are forgotten.
    fn armed(&mut self) -> Armed {
        let armed = self.switch.now();
        self.events.retain(|(_, keep)| match keep {
            Keep::Queued => true,
            Keep::Live(rests) => *rests == armed.rests(),
        });
        armed
    }
    /// Tells whether the driver would give this event, now, to whoever armed it.
    fn takes(&self, armed: Armed, event: &SourceEvent) -> bool {
        match mode_of(event) {
            None => armed.is_armed(),
            Some(mode) => armed.takes(mode) && self.served != Some(armed.offer()),
        }
    }
    pub(crate) fn take_event(&mut self) -> Option<SourceEvent> {
        let armed = self.armed();
        let at = self.events.iter().position(|(e, _)| self.takes(armed, e))?;
        let (event, _) = self.events.remove(at)?;
        if mode_of(&event).is_some() {
            self.served = Some(armed.offer());
        }
        Some(event)
    }
    /// Handles that the driver is another one, or gone.
    fn leave(&mut self) {
        self.switch.poke();
        self.switch = Arc::default();
        self.served = None;
        self.events.retain(|(_, keep)| *keep == Keep::Queued);
        self.end_pin();
    }
    pub(crate) fn begin_pin(&mut self) {
        self.pin_asked = true;
        // One that was meant for an earlier entry.
        self.interrupted = false;
    }
    pub(crate) fn take_pin(&mut self) -> Option<PinAct> {
        let (act, _) = self.pins.pop_front()?;
        // One PIN an entry: the next one waits for the next entry, and is not lost at the end of this
        // one.
        self.pin_asked = matches!(act, PinAct::Clear);
        Some(act)
    }
    pub(crate) fn end_pin(&mut self) {
        self.pin_asked = false;
        self.pins.retain(|(_, queued)| *queued);
    }
    pub(crate) fn probe(&self) -> Finding {
        if self.read_fault { Finding::failed("reads-nothing") } else { Finding::works() }
    }
    pub(crate) fn print(&mut self, text: &str) {
        if self.papers.len() == PAPERS_KEPT {
            self.papers.pop_front();
        }
        self.papers.push_back(text.to_owned());
        self.printed += 1;
    }
}

/// Hold of a driver on its device.
pub(crate) struct Port {
    bench: VirtualBench,
    name: String,
    generation: u64,
    device: Arc<Device>,
    switch: Arc<Switch>,
    /// Offer that waiting controllers were last told of.
    told: AtomicU64,
}

impl Port {
    /// Acts on the device at once.
    pub(crate) fn now<T>(&self, act: impl FnOnce(&mut Slot) -> T) -> Result<T, DeviceError> {
        let done = act(&mut *self.ready()?);
        self.bench.changed();
        Ok(done)
    }

    /// Waits until `take` gives something, until the time is over, or for an interrupt.
    pub(crate) fn wait<T>(
        &self,
        until: Instant,
        take: impl Fn(&mut Slot) -> Option<T>,
    ) -> Result<Option<T>, DeviceError> {
        loop {
            let seen = self.switch.pokes();
            // Before the look: what is armed behind it is not slept over.
            let attending = self.switch.attend();
            let mut slot = self.ready()?;
            if std::mem::take(&mut slot.interrupted) {
                return Ok(None);
            }
            let offer = self.switch.now().offer();
            let taken = take(&mut slot);
            let waiting = !slot.events.is_empty();
            drop(slot);
            if taken.is_some() || self.told.swap(offer, Ordering::SeqCst) != offer {
                self.bench.changed();
            }
            if taken.is_some() || Instant::now() >= until {
                return Ok(taken);
            }
            // Without an event that waits for it, being armed is nothing to wake up for.
            let attending = waiting.then_some(attending);
            self.switch.wait(seen, until);
            drop(attending);
        }
    }

    /// Device of this hold, after its planted mishaps have happened.
    fn ready(&self) -> Result<MutexGuard<'_, Slot>, DeviceError> {
        loop {
            let mut slot = self.device.lock();
            if slot.generation != self.generation {
                return Err(DeviceError::Replaced { device: self.name.clone() });
            }
            let (panics, hang) = (std::mem::take(&mut slot.panic), slot.hang.take());
            if !panics && hang.is_none() {
                return if slot.unplugged {
                    Err(DeviceError::Gone { device: self.name.clone() })
                } else {
                    Ok(slot)
                };
            }
            drop(slot);
            if panics {
                // Asked for by a test of the supervision.
                panic!("virtual device {}: its driver was told to panic", self.name);
            }
            std::thread::sleep(hang.unwrap_or_default());
        }
    }

    pub(crate) fn interrupt(&self) -> Interrupt {
        let (device, generation) = (self.device.clone(), self.generation);
        Arc::new(move || {
            let mut slot = device.lock();
            if slot.generation == generation {
                slot.interrupted = true;
                slot.switch.poke();
            }
        })
    }

    pub(crate) fn switch(&self) -> Arc<Switch> {
        self.switch.clone()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut slot = self.device.lock();
        if slot.generation == self.generation {
            slot.open = false;
            slot.leave();
        }
    }
}

impl VirtualBench {
    pub fn new() -> Self {
        Self::default()
    }

    /// Devices by their names.
    fn all(&self) -> Vec<(String, Arc<Device>)> {
        lock(&self.0.devices).iter().map(|(n, d)| (n.clone(), d.clone())).collect()
    }
    fn of_kind(&self, kind: DeviceKind, named: Option<&str>) -> Vec<Arc<Device>> {
        self.all()
            .into_iter()
            .filter(|(n, d)| named.is_none_or(|d| d == n) && d.lock().kind == kind)
            .map(|(_, d)| d)
            .collect()
    }

    /// Wakes the controllers that wait for a change; to be called after it.
    fn changed(&self) {
        if self.0.watching.load(Ordering::SeqCst) > 0 {
            *lock(&self.0.changes) += 1;
            self.0.watch.notify_all();
        }
    }

    /// Opens a device for a new driver; the previous driver loses it.
    pub(crate) fn attach(&self, name: &str, kind: DeviceKind) -> Result<Port, DeviceError> {
        let device = lock(&self.0.devices)
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Device(Mutex::new(Slot::new(kind)))))
            .clone();
        let mut slot = device.lock();
        if slot.kind != kind {
            return Err(DeviceError::rule(name, "name", "taken by a virtual device of another kind"));
        }
        if slot.unplugged {
            return Err(DeviceError::Gone { device: name.to_owned() });
        }
        slot.generation += 1;
        slot.open = true;
        slot.interrupted = false;
        // The driver that was here before ends its wait and learns that it was replaced.
        slot.leave();
        let (generation, switch) = (slot.generation, slot.switch.clone());
        drop(slot);
        self.changed();
        let told = AtomicU64::new(switch.now().offer());
        Ok(Port { bench: self.clone(), name: name.to_owned(), generation, device, switch, told })
    }

    /// Presents an instrument or presses a key. `device` names one of several of its kind. Refused when
    /// nobody is asked for it, as `when` says.
    pub fn present(&self, device: Option<&str>, event: SourceEvent, when: When) -> Result<(), Refused> {
        let what = || mode_of(&event).map_or("key", |m| m.row().name);
        let ready = |slot: &mut Slot| match when {
            When::Queue => true,
            When::Now | When::Within(_) => {
                let armed = slot.armed();
                let free =
                    mode_of(&event).is_none() || slot.events.iter().all(|(e, _)| !slot.takes(armed, e));
                free && slot.takes(armed, &event)
            }
        };
        let idle = |slot: &Slot| {
            Refused::new(
                what(),
                format!("the {} is not armed: nobody is asked for this now", slot.kind.name()),
            )
        };
        self.deliver(device, kind_of(&event), when, ready, idle, |slot, queued| {
            let keep = if queued { Keep::Queued } else { Keep::Live(slot.switch.now().rests()) };
            (slot.events.len() < QUEUE_MOST).then(|| slot.events.push_back((event.clone(), keep)))
        })
    }

    /// Works a PIN pad. Refused when nobody is asked for a PIN, as `when` says.
    pub fn pin(&self, device: Option<&str>, act: PinAct, when: When) -> Result<(), Refused> {
        let mut act = Some(act);
        self.deliver(
            device,
            DeviceKind::PinPad,
            when,
            |slot| when == When::Queue || (slot.pin_asked && slot.pins.is_empty()),
            |_| Refused::new("pin", "nobody is asked for a PIN now"),
            |slot, queued| {
                if slot.pins.len() < QUEUE_MOST {
                    act.take().map(|act| slot.pins.push_back((act, queued)))
                } else {
                    None
                }
            },
        )
    }

    fn deliver(
        &self,
        device: Option<&str>,
        kind: DeviceKind,
        when: When,
        ready: impl Fn(&mut Slot) -> bool,
        idle: impl Fn(&Slot) -> Refused,
        mut put: impl FnMut(&mut Slot, bool) -> Option<()>,
    ) -> Result<(), Refused> {
        let wait = if let When::Within(wait) = when { wait } else { Duration::ZERO };
        self.watch(Some(kind), Instant::now() + wait, || {
            let mut refused = None;
            for found in self.of_kind(kind, device) {
                let mut slot = found.lock();
                if slot.usable() && ready(&mut slot) {
                    put(&mut slot, when == When::Queue)
                        .ok_or_else(|| Refused::new("queue", "holds 64 already"))?;
                    slot.switch.poke();
                    return Ok(());
                }
                if slot.usable() && refused.is_none() {
                    refused = Some(idle(&slot));
                }
            }
            Err(refused.unwrap_or_else(|| {
                Refused::new("device", format!("no virtual {} is plugged in and open", kind.name()))
            }))
        })
    }

    /// Tries again after every change until `until`; then the last refusal counts. `arming`: what devices of
    /// this kind are armed for matters.
    fn watch<T>(
        &self,
        arming: Option<DeviceKind>,
        until: Instant,
        mut attempt: impl FnMut() -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        self.0.watching.fetch_add(1, Ordering::SeqCst);
        let done = loop {
            let devices = arming.map(|kind| self.of_kind(kind, None)).unwrap_or_default();
            let switches: Vec<_> = devices.iter().map(|d| d.lock().switch.clone()).collect();
            // A driver that waits is woken when it is armed, and tells of it.
            let _attending: Vec<_> = switches.iter().map(|s| s.attend()).collect();
            // Before the look: a change behind it is not slept over.
            let seen = *lock(&self.0.changes);
            let refused = match attempt() {
                Ok(done) => break Ok(done),
                Err(refused) => refused,
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Err(refused);
            }
            drop(
                self.0
                    .watch
                    .wait_timeout_while(lock(&self.0.changes), left, |now| *now == seen)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        };
        self.0.watching.fetch_sub(1, Ordering::SeqCst);
        done
    }

    fn change(&self, device: &str, act: impl FnOnce(&mut Slot)) -> Result<(), Refused> {
        let found = lock(&self.0.devices).get(device).cloned();
        let found = found.ok_or_else(|| Refused::new("device", "no virtual device has this name"))?;
        found.change(act);
        self.changed();
        Ok(())
    }
    fn change_printer(&self, device: Option<&str>, act: impl FnOnce(&mut Slot)) -> Result<(), Refused> {
        let found = self
            .of_kind(DeviceKind::Printer, device)
            .into_iter()
            .next()
            .ok_or_else(|| Refused::new("device", "no such virtual printer"))?;
        found.change(act);
        self.changed();
        Ok(())
    }

    /// Takes the paper out of a printer, or puts some in.
    pub fn paper_out(&self, device: Option<&str>, out: bool) -> Result<(), Refused> {
        self.change_printer(device, |slot| slot.paper_out = out)
    }
    /// Switches a printer on or off.
    pub fn printer_online(&self, device: Option<&str>, online: bool) -> Result<(), Refused> {
        self.change_printer(device, |slot| slot.offline = !online)
    }
    /// Opens or closes the cover of a printer.
    pub fn cover_open(&self, device: Option<&str>, open: bool) -> Result<(), Refused> {
        self.change_printer(device, |slot| slot.cover_open = open)
    }
    /// Makes the device's self-test find that it reads nothing, or that it reads again.
    pub fn read_fault(&self, device: &str, read_fault: bool) -> Result<(), Refused> {
        self.change(device, |slot| slot.read_fault = read_fault)
    }
    /// Plugs a device in or out: unplugged, every command of it fails and it cannot be opened.
    pub fn plug(&self, device: &str, plugged: bool) -> Result<(), Refused> {
        self.change(device, |slot| slot.unplugged = !plugged)
    }
    /// Makes the driver's command under way, or its next one, take this much longer, whatever its time-out.
    pub fn hang(&self, device: &str, time: Duration) -> Result<(), Refused> {
        self.change(device, |slot| slot.hang = Some(time))
    }
    /// Makes the driver's command under way, or its next one, panic.
    pub fn panic(&self, device: &str) -> Result<(), Refused> {
        self.change(device, |slot| slot.panic = true)
    }

    /// Waits until a line on a display contains `part` (at once with an empty one), and gives all lines;
    /// refused when it is not shown within `wait`.
    pub fn screen(&self, device: Option<&str>, part: &str, wait: Duration) -> Result<Vec<String>, Refused> {
        self.watch(None, Instant::now() + wait, || {
            let found = self
                .of_kind(DeviceKind::Display, device)
                .into_iter()
                .next()
                .ok_or_else(|| Refused::new("device", "no such virtual display"))?;
            let slot = found.lock();
            let found = part.is_empty() || slot.lines.iter().any(|l| l.contains(part));
            if found { Ok(slot.lines.clone()) } else { Err(Refused::new("contains", "not shown in time")) }
        })
    }

    /// Waits until `count` papers have come out; gives their number and the last 200 of them. Refused when
    /// they are fewer after `wait`.
    pub fn papers(
        &self,
        device: Option<&str>,
        count: u64,
        wait: Duration,
    ) -> Result<(u64, Vec<String>), Refused> {
        self.watch(None, Instant::now() + wait, || {
            let found = self
                .of_kind(DeviceKind::Printer, device)
                .into_iter()
                .next()
                .ok_or_else(|| Refused::new("device", "no such virtual printer"))?;
            let slot = found.lock();
            if slot.printed < count {
                return Err(Refused::new("count", format!("{} papers came out in time", slot.printed)));
            }
            Ok((slot.printed, slot.papers.iter().cloned().collect()))
        })
    }

    /// Virtual devices that have been opened: name, kind, and whether it is plugged in and open.
    pub fn devices(&self) -> Vec<(String, DeviceKind, bool)> {
        let shown = |(name, device): (String, Arc<Device>)| {
            let slot = device.lock();
            (name, slot.kind, slot.usable())
        };
        self.all().into_iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pin_an_entry_the_next_is_not_lost_at_its_end() {
        let bench = VirtualBench::new();
        let port = bench.attach("pad", DeviceKind::PinPad).unwrap();
        port.now(|s| s.begin_pin()).unwrap();
        bench.pin(None, PinAct::Bypass, When::Now).unwrap();
        assert!(matches!(port.now(|s| s.take_pin()).unwrap(), Some(PinAct::Bypass)));
        assert!(
            bench.pin(None, PinAct::Cancel, When::Now).is_err(),
            "the entry has its PIN, and has not ended yet"
        );
        port.now(|s| s.end_pin()).unwrap();
        port.now(|s| s.begin_pin()).unwrap();
        bench.pin(None, PinAct::Cancel, When::Now).unwrap();
    }
}
