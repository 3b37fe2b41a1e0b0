//! The self-test's report as texts.
use crate::{Align, Line, Paper, Size, SlipContext, Texts, clean};
use payterm_schema::{
    SelfTest,
    selftest::{CERTIFICATE_ENDS, LINE_PRIVATE, SelfTestItem, Verdict},
};

impl Texts {
    /// Puts reason and remedy of each item in this language.
    pub fn fill_self_test(self, report: &mut SelfTest) {
        for item in &mut report.items {
            let facts: Vec<(String, String)> =
                item.facts.iter().map(|(k, v)| (k.clone(), clean(v))).collect();
            let args: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let code = clean(&item.code);
            item.reason = self
                .find(&format!("found-{code}"), &args)
                .unwrap_or_else(|| self.get("found-unknown", &[("code", &code)]));
            item.remedy = match item.verdict {
                Verdict::Passed => String::new(),
                Verdict::Degraded | Verdict::Failed => self
                    .find(&format!("remedy-{code}"), &args)
                    .unwrap_or_else(|| self.get("remedy-unknown", &[])),
            };
        }
    }

    /// `Printer printer`, `Clock`.
    pub fn part_name(self, item: &SelfTestItem) -> String {
        [self.word(item.part), clean(&item.name)].join(" ").trim_end().to_owned()
    }

    /// Every part with its verdict; below what did not pass its reason and remedy.
    pub(crate) fn self_test_slip(self, report: &SelfTest, ctx: &SlipContext) -> Paper {
        let mut report = report.clone();
        self.fill_self_test(&mut report);
        let head =
            |id: &str, size| Line::Text { text: self.get(id, &[]), align: Align::Center, size, bold: true };
        let text = |text: String| Line::Text { text, align: Align::Left, size: Size::Normal, bold: false };
        let row = |left: String, right: String, bold| Line::Row { left, right, bold };
        let heads = [(report.test, "slip-test"), (ctx.duplicate, "slip-duplicate")];
        let mut lines: Vec<Line> =
            heads.into_iter().filter(|(on, _)| *on).map(|(_, id)| head(id, Size::Normal)).collect();
        lines.extend([head("slip-self-test-title", Size::Normal), Line::Rule]);
        lines.push(row(self.get("slip-time", &[]), ctx.time(report.at), false));
        lines.push(row(self.get("slip-status", &[]), self.word(report.verdict), true));
        lines.push(Line::Rule);
        for item in &report.items {
            lines.push(row(self.part_name(item), self.word(item.verdict), item.verdict > Verdict::Passed));
            if item.verdict > Verdict::Passed {
                lines.extend([text(item.reason.clone()), text(item.remedy.clone())]);
            } else if [LINE_PRIVATE, CERTIFICATE_ENDS].contains(&item.code.as_str()) {
                lines.push(text(item.reason.clone()));
            }
        }
        if !ctx.service_phone.is_empty() {
            lines.extend([Line::Rule, row(self.get("slip-phone", &[]), clean(&ctx.service_phone), false)]);
        }
        lines.extend([Line::Feed(3), Line::Cut]);
        Paper { lines }
    }

    /// The page of a display: the verdict, then what did not pass, the worst first. What a system says of
    /// itself is for the report.
    pub(crate) fn self_test_page(self, report: &SelfTest) -> Vec<String> {
        let mut report = report.clone();
        self.fill_self_test(&mut report);
        let mut lines = vec![self.get("self-test-title", &[("verdict", &self.word(report.verdict))])];
        report.items.retain(|i| i.verdict > Verdict::Passed);
        report.items.sort_by_key(|i| std::cmp::Reverse(i.verdict));
        for item in &report.items {
            let verdict = self.word(item.verdict);
            let reason = if item.facts.contains_key("why") { &verdict } else { &item.reason };
            lines.push(self.get("self-test-line", &[("part", &self.part_name(item)), ("reason", reason)]));
            let remedy = self.find(&format!("screen-remedy-{}", clean(&item.code)), &[]);
            lines.push(remedy.unwrap_or_else(|| item.remedy.clone()));
        }
        lines
    }
}
