//! What the host's word on the request's message means.
use super::{
    Devices, Next, Serving, card, completing, control, offline, provisional, retry, stage::NOT_TAKEN, tap,
};
use crate::{
    belief::OF_ANOTHER,
    context::Context,
    outcome::advice_authority,
    owed::{FailedTry, advice_waits},
    view,
};
use payterm_schema::{
    AccountId, HostAnswer, HostEvent, Kind, ObligationRecord, Record, RequestRecord, Status,
    account::Stan,
    card::HostWord,
    config::RefusalWithoutMac,
    host::{EntryMode, FrameTrace, HostRules, MacVerdict, RetryRule, ReversalReason},
    kind::{Mark, Recovery},
    outcome::{Class, Forwarding, Reason},
    record::{Due, Duty, Ending, Obligation},
};
use std::sync::Arc;

pub(super) fn event(
    cx: &mut Context,
    s: &mut Serving,
    devices: &Devices,
    account: &AccountId,
    stan: Stan,
    event: HostEvent,
) -> Next {
    let txn = s.txn;
    s.left |=
        matches!(event, HostEvent::NoReply { .. } | HostEvent::Unusable { .. } | HostEvent::Reply { .. });
    match event {
        HostEvent::NotSent { why } => {
            let record = RequestRecord::NotSent { txn, account: account.clone(), stan, why: why.clone() };
            cx.record(Some(txn), record);
            // An advice is accepted: it leaves when the line is there again.
            if cx.state.obligation(txn, stan).is_some() {
                cx.obligation_failed(account, txn, stan, FailedTry::not_sent(why));
                cx.accept_advice();
                Next::Stay
            } else if s.chip.is_some() {
                card::not_sent(cx, s)
            } else if offline::accept(cx, s) {
                Next::Stay
            } else if s.presented.as_ref().is_some_and(|p| p.mode == EntryMode::Contactless)
                && tap::may_insert(cx, s, devices)
            {
                tap::insert_instead(cx, s)
            } else {
                Next::fail(cx.line_code(account), Class::E)
            }
        }
        HostEvent::Unbuildable { why } => {
            let reason = Reason::with(NOT_BUILDABLE, Class::D, why.clone());
            cx.record(Some(txn), RequestRecord::NotSent { txn, account: account.clone(), stan, why });
            // Whatever it owed is nothing: it cannot be told either.
            if cx.state.obligation(txn, stan).is_some() {
                let (how, trace) = (Ending::NothingLeft, FrameTrace::default());
                cx.record(Some(txn), ObligationRecord::Ended { txn, stan, how, trace });
            }
            failed(cx, reason);
            Next::Stay
        }
        HostEvent::NoReply { why, trace } => {
            completing::tell_host(cx, s, HostWord::NoReply);
            let gone = Unanswered { reason: ReversalReason::NoReply, why, trace, code: "no-reply" };
            unanswered(cx, account, txn, stan, gone);
            Next::Stay
        }
        HostEvent::Unusable { why, trace } => {
            completing::tell_host(cx, s, HostWord::NoReply);
            let gone = Unanswered { reason: ReversalReason::NoReply, why, trace, code: UNUSABLE };
            unanswered(cx, account, txn, stan, gone);
            Next::Stay
        }
        HostEvent::Reply { answer, trace } => answered(cx, s, devices, account, stan, *answer, trace),
        // The line keeps these apart.
        HostEvent::Late { .. } | HostEvent::Untrusted { .. } => Next::Stay,
    }
}

/// Ends it with nothing owed.
fn failed(cx: &mut Context, reason: Reason) {
    let mut outcome = (*cx.running().view).clone();
    view::ended_for(&mut outcome, Status::Failed, reason, cx.now);
    cx.finish(outcome);
}

/// What the message needs is not there: the reason's detail names the field.
const NOT_BUILDABLE: &str = "not-buildable";
/// An answer came that says nothing: what of it could not be read is the reason's detail.
const UNUSABLE: &str = "reply-unusable";

/// A message left and no valid answer came.
pub(super) struct Unanswered {
    pub reason: ReversalReason,
    pub why: String,
    pub trace: FrameTrace,
    pub code: &'static str,
}

pub(super) fn unanswered(cx: &mut Context, account: &AccountId, txn: u64, stan: Stan, gone: Unanswered) {
    let Unanswered { reason, why, trace, code } = gone;
    let not_before = cx.undo_time(txn, stan);
    if cx.running().request.kind == Kind::SignIn {
        // The host may have other keys than ours by now.
        cx.sign_out(account, "a sign-in was not answered");
    }
    let detail = (code == UNUSABLE).then(|| why.clone());
    let told = |class| Reason { detail, ..Reason::new(code, class) };
    cx.record(
        Some(txn),
        RequestRecord::NoReply { txn, account: account.clone(), stan, why, reason, not_before, trace },
    );
    let reverse = |o: &Obligation| o.duty == Duty::Reverse;
    if cx.state.recovering.is_some() && cx.state.obligation(txn, stan).is_some_and(reverse) {
        // A reversal could take back what was told as approved.
        return cx.end_in_doubt(txn, stan, told(Class::D));
    }
    match cx.state.obligation(txn, stan).map(|o| o.duty) {
        None => failed(cx, told(Class::E)),
        Some(Duty::Reverse) => cx.end_unknown(account, told(Class::E)),
        Some(Duty::Repeat) => cx.accept_advice(),
        Some(Duty::ManualResolution) => cx.end_in_doubt(txn, stan, told(Class::D)),
        Some(Duty::Notify) => unreachable!("a request's own message is no notice"),
    }
}

/// What of an answer decides where the request goes.
struct Judged {
    class: Class,
    reverse: bool,
    retry: RetryRule,
    /// No MAC, where messages are MACed: of a success it is none, of a refusal as the account says.
    suspicious: bool,
    /// The payer, or the wallet, has not decided: it may still be executed.
    undecided: bool,
    /// Undecided, and owed until the wallet has been asked.
    pending: bool,
    /// Less than was asked for, whatever the profile's code for it: the link lets no other amount through.
    partial: bool,
    /// An advice's success that has no MAC.
    unsigned_end: bool,
}

fn judge(cx: &Context, s: &Serving, rules: &HostRules, class: Class, answer: &HostAnswer) -> Judged {
    let view = &cx.running().view;
    let unsigned = rules.mac_on_replies && answer.mac == MacVerdict::Absent;
    let rule = rules.codes.get(&answer.code);
    let undecided = view.wallet.is_some() && class == Class::P;
    let refusal = cx.account(s.account()).map(|a| a.config.refusal_without_mac());
    Judged {
        // Nobody waits for a card's payer (host-protocol §9, 09): a refusal that may be tried again.
        class: if class == Class::P && !undecided { Class::B } else { class },
        reverse: rule.is_some_and(|r| r.reverse),
        retry: rule.map_or(RetryRule::Never, |r| r.retry),
        suspicious: unsigned && refusal == Some(RefusalWithoutMac::Reverse),
        undecided,
        pending: undecided && s.kind().row().recovery == Recovery::Reverse,
        partial: class == Class::A && answer.amount.is_some() && answer.amount < view.sums.amount,
        unsigned_end: unsigned && rules.advice_ends.contains(&answer.code),
    }
}

fn answered(
    cx: &mut Context,
    s: &mut Serving,
    devices: &Devices,
    account: &AccountId,
    stan: Stan,
    answer: HostAnswer,
    trace: FrameTrace,
) -> Next {
    if !s.kind().row().authorisation {
        return control::answered(cx, s, account, stan, answer, trace);
    }
    let Some(rules) = cx.account(account).map(|a| a.rules.clone()) else {
        unreachable!("account {account} of a request is not configured")
    };
    let (txn, recovery, digit) = (s.txn, s.kind().row().recovery, answer.requirement);
    let class = cx.class(account, &answer.code);
    let absent = rules.mac_on_replies && answer.mac == MacVerdict::Absent;
    if answer.mac == MacVerdict::Wrong || (class == Class::A && absent) {
        completing::tell_host(cx, s, HostWord::NoReply);
        not_believed(cx, account, txn, stan, answer, trace);
        return Next::Stay;
    }
    let judged = judge(cx, s, &rules, class, &answer);
    // One that anybody could have made neither stops payments nor takes a reversal's place.
    if let Some(o) = cx.state.obligation(txn, stan).filter(|_| !judged.suspicious).cloned() {
        if let Some(why) = cx.not_its_answer(&o, &answer, true) {
            completing::tell_host(cx, s, HostWord::NoReply);
            return of_another(cx, account, txn, stan, why, answer, trace);
        }
        cx.claim_rrn(&o, &answer, |cx, why| disowned(cx, &o, why, answer.clone(), trace.clone()));
    }
    // Without a MAC anybody could have set the clock.
    if !absent {
        cx.believe(account, &answer);
    }
    let no = judged.class != Class::A;
    let waits = judged.suspicious || judged.unsigned_end || advice_waits(&rules, &answer);
    if recovery == Recovery::Repeat && (judged.partial || (no && waits)) {
        // No word of the acquirer's on the advice itself: it is told again.
        no_word(cx, account, txn, stan, format!("answered {}", answer.code), trace);
        if judged.retry == RetryRule::SignIn {
            cx.sign_out(account, "the host asks for a sign-in");
        }
        cx.requirement(account, txn, digit);
        cx.accept_advice();
        return Next::Stay;
    }
    let undoes = matches!(s.kind().row().marks_original, Mark::Voided | Mark::Refunded);
    if judged.undecided
        && undoes
        && !absent
        && let Some(until) = retry::too_early(cx, s)
    {
        let (account, answer) = (account.clone(), Box::new(answer));
        cx.record(Some(txn), RequestRecord::Answered { txn, account, stan, answer, due: None, trace });
        cx.requirement(s.account(), txn, digit);
        return retry::undo_later(cx, s, until);
    }
    // Another amount than was asked for is no answer either, where nothing can be taken back.
    let doubtful = judged.partial || judged.undecided || (no && (judged.suspicious || judged.reverse));
    if recovery == Recovery::ManualResolution && doubtful {
        let code = format!("host-{}", answer.code);
        no_word(cx, account, txn, stan, code.clone(), trace);
        cx.requirement(account, txn, digit);
        let code = if judged.suspicious { "mac-absent".into() } else { code };
        cx.end_in_doubt(txn, stan, Reason::new(code, Class::D));
        return Next::Stay;
    }
    if judged.pending
        && s.kind() == Kind::Sale
        && !judged.suspicious
        && provisional::pending(cx, s, account, stan, &answer, &trace)
    {
        cx.requirement(account, txn, digit);
        return Next::Stay;
    }
    if judged.partial
        && !judged.suspicious
        && s.icc.is_none()
        && provisional::partial(cx, s, account, stan, &answer, &trace)
    {
        return Next::Stay;
    }
    if !no && !judged.partial && s.chip.is_some() && recovery == Recovery::Reverse {
        return provisional::card(cx, s, account, stan, answer, trace);
    }
    decided(cx, s, devices, account, stan, &judged, &rules, answer, trace)
}

/// An answer without the MAC that it should have, or with a wrong one, is none.
fn not_believed(
    cx: &mut Context,
    account: &AccountId,
    txn: u64,
    stan: Stan,
    answer: HostAnswer,
    trace: FrameTrace,
) {
    let code = if answer.mac == MacVerdict::Wrong { "mac-wrong" } else { "mac-absent" };
    let (account, why) = (account.clone(), code.to_owned());
    cx.record(
        Some(txn),
        RequestRecord::Disregarded {
            txn,
            account: account.clone(),
            stan,
            why: why.clone(),
            answer: Box::new(answer),
            trace,
        },
    );
    cx.sign_out(&account, "a reply had no good MAC");
    let trace = FrameTrace::default();
    unanswered(cx, &account, txn, stan, Unanswered { reason: ReversalReason::BadMac, why, trace, code });
}

/// Nothing is known of the payment itself, and the acquirer knows more than this journal.
fn of_another(
    cx: &mut Context,
    account: &AccountId,
    txn: u64,
    stan: Stan,
    why: String,
    answer: HostAnswer,
    trace: FrameTrace,
) -> Next {
    let known = cx.seen_before(account, &answer);
    let (account, text, answer) = (account.clone(), why.clone(), Box::new(answer));
    cx.record(
        Some(txn),
        RequestRecord::Disregarded { txn, account: account.clone(), stan, why: text, answer, trace },
    );
    cx.record(Some(txn), ObligationRecord::OfAnother { txn, stan });
    cx.outdated(&why);
    if cx.state.obligation(txn, stan).is_none_or(|o| o.duty != Duty::Repeat) {
        cx.end_in_doubt(txn, stan, Reason::new(OF_ANOTHER, Class::D));
        return Next::Stay;
    }
    no_word(cx, &account, txn, stan, why, FrameTrace::default());
    cx.accept_advice();
    // Told again it is answered the same: that would be taken for its end.
    if known && let Some(o) = cx.state.obligation(txn, stan).cloned() {
        cx.stuck(&o);
    }
    Next::Stay
}

/// The same as records, of an answer whose RRN the store knows. An advice is accepted by the next start.
fn disowned(cx: &Context, o: &Obligation, why: &str, answer: HostAnswer, trace: FrameTrace) -> Vec<Record> {
    let (txn, stan, account, answer) = (o.txn, o.plan.stan, o.account.clone(), Box::new(answer));
    let heard = RequestRecord::Disregarded { txn, account, stan, why: why.into(), answer, trace };
    if o.duty == Duty::Repeat {
        return vec![heard.into()];
    }
    let mut outcome = (*cx.running().view).clone();
    outcome.status = Status::Unknown;
    outcome.reason = Some(Reason::new(OF_ANOTHER, Class::D));
    let papers = cx.papers_of(&outcome);
    let told = RequestRecord::Outcome { outcome: Arc::new(outcome), papers };
    vec![heard.into(), ObligationRecord::OfAnother { txn, stan }.into(), told.into()]
}

/// The answer says nothing of the message itself.
fn no_word(cx: &mut Context, account: &AccountId, txn: u64, stan: Stan, why: String, trace: FrameTrace) {
    let (account, reason, not_before) = (account.clone(), ReversalReason::NoReply, cx.now);
    cx.record(Some(txn), RequestRecord::NoReply { txn, account, stan, why, reason, not_before, trace });
}

/// The host's yes or no.
#[allow(clippy::too_many_arguments, reason = "an answer and what was made of it")]
fn decided(
    cx: &mut Context,
    s: &mut Serving,
    devices: &Devices,
    account: &AccountId,
    stan: Stan,
    judged: &Judged,
    rules: &HostRules,
    answer: HostAnswer,
    trace: FrameTrace,
) -> Next {
    let (txn, kind, digit) = (s.txn, s.kind(), answer.requirement);
    let recovery = kind.row().recovery;
    let Judged { class, suspicious, pending, partial, .. } = *judged;
    let reason = match (suspicious, pending) {
        (true, _) => ReversalReason::BadMac,
        (false, true) => ReversalReason::NoReply,
        (false, false) => ReversalReason::Other,
    };
    let must_undo = recovery == Recovery::Reverse
        && (pending || partial || suspicious || (class != Class::A && judged.reverse));
    let due = must_undo.then(|| Due { reason, not_before: cx.undo_time(txn, stan) });
    let mut outcome = (*cx.running().view).clone();
    // In a recovery it may end as one that stands: with the part, and with nothing that nobody signed.
    let recovering = cx.state.recovering.is_some();
    if !(recovering && suspicious) {
        view::with_answer(&mut outcome, &answer);
    }
    if recovering && partial {
        view::with_part(&mut outcome, &answer);
    }
    let code = answer.code.clone();
    // A chip card hears it too.
    let heard = s.chip.is_some().then(|| answer.clone());
    cx.record(
        Some(txn),
        RequestRecord::Answered { txn, account: account.clone(), stan, answer: Box::new(answer), due, trace },
    );
    cx.requirement(account, txn, digit);
    if pending {
        completing::tell_host(cx, s, HostWord::NoReply);
        cx.end_unknown(account, Reason::new("pending", Class::P));
        return Next::Stay;
    }
    if partial {
        view::ended(&mut outcome, Status::Declined, NOT_TAKEN, Class::B, cx.now);
        return completing::hears(cx, s, outcome, heard, completing::declined);
    }
    if class == Class::A || (recovery == Recovery::Repeat && rules.advice_ends.contains(&code)) {
        if kind == Kind::VoiceSale {
            outcome.auth_code = s.request.auth_code.clone().or(outcome.auth_code);
        }
        if recovery == Recovery::Repeat {
            outcome.forwarding = Some(Forwarding::Forwarded);
        }
        cx.approve(&mut outcome, advice_authority(kind));
        return completing::hears(cx, s, outcome, heard, completing::approved);
    }
    let gone = s.chip.as_ref().is_some_and(card::Chip::is_gone);
    let again = match judged.retry {
        // Nobody could end what a yes would begin.
        _ if gone => None,
        RetryRule::Pin if outcome.pin => match (retry::another_pin(cx, s), &heard) {
            // Its cryptogram bears what became of the PIN: the card is run anew.
            (Some(_), Some(answer)) => completing::runs_again(cx, s, answer),
            // It was tapped: so is this.
            (Some(_), None) if s.icc.is_some() => {
                s.forget();
                Some(Next::Present(Some("tap-again-pin")))
            }
            (next, _) => next,
        },
        RetryRule::SignIn => retry::another_sign_in(cx, s, account, &code),
        RetryRule::Now if !must_undo => retry::busy(cx, s),
        RetryRule::Insert if !must_undo => retry::insert(cx, s, devices),
        RetryRule::Pin | RetryRule::Now | RetryRule::Insert | RetryRule::Done | RetryRule::Never => None,
    };
    if let Some(next) = again {
        return next;
    }
    if judged.retry == RetryRule::SignIn {
        cx.sign_out(account, "the host asks for a sign-in");
    }
    view::ended(&mut outcome, Status::Declined, format!("host-{code}"), class, cx.now);
    completing::hears(cx, s, outcome, heard, completing::declined)
}
