//! Settlement over real TCP, in both profiles: the verdict on each half, the upload in lists and single
//! records, what is told twice, the end, and the next batch.
use crate::common::{Got, Till, sound};
use payterm_schema::{
    Kind, Pan,
    account::Stan,
    host::{CardSecrets, EntryMode, MessageKind, OriginalRef, Plan},
    settlement::{BatchPart, Half, Halves, UploadRecord},
};
use payterm_simulator::{Acquirer, Mishap, Options, Running, World, bank::settlement::Settled};

const PIN: Option<&str> = Some("123456");
/// Account, and its first batch.
const BOTH: [(&str, u32); 2] = [("cup", 1), ("x919", 101)];

fn start() -> Running {
    Acquirer::start(World::demo().unwrap(), Options::fast()).unwrap()
}
fn ready(account: &str) -> (Running, Till) {
    let r = start();
    let t = Till::signed_in(&r, account);
    (r, t)
}
fn only(r: &Running) -> Settled {
    let mut all = r.settlements().unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// A payment as it stands in the terminal's batch.
#[derive(Clone)]
struct Row {
    kind: Kind,
    card: &'static str,
    stan: Stan,
    minor: u64,
    original: OriginalRef,
}
impl Row {
    fn of(got: &Got, card: &'static str) -> Self {
        assert_eq!(got.code(), "00");
        let minor = got.plan.amount.unwrap().minor();
        Self { kind: got.plan.kind, card, stan: got.plan.stan, minor, original: Till::original(got) }
    }
    fn foreign(&self) -> bool {
        self.card == "ivan-foreign"
    }
    fn record(&self) -> UploadRecord {
        UploadRecord { txn: 0, stan: self.stan, foreign: self.foreign(), minor: self.minor, sealed: None }
    }
}
fn sums(rows: &[Row]) -> Halves {
    let mut all = Halves::default();
    for r in rows {
        let half = if r.foreign() { &mut all.foreign } else { &mut all.domestic };
        let back = matches!(r.kind, Kind::Void | Kind::Refund);
        let (count, sum) = if back {
            (&mut half.credit_count, &mut half.credit_minor)
        } else {
            (&mut half.debit_count, &mut half.debit_minor)
        };
        (*count, *sum) = (*count + 1, *sum + r.minor);
    }
    all
}

fn message(t: &mut Till, part: BatchPart) -> Plan {
    Plan { settlement: Some(Box::new(part)), ..t.plan(Kind::Settlement) }
}
fn tell(t: &mut Till, part: BatchPart) -> Got {
    let plan = message(t, part);
    t.exchange(MessageKind::Request, plan, &CardSecrets::default())
}
fn totals(t: &mut Till, told: Halves) -> (Halves, (u8, u8)) {
    let got = tell(t, BatchPart::Totals(told));
    assert_eq!(got.code(), "00");
    let reply = got.answer().settlement.unwrap();
    (Halves { domestic: reply.domestic.0, foreign: reply.foreign.0 }, (reply.domestic.1, reply.foreign.1))
}
fn pans(t: &Till, rows: &[Row]) -> CardSecrets {
    let pan = |r: &Row| Some(Pan::parse(t.world.cards.iter().find(|c| c.name == r.card)?.pan()).unwrap());
    CardSecrets { pans: rows.iter().map(pan).collect(), ..CardSecrets::default() }
}
fn list(t: &mut Till, rows: &[Row]) -> Got {
    let (plan, secrets) =
        (message(t, BatchPart::List(rows.iter().map(Row::record).collect())), pans(t, rows));
    t.exchange(MessageKind::Request, plan, &secrets)
}
fn single(t: &mut Till, row: &Row) -> Got {
    let secrets = pans(t, std::slice::from_ref(row));
    let plan = Plan {
        amount: Some(t.money(row.minor)),
        mode: Some(EntryMode::Swipe),
        original: Some(row.original.clone()),
        scheme: Some("CUP".into()),
        ..message(t, BatchPart::One { kind: row.kind, record: row.record() })
    };
    t.exchange(MessageKind::Request, plan, &secrets)
}
fn end(t: &mut Till, records: u32, balanced: bool) -> String {
    tell(t, BatchPart::End { records, balanced }).code().to_owned()
}

/// What was approved in part counts with that part, and is in the file; what was given back is reversed.
#[test]
fn a_part_is_settled_as_a_part() {
    for (account, first) in BOTH {
        let (r, mut t) = ready(account);
        let part = t.sale("leo-partial", 8_000, PIN);
        assert_eq!((part.code(), part.answer().amount), ("10", Some(5_000)));
        let not_taken = t.sale("leo-partial", 7_000, PIN);
        let secrets = t.card("leo-partial", None);
        assert_eq!(t.reverse(&not_taken.plan, &secrets).code(), "00");
        let told = Halves {
            domestic: Half { debit_minor: 5_000, debit_count: 1, ..Half::default() },
            ..Halves::default()
        };
        assert_eq!(totals(&mut t, told), (told, (1, 1)));
        assert_eq!(end(&mut t, 0, true), "00");
        let file = r.reconciliation(account, first).unwrap();
        let statuses: Vec<_> = file.lines().filter_map(|l| l.split_once(",sale,50.00,CNY,")).collect();
        let [(_, paid), (_, back)] = statuses[..] else { panic!("{file}") };
        assert!(paid.starts_with("approved,") && back.starts_with("reversed,"), "{file}");
    }
}

/// Two sales of ours, one of them voided, and a sale of a foreign card.
fn small(t: &mut Till) -> Vec<Row> {
    let (a, b, c) =
        (t.sale("alice", 10_000, PIN), t.sale("alice", 2_500, PIN), t.sale("ivan-foreign", 700, None));
    let void = t.void("alice", 2_500, Till::original(&b));
    vec![Row::of(&a, "alice"), Row::of(&b, "alice"), Row::of(&c, "ivan-foreign"), Row::of(&void, "alice")]
}

#[test]
fn a_batch_that_balances_is_closed_and_the_next_one_opens() {
    for (account, first) in BOTH {
        let (r, mut t) = ready(account);
        let rows = small(&mut t);
        // What a reversal took back is in no sum.
        let lost = t.sale("alice", 4_000, PIN);
        let secrets = t.card("alice", PIN);
        assert_eq!(t.reverse(&lost.plan, &secrets).code(), "00");

        let ours = sums(&rows);
        let half = |debit_minor, debit_count, credit_minor, credit_count| Half {
            debit_minor,
            debit_count,
            credit_minor,
            credit_count,
        };
        assert_eq!(ours, Halves { domestic: half(12_500, 2, 2_500, 1), foreign: half(700, 1, 0, 0) });
        assert_eq!(totals(&mut t, ours), (ours, (1, 1)));
        assert_eq!(totals(&mut t, ours), (ours, (1, 1)), "the answer was lost");
        assert!(!only(&r).closed);
        assert_eq!(end(&mut t, 0, true), "00");
        assert_eq!(end(&mut t, 0, true), "94", "the answer was lost: it is known");
        let s = only(&r);
        assert_eq!(
            (s.batch, s.closed, s.uploaded, s.difference.as_str(), (s.told, s.ours)),
            (first, true, 0, "", (ours, ours))
        );
        // What is closed is answered as before, other totals are refused, and its books stay as they are:
        // also when something comes late.
        t.sale("alice", 900, PIN);
        assert_eq!(totals(&mut t, ours), (ours, (1, 1)));
        let other = Halves { foreign: Half::default(), ..ours };
        assert_eq!(tell(&mut t, BatchPart::Totals(other)).code(), "12");
        assert_eq!(only(&r), s);

        // The next one holds what comes after it, and nothing else.
        t.sign_in();
        assert_eq!(t.batch.get(), first + 1);
        assert_eq!(totals(&mut t, Halves::default()), (Halves::default(), (1, 1)));
        let next = Row::of(&t.sale("alice", 100, PIN), "alice");
        assert_eq!(totals(&mut t, sums(std::slice::from_ref(&next))), (sums(&[next]), (1, 1)));
        assert_eq!(
            r.settlements().unwrap().iter().map(|s| (s.batch, s.closed)).collect::<Vec<_>>(),
            [(first, true), (first + 1, false)]
        );
        sound(&r);
    }
}

#[test]
fn each_half_is_judged_by_itself_and_the_acquirers_own_sums_are_told() {
    for (account, _) in BOTH {
        let (r, mut t) = ready(account);
        let ours = sums(&small(&mut t));
        let wrong = |h: Half, by: i64| Half { debit_minor: h.debit_minor.saturating_add_signed(by), ..h };
        for (told, digits) in [
            (Halves { domestic: wrong(ours.domestic, 1), ..ours }, (2, 1)),
            (Halves { foreign: wrong(ours.foreign, -1), ..ours }, (1, 2)),
            (
                Halves {
                    domestic: Half { credit_count: 2, ..ours.domestic },
                    foreign: Half { debit_count: 0, ..ours.foreign },
                },
                (2, 2),
            ),
            // Before the first record the last word counts.
            (ours, (1, 1)),
        ] {
            assert_eq!(totals(&mut t, told), (ours, digits), "{account} {told:?}");
            let s = only(&r);
            assert_eq!((s.told, s.ours, (s.domestic, s.foreign)), (told, ours, digits));
        }
    }
}

#[test]
fn only_the_half_that_does_not_balance_is_asked_for() {
    for (foreign, digits) in [(false, (2, 1)), (true, (1, 2))] {
        let (r, mut t) = ready("cup");
        let rows = small(&mut t);
        let mut told = sums(&rows);
        if foreign { &mut told.foreign } else { &mut told.domestic }.debit_minor += 1;
        assert_eq!(totals(&mut t, told).1, digits);
        let half: Vec<Row> = rows.into_iter().filter(|r| r.foreign() == foreign).collect();
        assert_eq!(list(&mut t, &half).code(), "00");
        assert_eq!(end(&mut t, half.len() as u32, true), "95", "it did not balance");
        assert!(!only(&r).closed);
        assert_eq!(end(&mut t, half.len() as u32, false), "00");
        let s = only(&r);
        assert_eq!((s.closed, s.uploaded as usize, s.difference.as_str()), (true, half.len(), ""));
    }
}

/// Eight sales and a void in two lists; refund, voice sale, tip and completion advice one by one.
#[test]
fn lists_and_single_records_are_counted_once_however_often_they_come() {
    for (account, _) in BOTH {
        let (r, mut t) = ready(account);
        let mut listed: Vec<Row> =
            (1..=7).map(|n| Row::of(&t.sale("alice", n * 100, PIN), "alice")).collect();
        let original = listed[2].original.clone();
        listed.push(Row::of(&t.void("alice", 300, original), "alice"));
        listed.push(Row::of(&t.sale("ivan-foreign", 700, None), "ivan-foreign"));
        let refund = Row::of(&t.refund("alice", 50, listed[0].original.clone()), "alice");
        let swiped = t.card("alice", None);
        let voice = Plan { auth_code: Some("V4C0D3".into()), ..t.swiped(Kind::VoiceSale, 3_000, None) };
        let voice = Row::of(&t.exchange(MessageKind::Request, voice, &swiped), "alice");
        let hold = t.run(Kind::PreAuth, "alice", 10_000, None, PIN);
        let advice = t.swiped(Kind::CompletionAdvice, 9_000, Some(Till::original(&hold)));
        let advice = Row::of(&t.exchange(MessageKind::Request, advice, &swiped), "alice");
        // A tip takes the place of its sale, with the new total.
        let tipped = t.sale("alice", 5_000, PIN);
        let tip = Plan {
            track: false,
            tip: Some(500),
            ..t.swiped(Kind::TipAdjust, 5_500, Some(Till::original(&tipped)))
        };
        let tip =
            Row::of(&t.exchange(MessageKind::Request, tip, &CardSecrets { tracks: None, ..swiped }), "alice");
        let singles = [refund, voice, advice, tip];
        let all: Vec<Row> = listed.iter().chain(&singles).cloned().collect();
        let ours = sums(&all);
        let told = Halves { domestic: Half { debit_count: 0, ..ours.domestic }, foreign: Half::default() };
        assert_eq!(totals(&mut t, told), (ours, (2, 2)));

        let uploaded = |r: &Running| only(r).uploaded;
        for (rows, after) in [(&listed[..8], 8), (&listed[8..], 9)] {
            let got = list(&mut t, rows);
            assert_eq!((got.code(), uploaded(&r)), ("00", after));
            // The answer was lost: the same message once more.
            let secrets = pans(&t, rows);
            assert_eq!(t.exchange(MessageKind::Request, got.plan.clone(), &secrets).code(), "94");
            assert_eq!(uploaded(&r), after, "counted once");
        }
        for (i, row) in singles.iter().enumerate() {
            let got = single(&mut t, row);
            assert_eq!((got.code(), uploaded(&r)), ("00", 10 + i as u32), "{account} {:?}", row.kind);
            let secrets = pans(&t, std::slice::from_ref(row));
            assert_eq!(t.exchange(MessageKind::Request, got.plan.clone(), &secrets).code(), "94");
            assert_eq!(uploaded(&r), 10 + i as u32);
        }
        // From the first record on the verdict stays, whatever totals come.
        assert_eq!(totals(&mut t, ours).1, (2, 2));
        assert_eq!(end(&mut t, 13, false), "00");
        let s = only(&r);
        assert_eq!((s.closed, s.uploaded, s.difference.as_str()), (true, 13, ""), "{account}");
        assert_eq!(list(&mut t, &listed[..1]).code(), "25", "it is closed");
        assert_eq!(only(&r).uploaded, 13);
        sound(&r);
    }
}

#[test]
fn what_upload_and_books_do_not_agree_on_is_named() {
    let (r, mut t) = ready("cup");
    let rows: Vec<Row> = (1..=4).map(|n| Row::of(&t.sale("alice", n * 1_000, PIN), "alice")).collect();
    assert_eq!(list(&mut t, &rows[..1]).code(), "25", "before the totals");
    assert_eq!(end(&mut t, 0, true), "25", "before the totals");
    let ours = sums(&rows);
    assert_eq!(totals(&mut t, Halves::default()), (ours, (2, 1)));
    // The second in two messages, the third with another amount, the fourth not at all, and one that never
    // was.
    let other = Row { minor: 3_001, ..rows[2].clone() };
    let never = Row { stan: Stan::new(777_777).unwrap(), ..rows[0].clone() };
    assert_eq!(list(&mut t, &rows[..2]).code(), "00");
    assert_eq!(list(&mut t, &[rows[1].clone(), other, never]).code(), "00");
    assert_eq!(end(&mut t, 4, false), "00");
    let said: Vec<String> = only(&r).difference.split("; ").map(Into::into).collect();
    let [_, second, third, fourth] = [0, 1, 2, 3].map(|i: usize| rows[i].stan);
    assert_eq!(
        said,
        [
            "5 records came, the end counts 4".to_owned(),
            format!("STAN {second} was uploaded 2 times"),
            format!("STAN {third}: 3001 was uploaded, 3000 is here"),
            format!("STAN {fourth} was not uploaded"),
            "STAN 777777 was uploaded and is not here".to_owned(),
        ]
    );
}

#[test]
fn the_mishaps_of_a_settlement() {
    for (mishap, digits) in
        [(Mishap::NotBalanced, (2, 2)), (Mishap::SettleError, (3, 3)), (Mishap::BadTotals, (1, 1))]
    {
        let (r, mut t) = ready("cup");
        let ours = sums(&small(&mut t));
        r.mishaps().next(mishap.clone()).unwrap();
        let (told, said) = totals(&mut t, ours);
        assert_eq!(said, digits, "{mishap:?}");
        assert_eq!(told == ours, mishap != Mishap::BadTotals, "balanced, with another sum");
    }
}

#[test]
fn a_settlement_needs_a_sign_in() {
    let r = start();
    let mut t = Till::new(&r, "cup");
    assert_eq!(tell(&mut t, BatchPart::Totals(Halves::default())).code(), "77");
    assert_eq!(r.settlements().unwrap(), []);
}
