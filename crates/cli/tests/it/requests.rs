//! Requests through the built binary against a served terminal: exit statuses, JSON, progress, Ctrl-C.
use crate::common::*;
use payterm_schema::{Kind, Status};
use rustix::process::{Pid, Signal, kill_process};

#[tokio::test]
async fn each_status_has_its_exit_status() {
    let w = World::start().await;
    for (status, code) in STATUSES {
        let id = format!("{}-1", status.name());
        let d = w.run(&["sale", "--amount", "12.34", "--currency", "CNY", "--id", &id, "--json"]).await;
        assert_eq!(d.code, code, "{} {}", d.out, d.err);
        let o = d.json();
        assert_eq!(
            (o["app"].as_str(), o["id"].as_str(), o["status"].as_str()),
            (Some("till"), Some(id.as_str()), Some(status.name()))
        );
        assert_eq!(
            (o["amount"].as_str(), o["currency"].as_str(), o["rrn"].as_str()),
            (Some("12.34"), Some("CNY"), Some("606414000118"))
        );
        assert!(o["reason"].is_null() || !o["reason"]["text"].as_str().unwrap().is_empty(), "{o}");
        assert_eq!(d.out.trim_end().lines().count(), 1);
        for again in [["wait", &id], ["recall", &id]] {
            let d = w.run(&again).await;
            assert_eq!(d.code, code, "{again:?} {}", d.err);
        }
    }
    let d = w.run(&["wait", "unknown-1", "--final"]).await;
    assert_eq!(d.code, 10, "{}", d.err);
    assert!(d.err.contains("do not charge again"), "{}", d.err);
}

#[tokio::test]
async fn tables_speak_the_language_and_nothing_from_outside_controls_the_terminal() {
    let w = World::start().await;
    let d = w
        .run(&["sale", "--amount", "12.34", "--currency", "CNY", "--id", "declined-2", "--lang", "zh-CN"])
        .await;
    assert!(
        d.out.contains("余额不足") && d.out.contains("老王面馆") && !d.out.contains('\u{1b}'),
        "{}",
        d.out
    );
    let d = w.run(&["recall", "declined-2", "--lang", "en"]).await;
    assert!(
        d.out.contains("Reason") && d.out.contains("51") && d.out.contains("2026-03-05 14:30:00"),
        "{}",
        d.out
    );
}

#[tokio::test]
async fn progress_is_on_stderr_and_a_fresh_id_can_be_recalled() {
    let w = World::start().await;
    let mut child = w.spawn(&["sale", "--amount", "12.34", "--currency", "CNY", "--note", "table 4"]).await;
    until("the request is there", || !w.fake.requests.lock().unwrap().is_empty()).await;
    let request = w.fake.requests.lock().unwrap()[0].clone();
    assert_eq!(
        (request.kind, request.note.as_deref(), request.cancel_on_caller_lost),
        (Kind::Sale, Some("table 4"), true)
    );
    w.fake.finish(&key(&request.id), Status::Approved);
    drop(child.stdin.take());
    let d = wait(child).await;
    assert_eq!(d.code, 0, "{}", d.err);
    assert!(d.err.lines().next().unwrap().ends_with(&request.id), "the id comes first: {}", d.err);
    assert!(d.err.contains("waiting for a card or code") && d.err.contains("12.34"), "{}", d.err);
    assert_eq!(w.run(&["recall", &request.id]).await.code, 0);

    let d = w.run(&["--quiet", "sale", "--amount", "1", "--currency", "CNY", "--id", "approved-9"]).await;
    assert_eq!((d.code, d.err.as_str()), (0, ""));
}

#[tokio::test]
async fn ctrl_c_cancels_and_a_second_one_leaves_it_running() {
    let w = World::start().await;
    for (id, codes) in [("hang-1", 11), ("sent-1", 14)] {
        let child = w.spawn(&["sale", "--amount", "12.34", "--currency", "CNY", "--id", id]).await;
        let pid = Pid::from_child(&child);
        until("started", || w.fake.requests.lock().unwrap().iter().any(|r| r.id == id)).await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        kill_process(pid, Signal::INT).unwrap();
        until("cancelled", || w.fake.has_done(&format!("cancel till/{id}"))).await;
        if codes == 14 {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            kill_process(pid, Signal::INT).unwrap();
        }
        let d = wait(child).await;
        assert_eq!(d.code, codes, "{}", d.err);
        assert_eq!(d.err.contains("paytermctl recall sent-1"), codes == 14, "{}", d.err);
    }
}

#[tokio::test]
async fn who_does_not_wait_does_not_cancel() {
    let w = World::start().await;
    let d = w
        .run(&["sale", "--amount", "12.34", "--currency", "CNY", "--id", "hang-2", "--no-wait", "--json"])
        .await;
    assert_eq!(
        (d.code, d.json()["status"].as_str().map(str::to_owned)),
        (14, Some("running".into())),
        "{}",
        d.err
    );
    assert!(!w.fake.requests.lock().unwrap()[0].cancel_on_caller_lost);
    assert_eq!(w.run(&["recall", "hang-2"]).await.code, 14);
    assert_eq!(w.run(&["cancel", "till/hang-2"]).await.code, 0);
    assert_eq!(w.run(&["recall", "hang-2"]).await.code, 11);
}

#[tokio::test]
async fn the_other_kinds_arrive_as_asked() {
    let w = World::start().await;
    for arguments in [
        &["void", "--original-id", "order-1"][..],
        &["void", "--rrn", "606414000118"],
        &["void", "--stan", "118"],
        &["balance"],
        &["sign-in", "--account", "unionpay"],
        &["sign-off", "--confirm"],
        &["echo"],
    ] {
        let n = w.fake.requests.lock().unwrap().len();
        let id = format!("approved-{n}");
        let all = [arguments, &["--id", &id]].concat();
        let d = w.run(&all).await;
        assert_eq!(d.code, 0, "{all:?} {}", d.err);
    }
    let all = w.fake.requests.lock().unwrap().clone();
    let json: Vec<_> = all.iter().map(|r| serde_json::to_value(r).unwrap()).collect();
    assert_eq!(
        (&json[0]["original_id"], &json[1]["original_rrn"], &json[2]["original_stan"]),
        (&"order-1".into(), &"606414000118".into(), &118.into())
    );
    assert_eq!(
        all[3..].iter().map(|r| r.kind).collect::<Vec<_>>(),
        [Kind::Balance, Kind::SignIn, Kind::SignOff, Kind::Echo]
    );
    assert_eq!((&json[4]["account"], all[5].confirm), (&"unionpay".into(), true));
}

#[tokio::test]
async fn bad_arguments_and_faults() {
    let w = World::start().await;
    for (amount, field) in
        [("12.345", "amount"), ("0", "amount"), ("x", "amount"), ("99999999999999", "amount")]
    {
        let d = w.run(&["sale", "--amount", amount, "--currency", "CNY", "--json"]).await;
        assert_eq!(
            (d.code, d.json()["fault"].as_str(), d.json()["field"].as_str()),
            (2, Some("Invalid"), Some(field)),
            "{amount} {}",
            d.out
        );
        assert!(d.err.contains(field), "{}", d.err);
    }
    for (arguments, code) in [
        (&["sale", "--amount", "1", "--currency", "XAU"][..], 2),
        (&["sale", "--amount", "1"], 2),
        (&["sale", "--amount", "1", "--currency", "CNY", "--id", "a b"], 2),
        (&["sale", "--amount", "1", "--currency", "CNY", "--no-wait", "--final"], 2),
        (&["void"], 2),
        (&["void", "--stan", "1", "--rrn", "606414000118"], 2),
        (&["void", "--stan", "0"], 2),
        (&["recall", "a/b/c"], 2),
        (&["list", "--limit", "0"], 2),
        (&["list", "--since", "yesterday"], 2),
        (&["recall", "nothing"], 3),
        (&["explain", "till/nothing"], 3),
        (&["sale", "--amount", "1", "--currency", "CNY", "--id", "fault"], 3),
    ] {
        let d = w.run(arguments).await;
        assert_eq!(d.code, code, "{arguments:?} {}", d.err);
        assert!(d.out.is_empty() && !d.err.is_empty(), "{arguments:?} {}", d.out);
        let d = w.run(&[arguments, &["--json"]].concat()).await;
        assert!(d.code == code && d.json()["fault"].is_string(), "{arguments:?} {}", d.out);
    }
    assert!(w.fake.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_unreachable_terminal_is_exit_status_4() {
    let dir = tempfile::tempdir().unwrap();
    let gone = format!("unix:path={}", dir.path().join("nothing").display());
    let peer = dir.path().join("nothing");
    for place in [["--bus", &gone], ["--peer", peer.to_str().unwrap()]] {
        let mut c = paytermctl();
        c.args(place).args(["sale", "--amount", "1", "--currency", "CNY", "--id", "approved-1", "--json"]);
        let d = finish(c, "").await;
        assert_eq!((d.code, d.json()["fault"].as_str()), (4, Some("Unreachable")), "{}", d.err);
        assert!(!d.err.contains("recall"), "nothing was sent: {}", d.err);
    }
    // A bus is there, the terminal is not.
    let w = World::start().await;
    let d = w.run(&["info", "--lane", "lane2"]).await;
    assert_eq!(d.code, 4, "{}", d.err);
}

#[tokio::test]
async fn a_terminal_lost_while_waiting_is_not_a_decline() {
    let w = World::start().await;
    let child =
        w.spawn(&["sale", "--amount", "12.34", "--currency", "CNY", "--id", "sent-3", "--json"]).await;
    until("started", || !w.fake.requests.lock().unwrap().is_empty()).await;
    drop(w);
    let d = wait(child).await;
    assert_eq!((d.code, d.json()["fault"].as_str()), (4, Some("Unreachable")), "{}", d.err);
    assert!(d.err.contains("do not charge again") && d.err.contains("paytermctl recall sent-3"), "{}", d.err);
}
