//! The self-test: after the start, on demand and on a schedule. Every part is looked at for what it is:
//! devices by their drivers, the store by a connection of its own, each account's keys and line.
//!
//! Invariant: nothing waits for it; a customer who comes meanwhile is served, and a part that does not answer
//! is a finding.
use crate::{
    clock::{Clock, NOT_BEFORE},
    device::{self, Devices},
    emv::{CardData, KeyEnd},
    hostlink::Line,
    supervise::Child,
    terminal::{Look, TerminalActor},
};
use futures_util::future::join_all;
use payterm_core::{Heard, Input, Machine};
use payterm_journal::Store;
use payterm_schema::{
    AccountId, DeviceKind, Fault, SelfTest, Time,
    config::{AccountConfig, Config, ExpiredKeys, SelfTestPrint},
    emv_lists::EmvLists,
    selftest::{Finding, LINE_PRIVATE, Part, SelfTestItem, Verdict},
    time::Millis,
};
use payterm_vault::Vault;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Mutex as Turn,
    time::{sleep, timeout},
};

/// Time that the accounts have to sign in after the start: a terminal that is about to work is not called
/// degraded.
const SETTLE: Duration = Duration::from_secs(5);
/// A device that says nothing for so long does not work. 10 s. A printer has the time of its own commands, to
/// look at its state and to be tested.
const DEVICE: Duration = Duration::from_secs(10);
/// The store's check, above what a full disk of records takes.
const STORE: Duration = Duration::from_secs(10);
/// The machine ends an echo by itself after 5 s; more than this and the terminal itself is being rebuilt.
const HOST: Duration = Duration::from_secs(20);
/// A host that answered within this time needs no echo.
const FRESH: Millis = Millis::secs(60);
const DAY: Millis = Millis::secs(86_400);
/// CA keys that end within this time are told: 30 days, as certificates.
const SOON: Millis = Millis(30 * DAY.0);
/// CA keys that a line names at most; it tells how many there are.
const NAMED: usize = 8;
/// Times of records may be this far ahead of the clock that is asked: 1 min.
const SLACK: Millis = Millis::secs(60);

/// Facts that the self-test takes from the machine.
struct Seen {
    /// A customer is being served.
    serves: bool,
    heard: BTreeMap<AccountId, Heard>,
    signed_in: BTreeSet<AccountId>,
}

pub struct Examiner {
    pub devices: Devices,
    pub lines: Vec<Arc<Line>>,
    /// None: the terminal has no card kernel of its own.
    pub card_data: Option<Arc<CardData>>,
    pub store: Store,
    pub vault: Arc<Vault>,
    pub clock: Arc<Clock>,
    pub config: Arc<Config>,
    /// A test terminal: the report says so.
    pub test: bool,
    pub terminal: Child<TerminalActor>,
    /// Held by a running test: one at a time.
    pub turn: Turn<()>,
    pub last: Mutex<Option<SelfTest>>,
}

/// Self-test after the start, and then every `self_test.every_hours`.
pub async fn keep(examiner: Arc<Examiner>) {
    let wanted = examiner.config.self_test.print;
    let print = |v: Verdict| match wanted {
        SelfTestPrint::Never => false,
        SelfTestPrint::Failures => v > Verdict::Passed,
        SelfTestPrint::Always => true,
    };
    examiner.settle().await;
    loop {
        examiner.run(print).await;
        match examiner.config.self_test.every_hours {
            0 => return,
            hours => sleep(Duration::from_secs(u64::from(hours) * 3600)).await,
        }
    }
}

impl Examiner {
    pub fn last(&self) -> Option<SelfTest> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tests everything; the report is recorded, told and shown.
    pub async fn run(&self, print: impl Fn(Verdict) -> bool) -> SelfTest {
        let _turn = self.turn.lock().await;
        let seen = self.look().await;
        let (devices, store, clock) =
            tokio::join!(self.devices(seen.as_ref()), self.check_store(), self.check_clock(seen.as_ref()));
        let mut items = devices;
        items.extend([store.of(Part::Store, ""), clock.of(Part::Clock, "")]);
        items.extend(self.card_data().into_iter().map(|found| found.of(Part::Keys, "")));
        let lines = join_all(self.config.accounts.iter().map(|a| self.line(a, seen.as_ref()))).await;
        for (a, line) in self.config.accounts.iter().zip(lines) {
            items.push(self.keys(&a.id).of(Part::Keys, a.id.as_str()));
            items.push(line.of(Part::HostLink, a.id.as_str()));
            if a.line.is_some() {
                let plain = Finding::new(Verdict::Passed, LINE_PRIVATE);
                items.push(plain.of(Part::HostLink, a.id.as_str()));
            }
            let ends = self.lines.iter().find(|l| l.config.id == a.id).and_then(|l| l.certificate_ends());
            if let Some(found) = ends.and_then(|(at, of)| certificate(self.clock.now(), at, of)) {
                items.push(found.of(Part::HostLink, a.id.as_str()));
            }
        }
        let report = SelfTest { test: self.test, ..SelfTest::new(self.clock.now(), items) };
        for i in report.items.iter().filter(|i| i.verdict > Verdict::Passed) {
            let (part, name, verdict, code, facts) = (i.part, &i.name, i.verdict, &i.code, &i.facts);
            tracing::warn!(?part, %name, ?verdict, %code, ?facts, "self-test");
        }
        tracing::info!(verdict = ?report.verdict, parts = report.items.len(), "self-test");
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
        let (told, print) = (Box::new(report.clone()), print(report.verdict));
        let input = move |call| Input::SelfTested { call, report: told, print };
        if self.terminal.question("self-test", input).await.is_err() {
            tracing::warn!("the self-test's report could not be recorded: the terminal is being rebuilt");
        }
        report
    }

    async fn look(&self) -> Option<Seen> {
        let look = |m: &Machine| Seen {
            serves: m.running().is_some(),
            heard: m.heard().clone(),
            signed_in: m
                .state()
                .accounts
                .iter()
                .filter(|(_, l)| l.signed_in)
                .map(|(a, _)| a.clone())
                .collect(),
        };
        self.terminal.ask(Look(Box::new(look))).await.ok().and_then(Result::ok)
    }

    async fn settle(&self) {
        let own = |a: &&AccountConfig| a.auto_sign_in;
        let all =
            |seen: Seen| self.config.accounts.iter().filter(own).all(|a| seen.signed_in.contains(&a.id));
        let waits = async {
            while !self.look().await.is_some_and(all) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(SETTLE, waits).await.ok();
    }

    async fn devices(&self, seen: Option<&Seen>) -> Vec<SelfTestItem> {
        let slots: Vec<String> = self.config.accounts.iter().map(|a| a.id.to_string()).collect();
        let customer = seen.is_some_and(|s| s.serves);
        let all = self.devices.names().map(|(name, kind)| {
            // A customer's page is not replaced by a pattern.
            let asked =
                (kind != DeviceKind::Display || !customer).then(|| self.devices.examine(name, &slots));
            let own = self.config.devices.iter().find(|d| kind == DeviceKind::Printer && d.name == name);
            let time = own.map_or(DEVICE, |d| device::command_time(d) * 2);
            async move {
                let finding = match asked {
                    None => Finding::new(Verdict::Passed, "busy"),
                    Some(asked) => match timeout(time, asked).await {
                        Ok(Ok(finding)) => finding,
                        Ok(Err(gone)) => Finding::failed("device-failed").with("why", gone),
                        Err(_) => Finding::failed("no-answer"),
                    },
                };
                finding.of(kind.into(), name)
            }
        });
        join_all(all).await
    }

    async fn check_store(&self) -> Finding {
        let store = self.store.clone();
        let limit = u64::from(self.config.self_test.free_mib);
        match timeout(STORE, tokio::task::spawn_blocking(move || store.health())).await {
            Err(_) => Finding::failed("no-answer"),
            Ok(Err(e)) => Finding::failed("store-unreadable").with("why", e),
            Ok(Ok(Err(e))) => Finding::failed("store-unreadable").with("why", e),
            Ok(Ok(Ok(h))) => {
                let free = h.free >> 20;
                match (h.damage, h.write) {
                    (None, None) if free >= limit && h.generation.is_some() => {
                        Finding::degraded("generation-absent").with("why", h.generation.unwrap_or_default())
                    }
                    (Some(why), _) => Finding::failed("store-damaged").with("why", why),
                    (None, Some(why)) => Finding::failed("store-not-writable").with("why", why),
                    (None, None) if free < limit => {
                        Finding::degraded("disk-low").with("free", free).with("limit", limit)
                    }
                    (None, None) => Finding::new(Verdict::Passed, "store-works").with("free", free),
                }
            }
        }
    }

    async fn check_clock(&self, seen: Option<&Seen>) -> Finding {
        let now = self.clock.now();
        if now < NOT_BEFORE {
            return Finding::failed("clock-not-set");
        }
        match self.store.newest().await {
            Ok(Some(newest)) if newest > now + SLACK => {
                return Finding::degraded("clock-behind").with("minutes", newest.since(now).0 / 60_000);
            }
            Ok(_) => {}
            Err(e) => tracing::warn!("self-test: the newest time: {e}"),
        }
        let off = seen.into_iter().flat_map(|s| &s.heard).find_map(|(a, h)| Some((a, h.off_by?)));
        match off {
            Some((account, off)) => Finding::degraded("clock-host")
                .with("account", account)
                .with("minutes", (off.0 / 60_000).abs()),
            None => Finding::works(),
        }
    }

    /// Today, and the last day whose CA keys end soon, YYYYMMDD in the terminal's zone.
    fn days(&self) -> [u32; 2] {
        let now = self.clock.now();
        [now, now + SOON].map(|at| {
            let local = self.config.terminal.zone.local(at);
            let year = u32::try_from(local.year()).unwrap_or(0);
            year * 10_000 + u32::from(u8::from(local.month())) * 100 + u32::from(local.day())
        })
    }

    /// Lists of the card kernel; none: the terminal has none.
    pub fn emv_lists(&self) -> Option<EmvLists> {
        let [today, soon] = self.days();
        self.card_data.as_ref().map(|data| data.listed(today, soon))
    }

    /// What a person should see to in the lists of the card kernel.
    fn card_data(&self) -> Vec<Finding> {
        let Some(data) = &self.card_data else { return Vec::new() };
        let (known, [today, soon]) = (data.known(), self.days());
        let mut found = ca_keys(data.expired(), known.ends(), today, soon);
        found.extend(known.unused.map(|why| Finding::degraded("downloads-not-used").with("why", why)));
        found
    }

    fn keys(&self, account: &AccountId) -> Finding {
        let id = account.as_str();
        if self.vault.tmk_check_value(id).is_none() {
            Finding::failed("tmk-missing")
        } else if !self.vault.has_working_keys(id) {
            Finding::degraded("working-keys-missing")
        } else {
            Finding::works()
        }
    }

    async fn line(&self, account: &AccountConfig, seen: Option<&Seen>) -> Finding {
        let id = account.id.clone();
        let ago = seen.and_then(|s| s.heard.get(&id)).map(|h| self.clock.now().since(h.at));
        let signed_in = seen.is_some_and(|s| s.signed_in.contains(&id));
        if let Some(ago) = ago.filter(|a| *a < FRESH) {
            return Finding::new(Verdict::Passed, "host-answered").with("seconds", ago.0.max(0) / 1000);
        }
        let unasked = match ago {
            Some(ago) => Finding::new(Verdict::Passed, "host-answered").with("seconds", ago.0.max(0) / 1000),
            None if signed_in => Finding::new(Verdict::Passed, "host-not-asked"),
            None => Finding::degraded("host-not-signed-in"),
        };
        if !self.config.self_test.host {
            return unasked;
        }
        let asked = self.terminal.question("self-test", move |call| Input::Probe { call, account: id });
        match timeout(HOST, asked).await {
            Ok(Ok(())) => Finding::new(Verdict::Passed, "host-answered").with("seconds", 0),
            Ok(Err(Fault::WrongState { rule })) => Finding::degraded("host-refused").with("why", rule),
            Ok(Err(Fault::Unreachable { cause })) => Finding::failed("host-silent").with("why", cause),
            // A customer or a reversal is on the line, or this acquirer knows no echo.
            Ok(Err(_)) | Err(_) => unasked,
        }
    }
}

/// What is said of a certificate that ends: nothing before the last 30 days; a warning at 30 and from 7 on,
/// so that a self-test a day does not warn for a month.
fn certificate(now: Time, end: Time, of: &str) -> Option<Finding> {
    let days = end.since(now).0.div_euclid(DAY.0);
    let found = match days {
        31.. => return None,
        8..=28 => Finding::new(Verdict::Passed, "certificate-ends"),
        29..=30 | 0..=7 => Finding::degraded("certificate-ends"),
        ..0 => Finding::failed("certificate-ended"),
    };
    let local = end.local(0);
    let date = format!("{}-{:02}-{:02}", local.year(), u8::from(local.month()), local.day());
    Some(found.with("days", days).with("date", date).with("of", of))
}

/// Warnings of CA keys that have ended, or end by `soon`, both days YYYYMMDD: by application provider and
/// index, the earliest first. The last day itself is still one of use.
fn ca_keys(expired: ExpiredKeys, mut ends: Vec<KeyEnd>, today: u32, soon: u32) -> Vec<Finding> {
    ends.retain(|end| end.day <= soon);
    ends.sort_by_key(|end| end.day);
    let (ended, ending) = ends.split_at(ends.partition_point(|end| end.day < today));
    let name = |KeyEnd { rid, index, day }: &KeyEnd| {
        let [a, b, c, d, e] = rid;
        let (year, month, day) = (day / 10_000, day / 100 % 100, day % 100);
        format!("{a:02X}{b:02X}{c:02X}{d:02X}{e:02X} {index:02X} {year}-{month:02}-{day:02}")
    };
    let of = |code, ends: &[KeyEnd]| {
        let names: Vec<String> = ends.iter().take(NAMED).map(name).collect();
        let found = Finding::degraded(code).with("count", ends.len()).with("keys", names.join(", "));
        (!ends.is_empty()).then_some(found)
    };
    let code = match expired {
        ExpiredKeys::Use => "ca-keys-ended",
        ExpiredKeys::Refuse => "ca-keys-refused",
    };
    [of(code, ended), of("ca-keys-end", ending)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ca_keys_are_told_from_30_days_before_their_last_day() {
        let end = |index, day| KeyEnd { rid: [0xA0, 0, 0, 3, 0x33], index, day };
        let ends = vec![end(4, 20991231), end(3, 20261231), end(2, 20261202), end(1, 20261203)];
        let told = |expired, today, soon| {
            let found = ca_keys(expired, ends.clone(), today, soon);
            assert!(found.iter().all(|f| f.verdict == Verdict::Degraded), "they block nothing: {found:?}");
            let line = |f: &Finding| format!("{}: {}", f.code, f.facts["keys"]);
            found.iter().map(line).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(
            told(ExpiredKeys::Use, 20261203, 20270102),
            "ca-keys-ended: A000000333 02 2026-12-02; \
             ca-keys-end: A000000333 01 2026-12-03, A000000333 03 2026-12-31"
        );
        assert_eq!(told(ExpiredKeys::Refuse, 20270101, 20270131).split(':').next(), Some("ca-keys-refused"));
        assert_eq!(told(ExpiredKeys::Use, 20260101, 20260131), "");
    }

    #[test]
    fn a_certificate_that_ends_is_told_30_7_and_1_days_ahead() {
        let now = Time(1_795_000_000_000);
        let found = |days: i64| certificate(now, now + Millis(days * DAY.0 + 1), "cert");
        let verdict = |days| found(days).map(|f| f.verdict);
        assert_eq!(verdict(31), None);
        for days in [30, 7, 1, 0] {
            assert_eq!(verdict(days), Some(Verdict::Degraded), "{days}");
        }
        assert_eq!(verdict(20), Some(Verdict::Passed));
        let f = found(7).unwrap_or_else(Finding::works);
        assert_eq!((f.code.as_str(), f.facts["days"].as_str()), ("certificate-ends", "7"));
        assert_eq!(f.facts["of"], "cert");
        let f = found(-1).unwrap_or_else(Finding::works);
        assert_eq!((f.code.as_str(), f.verdict), ("certificate-ended", Verdict::Failed));
    }
}
