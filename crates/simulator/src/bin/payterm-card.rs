//! `payterm-card`: a test card in vsmartcard's virtual reader.
use clap::Parser;
use payterm_simulator::{
    acquirer::now,
    card::{
        TestCard, day,
        memory::Kept,
        vpcd::{self, Behaviour, Left},
    },
    world,
};
use std::{
    error::Error,
    io::{BufRead, Write},
    net::{Shutdown, TcpStream},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A reader that is not there is looked for this often.
const AGAIN: Duration = Duration::from_millis(100);

#[derive(Parser)]
#[command(
    name = "payterm-card",
    version,
    about = "A test card in a virtual reader (vsmartcard's vpcd): inserted while it is connected. TEST \
             DATA ONLY.",
    after_help = "Lines on stdin: pull, insert, quit. Lines on stdout: inserted, pulled, closed (by the \
                  reader; the card goes in again as soon as the reader is back). Once stdin has ended, a \
                  card that is pulled ends the program."
)]
struct Cli {
    /// Name of a persona: debit, credit, both, offline ...
    persona: String,
    /// Where the reader listens.
    #[arg(long, value_name = "HOST:PORT", default_value_t = format!("127.0.0.1:{}", vpcd::PORT))]
    connect: String,
    /// Keeps counters, tries, blocks and cryptograms here; written before an answer leaves. Without it the
    /// card begins anew with each start, and an acquirer that has seen its counter refuses it (05).
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Day that the card is made for; default: today, in China.
    #[arg(long, value_name = "YYMMDD", value_parser = date)]
    date: Option<[u8; 3]>,
    /// Speak T=0: 61xx and GET RESPONSE, 6Cxx for a wrong length.
    #[arg(long)]
    t0: bool,
    /// Pull the card when its Nth command comes; once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pull_at: Option<u32>,
    /// Carry the Nth command out and say nothing more until a reset; once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    mute_at: Option<u32>,
}

fn date(text: &str) -> std::result::Result<[u8; 3], &'static str> {
    let rule = "a day as YYMMDD";
    let mut date = [0; 3];
    if !text.bytes().all(|b| b.is_ascii_digit()) || hex::decode_to_slice(text, &mut date).is_err() {
        return Err(rule);
    }
    let [_, month, day] = date;
    let fits = (0x01..=0x12).contains(&month) && (0x01..=0x31).contains(&day);
    fits.then_some(date).ok_or(rule)
}
/// What is wanted of the card.
struct Wanted {
    inserted: bool,
    quit: bool,
    /// Nobody says anything more.
    alone: bool,
    /// The connection while it is in the reader.
    stream: Option<TcpStream>,
}
struct Hand {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}
impl Hand {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Does what a line says; false for one that says nothing.
    fn told(&self, line: &str) -> bool {
        let mut wanted = self.wanted();
        match line {
            "insert" => wanted.inserted = true,
            "pull" => wanted.inserted = false,
            "quit" => (wanted.inserted, wanted.quit) = (false, true),
            _ => return false,
        }
        if let (false, Some(stream)) = (wanted.inserted, &wanted.stream) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
        true
    }
    /// Waits until the card is to be in the reader; false when that will not be.
    fn wait(&self) -> bool {
        let mut wanted = self.wanted();
        while !wanted.inserted && !wanted.quit && !wanted.alone {
            wanted = self.changed.wait(wanted).unwrap_or_else(PoisonError::into_inner);
        }
        wanted.inserted
    }
    /// Remembers the connection; false when the card has been pulled meanwhile.
    fn hold(&self, stream: &TcpStream) -> std::io::Result<bool> {
        let mut wanted = self.wanted();
        if wanted.inserted {
            wanted.stream = Some(stream.try_clone()?);
        }
        Ok(wanted.inserted)
    }
}

/// Listens to stdin.
fn listen(hand: &Hand) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if !hand.told(line.trim()) {
            eprintln!("payterm-card: pull, insert or quit");
        }
    }
    hand.wanted().alone = true;
    hand.changed.notify_all();
}

fn run(cli: Cli) -> Result<()> {
    let day = cli.date.unwrap_or_else(|| day(now()));
    let mut card = TestCard::new(&world::personas()?, &cli.persona, day)?;
    let mut kept = cli.state.map(|path| Kept::open(&path, &mut card)).transpose()?;
    let mut behaviour = Behaviour { t0: cli.t0, pull_at: cli.pull_at, mute_at: cli.mute_at };
    let wanted = Wanted { inserted: true, quit: false, alone: false, stream: None };
    let hand = Arc::new(Hand { wanted: Mutex::new(wanted), changed: Condvar::new() });
    let ear = Arc::clone(&hand);
    thread::Builder::new().name("stdin".into()).spawn(move || listen(&ear))?;
    // Nobody need listen.
    let say = |what: &str| drop(writeln!(std::io::stdout(), "{what}"));
    let mut missed = false;
    while hand.wait() {
        let stream = match TcpStream::connect(&cli.connect) {
            Ok(stream) => stream,
            Err(e) => {
                if !std::mem::replace(&mut missed, true) {
                    eprintln!("payterm-card: {}: {e}; waiting for the reader", cli.connect);
                }
                thread::sleep(AGAIN);
                continue;
            }
        };
        missed = false;
        if !hand.hold(&stream)? {
            continue;
        }
        say("inserted");
        let mut keep = |card: &TestCard| kept.as_mut().map_or(Ok(()), |kept| kept.write(card));
        let left = vpcd::serve(&stream, &mut card, &mut behaviour, &mut keep)?;
        let mut wanted = hand.wanted();
        wanted.stream = None;
        if left == Left::Pulled {
            wanted.inserted = false;
        }
        let pulled = !wanted.inserted;
        drop(wanted);
        say(if pulled { "pulled" } else { "closed" });
        if !pulled {
            thread::sleep(AGAIN);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("payterm-card: {e}");
            ExitCode::from(2)
        }
    }
}
