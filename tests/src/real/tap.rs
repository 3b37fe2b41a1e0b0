//! A TCP tap between daemon and acquirer: passes every byte on, keeps every whole frame of both directions.
use payterm_hosts::{Profile, frame_len};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Direction: from the daemon to the acquirer.
    pub sent: bool,
    /// Frame with its length prefix.
    pub bytes: Vec<u8>,
}

pub struct Tap {
    /// Address that the daemon connects to.
    pub address: String,
    frames: Arc<Mutex<Vec<Frame>>>,
}

impl Tap {
    /// Taps the acquirer at `to`; the profile says how long a frame is. Its threads end with their
    /// connections.
    pub fn start(profile: Profile, to: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let tap = Self { address: listener.local_addr()?.to_string(), frames: Arc::default() };
        let (profile, frames, to) = (Arc::new(profile), tap.frames.clone(), to.to_owned());
        std::thread::spawn(move || {
            for daemon in listener.incoming().flatten() {
                let Ok(host) = TcpStream::connect(&to) else { continue };
                let pump = |sent, from: &TcpStream, to: &TcpStream| -> io::Result<()> {
                    let (from, to, profile, frames) =
                        (from.try_clone()?, to.try_clone()?, profile.clone(), frames.clone());
                    std::thread::spawn(move || {
                        let _ = pass(sent, &from, &to, &profile, &frames);
                        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                    });
                    Ok(())
                };
                let _ = pump(true, &daemon, &host).and_then(|()| pump(false, &host, &daemon));
            }
        });
        Ok(tap)
    }

    /// The frames since the last call, in order.
    pub fn take(&self) -> Vec<Frame> {
        std::mem::take(&mut *self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn pass(
    sent: bool,
    mut from: &TcpStream,
    mut to: &TcpStream,
    profile: &Profile,
    frames: &Mutex<Vec<Frame>>,
) -> io::Result<()> {
    let (mut held, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let n = from.read(&mut chunk)?;
        let Some(bytes) = chunk.get(..n).filter(|b| !b.is_empty()) else { return Ok(()) };
        held.extend_from_slice(bytes);
        // Kept before it is passed on: who has the answer finds the frame here.
        while let Ok(Some(len)) = frame_len(profile, &held)
            && len <= held.len()
        {
            let rest = held.split_off(len);
            frames
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Frame { sent, bytes: std::mem::replace(&mut held, rest) });
        }
        to.write_all(bytes)?;
    }
}
