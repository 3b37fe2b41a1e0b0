//! One connection to a host: frames out, answers matched to what waits for them.
use payterm_hosts::{Expect, KeepAlive, Profile, frame_len, is_keep_alive, read, trace_of_none};
use payterm_schema::{HostAnswer, host::FieldView, secret::SecretBytes};
use payterm_vault::AccountMac;
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
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

/// An answer that cannot be used: why, and what could be read of it, masked.
#[derive(Clone)]
pub struct Unread {
    pub why: String,
    pub received: Vec<FieldView>,
}

/// What becomes of a message's answer; gone when the connection is.
pub type Answer = oneshot::Receiver<Result<Heard, Unread>>;

struct Waiting {
    expect: Expect,
    /// The last frame of the host that could not be read, when nothing but this message waited.
    unread: Arc<Mutex<Option<Unread>>>,
    done: oneshot::Sender<Result<Heard, Unread>>,
}

pub struct Reader {
    pub profile: Arc<Profile>,
    pub mac: AccountMac,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
type Any = Box<dyn Stream>;

pub struct Session {
    write: Arc<tokio::sync::Mutex<WriteHalf<Any>>>,
    tls: bool,
    waiting: Arc<Mutex<VecDeque<Waiting>>>,
    alive: Arc<AtomicBool>,
    made: Instant,
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
        let write = Arc::new(tokio::sync::Mutex::new(write));
        let (w, a, echo) = (waiting.clone(), alive.clone(), write.clone());
        let task = tokio::spawn(async move {
            if let Err(why) = reader.run(read, &echo, &w).await {
                tracing::debug!("connection to the host ended: {why}");
            }
            a.store(false, Ordering::SeqCst);
            // Those who wait hear that nothing will come.
            w.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        Arc::new(Self { write, tls, waiting, alive, made: Instant::now(), reading: task.abort_handle() })
    }

    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    pub fn age(&self) -> Duration {
        self.made.elapsed()
    }

    /// Registers what waits for an answer; called before the frame is sent, so that no answer is too early.
    pub fn expect(&self, expect: Expect, unread: Arc<Mutex<Option<Unread>>>) -> Answer {
        let (done, heard) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING {
            waiting.pop_front();
        }
        if self.is_alive() {
            waiting.push_back(Waiting { expect, unread, done });
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
    async fn run(
        &self,
        mut stream: ReadHalf<Any>,
        write: &tokio::sync::Mutex<WriteHalf<Any>>,
        waiting: &Mutex<VecDeque<Waiting>>,
    ) -> Result<(), String> {
        let mut part = Zeroizing::new([0; 2048]);
        // Room for all that can be waiting: a buffer that grows would leave a reply's PAN behind.
        let mut buffer = Zeroizing::new(Vec::with_capacity(self.profile.frame.max + 4 + part.len()));
        loop {
            loop {
                match frame_len(&self.profile, &buffer) {
                    Ok(Some(len)) if buffer.len() >= len => {
                        if !is_keep_alive(&self.profile, &buffer[..len]) {
                            self.frame(&buffer[..len], waiting);
                        } else if self.profile.frame.keep_alive == KeepAlive::Echo {
                            let mut write = write.lock().await;
                            let echoed = async {
                                write.write_all(&buffer[..len]).await?;
                                write.flush().await
                            };
                            echoed.await.map_err(|e| e.to_string())?;
                        }
                        buffer.drain(..len);
                    }
                    Ok(Some(_) | None) => break,
                    Err(e) => {
                        let received = trace_of_none(&e.to_string(), &buffer);
                        unread(waiting, Unread { why: e.to_string(), received });
                        return Err(e.to_string());
                    }
                }
            }
            match stream.read(part.as_mut_slice()).await.map_err(|e| e.to_string())? {
                0 => return Err("closed by the host".into()),
                n => buffer.extend_from_slice(&part[..n]),
            }
        }
    }

    fn frame(&self, frame: &[u8], waiting: &Mutex<VecDeque<Waiting>>) {
        let take = |fits: &dyn Fn(&Expect) -> bool| {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let at = waiting.iter().position(|w| fits(&w.expect));
            at.and_then(|at| waiting.remove(at))
        };
        let reply = match read(&self.profile, frame, &self.mac) {
            Ok(reply) => reply,
            Err(e) => {
                let read = Unread { why: e.why.to_string(), received: e.trace.clone() };
                match take(&|expect| e.names(expect)) {
                    Some(w) => drop(w.done.send(Err(read))),
                    None => unread(waiting, read),
                }
                return;
            }
        };
        let found = take(&|expect| reply.matches(&self.profile, expect).is_ok());
        let Some(Waiting { expect, done, .. }) = found else {
            return tracing::debug!(code = reply.answer.code, "an answer of the host fits no request");
        };
        let heard = match reply.unusable(&expect) {
            None => Ok(Heard { answer: reply.answer, keys: reply.keys, received: reply.trace }),
            Some(fault) => Err(Unread { why: fault.to_string(), received: reply.trace }),
        };
        drop(done.send(heard));
    }
}

/// It names no request: kept for the only one that it can be for.
fn unread(waiting: &Mutex<VecDeque<Waiting>>, read: Unread) {
    tracing::debug!("a frame from the host was not understood: {}", read.why);
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let mut live = waiting.iter().filter(|w| !w.done.is_closed());
    if let (Some(only), None) = (live.next(), live.next()) {
        *only.unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
    }
}
