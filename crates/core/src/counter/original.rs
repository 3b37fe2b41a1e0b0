//! The original of a void, refund, completion, cancel or tip: how it is found, and what is said against it.
use super::{Next, ServedOriginal, Serving, Stage, start, withdraw};
use crate::{Effect, Query, context::Context};
use payterm_schema::{
    Fault, Kind, Money, Outcome, RequestKey, Status,
    kind::{AmountRule, CardRule},
    outcome::{Class, Forwarding},
    request::Original,
};

/// Asks the store for it.
pub(super) fn enter(cx: &mut Context, s: &mut Serving) -> Next {
    let tag = cx.tag();
    let until = cx.after(cx.settings.flow.prepare_timeout_ms);
    s.enter(cx, Stage::Loading { tag, until });
    let app = s.key.app.clone();
    let query = match s.request.original.clone() {
        Some(Original::Id(id)) => Query::Key(RequestKey { app, id }),
        Some(Original::Rrn { rrn, .. }) => Query::Rrn { rrn },
        Some(Original::AuthCode { code, date }) => Query::AuthCode { code, date },
        Some(Original::Stan(stan)) => Query::Stan {
            app,
            stan,
            batches: cx
                .settings
                .accounts
                .iter()
                .map(|a| (a.config.id.clone(), cx.state.ledger(&a.config.id).batch))
                .collect(),
        },
        None => return Next::fail("original-not-found", Class::C),
    };
    cx.effect(Effect::Load { tag, query });
    Next::Stay
}

/// The original was looked for.
pub(super) fn loaded(cx: &mut Context, s: &mut Serving, found: Result<Vec<Outcome>, Fault>) -> Next {
    let Ok(mut found) = found else { return Next::fail("store-failed", Class::E) };
    let original = found.pop();
    if !found.is_empty() {
        return Next::fail("original-ambiguous", Class::C);
    }
    let original = match (original, s.request.original.clone()) {
        (Some(o), _) => match original_refusal(cx, s, &o) {
            Some(code) => return Next::fail(code, Class::C),
            None => ServedOriginal::Ours(Box::new(o)),
        },
        // Another terminal's, or older than this journal: the acquirer judges it.
        (None, Some(Original::Rrn { rrn, date: Some(date) })) => {
            ServedOriginal::Elsewhere { rrn: Some(rrn), auth_code: None, date: Some(date) }
        }
        (None, Some(Original::AuthCode { code, date })) => {
            ServedOriginal::Elsewhere { rrn: None, auth_code: Some(code), date: Some(date) }
        }
        (None, _) => return Next::fail("original-not-found", Class::C),
    };
    s.original = Some(original);
    let card = asks_card(s);
    s.account = s.original().and_then(|o| o.account.clone()).filter(|_| !card);
    // Known only now: the caller named no amount.
    if s.kind().row().amount == AmountRule::Optional && s.amount().is_none() {
        return Next::fail("amount-needed", Class::C);
    }
    // Without card and without an account that knows it, nobody can be asked.
    if !card && s.account.is_none() {
        return Next::fail("original-not-found", Class::C);
    }
    start::judged(cx, s)
}

/// The original was found and nothing is said against it; whoever must allow it has.
pub(super) fn onward(s: &Serving) -> Next {
    if s.original().is_some_and(|o| o.forwarding == Some(Forwarding::Pending)) {
        Next::Withdraw
    } else if asks_card(s) {
        Next::Present(None)
    } else {
        Next::Prepare
    }
}

pub(super) fn asks_card(s: &Serving) -> bool {
    match s.kind().row().card {
        CardRule::None => false,
        CardRule::Needed => true,
        CardRule::AsOriginal => s.original().is_none_or(|o| o.wallet.is_none()),
    }
}

/// An advice that the acquirer has not taken is no payment yet; while nothing of it has left it may be taken
/// back.
fn not_forwarded(cx: &Context, kind: Kind, o: &Outcome) -> bool {
    match o.forwarding {
        None | Some(Forwarding::Forwarded | Forwarding::Withdrawn) => false,
        Some(Forwarding::Pending) => withdraw::queued(cx, kind, o.txn).is_none(),
        Some(Forwarding::Refused(_) | Forwarding::WrittenOff { .. }) => true,
    }
}

/// What is said against this original: the text id of the refusal.
fn original_refusal(cx: &Context, s: &Serving, o: &Outcome) -> Option<&'static str> {
    let (request, named) = (&s.request, s.request.original.as_ref());
    if s.key.app != o.key.app {
        return Some("original-of-another-app");
    }
    let Some(settings) = o.account.as_ref().and_then(|id| cx.account(id)) else {
        return Some("original-not-found");
    };
    // What never left is in no batch of the acquirer's.
    let here = o.forwarding == Some(Forwarding::Pending)
        || o.batch == Some(cx.state.ledger(&settings.config.id).batch);
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
    if cx.state.obligations.unknown().filter_map(|u| cx.state.owes(u.txn)).any(in_doubt) {
        return Some("original-in-doubt");
    }
    if not_forwarded(cx, request.kind, o) {
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
            .or_else(|| tip_refusal(cx, o, asked?, settings.config.amount_limit())),
        Kind::Refund => {
            undone().or_else(|| (o.sums.left() == 0).then_some("original-refunded")).or_else(|| {
                let above = asked.is_some_and(|m| m > o.sums.left());
                above.then_some("refund-above-original")
            })
        }
        Kind::PreAuthCancel => taken_up(),
        Kind::Completion | Kind::CompletionAdvice => taken_up().or_else(|| {
            let most =
                o.sums.amount.unwrap_or(0).saturating_mul(u64::from(settings.rules.completion_percent)) / 100;
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

fn tip_refusal(cx: &Context, o: &Outcome, tip: u64, limit: u64) -> Option<&'static str> {
    let sale = o.sums.amount.unwrap_or(0);
    if o.wallet.is_some() {
        return Some("tip-card-only");
    }
    if tip > cx.settings.flow.tip_percent.of(sale) {
        return Some("tip-too-high");
    }
    (sale + tip > limit).then_some("amount-limit")
}
