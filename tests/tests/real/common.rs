//! People at the counter, whom the tests of the real programs share.
use payterm_dbus::Client;
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControl};
use payterm_schema::{Outcome, Request, RequestKey, Terminal, request::RequestWire};
use payterm_tests::real::stack::{Stack, caller};
use std::{process::Command, time::Duration};

pub const SOON: When = When::Within(Duration::from_secs(60));
pub const ALICE: (&str, &str) = ("6212345678900000003", "3012");
pub const PIN: &str = "123456";

pub fn key(id: &str) -> RequestKey {
    RequestKey { app: "demo".into(), id: id.into() }
}
pub fn sale(id: &str, amount: &str) -> RequestWire {
    RequestWire {
        id: id.into(),
        kind: "sale".into(),
        amount: Some(amount.into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    }
}
pub fn void(id: &str, original: &str) -> RequestWire {
    RequestWire {
        id: id.into(),
        kind: "void".into(),
        original_id: Some(original.into()),
        ..RequestWire::default()
    }
}
/// Alice's card and PIN lie ready before the request.
pub fn alice(virtuals: &mut VirtualControl) {
    virtuals.swipe(ALICE.0, ALICE.1, When::Queue).expect("swipe");
    virtuals.pin(PIN, When::Queue).expect("pin");
}
pub async fn start(client: &Client, wire: RequestWire) -> RequestKey {
    client.start(&caller(), Request::try_from(wire).expect("request")).await.expect("start")
}
/// Start and the first outcome (which may be `Unknown`).
pub async fn pay(client: &Client, wire: RequestWire) -> Outcome {
    let key = start(client, wire).await;
    client.wait(&caller(), &key, false).await.expect("wait")
}
pub async fn last(client: &Client, id: &str) -> Outcome {
    tokio::time::timeout(Duration::from_secs(30), client.wait(&caller(), &key(id), true))
        .await
        .expect("a final outcome")
        .expect("wait")
}
/// The path of a request as busctl needs it.
pub fn path(id: &str) -> String {
    payterm_dbus::path(&key(id))
}
pub fn busctl(stack: &Stack, args: &[&str]) -> String {
    let out =
        Command::new("busctl").arg(format!("--address={}", stack.bus)).args(args).output().expect("busctl");
    assert!(out.status.success(), "busctl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}
/// MTIs that the acquirer saw, in order.
pub fn seen(stack: &Stack) -> Vec<(String, String)> {
    let log: serde_json::Value =
        serde_json::from_str(&stack.acquirer(&["log", "--json"]).expect("log")).expect("json");
    let text = |v: &serde_json::Value, k: &str| v[k].as_str().unwrap_or("").to_owned();
    log.as_array().expect("log").iter().map(|m| (text(m, "mti"), text(m, "code"))).collect()
}
/// Asserts a status, and says why it is another.
pub fn is(outcome: &Outcome, status: payterm_schema::Status) {
    assert_eq!(outcome.status, status, "{}: {:?}", outcome.key, outcome.reason);
}
