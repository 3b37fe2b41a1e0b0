//! Totals of the open batch and of the shift, as counted by the terminal.
use crate::{
    account::{AccountId, Batch},
    kind::Kind,
    money::Currency,
    settlement::{OTHER, OTHER_FOREIGN, is_foreign},
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Total of the approved transactions that have scheme, kind and operator in common. A tip adjustment counts
/// by its tip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Total {
    /// Card scheme as the host names it (F63), else the wallet; `*` = what no row of its own could be kept
    /// for, `**` = the same of foreign cards.
    pub scheme: String,
    pub kind: Kind,
    pub operator: String,
    pub count: u64,
    /// Sum, minor units.
    pub minor: u64,
}

/// Greatest number of rows of an account; further ones are counted under scheme and operator `*`, by kind.
pub const TOTALS_MAX: usize = 500;

/// Scope of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The open batch of each account.
    Batch,
    /// The shift: everything since the last shift report that was queued for printing.
    Shift,
}
impl Scope {
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Batch => "batch",
            Scope::Shift => "shift",
        }
    }
    /// Scope of this name, or none.
    pub fn named(name: &str) -> Option<Scope> {
        [Scope::Batch, Scope::Shift].into_iter().find(|s| s.name() == name)
    }
}

/// Report of totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TotalsReport {
    pub scope: Scope,
    pub shop: String,
    /// Operator for whom it is made.
    pub operator: String,
    /// Time at which it was made.
    pub until: Time,
    pub accounts: Vec<AccountTotals>,
    /// A virtual device is configured, or the terminal is a laboratory's.
    pub test: bool,
}

/// Totals of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountTotals {
    pub account: AccountId,
    pub currency: Currency,
    /// Merchant number (F42).
    pub mid: String,
    /// Terminal number (F41).
    pub tid: String,
    pub batch: Option<Batch>,
    /// Time at which the first of them was approved; none when there is none.
    pub since: Option<Time>,
    /// Totals by scheme, kind and operator.
    pub rows: Vec<Total>,
    /// Number of approvals on the debit side.
    pub debit_count: u64,
    /// Sum of the debit side, minor units.
    pub debit_minor: u64,
    /// Number of approvals on the credit side.
    pub credit_count: u64,
    /// Sum of the credit side, minor units.
    pub credit_minor: u64,
}

/// Key by which rows are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Scheme,
    Kind,
    Operator,
}

impl Total {
    /// Adds an approval to `rows`, which stay in the order of their keys.
    pub fn add(rows: &mut Vec<Total>, scheme: &str, kind: Kind, operator: &str, minor: u64) {
        let full = rows.len() >= TOTALS_MAX;
        let at = |rows: &[Total], o: &str, p: &str| {
            rows.binary_search_by(|t| (t.scheme.as_str(), t.kind, t.operator.as_str()).cmp(&(o, kind, p)))
        };
        let (scheme, operator, found) = match at(rows, scheme, operator) {
            Err(_) if full => {
                let other = if is_foreign(scheme) { OTHER_FOREIGN } else { OTHER };
                (other, "*", at(rows, other, "*"))
            }
            found => (scheme, operator, found),
        };
        let i = found.unwrap_or_else(|i| {
            rows.insert(
                i,
                Total { scheme: scheme.into(), kind, operator: operator.into(), count: 0, minor: 0 },
            );
            i
        });
        if let Some(row) = rows.get_mut(i) {
            row.count += 1;
            row.minor = row.minor.saturating_add(minor);
        }
    }
}

impl Total {
    /// Takes an approval back: from its row, or from the row that it was put together with. A shift that
    /// began since has none.
    pub fn take(rows: &mut Vec<Total>, scheme: &str, kind: Kind, operator: &str, minor: u64) {
        let own = |t: &Total| t.kind == kind && t.scheme == scheme && t.operator == operator;
        let Some(i) = rows.iter().position(own).or_else(|| {
            let other = if is_foreign(scheme) { OTHER_FOREIGN } else { OTHER };
            rows.iter().position(|t| t.kind == kind && t.scheme == other)
        }) else {
            return;
        };
        let row = &mut rows[i];
        row.count = row.count.saturating_sub(1);
        row.minor = row.minor.saturating_sub(minor);
        if row.count == 0 {
            rows.remove(i);
        }
    }
}

impl AccountTotals {
    /// Rows put together by one of their keys and by the kind, in order: (scheme or operator, kind, count,
    /// minor units).
    pub fn by(&self, by: By) -> Vec<(String, Kind, u64, u64)> {
        let mut all: std::collections::BTreeMap<(String, Kind), (u64, u64)> = Default::default();
        for t in &self.rows {
            let key = match by {
                By::Scheme => t.scheme.clone(),
                By::Operator => t.operator.clone(),
                By::Kind => String::new(),
            };
            let sum = all.entry((key, t.kind)).or_default();
            *sum = (sum.0 + t.count, sum.1.saturating_add(t.minor));
        }
        all.into_iter().map(|((key, kind), (count, minor))| (key, kind, count, minor)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bounded_and_lose_no_money() {
        let mut rows = Vec::new();
        for i in 0..3 * TOTALS_MAX as u64 {
            Total::add(
                &mut rows,
                &format!("o{i}"),
                if i % 2 == 0 { Kind::Sale } else { Kind::Void },
                "01",
                i,
            );
        }
        assert!(
            rows.len() <= TOTALS_MAX + 2 * Kind::ALL.len()
                && rows.is_sorted_by_key(|t| (t.scheme.clone(), t.kind, t.operator.clone()))
        );
        let n = 3 * TOTALS_MAX as u64;
        assert_eq!(
            (rows.iter().map(|t| t.count).sum::<u64>(), rows.iter().map(|t| t.minor).sum::<u64>()),
            (n, n * (n - 1) / 2)
        );
        Total::add(&mut rows, "o1", Kind::Void, "01", 5);
        assert_eq!(rows.iter().find(|t| t.scheme == "o1").map(|t| (t.count, t.minor)), Some((2, 6)));
    }
}
