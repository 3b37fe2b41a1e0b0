//! The display: the screen, derived from the rooms: the keypad's prompt, the stage of who is served, what is
//! shown for a time, rest; in that order.
use crate::{Ask, Effect, Machine, context::Context, onboarding};
use payterm_schema::{Notice, Outcome, Screen, Time};
use std::{collections::VecDeque, sync::Arc};

#[derive(Debug)]
pub(crate) struct Display {
    /// The screen that was drawn last.
    drawn: Screen,
    /// It is drawn again although nothing has changed: at a start, and in another language.
    pub redraw: bool,
    timed: Option<Timed>,
    /// Troubles that wait for a free display; each once.
    troubles: VecDeque<&'static str>,
}

/// What is shown for a time when nobody is served: a result, a trouble, a self-test's report.
#[derive(Debug)]
struct Timed {
    screen: Screen,
    until: Time,
}

impl Default for Display {
    fn default() -> Self {
        Self { drawn: Screen::Idle, redraw: false, timed: None, troubles: VecDeque::new() }
    }
}

impl Display {
    /// For as long as a result is shown.
    pub fn show(&mut self, cx: &Context, screen: Screen) {
        self.timed = Some(Timed { screen, until: cx.after(cx.settings.flow.result_ms) });
    }
    pub fn clear(&mut self) {
        self.timed = None;
    }
    pub fn until(&self) -> Option<Time> {
        self.timed.as_ref().map(|t| t.until)
    }
    pub fn handle_timeout(&mut self, now: Time) {
        self.timed.take_if(|t| t.until <= now);
    }

    /// A request's result; of an earlier one, where its last result is still shown: it has become another.
    pub fn result(&mut self, cx: &Context, outcome: Arc<Outcome>, foreground: bool) {
        let same = |t: &Timed| matches!(&t.screen, Screen::Result { outcome: o } if o.txn == outcome.txn);
        let shown = self.timed.as_ref().is_some_and(same);
        if foreground || (shown && cx.state.running.is_none()) {
            self.show(cx, Screen::Result { outcome });
        }
    }

    pub fn trouble(&mut self, what: &'static str) {
        if !self.troubles.contains(&what) {
            self.troubles.push_back(what);
        }
    }
    /// A batch is closed: what waits to be shown of settlements is no longer so.
    pub fn batch_closed(&mut self) {
        self.troubles.retain(|what| !matches!(*what, "settle-first" | "settlement-held"));
    }
    /// Whoever stands at the counter next sees it, when nothing else is shown.
    fn drive_troubles(&mut self, cx: &Context) {
        if self.timed.is_none()
            && let Some(what) = self.troubles.pop_front()
        {
            self.show(cx, Screen::Trouble { what: what.into() });
        }
    }

    /// The onboarding's own page shows how far it is now.
    pub fn onboarding_changed(&mut self, cx: &Context) {
        let rests = matches!(self.drawn, Screen::Onboarding { .. } | Screen::SelfTest { .. });
        if rests && cx.settings.accounts.is_empty() && cx.state.running.is_none() {
            self.clear();
        }
    }
}

impl Machine {
    pub fn screen(&self) -> Screen {
        self.keypad
            .screen()
            .or_else(|| self.counter.screen())
            .or_else(|| self.display.timed.as_ref().map(|t| t.screen.clone()))
            .unwrap_or_else(|| rest_screen(&self.cx))
    }

    /// Nothing is being done any more: told, unless a result is still shown or somebody is served.
    pub(crate) fn rest(&mut self) {
        if self.display.timed.is_none() && self.is_idle() {
            let screen = rest_screen(&self.cx);
            self.cx.tell(Notice::Screen { screen });
        }
    }

    /// At the end of a step: the screen, where it is another one. A prompt goes with what it asks for; every
    /// other screen waits for the step's records.
    pub(crate) fn draw(&mut self) {
        if self.is_idle() {
            self.display.drive_troubles(&self.cx);
        }
        let screen = self.screen();
        if screen == self.display.drawn && !self.display.redraw {
            return;
        }
        self.display.redraw = false;
        self.display.drawn = screen.clone();
        let prompts = |a: &Ask| matches!(a, Ask::Offer { .. } | Ask::Pin { .. });
        let asks = &mut self.cx.step.asks;
        match (&screen, asks.iter().position(prompts)) {
            (Screen::Present { .. } | Screen::Pin { .. }, Some(at)) => asks.insert(at, Ask::Show(screen)),
            (_, _) => self.cx.effect(Effect::Show(screen)),
        }
    }
}

/// What the display shows when nobody is served.
fn rest_screen(cx: &Context) -> Screen {
    let (staff, required) = (&cx.state.staff, cx.settings.operators.required);
    let trouble = |what: &str| Screen::Trouble { what: what.into() };
    if cx.damaged.is_some() {
        trouble("journal-damaged")
    } else if cx.state.recovering.is_some() {
        trouble("recovering")
    } else if let Some(lock) = staff.locked.as_ref().filter(|_| required) {
        Screen::Locked { lock: lock.clone(), digits: 0, problem: None }
    } else if cx.settings.accounts.is_empty() {
        onboarding::page(cx)
    } else if required && staff.on_duty.is_none() {
        Screen::LogOn
    } else {
        Screen::Idle
    }
}
