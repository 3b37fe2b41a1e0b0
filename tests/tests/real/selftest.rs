//! The self-test on the real thing: what is broken is found, told with its remedy, and limits only what needs
//! it. Languages at run time, and the bundle for customer service.
use crate::common::*;
use payterm_devices::virtual_bench::When;
use payterm_schema::{
    SelfTest, Status, Terminal,
    config::{Language, PlainLine},
    selftest::{LINE_PRIVATE, Part, Verdict},
};
use payterm_tests::real::stack::{Stack, caller, until};
use std::{os::unix::fs::PermissionsExt, time::Duration};

type Done = Result<(), Box<dyn std::error::Error>>;

/// `(verdict, code)` of a part.
fn found(report: &SelfTest, part: Part) -> (Verdict, String) {
    let item = report.items.iter().find(|i| i.part == part).expect("the part is in the report");
    assert_eq!(item.verdict == Verdict::Passed, item.remedy.is_empty(), "{item:?}");
    assert!(!item.reason.is_empty() && !item.reason.contains('{') && !item.remedy.contains('{'), "{item:?}");
    (item.verdict, item.code.clone())
}
fn failed(code: &str) -> (Verdict, String) {
    (Verdict::Failed, code.into())
}
async fn first_report(client: &payterm_dbus::Client) -> SelfTest {
    for _ in 0..1_200 {
        if let Some(report) = client.last_self_test().await.expect("last") {
            return report;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no self-test after the start");
}

#[tokio::test]
async fn a_sound_terminal_passes_after_its_start_and_on_demand() -> Done {
    let stack = Stack::start(|_, _| ())?;
    let client = stack.client().await?;
    let report = first_report(&client).await;
    assert_eq!(report.verdict, Verdict::Passed, "{report:?}");
    // Eight devices, store, clock, keys and line of the one account.
    assert_eq!(report.items.len(), 12, "{report:?}");
    assert_eq!(found(&report, Part::Store), (Verdict::Passed, "store-works".into()));
    assert_eq!(found(&report, Part::HostLink), (Verdict::Passed, "host-answered".into()));
    // It came with the ready terminal, not before it.
    assert!(stack.ready_in < Duration::from_secs(5));
    let mut virtuals = stack.virtuals()?;
    virtuals.wait_screen("自检", Duration::from_secs(60))?;
    let out = stack.ctl(&["--lang", "en", "self-test", "--print"])?;
    let text = String::from_utf8(out.stdout)?;
    assert_eq!(out.status.code(), Some(0), "{text}");
    let (_, papers) = virtuals.wait_papers(1, Duration::from_secs(60))?;
    assert!(
        papers[0].contains("自检单") && papers[0].contains("400-000-0000") && papers[0].contains("printer"),
        "{}",
        papers[0]
    );
    assert!(text.contains("Self-test: passed") && text.contains("printer"), "{text}");
    // The pattern and the report make room for the page of the day.
    virtuals.wait_screen("欢迎光临", Duration::from_secs(20))?;
    Ok(())
}

#[tokio::test]
async fn what_is_broken_is_found_and_limits_only_what_needs_it() -> Done {
    let mut stack = Stack::start(|c, _| {
        c.self_test.free_mib = u32::MAX;
        c.accounts[0].connect_timeout_ms = 500;
    })?;
    let client = stack.client().await?;
    first_report(&client).await;
    let mut virtuals = stack.virtuals()?;
    virtuals.paper_out(true)?;
    // Its own slip waits for the paper, and comes with it.
    client.self_test(&caller(), true).await?;
    assert_eq!(client.papers(&caller()).await?.len(), 1);
    virtuals.paper_out(false)?;
    let (_, papers) = virtuals.wait_papers(1, Duration::from_secs(60))?;
    assert!(papers[0].contains("请装入新纸卷"), "{}", papers[0]);
    virtuals.paper_out(true)?;
    virtuals.plug("swipe", false)?;
    virtuals.read_fault("chip", true)?;
    stack.kill_acquirer();
    let report = client.self_test(&caller(), false).await?;
    assert_eq!(found(&report, Part::Printer), failed("paper-out"));
    assert_eq!(found(&report, Part::MagneticReader), failed("device-failed"));
    assert_eq!(found(&report, Part::ChipReader), failed("reads-nothing"));
    assert_eq!(found(&report, Part::Store), (Verdict::Degraded, "disk-low".into()));
    assert_eq!(found(&report, Part::Keypad), (Verdict::Passed, "works".into()));
    assert_eq!(found(&report, Part::PinPad), (Verdict::Passed, "works".into()));
    assert_eq!(found(&report, Part::Display), (Verdict::Passed, "works".into()));
    assert_eq!(report.verdict, Verdict::Failed);
    // The host answered a moment ago: the next test, after a minute, would ask it. A restart asks at once.
    virtuals.cover_open(true)?;
    assert_eq!(found(&client.self_test(&caller(), false).await?, Part::Printer), failed("cover-open"));
    let out = stack.ctl(&["--lang", "zh-CN", "self-test"])?;
    let text = String::from_utf8(out.stdout)?;
    assert!(out.status.code() == Some(21) && text.contains("请合上机盖"), "{text}");
    virtuals.cover_open(false)?;
    assert!(stack.stop_daemon()?);
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    let report = first_report(&client).await;
    assert_eq!(found(&report, Part::HostLink), failed("host-silent"), "{report:?}");
    let mut virtuals = stack.virtuals()?;
    // With the line back: no stripe reader, no paper; a code is taken all the same and its slips wait.
    stack.start_acquirer(&stack.config.accounts[0].address.clone())?;
    virtuals.paper_out(true)?;
    virtuals.plug("swipe", false)?;
    client.self_test(&caller(), false).await?;
    let key = start(&client, sale("st-1", "4.00")).await;
    virtuals.wait_screen("付款码", Duration::from_secs(60))?;
    virtuals.scan("137294650183926457", SOON)?;
    is(&client.wait(&caller(), &key, false).await?, Status::Approved);
    assert_eq!(client.papers(&caller()).await?.len(), 2);
    virtuals.paper_out(false)?;
    virtuals.wait_papers(2, Duration::from_secs(60))?;
    Ok(())
}

#[tokio::test]
async fn a_plain_line_that_is_said_to_be_private_is_told() -> Done {
    let stack = Stack::start(|c, _| c.accounts[0].line = Some(PlainLine::Private))?;
    let client = stack.client().await?;
    let report = first_report(&client).await;
    let said = report.items.iter().find(|i| i.code == LINE_PRIVATE).expect("said");
    assert_eq!((said.part, said.verdict, report.verdict), (Part::HostLink, Verdict::Passed, Verdict::Passed));
    client.self_test(&caller(), true).await?;
    let mut virtuals = stack.virtuals()?;
    alice(&mut virtuals);
    let paid = pay(&client, sale("pl-1", "1.00")).await;
    assert_eq!((paid.status, paid.line), (Status::Approved, Some(PlainLine::Private)));
    let (_, papers) = virtuals.wait_papers(3, Duration::from_secs(60))?;
    assert!(papers[0].contains("明文传输,配置为专线"), "{}", papers[0]);
    assert!(papers[1..].iter().all(|p| p.contains("** 专线明文传输 **")), "{papers:?}");
    Ok(())
}

#[tokio::test]
async fn where_paper_is_required_no_card_is_asked_for_without_it() -> Done {
    let stack = Stack::start(|c, _| c.paper.required = true)?;
    let client = stack.client().await?;
    first_report(&client).await;
    let mut virtuals = stack.virtuals()?;
    alice(&mut virtuals);
    is(&pay(&client, sale("pr-1", "1.00")).await, Status::Approved);
    virtuals.wait_papers(2, Duration::from_secs(60))?;
    virtuals.paper_out(true)?;
    client.self_test(&caller(), false).await?;
    let refused = pay(&client, sale("pr-2", "1.00")).await;
    is(&refused, Status::Failed);
    assert_eq!(refused.reason.as_ref().map(|r| r.code.as_str()), Some("printer-unavailable"));
    assert!(refused.entry.is_none() && refused.stan.is_none(), "{refused:?}");
    // The number to call and the reference stand with it, and the reference finds it.
    let reference = refused.reference();
    virtuals.wait_screen(&reference, Duration::from_secs(60))?;
    virtuals.wait_screen("400-000-0000", Duration::from_secs(60))?;
    let out = stack.ctl(&["--lang", "en", "explain", &reference])?;
    assert!(out.status.success() && String::from_utf8(out.stdout)?.contains("demo/pr-2"));
    let out = stack.ctl(&["explain", "R9999-999"])?;
    assert_eq!(out.status.code(), Some(3));
    let out =
        stack.ctl(&["--lang", "en", "sale", "--amount", "1.00", "--currency", "CNY", "--id", "pr-3"])?;
    let text = String::from_utf8(out.stdout)?;
    assert!(out.status.code() == Some(12) && text.contains("400-000-0000") && text.contains("-3"), "{text}");
    // Paper is back, and so is business.
    virtuals.paper_out(false)?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    alice(&mut virtuals);
    is(&pay(&client, sale("pr-4", "1.00")).await, Status::Approved);
    Ok(())
}

#[tokio::test]
async fn the_language_changes_at_once_and_stays_after_a_restart() -> Done {
    let mut stack = Stack::start(|_, _| ())?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    virtuals.wait_screen("自检", Duration::from_secs(60))?;
    client.set_language(&caller(), Language::En).await?;
    virtuals.wait_screen("Self-test", Duration::from_secs(60))?;
    assert_eq!(client.info().await?.language, "en");
    virtuals.swipe(ALICE.0, ALICE.1, When::Queue)?;
    virtuals.pin(PIN, When::Queue)?;
    let refused = pay(&client, sale("la-1", "1.61")).await;
    assert!(refused.reason.is_some_and(|r| r.text.is_ascii() && !r.next.is_empty()));
    alice(&mut virtuals);
    is(&pay(&client, sale("la-2", "1.00")).await, Status::Approved);
    let (_, papers) = virtuals.wait_papers(2, Duration::from_secs(60))?;
    assert!(papers.iter().all(|p| p.contains("POS SALES SLIP")), "{papers:?}");
    assert!(stack.stop_daemon()?);
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    assert_eq!(client.info().await?.language, "en");
    stack.virtuals()?.wait_screen("Self-test", Duration::from_secs(60))?;
    // An older choice does not come back with a crash.
    let out = stack.ctl(&["language", "zh-CN"])?;
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    stack.kill_daemon();
    stack.start_daemon(&[])?;
    assert_eq!(stack.client().await?.info().await?.language, "zh-CN");
    // Errors of the command line are in the user's language.
    let out = stack.ctl(&["--lang", "zh-CN", "recall", "none-such"])?;
    assert!(String::from_utf8(out.stderr)?.contains("找不到请求 none-such"));
    Ok(())
}

#[tokio::test]
async fn the_bundle_holds_what_customer_service_needs() -> Done {
    let stack = Stack::start(|_, _| ())?;
    let client = stack.client().await?;
    first_report(&client).await;
    let mut virtuals = stack.virtuals()?;
    alice(&mut virtuals);
    is(&pay(&client, sale("sb-1", "1.00")).await, Status::Approved);
    let path = stack.dir.join("bundle.tar.gz");
    let name = path.to_str().ok_or("path")?;
    let out = stack.ctl(&["support", "bundle", "--out", name])?;
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(path.metadata()?.permissions().mode() & 0o777, 0o600);
    assert!(
        !stack.ctl(&["support", "bundle", "--out", name])?.status.success(),
        "a file that is there is left alone"
    );
    let mut files = std::collections::BTreeMap::new();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(&path)?));
    for entry in tar.entries()? {
        let mut entry = entry?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text)?;
        files.insert(entry.path()?.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned(), text);
    }
    let names = [
        "cards.log",
        "config.toml",
        "devices.json",
        "journal.jsonl",
        "log.txt",
        "obligations.json",
        "papers.json",
        "self-test.json",
        "terminal.json",
        "totals.json",
        "versions.json",
    ];
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), names);
    let has =
        |file: &str, part: &str| assert!(files[file].contains(part), "{file} has no {part}: {}", files[file]);
    has("versions.json", &format!("\"schema\": {}", payterm_journal::SCHEMA));
    has("config.toml", "TESTMERCHANT001");
    has("devices.json", "\"pin_pad\"");
    has("self-test.json", "store-works");
    has("journal.jsonl", "***0003");
    has("journal.jsonl", "self_tested");
    has("totals.json", "\"debit\": \"1.00\"");
    has("log.txt", "ready");
    assert!(!files["journal.jsonl"].contains("621234*"), "the last four only");
    until("the slips", || virtuals.wait_papers(2, Duration::from_millis(1)).is_ok())?;
    Ok(())
}
