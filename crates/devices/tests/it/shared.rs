//! A network printer that takes one connection at a time, and other tills that print on it.
use crate::escpos::{LONG, job, try_open};
use payterm_devices::{PaperLevel, Printer, soft_printer::SoftPrinter};
use payterm_schema::{DeviceKind, config::DeviceConfig, paper::PrintResult, selftest::Verdict};
use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

fn printer() -> SoftPrinter {
    let soft = SoftPrinter::start().unwrap();
    soft.single(true);
    soft
}
fn till(soft: &SoftPrinter, idle_release_ms: u32, status_every_ms: u32) -> Box<dyn Printer> {
    let options = [("idle_release_ms", idle_release_ms), ("status_every_ms", status_every_ms)];
    try_open(&DeviceConfig {
        address: Some(soft.address()),
        command_timeout_ms: 20_000,
        options: options.map(|(key, ms)| (key.to_owned(), ms.into())).into(),
        ..DeviceConfig::new("printer", DeviceKind::Printer, "escpos")
    })
    .unwrap()
}
/// Rests as the engine has it rest, and looks at its state.
fn rest(d: &mut dyn Printer) -> Option<String> {
    std::thread::sleep(d.rest());
    d.status().unwrap().problem()
}
fn rest_until(d: &mut dyn Printer, what: &str, is: impl Fn(Option<String>) -> bool) {
    let began = Instant::now();
    while !is(rest(d)) {
        assert!(began.elapsed() < LONG, "{what}");
    }
}
fn connect(soft: &SoftPrinter) -> Option<TcpStream> {
    TcpStream::connect(soft.address().strip_prefix("tcp:").unwrap()).ok()
}
/// Another till that has the printer.
fn other(soft: &SoftPrinter) -> TcpStream {
    let began = Instant::now();
    loop {
        if let Some(line) = connect(soft) {
            return line;
        }
        assert!(began.elapsed() < LONG, "the printer is not let go");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn two_tills_print_in_turn() {
    let soft = printer();
    std::thread::scope(|s| {
        for first in [10, 20] {
            let mut d = till(&soft, 50, 60_000);
            s.spawn(move || {
                for id in first..first + 4 {
                    assert_eq!(d.print(&job(id)), PrintResult::Confirmed);
                    assert_eq!(rest(&mut *d), None);
                }
            });
        }
    });
    let papers = soft.papers();
    assert_eq!(papers.len(), 8);
    for id in (10..14).chain(20..24) {
        assert_eq!(papers.iter().filter(|p| p.bytes == job(id).escpos).count(), 1, "job {id}");
    }
}

#[test]
fn a_job_waits_for_the_other_till() {
    let soft = printer();
    let mut d = till(&soft, 50, 60_000);
    let line = other(&soft);
    let left = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        drop(line);
    });
    assert_eq!(d.print(&job(1)), PrintResult::Confirmed);
    assert!(left.is_finished());
    left.join().unwrap();
}

#[test]
fn an_idle_connection_is_let_go_and_asked_for_seldom() {
    let soft = printer();
    let mut d = till(&soft, 100, 600);
    assert_eq!(d.print(&job(1)), PrintResult::Confirmed);
    assert!(connect(&soft).is_none(), "it is not idle yet");
    assert_eq!(rest(&mut *d), None);
    drop(other(&soft));
    let before = soft.connections();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2_000) {
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(d.status().unwrap().problem(), None);
    }
    let looks = soft.connections() - before;
    assert!((1..=4).contains(&looks), "{looks} looks in 2 s");
}

#[test]
fn a_printer_that_another_till_has_is_no_failure_and_trouble_stands() {
    let soft = printer();
    let mut d = till(&soft, 50, 300);
    assert_eq!(d.status().unwrap().problem(), None);
    assert_eq!(rest(&mut *d), None);
    let line = other(&soft);
    assert_eq!(rest(&mut *d), None, "refused once");
    let found = d.self_test().unwrap();
    assert_eq!((found.verdict, &*found.code), (Verdict::Degraded, "printer-unreachable"));
    rest_until(&mut *d, "it is refused again and again", |p| p.is_some_and(|p| p.contains("connecting")));
    drop(line);
    rest_until(&mut *d, "it answers", |p| p.is_none());

    soft.paper_out(true);
    rest_until(&mut *d, "no paper", |p| p.is_some_and(|p| p == "paper out"));
    let line = other(&soft);
    soft.paper_out(false);
    for _ in 0..4 {
        assert_eq!(rest(&mut *d).as_deref(), Some("paper out"), "nothing else was heard");
    }
    drop(line);
    rest_until(&mut *d, "there is paper again", |p| p.is_none());
    assert_eq!(d.status().unwrap().paper, PaperLevel::Enough);
}

#[test]
fn a_connection_with_an_unconfirmed_job_is_kept() {
    let soft = printer();
    let mut d = till(&soft, 50, 60_000);
    soft.hold_confirmations();
    let printing = std::thread::spawn(move || (d.print(&job(1)), d));
    soft.wait_papers(1, LONG);
    std::thread::sleep(Duration::from_millis(500));
    assert!(connect(&soft).is_none(), "the job is not confirmed");
    let began = Instant::now();
    while !soft.release_confirmation() {
        assert!(began.elapsed() < LONG);
    }
    let (result, mut d) = printing.join().unwrap();
    assert_eq!(result, PrintResult::Confirmed);
    rest(&mut *d);
    other(&soft);
}
