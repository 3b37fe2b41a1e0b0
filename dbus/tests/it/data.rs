//! The files that are installed: bus policy on a real bus, units by systemd's own checkers.
use crate::common::*;
use payterm_fake::Fake;
use std::{path::Path, process::Command};

fn data(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)).unwrap()
}

/// The policy with users and groups that exist everywhere: daemon owns, group daemon calls.
#[tokio::test]
async fn only_payterm_owns_the_name_and_only_its_group_may_call() {
    if me() != 0 {
        return;
    }
    let policy = data("org.payterm.Terminal1.conf");
    let inner = &policy[policy.find("<policy").unwrap()..policy.find("</busconfig>").unwrap()];
    let inner = inner.replace("\"payterm\"", "\"daemon\"");
    let open = "<policy context=\"default\"><allow user=\"*\"/><deny own=\"*\"/>\
        <deny send_type=\"method_call\"/><allow send_type=\"signal\"/>\
        <allow send_requested_reply=\"true\" send_type=\"method_return\"/>\
        <allow send_requested_reply=\"true\" send_type=\"error\"/>\
        <allow receive_sender=\"*\"/><allow send_destination=\"org.freedesktop.DBus\"/></policy>";
    let bus = Bus::with_policy(&format!("{open}{inner}"));
    let fake = Fake::by_hand();
    let group = payterm_schema::config::CallerConfig { uid: 65534, ..caller("till", false) };
    let config = payterm_schema::config::BusConfig {
        callers: vec![group],
        lane: "lane2".into(),
        ..Default::default()
    };
    let _lane = payterm_dbus::serve_at(fake.clone(), &config, bus.at()).await.unwrap();
    let config = payterm_schema::config::BusConfig { lane: String::new(), ..config };
    let _server = payterm_dbus::serve_at(fake, &config, bus.at()).await.unwrap();
    let run = async |gid: u32, arguments: &[&str]| {
        let o = bus.busctl_as(65534, gid, arguments).await;
        (o.status.success(), String::from_utf8_lossy(&o.stderr).into_owned())
    };
    for name in ["org.payterm.Terminal1", "org.payterm.Terminal1.lane2"] {
        let devices = ["call", name, payterm_dbus::ROOT, "org.payterm.Terminal1.Manager", "Devices"];
        assert_eq!(run(1, &devices).await, (true, String::new()), "a member of the group");
        let (done, why) = run(65534, &devices).await;
        assert!(!done && why.contains("Access denied"), "{why}");
    }
    for (uid, name, allowed) in [
        (65534, "org.payterm.Terminal1.lane3", false),
        (65534, "org.payterm.Terminal1", false),
        (1, "org.payterm.Terminal1.lane3", true),
    ] {
        let own = [
            "call",
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "RequestName",
            "su",
            name,
            "4",
        ];
        let o = bus.busctl_as(uid, 1, &own).await;
        assert_eq!(o.status.success(), allowed, "{uid} {name}: {}", String::from_utf8_lossy(&o.stderr));
    }
}

#[test]
fn systemd_takes_the_units_and_finds_them_tight() {
    let have = Command::new("systemd-analyze").arg("--version").output().is_ok_and(|o| o.status.success());
    if !have {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for unit in ["paytermd.service", "paytermd@.service"] {
        let text = data(unit);
        assert!(text.contains("ExecStart=/usr/bin/paytermd "));
        std::fs::write(
            dir.path().join(unit),
            text.replace("ExecStart=/usr/bin/paytermd", "ExecStart=/bin/true"),
        )
        .unwrap();
    }
    std::fs::copy(dir.path().join("paytermd@.service"), dir.path().join("paytermd@lane2.service")).unwrap();
    let analyze = |arguments: &[&str]| {
        let o = Command::new("systemd-analyze").args(arguments).current_dir(dir.path()).output().unwrap();
        (
            o.status.success(),
            String::from_utf8_lossy(&o.stdout).into_owned() + &String::from_utf8_lossy(&o.stderr),
        )
    };
    for unit in ["./paytermd.service", "./paytermd@lane2.service"] {
        let (good, said) = analyze(&["verify", "--recursive-errors=no", "--man=no", unit]);
        assert!(good && said.is_empty(), "{unit}: {said}");
        let (good, said) = analyze(&["security", "--offline=yes", "--threshold=20", "--no-pager", unit]);
        assert!(good, "{unit}: {said}");
    }
    // The checker can fail: a unit without its walls is above the threshold, a misspelt key is told.
    std::fs::write(dir.path().join("bare.service"), "[Service]\nExecStart=/bin/true\nProtectSytem=yes\n")
        .unwrap();
    assert!(!analyze(&["security", "--offline=yes", "--threshold=20", "--no-pager", "./bare.service"]).0);
    assert!(!analyze(&["verify", "--recursive-errors=no", "--man=no", "./bare.service"]).1.is_empty());
}

#[test]
fn activation_names_what_is_served() {
    let service = data("org.payterm.Terminal1.service");
    assert!(
        service.contains(&format!("\nName={}\n", payterm_dbus::BUS_NAME))
            && service.contains("\nSystemdService=paytermd.service")
    );
    assert!(data("paytermd.service").contains(&format!("\nBusName={}\n", payterm_dbus::BUS_NAME)));
    assert!(data("paytermd@.service").contains(&format!("\nBusName={}\n", payterm_dbus::bus_name("%i"))));
}
