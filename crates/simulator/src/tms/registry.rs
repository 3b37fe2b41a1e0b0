//! The registry that judges onboardings. What it holds is one file, written whole after each change.
use super::write;
use crate::world::{Account, World};
use payterm_primitives::{DesKey, PrimitiveError, signature::Signer, wrap::wrap};
use payterm_schema::{
    Time,
    onboarding::{
        AccountParameters, BinLists, FeeRow, Grant, GrantedAccount, Offer, OnboardingStatus, Product,
        Settlement, Signed, Submission, Verdict, WrappedKey,
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Onboardings that it holds. 1,000: a test bench.
const MOST: usize = 1_000;
const REASON: usize = 200;

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: String },
    #[error("onboarding {0}: not here")]
    NotFound(String),
    #[error("onboarding {id}: {rule}")]
    Refused { id: String, rule: String },
    #[error("no signature could be made")]
    Sign,
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Key(#[from] PrimitiveError),
}

/// An onboarding as the acquirer has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    pub submission: Submission,
    pub verdict: Verdict,
    pub reason: Option<String>,
    /// The world's account that it was given.
    pub account: Option<String>,
    pub received: Time,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// `account` of the world; without it the first that no other onboarding has.
    Approve {
        account: Option<String>,
    },
    Reject {
        reason: String,
    },
}

pub struct Registry {
    world: Arc<World>,
    signer: Signer,
    file: PathBuf,
    /// Addresses of the profiles' hosts.
    hosts: BTreeMap<String, SocketAddr>,
    all: BTreeMap<String, Held>,
    offer: Signed,
}

impl Registry {
    /// `hosts`: where each profile's host listens, for the accounts that are given.
    pub fn open(
        dir: &Path,
        world: Arc<World>,
        signer: Signer,
        hosts: BTreeMap<String, SocketAddr>,
    ) -> Result<Self, RegistryError> {
        let file = dir.join("onboardings.json");
        let all = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(RegistryError::File { path: file, cause: e.to_string() }),
        };
        let offer = sign(&signer, &offer(&world))?;
        Ok(Self { world, signer, file, hosts, all, offer })
    }

    pub fn offer(&self) -> &Signed {
        &self.offer
    }
    pub fn all(&self) -> impl Iterator<Item = &Held> {
        self.all.values()
    }

    /// Takes an onboarding. The same id, revision and content again is the same one; a rejected one may come
    /// again as its next revision.
    pub fn submit(&mut self, s: Submission, now: Time) -> Result<Signed, RegistryError> {
        let id = s.onboarding.clone();
        let refuse = |rule: &str| Err(RegistryError::Refused { id: id.clone(), rule: rule.into() });
        if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return refuse("the id must be 32 hex digits");
        }
        match self.all.get(&id) {
            Some(held) if held.submission.terminal != s.terminal => {
                return refuse("it belongs to another terminal");
            }
            Some(held) if held.submission == s => return self.status(&id),
            Some(held) if held.submission.revision == s.revision => {
                return refuse("this revision came with another content");
            }
            Some(held) if held.verdict != Verdict::Rejected || s.revision != held.submission.revision + 1 => {
                return refuse("only a rejected onboarding can be revised");
            }
            Some(_) => {}
            None if s.revision == 0 || self.all.len() >= MOST => {
                return refuse("no more onboardings are taken");
            }
            None => {}
        }
        let der = hex::decode(&s.public_key).unwrap_or_default();
        if hex::encode(Sha256::digest(&der)) != s.terminal || wrap(&der, "probe", &[0; 16]).is_err() {
            return refuse("the public key is malformed or not the terminal's");
        }
        let rule = s.draft.check().err().map(|e| e.to_string());
        let rule = rule.or_else(|| {
            (s.offer != self.offer.hash()).then(|| {
                "the offer that was accepted is not the one of today: read and accept it anew".into()
            })
        });
        let verdict = if rule.is_some() { Verdict::Rejected } else { Verdict::InReview };
        self.all
            .insert(id.clone(), Held { submission: s, verdict, reason: rule, account: None, received: now });
        self.save()?;
        self.status(&id)
    }

    pub fn status(&self, id: &str) -> Result<Signed, RegistryError> {
        let held = self.held(id)?;
        let s = &held.submission;
        let standing = OnboardingStatus {
            onboarding: id.into(),
            revision: s.revision,
            terminal: s.terminal.clone(),
            verdict: held.verdict,
            reason: held.reason.clone(),
        };
        sign(&self.signer, &standing)
    }

    /// Parameters and master key of an approved onboarding, for this question alone.
    pub fn grant(&self, id: &str, nonce: &str) -> Result<Signed, RegistryError> {
        let held = self.held(id)?;
        let refuse = |rule: &str| RegistryError::Refused { id: id.into(), rule: rule.into() };
        if nonce.len() != 32 || !nonce.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(refuse("the nonce must be 32 hex digits"));
        }
        let account = held
            .account
            .as_deref()
            .filter(|_| held.verdict == Verdict::Approved)
            .and_then(|a| self.world.account(a));
        let account = account.ok_or_else(|| refuse("not approved"))?;
        let s = &held.submission;
        let public = hex::decode(&s.public_key).map_err(|_| refuse("its public key is malformed"))?;
        let label = WrappedKey::label(id, &s.terminal, nonce, &account.name);
        let tmk = account.tmk.reveal();
        let check_value = hex::encode_upper(&DesKey::new(tmk)?.kcv()[..3]);
        let key = WrappedKey { wrapped: hex::encode(wrap(&public, &label, tmk)?), check_value };
        let host = self.hosts.get(&account.profile).ok_or_else(|| refuse("its host does not listen"))?;
        let parameters = AccountParameters {
            id: account.name.clone(),
            profile: account.profile.clone(),
            mid: account.mid,
            tid: account.tid,
            currency: account.currency,
            address: host.to_string(),
            nii: None,
            tls: false,
            line: None,
            amount_limit: None,
            settlement: Settlement::T1,
            fees: fees(account),
        };
        let grant = Grant {
            onboarding: id.into(),
            terminal: s.terminal.clone(),
            nonce: nonce.into(),
            accounts: vec![GrantedAccount { account: parameters, key }],
            bins: BinLists { no_pin: vec!["621234".into()], blocked: vec!["400000999".into()] },
        };
        sign(&self.signer, &grant)
    }

    /// A person's word.
    pub fn decide(&mut self, id: &str, decision: Decision) -> Result<Held, RegistryError> {
        let refuse = |rule: String| RegistryError::Refused { id: id.into(), rule };
        let held = self.held(id)?;
        if held.verdict != Verdict::InReview {
            return Err(refuse("is not in review".into()));
        }
        let (verdict, reason, account) = match decision {
            Decision::Approve { account } => {
                let taken =
                    |a: &Account| self.all.values().any(|h| h.account.as_deref() == Some(a.name.as_str()));
                let free =
                    |a: &&Account| !taken(a) && account.as_deref().is_none_or(|name| name == a.name.as_str());
                // A terminal that applies is a new one: the world's later accounts first, the first is the
                // demo's own.
                let given =
                    self.world.accounts.iter().filter(|a| same_offer(&self.world, a)).rev().find(free);
                let given = given.ok_or_else(|| refuse("no account is free for it".into()))?;
                (Verdict::Approved, None, Some(given.name.to_string()))
            }
            Decision::Reject { reason }
                if (1..=REASON).contains(&reason.chars().count())
                    && !reason.chars().any(char::is_control) =>
            {
                (Verdict::Rejected, Some(reason), None)
            }
            Decision::Reject { .. } => return Err(refuse(format!("a reason has 1 to {REASON} characters"))),
        };
        let held = self.all.get_mut(id).ok_or_else(|| RegistryError::NotFound(id.into()))?;
        (held.verdict, held.reason, held.account) = (verdict, reason, account);
        let done = held.clone();
        self.save()?;
        Ok(done)
    }

    fn held(&self, id: &str) -> Result<&Held, RegistryError> {
        self.all.get(id).ok_or_else(|| RegistryError::NotFound(id.chars().take(40).collect()))
    }

    fn save(&self) -> Result<(), RegistryError> {
        write(&self.file, 0o600, &serde_json::to_vec_pretty(&self.all)?)
            .map_err(|e| RegistryError::File { path: self.file.clone(), cause: e.to_string() })
    }
}

/// The offer is of one account's kind: that of the world's first.
fn same_offer(world: &World, a: &Account) -> bool {
    world.accounts.first().is_some_and(|first| {
        first.profile == a.profile
            && first.currency == a.currency
            && first.fee_bp == a.fee_bp
            && first.fee_max == a.fee_max
    })
}

/// The fee table of the offer: the one by which the acquirer books.
fn fees(account: &Account) -> Vec<FeeRow> {
    let max = account
        .fee_max
        .as_deref()
        .and_then(|t| payterm_schema::Money::parse(t, account.currency).ok())
        .map(Into::into);
    let basis_points = account.fee_bp;
    let row = |product| FeeRow { product, wallet: None, scheme: None, basis_points, min: None, max };
    vec![row(Product::Card), row(Product::Scan)]
}

fn offer(world: &World) -> Offer {
    let first = world.accounts.first();
    let text = "TEST DATA. 收单服务协议(测试):商户同意按上列费率及结算周期结算。The merchant agrees to the fees and the settlement \
    cycle above. No real money.";
    Offer {
        id: "demo-2026".into(),
        products: vec![Product::Card, Product::Scan],
        currency: first.map_or(payterm_schema::Currency::CNY, |a| a.currency),
        fees: first.map(fees).unwrap_or_default(),
        settlement: Settlement::T1,
        text: text.into(),
    }
}

fn sign(signer: &Signer, value: &impl Serialize) -> Result<Signed, RegistryError> {
    let text = serde_json::to_string(value)?;
    let signature = hex::encode(signer.sign(text.as_bytes()).ok_or(RegistryError::Sign)?);
    Ok(Signed { text, signature })
}
