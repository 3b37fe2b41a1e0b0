//! Tables and words that several commands show of an outcome, a paper or the terminal.
use crate::ui::{Ui, pairs};
use payterm_schema::{InhibitReason, Outcome, outcome::Reason, paper::PaperJob};

pub fn outcome(ui: &Ui, o: &Outcome) -> String {
    pairs(ui.texts.outcome_lines(o, ui.zone()))
}

/// Reason and advice as the terminal put them; where it did not, in the user's language.
pub fn with_texts(ui: &Ui, o: &mut Outcome) {
    if o.reason.as_ref().is_some_and(|r| r.text.is_empty()) {
        ui.texts.fill(o);
    }
}

/// The reason in the user's language, whatever the terminal's is.
pub fn reason(ui: &Ui, o: &Outcome) -> Option<Reason> {
    let mut reason = o.reason.clone()?;
    ui.texts.fill_reason(&mut reason);
    Some(reason)
}

pub fn amount(ui: &Ui, o: &Outcome) -> String {
    o.sums.amount_money().map(|m| ui.texts.amount_text(m)).unwrap_or_default()
}

pub fn shown(value: Option<impl ToString>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// Owner of a paper: a request, or what an app calls it.
pub fn paper_of(job: &PaperJob) -> String {
    job.outcome().map_or_else(|| job.owner().unwrap_or_default().into(), |o| o.key.to_string())
}

/// Words for whether the terminal may be updated and restarted, and why not.
pub fn inhibits(ui: &Ui, reasons: &[InhibitReason]) -> String {
    if reasons.is_empty() {
        return ui.text("cli-may-update");
    }
    let words = reasons.iter().map(|r| ui.texts.word(*r)).collect::<Vec<_>>().join(", ");
    ui.say("cli-inhibited", &[("reasons", &words)])
}
