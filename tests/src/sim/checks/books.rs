//! 1 and 3: the bank's books against what was told, to the cent; and the sealed PANs that this needs.
use super::outcomes;
use crate::sim::{bank::Posting, model::given_up, world::World};
use payterm_schema::{
    AccountId, Entry, Kind, ObligationRecord, Outcome, Record, RequestRecord, Status,
    host::{EntryMode, Plan},
    icc::{Icc, Tag},
    kind::{Mark, Recovery},
    outcome::{Authority, Forwarding},
    record::{Obligation, ObligationState},
};
use payterm_simulator::card::Given;
use std::collections::{BTreeMap, BTreeSet};

/// Journal as far as the books are compared with it.
struct Told {
    outcomes: BTreeMap<u64, Outcome>,
    /// Account, batch and STAN of each frame that a transaction was allowed to send.
    frames: BTreeMap<u64, Vec<(AccountId, u32, u32)>>,
    stuck: BTreeSet<u64>,
    /// Transactions of which a person has written an obligation off.
    written_off: BTreeSet<u64>,
    /// Originals of what was given up, and theirs (a completion's cancel frees its hold): whether such a
    /// message has reached its original is not known.
    given_up_on: BTreeSet<u64>,
}

impl Told {
    fn new(world: &World) -> Self {
        let (mut frames, mut written_off) = (BTreeMap::<u64, Vec<_>>::new(), BTreeSet::new());
        for e in &world.journal {
            if let Record::Request(RequestRecord::Allowed { txn, account, plan, .. })
            | Record::Request(RequestRecord::OfflineAllowed { txn, account, plan, .. }) = &e.record
            {
                frames.entry(*txn).or_default().push((account.clone(), plan.batch.get(), plan.stan.get()));
            }
            if let Record::Obligation(ObligationRecord::WrittenOff { txn, .. }) = &e.record {
                written_off.insert(*txn);
            }
        }
        let outcomes = outcomes(&world.journal);
        let original = |o: &Outcome| o.original.as_ref().and_then(|x| x.txn);
        let given_up = outcomes.values().filter(|o| given_up(o) || written_off.contains(&o.txn));
        let on: BTreeSet<u64> = given_up.filter_map(original).collect();
        let of_those = on.iter().filter_map(|txn| original(outcomes.get(txn)?));
        let given_up_on = of_those.chain(on.iter().copied()).collect();
        Self { frames, stuck: stuck(world), written_off, given_up_on, outcomes }
    }
}

/// 1: at most one approval of a request stands. 3: what was told to be declined or cancelled is nothing, what
/// was approved is there with its amount, and what was done to it here was done there.
pub fn i1_i3_books(world: &World) {
    let told = Told::new(world);
    for (txn, o) in &told.outcomes {
        let postings = told.frames.get(txn).into_iter().flatten().filter_map(|at| world.bank.books.get(at));
        let standing: Vec<_> = postings.filter(|p| !p.reversed).collect();
        assert!(standing.len() <= 1, "invariant 1: {} stands {} times at the bank", o.key, standing.len());
        // A person reconciles these with the acquirer.
        if told.stuck.contains(txn) || world.in_doubt.contains_key(txn) {
            continue;
        }
        // The shop looks no further: what the acquirer has is not known.
        if given_up(o) {
            continue;
        }
        if o.forwarding == Some(Forwarding::Withdrawn) {
            withdrawn(world, &told, o);
            continue;
        }
        let row = o.kind.row();
        match o.status {
            // One that waits for a person.
            Status::Unknown if world.machine.state().settlement_of(*txn).is_some() => {}
            _ if !row.authorisation || o.kind == Kind::Balance => {
                assert!(o.status.is_final(), "invariant 8: {}", o.key)
            }
            Status::Approved if o.forwarding.as_ref().is_some_and(Forwarding::is_lost) => {
                assert!(standing.is_empty(), "invariant 3: {}: told that it was refused, and stands", o.key)
            }
            Status::Approved => {
                let [posting] = standing[..] else {
                    panic!("invariant 3: approved {} is not at the bank: {:#?}", o.key, world.story(*txn))
                };
                approved(world, &told, o, posting);
            }
            Status::Declined | Status::Cancelled | Status::Failed => {
                // What was final when its reversal was given up stays as it was told.
                assert!(
                    standing.is_empty() || told.written_off.contains(txn),
                    "invariant 3: {} was told {:?} and stands at the bank: {:#?}",
                    o.key,
                    o.status,
                    world.story(*txn)
                );
            }
            Status::Running | Status::Unknown => {
                panic!("invariant 8: {}: at rest, and {:?}", o.key, o.status)
            }
        }
    }
}

/// 3, of a payment that was taken out of the queue and of what took it: the bank has never had either, not
/// even to refuse or to reverse it, and there is never one without the other.
fn withdrawn(world: &World, told: &Told, o: &Outcome) {
    let frames = || told.frames.get(&o.txn).into_iter().flatten();
    let there: Vec<_> = frames().filter(|at| world.bank.books.contains_key(*at)).collect();
    assert!(there.is_empty(), "invariant 3: {}: withdrawn, and {there:?} was at the bank", o.key);
    let original = |x: &Outcome| x.original.as_ref().and_then(|x| x.txn);
    let gone = |x: &Outcome| x.status == Status::Approved && x.forwarding == Some(Forwarding::Withdrawn);
    let pair = if o.kind.row().marks_original == Mark::Voided {
        assert!(frames().next().is_none(), "invariant 3: {}: a message of what is told nobody", o.key);
        original(o).and_then(|txn| told.outcomes.get(&txn)).filter(|x| x.voided)
    } else {
        told.outcomes.values().find(|x| gone(x) && original(x) == Some(o.txn))
    };
    assert!(gone(o) && pair.is_some_and(gone), "invariant 3: {}: withdrawn without {pair:?}", o.key);
}

/// 3, of an approved one: amount, marks and refunds are the same on both sides.
fn approved(world: &World, told: &Told, o: &Outcome, p: &Posting) {
    assert_eq!(Some(p.amount), o.sums.amount, "invariant 3: {}", o.key);
    let names =
        |d: &&Obligation| d.plan.original.as_ref().is_some_and(|x| x.stan == o.stan && x.batch == o.batch);
    let obligations = world.machine.obligations();
    let given_up_on = told.given_up_on.contains(&o.txn);
    // What is Stuck and names it is in doubt.
    if !obligations.iter().any(|d| names(&d)) && !given_up_on {
        for (what, there, here) in [
            ("voided", p.voided, o.voided),
            ("taken up", p.taken_up, o.completed),
            ("adjusted", p.tip > 0, o.adjusted),
        ] {
            assert_eq!(there, here, "invariant 3: {}: {what} at the bank and on the terminal", o.key);
        }
    }
    // A refund that is in doubt is held here, and may not be at the bank.
    let in_doubt = obligations.iter().filter(|d| d.plan.kind == Kind::Refund).filter(names);
    let in_doubt: u64 = in_doubt.filter_map(|d| d.plan.amount.map(|a| a.minor())).sum();
    let held = o.sums.refunded.unwrap_or(0);
    assert!(
        given_up_on || (p.refunded <= held && held <= p.refunded + in_doubt),
        "invariant 3: {}: {} refunded at the bank and {held} on the terminal",
        o.key,
        p.refunded
    );
    assert!(p.refunded <= p.amount + p.tip, "invariant 3: {}: refunded above the original", o.key);
}

fn stuck(world: &World) -> BTreeSet<u64> {
    world.machine.obligations().iter().filter(|o| o.state == ObligationState::Stuck).map(|o| o.txn).collect()
}

/// Sealed PANs: those that a void or the upload of the open batch may still need, or that a Stuck reversal
/// needs, and no others.
pub fn sealed(world: &World) {
    let (stuck, outcomes) = (stuck(world), outcomes(&world.journal));
    let here = |o: &Outcome| {
        o.account.as_ref().is_some_and(|a| o.batch == Some(world.machine.state().ledger(a).batch))
    };
    for txn in &world.sealed {
        let o = outcomes.get(txn).expect("a sealed PAN of a transaction");
        let withdrawn = o.forwarding == Some(Forwarding::Withdrawn);
        let needed = o.kind.keeps_pan() && o.status == Status::Approved && here(o) && !withdrawn;
        assert!(stuck.contains(txn) || needed, "invariant 9: a sealed PAN is kept that nobody needs: {o:?}");
    }
    for o in outcomes
        .values()
        .filter(|o| o.kind.keeps_pan() && o.status == Status::Approved && here(o) && o.wallet.is_none())
    {
        if o.forwarding.as_ref().is_some_and(|f| !f.counts()) {
            continue;
        }
        assert!(
            world.sealed.contains(&o.txn),
            "invariant 8: the PAN that a void or the upload of {} needs is gone",
            o.key
        );
    }
}

/// What is wrong between the cards' own lists, the journal and the books: a TC is of an approved payment, one
/// each, or no frame of its run stands in the books; an approval has its card's TC, or of a tap its ARQC.
/// `unlisted`: the cryptogram of cards that keep no list. `stands`: the frame's payment stands in the books.
pub fn cards_disagree(
    journal: &[Entry],
    cards: &[&[Given]],
    unlisted: &[u8],
    stands: impl Fn(&AccountId, &Plan) -> bool,
) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02X}")).collect::<String>();
    let approved = outcomes(journal).into_values().filter_map(|o| {
        let pays = o.status == Status::Approved && o.kind.row().recovery == Recovery::Reverse;
        // A card that was tapped gives no second cryptogram: the host answers its ARQC.
        let tapped = o.entry == Some(EntryMode::Contactless) && o.authority != Some(Authority::Card);
        Some((o.txn, tapped, o.chip?.cryptogram?)).filter(|_| pays)
    });
    let (by_tap, by_tc): (Vec<_>, Vec<_>) = approved.partition(|(_, tapped, _)| *tapped);
    let cryptogram = Tag::new(0x9F26).expect("a tag");
    let stood = |arqc: [u8; 8]| {
        journal.iter().any(|e| match &e.record {
            Record::Request(RequestRecord::Allowed { account, plan, .. }) => {
                let bears = |icc: &Icc| icc.values(cryptogram).next() == Some(&arqc);
                plan.icc.as_ref().is_some_and(bears) && stands(account, plan)
            }
            _ => false,
        })
    };
    let mut wrong = Vec::new();
    let (mut tcs, mut arqcs) = (BTreeSet::new(), BTreeSet::new());
    for given in cards {
        arqcs.extend(given.iter().filter(|g| g.cid == 0x80).map(|g| hex(&g.cryptogram)));
        for tc in given.iter().filter(|g| g.cid == 0x40) {
            let shown = hex(&tc.cryptogram);
            let paid = by_tc.iter().filter(|(.., other)| *other == shown).count();
            let asked = |g: &&Given| g.cid == 0x80 && g.aid == tc.aid && g.atc == tc.atc;
            let arqc = given.iter().find(asked).map(|g| g.cryptogram);
            if paid > 1 {
                wrong.push(format!("one TC, {paid} payments"));
            }
            if paid == 0 && arqc.is_some_and(stood) {
                wrong.push("the card gave a TC, nothing was told as approved, and the bank has it".into());
            }
            tcs.insert(shown);
        }
    }
    let unlisted = hex(unlisted);
    let strange = by_tc.iter().filter(|(.., shown)| *shown != unlisted && !tcs.contains(shown));
    wrong.extend(strange.map(|(txn, ..)| format!("{txn} approved with a TC that no card gave")));
    for (txn, _, shown) in &by_tap {
        if !arqcs.contains(shown) {
            wrong.push(format!("{txn} approved with an ARQC that no card gave"));
        }
        if by_tap.iter().filter(|(.., other)| other == shown).count() > 1 {
            wrong.push(format!("{txn}: one ARQC, several payments"));
        }
    }
    wrong
}
