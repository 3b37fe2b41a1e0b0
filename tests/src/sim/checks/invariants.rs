//! The invariants of architecture §3, each by its number, where the world can judge them. What it cannot: 9
//! in files, logs and core files (`tests/real/canary.rs`), 11 no ERROR in a log (`payments.rs` and `kills.rs`
//! there); 1 and 3 are in `books.rs`, 1 to 6, 8 and 12 also in the model.
use super::{cards_disagree, outcomes, wrong_passwords};
use crate::sim::world::{CODE, PAN, PAN2, PASSWORD, PASSWORD_00, PIN, SCRIPTED, TRACK2, World};
use payterm_core::{Machine, State, Step};
use payterm_schema::{
    AccountId, AccountRecord, HostMessage, Kind, ObligationRecord, Outcome, Record, RequestRecord,
    SettlementRecord, Status,
    card::Depth,
    host::{EntryMode, MessageKind, Plan},
    icc::Tag,
    kind::{Recovery, Side},
    outcome::Forwarding,
    paper::PrintResult,
    record::{Duty, Ending, Entry, Obligation, ObligationState},
};
use payterm_simulator::card::Given;
use std::collections::{BTreeMap, BTreeSet};

fn no_canary(what: &str, text: &str) {
    // A request's hash is 64 hex digits: any six of them stand in it by chance, and nothing can be read in
    // it.
    let text = &text
        .split('"')
        .filter(|word| word.len() != 64 || !word.bytes().all(|b| b.is_ascii_hexdigit()))
        .collect::<Vec<_>>()
        .join("\"");
    for canary in [PAN, TRACK2, CODE, PAN2] {
        assert!(!text.contains(canary), "invariant 9: {what} shows a secret: {text}");
    }
    // Six digits stand in one time of ten thousand by chance; a time has 12 or 13 digits, no masked PAN has.
    for canary in [PASSWORD, PASSWORD_00, PIN, &PAN[6..12], &PAN2[6..12]] {
        for (at, _) in text.match_indices(canary) {
            let digit = |c: &char| c.is_ascii_digit();
            let run = text[..at].chars().rev().take_while(digit).count()
                + text[at..].chars().take_while(digit).count();
            assert!(matches!(run, 12 | 13), "invariant 9: {what} shows a secret: {text}");
        }
    }
}

/// 9: no secret in a record or in the Debug of an effect.
pub fn i9_no_secret(step: &Step) {
    for e in &step.records {
        no_canary("a record", &e.record.encode().expect("record"));
    }
    for e in &step.effects {
        no_canary("an effect", &format!("{e:?}"));
    }
}

/// 7: the fold of the records equals the live machine after each step. (From the first record:
/// [`full_replay`].)
pub fn i7_replay(world: &mut World, step: &Step) {
    for e in &step.records {
        world.fold.apply(e).expect("a record of the machine");
    }
    let live = world.machine.state();
    world.fold.snapshot_seq = live.snapshot_seq;
    assert!(world.fold == *live, "invariant 7: replayed {:?}\nlive {:?}", world.fold, live);
    if let Some((seq, json)) = &step.snapshot {
        let state: State = serde_json::from_str(json).expect("snapshot");
        assert_eq!(state.seq, *seq);
        assert_eq!(&state, live, "invariant 7: the snapshot");
    }
}

/// 5: a key is started once, ever.
pub fn i5_started_once(world: &World, step: &Step) {
    let key = |e: &Entry| {
        if let Record::Request(RequestRecord::Started { key, .. }) = &e.record {
            Some(key.clone())
        } else {
            None
        }
    };
    for new in step.records.iter().filter_map(key) {
        let before = world.journal.iter().chain(world.pending()).any(|e| key(e).as_ref() == Some(&new));
        assert!(!before && !world.lost.contains(&new), "invariant 5: {new} is started again");
    }
}

/// 6: a batch that holds records keeps its number until it is settled.
pub fn i6_batch_stays(world: &World, step: &Step) {
    for e in &step.records {
        if let Record::Account(AccountRecord::SignedIn { account, batch, .. }) = &e.record {
            let ours = world.fold.ledger(account).batch;
            assert!(
                *batch == ours || !world.fold.keeps_batch(account),
                "invariant 6: batch {ours} holds records, or may, and becomes {batch}"
            );
        }
    }
}

/// 7: replay of the whole journal equals the machine (and the fold of what is durable). To be called where
/// nothing is pending.
pub fn full_replay(world: &World) {
    let full = Machine::replay(world.settings.clone(), None, world.journal.clone()).expect("replay");
    let mut replayed = full.state().clone();
    let live = world.machine.state();
    replayed.snapshot_seq = live.snapshot_seq;
    assert_eq!(&replayed, live, "invariant 7: the whole journal");
    replayed.snapshot_seq = world.durable.snapshot_seq;
    assert_eq!(replayed, world.durable, "invariant 7: step by step");
}

/// 4: the record that allows a frame, with its obligation, is on disk before it leaves; and the kind allows
/// it.
pub fn i4_allowed_on_disk(world: &World, m: &HostMessage) {
    let allowed = world.journal.iter().rev().any(|e| match (&e.record, m.message_kind) {
        (Record::Request(RequestRecord::Allowed { account, plan, owes, .. }), MessageKind::Request) => {
            *account == m.account
                && plan.stan == m.plan.stan
                && (*owes || m.plan.kind.row().recovery == Recovery::AskAgain)
        }
        (Record::Account(AccountRecord::ControlSent { account, plan }), MessageKind::Request) => {
            *account == m.account && plan.stan == m.plan.stan
        }
        (
            Record::Settlement(SettlementRecord::Asked { account, plan, .. })
            | Record::Settlement(SettlementRecord::UploadAllowed { account, plan, .. }),
            MessageKind::Request,
        ) => *account == m.account && **plan == m.plan,
        (
            Record::Obligation(ObligationRecord::Tried { stan, .. }),
            MessageKind::Reversal(_) | MessageKind::Repeat | MessageKind::ScriptResult,
        ) => *stan == m.plan.stan,
        (Record::Obligation(ObligationRecord::Queried { plan, .. }), MessageKind::Query) => {
            plan.stan == m.plan.stan
        }
        _ => false,
    });
    assert!(allowed, "invariant 4: the record that allows {m:?} is not on disk");
    let kind = m.plan.kind.row();
    assert!(
        !matches!(m.message_kind, MessageKind::Reversal(_)) || kind.recovery == Recovery::Reverse,
        "invariant 4: {:?} is never reversed",
        m.plan.kind
    );
    let advice = kind.recovery == Recovery::Repeat || m.plan.offline_authority.is_some();
    assert!(
        m.message_kind != MessageKind::Repeat || advice,
        "invariant 4: {:?} is never sent again",
        m.plan.kind
    );
    assert!(
        !matches!(m.message_kind, MessageKind::Reversal(_)) || m.plan.offline_authority.is_none(),
        "invariant 4: {:?} was accepted offline, and is reversed",
        m.plan
    );
}

/// 4: a chip's reversal bears its EMV data, and the card's last ones where it has ended.
pub fn i4_chip_reversed(world: &World, m: &HostMessage) {
    let MessageKind::Reversal(_) = m.message_kind else { return };
    let of = world.durable.obligations.iter().find(|o| o.account == m.account && o.plan.stan == m.plan.stan);
    let last = world.journal.iter().rev().find_map(|e| match &e.record {
        Record::Request(RequestRecord::CardEnded { txn, stan, icc, .. })
            if *stan == m.plan.stan && of.is_some_and(|o| o.txn == *txn) =>
        {
            Some(icc.clone())
        }
        Record::Request(RequestRecord::Allowed { account, plan, .. })
            if *account == m.account && plan.stan == m.plan.stan && plan.batch == m.plan.batch =>
        {
            plan.icc.clone()
        }
        _ => None,
    });
    assert!(m.plan.icc == last, "invariant 4: a reversal without what the card said last: {m:?}");
}

/// 8: what a card made of a script is told to the acquirer.
pub fn i8_scripts_told(world: &World) {
    for e in &world.journal {
        let Record::Request(RequestRecord::CardEnded { txn, icc, .. }) = &e.record else { continue };
        let opened = |e: &Entry| match &e.record {
            Record::Obligation(ObligationRecord::Opened { obligation: o }) => {
                o.txn == *txn && o.duty == Duty::Notify && o.plan.icc.as_ref() == Some(icc)
            }
            _ => false,
        };
        let told = icc.values(Tag::SCRIPT_RESULTS).next().is_none() || world.journal.iter().any(opened);
        assert!(told, "invariant 8: {txn}: nobody is told what the card made of its scripts");
    }
    let runs = |txn: u64| world.durable.running.as_ref().is_some_and(|r| r.txn == txn);
    let waits = |o: &&Obligation| o.duty == Duty::Notify && o.state == ObligationState::Armed && !runs(o.txn);
    let waits = world.durable.obligations.iter().find(waits);
    assert!(waits.is_none(), "invariant 8: a notice waits for a card whose payment has ended: {waits:?}");
}

/// 4: no authorisation of an account leaves while one of its obligations is due on disk.
pub fn i4_nothing_owed(world: &World, m: &HostMessage) {
    if m.message_kind == MessageKind::Request && m.plan.kind.row().authorisation {
        // An advice holds nobody up: the payment is accepted, and told again without harm.
        let owed = |o: &&payterm_schema::record::Obligation| {
            o.account == m.account
                && o.state == ObligationState::Due
                && !o.duty.is_told()
                && o.plan.wallet.is_none()
                && o.left
        };
        let owed = world.durable.obligations.iter().find(owed);
        assert!(owed.is_none(), "invariant 4: an authorisation leaves although {owed:?}");
        let settling = world.durable.accounts.get(&m.account).is_some_and(|l| l.settling.is_some());
        assert!(!settling, "invariant 4: an authorisation leaves while the batch is being closed");
    }
}

/// Accepted without the host: nothing of it had left, no payment of its card was in doubt, and the advice
/// names no PIN and no track.
pub fn offline(world: &World) {
    let mut open = BTreeMap::new();
    let mut left = BTreeSet::new();
    for e in &world.journal {
        match &e.record {
            Record::Request(RequestRecord::Allowed { txn, plan, card, .. }) => {
                left.insert(*txn);
                if !matches!(plan.kind.row().recovery, Recovery::Repeat | Recovery::AskAgain)
                    && plan.wallet.is_none()
                {
                    open.insert((*txn, plan.stan), card.clone());
                }
            }
            Record::Request(RequestRecord::NotSent { txn, stan, .. }) => {
                left.remove(txn);
                open.remove(&(*txn, *stan));
            }
            Record::Request(RequestRecord::Answered { txn, stan, due: None, .. })
            | Record::Obligation(ObligationRecord::Ended { txn, stan, .. })
            | Record::Obligation(ObligationRecord::WrittenOff { txn, stan, .. }) => {
                open.remove(&(*txn, *stan));
            }
            Record::Request(RequestRecord::OfflineAllowed { txn, plan, card, view, .. }) => {
                assert!(
                    !left.contains(txn),
                    "invariant 2: a frame of {txn} may have left, and it is accepted offline"
                );
                assert!(
                    !open.values().any(|c| c == card),
                    "invariant 2: accepted offline, and a payment of the card of {txn} is in doubt: {open:?}"
                );
                assert!(
                    !plan.pin && !plan.track && !view.pin && plan.kind == Kind::Sale,
                    "invariant 2: accepted offline with a PIN or a track: {plan:?}"
                );
            }
            _ => {}
        }
    }
}

/// Checks that advices of one card leave one after the other, in the order of time.
pub fn advices_in_order(world: &World, m: &HostMessage) {
    if m.message_kind != MessageKind::Repeat {
        return;
    }
    let mut waiting = world
        .durable
        .obligations
        .iter()
        .filter(|o| o.duty.is_told() && o.state == ObligationState::Due && o.held.is_none());
    let of = world.durable.obligations.iter().find(|o| o.account == m.account && o.plan.stan == m.plan.stan);
    let Some(of) = of.filter(|o| o.card.is_some()) else { return };
    let earlier = waiting.find(|o| o.account == of.account && o.card == of.card && o.txn < of.txn);
    assert!(earlier.is_none(), "{:?} is told before {earlier:?} of the same card", of.plan);
}

/// 12 and 2: an outcome is on disk, with its authority, before it is told.
pub fn i12_told_after_disk(world: &World, outcome: &Outcome) {
    let on_disk = world.journal.iter().rev().any(|e| match &e.record {
        Record::Request(RequestRecord::Outcome { outcome: o, .. }) => **o == *outcome,
        _ => false,
    });
    assert!(on_disk, "invariant 12: told before it is on disk: {outcome:?}");
    assert!(
        outcome.status != Status::Approved || outcome.authority.is_some(),
        "invariant 2: approved by nobody: {outcome:?}"
    );
}

/// 2: a payment that a chip card ended is approved by its TC, which is on disk; unless a person said so.
pub fn i2_tc_on_disk(world: &World, outcome: &Outcome) {
    let row = outcome.kind.row();
    let by_card = outcome.entry == Some(EntryMode::Chip)
        && row.chip == Some(Depth::Full)
        && row.recovery == Recovery::Reverse;
    let by_person = world.journal.iter().any(|e| match &e.record {
        Record::Obligation(ObligationRecord::Ended { txn, how: Ending::ByPerson(_), .. }) => {
            *txn == outcome.txn
        }
        _ => false,
    });
    let in_doubt = by_person || world.in_doubt.contains_key(&outcome.txn);
    if outcome.status != Status::Approved || !by_card || in_doubt {
        return;
    }
    let tc = world.journal.iter().any(|e| match &e.record {
        Record::Request(RequestRecord::CardEnded { txn, approved, icc, .. }) => {
            let kind = icc.values(Tag::new(0x9F27).expect("a tag")).next().expect("a cryptogram");
            *txn == outcome.txn && *approved && kind == [0x40]
        }
        _ => false,
    });
    assert!(tc, "invariant 2: approved without the card: {outcome:?}");
}

/// 1: the cards' own lists, the journal and the bank agree.
pub fn i1_cards(world: &World) {
    let cards: Vec<_> = world.cards.values().map(|card| card.lock().expect("a card")).collect();
    let given: Vec<&[Given]> = cards.iter().map(|card| card.given()).collect();
    let stands = |account: &AccountId, plan: &Plan| {
        let book = (account.clone(), plan.batch.get(), plan.stan.get());
        world.bank.books.get(&book).is_some_and(|p| !p.reversed)
    };
    let wrong = cards_disagree(&world.journal, &given, &SCRIPTED, stands);
    assert!(wrong.is_empty(), "invariant 1: {}", wrong.join("; "));
}

/// 8: every request ended, every obligation is answered or Stuck, every paper is out; in a time that somebody
/// can wait.
pub fn i8_all_settled(world: &World) {
    assert!(world.machine.running().is_none(), "invariant 8: a request did not end");
    let open: Vec<_> =
        world.machine.obligations().iter().filter(|o| o.state != ObligationState::Stuck).collect();
    assert!(open.is_empty(), "invariant 8: {open:?}");
    let settling: Vec<_> = world
        .machine
        .state()
        .accounts
        .values()
        .filter_map(|l| l.settling.as_ref())
        .filter(|s| !s.hold)
        .collect();
    assert!(settling.is_empty(), "invariant 8: {settling:?}");
    assert_eq!(world.machine.papers().count(), 0, "invariant 8: every paper is printed");
    let waited = world.now.since(world.calm_since).0;
    assert!(
        waited < 2 * 86_400_000,
        "invariant 8: it took {} h until everything was answered",
        waited / 3_600_000
    );
    for o in outcomes(&world.journal).values().filter(|o| !o.status.is_final()) {
        // A settlement may wait for a person too.
        let stuck = world.machine.obligations().iter().any(|x| x.txn == o.txn)
            || world.machine.state().settlement_of(o.txn).is_some();
        assert!(stuck && o.status == Status::Unknown, "invariant 8: {}: at rest, and {:?}", o.key, o.status);
    }
}

/// 8: what a person has forwarded now leaves in the same step, or something is before it.
pub fn i8_forwarded_now(world: &World, step: &Step) {
    let state = world.machine.state();
    for e in &step.records {
        let Record::Obligation(ObligationRecord::Hurried { txn, stan, .. }) = &e.record else { continue };
        let Some(o) = state.obligation(*txn, *stan).filter(|o| o.duty != Duty::ManualResolution) else {
            continue;
        };
        // As many as may be under way, not more.
        let of_account = |txn, stan| state.obligation(txn, stan).is_some_and(|t| t.account == o.account);
        let tried = |e: &Entry| match e.record {
            Record::Obligation(ObligationRecord::Tried { txn, stan }) => of_account(txn, stan),
            _ => false,
        };
        let leaves = step.records.iter().any(tried);
        let earlier = |x: &payterm_schema::record::Obligation| {
            x.account == o.account
                && x.card == o.card
                && x.txn < o.txn
                && x.duty == Duty::Repeat
                && x.state == ObligationState::Due
                && x.held.is_none()
        };
        let behind = o.card.is_some() && state.obligations.iter().any(earlier);
        let ledger = state.ledger(&o.account);
        let waits = !ledger.signed_in
            || ledger.settling.is_some()
            || state.running.is_some()
            || state.recovering.is_some()
            || world.under_way(&o.account);
        assert!(leaves || behind || waits, "invariant 8: forwarded now, and nothing leaves: {o:?}");
    }
}

/// 10: no device is armed after a flow.
pub fn i10_devices_idle(world: &World) {
    let idle = !world.armed && !world.pin_asked && world.chip.is_none();
    assert!(
        idle,
        "invariant 10: a device is not idle: armed {}, PIN {}, chip {}",
        world.armed,
        world.pin_asked,
        world.chip.is_some()
    );
}

/// 5: a final outcome never changes; `Unknown` becomes final once; an advice gains what became of it.
pub fn i5_outcomes_stay(world: &World) {
    let mut finals: BTreeMap<u64, Status> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for e in &world.journal {
        match &e.record {
            Record::Request(RequestRecord::Outcome { outcome, .. }) => {
                let before = finals.insert(outcome.txn, outcome.status);
                let gained = outcome.forwarding.is_some() && before == Some(outcome.status);
                assert!(
                    gained || matches!(before, None | Some(Status::Unknown)),
                    "invariant 5: {:?} became {:?}",
                    before,
                    outcome.status
                );
            }
            Record::Request(RequestRecord::Started { key, .. }) => {
                assert!(keys.insert(key.clone()), "invariant 5: {key} was started twice")
            }
            _ => {}
        }
    }
}

/// 6: no STAN twice in a batch.
pub fn i6_stans_once(world: &World) {
    let mut stans = BTreeSet::new();
    for e in &world.journal {
        let (account, plan) = match &e.record {
            Record::Request(RequestRecord::Allowed { account, plan, .. })
            | Record::Request(RequestRecord::OfflineAllowed { account, plan, .. })
            | Record::Account(AccountRecord::ControlSent { account, plan })
            | Record::Settlement(SettlementRecord::Asked { account, plan, .. })
            | Record::Settlement(SettlementRecord::UploadAllowed { account, plan, .. }) => {
                (account.to_string(), plan)
            }
            Record::Obligation(ObligationRecord::Queried { txn, stan, plan, .. }) => {
                let account = world.journal.iter().find_map(|e| match &e.record {
                    Record::Request(RequestRecord::Allowed { txn: t, account, plan, .. })
                        if t == txn && plan.stan == *stan =>
                    {
                        Some(account.to_string())
                    }
                    _ => None,
                });
                (account.unwrap_or_default(), plan)
            }
            _ => continue,
        };
        assert!(
            stans.insert((account, plan.batch.get(), plan.stan.get())),
            "invariant 6: STAN {} twice",
            plan.stan
        );
    }
}

/// 6: the sums of an account are those of its approvals, and of its rows.
pub fn i6_sums(world: &World) {
    let outcomes = outcomes(&world.journal);
    for (account, ledger) in &world.machine.state().accounts {
        let sum = |side: Side| {
            outcomes
                .values()
                .filter(|o| o.batch == Some(ledger.batch))
                .filter(|o| {
                    o.kind.row().side == side
                        && o.status == Status::Approved
                        && o.account.as_ref() == Some(account)
                })
                .filter(|o| o.forwarding.as_ref().is_none_or(Forwarding::counts))
                .filter_map(|o| if o.kind == Kind::TipAdjust { o.sums.tip } else { o.sums.amount })
                .sum::<u64>()
        };
        assert_eq!(
            (ledger.debit_minor, ledger.credit_minor),
            (sum(Side::Debit), sum(Side::Credit)),
            "invariant 6: totals"
        );
        let rows =
            |side| ledger.totals.iter().filter(|t| t.kind.row().side == side).map(|t| t.minor).sum::<u64>();
        assert_eq!(
            (ledger.debit_minor, ledger.credit_minor),
            (rows(Side::Debit), rows(Side::Credit)),
            "invariant 6: the rows of the totals"
        );
    }
}

/// Settlement: each batch that the terminal closed is closed at the bank, and no other.
pub fn batches(world: &World) {
    // The next one is not always the one behind it: the host may have gone on without us.
    let (mut open, mut closed) = (BTreeMap::new(), BTreeSet::new());
    for e in &world.journal {
        if let Record::Account(AccountRecord::SignedIn { account, batch, .. }) = &e.record {
            open.insert(account, batch.get());
        }
        if let Record::Settlement(SettlementRecord::BatchClosed { account, next, .. }) = &e.record {
            closed.insert((account.to_string(), open.insert(account, next.get()).unwrap_or(1)));
        }
    }
    let there: BTreeSet<(String, u32)> =
        world.bank.closing.iter().filter(|(_, c)| c.closed).map(|((a, b), _)| (a.to_string(), *b)).collect();
    if !world.machine.state().accounts.values().any(|l| l.settling.is_some()) {
        assert_eq!(closed, there, "invariant 6: batches closed on the terminal and at the bank");
    }
}

/// Papers: never none, never two originals (5: a request is done once, on paper too).
pub fn papers(world: &World) {
    let mut originals: BTreeMap<u64, u32> = BTreeMap::new();
    for (job, duplicate, result) in world.printed.iter().skip(world.printed_from) {
        let touched = !matches!(result, PrintResult::NotStarted(_));
        *originals.entry(*job).or_default() += u32::from(!duplicate && touched);
    }
    let confirmed: BTreeSet<u64> = world
        .printed
        .iter()
        .filter(|(.., r)| matches!(r, PrintResult::Confirmed | PrintResult::SentUnconfirmable))
        .map(|(job, ..)| *job)
        .collect();
    let slips = |txn: &u64, o: &Outcome| {
        o.status == Status::Approved && o.kind.row().slip && !world.in_doubt.contains_key(txn)
    };
    for (txn, o) in outcomes(&world.journal).iter().filter(|(txn, o)| slips(txn, o)) {
        let slips =
            world.queued().filter(|job| job.transaction() == Some(*txn) && confirmed.contains(&job.id));
        assert!(
            slips.count() >= 2,
            "invariant 8: {}: the merchant's or the customer's copy never came",
            o.key
        );
    }
    assert!(
        originals.values().all(|n| *n <= 1),
        "invariant 5: two originals of one paper: {:?}",
        world.printed
    );
}

/// Every wrong password is on disk before anything follows from it.
pub fn wrong_password_on_disk(world: &World, effect: &payterm_core::Effect) {
    assert_eq!(
        wrong_passwords(&world.journal),
        world.wrong_told,
        "a wrong password is not on disk before {effect:?}"
    );
}
