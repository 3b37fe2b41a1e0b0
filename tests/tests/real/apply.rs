//! The way from an empty state directory to the first sale: apply, be rejected, correct, be approved,
//! activate, with a kill -9 between.
use crate::common::*;
use payterm_schema::{Fault, Request, Status, Terminal, config::TmsConfig};
use payterm_simulator::World;
use payterm_tests::real::stack::{Stack, caller, until};
use serde_json::Value;
use std::{path::Path, time::Duration};

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

const DRAFT: &str = r#"name = "便民超市"
legal_name = "上海便民超市有限公司"
licence = "91310000MA1FL0AA0X"
address = "人民路 1 号"
city = "上海"
category = "5411"
contact = "王小明"
phone = "021-55550000"
products = ["card", "scan"]
"#;

/// A terminal without an account; `change` has the last word.
fn stack(change: impl FnOnce(&mut TmsConfig)) -> Done<Stack> {
    let temp = tempfile::Builder::new().prefix("payterm-").tempdir()?;
    let dir = temp.path().to_owned();
    std::fs::write(dir.join("world.toml"), include_str!("../../../crates/simulator/worlds/demo.toml"))?;
    std::fs::write(dir.join("draft.toml"), DRAFT)?;
    let files = dir.join("acquirer/tms");
    Stack::start_in(dir, Some(temp), |c, hosts| {
        c.accounts.clear();
        c.terminal.shop = "payterm".into();
        let mut tms: TmsConfig =
            toml::from_str("url = \"\"\nca = \"\"\nsigning_key = \"\"\npoll_ms = 500\nretry_ms = 200\n")
                .expect("tms");
        tms.url = format!("https://{}", hosts["tms"]);
        tms.ca = files.join("ca.pem");
        tms.signing_key = files.join("signing.pem");
        change(&mut tms);
        c.tms = Some(tms);
    })
}

/// The self-test after the start has the screen for 10 s.
const PAGE: Duration = Duration::from_secs(30);

/// `paytermctl apply ARGS --json`.
fn apply(stack: &Stack, args: &[&str]) -> Done<(i32, Value)> {
    let out = stack.ctl(&[&["--quiet", "--json", "apply"], args].concat())?;
    let text = String::from_utf8(out.stdout)?;
    Ok((
        out.status.code().unwrap_or(-1),
        serde_json::from_str(&text)
            .map_err(|e| format!("{args:?}: {e}: {text} {}", String::from_utf8_lossy(&out.stderr)))?,
    ))
}
fn good(stack: &Stack, args: &[&str]) -> Done<Value> {
    let (code, value) = apply(stack, args)?;
    if code == 0 { Ok(value) } else { Err(format!("{args:?}: {value}\n{}", stack.log_tail()).into()) }
}
fn stage(stack: &Stack) -> String {
    good(stack, &["status"])
        .ok()
        .and_then(|v| v["onboarding"]["stage"].as_str().map(str::to_owned))
        .unwrap_or_default()
}
fn reach(stack: &Stack, wanted: &str) -> Done {
    until(wanted, || stage(stack) == wanted)
        .map_err(|e| format!("{e}, but {}\n{}", stage(stack), stack.log_tail()).into())
}
fn submit(stack: &Stack) -> Done<String> {
    let draft = stack.dir.join("draft.toml");
    good(stack, &["draft", "--file", draft.to_str().ok_or("path")?])?;
    let offer = good(stack, &["offer"])?;
    good(stack, &["accept", offer["hash"].as_str().ok_or("hash")?])?;
    let state = good(stack, &["submit"])?;
    reach(stack, "in_review")?;
    Ok(state["onboarding"]["id"].as_str().ok_or("id")?.to_owned())
}

#[tokio::test]
async fn from_an_empty_directory_to_the_first_sale_with_its_fee() -> Done {
    let mut stack = stack(|_| {})?;
    let client = stack.client().await?;
    // Nothing can be paid, and the screen says what to do.
    assert!(client.info().await?.accounts.is_empty());
    let refused = client.start(&caller(), Request::try_from(sale("early", "1.00"))?).await;
    assert_eq!(refused.map(drop), Err(Fault::NotActivated));
    stack.virtuals()?.wait_screen("终端尚未开通", PAGE)?;
    let (code, fault) = apply(&stack, &["activate"])?;
    assert_eq!((code, fault["fault"].as_str()), (3, Some("WrongState")));

    let offer = good(&stack, &["offer"])?;
    assert_eq!(
        (offer["fees"][0]["basis_points"].as_u64(), offer["settlement"].as_str()),
        (Some(60), Some("T+1"))
    );
    let draft = stack.dir.join("draft.toml");
    good(&stack, &["draft", "--file", draft.to_str().ok_or("path")?])?;
    assert_eq!(apply(&stack, &["accept", &"0".repeat(64)])?.1["fault"], "WrongState");
    let id = submit(&stack)?;
    stack.virtuals()?.wait_screen("审核中", PAGE)?;

    // Rejected, seen by itself, corrected and sent again.
    stack.acquirer(&["onboardings", "reject", &id, "--reason", "执照照片不清楚"])?;
    reach(&stack, "rejected")?;
    stack.virtuals()?.wait_screen("执照照片不清楚", PAGE)?;
    let slips = stack.virtuals()?.wait_papers(2, Duration::from_secs(60))?.1;
    assert!(
        slips[0].contains("终端申请单") && slips[0].contains("已提交") && slips[1].contains("执照照片不清楚"),
        "{slips:?}"
    );
    std::fs::write(&draft, DRAFT.replace("FL0AA0X", "FL0AA0Y"))?;
    assert_eq!(submit(&stack)?, id, "the same onboarding");
    let all: Value = serde_json::from_str(&stack.acquirer(&["onboardings", "list", "--json"])?)?;
    assert_eq!((all.as_array().map(Vec::len), all[0]["submission"]["revision"].as_u64()), (Some(1), Some(2)));
    assert!(all[0]["submission"]["draft"]["licence"].as_str().is_some_and(|l| l.ends_with('Y')));

    // Approved while the terminal is down: a power cut changes nothing.
    stack.kill_daemon();
    stack.acquirer(&["onboardings", "approve", &id])?;
    stack.start_daemon(&[])?;
    reach(&stack, "approved")?;
    let pid = stack.daemon_pid();
    let client = stack.client().await?;
    let state = good(&stack, &["activate"])?;
    assert_eq!(state["onboarding"]["stage"], "activated");
    let account = &state["onboarding"]["parameters"]["accounts"][0];
    assert_eq!((account["id"].as_str(), account["tid"].as_str()), (Some("cup2"), Some("TEST0002")));
    assert_eq!((stack.daemon_pid(), stack.daemon_gone()), (pid, false), "the same process");
    // A repeated call does nothing again.
    good(&stack, &["activate"])?;

    // It signed in by itself; the first sale, over the connection of before, has the fee of the table.
    until("signed in", || {
        stack
            .ctl(&["totals", "--json"])
            .is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("\"signed_in\":true"))
    })?;
    alice(&mut stack.virtuals()?);
    let o = pay(&client, sale("first", "12.34")).await;
    is(&o, Status::Approved);
    assert_eq!(
        (o.sums.fee, o.tid.as_deref(), o.place.shop.as_str()),
        (Some(7), Some("TEST0002"), "便民超市")
    );
    assert_eq!(stack.balance("fees:cup2")?, 7, "what the acquirer takes");
    let seen = stack.virtuals()?.wait_screen("交易成功", Duration::from_secs(60))?.join("\n");
    assert!(!seen.contains("手续费"), "the only display is the customer's: {seen}");
    until("no paper left", || {
        stack.ctl(&["papers", "--json"]).is_ok_and(|o| o.stdout.trim_ascii() == b"[]")
    })?;
    let slips = client.explain(&caller(), &key("first")).await?.slips;
    let (merchant, customer): (Vec<_>, Vec<_>) = slips.iter().partition(|s| s.contains("商户存根"));
    assert!(
        merchant.len() == 1 && merchant[0].contains("手续费") && merchant[0].contains("0.07"),
        "{merchant:?}"
    );
    assert!(
        customer.len() == 1
            && customer[0].contains("12.34")
            && !customer[0].contains("手续费")
            && !customer[0].contains("0.07"),
        "{customer:?}"
    );

    // It stays in service across a restart.
    stack.kill_daemon();
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    alice(&mut stack.virtuals()?);
    is(&pay(&client, sale("second", "100.00")).await, Status::Approved);
    assert!(stack.stop_daemon()?);
    no_key_in_clear(&stack, &["cup2"])
}

/// The master key is nowhere in what the terminal wrote, neither as bytes nor as hex.
fn no_key_in_clear(stack: &Stack, accounts: &[&str]) -> Done {
    let world = World::demo()?;
    for account in accounts {
        let key = world.account(account).ok_or("account")?.tmk.reveal();
        let forms = [key.to_vec(), hex::encode(key).into_bytes(), hex::encode_upper(key).into_bytes()];
        let mut looked = 0;
        for dir in [stack.state(), stack.dir.clone()] {
            for file in std::fs::read_dir(dir)?
                .flatten()
                .map(|f| f.path())
                .filter(|p| p.is_file() && !p.ends_with("world.toml"))
            {
                let bytes = std::fs::read(&file)?;
                assert!(
                    !forms.iter().any(|f| bytes.windows(f.len()).any(|w| w == f)),
                    "{} holds the key",
                    file.display()
                );
                looked += 1;
            }
        }
        assert!(looked > 4, "{looked}");
    }
    Ok(())
}

#[tokio::test]
async fn who_is_not_the_pinned_one_gets_no_onboarding() -> Done {
    // Another CA, and another signing key.
    let other = tempfile::tempdir()?;
    payterm_simulator::tms::identity(other.path())?;
    let files = payterm_simulator::tms::dir(other.path());
    for (problem, change) in [("untrusted", "ca.pem"), ("signature", "signing.pem")] {
        let file = files.join(change);
        let stack = stack(|t| if change == "ca.pem" { t.ca = file } else { t.signing_key = file })?;
        let (code, fault) = apply(&stack, &["offer"])?;
        assert_eq!(
            (code, fault["fault"].as_str(), fault["problem"].as_str()),
            (3, Some("Management"), Some(problem)),
            "{fault}"
        );
        let all = stack.acquirer(&["onboardings", "list", "--json"])?;
        assert_eq!(all.trim(), "[]");
        assert!(!Path::new(&stack.state().join("terminal.sealed")).exists());
    }
    Ok(())
}
