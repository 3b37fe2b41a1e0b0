//! Messages of the terminal: what it is told and asked.
use super::{STEPS, TerminalActor, effects, pacing::Out};
use crate::{
    device::DeviceEvent,
    front_door::restarting,
    supervise::{Child, Gone},
};
use actix::{AsyncContext, Context, Handler, Message, ResponseFuture};
use payterm_core::{Call, Input, Machine};
use payterm_schema::{CardToken, Fault, HostEvent, Instrument, Notice, Pan, card::Interface};
use payterm_vault::Vault;
use std::{sync::PoisonError, time::Instant};
use tokio::sync::oneshot;

/// A question of a caller: the machine answers it when it is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Question {
    /// Name of the request in a fault.
    id: String,
    input: Box<dyn FnOnce(Call) -> Input + Send>,
    /// Straight to who waits; dropped when the actor dies.
    answer: oneshot::Sender<Result<(), Fault>>,
}

impl Child<TerminalActor> {
    /// Puts a question to the machine; answered when that is durable. `id`: what a fault names.
    pub async fn question(
        &self,
        id: &str,
        input: impl FnOnce(Call) -> Input + Send + 'static,
    ) -> Result<(), Fault> {
        let (answer, heard) = oneshot::channel();
        let asked = self.ask(Question { id: id.into(), input: Box::new(input), answer });
        asked.await.map_err(|Gone| restarting())?;
        heard.await.unwrap_or_else(|_| Err(restarting()))
    }
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct FromDevice(pub DeviceEvent);

/// A late answer of a host.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FromHost {
    pub tag: u64,
    pub event: HostEvent,
}

/// An event that nobody waits for an answer to.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Tell(pub Input);

/// A look at the machine as far as it is durable: it copies what it answers with and nothing else.
pub struct Look<T>(pub Box<dyn FnOnce(&Machine) -> T + Send>);
impl<T: Send + 'static> Message for Look<T> {
    type Result = Result<T, Fault>;
}

/// The daemon is about to close the store: the machine is put down as it is; the next start replays it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Question> for TerminalActor {
    type Result = ();
    fn handle(&mut self, m: Question, ctx: &mut Self::Context) {
        let refused = match &self.machine {
            None => Some(Fault::StoreFailed {
                id: m.id.clone(),
                cause: "the journal is being opened again".into(),
            }),
            Some(_) if self.queue.len() >= STEPS => Some(Fault::Restarting { part: "store".into() }),
            Some(_) => None,
        };
        if let Some(fault) = refused {
            m.answer.send(Err(fault)).ok();
            return;
        }
        self.follow_clock();
        self.last_call += 1;
        let call = self.last_call;
        self.calls.insert(call, (m.id, m.answer));
        self.input((m.input)(call), ctx);
    }
}

impl TerminalActor {
    /// A card or code was given at that time.
    fn given(&mut self, instrument: Instrument, read: Instant, ctx: &mut Context<Self>) {
        // Read for what was asked before, or is still asked: it pays nothing else.
        let txn = self.machine.as_ref().and_then(|m| m.state().running.as_ref()).map(|r| r.txn);
        let desired = &self.services.desired;
        if !txn.is_some_and(|txn| desired.lock().unwrap_or_else(PoisonError::into_inner).was_for(txn, read)) {
            return tracing::info!("a card or code was given that nobody asks for now");
        }
        let card = instrument.pan().and_then(|pan| token(&self.services.vault, &pan));
        self.input(Input::Instrument { instrument, card }, ctx);
    }

    /// At rest the clock takes over what was set of the system's.
    fn follow_clock(&mut self) {
        if self.queue.is_empty()
            && let Some(machine) = self.machine.as_mut().filter(|m| m.running().is_none())
        {
            machine.clock_set(self.services.clock.follow());
        }
    }
}

/// Name of a card in the journal.
pub(super) fn token(vault: &Vault, pan: &Pan) -> Option<CardToken> {
    CardToken::new(&hex::encode(&vault.keyed_hash("card", pan.reveal().as_bytes())[..16])).ok()
}

impl Handler<FromDevice> for TerminalActor {
    type Result = ();
    fn handle(&mut self, m: FromDevice, ctx: &mut Self::Context) {
        match m.0 {
            DeviceEvent::Instrument(instrument, read) => self.given(instrument, read, ctx),
            DeviceEvent::Card { reader, interface, at } => {
                self.found_by.insert(interface, reader);
                let instrument = match interface {
                    Interface::Contact => Instrument::Inserted,
                    Interface::Contactless => Instrument::Tapped,
                };
                self.given(instrument, at, ctx);
            }
            DeviceEvent::CardLeftIn { at } => self.given(Instrument::LeftIn, at, ctx),
            DeviceEvent::CardGone { tag } => self.input(Input::Card { tag, step: None, card: None }, ctx),
            DeviceEvent::Key(key, read) => {
                let asked = self.machine.as_ref().map(Machine::screen);
                let desired = self.services.desired.lock().unwrap_or_else(PoisonError::into_inner);
                let seen = asked.is_none_or(|page| desired.was_shown(&page, read));
                drop(desired);
                // Pressed for what was shown before: it agrees to no money.
                if seen {
                    self.input(Input::Key(key), ctx)
                }
            }
            DeviceEvent::PinDigits { tag, digits } => self.input(Input::PinDigits { tag, digits }, ctx),
            DeviceEvent::PrinterReady => self.input(Input::PrinterReady, ctx),
            DeviceEvent::Changed(device) => {
                self.troubles.log_device(&device);
                self.services.notices.send(Notice::Device { device }).ok();
                self.devices_changed(ctx);
            }
        }
    }
}

impl Handler<Tell> for TerminalActor {
    type Result = ();
    fn handle(&mut self, m: Tell, ctx: &mut Self::Context) {
        self.follow_clock();
        self.input(m.0, ctx);
    }
}

impl Handler<FromHost> for TerminalActor {
    type Result = ();
    fn handle(&mut self, m: FromHost, ctx: &mut Self::Context) {
        self.input(Input::Host { tag: m.tag, event: m.event }, ctx);
    }
}

impl Handler<Stop> for TerminalActor {
    type Result = ();
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.flush(ctx);
        self.services.hide_info();
        self.epoch += 1;
        self.machine = None;
        if let Some(t) = self.timer.take() {
            ctx.cancel_future(t);
        }
        effects::withdraw(&self.services);
    }
}

impl<T: Send + 'static> Handler<Look<T>> for TerminalActor {
    type Result = ResponseFuture<Result<T, Fault>>;
    fn handle(&mut self, Look(look): Look<T>, ctx: &mut Self::Context) -> Self::Result {
        let Some(machine) = &self.machine else { return Box::pin(async { Err(restarting()) }) };
        let seen = look(machine);
        let (to, heard) = oneshot::channel();
        // The machine may be ahead of the disk: what it says waits like an effect.
        let out = self.queue.push(None, vec![Out::Seen(Box::new(move || drop(to.send(seen))))]);
        self.release(out, ctx);
        Box::pin(async move { heard.await.map_err(|_| restarting()) })
    }
}
