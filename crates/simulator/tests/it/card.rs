//! `payterm-card` as its own process; the test is the reader.
use payterm_emv::{Command as Apdu, Tag};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

const DEBIT: [u8; 8] = [0xA0, 0, 0, 0x03, 0x33, 0x01, 0x01, 0x01];

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_payterm-card"))
}

struct Card {
    child: Child,
    listener: TcpListener,
    reader: TcpStream,
    words: BufReader<ChildStdout>,
    hand: Option<ChildStdin>,
}
impl Drop for Card {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
impl Card {
    fn start(state: &Path, args: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut child = program()
            .args(["debit", "--date", "260715", "--connect", &listener.local_addr().unwrap().to_string()])
            .arg("--state")
            .arg(state)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let words = BufReader::new(child.stdout.take().unwrap());
        let hand = child.stdin.take();
        let reader = accept(&listener);
        let mut card = Self { child, listener, reader, words, hand };
        assert_eq!(card.word(), "inserted");
        card
    }
    fn word(&mut self) -> String {
        let mut line = String::new();
        self.words.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
    fn tell(&mut self, word: &str) {
        writeln!(self.hand.as_mut().unwrap(), "{word}").unwrap();
    }
    fn say(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.reader.write_all(&[&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()).unwrap();
        let mut len = [0; 2];
        self.reader.read_exact(&mut len).ok()?;
        let mut bytes = vec![0; u16::from_be_bytes(len).into()];
        self.reader.read_exact(&mut bytes).unwrap();
        Some(bytes)
    }
    /// A transaction begins; its counter.
    fn begin(&mut self) -> u8 {
        self.say(&Apdu::select(&DEBIT, false).bytes()).unwrap();
        self.say(&Apdu::get_processing_options(&[]).bytes()).unwrap();
        self.say(&Apdu::get_data(Tag(0x9F36)).bytes()).unwrap()[4]
    }
    /// The card is gone from the reader.
    fn gone(&mut self) -> bool {
        matches!(self.reader.read(&mut [0; 1]), Ok(0) | Err(_))
    }
    fn again(&mut self) {
        self.reader = accept(&self.listener);
        assert_eq!(self.word(), "inserted");
    }
    fn ends(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}
fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

#[test]
fn it_is_inserted_pulled_and_inserted_again_and_counts_on_over_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("card.json");
    let mut card = Card::start(&state, &[]);
    assert_eq!(card.say(&[4]).unwrap()[..2], [0x3B, 0x87]);
    assert_eq!(card.begin(), 1);
    card.tell("nonsense");
    card.tell("pull");
    assert_eq!(card.word(), "pulled");
    assert!(card.gone());
    card.tell("insert");
    card.again();
    assert_eq!(card.say(&Apdu::read_record(1, 1).bytes()).unwrap(), [0x69, 0x85], "it was pulled");
    assert_eq!(card.begin(), 2);
    // The reader goes and comes back: the card is still in it.
    card.reader.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(card.word(), "closed");
    card.again();
    assert_eq!(card.begin(), 3);
    card.child.kill().unwrap();
    card.child.wait().unwrap();
    let mut card = Card::start(&state, &["--t0"]);
    assert_eq!(card.say(&[4]).unwrap()[..2], [0x3B, 0x07]);
    assert_eq!(card.say(&Apdu::select(&DEBIT, false).bytes()).unwrap()[0], 0x61);
    assert_eq!(card.say(&Apdu::get_processing_options(&[]).bytes()).unwrap()[0], 0x61);
    assert_eq!(card.say(&[0x80, 0xCA, 0x9F, 0x36, 5]).unwrap(), [0x9F, 0x36, 2, 0, 4, 0x90, 0]);
    card.tell("quit");
    assert_eq!(card.word(), "pulled");
    assert!(card.ends());
}

#[test]
fn it_is_pulled_at_a_command_and_ends_when_nobody_can_put_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("card.json");
    let mut card = Card::start(&state, &["--pull-at", "2"]);
    card.say(&Apdu::select(&DEBIT, false).bytes()).unwrap();
    assert_eq!(card.say(&Apdu::get_processing_options(&[]).bytes()), None);
    assert_eq!(card.word(), "pulled");
    card.tell("insert");
    card.again();
    assert_eq!(card.begin(), 1, "once; and the options were not got before");
    drop(card.hand.take());
    card.reader.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(card.word(), "closed");
    card.again();
    drop(card);

    let mut card = Card::start(&state, &["--pull-at", "1"]);
    drop(card.hand.take());
    assert_eq!(card.say(&Apdu::select(&DEBIT, false).bytes()), None);
    assert_eq!(card.word(), "pulled");
    assert!(card.ends());

    let mut card = Card::start(&state, &["--mute-at", "2"]);
    card.say(&Apdu::select(&DEBIT, false).bytes()).unwrap();
    card.reader.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(card.say(&Apdu::get_processing_options(&[]).bytes()), None);
    assert_eq!(card.say(&[4]).unwrap()[..2], [0x3B, 0x87], "it is in the reader");
    card.tell("pull");
    assert_eq!(card.word(), "pulled");
    card.tell("insert");
    card.again();
    assert_eq!(card.begin(), 3, "what it did not answer it has done");
}

#[test]
fn what_it_cannot_be_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("card.json");
    std::fs::write(&state, "{}").unwrap();
    let state = state.to_str().unwrap();
    for (args, why) in [
        (&["nobody"][..], "there is no persona nobody"),
        (&["debit", "--date", "261340"], "a day as YYMMDD"),
        (&["debit", "--pull-at", "0"], "--pull-at"),
        (&["debit", "--state", state], "card.json: "),
    ] {
        let out = program().args(args).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(2) && said.contains(why), "{said}");
    }
}
