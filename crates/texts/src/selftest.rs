//! The self-test's report as texts.
use crate::{Texts, clean};
use payterm_schema::{
    SelfTest,
    selftest::{SelfTestItem, Verdict},
};

impl Texts {
    /// Puts reason and remedy of each item in this language.
    pub fn fill_self_test(self, report: &mut SelfTest) {
        for item in &mut report.items {
            let facts: Vec<(String, String)> = item.facts.iter().map(|(k, v)| (k.clone(), clean(v))).collect();
            let args: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let code = clean(&item.code);
            item.reason = self.find(&format!("found-{code}"), &args).unwrap_or_else(|| self.get("found-unknown", &[("code", &code)]));
            item.remedy = match item.verdict {
                Verdict::Passed => String::new(),
                Verdict::Degraded | Verdict::Failed => self.find(&format!("remedy-{code}"), &args).unwrap_or_else(|| self.get("remedy-unknown", &[])),
            };
        }
    }

    /// `Printer printer`, `Clock`.
    pub fn part_name(self, item: &SelfTestItem) -> String {
        [self.word(item.part), clean(&item.name)].join(" ").trim_end().to_owned()
    }

    /// The page of a display: the verdict, then what did not pass, the worst first.
    pub(crate) fn self_test_page(self, report: &SelfTest) -> Vec<String> {
        let mut report = report.clone();
        self.fill_self_test(&mut report);
        let mut lines = vec![self.get("self-test-title", &[("verdict", &self.word(report.verdict))])];
        report.items.retain(|i| i.verdict > Verdict::Passed);
        report.items.sort_by_key(|i| std::cmp::Reverse(i.verdict));
        for item in &report.items {
            lines.push(self.get("self-test-line", &[("part", &self.part_name(item)), ("reason", &item.reason)]));
            lines.push(item.remedy.clone());
        }
        lines
    }
}
