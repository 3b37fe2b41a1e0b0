//! Installation: what `make install` puts in place.
use super::*;

#[test]
fn the_man_page_of_the_daemon_names_every_option() {
    let (program, page) = (read("daemon/src/main.rs"), read("packaging/paytermd.8"));
    let args = program.split_once("struct Args {").unwrap().1.split_once("\n}").unwrap().0;
    let options: Vec<String> = args
        .lines()
        .filter_map(|l| l.strip_prefix("    ")?.split_once(": "))
        .map(|(n, _)| n.replace('_', "\\-"))
        .filter(|n| !n.contains('/'))
        .collect();
    assert!(options.len() >= 5, "{options:?}");
    for o in options {
        assert!(
            page.contains(&format!("\\-\\-{o}\n"))
                || page.contains(&format!("\\-\\-{o} "))
                || page.contains(&format!("\\-\\-{o}\"")),
            "--{o}"
        );
    }
}

#[test]
fn the_man_page_of_the_acquirer_names_every_command() {
    let (program, page) = (read("crates/simulator/src/main.rs"), read("packaging/payterm-acquirer.1"));
    let commands = program.split_once("enum Run {").unwrap().1.split_once("\n}").unwrap().0;
    let names: Vec<String> = commands
        .lines()
        .filter_map(|l| l.strip_prefix("    ").filter(|l| l.starts_with(char::is_uppercase)))
        .map(|l| l.split(|c: char| !c.is_alphanumeric()).next().unwrap())
        .map(|n| n.replace("Mishaps", "-mishaps").trim_start_matches('-').to_lowercase().replace('-', "\\-"))
        .collect();
    assert!(names.len() >= 15, "{names:?}");
    for name in names {
        let word = |l: &str| l.split([' ', ',', '"']).any(|w| w == name);
        assert!(page.lines().filter(|l| l.starts_with(".B")).any(word), "{name}");
    }
}

/// Links of the installed pages lead to what is installed; nothing says PREFIX.
fn pages_hold(at: &Path) {
    let mut files = Vec::new();
    tree(at, at, &mut files);
    let mut links = 0;
    for (name, _) in files.iter().filter(|(n, _)| n.ends_with(".md") || n.contains("/man/")) {
        let text = fs::read_to_string(at.join(name)).unwrap();
        assert!(name.ends_with(".md") || !text.contains("PREFIX"), "{name}");
        for to in text.split("](").skip(1).filter_map(|t| t.split_once(')')).map(|(to, _)| to) {
            let file = to.split('#').next().unwrap();
            if !to.contains("://") && !file.is_empty() {
                assert!(at.join(name).parent().unwrap().join(file).exists(), "{name}: {to}");
                links += 1;
            }
        }
    }
    assert!(links > 40, "{links}");
}

fn install(bin: &Path, dest: &Path, prefix: &str) -> std::process::Output {
    let mut c = Command::new("sh");
    c.arg(root().join("packaging/install.sh")).args([dest.to_str().unwrap(), prefix]).env("PAYTERM_BIN", bin);
    c.output().unwrap()
}

fn tree(dir: &Path, at: &Path, out: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        let mode = fs::symlink_metadata(&entry).unwrap().permissions().mode() & 0o7777;
        if entry.is_dir() {
            assert_eq!(mode, 0o755, "{}", entry.display());
            tree(&entry, at, out);
        } else {
            out.push((entry.strip_prefix(at).unwrap().to_str().unwrap().to_owned(), mode));
        }
    }
}

#[test]
fn the_installation_holds_what_it_says_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let (bin, dest) = (dir.path().join("bin"), dir.path().join("dest"));
    fs::create_dir(&bin).unwrap();
    let program = "#!/bin/sh\ncase \"$1\" in man) echo page >\"$2/paytermctl.1\"; echo page \
    >\"$2/paytermctl-sale.1\" ;; completions) echo \"for $2\" ;; esac\n";
    for name in ["paytermd", "paytermctl", "payterm-acquirer"] {
        let early = install(&bin, &dest, "/opt/payterm");
        assert!(!early.status.success() && !dest.exists(), "without all programs nothing is installed");
        assert!(String::from_utf8_lossy(&early.stderr).contains(&format!("/{name} is not there")));
        fs::write(bin.join(name), program).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let mut first = Vec::new();
    for round in 0..2 {
        let done = install(&bin, &dest, "/opt/payterm");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let mut now = Vec::new();
        tree(&dest, &dest, &mut now);
        now.sort();
        if round == 0 {
            first = now;
        } else {
            assert_eq!(first, now);
        }
    }
    let mode = |p: &str| first.iter().find(|(n, _)| n == p).map(|(_, m)| *m);
    for p in ["paytermd", "paytermctl", "payterm-acquirer"] {
        assert_eq!(mode(&format!("opt/payterm/bin/{p}")), Some(0o755), "{p}");
    }
    let interfaces = payterm_dbus::INTERFACES
        .iter()
        .filter(|i| i.name.starts_with(payterm_dbus::BUS_NAME))
        .map(|i| format!("share/dbus-1/interfaces/{}.xml", i.name));
    let plain = [
        "lib/systemd/system/paytermd.service",
        "lib/systemd/system/paytermd@.service",
        "lib/sysusers.d/payterm.conf",
        "share/dbus-1/system.d/org.payterm.Terminal1.conf",
        "share/dbus-1/system-services/org.payterm.Terminal1.service",
        "share/polkit-1/rules.d/50-payterm.rules",
        "share/man/man1/paytermctl.1",
        "share/man/man1/paytermctl-sale.1",
        "share/man/man8/paytermd.8",
        "share/bash-completion/completions/paytermctl",
        "share/zsh/site-functions/_paytermctl",
        "share/fish/vendor_completions.d/paytermctl.fish",
        "share/payterm/payterm.toml",
        "share/payterm/schema/config.schema.json",
        "share/man/man1/payterm-acquirer.1",
        "share/payterm/profiles/unionpay.toml",
        "share/payterm/templates/payment.jinja",
        "share/doc/payterm/README.md",
        "share/doc/payterm/docs/integrator.md",
        "share/doc/payterm/dbus/examples/pos.py",
        "share/doc/payterm/LICENSE-MIT",
        "share/doc/payterm/LICENSE-APACHE",
    ];
    for p in plain.map(str::to_owned).into_iter().chain(interfaces) {
        assert_eq!(mode(&format!("opt/payterm/{p}")), Some(0o644), "{p}");
    }
    let text = |p: &str| fs::read_to_string(dest.join("opt/payterm").join(p)).unwrap();
    for p in [
        "lib/systemd/system/paytermd.service",
        "lib/systemd/system/paytermd@.service",
        "share/dbus-1/system-services/org.payterm.Terminal1.service",
    ] {
        assert!(
            text(p).contains("=/opt/payterm/bin/paytermd") && !text(p).contains("/usr/bin/paytermd"),
            "{p}"
        );
    }
    assert_eq!(text("share/zsh/site-functions/_paytermctl"), "for zsh\n");
    pages_hold(&dest.join("opt/payterm"));
    // dbus-daemon reads /usr/share and /etc only: another prefix gets a link there.
    let link = fs::read_link(dest.join("etc/dbus-1/system.d/org.payterm.Terminal1.conf")).unwrap();
    assert_eq!(link, Path::new("/opt/payterm/share/dbus-1/system.d/org.payterm.Terminal1.conf"));
    let link = fs::read_link(dest.join("etc/polkit-1/rules.d/50-payterm.rules")).unwrap();
    assert_eq!(link, Path::new("/opt/payterm/share/polkit-1/rules.d/50-payterm.rules"));
    assert!(!dest.join("etc/payterm").exists(), "a shop's configuration is its own");
    let usr = dir.path().join("usr-dest");
    assert!(
        install(&bin, &usr, "/usr").status.success()
            && usr.join("usr/bin/paytermd").exists()
            && !usr.join("etc").exists()
    );
    for bad in ["opt", "/o|t", "/a b"] {
        let refused = dir.path().join("refused");
        assert!(!install(&bin, &refused, bad).status.success() && !refused.exists(), "{bad}");
    }
    // What was put there is taken away, and nothing else.
    fs::write(dest.join("opt/payterm/bin/mine"), "").unwrap();
    let mut remove = Command::new("sh");
    remove.arg(root().join("packaging/install.sh")).args([
        "--remove",
        dest.to_str().unwrap(),
        "/opt/payterm",
    ]);
    assert!(remove.output().unwrap().status.success());
    let mut left = Vec::new();
    tree(&dest, &dest, &mut left);
    assert!(left.iter().map(|(n, _)| n.as_str()).eq(["opt/payterm/bin/mine"]), "{left:?}");
    assert!(!remove.output().unwrap().status.success(), "there is nothing any more");
    // A program that fails leaves nothing behind.
    fs::write(bin.join("paytermctl"), "#!/bin/sh\nexit 1\n").unwrap();
    let nothing = dir.path().join("nothing");
    assert!(!install(&bin, &nothing, "/usr").status.success() && !nothing.exists());
}
