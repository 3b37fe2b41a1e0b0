//! The texts are complete in both languages, and stand in the files that translators edit.
use crate::common::*;
use payterm_schema::{
    Batch, Class, Currency, Fault, Kind, Outcome, Phase, Stan, Status,
    config::Language,
    device::{Confirm, DeviceKind, DeviceState},
    host::{EntryMode, Wallet},
    offline::{Check, OfflineRule},
    onboarding::{Problem, Product, Stage},
    operator::{Purpose, Role},
    outcome::{Authority, Forwarding, Reason},
    paper::{PaperKind, PaperState},
    record::ObligationState,
    selftest::{Part, Verdict},
    settlement::{self, Settlement, StuckLine, UnpaidLine},
};
use payterm_texts::{Texts, Word};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

const LANGUAGES: [Language; 2] = [Language::ZhCn, Language::En];

/// Every F39 of host-protocol section 9.
const HOST_CODES: &str = "00 10 11 A2 A4 A5 A6 01 02 05 03 04 07 34 35 37 41 43 67 06 98 09 13 14 12 22 25 \
30 15 31 40 33 36 42 45 51 52 53 \
     54 55 57 58 61 62 63 64 65 66 68 75 38 77 79 90 91 92 94 95 96 93 97 99 A0";

/// The terminal's own reason codes: the list that `core` uses.
const OWN_CODES: &str = "cancelled-by-customer cancelled-by-cashier cancelled-by-caller caller-lost \
not-confirmed not-approved present-timeout pin-timeout \
     prepare-timeout not-sent line-untrusted not-buildable no-reply reply-unusable mac-wrong \
     mac-absent answer-of-another payments-stopped interrupted reader-unavailable \
     pin-pad-unavailable too-many-tries pin-tries \
     chip-not-supported tap-not-supported code-unknown card-unreadable card-wrong-way typed-not-allowed \
     luhn amount-limit no-account \
     account-blocked not-signed-in sign-in-failed keys-refused keys-absent original-not-found \
     original-settled original-voided original-not-approved \
     reversed stuck partial-not-taken card-no-answer card-removed card-declined \
     card-interrupted card-refused-approval \
     card-gone-after-approval card-lied card-blocked no-application only-electronic-cash \
     store-failed internal code-not-for-kind pin-required \
     original-ambiguous printer-unavailable";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// id -> text of one language as it is written, and the ids that stand twice.
fn entries(language: Language) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut all, mut twice) = (BTreeMap::new(), Vec::new());
    for file in std::fs::read_dir(root().join("locales").join(language.tag()))
        .expect("locale")
        .map(|f| f.expect("file").path())
    {
        let source = std::fs::read_to_string(&file).expect("readable");
        let resource = fluent_bundle::FluentResource::try_new(source.clone())
            .unwrap_or_else(|(_, e)| panic!("{}: {e:?}", file.display()));
        let written =
            source.lines().filter_map(|l| l.split_once(" = ")).filter(|(id, _)| !id.starts_with([' ', '#']));
        let before = all.len();
        for (id, text) in written {
            if all.insert(id.to_owned(), text.to_owned()).is_some() {
                twice.push(id.to_owned());
            }
        }
        assert_eq!(
            all.len() - before,
            resource.entries().filter(|e| !format!("{e:?}").starts_with("Comment")).count(),
            "one line an entry: {}",
            file.display()
        );
    }
    (all, twice)
}

#[test]
fn both_languages_have_the_same_ids_and_places() {
    let [(zh, zh_twice), (en, en_twice)] = LANGUAGES.map(entries);
    assert_eq!((zh_twice, en_twice), (vec![], vec![]));
    assert!(zh.len() > 300, "{}", zh.len());
    // Numbers are spelt by the rules of each language.
    let common = |ids: &BTreeMap<String, String>| {
        ids.keys().filter(|id| !id.starts_with("numeral-")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(common(&zh), common(&en));
    let places = |text: &str| {
        text.match_indices("{ $")
            .map(|(at, _)| text[at..].split(' ').nth(1).unwrap_or_default().to_owned())
            .collect::<BTreeSet<_>>()
    };
    for (id, text) in zh.iter().filter(|(id, _)| !id.starts_with("numeral-")) {
        let (ours, theirs) = (places(text), places(&en[id]));
        // The currency of a yuan amount is in the Chinese word for it.
        assert!(ours == theirs || id == "amount-cny", "{id}: {ours:?} {theirs:?}");
    }
    // Every file is built in: each id is found by the program.
    for (language, ids) in [(Language::ZhCn, zh), (Language::En, en)] {
        for id in ids.keys() {
            let text = Texts::new(language)
                .find(id, &[("code", "c")])
                .unwrap_or_else(|| panic!("{id} is not built in"));
            assert!(!text.trim().is_empty(), "{id}");
        }
    }
}

#[test]
fn every_code_says_what_happened_and_what_to_do() {
    let host = HOST_CODES.split_whitespace().map(|c| format!("host-{c}"));
    let codes: Vec<String> = host.chain(OWN_CODES.split_whitespace().map(str::to_owned)).collect();
    assert_eq!(codes.len(), 63 + 60);
    for language in LANGUAGES {
        let texts = Texts::new(language);
        for code in &codes {
            for id in [format!("reason-{code}"), format!("next-{code}")] {
                let text = texts.find(&id, &[]).unwrap_or_else(|| panic!("{id} in {}", language.tag()));
                assert!(!text.contains('{') && !text.trim().is_empty(), "{id}: {text}");
                let chinese = text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
                assert_eq!(chinese, language == Language::ZhCn, "{id}: {text}");
            }
            let mut reason = Reason::new(code.clone(), Class::C);
            texts.fill_reason(&mut reason);
            assert_eq!(
                (reason.text, reason.next),
                (texts.get(&format!("reason-{code}"), &[]), texts.get(&format!("next-{code}"), &[]))
            );
        }
    }
}

/// The profile of section 9 and this test's list are the same set; a row of its table has one or more codes:
/// `"01 02 05"`.
#[test]
fn every_code_of_the_unionpay_profile_has_texts() {
    let table: toml::Table = std::fs::read_to_string(root().join("../hosts/profiles/unionpay.toml"))
        .expect("profile")
        .parse()
        .expect("TOML");
    let codes = table.get("codes").and_then(toml::Value::as_table).expect("codes");
    let codes: BTreeSet<&str> = codes.keys().flat_map(|k| k.split_whitespace()).collect();
    assert_eq!(codes, HOST_CODES.split_whitespace().collect());
}

/// The kebab-case literals of `core` are reasons, problems, waits and troubles.
#[test]
fn every_word_that_core_tells_has_a_text() {
    let mut files = Vec::new();
    rust_files(&root().join("../core/src"), &mut files);
    let mut words = BTreeSet::new();
    for file in files {
        let code = code_of(&std::fs::read_to_string(file).expect("readable"));
        let kebab = |w: &&str| {
            w.contains('-')
                && w.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
                && !w.starts_with('-')
                && !w.ends_with('-')
        };
        words.extend(code.lines().flat_map(|l| {
            l.split('"').skip(1).step_by(2).filter(kebab).map(str::to_owned).collect::<Vec<_>>()
        }));
    }
    words.remove("sign-off"); // why an account was signed out: a record's word, not shown
    assert!(words.len() > 20, "{words:?}");
    let texts = Texts::new(Language::En);
    let has = |w: &String| {
        ["reason", "problem", "wait", "trouble"]
            .iter()
            .any(|p| texts.find(&format!("{p}-{w}"), &[]).is_some())
    };
    let missing: Vec<_> = words.iter().filter(|w| !has(w)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn unknown_codes_and_ids_fall_back() {
    for language in LANGUAGES {
        let texts = Texts::new(language);
        let filled = |code: &str| {
            let mut reason = Reason::new(code, Class::C);
            texts.fill_reason(&mut reason);
            (reason.text, reason.next)
        };
        let (text, next) = filled("host-Z9");
        assert!(
            text.contains("Z9") && !text.contains("host-") && next == texts.get("next-host-unknown", &[]),
            "{text} {next}"
        );
        // A success of another acquirer is no refusal, a pending payment neither.
        for (class, like) in [
            (Class::A, "host-11"),
            (Class::P, "host-09"),
            (Class::B, "host-unknown"),
            (Class::D, "host-unknown"),
        ] {
            let mut reason = Reason::new("host-Z9", class);
            texts.fill_reason(&mut reason);
            assert_eq!(reason.text, texts.get(&format!("reason-{like}"), &[("code", "Z9")]), "{class:?}");
        }
        let (text, next) = filled("new-word");
        assert!(text.contains("new-word") && next == texts.get("next-unknown", &[]), "{text} {next}");
        for code in
            ["", "host-", "host-\u{1b}@", "\u{0}", "host-{$code}", "unknown", "host-unknown", "host-51 "]
        {
            let (text, next) = filled(code);
            assert!(!text.is_empty() && !next.is_empty() && !text.chars().any(char::is_control), "{code:?}");
        }
        for id in ["no-such-id", "", "-", "\n", "a.b"] {
            assert_eq!(texts.find(id, &[]), None);
            assert_eq!(texts.get(id, &[]), id.replace('\n', " "));
        }
        // Fluent's isolation marks would be invisible characters on paper.
        assert_eq!(
            texts
                .get("service-phone", &[("phone", "1")])
                .chars()
                .filter(|c| matches!(c, '\u{2066}'..='\u{2069}'))
                .count(),
            0
        );
    }
}

#[test]
fn every_word_is_there() {
    fn all<W: Word>() -> Vec<&'static str> {
        W::ALL.iter().map(|w| w.id()).collect()
    }
    let ids = [
        all::<Status>(),
        all::<Kind>(),
        all::<Phase>(),
        all::<EntryMode>(),
        all::<Wallet>(),
        all::<Role>(),
        all::<Purpose>(),
        all::<Authority>(),
        all::<Class>(),
        all::<DeviceKind>(),
        all::<DeviceState>(),
        all::<ObligationState>(),
        all::<PaperKind>(),
        all::<PaperState>(),
        all::<Confirm>(),
        all::<Verdict>(),
        all::<Part>(),
        all::<Stage>(),
        all::<Product>(),
        all::<Problem>(),
    ]
    .concat();
    // A part that is a device has the device's word.
    let shared = all::<Part>().into_iter().filter(|id| all::<DeviceKind>().contains(id)).count();
    assert_eq!(ids.len() - shared, ids.iter().collect::<BTreeSet<_>>().len());
    for (language, id) in LANGUAGES.into_iter().flat_map(|l| ids.iter().map(move |id| (l, id))) {
        assert!(Texts::new(language).find(id, &[]).is_some(), "{id}");
    }
    // The ids end in the schema's own names, so that a word and a JSON value are found by the same search.
    assert_eq!(Kind::ALL.map(|k| format!("kind-{}", k.name())).to_vec(), all::<Kind>());
    assert!(Status::ALL.iter().all(|s| s.id() == format!("status-{}", s.name())));
    assert!(Phase::ALL.iter().all(|p| p.id() == format!("phase-{}", p.name())));
    assert!(DeviceKind::ALL.iter().all(|d| d.id() == format!("device-{}", d.name())));
    assert_eq!(Stage::ALL.map(|s| format!("stage-{}", s.name())).to_vec(), all::<Stage>());
    assert_eq!(Problem::ALL.map(|p| format!("apply-problem-{p}")).to_vec(), all::<Problem>());
    assert_eq!(Texts::new(Language::ZhCn).word(Kind::Sale), "消费");
}

#[test]
fn every_text_that_code_and_templates_name_exists() {
    let (en, _) = entries(Language::En);
    let ids = |file: &Path, marks: [&str; 2]| -> Vec<String> {
        let source = std::fs::read_to_string(file).expect("readable");
        let mut found = Vec::new();
        for (at, _) in source.match_indices(marks[0]) {
            found.extend(source[at + marks[0].len()..].split_once(marks[1]).map(|(id, _)| id.to_owned()));
        }
        found
    };
    let mut named = BTreeSet::new();
    for file in
        std::fs::read_dir(root().join("templates")).expect("templates").map(|f| f.expect("file").path())
    {
        named.extend(ids(&file, ["t(\"", "\""]));
    }
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    for file in files {
        let prefixes = [
            "slip-",
            "label-",
            "result-",
            "present-",
            "pin-",
            "wait-",
            "confirm-",
            "test-",
            "status-",
            "kind-",
            "amount-",
            "list-",
            "operator-",
            "locked",
        ];
        named.extend(
            ids(&file, ["\"", "\""])
                .into_iter()
                .filter(|id| prefixes.iter().any(|p| id.starts_with(p)) && !id.contains(['{', ' '])),
        );
    }
    assert!(named.len() > 80, "{}", named.len());
    let missing: Vec<_> = named.iter().filter(|id| !en.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Removes `//` comments and what follows the first test module; blind to `//` inside strings, which is no
/// harm here.
fn code_of(source: &str) -> String {
    let shipped = source.split("#[cfg(test)]").next().unwrap_or_default();
    shipped.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().map(|e| e.expect("entry").path()) {
        if entry.is_dir() {
            rust_files(&entry, out);
        } else if entry.extension().is_some_and(|e| e == "rs")
            && entry.file_name().is_some_and(|n| n != "tests.rs")
        {
            out.push(entry);
        }
    }
}

/// The simulator is a bank, whose texts (F63) are its own.
#[test]
fn no_user_text_stands_in_code() {
    let mut files = Vec::new();
    for part in [
        "schema",
        "daemon",
        "dbus",
        "crates/core",
        "crates/hosts",
        "crates/vault",
        "crates/devices",
        "crates/texts",
        "crates/cli",
    ] {
        rust_files(&root().join("../..").join(part).join("src"), &mut files);
    }
    assert!(files.len() > 10);
    for file in &files {
        let code = code_of(&std::fs::read_to_string(file).expect("readable"));
        let found: Vec<_> = code
            .lines()
            .filter(|l| {
                !l.starts_with("six_digits!(")
                    && l.chars().any(|c| matches!(c, '\u{3000}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}'))
            })
            .collect();
        assert!(found.is_empty(), "{}: {found:?}", file.display());
    }
    // In this crate every sentence is a text: a literal of three words or more is one.
    for file in files.iter().filter(|f| f.starts_with(root().join("../..").join("crates/texts"))) {
        let code = code_of(&std::fs::read_to_string(file).expect("readable"));
        for line in code
            .lines()
            .filter(|l| ["#[error(", "wrong(", "reason = "].iter().all(|technical| !l.contains(technical)))
        {
            let literals = line.split('"').skip(1).step_by(2);
            let sentence = literals
                .filter(|l| {
                    l.split(' ').filter(|w| w.len() > 1 && w.chars().all(char::is_alphabetic)).count() >= 3
                })
                .count();
            assert_eq!(sentence, 0, "{}: {line}", file.display());
        }
    }
    assert!(files.iter().any(|f| f.ends_with("crates/texts/src/screen.rs")));
}

#[test]
fn a_table_shows_what_an_outcome_knows() {
    let texts = Texts::new(Language::En);
    let lines = |o: &Outcome| {
        texts.outcome_lines(o, &payterm_schema::zone::Zone::default()).into_iter().collect::<BTreeMap<_, _>>()
    };
    let l = lines(&declined());
    let has = |label: &str| l.get(label).map(String::as_str);
    assert_eq!(has("Status"), Some("declined"));
    assert_eq!(has("Reason"), Some("Not enough money on the account (51)"));
    assert!(has("What to do").is_some_and(|n| n.contains("another card")));
    assert_eq!(has("Amount"), Some("CNY 1234.50"));
    assert_eq!(has("Paid by"), Some("swiped, PIN"));
    assert_eq!(has("Card"), Some("622848******1234"));
    assert_eq!(has("Ended"), Some("2026-03-05 14:30:21"));
    assert_eq!((has("Test"), has("Auth code"), has("Result by")), (None, None, None));
    let l = lines(&unknown());
    assert_eq!(l.get("Result by").map(String::as_str), Some("2026-03-05 14:40:00"));
    let l = lines(&code_sale());
    assert_eq!(
        (l.get("Payment code").map(String::as_str), l.get("Paid by").map(String::as_str)),
        (Some("13************7788"), Some("WeChat Pay"))
    );
    assert!(
        lines(&void())
            .get("Original")
            .is_some_and(|o| o.contains("till/order-17") && o.contains("606414000118"))
    );
    let hostile = Outcome { note: Some("a\n\u{1b}[31mb".into()), ..sale() };
    assert_eq!(lines(&hostile).get("Note").map(String::as_str), Some("a  [31mb"));
    let zh = Texts::new(Language::ZhCn);
    assert_eq!(zh.amount_text(sale().sums.amount_money().expect("an amount")), "1234.50 元");
}

fn shipped_code() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for part in ["schema", "daemon", "dbus", "crates/core", "crates/engine", "crates/devices", "crates/cli"] {
        rust_files(&root().join("../..").join(part).join("src"), &mut files);
    }
    files.into_iter().map(|f| (f.clone(), code_of(&std::fs::read_to_string(&f).expect("readable")))).collect()
}

/// The literals between two marks.
fn between<'a>(code: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(before)
        .filter_map(move |(at, _)| code[at + before.len()..].split_once(after).map(|(text, _)| text))
}

/// Rules and causes that stand whole in the code, and the sentence around each kind of fault. The rules of
/// the configuration are told to who installs, by paytermd.
#[test]
fn every_fault_is_told_in_both_languages() {
    let [zh, en] = LANGUAGES.map(Texts::new);
    let chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    let (mut rules, mut missing) = (BTreeSet::new(), Vec::new());
    // The configuration's rules are told to who writes the file, in English.
    let of_config = |f: &Path| f.to_string_lossy().contains("schema/src/config");
    for (file, code) in shipped_code().into_iter().filter(|(f, _)| !of_config(f)) {
        let flat = code.split_whitespace().collect::<Vec<_>>().join(" ");
        let invalid = ["Fault::invalid(", "refuse(\""]
            .into_iter()
            .flat_map(|mark| between(&flat, mark, ")"))
            .filter_map(|args| args.rsplit_once(", \"")?.1.strip_suffix('"'));
        let whole = ["rule: \"", "cause: \""].into_iter().flat_map(|mark| between(&flat, mark, "\".into()"));
        for rule in invalid.chain(whole).filter(|r| !r.contains(['"', '{'])) {
            rules.insert(rule.to_owned());
            if !chinese(&zh.rule(rule)) {
                missing.push(format!("{}: rule-{} ({rule})", file.display(), payterm_texts::rule_id(rule)));
            }
            assert_eq!(en.rule(rule), rule, "the English text is the rule itself");
        }
    }
    assert!(rules.len() > 30, "{rules:?}");
    assert_eq!(missing, Vec::<String>::new());
    let text = String::new;
    let faults = [
        Fault::invalid("f", "is needed"),
        Fault::Busy { running: None },
        Fault::Busy { running: Some("x".into()) },
        Fault::KeyReused { id: text() },
        Fault::not_found("request", "x"),
        Fault::NotAllowed { rule: text() },
        Fault::TooLate { rule: text() },
        Fault::NotActivated,
        Fault::WrongState { rule: text() },
        Fault::NoAccount { currency: text() },
        Fault::Original { rule: text() },
        Fault::NotLoggedOn,
        Fault::TerminalLocked,
        Fault::OperatorLocked { operator: text() },
        Fault::NotDone { rule: text() },
        Fault::Management { problem: Problem::Signature, cause: text() },
        Fault::StoreFailed { id: text(), cause: text() },
        Fault::JournalRestored { id: text() },
        Fault::RequestLost { id: text() },
        Fault::JournalDamaged { cause: text() },
        Fault::DiskFull { free_mib: 1, needed_mib: 2 },
        Fault::Restarting { part: text() },
        Fault::ShuttingDown,
        Fault::Unreachable { cause: text() },
    ];
    let names: BTreeSet<_> = faults.iter().map(Fault::name).collect();
    assert_eq!(names.len(), 23, "every fault is here");
    for fault in &faults {
        let (zh, en) = (zh.fault(fault), en.fault(fault));
        assert!(chinese(&zh) && !chinese(&en) && !en.contains("fault-") && !en.contains('{'), "{zh} {en}");
    }
    assert_eq!(zh.fault(&Fault::Invalid { field: "a\nb".into(), rule: "\u{1b}[31m".into() }), "a b: [31m");
    let money =
        payterm_schema::Money::parse("1.234", "USD".parse().expect("USD")).expect_err("three decimals");
    assert!(chinese(&zh.fault(&money.into())));
}

/// Every trouble and every wait that can be shown has its text, and no text stands for what cannot be.
#[test]
fn the_texts_of_troubles_and_waits_are_those_that_are_shown() {
    let mut files = Vec::new();
    for part in ["crates/core", "crates/engine", "schema"] {
        rust_files(&root().join("../..").join(part).join("src"), &mut files);
    }
    let code: String =
        files.iter().map(|f| code_of(&std::fs::read_to_string(f).expect("readable"))).collect();
    let named: BTreeSet<&str> = code.split('"').skip(1).step_by(2).collect();
    let shown = |marks: &[&str]| -> BTreeSet<String> {
        marks.iter().flat_map(|m| between(&code, m, "\"").map(str::to_owned)).collect()
    };
    let lasting = payterm_schema::notice::TROUBLES.map(str::to_owned);
    let troubles = shown(&["Trouble { what: \"", "trouble(\""]).into_iter().chain(lasting).collect();
    let waits =
        ["Screen::wait(\"", "held_up(\"", "Stage::Settling { what: \"", "Stage::Busy { until, what: \""];
    // Those that a function chooses.
    let chosen = "sending sending-wallet signing-in reversing settling uploading closing-batch".split(' ');
    let waits = shown(&waits).into_iter().chain(chosen.map(str::to_owned)).collect::<BTreeSet<_>>();
    assert!(waits.iter().all(|what| named.contains(what.as_str())), "{waits:?}");
    for (prefix, told, parts) in [
        ("trouble-", troubles, "unknown"),
        ("wait-", waits, "unknown please seconds no-answer owed deadline"),
    ] {
        let told: BTreeSet<String> = told;
        assert!(told.len() >= 4, "{told:?}");
        for language in LANGUAGES {
            let (all, _) = entries(language);
            let texts: BTreeSet<&str> = all.keys().filter_map(|id| id.strip_prefix(prefix)).collect();
            let missing: Vec<_> = told.iter().filter(|id| !texts.contains(id.as_str())).collect();
            assert!(missing.is_empty(), "{prefix}: no text for {missing:?}");
            let unused: Vec<_> = texts
                .iter()
                .filter(|id| !named.contains(**id) && parts.split(' ').all(|part| part != **id))
                .collect();
            assert!(unused.is_empty(), "{prefix}: nobody shows {unused:?}");
        }
    }
}

/// Where a sale's advice says that nothing was charged, one of money that goes back says so in its words.
#[test]
fn a_refund_that_came_to_nothing_was_not_charged() {
    for texts in LANGUAGES.map(Texts::new) {
        for code in ["pin-pad-unavailable", "not-approved", "reader-unavailable", "card-refused"] {
            let next = |kind| {
                let mut o = Outcome { kind, status: Status::Failed, ..unknown() };
                o.reason = Some(Reason::new(code, Class::D));
                texts.fill(&mut o);
                o.reason.expect("a reason").next
            };
            let charged = texts.get("nothing-charged", &[]);
            assert!(next(Kind::Sale).starts_with(&charged));
            assert!(
                next(Kind::Refund).starts_with(&texts.get("nothing-refund", &[])),
                "{}",
                next(Kind::Refund)
            );
            assert!(!next(Kind::Void).contains(&charged), "{}", next(Kind::Void));
        }
    }
}

/// Codes of the self-test's findings, from the drivers and the daemon.
#[test]
fn every_finding_says_what_was_found_and_what_to_do() {
    let (mut passed, mut bad) = (BTreeSet::new(), BTreeSet::new());
    for (_, code) in shipped_code() {
        passed.extend(between(&code, "Finding::new(Verdict::Passed, \"", "\"").map(str::to_owned));
        for mark in ["Finding::failed(\"", "Finding::degraded(\""] {
            bad.extend(between(&code, mark, "\"").map(str::to_owned));
        }
    }
    assert!(passed.len() >= 5 && bad.len() >= 20, "{passed:?} {bad:?}");
    for texts in LANGUAGES.map(Texts::new) {
        for code in passed.iter().chain(&bad) {
            assert!(texts.find(&format!("found-{code}"), &[]).is_some(), "found-{code}");
        }
        for code in &bad {
            assert!(texts.find(&format!("remedy-{code}"), &[]).is_some(), "remedy-{code}");
        }
    }
}

/// A row of a list is named alike whether it passed or not; the sentence says what was broken.
#[test]
fn a_rule_that_passed_does_not_read_as_broken() {
    for texts in LANGUAGES.map(Texts::new) {
        for rule in OfflineRule::ALL {
            let check = |passed, limit| Check { rule: *rule, passed, limit, now: limit };
            let limited = texts.find(&format!("offline-rule-{}", rule.name()), &[]).is_none();
            let [good, bad] = [true, false]
                .map(|passed| texts.check_row(&check(passed, limited.then_some(3)), Currency::CNY));
            assert!(good == bad && !good.contains("offline-rule"), "{good} {bad}");
            assert_eq!(
                good == texts.check(&check(false, limited.then_some(3)), Currency::CNY),
                limited,
                "{good}"
            );
        }
    }
}

/// Nobody waits for what is Stuck.
#[test]
fn what_is_stuck_sends_to_the_acquirer() {
    for (kind, own) in [(Kind::Sale, "again"), (Kind::Void, "taken back")] {
        let mut o = Outcome { kind, reason: Some(Reason::new("stuck", Class::E)), ..unknown() };
        Texts::new(Language::En).fill(&mut o);
        let next = o.reason.expect("a reason").next;
        assert!(next.contains(own) && next.contains("paytermctl queue") && !next.contains("Wait"), "{next}");
    }
}

/// The table of a settlement has what its slip has: what is Stuck, and what to do when it does not balance.
#[test]
fn the_lines_of_a_settlement_say_what_is_left_to_do() {
    let stuck = StuckLine {
        txn: 9,
        kind: Kind::VoiceSale,
        batch: Batch::new(6).expect("batch"),
        stan: Stan::new(77).expect("stan"),
        minor: Some(800),
    };
    for (verdict, told) in [
        (settlement::Verdict::NotBalanced, true),
        (settlement::Verdict::Error, true),
        (settlement::Verdict::Balanced, false),
    ] {
        let settled = Settlement {
            domestic_verdict: Some(verdict),
            foreign_verdict: Some(settlement::Verdict::Balanced),
            stuck: vec![stuck.clone()],
            stuck_more: 2,
            unpaid: UnpaidLine::of(&Outcome { forwarding: Some(Forwarding::Refused("51".into())), ..sale() })
                .into_iter()
                .collect(),
            ..Settlement::default()
        };
        let o = Outcome { kind: Kind::Settlement, settlement: Some(Box::new(settled)), ..sale() };
        let lines = Texts::new(Language::En).outcome_lines(&o, &payterm_schema::zone::Zone::default());
        let of = |label: &str| lines.iter().find(|(l, _)| l == label).map(|(_, v)| v.as_str());
        assert_eq!(of("Not settled, ask the acquirer"), Some("Voice sale 000006 000077 8.00 / and 2 more"));
        assert_eq!(
            of("Refused or written off"),
            Some("Sale 000007 000118 1234.50 622848******1234: refused (51), needs attention")
        );
        assert_eq!(of("What to do").is_some_and(|v| v.contains("paytermctl reconcile")), told, "{lines:?}");
    }
}
