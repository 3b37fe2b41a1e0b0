//! Who calls, and all that a caller may do and see. Every face asks here.
use crate::{
    config::CallerConfig,
    fault::Fault,
    kind::{AmountRule, Kind},
    notice::{Notice, Screen},
    request::{Request, RequestKey},
    terminal::Filter,
};

/// App of what the terminal asks of itself; no caller has this name.
pub const TERMINAL: &str = "terminal";

/// Who calls, as the face found out (bus credentials mapped by the config).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// App name; the first half of every request key.
    pub app: String,
    pub uid: u32,
    /// Sees every app's transactions, obligations, and may release papers and retry obligations.
    pub manager: bool,
    /// Kinds it may start; empty = all.
    pub kinds: Vec<Kind>,
    /// Greatest amount per request in minor units of the request's currency.
    pub limit: Option<u64>,
}

impl Caller {
    /// Caller that a row of the configuration describes.
    pub fn of(row: &CallerConfig) -> Self {
        Caller {
            app: row.app.clone(),
            uid: row.uid,
            manager: row.manager,
            kinds: row.kinds.clone(),
            limit: row.limit,
        }
    }
    /// Part of payterm itself, which sees everything and passes nothing on that its own caller may not see.
    pub fn payterm() -> Self {
        Caller { app: "payterm".into(), uid: 0, manager: true, kinds: Vec::new(), limit: None }
    }

    /// Tells whether what belongs to this app is shown. To everybody else it does not exist.
    pub fn sees(&self, app: &str) -> bool {
        self.manager || self.app == app
    }

    /// Refuses everybody but managers.
    pub fn manage(&self) -> Result<&Self, Fault> {
        if self.manager { Ok(self) } else { Err(Fault::NotAllowed { rule: "managers only".into() }) }
    }

    /// Refuses a request that is not among the kinds or is above the limit.
    pub fn may_start(&self, request: &Request) -> Result<(), Fault> {
        let refused = |rule| Err(Fault::NotAllowed { rule });
        if !self.kinds.is_empty() && !self.kinds.contains(&request.kind) {
            return refused(format!("kind {} is not among the caller's kinds", request.kind.name()));
        }
        match (self.limit, request.amount) {
            (Some(limit), Some(m)) if m.minor() > limit => {
                refused(format!("amount above the caller's limit of {limit} minor units"))
            }
            (Some(_), None) if request.kind.row().amount == AmountRule::Optional => {
                refused("an amount is needed: the caller has a limit".into())
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// Checks a filter of the history and narrows it to what is the caller's own.
    pub fn own(&self, mut filter: Filter) -> Result<Filter, Fault> {
        filter.check()?;
        if !self.manager {
            if filter.app.as_deref().is_some_and(|app| app != self.app) {
                return Err(Fault::NotAllowed {
                    rule: "app: only managers see another app's transactions".into(),
                });
            }
            filter.app = Some(self.app.clone());
        }
        Ok(filter)
    }

    /// Tells whether this screen is shown: a page with another app's amount or card is not.
    pub fn sees_screen(&self, screen: &Screen, running: Option<&RequestKey>) -> bool {
        match screen {
            Screen::Idle | Screen::Trouble { .. } | Screen::SelfTest { .. } | Screen::Onboarding { .. } => {
                true
            }
            Screen::LogOn
            | Screen::OperatorNumber { .. }
            | Screen::Password { kind: None, amount: None, .. }
            | Screen::Locked { .. } => true,
            Screen::Result { outcome } => self.sees(&outcome.key.app),
            Screen::Confirm { .. }
            | Screen::ConfirmPartial { .. }
            | Screen::Present { .. }
            | Screen::Pin { .. }
            | Screen::Password { .. }
            | Screen::Wait { .. } => self.manager || running.is_some_and(|k| self.sees(&k.app)),
        }
    }

    /// Tells whether this notice is told; `running` is the request that runs.
    pub fn hears(&self, notice: &Notice, running: Option<&RequestKey>) -> bool {
        match notice {
            Notice::Started { key, .. } | Notice::Phase { key, .. } => self.sees(&key.app),
            Notice::Outcome { outcome } => self.sees(&outcome.key.app),
            Notice::Screen { screen } => self.sees_screen(screen, running),
            Notice::Paper { job } => self.manager || job.owner().is_some_and(|app| self.sees(app)),
            Notice::Obligation { .. } | Notice::Onboarding { .. } => self.manager,
            Notice::Device { .. }
            | Notice::Operators { .. }
            | Notice::Requirement { .. }
            | Notice::SelfTest { .. }
            | Notice::Language { .. }
            | Notice::Inhibited { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{Currency, Money};

    fn till() -> Caller {
        Caller { app: "till".into(), manager: false, ..Caller::payterm() }
    }
    fn request(kind: Kind, minor: Option<u64>) -> Request {
        Request {
            id: "a".into(),
            kind,
            amount: minor.and_then(|m| Money::new(m, Currency::CNY).ok()),
            account: None,
            original: None,
            auth_code: None,
            modes: Vec::new(),
            confirm: false,
            cancel_on_caller_lost: true,
            note: None,
        }
    }

    #[test]
    fn kinds_and_limit_bound_what_is_started() {
        let limited = Caller { kinds: vec![Kind::Sale, Kind::Refund], limit: Some(1000), ..till() };
        assert_eq!(limited.may_start(&request(Kind::Sale, Some(1000))), Ok(()));
        for (request, says) in
            [(request(Kind::Sale, Some(1001)), "limit of 1000"), (request(Kind::Echo, None), "kind echo")]
        {
            let Err(Fault::NotAllowed { rule }) = limited.may_start(&request) else { panic!("{request:?}") };
            assert!(rule.contains(says), "{rule}");
        }
        // Without an amount the original's is taken, however great.
        let optional: Vec<Kind> =
            Kind::ALL.into_iter().filter(|k| k.row().amount == AmountRule::Optional).collect();
        assert!(!optional.is_empty());
        for kind in optional {
            assert_eq!(till().may_start(&request(kind, None)), Ok(()));
            let limited = Caller { limit: Some(1000), ..till() };
            let refused = limited.may_start(&request(kind, None));
            assert!(
                matches!(refused, Err(Fault::NotAllowed { rule }) if rule.contains("an amount is needed"))
            );
        }
    }

    #[test]
    fn only_a_manager_looks_at_other_apps() {
        let other = Filter { app: Some("other".into()), ..Filter::default() };
        assert!(matches!(till().own(other.clone()), Err(Fault::NotAllowed { .. })));
        assert_eq!(till().own(Filter::default()).map(|f| f.app), Ok(Some("till".into())));
        assert_eq!(Caller::payterm().own(other.clone()), Ok(other));
        assert!(till().sees("till") && !till().sees("other") && Caller::payterm().sees("other"));
        assert!(till().manage().is_err() && Caller::payterm().manage().is_ok());
    }

    /// The supervisor's prompt says what is to be allowed: another app's amount is not for this one.
    #[test]
    fn an_approval_of_another_apps_payment_is_not_shown() {
        let prompt = |amount: Option<u64>| Screen::Password {
            operator: crate::operator::OperatorId::supervisor(),
            purpose: crate::operator::Purpose::Approve,
            kind: amount.map(|_| Kind::Refund),
            amount: amount.and_then(|m| Money::new(m, Currency::CNY).ok()),
            digits: 0,
            problem: None,
        };
        let (own, other) = (RequestKey::new("till", "1").unwrap(), RequestKey::new("kiosk", "1").unwrap());
        assert!(till().sees_screen(&prompt(Some(1_234)), Some(&own)));
        assert!(!till().sees_screen(&prompt(Some(1_234)), Some(&other)));
        assert!(!till().sees_screen(&prompt(Some(1_234)), None), "a payment that is written off");
        assert!(till().sees_screen(&prompt(None), None), "who logs on is no secret");
    }
}
