//! Operators in the deterministic world: who types what.
use payterm_core::Settings;
use payterm_schema::{
    OperatorId, Record, Screen,
    operator::{OperatorEvent, Purpose},
};
use payterm_tests::sim::fixtures::*;
use payterm_tests::sim::world::{PASSWORD, PASSWORD_00, Script, Scripted, World};

pub fn staffed() -> Settings {
    let mut s = settings();
    s.operators.required = true;
    s.operators.idle_lock_ms = 0;
    s
}
pub fn id(n: &str) -> OperatorId {
    OperatorId::new(n).expect("a number")
}
pub fn run_with(settings: Settings, script: Script) -> World {
    let mut world = World::new(settings, script, None);
    world.run();
    world
}
pub fn keys(inputs: impl IntoIterator<Item = (i64, &'static str)>) -> Vec<(i64, Scripted)> {
    inputs.into_iter().map(|(at, k)| (at, Scripted::Keys(k))).collect()
}
pub fn events(w: &World) -> Vec<OperatorEvent> {
    w.journal
        .iter()
        .filter_map(|e| if let Record::Operator(event) = &e.record { Some(event.clone()) } else { None })
        .collect()
}

/// A cashier who knows both first passwords and sets good ones; approves what has to be approved.
pub fn good(screen: &Screen) -> Option<String> {
    if matches!(screen, Screen::LogOn(_)) {
        return Some("01c".into());
    }
    let Screen::Password { digits: 0, operator, purpose, .. } = screen else { return None };
    let (first, own) =
        if *operator == OperatorId::supervisor() { ("000000", PASSWORD_00) } else { ("111111", PASSWORD) };
    Some(match purpose {
        // The first password is right until it was changed.
        Purpose::LogOn | Purpose::Change | Purpose::Manage | Purpose::Approve | Purpose::WriteOff => {
            format!("{first}c")
        }
        Purpose::New | Purpose::NewAgain => format!("{own}c"),
    })
}
