//! Reconciliation 对账: the acquirer's file of a batch, read and compared with our journal record by record.
use payterm_schema::{
    account::{AccountId, Batch, Stan},
    kind::{Kind, Side},
    money::{Currency, Money},
    outcome::{Forwarding, Outcome, Status},
    reconciliation::{Difference, Differs, Reconciliation},
};
use std::{borrow::Cow, collections::BTreeMap};

/// Columns that the file's first line must name, in any order; further ones are not read. `kind` is a kind of
/// the sheet that has a settlement side, `amount` a decimal text (with its tip, where a sale has one),
/// `status` is `approved` or `reversed`; `rrn` may be empty.
pub const COLUMNS: [&str; 7] = ["batch", "stan", "kind", "amount", "currency", "status", "rrn"];
/// Greatest size of a file in bytes.
pub const FILE_MAX: usize = 1024 * 1024;
/// Greatest number of records: ten batches as large as a batch can be.
pub const RECORDS_MAX: usize = 20_000;
/// Greatest number of differences that are listed; further ones are counted.
pub const DIFFERENCES_MAX: usize = 1_000;

/// Fault of a file: `line 3: amount: not a decimal number`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {column}: {rule}")]
pub struct FileError {
    /// Line on which the record begins, counted from 1; 0 = the file as a whole.
    pub line: u64,
    pub column: Cow<'static, str>,
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

/// Reads a file of the account's currency: CSV (RFC 4180), with a byte order mark or without. Its records are
/// of one batch.
pub fn read(file: &str, currency: Currency) -> Result<BatchFile, FileError> {
    let whole = |rule| FileError { line: 0, column: "file".into(), rule };
    if file.len() > FILE_MAX {
        return Err(whole("at most 1 MiB"));
    }
    // The reader counts a line only when it takes the LF, after the record that a CR has ended.
    let text = file.replace("\r\n", "\n");
    let mut rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.strip_prefix('\u{feff}').unwrap_or(&text).as_bytes());
    let (mut names, mut batch, mut records) = (None, None, Vec::new());
    for row in rows.records() {
        // A text in memory has no I/O error and no wrong encoding, and rows of any length are taken.
        let row = row.map_err(|_| whole("no CSV"))?;
        let line = row.position().map_or(0, csv::Position::line);
        let Some(names) = &names else {
            names = Some(columns(&row).map_err(|(column, rule)| FileError {
                line,
                column: column.into(),
                rule,
            })?);
            continue;
        };
        if records.len() >= RECORDS_MAX {
            return Err(whole("at most 20000 records"));
        }
        let at = |(column, rule)| FileError { line, column, rule };
        let (of, record) = record(names, &row, currency).map_err(at)?;
        if *batch.get_or_insert(of) != of {
            return Err(at(("batch".into(), "another than the line before: one file is of one batch")));
        }
        records.push(record);
    }
    names.ok_or(FileError { line: 1, column: "columns".into(), rule: NAMES })?;
    let batch = batch.ok_or(whole("has no record"))?;
    Ok(BatchFile { batch, records })
}

const NAMES: &str = "the first line must name batch,stan,kind,amount,currency,status,rrn";

/// The names of the first line with the place of each needed one.
struct Columns {
    width: usize,
    at: [usize; COLUMNS.len()],
}

fn columns(row: &csv::StringRecord) -> Result<Columns, (&'static str, &'static str)> {
    let mut at = [0; COLUMNS.len()];
    for (at, name) in at.iter_mut().zip(COLUMNS) {
        let mut found = row.iter().zip(0..).filter(|(cell, _)| *cell == name).map(|(_, i)| i);
        *at = found.next().ok_or(("columns", NAMES))?;
        if found.next().is_some() {
            return Err((name, "the first line names it twice"));
        }
    }
    Ok(Columns { width: row.len(), at })
}

fn record(
    columns: &Columns,
    row: &csv::StringRecord,
    currency: Currency,
) -> Result<(Batch, FileRecord), (Cow<'static, str>, &'static str)> {
    if row.len() > columns.width {
        let first = format!("column {}", columns.width + 1);
        return Err((first.into(), "the first line names fewer"));
    }
    let mut cells = [""; COLUMNS.len()];
    for ((cell, at), name) in cells.iter_mut().zip(columns.at).zip(COLUMNS) {
        *cell = row.get(at).ok_or((name.into(), "the line ends before it"))?;
    }
    if row.len() < columns.width {
        return Err((format!("column {}", row.len() + 1).into(), "the line ends before it"));
    }
    needed(cells, currency).map_err(|(column, rule)| (column.into(), rule))
}

fn needed(
    [batch, stan, kind, amount, of, status, rrn]: [&str; COLUMNS.len()],
    currency: Currency,
) -> Result<(Batch, FileRecord), (&'static str, &'static str)> {
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

/// Minor units that an outcome counts with in its batch; none: it is on no side.
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

    /// The usual first line.
    fn names() -> String {
        COLUMNS.join(",")
    }

    fn outcome(stan: u32, status: Status, code: Option<&str>, forwarding: Option<Forwarding>) -> Outcome {
        let json = serde_json::json!({
            "app": "till", "id": format!("o-{stan}"), "txn": stan,
            "kind": "sale", "status": status, "currency": "CNY", "amount": "41.00",
            "started": 0,
            "place": {"shop": "", "address": "", "city": ""}, "operator": "01",
            "stan": stan, "batch": 7, "test": false, "forwarding": forwarding,
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
            outcome(7, Status::Approved, None, Some(Forwarding::Withdrawn)),
            // Not in the file, and not missing there.
            outcome(8, Status::Approved, None, Some(Forwarding::Withdrawn)),
        ];
        let lines: String = (1..=7)
            .map(|stan| {
                format!("7,{stan},sale,41.00,CNY,{},\n", if stan == 6 { "reversed" } else { "approved" })
            })
            .collect();
        let file = read(&format!("{}\n{lines}", names()), Currency::CNY).expect("a file");
        let result = compare(AccountId::new("cup").expect("id"), Currency::CNY, &file, &ours);
        let differs: Vec<Differs> = result.differences.iter().map(|d| d.differs).collect();
        assert_eq!(
            differs,
            [
                Differs::WrittenOff,
                Differs::WrittenOff,
                Differs::Unknown,
                Differs::Status,
                Differs::Status,
                Differs::Status
            ]
        );
        assert_eq!(result.agree, 1, "given up here, and not counted there");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let file = |lines: &str| format!("{}\n{lines}", names());
        assert!(
            read(
                &file("7,1,sale,12.34,CNY,approved,231123000099\n7,2,void,1.00,CNY,reversed,\n"),
                Currency::CNY
            )
            .is_ok()
        );
        assert_eq!(
            err("stan,amount\n1,2"),
            "line 1: columns: the first line must name batch,stan,kind,amount,currency,status,rrn"
        );
        assert_eq!(
            err(""),
            "line 1: columns: the first line must name batch,stan,kind,amount,currency,status,rrn"
        );
        assert_eq!(err(&format!("{},stan\n", names())), "line 1: stan: the first line names it twice");
        assert_eq!(err(&file("")), "line 0: file: has no record");
        for (line, want) in [
            ("7,1,sale,12.34,CNY,approved", "rrn: the line ends before it"),
            ("7,1,sale,12.34,CNY,approved,,", "column 8: the first line names fewer"),
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

    /// What a real file has beside the seven columns: names with commas, quotes and line ends, in any order.
    #[test]
    fn cells_in_quotes_hold_commas_quotes_and_line_ends() {
        let text = concat!(
            "shop,stan,batch,kind,currency,amount,status,note,rrn\r\n",
            "\"Tea, Coffee & \"\"More\"\"\",1,7,sale,CNY,\"12.34\",approved,",
            "\"first\r\nsecond\",231123000099\r\n",
            "\r\n",
            " plain , 2 , 7 , void , CNY , 1.00 , reversed , ,\r\n",
            "plain,x,7,sale,CNY,1.00,approved,,\r\n",
        );
        let bad = text.lines().last().map_or("", |l| l);
        let good = text.replace(bad, "");
        let file = read(&good, Currency::CNY).expect("a file");
        let seen: Vec<_> = file.records.iter().map(|r| (r.stan.get(), r.kind, r.minor, r.approved)).collect();
        assert_eq!(seen, [(1, Kind::Sale, 1_234, true), (2, Kind::Void, 100, false)]);
        assert_eq!(
            file.records.iter().map(|r| r.rrn.as_deref()).collect::<Vec<_>>(),
            [Some("231123000099"), None]
        );
        // The first record takes two lines.
        assert_eq!(err(text), "line 6: stan: 1 to 999999");
        assert_eq!(err(&text.replace(",,\r\n", "\r\n")), "line 6: rrn: the line ends before it");
        let cut = "batch,stan,kind,amount,currency,status,rrn,shop\n7,1,sale,1.00,CNY,approved,\n";
        assert_eq!(err(cut), "line 2: column 8: the line ends before it");
        let open = "batch,stan,kind,amount,currency,status,rrn\n\
             7,1,\"sale,1.00,CNY,approved,\n7,2,sale,1.00,CNY,approved,\n";
        assert_eq!(err(open), "line 2: amount: the line ends before it", "a quote that is never closed");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_name() {
        let file = format!("\u{feff}{},商户\n7,1,sale,12.34,CNY,approved,,深圳茶叶店\n", names());
        assert_eq!(read(&file, Currency::CNY).map(|f| f.records.len()), Ok(1));
        let inside = format!("{}\n\u{feff}7,1,sale,12.34,CNY,approved,\n", names());
        assert_eq!(err(&inside), "line 2: batch: 1 to 999999");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-z,\"\r\n 茶\u{feff}]{0,200}", head: bool) {
            let file = if head { format!("{}\n{text}", names()) } else { text };
            if let Ok(file) = read(&file, Currency::CNY) {
                proptest::prop_assert!(!file.records.is_empty());
            }
        }
    }
}
