//! The control socket: its protocol, and who may use it.
use crate::world::{PAN, World};
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControlServer};
use payterm_schema::DeviceKind;
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
};

#[test]
fn bad_lines_are_refused_by_field_and_never_quoted() {
    let w = World::new();
    let (_reader, _pad, _keys) =
        (w.source(DeviceKind::MagneticReader), w.pad(), w.source(DeviceKind::Keypad));
    let stream = UnixStream::connect(w.path()).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut ask = |line: &str| {
        writeln!(&stream, "{line}").unwrap();
        let reply = replies.next().unwrap().unwrap();
        for secret in [PAN, "987654", "30120000"] {
            assert!(!reply.contains(secret), "{reply}");
        }
        let v: serde_json::Value = serde_json::from_str(&reply).unwrap();
        v["error"]["field"].as_str().unwrap_or_else(|| panic!("{line}: {reply}")).to_owned()
    };
    for (line, field) in [
        ("", "line"),
        ("[]", "line"),
        ("{\"do\":\"swipe\"", "line"),
        ("\u{fffd}", "line"),
        (r#"{"do":"pin","pin":987654}"#, "line"),
        (r#"{"do":"pin","pn":"987654"}"#, "line"),
        (r#"{"do":"pin","6222021234567890128":1}"#, "line"),
        (r#"{"do":"pin","pin":"\u0039987654"}"#, "line"),
        (r#"{"do":"fly"}"#, "do"),
        (r#"{"do":"swipe"}"#, "tracks"),
        (r#"{"do":"swipe","pan":"6222021234567890128"}"#, "expiry"),
        (r#"{"do":"swipe","pan":"6222021234567890128","expiry":"3013"}"#, "expiry"),
        (r#"{"do":"swipe","pan":"6222021234567890128","expiry":"30é"}"#, "expiry"),
        (r#"{"do":"swipe","pan":"6222021234567890128x","expiry":"3012"}"#, "pan"),
        (r#"{"do":"swipe","pan":"6222021234567890128","expiry":"3012","service":"12"}"#, "service"),
        (r#"{"do":"swipe","tracks":"3b313","hex":true}"#, "tracks"),
        (r#"{"do":"swipe","tracks":"3b+1","hex":true}"#, "tracks"),
        (r#"{"do":"swipe","tracks":"3bé","hex":true}"#, "tracks"),
        (r#"{"do":"swipe","tracks":";1?","queue":true,"wait_ms":5}"#, "queue"),
        (r#"{"do":"swipe","tracks":";1?","wait_ms":600001}"#, "wait_ms"),
        (r#"{"do":"pin","pin":"987654987654987"}"#, "pin"),
        (r#"{"do":"pin"}"#, "pin"),
        (r#"{"do":"key","key":"12"}"#, "key"),
        (r#"{"do":"plug","on":true}"#, "on_or_device"),
        (r#"{"do":"plug","device":"nothing","on":true}"#, "device"),
        (r#"{"do":"hang","device":"pin-pad"}"#, "ms"),
        (r#"{"do":"papers"}"#, "device"),
    ] {
        let want = if field == "on_or_device" { "device" } else { field };
        assert_eq!(ask(line), want, "{line}");
    }
    let escaped = UnixStream::connect(w.path()).unwrap();
    (&escaped).write_all(b"{\"do\":\"screen\",\"contains\":\"\\u0039\"}\n").unwrap();
    let reply = BufReader::new(escaped).lines().next().unwrap().unwrap();
    assert_eq!(
        reply, r#"{"error":{"field":"line","rule":"no backslash escapes"}}"#,
        "refused before a parser copies it"
    );
    // The queue is bounded.
    for n in 0..65 {
        let reply = w.virtuals().insert(When::Queue);
        assert!(reply.is_err(), "{n}: no chip reader is open");
    }
    for n in 0..65 {
        assert_eq!(w.virtuals().swipe(PAN, "3012", When::Queue).is_ok(), n < 64);
    }
    // A line without an end.
    let long = UnixStream::connect(w.path()).unwrap();
    (&long).write_all(&vec![b' '; 4096]).unwrap();
    let mut reply = String::new();
    BufReader::new(&long).read_line(&mut reply).unwrap();
    assert_eq!(reply, "{\"error\":{\"field\":\"line\",\"rule\":\"at most 4096 bytes\"}}\n");
}

#[test]
fn commands_in_one_write_are_answered_in_order() {
    let w = World::new();
    let _display = w.display();
    let stream = UnixStream::connect(w.path()).unwrap();
    (&stream).write_all(b"{\"do\":\"fly\"}\n{\"do\":\"screen\"}\n{\"do\":\"scr").unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(|l| l.unwrap());
    assert!(lines.next().unwrap().contains("no such command"));
    assert_eq!(lines.next().unwrap(), r#"{"lines":[],"ok":true}"#);
    (&stream).write_all(b"een\"}\n").unwrap();
    assert_eq!(lines.next().unwrap(), r#"{"lines":[],"ok":true}"#);
}

#[test]
fn the_socket_is_ours_alone() {
    let mut w = World::new();
    let (path, bench) = (w.path(), w.env.bench.clone());
    let start = || VirtualControlServer::start(bench.clone(), &path).map(drop).map_err(|e| e.to_string());
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(start(), Err("virtual control socket: in use by another process".into()));
    let mut client = w.virtuals();
    drop(w.server.take());
    assert!(!path.exists());
    assert!(client.screen().is_err(), "clients are let go");

    // A stale socket is replaced, anything else is not touched.
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(start(), Ok(()));
    std::fs::write(&path, b"mine").unwrap();
    assert_eq!(start(), Err("virtual control socket: something that is no socket is in its place".into()));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    std::fs::remove_file(&path).unwrap();
    for mode in [0o755, 0o701, 0o770] {
        std::fs::set_permissions(w.dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            start(),
            Err("virtual control socket: its directory must be a directory of this user with mode 0700"
                .into())
        );
    }
    let link = w.dir.path().join("link");
    std::fs::set_permissions(w.dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(w.dir.path(), &link).unwrap();
    assert!(VirtualControlServer::start(bench.clone(), &link.join("virtual.sock")).is_err());
}

/// Needs root to become somebody else; the modes are opened so that only the check of the peer's uid is in
/// the way.
#[test]
fn another_user_is_turned_away() {
    if let Ok(path) = std::env::var("PAYTERM_TEST_VIRTUAL") {
        let stream = UnixStream::connect(path).unwrap();
        let _ = (&stream).write_all(b"{\"do\":\"devices\"}\n");
        let mut reply = String::new();
        let _ = BufReader::new(&stream).read_line(&mut reply);
        assert_eq!(reply, std::env::var("PAYTERM_TEST_REPLY").unwrap());
        return;
    }
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var("PAYTERM_MUST").as_deref() != Ok("mounts"), "not root");
        eprintln!("skipped: not root");
        return;
    }
    let w = World::new();
    std::fs::set_permissions(w.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(w.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let program = w.dir.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (uid, reply) in [(0, "{\"devices\":[],\"ok\":true}\n"), (65_534, "")] {
        let mut child = std::process::Command::new(&program);
        child
            .args(["--exact", "control::another_user_is_turned_away"])
            .current_dir("/")
            .env("PAYTERM_TEST_VIRTUAL", w.path())
            .env("PAYTERM_TEST_REPLY", reply);
        let out = child.uid(uid).gid(uid).output().unwrap();
        assert!(out.status.success(), "uid {uid}: {}", String::from_utf8_lossy(&out.stdout));
        assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"));
    }
}
