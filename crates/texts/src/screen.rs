//! Screens as lines of a display.
use crate::{Texts, clean};
use payterm_schema::{
    Kind, Money, Outcome, Screen, Status, Time,
    host::EntryMode,
    kind::{Mark, Recovery},
    notice::Owed,
    onboarding::Stage,
    operator::{OperatorId, Purpose, Role, TerminalLock},
    zone::Zone,
};
use unicode_width::UnicodeWidthChar;

/// Surroundings of a screen: what it needs besides its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScreenContext {
    /// Every screen says TEST.
    pub test: bool,
    /// Columns (16 or more; a CJK character takes two) and lines (2 to 8) of the display.
    pub columns: usize,
    pub lines: usize,
    pub zone: Zone,
    pub shop: String,
    /// Shown with failures; may be empty.
    pub service_phone: String,
}

impl Texts {
    /// The page as at most `ctx.lines` lines of at most `ctx.columns` columns, the most important first. The
    /// banner of a test terminal has a line of its own where there are four or more, else it stands before
    /// the first text.
    pub fn screen(self, screen: &Screen, ctx: &ScreenContext) -> Vec<String> {
        let columns = ctx.columns.max(16);
        let height = ctx.lines.clamp(2, 8);
        let mut page = self.page(screen, ctx);
        page.retain(|l| !l.is_empty());
        if ctx.test && height >= 4 {
            page.insert(0, self.get("test-banner", &[]));
        } else if ctx.test {
            let first = page.first().cloned().unwrap_or_default();
            let short = format!("{} {first}", self.get("test-short", &[]));
            page.splice(..page.len().min(1), [short]);
        }
        let mut lines: Vec<String> = page.iter().flat_map(|l| wrap(&clean(l), columns)).collect();
        lines.truncate(height);
        lines
    }

    fn page(self, screen: &Screen, ctx: &ScreenContext) -> Vec<String> {
        let t = |id: &str| self.get(id, &[]);
        // A sale needs no name; whoever gives a card or a PIN for anything else must see for what.
        let what = |kind: Kind, amount: Option<Money>| {
            let amount = amount.map(|a| self.amount_text(a)).unwrap_or_default();
            let kind = if kind == Kind::Sale { String::new() } else { self.word(kind) };
            [kind, amount].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ")
        };
        match screen {
            Screen::Idle => vec![ctx.shop.clone(), t("idle-ready")],
            Screen::Confirm { kind, amount: None } => {
                vec![self.get("confirm-kind", &[("kind", &self.word(*kind))]), t("confirm-keys")]
            }
            Screen::Confirm { kind, amount: Some(a) } => {
                let ask = if *kind == Kind::Sale {
                    self.get("confirm-amount", &[("amount", &self.amount_text(*a))])
                } else {
                    self.get("confirm-kind", &[("kind", &what(*kind, Some(*a)))])
                };
                vec![ask, self.amount_in_words(*a), t("confirm-keys")]
            }
            Screen::ConfirmPartial { asked, approved } => vec![
                self.get(
                    "confirm-partial",
                    &[("approved", &self.amount_text(*approved)), ("asked", &self.amount_text(*asked))],
                ),
                t("confirm-partial-keys"),
            ],
            Screen::Present { kind, amount, modes, problem } => {
                self.present(modes, problem, what(*kind, *amount))
            }
            Screen::Pin { kind, amount, masked_pan, digits, wrong } => vec![
                t(if *wrong { "pin-wrong" } else { "pin-enter" }),
                self.get("pin-digits", &[("stars", &"*".repeat(usize::from((*digits).min(12))))]),
                t("pin-cover"),
                what(*kind, *amount),
                self.get("pin-card", &[("pan", masked_pan)]),
            ],
            Screen::Wait { what, until, owed } => self.wait(what, *until, owed.as_ref(), ctx),
            Screen::Result { outcome } => self.result(outcome, ctx),
            Screen::SelfTest { report } => self.self_test_page(report),
            Screen::LogOn => vec![ctx.shop.clone(), t("operator-log-on")],
            Screen::OperatorNumber { typed, problem } => {
                vec![
                    self.failed(problem),
                    self.get("operator-number", &[("typed", typed)]),
                    t("operator-keys"),
                ]
            }
            Screen::Password { operator, purpose, kind, amount, digits, problem } => {
                let what = kind.map(|k| {
                    let amount = amount.map(|a| self.amount_text(a)).unwrap_or_default();
                    [self.word(k), amount].join(" ").trim().to_owned()
                });
                self.password(operator, *purpose, what, *digits, problem)
            }
            Screen::Locked { lock, digits, problem } => self.locked(lock, *digits, problem, ctx),
            Screen::Onboarding { stage, reason } => {
                let stage = stage.map_or("none", Stage::name).replace('_', "-");
                vec![
                    ctx.shop.clone(),
                    t(&format!("apply-page-{stage}")),
                    reason.clone().unwrap_or_default(),
                    t(&format!("apply-next-{stage}")),
                    self.phone(ctx),
                ]
            }
            Screen::Trouble { what } => {
                let own = self
                    .find(&format!("trouble-{what}"), &[])
                    .or_else(|| self.find(&format!("reason-{what}"), &[]));
                let next = self.find(&format!("next-{what}"), &[]).unwrap_or_default();
                vec![own.unwrap_or_else(|| t("trouble-unknown")), next, self.phone(ctx)]
            }
        }
    }

    /// `what`: the payment that a card or code is asked for. Presenting something is the choice where both
    /// are offered; the keys only narrow it.
    fn present(self, modes: &[EntryMode], problem: &Option<String>, what: String) -> Vec<String> {
        let both = modes.contains(&EntryMode::Code) && modes.len() > 1;
        let mut page = vec![self.failed(problem), self.modes(modes), what];
        if both {
            page.extend(["choose-card", "choose-code"].map(|id| self.get(id, &[])));
        }
        page
    }

    /// `owed`: the obligation that must be answered first.
    fn wait(self, what: &str, until: Time, owed: Option<&Owed>, ctx: &ScreenContext) -> Vec<String> {
        let time = |t: Time| clock(t, &ctx.zone, true);
        let what = self.find(&format!("wait-{what}"), &[]).unwrap_or_else(|| self.get("wait-unknown", &[]));
        let until = self.get("wait-until", &[("time", &time(until))]);
        let mut lines = vec![what, self.get("wait-please", &[]), until];
        if let Some(o) = owed {
            let last = o.last_code.clone().unwrap_or_else(|| self.get("wait-no-answer", &[]));
            lines.push(self.get(
                "wait-owed",
                &[("n", &o.tries.to_string()), ("last", &last), ("time", &time(o.next_try))],
            ));
            lines.extend(o.deadline.map(|d| self.get("wait-deadline", &[("time", &time(d))])));
        }
        lines
    }

    /// `what`: the payment that a supervisor is asked to allow.
    fn password(
        self,
        operator: &OperatorId,
        purpose: Purpose,
        what: Option<String>,
        digits: u8,
        problem: &Option<String>,
    ) -> Vec<String> {
        let stars = "*".repeat(usize::from(digits.min(12)));
        let ask = match (purpose, operator.role()) {
            (Purpose::New | Purpose::NewAgain, _) => "operator-keys",
            (
                Purpose::LogOn | Purpose::Change | Purpose::Manage | Purpose::Approve | Purpose::WriteOff,
                Role::Supervisor,
            ) => "operator-type-supervisor",
            (
                Purpose::LogOn | Purpose::Change | Purpose::Manage | Purpose::Approve | Purpose::WriteOff,
                _,
            ) => "operator-type",
        };
        let mut lines = vec![
            self.word(purpose),
            self.get("operator-password", &[("operator", operator.as_str()), ("stars", &stars)]),
        ];
        lines.extend(what);
        lines.push(self.get(ask, &[]));
        // What went wrong comes first, and the stars stay on a display of two lines.
        if problem.is_some() {
            lines.swap(0, 1);
            lines.insert(0, self.failed(problem));
        }
        lines
    }

    fn locked(
        self,
        lock: &TerminalLock,
        digits: u8,
        problem: &Option<String>,
        ctx: &ScreenContext,
    ) -> Vec<String> {
        let challenge = lock
            .challenge
            .as_deref()
            .map(|c| self.get("locked-challenge", &[("challenge", c)]))
            .unwrap_or_default();
        let stars = if digits > 0 {
            self.get("locked-code", &[("stars", &"*".repeat(usize::from(digits.min(12))))])
        } else {
            String::new()
        };
        let wait = if lock.wrong > 0 {
            self.get("locked-not-before", &[("time", &clock(lock.not_before, &ctx.zone, true))])
        } else {
            String::new()
        };
        vec![self.get("locked", &[]), challenge, stars, self.failed(problem), self.phone(ctx), wait]
    }

    fn failed(self, problem: &Option<String>) -> String {
        problem.as_deref().map(|p| self.problem(p)).unwrap_or_default()
    }

    fn result(self, outcome: &Outcome, ctx: &ScreenContext) -> Vec<String> {
        let t = |id: &str| self.get(id, &[]);
        let mut outcome = outcome.clone();
        self.fill(&mut outcome);
        let amount = outcome.sums.amount_money().map(|a| self.amount_text(a)).unwrap_or_default();
        let (reason, next) =
            outcome.reason.as_ref().map(|r| (self.reason_text(r), r.next.clone())).unwrap_or_default();
        match outcome.status {
            Status::Approved => {
                let kind = self.word(outcome.kind);
                let head = if outcome.kind == Kind::Sale {
                    t("result-approved")
                } else {
                    self.get("result-kind-approved", &[("kind", &kind)])
                };
                let balance = outcome.sums.balance_text().map(|b| {
                    self.get("result-balance", &[("amount", &self.signed_text(&b, outcome.sums.currency))])
                });
                let card = outcome.masked_pan.as_deref().map(|pan| self.get("result-card", &[("pan", pan)]));
                let fee = outcome.sums.fee_text().map(|f| {
                    self.get("result-fee", &[("amount", &self.signed_text(&f, outcome.sums.currency))])
                });
                vec![
                    head,
                    amount,
                    balance.unwrap_or_default(),
                    reason,
                    next,
                    card.unwrap_or_default(),
                    fee.unwrap_or_default(),
                ]
            }
            Status::Unknown => {
                // The advice of the kind, where that of a sale would be wrong.
                if outcome.kind.row().recovery == Recovery::ManualResolution
                    || outcome.kind.row().marks_original == Mark::Voided
                {
                    return vec![next, reason, amount, self.service(&outcome, ctx)];
                }
                let open = match outcome.answer_by {
                    Some(by) => self.get("result-unknown-by", &[("time", &clock(by, &ctx.zone, false))]),
                    None => t("result-unknown-open"),
                };
                vec![t("result-unknown"), open, reason, amount, self.service(&outcome, ctx)]
            }
            Status::Running => vec![t("result-running"), amount],
            Status::Declined => vec![t("result-declined"), reason, next, amount, self.service(&outcome, ctx)],
            Status::Cancelled => vec![t("result-cancelled"), reason, next, amount],
            Status::Failed => vec![t("result-failed"), reason, next, amount, self.service(&outcome, ctx)],
        }
    }

    /// A failed try: a text of its own, or the reason of that name.
    fn problem(self, id: &str) -> String {
        let own =
            self.find(&format!("problem-{id}"), &[]).or_else(|| self.find(&format!("reason-{id}"), &[]));
        own.unwrap_or_else(|| self.get("problem-unknown", &[]))
    }

    fn modes(self, modes: &[EntryMode]) -> String {
        let words: Vec<String> = modes
            .iter()
            .map(|mode| {
                let id = match mode {
                    EntryMode::Swipe => "present-mode-swipe",
                    EntryMode::Chip => "present-mode-chip",
                    EntryMode::Contactless => "present-mode-contactless",
                    EntryMode::Code => "present-mode-code",
                    EntryMode::Manual => "present-mode-manual",
                };
                self.get(id, &[])
            })
            .collect();
        let Some((last, front)) = words.split_last() else { return self.get("present-none", &[]) };
        let joined = match front {
            [] => last.clone(),
            _ => [&front.join(&self.get("list-separator", &[])), &self.get("list-last", &[]), last]
                .map(String::as_str)
                .concat(),
        };
        self.get("present-modes", &[("modes", &joined)])
    }

    /// Line with whom to call, and what to name there.
    fn service(self, outcome: &Outcome, ctx: &ScreenContext) -> String {
        self.get("service-reference", &[("phone", &self.phone(ctx)), ("reference", &outcome.reference())])
            .trim_start()
            .to_owned()
    }

    fn phone(self, ctx: &ScreenContext) -> String {
        if ctx.service_phone.is_empty() {
            String::new()
        } else {
            self.get("service-phone", &[("phone", &ctx.service_phone)])
        }
    }
}

/// `HH:MM`, or `HH:MM:SS`.
pub(crate) fn clock(at: Time, zone: &Zone, seconds: bool) -> String {
    let t = zone.local(at);
    let hm = format!("{:02}:{:02}", t.hour(), t.minute());
    if seconds { format!("{hm}:{:02}", t.second()) } else { hm }
}

/// Columns of a character on a display.
fn width(c: char) -> usize {
    c.width_cjk().unwrap_or(1)
}

/// Breaks at spaces where there are any, else (Chinese, long words) anywhere.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    crate::paper::wrap(text, columns, width)
}
