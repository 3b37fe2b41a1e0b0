//! Callers: what a program that calls the terminal may do and see. Every face decides by these functions.
use crate::{
    config::{CallerConfig, Limits},
    fault::Fault,
    kind::{AmountRule, Kind},
    money::decimal,
    notice::{Notice, Screen},
    request::{Request, RequestKey},
    terminal::Filter,
};

/// App name of the requests that the terminal makes itself, such as an automatic settlement; no caller may
/// have it.
pub const TERMINAL: &str = "terminal";

/// Program that calls the terminal, as the face identified it: its user id, mapped to an app by a row
/// `[[bus.caller]]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// App name; the first half of every request key.
    pub app: String,
    /// User id of the calling process.
    pub uid: u32,
    /// Sees every app's transactions and obligations; may release papers and try obligations again.
    pub manager: bool,
    /// Kinds of request that it may start; empty = all.
    pub kinds: Vec<Kind>,
    /// Greatest amount of one request; none: no limit.
    pub limit: Option<Limits>,
}

impl Caller {
    /// Caller that a row of the configuration describes.
    pub fn of(row: &CallerConfig) -> Self {
        Caller {
            app: row.app.clone(),
            uid: row.uid,
            manager: row.manager,
            kinds: row.kinds.clone(),
            limit: row.limit.clone(),
        }
    }
    /// Part of payterm itself, which sees everything and passes nothing on that its own caller may not see.
    pub fn payterm() -> Self {
        Caller { app: "payterm".into(), uid: 0, manager: true, kinds: Vec::new(), limit: None }
    }

    /// Tells whether the requests, outcomes and papers of this app are shown. To everybody else they do not
    /// exist.
    pub fn sees(&self, app: &str) -> bool {
        self.manager || self.app == app
    }

    /// Refuses everybody but managers with `NotAllowed`.
    pub fn manage(&self) -> Result<&Self, Fault> {
        if self.manager { Ok(self) } else { Err(Fault::NotAllowed { rule: "managers only".into() }) }
    }

    /// Refuses a request whose kind is not among the caller's, or whose amount is above its limit, with
    /// `NotAllowed`.
    pub fn may_start(&self, request: &Request) -> Result<(), Fault> {
        let refused = |rule| Err(Fault::NotAllowed { rule });
        if !self.kinds.is_empty() && !self.kinds.contains(&request.kind) {
            return refused(format!("kind {} is not among the caller's kinds", request.kind.name()));
        }
        match (&self.limit, request.amount) {
            (Some(limits), Some(m)) if m.minor() > limits.of(m.currency) => {
                let limit = decimal(limits.of(m.currency), m.currency);
                refused(format!("amount above the caller's limit of '{limit} {}'", m.currency))
            }
            (Some(_), None) if request.kind.row().amount == AmountRule::Optional => {
                refused("an amount is needed: the caller has a limit".into())
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// Checks a filter of the history and narrows it to the caller's own transactions. `Invalid` for a value
    /// out of range; `NotAllowed` for another app's transactions, unless the caller is a manager.
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

    /// Tells whether this screen is shown to the caller; `running` is the request under way. A page with
    /// another app's amount or card is not.
    pub fn sees_screen(&self, screen: &Screen, running: Option<&RequestKey>) -> bool {
        match screen {
            Screen::Idle(_)
            | Screen::Trouble { .. }
            | Screen::SelfTest { .. }
            | Screen::Onboarding { .. } => true,
            Screen::LogOn(_)
            | Screen::OperatorNumber { .. }
            | Screen::Password { kind: None, amount: None, .. }
            | Screen::Locked { .. } => true,
            Screen::Result { outcome } => self.sees(&outcome.key.app),
            Screen::Confirm { .. }
            | Screen::ConfirmPartial { .. }
            | Screen::ChooseApplication { .. }
            | Screen::Present { .. }
            | Screen::Pin { .. }
            | Screen::Password { .. }
            | Screen::Wait { .. } => self.manager || running.is_some_and(|k| self.sees(&k.app)),
        }
    }

    /// Tells whether this notice is sent to the caller; `running` is the request under way.
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
            | Notice::Downloaded { .. }
            | Notice::DownloadFailed { .. }
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
        let limit = Some(Money::new(1000, Currency::CNY).unwrap().into());
        let limited = Caller { kinds: vec![Kind::Sale, Kind::Refund], limit: limit.clone(), ..till() };
        assert_eq!(limited.may_start(&request(Kind::Sale, Some(1000))), Ok(()));
        for (request, says) in [
            (request(Kind::Sale, Some(1001)), "limit of '10.00 CNY'"),
            (request(Kind::Echo, None), "kind echo"),
        ] {
            let Err(Fault::NotAllowed { rule }) = limited.may_start(&request) else { panic!("{request:?}") };
            assert!(rule.contains(says), "{rule}");
        }
        let yen = Money::new(1, "JPY".parse().unwrap()).ok();
        let foreign = Request { amount: yen, ..request(Kind::Sale, None) };
        let refused = limited.may_start(&foreign);
        assert!(matches!(refused, Err(Fault::NotAllowed { rule }) if rule.ends_with("'0 JPY'")));
        // Without an amount the original's is taken, however great.
        let optional: Vec<Kind> =
            Kind::ALL.into_iter().filter(|k| k.row().amount == AmountRule::Optional).collect();
        assert!(!optional.is_empty());
        for kind in optional {
            assert_eq!(till().may_start(&request(kind, None)), Ok(()));
            let limited = Caller { limit: limit.clone(), ..till() };
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

    /// The supervisor's prompt shows kind and amount of the request: another app does not see them.
    #[test]
    fn an_approval_of_another_apps_payment_is_not_shown() {
        let prompt = |amount: Option<u64>| Screen::Password {
            operator: crate::operator::OperatorId::supervisor(),
            purpose: crate::operator::Purpose::Approve,
            kind: amount.map(|_| Kind::Refund),
            amount: amount.and_then(|m| Money::new(m, Currency::CNY).ok()),
            voucher: None,
            asked_by: None,
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
