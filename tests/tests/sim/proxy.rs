//! Each mishap of the line really happens.
use payterm_hosts::Profile;
use payterm_tests::real::proxy::{Mishap, Plan, Proxy};
use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Frame that a MAC covers.
fn frame() -> Vec<u8> {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../frames/unionpay-void.json")).expect("json");
    hex::decode(golden["hex"].as_str().expect("hex")).expect("hex")
}

/// A host that hands over what it reads, in the pieces in which it came, and sends everything back. Empty:
/// the line was closed; none: reset.
fn echo() -> Done<(String, Receiver<Option<Vec<u8>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, (tell, heard)) = (listener.local_addr()?.to_string(), channel());
    std::thread::spawn(move || {
        for mut line in listener.incoming().flatten() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                loop {
                    let read = line.read(&mut chunk);
                    let piece = read.as_ref().ok().and_then(|n| chunk.get(..*n)).map(<[u8]>::to_vec);
                    let end = piece.as_ref().is_none_or(Vec::is_empty);
                    if let Some(bytes) = &piece {
                        let _ = line.write_all(bytes);
                    }
                    if tell.send(piece).is_err() || end {
                        return;
                    }
                }
            });
        }
    });
    Ok((address, heard))
}

/// What stands is reset, nobody listens, and then everything is as before.
#[test]
fn a_line_that_is_down_refuses() -> Done {
    let mut l = line(Plan::good(1))?;
    l.daemon.write_all(&frame())?;
    assert_eq!(l.back(), (frame(), false));
    l.proxy.down(true);
    assert!(l.back().1, "what stands is not reset");
    let began = Instant::now();
    while TcpStream::connect(&l.proxy.address).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60), "somebody listens");
    }
    assert!(
        matches!(TcpStream::connect(&l.proxy.address), Err(e) if e.kind() == ErrorKind::ConnectionRefused)
    );
    l.proxy.down(false);
    l.daemon = loop {
        match TcpStream::connect(&l.proxy.address) {
            Ok(daemon) => break daemon,
            Err(e) if began.elapsed() > Duration::from_secs(60) => return Err(e.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    l.daemon.set_read_timeout(Some(Duration::from_millis(300)))?;
    l.daemon.write_all(&frame())?;
    assert_eq!(l.back(), (frame(), false));
    Ok(())
}

struct Line {
    proxy: Proxy,
    daemon: TcpStream,
    host: Receiver<Option<Vec<u8>>>,
}
fn line(plan: Plan) -> Done<Line> {
    let (address, host) = echo()?;
    let proxy = Proxy::start(Profile::builtin("unionpay")?, &address, plan)?;
    let daemon = TcpStream::connect(&proxy.address)?;
    daemon.set_read_timeout(Some(Duration::from_millis(300)))?;
    Ok(Line { proxy, daemon, host })
}
impl Line {
    /// Bytes that come back within 300 ms of silence, and whether the line was reset.
    fn back(&mut self) -> (Vec<u8>, bool) {
        let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            match self.daemon.read(&mut chunk) {
                Ok(0) => return (all, false),
                Ok(n) => all.extend_from_slice(&chunk[..n]),
                Err(e) => return (all, e.kind() == ErrorKind::ConnectionReset),
            }
        }
    }
    fn did(&self, mishap: Mishap) -> u64 {
        self.proxy.done().get(mishap.name()).copied().unwrap_or(0)
    }
    /// Bytes that the host got until now, and in how many pieces.
    fn got(&self) -> (Vec<u8>, usize) {
        let pieces: Vec<Vec<u8>> = self.host.try_iter().flatten().filter(|p| !p.is_empty()).collect();
        (pieces.concat(), pieces.len())
    }
}

#[test]
fn a_good_line_changes_nothing() -> Done {
    let mut l = line(Plan::good(1))?;
    for _ in 0..3 {
        l.daemon.write_all(&frame())?;
    }
    assert_eq!(l.back(), (frame().repeat(3), false));
    assert!(l.proxy.done().is_empty());
    Ok(())
}

#[test]
fn connections() -> Done {
    let mut l = line(Plan::only(Mishap::Refused))?;
    // Reset at once, or by the first write.
    let refused =
        l.daemon.write_all(&frame()).is_err() || l.back().1 || l.daemon.write_all(&frame()).is_err();
    assert!(refused && l.did(Mishap::Refused) == 1 && l.got().1 == 0);

    let mut l = line(Plan::only(Mishap::HalfOpen))?;
    l.daemon.write_all(&frame())?;
    assert_eq!((l.back(), l.got().1, l.did(Mishap::HalfOpen)), ((Vec::new(), false), 0, 1));
    l.daemon.write_all(&frame())?;
    l.proxy.calm();
    // With what it never read still there, closing is a reset.
    let closed =
        l.daemon.read(&mut [0; 9]).map_or_else(|e| e.kind() == ErrorKind::ConnectionReset, |n| n == 0);
    assert!(closed, "a calm line closes what hangs");

    for (lost, arrives) in [(Mishap::LostUp, false), (Mishap::LostDown, true)] {
        let mut l = line(Plan::only(lost))?;
        for _ in 0..4 {
            l.daemon.write_all(&frame())?;
        }
        let (back, reset) = l.back();
        assert!(back.len() < 4 * frame().len() && !reset, "{lost:?}");
        assert_eq!(l.got().0.len() == 4 * frame().len(), arrives, "{lost:?}");
        assert!(l.did(lost) >= 2);
    }
    Ok(())
}

#[test]
fn frames() -> Done {
    let sent = frame();
    let one = |mishap: Mishap| -> Done<(Line, Vec<u8>, bool, Duration)> {
        let mut l = line(Plan::only(mishap))?;
        l.daemon.set_read_timeout(Some(Duration::from_millis(1_200)))?;
        let began = Instant::now();
        l.daemon.write_all(&sent)?;
        // The answer of one frame, or silence.
        let mut first = [0; 1];
        let answered = l.daemon.read(&mut first).is_ok_and(|n| n == 1);
        let took = began.elapsed();
        l.daemon.set_read_timeout(Some(Duration::from_millis(300)))?;
        let (rest, reset) = l.back();
        let back = if answered { [&first[..], &rest].concat() } else { rest };
        assert!(l.did(mishap) >= 1, "{mishap:?}");
        Ok((l, back, reset, took))
    };
    let (_, back, _, took) = one(Mishap::Delay)?;
    assert!(back == sent && took >= Duration::from_millis(20), "{took:?}");
    let (_, back, _, took) = one(Mishap::Late)?;
    assert!((back == sent || back.is_empty()) && took >= Duration::from_millis(450), "{took:?}");
    let (l, back, _, _) = one(Mishap::Split)?;
    assert!(back == sent && l.got().1 > 3);
    let (l, back, _, _) = one(Mishap::Jitter)?;
    assert!(back == sent && l.got().1 > 1);
    let (l, back, _, _) = one(Mishap::Duplicate)?;
    assert_eq!((l.got().0.len(), back.len()), (2 * sent.len(), 4 * sent.len()));
    let (l, back, reset, _) = one(Mishap::Drop)?;
    assert!(back.is_empty() && !reset && l.got().1 == 0);
    let (l, back, _, _) = one(Mishap::Corrupt)?;
    let bits = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(x, y)| (x ^ y).count_ones()).sum::<u32>();
    let got = l.got().0;
    assert!(
        got.len() == sent.len()
            && bits(&got, &sent) == 1
            && back.len() == sent.len()
            && bits(&back, &got) == 1
    );
    assert_eq!(got[..2], sent[..2], "the length is left alone");
    let (l, back, _, _) = one(Mishap::Cut)?;
    let got = l.got().0;
    assert!(got.len() < sent.len() && sent.starts_with(&got) && back.len() < sent.len());
    Ok(())
}

#[test]
fn a_calm_line_is_good_and_leads_elsewhere() -> Done {
    let mut l = line(Plan::only(Mishap::Drop))?;
    l.daemon.write_all(&frame())?;
    assert!(l.back().0.is_empty());
    l.proxy.calm();
    l.daemon.write_all(&frame())?;
    assert_eq!(l.back(), (frame(), false));
    let (elsewhere, heard) = echo()?;
    l.proxy.lead_to(&elsewhere);
    TcpStream::connect(&l.proxy.address)?.write_all(&frame())?;
    assert_eq!(heard.recv_timeout(Duration::from_secs(60))?, Some(frame()));
    Ok(())
}

/// The same seed does the same to the same frames.
#[test]
fn a_seed_is_a_plan() -> Done {
    let run = |seed| -> Done<_> {
        let mut done = Vec::new();
        let mut plan = Plan::rough(seed);
        (plan.connections, plan.late_ms) = (0, (1, 2));
        plan.of_frame.retain(|m| !matches!(m, Mishap::Cut));
        let mut l = line(plan)?;
        l.daemon.set_read_timeout(Some(Duration::from_millis(400)))?;
        for _ in 0..40 {
            l.daemon.write_all(&frame())?;
        }
        l.back();
        done.extend(l.proxy.done());
        Ok(done)
    };
    let first = run(11)?;
    assert_eq!(first, run(11)?);
    assert_ne!(first, run(12)?);
    Ok(())
}
