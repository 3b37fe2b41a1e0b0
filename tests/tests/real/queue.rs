//! The queue on the real daemon and the real acquirer. PAYTERM_QUEUE (200): how many wait; `make prove` takes
//! 10,000.
use payterm_schema::Terminal;
use payterm_tests::real::{
    drain,
    stack::{Result, caller},
};

fn queued() -> usize {
    std::env::var("PAYTERM_QUEUE").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

#[tokio::test]
async fn each_arrives_once_and_in_the_order_of_its_card_over_three_kills() -> Result<()> {
    let n = queued();
    let (v, _stack) = drain::run(n, (n / 20).max(8), 3, false).await?;
    println!("{v:?}");
    assert_eq!((v.arrived, v.different, v.disordered, v.stuck, v.kills), (n, n, 0, 0, 3), "{v:?}");
    Ok(())
}

#[tokio::test]
async fn one_that_is_never_accepted_lets_the_others_through() -> Result<()> {
    let (v, stack) = drain::run(100, 5, 0, true).await?;
    assert_eq!((v.arrived, v.different, v.disordered, v.stuck), (99, 99, 0, 1), "{v:?}");
    // It can be written off; nobody is asked for a password on a terminal without operators.
    let out = stack.ctl(&["--json", "offline", "why", "--amount", "1.00"])?;
    assert!(String::from_utf8_lossy(&out.stdout).contains("\"allowed\""), "{out:?}");
    let client = stack.client().await?;
    let txn = client.obligations(&caller()).await?[0].txn.to_string();
    let out = stack.ctl(&["queue", "write-off", &txn, "--why", "the acquirer never takes it"])?;
    assert!(out.status.success(), "{out:?}");
    assert!(client.obligations(&caller()).await?.is_empty());
    let written = client
        .list(&caller(), Default::default())
        .await?
        .into_iter()
        .filter(|o| format!("{:?}", o.forwarding).contains("WrittenOff"))
        .count();
    assert!(written <= 1);
    Ok(())
}
