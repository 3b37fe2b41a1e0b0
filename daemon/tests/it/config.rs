//! Wrong configurations, and all that is told of each: `wrong.txt` has a block for each file, its text and
//! the lines of what is wrong. A good configuration stands behind the text, unless the block's name ends in
//! `(alone)`.
use crate::process::{paytermd, stderr};
use payterm_daemon::config::{load, load_to_start};
use payterm_devices::Drivers;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

const GOOD: &str = "
[[account]]
id = \"cup\"
profile = \"unionpay\"
mid = \"TESTMERCHANT001\"
tid = \"TEST0001\"
currency = \"CNY\"
address = \"127.0.0.1:1\"
[[device]]
name = \"keys\"
kind = \"keypad\"
driver = \"virtual\"
[[device]]
name = \"swipe\"
kind = \"magnetic_reader\"
driver = \"virtual\"
[[bus.caller]]
uid = 1000
app = \"till\"
";

struct Wrong {
    name: &'static str,
    text: String,
    told: Vec<&'static str>,
}

/// The blocks of `wrong.txt`; `@DIR@` is the directory.
fn wrong(dir: &Path) -> Vec<Wrong> {
    let blocks = include_str!("wrong.txt").split("=== ").skip(1);
    let parsed = blocks.map(|block| {
        let (name, rest) = block.split_once('\n').unwrap();
        let (text, told) = rest.split_once("---\n").unwrap();
        let good = if name.ends_with("(alone)") { "" } else { GOOD };
        let text = format!("{text}{good}").replace("@DIR@", dir.to_str().unwrap());
        Wrong { name, text, told: told.lines().filter(|l| !l.is_empty()).collect() }
    });
    parsed.collect()
}

/// Files that the blocks name.
fn files(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["bank.test".into()]).unwrap();
    let put = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    put("bank-ca.pem", &made.cert.pem());
    put("bank-key.pem", &made.signing_key.serialize_pem());
    put("notes.txt", "no certificate\n");
    put("half.toml", "name = \"half\"\n");
    let aid = "[[aid]]\naid = \"A000000333010101\"\nversion = \"0030\"\n";
    put("twice.toml", &format!("version = 1\n{aid}{aid}"));
    put("open.key", &"0123456789abcdef".repeat(4));
    fs::set_permissions(dir.join("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(dir.join("templates")).unwrap();
    put("templates/payment.jinja", "{{ no_such }}\n");
    put("templates/recipt.jinja", "");
}

#[test]
fn everything_that_is_wrong_with_a_file_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let (file, state) = (dir.path().join("p.toml"), dir.path().join("state"));
    let told = |text: &str| {
        fs::write(&file, text).unwrap();
        // A block about the store names its own.
        let state = (!text.contains("[store]")).then_some(state.as_path());
        let told = load(&file, state, &Drivers::default()).err().map(|e| e.to_string());
        let told = told.unwrap_or_default().replace(file.to_str().unwrap(), "p.toml");
        told.replace(dir.path().to_str().unwrap(), "@DIR@")
    };
    assert_eq!(told(GOOD), "");
    let all = wrong(dir.path());
    assert!(all.len() >= 60, "{}", all.len());
    let mut differ = String::new();
    for Wrong { name, text, told: expected } in all {
        let told = told(&text);
        let plain =
            |l: &'_ str| l.trim_start_matches("p.toml").trim_start_matches([',', ':', ' ']).to_owned();
        let told: Vec<_> = told.lines().map(plain).collect();
        if told != expected {
            differ += &format!("=== {name}\n---\n{}\n", told.join("\n"));
        }
    }
    assert!(differ.is_empty(), "told was\n{differ}");
}

#[test]
fn a_file_of_another_encoding_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.toml");
    // GB 18030.
    fs::write(&file, b"[terminal]\ncity = \"\xC9\xCF\xBA\xA3\"\n").unwrap();
    let told = load(&file, None, &Drivers::default()).unwrap_err().to_string();
    let rule = "line 2: not UTF-8: the file is to be saved in that encoding";
    assert_eq!(told, format!("{}, {rule}", file.display()));
}

/// By the program, on the command line and at a start.
#[test]
fn the_program_tells_it_and_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let (file, state) = (dir.path().join("p.toml"), dir.path().join("state"));
    let (path, state) = (file.to_str().unwrap(), state.to_str().unwrap());
    let mut seen = 0;
    for Wrong { name, text, told } in wrong(dir.path()).into_iter().filter(|w| !w.text.contains("[store]")) {
        if !["several", "nobody", "a level", "a certificate", "a key misspelt"]
            .iter()
            .any(|n| name.starts_with(n))
        {
            continue;
        }
        seen += 1;
        fs::write(&file, text).unwrap();
        for args in [&["--check-config"][..], &[]] {
            let o = paytermd(&[args, &["--config", path, "--state", state]].concat());
            assert_eq!(o.status.code(), Some(78), "{name}: no restart mends it");
            let lines: Vec<_> = told
                .iter()
                .map(|t| t.replace("@DIR@", dir.path().to_str().unwrap()))
                .map(|t| if t.starts_with("line ") { format!(", {t}") } else { format!(": {t}") })
                .map(|t| format!("paytermd: {path}{t}"))
                .collect();
            assert_eq!(stderr(&o).lines().collect::<Vec<_>>(), lines, "{name}");
            assert!(!Path::new(state).exists(), "{name}: nothing was begun");
        }
    }
    assert!(seen >= 8, "{seen}");
    fs::write(&file, GOOD).unwrap();
    let o = paytermd(&["--check-config", "--config", path, "--state", state]);
    assert!(o.status.success() && o.stdout == b"ok\n", "{}", stderr(&o));
    assert!(!Path::new(state).exists(), "looking makes nothing");
}

#[test]
fn a_directory_that_cannot_be_written_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, state) = (dir.path().join("p.toml"), dir.path().join("state"));
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o500)).unwrap();
    let text = format!(
        "[store]\ndir = {:?}\nbackup_dir = {:?}\ngeneration_file = {:?}\n{GOOD}",
        state,
        state.join("backups"),
        state.join("other/generation"),
    );
    fs::write(&file, text.replace("/other/", "/../state/")).unwrap();
    let program = env!("CARGO_BIN_EXE_paytermd");
    // Root too may not write there without its capabilities.
    let mut command = if rustix::process::getuid().is_root() {
        let mut c = Command::new("setpriv");
        c.args(["--bounding-set", "-dac_override,-dac_read_search", program]);
        c
    } else {
        Command::new(program)
    };
    let o = command.args(["--check-config", "--config"]).arg(&file).output().unwrap();
    let told = stderr(&o);
    assert_eq!(o.status.code(), Some(78), "{told}");
    for part in [
        "line 2: store.dir: ",
        "line 3: store.backup_dir: ",
        "backups: is not there, and cannot be made in ",
        "line 4: store.generation_file: ",
        "cannot be written to: Permission denied",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// A disk for backups that is not there, a template with a fault: the check refuses them, a start goes on.
#[test]
fn a_start_goes_on_without_what_no_payment_needs() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let file = dir.path().join("p.toml");
    let none = dir.path().join("notes.txt/none");
    let store = format!("[store]\nbackup_dir = {none:?}\ngeneration_file = {:?}\n", none.join("generation"));
    let templates = dir.path().join("templates");
    fs::write(&file, format!("{GOOD}{store}[paper]\ntemplates = {templates:?}\nfont = {none:?}\n")).unwrap();
    let refused = load(&file, None, &Drivers::default()).unwrap_err().to_string();
    for key in ["store.backup_dir", "store.generation_file", "paper.templates", "paper.font"] {
        assert!(refused.contains(key), "{key}: {refused}");
    }
    load_to_start(&file, None, &Drivers::default()).unwrap();
}
