//! A small shop app: takes one sale under its own order id, shows the progress, prints the outcome.
//!
//! `pos ORDER-ID AMOUNT [CURRENCY] [ADDRESS]`; ADDRESS is a D-Bus address, or `peer:/path/of/the/socket`.
//! Without one: PAYTERM_BUS, the session bus when only DBUS_SESSION_BUS_ADDRESS is set, else the system bus.
//! The last line is the outcome as JSON. Exit code: 0 the sale ended (look at `status`), 1 the terminal
//! refused, 3 still unknown: run it again with the same id.
use futures_util::StreamExt;
use payterm_dbus::{Address, Client};
use payterm_schema::{Caller, Fault, Notice, Outcome, Request, Terminal, request::RequestWire};
use std::process::ExitCode;

fn address(given: Option<&str>) -> Address {
    let set = |name: &str| std::env::var_os(name).is_some();
    let bus = std::env::var("PAYTERM_BUS").ok();
    match given.or(bus.as_deref()) {
        Some(a) => {
            a.strip_prefix("peer:").map_or_else(|| Address::Bus(a.into()), |p| Address::Peer(p.into()))
        }
        None if set("DBUS_SESSION_BUS_ADDRESS") && !set("DBUS_SYSTEM_BUS_ADDRESS") => Address::Session,
        None => Address::System,
    }
}

async fn sale(arguments: &[String]) -> Result<Outcome, Fault> {
    let (Some(id), Some(amount)) = (arguments.first(), arguments.get(1)) else {
        return Err(Fault::invalid("arguments", "ORDER-ID AMOUNT [CURRENCY] [ADDRESS]"));
    };
    let currency = arguments.get(2).map_or("CNY", String::as_str);
    let request = Request::try_from(RequestWire {
        id: id.clone(),
        kind: "sale".into(),
        amount: Some(amount.clone()),
        currency: Some(currency.into()),
        ..RequestWire::default()
    })?;
    // Over the bus the daemon finds out who we are.
    let us = Caller { app: String::new(), uid: 0, manager: false, kinds: Vec::new(), limit: None };
    let terminal = Client::connect(address(arguments.get(3).map(String::as_str)), "").await?;
    let mut notices = terminal.notices();
    // Start is safe to repeat: the same id with the same content is the same transaction, for ever.
    let key = terminal.start(&us, request).await?;
    println!("started: {}", payterm_dbus::path(&key));
    let mut outcome = terminal.wait(&us, &key, false);
    loop {
        tokio::select! {
            answer = &mut outcome => return answer,
            Some(notice) = notices.next() => {
                if let Notice::Phase { key: told, phase, .. } = notice && told == key {
                    println!("{}", phase.name());
                }
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match sale(&arguments).await {
        Ok(outcome) => {
            if let Some(r) = &outcome.reason {
                println!("{}: {} {}", outcome.status.name(), r.text, r.next);
            }
            println!("{}", serde_json::to_string(&outcome).unwrap_or_default());
            ExitCode::from(if outcome.status.is_final() { 0 } else { 3 })
        }
        Err(fault) => {
            eprintln!("{fault}");
            println!("{}", serde_json::to_string(&fault).unwrap_or_default());
            ExitCode::from(1)
        }
    }
}
