//! `payterm-demo demo`: a session at the counter that a person can follow; every step is checked, the exit code is 0 only
//! if all of it really happened. `payterm-demo run`: the same terminal, left running.
use futures_util::StreamExt;
use payterm_dbus::Client;
use payterm_devices::{hands::Hands, hub::When};
use payterm_schema::{Notice, Outcome, Request, RequestKey, Status, Terminal, config::Language, notice::Screen, request::RequestWire};
use payterm_tests::stack::{Result, Stack, caller};
use payterm_texts::Texts;
use std::time::Duration;

const SOON: When = When::Within(Duration::from_secs(10));
const ALICE: (&str, &str) = ("6212345678900000003", "3012");
const BOB_LOST: (&str, &str) = ("6212345678900000102", "3012");
const PIN: &str = "123456";
const WECHAT: &str = "134512345678901234";

fn main() -> std::process::ExitCode {
    let language = match std::env::var("LANGUAGE").as_deref() {
        Ok(l) if l.starts_with("en") => Language::En,
        Ok(_) | Err(_) => Language::ZhCn,
    };
    let verb = std::env::args().nth(1).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|rt| match verb.as_str() {
        "demo" => rt.block_on(demo(language)),
        "run" => rt.block_on(run(language)),
        _ => Err("payterm-demo demo | run".into()),
    });
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("payterm-demo: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn start(language: Language) -> Result<Stack> {
    Stack::start(|config, _| {
        config.terminal.language = language;
        if language == Language::En {
            config.terminal.shop = "payterm demo shop".into();
            config.terminal.address = "1 Renmin Road".into();
            config.terminal.city = "Shanghai".into();
        }
    })
}

async fn run(language: Language) -> Result<()> {
    let mut stack = start(language)?;
    let bus = &stack.bus;
    let dir = stack.dir.display();
    println!("paytermd runs. Talk to it from another shell:\n");
    println!("  export PAYTERM_BUS='{bus}' PAYTERM_STATE='{dir}/state' PATH=\"{}:$PATH\"", payterm_tests::stack::programs()?.display());
    println!("  busctl --address=\"$PAYTERM_BUS\" tree org.payterm.Terminal1");
    println!("  paytermctl sale --amount 12.34 --currency CNY          # asks for a card; then, from a third shell:");
    println!("  paytermctl virtual swipe {}={}1200000000 && paytermctl virtual --wait 10 pin {PIN}", ALICE.0, ALICE.1);
    println!("  paytermctl virtual --wait 10 papers --count 2          # the slips, counted since the start");
    println!("  paytermctl devices; paytermctl totals; paytermctl list");
    println!("  payterm-acquirer balances --state {dir}/acquirer");
    println!("\nTo stop paytermd or the bank and start it again by hand, with the same export:\n");
    println!("  kill {}          # paytermd", stack.daemon_pid().unwrap_or_default());
    println!("  DBUS_SESSION_BUS_ADDRESS=\"$PAYTERM_BUS\" paytermd --config {dir}/payterm.toml");
    println!("  pkill -f 'payterm-acquirer serve .*{dir}/acquirer'");
    let listen = stack.hosts.iter().map(|(profile, address)| format!("--listen {profile}={address}")).collect::<Vec<_>>().join(" ");
    println!("  payterm-acquirer serve {listen} --state {dir}/acquirer --rules {dir}/world.toml");
    println!("\nlog: {dir}/paytermd.log     Ctrl-C ends it.");
    tokio::signal::ctrl_c().await?;
    stack.stop_daemon()?;
    Ok(())
}

/// The session and what it needs.
struct Counter {
    client: Client,
    hands: Hands,
    texts: Texts,
    language: Language,
    papers: u64,
}

impl Counter {
    fn title(&self, zh: &str, en: &str) {
        println!("\n=== {} ===", if self.language == Language::En { en } else { zh });
    }

    /// Starts a request, shows the customer's screens, lets the customer act, and answers the outcome.
    async fn pay(&mut self, wire: RequestWire, act: impl FnOnce(&mut Hands) -> Result<()>) -> Result<Outcome> {
        let key = RequestKey { app: "demo".into(), id: wire.id.clone() };
        println!("app      > Start {} {} {}", wire.kind, wire.amount.as_deref().unwrap_or(""), wire.currency.as_deref().unwrap_or(""));
        let mut notices = self.client.notices();
        let request = Request::try_from(wire)?;
        self.client.start(&caller(), request).await?;
        act(&mut self.hands)?;
        let client = self.client.clone();
        let wait = async move { client.wait(&caller(), &key, true).await };
        tokio::pin!(wait);
        let outcome = loop {
            tokio::select! {
                outcome = &mut wait => break outcome?,
                Some(notice) = notices.next() => self.show(&notice),
            }
        };
        println!("app      < {}", outcome.status.name());
        for (label, value) in self.texts.outcome_lines(&outcome, 480) {
            println!("           {label}: {value}");
        }
        Ok(outcome)
    }

    fn show(&self, notice: &Notice) {
        if let Notice::Phase { screen, .. } = notice
            && !matches!(screen, Screen::Idle)
        {
            let context =
                payterm_texts::ScreenContext { test: true, columns: 32, lines: 6, utc_offset_minutes: 480, shop: String::new(), service_phone: String::new() };
            for (i, line) in self.texts.screen(screen, &context).into_iter().enumerate() {
                println!("{} {line}", if i == 0 { "display  |" } else { "         |" });
            }
        }
    }

    /// The papers that came out since the last call.
    fn take_papers(&mut self, count: u64) -> Result<Vec<String>> {
        let (total, papers) = self.hands.wait_papers(self.papers + count, Duration::from_secs(10))?;
        if total < self.papers + count {
            return Err(format!("{} papers came out, {} were due", total - self.papers, count).into());
        }
        let new = usize::try_from(total - self.papers)?;
        self.papers = total;
        let papers = papers[papers.len() - new..].to_vec();
        for p in &papers {
            println!("paper    +------------------------------------------------");
            for line in p.lines() {
                println!("         | {line}");
            }
        }
        Ok(papers)
    }
}

fn sale(id: &str, amount: &str) -> RequestWire {
    RequestWire { id: id.into(), kind: "sale".into(), amount: Some(amount.into()), currency: Some("CNY".into()), ..RequestWire::default() }
}

fn expect(what: &str, outcome: &Outcome, status: Status, code: Option<&str>) -> Result<()> {
    let reason = outcome.reason.as_ref();
    if outcome.status != status || reason.map(|r| r.code.as_str()) != code {
        return Err(format!("{what}: {:?} {:?} instead of {status:?} {code:?}", outcome.status, reason.map(|r| &r.code)).into());
    }
    if reason.is_some_and(|r| r.text.is_empty() || r.next.is_empty()) {
        return Err(format!("{what}: the reason has no text").into());
    }
    Ok(())
}

async fn demo(language: Language) -> Result<()> {
    let stack = start(language)?;
    let client = stack.client().await?;
    let mut c = Counter { hands: stack.hands()?, texts: Texts::new(language), client, language, papers: 0 };

    c.title("开机", "start-up");
    println!("paytermd ready in {} ms", stack.ready_in.as_millis());
    for d in c.client.devices().await? {
        println!("device     {:<10} {:<18} {:<8} {:?}", d.name, d.kind.name(), d.driver, d.state);
    }

    c.title("签到", "sign-in");
    let signed_in = async {
        loop {
            if c.client.totals(&caller()).await?.iter().all(|t| t.signed_in) {
                return Ok::<_, Box<dyn std::error::Error>>(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), signed_in).await.map_err(|_| "no sign-in within 10 s")??;
    println!("{}", stack.acquirer(&["log"])?.trim_end());

    c.title("刷卡消费,输入密码", "a swiped sale with PIN");
    let o = c
        .pay(sale("order-1", "12.34"), |h| {
            h.swipe(ALICE.0, ALICE.1, SOON)?;
            h.pin(PIN, SOON)?;
            Ok(())
        })
        .await?;
    expect("sale", &o, Status::Approved, None)?;
    let papers = c.take_papers(2)?;
    let rrn = o.rrn.clone().ok_or("no RRN")?;
    if !papers.iter().all(|p| p.contains("12.34") && p.contains(&rrn)) {
        return Err("the slips do not show amount and RRN".into());
    }

    c.title("密码错误,再次输入", "a wrong PIN, then the right one");
    let o = c
        .pay(sale("order-2", "20.00"), |h| {
            h.swipe(ALICE.0, ALICE.1, SOON)?;
            h.pin("000000", SOON)?;
            h.pin(PIN, SOON)?;
            Ok(())
        })
        .await?;
    expect("wrong PIN", &o, Status::Approved, None)?;
    c.take_papers(2)?;

    c.title("微信付款码", "a WeChat payment code");
    let o = c
        .pay(sale("order-3", "8.80"), |h| {
            h.scan(WECHAT, SOON)?;
            Ok(())
        })
        .await?;
    expect("code", &o, Status::Approved, None)?;
    c.take_papers(2)?;

    c.title("挂失卡", "a lost card");
    let o = c
        .pay(sale("order-4", "5.00"), |h| {
            h.swipe(BOB_LOST.0, BOB_LOST.1, SOON)?;
            h.pin(PIN, SOON)?;
            Ok(())
        })
        .await?;
    expect("lost card", &o, Status::Declined, Some("host-41"))?;

    c.title("合计", "totals");
    let totals = c.client.totals(&caller()).await?;
    for t in &totals {
        println!(
            "{}  batch {}  debit {} x {} {}  credit {} x {} {}",
            t.account,
            t.batch.map(|b| b.to_string()).unwrap_or_default(),
            t.debit_count,
            t.debit,
            t.currency,
            t.credit_count,
            t.credit,
            t.currency
        );
    }
    let sum: u64 = totals.iter().map(|t| t.debit_minor).sum();
    let net = stack.net("cup")?;
    println!("acquirer   {}", stack.acquirer(&["check"])?.trim_end().replace('\n', "\n           "));
    if sum != 1234 + 2000 + 880 || net != 4114 {
        return Err(format!("totals {sum}, the acquirer's books {net}, expected 4114").into());
    }
    let log = std::fs::read_to_string(stack.daemon_log())?;
    if log.contains(ALICE.0) || log.contains(WECHAT) || log.contains(" ERROR ") {
        return Err("the log shows a card number, a payment code or an error".into());
    }
    println!(
        "\n{}",
        if language == Language::En {
            "All of it happened: 3 approved, 1 refused, 6 papers, books equal to the cent."
        } else {
            "全部属实:3 笔成功,1 笔拒绝,6 张签购单,账目分文不差。"
        }
    );
    Ok(())
}
