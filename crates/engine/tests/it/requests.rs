//! Requests through the whole engine: sold, lost, cancelled, and seen by their own app only.
use crate::rig::{CARD, OPENING, Rig, SOON, caller, sale};
use payterm_devices::virtual_bench::When;
use payterm_schema::{
    Caller, Currency, DeviceKind, Fault, Money, Request, Status, notice::Phase, request::RequestWire,
    terminal::Filter,
};
use payterm_simulator::Mishap;
use std::time::Duration;

#[test]
fn a_sale_is_approved_printed_and_recalled_after_a_restart() {
    let mut rig = Rig::new(|_| ());
    let o = rig.sale("a1");
    assert_eq!((o.status, o.sums.amount), (Status::Approved, Some(1234)), "{o:?}");
    assert_eq!(rig.balance(), OPENING - 1234);
    let (_, papers) = rig.virtuals().wait_papers(2, SOON).unwrap();
    assert!(papers[0].contains("12.34") && papers[0].contains("621234*********0003"), "{}", papers[0]);
    // The same id again meets the same transaction; with other content it is a fault.
    assert_eq!(rig.begin(sale("a1")).unwrap().id, "a1");
    let other = RequestWire { amount: Some("99.00".into()), ..sale("a1") };
    assert!(matches!(rig.begin(other), Err(Fault::KeyReused { .. })));
    let before = o;
    rig.restart();
    let again = rig.end(&before.key, true);
    assert_eq!(again, before);
    assert_eq!(rig.begin(sale("a1")).unwrap().id, "a1");
    let (t, me) = (rig.t(), caller());
    let explained = rig.runtime.block_on(t.explain(&me, &before.key)).unwrap();
    assert_eq!(explained.slips.len(), 2);
    assert!(explained.entries.iter().any(|e| e.record["request"]["answered"].is_object()));
    let totals = rig.runtime.block_on(t.totals(&me)).unwrap();
    assert_eq!((totals[0].debit_count, totals[0].debit.as_str(), totals[0].signed_in), (1, "12.34", true));
    assert_eq!(rig.balance(), OPENING - 1234, "nothing was sent again");
}

/// Who has missed the notice reads in the transaction what there is to agree to.
#[test]
fn a_part_that_waits_for_a_yes_is_recalled_with_both_sums() {
    let mut rig = Rig::new(|_| ());
    let key = rig.begin(RequestWire { amount: Some("110.10".into()), ..sale("a") }).unwrap();
    rig.swipe_and_pin();
    rig.virtuals().wait_screen("10.10", SOON).unwrap();
    let (t, me) = (rig.t(), caller());
    let recalled = || rig.runtime.block_on(t.recall(&me, &key)).unwrap();
    rig.until("the question", |_| recalled().phase == Phase::Confirming);
    let asks = recalled();
    assert_eq!((asks.outcome.sums.asked, asks.outcome.sums.amount), (Some(11010), Some(1010)));
    assert!(asks.outcome.status == Status::Running && asks.can_cancel);
    rig.runtime.block_on(t.confirm(&me, &key, true)).unwrap();
    let end = rig.end(&key, true);
    assert_eq!((end.status, end.sums.asked, end.sums.amount), (Status::Approved, Some(11010), Some(1010)));
}

#[test]
fn a_lost_reply_is_unknown_then_reversed_and_final() {
    let mut rig = Rig::new(|_| ());
    let first = rig.sale("first");
    assert_eq!(first.status, Status::Approved, "{first:?}");
    rig.acquirer.mishaps().next(Mishap::DropReply).unwrap();
    let o = rig.sale("lost");
    assert_eq!(o.status, Status::Unknown, "{o:?}");
    let end = rig.end(&o.key, true);
    assert_eq!(end.status, Status::Declined, "{end:?}");
    assert_eq!(rig.balance(), OPENING - 1234);
}

/// The amount does not fall off, and TEST has no line of its own there.
#[test]
fn a_display_of_20_columns_and_4_lines_gets_pages_of_its_size() {
    let mut rig = Rig::new(|config| {
        for display in config.devices.iter_mut().filter(|d| d.kind == DeviceKind::Display) {
            display.options.insert("size".into(), "20x4".into());
        }
    });
    let key = rig.begin_patiently(sale("small"));
    let present = rig.virtuals().wait_screen("12.34", SOON).unwrap();
    rig.virtuals().swipe(CARD, "3012", When::Within(SOON)).unwrap();
    let pin = rig.virtuals().wait_screen("Enter your PIN", SOON).unwrap();
    rig.virtuals().pin("123456", When::Within(SOON)).unwrap();
    let approved = rig.virtuals().wait_screen("Approved", SOON).unwrap();
    assert_eq!(rig.end(&key, false).status, Status::Approved);
    for page in [present, pin, approved] {
        assert_eq!(page[0], "TEST CNY 12.34", "{page:?}");
        assert!(page.len() <= 4 && page.iter().all(|line| line.len() <= 20), "{page:?}");
    }
}

#[test]
fn another_app_sees_nothing() {
    let mut rig = Rig::new(|_| ());
    let o = rig.sale("mine");
    let other = Caller { app: "other".into(), manager: false, ..caller() };
    let t = rig.t();
    rig.runtime.block_on(async {
        assert!(matches!(t.recall(&other, &o.key).await, Err(Fault::NotFound { .. })));
        assert!(matches!(t.cancel(&other, &o.key).await, Err(Fault::NotFound { .. })));
        assert!(matches!(t.explain(&other, &o.key).await, Err(Fault::NotFound { .. })));
        assert_eq!(t.list(&other, Filter::default()).await.unwrap(), []);
        assert!(matches!(
            t.list(&other, Filter { app: Some("demo".into()), ..Filter::default() }).await,
            Err(Fault::NotAllowed { .. })
        ));
        let limited = Caller { limit: Some(Money::new(1000, Currency::CNY).unwrap().into()), ..caller() };
        assert!(matches!(
            t.start(&limited, Request::try_from(sale("big")).unwrap()).await,
            Err(Fault::NotAllowed { .. })
        ));
        assert!(matches!(
            t.list(&caller(), Filter { limit: Some(0), ..Filter::default() }).await,
            Err(Fault::Invalid { .. })
        ));
    });
}

#[test]
fn a_request_is_cancelled_while_the_card_is_asked_for() {
    let mut rig = Rig::new(|_| ());
    let key = rig.begin_patiently(sale("c"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    let (t, me) = (rig.t(), caller());
    let now = rig.runtime.block_on(t.recall(&me, &key)).unwrap();
    assert!(now.can_cancel, "{now:?}");
    rig.runtime.block_on(t.cancel(&me, &key)).unwrap();
    assert_eq!(rig.end(&key, true).status, Status::Cancelled);
    // The outcome is told first, the reader is put to rest beside it.
    std::thread::sleep(Duration::from_millis(300));
    assert!(rig.virtuals().swipe(CARD, "3012", When::Now).is_err(), "the reader is idle again");
}

/// The screen and the papers of an outcome come behind it; the next request is asked before its record is
/// there. Its screen stands all the same.
#[test]
fn the_next_customer_sees_the_next_amount() {
    let mut rig = Rig::new(|_| ());
    for n in 0..5 {
        let key = rig.begin_patiently(sale(&format!("first-{n}")));
        rig.swipe_and_pin();
        rig.end(&key, false);
        let next =
            rig.begin_patiently(RequestWire { amount: Some("55.00".into()), ..sale(&format!("next-{n}")) });
        rig.virtuals().wait_screen("55.00", SOON).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        rig.virtuals().wait_screen("55.00", Duration::from_millis(1)).expect("the one before stands over it");
        rig.swipe_and_pin();
        assert_eq!(rig.end(&next, false).status, Status::Approved);
    }
}
