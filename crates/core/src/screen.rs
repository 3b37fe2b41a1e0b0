//! The display: the screen, derived from the rooms: the keypad's prompt, the stage of who is served, what is
//! shown for a time, rest; in that order.
use crate::{Ask, Effect, Machine, context::Context, onboarding};
use payterm_schema::{
    AccountId, Notice, Outcome, Screen, Time,
    config::Language,
    notice::{Rest, TROUBLES},
    paper::{PaperJob, PaperState},
};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

#[derive(Debug)]
pub(crate) struct Display {
    /// The screen that was drawn last.
    drawn: Screen,
    /// Language of the customer who is served, or whose result is shown, as the card has it.
    language: Option<Language>,
    /// It is drawn again although nothing has changed: at a start, and in another language.
    pub redraw: bool,
    timed: Option<Timed>,
    /// Troubles that wait for a free display; each once.
    troubles: VecDeque<&'static str>,
    /// Troubles outside the machine that last ([`TROUBLES`]): of devices, disk and keys.
    outside: BTreeSet<&'static str>,
    /// Lasting troubles as they were told last.
    told: Vec<String>,
}

/// What is shown for a time when nobody is served: a result, a trouble, a self-test's report.
#[derive(Debug)]
struct Timed {
    screen: Screen,
    until: Time,
}

impl Default for Display {
    fn default() -> Self {
        Self {
            drawn: Screen::idle(),
            language: None,
            redraw: false,
            timed: None,
            troubles: VecDeque::new(),
            outside: BTreeSet::new(),
            told: Vec::new(),
        }
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
    /// A trouble outside the machine begins, or is mended.
    pub fn lasting(&mut self, what: &'static str, lasts: bool) {
        if lasts {
            self.outside.insert(what);
        } else {
            self.outside.remove(what);
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
            .unwrap_or_else(|| rest_screen(&self.cx, &self.display.outside))
    }

    /// Each trouble that begins is told, whatever is shown; the page of rest when one is mended.
    fn tell_troubles(&mut self) {
        let now = troubles(&self.cx, &self.display.outside);
        if now == self.display.told {
            return;
        }
        let told = std::mem::replace(&mut self.display.told, now.clone());
        for what in TROUBLES {
            let holds = |all: &[String]| all.iter().any(|t| t == what);
            if holds(&now) && !holds(&told) {
                self.cx.warn(what);
            }
        }
        self.rest();
    }

    /// Nothing is being done any more: told, unless a result is still shown or somebody is served.
    pub(crate) fn rest(&mut self) {
        if self.display.timed.is_none() && self.is_idle() {
            let screen = rest_screen(&self.cx, &self.display.outside);
            self.cx.tell(Notice::Screen { screen });
        }
    }

    /// At the end of a step: the screen, where it is another one. A prompt goes with what it asks for, and
    /// the stars of a PIN as they are typed; every other screen waits for the step's records.
    pub(crate) fn draw(&mut self) {
        self.tell_troubles();
        if self.is_idle() {
            self.display.drive_troubles(&self.cx);
        }
        let screen = self.screen();
        let language = match self.counter.language() {
            Some(language) => language,
            None => self.display.language.filter(|_| self.display.timed.is_some()),
        };
        let spoken = std::mem::replace(&mut self.display.language, language);
        if screen == self.display.drawn && language == spoken && !self.display.redraw {
            return;
        }
        self.display.redraw = false;
        let before = std::mem::replace(&mut self.display.drawn, screen.clone());
        let prompts = |a: &Ask| matches!(a, Ask::Offer { .. } | Ask::Pin { .. } | Ask::CardPin { .. });
        let asks = &mut self.cx.step.asks;
        match (&screen, asks.iter().position(prompts)) {
            (Screen::Present { .. } | Screen::Pin { .. }, Some(at)) => {
                asks.insert(at, Ask::Show(screen, language))
            }
            (Screen::Pin { .. }, None) if matches!(before, Screen::Pin { .. }) => {
                asks.push(Ask::Show(screen, language))
            }
            (_, _) => self.cx.effect(Effect::Show(screen, language)),
        }
    }
}

/// What the display shows when nobody is served.
fn rest_screen(cx: &Context, outside: &BTreeSet<&'static str>) -> Screen {
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
        Screen::LogOn(rest(cx, outside))
    } else {
        Screen::Idle(rest(cx, outside))
    }
}

fn rest(cx: &Context, outside: &BTreeSet<&'static str>) -> Rest {
    let offline =
        cx.settings.accounts.iter().filter(|a| !cx.signed_in(a) || cx.unreached.contains(&a.config.id));
    let offline: Vec<AccountId> = offline.map(|a| a.config.id.clone()).collect();
    let on_duty = cx.state.staff.on_duty.clone().filter(|_| cx.settings.operators.required);
    Rest { operator: on_duty, offline, troubles: troubles(cx, outside) }
}

/// What lasts until it is mended, the worst first.
fn troubles(cx: &Context, outside: &BTreeSet<&'static str>) -> Vec<String> {
    let papers = |is: fn(&PaperJob) -> bool| cx.state.papers.values().any(is);
    let holds = |what: &&str| match *what {
        "clock-jump" => cx.heard.values().any(|h| h.off_by.is_some()),
        "clock-doubtful" => !cx.state.clock_trusted(cx.now) && cx.heard.values().all(|h| h.off_by.is_none()),
        "slips-held" => papers(|p| p.state == PaperState::Held),
        // One that is tried again waits on.
        "slips-waiting" => papers(|p| p.state != PaperState::Held && p.problem.is_some()),
        "account-renumbered" => cx.settings.accounts.iter().any(|a| cx.renumbered(&a.config.id)),
        other => outside.contains(other),
    };
    TROUBLES.into_iter().filter(holds).map(Into::into).collect()
}
