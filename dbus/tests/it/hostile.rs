//! Peers that do not speak, do not listen, or speak too much.
use crate::common::*;
use payterm_dbus::{BUS_NAME, ROOT, fault_of};
use payterm_fake::sample::*;
use payterm_schema::{DeviceState, Fault, Notice, Terminal, terminal::Filter};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use zbus::Message;

async fn still_there(w: &World) {
    for c in [w.client().await, w.peer().await] {
        assert!(tokio::time::timeout(Duration::from_secs(5), c.info()).await.unwrap().is_ok());
    }
}

/// A peer that has shaken hands and now writes raw messages; it reads nothing more.
async fn mute(w: &World) -> UnixStream {
    let mut s = UnixStream::connect(&w.socket).await.unwrap();
    let uid: String = me().to_string().bytes().map(|b| format!("{b:02x}")).collect();
    s.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 128];
    let n = s.read(&mut answer).await.unwrap();
    assert!(answer[..n].starts_with(b"OK "), "{:?}", String::from_utf8_lossy(&answer[..n]));
    s.write_all(b"BEGIN\r\n").await.unwrap();
    s
}

fn call(member: &str) -> Vec<u8> {
    let m = Message::method_call(ROOT, member)
        .interface("org.payterm.Terminal1.Manager")
        .destination(BUS_NAME)
        .build(&())
        .unwrap();
    m.data().to_vec()
}

#[tokio::test]
async fn noise_silence_and_half_messages_disturb_nobody() {
    let w = World::start(vec![caller("till", false)]).await;
    let mut held = Vec::new();
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0AUTH EXTERNAL 00\r\n", b"", &[0xff; 4096]] {
        let mut s = UnixStream::connect(&w.socket).await.unwrap();
        let _ = s.write_all(noise).await;
        held.push(s);
    }
    let mut half = mute(&w).await;
    half.write_all(&call("Devices")[..20]).await.unwrap();
    let mut junk = mute(&w).await;
    junk.write_all(&[0x6c; 256]).await.unwrap();
    still_there(&w).await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_cut_off() {
    let w = World::start(vec![caller("till", false)]).await;
    let mut s = mute(&w).await;
    s.write_all(&call("Subscribe")).await.unwrap();
    let begun = Instant::now();
    // Signals until its socket and its queue are full; its own calls ask for no answer, so only the signals
    // can tell.
    let ping = Message::method_call(ROOT, "Ping")
        .interface("org.freedesktop.DBus.Peer")
        .with_flags(zbus::message::Flags::NO_REPLY_EXPECTED);
    let ping = ping.build(&()).unwrap();
    let text = "x".repeat(3000);
    let cut = async {
        loop {
            for _ in 0..50 {
                let device = payterm_schema::Device { health: text.clone(), ..device(DeviceState::Failed) };
                w.fake.tell(Notice::Device { device });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            if s.write_all(ping.data()).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cut).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
    still_there(&w).await;
    // Calls without end, no answer read.
    let mut s = mute(&w).await;
    let introspect = Message::method_call(ROOT, "Introspect")
        .interface("org.freedesktop.DBus.Introspectable")
        .build(&())
        .unwrap();
    let flood = async { while s.write_all(introspect.data()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), flood).await.unwrap();
    still_there(&w).await;
    w.server.close().await;
}

#[tokio::test]
async fn a_body_too_long_is_refused() {
    let w = World::start(vec![caller("till", false)]).await;
    let c = w.raw().await;
    let long = "x".repeat(1 << 20);
    let recall =
        c.call_method(Some(BUS_NAME), ROOT, Some("org.payterm.Terminal1.Manager"), "Recall", &long).await;
    let Fault::Invalid { field, rule } = fault_of(recall.unwrap_err()) else { panic!("no such fault") };
    assert!(field == "arguments" && rule.contains("65536"), "{field}: {rule}");
    assert_eq!(
        w.fake.list(&nobody(), Filter { app: Some("till".into()), ..Filter::default() }).await.unwrap().len(),
        0
    );
    still_there(&w).await;
}

/// The face adds little to two bare calls: no signal, object or credential stands between a request and its
/// answer. The bound is loose because this is an unoptimised build on a shared machine; `make bench` has the
/// real one.
#[tokio::test]
async fn a_sale_costs_about_two_bare_calls() {
    let w = World::start(vec![caller("till", false)]).await;
    let c = w.client().await;
    let raw = w.raw().await;
    let k = c.start(&nobody(), request("bench")).await.unwrap();
    w.fake.finish(&k, payterm_schema::Status::Approved);
    let (mut bare, mut sale) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let begun = Instant::now();
        for _ in 0..2 {
            raw.call_method(Some(BUS_NAME), ROOT, Some("org.freedesktop.DBus.Peer"), "Ping", &())
                .await
                .unwrap();
        }
        bare.push(begun.elapsed());
        let begun = Instant::now();
        c.start(&nobody(), request("bench")).await.unwrap();
        c.wait(&nobody(), &k, false).await.unwrap();
        sale.push(begun.elapsed());
    }
    bare.sort();
    sale.sort();
    let ratio = sale[100].as_secs_f64() / bare[100].as_secs_f64();
    println!("bare {:?}, sale {:?}, ratio {ratio:.2}", bare[100], sale[100]);
    assert!(ratio < 4.0, "bare {:?}, sale {:?}", bare[100], sale[100]);
}
