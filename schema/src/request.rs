//! Requests: what an app asks for.
use crate::{
    account::AccountId,
    fault::Fault,
    host::EntryMode,
    kind::{AmountRule, CardRule, Kind, OriginalBy},
    money::{Currency, Money},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Identity of a request, for ever: the app (mapped from the caller by config) and the app's own id. The same
/// key always meets the same transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RequestKey {
    pub app: String,
    pub id: String,
}
impl RequestKey {
    /// Checks both parts: `app` 1 to 32 of `a-z 0-9 - _`; `id` 1 to 64 of `A-Z a-z 0-9 - _ .` The fault names
    /// the part.
    pub fn new(app: &str, id: &str) -> Result<Self, Fault> {
        crate::account::AccountId::new(app)
            .map_err(|_| Fault::invalid("app", "1 to 32 characters of a-z 0-9 - _"))?;
        let ok = (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
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

/// Name of an original. Dates are MMDD in the host's time zone (F13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Original {
    /// Request id of the original, of the same app.
    Id(String),
    /// RRN 检索参考号: 12 characters (F37). A refund gives the original's date with it.
    Rrn { rrn: String, date: Option<String> },
    /// STAN 凭证号 in the open batch.
    Stan(crate::account::Stan),
    /// Authorisation code 授权码 of a pre-authorisation (F38): 6 characters.
    AuthCode { code: String, date: String },
}

/// Request as the core runs it. In JSON and on D-Bus (`a{sv}`) it is a [`RequestWire`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RequestWire", into = "RequestWire")]
pub struct Request {
    pub id: String,
    pub kind: Kind,
    pub amount: Option<Money>,
    /// Account; needed for messages of the terminal itself (sign-in, echo ...) when there are several; else
    /// routing decides.
    pub account: Option<AccountId>,
    pub original: Option<Original>,
    /// Authorisation code of a voice sale, which the issuer gave by telephone: 6 letters or digits.
    pub auth_code: Option<String>,
    /// Entry modes that are offered, when the customer was asked already; empty: all that the kind allows.
    pub modes: Vec<EntryMode>,
    /// The cashier confirms on the terminal, or an agent does, before the card is asked for.
    pub confirm: bool,
    /// The request is cancelled when the caller leaves the bus before the frame left. Default true.
    pub cancel_on_caller_lost: bool,
    /// Note of the app, up to 40 characters, printed on the slip ("order 17").
    pub note: Option<String>,
}

/// Request as an app writes it: `{"id":"order-1","kind":"sale","amount":"12.34","currency":"CNY"}`. Which
/// fields a kind needs: docs/kinds.md.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestWire {
    /// Id that the app gives it: 1 to 64 of `A-Z a-z 0-9 - _ .`; the same id is the same request for ever.
    pub id: String,
    /// Kind: `sale`, `void` ...
    pub kind: String,
    /// Amount as a decimal text without sign: `12.34`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// ISO 4217 alphabetic code; goes with `amount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Account; needed for messages of the terminal itself when there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Request id of the original, of the same app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_id: Option<String>,
    /// RRN of the original (F37), 12 letters or digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_rrn: Option<String>,
    /// STAN of the original in the open batch (F11), 1 to 999999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_stan: Option<u32>,
    /// Date of the original in the host's time zone (F13), MMDD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_date: Option<String>,
    /// Authorisation code of a pre-authorisation (F38), 6 letters or digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_auth_code: Option<String>,
    /// Authorisation code of a voice sale, which the issuer gave by telephone: 6 letters or digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_code: Option<String>,
    /// Method that the customer has chosen already: `card` or `code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The cashier confirms before the card is asked for. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<bool>,
    /// The request is cancelled when the caller leaves the bus before the frame left. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_on_caller_lost: Option<bool>,
    /// Note that is printed on the slip, up to 40 printable characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl TryFrom<RequestWire> for Request {
    type Error = Fault;
    fn try_from(w: RequestWire) -> Result<Self, Fault> {
        RequestKey::new("app", &w.id)?;
        let kind = Kind::named(&w.kind)
            .ok_or_else(|| Fault::invalid("kind", &format!("one of {}", Kind::names())))?;
        let row = kind.row();
        let amount = match (w.amount, w.currency) {
            (Some(a), Some(c)) => {
                Some(c.parse::<Currency>().and_then(|c| Money::parse(&a, c)).map_err(Fault::from)?)
            }
            (None, None) => None,
            (Some(_), None) => return Err(Fault::invalid("currency", "needed with an amount")),
            (None, Some(_)) => return Err(Fault::invalid("amount", "needed with a currency")),
        };
        match (row.amount, &amount) {
            (AmountRule::Needed, None) => return Err(Fault::invalid("amount", "needed for this kind")),
            (AmountRule::None, Some(_)) => return Err(Fault::invalid("amount", "not allowed for this kind")),
            (AmountRule::Needed | AmountRule::Optional, Some(m)) if m.minor() == 0 => {
                return Err(Fault::invalid("amount", "more than zero"));
            }
            (AmountRule::Needed | AmountRule::Optional, Some(_))
            | (AmountRule::None | AmountRule::Optional, None) => {}
        }
        let named = Named {
            id: w.original_id,
            rrn: w.original_rrn,
            stan: w.original_stan,
            auth_code: w.original_auth_code,
            date: w.original_date,
        };
        let original = named.original(row.original)?;
        match (&w.auth_code, row.voice) {
            (Some(code), true) if !is_auth_code(code) => {
                return Err(Fault::invalid("auth_code", "6 letters or digits (F38)"));
            }
            (None, true) => {
                return Err(Fault::invalid(
                    "auth_code",
                    "needed: the code that the issuer gave by telephone",
                ));
            }
            (Some(_), false) => return Err(Fault::invalid("auth_code", "not allowed for this kind")),
            (Some(_), true) | (None, false) => {}
        }
        let modes = match w.method.as_deref() {
            None => Vec::new(),
            Some("card") if row.card == CardRule::Needed => EntryMode::of_cards(true),
            Some("code") if row.code => EntryMode::of_cards(false),
            Some("card" | "code") => return Err(Fault::invalid("method", "not offered by this kind")),
            Some(_) => return Err(Fault::invalid("method", "card or code")),
        };
        let account = w
            .account
            .map(|a| AccountId::new(&a))
            .transpose()
            .map_err(|_| Fault::invalid("account", "1 to 32 characters of a-z 0-9 - _"))?;
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
            auth_code: w.auth_code,
            modes,
            confirm: w.confirm.unwrap_or(false),
            cancel_on_caller_lost: w.cancel_on_caller_lost.unwrap_or(true),
            note: w.note,
        })
    }
}

/// Fields of a request that name its original, as they came.
struct Named {
    id: Option<String>,
    rrn: Option<String>,
    stan: Option<u32>,
    auth_code: Option<String>,
    date: Option<String>,
}

impl Named {
    /// Original by the rule of the kind: exactly one name, and the date where that name needs one.
    fn original(self, by: OriginalBy) -> Result<Option<Original>, Fault> {
        let refuse = |field: &str, rule: &str| Err(Fault::invalid(field, rule));
        let Named { id, rrn, stan, auth_code, date } = self;
        let given = [id.is_some(), rrn.is_some(), stan.is_some(), auth_code.is_some()];
        let (allowed, rule) = match by {
            OriginalBy::None => ([false; 4], "no original for this kind"),
            OriginalBy::OpenBatch => {
                ([true, true, true, false], "exactly one of original_id, original_rrn, original_stan")
            }
            OriginalBy::AnyBatch => {
                ([true, true, false, false], "exactly one of original_id, original_rrn (with original_date)")
            }
            OriginalBy::Authorisation => (
                [true, false, false, true],
                "exactly one of original_id, original_auth_code (with original_date)",
            ),
        };
        let wrong = given.iter().zip(allowed).any(|(given, allowed)| *given && !allowed);
        if wrong || given.iter().filter(|g| **g).count() != usize::from(by != OriginalBy::None) {
            return refuse("original_id", rule);
        }
        if date.as_deref().is_some_and(|d| !is_date(d)) {
            return refuse("original_date", "a date MMDD (F13)");
        }
        if let Some(id) = &id {
            RequestKey::new("app", id)
                .map_err(|_| Fault::invalid("original_id", "1 to 64 characters of A-Z a-z 0-9 - _ ."))?;
        }
        if let Some(rrn) = &rrn
            && (rrn.len() != 12 || !rrn.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            return refuse("original_rrn", "12 letters or digits (F37)");
        }
        if auth_code.as_deref().is_some_and(|c| !is_auth_code(c)) {
            return refuse("original_auth_code", "6 letters or digits (F38)");
        }
        let stan = stan
            .map(|n| {
                crate::account::Stan::new(n)
                    .ok_or_else(|| Fault::invalid("original_stan", "1 to 999999 (F11)"))
            })
            .transpose()?;
        let original = match (id, rrn, stan, auth_code, date) {
            (Some(id), _, _, _, None) => Original::Id(id),
            (_, Some(rrn), _, _, None) if by == OriginalBy::OpenBatch => Original::Rrn { rrn, date: None },
            (_, Some(rrn), _, _, Some(date)) if by == OriginalBy::AnyBatch => {
                Original::Rrn { rrn, date: Some(date) }
            }
            (_, _, Some(stan), _, None) => Original::Stan(stan),
            (_, _, _, Some(code), Some(date)) => Original::AuthCode { code, date },
            (_, Some(_), _, _, None) | (_, _, _, Some(_), None) => {
                return refuse("original_date", "needed: the original's date MMDD");
            }
            (None, None, None, None, None) => return Ok(None),
            (_, _, _, _, Some(_)) => {
                return refuse("original_date", "only with original_rrn of a refund or original_auth_code");
            }
        };
        Ok(Some(original))
    }
}

fn is_auth_code(code: &str) -> bool {
    code.len() == 6 && code.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Tells whether it is a date MMDD; February has 29 days, as the year is not known.
fn is_date(text: &str) -> bool {
    let two = |at: std::ops::Range<usize>| text.get(at).and_then(|t| t.parse::<u8>().ok());
    let days = match two(0..2) {
        Some(2) => 29,
        Some(4 | 6 | 9 | 11) => 30,
        Some(1..=12) => 31,
        Some(_) | None => return false,
    };
    text.len() == 4
        && text.bytes().all(|b| b.is_ascii_digit())
        && two(2..4).is_some_and(|d| (1..=days).contains(&d))
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
            auth_code: r.auth_code,
            method: r.modes.first().map(|m| if m.row().card { "card" } else { "code" }.into()),
            ..RequestWire::default()
        };
        match r.original {
            Some(Original::Id(id)) => w.original_id = Some(id),
            Some(Original::Rrn { rrn, date }) => (w.original_rrn, w.original_date) = (Some(rrn), date),
            Some(Original::Stan(s)) => w.original_stan = Some(s.get()),
            Some(Original::AuthCode { code, date }) => {
                (w.original_auth_code, w.original_date) = (Some(code), Some(date))
            }
            None => {}
        }
        w
    }
}

impl Request {
    /// Hash of the content: SHA-256 over its canonical JSON, in hex. The same key with another hash is a
    /// fault.
    pub fn content_hash(&self) -> String {
        let json = serde_json::to_vec(&RequestWire::from(self.clone())).unwrap_or_default();
        hex::encode(Sha256::digest(json))
    }
}
