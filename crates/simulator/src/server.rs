//! TCP, with or without TLS: reads frames, hands them to the service, writes what comes back. Every wait and
//! every size is bounded; bytes that are no frame close the connection and are counted.
use crate::{
    mishap::Mishap,
    service::{self, Heard, Reply},
    shared::Shared,
    wire::Wire,
};
use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use tracing::{debug, info, warn};

/// Why certificate chain and key are of no use.
#[derive(Debug, thiserror::Error)]
#[error("tls {path}: {rule}")]
pub struct TlsError {
    path: String,
    rule: String,
}

/// Reads certificate chain and key.
pub fn tls(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let fail = |path: &Path, rule: String| TlsError { path: path.display().to_string(), rule };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| fail(cert, e.to_string()))?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| fail(key, e.to_string()))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key_der))
        .map_err(|e| fail(cert, e.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

pub(crate) async fn accept(
    listener: TcpListener,
    wire: Arc<Wire>,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    let room = Arc::new(Semaphore::new(shared.options.max_connections));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(s) => s,
            Err(e) => {
                // Out of file descriptors, or the peer was gone already: neither ends the listener.
                warn!("accept: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        shared.counters.connections.fetch_add(1, Ordering::Relaxed);
        let (wire, tls, shared) = (Arc::clone(&wire), tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let _permit = permit;
            debug!(%peer, profile = wire.name(), "connected");
            let ended = match tls {
                None => plain(stream, wire, shared).await,
                Some(t) => secured(stream, t, wire, shared).await,
            };
            match ended {
                Ok(()) => debug!(%peer, "closed"),
                Err(e) => info!(%peer, "connection ended: {e}"),
            }
        });
    }
}

async fn plain(stream: TcpStream, wire: Arc<Wire>, shared: Arc<Shared>) -> Result<(), Ended> {
    stream.set_nodelay(true)?;
    serve(stream, wire, shared).await
}

async fn secured(
    stream: TcpStream,
    tls: TlsAcceptor,
    wire: Arc<Wire>,
    shared: Arc<Shared>,
) -> Result<(), Ended> {
    stream.set_nodelay(true)?;
    let stream = timeout(shared.options.frame, tls.accept(stream))
        .await
        .map_err(|_| Ended::Slow("TLS handshake"))??;
    serve(stream, wire, shared).await
}

/// Why a connection ended before its peer closed it.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no request for {0:?}")]
    Idle(Duration),
    #[error("{0} took too long")]
    Slow(&'static str),
    #[error("bad frame: {0}")]
    Bad(#[from] crate::wire::WireError),
    #[error("state: {0}")]
    Bank(#[from] crate::bank::BankError),
    #[error("a worker was lost: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

enum Out {
    /// Reply, with the time at which the request's first byte was there.
    Bytes(Vec<u8>, Option<Instant>),
    BytesThenClose(Vec<u8>),
}

/// Replies of one connection that wait to be written at most.
const OUT_ROOM: usize = 64;

/// Time that queued bytes have to go out when a connection ends in an error.
const LINGER: Duration = Duration::from_millis(200);

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    wire: Arc<Wire>,
    shared: Arc<Shared>,
) -> Result<(), Ended> {
    let (mut read, mut write) = tokio::io::split(stream);
    let (out, mut queue) = mpsc::channel::<Out>(OUT_ROOM);
    let limit = shared.options.frame;
    let counting = Arc::clone(&shared);
    let reader = async move {
        while let Some((frame, began)) = next_frame(&mut read, &wire, &shared).await? {
            shared.counters.frames.fetch_add(1, Ordering::Relaxed);
            let reply = one(frame, &wire, &shared).await?;
            let sent = match reply {
                Reply::Nothing => Ok(()),
                Reply::Now(bytes) => out.send(Out::Bytes(bytes, Some(began))).await,
                Reply::Torn(bytes) => out.send(Out::BytesThenClose(bytes)).await,
                Reply::Late(ms, bytes) => {
                    let out = out.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(ms.into())).await;
                        // The connection may be gone by then: that is the mishap.
                        let _ = out.send(Out::Bytes(bytes, None)).await;
                    });
                    Ok(())
                }
            };
            if sent.is_err() {
                break;
            }
        }
        Ok(())
    };
    let writer = async move {
        while let Some(next) = queue.recv().await {
            let (bytes, close) = match next {
                Out::Bytes(b, began) => {
                    if let Some(began) = began.filter(|_| counting.options.state.is_none()) {
                        counting
                            .counters
                            .busy_ns
                            .fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
                    }
                    (b, false)
                }
                Out::BytesThenClose(b) => (b, true),
            };
            timeout(limit, async {
                write.write_all(&bytes).await?;
                write.flush().await
            })
            .await
            .map_err(|_| Ended::Slow("a reply"))??;
            if close {
                break;
            }
        }
        let _ = timeout(limit, write.shutdown()).await;
        Ok(())
    };
    // The writer ends when the connection is torn on purpose or the reader and all late replies are done.
    tokio::pin!(reader, writer);
    tokio::select! {
        // `reader` is finished; what it queued still goes out. After an error nobody waits for late replies.
        r = &mut reader => match r {
            Ok(()) => writer.await,
            Err(e) => {
                let _ = timeout(LINGER, writer).await;
                Err(e)
            }
        },
        w = &mut writer => w,
    }
}

/// The next frame that is no keep-alive.
async fn next_frame(
    read: &mut (impl AsyncRead + Unpin),
    wire: &Wire,
    shared: &Shared,
) -> Result<Option<(Vec<u8>, Instant)>, Ended> {
    loop {
        match any_frame(read, wire, shared).await? {
            Some((frame, _)) if frame.len() == wire.prefix_len() => {}
            found => return Ok(found),
        }
    }
}

/// The next frame, its length included, and when its first byte was there; none when the peer closed between
/// frames.
async fn any_frame(
    read: &mut (impl AsyncRead + Unpin),
    wire: &Wire,
    shared: &Shared,
) -> Result<Option<(Vec<u8>, Instant)>, Ended> {
    let mut prefix = vec![0; wire.prefix_len()];
    let idle = shared.options.idle;
    let first = timeout(idle, read.read(&mut prefix[..1])).await.map_err(|_| Ended::Idle(idle))??;
    if first == 0 {
        return Ok(None);
    }
    let began = Instant::now();
    let whole = async {
        read.read_exact(&mut prefix[1..]).await?;
        let length = wire.length(&prefix).inspect_err(|_| bad(shared))?;
        let from = prefix.len();
        let mut frame = prefix;
        frame.resize(length, 0);
        read.read_exact(&mut frame[from..]).await?;
        Ok::<_, Ended>(frame)
    };
    timeout(shared.options.frame, whole)
        .await
        .map_err(|_| Ended::Slow("a frame"))?
        .map(|frame| Some((frame, began)))
}

fn bad(shared: &Shared) {
    shared.counters.bad_frames.fetch_add(1, Ordering::Relaxed);
}

async fn one(frame: Vec<u8>, wire: &Arc<Wire>, shared: &Arc<Shared>) -> Result<Reply, Ended> {
    let frame = zeroize::Zeroizing::new(frame);
    let heard = wire.hear(&frame).inspect_err(|_| bad(shared))?;
    let heard: Heard = service::meet(shared, wire, heard);
    if let Some(Mishap::Delay { ms }) = heard.mishap {
        tokio::time::sleep(Duration::from_millis(ms.into())).await;
    }
    if shared.options.state.is_none() {
        return Ok(service::answer(shared, wire, heard)?);
    }
    // A durable commit blocks: it runs on a worker, so that other connections are served meanwhile.
    let (shared, wire) = (Arc::clone(shared), Arc::clone(wire));
    Ok(tokio::task::spawn_blocking(move || service::answer(&shared, &wire, heard)).await??)
}
