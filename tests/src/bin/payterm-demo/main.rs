//! `payterm-demo demo`: a session at the counter that a person can follow; every step is checked, the exit
//! code is 0 only if all of it really happened. `payterm-demo run`: the same terminal, left running.
mod chip;

use futures_util::StreamExt;
use payterm_dbus::Client;
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControl};
use payterm_schema::{
    Notice, OperatorId, OperatorRequest, Outcome, Request, RequestKey, Status, Terminal, Time,
    config::{Config, Language},
    notice::Screen,
    request::RequestWire,
    selftest::Verdict,
};
use payterm_simulator::world::personas;
use payterm_tests::real::{
    demo_cards::ChipReaders,
    stack::{Result, Stack, caller},
};
use payterm_texts::Texts;
use std::time::{Duration, Instant};

const SOON: When = When::Within(Duration::from_secs(10));
const ALICE: (&str, &str) = ("6212345678900000003", "3012");
const BOB_LOST: (&str, &str) = ("6212345678900000102", "3012");
const PIN: &str = "123456";
const KATE_BUSY: (&str, &str) = ("6212345678900000805", "3012");
const SUPERVISOR: &str = "739164";
const CASHIER: &str = "482915";
const WECHAT: &str = "134512345678901234";

fn main() -> std::process::ExitCode {
    let language = match std::env::var("LANGUAGE").as_deref() {
        Ok(l) if l.starts_with("en") => Language::En,
        Ok(_) | Err(_) => Language::ZhCn,
    };
    let verb = std::env::args().nth(1).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|rt| match verb.as_str() {
        "demo" => rt.block_on(demo(language, ChipReaders::start()?)),
        "run" => rt.block_on(run(language, &ChipReaders::of_the_terminal("another shell reaches it")?)),
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

fn terminal(config: &mut Config, language: Language) {
    config.terminal.language = language;
    if language == Language::En {
        config.terminal.shop = "payterm demo shop".into();
        config.terminal.address = "1 Renmin Road".into();
        config.terminal.city = "Shanghai".into();
    }
}
fn start(language: Language, readers: &ChipReaders, change: impl FnOnce(&mut Config)) -> Result<Stack> {
    let mut configured = Ok(());
    let stack = Stack::start(|config, _| {
        terminal(config, language);
        configured = readers.configure(config);
        change(config);
    })?;
    configured.map(|()| stack)
}

async fn run(language: Language, readers: &ChipReaders) -> Result<()> {
    let mut stack = start(language, readers, |_| ())?;
    let bus = &stack.bus;
    let dir = stack.dir.display();
    println!("paytermd runs. Talk to it from another shell:\n");
    println!(
        "  export PAYTERM_BUS='{bus}' PAYTERM_STATE='{dir}/state' PATH=\"{}:$PATH\"",
        payterm_tests::real::stack::programs()?.display()
    );
    println!("  busctl --address=\"$PAYTERM_BUS\" tree org.payterm.Terminal1");
    println!(
        "  paytermctl sale --amount 12.34 --currency CNY          # asks for a card; then, from a third \
         shell:"
    );
    println!(
        "  paytermctl virtual swipe {}={}1200000000 && paytermctl virtual --wait 10 pin {PIN}",
        ALICE.0, ALICE.1
    );
    let [insert, tap] = readers.ports;
    let held = |persona, port| {
        format!(
            "(sleep 8; echo quit) | payterm-card {persona} --state {dir}/{persona}.card --connect \
             127.0.0.1:{port}"
        )
    };
    println!("or the customer has a chip card, which is inserted, or tapped (below 1,000.00 without a PIN):");
    println!("  {} & paytermctl virtual --wait 10 pin {PIN}", held("debit", insert));
    println!("  {}", held("qpboc-online", tap));
    println!("and then:");
    println!("  paytermctl virtual --wait 10 papers --count 2          # the slips, counted since the start");
    println!("  paytermctl devices; paytermctl totals; paytermctl list");
    println!("  payterm-acquirer balances --state {dir}/acquirer");
    println!("\nTo stop paytermd or the bank and start it again by hand, with the same export:\n");
    println!("  kill {}          # paytermd", stack.daemon_pid().unwrap_or_default());
    println!("  DBUS_SESSION_BUS_ADDRESS=\"$PAYTERM_BUS\" paytermd --config {dir}/payterm.toml");
    println!("  pkill -f 'payterm-acquirer serve .*{dir}/acquirer'");
    let option = |profile: &str, address: &str| {
        if profile == "tms" { format!("--tms {address}") } else { format!("--listen {profile}={address}") }
    };
    let listen =
        stack.hosts.iter().map(|(profile, address)| option(profile, address)).collect::<Vec<_>>().join(" ");
    println!("  payterm-acquirer serve {listen} --state {dir}/acquirer --rules {dir}/world.toml");
    println!("\nlog: {dir}/paytermd.log     Ctrl-C ends it.");
    tokio::signal::ctrl_c().await?;
    stack.stop_daemon()?;
    Ok(())
}

/// The session and what it needs.
struct Counter {
    client: Client,
    virtuals: VirtualControl,
    texts: Texts,
    language: Language,
    papers: u64,
    /// What the customer does at the page that asks for a card: told behind it.
    act: Option<String>,
}

impl Counter {
    fn title(&self, zh: &str, en: &str) {
        println!("\n=== {} ===", if self.language == Language::En { en } else { zh });
    }

    /// Starts a request, shows the customer's screens, lets the customer act, and answers the outcome.
    async fn pay(
        &mut self,
        wire: RequestWire,
        act: impl FnOnce(&mut VirtualControl) -> Result<()>,
    ) -> Result<Outcome> {
        let key = RequestKey { app: "demo".into(), id: wire.id.clone() };
        println!(
            "app      > Start {} {} {}",
            wire.kind,
            wire.amount.as_deref().unwrap_or(""),
            wire.currency.as_deref().unwrap_or("")
        );
        let mut notices = self.client.notices();
        let request = Request::try_from(wire)?;
        self.client.start(&caller(), request).await?;
        act(&mut self.virtuals)?;
        let client = self.client.clone();
        let wait = async move { client.wait(&caller(), &key, true).await };
        tokio::pin!(wait);
        let outcome = loop {
            tokio::select! {
                outcome = &mut wait => break outcome?,
                Some(notice) = notices.next() => self.show(&notice),
            }
        };
        // What was told before the outcome, and is read behind it.
        while let Ok(Some(notice)) = tokio::time::timeout(Duration::from_millis(50), notices.next()).await {
            self.show(&notice);
        }
        println!("app      < {}", outcome.status.name());
        for (label, value) in self.texts.outcome_lines(&outcome, &payterm_schema::zone::Zone::default()) {
            println!("           {label}: {value}");
        }
        Ok(outcome)
    }

    fn show(&mut self, notice: &Notice) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = Time(now.as_millis().try_into().unwrap_or(0));
        if let Notice::Phase { screen, .. } = notice
            && !matches!(screen, Screen::Idle(_))
        {
            let context = payterm_texts::ScreenContext {
                audience: payterm_texts::Audience::Customer,
                now,
                test: true,
                columns: 32,
                lines: 6,
                zone: payterm_schema::zone::Zone::default(),
                shop: String::new(),
                service_phone: String::new(),
            };
            for (i, line) in self.texts.screen(screen, &context).into_iter().enumerate() {
                println!("{} {line}", if i == 0 { "display  |" } else { "         |" });
            }
            if let Screen::Present { .. } = screen
                && let Some(act) = self.act.take()
            {
                println!("customer > {act}");
            }
        }
    }

    /// The papers that came out since the last call.
    fn take_papers(&mut self, count: u64) -> Result<Vec<String>> {
        let (total, papers) = self.virtuals.wait_papers(self.papers + count, Duration::from_secs(10))?;
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
    RequestWire {
        id: id.into(),
        kind: "sale".into(),
        amount: Some(amount.into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    }
}

fn expect(what: &str, outcome: &Outcome, status: Status, code: Option<&str>) -> Result<()> {
    let reason = outcome.reason.as_ref();
    if outcome.status != status || reason.map(|r| r.code.as_str()) != code {
        return Err(format!(
            "{what}: {:?} {:?} instead of {status:?} {code:?}",
            outcome.status,
            reason.map(|r| &r.code)
        )
        .into());
    }
    if reason.is_some_and(|r| r.text.is_empty() || r.next.is_empty()) {
        return Err(format!("{what}: the reason has no text").into());
    }
    Ok(())
}

/// An operator's password at the keypad, or the supervisor's.
struct Typing(Vec<(String, String)>);
impl Typing {
    /// Types each answer as soon as the display asks for it.
    fn at(self, mut virtuals: VirtualControl) -> std::result::Result<(), String> {
        for (asked, digits) in self.0 {
            let shown = virtuals.wait_screen(&asked, Duration::from_secs(10)).map_err(|e| e.to_string())?;
            println!("display  | {}", shown.join(" / "));
            for key in digits.chars().map(|d| d.to_string()).chain(["confirm".to_owned()]) {
                virtuals.key(&key, SOON).map_err(|e| e.to_string())?;
            }
            println!("keypad   > {} digits, confirm", digits.len());
        }
        Ok(())
    }
}

impl Counter {
    /// The display as soon as it shows this.
    fn display(&mut self, part: &str) -> Result<String> {
        let shown = self.virtuals.wait_screen(part, Duration::from_secs(30))?;
        for (i, line) in shown.iter().enumerate() {
            println!("{} {line}", if i == 0 { "display  |" } else { "         |" });
        }
        Ok(shown.join("\n"))
    }
    /// Text of the display where this is asked for.
    fn asks(&self, zh: &str, en: &str) -> String {
        if self.language == Language::En { en } else { zh }.into()
    }

    /// The first logon: the first password must be changed.
    async fn log_on(&self, stack: &Stack, number: &str, first: &str, own: &str) -> Result<()> {
        let typing = Typing(vec![
            (self.asks(&format!("操作员 {number}"), &format!("Operator {number}")), first.into()),
            (self.asks("新密码", "New password"), own.into()),
            (self.asks("再输入一次", "once more"), own.into()),
        ]);
        let virtuals = stack.virtuals()?;
        let typed = tokio::task::spawn_blocking(move || typing.at(virtuals));
        self.client
            .operator_session(&caller(), OperatorRequest::LogOn { operator: OperatorId::new(number)? })
            .await?;
        typed.await??;
        println!("on duty  : {number}");
        Ok(())
    }

    /// A request that the supervisor must allow: their password, then what else the customer does.
    async fn allowed(
        &mut self,
        wire: RequestWire,
        act: impl FnOnce(&mut VirtualControl) -> Result<()>,
    ) -> Result<Outcome> {
        let asked = self.asks("请输入主管密码", "supervisor's password");
        self.pay(wire, |h| {
            h.wait_screen(&asked, Duration::from_secs(10))?;
            for key in SUPERVISOR.chars().map(|d| d.to_string()).chain(["confirm".to_owned()]) {
                h.key(&key, SOON)?;
            }
            act(h)
        })
        .await
    }
}

fn of(kind: &str, id: &str, original: &str, amount: Option<&str>) -> RequestWire {
    RequestWire {
        id: id.into(),
        kind: kind.into(),
        original_id: Some(original.into()),
        amount: amount.map(Into::into),
        currency: amount.map(|_| "CNY".into()),
        ..RequestWire::default()
    }
}

impl Counter {
    /// Start-up, sign-in with the acquirer, self-test.
    async fn opening(&self, stack: &Stack) -> Result<()> {
        self.title("开机", "start-up");
        println!("paytermd ready in {} ms", stack.ready_in.as_millis());
        for d in self.client.devices().await? {
            println!("device     {:<10} {:<18} {:<8} {:?}", d.name, d.kind.name(), d.driver, d.state);
        }

        self.title("签到", "sign-in");
        let signed_in = async {
            loop {
                if self.client.totals(&caller()).await?.iter().all(|t| t.signed_in) {
                    return Ok::<_, Box<dyn std::error::Error>>(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), signed_in)
            .await
            .map_err(|_| "no sign-in within 10 s")??;
        println!("{}", stack.acquirer(&["log"])?.trim_end());

        self.title("自检", "self-test");
        let report = self.client.self_test(&caller(), false).await?;
        for item in &report.items {
            println!(
                "{:<18} {:<12} {}",
                self.texts.word(item.part),
                item.name,
                self.texts.word(item.verdict)
            );
        }
        if report.verdict != Verdict::Passed {
            return Err(format!("the self-test: {report:?}").into());
        }
        Ok(())
    }

    /// The logons of the supervisor and of a cashier, each with a first password that must be changed.
    async fn logons(&self, stack: &Stack) -> Result<()> {
        self.title("主管和收银员登录", "supervisor and cashier log on");
        // Their first passwords are being made.
        while self.client.operators(&caller()).await?.operators.len() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.log_on(stack, "00", "000000", SUPERVISOR).await?;
        self.log_on(stack, "01", "111111", CASHIER).await?;
        Ok(())
    }

    /// The first five sales: swiped, with a wrong PIN, by payment code, with a lost card, with a busy bank.
    async fn sales(&mut self) -> Result<()> {
        self.title("选择方式,刷卡消费,输入密码", "choice of method, a swiped sale with PIN");
        let o = self
            .pay(sale("order-1", "12.34"), |h| {
                // 1 = bank card: only cards are offered then.
                h.key("1", SOON)?;
                h.swipe(ALICE.0, ALICE.1, SOON)?;
                h.pin(PIN, SOON)?;
                Ok(())
            })
            .await?;
        expect("sale", &o, Status::Approved, None)?;
        let papers = self.take_papers(2)?;
        let rrn = o.rrn.clone().ok_or("no RRN")?;
        if !papers.iter().all(|p| p.contains("12.34") && p.contains(&rrn)) {
            return Err("the slips do not show amount and RRN".into());
        }

        self.title("密码错误,再次输入", "a wrong PIN, then the right one");
        let o = self
            .pay(sale("order-2", "20.00"), |h| {
                h.swipe(ALICE.0, ALICE.1, SOON)?;
                h.pin("000000", SOON)?;
                h.pin(PIN, SOON)?;
                Ok(())
            })
            .await?;
        expect("wrong PIN", &o, Status::Approved, None)?;
        self.take_papers(2)?;

        self.title("微信付款码", "a WeChat payment code");
        let o = self
            .pay(sale("order-3", "8.80"), |h| {
                h.scan(WECHAT, SOON)?;
                Ok(())
            })
            .await?;
        expect("code", &o, Status::Approved, None)?;
        self.take_papers(2)?;

        self.title("挂失卡", "a lost card");
        let o = self
            .pay(sale("order-4", "5.00"), |h| {
                h.swipe(BOB_LOST.0, BOB_LOST.1, SOON)?;
                h.pin(PIN, SOON)?;
                Ok(())
            })
            .await?;
        expect("lost card", &o, Status::Declined, Some("host-41"))?;
        // What the bank says of the card is the app's and the cashier's to know.
        let reason = o.reason.map(|r| r.text).unwrap_or_default();
        let seen = self.display(&self.asks("咨询发卡行", "your bank"))?;
        if seen.contains("41") || seen.contains(&reason) {
            return Err(format!("the customer sees the bank's reason: {seen}").into());
        }

        self.title("银行繁忙,自动重试", "the bank is busy, and is asked again");
        let o = self
            .pay(sale("order-5", "9.90"), |h| {
                h.swipe(KATE_BUSY.0, KATE_BUSY.1, SOON)?;
                h.pin(PIN, SOON)?;
                Ok(())
            })
            .await?;
        expect("busy", &o, Status::Approved, None)?;
        self.take_papers(2)?;
        Ok(())
    }

    /// The printer runs out of paper: the terminal says so until it has some, and the slips come then.
    async fn out_of_paper(&mut self) -> Result<()> {
        self.title("打印机缺纸", "the printer is out of paper");
        self.virtuals.paper_out(true)?;
        let o = self
            .pay(sale("order-6", "6.60"), |h| {
                h.swipe(ALICE.0, ALICE.1, SOON)?;
                h.pin(PIN, SOON)?;
                Ok(())
            })
            .await?;
        expect("out of paper", &o, Status::Approved, None)?;
        self.display(&self.asks("打印机缺纸", "out of paper"))?;
        self.virtuals.paper_out(false)?;
        println!("printer  : a new roll");
        self.take_papers(2)?;
        let (rest, troubles) =
            (self.asks("在线", "Online"), [self.asks("缺纸", "paper"), self.asks("签购单", "lips")]);
        let patience = Duration::from_secs(10);
        let by = Instant::now() + patience;
        // The printer tells its state in its own time.
        while let seen = self.virtuals.wait_screen(&rest, patience)?.join("\n")
            && troubles.iter().any(|t| seen.contains(t))
        {
            if Instant::now() > by {
                return Err(format!("the trouble is mended, and the display says: {seen}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.display(&rest)?;
        Ok(())
    }

    /// Requests about earlier payments, a pre-authorisation and a balance inquiry.
    async fn later_requests(&mut self) -> Result<()> {
        self.title("消费撤销,主管授权", "a void, with the supervisor's password");
        let o = self.allowed(of("void", "order-2-void", "order-2", None), |_| Ok(())).await?;
        expect("void", &o, Status::Approved, None)?;
        self.take_papers(2)?;

        self.title("部分退货", "a refund of a part");
        let swipe = |h: &mut VirtualControl| {
            h.swipe(ALICE.0, ALICE.1, SOON)?;
            Ok(())
        };
        let o = self.allowed(of("refund", "order-1-refund", "order-1", Some("2.34")), swipe).await?;
        expect("refund", &o, Status::Approved, None)?;
        self.take_papers(2)?;

        self.title("预授权和完成", "a pre-authorisation and its completion");
        let card = |h: &mut VirtualControl| {
            h.swipe(ALICE.0, ALICE.1, SOON)?;
            h.pin(PIN, SOON)?;
            Ok(())
        };
        let o = self.pay(RequestWire { kind: "pre_auth".into(), ..sale("room-12", "50.00") }, card).await?;
        expect("pre-authorisation", &o, Status::Approved, None)?;
        self.take_papers(2)?;
        let o = self.pay(of("completion", "room-12-bill", "room-12", Some("43.10")), card).await?;
        expect("completion", &o, Status::Approved, None)?;
        self.take_papers(2)?;

        self.title("余额查询", "balance");
        let o = self
            .pay(
                RequestWire { id: "balance-1".into(), kind: "balance".into(), ..RequestWire::default() },
                card,
            )
            .await?;
        expect("balance", &o, Status::Approved, None)?;
        if o.sums.balance.is_none() {
            return Err("no balance".into());
        }
        Ok(())
    }

    /// The totals and the acquirer's books: equal to the cent.
    async fn books(&self, stack: &Stack) -> Result<()> {
        self.title("合计", "totals");
        let totals = self.client.totals(&caller()).await?;
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
        let sum = totals.iter().map(|t| t.debit_minor).sum::<u64>()
            - totals.iter().map(|t| t.credit_minor).sum::<u64>();
        let net = stack.net("cup")?;
        println!("acquirer   {}", stack.acquirer(&["check"])?.trim_end().replace('\n', "\n           "));
        let expected = 1234 + 2000 + 880 + 990 + 3000 + 2500 + 120_000 + 660 - 2000 - 234 + 4310;
        if i64::try_from(sum)? != expected || net != expected {
            return Err(format!("totals {sum}, the acquirer's books {net}, expected {expected}").into());
        }
        Ok(())
    }
}

async fn demo(language: Language, mut readers: ChipReaders) -> Result<()> {
    let stack = start(language, &readers, |config| {
        config.operators.required = true;
        config.flow.busy_wait_ms = 1_000;
        config.flow.result_ms = 2_000;
    })?;
    let client = stack.client().await?;
    let mut c = Counter {
        virtuals: stack.virtuals()?,
        texts: Texts::new(language),
        client,
        language,
        papers: 0,
        act: None,
    };
    c.title("读卡器", "chip readers");
    println!(
        "{}",
        match &readers.pcscd {
            Ok(_) => c.asks(
                "由 pcscd 驱动的虚拟读卡器,测试卡通过 PC/SC 读取",
                "virtual readers of a real pcscd: the cards are read over PC/SC"
            ),
            Err(why) =>
                c.asks("终端进程内的虚拟读卡器", "sockets of the terminal, in its process")
                    + &format!(" ({why})"),
        }
    );
    c.opening(&stack).await?;
    c.logons(&stack).await?;
    c.sales().await?;
    c.chip_cards(&stack, &mut readers).await?;
    c.out_of_paper().await?;
    c.later_requests().await?;
    c.books(&stack).await?;
    c.settlement(&stack).await?;
    if c.papers != 25 {
        return Err(format!("{} papers came out", c.papers).into());
    }
    let log = std::fs::read_to_string(stack.daemon_log())?;
    if [SUPERVISOR, CASHIER].iter().any(|p| log.contains(p))
        || log.contains(ALICE.0)
        || personas()?.all.iter().flat_map(|p| &p.applications).any(|a| log.contains(&a.pan))
        || log.contains(WECHAT)
        || log.contains(" ERROR ")
    {
        return Err("the log shows a card number, a payment code or an error".into());
    }
    println!(
        "\n{}",
        if language == Language::En {
            "All of it happened: 13 approved, 2 refused, 1 batch settled, 25 papers, books equal to the cent."
        } else {
            "全部属实:13 笔成功,2 笔拒绝,1 次结算,25 张单据,账目分文不差。"
        }
    );
    Ok(())
}
