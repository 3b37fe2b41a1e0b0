//! What follows the host's word to a chip card: it hears it, has the last word on a yes, and runs its
//! issuer's scripts; one that takes too long is stopped.
use super::{
    Next, Serving, Stage, card, provisional,
    stage::{AfterCard, GONE},
};
use crate::{Effect, context::Context};
use payterm_schema::{
    HostAnswer, ObligationRecord, Outcome, RequestRecord,
    account::Stan,
    card::{CardWord, HostWord, Interface},
    host::{OriginalRef, Plan},
    icc::{Icc, Tag},
    record::{Duty, Obligation, ObligationState},
};
use std::sync::Arc;

/// Time that a card that is stopped may take longer than its command under way, in ms. 1 s: as a PIN's answer
/// has.
const STOPPING: u32 = 1_000;

/// The card's last word on the host's yes.
pub(super) fn decides(cx: &mut Context, s: &mut Serving, word: Result<(), &'static str>, icc: &[u8]) -> Next {
    let (stan, answer) = asked(s);
    let word = in_time(s, word);
    if let Some(icc) = card_ended(cx, s, stan, word.is_ok(), icc) {
        script_results(cx, s, &answer, icc, ObligationState::Due);
    }
    provisional::decided(cx, s, word)
}
/// The same, with scripts of its issuer left: an approval and its outcome are on disk before they run.
pub(super) fn completes(
    cx: &mut Context,
    s: &mut Serving,
    word: Result<(), &'static str>,
    icc: &[u8],
) -> Next {
    let (Ok(()), Some(tag)) = (in_time(s, word), s.chip.as_ref().map(|c| c.tag)) else {
        return decides(cx, s, word, icc);
    };
    let (stan, answer) = asked(s);
    let icc = card_ended(cx, s, stan, true, icc);
    let notice = icc.and_then(|icc| script_results(cx, s, &answer, icc, ObligationState::Armed));
    let outcome = Arc::new(provisional::stands(cx, s, stan, &answer));
    cx.record(Some(s.txn), RequestRecord::CardHears { txn: s.txn, outcome: Arc::clone(&outcome) });
    cx.effect(Effect::TellCard { tag, word: CardWord::Scripts });
    hear(cx, s, AfterCard::Approved(outcome, notice), Some(*answer))
}
fn asked(s: &Serving) -> (Stan, Box<HostAnswer>) {
    let Stage::CardDecides { stan, answer, .. } = &s.stage else {
        unreachable!("{:?}: no card decides", s.stage)
    };
    (*stan, answer.clone())
}
/// A yes that comes when the card was stopped comes too late: its payment is taken back.
fn in_time(s: &Serving, word: Result<(), &'static str>) -> Result<(), &'static str> {
    if s.chip.as_ref().is_some_and(|c| c.stopped) { word.and(Err(GONE)) } else { word }
}

/// The card takes too long behind the host's word. It is stopped, and says how far it came; the second time
/// nothing more is waited for.
pub(super) fn late(cx: &mut Context, s: &mut Serving) -> Next {
    if let Some(chip) = s.chip.as_mut().filter(|c| !c.gone && !c.stopped) {
        chip.stopped = true;
        cx.effect(Effect::StopCard { tag: chip.tag });
        let time = cx.after(cx.settings.card_ms.saturating_add(STOPPING));
        let mut stage = s.stage.clone();
        if let Stage::CardDecides { until, .. } | Stage::CardHears { until, .. } = &mut stage {
            *until = time;
        }
        s.enter(cx, stage);
        return Next::Stay;
    }
    if let Stage::CardDecides { .. } = s.stage {
        return provisional::decided(cx, s, Err(GONE));
    }
    heard(cx, s, None)
}

/// The card has decided: on record, for its reversal, its settlement and its slip. Data that cannot be read
/// are of no use to any of these.
fn card_ended(cx: &mut Context, s: &mut Serving, stan: Stan, approved: bool, icc: &[u8]) -> Option<Icc> {
    let icc = Icc::parse(icc).ok()?;
    card::note(s, &icc);
    cx.record(Some(s.txn), RequestRecord::CardEnded { txn: s.txn, stan, approved, icc: icc.clone() });
    Some(icc)
}

/// The host's word stands, and the card's changes nothing: it is told, and may end before the outcome is
/// told. Where no card hears it the outcome is told at once.
pub(super) fn hears(
    cx: &mut Context,
    s: &mut Serving,
    outcome: Outcome,
    answer: Option<HostAnswer>,
    word: fn(&HostAnswer) -> HostWord,
) -> Next {
    match answer {
        Some(answer) if tell_host(cx, s, word(&answer)) => {
            last_heard(cx, s, outcome, Some(answer), AfterCard::Ends)
        }
        Some(_) | None => {
            cx.finish(outcome);
            Next::Stay
        }
    }
}
pub(super) fn last_heard(
    cx: &mut Context,
    s: &mut Serving,
    outcome: Outcome,
    answer: Option<HostAnswer>,
    then: fn(Arc<Outcome>) -> AfterCard,
) -> Next {
    let outcome = Arc::new(outcome);
    cx.record(Some(s.txn), RequestRecord::CardHears { txn: s.txn, outcome: Arc::clone(&outcome) });
    hear(cx, s, then(outcome), answer)
}
/// The card is told, and then run once more where it is. None: no card hears it.
pub(super) fn runs_again(cx: &mut Context, s: &mut Serving, answer: &HostAnswer) -> Option<Next> {
    tell_host(cx, s, declined(answer)).then(|| hear(cx, s, AfterCard::RunsAgain, Some(answer.clone())))
}
fn hear(cx: &mut Context, s: &mut Serving, then: AfterCard, answer: Option<HostAnswer>) -> Next {
    let until = cx.after(cx.settings.flow.completing_ms);
    s.enter(cx, Stage::CardHears { until, then, answer: answer.map(Box::new) });
    Next::Stay
}

/// The card has ended (`icc`: with these EMV data), is gone, or takes too long.
pub(super) fn heard(cx: &mut Context, s: &mut Serving, icc: Option<&[u8]>) -> Next {
    let Stage::CardHears { then, answer, .. } = s.stage.clone() else {
        unreachable!("{:?}: no card hears anything", s.stage)
    };
    match (&then, icc, cx.running().view.stan) {
        // That it has approved is on record.
        (AfterCard::Approved(_, notice), ..) => scripts_ended(cx, s, *notice, icc),
        (_, Some(icc), Some(stan)) => {
            let icc = card_ended(cx, s, stan, false, icc);
            if let Some((icc, answer)) = icc.zip(answer) {
                script_results(cx, s, &answer, icc, ObligationState::Due);
            }
        }
        (_, _, _) => {}
    }
    match then {
        AfterCard::Ends(outcome) | AfterCard::MayApprove(outcome) | AfterCard::Approved(outcome, _) => {
            let mut outcome = Arc::unwrap_or_clone(outcome);
            outcome.ended = Some(cx.now);
            outcome.chip = s.presented.as_ref().and_then(|p| p.shown.clone());
            cx.finish(outcome);
            Next::Stay
        }
        AfterCard::RunsAgain => {
            s.forget();
            match s.chip.take() {
                Some(_) if icc.is_some() => Next::RunCard(Interface::Contact),
                Some(chip) => {
                    chip.end(cx);
                    Next::Present(None)
                }
                None => Next::Present(None),
            }
        }
    }
}

/// The scripts behind the card's approval are through, or nobody knows how far they came: then the acquirer
/// hears what was known before them.
fn scripts_ended(cx: &mut Context, s: &mut Serving, notice: Option<Stan>, icc: Option<&[u8]>) {
    let (txn, icc) = (s.txn, icc.and_then(|icc| Icc::parse(icc).ok()));
    if let Some(icc) = &icc {
        card::note(s, icc);
    }
    if let Some(stan) = notice {
        let icc = icc.filter(|icc| icc.values(Tag::SCRIPT_RESULTS).next().is_some());
        cx.record(Some(txn), ObligationRecord::ScriptsEnded { txn, stan, icc });
    }
}

/// The issuer sent scripts with its answer: the acquirer is told what the card made of them (0620), whatever
/// became of the payment. `state`: armed, until that is known. Gives the notice's STAN.
fn script_results(
    cx: &mut Context,
    s: &Serving,
    answer: &HostAnswer,
    icc: Icc,
    state: ObligationState,
) -> Option<Stan> {
    let account = s.account();
    let wanted = cx.account(account).is_some_and(|a| a.rules.script_results);
    if !wanted || icc.values(Tag::SCRIPT_RESULTS).next().is_none() {
        return None;
    }
    let view = &cx.running().view;
    let own_date = || cx.host_date(account, view.started + cx.state.ledger(account).offset);
    let original = OriginalRef {
        batch: view.batch,
        stan: view.stan,
        date: answer.date.clone().or_else(own_date),
        rrn: answer.rrn.clone(),
        auth_code: answer.auth_code.clone(),
    };
    let plan = Plan {
        amount: s.amount(),
        mode: view.entry,
        pin: view.pin,
        card_sequence: s.presented.as_ref().and_then(|p| p.shown.as_ref()?.sequence),
        original: Some(original),
        icc: Some(icc),
        ..cx.control_plan(account, s.kind())
    };
    let stan = plan.stan;
    let notice = Obligation {
        state,
        left: false,
        had_left: false,
        card: s.presented.as_ref().and_then(|p| p.card.clone()),
        ..Obligation::new(s.txn, account.clone(), plan, Duty::Notify, Some(s.txn), cx.now)
    };
    cx.record(Some(s.txn), ObligationRecord::Opened { obligation: Box::new(notice) });
    Some(stan)
}

/// Tells the card what came of going online. False: no card hears it.
pub(super) fn tell_host(cx: &mut Context, s: &Serving, word: HostWord) -> bool {
    let Some(chip) = s.chip.as_ref().filter(|c| !c.gone) else { return false };
    cx.effect(Effect::TellCard { tag: chip.tag, word: CardWord::Host(word) });
    true
}

/// The host's yes, with the issuer's EMV data elements.
pub(super) fn approved(answer: &HostAnswer) -> HostWord {
    HostWord::Approved { arc: arc(answer), icc: issuer(answer) }
}
pub(super) fn declined(answer: &HostAnswer) -> HostWord {
    HostWord::Declined { arc: arc(answer), icc: issuer(answer) }
}
fn issuer(answer: &HostAnswer) -> Vec<u8> {
    answer.icc.as_ref().map(Icc::bytes).unwrap_or_default()
}
/// Tag 8A; a code of another form than two characters is a refusal to the card.
fn arc(answer: &HostAnswer) -> [u8; 2] {
    answer.code.as_bytes().try_into().unwrap_or(*b"05")
}
