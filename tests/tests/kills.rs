//! The kill harness with small numbers; `make prove` runs it with many.
#[tokio::test]
async fn three_kills_under_traffic_lose_nothing() -> Result<(), Box<dyn std::error::Error>> {
    let v = payterm_tests::kills::run(3, 20_261_123).await?;
    assert!(v.ok(), "{v:#?}");
    assert!(v.requests >= 3 && v.by_status.get("approved").is_some_and(|n| *n > 0), "there was no traffic: {v:?}");
    Ok(())
}
