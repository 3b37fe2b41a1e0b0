//! What an app asks for.
use crate::{
    account::AccountId,
    fault::Fault,
    kind::{Kind, OriginalBy},
    money::{Currency, Money},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The identity of a request, for ever: the app (mapped from the caller by config) and the app's own id.
/// The same key always meets the same transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RequestKey {
    pub app: String,
    pub id: String,
}
impl RequestKey {
    /// `app`: 1 to 32 of `a-z 0-9 - _`; `id`: 1 to 64 of `A-Z a-z 0-9 - _ .`
    pub fn new(app: &str, id: &str) -> Result<Self, Fault> {
        crate::account::AccountId::new(app).map_err(|_| Fault::invalid("app", "1 to 32 characters of a-z 0-9 - _"))?;
        let ok = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !ok {
            return Err(Fault::invalid("id", "1 to 64 characters of A-Z a-z 0-9 - _ ."));
        }
        Ok(Self { app: app.into(), id: id.into() })
    }
}
impl std::fmt::Display for RequestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.app, self.id)
    }
}

/// How the original of a void is named; exactly one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Original {
    /// The original's request id (same app).
    Id(String),
    /// RRN 检索参考号: 12 characters.
    Rrn(String),
    /// STAN 流水号 in the open batch.
    Stan(crate::account::Stan),
}

/// A request as the core runs it. On the wire (JSON, D-Bus `a{sv}`) it is [`RequestWire`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RequestWire", into = "RequestWire")]
pub struct Request {
    pub id: String,
    pub kind: Kind,
    pub amount: Option<Money>,
    /// Needed for sign-in, sign-off and echo when there are several accounts; else routing decides.
    pub account: Option<AccountId>,
    pub original: Option<Original>,
    /// The cashier must confirm on the terminal or through an agent before the card is asked for.
    pub confirm: bool,
    /// What happens when the caller leaves the bus before the frame left: true = cancelled (default).
    pub cancel_on_caller_lost: bool,
    /// Free text of the app, up to 40 characters, printed on the slip ("order 17").
    pub note: Option<String>,
}

/// The request as an app writes it: `{"id":"order-1","kind":"sale","amount":"12.34","currency":"CNY"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestWire {
    pub id: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_rrn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_stan: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_on_caller_lost: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl TryFrom<RequestWire> for Request {
    type Error = Fault;
    fn try_from(w: RequestWire) -> Result<Self, Fault> {
        RequestKey::new("app", &w.id)?;
        let kind =
            Kind::ALL.into_iter().find(|k| k.name() == w.kind).ok_or_else(|| Fault::invalid("kind", "one of sale, void, balance, sign_in, sign_off, echo"))?;
        let row = kind.row();
        let amount = match (w.amount, w.currency) {
            (Some(a), Some(c)) => Some(c.parse::<Currency>().and_then(|c| Money::parse(&a, c)).map_err(Fault::from)?),
            (None, None) => None,
            (Some(_), None) => return Err(Fault::invalid("currency", "needed with an amount")),
            (None, Some(_)) => return Err(Fault::invalid("amount", "needed with a currency")),
        };
        match (row.amount, &amount) {
            (true, None) => return Err(Fault::invalid("amount", "needed for this kind")),
            (false, Some(_)) => return Err(Fault::invalid("amount", "not allowed for this kind")),
            (true, Some(m)) if m.minor() == 0 => return Err(Fault::invalid("amount", "more than zero")),
            (true, Some(_)) | (false, None) => {}
        }
        let mut originals = Vec::new();
        if let Some(id) = w.original_id {
            RequestKey::new("app", &id).map_err(|_| Fault::invalid("original_id", "1 to 64 characters of A-Z a-z 0-9 - _ ."))?;
            originals.push(Original::Id(id));
        }
        if let Some(rrn) = w.original_rrn {
            if rrn.len() != 12 || !rrn.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(Fault::invalid("original_rrn", "12 letters or digits (F37)"));
            }
            originals.push(Original::Rrn(rrn));
        }
        if let Some(n) = w.original_stan {
            originals.push(Original::Stan(crate::account::Stan::new(n).ok_or_else(|| Fault::invalid("original_stan", "1 to 999999 (F11)"))?));
        }
        let original = match (row.original, originals.len()) {
            (OriginalBy::None, 0) => None,
            (OriginalBy::None, _) => return Err(Fault::invalid("original_id", "no original for this kind")),
            (OriginalBy::OpenBatch, 1) => originals.pop(),
            (OriginalBy::OpenBatch, _) => return Err(Fault::invalid("original_id", "exactly one of original_id, original_rrn, original_stan")),
        };
        let account = w.account.map(|a| AccountId::new(&a)).transpose().map_err(|_| Fault::invalid("account", "1 to 32 characters of a-z 0-9 - _"))?;
        if let Some(n) = &w.note
            && (n.chars().count() > 40 || n.chars().any(char::is_control))
        {
            return Err(Fault::invalid("note", "up to 40 printable characters"));
        }
        Ok(Request {
            id: w.id,
            kind,
            amount,
            account,
            original,
            confirm: w.confirm.unwrap_or(false),
            cancel_on_caller_lost: w.cancel_on_caller_lost.unwrap_or(true),
            note: w.note,
        })
    }
}

impl From<Request> for RequestWire {
    fn from(r: Request) -> Self {
        let mut w = RequestWire {
            id: r.id,
            kind: r.kind.name().into(),
            amount: r.amount.map(Money::value),
            currency: r.amount.map(|m| m.currency.code().into()),
            account: r.account.map(|a| a.as_str().into()),
            confirm: r.confirm.then_some(true),
            cancel_on_caller_lost: (!r.cancel_on_caller_lost).then_some(false),
            note: r.note,
            ..RequestWire::default()
        };
        match r.original {
            Some(Original::Id(id)) => w.original_id = Some(id),
            Some(Original::Rrn(rrn)) => w.original_rrn = Some(rrn),
            Some(Original::Stan(s)) => w.original_stan = Some(s.get()),
            None => {}
        }
        w
    }
}

impl Request {
    /// SHA-256 (hex) over the canonical JSON of the request: the same key with another hash is a fault.
    pub fn content_hash(&self) -> String {
        let json = serde_json::to_vec(&RequestWire::from(self.clone())).unwrap_or_default();
        hex::encode(Sha256::digest(json))
    }
}
