//! State that the terminal wants the devices to be in; shared by all of them.
use payterm_devices::Switch;
use payterm_schema::{DeviceKind, Screen, config::Language, host::EntryMode};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

#[derive(Default)]
pub struct DesiredState {
    /// Instruments that are asked for, and how often that was asked: each time one may be given.
    modes: Vec<EntryMode>,
    offer: u64,
    /// Readers that need no command, by their names: they are switched by whoever asks, once an offer.
    switches: BTreeMap<String, (DeviceKind, Arc<Switch>)>,
    /// The transaction that it is asked for, and since when.
    txn: Option<u64>,
    since: Option<Instant>,
    /// The PIN entry that is asked for.
    pub pin: Option<u64>,
    /// The page that is shown, and since when.
    screen: Option<(Screen, Instant)>,
    /// The customer's language, where the card has told it.
    pub language: Option<Language>,
}

impl DesiredState {
    /// Readers that need a command look at it when they are told to ([`super::Devices::arm`]).
    pub fn ask(&mut self, txn: Option<u64>, modes: Vec<EntryMode>) {
        // Asked again for the same (a reader came back, the customer chose a way), what was read just now is
        // as good.
        if self.txn != txn || txn.is_none() {
            (self.txn, self.since) = (txn, Some(Instant::now()));
        }
        self.modes = modes;
        self.offer += 1;
        self.switches.values().for_each(|(kind, switch)| switch.set(self.of(*kind).as_deref()));
    }
    /// Tells whether a card or code that was read at that time was given for this transaction: the machine
    /// may be further than what the customer was asked.
    pub fn was_for(&self, txn: u64, read: Instant) -> bool {
        self.txn == Some(txn) && self.since.is_some_and(|since| since <= read)
    }
    pub fn show(&mut self, screen: &Screen, language: Option<Language>) {
        self.language = language;
        if self.screen() != Some(screen) {
            self.screen = Some((screen.clone(), Instant::now()));
        }
    }
    pub fn screen(&self) -> Option<&Screen> {
        self.screen.as_ref().map(|(screen, _)| screen)
    }
    /// Tells whether a key that was read at that time may have been pressed for this page. One on which money
    /// is agreed must have been shown before.
    pub fn was_shown(&self, page: &Screen, read: Instant) -> bool {
        !page.agrees() || self.screen.as_ref().is_some_and(|(screen, since)| screen == page && *since <= read)
    }
    /// Arms the reader by its switch from now on.
    pub(super) fn switched(&mut self, name: &str, kind: DeviceKind, switch: Arc<Switch>) {
        switch.set(self.of(kind).as_deref());
        self.switches.insert(name.into(), (kind, switch));
    }
    /// Disarms a reader whose driver is left: the thread may still be there, and would be given the next
    /// card.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some((_, switch)) = self.switches.remove(name) {
            switch.set(None);
        }
    }
    pub(super) fn is_switched(&self, name: &str) -> bool {
        self.switches.contains_key(name)
    }
    pub(super) fn offer(&self) -> u64 {
        self.offer
    }
    /// Entry modes that a reader of this kind is to take; none: it rests. A keypad always gives its keys.
    pub(super) fn of(&self, kind: DeviceKind) -> Option<Vec<EntryMode>> {
        let mine: Vec<EntryMode> = self.modes.iter().copied().filter(|m| m.row().device == kind).collect();
        Some(mine).filter(|m| !m.is_empty() || kind == DeviceKind::Keypad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_pays_nothing_that_is_asked_later() {
        let mut desired = DesiredState::default();
        assert!(!desired.was_for(1, Instant::now()), "nobody has asked for anything");
        desired.ask(Some(1), vec![EntryMode::Swipe, EntryMode::Code]);
        let read = Instant::now();
        assert!(desired.was_for(1, read));
        assert!(
            !desired.was_for(2, Instant::now()),
            "the machine is at the next request, and the customer is still asked for this one"
        );
        desired.ask(Some(1), vec![EntryMode::Swipe]);
        assert!(desired.was_for(1, read), "the same request asks again");
        desired.ask(Some(2), vec![EntryMode::Swipe]);
        assert!(!desired.was_for(2, read) && !desired.was_for(1, read));
        assert!(desired.was_for(2, Instant::now()));
        desired.ask(None, Vec::new());
        desired.ask(Some(1), vec![EntryMode::Swipe]);
        assert!(!desired.was_for(1, read), "of a machine that was discarded");
    }

    #[test]
    fn a_key_of_before_agrees_to_no_money() {
        let page = Screen::Confirm { kind: payterm_schema::Kind::Sale, amount: None };
        let (mut desired, early) = (DesiredState::default(), Instant::now());
        assert!(!desired.was_shown(&page, early) && desired.was_shown(&Screen::idle(), early));
        desired.show(&Screen::idle(), None);
        assert!(!desired.was_shown(&page, Instant::now()), "the machine is ahead of the display");
        desired.show(&page, None);
        let seen = Instant::now();
        desired.show(&page, None);
        assert!(!desired.was_shown(&page, early) && desired.was_shown(&page, seen));
    }

    #[test]
    fn a_switched_reader_is_switched_once_an_offer() {
        let (swipe, keypad) = (Arc::new(Switch::default()), Arc::new(Switch::default()));
        let mut desired = DesiredState::default();
        desired.switched("swipe", DeviceKind::MagneticReader, swipe.clone());
        desired.switched("keypad", DeviceKind::Keypad, keypad.clone());
        assert!(!swipe.now().is_armed() && keypad.now().is_armed(), "a keypad always gives its keys");
        let before = swipe.now().offer();
        desired.ask(Some(1), vec![EntryMode::Code, EntryMode::Swipe]);
        assert!(swipe.now().takes(EntryMode::Swipe) && !swipe.now().takes(EntryMode::Code));
        assert_eq!(swipe.now().offer(), before + 1);
        assert!(keypad.now().is_armed() && !keypad.now().takes(EntryMode::Manual));
        desired.ask(Some(1), vec![EntryMode::Swipe, EntryMode::Manual]);
        desired.forget("swipe");
        assert!(!swipe.now().is_armed(), "its thread may still be there");
        assert!(keypad.now().takes(EntryMode::Manual));
        desired.ask(Some(2), vec![EntryMode::Swipe]);
        assert!(!swipe.now().is_armed());
    }
}
