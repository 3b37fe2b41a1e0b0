//! Supervision: a child is made by a factory, and made anew when it ends, be it by a panic.
//!
//! actix's own `Supervisor` does not restart an actor that panicked: its task ends and its mailbox is closed.
//! Here the child carries a [`Life`]; when the child is dropped, its keeper hears it and starts the next one
//! with backoff.
//!
//! Everything that serves one set of accounts belongs to one [`Tasks`]: it ends together, and what comes
//! after it begins when the last of it is gone.
use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Message, dev::ToEnvelope};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// First wait before a child is made anew; doubles up to [`WAIT_MAX`].
pub const WAIT_FIRST: Duration = Duration::from_millis(100);
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// Time for which a child that is being made anew is waited for. 1 s: it is back after the first three
/// waits.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// A child that lived this long was well: the wait begins at the first again.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// The next wait.
pub fn backoff(wait: Duration) -> Duration {
    (wait * 2).min(WAIT_MAX)
}

/// Time for which the end of an incarnation waits for the threads of its drivers. 3 s: one that hangs
/// longer is left to itself, as it is when its device is opened again.
const DRIVERS: Duration = Duration::from_secs(3);

/// All that runs for one incarnation of the terminal: actors, tasks, threads. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    ending: CancellationToken,
    running: TaskTracker,
    drivers: TaskTracker,
}

impl Tasks {
    /// Runs the future on this arbiter until it is over or the incarnation ends.
    pub fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        let tasks = self.clone();
        self.running.spawn_local(async move {
            let _ = tasks.unless_ended(work).await;
        });
    }
    /// Answer of the future; none when the incarnation ended first.
    pub async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.ending.cancelled() => None,
        }
    }
    /// Token for work that cannot be interrupted: the end waits until it is dropped.
    pub fn token(&self) -> TaskTrackerToken {
        self.running.token()
    }
    /// Token for the thread of a device's driver: the end waits until it is dropped, up to 3 s.
    pub fn driver_token(&self) -> TaskTrackerToken {
        self.drivers.token()
    }
    /// Ends everything, and answers when the last of it is gone.
    pub async fn end(&self) {
        self.ending.cancel();
        self.running.close();
        self.running.wait().await;
        self.drivers.close();
        if timeout(DRIVERS, self.drivers.wait()).await.is_err() {
            tracing::error!(
                threads = self.drivers.len(),
                "a device's driver does not end: it is left to itself"
            );
        }
    }
}

/// Part of a supervised actor: dropped with it, and the end of its incarnation.
#[derive(Debug)]
pub struct Life {
    #[allow(dead_code, reason = "its drop is what counts")]
    over: oneshot::Sender<Infallible>,
    ending: CancellationToken,
}
impl Life {
    /// The actor ends with its incarnation from now on. To be called when it starts.
    pub fn begin<A: Actor<Context = Context<A>>>(&self, ctx: &mut Context<A>) {
        let ending = self.ending.clone();
        let ended = actix::fut::wrap_future::<_, A>(async move { ending.cancelled().await });
        ctx.spawn(ended.map(|(), _, ctx| ctx.terminate()));
    }
}

/// Place where the others find the child that lives now. Clones share it.
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

/// Keeps a child alive on this arbiter until its incarnation ends. `make` starts it; `ended` hears of each
/// restart.
pub fn keep<A: Actor>(
    tasks: &Tasks,
    name: String,
    child: Child<A>,
    mut make: impl FnMut(Life) -> Addr<A> + 'static,
    mut ended: impl FnMut() + 'static,
) {
    let all = tasks.clone();
    tasks.running.spawn_local(async move {
        let mut wait = WAIT_FIRST;
        loop {
            let (over, dropped) = oneshot::channel();
            let born = Instant::now();
            child.set(Some(make(Life { over, ending: all.ending.clone() })));
            // Nothing is ever sent: this is the drop.
            dropped.await.ok();
            child.set(None);
            if all.ending.is_cancelled() {
                return;
            }
            if born.elapsed() >= WELL_AFTER {
                wait = WAIT_FIRST;
            }
            tracing::error!(
                part = %name,
                again_in_ms = wait.as_millis(),
                "a part of the daemon ended and is made anew"
            );
            ended();
            if all.unless_ended(sleep(wait)).await.is_none() {
                return;
            }
            wait = backoff(wait);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::Handler;

    struct Fragile {
        life: Life,
        n: u32,
    }
    impl Actor for Fragile {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            self.life.begin(ctx);
        }
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
                Fragile { life, n }.start()
            };
            let tasks = Tasks::default();
            keep(&tasks, "fragile".into(), child.clone(), make, || ());
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
    fn the_end_waits_for_actors_tasks_and_threads() {
        /// Dropped with what holds it.
        struct Held(#[allow(dead_code)] Arc<()>);
        actix::System::new().block_on(async {
            let (tasks, child, held) = (Tasks::default(), Child::default(), Arc::new(()));
            let of_actor = held.clone();
            let make = move |life| {
                let _of_actor = &of_actor;
                Fragile { life, n: 1 }.start()
            };
            keep(&tasks, "fragile".into(), child.clone(), make, || ());
            let of_task = Held(held.clone());
            tasks.spawn(async move {
                let _of_task = of_task;
                std::future::pending().await
            });
            let (of_thread, token) = (Held(held.clone()), tasks.driver_token());
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                drop(of_thread);
                drop(token);
            });
            tokio::task::yield_now().await;
            let addr = child.addr().unwrap();
            assert_eq!((child.ask(Which { panic: false }).await, Arc::strong_count(&held)), (Ok(1), 4));
            tasks.end().await;
            assert_eq!(Arc::strong_count(&held), 1, "something of it is still there");
            assert!(!addr.connected() && child.addr().is_none());
            assert_eq!(child.ask(Which { panic: false }).await, Err(Gone), "it is not made anew");
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
