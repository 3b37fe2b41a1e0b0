//! Everything else that is asked over the bus.
use crate::common::*;
use payterm_schema::Status;
use std::collections::{BTreeMap, BTreeSet};

async fn world() -> World {
    let w = World::start().await;
    assert_eq!(
        w.run(&["sale", "--amount", "12.34", "--currency", "CNY", "--id", "declined-1"]).await.code,
        10
    );
    w
}

#[tokio::test]
async fn the_dispute_page_tells_decisions_frames_macs_and_slips() {
    let w = world().await;
    let d = w.run(&["explain", "declined-1"]).await;
    assert_eq!(d.code, 0, "{}", d.err);
    for part in [
        "the frame may leave",
        "it is reversed when no answer comes",
        "F39 51 · MAC good",
        "622848******1234",
        "of_a_newer_terminal",
        "商户存根",
    ] {
        assert!(d.out.contains(part), "{part}: {}", d.out);
    }
    let at = |part| d.out.find(part).unwrap();
    assert!(at("#1 ") < at("#2 ") && at("#2 ") < at("#3 "));
    let zh = w.run(&["explain", "till/declined-1", "--lang", "zh-CN"]).await;
    assert!(zh.out.contains("MAC 正确") && zh.out.contains("报文获准发出"), "{}", zh.out);
    let raw = w.run(&["explain", "declined-1", "--json"]).await.json();
    assert_eq!(
        (
            raw["entries"][1]["record"]["request"]
                .as_object()
                .and_then(|r| r.keys().next())
                .map(String::as_str),
            raw["slips"].as_array().unwrap().len()
        ),
        (Some("answered"), 1)
    );
}

#[tokio::test]
async fn every_page_as_table_and_as_json() {
    let w = world().await;
    for (command, part, pointer, value) in [
        (&["devices"][..], "front-reader", "/0/kind", "magnetic_reader"),
        (&["queue"], "000118", "/0/state", "stuck"),
        (&["papers"], "no paper", "/0/kind", "merchant_copy"),
        (&["totals"], "12.34", "/0/debit", "12.34"),
        (&["operators", "list"], "13572468", "/operators/0/role", "cashier"),
        (&["info"], "老王面馆", "/version", "0.1.0"),
        (&["list"], "till/declined-1", "/0/id", "declined-1"),
        (&["recall", "declined-1"], "declined", "/outcome/id", "declined-1"),
    ] {
        for language in ["en", "zh-CN"] {
            let d = w.run(&[command, &["--lang", language]].concat()).await;
            assert!(d.out.contains(part) || language == "zh-CN", "{command:?} {}", d.out);
            assert!(!d.out.is_empty() && d.err.is_empty(), "{command:?} {} {}", d.out, d.err);
        }
        let json = w.run(&[command, &["--json"]].concat()).await.json();
        assert_eq!(json.pointer(pointer).and_then(|v| v.as_str()), Some(value), "{command:?} {json}");
    }
    for command in [&["list"][..], &["recall", "declined-1"], &["explain", "declined-1"]] {
        let en = w.run(&[command, &["--lang", "en"]].concat()).await.out;
        assert!(en.contains("Not enough money") && !en.contains("余额不足"), "{en}");
        assert!(
            w.run(&[command, &["--json"]].concat()).await.out.contains("余额不足"),
            "a script gets the terminal's own words"
        );
    }
    let columns = w.run(&["devices", "--lang", "zh-CN"]).await.out;
    assert!(columns.contains("名称"), "{columns}");
}

#[tokio::test]
async fn the_queue_says_what_each_is_and_who_holds_it() {
    let w = world().await;
    let d = w.run(&["--lang", "en", "queue"]).await;
    let rows: Vec<&str> = d.out.lines().collect();
    assert!(rows[1].contains("reversal") && rows[1].contains("needs attention"), "{}", d.out);
    let when = |row: &str| row.matches("2026-03-05").count();
    assert!(
        rows[2].contains("advice") && rows[2].contains("held by boss") && !rows[2].contains("pending"),
        "{}",
        d.out
    );
    assert!(rows[3].contains("advice") && rows[3].contains("pending"), "{}", d.out);
    assert_eq!(
        [when(rows[1]), when(rows[2]), when(rows[3])],
        [1, 1, 2],
        "since, and the next try of what is tried: {}",
        d.out
    );
}

#[tokio::test]
async fn batches_are_the_settled_ones_and_offline_why_names_the_card() {
    let w = World::start().await;
    let d = w.run(&["--lang", "en", "batches"]).await;
    assert_eq!((d.code, d.out.trim()), (0, "No batch was settled yet"));
    assert_eq!(w.run(&["batches", "--json"]).await.json(), serde_json::json!([]));
    assert!(
        w.fake.has_done(r#"list {"kind":"settlement","status":"approved"}"#),
        "{:?}",
        w.fake.log.lock().unwrap()
    );
    let d = w.run(&["--lang", "en", "offline", "why", "--amount", "1.00"]).await;
    assert!(d.out.contains("would be accepted"), "{}", d.out);
    assert!(
        d.out.contains("yes     the clock is trusted")
            && !d.out.contains("not trusted")
            && d.out.contains("[flow.no_cvm]"),
        "{}",
        d.out
    );
    let lines: Vec<_> = d.out.lines().filter(|l| l.starts_with("unionpay")).collect();
    let by = [
        "merchant's risk, offline: would be",
        "chip, offline: would be",
        "chip, unable to go online: would not",
    ];
    assert!(lines.len() == 3 && lines.iter().zip(by).all(|(l, by)| l.contains(by)), "{}", d.out);
    assert!(!d.out.contains("no      the account has a table"), "what is off has no rows: {}", d.out);
    let json = w.run(&["offline", "why", "--amount", "6.00", "--json"]).await.json();
    let allowed: Vec<_> = json.as_array().unwrap().iter().map(|a| &a["allowed"]).collect();
    assert_eq!(allowed, [false, false, false], "{json}");
    let d = w.run(&["--lang", "en", "reconcile", "--file", "/dev/null"]).await;
    assert!(d.out.contains("2 agree, 0 differ") && !d.out.contains("more"), "{}", d.out);
}

#[tokio::test]
async fn lists_of_the_card_kernel_name_origin_limits_and_ends() {
    let w = World::start().await;
    let d = w.run(&["--lang", "en", "emv", "lists"]).await;
    let rows: Vec<Vec<_>> = d.out.lines().map(|l| l.split_whitespace().collect()).collect();
    let file = "/etc/payterm/emv-parameters.toml";
    for row in [
        format!("{file} 3 abababababababab"),
        "unionpay 1 cdcdcdcdcdcdcdcd".into(),
        format!(
            "A000000333010101* 0030 20000 0 0-99% 0000000000 / FC00000000 / FC00000000 \
             0 / 100000 / 5000000 {file}"
        ),
        format!(
            "A000000333 02 1152 0102030405060708090A0B0C0D0E0F1011121314 2024-12-31 ENDED, in use {file}"
        ),
        format!(
            "A000000333 03 1152 0102030405060708090A0B0C0D0E0F1011121314 2026-03-31 ENDS SOON unionpay {file}"
        ),
        "A000000333 02 000123".into(),
    ] {
        assert!(rows.contains(&row.split_whitespace().collect()), "{row}\n{}", d.out);
    }
    let json = w.run(&["emv", "lists", "--json"]).await.json();
    assert_eq!(json["keys"][1]["origin"], serde_json::json!({"host": "unionpay"}));
    assert_eq!(json["keys"][1]["replaced"], serde_json::json!([{"file": file}]));
    assert_eq!(json["keys"][0]["validity"], "ended");
}

#[tokio::test]
async fn orders_reach_the_terminal() {
    let w = world().await;
    for (command, done) in [
        (&["confirm", "declined-1", "yes"][..], "confirm till/declined-1 true"),
        (&["confirm", "till/declined-1", "no"], "confirm till/declined-1 false"),
        (&["reprint", "declined-1"], "reprint till/declined-1"),
        (&["queue", "retry", "7"], "retry 7"),
        (&["queue", "resolve", "7", "--reference", "c", "--not-executed"], "resolve 7 false 0 c"),
        (&["queue", "resolve", "7", "--reference", "c", "--executed", "--stan", "12"], "resolve 7 true 12 c"),
        (&["queue", "forward", "7"], "Forward { txn: Some(7) }"),
        (&["queue", "forward"], "Forward { txn: None }"),
        (&["queue", "release", "r0001-7"], "Release { txn: 7 }"),
        (&["queue", "resolve", "R0001-7", "--reference", "d", "--executed"], "resolve 7 true 0 d"),
        (&["language", "zh-CN"], "language zh-CN"),
        (&["papers", "release", "4", "--print"], "release 4 true"),
        (&["papers", "release", "4", "--drop"], "release 4 false"),
        (&["operators", "logon", "00"], r#"operators {"do":"log_on","operator":"00"}"#),
        (&["operators", "logoff"], r#"operators {"do":"log_off"}"#),
        (&["operators", "password"], r#"operators {"do":"change_password"}"#),
        (&["operators", "add", "02"], r#"operators {"do":"add","operator":"02"}"#),
        (&["operators", "remove", "02"], r#"operators {"do":"remove","operator":"02"}"#),
        (&["operators", "unlock", "02"], r#"operators {"do":"unlock","operator":"02"}"#),
        (
            &[
                "list",
                "--status",
                "declined",
                "--kind",
                "sign-in",
                "--since",
                "2026-03-05 14:30",
                "--before",
                "9",
                "--limit",
                "3",
                "--last4",
                "1234",
            ],
            concat!(
                r#"list {"kind":"sign_in","status":"declined","since":1772692200000,"last4":"1234","#,
                r#""before":9,"limit":3}"#
            ),
        ),
    ] {
        let d = w.run(command).await;
        assert_eq!(d.code, 0, "{command:?} {}", d.err);
        assert!(w.fake.has_done(done), "{command:?} {:?}", w.fake.log.lock().unwrap());
    }
    for bad in [
        &["confirm", "declined-1", "maybe"][..],
        &["papers", "release", "4"],
        &["papers", "release", "4", "--print", "--drop"],
        &["queue", "retry", "x"],
        &["queue", "retry", "0"],
        &["queue", "retry", "R0001-0"],
        &["queue", "forward", "0"],
        &["queue", "resolve", "7", "--reference", "c", "--not-executed", "--stan", "12"],
        &["queue", "resolve", "7", "--reference", "c", "--executed", "--stan", "0"],
        &["operators", "logon", "1"],
        &["operators", "add", "90"],
    ] {
        assert_eq!(w.run(bad).await.code, 2, "{bad:?}");
    }
    // The number of another terminal's payment is another payment here.
    for other in ["R0002-7", "R0001-8"] {
        assert_eq!(w.run(&["queue", "write-off", other, "--why", "old"]).await.code, 3, "{other}");
    }
    let log = w.fake.log.lock().unwrap();
    assert!(!log.iter().any(|l| l.starts_with("WriteOff")), "{log:?}");
}

#[tokio::test]
async fn watch_tells_what_happens_and_ends_with_ctrl_c() {
    let w = World::start().await;
    let child = w.spawn(&["watch", "--json"]).await;
    let pid = rustix::process::Pid::from_child(&child);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(
        w.run(&["sale", "--amount", "12.34", "--currency", "CNY", "--id", "approved-1", "--quiet"])
            .await
            .code,
        0
    );
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let d = wait(child).await;
    assert_eq!(d.code, 0, "{}", d.err);
    let told: Vec<serde_json::Value> = d.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for notice in ["started", "phase"] {
        let of_sale = |n: &serde_json::Value| n["notice"] == notice && n["key"]["id"] == "approved-1";
        assert!(told.iter().any(of_sale), "{notice}: {}", d.out);
    }
}

#[tokio::test]
async fn the_peer_socket_serves_as_the_bus_does() {
    let w = world().await;
    w.fake.finish(&key("declined-1"), Status::Approved);
    let socket = w.socket.to_str().unwrap();
    assert_eq!(w.run(&["--peer", socket, "recall", "declined-1"]).await.code, 0);
    assert_eq!(
        w.run(&["--peer", socket, "sale", "--amount", "1", "--currency", "CNY", "--id", "failed-2"])
            .await
            .code,
        12
    );
}

/// The names of the arguments that the source gives to the text whose id ends here.
fn arguments(rest: &str) -> BTreeSet<&str> {
    let rest =
        rest.strip_prefix(" } else { \"").and_then(|r| r.split_once('"')).map_or(rest, |(_, after)| after);
    let list = rest.trim_start_matches(" }").strip_prefix(", &[").and_then(|r| r.split_once("])"));
    list.map(|(list, _)| list.split("(\"").skip(1).filter_map(|a| a.split('"').next()).collect())
        .unwrap_or_default()
}

/// The texts of this program stand in cli.ftl and journal.ftl: each that the source names is there and gets
/// the arguments of its places; none is left over.
#[test]
fn every_text_that_the_source_names_exists_and_is_filled() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |dir: &str| std::fs::read_dir(root.join(dir)).unwrap().map(|f| f.unwrap().path());
    let source: String = files("src")
        .chain(files("src/commands"))
        .chain(files("src/commands/emv"))
        .filter(|path| path.is_file())
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let source = source.split_whitespace().collect::<Vec<_>>().join(" ").replace("], )", "])");
    let mut written: BTreeMap<String, String> = BTreeMap::new();
    for file in ["cli", "journal", "words"] {
        let file = std::fs::read_to_string(root.join(format!("../texts/locales/en/{file}.ftl"))).unwrap();
        written.extend(
            file.lines()
                .filter_map(|l| l.split_once(" = "))
                .map(|(id, text)| (id.to_owned(), text.to_owned())),
        );
    }
    let mut named = BTreeSet::new();
    for prefix in ["\"cli-", "\"label-", "\"reason-"] {
        for (at, _) in source.match_indices(prefix) {
            let (id, rest) = source[at + 1..].split_once('"').unwrap();
            let text = written.get(id).unwrap_or_else(|| panic!("{id} is in no file"));
            let places: BTreeSet<&str> =
                text.split("{ $").skip(1).filter_map(|p| p.split(' ').next()).collect();
            assert_eq!(arguments(rest), places, "{id}");
            named.insert(id);
        }
    }
    let unused: Vec<_> =
        written.keys().filter(|id| id.starts_with("cli-") && !named.contains(id.as_str())).collect();
    assert!(named.len() > 80 && unused.is_empty(), "{unused:?}");
}

#[tokio::test]
async fn the_self_test_has_its_own_exit_codes_and_the_bundle_is_private() {
    let w = World::start().await;
    for (lang, parts) in [
        ("en", ["Self-test: failed", "out of paper", "Put in a new roll"]),
        ("zh-CN", ["自检:故障", "缺纸", "请装入新纸卷"]),
    ] {
        let d = w.run(&["--lang", lang, "self-test", "--print"]).await;
        assert_eq!(d.code, 21, "{} {}", d.out, d.err);
        assert!(parts.iter().all(|p| d.out.contains(p)), "{}", d.out);
    }
    assert!(w.fake.has_done("self-test true"));
    let d = w.run(&["self-test", "--json"]).await;
    let report: serde_json::Value = serde_json::from_str(&d.out).unwrap();
    assert_eq!(
        (d.code, &report["verdict"], &report["items"][0]["code"]),
        (21, &"failed".into(), &"paper-out".into())
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.tar.gz");
    let arguments = ["support", "bundle", "--out", path.to_str().unwrap()];
    assert_eq!(w.run(&arguments).await.code, 0);
    assert_eq!(std::fs::read(&path).unwrap(), b"\x1f\x8b bundle");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777,
        0o600
    );
    assert_eq!(w.run(&arguments).await.code, 3, "nothing is written over");
    assert_eq!(w.run(&["language", "fr"]).await.code, 2);
}

#[tokio::test]
async fn an_update_script_reads_the_exit_status_and_a_drawer_has_an_id() {
    let w = World::start().await;
    let d = w.run(&["inhibited", "--lang", "en"]).await;
    assert_eq!(
        (d.code, d.out.trim()),
        (30, "Do not update or restart now: the acquirer is still to be told of payments")
    );
    let d = w.run(&["inhibited", "--lang", "zh-CN", "--wait", "0"]).await;
    assert_eq!((d.code, d.out.trim()), (30, "现在不能升级或重启:有交易待上送"));
    assert_eq!(
        w.run(&["inhibited", "--json"]).await.json(),
        serde_json::json!({"inhibited": true, "reasons": ["queue"]})
    );
    let d = w.run(&["inhibited", "--except", "queue", "--json"]).await;
    assert_eq!((d.code, d.json()), (0, serde_json::json!({"inhibited": false, "reasons": []})));
    assert_eq!(w.run(&["inhibited", "--except", "rain"]).await.code, 2);
    assert!(w.run(&["info", "--lang", "en"]).await.out.contains("still to be told of payments"));

    assert_eq!(w.run(&["open-drawer", "--id", "order-17"]).await.code, 0);
    assert!(w.fake.has_done("print order-17 drawer"));
    assert_eq!(w.run(&["open-drawer", "--id", "order 17"]).await.code, 2);
}
