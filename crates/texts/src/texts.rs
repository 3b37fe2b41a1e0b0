//! Fluent messages by id.
use fluent_bundle::{FluentArgs, FluentResource, concurrent::FluentBundle};
use payterm_schema::{
    Kind, Outcome, Status,
    config::Language,
    kind::Mark,
    outcome::{Class, Reason},
};
use std::sync::OnceLock;
use unic_langid::langid;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_width::UnicodeWidthChar;

type Bundle = FluentBundle<FluentResource>;

macro_rules! locale {
    ($tag:literal) => {
        [
            include_str!(concat!("../locales/", $tag, "/reasons.ftl")),
            include_str!(concat!("../locales/", $tag, "/host.ftl")),
            include_str!(concat!("../locales/", $tag, "/words.ftl")),
            include_str!(concat!("../locales/", $tag, "/screens.ftl")),
            include_str!(concat!("../locales/", $tag, "/slips.ftl")),
            include_str!(concat!("../locales/", $tag, "/cli.ftl")),
            include_str!(concat!("../locales/", $tag, "/journal.ftl")),
            include_str!(concat!("../locales/", $tag, "/selftest.ftl")),
            include_str!(concat!("../locales/", $tag, "/faults.ftl")),
            include_str!(concat!("../locales/", $tag, "/onboarding.ftl")),
            include_str!(concat!("../locales/", $tag, "/emv.ftl")),
        ]
    };
}
/// The files of each language, in the same order.
pub(crate) const ZH_CN: [&str; 11] = locale!("zh-CN");
pub(crate) const EN: [&str; 11] = locale!("en");
/// Which of them has the sentences of the card kernel.
pub(crate) const EN_EMV: usize = 10;

/// The texts of one language. Copies freely; a language is parsed once a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Texts {
    language: Language,
}

impl Texts {
    pub fn new(language: Language) -> Self {
        Self { language }
    }
    pub fn language(self) -> Language {
        self.language
    }

    /// The text of `id`, with its `{ $name }` places filled in. An id that is in no file comes back as
    /// itself: a face shows something greppable and never panics.
    pub fn get(self, id: &str, args: &[(&str, &str)]) -> String {
        self.find(id, args).unwrap_or_else(|| clean(id))
    }

    /// The text of `id`, none when no file has it.
    pub fn find(self, id: &str, args: &[(&str, &str)]) -> Option<String> {
        let bundle = bundle(self.language);
        let pattern = bundle.get_message(id)?.value()?;
        let args: FluentArgs = args.iter().map(|(k, v)| (*k, *v)).collect();
        // A place without an argument stays as `{$name}`: the errors say nothing more.
        Some(bundle.format_pattern(pattern, Some(&args), &mut Vec::new()).into_owned())
    }

    /// Puts `text` and `next` (what the cashier does now) in this language. A host code without texts of its
    /// own gets `reason-host-unknown` with the code, or, by its class, the text of a success or of a pending
    /// payment.
    pub fn fill_reason(self, reason: &mut Reason) {
        let code = clean(&reason.code);
        let f39 = code.strip_prefix("host-");
        let shown = f39.unwrap_or(&code);
        let fallback = match (f39, reason.class) {
            // Another acquirer's success must not read as a refusal.
            (Some(_), Class::A) => "host-11",
            (Some(_), Class::P) => "host-09",
            (Some(_), Class::B | Class::C | Class::D | Class::E) => "host-unknown",
            (None, _) => "unknown",
        };
        let args = [("code", shown)];
        let of = |what: &str| {
            let own = self.find(&format!("{what}-{code}"), &args);
            own.unwrap_or_else(|| self.get(&format!("{what}-{fallback}"), &args))
        };
        reason.text = of("reason");
        if let Some(detail) = reason.detail.as_deref().map(clean) {
            reason.text = self.get("reason-with-detail", &[("text", &reason.text), ("detail", &detail)]);
        }
        reason.next = of("next");
    }

    /// [`Texts::fill_reason`] for the reason of an outcome, if it has one. The advice is that of its kind
    /// where a sale's would be wrong.
    pub fn fill(self, outcome: &mut Outcome) {
        let (kind, status) = (outcome.kind, outcome.status);
        if let Some(reason) = &mut outcome.reason {
            self.fill_reason(reason);
            if let Some(next) = self.next_of(kind, status, &reason.code) {
                reason.next = self.get(&next, &[]);
            }
            // Of money that was to go back, nobody expects a charge.
            let back = match kind.row().marks_original {
                Mark::Refunded => "nothing-refund",
                Mark::Voided => "nothing-undo",
                Mark::None | Mark::Completed | Mark::Adjusted => return,
            };
            if let Some(rest) = reason.next.strip_prefix(&self.get("nothing-charged", &[])) {
                reason.next = self.get(back, &[]) + rest;
            }
        }
    }

    /// Id of the advice for what to do next.
    pub(crate) fn next_id(self, kind: Kind, status: Status, code: &str) -> String {
        self.next_of(kind, status, code).unwrap_or_else(|| format!("next-{}", clean(code)))
    }

    /// Id of a kind's own advice: money that goes back, and questions.
    fn next_of(self, kind: Kind, status: Status, code: &str) -> Option<String> {
        // Ended before anything was sent, by people or by time.
        let nothing = code.ends_with("-timeout")
            || code.starts_with("cancelled-by-")
            || matches!(
                code,
                "caller-lost" | "not-confirmed" | "not-sent" | "interrupted" | "too-many-tries"
            );
        let group = match kind.row().marks_original {
            Mark::Voided => "undo",
            Mark::Refunded => "refund",
            // What has no text of its own is a payment.
            Mark::None | Mark::Completed | Mark::Adjusted => kind.name(),
        };
        let what = match status {
            Status::Unknown if code == "stuck" && group == "undo" => "stuck",
            Status::Unknown if code == "stuck" => return None,
            Status::Unknown => "doubt",
            Status::Declined if code == "reversed" => "reversed",
            Status::Declined if code.starts_with("host-") => "refused",
            Status::Failed | Status::Cancelled if nothing => "nothing",
            Status::Running | Status::Approved | Status::Declined | Status::Failed | Status::Cancelled => {
                return None;
            }
        };
        let id = format!("next-kind-{what}-{group}");
        self.find(&id, &[]).map(|_| id)
    }
}

fn bundle(language: Language) -> &'static Bundle {
    static BUNDLES: [OnceLock<Bundle>; 2] = [const { OnceLock::new() }; 2];
    let (slot, tag, files) = match language {
        Language::ZhCn => (0, langid!("zh-CN"), ZH_CN),
        Language::En => (1, langid!("en"), EN),
    };
    BUNDLES[slot].get_or_init(|| {
        let mut bundle = Bundle::new_concurrent(vec![tag]);
        // Fluent's bidirectional isolation marks are invisible characters; papers and displays must not get
        // any.
        bundle.set_use_isolating(false);
        for text in files {
            // What parses is used; a broken entry or a double id is a failing test, not a broken terminal.
            let resource = FluentResource::try_new(text.into()).unwrap_or_else(|(partial, _)| partial);
            bundle.add_resource_overriding(resource);
        }
        bundle
    })
}

/// Text as one visible line: composed (NFC); control characters and spaces of all kinds become spaces;
/// characters without width (joiners, direction overrides, which can make an amount read differently) are
/// left out. A mark that composes with nothing is shown as U+FFFD: without it another word would stand there.
pub fn clean(text: &str) -> String {
    text.nfc()
        .filter_map(|c| match c {
            '\u{2028}' | '\u{2029}' => Some(' '),
            // No-break and thin ones.
            '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' => Some(' '),
            c if c.is_control() => Some(' '),
            // Variants of the same character.
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => None,
            c if is_combining_mark(c) && c.width() == Some(0) => Some(char::REPLACEMENT_CHARACTER),
            c => c.width().is_some_and(|w| w > 0).then_some(c),
        })
        .collect()
}
