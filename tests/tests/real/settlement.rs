//! Settlement with the real parts: totals, upload, kill -9 in the middle of it, the acquirer's books,
//! reconciliation.
use crate::common::*;
use payterm_tests::real::stack::{Stack, until};
use serde_json::Value;
use std::process::Output;

type Done = Result<(), Box<dyn std::error::Error>>;

fn json(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| {
        panic!("{e}: {} {}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    })
}

/// Makes so many sales, and a void and a refund of the first two.
fn trade(stack: &Stack, sales: usize) -> Done {
    let mut virtuals = stack.virtuals()?;
    for i in 0..sales {
        alice(&mut virtuals);
        let out = stack.ctl(&[
            "sale",
            "--amount",
            &format!("{}.50", i + 1),
            "--currency",
            "CNY",
            "--id",
            &format!("s-{i}"),
            "--json",
        ])?;
        assert_eq!(json(&out)["status"], "approved");
    }
    assert_eq!(
        json(&stack.ctl(&["void", "--original-id", "s-0", "--id", "v", "--json"])?)["status"],
        "approved"
    );
    alice(&mut virtuals);
    assert_eq!(
        json(&stack.ctl(&[
            "refund",
            "--original-id",
            "s-1",
            "--amount",
            "1.00",
            "--currency",
            "CNY",
            "--id",
            "r",
            "--json"
        ])?)["status"],
        "approved"
    );
    Ok(())
}

fn settled(stack: &Stack) -> Result<Value, Box<dyn std::error::Error>> {
    Ok(serde_json::from_str(&stack.acquirer(&["settlements", "--json"])?)?)
}

fn sealed(stack: &Stack) -> rusqlite::Result<i64> {
    let db = rusqlite::Connection::open(stack.state().join("journal.db"))?;
    db.query_row("SELECT count(*) FROM sealed", [], |r| r.get(0))
}

#[test]
fn a_batch_balances_and_is_closed() -> Done {
    let mut stack = Stack::start(|_, _| {})?;
    trade(&stack, 3)?;
    assert!(sealed(&stack)? > 0, "the upload may need them");
    let o = json(&stack.ctl(&["settle", "--json"])?);
    assert_eq!(
        (o["status"].as_str(), o["settlement"]["domestic_verdict"].as_str()),
        (Some("approved"), Some("balanced")),
        "{o}"
    );
    // The report names the journal's head at the settlement: as it was told, and as the journal has it.
    let head = o["journal"].as_str().ok_or("no head")?.to_owned();
    let mut virtuals = stack.virtuals()?;
    let printed = || {
        virtuals.papers().is_ok_and(|(_, all)| {
            all.iter().any(|p| p.split_whitespace().collect::<String>().contains(&head))
        })
    };
    until("the report with the journal's head", printed)?;
    let there = settled(&stack)?;
    assert_eq!(
        (there[0]["closed"].as_bool(), there[0]["difference"].as_str(), there[0]["domestic"].as_u64()),
        (Some(true), Some(""), Some(1)),
        "{there}"
    );
    assert_eq!(sealed(&stack)?, 0, "nobody needs the PANs of a closed batch");
    let batches = json(&stack.ctl(&["batches", "--json"])?);
    assert_eq!(batches.as_array().map(Vec::len), Some(1));
    // Nothing to settle; and the next sale is of the next batch.
    assert_eq!(json(&stack.ctl(&["settle", "--json"])?)["reason"]["code"], "batch-empty");
    alice(&mut stack.virtuals()?);
    let next = json(&stack.ctl(&["sale", "--amount", "1.00", "--currency", "CNY", "--json"])?);
    assert_eq!(next["batch"].as_u64(), o["batch"].as_u64().map(|b| b + 1));

    // The acquirer's file agrees; a line less and another amount do not.
    let (account, batch) = (there[0]["account"].as_str().unwrap_or_default(), there[0]["batch"].to_string());
    let file = stack.acquirer(&["reconciliation", "--account", account, "--batch", &batch])?;
    let path = stack.dir.join("file.csv");
    std::fs::write(&path, &file)?;
    let file_arg = path.to_str().ok_or("path")?.to_owned();
    let r = json(&stack.ctl(&["reconcile", "--file", &file_arg, "--json"])?);
    assert_eq!((r["agree"].as_u64(), r["differences"].as_array().map(Vec::len)), (Some(5), Some(0)), "{r}");
    let changed: String = file
        .lines()
        .enumerate()
        .filter(|(i, _)| *i != 1)
        .map(|(_, l)| l.replace("3.50", "3.51") + "\n")
        .collect();
    std::fs::write(&path, changed)?;
    let out = stack.ctl(&["reconcile", "--file", &file_arg, "--json"])?;
    assert_eq!(out.status.code(), Some(22), "differences");
    let r = json(&out);
    let mut kinds: Vec<&str> =
        r["differences"].as_array().into_iter().flatten().filter_map(|d| d["differs"].as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["amount", "missing_there"], "{r}");
    assert!(r["differences"][0]["next"].as_str().is_some_and(|n| !n.is_empty()));
    std::fs::write(&path, "stan,amount\n1,2\n")?;
    let out = stack.ctl(&["reconcile", "--file", &file_arg])?;
    assert!(
        !out.status.success() && String::from_utf8_lossy(&out.stderr).contains("line 1"),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(stack.stop_daemon()?);
    Ok(())
}

/// It owes no message that the queue would list, and holds up every payment: `paytermctl queue` says so.
#[test]
fn a_settlement_that_is_not_done_is_told_with_the_queue() -> Done {
    let mut stack = Stack::start(|c, _| {
        c.accounts[0].reply_timeout_ms = 300;
        c.accounts[0].obligation_tries = 1;
    })?;
    trade(&stack, 2)?;
    let queue =
        |stack: &Stack| stack.ctl(&["queue"]).map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    assert!(!queue(&stack)?.contains("queue resolve"));
    stack.mishap(&["--mti", "0500"], &["drop-reply"])?;
    let o = json(&stack.ctl(&["settle", "--json"])?);
    assert_eq!(o["status"], "unknown", "{o}");
    let said = queue(&stack)?;
    assert!(said.contains(&format!("queue resolve {}", o["txn"])), "{said}");
    assert!(stack.stop_daemon()?);
    Ok(())
}

/// Killed with each of its messages processed and not answered; and with one on its way.
#[test]
fn kill_9_in_the_middle_of_the_upload() -> Done {
    let mut stack = Stack::start(|c, _| {
        c.accounts[0].reply_timeout_ms = 60_000;
        c.accounts[0].obligation_backoff_ms = 200;
    })?;
    for (round, (mti, drop)) in
        [("0500", "drop-reply"), ("0320", "drop-reply"), ("0320", "drop-request")].into_iter().enumerate()
    {
        let mut virtuals = stack.virtuals()?;
        for i in 0..10 {
            alice(&mut virtuals);
            let out = stack.ctl(&[
                "sale",
                "--amount",
                "2.00",
                "--currency",
                "CNY",
                "--id",
                &format!("k-{round}-{i}"),
                "--json",
            ])?;
            assert_eq!(json(&out)["status"], "approved");
        }
        let balances = mti == "0500";
        if !balances {
            stack.mishap(&["--mti", "0500"], &["not-balanced"])?;
        }
        stack.mishap(&["--mti", mti], &[drop])?;
        let id = format!("z-{round}");
        assert_eq!(stack.ctl(&["settle", "--id", &id, "--no-wait"])?.status.code(), Some(14));
        let db = stack.state().join("journal.db");
        let wanted = if mti == "0500" { "asked" } else { "upload_allowed" };
        let mut last = String::new();
        until("the message to leave", || {
            let sql = "SELECT count(*) FROM record WHERE json -> '$.settlement' -> ?1 IS NOT NULL \
                 AND txn = (SELECT txn FROM txn WHERE id = ?2)";
            let count = rusqlite::Connection::open(&db)
                .and_then(|c| c.query_row(sql, [wanted, &id], |r| r.get::<_, i64>(0)));
            last = format!("{count:?}");
            count.is_ok_and(|n| n > 0)
        })
        .map_err(|e| format!("{e}: {last} {}", stack.log_tail()))?;
        std::thread::sleep(std::time::Duration::from_millis(150));
        stack.kill_daemon();
        stack.start_daemon(&[])?;
        // By itself, from where it was.
        until("the batch to be closed", || {
            let out = stack.ctl(&["recall", &id, "--json"]);
            out.is_ok_and(|o| {
                serde_json::from_slice::<Value>(&o.stdout).is_ok_and(|v| v["outcome"]["status"] == "approved")
            })
        })
        .map_err(|e| format!("{e}: {}", stack.log_tail()))?;
        let there = settled(&stack)?;
        let last = there.as_array().and_then(|a| a.last()).cloned().unwrap_or_default();
        assert_eq!(
            (last["closed"].as_bool(), last["difference"].as_str(), last["uploaded"].as_u64()),
            (Some(true), Some(""), Some(if balances { 0 } else { 10 })),
            "{mti} {drop}: {there}"
        );
    }
    stack.acquirer(&["check"])?;
    assert_eq!(sealed(&stack)?, 0);
    Ok(())
}
