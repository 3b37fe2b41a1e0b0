//! Reasons against an update or a restart: told on the bus, by exit status, and by a lock of logind (a
//! fake one, on the stack's own bus).
use crate::common::*;
use payterm_schema::{
    InhibitReason, Status, Terminal, config::LogindLock, request::RequestWire, terminal::Filter,
};
use payterm_tests::real::stack::{Stack, caller};
use std::{
    io::Read,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

type Done = Result<(), Box<dyn std::error::Error>>;

/// Lock of logind: what was asked for, and the end that shows whether it is held.
type Lock = ([String; 4], UnixStream);

#[derive(Clone, Default)]
struct Login1 {
    locks: Arc<Mutex<Vec<Lock>>>,
    /// Refuses a lock that blocks, as logind does a service without a polkit rule.
    no_block: bool,
}

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Login1 {
    fn inhibit(
        &self,
        what: String,
        who: String,
        why: String,
        mode: String,
    ) -> zbus::fdo::Result<zbus::OwnedFd> {
        if self.no_block && mode == "block" {
            return Err(zbus::fdo::Error::AccessDenied("by polkit".into()));
        }
        let (ours, theirs) = UnixStream::pair().map_err(|e| zbus::fdo::Error::Failed(e.to_string()))?;
        ours.set_nonblocking(true).map_err(|e| zbus::fdo::Error::Failed(e.to_string()))?;
        self.locks.lock().expect("lock").push(([what, who, why, mode], ours));
        Ok(OwnedFd::from(theirs).into())
    }
}
impl Login1 {
    async fn on(&self, stack: &Stack) -> zbus::Result<zbus::Connection> {
        let at = zbus::connection::Builder::address(stack.bus.as_str())
            .serve_at("/org/freedesktop/login1", self.clone());
        at.name("org.freedesktop.login1").build().await
    }
    fn held(&self) -> Vec<[String; 4]> {
        let mut locks = self.locks.lock().expect("lock");
        locks
            .iter_mut()
            .filter_map(|(asked, end)| end.read(&mut [0]).is_err().then(|| asked.clone()))
            .collect()
    }
    /// Waits until exactly this is held: why and mode of the lock, or nothing.
    async fn holds(&self, lock: Option<(&str, &str)>) {
        let want: Vec<[String; 4]> = lock
            .into_iter()
            .map(|(why, mode)| ["shutdown:sleep", "payterm", why, mode].map(str::to_owned))
            .collect();
        let began = Instant::now();
        while self.held() != want {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}, not {want:?}", self.held());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Exit status and reasons of `paytermctl inhibited`.
fn told(stack: &Stack, args: &[&str]) -> (i32, String) {
    let out = stack.ctl(&[&["inhibited", "--json"], args].concat()).expect("paytermctl");
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
    let reasons: Vec<&str> =
        json["reasons"].as_array().into_iter().flatten().filter_map(|r| r.as_str()).collect();
    assert_eq!(json["inhibited"], !reasons.is_empty());
    (out.status.code().unwrap_or(-1), reasons.join(" "))
}
fn property(stack: &Stack, name: &str) -> String {
    busctl(
        stack,
        &[
            "get-property",
            "org.payterm.Terminal1",
            "/org/payterm/Terminal1",
            "org.payterm.Terminal1.Manager",
            name,
        ],
    )
    .trim()
    .to_owned()
}
async fn reasons(stack: &Stack, want: &[InhibitReason]) -> Done {
    let (client, began) = (stack.client().await?, Instant::now());
    loop {
        let now = client.info().await?.inhibit_reasons.clone();
        if now == want {
            return Ok(());
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{now:?}, not {want:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn while_a_payment_is_open_nobody_updates_and_logind_holds() -> Done {
    let stack = Stack::start(|c, _| {
        c.inhibit.logind = LogindLock::Block;
        c.accounts[0].reply_timeout_ms = 700;
        c.accounts[0].obligation_backoff_ms = 300;
        c.accounts[0].obligation_backoff_max_ms = 300;
    })?;
    let logind = Login1::default();
    let first = logind.on(&stack).await?;
    let client = stack.client().await?;
    assert_eq!(told(&stack, &[]), (0, String::new()));
    assert_eq!(
        (property(&stack, "Inhibited").as_str(), property(&stack, "InhibitReasons").as_str()),
        ("b false", "as 0")
    );

    start(&client, sale("i-1", "12.34")).await;
    logind.holds(Some(("payment", "block"))).await;
    assert_eq!(told(&stack, &[]), (30, "payment".into()));
    assert_eq!(
        (property(&stack, "Inhibited").as_str(), property(&stack, "InhibitReasons").as_str()),
        ("b true", "as 1 \"payment\"")
    );

    stack.mishap(&["--mti", "0200"], &["drop-reply"])?;
    stack.mishap(&["--mti", "0400", "--next", "1000"], &["drop-request"])?;
    alice(&mut stack.virtuals()?);
    is(&client.wait(&caller(), &key("i-1"), false).await?, Status::Unknown);
    logind.holds(Some(("unknown, obligation", "block"))).await;
    assert_eq!(told(&stack, &[]), (30, "unknown obligation".into()));
    assert_eq!(told(&stack, &["--wait", "1"]), (30, "unknown obligation".into()), "it waits in vain");
    assert_eq!(told(&stack, &["--except", "unknown", "--except", "obligation"]), (0, String::new()));

    // A logind that was started anew is asked again; what the old one gave is let go.
    first.close().await?;
    let second = Login1::default();
    let _second = second.on(&stack).await?;
    second.holds(Some(("unknown, obligation", "block"))).await;
    logind.holds(None).await;

    stack.acquirer(&["clear-mishaps"])?;
    let waited = tokio::task::spawn_blocking(move || (told(&stack, &["--wait"]), stack)).await?;
    assert_eq!(waited.0, (0, String::new()));
    second.holds(None).await;
    is(&last(&client, "i-1").await, Status::Declined);
    Ok(())
}

#[tokio::test]
async fn what_waits_for_the_line_is_told_and_what_waits_for_a_person_keeps_no_machine_up() -> Done {
    let mut stack = Stack::start(|c, _| {
        c.inhibit.logind = LogindLock::Block;
        c.accounts[0].reply_timeout_ms = 700;
        c.accounts[0].obligation_tries = 1;
        c.accounts[0].obligation_backoff_ms = 100;
    })?;
    // Without the polkit rule a service may only delay.
    let logind = Login1 { no_block: true, ..Login1::default() };
    let _on = logind.on(&stack).await?;
    let client = stack.client().await?;
    alice(&mut stack.virtuals()?);
    is(&pay(&client, sale("i-2", "5.00")).await, Status::Approved);
    let listened = stack.hosts["unionpay"].clone();
    stack.kill_acquirer();
    alice(&mut stack.virtuals()?);
    let voice =
        RequestWire { kind: "voice_sale".into(), auth_code: Some("V12345".into()), ..sale("i-3", "6.00") };
    is(&pay(&client, voice).await, Status::Approved);
    reasons(&stack, &[InhibitReason::Queue]).await?;
    logind.holds(Some(("queue", "delay"))).await;

    // It is what the journal says: the same after a restart, and a frame that got no answer beside it.
    stack.kill_daemon();
    stack.start_daemon(&[])?;
    reasons(&stack, &[InhibitReason::Queue]).await?;
    logind.holds(Some(("queue", "delay"))).await;
    stack.start_acquirer(&listened)?;
    let client = stack.client().await?;
    for _ in 0..1_200 {
        if client.obligations(&caller()).await?.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    reasons(&stack, &[]).await?;
    logind.holds(None).await;

    stack.mishap(&["--mti", "0200"], &["drop-reply"])?;
    stack.mishap(&["--mti", "0400"], &["drop-request"])?;
    alice(&mut stack.virtuals()?);
    is(&pay(&client, sale("i-4", "7.00")).await, Status::Unknown);
    reasons(&stack, &[InhibitReason::Stuck]).await?;
    // Nobody waits for it any more: whoever asks is sent to the acquirer, and to no time.
    let key = key("i-4");
    let recalled = client.recall(&caller(), &key).await?.outcome;
    let listed = client.list(&caller(), Filter { limit: Some(1), ..Filter::default() }).await?;
    for o in [recalled, client.wait(&caller(), &key, false).await?, listed[0].clone()] {
        assert_eq!(
            (o.status, o.answer_by, o.reason.map(|r| r.code).as_deref()),
            (Status::Unknown, None, Some("stuck"))
        );
    }
    logind.holds(None).await;
    assert_eq!(told(&stack, &[]), (30, "stuck".into()));
    Ok(())
}

/// A logind that never answers costs a payment nothing.
#[tokio::test]
async fn payments_do_not_wait_for_logind() -> Done {
    let stack = Stack::start(|c, _| c.inhibit.logind = LogindLock::Block)?;
    // It owns the name and answers nobody.
    let deaf = zbus::connection::Builder::address(stack.bus.as_str())
        .name("org.freedesktop.login1")
        .build_message_stream()
        .await?;
    let client = stack.client().await?;
    alice(&mut stack.virtuals()?);
    let began = Instant::now();
    is(&pay(&client, sale("i-5", "5.00")).await, Status::Approved);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    drop(deaf);
    Ok(())
}
