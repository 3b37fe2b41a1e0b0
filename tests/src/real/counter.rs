//! A counter under random traffic: every kind that moves money, through the bus, against the acquirer's
//! ledger.
use crate::{
    real::stack::{Result, Stack, caller},
    sim::rng::Rng,
};
use payterm_dbus::Client;
use payterm_devices::virtual_bench::When;
use payterm_schema::{Kind, Outcome, Request, Status, Terminal, request::RequestWire};

const CARD: (&str, &str) = ("6212345678900000003", "3012");
const PIN: &str = "123456";

/// Books of terminal and acquirer in the end.
#[derive(Debug)]
pub struct Books {
    pub approved: u32,
    pub by_kind: std::collections::BTreeMap<&'static str, u32>,
    /// Account, the terminal's net (debit less credit), the acquirer's, minor units.
    pub nets: Vec<(String, i64, i64)>,
    pub check: String,
}
impl Books {
    pub fn equal(&self) -> bool {
        self.approved > 0 && !self.nets.is_empty() && self.nets.iter().all(|(_, ours, theirs)| ours == theirs)
    }
}

/// Makes so many requests, one after the other.
pub async fn run(count: u32, seed: u64) -> Result<Books> {
    let stack = Stack::start(|c, _| {
        c.log.level = "warn".into();
        // Nothing is settled in between.
        c.settlement.batch_max = 900;
        c.paper.merchant_copy = false;
        c.paper.customer_copy = false;
    })?;
    let client = stack.client().await?;
    let mut rng = Rng::salted(seed, 1);
    let (mut sales, mut holds, mut completions) =
        (Vec::<String>::new(), Vec::<String>::new(), Vec::<String>::new());
    let mut books =
        Books { approved: 0, by_kind: Default::default(), nets: Vec::new(), check: String::new() };
    for n in 0..count {
        let id = format!("r-{n}");
        let pick =
            |all: &[String], rng: &mut Rng| all.get(rng.roll(all.len().max(1) as u64) as usize).cloned();
        let small = 100 + rng.roll(900);
        let (kind, original, amount) = match rng.roll(14) {
            0 => (Kind::Void, pick(&sales, &mut rng), None),
            1 | 2 => (Kind::Refund, pick(&sales, &mut rng), Some(50 + rng.roll(100))),
            3 => (Kind::TipAdjust, pick(&sales, &mut rng), Some(1 + rng.roll(20))),
            4 | 5 => (Kind::PreAuth, None, Some(small)),
            6 => (Kind::Completion, pick(&holds, &mut rng), Some(small / 2)),
            7 => (Kind::CompletionAdvice, pick(&holds, &mut rng), Some(small / 2)),
            8 => (Kind::CompletionCancel, pick(&completions, &mut rng), None),
            9 => (Kind::PreAuthCancel, pick(&holds, &mut rng), None),
            10 => (Kind::VoiceSale, None, Some(small)),
            _ => (Kind::Sale, None, Some(small)),
        };
        if kind.row().original != payterm_schema::kind::OriginalBy::None && original.is_none() {
            continue;
        }
        let by_code = kind == Kind::Sale && rng.roll(4) == 0;
        let outcome = one(&stack, &client, &id, kind, original, amount, by_code, n).await?;
        if outcome.status == Status::Approved {
            books.approved += 1;
            *books.by_kind.entry(kind.name()).or_default() += 1;
            match kind {
                Kind::Sale if !by_code => sales.push(id),
                Kind::PreAuth => holds.push(id),
                Kind::Completion | Kind::CompletionAdvice => completions.push(id),
                _ => {}
            }
        } else if !matches!(outcome.status, Status::Failed | Status::Declined) {
            return Err(format!("{id} {}: {:?} {:?}", kind.name(), outcome.status, outcome.reason).into());
        }
    }
    // What is told afterwards has been told.
    for _ in 0..200 {
        if client.obligations(&caller()).await?.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for t in client.totals(&caller()).await? {
        let ours = i64::try_from(t.debit_minor)? - i64::try_from(t.credit_minor)?;
        books.nets.push((t.account.to_string(), ours, stack.net(t.account.as_str())?));
    }
    books.check = stack.acquirer(&["check"])?;
    Ok(books)
}

#[allow(clippy::too_many_arguments, reason = "one request's fields")]
async fn one(
    stack: &Stack,
    client: &Client,
    id: &str,
    kind: Kind,
    original: Option<String>,
    amount: Option<u64>,
    by_code: bool,
    n: u32,
) -> Result<Outcome> {
    let mut virtuals = stack.virtuals()?;
    let wire = RequestWire {
        id: id.into(),
        kind: kind.name().into(),
        amount: amount.map(|a| format!("{}.{:02}", a / 100, a % 100)),
        currency: amount.map(|_| "CNY".into()),
        original_id: original,
        auth_code: (kind == Kind::VoiceSale).then(|| "V12345".into()),
        ..RequestWire::default()
    };
    let key = client.start(&caller(), Request::try_from(wire)?).await?;
    let presents = kind.row().card != payterm_schema::kind::CardRule::None;
    let soon = When::Within(std::time::Duration::from_secs(60));
    // What is refused before the card is asked for has ended by then.
    let shown = if by_code {
        virtuals.scan(&format!("13{:016}", u64::from(n) + 5_000_000_000_000_000), soon).is_ok()
    } else {
        presents
            && client.recall(&caller(), &key).await?.outcome.status == Status::Running
            && virtuals.swipe(CARD.0, CARD.1, soon).is_ok()
    };
    if shown
        && !by_code
        && kind.row().pin
        && let Err(e) = virtuals.pin(PIN, soon)
    {
        let told = client.recall(&caller(), &key).await?.outcome;
        return Err(format!("{id} {}: {e}: {:?} {:?}", kind.name(), told.status, told.reason).into());
    }
    Ok(client.wait(&caller(), &key, true).await?)
}
