//! Slips, papers of the apps, reports and the drawer, in process.
use crate::rig::{Rig, SOON, caller, sale};
use payterm_devices::soft_printer::SoftPrinter;
use payterm_schema::{
    Caller, DeviceKind, DeviceState, Fault, RequestKey, Screen, Status,
    config::{Config, DeviceConfig, Language},
    device::Confirm,
    page::Printable,
    paper::{PaperState, PaperStatus},
};
use std::time::{Duration, Instant};

#[test]
fn a_printer_out_of_paper_holds_up_nothing() {
    let mut rig = Rig::new(|_| ());
    rig.virtuals().paper_out(true).unwrap();
    assert_eq!(rig.sale("a").status, Status::Approved);
    let (t, me) = (rig.t(), caller());
    let jobs = rig.runtime.block_on(t.papers(&me)).unwrap();
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    rig.virtuals().paper_out(false).unwrap();
    let (_, papers) = rig.virtuals().wait_papers(2, SOON).unwrap();
    assert!(papers.iter().all(|p| !p.contains("DUPLICATE")), "no byte of it had been sent");
    rig.until("the papers are done", |r| r.runtime.block_on(t.papers(&me)).unwrap().is_empty());
}

/// The display at rest, the log and the faces say it; once a minute at most, and not any more when there is
/// paper.
#[test]
fn out_of_paper_is_told_until_there_is_some() {
    let mut rig = Rig::new(|c| c.flow.result_ms = 100);
    let log = rig.dir.path().join("log");
    rig.log = Some(std::fs::File::create(&log).unwrap());
    rig.restart();
    let troubles = |r: &Rig| {
        let info = r.runtime.block_on(r.t().info()).unwrap();
        if let Screen::Idle(rest) = &info.screen { Some(rest.troubles.clone()) } else { None }
    };
    rig.until("nothing is wrong", |r| troubles(r) == Some(Vec::new()));
    for round in ["a", "b"] {
        rig.virtuals().paper_out(true).unwrap();
        assert_eq!(rig.sale(round).status, Status::Approved);
        rig.until("it is told", |r| {
            troubles(r) == Some(vec!["paper-out".to_owned(), "slips-waiting".to_owned()])
        });
        rig.virtuals().wait_screen("Printer out of paper", SOON).unwrap();
        rig.virtuals().paper_out(false).unwrap();
        rig.until("it is mended", |r| troubles(r) == Some(Vec::new()));
        // The display draws a moment behind what is told.
        let by = Instant::now() + SOON;
        loop {
            let shown = rig.virtuals().wait_screen("Online", SOON).unwrap();
            if !shown.iter().any(|l| l.contains("paper") || l.contains("Slips")) {
                break;
            }
            assert!(Instant::now() < by, "{shown:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let log = std::fs::read_to_string(&log).unwrap();
    let warned = |what: &str| log.lines().filter(|l| l.contains("WARN") && l.contains(what)).count();
    assert_eq!((warned("trouble=\"paper-out\""), warned("trouble=\"slips-waiting\"")), (1, 1), "{log}");
}

#[test]
fn an_apps_paper_is_printed_once_and_a_shift_report_ends_the_shift() {
    use payterm_schema::totals::Scope;
    let mut rig = Rig::new(|_| {});
    let page = |text: &str| {
        Printable::parse(&format!(r#"{{"page":{{"lines":[{{"type":"text","text":"{text}"}}]}}}}"#)).unwrap()
    };
    let print =
        |rig: &Rig, text: &str| rig.runtime.block_on(rig.t().print(&caller(), "p1".into(), page(text)));
    let key = RequestKey::new(&caller().app, "p1").unwrap();
    let job = print(&rig, "table 4").unwrap();
    let status = rig.runtime.block_on(rig.t().paper(&caller(), &key, true)).unwrap();
    assert_eq!((status.job, status.state), (job, PaperState::Done));
    assert_eq!(print(&rig, "table 4"), Ok(job));
    assert!(matches!(print(&rig, "table 5"), Err(Fault::KeyReused { .. })));
    rig.restart();
    assert_eq!(print(&rig, "table 4"), Ok(job), "for ever");
    assert_eq!(rig.runtime.block_on(rig.t().paper(&caller(), &key, false)).unwrap().state, PaperState::Done);
    let stranger = Caller { app: "other".into(), manager: false, ..caller() };
    assert!(matches!(
        rig.runtime.block_on(rig.t().paper(&stranger, &key, false)),
        Err(Fault::NotFound { .. })
    ));
    assert!(matches!(
        rig.runtime.block_on(rig.t().report(&stranger, Scope::Batch)),
        Err(Fault::NotAllowed { .. })
    ));

    let sale = rig.begin_patiently(sale("s1"));
    rig.swipe_and_pin();
    assert_eq!(rig.end(&sale, true).status, Status::Approved);
    let report = |rig: &Rig, scope| rig.runtime.block_on(rig.t().report(&caller(), scope)).unwrap();
    let (batch, totals) =
        (report(&rig, Scope::Batch), rig.runtime.block_on(rig.t().totals(&caller())).unwrap());
    assert_eq!((batch.accounts[0].debit_count, batch.accounts[0].debit_minor), (1, totals[0].debit_minor));
    assert_eq!(report(&rig, Scope::Shift).accounts[0].rows, batch.accounts[0].rows);
    rig.runtime.block_on(rig.t().print_report(&caller(), Scope::Shift)).unwrap();
    assert!(report(&rig, Scope::Shift).accounts[0].rows.is_empty());
    rig.restart();
    assert!(report(&rig, Scope::Shift).accounts[0].rows.is_empty());
    assert_eq!(report(&rig, Scope::Batch).accounts[0].rows, batch.accounts[0].rows);
}

#[test]
fn a_drawer_opens_once_an_id_and_now_or_never() {
    use payterm_schema::page::Drawer;
    let mut rig = Rig::new(|_| {});
    let print = |rig: &Rig, id: &str, what| rig.runtime.block_on(rig.t().print(&caller(), id.into(), what));
    let open = |rig: &Rig, id: &str| print(rig, id, Printable::Drawer(Drawer {}));
    let came = |rig: &Rig, id: &str| {
        let key = RequestKey::new(&caller().app, id).unwrap();
        rig.runtime.block_on(async {
            tokio::time::timeout(SOON, rig.t().paper(&caller(), &key, true)).await.unwrap().unwrap().state
        })
    };
    let job = open(&rig, "d1").unwrap();
    assert_eq!(came(&rig, "d1"), PaperState::Done);
    assert_eq!(open(&rig, "d1"), Ok(job));
    let page = Printable::parse(r#"{"page":{"lines":[{"type":"rule"}]}}"#).unwrap();
    assert!(matches!(print(&rig, "d1", page), Err(Fault::KeyReused { .. })));

    // A paper that waits for the printer does not hold it up; nor is it kept like one.
    rig.virtuals().printer_online(false).unwrap();
    let page = Printable::parse(r#"{"page":{"lines":[{"type":"text","text":"table 4"}]}}"#).unwrap();
    print(&rig, "p1", page).unwrap();
    let second = open(&rig, "d2").unwrap();
    assert_eq!(came(&rig, "d2"), PaperState::GivenUp);
    rig.virtuals().printer_online(true).unwrap();
    assert_eq!(came(&rig, "p1"), PaperState::Done);
    assert_eq!((open(&rig, "d2"), came(&rig, "d2")), (Ok(second), PaperState::GivenUp));
    let (total, papers) = rig.virtuals().wait_papers(2, SOON).unwrap();
    assert_eq!((total, papers[0].as_str(), papers[1].trim()), (2, "[cash drawer]\n", "table 4"));

    // At the printer when the power goes: nobody knows, and it is not done again.
    rig.virtuals().hang("printer", Duration::from_secs(2)).unwrap();
    let third = open(&rig, "d3").unwrap();
    rig.until("it is at the printer", |r| {
        let key = RequestKey::new(&caller().app, "d3").unwrap();
        r.runtime.block_on(r.t().paper(&caller(), &key, false)).unwrap().state == PaperState::Printing
    });
    let fourth = open(&rig, "d4").unwrap();
    rig.crash();
    assert_eq!(
        (open(&rig, "d3"), came(&rig, "d3"), came(&rig, "d1")),
        (Ok(third), PaperState::GivenUp, PaperState::Done)
    );
    assert_eq!(
        (open(&rig, "d4"), came(&rig, "d4")),
        (Ok(fourth), PaperState::GivenUp),
        "it waited behind the other"
    );
    assert_eq!(rig.virtuals().wait_papers(0, SOON).unwrap().0, 0, "nothing came out in this run");
}

#[test]
fn a_broken_template_is_shown_and_the_built_in_one_serves() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("payment.jinja"), "rule\n{{ no_such }}").unwrap();
    let path = dir.path().to_owned();
    let rig = Rig::new(move |c| c.paper.templates = Some(path));
    let devices = rig.runtime.block_on(rig.t().devices()).unwrap();
    let printer = devices.iter().find(|d| d.kind == DeviceKind::Printer).unwrap();
    assert!(
        printer.health.contains("payment.jinja, line 2: undefined value")
            && printer.state == DeviceState::Degraded,
        "{printer:?}"
    );
}

/// A real printer in place of the virtual one.
fn prints_at(c: &mut Config, address: &str) {
    c.devices.retain(|d| d.kind != DeviceKind::Printer);
    c.devices.push(DeviceConfig {
        address: Some(address.into()),
        ..DeviceConfig::new("paper", DeviceKind::Printer, "escpos")
    });
    c.paper.retry_ms = 100;
}

#[test]
fn a_printer_without_process_ids_prints_each_slip_once() {
    let soft = SoftPrinter::start().unwrap();
    soft.plain(true);
    let address = soft.address();
    let mut rig = Rig::new(move |c| prints_at(c, &address));
    assert_eq!(rig.sale("a").status, Status::Approved);
    let (t, me) = (rig.t(), caller());
    rig.until("the papers are done", |r| r.runtime.block_on(t.papers(&me)).unwrap().is_empty());
    assert_eq!(rig.sale("b").status, Status::Approved);
    rig.until("the papers are done", |r| r.runtime.block_on(t.papers(&me)).unwrap().is_empty());
    let papers = soft.wait_papers(5, Duration::from_secs(1));
    assert_eq!(papers.len(), 4, "two copies of each: {papers:?}");
    assert!(papers.iter().all(|p| p.whole && !p.text.contains("DUPLICATE") && !p.text.contains("重打印")));
    rig.until("what it answers is told", |r| {
        let devices = r.runtime.block_on(t.devices()).unwrap();
        devices.iter().any(|d| d.name == "paper" && d.confirms == Some(Confirm::Status))
    });
}

/// The shop hears what to do where it looks: in the list of devices, and in the self-test in its language. So
/// done, the slips come out.
#[test]
fn a_mute_printer_gets_no_slip_and_the_shop_is_told_what_to_do() {
    let soft = SoftPrinter::start().unwrap();
    soft.mute(true);
    let address = soft.address();
    let mut rig = Rig::new(move |c| {
        prints_at(c, &address);
        c.devices.last_mut().unwrap().command_timeout_ms = 1_000;
    });
    let remedy = r#"confirm = "none""#;
    assert_eq!(rig.sale("a").status, Status::Approved);
    rig.until("the list of devices says it", |r| {
        let devices = r.runtime.block_on(r.t().devices()).unwrap();
        let printer = devices.iter().find(|d| d.name == "paper").unwrap();
        printer.state == DeviceState::Degraded && printer.health.contains(remedy)
    });
    let tested = rig.runtime.block_on(rig.t().self_test(&caller(), false)).unwrap();
    let found = tested.items.iter().find(|f| f.name == "paper").unwrap();
    assert_eq!(found.code, "printer-mute");
    assert!(found.remedy.contains("switched on?") && found.remedy.contains(remedy), "{found:?}");
    assert!(soft.papers().is_empty());
    let printer = rig.config.devices.last_mut().unwrap();
    printer.options.insert("confirm".into(), "none".into());
    rig.restart();
    assert_eq!(soft.wait_papers(2, SOON).len(), 2, "the slips that waited");
}

#[test]
fn a_printer_is_shared_with_another_till() {
    let soft = SoftPrinter::start().unwrap();
    soft.single(true);
    let address = soft.address();
    let mut rig = Rig::new(move |c| prints_at(c, &address));
    assert_eq!(rig.sale("a").status, Status::Approved);
    assert_eq!(soft.wait_papers(2, SOON).len(), 2);
    let other = || std::net::TcpStream::connect(soft.address().strip_prefix("tcp:").unwrap());
    let mut line = None;
    rig.until("it is let go", |_| {
        line = other().ok();
        line.is_some()
    });
    // The other till prints while this one looks at the printer and has slips for it.
    assert_eq!(rig.sale("b").status, Status::Approved);
    std::thread::sleep(Duration::from_secs(1));
    let t = rig.t();
    let devices = rig.runtime.block_on(t.devices()).unwrap();
    let state = devices.iter().find(|d| d.name == "paper").unwrap().state;
    assert!(matches!(state, DeviceState::Idle | DeviceState::Busy), "{devices:?}");
    assert_eq!(soft.papers().len(), 2);
    drop(line);
    let papers = soft.wait_papers(4, SOON);
    assert_eq!(papers.len(), 4, "{papers:?}");
    assert!(papers.iter().all(|p| p.whole && !p.text.contains("DUPLICATE") && !p.text.contains("重打印")));
}

#[test]
fn characters_that_the_printer_lacks_are_counted() {
    let soft = SoftPrinter::start().unwrap();
    let address = soft.address();
    let mut rig = Rig::new(move |c| {
        prints_at(c, &address);
        c.terminal.language = Language::En;
        c.devices.last_mut().unwrap().options.insert("model".into(), "cp437".into());
    });
    let page = |text: &str| {
        let line = format!(r#"{{"page":{{"lines":[{{"type":"text","text":"{text}"}}]}}}}"#);
        Printable::parse(&line).unwrap()
    };
    for (id, text, replaced) in [("p1", "面 caf\u{e9} 中", 2), ("p2", "tea", 0)] {
        rig.runtime.block_on(rig.t().print(&caller(), id.into(), page(text))).unwrap();
        let key = RequestKey::new(&caller().app, id).unwrap();
        let status = |rig: &Rig| rig.runtime.block_on(rig.t().paper(&caller(), &key, true)).unwrap();
        let is = |s: PaperStatus| (s.state, s.replaced);
        assert_eq!(is(status(&rig)), (PaperState::Done, replaced));
        rig.restart();
        assert_eq!(is(status(&rig)), (PaperState::Done, replaced), "for ever");
    }
    let printed = soft.wait_papers(2, SOON);
    assert!(printed[0].bytes.windows(7).any(|w| w == b"? caf\x82 "), "{printed:?}");
}
