//! A recovery that begins under a payment: another one's answer shows that the journal is an old copy. No
//! reversal leaves by itself from then on, so nothing that owes one is told as refused.
use super::*;
use payterm_schema::{
    Class,
    host::{CodeRule, RetryRule},
    outcome::Outcome,
    record::Duty,
};

/// 94 is a repetition, 96 may have been debited; `asks`: the cashier about a part.
fn till(asks: bool) -> Till {
    let mut s = settings();
    let code = |class, retry, reverse| CodeRule { class, retry, reverse };
    let mut rules: HostRules = (*s.accounts[0].rules).clone();
    rules.codes.insert("94".into(), code(Class::C, RetryRule::Done, false));
    rules.codes.insert("96".into(), code(Class::C, RetryRule::Never, true));
    rules.codes.insert("55".into(), code(Class::C, RetryRule::Pin, true));
    rules.advice_ends = vec!["00".into(), "94".into()];
    s.accounts[0].rules = rules.into();
    s.flow.partial_approval = asks;
    let mut till = Till::with(s, Vec::new());
    till.boot(NOW);
    till
}
/// An advice is under way, and a sale whose frame has left: the tag of the advice, and the sale's step.
fn under_way(asks: bool) -> (Till, u64, Step) {
    let mut till = till(asks);
    let step = till.frame(voice_sale("v"));
    let not_sent = HostEvent::NotSent { why: "down".into() };
    let mut step = till.input(Input::Host { tag: tag_of(&step).unwrap(), event: not_sent });
    while tag_of(&step).is_none() {
        let due = till.machine.poll_timeout().expect("the advice is due some time").at;
        let next = till.machine.handle_timeout(due);
        step = till.keep(next);
    }
    let advice = tag_of(&step).unwrap();
    let sale = till.frame(start("sale", "one"));
    assert!(sent(&sale).is_some());
    (till, advice, sale)
}
/// The advice, which has never left before, is answered as one that the acquirer has had.
fn begins(till: &mut Till, advice: u64) {
    till.input(Input::Host { tag: advice, event: reply(host_answer(r#""code":"94""#)) });
    assert!(till.machine.state().recovering.is_some());
}
fn of_sale(step: &Step) -> Outcome {
    let outcome = step.records.iter().rev().find_map(|e| {
        let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record else { return None };
        (outcome.key.id == "one").then(|| (**outcome).clone())
    });
    outcome.unwrap()
}
/// Unknown, its reversal a person's, and as they say it is.
fn in_doubt(mut till: Till, step: &Step, amount: u64) {
    let o = of_sale(step);
    assert_eq!(o.status, Status::Unknown, "{o:?}");
    let open: Vec<_> = till.machine.obligations().of(o.txn).cloned().collect();
    assert!(
        matches!(open.as_slice(), [r] if r.duty == Duty::Reverse && r.state == ObligationState::Stuck),
        "{open:?}"
    );
    let later = till.machine.handle_timeout(NOW + Millis::secs(86_400));
    assert_eq!(sent(&till.keep(later)), None);
    let said = till.resolve(o.txn, true);
    assert_eq!(answer(&said), Some(Ok(())));
    let stands = of_sale(&said);
    assert_eq!((stands.status, stands.sums.amount), (Status::Approved, Some(amount)));
}

#[test]
fn a_refusal_that_is_reversed_is_in_doubt() {
    let (mut till, advice, sale) = under_way(true);
    begins(&mut till, advice);
    let step = till.answered(&sale, r#""code":"96""#);
    in_doubt(till, &step, 100);
    // One with nothing to reverse is one.
    let (mut till, advice, sale) = under_way(true);
    begins(&mut till, advice);
    let step = till.answered(&sale, r#""code":"51""#);
    assert_eq!(of_sale(&step).status, Status::Declined);
    // Nor is the PIN asked again and the request given up.
    let (mut till, advice, sale) = under_way(true);
    begins(&mut till, advice);
    let step = till.answered(&sale, r#""code":"55""#);
    in_doubt(till, &step, 100);
}

#[test]
fn a_part_that_is_not_taken_is_in_doubt() {
    let part = r#""code":"00","amount":40"#;
    let key = RequestKey::new("app", "one").unwrap();
    let (mut till, advice, sale) = under_way(true);
    till.answered(&sale, part);
    begins(&mut till, advice);
    let step = till.input(Input::Confirm { call: 4, key, yes: false });
    in_doubt(till, &step, 40);
    // Nobody is asked.
    let (mut till, advice, sale) = under_way(false);
    begins(&mut till, advice);
    let step = till.answered(&sale, part);
    in_doubt(till, &step, 40);
    // The power goes while the cashier is asked.
    let (mut till, advice, sale) = under_way(true);
    till.answered(&sale, part);
    begins(&mut till, advice);
    let mut till = Till::with(till.machine.settings().clone(), till.disk);
    let step = till.boot(NOW);
    in_doubt(till, &step, 40);
}
