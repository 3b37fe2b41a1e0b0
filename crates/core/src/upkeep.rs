//! The terminal's care for itself: the self-test's report, an echo to an idle account, the language.
use crate::{Effect, Machine, links::Purpose};
use payterm_schema::{
    AccountId, AccountRecord, Fault, HostEvent, Kind, Notice, PaperRecord, Screen, SelfTest, TerminalRecord,
    config::Language,
    host::{MessageKind, SecretsFrom},
    outcome::Class,
    paper::{PaperContent, PaperJob, PaperKind},
};

/// How long a self-test waits for the echo's answer: a customer who comes meanwhile waits for it too.
const PROBE_MS: u32 = 5_000;

impl Machine {
    /// Shown for as long as a result, but to nobody's customer.
    pub(crate) fn self_tested(&mut self, call: u64, report: SelfTest, print: bool) {
        self.record(None, TerminalRecord::SelfTested { report: Box::new(report.clone()) });
        if print && self.settings.printer && self.room_for_papers() {
            let job = PaperJob::new(
                self.state.last_job + 1,
                PaperKind::SelfTestSlip,
                0,
                PaperContent::SelfTest(Box::new(report.clone())),
            );
            self.record(None, PaperRecord::Queued { job: Box::new(job) });
        }
        self.answer(call, Ok(()));
        self.tell(Notice::SelfTest { report: Box::new(report.clone()) });
        if self.state.running.is_none()
            && matches!(
                self.screen(),
                Screen::Idle
                    | Screen::LogOn
                    | Screen::Onboarding { .. }
                    | Screen::SelfTest { .. }
                    | Screen::Trouble { .. }
            )
        {
            self.show_result(Screen::SelfTest { report: Box::new(report) });
        }
    }

    pub(crate) fn set_language(&mut self, call: u64, language: Language, by: String) {
        self.record(None, TerminalRecord::LanguageSet { language, by });
        self.answer(call, Ok(()));
        self.effect(Effect::Speak(language));
        self.tell(Notice::Language { language });
        self.tell(Notice::Screen { screen: self.screen() });
        self.redraw = true;
    }

    /// An echo, when nothing else goes on: `Busy` says that the account has better to do, `WrongState` that
    /// the host answered with a failure, `Unreachable` that it did not answer.
    pub(crate) fn probe(&mut self, call: u64, id: &AccountId) {
        let Some(settings) = self.account(id) else {
            return self.answer(call, Err(Fault::not_found("account", id.as_str())));
        };
        let ms =
            PROBE_MS.min(settings.config.connect_timeout_ms.saturating_add(settings.config.reply_timeout_ms));
        if self.state.running.is_some() || self.in_front(id).is_some() {
            return self.answer(call, Err(Fault::Busy { running: None }));
        }
        let plan = self.control_plan(id, Kind::Echo);
        self.record(None, AccountRecord::ControlSent { account: id.clone(), plan: Box::new(plan.clone()) });
        self.send_within(
            id,
            Purpose::Probe { call },
            MessageKind::Request,
            plan,
            SecretsFrom::None,
            None,
            ms,
        );
    }

    pub(crate) fn probed(&mut self, id: &AccountId, call: u64, event: HostEvent) {
        let result = match event {
            HostEvent::Reply { answer, .. } | HostEvent::Late { answer, .. }
                if self.class(id, &answer.code) == Class::A =>
            {
                Ok(())
            }
            HostEvent::Reply { answer, .. } | HostEvent::Late { answer, .. } => {
                Err(Fault::WrongState { rule: format!("the host answered {}", answer.code) })
            }
            HostEvent::Unbuildable { why } => Err(Fault::invalid("echo", &why)),
            HostEvent::NotSent { why } | HostEvent::NoReply { why, .. } => {
                Err(Fault::Unreachable { cause: why })
            }
        };
        self.answer(call, result);
    }
}
