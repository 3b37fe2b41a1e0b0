//! The terminal's care for itself: the self-test's report, the language, a journal that is damaged.
use crate::{Call, Effect, Machine, papers::room_for_papers};
use payterm_schema::{
    Notice, PaperRecord, Screen, SelfTest, TerminalRecord,
    config::Language,
    paper::{PaperContent, PaperJob, PaperKind},
};

impl Machine {
    /// Shown for as long as a result, but to nobody's customer.
    pub(crate) fn self_tested(&mut self, call: Call, report: SelfTest, print: bool) {
        let cx = &mut self.cx;
        cx.record(None, TerminalRecord::SelfTested { report: Box::new(report.clone()) });
        if print && cx.settings.printer && room_for_papers(cx) {
            let content = PaperContent::SelfTest(Box::new(report.clone()));
            let job = PaperJob::new(cx.state.last_job + 1, PaperKind::SelfTestSlip, 0, content);
            cx.record(None, PaperRecord::Queued { job: Box::new(job) });
        }
        cx.answer(call, Ok(()));
        cx.tell(Notice::SelfTest { report: Box::new(report.clone()) });
        let rests = matches!(
            self.screen(),
            Screen::Idle(_)
                | Screen::LogOn(_)
                | Screen::Onboarding { .. }
                | Screen::SelfTest { .. }
                | Screen::Trouble { .. }
        );
        if rests && self.cx.state.running.is_none() {
            self.display.show(&self.cx, Screen::SelfTest { report: Box::new(report) });
        }
    }

    pub(crate) fn set_language(&mut self, call: Call, language: Language, by: String) {
        self.cx.record(None, TerminalRecord::LanguageSet { language, by });
        self.cx.answer(call, Ok(()));
        self.cx.effect(Effect::Speak(language));
        self.cx.tell(Notice::Language { language });
        let screen = self.screen();
        self.cx.tell(Notice::Screen { screen });
        self.display.redraw = true;
    }

    /// What runs goes on; nothing new begins.
    pub(crate) fn journal_damaged(&mut self, why: String) {
        self.cx.damaged = Some(why);
        self.rest();
    }
}
