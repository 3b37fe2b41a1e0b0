//! Injected trouble: what goes wrong with the next messages, on demand.
use crate::code::Code;
use payterm_schema::Kind;
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Mishap: one kind of trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Mishap {
    /// The request waits this long before it is processed.
    Delay { ms: u32 },
    /// The request is never processed, nothing is answered.
    DropRequest,
    /// The request is processed, nothing is answered.
    DropReply,
    /// The reply is sent twice.
    DuplicateReply,
    /// One bit in the reply's body is inverted after the MAC was made.
    CorruptReply,
    /// The reply's F64 is wrong.
    BadMac,
    /// The reply has no F64.
    NoMac,
    /// Half of the reply's bytes, then the connection is closed.
    CloseMidFrame,
    /// Not processed, answered 91.
    Busy,
    /// The reply carries another F11.
    WrongStan,
    /// Processed at once, answered this much later on the same connection; others on it are served meanwhile.
    LateReply { ms: u32 },
    /// Refused with this F39, nothing is posted. Not 00.
    Code { code: Code },
    /// Processing requirement digit in the reply's header, 0 to 9.
    Requirement { digit: u8 },
    /// The totals of a settlement do not balance, whatever the books say.
    NotBalanced,
    /// They could not be compared.
    SettleError,
    /// They balance, with another sum.
    BadTotals,
    /// A list of a download says that more follows, whatever was received.
    EndlessList,
    /// The checksum of a CA key is zeros.
    ZeroChecksum,
    /// The content of a download loses its last byte.
    TruncatedTlv,
    /// An entry of a download is not there any more.
    NoEntry,
    /// The end of a download is not answered.
    NoEnd,
}

impl Mishap {
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Mishap::Delay { ms } | Mishap::LateReply { ms } if *ms > 600_000 => Err("ms: at most 600000"),
            Mishap::Code { code } if code.0 == "00" => Err("code: not 00"),
            Mishap::Requirement { digit } if *digit > 9 => Err("digit: 0 to 9"),
            Mishap::Delay { .. }
            | Mishap::DropRequest
            | Mishap::DropReply
            | Mishap::DuplicateReply
            | Mishap::CorruptReply
            | Mishap::BadMac
            | Mishap::NoMac
            | Mishap::CloseMidFrame
            | Mishap::Busy
            | Mishap::WrongStan
            | Mishap::LateReply { .. }
            | Mishap::Code { .. }
            | Mishap::Requirement { .. }
            | Mishap::NotBalanced
            | Mishap::SettleError
            | Mishap::BadTotals
            | Mishap::EndlessList
            | Mishap::ZeroChecksum
            | Mishap::TruncatedTlv
            | Mishap::NoEntry
            | Mishap::NoEnd => Ok(()),
        }
    }
}

/// A mishap for the next `next` messages that fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub mishap: Mishap,
    #[serde(default = "one")]
    pub next: u32,
    /// Only messages of this kind (its request, not its reversal).
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Only messages with this MTI, `0400`.
    #[serde(default)]
    pub mti: Option<String>,
    /// Only this account.
    #[serde(default)]
    pub account: Option<String>,
}
fn one() -> u32 {
    1
}
impl Plan {
    pub fn new(mishap: Mishap) -> Self {
        Self { mishap, next: 1, kind: None, mti: None, account: None }
    }
}

/// Greatest number of mishaps in the queue.
pub const MAX_PLANS: usize = 1_000;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MishapError {
    #[error("mishap: {0}")]
    Invalid(&'static str),
    #[error("mishap: at most {MAX_PLANS} may wait")]
    Full,
}

/// The waiting mishaps; shared by connections and the control socket.
#[derive(Clone, Debug, Default)]
pub struct Mishaps(Arc<Mutex<VecDeque<Plan>>>);

impl Mishaps {
    pub fn add(&self, plan: Plan) -> Result<(), MishapError> {
        plan.mishap.check().map_err(MishapError::Invalid)?;
        if plan.next == 0 {
            return Err(MishapError::Invalid("next: at least 1"));
        }
        if plan.mti.as_deref().is_some_and(|m| m.len() != 4 || !m.bytes().all(|b| b.is_ascii_digit())) {
            return Err(MishapError::Invalid("mti: four digits"));
        }
        let mut q = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if q.len() >= MAX_PLANS {
            return Err(MishapError::Full);
        }
        q.push_back(plan);
        Ok(())
    }
    /// Plants a mishap for the next message, of any kind.
    pub fn next(&self, mishap: Mishap) -> Result<(), MishapError> {
        self.add(Plan::new(mishap))
    }
    /// Plants a mishap for the next messages with this MTI.
    pub fn next_mti(&self, mishap: Mishap, mti: &str, next: u32) -> Result<(), MishapError> {
        self.add(Plan { mti: Some(mti.into()), next, ..Plan::new(mishap) })
    }
    pub fn list(&self) -> Vec<Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
    /// Forgets all that wait; answers how many there were.
    pub fn clear(&self) -> usize {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).len()
    }
    /// Takes what befalls this message: the first plan that fits.
    pub fn take(&self, account: Option<&str>, kind: Option<Kind>, mti: &str) -> Option<Mishap> {
        let mut q = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let i = q.iter().position(|p| {
            p.kind.is_none_or(|k| Some(k) == kind)
                && p.mti.as_deref().is_none_or(|m| m == mti)
                && p.account.as_deref().is_none_or(|a| Some(a) == account)
        })?;
        let plan = q.get_mut(i)?;
        let mishap = plan.mishap.clone();
        plan.next -= 1;
        if plan.next == 0 {
            q.remove(i);
        }
        Some(mishap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_plan_is_for_the_next_messages_that_fit() {
        let m = Mishaps::default();
        m.next_mti(Mishap::DropReply, "0400", 2).unwrap();
        m.add(Plan { kind: Some(Kind::Sale), ..Plan::new(Mishap::Busy) }).unwrap();
        assert_eq!(m.take(None, Some(Kind::Balance), "0200"), None);
        assert_eq!(m.take(None, Some(Kind::Sale), "0200"), Some(Mishap::Busy));
        assert_eq!(m.take(None, Some(Kind::Sale), "0200"), None);
        assert_eq!(m.take(None, None, "0400"), Some(Mishap::DropReply));
        assert_eq!(m.take(None, None, "0400"), Some(Mishap::DropReply));
        assert_eq!(m.take(None, None, "0400"), None);
        assert!(m.list().is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        let m = Mishaps::default();
        let code = |c: &str| Mishap::Code { code: c.parse().unwrap() };
        assert_eq!(m.next(code("00")), Err(MishapError::Invalid("code: not 00")));
        assert_eq!(m.next(Mishap::Requirement { digit: 10 }), Err(MishapError::Invalid("digit: 0 to 9")));
        assert_eq!(m.next_mti(Mishap::Busy, "04", 1), Err(MishapError::Invalid("mti: four digits")));
        assert_eq!(m.next_mti(Mishap::Busy, "0400", 0), Err(MishapError::Invalid("next: at least 1")));
        assert!(
            serde_json::from_str::<Plan>(r#"{"mishap":{"type":"late-reply","ms":5},"mti":"0200"}"#).is_ok()
        );
        assert!(serde_json::from_str::<Plan>(r#"{"mishap":{"type":"later"}}"#).is_err());
    }
}
