//! The harness of the real thing with small numbers and fixed seeds; `make prove` runs it with big ones. And
//! its judge, judged.
use crate::common::*;
use payterm_devices::virtual_bench::When;
use payterm_schema::Terminal;
use payterm_simulator::ledger;
use payterm_tests::real::{
    audit::{self, Said, Verdict},
    disk, kills,
    stack::{Stack, caller},
    traffic::{self, Issued},
};

type Done = Result<(), Box<dyn std::error::Error>>;

/// Nothing is wrong, and there was something that could have been.
fn good(v: &Verdict) {
    assert!(v.ok(), "seed {}: {v:#?}\n{}", v.seed, v.stories.join("\n"));
    assert!(v.requests > 3 && v.approved() > 0 && v.papers > 1, "there was no traffic: {v:?}");
}

#[tokio::test]
async fn kills_under_traffic_lose_nothing() -> Done {
    let v = kills::run(8, 20_261_123).await?;
    good(&v);
    assert!(!v.mishaps.is_empty(), "the line was good: {v:?}");
    assert!(v.offline > 0, "the merchant accepted nothing while its line was down: {v:?}");
    Ok(())
}

#[tokio::test]
async fn a_kill_at_a_sync_loses_nothing() -> Done {
    good(&kills::at_each_sync([1, 2, 3, 5, 9, 17, 33], 4).await?);
    Ok(())
}

#[tokio::test]
async fn a_sync_or_a_write_that_fails_loses_nothing() -> Done {
    let v = kills::failing_calls([2, 9, 25], 5).await?;
    good(&v);
    assert!(v.store_failures >= 6, "the calls did not fail: {v:?}");
    Ok(())
}

#[tokio::test]
async fn a_power_cut_loses_nothing() -> Done {
    if disk::mounts() {
        good(&kills::power_cuts(5, 6).await?);
    }
    Ok(())
}

/// A planted bug, so that the cut is known to be one.
#[tokio::test]
async fn a_daemon_that_does_not_sync_is_found_out_by_a_power_cut() -> Done {
    if disk::mounts() {
        match kills::power_cuts_without_syncs(3, 8).await {
            Ok(v) => {
                assert!(!v.lost.is_empty(), "{v:?}");
                if let Some(kept) = v.kept {
                    std::fs::remove_dir_all(kept)?;
                }
            }
            // So much is gone that it does not start on what is left, or that the round is given up. A
            // harness that fails proves nothing.
            Err(e) => {
                let found = ["paytermd ended before it was ready", "too much is wrong to go on"];
                assert!(found.iter().any(|f| e.to_string().starts_with(f)), "{e}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_full_and_freed_loses_nothing() -> Done {
    if disk::mounts() {
        good(&kills::full_disk(3, 7).await?);
    }
    Ok(())
}

#[tokio::test]
async fn the_judge_finds_what_is_lost_doubled_and_unexplained() -> Done {
    let dir = tempfile::tempdir()?;
    std::fs::write(
        dir.path().join("world.toml"),
        include_str!("../../../crates/simulator/worlds/demo.toml"),
    )?;
    let paper = dir.path().join("papers.txt");
    let mut stack = Stack::start_in(dir.path().to_owned(), None, |c, _| {
        c.terminal.language = payterm_schema::config::Language::En;
        for d in c.devices.iter_mut().filter(|d| d.name == "printer") {
            d.address = Some(format!("file:{}", paper.display()));
            d.options.insert("paper_mm".into(), 80.into());
        }
    })?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    let mut issued = Vec::new();
    for id in ["j-1", "j-2"] {
        let wire = payterm_schema::request::RequestWire { note: Some(id.into()), ..sale(id, "2.00") };
        virtuals.swipe(ALICE.0, ALICE.1, When::Queue)?;
        virtuals.pin(PIN, When::Queue)?;
        let told = pay(&client, wire.clone()).await;
        issued.push(Issued { started: true, told: Some(told), ..Issued::new(wire) });
    }
    virtuals.wait_papers(4, std::time::Duration::from_secs(60))?;
    while !client.papers(&caller()).await?.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let said = Said { obligations: Vec::new(), totals: client.totals(&caller()).await? };
    assert!(stack.stop_daemon()?);
    let judged = |issued: &[Issued]| -> Result<Verdict, Box<dyn std::error::Error>> {
        let mut v = Verdict::default();
        audit::judge(&stack, issued, &said, &mut v)?;
        Ok(v)
    };
    let counts = |v: &Verdict| (v.lost.len(), v.double.len(), v.unexplained.len());
    let v = judged(&issued)?;
    assert_eq!((counts(&v), v.papers, v.approved()), ((0, 0, 0), 4, 2), "{v:#?}");

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
    let v = judged(&issued)?;
    assert_eq!(counts(&v), (0, 1, 1), "{v:#?}");
    assert!(v.stories[0].contains("\"started\""), "{}", v.stories[0]);
    // Undone again, and the first one too: lost, the net differs, and the acquirer's own check finds it.
    let tx = books.transaction()?;
    ledger::undo(&tx, 0, "reversal", Some(second), again)?;
    let undone = ledger::undo(&tx, 0, "reversal", None, first)?;
    tx.commit()?;
    assert_eq!(counts(&judged(&issued)?), (1, 0, 2));
    let tx = books.transaction()?;
    ledger::undo(&tx, 0, "reversal", None, undone)?;
    tx.commit()?;
    // A cent more than was told.
    let tx = books.transaction()?;
    let cent = ledger::post(&tx, 0, "sale", Some(second), &[("card:alice", -1), ("merchant:cup", 1)])?;
    tx.commit()?;
    assert!(judged(&issued)?.unexplained.iter().any(|u| u.contains("moved -201")));
    let tx = books.transaction()?;
    ledger::undo(&tx, 0, "reversal", Some(second), cent)?;
    tx.commit()?;
    // What nobody asked for.
    assert!(judged(&issued[..1])?.unexplained.iter().any(|u| u.contains("nobody asked for it")));
    // A slip less, and an original more.
    let papers = std::fs::read_to_string(stack.papers())?;
    let end = format!("\n{}\n", "-".repeat(32));
    let (one, rest) = papers.split_once(&end).ok_or("no paper")?;
    let before = counts(&judged(&issued)?);
    std::fs::write(stack.papers(), rest)?;
    assert_eq!(counts(&judged(&issued)?), (before.0 + 1, before.1, before.2));
    std::fs::write(stack.papers(), format!("{one}{end}{papers}"))?;
    assert_eq!(counts(&judged(&issued)?), (before.0, before.1 + 1, before.2));
    std::fs::write(stack.papers(), &papers)?;
    // A record less.
    let journal = rusqlite::Connection::open(stack.state().join("journal.db"))?;
    journal.execute("DELETE FROM record WHERE seq = 3", [])?;
    assert!(judged(&issued)?.lost.iter().any(|l| l.contains("gap")));
    Ok(())
}

/// Each deed of the evening is one that the terminal and the schema know.
#[test]
fn the_evening_has_every_kind_that_moves_money() {
    for kind in payterm_schema::Kind::ALL.into_iter().filter(|k| k.row().slip) {
        assert!(traffic::MIX.iter().any(|d| d.kind == kind), "{kind:?} is never done");
    }
}
