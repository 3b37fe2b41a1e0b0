//! Reconciliation 对账: the acquirer's file of a batch against our journal, record by record.
use crate::{
    account::{AccountId, Batch, Stan},
    kind::{Kind, Side},
    money::{Currency, Money},
    outcome::{Forwarding, Outcome, Status},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The first line of the file. `kind` is a kind of the sheet that has a settlement side, `amount` a decimal
/// text (with its tip, where a sale has one), `status` is `approved` or `reversed`; `rrn` may be empty.
pub const COLUMNS: &str = "batch,stan,kind,amount,currency,status,rrn";
/// Greatest size of a file in bytes, and of its lines: ten batches as large as a batch can be.
pub const FILE_MAX: usize = 1024 * 1024;
pub const LINES_MAX: usize = 20_000;
/// Differences that are listed; further ones are counted.
pub const DIFFERENCES_MAX: usize = 1_000;

/// What is wrong with the file: `line 3: amount: not a decimal number`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {column}: {rule}")]
pub struct FileError {
    /// Counted from 1; 0 = the file as a whole.
    pub line: usize,
    pub column: &'static str,
    pub rule: &'static str,
}

/// A record as the acquirer has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord {
    pub stan: Stan,
    pub kind: Kind,
    /// Minor units.
    pub minor: u64,
    pub approved: bool,
    pub rrn: Option<String>,
}

/// The records of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchFile {
    pub batch: Batch,
    pub records: Vec<FileRecord>,
}

/// How the two sides differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Differs {
    /// The acquirer has it, the terminal has not.
    MissingHere,
    /// The terminal has it, the acquirer has not.
    MissingThere,
    Amount,
    /// Approved on one side, taken back or refused on the other.
    Status,
    /// The acquirer counts what was written off here.
    WrittenOff,
    /// The acquirer counts what is unknown here.
    Unknown,
}
impl Differs {
    pub const fn name(self) -> &'static str {
        match self {
            Differs::MissingHere => "missing_here",
            Differs::MissingThere => "missing_there",
            Differs::Amount => "amount",
            Differs::Status => "status",
            Differs::WrittenOff => "written_off",
            Differs::Unknown => "unknown",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    pub differs: Differs,
    pub stan: Stan,
    pub kind: Kind,
    /// The transaction on the terminal, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrn: Option<String>,
    /// Minor units on the terminal and at the acquirer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there: Option<u64>,
    /// What to do, in the terminal's language.
    #[serde(default)]
    pub next: String,
}

/// What the comparison came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reconciliation {
    pub account: AccountId,
    pub batch: Batch,
    pub currency: Currency,
    /// Records that both sides have, and agree on.
    pub agree: u32,
    pub differences: Vec<Difference>,
    /// Further differences that are not listed.
    #[serde(default)]
    pub more: u32,
}

/// Reads a file of the account's currency; its lines are of one batch.
pub fn read(text: &str, currency: Currency) -> Result<BatchFile, FileError> {
    let whole = |rule| FileError { line: 0, column: "file", rule };
    if text.len() > FILE_MAX {
        return Err(whole("at most 1 MiB"));
    }
    let mut lines = text.lines().zip(1..);
    match lines.next() {
        Some((first, _)) if first.trim_start_matches('\u{feff}') == COLUMNS => {}
        Some(_) | None => {
            return Err(FileError {
                line: 1,
                column: "columns",
                rule: "must be batch,stan,kind,amount,currency,status,rrn",
            });
        }
    }
    let (mut batch, mut records) = (None, Vec::new());
    for (line, n) in lines.filter(|(l, _)| !l.is_empty()) {
        if records.len() >= LINES_MAX {
            return Err(whole("at most 20000 records"));
        }
        let (of, record) =
            record(line, currency).map_err(|(column, rule)| FileError { line: n, column, rule })?;
        if *batch.get_or_insert(of) != of {
            return Err(FileError {
                line: n,
                column: "batch",
                rule: "another than the line before: one file is of one batch",
            });
        }
        records.push(record);
    }
    let batch = batch.ok_or(whole("has no record"))?;
    Ok(BatchFile { batch, records })
}

fn record(line: &str, currency: Currency) -> Result<(Batch, FileRecord), (&'static str, &'static str)> {
    let cells: Vec<&str> = line.split(',').collect();
    let [batch, stan, kind, amount, of, status, rrn] = cells[..] else {
        return Err(("columns", "seven of them"));
    };
    let number =
        |t: &str| (t.len() <= 6 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse().ok()).flatten();
    let kind = Kind::named(kind)
        .filter(|k| k.row().side != Side::None && *k != Kind::TipAdjust)
        .ok_or(("kind", "a kind with a settlement side, and no tip"))?;
    let money =
        of.parse::<Currency>().ok().filter(|c| *c == currency).ok_or(("currency", "the account's"))?;
    let approved = match status {
        "approved" => true,
        "reversed" => false,
        _ => return Err(("status", "approved or reversed")),
    };
    if rrn.len() > 12 || !rrn.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(("rrn", "up to 12 letters or digits"));
    }
    let record = FileRecord {
        stan: number(stan).and_then(Stan::new).ok_or(("stan", "1 to 999999"))?,
        kind,
        minor: Money::parse(amount, money).map_err(|_| ("amount", "a decimal number such as 12.34"))?.minor(),
        approved,
        rrn: (!rrn.is_empty()).then(|| rrn.to_owned()),
    };
    Ok((number(batch).and_then(Batch::new).ok_or(("batch", "1 to 999999"))?, record))
}

/// What an outcome counts with in its batch, minor units; none: it stands on no side.
fn counts(o: &Outcome) -> Option<u64> {
    let standing = o.status == Status::Approved && matches!(o.forwarding, None | Some(Forwarding::Forwarded));
    standing.then(|| {
        o.sums.amount.unwrap_or(0).saturating_add(if o.adjusted { o.sums.tip.unwrap_or(0) } else { 0 })
    })
}

/// Compares the file with what the journal has of its batch; `ours`: every transaction of the batch that has
/// a side, whatever became of it.
pub fn compare(account: AccountId, currency: Currency, file: &BatchFile, ours: &[Outcome]) -> Reconciliation {
    let mut here: BTreeMap<Stan, &Outcome> = ours
        .iter()
        .filter(|o| o.kind.row().side != Side::None && o.kind != Kind::TipAdjust)
        .filter_map(|o| Some((o.stan?, o)))
        .collect();
    let mut result =
        Reconciliation { account, batch: file.batch, currency, agree: 0, differences: Vec::new(), more: 0 };
    let mut add = |difference| {
        if result.differences.len() < DIFFERENCES_MAX {
            result.differences.push(difference);
        } else {
            result.more = result.more.saturating_add(1);
        }
    };
    for r in &file.records {
        let o = here.remove(&r.stan);
        let ours = o.and_then(counts);
        let differs = match (o, ours, r.approved) {
            (None, _, false) => continue,
            (None, _, true) => Differs::MissingHere,
            (Some(_), Some(minor), true) if minor != r.minor => Differs::Amount,
            (Some(_), Some(_), true) | (Some(_), None, false) => {
                result.agree += 1;
                continue;
            }
            (Some(o), None, true) if o.written_off() => Differs::WrittenOff,
            (Some(o), None, true) if o.status == Status::Unknown => Differs::Unknown,
            (Some(_), Some(_), false) | (Some(_), None, true) => Differs::Status,
        };
        let there = r.approved.then_some(r.minor);
        add(Difference {
            differs,
            stan: r.stan,
            kind: r.kind,
            txn: o.map(|o| o.txn),
            rrn: r.rrn.clone(),
            here: ours,
            there,
            next: String::new(),
        });
    }
    for (stan, o) in here {
        if let Some(minor) = counts(o) {
            let (txn, rrn) = (Some(o.txn), o.rrn.clone());
            add(Difference {
                differs: Differs::MissingThere,
                stan,
                kind: o.kind,
                txn,
                rrn,
                here: Some(minor),
                there: None,
                next: String::new(),
            });
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn err(text: &str) -> String {
        read(text, Currency::CNY).unwrap_err().to_string()
    }

    fn outcome(stan: u32, status: Status, code: Option<&str>, forwarding: Option<Forwarding>) -> Outcome {
        let json = serde_json::json!({
            "app": "till", "id": format!("o-{stan}"), "txn": stan, "kind": "sale", "status": status, "currency": "CNY", "amount": "41.00", "started": 0,
            "place": {"shop": "", "address": "", "city": ""}, "operator": "01", "stan": stan, "batch": 7, "test": false, "forwarding": forwarding,
            "reason": code.map(|code| serde_json::json!({"code": code, "class": "D"})),
        });
        serde_json::from_value(json).expect("an outcome")
    }

    #[test]
    fn what_the_acquirer_counts_and_was_given_up_or_is_unknown_here_is_named() {
        let given_up = || Some(Forwarding::WrittenOff { by: "00".into(), why: "old".into() });
        let ours = [
            outcome(1, Status::Approved, None, given_up()),
            outcome(2, Status::Declined, Some("written-off"), None),
            outcome(3, Status::Unknown, Some("no-reply"), None),
            outcome(4, Status::Declined, Some("reversed"), None),
            outcome(5, Status::Approved, None, Some(Forwarding::Refused("51".into()))),
            outcome(6, Status::Approved, None, given_up()),
        ];
        let lines: String = (1..=6)
            .map(|stan| {
                format!("7,{stan},sale,41.00,CNY,{},\n", if stan < 6 { "approved" } else { "reversed" })
            })
            .collect();
        let file = read(&format!("{COLUMNS}\n{lines}"), Currency::CNY).expect("a file");
        let result = compare(AccountId::new("cup").expect("id"), Currency::CNY, &file, &ours);
        let differs: Vec<Differs> = result.differences.iter().map(|d| d.differs).collect();
        assert_eq!(
            differs,
            [Differs::WrittenOff, Differs::WrittenOff, Differs::Unknown, Differs::Status, Differs::Status]
        );
        assert_eq!(result.agree, 1, "given up here, and not counted there");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let file = |lines: &str| format!("{COLUMNS}\n{lines}");
        assert!(
            read(
                &file("7,1,sale,12.34,CNY,approved,231123000099\n7,2,void,1.00,CNY,reversed,\n"),
                Currency::CNY
            )
            .is_ok()
        );
        assert_eq!(
            err("stan,amount\n1,2"),
            "line 1: columns: must be batch,stan,kind,amount,currency,status,rrn"
        );
        assert_eq!(err(""), "line 1: columns: must be batch,stan,kind,amount,currency,status,rrn");
        assert_eq!(err(&file("")), "line 0: file: has no record");
        for (line, want) in [
            ("7,1,sale,12.34,CNY,approved", "columns: seven of them"),
            ("0,1,sale,12.34,CNY,approved,", "batch: 1 to 999999"),
            ("7,x,sale,12.34,CNY,approved,", "stan: 1 to 999999"),
            ("7,1,balance,12.34,CNY,approved,", "kind: a kind with a settlement side, and no tip"),
            ("7,1,sale,12.345,CNY,approved,", "amount: a decimal number such as 12.34"),
            ("7,1,sale,-1,CNY,approved,", "amount: a decimal number such as 12.34"),
            ("7,1,sale,12.34,USD,approved,", "currency: the account's"),
            ("7,1,sale,12.34,CNY,paid,", "status: approved or reversed"),
            ("7,1,sale,12.34,CNY,approved,\u{1b}[31m", "rrn: up to 12 letters or digits"),
            ("8,1,sale,12.34,CNY,approved,", "batch: another than the line before: one file is of one batch"),
        ] {
            assert_eq!(
                err(&file(&format!("7,9,sale,1.00,CNY,approved,\n{line}\n"))),
                format!("line 3: {want}")
            );
        }
        assert_eq!(err(&"x".repeat(FILE_MAX + 1)), "line 0: file: at most 1 MiB");
    }
}
