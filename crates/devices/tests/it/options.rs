//! The register checks what is its drivers', and names the key.
use payterm_devices::Drivers;
use payterm_schema::{
    DeviceKind, Fault,
    config::{Config, DeviceConfig},
};

fn refused(devices: &[DeviceConfig]) -> String {
    match Drivers::default().check(&Config { devices: devices.to_vec(), ..Config::default() }) {
        Err(Fault::Invalid { field, rule }) => format!("{field}: {rule}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_driver_checks_its_own_keys() {
    let printer = DeviceConfig {
        address: Some("tcp:192.0.2.1:9100".into()),
        ..DeviceConfig::new("printer", DeviceKind::Printer, "escpos")
    };
    let with = |key: &str, value: serde_json::Value| {
        let mut device = printer.clone();
        device.options.insert(key.into(), value);
        device.options.insert("zzz_never_reached".into(), 1.into());
        [DeviceConfig::new("swipe", DeviceKind::MagneticReader, "virtual"), device]
    };
    let mut good = printer.clone();
    good.options = [("paper_mm".to_owned(), 80.into()), ("confirm".to_owned(), "status".into())].into();
    assert_eq!(Drivers::default().check(&Config { devices: vec![good], ..Config::default() }), Ok(()));
    assert_eq!(refused(&with("paper_mm", 57.into())), "device[1].options.paper_mm: 58 or 80");
    assert!(
        refused(&with("confirm", "yes".into())).starts_with("device[1].options.confirm: unknown variant")
    );
    assert!(refused(&with("baud", 9600.into())).starts_with("device[1].options.baud: unknown field `baud`"));
    let mut file = printer.clone();
    file.address = Some("file:/dev/usb/lp0".into());
    file.options.insert("confirm".into(), "status".into());
    assert!(refused(&[file]).starts_with("device[0].options.confirm: none for file:"));
    let mut reader = DeviceConfig::new("swipe", DeviceKind::MagneticReader, "virtual");
    reader.options.insert("paper_mm".into(), 58.into());
    assert!(refused(&[reader]).starts_with("device[0].options.paper_mm: "));
    let mut display = DeviceConfig::new("d", DeviceKind::Display, "virtual");
    for (size, good) in [("20x4", true), ("80x8", true), ("15x4", false), ("20x9", false), ("20", false)] {
        display.options.insert("size".into(), size.into());
        let config = Config { devices: vec![display.clone()], ..Config::default() };
        let rule = "device[0].options.size: columns and lines, \"16x2\" to \"80x8\"";
        assert_eq!(Drivers::default().check(&config).is_ok(), good, "{size}");
        assert!(good || refused(&config.devices) == rule, "{}", refused(&config.devices));
    }
    let nobody = DeviceConfig::new("swipe", DeviceKind::MagneticReader, "pax");
    assert_eq!(refused(&[nobody]), "device[0].driver: no registered driver has this name");
    let no_reader = DeviceConfig::new("swipe", DeviceKind::MagneticReader, "escpos");
    assert!(refused(&[no_reader]).starts_with("device[0].kind: "));
}
