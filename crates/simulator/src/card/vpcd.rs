//! A test card at the other end of a virtual reader's socket (vsmartcard's protocol, virtual smart card): it
//! is in the reader while the connection stands.
use super::TestCard;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread::JoinHandle,
};

/// Control codes of the reader.
const OFF: u8 = 0;
const ON: u8 = 1;
const RESET: u8 = 2;
const ASK_ATR: u8 = 4;

/// Answer to reset: T=0, nothing else to say.
const ATR: [u8; 2] = [0x3B, 0x00];

/// A card in a reader; dropped, it is pulled out.
pub struct Inserted {
    stream: TcpStream,
    thread: Option<JoinHandle<TestCard>>,
}

impl Inserted {
    /// Inserts the card into the reader that listens there.
    pub fn insert(card: TestCard, at: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(at)?;
        stream.set_nodelay(true)?;
        let reader = stream.try_clone()?;
        let thread = std::thread::Builder::new().name("card".into()).spawn(move || serve(card, reader))?;
        Ok(Self { stream, thread: Some(thread) })
    }
    /// Pulls it out, at whatever it does.
    ///
    /// # Panics
    /// When the card did.
    pub fn pull(mut self) -> TestCard {
        self.stream.shutdown(Shutdown::Both).ok();
        let card = self.thread.take().map(JoinHandle::join);
        card.and_then(Result::ok).expect("a card does not panic")
    }
}
impl Drop for Inserted {
    fn drop(&mut self) {
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

/// Answers until the connection ends.
fn serve(mut card: TestCard, mut reader: TcpStream) -> TestCard {
    while let Ok(frame) = receive(&mut reader) {
        let answer = match frame[..] {
            [OFF | ON | RESET] => {
                card.reset();
                continue;
            }
            [ASK_ATR] => ATR.to_vec(),
            _ => card.answer(&frame),
        };
        let Ok(len) = u16::try_from(answer.len()) else { break };
        if reader.write_all(&[&len.to_be_bytes()[..], &answer].concat()).is_err() {
            break;
        }
    }
    card.reset();
    card
}

fn receive(reader: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut len = [0; 2];
    reader.read_exact(&mut len)?;
    let mut frame = vec![0; u16::from_be_bytes(len).into()];
    reader.read_exact(&mut frame)?;
    Ok(frame)
}
