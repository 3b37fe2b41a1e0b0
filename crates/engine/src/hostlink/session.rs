//! One connection to a host: frames out, answers matched to what waits for them.
use super::LateSink;
use payterm_hosts::{Expect, Profile, frame_len, read};
use payterm_schema::{
    HostAnswer, HostEvent,
    host::{FieldView, FrameTrace},
    secret::SecretBytes,
};
use payterm_vault::AccountMac;
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::oneshot,
    task::AbortHandle,
};
use zeroize::Zeroizing;

/// Messages of one connection that may still be answered. 64: a customer's, as many advices as a profile may
/// allow, the others are late.
const WAITING: usize = 64;

/// A matched answer.
pub struct Heard {
    pub answer: HostAnswer,
    pub keys: Option<SecretBytes>,
    pub received: Vec<FieldView>,
}

struct Waiting {
    tag: u64,
    expect: Expect,
    /// Fields of the frame; set when it has left.
    sent: Arc<OnceLock<Arc<[FieldView]>>>,
    done: oneshot::Sender<Heard>,
}

pub struct Reader {
    pub profile: Arc<Profile>,
    pub mac: AccountMac,
    pub late: LateSink,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
type Any = Box<dyn Stream>;

pub struct Session {
    write: tokio::sync::Mutex<WriteHalf<Any>>,
    tls: bool,
    waiting: Arc<Mutex<VecDeque<Waiting>>>,
    alive: Arc<AtomicBool>,
    reading: AbortHandle,
}

impl Session {
    pub fn start(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        tls: bool,
        reader: Reader,
    ) -> Arc<Self> {
        let (read, write) = split(Box::new(stream) as Any);
        let waiting: Arc<Mutex<VecDeque<Waiting>>> = Arc::default();
        let alive = Arc::new(AtomicBool::new(true));
        let (w, a) = (waiting.clone(), alive.clone());
        let task = tokio::spawn(async move {
            if let Err(why) = reader.run(read, &w).await {
                tracing::debug!("connection to the host ended: {why}");
            }
            a.store(false, Ordering::SeqCst);
            // Those who wait hear that nothing will come.
            w.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        Arc::new(Self {
            write: tokio::sync::Mutex::new(write),
            tls,
            waiting,
            alive,
            reading: task.abort_handle(),
        })
    }

    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    /// Registers what waits for an answer; called before the frame is sent, so that no answer is too early.
    pub fn expect(
        &self,
        tag: u64,
        expect: Expect,
        sent: Arc<OnceLock<Arc<[FieldView]>>>,
    ) -> oneshot::Receiver<Heard> {
        let (done, heard) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING {
            waiting.pop_front();
        }
        if self.is_alive() {
            waiting.push_back(Waiting { tag, expect, sent, done });
        }
        heard
    }

    /// `handed` is true when a byte may have left. On plain TCP a write that fails has taken nothing; TLS may
    /// hold a part back.
    pub async fn send(&self, frame: &[u8], handed: &AtomicBool) -> io::Result<()> {
        let mut write = self.write.lock().await;
        if !self.is_alive() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        handed.store(true, Ordering::SeqCst);
        let first = write.write(frame).await;
        if first.is_err() && !self.tls {
            handed.store(false, Ordering::SeqCst);
        }
        let n = first?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        write.write_all(&frame[n..]).await?;
        write.flush().await
    }

    pub fn close(&self) {
        self.alive.store(false, Ordering::SeqCst);
        self.reading.abort();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Reader {
    async fn run(&self, mut stream: ReadHalf<Any>, waiting: &Mutex<VecDeque<Waiting>>) -> Result<(), String> {
        let mut part = Zeroizing::new([0; 2048]);
        // Room for all that can be waiting: a buffer that grows would leave a reply's PAN behind.
        let mut buffer = Zeroizing::new(Vec::with_capacity(self.profile.frame.max + 4 + part.len()));
        loop {
            while let Some(len) =
                frame_len(&self.profile, &buffer).map_err(|e| e.to_string())?.filter(|n| buffer.len() >= *n)
            {
                self.frame(&buffer[..len], waiting);
                buffer.drain(..len);
            }
            match stream.read(part.as_mut_slice()).await.map_err(|e| e.to_string())? {
                0 => return Err("closed by the host".into()),
                n => buffer.extend_from_slice(&part[..n]),
            }
        }
    }

    fn frame(&self, frame: &[u8], waiting: &Mutex<VecDeque<Waiting>>) {
        let reply = match read(&self.profile, frame, &self.mac) {
            Ok(reply) => reply,
            Err(e) => return tracing::warn!("a frame from the host was not understood: {e}"),
        };
        let found = {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let at = waiting.iter().position(|w| reply.matches(&self.profile, &w.expect).is_ok());
            at.and_then(|at| waiting.remove(at))
        };
        let Some(Waiting { tag, sent, done, .. }) = found else {
            return tracing::warn!(code = reply.answer.code, "an answer of the host fits no request");
        };
        let heard = Heard { answer: reply.answer, keys: reply.keys, received: reply.trace };
        // Its time ran out: the receiver is gone. Keys of a late sign-in are not taken: the machine signs in
        // again.
        if let Err(Heard { answer, received, .. }) = done.send(heard) {
            let sent = sent.get().cloned().unwrap_or_default();
            (self.late)(
                tag,
                HostEvent::Late { answer: Box::new(answer), trace: FrameTrace { sent, received } },
            );
        }
    }
}
