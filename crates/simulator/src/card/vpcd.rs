//! A test card in vsmartcard's virtual reader (vpcd): the card connects to the reader's port, is in the
//! reader while it is connected, and pulled when the connection closes. Frames are a length of two bytes,
//! big-endian, and so many bytes; one byte is a control of the reader, more are a command.
use super::{TestCard, t0::T0};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::linux::net::TcpStreamExt,
};

/// Port of the first virtual reader.
pub const PORT: u16 = 35_963;
/// Answer to reset of a card that speaks T=1, with a check byte.
pub const ATR_T1: [u8; 11] = {
    let mut atr = *b"\x3B\x87\x01PAYTERM\x00";
    let mut n = 1;
    while n < 10 {
        atr[10] ^= atr[n];
        n += 1;
    }
    atr
};
/// Of one that speaks T=0, which has none.
pub const ATR_T0: [u8; 9] = *b"\x3B\x07PAYTERM";

const OFF: u8 = 0;
const ON: u8 = 1;
const RESET: u8 = 2;
/// Control code with which the reader asks for the answer to reset.
pub const ATR: u8 = 4;

/// What a card does in the reader, beyond answering. Commands are counted from the insertion, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// It speaks T=0.
    pub t0: bool,
    /// This command finds the card pulled: it is not carried out. Once.
    pub pull_at: Option<u32>,
    /// This command is carried out and not answered, nor is any behind it until the card is switched off, on
    /// or reset. Once.
    pub mute_at: Option<u32>,
}

/// How a card left the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was pulled, at [`Behaviour::pull_at`].
    Pulled,
    /// The connection was closed: by the reader, or by who holds a copy of the stream.
    Closed,
}

/// The bytes of the next frame; none when the connection is closed.
pub fn receive(mut stream: &TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut take = |bytes: &mut [u8]| {
        // It lasts until the next receive only. Without it the reader waits 40 ms for each acknowledgement.
        stream.set_quickack(true)?;
        match stream.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(e) if matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                Ok(false)
            }
            Err(e) => Err(e),
        }
    };
    let mut len = [0; 2];
    if !take(&mut len)? {
        return Ok(None);
    }
    let mut bytes = vec![0; u16::from_be_bytes(len).into()];
    Ok(take(&mut bytes)?.then_some(bytes))
}

/// Sends a frame; false when the connection is closed.
pub fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<bool> {
    let len = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    match stream.write_all(&[&len.to_be_bytes()[..], bytes].concat()) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Lets a card answer the reader until it leaves it. `keep` is told of the card before each answer leaves.
pub fn serve(
    stream: &TcpStream,
    card: &mut TestCard,
    behaviour: &mut Behaviour,
    keep: &mut dyn FnMut(&TestCard) -> io::Result<()>,
) -> io::Result<Left> {
    stream.set_nodelay(true)?;
    card.reset();
    let left = answer(stream, card, behaviour, keep);
    card.reset();
    // Before it is closed for all who hold a copy.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    left
}

fn answer(
    stream: &TcpStream,
    card: &mut TestCard,
    behaviour: &mut Behaviour,
    keep: &mut dyn FnMut(&TestCard) -> io::Result<()>,
) -> io::Result<Left> {
    let (mut t0, mut mute, mut commands) = (T0::default(), false, 0u32);
    while let Some(frame) = receive(stream)? {
        let said = match *frame {
            [OFF | ON | RESET] => {
                (t0, mute) = (T0::default(), false);
                card.reset();
                continue;
            }
            [ATR] => {
                if behaviour.t0 {
                    ATR_T0.to_vec()
                } else {
                    ATR_T1.to_vec()
                }
            }
            // Nothing that a reader says.
            [] | [_] => continue,
            _ if mute => continue,
            _ => {
                commands = commands.saturating_add(1);
                if behaviour.pull_at == Some(commands) {
                    behaviour.pull_at = None;
                    return Ok(Left::Pulled);
                }
                let said = if behaviour.t0 { t0.answer(card, &frame) } else { card.answer(&frame) };
                keep(card)?;
                if behaviour.mute_at == Some(commands) {
                    (behaviour.mute_at, mute) = (None, true);
                    continue;
                }
                said
            }
        };
        if !send(stream, &said)? {
            break;
        }
    }
    Ok(Left::Closed)
}

#[cfg(test)]
mod tests;
