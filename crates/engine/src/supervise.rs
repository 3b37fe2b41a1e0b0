//! Supervision: a child is made by a factory, and made anew when it ends, be it by a panic.
//!
//! actix's own `Supervisor` does not restart an actor that panicked: its task ends and its mailbox is closed.
//! Here the child carries a [`Life`]; when the child is dropped, its keeper hears it and starts the next one
//! with backoff.
use actix::{Actor, Addr, Message, dev::ToEnvelope};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

/// First wait before a child is made anew; doubles up to [`WAIT_MAX`].
pub const WAIT_FIRST: Duration = Duration::from_millis(100);
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// Who needs a child that is being made anew waits this long for it: it is back after the first three waits.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// A child that lived this long was well: the wait begins at the first again.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// The next wait.
pub fn backoff(wait: Duration) -> Duration {
    (wait * 2).min(WAIT_MAX)
}

/// Part of a supervised actor: dropped with it.
#[derive(Debug)]
pub struct Life(#[allow(dead_code, reason = "its drop is what counts")] oneshot::Sender<Infallible>);

/// Where the others find the child that lives now. Clones share it.
pub struct Child<A: Actor>(Arc<Mutex<Option<Addr<A>>>>);
impl<A: Actor> Clone for Child<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
impl<A: Actor> Default for Child<A> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// The child ended before it answered, or is being made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is being restarted")]
pub struct Gone;

impl<A: Actor> Child<A> {
    pub fn addr(&self) -> Option<Addr<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn set(&self, addr: Option<Addr<A>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = addr;
    }
    /// Asks the child; one that is being made anew is waited for, up to `patience`.
    pub fn ask_patiently<M>(
        &self,
        message: M,
        patience: Duration,
    ) -> impl Future<Output = Result<M::Result, Gone>> + use<A, M>
    where
        A: actix::Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        // At once when it is there: what is asked of others in the same turn comes after it.
        let child = self.clone();
        let asked = match self.addr() {
            Some(addr) => Ok(addr.send(message)),
            None => Err(message),
        };
        async move {
            let message = match asked {
                Ok(asked) => return asked.await.map_err(|_| Gone),
                Err(message) => message,
            };
            let until = Instant::now() + patience;
            while child.addr().is_none() && Instant::now() < until {
                sleep(Duration::from_millis(5)).await;
            }
            child.ask(message).await
        }
    }
    /// Asks the child that lives now.
    pub fn ask<M>(&self, message: M) -> impl Future<Output = Result<M::Result, Gone>> + use<A, M>
    where
        A: actix::Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let asked = self.addr().map(|a| a.send(message));
        async move { asked.ok_or(Gone)?.await.map_err(|_| Gone) }
    }
    /// Tells the child something that it reads from shared state as well when it is made anew; lost when its
    /// mailbox is full.
    pub fn nudge<M>(&self, message: M)
    where
        A: actix::Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        if let Some(addr) = self.addr() {
            addr.try_send(message).ok();
        }
    }
}

/// Keeps a child alive on this arbiter for as long as the arbiter runs. `make` starts it; `ended` hears of
/// each restart.
pub fn keep<A: Actor>(
    name: String,
    child: Child<A>,
    mut make: impl FnMut(Life) -> Addr<A> + 'static,
    mut ended: impl FnMut() + 'static,
) {
    actix::spawn(async move {
        let mut wait = WAIT_FIRST;
        loop {
            let (life, over) = oneshot::channel();
            let born = Instant::now();
            child.set(Some(make(Life(life))));
            // Nothing is ever sent: this is the drop.
            over.await.ok();
            child.set(None);
            if born.elapsed() >= WELL_AFTER {
                wait = WAIT_FIRST;
            }
            tracing::error!(part = %name, again_in_ms = wait.as_millis(), "a part of the daemon ended and is made anew");
            ended();
            sleep(wait).await;
            wait = backoff(wait);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::{Context, Handler};

    struct Fragile {
        _life: Life,
        n: u32,
    }
    impl Actor for Fragile {
        type Context = Context<Self>;
    }
    #[derive(Message)]
    #[rtype(u32)]
    struct Which {
        panic: bool,
    }
    impl Handler<Which> for Fragile {
        type Result = u32;
        fn handle(&mut self, m: Which, _: &mut Self::Context) -> u32 {
            assert!(!m.panic, "planted");
            self.n
        }
    }

    #[test]
    fn a_child_that_panicked_is_made_anew_and_its_caller_hears_it() {
        actix::System::new().block_on(async {
            let child = Child::default();
            let mut n = 0;
            let make = move |life| {
                n += 1;
                Fragile { _life: life, n }.start()
            };
            keep("fragile".into(), child.clone(), make, || ());
            tokio::task::yield_now().await;
            assert_eq!(child.ask(Which { panic: false }).await, Ok(1));
            assert_eq!(child.ask(Which { panic: true }).await, Err(Gone));
            let since = Instant::now();
            let again = loop {
                match child.ask(Which { panic: false }).await {
                    Ok(n) => break n,
                    Err(Gone) => sleep(Duration::from_millis(5)).await,
                }
            };
            assert_eq!(again, 2);
            assert!(since.elapsed() >= WAIT_FIRST && since.elapsed() < WAIT_FIRST * 20);
        });
    }

    #[test]
    fn the_wait_doubles_to_its_bound() {
        let waits: Vec<_> = std::iter::successors(Some(WAIT_FIRST), |w| Some(backoff(*w)))
            .take(9)
            .map(|w| w.as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }
}
