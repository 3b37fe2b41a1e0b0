//! `paytermctl reconcile`.
use crate::{
    Failure,
    args::{self, Global},
    bus::Bus,
    show::shown,
    ui::{Ui, block},
};
use clap::Args;
use encoding_rs::{GB18030, UTF_8};
use payterm_schema::{
    Terminal,
    money::decimal,
    reconciliation::{Differs, Reconciliation},
};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Exit status when the two sides differ.
const DIFFER: u8 = 22;

/// Compares the acquirer's file of a settled batch with the journal 对账 (managers).
///
/// After a damaged journal was restored, until `journal recovered`, it takes the file of the open batch
/// too.
#[derive(Args)]
pub struct Reconcile {
    /// CSV (UTF-8, GBK or GB18030) with the columns batch,stan,kind,amount,currency,status,rrn in any order;
    /// - = stdin.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Needed when there are several accounts.
    #[arg(long)]
    account: Option<String>,
}

impl Reconcile {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let account = args::named_account(self.account)?;
        let failed = |e: io::Error| Failure::Local(format!("{}: {e}", self.file.display()));
        let text = read(&self.file).map_err(failed)?;
        let bus = Bus::connect(global, ui).await?;
        let result = bus.client.reconcile(&bus.caller, account, text).await?;
        ui.result(&result, || page(ui, &result));
        Ok(if result.differences.is_empty() { 0 } else { DIFFER })
    }
}

/// Table of the differences between the acquirer's file and the journal, and what to do about each.
fn page(ui: &Ui, r: &Reconciliation) -> String {
    let mut sum = ui.say(
        "cli-reconcile-sum",
        &[
            ("account", &r.account),
            ("batch", &r.batch),
            ("agree", &r.agree),
            ("differ", &r.differences.len()),
        ],
    );
    if r.more > 0 {
        sum.push(' ');
        sum.push_str(&ui.say("cli-reconcile-more", &[("more", &r.more)]));
    }
    let header = [
        "cli-reconcile-differs",
        "label-stan",
        "label-kind",
        "label-txn",
        "label-rrn",
        "cli-reconcile-here",
        "cli-reconcile-there",
        "label-next",
    ];
    let amount = |minor: Option<u64>| shown(minor.map(|m| decimal(m, r.currency)));
    let rows = r.differences.iter().map(|d| {
        [
            ui.text(match d.differs {
                Differs::MissingHere => "cli-reconcile-missing-here",
                Differs::MissingThere => "cli-reconcile-missing-there",
                Differs::Amount => "cli-reconcile-amount",
                Differs::Status => "cli-reconcile-status",
                Differs::WrittenOff => "cli-reconcile-written-off",
                Differs::Unknown => "cli-reconcile-unknown",
            }),
            d.stan.to_string(),
            ui.texts.word(d.kind),
            shown(d.txn),
            shown(d.rrn.as_ref()),
            amount(d.here),
            amount(d.there),
            d.next.clone(),
        ]
    });
    let table = ui.table(header, rows);
    if r.differences.is_empty() { format!("{}\n", block(&sum)) } else { format!("{}\n{table}", block(&sum)) }
}

/// The text of the file; `-` is standard input.
fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        io::stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(path)?;
    }
    decode(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "neither UTF-8 nor GB18030"))
}

/// Decodes the file. What is valid UTF-8 is read so, with a byte order mark or without; anything else is
/// taken for GB18030, of which GBK and GB 2312 are parts.
fn decode(bytes: &[u8]) -> Option<String> {
    let (text, _, malformed) = UTF_8.decode(bytes);
    if !malformed {
        return Some(text.into_owned());
    }
    GB18030.decode_without_bom_handling_and_without_replacement(bytes).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gbk_gb18030_and_utf_8_are_told_apart() {
        let text =
            "batch,stan,kind,amount,currency,status,rrn,商户\n7,1,sale,12.34,CNY,approved,,深圳茶叶店\n";
        let (gbk, _, _) = encoding_rs::GBK.encode(text);
        assert!(UTF_8.decode(&gbk).2, "the test's own file is no UTF-8");
        let with_mark = [&b"\xEF\xBB\xBF"[..], text.as_bytes()].concat();
        for (name, file) in [("utf-8", text.as_bytes()), ("with a mark", &with_mark), ("gbk", &gbk)] {
            assert_eq!(decode(file).as_deref(), Some(text), "{name}");
        }
        let rare = text.replace('茶', "\u{20000}");
        let (gb18030, _, unmapped) = GB18030.encode(&rare);
        assert!(!unmapped);
        assert_eq!(decode(&gb18030).as_deref(), Some(rare.as_str()));
        assert_eq!(decode(&[text.as_bytes(), b"\xFF\xFF"].concat()), None);
    }
}
