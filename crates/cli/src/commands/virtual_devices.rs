//! `paytermctl virtual`: customer and cashier at virtual devices, through their own socket.
use crate::{
    Failure, secret,
    ui::{Ui, block},
};
use clap::{Args, Subcommand, ValueEnum};
use payterm_devices::{
    virtual_bench::When,
    virtual_control::{VirtualControl, VirtualControlError},
};
use payterm_schema::Fault;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::{Zeroize, Zeroizing};

/// Acts as customer and cashier at virtual devices.
///
/// Cards, codes and PINs given as - are read from stdin: they do not stand in the process list then.
#[derive(Args)]
pub struct VirtualArgs {
    /// Socket of the virtual devices; else virtual.sock in the state directory.
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// State directory of the terminal.
    #[arg(
        long,
        global = true,
        env = "PAYTERM_STATE",
        default_value = "/var/lib/payterm",
        value_name = "DIR"
    )]
    pub state: PathBuf,
    /// Demo cards by name, a TOML file of name = "track 2".
    #[arg(long, global = true, env = "PAYTERM_CARDS", value_name = "FILE")]
    pub cards: Option<PathBuf>,
    /// Wait up to this many seconds until the terminal asks for it; else it must be asking already.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(0..=600)
    )]
    pub wait: Option<u64>,
    /// Keep it for the next time that the terminal asks.
    #[arg(long, global = true, conflicts_with = "wait")]
    pub queue: bool,
    #[command(subcommand)]
    pub action: VirtualAction,
}

#[derive(Subcommand)]
pub enum VirtualAction {
    /// Swipes a card: track 2 (PAN=YYMM...), raw reader output (%...?;...?), or the name of a demo card.
    Swipe { card: String },
    /// Shows a payment code to the scanner.
    Scan { code: String },
    /// Types a card number and its expiry (YYMM); with - both are read from stdin.
    Type { pan: String, expiry: Option<String> },
    /// Inserts a chip card.
    Insert,
    /// Taps a contactless card.
    Tap,
    /// Types a PIN and confirms: 4 to 12 digits, clear, cancel or bypass.
    Pin { pin: String },
    /// Presses a key: confirm, cancel, clear or a digit.
    Key { key: String },
    /// Presses keys one after the other: digits (or - to read them from stdin), confirm, cancel,
    /// clear: keys 01 confirm.
    Keys {
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Takes the paper out of the printer (on) or puts it in.
    PaperOut { to: OnOff },
    /// Switches the printer on or off.
    Printer { to: OnOff },
    /// Plugs a device in (on) or pulls it out.
    Plug { device: String, to: OnOff },
    /// Shows the display; with --contains as soon as that text is on it.
    Screen {
        #[arg(long)]
        contains: Option<String>,
    },
    /// Shows the papers that came out; with --count as soon as that many have since the terminal started.
    Papers {
        #[arg(long)]
        count: Option<u64>,
    },
    /// Lists the virtual devices.
    Devices,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    On,
    Off,
}

pub fn run(ui: &Ui, args: VirtualArgs) -> Result<u8, Failure> {
    let wait = Duration::from_secs(args.wait.unwrap_or(0));
    let when = || match (args.queue, args.wait) {
        (true, _) => When::Queue,
        (false, None) => When::Now,
        (false, Some(_)) => When::Within(wait),
    };
    // Secrets are read before the terminal is asked, so that a person may take their time.
    let secret = match &args.action {
        VirtualAction::Swipe { card } => {
            Some(tracks(secret::or_stdin(card.clone(), "card")?, args.cards.as_deref())?)
        }
        VirtualAction::Scan { code } => Some(secret::or_stdin(code.clone(), "code")?),
        VirtualAction::Pin { pin } => Some(secret::or_stdin(pin.clone(), "pin")?),
        VirtualAction::Type { pan, .. } => Some(secret::or_stdin(pan.clone(), "pan")?),
        VirtualAction::Insert
        | VirtualAction::Tap
        | VirtualAction::Key { .. }
        | VirtualAction::Keys { .. }
        | VirtualAction::PaperOut { .. }
        | VirtualAction::Printer { .. }
        | VirtualAction::Plug { .. }
        | VirtualAction::Screen { .. }
        | VirtualAction::Papers { .. }
        | VirtualAction::Devices => None,
    };
    let given = || secret.as_deref().map_or("", String::as_str);
    let path = args.socket.clone().unwrap_or_else(|| args.state.join("virtual.sock"));
    let mut virtuals = VirtualControl::connect(&path).map_err(|e| match Failure::local(e) {
        Failure::Local(cause) => {
            Failure::Fault(Fault::Unreachable { cause: format!("{}: {cause}", path.display()) })
        }
        f @ Failure::Fault(_) => f,
    })?;
    let unreadable = match &args.action {
        VirtualAction::Swipe { .. } => virtuals.swipe_tracks(given(), false, when()),
        VirtualAction::Scan { .. } => virtuals.scan(given(), when()),
        VirtualAction::Type { expiry, .. } => {
            let expiry = match expiry {
                Some(e) => Zeroizing::new(e.clone()),
                None => secret::line("expiry")?,
            };
            virtuals.type_card(given(), &expiry, when()).map(|()| None)
        }
        VirtualAction::Insert => virtuals.insert(when()).map(|()| None),
        VirtualAction::Tap => virtuals.tap(when()).map(|()| None),
        VirtualAction::Pin { .. } => virtuals.pin(given(), when()).map(|()| None),
        VirtualAction::Keys { keys } => {
            for part in keys {
                press(&mut virtuals, part, when())?;
            }
            Ok(None)
        }
        VirtualAction::Key { key } => virtuals.key(key, when()).map(|()| None),
        VirtualAction::PaperOut { to } => virtuals.paper_out(*to == OnOff::On).map(|()| None),
        VirtualAction::Printer { to } => virtuals.printer_online(*to == OnOff::On).map(|()| None),
        VirtualAction::Plug { device, to } => virtuals.plug(device, *to == OnOff::On).map(|()| None),
        VirtualAction::Screen { contains } => {
            let lines = virtuals.wait_screen(contains.as_deref().unwrap_or(""), wait).map_err(refused)?;
            ui.result(&serde_json::json!({ "lines": lines }), || block(&lines.join("\n")));
            return Ok(0);
        }
        VirtualAction::Papers { count } => {
            let (total, papers) = virtuals.wait_papers(count.unwrap_or(0), wait).map_err(refused)?;
            ui.result(&serde_json::json!({ "total": total, "papers": papers }), || {
                papers.iter().map(|p| format!("{}{CUT}\n", block(p))).collect()
            });
            return Ok(0);
        }
        VirtualAction::Devices => {
            let all = virtuals.devices().map_err(refused)?;
            let json: Vec<_> = all
                .iter()
                .map(|(name, kind, usable)| {
                    serde_json::json!({
                        "name": name, "kind": kind, "usable": usable
                    })
                })
                .collect();
            ui.result(&json, || {
                ui.table(
                    ["cli-name", "cli-kind", "cli-usable"],
                    all.iter().map(|(n, k, u)| [n.clone(), k.clone(), ui.yes_no(*u)]),
                )
            });
            return Ok(0);
        }
    };
    match unreadable.map_err(refused)? {
        None => ui.done(),
        Some(why) => ui.result(&serde_json::json!({ "ok": true, "unreadable": why }), || {
            block(&ui.say("cli-unreadable", &[("why", &why)]))
        }),
    }
    Ok(0)
}

/// `confirm`, `cancel`, `clear`, or digits key by key; `-` reads them from stdin.
fn press(virtuals: &mut VirtualControl, part: &str, when: When) -> Result<(), Failure> {
    let typed = secret::or_stdin(part.to_owned(), "keys")?;
    if matches!(typed.as_str(), "confirm" | "cancel" | "clear") {
        return virtuals.key(&typed, when).map_err(refused);
    }
    if typed.is_empty() || !typed.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::invalid("keys", "digits, confirm, cancel or clear").into());
    }
    (0..typed.len()).try_for_each(|i| virtuals.key(&typed[i..=i], when).map_err(refused))
}

const CUT: &str = "- - - - - - - - - - - - - - - -";

fn refused(e: VirtualControlError) -> Failure {
    match e {
        VirtualControlError::Refused(r) => Failure::Local(r.to_string()),
        other @ (VirtualControlError::Rule(_)
        | VirtualControlError::Io { .. }
        | VirtualControlError::Answer) => Failure::local(other),
    }
}

/// Raw reader output of a card: as given, of a bare track 2, or of a card of the file.
fn tracks(card: Zeroizing<String>, cards: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    if card.starts_with(['%', ';', '+']) {
        return Ok(card);
    }
    let digits = card.split('=').next().unwrap_or_default();
    if card.contains('=') && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(track2(&card));
    }
    // What was given is shown only when it cannot be a card number typed wrong.
    let shown = if card.bytes().filter(u8::is_ascii_digit).count() < 8 { card.as_str() } else { "(hidden)" };
    let file = cards
        .ok_or_else(|| Fault::invalid("card", "PAN=YYMM..., raw tracks, or a name together with --cards"))?;
    let failed = |why: &dyn std::fmt::Display| Failure::Local(format!("{}: {why}", file.display()));
    let text = Zeroizing::new(std::fs::read_to_string(file).map_err(|e| failed(&e))?);
    // The parser's own message would quote the line.
    let mut all: BTreeMap<String, String> =
        toml::from_str(&text).map_err(|_| failed(&"must be lines of name = \"track 2\""))?;
    let found = all
        .get(card.as_str())
        .map(|t| if t.starts_with(['%', ';', '+']) { Zeroizing::new(t.clone()) } else { track2(t) });
    let names = all.keys().cloned().collect::<Vec<_>>().join(" ");
    all.values_mut().for_each(Zeroize::zeroize);
    found.ok_or_else(|| failed(&format!("no card {shown}; there are: {names}")))
}

/// Raw track 2 of these digits, with the sentinels of ISO/IEC 7813.
fn track2(digits: &str) -> Zeroizing<String> {
    let mut raw = Zeroizing::new(String::with_capacity(digits.len() + 2));
    for part in [";", digits, "?"] {
        raw.push_str(part);
    }
    raw
}
