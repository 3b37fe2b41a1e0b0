//! What a step lets be seen, for its digest: the only place that knows both the machine's names and the
//! digest's numbers.
use super::World;
use crate::sim::digest::Observed;
use payterm_core::{Ask, Effect, Step};
use payterm_hosts::{Profile, Station, build};
use payterm_schema::{
    HostMessage, Kind, Notice, Outcome, Pan, Screen, Time,
    config::Language,
    host::EntryMode,
    host::{CardSecrets, SecretsFrom},
    outcome::{Class, Status},
    paper::PaperJob,
    record::ObligationState,
    secret::{Mac, MacAlgorithm, MacError, MacValue},
};
use payterm_texts::{Audience, ScreenContext, SlipContext, Templates, Texts, slip};
use std::sync::LazyLock;

/// A MAC that depends on every byte, without a key.
struct Sum;
impl Mac for Sum {
    fn mac(&self, _: MacAlgorithm, data: &[u8]) -> Result<MacValue, MacError> {
        let sum = data.iter().fold(0u64, |s, b| s.rotate_left(5) ^ u64::from(*b));
        Ok(MacValue::new(format!("{:08X}", sum as u32 ^ (sum >> 32) as u32).as_bytes()))
    }
    fn verify(&self, _: MacAlgorithm, _: &[u8], _: &[u8]) -> Result<bool, MacError> {
        Ok(true)
    }
}

/// The PAN that stands for the sealed one of a transaction.
fn sealed(txn: u64) -> Option<Pan> {
    Pan::parse(&format!("62257600{txn:08}")).ok()
}

fn frame(world: &World, m: &HostMessage) -> Vec<u8> {
    static PROFILE: LazyLock<Profile> = LazyLock::new(|| Profile::builtin("unionpay").expect("built in"));
    let Some(account) = world.settings.accounts.iter().find(|a| a.config.id == m.account) else {
        return Vec::new();
    };
    let station = Station {
        mid: account.config.mid.to_string(),
        tid: account.config.tid.to_string(),
        currency: account.config.currency,
        nii: Default::default(),
        test: false,
    };
    let secrets = match &m.secrets {
        SecretsFrom::Memory(secrets) => secrets.clone(),
        SecretsFrom::Sealed(txn) => CardSecrets { pan: sealed(*txn), ..CardSecrets::default() },
        SecretsFrom::SealedMany(all) => {
            CardSecrets { pans: all.iter().map(|t| t.and_then(sealed)).collect(), ..CardSecrets::default() }
        }
        SecretsFrom::None => CardSecrets::default(),
    };
    build(&PROFILE, &station, m.message_kind, &m.plan, &secrets, "1", &Sum)
        .map(|b| b.bytes.reveal().to_vec())
        .unwrap_or_default()
}

fn outcome(o: &Outcome) -> Observed {
    let status = [
        Status::Running,
        Status::Approved,
        Status::Declined,
        Status::Cancelled,
        Status::Failed,
        Status::Unknown,
    ];
    let class = [Class::A, Class::B, Class::C, Class::D, Class::E, Class::P];
    let minor = |m: Option<u64>| m.map(|m| m as i64);
    Observed::Outcome {
        txn: o.txn,
        kind: Kind::ALL.iter().position(|k| *k == o.kind).expect("on the sheet"),
        status: status.iter().position(|s| *s == o.status).expect("a status"),
        code: o.reason.as_ref().map_or(String::new(), |r| {
            format!("{} {}", r.code, class.iter().position(|c| *c == r.class).expect("a class"))
        }),
        sums: vec![
            minor(o.sums.amount),
            minor(o.sums.fee),
            o.sums.balance,
            minor(o.sums.tip),
            minor(o.sums.asked),
            minor(o.sums.refunded),
        ],
        numbers: vec![o.stan.map(|s| s.get()), o.batch.map(|b| b.get())],
        references: vec![o.rrn.clone(), o.auth_code.clone(), o.masked_pan.clone()],
    }
}

fn paper(job: &PaperJob, duplicate: bool) -> Observed {
    let context = SlipContext {
        language: Language::ZhCn,
        zone: payterm_schema::zone::Zone::default(),
        not_before: payterm_schema::Time(0),
        host_offset_minutes: 480,
        service_phone: String::new(),
        qr: String::new(),
        invoice_qr: String::new(),
        duplicate,
        acquirer_name: "acquirer".into(),
    };
    let text = slip(job, &context, &Templates::default()).to_text(32);
    Observed::Paper { duplicate, lines: text.lines().map(str::to_owned).collect() }
}

fn screen(screen: &Screen, now: Time) -> Vec<String> {
    let context = ScreenContext {
        audience: Audience::Cashier,
        now,
        test: false,
        columns: 40,
        lines: 8,
        zone: payterm_schema::zone::Zone::default(),
        shop: "shop".into(),
        service_phone: String::new(),
    };
    Texts::new(Language::En).screen(screen, &context)
}

impl World {
    /// Before anything of the step has left.
    pub(super) fn observe(&mut self, step: &Step) {
        if self.digest.is_none() {
            return;
        }
        let (mut asked, mut done, mut shown) = (Vec::new(), Vec::new(), None);
        if !step.seal.is_empty() {
            done.push(Observed::Sealed { txns: step.seal.iter().map(|(t, _)| *t).collect() });
        }
        if !step.erase.is_empty() {
            done.push(Observed::Erased { txns: step.erase.clone() });
        }
        for ask in &step.asks {
            match ask {
                Ask::Show(page, _) => shown = Some(page),
                Ask::Offer { txn, modes } => {
                    let reader = |w: &EntryMode| match w {
                        EntryMode::Swipe => 0,
                        EntryMode::Chip => 1,
                        EntryMode::Contactless => 2,
                        EntryMode::Code => 3,
                        EntryMode::Manual => 4,
                    };
                    asked.push(Observed::Offered { txn: *txn, readers: modes.iter().map(reader).collect() });
                }
                Ask::Withdraw => asked.push(Observed::Withdrawn),
                Ask::Pin { pan, amount, .. } => asked.push(Observed::PinAsked {
                    amount: amount.map(|m| m.minor()),
                    pan: pan.masked().to_string(),
                }),
                Ask::AbortPin { .. } => asked.push(Observed::PinAborted),
                // A digest is of runs without a chip card.
                Ask::RunCard { .. } | Ask::CardPin { .. } => {}
            }
        }
        for effect in &step.effects {
            match effect {
                Effect::Answer { result, .. } => done.push(Observed::Answered { ok: result.is_ok() }),
                Effect::Tell(notice) => match &**notice {
                    Notice::Outcome { outcome: o } => done.push(outcome(o)),
                    Notice::Obligation { obligation: o } => done.push(Observed::Obligation {
                        txn: o.txn,
                        stan: o.plan.stan.get(),
                        state: match o.state {
                            ObligationState::Armed => 0,
                            ObligationState::Due => 1,
                            ObligationState::Stuck => 2,
                        },
                    }),
                    _ => {}
                },
                Effect::Show(page, _) => shown = Some(page),
                Effect::Send(m) => done.push(Observed::Frame { bytes: frame(self, m) }),
                Effect::ForgetKeys { .. } => done.push(Observed::KeysForgotten),
                Effect::Print { job, duplicate } => done.push(paper(job, *duplicate)),
                Effect::TellCard { .. }
                | Effect::StopCard { .. }
                | Effect::EndCard { .. }
                | Effect::Speak(_)
                | Effect::UseDownloads { .. }
                | Effect::Load { .. }
                | Effect::AskVault { .. }
                | Effect::Tms { .. }
                | Effect::Renew => {}
            }
        }
        let shown = shown.map(|page| screen(page, self.clock()));
        let at = self.clock().since(crate::sim::script::at_epoch()).0;
        if let Some(digest) = &mut self.digest {
            digest.step(at, &asked, &done, shown);
        }
    }

    /// Checks the digest of a run in a test against the one on file, by the test's name and the number of the
    /// run in it. With `PAYTERM_DIGESTS=FILE` it is written there instead.
    pub(super) fn check_digest(&self) {
        thread_local!(static RUNS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
        let thread = std::thread::current();
        let Some((digest, name)) = self.digest.as_ref().zip(thread.name()) else { return };
        let run = RUNS.replace(RUNS.get() + 1);
        let key = format!("{} {run} ", name.rsplit("::").next().unwrap_or(name));
        let line = format!("{key}{}", digest.text());
        if let Some(file) = std::env::var_os("PAYTERM_DIGESTS") {
            use std::io::Write;
            let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
            file.and_then(|mut f| f.write_all(format!("{line}\n").as_bytes())).expect("written");
            return;
        }
        let known: Vec<&str> =
            include_str!("../../../digests/flows.txt").lines().filter(|l| l.starts_with(&key)).collect();
        assert!(
            known.is_empty() || known.contains(&&*line),
            "what can be seen has changed: {line}, on file {known:?}"
        );
    }
}
