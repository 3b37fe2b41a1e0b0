//! Faults as sentences. A fault carries its rule in English; its text is found by the rule's own words.
use crate::{Texts, clean};
use payterm_schema::{Currency, Fault};

impl Texts {
    /// The fault in this language; the name of a field stays as it is in requests and files.
    pub fn fault(self, fault: &Fault) -> String {
        let rule = |r: &str| self.rule(r);
        let get = |id: &str, args: &[(&str, &str)]| self.get(id, args);
        match fault {
            Fault::Invalid { field, rule: r } => {
                get("fault-invalid", &[("field", &clean(field)), ("rule", &rule(r))])
            }
            Fault::Busy { running: None } => get("fault-busy", &[]),
            Fault::Busy { running: Some(id) } => get("fault-busy-own", &[("id", &clean(id))]),
            Fault::KeyReused { id } => get("fault-key-reused", &[("id", &clean(id))]),
            Fault::NotFound { what, name } => {
                let what = self.find(&format!("what-{}", rule_id(what)), &[]).unwrap_or_else(|| clean(what));
                get("fault-not-found", &[("what", &what), ("name", &clean(name))])
            }
            Fault::NotAllowed { rule: r } => get("fault-not-allowed", &[("rule", &rule(r))]),
            Fault::TooLate { rule: r } => get("fault-too-late", &[("rule", &rule(r))]),
            Fault::NotActivated => get("fault-not-activated", &[]),
            Fault::WrongState { rule: r } => get("fault-wrong-state", &[("rule", &rule(r))]),
            Fault::NoAccount { currency } => get("fault-no-account", &[("currency", &clean(currency))]),
            Fault::Original { rule: r } => get("fault-original", &[("rule", &rule(r))]),
            Fault::NotLoggedOn => get("fault-not-logged-on", &[]),
            Fault::TerminalLocked => get("fault-terminal-locked", &[]),
            Fault::OperatorLocked { operator } => {
                get("fault-operator-locked", &[("operator", &clean(operator))])
            }
            Fault::NotDone { rule: r } => get("fault-not-done", &[("rule", &rule(r))]),
            Fault::StoreFailed { id, cause } => {
                get("fault-store-failed", &[("id", &clean(id)), ("cause", &rule(cause))])
            }
            Fault::JournalRestored { id } => get("fault-journal-restored", &[("id", &clean(id))]),
            Fault::RequestLost { id } => get("fault-journal-restored-lost", &[("id", &clean(id))]),
            Fault::JournalDamaged { cause } => get("fault-journal-damaged", &[("cause", &clean(cause))]),
            Fault::DiskFull { free_mib, needed_mib } => get(
                "fault-disk-full",
                &[("free", &free_mib.to_string()), ("needed", &needed_mib.to_string())],
            ),
            Fault::Restarting { part } => get("fault-restarting", &[("part", &clean(part))]),
            Fault::ShuttingDown => get("fault-shutting-down", &[]),
            Fault::Management { problem, cause } => {
                get("fault-management", &[("problem", &self.word(*problem)), ("cause", &rule(cause))])
            }
            Fault::Unreachable { cause } => get("fault-unreachable", &[("cause", &rule(cause))]),
        }
    }

    /// A rule or cause in this language: by all its words, or by those before its list or its first colon.
    /// One without a text of its own stays in English.
    pub fn rule(self, rule: &str) -> String {
        if let Some(text) = self.own(rule) {
            return text;
        }
        // `one of a, b`, `exactly one of a, b`.
        if let Some((head, list)) = rule.split_once(" of ")
            && let Some(text) = self.find(&format!("rule-{}-of", rule_id(head)), &[("list", &clean(list))])
        {
            return text;
        }
        match rule.split_once(": ").map(|(head, rest)| (self.own(head), rest)) {
            Some((Some(head), rest)) => {
                self.get("rule-with-cause", &[("rule", &head), ("cause", &self.kernel(rest))])
            }
            Some((None, _)) | None => clean(rule),
        }
    }

    fn own(self, rule: &str) -> Option<String> {
        let (id, values) = parts(rule);
        let args: Vec<(&str, &str)> =
            values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.find(&format!("rule-{id}"), &args)
    }
}

/// The end of a rule's text id: its words in lower case with `-` between them; a number is `n`, a quoted text
/// `q`, a currency `c`.
pub fn rule_id(rule: &str) -> String {
    parts(rule).0
}

/// Text id of a rule and the values of its numbers: `n`, `n2`, `n3` ...
fn parts(rule: &str) -> (String, Vec<(String, String)>) {
    let (mut words, mut values): (Vec<String>, Vec<(String, String)>) = (Vec::new(), Vec::new());
    let mut take = |letter: &str, value: &str, words: &mut Vec<String>| {
        let before = words.iter().filter(|w| *w == letter).count();
        values.push((
            if before == 0 { letter.to_owned() } else { format!("{letter}{}", before + 1) },
            clean(value),
        ));
        words.push(letter.to_owned());
    };
    let mut rest = rule;
    while let Some(c) = rest.chars().next() {
        if let Some((quoted, after)) = rest.strip_prefix('\'').and_then(|r| r.split_once('\'')) {
            take("q", quoted, &mut words);
            rest = after;
        } else if c.is_ascii_alphanumeric() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word.bytes().all(|b| b.is_ascii_digit()) {
                take("n", word, &mut words);
            } else if word.len() == 3 && word.parse::<Currency>().is_ok() {
                take("c", word, &mut words);
            } else {
                words.push(word.to_ascii_lowercase());
            }
            // The apostrophe of "the caller's" begins no quotation.
            rest = after.strip_prefix('\'').unwrap_or(after);
        } else {
            rest = &rest[c.len_utf8()..];
        }
    }
    (words.join("-"), values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use payterm_schema::config::Language;

    #[test]
    fn rules_are_found_by_their_words() {
        assert_eq!(rule_id("1 to 64 characters of A-Z a-z 0-9 - _ ."), "n-to-n-characters-of-a-z-a-z-n-n");
        assert_eq!(
            rule_id("'1.2.3' is not a decimal number such as 12.34"),
            "q-is-not-a-decimal-number-such-as-n-n"
        );
        assert_eq!(
            rule_id("app: only managers see another app's transactions"),
            "app-only-managers-see-another-app-s-transactions"
        );
        assert_eq!(
            parts("the 2 decimals of CNY").1,
            [("n".to_owned(), "2".to_owned()), ("c".to_owned(), "CNY".to_owned())]
        );
        let zh = Texts::new(Language::ZhCn);
        assert_eq!(zh.fault(&Fault::invalid("amount", "more than zero")), "amount:须大于零");
        assert_eq!(zh.rule("no answer within 30 s"), "30 秒内无应答");
        assert_eq!(zh.rule("a rule of a later version"), "a rule of a later version");
        let en = Texts::new(Language::En);
        for rule in [
            "more than zero",
            "1 to 200",
            "'x' is not a decimal number such as 12.34",
            "bus policy: no",
            "it's '",
            "'''",
            "",
        ] {
            assert_eq!(en.rule(rule), rule);
        }
    }
}
