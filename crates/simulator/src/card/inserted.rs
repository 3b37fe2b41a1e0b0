//! A test card in a virtual reader, for tests: it is in the reader while the value lives.
use super::{
    TestCard,
    vpcd::{self, Behaviour},
};
use std::{
    io,
    net::{Shutdown, SocketAddr, TcpStream},
    thread::JoinHandle,
};

/// A card in a reader; dropped, it is pulled out.
pub struct Inserted {
    stream: TcpStream,
    thread: Option<JoinHandle<TestCard>>,
}

impl Inserted {
    /// Inserts the card into the reader that listens there.
    pub fn insert(mut card: TestCard, at: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(at)?;
        let reader = stream.try_clone()?;
        let serve = move || {
            // A reader that is gone has let go of the card.
            let _ = vpcd::serve(&reader, &mut card, &mut Behaviour::default(), &mut |_| Ok(()));
            card
        };
        Ok(Self { stream, thread: Some(std::thread::Builder::new().name("card".into()).spawn(serve)?) })
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
