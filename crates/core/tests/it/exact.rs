//! Answers on which two readings of docs/host-protocol.md differed.
use crate::till::*;
use payterm_core::{Effect, Input, Settings, Step};
use payterm_schema::{
    Class, HostEvent, Record, SettlementRecord, Status, Time,
    host::{CodeRule, HostRules, MessageKind, RetryRule},
    settlement::Verdict,
};

fn rules() -> Settings {
    let mut s = settings();
    let rules = &s.accounts[0].rules;
    let mut codes = rules.codes.clone();
    codes.insert("94".into(), CodeRule { class: Class::C, retry: RetryRule::Done, reverse: false });
    let rules = HostRules { codes, not_balanced: vec!["95".into()], ..(**rules).clone() };
    s.accounts[0].rules = rules.into();
    s
}
fn host(till: &mut Till, tag: u64, event: HostEvent) -> Step {
    till.input(Input::Host { tag, event })
}
fn unanswered() -> HostEvent {
    HostEvent::NoReply { why: "time-out".into(), trace: Default::default() }
}

/// The host has had the same reversal: only once it has left before.
#[test]
fn a_94_ends_a_reversal_that_left_before() {
    let mut till = Till::with(rules(), Vec::new());
    till.boot(NOW);
    let step = till.frame(start("sale", "one"));
    let step = host(&mut till, tag_of(&step).unwrap(), unanswered());
    let had = || reply(host_answer(r#""code":"94""#));
    let step = host(&mut till, tag_of(&step).unwrap(), had());
    assert_eq!((told(&step).len(), till.machine.obligations().len()), (0, 1), "tried again the first time");
    let again = (1..600).find_map(|s| {
        let step = till.machine.handle_timeout(Time(NOW.0 + s * 1_000));
        let step = till.keep(step);
        step.effects.iter().find_map(|e| {
            let Effect::Send(m) = e else { return None };
            matches!(m.message_kind, MessageKind::Reversal(_)).then_some(m.tag)
        })
    });
    let step = host(&mut till, again.unwrap(), had());
    assert_eq!(told(&step).first().map(|t| t.0), Some(Status::Declined));
    assert_eq!(till.machine.obligations().len(), 0);
}

/// 95 to the totals: the batch is uploaded.
#[test]
fn a_95_to_the_totals_is_not_balanced() {
    let mut till = Till::with(rules(), Vec::new());
    till.boot(NOW);
    till.paid("one");
    let step = till.input(start("settlement", "z"));
    let step = host(&mut till, tag_of(&step).unwrap(), reply(host_answer(r#""code":"95""#)));
    let judged = step.records.iter().any(|e| {
        let not = Verdict::NotBalanced;
        matches!(&e.record, Record::Settlement(SettlementRecord::Judged { domestic, foreign, .. })
            if (*domestic, *foreign) == (not, not))
    });
    assert!(judged, "{:?}", step.records);
}
