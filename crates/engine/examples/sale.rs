//! A sale in one process and without any bus: the engine, virtual devices, and the simulator's acquirer.
use payterm_devices::{
    SourceEvent,
    virtual_bench::{PinAct, When},
};
use payterm_engine::{Engine, Options, demo};
use payterm_schema::{Caller, Instrument, Outcome, Request, Tracks, request::RequestWire, secret::Pin};
use payterm_simulator::{Acquirer, World};
use payterm_vault::SealingKey;
use std::{error::Error, time::Duration};

type Failure = Box<dyn Error + Send + Sync>;
/// How long the customer waits to be asked.
const PATIENCE: When = When::Within(Duration::from_secs(20));

pub fn main() -> Result<(), Failure> {
    let outcome = sale()?;
    println!("{}: {} {}", outcome.key, outcome.status.name(), outcome.sums.amount.unwrap_or_default());
    Ok(())
}

pub fn sale() -> Result<Outcome, Failure> {
    let acquirer = Acquirer::start(World::demo()?, payterm_simulator::Options::fast())?;
    let dir = tempfile::tempdir()?;
    let mut config = demo::config(0);
    config.store.dir = dir.path().join("state");
    config.accounts[0].address = acquirer.addr("unionpay").ok_or("no address")?.to_string();
    demo::prepare(&mut config)?;
    let key = SealingKey::from_file(&dir.path().join("state/vault.key"))?;
    actix::System::new().block_on(async {
        let engine = Engine::start(config, key, Options::default()).await?;
        let (terminal, bench) = (engine.terminal(), engine.bench());
        let app = Caller::payterm();
        let request = r#"{"id": "order-1", "kind": "sale", "amount": "12.34", "currency": "CNY"}"#;
        let request = Request::try_from(serde_json::from_str::<RequestWire>(request)?)?;
        let order = terminal.start(&app, request).await?;
        let customer = std::thread::spawn(move || {
            let track2 = Some("6212345678900000003=30121200000000".into());
            let card = Instrument::Swiped(Tracks { track1: None, track2, track3: None });
            bench.present(None, SourceEvent::Instrument(card), PATIENCE)?;
            bench.pin(None, PinAct::Digits(Pin::parse("123456").ok_or("no PIN")?), PATIENCE)?;
            Ok::<_, Failure>(())
        });
        let outcome = terminal.wait(&app, &order, true).await?;
        customer.join().map_err(|_| "the customer left")??;
        engine.quiet().await;
        engine.close().await;
        Ok(outcome)
    })
}
