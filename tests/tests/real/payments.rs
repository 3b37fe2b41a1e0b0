//! End to end with real parts: dbus-daemon, paytermd, payterm-acquirer, busctl, Python, TCP printers, kill
//! -9.
use crate::common::*;
use payterm_devices::{soft_printer::SoftPrinter, virtual_bench::When};
use payterm_schema::{
    Fault, Request, Status, Terminal, config::DeviceConfig, device::DeviceKind, request::RequestWire,
    terminal::Filter, zone::Zone,
};
use payterm_tests::real::stack::{Stack, caller, programs};
use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

type Done = Result<(), Box<dyn std::error::Error>>;

#[tokio::test]
async fn a_sale_from_busctl_alone() -> Done {
    let stack = Stack::start(|_, _| {})?;
    alice(&mut stack.virtuals()?);
    let tree = busctl(&stack, &["tree", "org.payterm.Terminal1"]);
    assert!(tree.contains("/org/payterm/Terminal1/device/"), "{tree}");
    let manager =
        ["call", "org.payterm.Terminal1", "/org/payterm/Terminal1", "org.payterm.Terminal1.Manager"];
    let request = [
        "Start",
        "a{sv}",
        "5",
        "cancel_on_caller_lost",
        "b",
        "false",
        "id",
        "s",
        "b-1",
        "kind",
        "s",
        "sale",
        "amount",
        "s",
        "12.34",
        "currency",
        "s",
        "CNY",
    ];
    let started = busctl(&stack, &[&manager[..], &request[..]].concat());
    assert_eq!(started.trim(), format!("o \"{}\"", path("b-1")));
    let outcome = busctl(&stack, &[&manager[..], &["Wait", "o", &path("b-1")]].concat());
    assert!(outcome.contains("\"approved\"") && outcome.contains("621234*********0003"), "{outcome}");
    Ok(())
}

#[tokio::test]
async fn a_sale_from_paytermctl() -> Done {
    let stack = Stack::start(|_, _| {})?;
    alice(&mut stack.virtuals()?);
    let out = stack.ctl(&["sale", "--amount", "12.34", "--currency", "CNY", "--json"])?;
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let outcome: serde_json::Value = serde_json::from_slice(&out.stdout)?;
    assert_eq!(
        (outcome["status"].as_str(), outcome["amount"].as_str(), outcome["authority"].as_str()),
        (Some("approved"), Some("12.34"), Some("host"))
    );
    let explained = stack.ctl(&["explain", outcome["id"].as_str().unwrap_or_default()])?;
    let text = String::from_utf8_lossy(&explained.stdout).into_owned();
    for part in ["621234*********0003", "F39", "F11"] {
        assert!(text.contains(part), "explain shows {part}: {text}");
    }
    assert!(!text.contains(ALICE.0));
    Ok(())
}

#[tokio::test]
async fn times_are_the_terminal_s_wherever_they_are_shown() -> Done {
    let stack = Stack::start(|c, _| c.terminal.zone = "America/St_Johns".parse().expect("a zone"))?;
    alice(&mut stack.virtuals()?);
    let outcome = pay(&stack.client().await?, sale("z-1", "1.00")).await;
    let ctl = |args: &[&str]| -> Result<String, Box<dyn std::error::Error>> {
        Ok(String::from_utf8(stack.ctl(args)?.stdout)?)
    };
    let here: Zone = "America/St_Johns".parse()?;
    let (begun, there) = (here.text(outcome.started), Zone::default().text(outcome.started));
    let shown = ctl(&["recall", "z-1"])?;
    assert!(shown.contains(&begun) && !shown.contains(&there), "{shown}");
    assert!(ctl(&["--zone", "Asia/Shanghai", "recall", "z-1"])?.contains(&there));
    // The host said its time in its own zone; the slip has the terminal's.
    let explained = ctl(&["explain", "z-1"])?;
    let hours: BTreeSet<String> = [Some(outcome.started), outcome.ended]
        .into_iter()
        .flatten()
        .map(|t| here.text(t).chars().take(13).collect())
        .collect();
    assert!(hours.iter().map(|h| explained.matches(h).count()).sum::<usize>() > 1, "{explained}");
    for (bound, at, found) in
        [("--since", &*begun, true), ("--until", &begun, true), ("--until", "2026-01-01", false)]
    {
        let listed = ctl(&["--json", "list", bound, at])?;
        assert_eq!(listed.contains("\"z-1\""), found, "{bound} {at}: {listed}");
    }
    Ok(())
}

#[tokio::test]
async fn the_python_and_rust_examples_and_a_lost_client() -> Done {
    let stack = Stack::start(|_, _| {})?;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let python = format!("{root}/.venv/bin/python");
    assert!(std::path::Path::new(&python).exists(), "make test makes the venv");
    let examples = format!("{root}/dbus/examples");
    let run = |program: &str, args: &[&str]| -> Result<serde_json::Value, Box<dyn std::error::Error>> {
        let out = Command::new(program).args(args).env("DBUS_SESSION_BUS_ADDRESS", &stack.bus).output()?;
        let text = String::from_utf8(out.stdout)?;
        assert!(out.status.success(), "{program} {args:?}: {text} {}", String::from_utf8_lossy(&out.stderr));
        Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
    };
    let mut virtuals = stack.virtuals()?;
    alice(&mut virtuals);
    let o = run(
        &python,
        &[&format!("{examples}/pos.py"), "--order", "py-1", "--amount", "3.21", "--address", &stack.bus],
    )?;
    assert_eq!(o["status"], "approved");
    alice(&mut virtuals);
    let pos = programs()?.join("examples/pos");
    let o = run(pos.to_str().unwrap_or_default(), &["rs-1", "1.23", "CNY", &stack.bus])?;
    assert_eq!(o["status"], "approved");
    for (id, extra) in [("lost-1", None), ("lost-2", Some("--kill"))] {
        // The customer acts after the client is gone.
        let mut later = stack.virtuals()?;
        let customer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(600));
            later.swipe(ALICE.0, ALICE.1, SOON).and_then(|_| later.pin(PIN, SOON))
        });
        let mut args = vec![
            format!("{examples}/lost_client.py"),
            "--order".into(),
            id.into(),
            "--address".into(),
            stack.bus.clone(),
        ];
        args.extend(extra.map(String::from));
        let o = run(&python, &args.iter().map(String::as_str).collect::<Vec<_>>())?;
        customer.join().expect("customer").map_err(|e| format!("{id}: {e}: {o}"))?;
        assert_eq!((o["status"].as_str(), o["recovered"].as_bool()), (Some("approved"), Some(true)));
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_reply_is_unknown_then_reversed() -> Done {
    let stack = Stack::start(|c, _| c.accounts[0].reply_timeout_ms = 700)?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    stack.mishap(&["--mti", "0200"], &["drop-reply"])?;
    alice(&mut virtuals);
    let first = pay(&client, sale("u-1", "50.00")).await;
    assert_eq!(first.status, Status::Unknown);
    assert!(first.answer_by.is_some() && first.reason.is_some_and(|r| !r.next.is_empty()));
    let end = last(&client, "u-1").await;
    assert_eq!((end.status, end.reason.map(|r| r.code)), (Status::Declined, Some("reversed".into())));
    assert_eq!(stack.net("cup")?, 0);
    alice(&mut virtuals);
    assert_eq!(pay(&client, sale("u-2", "1.00")).await.status, Status::Approved);
    assert_eq!(stack.net("cup")?, 100);
    let (_, slips) = virtuals.wait_papers(3, Duration::from_secs(60))?;
    assert!(slips[0].contains("不要重复收款") || slips[0].contains("请勿"), "{}", slips[0]);
    Ok(())
}

#[tokio::test]
async fn kill_9_after_the_frame_left() -> Done {
    let mut stack = Stack::start(|c, _| c.accounts[0].reply_timeout_ms = 20_000)?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    stack.mishap(&["--mti", "0200"], &["drop-reply"])?;
    alice(&mut virtuals);
    start(&client, sale("k-1", "70.00")).await;
    payterm_tests::real::stack::until("the acquirer to approve it", || {
        stack.net("cup").is_ok_and(|n| n == 7000)
    })?;
    stack.kill_daemon();
    // On disk before the frame left.
    let db = rusqlite::Connection::open_with_flags(
        stack.state().join("journal.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )?;
    let allowed: String = db.query_row(
        "SELECT json FROM record WHERE json LIKE '%\"allowed\"%' ORDER BY seq DESC LIMIT 1",
        [],
        |r| r.get(0),
    )?;
    assert!(allowed.contains("\"owes\":true"));
    drop(db);
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    // A next sale at once: the reversal goes first.
    let mut virtuals = stack.virtuals()?;
    alice(&mut virtuals);
    assert_eq!(pay(&client, sale("k-2", "2.00")).await.status, Status::Approved);
    let end = last(&client, "k-1").await;
    assert_eq!((end.status, end.reason.map(|r| r.code)), (Status::Declined, Some("reversed".into())));
    assert_eq!(stack.net("cup")?, 200);
    let money: Vec<String> =
        seen(&stack).into_iter().map(|(m, _)| m).filter(|m| m == "0200" || m == "0400").collect();
    assert_eq!(money, ["0200", "0400", "0200"]);
    Ok(())
}

#[tokio::test]
async fn the_printers_server_dies_in_the_middle_of_a_receipt() -> Done {
    let printer = SoftPrinter::start()?;
    let address = printer.address();
    let stack = Stack::start(|c, _| {
        c.devices.retain(|d| d.kind != DeviceKind::Printer);
        c.devices.push(DeviceConfig {
            address: Some(address.clone()),
            command_timeout_ms: 3_000,
            ..DeviceConfig::new("paper", DeviceKind::Printer, "escpos")
        });
        c.paper.retry_ms = 200;
    })?;
    let client = stack.client().await?;
    printer.after(200, payterm_devices::soft_printer::Mishap::Killed);
    alice(&mut stack.virtuals()?);
    let o = pay(&client, sale("p-1", "33.00")).await;
    assert_eq!(o.status, Status::Approved, "a printer never costs a sale");
    assert!(printer.wait_dead(Duration::from_secs(10)));
    printer.revive();
    let papers = printer.wait_papers(3, Duration::from_secs(20));
    let whole: Vec<&String> = papers.iter().filter(|p| p.whole).map(|p| &p.text).collect();
    assert_eq!(whole.len(), 2, "merchant and customer copy: {papers:?}");
    assert!(whole[0].contains("重打印"), "the first may have reached the paper: {}", whole[0]);
    assert!(!whole[1].contains("重打印"), "the second never did: {}", whole[1]);
    assert!(whole.iter().all(|p| p.contains("33.00")));
    Ok(())
}

#[tokio::test]
async fn two_accounts_of_two_profiles_at_once() -> Done {
    let stack = Stack::start(|c, hosts| {
        let mut second = c.accounts[0].clone();
        second.id = payterm_schema::AccountId::new("x919").expect("id");
        second.profile = "demo-x919".into();
        second.mid = "TESTMERCHANT919".parse().unwrap();
        second.tid = "TEST0919".parse().unwrap();
        second.address = hosts["demo-x919"].clone();
        second.reply_timeout_ms = 700;
        c.accounts.push(second);
        c.routes = vec![toml::from_str("account = \"x919\"\nbin = \"400000-400000\"").expect("route")];
    })?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    let ivan = |h: &mut payterm_devices::virtual_control::VirtualControl| {
        h.swipe("4000000000000002", "3012", When::Queue).expect("swipe");
        h.pin("bypass", When::Queue).expect("pin");
    };
    alice(&mut virtuals);
    let a = pay(&client, sale("two-1", "10.00")).await;
    ivan(&mut virtuals);
    let b = pay(&client, sale("two-2", "20.00")).await;
    assert_eq!((a.status, a.account.map(|x| x.to_string())), (Status::Approved, Some("cup".into())));
    assert_eq!((b.status, b.account.map(|x| x.to_string())), (Status::Approved, Some("x919".into())));
    assert_eq!((stack.net("cup")?, stack.net("x919")?), (1000, 2000));
    let v = pay(&client, void("two-3", "two-2")).await;
    assert_eq!(v.status, Status::Approved, "{:?}", v.reason);
    assert_eq!(stack.net("x919")?, 0);
    // A reversal of one account under way does not hold up the other.
    stack.mishap(&["--mti", "0200", "--account", "x919"], &["drop-reply"])?;
    stack.mishap(&["--mti", "0400", "--account", "x919"], &["drop-request"])?;
    ivan(&mut virtuals);
    assert_eq!(pay(&client, sale("two-4", "30.00")).await.status, Status::Unknown);
    alice(&mut virtuals);
    assert_eq!(pay(&client, sale("two-5", "40.00")).await.status, Status::Approved);
    assert_eq!(last(&client, "two-4").await.status, Status::Declined);
    assert_eq!((stack.net("cup")?, stack.net("x919")?), (5000, 0));
    Ok(())
}

#[tokio::test]
async fn a_void_and_a_second_one() -> Done {
    let stack = Stack::start(|_, _| {})?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    alice(&mut virtuals);
    let o = pay(&client, sale("v-1", "15.00")).await;
    assert_eq!(
        pay(
            &client,
            RequestWire {
                id: "v-2".into(),
                kind: "void".into(),
                original_rrn: o.rrn,
                ..RequestWire::default()
            }
        )
        .await
        .status,
        Status::Approved
    );
    assert_eq!(stack.net("cup")?, 0);
    let again = pay(&client, void("v-3", "v-1")).await;
    assert_eq!(
        (again.status, again.reason.map(|r| r.code)),
        (Status::Failed, Some("original-voided".into()))
    );
    assert!(client.recall(&caller(), &key("v-1")).await?.outcome.voided);
    // The same id is the same payment for ever: approved, and given back. An app looks at both.
    let repeated = pay(&client, sale("v-1", "15.00")).await;
    assert_eq!((repeated.status, repeated.voided), (Status::Approved, true), "no goods");
    Ok(())
}

#[tokio::test]
async fn the_same_id_meets_the_same_transaction_also_after_a_restart() -> Done {
    let mut stack = Stack::start(|_, _| {})?;
    let client = stack.client().await?;
    alice(&mut stack.virtuals()?);
    let first = pay(&client, sale("same-1", "9.00")).await;
    assert_eq!(pay(&client, sale("same-1", "9.00")).await, first);
    let other = client.start(&caller(), Request::try_from(sale("same-1", "9.01"))?).await;
    assert!(matches!(other, Err(Fault::KeyReused { .. })), "{other:?}");
    assert!(stack.stop_daemon()?, "{}", stack.log_tail());
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    assert_eq!(pay(&client, sale("same-1", "9.00")).await, first);
    assert_eq!(stack.net("cup")?, 900);
    let listed =
        client.list(&caller(), Filter { status: Some(Status::Approved), ..Filter::default() }).await?;
    assert_eq!(listed.len(), 1);
    Ok(())
}

#[tokio::test]
async fn one_customer_at_a_time_and_cancel() -> Done {
    let stack = Stack::start(|_, _| {})?;
    let client = stack.client().await?;
    let running = start(&client, sale("c-1", "9.00")).await;
    let second = client.start(&caller(), Request::try_from(sale("c-2", "1.00"))?).await;
    assert!(matches!(second, Err(Fault::Busy { .. })), "{second:?}");
    client.cancel(&caller(), &running).await?;
    let o = last(&client, "c-1").await;
    assert_eq!((o.status, o.reason.map(|r| r.code)), (Status::Cancelled, Some("cancelled-by-caller".into())));
    // A caller that leaves before the frame left cancels.
    let leaver = stack.client().await?;
    start(&leaver, sale("c-3", "1.00")).await;
    leaver.close().await;
    let o = last(&client, "c-3").await;
    assert_eq!(o.reason.map(|r| r.code), Some("caller-lost".into()));
    assert_eq!(stack.net("cup")?, 0);
    Ok(())
}

#[tokio::test]
async fn one_process_per_state_directory() -> Done {
    let stack = Stack::start(|_, _| {})?;
    let mut second = stack.config.clone();
    second.bus.lane = "lane2".into();
    let file = stack.dir.join("second.toml");
    std::fs::write(&file, toml::to_string(&second)?)?;
    let out = Command::new(programs()?.join("paytermd"))
        .arg("--config")
        .arg(file)
        .env("DBUS_SESSION_BUS_ADDRESS", &stack.bus)
        .output()?;
    assert!(!out.status.success());
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(text.contains("in use"), "{text}");
    Ok(())
}

#[tokio::test]
async fn an_acquirer_that_is_not_there_costs_nothing() -> Done {
    let mut stack = Stack::start(|c, _| c.flow.prepare_timeout_ms = 2_000)?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    alice(&mut virtuals);
    assert_eq!(pay(&client, sale("n-1", "1.00")).await.status, Status::Approved);
    let address = stack.config.accounts[0].address.clone();
    stack.kill_acquirer();
    alice(&mut virtuals);
    let began = Instant::now();
    let o = pay(&client, sale("n-2", "2.00")).await;
    assert_eq!((o.status, o.reason.map(|r| r.code)), (Status::Failed, Some("not-sent".into())));
    assert!(began.elapsed() < Duration::from_secs(5));
    let port = address.rsplit_once(':').map_or("0", |(_, p)| p).to_owned();
    let _ = port; // The profiles of a restarted acquirer keep their order from the first port on.
    Ok(())
}

#[tokio::test]
async fn no_paper() -> Done {
    let stack = Stack::start(|c, _| c.paper.retry_ms = 100)?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    virtuals.paper_out(true)?;
    alice(&mut virtuals);
    assert_eq!(pay(&client, sale("o-1", "1.00")).await.status, Status::Approved);
    assert_eq!(client.papers(&caller()).await?.len(), 2);
    virtuals.paper_out(false)?;
    let (_, papers) = virtuals.wait_papers(2, Duration::from_secs(60))?;
    assert!(papers.iter().all(|p| !p.contains("重打印")), "no byte had left: originals");
    Ok(())
}

#[tokio::test]
async fn an_orderly_stop_is_quiet_and_finishes_what_is_out() -> Done {
    let mut stack = Stack::start(|_, _| {})?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    stack.mishap(&["--mti", "0200"], &["delay", "700"])?;
    alice(&mut virtuals);
    start(&client, sale("t-1", "6.00")).await;
    std::thread::sleep(Duration::from_millis(300));
    assert!(stack.stop_daemon()?, "{}", stack.log_tail());
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    is(&last(&client, "t-1").await, Status::Approved);
    assert!(client.papers(&caller()).await?.is_empty(), "its slips came out before the end");
    // Before the frame left: ended, and by the stop.
    start(&client, sale("t-2", "6.00")).await;
    assert!(stack.stop_daemon()?);
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    let o = last(&client, "t-2").await;
    assert_eq!((o.status, o.reason.map(|r| r.code)), (Status::Cancelled, Some("interrupted".into())));
    let log = std::fs::read_to_string(stack.daemon_log())?;
    assert!(!log.contains("ERROR"), "{log}");
    Ok(())
}
