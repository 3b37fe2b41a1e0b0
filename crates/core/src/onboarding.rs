//! Applying for a terminal: the draft, the acceptance, what the terminal management says, and the way into
//! service.
//!
//! Only [`Record::Onboarding`] changes what is durable; questions under way and their waits are of this run
//! only: after a restart the same question is asked again, under the same onboarding id and revision.
use crate::{Call, Effect, Machine};
use payterm_schema::{
    Fault, Notice, PaperRecord, Record, Screen, Time,
    onboarding::{
        Accepted, Draft, Offer, Onboarding, OnboardingSlip, OnboardingStatus, Parameters, Problem, Signed,
        Stage, Verdict,
    },
    paper::{PaperContent, PaperJob, PaperKind},
    time::Millis,
};

/// What the machine must know of `[tms]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TmsSettings {
    pub poll: Millis,
    pub retry: Millis,
    pub retry_max: Millis,
}

/// A step as the daemon hands it in.
#[derive(Clone, Debug)]
pub enum Apply {
    /// `id` names the onboarding when there is none yet: the machine knows no randomness.
    Draft {
        id: String,
        draft: Box<Draft>,
    },
    /// The offer that was just read, whose signature is good.
    Accept {
        offer: Box<Offer>,
        terms: Box<Signed>,
    },
    Submit,
    Refresh,
    Activate,
}

/// A question to the terminal management.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TmsAsk {
    /// Hand the onboarding in; a repeat is the same onboarding.
    Submit(Box<Onboarding>),
    Status {
        onboarding: String,
        revision: u32,
    },
    /// Parameters and key. Answered when the keys are in the vault.
    Grant {
        onboarding: String,
        draft: Box<Draft>,
    },
}

/// Its answer.
#[derive(Clone, Debug)]
pub enum TmsEvent {
    Status(Box<OnboardingStatus>),
    Granted(Box<Parameters>),
    Failed { problem: Problem, cause: String },
}

/// The question under way, and when the next one may be asked. Volatile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applying {
    asked: Option<u64>,
    /// Callers who wait for the answer.
    calls: Vec<Call>,
    not_before: Option<Time>,
    wait: Option<Millis>,
    pub problem: Option<Problem>,
    /// New accounts are on disk: the daemon is to start over as soon as nobody pays.
    renew: bool,
}

/// Callers who may wait for one answer. 16.
const CALLS: usize = 16;

fn wrong<T>(rule: &str) -> Result<T, Fault> {
    Err(Fault::WrongState { rule: rule.into() })
}

impl Machine {
    fn stage(&self) -> Option<Stage> {
        self.state.onboarding.as_ref().map(|a| a.stage)
    }

    /// Accounts that were granted and are not in the settings: the machine that was to tell so was lost
    /// before it did.
    pub(crate) fn recover_onboarding(&mut self) {
        let granted =
            self.state.onboarding.iter().filter_map(|a| a.parameters.as_ref()).flat_map(|p| &p.accounts);
        self.applying.renew =
            granted.into_iter().any(|g| self.settings.accounts.iter().all(|a| a.config.id != g.id));
    }

    /// The page of a terminal without an account: there is nothing to pay with, and how far the onboarding
    /// is counts.
    pub(crate) fn onboarding_page(&self) -> Screen {
        Screen::Onboarding {
            stage: self.stage(),
            reason: self.state.onboarding.as_ref().and_then(|a| a.reason.clone()),
        }
    }

    pub(crate) fn apply(&mut self, call: Call, by: &str, step: Apply) {
        if self.settings.tms.is_none() {
            return self.answer(call, Err(Fault::not_found("setting", "tms")));
        }
        let done = match step {
            Apply::Draft { id, draft } => self.draft(id, *draft),
            Apply::Accept { offer, terms } => self.accept(by, *offer, *terms),
            Apply::Submit => self.submit(),
            Apply::Refresh => match self.stage() {
                Some(Stage::Submitted | Stage::InReview) => return self.wait_for_answer(call),
                Some(Stage::Approved | Stage::Rejected | Stage::Activated) => Ok(()),
                Some(Stage::Draft) | None => wrong("nothing was submitted"),
            },
            Apply::Activate => match self.stage() {
                Some(Stage::Approved) => return self.wait_for_answer(call),
                Some(Stage::Activated) => Ok(()),
                Some(Stage::Draft | Stage::Submitted | Stage::InReview | Stage::Rejected) | None => {
                    wrong("the onboarding is not approved")
                }
            },
        };
        self.answer(call, done);
    }

    /// The onboarding as it can be edited: a rejected one becomes the next revision.
    fn editable(&self) -> Result<Onboarding, Fault> {
        let Some(a) = &self.state.onboarding else {
            return wrong("there is no onboarding: fill in a draft first");
        };
        let mut a = (**a).clone();
        match a.stage {
            Stage::Draft => {}
            Stage::Rejected => {
                a.revision += 1;
                a.reason = None;
            }
            Stage::Submitted | Stage::InReview | Stage::Approved | Stage::Activated => {
                return wrong("the onboarding was submitted");
            }
        }
        a.stage = Stage::Draft;
        a.since = self.now;
        Ok(a)
    }

    fn draft(&mut self, id: String, draft: Draft) -> Result<(), Fault> {
        draft.check()?;
        let next = match &self.state.onboarding {
            Some(_) => Onboarding { draft, ..self.editable()? },
            None => Onboarding {
                id,
                revision: 1,
                stage: Stage::Draft,
                since: self.now,
                draft,
                accepted: None,
                reason: None,
                parameters: None,
            },
        };
        self.applied(next);
        Ok(())
    }

    fn accept(&mut self, by: &str, offer: Offer, terms: Signed) -> Result<(), Fault> {
        let mut next = self.editable()?;
        offered(&next.draft, &offer)?;
        next.accepted = Some(Accepted { hash: terms.hash(), at: self.now, by: by.into(), offer, terms });
        self.applied(next);
        Ok(())
    }

    fn submit(&mut self) -> Result<(), Fault> {
        if matches!(self.stage(), Some(Stage::Submitted | Stage::InReview)) {
            return Ok(());
        }
        let mut next = self.editable()?;
        let Some(accepted) = &next.accepted else { return wrong("the offer was not accepted") };
        offered(&next.draft, &accepted.offer)?;
        next.stage = Stage::Submitted;
        self.applied(next);
        self.ask_soon();
        Ok(())
    }

    /// The caller is answered with the next answer.
    fn wait_for_answer(&mut self, call: Call) {
        if self.applying.calls.len() >= CALLS {
            return self.answer(call, Err(Fault::Busy { running: None }));
        }
        self.applying.calls.push(call);
        self.ask_soon();
    }

    fn ask_soon(&mut self) {
        self.applying.not_before = None;
        self.applying.wait = None;
    }

    fn applied(&mut self, onboarding: Onboarding) {
        self.record(None, Record::Onboarding(Box::new(onboarding.clone())));
        if self.settings.printer && onboarding.stage != Stage::Draft && onboarding.stage != Stage::InReview {
            let content =
                PaperContent::Onboarding(Box::new(OnboardingSlip::new(&onboarding, self.settings.test)));
            let job = PaperJob::new(self.state.last_job + 1, PaperKind::OnboardingSlip, 0, content);
            self.record(None, PaperRecord::Queued { job: Box::new(job) });
        }
        self.tell(Notice::Onboarding { onboarding: Box::new(onboarding) });
        let rests = matches!(self.drawn, Screen::Onboarding { .. } | Screen::SelfTest { .. })
            && self.settings.accounts.is_empty();
        if rests && self.flow.is_none() {
            self.timed = None;
        }
    }

    /// When there is something to ask.
    pub(crate) fn onboarding_due(&self) -> Option<Time> {
        self.settings.tms?;
        let wanted = match self.stage()? {
            Stage::Submitted | Stage::InReview => true,
            Stage::Approved => !self.applying.calls.is_empty(),
            Stage::Draft | Stage::Rejected | Stage::Activated => false,
        };
        (wanted && self.applying.asked.is_none()).then(|| self.applying.not_before.unwrap_or(self.now))
    }

    pub(crate) fn drive_onboarding(&mut self) {
        if self.applying.renew && self.state.running.is_none() && !self.at_the_desk() {
            self.applying.renew = false;
            self.effect(Effect::Renew);
        }
        if self.onboarding_due().is_none_or(|at| at > self.now) {
            return;
        }
        let Some(a) = self.state.onboarding.clone() else { return };
        let ask = match a.stage {
            Stage::Submitted => TmsAsk::Submit(Box::new((*a).clone())),
            Stage::InReview => TmsAsk::Status { onboarding: a.id.clone(), revision: a.revision },
            Stage::Approved => TmsAsk::Grant { onboarding: a.id.clone(), draft: Box::new(a.draft.clone()) },
            Stage::Draft | Stage::Rejected | Stage::Activated => return,
        };
        let tag = self.tag();
        self.applying.asked = Some(tag);
        self.effect(Effect::Tms { tag, ask });
    }

    /// Word from the terminal management.
    pub(crate) fn tms(&mut self, tag: u64, event: TmsEvent) {
        if self.applying.asked != Some(tag) {
            return;
        }
        self.applying.asked = None;
        let Some((settings, onboarding)) = self.settings.tms.zip(self.state.onboarding.clone()) else {
            return;
        };
        let mut next = (*onboarding).clone();
        let took = match (event, next.stage) {
            (TmsEvent::Failed { problem, cause }, _) => Err((problem, cause)),
            (TmsEvent::Status(s), Stage::Submitted | Stage::InReview)
                if s.onboarding == next.id && s.revision == next.revision =>
            {
                next.stage = match s.verdict {
                    Verdict::InReview => Stage::InReview,
                    Verdict::Approved => Stage::Approved,
                    Verdict::Rejected => Stage::Rejected,
                };
                next.reason = s.reason;
                Ok(())
            }
            (TmsEvent::Granted(parameters), Stage::Approved) => {
                next.stage = Stage::Activated;
                next.reason = None;
                next.parameters = Some(*parameters);
                self.applying.renew = true;
                Ok(())
            }
            (TmsEvent::Status(_) | TmsEvent::Granted(_), _) => {
                Err((Problem::NotForUs, "the answer is none to the question".into()))
            }
        };
        let calls = std::mem::take(&mut self.applying.calls);
        match took {
            Ok(()) => {
                self.applying.problem = None;
                self.applying.wait = None;
                self.applying.not_before = Some(self.now + settings.poll);
                // Asking again every minute leaves no trace unless something changed.
                if (next.stage, &next.reason) != (onboarding.stage, &onboarding.reason) {
                    next.since = self.now;
                    self.applied(next);
                }
                calls.into_iter().for_each(|call| self.answer(call, Ok(())));
            }
            Err((problem, cause)) => {
                let wait = self
                    .applying
                    .wait
                    .map_or(settings.retry, |w| Millis((w.0 * 2).min(settings.retry_max.0)));
                self.applying.wait = Some(wait);
                self.applying.not_before = Some(self.now + wait);
                self.applying.problem = Some(problem);
                calls.into_iter().for_each(|call| {
                    self.answer(call, Err(Fault::Management { problem, cause: cause.clone() }))
                });
            }
        }
    }
}

fn offered(draft: &Draft, offer: &Offer) -> Result<(), Fault> {
    if draft.products.iter().all(|p| offer.products.contains(p)) {
        Ok(())
    } else {
        Err(Fault::invalid("products", "not all of them are offered"))
    }
}
