//! What a paper says is to be done about its outcome: title, warning, help.
use super::SlipContext;
use crate::{Texts, report::mark, screen::clock};
use payterm_schema::{
    Kind, Outcome, Status,
    kind::{Mark, Recovery},
    money::decimal,
    outcome::Forwarding,
};

/// The texts of a paper that depend on what is to be done about its outcome.
pub(super) struct Wording {
    pub title: String,
    /// Words that must be read first.
    pub warning: Option<String>,
    pub help: Option<String>,
}

/// Reason of an outcome whose answer was another payment's: it is never reversed.
const OF_ANOTHER: &str = "answer-of-another";

fn is_of_another(o: &Outcome) -> bool {
    o.reason.as_ref().is_some_and(|r| r.code == OF_ANOTHER)
}
fn asks_a_person(o: &Outcome) -> bool {
    o.kind.row().recovery == Recovery::ManualResolution
}

pub(super) fn wording(texts: Texts, o: &Outcome, template: &str) -> Wording {
    let text = |id: &str| texts.get(id, &[]);
    match template {
        "stuck" => stuck(texts, o),
        "unknown" => Wording {
            title: text("slip-unknown-title"),
            warning: Some(text(do_not(o))),
            help: Some(text(if is_of_another(o) {
                "slip-stuck-help-another"
            } else if o.kind.row().marks_original == Mark::Voided {
                "slip-unknown-help-undo"
            } else if asks_a_person(o) {
                "slip-unknown-help-refund"
            } else {
                "slip-unknown-help"
            })),
        },
        _ => {
            let own = || texts.find(&format!("slip-title-{}", o.kind.name()), &[]);
            let title = if template == "balance" {
                text("slip-balance-title")
            } else {
                // A payment's slip has the kind's own title where there is one.
                own().unwrap_or_else(|| text("slip-title"))
            };
            let approved = o.status == Status::Approved;
            Wording { title, warning: (!approved).then(|| text("slip-not-approved")), help: None }
        }
    }
}

/// Text id of what must not be done while nobody knows.
fn do_not(o: &Outcome) -> &'static str {
    match o.kind.row().recovery {
        // What was to go back: nobody takes money again here.
        _ if o.kind.row().marks_original == Mark::Voided => "slip-not-known-undone",
        Recovery::ManualResolution => "slip-do-not-refund",
        Recovery::Reverse | Recovery::AskAgain | Recovery::Repeat => "slip-do-not-take",
    }
}

/// A person's: what it is, what must not be done, what to ask the acquirer. An advice is known by how far the
/// acquirer has been told of it, whatever the messages of its kind owe: a sale that was accepted offline is
/// reversed by nobody.
fn stuck(texts: Texts, o: &Outcome) -> Wording {
    let said = |title: &str, warning: &str, help: &str, args: &[(&str, &str)]| Wording {
        title: texts.get(&format!("slip-stuck-title{title}"), &[]),
        warning: Some(texts.get(warning, &[])),
        help: Some(texts.get(&format!("slip-stuck-help{help}"), args)),
    };
    let lost = if o.kind == Kind::TipAdjust { o.sums.tip } else { o.sums.amount };
    let lost = lost.map(|m| format!("{} {}", mark(o.sums.currency), decimal(m, o.sums.currency)));
    let lost = lost.as_deref().unwrap_or_default();
    match (&o.forwarding, o.kind.row().recovery, o.status) {
        (Some(Forwarding::Refused(code)), ..) => {
            said("-refused", "slip-refused", "-refused", &[("code", code), ("amount", lost)])
        }
        (Some(Forwarding::WrittenOff { by, why }), ..) => {
            let args = [("by", by.as_str()), ("why", why.as_str()), ("amount", lost)];
            said("-written-off", "slip-written-off", "-written-off", &args)
        }
        _ if is_of_another(o) => said("-another", do_not(o), "-another", &[]),
        // Of a card whose issuer's script had a result, too.
        (_, _, Status::Approved) => said("-advice", "slip-do-not-take", "-advice", &[]),
        (_, Recovery::ManualResolution, _) => said("-refund", do_not(o), "-refund", &[]),
        // It ran when the journal was damaged: nobody has accepted it.
        (_, Recovery::Repeat, _) => said("-unknown", do_not(o), "-unknown", &[]),
        (_, Recovery::Reverse | Recovery::AskAgain, Status::Unknown | Status::Running) => {
            said("", do_not(o), "", &[])
        }
        (
            _,
            Recovery::Reverse | Recovery::AskAgain,
            Status::Declined | Status::Cancelled | Status::Failed,
        ) => {
            let undo = o.kind.row().marks_original == Mark::Voided;
            let (warning, help) = if undo { (do_not(o), "") } else { ("slip-may-be-charged", "-ended") };
            said("", warning, help, &[])
        }
    }
}

/// Words for when the result of an unknown payment is there.
pub(super) fn result_by(texts: Texts, o: &Outcome, ctx: &SlipContext) -> String {
    match o.answer_by {
        Some(by) => texts.get("slip-result-by", &[("time", &clock(by, &ctx.zone))]),
        // No result comes by itself.
        None if asks_a_person(o) || is_of_another(o) => texts.get("slip-result-ask", &[]),
        None => texts.get("slip-result-open", &[]),
    }
}
