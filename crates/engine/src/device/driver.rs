//! The thread around a blocking driver: takes commands, gives reports. It ends when the actor no longer
//! listens.
use super::AskPin;
use payterm_devices::{DeviceError, Driver, Env, Interrupt, PrintJob, Source, SourceEvent, Switch, open};
use payterm_schema::{
    config::DeviceConfig, device::Way, paper::PrintResult, secret::PinEntry, selftest::Finding,
};
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedSender;

/// An armed reader says this often that it lives; one that is switched does so while it rests, too. A pacing
/// printer is asked for its state.
const POLL: Duration = Duration::from_secs(10);
const SWITCHED: Duration = Duration::from_secs(3);
const STATUS: Duration = Duration::from_secs(3);

pub enum Command {
    Arm(Vec<Way>),
    Disarm,
    Show(Vec<String>),
    Pin(Box<AskPin>),
    Print(PrintJob),
    /// With the accounts whose PIN keys a pad needs.
    SelfTest(Vec<String>),
}

pub enum Report {
    Opened(Option<Interrupt>, Option<Switch>),
    /// The last command is carried out.
    Done,
    /// A wait of this time begins.
    Waiting(Duration),
    Source(SourceEvent, Instant),
    PinDigits {
        tag: u64,
        digits: u8,
    },
    Pin(PinEntry),
    Printed(PrintResult),
    Tested(Finding),
    /// What a printer's state says.
    Problem(Option<String>),
    Failed(String),
}

type Up = UnboundedSender<Report>;

pub fn run(config: &DeviceConfig, env: &Env, orders: &Receiver<Command>, up: &Up) {
    let ended = match open(config, env) {
        Ok(Driver::Source(s)) => source(s, orders, up),
        Ok(Driver::Display(mut d)) => {
            up.send(Report::Opened(None, None)).ok();
            each(orders, |c| match c {
                Command::Show(lines) => d.show(&lines).map(|()| drop(up.send(Report::Done))),
                Command::SelfTest(_) => tested(up, d.self_test()?),
                Command::Arm(_) | Command::Disarm | Command::Pin(_) | Command::Print(_) => Ok(()),
            })
        }
        Ok(Driver::PinPad(mut pad)) => {
            up.send(Report::Opened(Some(pad.interrupt()), None)).ok();
            each(orders, |c| {
                if let Command::SelfTest(slots) = &c {
                    tested(up, pad.self_test(slots))?;
                }
                if let Command::Pin(m) = c {
                    let mut progress = |n: usize| {
                        drop(up.send(Report::PinDigits {
                            tag: m.tag,
                            digits: u8::try_from(n).unwrap_or(u8::MAX),
                        }))
                    };
                    let entry = pad.enter(&m.slot, &m.pan, m.amount, m.timeout, &mut progress);
                    up.send(Report::Pin(entry)).ok();
                }
                Ok(())
            })
        }
        Ok(Driver::Printer(p)) => printer(p, orders, up),
        Err(e) => Err(e),
    };
    if let Err(e) = ended {
        up.send(Report::Failed(payterm_schema::fault::with_causes(&e))).ok();
    }
}

fn tested(up: &Up, finding: Finding) -> Result<(), DeviceError> {
    up.send(Report::Tested(finding)).ok();
    Ok(())
}

fn each(
    orders: &Receiver<Command>,
    act: impl FnMut(Command) -> Result<(), DeviceError>,
) -> Result<(), DeviceError> {
    orders.iter().try_for_each(act)
}

fn source(mut s: Box<dyn Source>, orders: &Receiver<Command>, up: &Up) -> Result<(), DeviceError> {
    let switch = s.switch();
    // One that is switched waits for a card all the time.
    let mut armed = switch.is_some();
    let poll = if armed { SWITCHED } else { POLL };
    up.send(Report::Opened(Some(s.interrupt()), switch)).ok();
    loop {
        let command = if armed {
            match orders.try_recv() {
                Ok(c) => Some(c),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        } else {
            let Ok(c) = orders.recv() else { return Ok(()) };
            Some(c)
        };
        match command {
            Some(Command::Arm(ways)) => {
                s.arm(&ways)?;
                // That its wait begins says that it is done.
                armed = true;
            }
            Some(Command::Disarm) => {
                s.disarm()?;
                armed = false;
                up.send(Report::Done).ok();
            }
            Some(Command::SelfTest(_)) => tested(up, s.self_test()?)?,
            Some(Command::Show(_) | Command::Pin(_) | Command::Print(_)) => {}
            None => {
                if up.send(Report::Waiting(poll)).is_err() {
                    return Ok(());
                }
                if let Some(event) = s.next(poll)? {
                    up.send(Report::Source(event, Instant::now())).ok();
                }
            }
        }
    }
}

fn printer(
    mut p: Box<dyn payterm_devices::Printer>,
    orders: &Receiver<Command>,
    up: &Up,
) -> Result<(), DeviceError> {
    up.send(Report::Opened(None, None)).ok();
    loop {
        match orders.recv_timeout(STATUS) {
            Ok(Command::Print(job)) => drop(up.send(Report::Printed(p.print(&job)))),
            Ok(Command::SelfTest(_)) => tested(up, p.self_test()?)?,
            Ok(Command::Arm(_) | Command::Disarm | Command::Show(_) | Command::Pin(_)) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                up.send(Report::Waiting(Duration::ZERO)).ok();
                let status = p.status()?;
                if up.send(Report::Problem(status.problem())).is_err() {
                    return Ok(());
                }
                up.send(Report::Done).ok();
            }
        }
    }
}
