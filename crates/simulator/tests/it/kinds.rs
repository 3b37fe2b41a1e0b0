//! The acquirer over real TCP: refunds, pre-authorisations and what follows them, tips, voice sales, partial
//! approvals, wallet refunds, parameters and status, in both profiles.
use crate::common::{Got, Till, sound};
use payterm_schema::{
    Kind, PaymentCode,
    account::Stan,
    host::{CardSecrets, EntryMode, MacVerdict, MessageKind, OriginalRef, Plan},
};
use payterm_simulator::{Acquirer, Options, Running, World};

const PIN: Option<&str> = Some("123456");
const OPENING: i64 = 1_000_000;
/// Account and the most that a completion may have of a hold of 100.00.
const BOTH: [(&str, u64); 2] = [("cup", 11_500), ("x919", 11_000)];

fn start() -> Running {
    Acquirer::start(World::demo().unwrap(), Options::fast()).unwrap()
}
fn alice(r: &Running) -> i64 {
    r.balance("card:alice").unwrap()
}
fn held(r: &Running) -> i64 {
    r.holds().unwrap().iter().map(|h| h.amount).sum()
}
/// Reference to an original that is not in the terminal's journal.
fn elsewhere(of: &Got) -> OriginalRef {
    OriginalRef { batch: None, stan: None, rrn: None, ..Till::original(of) }
}
fn sale_of(t: &mut Till, minor: u64) -> Got {
    t.sale("alice", minor, PIN)
}

#[test]
fn refunds_in_parts_up_to_the_original_to_the_same_card_and_never_reversed() {
    for (account, _) in BOTH {
        let r = start();
        let mut t = Till::signed_in(&r, account);
        let sale = sale_of(&mut t, 10_000);
        let o = Till::original(&sale);
        assert_eq!(t.refund("alice", 10_001, o.clone()).code(), "64");
        assert_eq!(t.refund("grace-no-pin", 1_000, o.clone()).code(), "25", "another card");
        for wrong in [
            OriginalRef { rrn: Some("000000000000".into()), ..o.clone() },
            OriginalRef { date: Some("0101".into()), ..o.clone() },
            OriginalRef { stan: Stan::new(999), ..o.clone() },
            OriginalRef { auth_code: Some("000000".into()), ..o.clone() },
        ] {
            assert_eq!(t.refund("alice", 1_000, wrong.clone()).code(), "25", "{wrong:?}");
        }
        assert_eq!(alice(&r), OPENING - 10_000);
        let (plan, secrets) = (t.refund_plan(4_000, o.clone()), t.card("alice", None));
        let first = t.exchange(MessageKind::Request, plan.clone(), &secrets);
        assert_eq!(
            (first.code(), first.answer().mac, first.answer().amount),
            ("00", MacVerdict::Good, Some(4_000))
        );
        let again = t.exchange(MessageKind::Request, plan, &secrets);
        assert_eq!((again.code(), &again.answer().rrn), ("00", &first.answer().rrn));
        assert_eq!(alice(&r), OPENING - 6_000, "paid back once");
        assert_eq!(t.refund("alice", 6_001, o.clone()).code(), "64");
        // By RRN and date alone.
        let by_rrn = OriginalRef { batch: None, stan: None, auth_code: None, ..o.clone() };
        assert_eq!(t.refund("alice", 6_000, by_rrn).code(), "00");
        assert_eq!(alice(&r), OPENING);
        assert_eq!(t.refund("alice", 1, o.clone()).code(), "64");
        // What is refunded is neither voided nor reversed.
        assert_eq!(t.void("alice", 10_000, o).code(), "12");
        let undo = t.reverse(&sale.plan, &t.card("alice", None));
        assert_eq!(undo.code(), if account == "cup" { "12" } else { "26" });
        assert_eq!(r.postings().unwrap().iter().filter(|p| p.kind == "refund").count(), 2);
        sound(&r);
    }
}

#[test]
fn another_terminal_of_the_merchant_refunds_by_rrn_another_merchant_does_not() {
    let r = start();
    let (mut a, mut b, mut c) =
        (Till::signed_in(&r, "cup"), Till::signed_in(&r, "cup2"), Till::signed_in(&r, "x919"));
    let sale = sale_of(&mut a, 5_000);
    let by_rrn = OriginalRef { batch: None, stan: None, ..Till::original(&sale) };
    assert_eq!(c.refund("alice", 5_000, by_rrn.clone()).code(), "25");
    assert_eq!(
        b.void("alice", 5_000, Till::original(&sale)).code(),
        "25",
        "a void is of the terminal's own batch"
    );
    assert_eq!(b.refund("alice", 5_000, by_rrn.clone()).code(), "00");
    assert_eq!(a.refund("alice", 1, by_rrn).code(), "64");
    assert_eq!(alice(&r), OPENING);
    sound(&r);
}

#[test]
fn a_hold_is_set_aside_completed_once_and_never_beyond_the_percentage() {
    for (account, most) in BOTH {
        for kind in [Kind::Completion, Kind::CompletionAdvice] {
            let r = start();
            let mut t = Till::signed_in(&r, account);
            let pin = (kind == Kind::Completion).then_some("123456");
            let hold = t.run(Kind::PreAuth, "alice", 10_000, None, PIN);
            assert_eq!((hold.code(), hold.answer().auth_code.as_ref().map(String::len)), ("00", Some(6)));
            assert_eq!((alice(&r), held(&r)), (OPENING, 10_000), "nothing is paid");
            assert_eq!(
                t.balance("alice", PIN).answer().balance,
                Some(OPENING - 10_000),
                "but it is not to be spent"
            );
            assert_eq!(sale_of(&mut t, 990_001).code(), "51");
            let o = Till::original(&hold);
            assert_eq!(t.run(kind, "alice", most + 1, Some(o.clone()), pin).code(), "64");
            assert_eq!(t.run(kind, "grace-no-pin", 1_000, Some(o.clone()), None).code(), "25");
            let wrong = OriginalRef { auth_code: Some("000000".into()), ..o.clone() };
            assert_eq!(t.run(kind, "alice", 1_000, Some(wrong), pin).code(), "25");
            let wrong = OriginalRef { date: Some("0101".into()), ..elsewhere(&hold) };
            assert_eq!(t.run(kind, "alice", 1_000, Some(wrong), pin).code(), "25");
            // By authorisation code and date alone.
            let done = t.run(kind, "alice", most, Some(elsewhere(&hold)), pin);
            assert_eq!(done.code(), "00");
            assert_eq!((alice(&r), held(&r)), (OPENING - most as i64, 0));
            assert_eq!(t.run(kind, "alice", 1_000, Some(o.clone()), pin).code(), "12", "a second completion");
            assert_eq!(t.run(Kind::PreAuthCancel, "alice", 10_000, Some(o), PIN).code(), "12");
            // Taken back: the hold comes back, and may be completed anew.
            let undone = t.run(Kind::CompletionCancel, "alice", most, Some(Till::original(&done)), None);
            assert_eq!(undone.code(), "00");
            assert_eq!((alice(&r), held(&r)), (OPENING, 10_000));
            assert_eq!(
                t.run(Kind::CompletionCancel, "alice", most, Some(Till::original(&done)), None).code(),
                "12"
            );
            let second = t.run(kind, "alice", 2_000, Some(elsewhere(&hold)), pin);
            assert_eq!(second.code(), "00");
            assert_eq!((alice(&r), held(&r)), (OPENING - 2_000, 0));
            assert_eq!(
                t.refund("alice", 500, Till::original(&second)).code(),
                "00",
                "a completion is refunded like a sale"
            );
            assert_eq!(
                t.run(Kind::CompletionCancel, "alice", 2_000, Some(Till::original(&second)), None).code(),
                "12"
            );
            sound(&r);
        }
    }
}

/// Reversals of the four that have one; a reversal answered 25 keeps its original out.
#[test]
fn reversals_put_hold_and_payment_back_as_they_were() {
    for (account, _) in BOTH {
        let r = start();
        let mut t = Till::signed_in(&r, account);
        let secrets = t.card("alice", None);
        let never = t.swiped(Kind::PreAuth, 10_000, None);
        assert_eq!(t.reverse(&never, &secrets).code(), "25");
        let with_pin = t.card("alice", PIN);
        assert_eq!(
            t.exchange(MessageKind::Request, Plan { pin: true, ..never }, &with_pin).code(),
            "12",
            "overtaken by its reversal"
        );
        let lost = t.run(Kind::PreAuth, "alice", 10_000, None, PIN);
        assert_eq!((t.reverse(&lost.plan, &secrets).code(), held(&r)), ("00", 0));
        assert_eq!(t.run(Kind::Completion, "alice", 1_000, Some(Till::original(&lost)), PIN).code(), "12");

        let hold = t.run(Kind::PreAuth, "alice", 10_000, None, PIN);
        let o = Some(Till::original(&hold));
        let cancel = t.run(Kind::PreAuthCancel, "alice", 10_000, o.clone(), PIN);
        assert_eq!((cancel.code(), held(&r)), ("00", 0));
        assert_eq!((t.reverse(&cancel.plan, &secrets).code(), held(&r)), ("00", 10_000));
        let done = t.run(Kind::Completion, "alice", 8_000, o.clone(), PIN);
        assert_eq!((done.code(), alice(&r), held(&r)), ("00", OPENING - 8_000, 0));
        assert_eq!(
            t.reverse(&hold.plan, &secrets).code(),
            if account == "cup" { "12" } else { "26" },
            "a hold that is used"
        );
        assert_eq!(t.reverse(&done.plan, &secrets).code(), "00");
        assert_eq!((alice(&r), held(&r)), (OPENING, 10_000));
        assert_eq!(t.reverse(&done.plan, &secrets).code(), "00", "and again");
        let done = t.run(Kind::Completion, "alice", 8_000, o, PIN);
        let undone = t.run(Kind::CompletionCancel, "alice", 8_000, Some(Till::original(&done)), None);
        assert_eq!((undone.code(), alice(&r), held(&r)), ("00", OPENING, 10_000));
        assert_eq!(t.reverse(&undone.plan, &secrets).code(), "00");
        assert_eq!((alice(&r), held(&r)), (OPENING - 8_000, 0), "the completion stands again");
        let undone = t.run(Kind::CompletionCancel, "alice", 8_000, Some(Till::original(&done)), None);
        assert_eq!((undone.code(), alice(&r), held(&r)), ("00", OPENING, 10_000));
        // The hold that came back is used by another completion: the cancel is not reversed any more.
        assert_eq!(
            t.run(Kind::CompletionAdvice, "alice", 10_000, Some(Till::original(&hold)), None).code(),
            "00"
        );
        assert_eq!(t.reverse(&undone.plan, &secrets).code(), if account == "cup" { "12" } else { "26" });
        assert_eq!((alice(&r), held(&r)), (OPENING - 10_000, 0));
        sound(&r);
    }
}

#[test]
fn a_tip_is_added_once_within_the_limit_and_a_repeat_posts_nothing() {
    for (account, _) in BOTH {
        let r = start();
        let mut t = Till::signed_in(&r, account);
        let sale = sale_of(&mut t, 10_000);
        let sealed = CardSecrets { tracks: None, ..t.card("alice", None) };
        let tip = |t: &mut Till, total: u64, tip: u64| Plan {
            track: false,
            tip: Some(tip),
            ..t.swiped(Kind::TipAdjust, total, Some(Till::original(&sale)))
        };
        for (total, extra, code) in [(12_001, 2_001, "61"), (11_000, 999, "64"), (10_000, 0, "64")] {
            let plan = tip(&mut t, total, extra);
            assert_eq!(t.exchange(MessageKind::Request, plan, &sealed).code(), code, "{total} {extra}");
        }
        let plan = tip(&mut t, 12_000, 2_000);
        let first = t.exchange(MessageKind::Request, plan.clone(), &sealed);
        assert_eq!((first.code(), first.answer().amount, alice(&r)), ("00", Some(12_000), OPENING - 12_000));
        for _ in 0..3 {
            assert_eq!(t.exchange(MessageKind::Repeat, plan.clone(), &sealed).code(), "00");
        }
        assert_eq!(alice(&r), OPENING - 12_000, "once");
        let second = tip(&mut t, 13_000, 1_000);
        assert_eq!(t.exchange(MessageKind::Request, second, &sealed).code(), "12");
        assert_eq!(
            t.void("alice", 10_000, Till::original(&sale)).code(),
            "64",
            "the new total is what is voided"
        );
        assert_eq!(t.void("alice", 12_000, Till::original(&sale)).code(), "00");
        assert_eq!(
            (
                alice(&r),
                r.balance(&format!("merchant:{account}")).unwrap(),
                r.balance(&format!("fees:{account}")).unwrap()
            ),
            (OPENING, 0, 0)
        );
        sound(&r);
    }
}

#[test]
fn a_voice_sale_pays_with_the_issuers_code_and_its_repeats_pay_nothing() {
    for (account, _) in BOTH {
        let r = start();
        let mut t = Till::signed_in(&r, account);
        let secrets = t.card("alice", None);
        let plan = Plan { auth_code: Some("V4C0D3".into()), ..t.swiped(Kind::VoiceSale, 3_000, None) };
        let first = t.exchange(MessageKind::Request, plan.clone(), &secrets);
        assert_eq!((first.code(), first.answer().auth_code.as_deref()), ("00", Some("V4C0D3")));
        assert_eq!(t.exchange(MessageKind::Repeat, plan.clone(), &secrets).code(), "00");
        let other = Plan { auth_code: Some("OTHER1".into()), ..plan };
        assert_eq!(t.exchange(MessageKind::Repeat, other, &secrets).code(), "94");
        assert_eq!(alice(&r), OPENING - 3_000);
        assert_eq!(t.refund("alice", 3_000, Till::original(&first)).code(), "00");
        let bob = t.card("bob-lost", None);
        let plan = Plan { auth_code: Some("V4C0D3".into()), ..t.swiped(Kind::VoiceSale, 3_000, None) };
        assert_eq!(t.exchange(MessageKind::Request, plan, &bob).code(), "41");
        assert_eq!(alice(&r), OPENING);
        sound(&r);
    }
}

#[test]
fn a_strict_acquirer_answers_repeats_of_advices_94() {
    let text =
        payterm_simulator::world::DEMO.replacen("[[account]]", "duplicate_code = \"94\"\n[[account]]", 1);
    let r = Acquirer::start(World::parse(&text).unwrap(), Options::fast()).unwrap();
    let mut t = Till::signed_in(&r, "x919");
    let secrets = t.card("alice", None);
    let hold = t.run(Kind::PreAuth, "alice", 10_000, None, PIN);
    let plan = t.swiped(Kind::CompletionAdvice, 10_000, Some(Till::original(&hold)));
    assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &secrets).code(), "00");
    assert_eq!(t.exchange(MessageKind::Repeat, plan, &secrets).code(), "94");
    assert_eq!((alice(&r), held(&r)), (OPENING - 10_000, 0));
    sound(&r);
}

#[test]
fn a_part_is_approved_with_10_and_taken_back_by_either_way() {
    for (account, _) in BOTH {
        let r = start();
        let leo = || r.balance("card:leo-partial").unwrap();
        let mut t = Till::signed_in(&r, account);
        assert_eq!(t.sale("leo-partial", 5_000, PIN).code(), "00", "not more than 50.00");
        let part = t.sale("leo-partial", 8_000, PIN);
        assert_eq!((part.code(), part.answer().amount, leo()), ("10", Some(5_000), OPENING - 10_000));
        assert_eq!(t.void("leo-partial", 8_000, Till::original(&part)).code(), "64");
        assert_eq!(t.void("leo-partial", 5_000, Till::original(&part)).code(), "00");
        // The reversal has the requested amount.
        let part = t.sale("leo-partial", 8_000, PIN);
        let secrets = t.card("leo-partial", None);
        assert_eq!(t.reverse(&part.plan, &secrets).code(), "00");
        assert_eq!(leo(), OPENING - 5_000);
        let by_amount = t.sale("alice", 11_010, PIN);
        assert_eq!(
            (by_amount.code(), by_amount.answer().amount, alice(&r)),
            ("10", Some(1_010), OPENING - 1_010)
        );
        sound(&r);
    }
}

#[test]
fn busy_some_times_then_it_goes_through() {
    let r = start();
    let mut t = Till::signed_in(&r, "cup");
    for code in ["91", "00", "91", "00"] {
        assert_eq!(t.sale("kate-busy", 100, PIN).code(), code);
    }
    for code in ["91", "91", "00", "91"] {
        assert_eq!(t.sale("alice", 192, PIN).code(), code);
    }
    assert_eq!((r.balance("card:kate-busy").unwrap(), alice(&r)), (OPENING - 200, OPENING - 192));
    sound(&r);
}

#[test]
fn a_payment_by_code_is_refunded_to_its_wallet() {
    let r = start();
    let mut t = Till::signed_in(&r, "cup");
    let wechat = || r.balance("wallet:wechat").unwrap();
    let paid = t.code_sale("130000000000000001", 2_000);
    let refund = |t: &mut Till, minor| {
        let plan = Plan {
            mode: Some(EntryMode::Code),
            track: false,
            wallet: paid.plan.wallet,
            scheme: Some("000".into()),
            ..t.refund_plan(minor, Till::original(&paid))
        };
        t.exchange(MessageKind::Request, plan, &CardSecrets::default())
    };
    assert_eq!(refund(&mut t, 2_001).code(), "64");
    assert_eq!(refund(&mut t, 1_500).code(), "00");
    assert_eq!(refund(&mut t, 501).code(), "64");
    assert_eq!(wechat(), 100_000_000 - 500);
    assert_eq!(t.refund("alice", 500, Till::original(&paid)).code(), "25", "not to a card");
    let code = CardSecrets {
        code: Some(PaymentCode::parse("139100000000000001").unwrap()),
        ..CardSecrets::default()
    };
    let plan = t.code_plan(100);
    let pending = t.exchange(MessageKind::Request, plan, &code);
    let plan = Plan {
        mode: Some(EntryMode::Code),
        track: false,
        wallet: pending.plan.wallet,
        scheme: Some("000".into()),
        ..t.refund_plan(100, Till::original(&pending))
    };
    assert_eq!(t.exchange(MessageKind::Request, plan, &CardSecrets::default()).code(), "12", "not paid yet");
    sound(&r);
}

#[test]
fn parameters_and_status_without_a_session() {
    for (account, own) in [("cup", Some("60")), ("x919", None)] {
        let r = start();
        let mut t = Till::new(&r, account);
        let plan = t.plan(Kind::Parameters);
        let got = t.exchange(MessageKind::Request, plan, &CardSecrets::default());
        let value =
            |key: &str| got.answer().parameters.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        assert_eq!((got.code(), value("fee_bp"), value("settlement_cycle")), ("00", own, Some("T1")));
        assert!(got.reply.keys.is_none());
        let plan = t.plan(Kind::StatusUpload);
        assert_eq!(t.exchange(MessageKind::Request, plan, &CardSecrets::default()).code(), "00");
        let seen: Vec<_> = r.statuses().unwrap().into_iter().map(|(a, _, text)| (a, text)).collect();
        assert_eq!(seen, [(account.to_owned(), "SN00000001".to_owned())]);
        assert_eq!(t.sign_in().code(), "00");
        assert_eq!(t.sale("alice", 100, PIN).code(), "00");
    }
}
