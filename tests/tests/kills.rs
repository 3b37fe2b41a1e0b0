//! The kill harness with small numbers; `make prove` runs it with many.
#[path = "common/counter.rs"]
mod counter;
use counter::*;
use payterm_simulator::ledger;
use payterm_tests::{
    kills::{self, Issued, Verdict},
    stack::Stack,
};

type Done = Result<(), Box<dyn std::error::Error>>;

#[tokio::test]
async fn three_kills_under_traffic_lose_nothing() -> Done {
    let v = kills::run(3, 20_261_123).await?;
    assert!(v.ok(), "{v:#?}");
    assert!(v.requests >= 3 && v.ends.get("sale approved").is_some_and(|n| *n > 0), "there was no traffic: {v:?}");
    Ok(())
}

#[tokio::test]
async fn the_judge_finds_what_is_lost_doubled_and_unexplained() -> Done {
    let stack = Stack::start(|_, _| {})?;
    let client = stack.client().await?;
    let mut hands = stack.hands()?;
    let mut issued = Vec::new();
    for id in ["j-1", "j-2"] {
        alice(&mut hands);
        let told = pay(&client, sale(id, "2.00")).await;
        issued.push(Issued { wire: sale(id, "2.00"), started: true, told: Some(told) });
    }
    let judged = async || {
        let mut v = Verdict::default();
        kills::judge(&stack, &client, &issued, &mut v).await?;
        Ok::<_, Box<dyn std::error::Error>>((v.lost.len(), v.double.len(), v.unexplained.len()))
    };
    assert_eq!(judged().await?, (0, 0, 0));
    let mut books = rusqlite::Connection::open(stack.acquirer_state().join("acquirer.db"))?;
    let sales: Vec<(i64, i64)> = books
        .prepare("SELECT id, txn FROM posting WHERE kind = 'sale' ORDER BY id")?
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let [(first, _), (_, second)] = sales[..] else { return Err(format!("{sales:?}").into()) };
    // The acquirer has the second sale twice: doubled, and the net differs.
    let tx = books.transaction()?;
    let again = ledger::post(&tx, 0, "sale", Some(second), &[("card:alice", -200), ("merchant:cup", 200)])?;
    tx.commit()?;
    assert_eq!(judged().await?, (0, 1, 1));
    // Undone again, and the first one too: lost, the net differs, and the acquirer's own check finds it.
    let tx = books.transaction()?;
    ledger::undo(&tx, 0, "reversal", Some(second), again)?;
    assert_eq!(ledger::undo(&tx, 0, "reversal", None, first)?, again + 2);
    tx.commit()?;
    assert_eq!(judged().await?, (1, 0, 2));
    // Money that no request of this terminal moved.
    issued.pop();
    let mut v = Verdict::default();
    kills::judge(&stack, &client, &issued, &mut v).await?;
    assert!(v.unexplained.iter().any(|u| u.starts_with("a posting of no request")), "{v:?}");
    Ok(())
}
