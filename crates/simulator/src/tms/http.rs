//! The HTTPS face of the registry: GET /v1/offer, PUT and GET /v1/onboardings/ID, GET
//! /v1/onboardings/ID/parameters?nonce=N. Every answer is signed JSON; an error is a status and a line of
//! text.
use super::{Registry, RegistryError};
use crate::shared::now;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use payterm_schema::onboarding::{Signed, Submission};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_rustls::TlsAcceptor;

/// Greatest body that is read. 32 KiB: an onboarding has some 4.
const MAX_BODY: usize = 32 * 1024;
/// Connections at a time, and how long one may last.
const CONNECTIONS: usize = 64;
const WITHIN: Duration = Duration::from_secs(30);

pub async fn serve(listener: TcpListener, tls: TlsAcceptor, registry: Arc<Mutex<Registry>>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((tcp, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (tls, registry) = (tls.clone(), Arc::clone(&registry));
        tokio::spawn(async move {
            let _permit = permit;
            let talk = async {
                let Ok(stream) = tls.accept(tcp).await else { return };
                let answer = service_fn(|request| answer(Arc::clone(&registry), request));
                if let Err(e) = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), answer)
                    .await
                {
                    tracing::debug!("terminal management: {e}");
                }
            };
            let _ = timeout(WITHIN, talk).await;
        });
    }
}

async fn answer(
    registry: Arc<Mutex<Registry>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let body = if method == Method::PUT {
        Limited::new(request.into_body(), MAX_BODY).collect().await.map(|b| b.to_bytes())
    } else {
        Ok(Bytes::new())
    };
    let done = match body {
        Ok(body) => route(&registry, &method, uri.path(), uri.query().unwrap_or_default(), &body),
        Err(_) => Err((StatusCode::PAYLOAD_TOO_LARGE, format!("a body of up to {MAX_BODY} bytes"))),
    };
    tracing::info!(%method, path = uri.path(), ok = done.is_ok(), "terminal management");
    let (status, kind, text) = match done.and_then(|s| {
        serde_json::to_string(&s).map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
    }) {
        Ok(json) => (StatusCode::OK, "application/json", json),
        Err((status, text)) => (status, "text/plain; charset=utf-8", text + "\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}

fn route(
    registry: &Mutex<Registry>,
    method: &Method,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Signed, (StatusCode, String)> {
    let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
    let done = match path.split('/').collect::<Vec<_>>()[..] {
        ["", "v1", "offer"] if method == Method::GET => Ok(registry.offer().clone()),
        ["", "v1", "onboardings", id] if method == Method::GET => registry.status(id),
        ["", "v1", "onboardings", id] if method == Method::PUT => {
            let submission: Submission =
                serde_json::from_slice(body).map_err(|e| (StatusCode::BAD_REQUEST, e.to_string()))?;
            if submission.onboarding != id {
                return Err((StatusCode::BAD_REQUEST, "the path names another onboarding".into()));
            }
            registry.submit(submission, now())
        }
        ["", "v1", "onboardings", id, "parameters"] if method == Method::GET => {
            registry.grant(id, query.strip_prefix("nonce=").unwrap_or_default())
        }
        _ => return Err((StatusCode::NOT_FOUND, "no such resource".into())),
    };
    done.map_err(|e| {
        let status = match &e {
            RegistryError::NotFound(_) => StatusCode::NOT_FOUND,
            RegistryError::Refused { .. } => StatusCode::CONFLICT,
            RegistryError::File { .. }
            | RegistryError::Sign
            | RegistryError::Json(_)
            | RegistryError::Key(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, e.to_string())
    })
}
