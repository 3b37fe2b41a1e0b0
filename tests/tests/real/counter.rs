//! The counter on real parts: wallets that wait for their payer, a refund that nobody answered, the books
//! after random traffic.
use crate::common::*;
use payterm_schema::{Fault, Status, Terminal, record::ObligationState, request::RequestWire};
use payterm_tests::real::{
    counter,
    stack::{Stack, caller},
};
use std::time::Duration;

type Done = payterm_tests::real::stack::Result<()>;

/// UnionPay's profile with a wallet that is asked every second and given up after six.
fn quick_wallets() -> payterm_tests::real::stack::Result<(tempfile::TempDir, Stack)> {
    let dir = tempfile::tempdir()?;
    let text = include_str!("../../../crates/hosts/profiles/unionpay.toml");
    let quick = text.replace(
        "undo_after_s = 15, query = { first_s = 5, every_s = 5, until_s = 45 }",
        "undo_after_s = 2, query = { first_s = 1, every_s = 1, until_s = 6 }",
    );
    assert_ne!(text, quick, "the profile's wallet row has changed");
    let path = dir.path().join("quick.toml");
    std::fs::write(&path, quick)?;
    let profile = path.to_str().ok_or("path")?.to_owned();
    Ok((dir, Stack::start(|c, _| c.accounts[0].profile = profile)?))
}
fn code(id: &str) -> RequestWire {
    sale(id, "6.50")
}

#[tokio::test]
async fn a_wallet_payment_that_waits_for_its_payer_is_paid() -> Done {
    let (_dir, stack) = quick_wallets()?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    let key = start(&client, code("a")).await;
    virtuals.scan("139012345678901234", SOON)?;
    let o = client.wait(&caller(), &key, true).await?;
    is(&o, Status::Approved);
    assert_eq!(stack.net("cup")?, 650);
    assert!(client.obligations(&caller()).await?.is_empty());
    Ok(())
}

/// With the profile's own times: the payer needs twenty seconds, and the daemon is killed in between.
#[tokio::test]
async fn a_payer_who_takes_twenty_seconds() -> Done {
    let mut stack = Stack::start(|_, _| ())?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    start(&client, code("a")).await;
    virtuals.scan("139412345678901234", SOON)?;
    tokio::time::sleep(Duration::from_secs(7)).await;
    stack.kill_daemon();
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    is(
        &tokio::time::timeout(Duration::from_secs(60), client.wait(&caller(), &key("a"), true)).await??,
        Status::Approved,
    );
    assert_eq!(stack.net("cup")?, 650);
    Ok(())
}

#[tokio::test]
async fn one_that_is_never_paid_is_reversed() -> Done {
    let (_dir, stack) = quick_wallets()?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    let key = start(&client, code("a")).await;
    virtuals.scan("139112345678901234", SOON)?;
    let first = client.wait(&caller(), &key, false).await?;
    is(&first, Status::Unknown);
    is(&last(&client, "a").await, Status::Declined);
    assert_eq!(stack.net("cup")?, 0, "the ledger is net zero");
    Ok(())
}

/// kill -9 while the wallet is asked: the time counts anew, the end is the same.
#[tokio::test]
async fn both_ends_are_reached_over_a_kill() -> Done {
    for (scanned, status, net) in
        [("139012345678901234", Status::Approved, 650), ("139112345678901234", Status::Declined, 0)]
    {
        let (_dir, mut stack) = quick_wallets()?;
        let client = stack.client().await?;
        let mut virtuals = stack.virtuals()?;
        start(&client, code("a")).await;
        virtuals.scan(scanned, SOON)?;
        payterm_tests::real::stack::until("a query", || {
            seen(&stack).iter().filter(|(mti, _)| mti == "0200").count() >= 2
        })?;
        stack.kill_daemon();
        stack.start_daemon(&[])?;
        let client = stack.client().await?;
        is(&last(&client, "a").await, status);
        assert_eq!(stack.net("cup")?, net);
        assert!(client.obligations(&caller()).await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn a_refund_that_nobody_answered_is_stuck_until_a_person_settles_it() -> Done {
    let mut stack = Stack::start(|c, _| c.accounts[0].reply_timeout_ms = 1_000)?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    alice(&mut virtuals);
    is(&pay(&client, sale("a", "10.00")).await, Status::Approved);
    stack.mishap(&["--mti", "0220"], &["drop-reply"])?;
    let refund = |id: &str| RequestWire {
        id: id.into(),
        kind: "refund".into(),
        original_id: Some("a".into()),
        amount: Some("7.00".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    let key = start(&client, refund("b")).await;
    virtuals.swipe(ALICE.0, ALICE.1, SOON)?;
    is(&client.wait(&caller(), &key, false).await?, Status::Unknown);
    let stuck = client.obligations(&caller()).await?;
    assert!(matches!(stuck.as_slice(), [o] if o.state == ObligationState::Stuck), "{stuck:?}");
    let again = client.retry_obligation(&caller(), stuck[0].txn).await;
    assert!(matches!(again, Err(Fault::WrongState { .. })), "never sent again: {again:?}");
    let o = pay(&client, refund("c")).await;
    assert_eq!(
        o.reason.map(|r| r.code).as_deref(),
        Some("refund-above-original"),
        "in doubt counts as taken"
    );
    // Neither a restart nor time sends anything.
    stack.kill_daemon();
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after: Vec<_> = seen(&stack).into_iter().filter(|(mti, _)| mti == "0220" || mti == "0400").collect();
    assert_eq!(after.len(), 1, "never reversed, never resent: {after:?}");
    assert_eq!(stack.net("cup")?, 300, "the acquirer had executed it");
    let out = stack.ctl(&[
        "queue",
        "resolve",
        &stuck[0].txn.to_string(),
        "--reference",
        "case 4711",
        "--executed",
    ])?;
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    is(&last(&client, "b").await, Status::Approved);
    let totals = client.totals(&caller()).await?;
    let cup = totals.iter().find(|t| t.account.as_str() == "cup").ok_or("totals")?;
    assert_eq!((cup.debit_minor, cup.credit_minor), (1_000, 700));
    assert!(client.obligations(&caller()).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_totals_are_the_acquirers_after_random_traffic() -> Done {
    let count = std::env::var("PAYTERM_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let books = counter::run(count, 20_261_125).await?;
    println!("{} approved of {count} requests: {:?}", books.approved, books.by_kind);
    assert!(books.equal() && books.check.contains("sound"), "{books:?}");
    Ok(())
}
