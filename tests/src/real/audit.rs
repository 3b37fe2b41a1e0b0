//! The judge of a run on real parts: the journal on disk, the papers that came out of the printer and the
//! acquirer's ledger, compared to the cent. Uses neither the daemon nor its replay: records are read as they
//! stand in the file.
use crate::{
    real::{
        stack::{Result, Stack},
        traffic::Issued,
    },
    sim::checks,
};
use payterm_schema::{
    AccountId, Entry, Kind, Outcome, Record, RequestRecord, Status, TerminalRecord,
    host::Plan,
    kind::Side,
    outcome::Forwarding,
    record::{Obligation, ObligationState},
    terminal::BatchTotals,
};
use payterm_simulator::{
    bank::settlement::{self, Settled},
    card::Given,
    ledger::{self, Posting},
};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Verdict on a run. Its three lists are empty when nothing is wrong.
#[derive(Debug, Default)]
pub struct Verdict {
    pub seed: u64,
    /// Kills, cuts, failing calls.
    pub blows: u32,
    /// Blows that met a request of which the app did not know the end.
    pub under_way: u32,
    pub requests: usize,
    /// Number of requests by how they ended: `sale approved`, `void failed original-voided`.
    pub ends: BTreeMap<String, usize>,
    /// Mishaps of the line, and how often.
    pub mishaps: BTreeMap<&'static str, u64>,
    pub acquirer_restarts: u32,
    /// Number of times that the daemon said that its store failed.
    pub store_failures: usize,
    /// Sales that the merchant accepted without the acquirer.
    pub offline: usize,
    /// Obligations that a person had to look after.
    pub stuck: u32,
    pub papers: usize,
    /// Approved, or told at all, and not there.
    pub lost: Vec<String>,
    /// More at the acquirer, or on paper, than one request may have.
    pub double: Vec<String>,
    /// Anything else that does not fit.
    pub unexplained: Vec<String>,
    /// Records of those transactions.
    pub stories: Vec<String>,
    /// Directory in which everything was left, when something is wrong.
    pub kept: Option<std::path::PathBuf>,
}
impl Verdict {
    pub fn ok(&self) -> bool {
        self.lost.is_empty() && self.double.is_empty() && self.unexplained.is_empty()
    }
    pub fn approved(&self) -> usize {
        self.ends.iter().filter(|(end, _)| end.ends_with(" approved")).map(|(_, n)| n).sum()
    }
    /// A line of `target/proof.json`.
    pub fn line(&self, name: &str, unit: &str) -> Value {
        json!({
            "name": name,
            "value": self.blows,
            "unit": unit,
            "ok": self.ok() && self.approved() > 0,
            "seed": self.seed,
            "requests": self.requests,
            "under_way": self.under_way,
            "papers": self.papers,
            "acquirer_restarts": self.acquirer_restarts,
            "store_failures": self.store_failures,
            "stuck": self.stuck,
            "offline": self.offline,
            "lost": self.lost.len(),
            "double": self.double.len(),
            "unexplained": self.unexplained.len(),
            "mishaps": self.mishaps,
            "ends": self.ends,
        })
    }
}

/// Statements of the terminal before it was stopped.
pub struct Said {
    pub obligations: Vec<Obligation>,
    pub totals: Vec<BatchTotals>,
}

/// The daemon is stopped. The acquirer may run on.
pub fn judge(stack: &Stack, issued: &[Issued], said: &Said, v: &mut Verdict) -> Result<()> {
    let journal = journal(stack, v)?;
    let key = stack.dir.join("vault.key");
    let chain = stack.ctl(&["journal", "verify", "--key-file", key.to_str().ok_or("path")?])?;
    if !chain.status.success() {
        v.unexplained.push(format!(
            "journal verify: {}{}",
            String::from_utf8_lossy(&chain.stdout),
            String::from_utf8_lossy(&chain.stderr)
        ));
    }
    // No blow of these damages a file: a restoring is an alarm about nothing.
    let restored = journal.iter().filter_map(|e| {
        if let Record::Terminal(TerminalRecord::Restored { restored }) = &e.record {
            Some(restored)
        } else {
            None
        }
    });
    v.unexplained.extend(restored.map(|r| format!("the journal was restored: {r:?}")));
    let books = books(stack)?;
    v.requests = issued.len();
    v.unexplained.extend(ledger::check(&books)?.broken.iter().map(|b| format!("ledger: {b}")));
    let mut blamed = BTreeSet::new();
    let outcomes = checks::outcomes(&journal);
    let mut frames: BTreeMap<At, u64> = BTreeMap::new();
    for e in &journal {
        if let Record::Request(RequestRecord::Allowed { txn, account, plan, .. })
        | Record::Request(RequestRecord::OfflineAllowed { txn, account, plan, .. }) = &e.record
            && frames.insert(at(account, plan), *txn).is_some()
        {
            v.double.push(format!("{account}: STAN {} of batch {} was used twice", plan.stan, plan.batch));
            blamed.insert(*txn);
        }
    }
    accepted_offline(&journal, v, &mut blamed);
    let asked: BTreeSet<&str> = issued.iter().map(|i| i.wire.id.as_str()).collect();
    let postings = ledger::postings(&books)?;
    let (paid, strays) = effects(&postings, &frames);
    v.unexplained.extend(strays.iter().map(|p| format!("a posting of no request: {p:?}")));
    let rows = rows(&books)?;
    v.unexplained.extend(
        rows.iter()
            .filter(|(at, r)| r.stands() && !frames.contains_key(at))
            .map(|(at, r)| format!("{at:?} of no request: {r:?}")),
    );
    for (txn, o) in &outcomes {
        let before = (v.lost.len(), v.double.len(), v.unexplained.len());
        let reason = o.reason.as_ref().map(|r| format!(" {}", r.code)).unwrap_or_default();
        *v.ends.entry(format!("{} {}{reason}", o.kind.name(), o.status.name())).or_default() += 1;
        if !asked.contains(o.key.id.as_str()) {
            v.unexplained.push(format!("{}: nobody asked for it", o.key));
        }
        if !o.status.is_final() {
            v.unexplained.push(format!("{} did not end: {o:?}", o.key));
        }
        let theirs: Vec<&Row> =
            frames.iter().filter(|(_, t)| *t == txn).filter_map(|(at, _)| rows.get(at)).collect();
        one(o, paid.get(txn).copied().unwrap_or(0), &theirs, v);
        if before != (v.lost.len(), v.double.len(), v.unexplained.len()) {
            blamed.insert(*txn);
        }
    }
    settlements(&books, &outcomes, v)?;
    papers(stack, &outcomes, v, &mut blamed)?;
    v.unexplained.extend(said.obligations.iter().map(|o| format!("an obligation stays: {o:?}")));
    // Debit less credit, as a merchant is paid: of all batches, and of each that is open.
    let net =
        |of: &dyn Fn(&&Outcome) -> bool| outcomes.values().filter(of).map(|o| -expected(o)).sum::<i64>();
    for account in stack.config.accounts.iter().map(|a| &a.id) {
        let (ours, theirs) = (net(&|o| o.account.as_ref() == Some(account)), stack.net(account.as_str())?);
        if ours != theirs {
            v.unexplained.push(format!("net of {account}: {ours} by the outcomes, {theirs} at the acquirer"));
        }
    }
    for t in &said.totals {
        let (by_outcomes, told) = (
            net(&|o| o.account.as_ref() == Some(&t.account) && o.batch == t.batch),
            t.debit_minor as i64 - t.credit_minor as i64,
        );
        if by_outcomes != told {
            v.unexplained
                .push(format!("batch {:?}: {by_outcomes} by the outcomes, {told} by its totals", t.batch));
        }
    }
    v.stories = blamed.iter().take(6).map(|txn| story(&journal, *txn)).collect();
    Ok(())
}

/// The test cards' own lists against journal and acquirer. The daemon is stopped.
pub fn cards(stack: &Stack, cards: &[&[Given]], v: &mut Verdict) -> Result<()> {
    let (journal, rows) = (journal(stack, v)?, rows(&books(stack)?)?);
    let stands = |account: &AccountId, plan: &Plan| rows.get(&at(account, plan)).is_some_and(Row::stands);
    v.unexplained.extend(checks::cards_disagree(&journal, cards, &[], stands));
    Ok(())
}

/// Account, batch and STAN of a frame. The acquirer calls the accounts as the terminal does.
type At = (String, u32, u32);

pub fn at(account: &AccountId, plan: &Plan) -> At {
    (account.to_string(), plan.batch.get(), plan.stan.get())
}

/// Checks what the merchant accepted without the acquirer: no frame of it may have left before.
fn accepted_offline(journal: &[Entry], v: &mut Verdict, blamed: &mut BTreeSet<u64>) {
    let mut left = BTreeSet::new();
    for e in journal {
        match &e.record {
            Record::Request(RequestRecord::Allowed { txn, .. }) => drop(left.insert(*txn)),
            Record::Request(RequestRecord::NotSent { txn, .. }) => drop(left.remove(txn)),
            Record::Request(RequestRecord::OfflineAllowed { txn, .. }) => {
                v.offline += 1;
                if left.contains(txn) {
                    v.unexplained.push(format!(
                        "transaction {txn} was accepted by the merchant although its frame may have left"
                    ));
                    blamed.insert(*txn);
                }
            }
            _ => {}
        }
    }
}

pub fn books(stack: &Stack) -> Result<Connection> {
    Ok(Connection::open_with_flags(
        stack.acquirer_state().join("acquirer.db"),
        OpenFlags::SQLITE_OPEN_READ_ONLY,
    )?)
}

/// All records; the file itself is sound and has no gap.
fn journal(stack: &Stack, v: &mut Verdict) -> Result<Vec<Entry>> {
    let db = Connection::open(stack.state().join("journal.db"))?;
    let sound: String = db.query_row("PRAGMA integrity_check", [], |r| r.get(0))?;
    if sound != "ok" {
        v.unexplained.push(format!("integrity_check: {sound}"));
    }
    let mut statement = db.prepare("SELECT seq, at, txn, version, json FROM record ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(r) = rows.next()? {
        let (seq, version, json): (u64, u32, String) = (r.get(0)?, r.get(3)?, r.get(4)?);
        all.push(Entry {
            seq,
            at: payterm_schema::Time(r.get(1)?),
            txn: r.get(2)?,
            record: Record::decode(seq, version, &json)?,
        });
    }
    if let Some(e) = all.iter().zip(1..).find(|(e, n)| e.seq != *n) {
        v.lost.push(format!("the journal has a gap at record {}", e.1));
    }
    Ok(all)
}

/// Sums that each transaction moved on its payer's account, and that no transaction moved. A contrary posting
/// without a message of its own belongs to what it undoes.
fn effects<'a>(
    postings: &'a [Posting],
    frames: &BTreeMap<At, u64>,
) -> (BTreeMap<u64, i64>, Vec<&'a Posting>) {
    let by_id: BTreeMap<i64, &Posting> = postings.iter().map(|p| (p.id, p)).collect();
    let (mut paid, mut strays) = (BTreeMap::new(), Vec::new());
    for p in postings.iter().filter(|p| p.kind != "opening") {
        let cause =
            std::iter::successors(Some(p), |p| by_id.get(&p.undoes?).copied()).find(|p| p.stan.is_some());
        match cause.and_then(|c| frames.get(&(c.account.clone()?, c.batch?, c.stan?))) {
            None => strays.push(p),
            Some(txn) => *paid.entry(*txn).or_default() += payer(p),
        }
    }
    (paid, strays)
}
fn payer(p: &Posting) -> i64 {
    p.lines.iter().filter(|(a, _)| a.starts_with("card:") || a.starts_with("wallet:")).map(|(_, m)| m).sum()
}

/// Row of the acquirer's books of a message.
#[derive(Debug)]
struct Row {
    kind: String,
    state: String,
    refunded: u64,
    adjusted: bool,
}
impl Row {
    fn stands(&self) -> bool {
        self.kind != Kind::Balance.name()
            && matches!(self.state.as_str(), "approved" | "voided" | "completed" | "cancelled")
    }
}
fn rows(books: &Connection) -> Result<BTreeMap<At, Row>> {
    let mut statement =
        books.prepare("SELECT account, batch, stan, kind, state, refunded, adjusted FROM txn")?;
    let row = |r: &rusqlite::Row<'_>| {
        let row = Row { kind: r.get(3)?, state: r.get(4)?, refunded: r.get(5)?, adjusted: r.get(6)? };
        Ok(((r.get(0)?, r.get(1)?, r.get(2)?), row))
    };
    Ok(statement.query_map([], row)?.collect::<std::result::Result<_, _>>()?)
}
/// Tells whether a request stands at the acquirer; for the person who settles what is Stuck.
pub fn stands(stack: &Stack, at: &At) -> Result<bool> {
    Ok(rows(&books(stack)?)?.get(at).is_some_and(Row::stands))
}

/// Tells whether the acquirer must have it: it is approved, and was neither refused there nor withdrawn here.
fn stands_there(o: &Outcome) -> bool {
    let gone = matches!(o.forwarding, Some(Forwarding::Refused(_) | Forwarding::Withdrawn));
    o.status == Status::Approved && !gone
}

/// Sum that it must have moved on its payer's account, minor units.
fn expected(o: &Outcome) -> i64 {
    if !stands_there(o) {
        return 0;
    }
    let minor = if o.kind == Kind::TipAdjust { o.sums.tip } else { o.sums.amount };
    let minor = minor.unwrap_or(0) as i64;
    match o.kind.row().side {
        Side::Debit => -minor,
        Side::Credit => minor,
        Side::None => 0,
    }
}

/// Judges a transaction by what the acquirer has of it.
fn one(o: &Outcome, paid: i64, theirs: &[&Row], v: &mut Verdict) {
    let (want, key) = (expected(o), &o.key);
    let told = format!("{key} ({} {}, {:?})", o.kind.name(), o.status.name(), o.forwarding);
    if paid != want {
        let line = format!("{told}: moved {paid} at the acquirer, must have moved {want}");
        match (paid, want) {
            (0, _) => v.lost.push(line),
            (_, 0) => v.double.push(line),
            _ if paid == 2 * want => v.double.push(line),
            _ => v.unexplained.push(line),
        }
    }
    if o.forwarding == Some(Forwarding::Withdrawn) && !theirs.is_empty() {
        v.double.push(format!("{told}: the acquirer has heard of it: {theirs:?}"));
    }
    if theirs.iter().any(|r| r.state == "pending") {
        v.unexplained.push(format!("{told}: still pending at the acquirer"));
    }
    let row = o.kind.row();
    let standing: Vec<&&Row> = theirs.iter().filter(|r| r.stands()).collect();
    match (&standing[..], stands_there(o) && row.authorisation && o.kind != Kind::Balance) {
        ([], false) => {}
        ([], true) => v.lost.push(format!("{told}: not at the acquirer: {theirs:?}")),
        ([r], true) => {
            if (r.state == "voided" || r.state == "cancelled") != o.voided
                || (r.state == "completed") != o.completed
            {
                v.unexplained.push(format!(
                    "{told}: {} at the acquirer; voided {}, completed {} here",
                    r.state, o.voided, o.completed
                ));
            }
            if r.refunded != o.sums.refunded.unwrap_or(0) || r.adjusted != o.adjusted {
                v.unexplained.push(format!(
                    "{told}: {r:?}; refunded {:?}, adjusted {} here",
                    o.sums.refunded, o.adjusted
                ));
            }
        }
        (some, _) => v.double.push(format!("{told}: stands at the acquirer: {some:?}")),
    }
}

/// Each batch that was told as settled is closed at the acquirer, once, and each of its records came once.
fn settlements(books: &Connection, outcomes: &BTreeMap<u64, Outcome>, v: &mut Verdict) -> Result<()> {
    let mut theirs: BTreeMap<(String, u32), Settled> =
        settlement::settlements(books)?.into_iter().map(|s| ((s.account.clone(), s.batch), s)).collect();
    for o in outcomes.values().filter(|o| o.kind == Kind::Settlement && o.status == Status::Approved) {
        let Some(told) = o.settlement.as_ref() else { continue };
        let of = o.account.as_ref().zip(o.batch).map(|(a, b)| (a.to_string(), b.get()));
        match of.and_then(|of| theirs.remove(&of)) {
            None => v.lost.push(format!(
                "{}: batch {:?} is not settled at the acquirer, or twice here",
                o.key, o.batch
            )),
            Some(s) if !s.closed => v.lost.push(format!("{}: not closed at the acquirer: {s:?}", o.key)),
            // What is Stuck is not in the totals, and nobody uploads it.
            Some(s) if told.stuck.is_empty() && !s.difference.is_empty() => {
                v.unexplained.push(format!("{}: {}", o.key, s.difference))
            }
            Some(s) if (s.told.domestic, s.told.foreign) != (told.domestic, told.foreign) => {
                v.unexplained.push(format!(
                    "{}: {:?} and {:?} here, {s:?} at the acquirer",
                    o.key, told.domestic, told.foreign
                ));
            }
            Some(_) => {}
        }
    }
    v.unexplained.extend(
        theirs.values().filter(|s| s.closed).map(|s| format!("closed at the acquirer and open here: {s:?}")),
    );
    Ok(())
}

/// A paper as it came out of the printer.
#[derive(Debug)]
struct Paper {
    id: String,
    duplicate: bool,
    /// Copy of a payment's slip: the merchant's or the customer's.
    copy: Option<&'static str>,
}
const COPIES: [&str; 2] = ["MERCHANT COPY", "CARDHOLDER COPY"];

/// The virtual printer ends each paper with a line of 32 dashes; at 80 mm no other line is one.
fn read_papers(text: &str) -> Vec<Paper> {
    let paper = |p: &str| {
        let note = |l: &str| l.trim().strip_prefix("Note ").map(|n| n.trim().to_owned());
        Some(Paper {
            id: p.lines().find_map(note)?,
            duplicate: p.contains("** DUPLICATE"),
            copy: COPIES.into_iter().find(|c| p.lines().any(|l| l.trim() == *c)),
        })
    };
    text.split(&format!("\n{}\n", "-".repeat(32))).filter_map(paper).collect()
}

/// Each approval has both its slips, never none, never two originals; nothing is on paper that was not
/// approved.
fn papers(
    stack: &Stack,
    outcomes: &BTreeMap<u64, Outcome>,
    v: &mut Verdict,
    blamed: &mut BTreeSet<u64>,
) -> Result<()> {
    let papers = read_papers(&std::fs::read_to_string(stack.papers()).unwrap_or_default());
    v.papers = papers.len();
    let mut by_id: BTreeMap<(&str, &str), (u32, u32)> = BTreeMap::new();
    for p in &papers {
        if let Some(copy) = p.copy {
            let (originals, all) = by_id.entry((&p.id, copy)).or_default();
            *originals += u32::from(!p.duplicate);
            *all += 1;
        }
    }
    for o in outcomes.values() {
        let slips = o.status == Status::Approved && o.kind.row().slip;
        for copy in COPIES {
            let line = match by_id.remove(&(o.key.id.as_str(), copy)) {
                None if slips => &mut v.lost,
                Some((2.., _)) => &mut v.double,
                Some(_) if !slips => &mut v.unexplained,
                None | Some(_) => continue,
            };
            line.push(format!("{} ({} {}): the papers of its {copy}", o.key, o.kind.name(), o.status.name()));
            blamed.insert(o.txn);
        }
    }
    v.unexplained
        .extend(by_id.keys().map(|(id, copy)| format!("a {copy} of {id}, which is not in the journal")));
    Ok(())
}

fn story(journal: &[Entry], txn: u64) -> String {
    let of = |e: &&Entry| {
        e.txn == Some(txn) || matches!(&e.record, Record::Terminal(TerminalRecord::Booted { .. }))
    };
    let mut lines: Vec<String> = journal
        .iter()
        .filter(of)
        .map(|e| format!("  {} {} {}", e.seq, e.at.0, e.record.encode().unwrap_or_default()))
        .collect();
    // Of all the starts, those around it.
    let mine = |l: &String| !l.contains("\"type\":\"booted\"");
    let (first, last) = (lines.iter().position(mine).unwrap_or(0), lines.iter().rposition(mine).unwrap_or(0));
    lines.truncate(last + 2);
    format!("transaction {txn}:\n{}", lines.get(first.saturating_sub(1)..).unwrap_or_default().join("\n"))
}

/// Tells whether any is neither answered nor a person's.
pub fn driven(open: &[Obligation]) -> bool {
    open.iter().any(|o| o.state != ObligationState::Stuck)
}
