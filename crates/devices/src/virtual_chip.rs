//! Virtual chip reader: a program that connects to its socket is a card that is inserted, or tapped. It
//! speaks the protocol of vsmartcard's virtual reader (vpcd): frames of a length in two bytes, big endian,
//! and so many bytes; from the reader one byte is a control code, all else a command, which the card answers.
use crate::{CardFault, CardReader, DeviceError, Interrupt};
use payterm_schema::card::Interface;
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// Control codes of the reader (vsmartcard, virtual smart card reader).
const OFF: u8 = 0;
const ON: u8 = 1;
const RESET: u8 = 2;
const ASK_ATR: u8 = 4;

/// Time for an answer to reset. 1 s: a real card's begins within 0.1 s.
const ATR_TIME: Duration = Duration::from_secs(1);

/// Reader that listens, with the card that is connected.
pub(crate) struct ChipSlot {
    device: String,
    interface: Interface,
    listener: TcpListener,
    card: Option<Card>,
    /// A card was powered since the last release.
    taken: bool,
    woken: Arc<OwnedFd>,
}
struct Card {
    stream: TcpStream,
    powered: bool,
    /// It was let go of: it is to be pulled out before it is found again.
    spent: bool,
}

impl ChipSlot {
    pub(crate) fn listen(device: &str, interface: Interface, at: SocketAddr) -> Result<Self, DeviceError> {
        let error = |e| DeviceError::io(device, format!("listening at {at}"), e);
        let listener = TcpListener::bind(at).map_err(error)?;
        listener.set_nonblocking(true).map_err(error)?;
        let woken =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| error(e.into()))?;
        Ok(Self {
            device: device.into(),
            interface,
            listener,
            card: None,
            taken: false,
            woken: Arc::new(woken),
        })
    }
    fn io(&self, doing: &str, e: io::Error) -> DeviceError {
        DeviceError::io(&self.device, doing, e)
    }

    /// Takes the card that connects; forgets one that went.
    fn look(&mut self) -> Result<(), DeviceError> {
        if self.card.as_ref().is_some_and(Card::is_gone) {
            self.card = None;
        }
        if self.card.is_none() {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    // A command is short and waited for.
                    let set = stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true));
                    set.map_err(|e| self.io("taking a card", e))?;
                    self.card = Some(Card { stream, powered: false, spent: false });
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
                Err(e) => return Err(self.io("taking a card", e)),
            }
        }
        Ok(())
    }

    /// Until a card comes or goes. True: it was interrupted.
    fn rest(&self, left: Duration) -> Result<bool, DeviceError> {
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let place = self.card.as_ref().map_or(self.listener.as_fd(), |card| card.stream.as_fd());
        let mut both =
            [PollFd::new(&self.woken, PollFlags::IN), PollFd::from_borrowed_fd(place, PollFlags::IN)];
        match poll(&mut both, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(self.io("waiting for a card", e.into())),
        }
        Ok(rustix::io::read(&self.woken, &mut [0; 8]).is_ok())
    }

    fn talk<T>(&mut self, talk: impl FnOnce(&mut Card) -> io::Result<T>) -> Result<T, CardFault> {
        let card = self.card.as_mut().ok_or(CardFault::Removed)?;
        talk(card).map_err(|e| {
            // An answer that comes late would be taken for that of the next command.
            self.card = None;
            let silent = [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::InvalidData];
            if silent.contains(&e.kind()) { CardFault::Mute } else { CardFault::Removed }
        })
    }
}

impl Card {
    /// The program has closed its end, or says what it was not asked.
    fn is_gone(&self) -> bool {
        let looked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let back = self.stream.set_nonblocking(false);
        back.is_err() || !matches!(looked, Err(e) if e.kind() == ErrorKind::WouldBlock)
    }
    fn send(&mut self, bytes: &[u8], until: Instant) -> io::Result<()> {
        let Ok(len) = u16::try_from(bytes.len()) else { return Err(ErrorKind::InvalidData.into()) };
        let frame = Zeroizing::new([&len.to_be_bytes(), bytes].concat());
        self.stream.set_write_timeout(Some(left(until)?))?;
        self.stream.write_all(&frame)
    }
    fn receive(&mut self, until: Instant) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut len = [0; 2];
        self.fill(&mut len, until)?;
        let mut bytes = Zeroizing::new(vec![0; u16::from_be_bytes(len).into()]);
        self.fill(&mut bytes, until)?;
        Ok(bytes)
    }
    /// Whatever comes piece by piece, the time is that of the whole.
    fn fill(&mut self, mut place: &mut [u8], until: Instant) -> io::Result<()> {
        while !place.is_empty() {
            self.stream.set_read_timeout(Some(left(until)?))?;
            match self.stream.read(place) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => place = &mut place[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

impl CardReader for ChipSlot {
    fn wait(&mut self, timeout: Duration) -> Result<Option<Interface>, DeviceError> {
        let until = Instant::now() + timeout;
        loop {
            self.look()?;
            if self.card.as_ref().is_some_and(|card| !card.spent) {
                return Ok(Some(self.interface));
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.rest(left)? || left.is_zero() {
                return Ok(None);
            }
        }
    }
    fn power(&mut self) -> Result<Vec<u8>, CardFault> {
        let until = Instant::now() + ATR_TIME;
        self.taken = true;
        let answer = self.talk(|card| {
            card.send(&[if card.powered { RESET } else { ON }], until)?;
            card.powered = true;
            card.send(&[ASK_ATR], until)?;
            card.receive(until)
        })?;
        if answer.is_empty() { Err(CardFault::Mute) } else { Ok(answer.to_vec()) }
    }
    fn transmit(&mut self, command: &[u8], timeout: Duration) -> Result<Zeroizing<Vec<u8>>, CardFault> {
        // One byte would be a control code.
        if command.len() < 4 {
            return Err(CardFault::Mute);
        }
        let until = Instant::now() + timeout;
        self.talk(|card| {
            card.send(command, until)?;
            card.receive(until)
        })
    }
    fn present(&mut self) -> Result<bool, DeviceError> {
        Ok(self.card.as_ref().is_some_and(|card| !card.is_gone()))
    }
    fn occupied(&mut self) -> Result<bool, DeviceError> {
        Ok(self.card.as_ref().is_some_and(|card| card.spent && !card.is_gone()))
    }
    fn release(&mut self) -> Result<(), DeviceError> {
        if self.card.as_ref().is_some_and(Card::is_gone) {
            self.card = None;
        }
        if !std::mem::take(&mut self.taken) {
            self.look()?;
        }
        if let Some(card) = &mut self.card {
            let off = card.powered.then(|| card.send(&[OFF], Instant::now() + ATR_TIME));
            (card.powered, card.spent) = (false, true);
            // It went just now.
            if off.is_some_and(|sent| sent.is_err()) {
                self.card = None;
            }
        }
        Ok(())
    }
    fn interrupt(&self) -> Interrupt {
        let woken = self.woken.clone();
        // A count that is full is as good as one more.
        Arc::new(move || {
            rustix::io::write(&woken, &1u64.to_ne_bytes()).ok();
        })
    }
}
