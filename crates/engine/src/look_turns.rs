//! Turns of those who only look (lists, recalls, reports), so that a payment finds the processor free: apps
//! and screens that ask without a pause would make the customer wait.
use std::time::Duration;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// Time from one look to the next while a payment is under way. 10 ms: a look costs all its parties together
/// some 0.5 ms of a processor.
const SERVED_PACE: Duration = Duration::from_millis(10);
/// Time from one look to the next when many come one after another while nobody is served. 2 ms: the payment
/// that comes next must not stand behind them.
const IDLE_PACE: Duration = Duration::from_millis(2);
/// Looks that come at once without waiting while nobody is served. 50: pages and details of a till's screen.
const BURST: u32 = 50;

/// One queue of all callers, first come first served.
#[derive(Default)]
pub struct LookTurns(Mutex<Option<Instant>>);

impl LookTurns {
    /// Waits until it is the caller's turn.
    pub async fn next(&self, served: impl Fn() -> bool) {
        let mut last = self.0.lock().await;
        let now = Instant::now();
        let (pace, saved) =
            if served() { (SERVED_PACE, Duration::ZERO) } else { (IDLE_PACE, IDLE_PACE * BURST) };
        let earliest = now.checked_sub(saved).unwrap_or(now);
        let turn = last.map_or(earliest, |last| earliest.max(last + pace));
        if turn > now {
            sleep_until(turn).await;
        }
        *last = Some(turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::time::Instant as Began;

    #[tokio::test]
    async fn looks_are_paced_while_somebody_is_served_or_when_there_are_many() {
        let turns = LookTurns::default();
        let began = Began::now();
        for n in 0..BURST {
            assert!(turns.next(|| false).now_or_never().is_some(), "look {n}: nobody is served");
        }
        for _ in 0..20 {
            turns.next(|| false).await;
        }
        assert!(began.elapsed() >= IDLE_PACE * 19);

        let began = Began::now();
        let order = std::cell::RefCell::new(Vec::new());
        futures_util::future::join_all((0..8).map(|n| {
            let (turns, order) = (&turns, &order);
            async move {
                turns.next(|| true).await;
                order.borrow_mut().push(n);
            }
        }))
        .await;
        assert_eq!(order.into_inner(), (0..8).collect::<Vec<_>>(), "first come, first served");
        assert!(began.elapsed() >= SERVED_PACE * 7);
        assert!(turns.next(|| true).now_or_never().is_none(), "somebody is served");
        tokio::time::sleep(IDLE_PACE).await;
        assert!(turns.next(|| false).now_or_never().is_some(), "it ended: the next goes at once");
    }
}
