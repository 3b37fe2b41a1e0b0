//! The screen, derived from the state: the keypad's prompt, what the customer at the counter is in, what is
//! shown for a time, rest; in that order.
use crate::{
    Ask, Effect, Machine,
    flow::{Flow, Stage},
};
use payterm_schema::{Screen, Time};

/// What is shown for a time when nobody is served: a result, a trouble, a self-test's report.
#[derive(Clone, Debug)]
pub(crate) struct Timed {
    pub screen: Screen,
    pub until: Time,
}

impl Machine {
    pub fn screen(&self) -> Screen {
        self.keypad_screen()
            .or_else(|| self.flow.as_ref().and_then(|f| self.stage_screen(f)))
            .or_else(|| self.timed.as_ref().map(|t| t.screen.clone()))
            .unwrap_or_else(|| self.rest_screen())
    }

    /// Of the running request's stage. The supervisor's is the keypad's.
    fn stage_screen(&self, flow: &Flow) -> Option<Screen> {
        let running = self.state.running.as_ref()?;
        let (kind, amount) = (running.request.kind, running.request.amount);
        Some(match &flow.stage {
            Stage::Supervisor => return None,
            Stage::Confirming { .. } => Screen::Confirm { kind, amount },
            Stage::Loading { until, .. } => Screen::wait("looking-up", *until),
            Stage::Presenting { problem, .. } => Screen::Present {
                kind,
                amount: self.amount(),
                modes: self.modes(kind),
                problem: problem.map(Into::into),
            },
            Stage::Preparing { until, what, owed } => {
                Screen::Wait { what: what.unwrap_or("reversing").into(), until: *until, owed: owed.clone() }
            }
            Stage::Clearing { until, owed } => {
                Screen::Wait { what: "clearing".into(), until: *until, owed: owed.clone() }
            }
            Stage::Pin { digits, .. } => Screen::Pin {
                kind,
                amount,
                masked_pan: flow.presented.as_ref().map(|p| p.masked.clone()).unwrap_or_default(),
                digits: *digits,
                wrong: flow.pin_tries > 0,
            },
            Stage::Settling { what, until } => Screen::wait(*what, *until),
            Stage::Sent { until } => Screen::wait("sending", *until),
            Stage::Busy { until } => Screen::wait("host-busy", *until),
            Stage::Asking { until } => Screen::wait("wallet-pending", *until),
            Stage::Partial { asked, approved, .. } => {
                Screen::ConfirmPartial { asked: *asked, approved: *approved }
            }
        })
    }

    /// For as long as a result is shown.
    pub(crate) fn show_result(&mut self, screen: Screen) {
        self.timed = Some(Timed { screen, until: self.after(self.settings.flow.result_ms) });
    }

    /// At the end of a step: the screen, where it is another one. A prompt goes with what it asks for; every
    /// other screen waits for the step's records.
    pub(crate) fn draw(&mut self) {
        let screen = self.screen();
        if screen == self.drawn && !self.redraw {
            return;
        }
        self.redraw = false;
        self.drawn = screen.clone();
        let asks = self.step.asks.iter().position(|a| matches!(a, Ask::Offer { .. } | Ask::Pin { .. }));
        match (&screen, asks) {
            (Screen::Present { .. } | Screen::Pin { .. }, Some(at)) => {
                self.step.asks.insert(at, Ask::Show(screen));
            }
            (_, _) => self.effect(Effect::Show(screen)),
        }
    }
}
