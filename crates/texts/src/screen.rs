//! Screens as lines of a display. What is shown depends on whose eyes it is for: the bank's reason is kept
//! from the customer's display, and what a system says of itself (errors, commands, files) from all.
mod layout;

use crate::{Texts, clean};
use layout::{Row, cut, lay_out, must, whole};
use payterm_schema::{
    Kind, Money, Outcome, Screen, Status, Time,
    host::EntryMode,
    kind::{Mark, Recovery},
    notice::{Owed, Rest},
    onboarding::Stage,
    operator::{OperatorId, Purpose, Role, TerminalLock},
    settlement::{Settlement, Verdict},
    zone::Zone,
};

/// Whose eyes a display is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody at the counter: the only display of a terminal is the customer's.
    Customer,
    /// Staff: a display of their own, or the listing of a face.
    Cashier,
}

/// Surroundings of a screen: what it needs besides its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScreenContext {
    pub audience: Audience,
    pub now: Time,
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

/// Digits typed so far that are shown as stars, at most.
const STARS: u8 = 8;

fn stars(digits: u8, most: u8) -> String {
    "*".repeat(usize::from(digits.min(most)))
}

impl Texts {
    /// The page as at most `ctx.lines` lines of at most `ctx.columns` columns, what matters first. The banner
    /// of a test terminal has a line of its own where there are five or more, else it stands before the
    /// first text.
    pub fn screen(self, screen: &Screen, ctx: &ScreenContext) -> Vec<String> {
        let (columns, height) = (ctx.columns.max(16), ctx.lines.clamp(2, 8));
        lay_out(&self.rows(screen, ctx, height), columns, height)
    }

    /// Texts that matter on this page and do not stand whole on this display; none on 20 columns of 4 lines
    /// or more.
    pub fn lost(self, screen: &Screen, ctx: &ScreenContext) -> Vec<String> {
        let bare = |text: &str| text.split_whitespace().collect::<String>();
        let shown = bare(&self.screen(screen, ctx).join(""));
        let rows = self.rows(screen, ctx, ctx.lines.clamp(2, 8));
        let matters = rows.into_iter().filter(Row::matters).map(|r| clean(&r.text));
        matters.filter(|text| !shown.contains(&bare(text))).collect()
    }

    fn rows(self, screen: &Screen, ctx: &ScreenContext, height: usize) -> Vec<Row> {
        let mut rows = self.page(screen, ctx);
        rows.retain(|r| !r.text.is_empty());
        if ctx.test && height >= 5 {
            rows.insert(0, must(self.get("test-banner", &[])));
        } else if ctx.test {
            let first = rows.first().map(|r| r.text.clone()).unwrap_or_default();
            let short = must(format!("{} {first}", self.get("test-short", &[])));
            rows.splice(..rows.len().min(1), [short]);
        }
        rows
    }

    /// `CNY 12.34 Refund`. A sale needs no name; whoever gives a card or a PIN for anything else must see for
    /// what.
    fn asked(self, kind: Kind, amount: Option<Money>) -> String {
        let amount = amount.map(|a| self.amount_text(a)).unwrap_or_default();
        let kind = if kind == Kind::Sale { String::new() } else { self.word(kind) };
        [amount, kind].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// The text of this id for a display: one of its own where the general one names commands or files.
    pub(crate) fn on_screen(self, id: &str) -> Option<String> {
        self.find(&format!("screen-{id}"), &[]).or_else(|| self.find(id, &[]))
    }

    fn page(self, screen: &Screen, ctx: &ScreenContext) -> Vec<Row> {
        let t = |id: &str| self.get(id, &[]);
        match screen {
            Screen::Idle(rest) => self.idle(rest, ctx),
            Screen::LogOn(rest) => self.log_on(rest, ctx),
            Screen::Confirm { kind, amount } => self.confirm(*kind, *amount),
            Screen::ConfirmPartial { asked, approved } => vec![
                must(self.amount_text(*approved)),
                must(self.get("confirm-partial", &[("asked", &self.amount_text(*asked))])),
                whole(t("confirm-partial-why")),
                must(t("confirm-partial-keys")),
            ],
            Screen::Present { kind, amount, modes, problem } => {
                self.present(modes, problem, self.asked(*kind, *amount))
            }
            Screen::ChooseApplication { amount, names, first } => self.applications(*amount, names, *first),
            Screen::Pin { kind, amount, masked_pan, digits, wrong, left } => vec![
                must(self.asked(*kind, *amount)),
                must(match (wrong, left) {
                    (true, Some(1)) => t("pin-wrong-last"),
                    (true, Some(left)) => self.get("pin-wrong-left", &[("left", &left.to_string())]),
                    (true, None) => t("pin-wrong"),
                    (false, Some(1)) => t("pin-last"),
                    (false, Some(_) | None) => t("pin-enter"),
                }),
                must(self.get("pin-digits", &[("stars", &stars(*digits, 12))])),
                whole(t("pin-cover")),
                whole(self.get("pin-card", &[("pan", masked_pan)])),
            ],
            Screen::Wait { amount, what, until, owed } => {
                let mut rows = vec![must(amount.map(|a| self.amount_text(a)).unwrap_or_default())];
                rows.extend(self.wait(what, *until, owed.as_ref(), ctx));
                rows
            }
            Screen::Result { outcome } => self.result(outcome, ctx),
            Screen::SelfTest { report } => {
                let lines = self.self_test_page(report).into_iter().enumerate();
                lines.map(|(i, line)| if i == 0 { must(line) } else { cut(line) }).collect()
            }
            Screen::OperatorNumber { typed, problem } => vec![
                must(self.failed(problem)),
                must(self.get("operator-number", &[("typed", typed)])),
                whole(t("operator-keys")),
            ],
            Screen::Password { .. } => self.password(screen),
            Screen::Locked { lock, digits, problem } => self.locked(lock, *digits, problem, ctx),
            Screen::Onboarding { stage, reason } => {
                let stage = stage.map_or("none", Stage::name).replace('_', "-");
                vec![
                    must(t(&format!("apply-page-{stage}"))),
                    cut(reason.clone().unwrap_or_default()),
                    cut(self.on_screen(&format!("apply-next-{stage}")).unwrap_or_default()),
                    whole(self.phone(ctx)),
                    whole(ctx.shop.clone()),
                ]
            }
            Screen::Trouble { what } => {
                let next = self.on_screen(&format!("next-{what}")).unwrap_or_default();
                vec![must(self.trouble(what)), cut(next), whole(self.phone(ctx))]
            }
        }
    }

    fn trouble(self, what: &str) -> String {
        self.on_screen(&format!("trouble-{what}"))
            .or_else(|| self.find(&format!("reason-{what}"), &[]))
            .unwrap_or_else(|| self.get("trouble-unknown", &[]))
    }

    /// Date, time and whether the acquirers can be reached.
    fn line_state(self, rest: &Rest, ctx: &ScreenContext) -> String {
        let now = ctx.zone.local(ctx.now);
        let date = format!("{:02}-{:02}", u8::from(now.month()), now.day());
        let line = self.get(if rest.offline.is_empty() { "idle-online" } else { "idle-offline" }, &[]);
        [date, clock(ctx.now, &ctx.zone), line].join(" ")
    }
    /// The worst trouble first: of what matters; the others as far as there is room.
    fn troubles(self, rest: &Rest) -> (Row, Vec<Row>) {
        let mut all = rest.troubles.iter().map(|what| self.trouble(what));
        (must(all.next().unwrap_or_default()), all.map(cut).collect())
    }

    fn idle(self, rest: &Rest, ctx: &ScreenContext) -> Vec<Row> {
        let (worst, others) = self.troubles(rest);
        let operator = rest.operator.as_ref();
        let operator = operator.map(|o| self.get("idle-operator", &[("operator", o.as_str())]));
        let mut rows = vec![worst, must(self.line_state(rest, ctx)), must(operator.unwrap_or_default())];
        rows.extend(others);
        rows.extend([whole(ctx.shop.clone()), whole(self.get("idle-ready", &[]))]);
        rows
    }
    fn log_on(self, rest: &Rest, ctx: &ScreenContext) -> Vec<Row> {
        let (worst, others) = self.troubles(rest);
        let ask = self.get("operator-log-on", &[]);
        let mut rows = vec![worst, must(ask), must(self.line_state(rest, ctx))];
        rows.extend(others);
        rows.push(whole(ctx.shop.clone()));
        rows
    }

    fn confirm(self, kind: Kind, amount: Option<Money>) -> Vec<Row> {
        let ask = if kind == Kind::Sale {
            self.get("confirm-sale", &[])
        } else {
            self.get("confirm-kind", &[("kind", &self.word(kind))])
        };
        vec![
            must(amount.map(|a| self.amount_text(a)).unwrap_or_default()),
            must(ask),
            whole(amount.map(|a| self.amount_in_words(a)).unwrap_or_default()),
            must(self.get("confirm-keys", &[])),
        ]
    }

    /// `asked`: the payment that a card or code is asked for. Presenting something is the choice where both
    /// are offered; the keys only narrow it.
    fn present(self, modes: &[EntryMode], problem: &Option<String>, asked: String) -> Vec<Row> {
        let t = |id: &str| self.get(id, &[]);
        let mut cards: Vec<EntryMode> = modes.iter().copied().filter(|m| m.row().card).collect();
        // The number is keyed in where the card cannot be read: nobody is invited to that first.
        if cards.len() > 1 {
            cards.retain(|m| *m != EntryMode::Manual);
        }
        let words: Vec<String> = cards.into_iter().map(|m| self.mode(m)).collect();
        let code = modes.contains(&EntryMode::Code);
        let mut page = vec![must(asked), must(self.failed(problem))];
        page.push(must(match (words.split_last(), code) {
            (None, false) => t("present-none"),
            (None, true) => t("present-code"),
            (Some((last, [])), false) => capital(last),
            (Some((last, front)), false) => {
                let front = front.join(&t("list-separator"));
                capital(&[front, t("list-last"), last.clone()].concat())
            }
            (Some(_), true) => {
                self.get("choose-card", &[("modes", &capital(&words.join(&t("list-separator"))))])
            }
        }));
        if !words.is_empty() && code {
            page.extend([must(t("choose-code")), whole(t("choose-wallets"))]);
        }
        page
    }

    /// The question, and as many names as have room beside it, each with its key.
    fn applications(self, amount: Option<Money>, names: &[String], first: u32) -> Vec<Row> {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let mut rows: Vec<Row> = if let [one] = names {
            vec![must(one.clone()), must(self.get("application-confirm", &[]))]
        } else {
            let more = if names.len() > 3 { "applications-more" } else { "applications" };
            let shown = names.iter().skip(first).take(3).enumerate();
            let lines = shown.map(|(n, name)| must(format!("{} {name}", n + 1)));
            [must(self.get(more, &[]))].into_iter().chain(lines).collect()
        };
        rows.push(whole(amount.map(|a| self.amount_text(a)).unwrap_or_default()));
        rows
    }

    fn mode(self, mode: EntryMode) -> String {
        let id = match mode {
            EntryMode::Swipe => "present-mode-swipe",
            EntryMode::Chip => "present-mode-chip",
            EntryMode::Contactless => "present-mode-contactless",
            EntryMode::Code => "present-code",
            EntryMode::Manual => "present-mode-manual",
        };
        self.get(id, &[])
    }

    /// `owed`: the obligation that must be answered first. What its bank answered is none of this customer's.
    fn wait(self, what: &str, until: Time, owed: Option<&Owed>, ctx: &ScreenContext) -> Vec<Row> {
        let left = |t: Time| self.time_left(seconds(ctx.now, t));
        let what = self.find(&format!("wait-{what}"), &[]).unwrap_or_else(|| self.get("wait-unknown", &[]));
        let patience = match seconds(ctx.now, until) {
            0 => self.get("wait-please", &[]),
            s => self.get("wait-seconds", &[("s", &s.to_string())]),
        };
        let mut rows = vec![must(what), must(patience)];
        if let Some(o) = owed.filter(|_| ctx.audience == Audience::Cashier) {
            let last = o.last_code.clone().unwrap_or_else(|| self.get("wait-no-answer", &[]));
            rows.push(cut(self.get(
                "wait-owed",
                &[("n", &o.tries.to_string()), ("last", &last), ("time", &left(o.next_try))],
            )));
            rows.extend(o.deadline.map(|d| cut(self.get("wait-deadline", &[("time", &left(d))]))));
        }
        rows
    }

    /// `95 s`, `about 3 min`: nobody counts more seconds than two minutes have.
    fn time_left(self, seconds: i64) -> String {
        let (id, n) =
            if seconds <= 120 { ("left-seconds", seconds) } else { ("left-minutes", (seconds + 59) / 60) };
        self.get(id, &[("n", &n.to_string())])
    }

    /// What a supervisor is asked to allow comes first. A failed try gives way to the next one's stars.
    fn password(self, screen: &Screen) -> Vec<Row> {
        let Screen::Password { operator, purpose, kind, amount, voucher, asked_by, digits, problem } = screen
        else {
            return Vec::new();
        };
        let typed = self
            .get("operator-password", &[("operator", operator.as_str()), ("stars", &stars(*digits, STARS))]);
        let (voucher, by) = (voucher.map(|v| v.to_string()), asked_by.as_deref());
        let about = [
            kind.map(|k| self.word(k)),
            voucher.map(|v| self.get("approve-voucher", &[("voucher", &v)])),
            by.map(|o| self.get("approve-operator", &[("operator", o)])),
        ];
        let about = about.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let mut rows = vec![must(amount.map(|a| self.amount_text(a)).unwrap_or_default()), must(about)];
        let failed = self.failed(problem);
        let purpose_row = self.word(*purpose);
        if !failed.is_empty() {
            let (first, second) =
                if *digits == 0 { (must(failed), cut(typed)) } else { (must(typed), cut(failed)) };
            rows.extend([first, second, whole(purpose_row)]);
        } else if kind.is_some() {
            rows.extend([must(typed), whole(purpose_row)]);
        } else {
            rows.extend([must(purpose_row), must(typed)]);
        }
        rows.push(whole(self.get(password_hint(operator, *purpose), &[])));
        rows
    }

    fn locked(
        self,
        lock: &TerminalLock,
        digits: u8,
        problem: &Option<String>,
        ctx: &ScreenContext,
    ) -> Vec<Row> {
        let challenge = lock.challenge.as_deref().map(|c| self.get("locked-challenge", &[("challenge", c)]));
        let typed = if digits > 0 {
            self.get("locked-code", &[("stars", &stars(digits, STARS))])
        } else {
            self.failed(problem)
        };
        let wait = match seconds(ctx.now, lock.not_before) {
            s if s > 0 && lock.wrong > 0 => self.get("locked-seconds", &[("s", &s.to_string())]),
            _ => String::new(),
        };
        vec![
            must(self.get("locked", &[])),
            must(challenge.unwrap_or_default()),
            must(typed),
            must(wait),
            whole(self.phone(ctx)),
        ]
    }

    fn failed(self, problem: &Option<String>) -> String {
        problem.as_deref().map(|p| self.problem(p)).unwrap_or_default()
    }

    fn result(self, outcome: &Outcome, ctx: &ScreenContext) -> Vec<Row> {
        let t = |id: &str| self.get(id, &[]);
        let amount = outcome.sums.amount_money().map(|a| self.amount_text(a)).unwrap_or_default();
        let (reason, next) = self.reason_for(outcome, ctx.audience);
        let mut rows = vec![must(amount)];
        match outcome.status {
            Status::Approved => rows.extend(self.done(outcome, ctx, reason, next)),
            Status::Unknown => {
                // The advice of the kind, where that of a sale would be wrong.
                if outcome.kind.row().recovery == Recovery::ManualResolution
                    || outcome.kind.row().marks_original == Mark::Voided
                {
                    rows.extend([must(next), cut(reason)]);
                } else {
                    let open = match outcome.answer_by.map_or(0, |by| seconds(ctx.now, by)) {
                        0 => t("result-unknown-open"),
                        s => self.get("result-unknown-in", &[("time", &self.time_left(s))]),
                    };
                    rows.extend([must(t("result-unknown")), must(open), cut(reason)]);
                }
            }
            Status::Running => rows.push(must(t("result-running"))),
            Status::Declined if hides(outcome, ctx.audience) => rows.push(must(t(refusal(outcome)))),
            Status::Declined | Status::Cancelled | Status::Failed => {
                rows.extend([must(t(not_done(outcome))), cut(reason), cut(next)]);
            }
        }
        if outcome.entry == Some(EntryMode::Chip) && outcome.status != Status::Running {
            rows.push(whole(t("result-take-card")));
        }
        if matches!(outcome.status, Status::Unknown | Status::Declined | Status::Failed) {
            rows.push(whole(self.service(outcome, ctx)));
        }
        rows
    }

    /// An approval: what was done, and with what.
    fn done(self, outcome: &Outcome, ctx: &ScreenContext, reason: String, next: String) -> Vec<Row> {
        let sum = |id: &str, value: Option<String>| {
            let amount = value.map(|v| self.signed_text(&v, outcome.sums.currency));
            amount.map(|a| self.get(id, &[("amount", &a)])).unwrap_or_default()
        };
        let head = if not_balanced(outcome) {
            self.get("result-not-balanced", &[])
        } else if outcome.kind == Kind::Sale {
            self.get("result-approved", &[])
        } else {
            self.get("result-kind-approved", &[("kind", &self.word(outcome.kind))])
        };
        let payer = outcome.masked_pan.as_deref().map(|pan| match outcome.wallet {
            Some(wallet) => format!("{} {pan}", self.word(wallet)),
            None => self.get("result-card", &[("pan", pan)]),
        });
        // The merchant's own business.
        let fee = outcome.sums.fee_text().filter(|_| ctx.audience == Audience::Cashier);
        vec![
            must(head),
            must(sum("result-balance", outcome.sums.balance_text())),
            cut(reason),
            cut(next),
            whole(payer.unwrap_or_default()),
            whole(sum("result-fee", fee)),
        ]
    }

    /// Reason and what to do next, as this audience may see them. What it holds in detail is for the outcome.
    fn reason_for(self, outcome: &Outcome, audience: Audience) -> (String, String) {
        let Some(reason) = outcome.reason.as_ref().filter(|_| !hides(outcome, audience)) else {
            return Default::default();
        };
        let mut shown = Outcome { reason: Some(reason.clone()), ..outcome.clone() };
        if let Some(reason) = &mut shown.reason {
            reason.detail = None;
        }
        let next = self.on_screen(&self.next_id(outcome.kind, outcome.status, &reason.code));
        self.fill(&mut shown);
        let Some(filled) = shown.reason else { return Default::default() };
        (self.reason_text(&filled), next.unwrap_or(filled.next))
    }

    /// A failed try: a text of its own, or the reason of that name.
    fn problem(self, id: &str) -> String {
        let own =
            self.find(&format!("problem-{id}"), &[]).or_else(|| self.find(&format!("reason-{id}"), &[]));
        own.unwrap_or_else(|| self.get("problem-unknown", &[]))
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

/// The bank's reason of a customer's own payment is between the customer and the bank.
fn hides(outcome: &Outcome, audience: Audience) -> bool {
    audience == Audience::Customer
        && outcome.kind.row().authorisation
        && outcome.reason.as_ref().is_some_and(|r| r.code.starts_with("host-"))
}

/// Text id of a bank's refusal, for the customer.
fn refusal(outcome: &Outcome) -> &'static str {
    match outcome.kind.row().marks_original {
        Mark::Refunded => "customer-not-refunded",
        Mark::Voided => "customer-not-voided",
        Mark::None | Mark::Completed | Mark::Adjusted if outcome.wallet.is_some() => {
            "customer-declined-wallet"
        }
        Mark::None | Mark::Completed | Mark::Adjusted => "customer-declined",
    }
}

/// Text id of what did not come about.
fn not_done(outcome: &Outcome) -> &'static str {
    match (outcome.kind.row().marks_original, outcome.status) {
        (Mark::Refunded, _) => "result-not-refunded",
        (Mark::Voided, _) => "result-not-voided",
        (_, Status::Declined) => "result-declined",
        (_, Status::Cancelled) => "result-cancelled",
        (_, _) => "result-failed",
    }
}

/// A batch that was closed, and whose totals the acquirer does not share.
pub(crate) fn not_balanced(outcome: &Outcome) -> bool {
    let verdict = outcome.settlement.as_deref().and_then(Settlement::verdict);
    outcome.status == Status::Approved && verdict.is_some_and(|v| v != Verdict::Balanced)
}

fn password_hint(operator: &OperatorId, purpose: Purpose) -> &'static str {
    match (purpose, operator.role()) {
        (Purpose::New | Purpose::NewAgain, _) => "operator-keys",
        (
            Purpose::LogOn | Purpose::Change | Purpose::Manage | Purpose::Approve | Purpose::WriteOff,
            Role::Supervisor,
        ) => "operator-type-supervisor",
        (Purpose::LogOn | Purpose::Change | Purpose::Manage | Purpose::Approve | Purpose::WriteOff, _) => {
            "operator-type"
        }
    }
}

/// Whole seconds from now on, none that has begun left out; 0: the time is over.
fn seconds(now: Time, until: Time) -> i64 {
    (until.since(now).0.max(0) + 999) / 1000
}

/// Begins with a capital letter, where the script has them.
fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|c| c.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// `HH:MM`.
pub(crate) fn clock(at: Time, zone: &Zone) -> String {
    let t = zone.local(at);
    format!("{:02}:{:02}", t.hour(), t.minute())
}
