//! The acquirer over real TCP: money, PINs, voids, reversals, repeats, wallets, both profiles.
use crate::common::{Till, soon, sound};
use payterm_hosts::{FrameError, Profile, read};
use payterm_schema::{
    Kind, PaymentCode,
    account::{Batch, Stan},
    host::{CardSecrets, EntryMode, MacVerdict, MessageKind, OriginalRef, Plan, ReversalReason, Wallet},
};
use payterm_simulator::{Acquirer, Mishap, Options, Running, World};
use std::time::Duration;

const PIN: Option<&str> = Some("123456");
const OPENING: i64 = 1_000_000;

fn start() -> Running {
    Acquirer::start(World::demo().unwrap(), Options::fast()).unwrap()
}
fn start_with(from: &str, to: &str) -> Running {
    let text = payterm_simulator::world::DEMO.replacen(from, to, 1);
    assert_ne!(text, payterm_simulator::world::DEMO, "nothing was replaced");
    Acquirer::start(World::parse(&text).unwrap(), Options::fast()).unwrap()
}
fn alice(r: &Running) -> i64 {
    r.balance("card:alice").unwrap()
}

#[test]
fn a_sale_moves_money_and_carries_everything_in_both_profiles() {
    for (account, fee) in [("cup", 60), ("cup2", 60), ("x919", 38)] {
        let r = start();
        let mut t = Till::new(&r, account);
        let got = t.sign_in();
        assert_eq!(t.batch.get(), if account == "x919" { 101 } else { 1 });
        assert_eq!(t.keys.as_ref().unwrap().mak.reveal().len(), if account == "cup" { 8 } else { 16 });
        assert_eq!(
            (got.answer().mac, got.answer().time.as_ref().map(String::len)),
            (MacVerdict::NotUsed, Some(6))
        );
        let offset = t.profile.utc_offset_minutes;
        let day = || {
            let now = payterm_simulator::acquirer::now().local(offset);
            Some(format!("{:02}{:02}{:02}", u8::from(now.month()), now.day(), now.hour()))
        };
        let before = day();
        let sale = t.sale("alice", 10_000, PIN);
        let a = sale.answer();
        let said = a.date.clone().zip(a.time.clone()).map(|(d, t)| format!("{d}{}", &t[..2]));
        assert!(said == before || said == day(), "F12 and F13 are in the profile's time: {said:?}");
        assert_eq!(
            (a.code.as_str(), a.mac, a.amount, a.requirement),
            ("00", MacVerdict::Good, Some(10_000), 0)
        );
        assert_eq!(a.auth_code.as_ref().map(String::len), Some(6));
        assert_eq!(a.rrn.as_ref().map(String::len), Some(12));
        assert_eq!(a.scheme.as_deref(), Some("CUP"));
        assert_eq!(a.texts.first().map(String::as_str), Some("测试发卡行"));
        assert_eq!(a.issuer_id.as_deref(), Some("01990000"));
        assert_eq!(a.fee, (account == "x919").then_some(38));
        assert_eq!(alice(&r), OPENING - 10_000);
        assert_eq!(r.balance(&format!("merchant:{account}")).unwrap(), 10_000 - fee);
        assert_eq!(r.balance(&format!("fees:{account}")).unwrap(), fee);
        let balance = t.balance("alice", PIN);
        assert_eq!((balance.code(), balance.answer().balance), ("00", Some(990_000)));
        sound(&r);
    }
}

#[test]
fn both_accounts_at_once_and_one_terminal_does_not_meet_the_others_numbers() {
    let r = start();
    let (mut a, mut b) = (Till::signed_in(&r, "cup"), Till::signed_in(&r, "x919"));
    let (x, y) = (a.sale("alice", 100, PIN), b.sale("alice", 200, PIN));
    assert_eq!((x.code(), y.code(), x.plan.stan), ("00", "00", y.plan.stan));
    // The void of one with the numbers of the other finds nothing.
    let wrong = OriginalRef {
        rrn: x.answer().rrn.clone(),
        auth_code: x.answer().auth_code.clone(),
        ..Till::original(&y)
    };
    assert_eq!(b.void("alice", 200, wrong).code(), "25");
    assert_eq!(alice(&r), OPENING - 300);
    sound(&r);
}

#[test]
fn a_wrong_pin_is_55_then_the_right_one_clears_the_count_and_the_limit_is_75() {
    let r = start();
    let mut t = Till::signed_in(&r, "cup");
    assert_eq!(t.sale("alice", 100, Some("999999")).code(), "55");
    assert_eq!(t.sale("alice", 100, Some("999998")).code(), "55");
    assert_eq!(t.sale("alice", 100, PIN).code(), "00");
    for expected in ["55", "55", "75", "75"] {
        assert_eq!(t.sale("alice", 100, Some("000000")).code(), expected);
    }
    assert_eq!(t.sale("alice", 100, PIN).code(), "75", "the right PIN does not help a blocked card");
    assert_eq!(t.sale("alice", 100, None).code(), "55", "a card with a PIN wants it");
    assert_eq!(t.sale("heidi-last-try", 100, Some("000000")).code(), "75");
    assert_eq!(t.sale("grace-no-pin", 100, None).code(), "00");
    assert_eq!(alice(&r), OPENING - 100);
    // Under another PIK the block is no PIN block.
    let pik = payterm_primitives::DesKey::generate(16).unwrap();
    t.keys.as_mut().unwrap().pik = pik.into();
    assert_eq!(t.sale("judy-usd", 100, Some("8642")).code(), "57");
    assert_eq!(t.sale("frank-poor", 100, PIN).code(), "99");
    sound(&r);
    let keep = start_with("[[account]]", "pin_limit_code = \"38\"\n[[account]]");
    let mut t = Till::signed_in(&keep, "cup");
    assert_eq!(t.sale("heidi-last-try", 100, Some("000000")).code(), "38");
}

#[test]
fn cards_and_rules_answer_with_their_codes() {
    let r = start();
    let mut t = Till::signed_in(&r, "cup");
    for (card, code) in [
        ("bob-lost", "41"),
        ("carol-stolen", "43"),
        ("dan-expired", "54"),
        ("erin-restricted", "62"),
        ("frank-poor", "51"),
        ("judy-usd", "57"),
    ] {
        assert_eq!(t.sale(card, 2_000, PIN).code(), code, "{card}");
    }
    assert_eq!(t.sale("alice", 105, PIN).code(), "05");
    assert_eq!(t.sale("alice", 191, PIN).code(), "91");
    let ivan = t.sale("ivan-foreign", 100, None);
    assert_eq!((ivan.code(), ivan.answer().scheme.as_deref()), ("00", Some("VIS")));
    // A PAN that is not of this world, and an expiry that is not the card's.
    let plan = Plan {
        mode: Some(EntryMode::Manual),
        expiry: Some("3012".into()),
        track: false,
        ..t.sale_plan(100, false)
    };
    let pan =
        |p: &str| CardSecrets { pan: Some(payterm_schema::Pan::parse(p).unwrap()), ..CardSecrets::default() };
    assert_eq!(t.exchange(MessageKind::Request, plan, &pan("6212345678900001001")).code(), "14");
    let plan = Plan {
        mode: Some(EntryMode::Manual),
        expiry: Some("3101".into()),
        track: false,
        ..t.sale_plan(100, false)
    };
    assert_eq!(t.exchange(MessageKind::Request, plan, &pan("6212345678900000607")).code(), "54");
    assert_eq!(alice(&r), OPENING);
    sound(&r);
}

#[test]
fn a_void_undoes_its_sale_once_and_all_that_is_given_must_agree() {
    for account in ["cup", "x919"] {
        let r = start();
        let mut t = Till::signed_in(&r, account);
        let sale = t.sale("alice", 5_000, PIN);
        let o = Till::original(&sale);
        assert_eq!(t.void("alice", 4_000, o.clone()).code(), "64");
        assert_eq!(t.void("grace-no-pin", 5_000, o.clone()).code(), "25");
        assert_eq!(
            t.void("alice", 5_000, OriginalRef { rrn: Some("000000000000".into()), ..o.clone() }).code(),
            "25"
        );
        assert_eq!(
            t.void("alice", 5_000, OriginalRef { auth_code: Some("000000".into()), ..o.clone() }).code(),
            "25"
        );
        assert_eq!(t.void("alice", 5_000, OriginalRef { stan: Stan::new(999), ..o.clone() }).code(), "25");
        assert_eq!(t.void("alice", 5_000, OriginalRef { batch: Batch::new(999), ..o.clone() }).code(), "25");
        assert_eq!(alice(&r), OPENING - 5_000);
        let void = t.void("alice", 5_000, o.clone());
        assert_eq!((void.code(), void.answer().mac), ("00", MacVerdict::Good));
        assert_ne!(void.answer().rrn, sale.answer().rrn);
        assert_eq!(alice(&r), OPENING);
        assert_eq!(r.balance(&format!("fees:{account}")).unwrap(), 0);
        assert_eq!(t.void("alice", 5_000, o).code(), "12", "voided once");
        assert_eq!(alice(&r), OPENING);
        sound(&r);
    }
}

#[test]
fn a_reversed_void_lets_the_sale_stand_and_be_voided_again() {
    for account in ["cup", "x919"] {
        let r = start();
        let mut t = Till::signed_in(&r, account);
        let sale = t.sale("alice", 5_000, PIN);
        let (plan, secrets) = (t.void_plan(5_000, Till::original(&sale)), t.card("alice", None));
        assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &secrets).code(), "00");
        assert_eq!(t.reverse(&plan, &secrets).code(), "00");
        assert_eq!(alice(&r), OPENING - 5_000);
        assert_eq!(t.reverse(&plan, &secrets).code(), "00", "repeated");
        assert_eq!(alice(&r), OPENING - 5_000);
        assert_eq!(t.void("alice", 5_000, Till::original(&sale)).code(), "00");
        assert_eq!(alice(&r), OPENING);
        sound(&r);
    }
}

#[test]
fn a_reversal_takes_a_sale_back_once_and_is_answered_00_again() {
    for account in ["cup", "x919"] {
        let r = start();
        let mut t = Till::signed_in(&r, account);
        let secrets = t.card("alice", PIN);
        let plan = t.sale_plan(7_000, true);
        let built = t.build(MessageKind::Request, &plan, &secrets);
        t.send(built.bytes.reveal());
        assert_eq!(t.hear().answer.code, "00");
        assert_eq!(alice(&r), OPENING - 7_000);
        // Another amount, another card: neither is the frame that left.
        let other = Plan { amount: Some(t.money(6_000)), ..plan.clone() };
        assert_eq!(t.reverse(&other, &secrets).code(), "64");
        let grace = t.card("grace-no-pin", None);
        assert_eq!(t.reverse(&plan, &grace).code(), "22");
        assert_eq!(alice(&r), OPENING - 7_000);
        assert_eq!(t.reverse(&plan, &secrets).code(), "00");
        assert_eq!(alice(&r), OPENING);
        assert_eq!(t.reverse(&plan, &secrets).code(), "00");
        assert_eq!(alice(&r), OPENING);
        // The original once more, late: it must not be told as approved, nor post again.
        t.send(built.bytes.reveal());
        assert_eq!(t.hear().answer.code, "12");
        assert_eq!(alice(&r), OPENING);
        assert_eq!(r.postings().unwrap().iter().filter(|p| p.kind != "opening").count(), 2);
        sound(&r);
    }
}

#[test]
fn an_original_that_its_reversal_overtook_is_refused() {
    for account in ["cup", "x919"] {
        let r = start();
        let mut t = Till::signed_in(&r, account);
        let (plan, secrets) = (t.sale_plan(7_000, true), t.card("alice", PIN));
        assert_eq!(t.reverse(&plan, &secrets).code(), "25");
        assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &secrets).code(), "12");
        assert_eq!(t.reverse(&plan, &secrets).code(), "25");
        assert_eq!(alice(&r), OPENING);
        sound(&r);
    }
}

/// The sale was approved, its answer lost, and the line inverts a bit of the reversal: whatever bit, no
/// answer may end it.
#[test]
fn a_garbled_reversal_is_not_refused_under_a_good_mac() {
    let r = start();
    let mut t = Till::signed_in(&r, "cup");
    let (plan, secrets) = (t.sale_plan(1_000, false), t.card("grace-no-pin", None));
    assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &secrets).code(), "00");
    let sealed = CardSecrets { pan: secrets.pan.clone(), ..CardSecrets::default() };
    let built = t.build(MessageKind::Reversal(ReversalReason::NoReply), &plan, &sealed);
    // From the message type on: the MAC covers neither length nor TPDU nor header.
    for bit in 13 * 8..built.bytes.reveal().len() * 8 {
        let mut frame = built.bytes.reveal().to_vec();
        frame[bit / 8] ^= 1 << (bit % 8);
        t.reconnect();
        t.send(&frame);
        let Some(reply) = t.frame(Duration::from_millis(500)) else { continue };
        let Ok(reply) = read(&t.profile, &reply, &t.mak) else { continue };
        let ends = ["00", "12", "25"].contains(&reply.answer.code.as_str())
            && reply.answer.mac == MacVerdict::Good
            && reply.matches(&t.profile, &built.expect).is_ok();
        assert!(!ends, "bit {} of byte {}: {:?}", bit % 8, bit / 8, reply.answer);
    }
    t.reconnect();
    assert_eq!(t.reverse(&plan, &secrets).code(), "00");
    sound(&r);
}

#[test]
fn a_voided_sale_and_a_balance_cannot_be_reversed_a_refused_sale_is_25() {
    for (account, no) in [("cup", "12"), ("x919", "26")] {
        let r = start();
        let mut t = Till::signed_in(&r, account);
        let (plan, secrets) = (t.sale_plan(100, true), t.card("alice", PIN));
        let sale = t.exchange(MessageKind::Request, plan.clone(), &secrets);
        assert_eq!(t.void("alice", 100, Till::original(&sale)).code(), "00");
        assert_eq!(t.reverse(&plan, &secrets).code(), no);
        let plan = t.sale_plan(2_000, true);
        let frank = t.card("frank-poor", PIN);
        assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &frank).code(), "51");
        assert_eq!(t.reverse(&plan, &frank).code(), "25");
        sound(&r);
    }
}

#[test]
fn a_repeated_request_is_answered_as_before_and_posted_once() {
    let r = start();
    let mut t = Till::signed_in(&r, "cup");
    let (plan, secrets) = (t.sale_plan(3_000, true), t.card("alice", PIN));
    let first = t.exchange(MessageKind::Request, plan.clone(), &secrets);
    let again = t.exchange(MessageKind::Request, plan.clone(), &secrets);
    let (a, b) = (first.answer(), again.answer());
    assert_eq!((&a.code, &a.rrn, &a.auth_code, &a.time), (&b.code, &b.rrn, &b.auth_code, &b.time));
    assert_eq!(b.mac, MacVerdict::Good);
    assert_eq!(alice(&r), OPENING - 3_000);
    let other = Plan { amount: Some(t.money(4_000)), ..plan.clone() };
    assert_eq!(
        t.exchange(MessageKind::Request, other, &secrets).code(),
        "94",
        "the same STAN with another amount"
    );
    let code = |c: &str| CardSecrets { code: Some(PaymentCode::parse(c).unwrap()), ..CardSecrets::default() };
    let plan = t.code_plan(100);
    assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &code(NOW)).code(), "00");
    assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &code(NOW)).code(), "00");
    assert_eq!(
        t.exchange(MessageKind::Request, plan, &code("130000000000000002")).code(),
        "94",
        "with another payment code"
    );
    assert_eq!(r.balance("wallet:wechat").unwrap(), 100_000_000 - 100);
    assert_eq!(alice(&r), OPENING - 3_000);
    sound(&r);
    let strict = start_with("[[account]]", "duplicate_code = \"94\"\n[[account]]");
    let mut t = Till::signed_in(&strict, "cup");
    let (plan, secrets) = (t.sale_plan(3_000, true), t.card("alice", PIN));
    assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &secrets).code(), "00");
    assert_eq!(t.exchange(MessageKind::Request, plan, &secrets).code(), "94");
    assert_eq!(alice(&strict), OPENING - 3_000);
}

#[test]
fn who_may_speak_session_mac_and_names() {
    for (account, signin, unknown) in [("cup", "77", "97"), ("x919", "88", "97")] {
        let r = start();
        let mut t = Till::signed_in(&r, account);
        assert_eq!(t.sale("alice", 100, PIN).code(), "00");
        // A wrong MAK: A0 (this acquirer's MAC cannot be good under it either).
        let (plan, secrets) = (t.sale_plan(100, true), t.card("alice", PIN));
        let right = std::mem::replace(
            &mut t.mak,
            crate::common::Key(Some(payterm_primitives::DesKey::generate(16).unwrap().into())),
        );
        let wrong = t.exchange(MessageKind::Request, plan, &secrets);
        assert_eq!(
            (wrong.code(), wrong.answer().mac),
            (if account == "cup" { "A0" } else { signin }, MacVerdict::Wrong)
        );
        t.mak = right;
        // Signed off: 77 without a MAC.
        let off = t.plan(Kind::SignOff);
        assert_eq!(t.exchange(MessageKind::Request, off, &CardSecrets::default()).code(), "00");
        let refused = t.sale("alice", 100, PIN);
        assert_eq!((refused.code(), refused.answer().mac), (signin, MacVerdict::Absent));
        let echo = t.plan(Kind::Echo);
        assert_eq!(t.exchange(MessageKind::Request, echo, &CardSecrets::default()).code(), "00");
        t.station.tid = "NOBODY01".into();
        let got = t.sale("alice", 100, PIN);
        assert_eq!((got.code(), got.answer().mac), (unknown, MacVerdict::Absent));
        t.station.mid = "NOBODYS-MERCHAN".into();
        assert_eq!(t.sale("alice", 100, PIN).code(), "03");
        assert_eq!(alice(&r), OPENING - 100);
    }
}

#[test]
fn a_new_sign_in_gives_new_keys_and_the_old_ones_are_void() {
    let r = start();
    let mut t = Till::signed_in(&r, "cup2");
    let old = t.keys.clone().unwrap();
    assert_eq!(t.sign_in().code(), "00");
    let new = t.keys.clone().unwrap();
    assert!(old.pik != new.pik && old.mak != new.mak);
    t.mak = crate::common::Key(Some(old.mak));
    assert_eq!(t.sale("alice", 100, PIN).code(), "A0");
    assert_eq!(alice(&r), OPENING);
}

const NOW: &str = "130000000000000001";

fn query(t: &mut Till, original: &OriginalRef) -> payterm_hosts::Reply {
    let plan = Plan {
        original: Some(original.clone()),
        mode: Some(EntryMode::Code),
        wallet: Some(Wallet::Wechat),
        ..t.plan(Kind::Sale)
    };
    t.exchange(MessageKind::Query, plan, &CardSecrets::default()).reply
}

#[test]
fn payment_codes_paid_pending_never_refused() {
    let quick = start_with(
        "after_ms = 3000\n[[code]]\nprefix = \"1391\"",
        "after_ms = 1000\n[[code]]\nprefix = \"1391\"",
    );
    let mut t = Till::signed_in(&quick, "cup");
    let wallet = |r: &Running| r.balance("wallet:wechat").unwrap();
    assert_eq!(t.code_sale(NOW, 1_000).code(), "00");
    assert_eq!(wallet(&quick), 100_000_000 - 1_000);
    assert_eq!(t.code_sale("139200000000000001", 1_000).code(), "51");
    let pending = t.code_sale("139000000000000001", 2_000);
    assert_eq!(
        (pending.code(), pending.answer().auth_code.as_deref(), pending.answer().mac),
        ("09", None, MacVerdict::Good)
    );
    let o = Till::original(&pending);
    let first = query(&mut t, &o);
    assert_eq!((first.answer.code.as_str(), &first.answer.rrn), ("09", &o.rrn));
    assert_eq!(wallet(&quick), 100_000_000 - 1_000);
    std::thread::sleep(Duration::from_millis(1100));
    let paid = query(&mut t, &o);
    assert_eq!((paid.answer.code.as_str(), &paid.answer.rrn), ("00", &o.rrn));
    assert_eq!(paid.answer.auth_code.as_ref().map(String::len), Some(6));
    assert_eq!(wallet(&quick), 100_000_000 - 3_000);
    assert_eq!(query(&mut t, &o).answer.code, "00");
    assert_eq!(wallet(&quick), 100_000_000 - 3_000, "paid once");
    assert_eq!(query(&mut t, &OriginalRef { stan: Stan::new(77), ..o }).answer.code, "25");
    let never = t.code_sale("139100000000000001", 500);
    assert_eq!(query(&mut t, &Till::original(&never)).answer.code, "09");
    sound(&quick);
}

#[test]
fn a_payment_code_pays_once() {
    let r = start_with("undo_after_ms = 15000", "undo_after_ms = 0");
    let (mut t, mut other) = (Till::signed_in(&r, "cup"), Till::signed_in(&r, "cup2"));
    let paid = t.code_sale(NOW, 1_000);
    assert_eq!(paid.code(), "00");
    assert_eq!((t.code_sale(NOW, 1_000).code(), other.code_sale(NOW, 500).code()), ("14", "14"));
    let (pending, refused) = ("139100000000000001", "139200000000000001");
    assert_eq!((t.code_sale(pending, 500).code(), t.code_sale(pending, 500).code()), ("09", "14"));
    assert_eq!((t.code_sale(refused, 500).code(), t.code_sale(refused, 500).code()), ("51", "51"));
    let secrets = CardSecrets { code: Some(PaymentCode::parse(NOW).unwrap()), ..CardSecrets::default() };
    assert_eq!(t.reverse(&paid.plan, &secrets).code(), "00");
    assert_eq!(t.code_sale(NOW, 1_000).code(), "14", "its payment was taken back");
    assert_eq!(r.balance("wallet:wechat").unwrap(), 100_000_000);
    sound(&r);
}

#[test]
fn a_wallet_payment_is_not_undone_too_early() {
    let r = start_with("undo_after_ms = 15000", "undo_after_ms = 1500");
    let mut t = Till::signed_in(&r, "cup");
    let secrets = CardSecrets { code: Some(PaymentCode::parse(NOW).unwrap()), ..CardSecrets::default() };
    let plan = t.code_plan(1_000);
    assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &secrets).code(), "00");
    assert_eq!(t.reverse(&plan, &secrets).code(), "09");
    assert_eq!(r.balance("wallet:wechat").unwrap(), 100_000_000 - 1_000);
    // A pending one, taken back before its payer decided, is never paid.
    let pending = t.code_plan(1_000);
    let slow = CardSecrets {
        code: Some(PaymentCode::parse("139100000000000001").unwrap()),
        ..CardSecrets::default()
    };
    assert_eq!(t.exchange(MessageKind::Request, pending.clone(), &slow).code(), "09");
    std::thread::sleep(Duration::from_millis(1600));
    assert_eq!(t.reverse(&plan, &secrets).code(), "00");
    assert_eq!(t.reverse(&pending, &slow).code(), "00");
    assert_eq!(r.balance("wallet:wechat").unwrap(), 100_000_000);
    // Alipay has no such wait.
    let plan = Plan { wallet: Some(Wallet::Alipay), ..t.code_plan(1_000) };
    let ali = CardSecrets {
        code: Some(PaymentCode::parse("280000000000000001").unwrap()),
        ..CardSecrets::default()
    };
    assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &ali).code(), "00");
    assert_eq!(t.reverse(&plan, &ali).code(), "00");
    assert_eq!(r.balance("wallet:alipay").unwrap(), 100_000_000);
    sound(&r);
}

#[test]
fn bytes_that_are_no_frame_close_the_connection_and_nothing_else() {
    let r = start();
    let mut good = Till::signed_in(&r, "cup");
    let whole = good
        .build(MessageKind::Request, &good.sale_plan_fixed(), &good.card("alice", PIN))
        .bytes
        .reveal()
        .to_vec();
    let mut bad: Vec<Vec<u8>> = vec![vec![0xFF, 0xFF], vec![0, 1, 0], b"GET / HTTP/1.1\r\n\r\n".to_vec()];
    let mut bitmap = whole.clone();
    bitmap[15] |= 0x80;
    bad.push(bitmap);
    let mut text = whole.clone();
    text[30] = 0xEE;
    bad.push(text);
    for (i, bytes) in bad.iter().enumerate() {
        let mut t = Till::new(&r, "cup");
        t.send(bytes);
        t.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut one = [0];
        assert!(matches!(std::io::Read::read(&mut t.stream, &mut one), Ok(0) | Err(_)), "{i}");
        soon("the count", || r.stats().bad_frames == i as u64 + 1);
    }
    assert_eq!(good.sale("alice", 100, PIN).code(), "00");
}

/// Whatever the bytes are: the server answers or closes, and goes on.
#[test]
fn any_damage_to_a_frame_is_survived() {
    let r = start();
    let mut good = Till::signed_in(&r, "x919");
    let whole = good
        .build(MessageKind::Request, &good.sale_plan_fixed(), &good.card("alice", PIN))
        .bytes
        .reveal()
        .to_vec();
    for at in 4..whole.len() {
        for flip in [0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let mut t = Till::new(&r, "x919");
            t.send(&bytes);
            if let Some(frame) = t.frame(Duration::from_secs(5)) {
                let reply = read(&good.profile, &frame, &good.mak).unwrap();
                assert_ne!(reply.answer.code, "00", "byte {at}");
            }
        }
    }
    assert_eq!(alice(&r), OPENING);
    assert_eq!(good.sale("alice", 100, PIN).code(), "00");
    sound(&r);
}

#[test]
fn frames_in_pieces_and_two_at_once_are_both_answered() {
    let r = start();
    let mut t = Till::signed_in(&r, "cup");
    let secrets = t.card("alice", PIN);
    let (a, b) = (t.sale_plan(100, true), t.sale_plan(200, true));
    let (x, y) = (t.build(MessageKind::Request, &a, &secrets), t.build(MessageKind::Request, &b, &secrets));
    let both = [x.bytes.reveal(), y.bytes.reveal()].concat();
    let (head, tail) = both.split_at(both.len() / 3);
    t.send(head);
    std::thread::sleep(Duration::from_millis(50));
    t.send(tail);
    for e in [&x.expect, &y.expect] {
        let reply = t.hear();
        reply.matches(&t.profile, e).unwrap();
        assert_eq!(reply.answer.code, "00");
    }
    assert_eq!(alice(&r), OPENING - 300);
}

#[test]
fn silent_and_half_said_connections_are_closed() {
    let options =
        Options { idle: Duration::from_millis(700), frame: Duration::from_millis(700), ..Options::fast() };
    let r = Acquirer::start(World::demo().unwrap(), options).unwrap();
    for bytes in [&[][..], &[0, 100, 0x60]] {
        let mut t = Till::new(&r, "cup");
        t.send(bytes);
        assert!(t.frame(Duration::from_secs(5)).is_none());
        t.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert!(matches!(std::io::Read::read(&mut t.stream, &mut [0]), Ok(0) | Err(_)));
    }
    let mut t = Till::signed_in(&r, "cup");
    assert_eq!(t.sale("alice", 100, PIN).code(), "00");
}

#[test]
fn a_profile_that_is_not_there_is_named() {
    let text = payterm_simulator::world::DEMO.replacen("demo-x919", "demo-x9", 1);
    let e = Acquirer::start(World::parse(&text).unwrap(), Options::fast()).err().unwrap();
    assert_eq!(
        e.to_string(),
        "profile: there is no built-in profile 'demo-x9' (unionpay, demo-x919, private-label)"
    );
    assert!(matches!(
        payterm_hosts::decode(&Profile::builtin("unionpay").unwrap(), &[0, 1]),
        Err(FrameError::Length { .. })
    ));
}

#[test]
fn the_requirement_digit_is_set_in_the_header() {
    let r = start();
    let mut t = Till::signed_in(&r, "cup");
    r.mishaps().next(Mishap::Requirement { digit: 3 }).unwrap();
    let got = t.sale("alice", 100, PIN);
    assert_eq!((got.code(), got.answer().requirement), ("00", 3));
    assert_eq!(t.sale("alice", 100, PIN).answer().requirement, 0);
}

impl Till {
    fn sale_plan_fixed(&self) -> Plan {
        Plan {
            kind: Kind::Sale,
            stan: Stan::new(900_000).unwrap(),
            batch: self.batch,
            amount: Some(self.money(4_200)),
            mode: Some(EntryMode::Swipe),
            pin: true,
            track: true,
            wallet: None,
            expiry: None,
            fallback: false,
            card_sequence: None,
            original: None,
            operator: "01".into(),
            at: crate::common::time_zero(),
            offset: Default::default(),
            auth_code: None,
            tip: None,
            scheme: None,
            settlement: None,
            offline_authority: None,
            icc: None,
            download: None,
        }
    }
}
