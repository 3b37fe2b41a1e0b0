//! The actor of a unit: opens its driver on a thread of its own and gives each face to its actor. When one
//! face fails, all are left, and the unit is opened again with backoff: they share a handle.
use super::shell::{Leave, Take};
use crate::{
    sparing::Sparing,
    supervise::{self, Life, Tasks},
};
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture};
use payterm_devices::{DeviceError, Drivers, Env, Face};
use payterm_schema::{DeviceKind, config::DeviceConfig, fault::with_causes};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{error::Elapsed, timeout},
};

/// Longest wait before a unit is opened again. 4 s: one that is back serves the next customer within 5 s.
const OPENED_AGAIN: Duration = Duration::from_secs(4);
/// Messages that may wait for a unit: some for each face. 64.
const MAILBOX: usize = 64;

/// Message of a unit to the actor of a face.
pub enum ToFace {
    Take(Take),
    Leave(Leave),
    /// The unit's actor is new: what an earlier one gave is of no unit any more.
    Renewed,
}

/// Place of a configured face in its unit.
pub struct Seat {
    pub name: String,
    pub kind: DeviceKind,
    pub to_face: Arc<dyn Fn(ToFace) + Send + Sync>,
}

/// Surroundings of a unit's actor; outlive it.
pub struct UnitContext {
    /// The device that names address and options.
    pub config: DeviceConfig,
    pub drivers: Drivers,
    pub env: Env,
    pub seats: Vec<Seat>,
    pub tasks: Tasks,
}

/// News of a face for its unit.
#[derive(Message)]
#[rtype(result = "()")]
pub enum FromFace {
    /// The face's actor is there and has no driver.
    Here { seat: usize, actor: u64 },
    /// The face's driver of this opening was left.
    Failed { seat: usize, opening: u64, why: String },
}

/// Actor of a face, by the number that it gave itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sitter {
    Absent,
    Waits(u64),
    /// The actor has the face of the opening under way.
    Serves(u64),
}

pub struct Unit {
    pub life: Life,
    context: Arc<UnitContext>,
    sitters: Vec<Sitter>,
    /// Number of the last opening; rises when a unit is left, too.
    opening: u64,
    /// The unit is open, being opened, or waits to be.
    busy: bool,
    work: Option<SpawnHandle>,
    wait: Duration,
    failures: Sparing<String>,
}

impl Actor for Unit {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.life.begin(ctx);
        // Each answers that it is there.
        self.context.seats.iter().for_each(|s| (s.to_face)(ToFace::Renewed));
    }
}

impl Unit {
    pub fn new(life: Life, context: Arc<UnitContext>) -> Self {
        let sitters = context.seats.iter().map(|_| Sitter::Absent).collect();
        Self {
            life,
            context,
            sitters,
            opening: 0,
            busy: false,
            work: None,
            wait: supervise::WAIT_FIRST,
            failures: Sparing::default(),
        }
    }

    fn leave(&mut self, why: &str, but: Option<usize>) {
        for (seat, sitter) in self.sitters.iter_mut().enumerate() {
            if let Sitter::Serves(actor) = *sitter {
                *sitter = Sitter::Waits(actor);
            }
            if Some(seat) != but {
                (self.context.seats[seat].to_face)(ToFace::Leave(Leave { why: why.into() }));
            }
        }
    }

    /// Opens the driver, once the actors of all faces are there.
    fn open(&mut self, ctx: &mut Context<Self>) {
        if self.busy || !self.sitters.iter().all(|s| matches!(s, Sitter::Waits(_))) {
            return;
        }
        self.busy = true;
        self.opening += 1;
        let (opening, context) = (self.opening, self.context.clone());
        let (done, opened) = oneshot::channel();
        let running = context.tasks.driver_token();
        let thread =
            std::thread::Builder::new().name(format!("open-{}", context.config.name)).spawn(move || {
                let _running = running;
                done.send(context.drivers.open(&context.config, &context.env)).ok();
            });
        if let Err(e) = thread {
            return self.failed(&format!("its thread could not be started: {e}"), None, ctx);
        }
        let opened = timeout(super::shell::command_time(&self.context.config), opened);
        self.work = Some(ctx.spawn(opened.into_actor(self).map(move |opened, act, ctx| {
            if act.opening == opening {
                match faces(opened) {
                    Ok(faces) => act.opened(faces, ctx),
                    Err(why) => act.failed(&why, None, ctx),
                }
            }
        })));
    }

    fn opened(&mut self, mut faces: Vec<Face>, ctx: &mut Context<Self>) {
        let seats = &self.context.seats;
        let mine: Option<Vec<Face>> = seats
            .iter()
            .map(|s| faces.iter().position(|f| f.kind() == s.kind).map(|at| faces.remove(at)))
            .collect();
        let Some(mine) = mine else {
            return self.failed("its driver opened no face of this kind", None, ctx);
        };
        self.wait = supervise::WAIT_FIRST;
        for ((seat, sitter), face) in seats.iter().zip(&mut self.sitters).zip(mine) {
            if let Sitter::Waits(actor) = *sitter {
                *sitter = Sitter::Serves(actor);
            }
            (seat.to_face)(ToFace::Take(Take { opening: self.opening, face }));
        }
    }

    /// All faces are left; the unit is opened again later. `by`: the face that has been left already.
    fn failed(&mut self, why: &str, by: Option<usize>, ctx: &mut Context<Self>) {
        let name = by.map_or(&self.context.config.name, |seat| &self.context.seats[seat].name);
        if self.failures.is_due_of(why.into()) {
            tracing::warn!(device = %name, again_in_ms = self.wait.as_millis(), "device failed: {why}");
        }
        if let Some(work) = self.work.take() {
            ctx.cancel_future(work);
        }
        self.leave(why, by);
        self.busy = true;
        self.opening += 1;
        let wait = self.wait;
        self.wait = supervise::backoff(wait).min(OPENED_AGAIN);
        self.work = Some(ctx.run_later(wait, |act, ctx| {
            act.busy = false;
            act.open(ctx);
        }));
    }
}

/// The faces, or why there are none, with all its causes.
fn faces(
    opened: Result<Result<Result<Vec<Face>, DeviceError>, oneshot::error::RecvError>, Elapsed>,
) -> Result<Vec<Face>, String> {
    match opened {
        Ok(Ok(Ok(faces))) => Ok(faces),
        Ok(Ok(Err(e))) => Err(with_causes(&e)),
        Ok(Err(_)) => Err("its driver panicked".into()),
        Err(_) => Err("no answer from its driver in time: abandoned".into()),
    }
}

impl Handler<FromFace> for Unit {
    type Result = ();
    fn handle(&mut self, m: FromFace, ctx: &mut Self::Context) {
        match m {
            FromFace::Here { seat, actor } => match self.sitters[seat] {
                Sitter::Waits(known) | Sitter::Serves(known) if known == actor => {}
                Sitter::Absent | Sitter::Waits(_) => {
                    self.sitters[seat] = Sitter::Waits(actor);
                    self.open(ctx);
                }
                // What the actor before it had is lost.
                Sitter::Serves(_) => {
                    self.sitters[seat] = Sitter::Waits(actor);
                    self.failed("one of its actors was restarted", Some(seat), ctx);
                }
            },
            FromFace::Failed { seat, opening, why } => {
                if opening == self.opening {
                    self.failed(&why, Some(seat), ctx);
                }
            }
        }
    }
}
