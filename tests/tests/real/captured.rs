//! Frames captured from the running daemon, judged by pyiso8583 and psec alone: every kind, both profiles.
use crate::common::*;
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControl};
use payterm_hosts::{Profile, decode};
use payterm_primitives::{DesKey, KeySet, f62::parse_f62};
use payterm_schema::{AccountId, Outcome, Status, request::RequestWire};
use payterm_simulator::World;
use payterm_tests::real::{stack::Stack, tap::Tap};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output},
};

/// A foreign card with a PIN, for the second account.
const FOREIGN: &str = "4000000000000200";
const WORLD: &str = r#"
[[card]]
name = "ken-foreign"
pan = "4000000000000200"
expiry = "3012"
pin = "864213"
currency = "CNY"
balance = "10000.00"
scheme = "VIS"
"#;

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Line of an account, and the sheaf of its frames.
struct Line {
    profile: &'static str,
    account: &'static str,
    tap: Tap,
    tmk: DesKey,
    keys: Option<KeySet>,
    cases: Vec<(String, Value)>,
    /// Number of times that each MTI was sent.
    sent: BTreeMap<String, u32>,
}

impl Line {
    fn new(profile: &'static str, account: &'static str, address: &str) -> Done<Self> {
        let world = World::demo()?;
        let tmk = DesKey::new(world.account(account).ok_or("account")?.tmk.reveal())?;
        let tap = Tap::start(Profile::builtin(profile)?, address)?;
        Ok(Self { profile, account, tap, tmk, keys: None, cases: Vec::new(), sent: BTreeMap::new() })
    }

    /// Files the frames of a step; `pins` are those of its PIN blocks, in order.
    fn file(&mut self, step: &str, pan: &str, pins: &[&str]) -> Done {
        let profile = Profile::builtin(self.profile)?;
        let mut pins = pins.iter();
        for f in self.tap.take() {
            let m = decode(&profile, &f.bytes)?.message;
            if !f.sent && m.mti() == "0810" && m.text(39) == Some("00") && m.has(62) {
                self.keys = Some(parse_f62(&self.tmk, m.get(62).ok_or("F62")?)?);
            }
            let direction = if f.sent { "sent" } else { "received" };
            let mut case =
                json!({"profile": self.profile, "direction": direction, "hex": hex::encode(&f.bytes)});
            if m.has(64) {
                case["mak"] =
                    hex::encode(self.keys.as_ref().ok_or("a MAC before a sign-in")?.mak.reveal()).into();
            }
            if m.has(52) {
                case["pik"] =
                    hex::encode(self.keys.as_ref().ok_or("a PIN before a sign-in")?.pik.reveal()).into();
                (case["pan"], case["pin"]) =
                    (pan.into(), (*pins.next().ok_or("a PIN block that nobody typed")?).into());
            }
            if f.sent {
                *self.sent.entry(m.mti().to_owned()).or_default() += 1;
            }
            self.cases.push((format!("{}-{:02}-{step}-{}", self.profile, self.cases.len(), m.mti()), case));
        }
        assert_eq!(pins.next(), None, "{step}: a PIN that was typed is in no frame");
        Ok(())
    }
}

fn judge(dir: &Path) -> Done<Output> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let python = format!("{root}/.venv/bin/python");
    assert!(Path::new(&python).exists(), "make test makes the venv");
    Ok(Command::new(python)
        .args(["-W", "ignore", &format!("{root}/tests/frames/check.py"), "--captured"])
        .arg(dir)
        .output()?)
}

#[tokio::test]
async fn every_kind_from_the_running_daemon_is_judged_by_others() -> Done {
    let mut lines = None;
    let stack = Stack::start_world(WORLD, |c, hosts| {
        let taps = [("unionpay", "cup"), ("demo-x919", "x919")]
            .map(|(profile, account)| Line::new(profile, account, &hosts[profile]).expect("tap"));
        let mut second = c.accounts[0].clone();
        second.id = AccountId::new("x919").expect("id");
        second.profile = "demo-x919".into();
        second.mid = "TESTMERCHANT919".parse().unwrap();
        second.tid = "TEST0919".parse().unwrap();
        c.accounts.push(second);
        for (account, line) in c.accounts.iter_mut().zip(&taps) {
            account.address = line.tap.address.clone();
            account.reply_timeout_ms = 700;
        }
        let route = |r: &str| toml::from_str(r).expect("route");
        c.routes = vec![
            route("account = \"x919\"\nbin = \"400000-400000\""),
            route("account = \"x919\"\nwallet = \"alipay\""),
        ];
        lines = Some(taps);
    })?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    for line in lines.iter_mut().flatten() {
        // Card and code decide the account.
        let account = line.account;
        let (pan, code) =
            if account == "cup" { (ALICE.0, "131234567890123456") } else { (FOREIGN, "281234567890123456") };
        let pins = ["000000", if account == "cup" { PIN } else { "864213" }];
        let card = |h: &mut VirtualControl, pins: &[&str]| {
            h.swipe(pan, "3012", When::Queue).expect("swipe");
            pins.iter().for_each(|p| h.pin(p, When::Queue).expect("pin"));
        };
        let right = [pins[1]];
        let id = |step: &str| format!("{account}-{step}");
        let of = |kind: &str| RequestWire {
            id: id(kind),
            kind: kind.into(),
            account: Some(account.into()),
            ..RequestWire::default()
        };
        let approved = |o: Outcome| {
            is(&o, Status::Approved);
            assert_eq!(o.account.map(|a| a.to_string()).as_deref(), Some(account));
        };

        for kind in ["sign_in", "echo"] {
            approved(pay(&client, of(kind)).await);
            line.file(kind, "", &[])?;
        }
        card(&mut virtuals, &right);
        approved(pay(&client, sale(&id("sale"), "12.34")).await);
        line.file("sale", pan, &right)?;
        card(&mut virtuals, &pins);
        approved(pay(&client, sale(&id("wrong-pin"), "12.35")).await);
        line.file("wrong-pin", pan, &pins)?;
        virtuals.scan(code, When::Queue)?;
        approved(pay(&client, sale(&id("code"), "3.00")).await);
        line.file("code", "", &[])?;
        approved(pay(&client, void(&id("void"), &id("sale"))).await);
        line.file("void", pan, &[])?;
        card(&mut virtuals, &right);
        approved(
            pay(&client, RequestWire { id: id("balance"), kind: "balance".into(), ..RequestWire::default() })
                .await,
        );
        line.file("balance", pan, &right)?;
        // The reply of a sale is lost.
        stack.mishap(&["--mti", "0200", "--account", account], &["drop-reply"])?;
        card(&mut virtuals, &right);
        is(&pay(&client, sale(&id("lost"), "4.00")).await, Status::Unknown);
        is(&last(&client, &id("lost")).await, Status::Declined);
        line.file("lost", pan, &right)?;
        approved(pay(&client, of("sign_off")).await);
        line.file("sign_off", "", &[])?;
    }
    let [up, x919] = lines.ok_or("no lines")?;
    let counts = |c: &[(&str, u32)]| -> BTreeMap<String, u32> {
        c.iter().map(|(m, n)| ((*m).to_owned(), *n)).collect()
    };
    // Beside the requested sign-in there may be the terminal's own.
    let own = |line: &Line, asked: u32| line.sent.get("0800").map_or(0, |n| n.saturating_sub(asked));
    assert!(own(&up, 1) <= 1 && own(&x919, 3) <= 1, "{:?} {:?}", up.sent, x919.sent);
    assert_eq!(up.sent, counts(&[("0200", 7), ("0400", 1), ("0800", 1 + own(&up, 1)), ("0820", 2)]));
    assert_eq!(x919.sent, counts(&[("0200", 7), ("0420", 1), ("0800", 3 + own(&x919, 3))]));

    let dir = tempfile::tempdir()?;
    let all: Vec<(String, Value)> = up.cases.into_iter().chain(x919.cases).collect();
    for (name, case) in &all {
        std::fs::write(dir.path().join(format!("{name}.json")), case.to_string())?;
    }
    let out = judge(dir.path())?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains(&format!("{} frames, 0 wrong", all.len())), "{said}");

    // The judge notices a flipped bit in the body and in the MAC of a captured frame.
    let (name, case) = all.iter().find(|(n, _)| n.contains("sale-0200")).ok_or("no sale")?;
    let good = hex::decode(case["hex"].as_str().ok_or("hex")?)?;
    for at in [good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let mut planted = case.clone();
        planted["hex"] = hex::encode(bad).into();
        std::fs::write(dir.path().join(format!("{name}.json")), planted.to_string())?;
        let out = judge(dir.path())?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            !out.status.success() && said.contains(name.as_str()) && said.contains("1 wrong"),
            "byte {at}: {said}"
        );
    }
    Ok(())
}
