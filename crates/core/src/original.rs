//! The original of a void, refund, completion, cancel or tip: how it is found, and what is said against it.
use crate::{
    Effect, Machine, Query,
    flow::{FlowOriginal, Stage},
};
use payterm_schema::{
    Fault, Kind, Money, Outcome, Request, RequestKey, Status,
    kind::{AmountRule, CardRule},
    outcome::{Class, Forwarding},
    request::Original,
};

impl Machine {
    /// Asks the store for it; [`Machine::loaded`] goes on.
    pub(crate) fn load_original(&mut self, request: &Request) {
        let tag = self.tag();
        let until = self.after(self.settings.flow.prepare_timeout_ms);
        self.set_stage(Stage::Loading { tag, until });
        let app = self.state.running.as_ref().map(|r| r.key.app.clone()).unwrap_or_default();
        let query = match request.original.clone() {
            Some(Original::Id(id)) => Query::Key(RequestKey { app, id }),
            Some(Original::Rrn { rrn, .. }) => Query::Rrn { rrn },
            Some(Original::AuthCode { code, date }) => Query::AuthCode { code, date },
            Some(Original::Stan(stan)) => Query::Stan {
                app,
                stan,
                batches: self
                    .settings
                    .accounts
                    .iter()
                    .map(|a| (a.config.id.clone(), self.state.ledger(&a.config.id).batch))
                    .collect(),
            },
            None => return self.fail("original-not-found", Class::C),
        };
        self.effect(Effect::Load { tag, query });
    }

    /// The original was looked for.
    pub(crate) fn loaded(&mut self, tag: u64, found: Result<Vec<Outcome>, Fault>) {
        if self.upload_loaded(tag, &found) {
            return;
        }
        if !matches!(self.flow.as_ref().map(|f| &f.stage), Some(Stage::Loading { tag: t, .. }) if *t == tag) {
            return;
        }
        let Some(request) = self.state.running.as_ref().map(|r| r.request.clone()) else { return };
        let Ok(mut found) = found else { return self.fail("store-failed", Class::E) };
        let original = found.pop();
        if !found.is_empty() {
            return self.fail("original-ambiguous", Class::C);
        }
        let original = match (original, request.original.clone()) {
            (Some(o), named) => match self.against(&request, &o, named.as_ref()) {
                Some(code) => return self.fail(code, Class::C),
                None => FlowOriginal::Ours(Box::new(o)),
            },
            // Another terminal's, or older than this journal: the acquirer judges it.
            (None, Some(Original::Rrn { rrn, date: Some(date) })) => {
                FlowOriginal::Elsewhere { rrn: Some(rrn), auth_code: None, date: Some(date) }
            }
            (None, Some(Original::AuthCode { code, date })) => {
                FlowOriginal::Elsewhere { rrn: None, auth_code: Some(code), date: Some(date) }
            }
            (None, _) => return self.fail("original-not-found", Class::C),
        };
        let by_code = original.ours().is_some_and(|o| o.wallet.is_some());
        let card = match request.kind.row().card {
            CardRule::None => false,
            CardRule::Needed => true,
            CardRule::AsOriginal => !by_code,
        };
        let account = original.ours().and_then(|o| o.account.clone());
        if let Some(flow) = self.flow.as_mut() {
            flow.account = account.filter(|_| !card);
            flow.original = Some(original);
        }
        // Known only now: the caller named no amount.
        if request.kind.row().amount == AmountRule::Optional && self.amount().is_none() {
            return self.fail("amount-needed", Class::C);
        }
        if card { self.present(None) } else { self.prepare() }
    }

    /// What is said against this original: the text id of the refusal.
    fn against(&self, request: &Request, o: &Outcome, named: Option<&Original>) -> Option<&'static str> {
        if self.state.running.as_ref().is_some_and(|r| r.key.app != o.key.app) {
            return Some("original-of-another-app");
        }
        let Some(settings) = o.account.as_ref().and_then(|id| self.account(id)) else {
            return Some("original-not-found");
        };
        let here = o.batch == Some(self.state.ledger(&settings.config.id).batch);
        let undone = || o.voided.then_some("original-voided");
        let adjusted = || o.adjusted.then_some("original-adjusted");
        let refunded = || o.sums.refunded.is_some_and(|r| r > 0).then_some("original-refunded");
        let taken_up = || {
            if o.voided { Some("original-cancelled") } else { o.completed.then_some("original-completed") }
        };
        let settled = || (!here).then_some("original-settled");
        let kinds: &[Kind] = match request.kind {
            Kind::Void | Kind::TipAdjust => &[Kind::Sale],
            Kind::CompletionCancel => &[Kind::Completion, Kind::CompletionAdvice],
            Kind::Refund => &[Kind::Sale, Kind::Completion, Kind::CompletionAdvice, Kind::VoiceSale],
            Kind::PreAuthCancel | Kind::Completion | Kind::CompletionAdvice => &[Kind::PreAuth],
            Kind::Sale
            | Kind::Balance
            | Kind::PreAuth
            | Kind::VoiceSale
            | Kind::Parameters
            | Kind::StatusUpload
            | Kind::Settlement
            | Kind::SignIn
            | Kind::SignOff
            | Kind::Echo => &[],
        };
        if !kinds.contains(&o.kind) || o.status != Status::Approved {
            return Some("original-not-approved");
        }
        // What is in doubt may stand: a refund holds its part, anything else stops all.
        let in_doubt = |u: &Outcome| {
            u.status == Status::Unknown
                && u.kind != Kind::Refund
                && u.original.as_ref().and_then(|x| x.txn) == Some(o.txn)
        };
        if self.state.obligations.unknown().filter_map(|u| self.state.owes(u.txn)).any(in_doubt) {
            return Some("original-in-doubt");
        }
        // An advice that the acquirer has not taken is no payment yet.
        if !matches!(o.forwarding, None | Some(Forwarding::Forwarded)) {
            return Some("original-not-forwarded");
        }
        let date = match named {
            Some(Original::Rrn { date: Some(date), .. } | Original::AuthCode { date, .. }) => Some(date),
            Some(Original::Rrn { date: None, .. } | Original::Id(_) | Original::Stan(_)) | None => None,
        };
        if date.is_some_and(|d| o.host_date.as_ref().is_some_and(|h| h != d)) {
            return Some("original-mismatch");
        }
        if request.account.as_ref().is_some_and(|a| Some(a) != o.account.as_ref()) {
            return Some("original-mismatch");
        }
        if request.amount.is_some_and(|m| m.currency != o.sums.currency) {
            return Some("original-currency");
        }
        if !settings.rules.kinds.contains(&request.kind) {
            return Some("kind-not-supported");
        }
        let asked = request.amount.map(Money::minor);
        match request.kind {
            Kind::Void => undone().or_else(settled).or_else(refunded).or_else(adjusted),
            Kind::CompletionCancel => undone().or_else(settled).or_else(refunded),
            Kind::TipAdjust => undone()
                .or_else(settled)
                .or_else(refunded)
                .or_else(adjusted)
                .or_else(|| self.tip_refused(o, asked?, settings.config.amount_limit)),
            Kind::Refund => {
                undone().or_else(|| (o.sums.left() == 0).then_some("original-refunded")).or_else(|| {
                    let above = asked.is_some_and(|m| m > o.sums.left());
                    above.then_some("refund-above-original")
                })
            }
            Kind::PreAuthCancel => taken_up(),
            Kind::Completion | Kind::CompletionAdvice => taken_up().or_else(|| {
                let most =
                    o.sums.amount.unwrap_or(0).saturating_mul(u64::from(settings.rules.completion_percent))
                        / 100;
                asked.is_some_and(|m| m > most).then_some("completion-above-hold")
            }),
            Kind::Sale
            | Kind::Balance
            | Kind::PreAuth
            | Kind::VoiceSale
            | Kind::Parameters
            | Kind::StatusUpload
            | Kind::Settlement
            | Kind::SignIn
            | Kind::SignOff
            | Kind::Echo => None,
        }
    }

    fn tip_refused(&self, o: &Outcome, tip: u64, limit: u64) -> Option<&'static str> {
        let sale = o.sums.amount.unwrap_or(0);
        if o.wallet.is_some() {
            return Some("tip-card-only");
        }
        if tip > self.settings.flow.tip_percent.of(sale) {
            return Some("tip-too-high");
        }
        (sale + tip > limit).then_some("amount-limit")
    }

    /// What this request moves: the request's amount, the original's where the kind takes it whole, its total
    /// with a tip.
    pub(crate) fn amount(&self) -> Option<Money> {
        let request = &self.state.running.as_ref()?.request;
        let original = self.flow.as_ref().and_then(|f| f.original.as_ref()).and_then(FlowOriginal::ours);
        let minor = match (request.kind, original) {
            (Kind::TipAdjust, Some(o)) => o.sums.amount? + request.amount?.minor(),
            (Kind::Refund, Some(o)) => request.amount.map_or_else(|| o.sums.left(), Money::minor),
            (_, Some(o)) if request.amount.is_none() => o.sums.amount?,
            (_, _) => request.amount?.minor(),
        };
        Money::new(minor, original.map_or(request.amount.map(|m| m.currency), |o| Some(o.sums.currency))?)
            .ok()
    }
}
