//! All that the card kernel says has its Chinese.
use payterm_emv::{
    Tag, explain,
    oda::Method,
    step::{By, Fired, Next, Note, RuleEnd, Verdict, Why},
    tag::{DICTIONARY, Row},
    verification,
};
use payterm_schema::config::Language;
use payterm_texts::Texts;
use std::{collections::BTreeSet, fs, path::Path};

/// Words that stay.
const NAMES: [&str; 2] = ["qPBOC", "fDDA"];

fn has_its_chinese(english: &str) {
    assert_eq!(Texts::new(Language::En).kernel(english), english);
    let zh = Texts::new(Language::ZhCn).kernel(english);
    // Books are cited by their names.
    let rest = zh.split("(Book ").next().unwrap_or_default().to_owned();
    let rest = NAMES.iter().fold(rest, |rest, name| rest.replace(name, ""));
    assert!(!rest.contains(|c: char| c.is_ascii_lowercase() || c == '$'), "{english}: {zh}");
}

#[test]
fn each_name_of_an_object_and_a_bit_has_its_chinese() {
    for row in &DICTIONARY {
        has_its_chinese(row.name);
        has_its_chinese(&explain::named(row.tag));
    }
    let zh = Texts::new(Language::ZhCn);
    assert_eq!(zh.kernel("Application Cryptogram"), "\u{5e94}\u{7528}\u{5bc6}\u{6587}(AC)");
    for row in verification::TVR.iter().chain(&verification::TSI) {
        has_its_chinese(row.name);
    }
}

#[test]
fn each_line_on_a_value_has_its_chinese() {
    let mut said = BTreeSet::new();
    let mut say = |row: &Row, value: &[u8]| said.extend(explain::explain(row.tag, value));
    for row in &DICTIONARY {
        for len in 1..=40 {
            say(row, &vec![0xFF; len]);
        }
        for byte in 0..=0xFF {
            say(row, &[byte]);
            // Results of scripts; application data of an issuer.
            say(row, &[byte, 0, 0, 0, 1]);
            say(row, &[7, 1, 1, 3, byte, 0, 0, 0]);
        }
        for at in 0..=0x40 {
            // Rules of verification and their results.
            say(row, &[at, at % 11, at % 3]);
            say(row, &[0, 0, 0, 10, 0, 0, 0, 0, at, at % 11, 0x40 | at, at % 11, 0x1F]);
        }
        say(row, &[8, 1, 1, 1]);
        for list in [&[0x9F, 0x02, 6, 0xDF, 0x7F, 1][..], &[0x9F], &[0x9F, 0x02], &[0x95, 200, 0x95, 200]] {
            say(row, list);
        }
    }
    assert!(said.len() > 500, "{}", said.len());
    said.iter().for_each(|line| has_its_chinese(line));
}

#[test]
fn each_decision_has_its_chinese() {
    let card = |verdict| Note::End(verdict, Why::Complete);
    let by = [By::Card, By::CardUnableOnline, By::HostAndCard, By::Host].map(Verdict::Approved);
    let fired = [
        Fired::Denial,
        Fired::Online,
        Fired::Default,
        Fired::Nothing,
        Fired::OnlineOnly,
        Fired::Host,
        Fired::NoReply,
        Fired::Signature,
        Fired::Depth,
    ];
    let ends = [RuleEnd::Skipped, RuleEnd::Unknown, RuleEnd::Unsupported, RuleEnd::Failed, RuleEnd::Done];
    let flaw = || Some("what was signed or the signature is malformed".to_owned());
    let methods = [Method::Sda, Method::Dda, Method::Cda];
    let methods = methods.into_iter().flat_map(|m| [None, flaw()].map(|flaw| (Some(m), flaw)));
    let mut notes = vec![
        Note::Status(0x6A82),
        Note::Candidates(2),
        Note::Selected(vec![0xA0, 0, 0, 3, 0x33]),
        Note::Ignored(Tag(0x9F02)),
        Note::Ignored(Tag(0xDF01)),
        Note::Asked(Tag(0x8C), vec![Tag(0x9F02), Tag(0x95)]),
        Note::Asked(Tag(0x8C), Vec::new()),
        Note::Tvr(verification::Tvr::NotAuthenticated),
        Note::Tsi(verification::Tsi::Scripts),
        Note::Cvm([0x42, 3, 0]),
        Note::Ttq([0x26, 0, 0, 0x80]),
        Note::Ctq([0x80, 0]),
        Note::Fdda(None),
        Note::Fdda(flaw()),
        Note::Script([0x21, 0, 0, 0, 1]),
    ];
    notes.extend([0x00, 0x40, 0x80, 0xC0].map(Note::Cid));
    notes.extend((0..=0xFF).map(|ins| Note::Sent([0x80, ins, 0, 0])));
    notes.extend(methods.chain([(None, None)]).map(|(method, flaw)| Note::Authentication { method, flaw }));
    notes.extend(ends.map(|end| Note::Rule([0x43, 9], end)));
    notes.extend(fired.map(|by| Note::Action(by, payterm_emv::command::Cryptogram::Arqc)));
    notes.extend(
        by.into_iter().chain([Verdict::Declined, Verdict::Ended(Next::Nothing), Verdict::Read]).map(card),
    );
    notes.iter().for_each(|note| has_its_chinese(&note.to_string()));
    // The kernel's errors, as they stand in its source; what configuration may not be is told by the start.
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../emv/src");
    let mut errors = 0;
    for file in rust_files(&source).into_iter().filter(|file| !file.ends_with("src/terminal.rs")) {
        let text = fs::read_to_string(file).unwrap();
        for error in text.split("#[error(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')) {
            let parts = error.split('"').next().unwrap().split('{');
            let filled =
                parts.map(|part| part.split_once('}').map_or(part.into(), |(_, rest)| format!("9F02{rest}")));
            has_its_chinese(&filled.collect::<String>());
            errors += 1;
        }
    }
    assert!(errors > 60, "{errors}");
    for why in ["Removed", "Mute", "Reader"] {
        has_its_chinese(why);
    }
    // What a later version says, and what nobody does, stays as it is.
    let zh = Texts::new(Language::ZhCn);
    for text in ["a rule of a later version", "byte 3 bit 3: no such name", "", "\u{1b}x"] {
        assert_eq!(zh.kernel(text), payterm_texts::clean(text));
    }
}

fn rust_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] }).collect()
}
