//! The terminal management of the acquirer, asked over HTTPS: one question, one answer, one connection. Only
//! the CA and the signing key of `[tms]` are believed; redirects are not followed, every size and wait is
//! bounded.
//!
//! Invariant: nothing of an answer is used before its signature, its addressee and its rules are checked; of
//! a grant that does not hold in every part, nothing is taken.
use crate::{
    connect::Target,
    granted::with_granted,
    hostlink::{self, Tls, TlsError},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use payterm_core::{TmsAsk, TmsEvent};
use payterm_devices::Drivers;
use payterm_hosts::Profile;
use payterm_schema::{
    Fault,
    config::{Config, TlsConfig, TmsConfig},
    fault::with_causes,
    onboarding::{
        Draft, Grant, Offer, Onboarding, OnboardingStatus, Parameters, Problem, Signed, Submission,
        WrappedKey,
    },
};
use payterm_vault::{SignatureVerifier, TerminalKey, Vault, VaultError, WrappedTmk};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde::de::DeserializeOwned;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::lookup_host, time::timeout};

/// Greatest answer: 2 lists of 2,000 BINs, 8 accounts with 64 fee rows, in JSON within JSON.
const MAX_ANSWER: usize = 512 * 1024;
/// Greatest reason of a rejection, in characters.
const MAX_REASON: usize = 200;

#[derive(Debug, thiserror::Error)]
pub enum TmsError {
    #[error("tms.url: https://host:port, without a path")]
    Url,
    #[error("tms: {0}")]
    Tls(#[from] TlsError),
    #[error("{path}: {cause}")]
    Pem { path: PathBuf, cause: rustls_pki_types::pem::Error },
    #[error("{0}: not a public key on P-256")]
    Kind(PathBuf),
}

/// Reason why a question came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {cause}")]
pub struct Trouble {
    pub problem: Problem,
    pub cause: String,
}
fn trouble(problem: Problem, cause: impl ToString) -> Trouble {
    Trouble { problem, cause: cause.to_string() }
}
impl From<Trouble> for Fault {
    fn from(t: Trouble) -> Self {
        Fault::Management { problem: t.problem, cause: t.cause }
    }
}

pub struct Tms {
    address: (String, u16),
    target: Target,
    timeout: Duration,
    believed: Mutex<Arc<Believed>>,
    vault: Arc<Vault>,
    /// The configuration as it is in the file: its accounts are not the acquirer's to change.
    config: Config,
    drivers: Drivers,
}

/// Whom the terminal management is known by, read from the files of `[tms]`.
pub struct Believed {
    tls: Tls,
    signing: SignatureVerifier,
}

impl Believed {
    pub fn read(tms: &TmsConfig) -> Result<Self, TmsError> {
        let (host, port) = tms.authority().ok_or(TmsError::Url)?;
        let tls = hostlink::connector(&pinned(tms), &format!("{host}:{port}"))?;
        Ok(Self { tls, signing: verifier(&tms.signing_key)? })
    }
}

fn pinned(tms: &TmsConfig) -> TlsConfig {
    TlsConfig { ca: tms.ca.clone(), server_name: tms.server_name.clone(), cert: None, key: None }
}

fn verifier(path: &PathBuf) -> Result<SignatureVerifier, TmsError> {
    let pem = |cause| TmsError::Pem { path: path.clone(), cause };
    let key = SubjectPublicKeyInfoDer::from_pem_file(path).map_err(pem)?;
    SignatureVerifier::from_spki(&key).ok_or_else(|| TmsError::Kind(path.clone()))
}

/// What is wrong with the files that `[tms]` names, each with its key.
pub fn broken(tms: &TmsConfig) -> Vec<(&'static str, String)> {
    // A bad address is a broken rule of the file itself.
    let Some((host, port)) = tms.authority() else { return Vec::new() };
    let tls = hostlink::broken_tls(&pinned(tms), &format!("{host}:{port}"));
    let mut broken: Vec<_> = tls.into_iter().map(|(key, e)| (key, e.to_string())).collect();
    broken.extend(verifier(&tms.signing_key).err().map(|e| ("signing_key", e.to_string())));
    broken
}

impl Tms {
    pub fn new(
        tms: &TmsConfig,
        config: &Config,
        drivers: Drivers,
        vault: Arc<Vault>,
    ) -> Result<Self, TmsError> {
        let (host, port) = tms.authority().ok_or(TmsError::Url)?;
        let believed = Mutex::new(Arc::new(Believed::read(tms)?));
        let timeout = Duration::from_millis(u64::from(tms.timeout_ms));
        Ok(Self {
            address: (host.to_owned(), port),
            target: Target::default(),
            timeout,
            believed,
            vault,
            config: config.clone(),
            drivers,
        })
    }

    /// The next question is asked of whom this is.
    pub fn set_believed(&self, believed: Believed) {
        *self.believed.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(believed);
    }
    fn believed(&self) -> Arc<Believed> {
        self.believed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The acquirer's offer, and the words as they were signed.
    pub async fn offer(&self) -> Result<(Offer, Signed), Trouble> {
        let (offer, terms) = self.signed::<Offer>(Method::GET, "/v1/offer", Vec::new()).await?;
        offer.check().map_err(|e| trouble(Problem::Malformed, e))?;
        Ok((offer, terms))
    }

    /// The answer to a question of the machine.
    pub async fn answer(&self, ask: TmsAsk) -> TmsEvent {
        let answer = match ask {
            TmsAsk::Submit(onboarding) => {
                self.submit(*onboarding).await.map(|s| TmsEvent::Status(Box::new(s)))
            }
            TmsAsk::Status { onboarding, revision } => {
                self.status(&onboarding, revision).await.map(|s| TmsEvent::Status(Box::new(s)))
            }
            TmsAsk::Grant { onboarding, draft } => {
                self.grant(&onboarding, &draft).await.map(|p| TmsEvent::Granted(Box::new(p)))
            }
        };
        answer.unwrap_or_else(|Trouble { problem, cause }| {
            tracing::warn!(%problem, "terminal management: {cause}");
            TmsEvent::Failed { problem, cause }
        })
    }

    pub async fn submit(&self, a: Onboarding) -> Result<OnboardingStatus, Trouble> {
        let key = self.key().await?;
        let accepted = a.accepted.ok_or_else(|| trouble(Problem::Malformed, "no offer was accepted"))?;
        let submission = Submission {
            onboarding: a.id.clone(),
            revision: a.revision,
            draft: a.draft,
            offer: accepted.hash,
            accepted_at: accepted.at,
            terminal: key.fingerprint.clone(),
            public_key: key.public,
        };
        let body = serde_json::to_vec(&submission).map_err(|e| trouble(Problem::Malformed, e))?;
        let (standing, _) = self.signed(Method::PUT, &path(&a.id), body).await?;
        ours(standing, &a.id, a.revision, &key.fingerprint)
    }

    pub async fn status(&self, onboarding: &str, revision: u32) -> Result<OnboardingStatus, Trouble> {
        let key = self.key().await?;
        let (standing, _) = self.signed(Method::GET, &path(onboarding), Vec::new()).await?;
        ours(standing, onboarding, revision, &key.fingerprint)
    }

    /// Parameters and keys. When it answers with parameters, the keys are in the vault, under accounts that
    /// nobody uses before the parameters are in the journal.
    pub async fn grant(&self, onboarding: &str, draft: &Draft) -> Result<Parameters, Trouble> {
        let key = self.key().await?;
        let nonce = name()?;
        let (grant, _) = self
            .signed::<Grant>(
                Method::GET,
                &format!("{}/parameters?nonce={nonce}", path(onboarding)),
                Vec::new(),
            )
            .await?;
        if (grant.onboarding.as_str(), &grant.terminal, &grant.nonce)
            != (onboarding, &key.fingerprint, &nonce)
        {
            return Err(trouble(
                Problem::NotForUs,
                "the parameters are of another onboarding, terminal or question",
            ));
        }
        let mut keys = Vec::with_capacity(grant.accounts.len());
        for granted in &grant.accounts {
            let id = &granted.account.id;
            let hex = |what: &str, text: &str| {
                hex::decode(text)
                    .map_err(|_| trouble(Problem::Malformed, format!("{id}: {what}: hex digits")))
            };
            keys.push(WrappedTmk {
                account: id.clone(),
                label: WrappedKey::label(onboarding, &key.fingerprint, &nonce, id),
                wrapped: hex("wrapped", &granted.key.wrapped)?,
                check_value: hex("check_value", &granted.key.check_value)?,
            });
        }
        let parameters = Parameters {
            accounts: grant.accounts.into_iter().map(|g| g.account).collect(),
            bins: grant.bins,
        };
        self.usable(draft, &parameters).map_err(|e| trouble(Problem::Malformed, e))?;
        let vault = self.vault.clone();
        blocking(move || vault.load_tmks_wrapped(&keys)).await?;
        Ok(parameters)
    }

    /// The terminal would start with them.
    fn usable(&self, draft: &Draft, parameters: &Parameters) -> Result<(), Fault> {
        parameters.check()?;
        for a in &parameters.accounts {
            if self.config.accounts.iter().any(|c| c.id == a.id) {
                return Err(Fault::Invalid {
                    field: "accounts.id".into(),
                    rule: format!("{} is in the terminal's own configuration", a.id),
                });
            }
            Profile::builtin(&a.profile)
                .map_err(|e| Fault::Invalid { field: "accounts.profile".into(), rule: e.to_string() })?;
        }
        let config = with_granted(&self.config, draft, parameters);
        config.check().and_then(|()| self.drivers.check(&config))
    }

    async fn key(&self) -> Result<TerminalKey, Trouble> {
        let vault = self.vault.clone();
        blocking(move || vault.terminal_key()).await
    }

    /// An answer whose signature is good.
    async fn signed<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(T, Signed), Trouble> {
        let believed = self.believed();
        let body = timeout(self.timeout, self.exchange(&believed.tls, method, path, body))
            .await
            .map_err(|_| trouble(Problem::Unreachable, "no answer in time"))??;
        let signed: Signed = serde_json::from_slice(&body).map_err(|e| trouble(Problem::Malformed, e))?;
        let signature = hex::decode(&signed.signature)
            .map_err(|_| trouble(Problem::Malformed, "signature: hex digits"))?;
        if !believed.signing.good(signed.text.as_bytes(), &signature) {
            return Err(trouble(
                Problem::Signature,
                "the answer is not signed by the key of tms.signing_key",
            ));
        }
        let value = serde_json::from_str(&signed.text).map_err(|e| trouble(Problem::Malformed, e))?;
        Ok((value, signed))
    }

    async fn exchange(&self, tls: &Tls, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, Trouble> {
        let unreachable = |e: &dyn std::error::Error| trouble(Problem::Unreachable, with_causes(e));
        let (host, port) = &self.address;
        let all = lookup_host((host.as_str(), *port)).await.map_err(|e| unreachable(&e))?.collect();
        let tcp = self.target.connect(all, self.timeout).await.map_err(|e| unreachable(&e))?;
        let peer = tcp.peer_addr();
        let tls = tls.connector.connect(tls.name.clone(), tcp).await.map_err(|e| {
            self.target.was_bad(peer);
            let unreachable = || trouble(Problem::Unreachable, with_causes(&e));
            hostlink::untrusted(&e).map_or_else(unreachable, |why| trouble(Problem::Untrusted, why))
        })?;
        let (mut send, connection) = http1::Builder::new()
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(|e| unreachable(&e))?;
        // Ends with the last of the request: `send` is dropped when the answer is in, or nobody waits for it.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, format!("{host}:{port}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| unreachable(&e))?;
        let response = send.send_request(request).await.map_err(|e| unreachable(&e))?;
        if response.status() != StatusCode::OK {
            return Err(trouble(Problem::Refused, format!("HTTP status {}", response.status().as_u16())));
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| {
            if e.is::<LengthLimitError>() {
                trouble(Problem::TooLong, format!("the answer is longer than {MAX_ANSWER} bytes"))
            } else {
                unreachable(e.as_ref())
            }
        })?;
        Ok(body.to_bytes())
    }
}

/// 16 random bytes in hex: names an onboarding, or a fetch.
pub fn name() -> Result<String, Trouble> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| trouble(Problem::Keys, e))?;
    Ok(hex::encode(bytes))
}

fn path(onboarding: &str) -> String {
    format!("/v1/onboardings/{onboarding}")
}

fn ours(
    s: OnboardingStatus,
    onboarding: &str,
    revision: u32,
    terminal: &str,
) -> Result<OnboardingStatus, Trouble> {
    if (s.onboarding.as_str(), s.revision, s.terminal.as_str()) != (onboarding, revision, terminal) {
        return Err(trouble(Problem::NotForUs, "the answer is of another onboarding, revision or terminal"));
    }
    if s.reason.as_ref().is_some_and(|r| r.chars().count() > MAX_REASON || r.chars().any(char::is_control)) {
        return Err(trouble(
            Problem::Malformed,
            "reason: up to 200 characters, none of them a control character",
        ));
    }
    Ok(s)
}

/// The vault writes files, and making a key takes seconds.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, Trouble> {
    let done =
        tokio::task::spawn_blocking(work).await.map_err(|_| trouble(Problem::Keys, "the vault failed"))?;
    done.map_err(|e| trouble(Problem::Keys, with_causes(&e)))
}
