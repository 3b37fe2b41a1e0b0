//! Addresses of a network printer's name. The system's resolver knows no time-out: it is asked on a thread of
//! its own, one at a time, and what it said last serves while it says nothing.
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

type Answer = io::Result<Vec<SocketAddr>>;

/// Time for which the resolver is waited for where its last answer could serve.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is known of a name.
#[derive(Default)]
pub(super) struct Names {
    /// The question that is under way.
    asked: Option<Receiver<Answer>>,
    /// Addresses of the last good answer.
    last: Vec<SocketAddr>,
}

impl Names {
    /// Addresses of `HOST:PORT`, by `until` at the latest.
    pub fn addresses(&mut self, to: &str, until: Instant) -> Answer {
        if let Ok(number) = to.parse() {
            return Ok(vec![number]);
        }
        let to = to.to_owned();
        self.found(until, move || Ok(to.to_socket_addrs()?.collect()))
    }

    fn found(&mut self, until: Instant, ask: impl FnOnce() -> Answer + Send + 'static) -> Answer {
        let left = until.saturating_duration_since(Instant::now());
        let wait = if self.last.is_empty() { left } else { left.min(PATIENCE) };
        if self.asked.is_none() {
            let (answer, answered) = channel();
            // Its printer may be closed by then.
            std::thread::Builder::new().name("resolver".into()).spawn(move || answer.send(ask()).ok())?;
            self.asked = Some(answered);
        }
        let said = self.asked.as_ref().map(|asked| asked.recv_timeout(wait));
        let silent = matches!(said, Some(Err(RecvTimeoutError::Timeout)));
        self.asked = self.asked.take().filter(|_| silent);
        match said {
            Some(Ok(Ok(all))) if !all.is_empty() => {
                self.last.clone_from(&all);
                Ok(all)
            }
            _ if !self.last.is_empty() => Ok(self.last.clone()),
            Some(Ok(Err(e))) => Err(e),
            Some(Ok(Ok(_)) | Err(RecvTimeoutError::Disconnected)) | None => {
                Err(io::Error::new(io::ErrorKind::NotFound, "its name has no address"))
            }
            Some(Err(RecvTimeoutError::Timeout)) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "its name was not resolved in time"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    #[test]
    fn a_resolver_that_is_dead_is_waited_for_in_time_and_asked_once() {
        let one: SocketAddr = "192.0.2.1:9100".parse().unwrap();
        let (mut names, (answer, hangs)) = (Names::default(), channel());
        let began = Instant::now();
        let late = names.found(soon(50), move || hangs.recv().map_err(io::Error::other)?);
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let again = names.found(soon(50), || unreachable!("the first question is under way"));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(5));
        answer.send(Ok(vec![one])).unwrap();
        assert_eq!(names.found(soon(20_000), || Ok(Vec::new())).unwrap(), [one], "its answer after all");
        // From then on the last good ones serve.
        assert_eq!(names.found(soon(50), || Err(io::Error::other("down"))).unwrap(), [one]);
        let (never, hangs) = channel::<Answer>();
        let silent = names.found(soon(50), move || hangs.recv().map_err(io::Error::other)?);
        assert_eq!(silent.unwrap(), [one]);
        drop(never);
    }

    #[test]
    fn a_number_is_nobodys_to_resolve() {
        let mut names = Names::default();
        assert_eq!(names.addresses("[::1]:9100", soon(0)).unwrap(), ["[::1]:9100".parse().unwrap()]);
        assert!(names.asked.is_none());
    }
}
