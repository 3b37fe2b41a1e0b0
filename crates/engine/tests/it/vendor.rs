//! A vendor's driver, registered from outside of the devices crate, in a whole engine.
mod unit;

use payterm_engine::{Engine, Options, demo};
use payterm_schema::{
    Caller, Device, DeviceKind, DeviceState, Outcome, Request, Status, Terminal,
    config::{Config, DeviceConfig, Language},
    request::RequestWire,
};
use payterm_simulator::{Acquirer, World};
use payterm_vault::SealingKey;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use unit::Hardware;

const SOON: Duration = Duration::from_secs(20);
const CARD: &str = ";6212345678900000003=30121010000000000?";
const FACES: [&str; 3] = ["counter", "counter-pad", "counter-paper"];

/// The demo with the unit in place of its readers, pad and printer.
fn config(dir: &std::path::Path, address: String) -> Config {
    let mut config = demo::config(0);
    config.store.dir = dir.join("state");
    config.terminal.language = Language::En;
    config.accounts[0].address = address;
    config.devices.retain(|d| d.kind == DeviceKind::Display);
    let face = |name: &str, kind, part_of: Option<&str>| DeviceConfig {
        part_of: part_of.map(str::to_owned),
        ..DeviceConfig::new(name, kind, "acme")
    };
    config.devices.extend([
        face(FACES[0], DeviceKind::MagneticReader, None),
        face(FACES[1], DeviceKind::PinPad, Some(FACES[0])),
        face(FACES[2], DeviceKind::Printer, Some(FACES[0])),
    ]);
    config.devices[1].options.insert("unit".into(), 2.into());
    demo::prepare(&mut config).unwrap();
    config
}

fn caller() -> Caller {
    Caller { app: "demo".into(), uid: 0, manager: true, kinds: Vec::new(), limit: None }
}

async fn sale(t: &Arc<dyn Terminal>, hardware: &Hardware, id: &str) -> Outcome {
    let wire = RequestWire {
        id: id.into(),
        kind: "sale".into(),
        amount: Some("12.34".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    let key = t.start(&caller(), Request::try_from(wire).unwrap()).await.unwrap();
    hardware.change(|state| state.card = Some(CARD));
    tokio::time::timeout(SOON, t.wait(&caller(), &key, false)).await.unwrap().unwrap()
}

/// The three faces, once all of them are as `is` says.
async fn faces(t: &Arc<dyn Terminal>, what: &str, is: impl Fn(&Device) -> bool) -> Vec<Device> {
    let until = Instant::now() + SOON;
    loop {
        let all = t.devices().await.unwrap();
        let faces: Vec<Device> = all.into_iter().filter(|d| d.driver == "acme").collect();
        if faces.len() == 3 && faces.iter().all(&is) {
            return faces;
        }
        assert!(Instant::now() < until, "not in time: {what}: {faces:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_unit_of_a_vendor_serves_sales_and_its_faces_live_and_die_together() {
    let dir = tempfile::tempdir().unwrap();
    let acquirer = Acquirer::start(World::demo().unwrap(), payterm_simulator::Options::fast()).unwrap();
    let config = config(dir.path(), acquirer.addr("unionpay").unwrap().to_string());
    let hardware = Arc::new(Hardware::default());
    let options = Options { drivers: unit::drivers(hardware.clone()), ..Options::default() };
    actix::System::new().block_on(async {
        let key = SealingKey::from_file(config.vault.key_file.as_ref().unwrap()).unwrap();
        let engine = Engine::start(config, key, options).await.unwrap();
        let t = engine.terminal();
        let works = |d: &Device| matches!(d.state, DeviceState::Idle | DeviceState::Busy);
        let opened = faces(&t, "open", works).await;
        assert!(opened.iter().all(|d| d.restarts == 0 && !d.is_virtual), "{opened:?}");
        assert_eq!(opened.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), FACES);

        let o = sale(&t, &hardware, "a").await;
        assert_eq!(o.status, Status::Approved, "{o:?}");
        let first = {
            let state = hardware.lock();
            assert_eq!((state.opened, state.handle.strong_count()), (1, 3), "one handle, three faces");
            state.handle.clone()
        };

        // One face finds the unit dead; the others are not asked, and are left with it.
        hardware.change(|state| state.unplugged = true);
        let dead = faces(&t, "left", |d| d.state == DeviceState::Failed).await;
        assert!(dead.iter().all(|d| d.health.contains("not connected")), "{dead:?}");
        hardware.change(|state| state.unplugged = false);
        let again = faces(&t, "open again", works).await;
        let restarts: Vec<u32> = again.iter().map(|d| d.restarts).collect();
        assert!(restarts[0] >= 1 && restarts.iter().all(|n| *n == restarts[0]), "together: {restarts:?}");
        let until = Instant::now() + SOON;
        while first.strong_count() > 0 {
            assert!(Instant::now() < until, "nobody holds the dead handle");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        {
            let state = hardware.lock();
            assert_eq!((state.opened, state.handle.strong_count()), (2, 3));
        }

        let o = sale(&t, &hardware, "b").await;
        assert_eq!(o.status, Status::Approved, "{o:?}");
        let printed = Instant::now() + SOON;
        while hardware.lock().papers.len() < 4 {
            assert!(Instant::now() < printed, "not in time: four papers");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(t);
        engine.quiet().await;
        engine.close().await;
    });
}

#[test]
fn what_the_vendors_driver_refuses_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), "127.0.0.1:1".into());
    let drivers = unit::drivers(Arc::default());
    assert_eq!(drivers.check(&config), Ok(()));
    for (key, value, refused) in [
        ("unit", 10, "device[1].options.unit: 1 to 9"),
        ("speed", 1, "device[1].options.speed: unknown field `speed`, expected `unit`"),
    ] {
        config.devices[1].options = [(key.to_owned(), value.into())].into();
        let fault = drivers.check(&config).unwrap_err().to_string();
        assert!(fault.contains(refused), "{fault}");
    }
    config.devices[1].options.clear();
    config.devices.push(DeviceConfig {
        part_of: Some(FACES[0].into()),
        ..DeviceConfig::new("counter-scanner", DeviceKind::Scanner, "acme")
    });
    let fault = drivers.check(&config).unwrap_err().to_string();
    assert!(fault.contains("device[4].kind: this driver does not serve devices of this kind"), "{fault}");
}
