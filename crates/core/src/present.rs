//! The customer presents a card or a code.
use crate::{
    Ask, Machine,
    flow::{FlowOriginal, Stage},
    instrument::{self, Presented},
};
use payterm_schema::{CardToken, Instrument, Kind, host::EntryMode, kind::CardRule, outcome::Class};

impl Machine {
    /// What can be presented now: working devices, the kind's rule, the customer's choice.
    pub(crate) fn modes(&self, kind: Kind) -> Vec<EntryMode> {
        let row = kind.row();
        let chosen = self.flow.as_ref().map_or(&[][..], |f| &f.modes);
        let allowed = |m: &EntryMode| {
            (chosen.is_empty() || chosen.contains(m))
                && (if m.row().card { row.card != CardRule::None } else { row.code })
                && (*m != EntryMode::Manual || self.settings.flow.typed_pan)
        };
        self.modes.iter().copied().filter(allowed).collect()
    }

    pub(crate) fn present(&mut self, problem: Option<&'static str>) {
        let Some((txn, kind)) = self.state.running.as_ref().map(|r| (r.txn, r.request.kind)) else { return };
        let modes = self.modes(kind);
        if modes.is_empty() {
            return self.fail("reader-unavailable", Class::D);
        }
        let until = match self.flow.as_ref().map(|f| &f.stage) {
            Some(Stage::Presenting { until, .. }) => *until,
            Some(_) | None => self.after(self.settings.flow.present_timeout_ms),
        };
        self.set_stage(Stage::Presenting { until, problem });
        self.ask(Ask::Offer { txn, modes });
    }

    /// A digit of the keypad: 1 = bank card, 2 = payment code, any other offers both again. The choice only
    /// narrows what is offered; who presents something has chosen.
    pub(crate) fn choose(&mut self, digit: u8) {
        let Some(kind) = self.state.running.as_ref().map(|r| r.request.kind).filter(|k| k.row().code) else {
            return;
        };
        let before = self.flow.as_ref().map(|f| f.modes.clone()).unwrap_or_default();
        let modes = match digit {
            b'1' => EntryMode::of_cards(true),
            b'2' => EntryMode::of_cards(false),
            _ => Vec::new(),
        };
        let changed = modes != before;
        if let Some(flow) = self.flow.as_mut() {
            flow.modes = modes;
        }
        if self.modes(kind).is_empty() {
            // Nothing that works would be left.
            if let Some(flow) = self.flow.as_mut() {
                flow.modes = before;
            }
        } else if changed {
            self.present(None);
        }
    }

    pub(crate) fn devices(&mut self, modes: Vec<EntryMode>, pin_pad: bool, printer: bool) {
        let changed = self.modes != modes;
        self.modes = modes;
        self.pin_pad = pin_pad;
        self.printer = printer;
        if changed
            && let Some(Stage::Presenting { problem, .. }) = self.flow.as_ref().map(|f| f.stage.clone())
        {
            self.present(problem);
        }
    }

    pub(crate) fn instrument(&mut self, instrument: Instrument, card: Option<CardToken>) {
        if !matches!(self.flow.as_ref().map(|f| &f.stage), Some(Stage::Presenting { .. })) {
            return; // Nobody asked: a card swiped at rest is dropped (and zeroised).
        }
        let Some(request) = self.state.running.as_ref().map(|r| r.request.clone()) else { return };
        // Chip and tap are refused until the chip issue; that is no fault of the customer's and costs no try.
        let free = matches!(instrument, Instrument::Inserted | Instrument::Tapped);
        let checked = instrument::check(instrument, request.kind, &self.settings)
            .and_then(|p| self.judge(&p).map(|()| p));
        let presented = match checked {
            Ok(p) => Presented { card, ..p },
            Err(problem) => {
                let tries = self.settings.flow.present_tries;
                let Some(flow) = self.flow.as_mut() else { return };
                flow.present_tries += u8::from(!free);
                if flow.present_tries >= tries {
                    return self.fail("too-many-tries", Class::B);
                }
                return self.present(Some(problem));
            }
        };
        let refused = presented
            .secrets
            .pan
            .as_ref()
            .is_some_and(|pan| self.settings.flow.refused_bins.iter().any(|r| r.contains(pan)));
        let ours = self
            .flow
            .as_ref()
            .and_then(|f| f.original.as_ref())
            .and_then(FlowOriginal::ours)
            .and_then(|o| o.account.clone());
        let account = match ours {
            // It goes where its original went.
            Some(id) => self.account(&id),
            None => instrument::route(&self.settings, &request, &presented),
        };
        let account = account
            .map(|a| (a.config.id.clone(), a.config.amount_limit, a.rules.kinds.contains(&request.kind)));
        if let Some(flow) = self.flow.as_mut() {
            flow.presented = Some(presented);
            flow.account = account.as_ref().map(|(id, ..)| id.clone());
        }
        self.ask(Ask::Withdraw);
        match (account, self.amount()) {
            (_, _) if refused => self.fail("card-refused", Class::C),
            (None, _) => self.fail("no-account", Class::C),
            (Some((.., false)), _) => self.fail("kind-not-supported", Class::C),
            (Some((_, limit, _)), Some(m)) if m.minor() > limit => self.fail("amount-limit", Class::C),
            (Some(_), _) => self.prepare(),
        }
    }

    /// What only the running request can say against it; the customer may present another.
    fn judge(&self, presented: &Presented) -> Result<(), instrument::Problem> {
        let chip = presented.mode == EntryMode::Swipe
            && presented.chip
            && self.settings.chip
            && self.settings.flow.chip_first;
        if chip && self.modes.contains(&EntryMode::Chip) {
            return Err("insert-chip");
        }
        let original = self.flow.as_ref().and_then(|f| f.original.as_ref()).and_then(FlowOriginal::ours);
        if original.and_then(|o| o.masked_pan.as_ref()).is_some_and(|masked| *masked != presented.masked) {
            return Err("card-differs");
        }
        Ok(())
    }

    /// Neither PIN nor signature for this payment: the limit that it stays within.
    pub(crate) fn no_cvm(&self) -> Option<u64> {
        let rule = self.settings.flow.no_cvm.as_ref()?;
        let request = &self.state.running.as_ref()?.request;
        let presented = self.flow.as_ref()?.presented.as_ref()?;
        let pan = presented.secrets.pan.as_ref()?;
        let card = rule.bins.is_empty() || rule.bins.iter().any(|r| r.contains(pan));
        let small = request.amount.is_some_and(|m| m.minor() <= rule.limit);
        (request.kind == Kind::Sale && small && card && rule.modes.contains(&presented.mode))
            .then_some(rule.limit)
    }
}
