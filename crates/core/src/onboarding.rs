//! Applying for a terminal: the draft, the acceptance, what the terminal management says, and the way into
//! service.
//!
//! Only [`Record::Onboarding`] changes what is durable; questions under way and their waits are of this run
//! only: after a restart the same question is asked again, under the same onboarding id and revision.
use crate::{Call, Effect, Wake, context::Context, io::Timer, signal::Signal};
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

fn stage(cx: &Context) -> Option<Stage> {
    cx.state.onboarding.as_ref().map(|a| a.stage)
}

impl Applying {
    /// Accounts that were granted and are not in the settings: the machine that was to tell so was lost
    /// before it did.
    pub fn boot(&mut self, cx: &mut Context) {
        let granted =
            cx.state.onboarding.iter().filter_map(|a| a.parameters.as_ref()).flat_map(|p| &p.accounts);
        self.renew = granted.into_iter().any(|g| cx.settings.accounts.iter().all(|a| a.config.id != g.id));
    }

    pub fn apply(&mut self, cx: &mut Context, call: Call, by: &str, step: Apply) {
        if cx.settings.tms.is_none() {
            return cx.answer(call, Err(Fault::not_found("setting", "tms")));
        }
        let done = match step {
            Apply::Draft { id, draft } => keep_draft(cx, id, *draft),
            Apply::Accept { offer, terms } => accept(cx, by, *offer, *terms),
            Apply::Submit => self.submit(cx),
            Apply::Refresh => match stage(cx) {
                Some(Stage::Submitted | Stage::InReview) => return self.wait_for_answer(cx, call),
                Some(Stage::Approved | Stage::Rejected | Stage::Activated) => Ok(()),
                Some(Stage::Draft) | None => wrong("nothing was submitted"),
            },
            Apply::Activate => match stage(cx) {
                Some(Stage::Approved) => return self.wait_for_answer(cx, call),
                Some(Stage::Activated) => Ok(()),
                Some(Stage::Draft | Stage::Submitted | Stage::InReview | Stage::Rejected) | None => {
                    wrong("the onboarding is not approved")
                }
            },
        };
        cx.answer(call, done);
    }

    fn submit(&mut self, cx: &mut Context) -> Result<(), Fault> {
        if matches!(stage(cx), Some(Stage::Submitted | Stage::InReview)) {
            return Ok(());
        }
        let mut next = editable(cx)?;
        let Some(accepted) = &next.accepted else { return wrong("the offer was not accepted") };
        offered(&next.draft, &accepted.offer)?;
        next.stage = Stage::Submitted;
        applied(cx, next);
        self.ask_soon();
        Ok(())
    }

    /// The caller is answered with the next answer.
    fn wait_for_answer(&mut self, cx: &mut Context, call: Call) {
        if self.calls.len() >= CALLS {
            return cx.answer(call, Err(Fault::Busy { running: None }));
        }
        self.calls.push(call);
        self.ask_soon();
    }

    fn ask_soon(&mut self) {
        self.not_before = None;
        self.wait = None;
    }

    pub fn poll_timeout(&self, cx: &Context) -> Option<Wake> {
        self.due(cx).map(|at| Wake { at, timer: Timer::Onboarding })
    }
    /// When there is something to ask.
    fn due(&self, cx: &Context) -> Option<Time> {
        cx.settings.tms?;
        let wanted = match stage(cx)? {
            Stage::Submitted | Stage::InReview => true,
            Stage::Approved => !self.calls.is_empty(),
            Stage::Draft | Stage::Rejected | Stage::Activated => false,
        };
        (wanted && self.asked.is_none()).then(|| self.not_before.unwrap_or(cx.now))
    }

    pub fn drive(&mut self, cx: &mut Context, idle: bool) {
        if self.renew && idle {
            self.renew = false;
            cx.effect(Effect::Renew);
        }
        if self.due(cx).is_none_or(|at| at > cx.now) {
            return;
        }
        let Some(a) = cx.state.onboarding.clone() else { return };
        let ask = match a.stage {
            Stage::Submitted => TmsAsk::Submit(Box::new((*a).clone())),
            Stage::InReview => TmsAsk::Status { onboarding: a.id.clone(), revision: a.revision },
            Stage::Approved => TmsAsk::Grant { onboarding: a.id.clone(), draft: Box::new(a.draft.clone()) },
            Stage::Draft | Stage::Rejected | Stage::Activated => return,
        };
        let tag = cx.tag();
        self.asked = Some(tag);
        cx.effect(Effect::Tms { tag, ask });
    }

    /// Word from the terminal management.
    pub fn tms(&mut self, cx: &mut Context, tag: u64, event: TmsEvent) {
        if self.asked != Some(tag) {
            return;
        }
        self.asked = None;
        let Some((settings, onboarding)) = cx.settings.tms.zip(cx.state.onboarding.clone()) else {
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
                self.renew = true;
                Ok(())
            }
            (TmsEvent::Status(_) | TmsEvent::Granted(_), _) => {
                Err((Problem::NotForUs, "the answer is none to the question".into()))
            }
        };
        let calls = std::mem::take(&mut self.calls);
        match took {
            Ok(()) => {
                self.problem = None;
                self.wait = None;
                self.not_before = Some(cx.now + settings.poll);
                // Asking again every minute leaves no trace unless something changed.
                if (next.stage, &next.reason) != (onboarding.stage, &onboarding.reason) {
                    next.since = cx.now;
                    applied(cx, next);
                }
                calls.into_iter().for_each(|call| cx.answer(call, Ok(())));
            }
            Err((problem, cause)) => {
                let wait = self.wait.map_or(settings.retry, |w| Millis((w.0 * 2).min(settings.retry_max.0)));
                self.wait = Some(wait);
                self.not_before = Some(cx.now + wait);
                self.problem = Some(problem);
                calls.into_iter().for_each(|call| {
                    cx.answer(call, Err(Fault::Management { problem, cause: cause.clone() }))
                });
            }
        }
    }
}

/// The page of a terminal without an account: there is nothing to pay with, and how far the onboarding
/// is counts.
pub(crate) fn page(cx: &Context) -> Screen {
    Screen::Onboarding {
        stage: stage(cx),
        reason: cx.state.onboarding.as_ref().and_then(|a| a.reason.clone()),
    }
}

/// The onboarding as it can be edited: a rejected one becomes the next revision.
fn editable(cx: &Context) -> Result<Onboarding, Fault> {
    let Some(a) = &cx.state.onboarding else {
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
    a.since = cx.now;
    Ok(a)
}

fn applied(cx: &mut Context, onboarding: Onboarding) {
    cx.record(None, Record::Onboarding(Box::new(onboarding.clone())));
    if cx.settings.printer && onboarding.stage != Stage::Draft && onboarding.stage != Stage::InReview {
        let content = PaperContent::Onboarding(Box::new(OnboardingSlip::new(&onboarding, cx.settings.test)));
        let job = PaperJob::new(cx.state.last_job + 1, PaperKind::OnboardingSlip, 0, content);
        cx.record(None, PaperRecord::Queued { job: Box::new(job) });
    }
    cx.tell(Notice::Onboarding { onboarding: Box::new(onboarding) });
    cx.signal(Signal::OnboardingChanged);
}

fn keep_draft(cx: &mut Context, id: String, draft: Draft) -> Result<(), Fault> {
    draft.check()?;
    let next = match &cx.state.onboarding {
        Some(_) => Onboarding { draft, ..editable(cx)? },
        None => Onboarding {
            id,
            revision: 1,
            stage: Stage::Draft,
            since: cx.now,
            draft,
            accepted: None,
            reason: None,
            parameters: None,
        },
    };
    applied(cx, next);
    Ok(())
}

fn accept(cx: &mut Context, by: &str, offer: Offer, terms: Signed) -> Result<(), Fault> {
    let mut next = editable(cx)?;
    offered(&next.draft, &offer)?;
    next.accepted = Some(Accepted { hash: terms.hash(), at: cx.now, by: by.into(), offer, terms });
    applied(cx, next);
    Ok(())
}

fn offered(draft: &Draft, offer: &Offer) -> Result<(), Fault> {
    if draft.products.iter().all(|p| offer.products.contains(p)) {
        Ok(())
    } else {
        Err(Fault::invalid("products", "not all of them are offered"))
    }
}
