//! A transaction that the caller sees.
use super::manager;
use crate::{
    row::{Interface, methods, properties, signal},
    types::Dict,
    wire,
};
use payterm_schema::{Outcome, Phase, terminal::Transaction};

pub(crate) const NAME: &str = "org.payterm.Terminal1.Transaction";

pub(crate) const INTERFACE: Interface = Interface {
    name: NAME,
    methods: METHODS,
    properties: PROPERTIES,
    signals: &[signal(
        "OutcomeChanged",
        &[("outcome", "a{sv}")],
        "The outcome is known: final, or unknown and once more when it is final.",
    )],
};

methods! { NAME;
    /// As Manager.Cancel.
    Cancel() [Apps, Own, Moment] |asked| asked.terminal().cancel(asked.caller, asked.object()?).await;
    /// As Manager.Confirm.
    Confirm(yes: bool) [Apps, Own, Moment]
        |asked| asked.terminal().confirm(asked.caller, asked.object()?, yes).await;
    /// As Manager.Wait.
    Wait() -> outcome: Dict<Outcome> [Apps, Own, Long]
        |asked| manager::wait(&asked, asked.object()?, false).await;
}

/// A transaction as its properties show it.
pub(crate) struct Seen<'a> {
    pub outcome: &'a Outcome,
    pub phase: Phase,
}
impl<'a> From<&'a Transaction> for Seen<'a> {
    fn from(t: &'a Transaction) -> Self {
        Seen { outcome: &t.outcome, phase: t.phase }
    }
}

properties! { of Seen<'_>;
    /// App that started it.
    App: "s", CONSTANT = |t| t.outcome.key.app.clone();
    /// The app's own id of it.
    Id: "s", CONSTANT = |t| t.outcome.key.id.clone();
    /// Kind of the request, as sale or refund.
    Kind: "s", CONSTANT = |t| t.outcome.kind.name();
    /// Status of the outcome: running, approved, declined, cancelled, failed or unknown.
    Status: "s", CHANGES = |t| t.outcome.status.name();
    /// How far it is.
    Phase: "s", CHANGES = |t| t.phase.name();
    /// True while Cancel can still be called.
    CanCancel: "b", CHANGES = |t| t.phase.can_cancel();
    /// The outcome as far as it is known.
    Outcome: "a{sv}", CHANGES = |t| wire::encode(t.outcome)?;
}
