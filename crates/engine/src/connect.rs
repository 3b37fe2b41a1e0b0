//! A connection to a name that has several addresses, in the manner of RFC 8305: the next one is tried when
//! the one before has not answered yet, and what answers first is taken.
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, time::timeout};

/// From one address to the next (RFC 8305: "Connection Attempt Delay").
const APART: Duration = Duration::from_millis(250);
/// Addresses that are tried at once.
const AT_ONCE: usize = 2;
/// For so long the last good address goes first, and the last bad one last.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// A host that may have several addresses, and what is known of the last one.
#[derive(Default)]
pub struct Target {
    last: Mutex<Option<Last>>,
}

#[derive(Clone, Copy)]
struct Last {
    address: SocketAddr,
    at: Instant,
    good: bool,
}

impl Target {
    /// Each address, in the resolver's order, has its turn within that time.
    pub async fn connect(&self, all: Vec<SocketAddr>, within: Duration) -> io::Result<TcpStream> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.filter(|last| last.at.elapsed() < KNOWN_FOR);
        let all = in_order(all, known.map(|last| (last.address, last.good)));
        let stream = first(&all, within).await?;
        self.note(stream.peer_addr(), true);
        Ok(stream)
    }

    /// The address answered, and no session came of it: another one has its turn the next time.
    pub fn was_bad(&self, address: io::Result<SocketAddr>) {
        self.note(address, false);
    }

    fn note(&self, address: io::Result<SocketAddr>, good: bool) {
        let last = address.ok().map(|address| Last { address, at: Instant::now(), good });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

/// The last one first when it was good, and last when it was bad; the families by turns, beginning with the
/// resolver's first.
fn in_order(all: Vec<SocketAddr>, known: Option<(SocketAddr, bool)>) -> Vec<SocketAddr> {
    let first_family = all.first().is_some_and(SocketAddr::is_ipv6);
    let (mut a, mut b): (Vec<_>, Vec<_>) = all.into_iter().partition(|x| x.is_ipv6() == first_family);
    (a, b) = (a.into_iter().rev().collect(), b.into_iter().rev().collect());
    let mut order = Vec::with_capacity(a.len() + b.len());
    while let Some(next) = a.pop().or_else(|| b.pop()) {
        order.push(next);
        order.extend(b.pop());
    }
    if let Some((address, good)) = known
        && let Some(at) = order.iter().position(|x| *x == address)
    {
        if good { order[..=at].rotate_right(1) } else { order[at..].rotate_left(1) }
    }
    order
}

/// The first that answers; the others are closed.
async fn first(all: &[SocketAddr], within: Duration) -> io::Result<TcpStream> {
    // One that swallows everything must leave time for those after it.
    let share = within / u32::try_from(all.len().div_ceil(AT_ONCE).max(1)).unwrap_or(1);
    let mut rest = all.iter();
    let mut tries = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if tries.len() < AT_ONCE
            && let Some(address) = rest.next()
        {
            let try_it = timeout(share, TcpStream::connect(address));
            tries.push(async move { try_it.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) });
        }
        let more = tries.len() < AT_ONCE && !rest.as_slice().is_empty();
        let apart = if more { APART } else { within };
        match timeout(apart, tries.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(e))) => last = e,
            Ok(None) => return Err(last),
            Err(_) if more => {}
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, listen, socket};
    use std::net::{Ipv4Addr, TcpListener};

    /// A port that answers nothing: its queue is full.
    fn deaf() -> (SocketAddr, Vec<rustix::fd::OwnedFd>) {
        let all: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let ear = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&ear, &all).unwrap();
        listen(&ear, 0).unwrap();
        let at = SocketAddr::try_from(getsockname(&ear).unwrap()).unwrap();
        let mut held = vec![ear];
        for _ in 0..4 {
            let s = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            rustix::io::ioctl_fionbio(&s, true).unwrap();
            connect(&s, &at).ok();
            held.push(s);
        }
        (at, held)
    }

    fn open() -> (SocketAddr, TcpListener) {
        let l = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        (l.local_addr().unwrap(), l)
    }

    #[tokio::test]
    async fn an_address_that_swallows_everything_costs_a_quarter_of_a_second() {
        let ((deaf, _held), (good, _l)) = (deaf(), open());
        let began = Instant::now();
        let stream = first(&[deaf, good], Duration::from_secs(20)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!((200..5_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn each_address_has_its_turn() {
        let ((a, _a), (b, _b), (good, _l)) = (deaf(), deaf(), open());
        let stream = first(&[a, b, good], Duration::from_secs(2)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        // One that refuses gives way at once, and the last refusal is the reason.
        let (shut, _) = open();
        let stream = first(&[shut, good], Duration::from_secs(20)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let refused = first(&[shut, shut], Duration::from_secs(20)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first(&[], Duration::from_secs(1)).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn families_take_turns_and_the_last_good_one_goes_first_a_bad_one_last() {
        let v = |n: u8| SocketAddr::from(([127, 0, 0, n], 1));
        let six = |n: u16| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, n], 1));
        let all = || vec![six(1), six(2), v(1), v(2), v(3)];
        assert_eq!(in_order(all(), None), [six(1), v(1), six(2), v(2), v(3)]);
        assert_eq!(in_order(all(), Some((v(2), true))), [v(2), six(1), v(1), six(2), v(3)]);
        assert_eq!(in_order(all(), Some((six(1), false))), [v(1), six(2), v(2), v(3), six(1)]);
        assert_eq!(in_order(all(), Some((v(9), true))).len(), 5);
    }
}
