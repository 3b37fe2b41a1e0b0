//! A part that panics or hangs is made anew, and no money and no paper is lost by it.
use crate::rig::{CARD, OPENING, Rig, SOON, caller, sale};
use payterm_devices::virtual_bench::When;
use payterm_engine::mishap::Part;
use payterm_schema::{DeviceState, Fault, Notice, Status, config::Language, terminal::Filter};
use payterm_simulator::Mishap;
use std::time::Duration;

/// The daemon goes on after a panic in each kind of actor, and the requests are recalled right.
#[test]
fn a_panic_in_the_store_fails_the_request_and_the_next_one_works() {
    let mut rig = Rig::new(|_| ());
    rig.sale("before");
    rig.virtuals().wait_papers(2, SOON).unwrap();
    rig.papers_done();
    rig.mishaps.plant(Part::Store, 1);
    let failed = rig.begin(sale("during"));
    assert!(matches!(&failed, Err(Fault::StoreFailed { id, .. }) if id == "during"), "{failed:?}");
    let o = rig.sale("during");
    assert_eq!(o.status, Status::Approved, "{o:?}");
    assert_eq!(rig.balance(), OPENING - 2 * 1234);
}

/// Told again after a rebuild, listed and recalled: the same head.
#[test]
fn an_outcome_that_is_told_again_has_its_head() {
    let mut rig = Rig::new(|_| ());
    let o = rig.sale("a");
    rig.papers_done();
    let mut notices = rig.t().notices();
    rig.mishaps.plant(Part::Terminal, 1);
    let (t, me) = (rig.t(), caller());
    rig.runtime.block_on(t.set_language(&me, Language::ZhCn)).ok();
    let again = rig.runtime.block_on(async {
        loop {
            match tokio::time::timeout(SOON, futures_util::StreamExt::next(&mut notices)).await.unwrap() {
                Some(Notice::Outcome { outcome }) => break outcome,
                Some(_) => {}
                None => panic!("the notices ended"),
            }
        }
    });
    assert!(o.journal.is_some());
    assert_eq!((again.key.clone(), &again.journal), (o.key.clone(), &o.journal));
    let listed = rig.runtime.block_on(rig.t().list(&caller(), Filter::default())).unwrap();
    assert_eq!(listed[0].journal, o.journal);
}

#[test]
fn a_panic_in_the_terminal_rebuilds_it_from_disk() {
    let mut rig = Rig::new(|_| ());
    let o = rig.sale("before");
    let key = rig.begin_patiently(sale("during"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    rig.mishaps.plant(Part::Terminal, 1);
    rig.virtuals().swipe(CARD, "3012", When::Within(SOON)).unwrap();
    let end = rig.end(&key, true);
    assert_eq!(end.status, Status::Failed, "{end:?}");
    assert_eq!(rig.end(&o.key, true), o);
    assert_eq!(rig.sale("after").status, Status::Approved);
    assert_eq!(rig.balance(), OPENING - 2 * 1234);
}

#[test]
fn a_panic_in_the_host_link_before_the_frame_is_not_sent() {
    let mut rig = Rig::new(|_| ());
    rig.sale("before");
    rig.mishaps.plant(Part::HostLink, 1);
    let o = rig.sale("during");
    assert_eq!(o.status, Status::Failed, "{o:?}");
    assert_eq!(o.reason.map(|r| r.code), Some("not-sent".into()));
    assert_eq!(rig.balance(), OPENING - 1234);
    let after = rig.sale("after");
    assert_eq!(after.status, Status::Approved, "{after:?}");
}

#[test]
fn a_panic_in_the_spooler_loses_no_paper() {
    let mut rig = Rig::new(|_| ());
    rig.mishaps.plant(Part::Spooler, 1);
    assert_eq!(rig.sale("a").status, Status::Approved);
    let (_, papers) = rig.virtuals().wait_papers(2, SOON).unwrap();
    assert!(papers[0].contains("DUPLICATE"), "whether it was printed was not known: {}", papers[0]);
    assert!(!papers[1].contains("DUPLICATE"), "{}", papers[1]);
}

#[test]
fn a_panic_in_a_device_or_its_driver_is_mended() {
    let mut rig = Rig::new(|_| ());
    let key = rig.begin_patiently(sale("a"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    let reader = |r: &Rig| {
        r.runtime.block_on(r.t().devices()).unwrap().into_iter().find(|d| d.name == "swipe").unwrap()
    };
    rig.virtuals().panic("swipe").unwrap();
    rig.until("the reader is back", |r| reader(r).restarts == 1 && reader(r).state == DeviceState::Idle);
    rig.swipe_and_pin();
    assert_eq!(rig.end(&key, true).status, Status::Approved);
    rig.mishaps.plant(Part::Device, 1);
    assert_eq!(rig.sale("b").status, Status::Approved);
    let restarts: u32 = rig.runtime.block_on(rig.t().devices()).unwrap().iter().map(|d| d.restarts).sum();
    assert_eq!(restarts, 2);
}

#[test]
fn a_driver_that_hangs_is_abandoned_and_nobody_else_waits() {
    let mut rig = Rig::new(|c| c.devices.iter_mut().for_each(|d| d.command_timeout_ms = 100));
    assert_eq!(rig.sale("before").status, Status::Approved);
    rig.virtuals().hang("swipe", Duration::from_secs(60)).unwrap();
    let key = rig.begin_patiently(sale("a"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    // The scanner is armed at once; the reader works again with a new driver.
    rig.until("the reader was given up", |r| {
        r.runtime.block_on(r.t().devices()).unwrap().iter().any(|d| d.name == "swipe" && d.restarts == 1)
    });
    rig.swipe_and_pin();
    assert_eq!(rig.end(&key, true).status, Status::Approved);
}

#[test]
fn a_restart_in_the_middle_of_a_frame_reverses_it() {
    let mut rig = Rig::new(|c| c.accounts[0].reply_timeout_ms = 60_000);
    let first = rig.sale("first");
    assert_eq!(first.status, Status::Approved, "{first:?}");
    rig.acquirer.mishaps().next(Mishap::DropReply).unwrap();
    let key = rig.begin_patiently(sale("cut"));
    rig.swipe_and_pin();
    rig.until("the bank has it", |r| r.balance() == OPENING - 2 * 1234);
    // No orderly shutdown: the terminal is torn out of its work and rebuilt.
    rig.mishaps.plant(Part::Terminal, 1);
    rig.virtuals().key("cancel", When::Within(SOON)).unwrap();
    let end = rig.end(&key, true);
    assert_eq!(end.status, Status::Declined, "{end:?}");
    assert_eq!(rig.balance(), OPENING - 1234);
}
