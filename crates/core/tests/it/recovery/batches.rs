//! Batches and settlements of a journal that was put back: what the acquirer has settled in what is lost.
use super::*;

/// It may have ended long ago, or not at all: a person asks, in the recovery or after it; nothing leaves by
/// itself.
#[test]
fn an_open_settlement_waits_for_a_person() {
    let restored = || {
        let mut before = Till::new(Vec::new());
        before.boot(NOW);
        before.paid("one");
        assert!(sent(&before.input(start("settlement", "z"))).is_some());
        let (mut till, step) = before.restore(settings(), Some(200));
        assert_eq!((told(&step), sent(&step)), (vec![(Status::Unknown, "settlement-open".into())], None));
        assert!(matches!(answer(&till.retry(2)), Some(Err(Fault::WrongState { .. }))));
        till
    };
    for executed in [true, false] {
        let mut till = restored();
        let step = till.resolve(2, executed);
        let (status, batch) = if executed { (Status::Approved, 2) } else { (Status::Declined, 1) };
        assert_eq!(
            (answer(&step), told(&step).first().map(|t| t.0), till.bank().batch.get()),
            (Some(Ok(())), Some(status), batch)
        );
    }
    let mut till = restored();
    let end = till.input(Input::Operators { call: 3, request: OperatorRequest::EndRecovery });
    let later = till.machine.handle_timeout(NOW + Millis::secs(86_400));
    assert_eq!((answer(&end), sent(&end), sent(&till.keep(later))), (Some(Ok(())), None, None));
    let step = till.retry(2);
    assert_eq!((answer(&step), sent(&step).is_some()), (Some(Ok(())), true));
}

#[test]
fn a_batch_that_was_settled_in_what_is_lost_is_not_settled_again() {
    let mut till = settled_in_what_is_lost();
    let step = till.signs_in("s", 2);
    // The sign-in is transaction 2, what is asked about ours 3.
    assert_eq!(told(&step), [(Status::Approved, String::new()), unknown().remove(0)]);
    assert_eq!(till.bank().batch, Batch::FIRST);
    let refused = |till: &mut Till| {
        till.ends_recovery();
        let Some(Err(Fault::WrongState { rule })) = till.ended.last() else { panic!("{:?}", till.ended) };
        assert!(rule.contains("transaction 3:"), "{rule}");
    };
    refused(&mut till);
    // The same word again asks nothing new, and a restart forgets nothing.
    assert_eq!(told(&till.signs_in("t", 2)).len(), 1);
    till = Till::new(till.disk);
    assert_eq!(told(&till.boot(NOW)), []);
    refused(&mut till);
    let step = till.resolve(3, true);
    assert_eq!((answer(&step), told(&step)), (Some(Ok(())), vec![(Status::Approved, String::new())]));
    assert!(step.erase_batch.is_some());
    till.ends_recovery();
    assert_eq!(till.ended.last(), Some(&Ok(())));
    till.paid("two");
    assert_eq!((till.bank().batch.get(), till.counted()), (2, (1, 100)));
    let sums = |step: &Step| {
        step.effects.iter().find_map(|e| {
            if let Effect::Send(m) = e { Some((m.plan.batch.get(), m.plan.settlement.clone())) } else { None }
        })
    };
    let step = till.input(start("settlement", "zz"));
    let domestic = Half { debit_minor: 100, debit_count: 1, ..Default::default() };
    let totals = BatchPart::Totals(Halves { domestic, ..Default::default() });
    assert_eq!(sums(&step), Some((2, Some(Box::new(totals)))));
}

#[test]
fn a_batch_in_doubt_that_is_open_stays_ours() {
    let mut till = settled_in_what_is_lost();
    till.signs_in("s", 7);
    let step = till.resolve(3, false);
    assert_eq!(
        (answer(&step), told(&step)),
        (Some(Ok(())), vec![(Status::Declined, "resolved-not-executed".into())])
    );
    assert_eq!((till.bank().batch, till.counted()), (Batch::FIRST, (1, 100)));
    // Answered once; another batch is another question.
    assert_eq!(told(&till.signs_in("t", 7)).len(), 1);
    till.ends_recovery();
    assert_eq!(till.ended.last(), Some(&Ok(())));
    let mut till = settled_in_what_is_lost();
    till.signs_in("s", 7);
    till.resolve(3, false);
    assert_eq!(told(&till.signs_in("t", 8)).len(), 2);
    till.ends_recovery();
    assert!(matches!(till.ended.last(), Some(Err(Fault::WrongState { .. }))));
}

/// One question about a batch whose settlement is open: its own transaction.
#[test]
fn an_open_settlement_is_the_question_about_its_batch() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    before.paid("one");
    before.input(start("settlement", "z"));
    let (mut till, _) = before.restore(settings(), Some(200));
    assert_eq!(told(&till.signs_in("s", 9)).len(), 1, "nothing new is asked");
    till.ends_recovery();
    assert!(
        matches!(till.ended.last(), Some(Err(Fault::WrongState { rule })) if rule.contains("transaction 2:")),
        "{:?}",
        till.ended
    );
    till.resolve(2, true);
    assert_eq!(till.bank().batch.get(), 9, "where the host is");
    till.ends_recovery();
    assert_eq!(till.ended.last(), Some(&Ok(())));
}

/// Of an empty batch nothing is in doubt.
#[test]
fn an_empty_batch_follows_the_host_in_a_recovery() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    let (mut till, _) = before.restore(settings(), Some(200));
    till.signs_in("s", 4);
    assert_eq!(till.bank().batch.get(), 4);
    till.ends_recovery();
    assert_eq!(till.ended.last(), Some(&Ok(())));
}

/// Its time of day comes and goes, and nobody is reminded.
#[test]
fn nothing_is_settled_by_itself_while_the_journal_is_not_to_be_trusted() {
    let mut s = settings();
    s.settlement.at = "00:30".parse().ok();
    let before = || {
        let mut before = Till::with(s.clone(), Vec::new());
        before.boot(NOW);
        before.paid("one");
        before
    };
    let mut damaged = before();
    damaged.input(Input::JournalDamaged { why: "record 7: gone".into() });
    for (what, mut till) in [("restored", before().restore(s.clone(), Some(200)).0), ("damaged", damaged)] {
        let now = NOW + Millis::secs(2 * 86_400);
        // What else is due is done first.
        let step = till.machine.handle_timeout(now);
        till.keep(step);
        let step = till.machine.handle_timeout(now);
        assert!(step.records.is_empty() && step.effects.is_empty(), "{what}: {:?}", step.records);
        assert!(
            till.machine.poll_timeout().is_none_or(|w| w.at > now),
            "{what}: due at once again and again"
        );
    }
}

/// A sign-in that names another batch would leave it behind, in no totals and in no upload.
#[test]
fn a_payment_in_doubt_keeps_its_batch() {
    let mut till = Till::new(Vec::new());
    till.boot(NOW);
    till.sale("one");
    // Other numbers by now: nobody can drive its reversal.
    let mut s = settings();
    s.accounts[0].config.tid = "20000002".parse().unwrap();
    let mut till = Till::with(s, till.disk);
    till.boot(NOW);
    assert_eq!(
        till.machine.obligations().iter().map(|o| o.state).collect::<Vec<_>>(),
        [ObligationState::Stuck]
    );
    till.signs_in("s", 8);
    assert_eq!(till.bank().batch, Batch::FIRST);
    till.resolve(1, false);
    till.signs_in("t", 8);
    assert_eq!(till.bank().batch.get(), 8, "nothing names it any more");
}

/// It is of the other terminal's batch, whatever its number: not in these totals, not in this upload.
#[test]
fn what_was_made_under_other_numbers_is_not_of_this_batch() {
    let mut till = Till::new(Vec::new());
    till.boot(NOW);
    till.sale("one");
    let mut s = settings();
    s.accounts[0].config.tid = "20000002".parse().unwrap();
    let mut till = Till::with(s, till.disk);
    till.boot(NOW);
    till.paid("two");
    assert_eq!(told(&till.resolve(1, true)), [(Status::Approved, String::new())]);
    assert_eq!(till.counted(), (1, 100));
    // The acquirer's sums differ: its records are uploaded, the other terminal's not among them.
    let mut all: Vec<_> = till
        .disk
        .iter()
        .filter_map(|e| {
            if let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record {
                Some((**outcome).clone())
            } else {
                None
            }
        })
        .collect();
    all.retain(|o| o.status == Status::Approved);
    all.sort_by_key(|o| o.txn);
    let step = till.input(start("settlement", "z"));
    let settlement = Some(SettlementReply { domestic: (Half::default(), 2), foreign: (Half::default(), 1) });
    let answer = HostAnswer { settlement, ..host_answer(r#""code":"00""#) };
    let step = till.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(answer) });
    let tag = step
        .effects
        .iter()
        .find_map(|e| if let Effect::Load { tag, .. } = e { Some(*tag) } else { None })
        .unwrap();
    assert_eq!(all.len(), 2);
    let step = till.input(Input::BatchLoaded {
        tag,
        found: Ok(all.into_iter().map(|outcome| BatchRow { outcome, icc: None }).collect()),
    });
    let sent = step
        .effects
        .iter()
        .find_map(|e| if let Effect::Send(m) = e { m.plan.settlement.clone() } else { None });
    assert!(matches!(sent.as_deref(), Some(BatchPart::One { record, .. }) if record.txn == 2), "{sent:?}");
}
