//! The outcome as it grows while a request runs.
use crate::{AccountSettings, Settings, instrument::Presented};
use payterm_schema::{
    HostAnswer, Kind, Outcome, Request, RequestKey, Status, Time,
    host::Plan,
    outcome::{Authority, Class, OriginalShown, Reason, Sums},
};

/// A request that was just accepted. `account`: the one it goes to as far as that can be told before the
/// instrument.
pub fn first(
    txn: u64,
    key: &RequestKey,
    request: &Request,
    settings: &Settings,
    operator: String,
    account: &AccountSettings,
    now: Time,
) -> Outcome {
    let sums = Sums::new(
        request.amount.map_or(account.config.currency, |a| a.currency),
        request.amount.map(|a| a.minor()),
    );
    Outcome {
        place: settings.place.clone(),
        operator,
        note: request.note.clone(),
        test: settings.test,
        ..Outcome::running(key.clone(), txn, request.kind, sums, now)
    }
}

pub fn with_account(view: &mut Outcome, account: &AccountSettings) {
    view.account = Some(account.config.id.clone());
    view.mid = Some(account.config.mid.to_string());
    view.tid = Some(account.config.tid.to_string());
    view.line = account.config.line;
    view.sums.currency = account.config.currency;
}

pub fn with_instrument(view: &mut Outcome, presented: &Presented) {
    view.entry = Some(presented.mode);
    view.wallet = presented.wallet;
    view.masked_pan = Some(presented.masked.clone());
    view.fallback = presented.fallback;
    view.chip.clone_from(&presented.shown);
}

/// What it belongs to. `paid_as`: nothing is presented, so it takes over how the customer had paid.
pub fn with_original(view: &mut Outcome, original: &Outcome, paid_as: bool) {
    view.sums.currency = original.sums.currency;
    if view.sums.amount.is_none() {
        view.sums.amount = original.sums.amount;
    }
    if paid_as {
        view.entry = original.entry;
        view.wallet = original.wallet;
        view.masked_pan.clone_from(&original.masked_pan);
    }
    view.scheme.clone_from(&original.scheme);
    view.original = Some(OriginalShown {
        txn: Some(original.txn),
        of: original.original.as_ref().and_then(|o| o.txn),
        key: Some(original.key.clone()),
        stan: original.stan,
        batch: original.batch,
        rrn: original.rrn.clone(),
        auth_code: original.auth_code.clone(),
        date: original.host_date.clone(),
    });
}

/// One that is not in this journal: what the caller says of it.
pub fn with_foreign(
    view: &mut Outcome,
    rrn: Option<&String>,
    auth_code: Option<&String>,
    date: Option<&String>,
) {
    view.original = Some(OriginalShown {
        rrn: rrn.cloned(),
        auth_code: auth_code.cloned(),
        date: date.cloned(),
        ..OriginalShown::default()
    });
}

pub fn with_answer(view: &mut Outcome, answer: &HostAnswer) {
    view.rrn.clone_from(&answer.rrn);
    view.auth_code.clone_from(&answer.auth_code);
    view.host_date.clone_from(&answer.date);
    view.host_time.clone_from(&answer.time);
    view.issuer.clone_from(&answer.issuer_id);
    view.acquirer = answer.acquirer_id.clone().or_else(|| answer.acquirer.clone());
    if answer.scheme.is_some() {
        view.scheme.clone_from(&answer.scheme);
    }
    view.host_texts.clone_from(&answer.texts);
    // What is no amount could be written and never be read again.
    view.sums.fee = answer.fee.filter(|f| *f <= payterm_schema::money::MAX_MINOR);
    view.sums.balance = answer.balance;
}

/// Less than was asked for.
pub fn with_part(view: &mut Outcome, answer: &HostAnswer) {
    view.sums.asked = view.sums.amount;
    view.sums.amount = answer.amount;
}

/// It is this frame that stands: what was heard of another one is not said of it.
pub fn of_frame(view: &mut Outcome, plan: &Plan) {
    if view.stan == Some(plan.stan) {
        return;
    }
    (view.stan, view.batch) = (Some(plan.stan), Some(plan.batch));
    (view.rrn, view.host_date, view.host_time) = (None, None, None);
    (view.issuer, view.acquirer, view.host_texts) = (None, None, Vec::new());
    (view.sums.fee, view.sums.balance) = (None, None);
    // Of a voice sale the issuer's word is the request's own.
    view.auth_code = view.auth_code.take().filter(|_| view.kind == Kind::VoiceSale);
    view.sums.amount = view.sums.asked.take().or(view.sums.amount);
}

pub fn approved(view: &mut Outcome, authority: Authority, now: Time) {
    view.status = Status::Approved;
    view.authority = Some(authority);
    view.reason = None;
    view.answer_by = None;
    view.ended = Some(now);
}

pub fn ended(view: &mut Outcome, status: Status, code: impl Into<String>, class: Class, now: Time) {
    ended_for(view, status, Reason::new(code, class), now);
}
pub fn ended_for(view: &mut Outcome, status: Status, reason: Reason, now: Time) {
    view.status = status;
    view.reason = Some(reason);
    view.ended = Some(now);
    view.answer_by = None;
}
