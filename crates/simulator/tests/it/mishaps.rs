//! Each mishap, as the terminal sees it and as the ledger sees it.
use crate::common::{Till, sound};
use payterm_hosts::{Mismatch, ReadError, read};
use payterm_schema::{
    Kind,
    host::{MacVerdict, MessageKind},
};
use payterm_simulator::{Acquirer, Mishap, Options, Running, World, mishap::Plan};
use std::time::{Duration, Instant};

const PIN: Option<&str> = Some("123456");
const OPENING: i64 = 1_000_000;

fn ready() -> (Running, Till) {
    let r = Acquirer::start(World::demo().unwrap(), Options::fast()).unwrap();
    let t = Till::signed_in(&r, "cup");
    (r, t)
}
fn spent(r: &Running) -> i64 {
    OPENING - r.balance("card:alice").unwrap()
}
/// Sends a sale of 1.00; what it owes is a reversal of this plan.
fn send(t: &mut Till) -> (payterm_schema::host::Plan, payterm_hosts::Built) {
    let (plan, secrets) = (t.sale_plan(100, true), t.card("alice", PIN));
    let built = t.build(MessageKind::Request, &plan, &secrets);
    t.send(built.bytes.reveal());
    (plan, built)
}
fn reversed(r: &Running, t: &mut Till, plan: &payterm_schema::host::Plan, code: &str) {
    let secrets = t.card("alice", None);
    assert_eq!(t.reverse(plan, &secrets).code(), code);
    assert_eq!(spent(r), 0);
    sound(r);
}

#[test]
fn drop_request_is_never_processed() {
    let (r, mut t) = ready();
    r.mishaps().next(Mishap::DropRequest).unwrap();
    let (plan, _) = send(&mut t);
    assert!(t.silent());
    assert_eq!(spent(&r), 0);
    reversed(&r, &mut t, &plan, "25");
}

#[test]
fn drop_reply_is_processed() {
    let (r, mut t) = ready();
    r.mishaps().next(Mishap::DropReply).unwrap();
    let (plan, _) = send(&mut t);
    assert!(t.silent());
    assert_eq!(spent(&r), 100);
    reversed(&r, &mut t, &plan, "00");
}

#[test]
fn duplicate_reply_comes_twice_and_posts_once() {
    let (r, mut t) = ready();
    r.mishaps().next(Mishap::DuplicateReply).unwrap();
    send(&mut t);
    let wait = Duration::from_secs(5);
    let (a, b) = (t.frame(wait).unwrap(), t.frame(wait).unwrap());
    assert_eq!(a, b);
    assert_eq!(spent(&r), 100);
}

#[test]
fn corrupt_reply_is_no_approval_for_the_terminal() {
    let (r, mut t) = ready();
    r.mishaps().next(Mishap::CorruptReply).unwrap();
    let (plan, _) = send(&mut t);
    let frame = t.frame(Duration::from_secs(5)).unwrap();
    match read(&t.profile, &frame, &t.mak) {
        Err(e) => assert!(matches!(e.why, ReadError::Frame(_)), "{}", e.why),
        Ok(reply) => assert_eq!(reply.answer.mac, MacVerdict::Wrong),
    }
    assert_eq!(spent(&r), 100);
    reversed(&r, &mut t, &plan, "00");
}

#[test]
fn bad_mac_and_no_mac() {
    let (r, mut t) = ready();
    for (mishap, verdict) in [(Mishap::BadMac, MacVerdict::Wrong), (Mishap::NoMac, MacVerdict::Absent)] {
        r.mishaps().next(mishap).unwrap();
        let (plan, _) = send(&mut t);
        let reply = t.hear();
        assert_eq!((reply.answer.code.as_str(), reply.answer.mac), ("00", verdict));
        assert_eq!(spent(&r), 100);
        reversed(&r, &mut t, &plan, "00");
    }
}

#[test]
fn close_mid_frame_cuts_the_line_after_the_posting() {
    let (r, mut t) = ready();
    r.mishaps().next(Mishap::CloseMidFrame).unwrap();
    let (plan, _) = send(&mut t);
    assert!(t.frame(Duration::from_secs(5)).is_none());
    assert_eq!(spent(&r), 100);
    t.reconnect();
    reversed(&r, &mut t, &plan, "00");
}

#[test]
fn busy_is_91_also_for_a_copy_and_leaves_no_trace_in_the_books() {
    let (r, mut t) = ready();
    r.mishaps().next(Mishap::Busy).unwrap();
    let (plan, secrets) = (t.sale_plan(100, true), t.card("alice", PIN));
    let got = t.exchange(MessageKind::Request, plan.clone(), &secrets);
    assert_eq!((got.code(), got.answer().mac), ("91", MacVerdict::Good));
    assert_eq!(
        t.exchange(MessageKind::Request, plan, &secrets).code(),
        "91",
        "a copy of what was turned away"
    );
    let again = t.sale_plan(100, true);
    assert_eq!(t.exchange(MessageKind::Request, again, &secrets).code(), "00");
    assert_eq!(spent(&r), 100);
}

#[test]
fn wrong_stan_belongs_to_no_request() {
    let (r, mut t) = ready();
    r.mishaps().next(Mishap::WrongStan).unwrap();
    let (plan, built) = send(&mut t);
    let reply = t.hear();
    assert_eq!(reply.answer.mac, MacVerdict::Good);
    assert_eq!(reply.matches(&t.profile, &built.expect), Err(Mismatch::Field(11)));
    reversed(&r, &mut t, &plan, "00");
}

#[test]
fn a_late_reply_does_not_hold_up_the_connection() {
    let (r, mut t) = ready();
    r.mishaps().next(Mishap::LateReply { ms: 1000 }).unwrap();
    let (_, late) = send(&mut t);
    let (_, prompt) = send(&mut t);
    let first = t.hear();
    first.matches(&t.profile, &prompt.expect).unwrap();
    assert_eq!(spent(&r), 200, "processed at once");
    let second = t.hear();
    second.matches(&t.profile, &late.expect).unwrap();
    assert_eq!(second.answer.code, "00");
}

#[test]
fn a_delay_is_before_the_processing() {
    let (r, mut t) = ready();
    r.mishaps().next(Mishap::Delay { ms: 1000 }).unwrap();
    let begin = Instant::now();
    let (_, built) = send(&mut t);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(spent(&r), 0);
    let reply = t.hear();
    reply.matches(&t.profile, &built.expect).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(1000));
    assert_eq!(spent(&r), 100);
}

#[test]
fn a_code_refuses_and_the_repeat_is_refused_too() {
    let (r, mut t) = ready();
    r.mishaps().next(Mishap::Code { code: "96".parse().unwrap() }).unwrap();
    let (plan, secrets) = (t.sale_plan(100, true), t.card("alice", PIN));
    assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &secrets).code(), "96");
    assert_eq!(t.exchange(MessageKind::Request, plan.clone(), &secrets).code(), "96");
    reversed(&r, &mut t, &plan, "25");
}

#[test]
fn only_the_named_kind_mti_and_account_are_struck() {
    let (r, mut t) = ready();
    let mut other = Till::signed_in(&r, "x919");
    let plan = |kind, mti: Option<&str>, account: Option<&str>| Plan {
        next: 2,
        kind,
        mti: mti.map(Into::into),
        account: account.map(Into::into),
        ..Plan::new(Mishap::Busy)
    };
    r.mishaps().add(plan(Some(Kind::Balance), None, None)).unwrap();
    r.mishaps().add(plan(None, Some("0400"), None)).unwrap();
    r.mishaps().add(plan(Some(Kind::SignIn), None, Some("x919"))).unwrap();
    assert_eq!(t.sale("alice", 100, PIN).code(), "00");
    assert_eq!(t.balance("alice", PIN).code(), "91");
    assert_eq!(t.sign_in().code(), "00");
    assert_eq!(other.sign_in().code(), "91");
    let secrets = t.card("alice", PIN);
    let sale = t.sale_plan(200, true);
    assert_eq!(t.exchange(MessageKind::Request, sale.clone(), &secrets).code(), "00");
    assert_eq!(
        (
            t.reverse(&sale, &secrets).code(),
            t.reverse(&sale, &secrets).code(),
            t.reverse(&sale, &secrets).code()
        ),
        ("91", "91", "00")
    );
    assert_eq!(spent(&r), 100);
}

#[test]
fn a_rule_of_the_world_makes_a_mishap() {
    let (r, mut t) = ready();
    let (plan, secrets) = (t.sale_plan(198, true), t.card("alice", PIN));
    let built = t.build(MessageKind::Request, &plan, &secrets);
    t.send(built.bytes.reveal());
    assert!(t.silent());
    assert_eq!(spent(&r), 198);
    reversed(&r, &mut t, &plan, "00");
    assert_eq!(r.stats().mishaps, 1);
}
