//! Chip cards before the acquirer, over real TCP: a test card, the kernel of `crates/emv`, F55 in the frames
//! of a profile that lists its elements, the issuer's check and answer, scripts, reversals, script notices.
use crate::common::{Got, Till, sound};
use payterm_emv::{
    Contact, Tag, Tap,
    step::{By, End, HostWord, Input, PinAsk, PinWord, Proceed, Step, Verdict},
    terminal::{Limits, Parameters, Terminal, Transaction},
};
use payterm_hosts::{Reply, decode, encode, iso8583::Message, read};
use payterm_primitives::encode_pin_block;
use payterm_schema::{
    Kind, Pan,
    host::{CardSecrets, EntryMode, MessageKind, Plan, ReversalReason},
    icc::{self, Icc},
    offline::OfflineAuthority,
    secret::Pin,
};
use payterm_simulator::{
    Acquirer, Mishap, Options, Running, World,
    bank::chip::Chip,
    card::{PERSONAS, Personas, Script, TestCard, When, play},
    world::DEMO,
};
use std::{process::Command, sync::Arc};

const DATE: [u8; 3] = [0x26, 0x07, 0x15];
const DEBIT: &str = "6212345678900010101";
const OPENING: i64 = 1_000_000;
/// Elements of a request.
const SALE: [u32; 16] = [
    0x9F26, 0x9F27, 0x9F10, 0x9F37, 0x9F36, 0x95, 0x9A, 0x9C, 0x9F02, 0x5F2A, 0x82, 0x9F1A, 0x9F03, 0x9F33,
    0x84, 0x9F09,
];

fn start(options: Options) -> (Running, Till) {
    let running = Acquirer::start(World::parse(DEMO).unwrap(), options).unwrap();
    let till = Till::signed_in(&running, "cup");
    (running, till)
}
fn in_memory() -> (Running, Till) {
    start(Options::fast())
}
fn card(name: &str) -> TestCard {
    TestCard::new(&Personas::parse(PERSONAS).unwrap(), name, DATE).unwrap()
}

/// A card in a terminal, whose issuer is to be asked.
struct Visit {
    contact: Contact,
    /// What the card said for F55.
    icc: Icc,
}
fn kernel(minor: u64) -> (Contact, Step) {
    let limits = Limits { default: [0; 5], ..play::ALL_ONLINE };
    let terminal = Terminal::new(play::terminal()).unwrap();
    let parameters = Parameters::new(1, play::aids(limits), play::keys(), Vec::new()).unwrap();
    let payment = Transaction { force_online: true, ..play::payment(minor) };
    Contact::start(Arc::new(terminal), Arc::new(parameters), payment).unwrap()
}
/// Goes on until the issuer is asked, or to the end.
fn go(contact: &mut Contact, mut step: Step, card: &mut TestCard) -> Result<Icc, Box<End>> {
    loop {
        let bytes;
        let input = match step {
            Step::Send(command) => {
                bytes = card.answer(&command);
                Input::Answer(&bytes)
            }
            Step::Choose(_) => Input::Chosen(Some(0)),
            Step::Parameters(_) => Input::Parameters(None),
            Step::Read(_) => {
                Input::Proceed(Proceed { earlier: 0, listed: false, online_pin: true, offline: true })
            }
            Step::Pin(PinAsk::Online) => Input::Pin(PinWord::Entered),
            Step::Pin(PinAsk::Plain { .. } | PinAsk::Enciphered { .. }) => Input::Pin(PinWord::NoPad),
            Step::Online(online) => return Ok(Icc::parse(&online.tags.list(&SALE.map(Tag))).unwrap()),
            Step::Completed(_) => Input::Scripts,
            Step::Done(end) => return Err(end),
        };
        step = contact.step(input);
    }
}
impl Visit {
    fn of(card: &mut TestCard, minor: u64) -> Self {
        card.reset();
        let (mut contact, step) = kernel(minor);
        let icc = go(&mut contact, step, card).ok().unwrap();
        Self { contact, icc }
    }
    /// The card hears what the host answered.
    fn end(mut self, card: &mut TestCard, got: &Got) -> End {
        let issuer = got.answer().icc.as_ref().map(Icc::bytes).unwrap_or_default();
        let arc = got.code().as_bytes().try_into().unwrap();
        let approved = got.code() == "00";
        let word = if approved {
            HostWord::Approved { arc, issuer: &issuer }
        } else {
            HostWord::Refused { arc, issuer: &issuer }
        };
        let step = self.contact.step(Input::Host(word));
        *go(&mut self.contact, step, card).unwrap_err()
    }
}

fn plan(till: &mut Till, kind: Kind, minor: u64, icc: &Icc) -> Plan {
    let amount = (kind != Kind::Balance).then(|| till.money(minor));
    Plan {
        amount,
        mode: Some(EntryMode::Chip),
        expiry: Some("3012".into()),
        card_sequence: Some(1),
        icc: Some(icc.clone()),
        ..till.plan(kind)
    }
}
fn secrets(till: &Till, pin: Option<&str>) -> CardSecrets {
    let pan = Pan::parse(DEBIT).unwrap();
    let pik = &till.keys.as_ref().unwrap().pik;
    CardSecrets {
        pin_block: pin.map(|p| encode_pin_block(pik, &Pin::parse(p).unwrap(), &pan).unwrap()),
        pan: Some(pan),
        ..CardSecrets::default()
    }
}
fn ask(till: &mut Till, kind: Kind, minor: u64, icc: &Icc, pin: Option<&str>) -> Got {
    let plan = Plan { pin: pin.is_some(), ..plan(till, kind, minor, icc) };
    let secrets = secrets(till, pin);
    till.exchange(MessageKind::Request, plan, &secrets)
}
fn sale(till: &mut Till, minor: u64, icc: &Icc) -> Got {
    ask(till, Kind::Sale, minor, icc, None)
}
fn element(icc: &Icc, tag: u32) -> Option<&[u8]> {
    icc.values(icc::Tag::new(tag).unwrap()).next()
}
/// The data without a tag, or with its last bit inverted.
fn without(icc: &Icc, tag: u32) -> Icc {
    let all: Vec<_> = icc.iter().map(|(t, _)| t).filter(|t| *t != icc::Tag::new(tag).unwrap()).collect();
    Icc::parse(&icc.pick(&all)).unwrap()
}
fn spoilt(icc: &Icc, tag: u32) -> Icc {
    let mut one = icc.pick(&[icc::Tag::new(tag).unwrap()]);
    *one.last_mut().unwrap() ^= 1;
    Icc::parse(&[without(icc, tag).bytes(), one].concat()).unwrap()
}
fn last(running: &Running) -> Chip {
    running.chips().unwrap().pop().unwrap()
}
fn balance(running: &Running) -> i64 {
    running.balance("card:chip-debit").unwrap()
}

#[test]
fn a_chip_sale_is_checked_answered_and_kept_and_the_card_believes_the_answer() {
    let (r, mut t) = in_memory();
    let mut card = card("debit");
    let visit = Visit::of(&mut card, 1_234);
    let got = ask(&mut t, Kind::Sale, 1_234, &visit.icc, Some("123456"));
    assert_eq!((got.code(), balance(&r)), ("00", OPENING - 1_234));
    assert_eq!(element(got.answer().icc.as_ref().unwrap(), 0x91).unwrap()[8..], *b"00");
    let (rrn, sent) = (got.answer().rrn.clone(), visit.icc.clone());
    assert_eq!(visit.end(&mut card, &got).verdict, Verdict::Approved(By::HostAndCard));
    let chip = last(&r);
    let text = |t: &str| Some(t.to_owned());
    assert_eq!((chip.what.as_str(), chip.mti.as_str(), chip.stan), ("request", "0200", got.plan.stan.get()));
    assert_eq!((chip.kind, chip.code, chip.state), (text("sale"), text("00"), text("approved")));
    assert_eq!((chip.cryptogram, chip.atc, chip.why), (text("ARQC"), Some(1), None));
    assert_eq!((chip.icc, chip.results), (sent, None));
    let posting = r.postings().unwrap().pop().unwrap();
    assert_eq!(posting.rrn, rrn);
    let data = posting.chip.unwrap();
    assert_eq!((data.cryptogram, data.atc), (text("ARQC"), Some(1)));

    // A pre-authorisation and a balance, a wrong PIN, not enough money: the issuer answers each.
    let visit = Visit::of(&mut card, 500);
    assert_eq!(ask(&mut t, Kind::PreAuth, 500, &visit.icc, None).code(), "00");
    assert_eq!(r.holds().unwrap()[0].payer, "card:chip-debit");
    let visit = Visit::of(&mut card, 0);
    let got = ask(&mut t, Kind::Balance, 0, &visit.icc, Some("123456"));
    assert_eq!((got.code(), got.answer().balance), ("00", Some(OPENING - 1_734)));
    assert!(got.answer().icc.is_some());
    for (minor, pin, code) in [(100, "123457", "55"), (99_999_999, "123456", "51")] {
        let visit = Visit::of(&mut card, minor);
        let got = ask(&mut t, Kind::Sale, minor, &visit.icc, Some(pin));
        assert_eq!(got.code(), code);
        assert_eq!(element(got.answer().icc.as_ref().unwrap(), 0x91).unwrap()[8..], *code.as_bytes());
        assert_eq!(visit.end(&mut card, &got).verdict, Verdict::Declined);
    }
    assert_eq!(r.chips().unwrap().iter().map(|c| c.atc).collect::<Vec<_>>(), [1, 2, 3, 4, 5].map(Some));
    // A card of a persona that is swiped is a card like others; a card without a chip has nothing to check.
    assert_eq!(t.sale("chip-debit", 100, None).code(), "55");
    assert_eq!(t.sale("chip-debit", 100, Some("123456")).code(), "00");
    assert!(t.sale("alice", 100, Some("123456")).answer().icc.is_none());
    assert!(r.postings().unwrap().pop().unwrap().chip.is_none());
    sound(&r);
}

#[test]
fn a_tap_is_checked_as_an_inserted_card_is() {
    let (r, mut t) = in_memory();
    for (name, pan, sequence, minor, pin) in [
        ("qpboc-online", "6212345678900011307", 1, 100_000, Some("123456")),
        ("phone", "6212345678001504", 0, 1_000, None),
    ] {
        let mut card = card(name);
        let terminal = Arc::new(Terminal::new(play::terminal()).unwrap());
        let parameters = Parameters::new(1, play::aids(play::LIMITS), play::keys(), Vec::new()).unwrap();
        let (mut tap, mut step) = Tap::start(terminal, Arc::new(parameters), play::payment(minor)).unwrap();
        let icc = loop {
            let bytes;
            let input = match step {
                Step::Send(command) => {
                    bytes = card.answer(&command);
                    Input::Answer(&bytes)
                }
                Step::Read(_) => Input::Proceed(play::PROCEED),
                Step::Pin(ask) => Input::Pin(card.pin_word(&ask)),
                Step::Online(online) => break Icc::parse(&online.tags.list(&SALE.map(Tag))).unwrap(),
                Step::Choose(_) | Step::Parameters(_) | Step::Completed(_) | Step::Done(_) => {
                    panic!("not in this tap")
                }
            };
            step = tap.step(input);
        };
        let mut exchange = |icc: &Icc| {
            let pan = Pan::parse(pan).unwrap();
            let plan = Plan {
                mode: Some(EntryMode::Contactless),
                card_sequence: Some(sequence),
                pin: pin.is_some(),
                ..plan(&mut t, Kind::Sale, minor, icc)
            };
            let pik = &t.keys.as_ref().unwrap().pik;
            let pin_block = pin.map(|p| encode_pin_block(pik, &Pin::parse(p).unwrap(), &pan).unwrap());
            let secrets = CardSecrets { pin_block, pan: Some(pan), ..CardSecrets::default() };
            t.exchange(MessageKind::Request, plan, &secrets)
        };
        assert_eq!(exchange(&spoilt(&icc, 0x9F02)).code(), "05", "{name}: another amount was signed");
        let got = exchange(&icc);
        assert_eq!(got.code(), "00", "{name}");
        let issuer = got.answer().icc.as_ref().map(Icc::bytes).unwrap_or_default();
        let word = HostWord::Approved { arc: *b"00", issuer: &issuer };
        let Step::Done(end) = tap.step(Input::Host(word)) else { panic!("the host's word is final") };
        assert_eq!(end.verdict, Verdict::Approved(By::Host), "{name}");
    }
    sound(&r);
}

#[test]
fn a_wrong_cryptogram_moves_nothing_and_the_ledger_says_why() {
    let (r, mut t) = in_memory();
    let mut card = card("debit");
    let icc = Visit::of(&mut card, 1_000).icc;
    let wrong = "the card's cryptogram is wrong";
    for (icc, minor, code, why) in [
        (spoilt(&icc, 0x9F26), 1_000, "05", wrong),
        (spoilt(&icc, 0x95), 1_000, "05", wrong),
        (spoilt(&icc, 0x9F36), 1_000, "05", wrong),
        (without(&icc, 0x9F10), 1_000, "30", "tag 9F10 is missing"),
        (icc.clone(), 1_001, "05", "the card was asked for another amount (9F02) than F4"),
    ] {
        let got = sale(&mut t, minor, &icc);
        assert_eq!((got.code(), &got.answer().icc), (code, &None), "{why}");
        let chip = last(&r);
        assert_eq!((chip.why.as_deref(), chip.code.as_deref()), (Some(why), Some(code)));
        assert_eq!(chip.state.as_deref(), Some("declined"), "{why}");
    }
    let plan = Plan { card_sequence: Some(2), ..plan(&mut t, Kind::Sale, 1_000, &icc) };
    let secrets = secrets(&t, None);
    assert_eq!(t.exchange(MessageKind::Request, plan, &secrets).code(), "05", "another sequence number");
    assert_eq!(balance(&r), OPENING);
    assert_eq!(sale(&mut t, 1_000, &icc).code(), "00", "none of it counted");
    sound(&r);
}

#[test]
fn the_same_message_is_answered_the_same_and_an_old_cryptogram_pays_nothing_not_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { state: Some(dir.path().join("state")), ..Options::default() };
    let (r, mut t) = start(options());
    let mut card = card("debit");
    let [old, icc] = [1_000, 1_000].map(|minor| Visit::of(&mut card, minor).icc);
    // Busy: the issuer heard nothing, the same question goes under a new STAN.
    r.mishaps().next(Mishap::Busy).unwrap();
    let busy = sale(&mut t, 1_000, &icc);
    assert_eq!((busy.code(), &busy.answer().icc), ("91", &None));
    let (plan, secrets) = (plan(&mut t, Kind::Sale, 1_000, &icc), secrets(&t, None));
    let first = t.exchange(MessageKind::Request, plan.clone(), &secrets);
    let again = t.exchange(MessageKind::Request, plan.clone(), &secrets);
    assert_eq!((first.code(), &first.answer().icc), ("00", &again.answer().icc));
    assert_eq!((again.code(), balance(&r)), ("00", OPENING - 1_000));
    let other = Plan { icc: Some(old.clone()), ..plan };
    assert_eq!(t.exchange(MessageKind::Request, other, &secrets).code(), "94", "one STAN, other data");
    assert_eq!(sale(&mut t, 1_000, &old).code(), "05");
    assert_eq!(last(&r).why.as_deref(), Some("the card's counter has been approved before"));
    let batch = t.stan;
    drop(t);
    r.stop();
    let (r, mut t) = start(options());
    t.stan = batch + 10;
    assert_eq!(sale(&mut t, 1_000, &old).code(), "05", "after a restart too");
    let visit = Visit::of(&mut card, 1_000);
    assert_eq!(sale(&mut t, 1_000, &visit.icc).code(), "00");
    assert_eq!(balance(&r), OPENING - 2_000);
    sound(&r);
}

#[test]
fn an_advice_with_a_wrong_tc_is_refused() {
    let (r, mut t) = in_memory();
    let mut card = card("debit");
    let visit = Visit::of(&mut card, 100);
    let got = sale(&mut t, 100, &visit.icc);
    let end = visit.end(&mut card, &got);
    let tc = Icc::parse(&end.tags.list(&SALE.map(Tag))).unwrap();
    assert_eq!(element(&tc, 0x9F27), Some(&[0x40][..]));
    for (icc, code) in [(spoilt(&tc, 0x9F26), "05"), (without(&tc, 0x9F37), "05"), (tc, "00")] {
        let offline_authority = Some(OfflineAuthority::Card);
        let plan = Plan { offline_authority, ..plan(&mut t, Kind::Sale, 100, &icc) };
        let secrets = secrets(&t, None);
        let got = t.exchange(MessageKind::Request, plan, &secrets);
        assert_eq!((got.code(), &got.answer().icc), (code, &None));
        let why = (code == "05").then_some("the card's TC is wrong");
        assert_eq!((last(&r).why.as_deref(), last(&r).cryptogram.as_deref()), (why, Some("TC")));
    }
    assert_eq!(balance(&r), OPENING - 200);
    sound(&r);
}

#[test]
fn a_forced_refusal_is_the_issuers_too() {
    let (r, mut t) = in_memory();
    let mut card = card("debit");
    r.mishaps().next(Mishap::Code { code: "61".parse().unwrap() }).unwrap();
    let visit = Visit::of(&mut card, 100);
    let got = sale(&mut t, 100, &visit.icc);
    assert_eq!(got.code(), "61");
    let end = visit.end(&mut card, &got);
    assert_eq!(end.verdict, Verdict::Declined);
    assert_eq!(end.tags.get(Tag(0x95)).unwrap()[4] & 0x40, 0, "the card knows its issuer");
}

/// A script notice (0620) with these fields changed.
fn notice(till: &mut Till, of: &Plan, stan: u32, changes: &[(u8, &[u8])]) -> String {
    let template = plan(till, Kind::Sale, 100, &Icc::default());
    let built = till.build(MessageKind::Request, &template, &secrets(till, None));
    let sale = decode(&till.profile, built.bytes.reveal()).unwrap();
    let mut message = Message::new("0620").unwrap();
    for n in [2, 4, 22, 23, 41, 42, 49] {
        if let Some(value) = sale.message.get(n) {
            message.set(n, value).unwrap();
        }
    }
    message.set(3, "000000").unwrap();
    message.set(11, format!("{stan:06}")).unwrap();
    message.set(60, format!("00{}951", of.batch)).unwrap();
    message.set(61, format!("{}{}0715", of.batch, of.stan)).unwrap();
    for (n, value) in changes {
        message.set(*n, *value).unwrap();
    }
    let bytes = encode(&till.profile, &sale.envelope, &mut message, Some(&till.mak)).unwrap();
    till.send(bytes.reveal());
    let frame = till.frame(std::time::Duration::from_secs(60)).unwrap();
    let Reply { answer, .. } = read(&till.profile, &frame, &till.mak).unwrap();
    answer.code
}

#[test]
fn scripts_go_to_the_card_once_and_their_results_are_kept() {
    let (r, mut t) = in_memory();
    let mut card = card("debit");
    let count = Script::OfflineCount { when: When::Before, count: 9 };
    r.script("chip-debit", &[Script::PinUnblock { when: When::After }]).unwrap();
    r.script("chip-debit", &[count]).unwrap();
    assert_eq!(r.script("alice", &[count]), Err("the card has no chip"));
    assert_eq!(r.script("nobody", &[count]), Err("there is no such card"));
    assert!(r.script("chip-debit", &[count; 7]).is_err());
    // A wrong cryptogram takes none away.
    let visit = Visit::of(&mut card, 100);
    assert_eq!(sale(&mut t, 100, &spoilt(&visit.icc, 0x9F26)).code(), "05");
    let (plan, secrets) = (plan(&mut t, Kind::Sale, 100, &visit.icc), secrets(&t, None));
    let got = t.exchange(MessageKind::Request, plan.clone(), &secrets);
    let told = got.answer().icc.clone().unwrap();
    assert!(element(&told, 0x71).is_some() && element(&told, 0x72).is_some());
    let again = t.exchange(MessageKind::Request, plan.clone(), &secrets);
    assert_eq!(again.answer().icc.as_ref(), Some(&told), "a repeat has them too");
    let end = visit.end(&mut card, &got);
    assert_eq!(end.scripts, [[0x20, 0, 0, 0, 0x71], [0x20, 0, 0, 0, 0x72]]);
    let next = Visit::of(&mut card, 100);
    let got = sale(&mut t, 100, &next.icc);
    let told = got.answer().icc.clone().unwrap();
    assert!(got.code() == "00" && element(&told, 0x71).is_none() && element(&told, 0x72).is_none(), "once");

    let results = end.scripts.concat();
    let f55 = [&[0x9F, 0x36, 2, 0, 1, 0xDF, 0x31, results.len() as u8][..], &results].concat();
    assert_eq!(notice(&mut t, &plan, 900, &[(55, &f55)]), "00");
    assert_eq!(notice(&mut t, &plan, 900, &[(55, &f55)]), "00", "again");
    let other = [&f55[..f55.len() - 1], &[0x73]].concat();
    assert_eq!(notice(&mut t, &plan, 900, &[(55, &other)]), "94");
    let kept: Vec<Chip> = r.chips().unwrap().into_iter().filter(|c| c.what == "notice").collect();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].mti.as_str(), kept[0].stan, kept[0].kind.as_deref()), ("0620", 900, Some("sale")));
    assert_eq!(kept[0].results.as_deref(), Some("20000000712000000072"));
    assert_eq!(kept[0].atc, Some(1));
    // Not of this terminal; another code in F60 or field; no results, or some that are cut.
    assert_eq!(notice(&mut t, &plan, 901, &[(55, &f55), (61, b"0000010009990715")]), "25");
    assert_eq!(notice(&mut t, &plan, 901, &[(55, &f55), (60, b"00000001952")]), "30");
    assert_eq!(notice(&mut t, &plan, 901, &[(55, &f55), (25, b"00")]), "30");
    for bad in [&[0x9F, 0x36, 2, 0, 1][..], &[0xDF, 0x31, 4, 0, 0, 0, 0], &[0xDF, 0x31, 0], &[0xDF, 0x31, 9]]
    {
        assert_eq!(notice(&mut t, &plan, 901, &[(55, bad)]), "30", "{bad:02X?}");
    }
    assert_eq!(r.chips().unwrap().iter().filter(|c| c.what == "notice").count(), 1);
    sound(&r);
}

#[test]
fn a_reversals_data_are_kept_beside_its_payment() {
    let (r, mut t) = in_memory();
    let mut card = card("debit");
    let visit = Visit::of(&mut card, 100);
    let got = sale(&mut t, 100, &visit.icc);
    let icc = [&visit.icc.bytes()[..], &[0xDF, 0x31, 5, 0x20, 0, 0, 0, 0x71]].concat();
    let undo = Plan { icc: Some(Icc::parse(&icc).unwrap()), ..got.plan.clone() };
    let sealed = secrets(&t, None);
    let reason = MessageKind::Reversal(ReversalReason::Other);
    for _ in 0..2 {
        assert_eq!(t.exchange(reason, undo.clone(), &sealed).code(), "00");
    }
    let all = r.chips().unwrap();
    assert_eq!(all.len(), 2, "one of the sale, one of its reversal");
    let chip = &all[1];
    assert_eq!((chip.what.as_str(), chip.mti.as_str(), chip.atc), ("reversal", "0400", Some(1)));
    assert_eq!((chip.state.as_deref(), chip.cryptogram.as_deref()), (Some("reversed"), None));
    assert_eq!(chip.results.as_deref(), Some("2000000071"));
    assert_eq!(chip.icc.iter().count(), 4, "95, 9F10, 9F36, DF31");
    let chips: Vec<_> = r.postings().unwrap().iter().rev().take(2).map(|p| p.chip.clone().unwrap()).collect();
    assert_eq!(
        chips.iter().map(|c| (c.cryptogram.is_some(), c.atc)).collect::<Vec<_>>(),
        [(false, Some(1)), (true, Some(1))]
    );
    // One that overtakes its request: kept, and the request is refused without the issuer.
    let visit = Visit::of(&mut card, 100);
    let late = plan(&mut t, Kind::Sale, 100, &visit.icc);
    assert_eq!(t.exchange(reason, late.clone(), &sealed).code(), "25");
    assert_eq!((last(&r).what.as_str(), last(&r).kind), ("reversal", None));
    let got = t.exchange(MessageKind::Request, late, &sealed);
    assert_eq!((got.code(), &got.answer().icc, balance(&r)), ("12", &None, OPENING));
    sound(&r);
}

#[test]
fn scripts_are_told_and_chip_data_are_listed_by_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (r, mut t) = start(Options { state: Some(state.clone()), ..Options::default() });
    let program = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_payterm-acquirer"));
        let out = command.args(args).arg("--state").arg(&state).output().unwrap();
        (out.status.success(), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
    };
    assert_eq!(program(&["script", "chip-debit", "offline-count", "9", "--before"]), (true, String::new()));
    for (bad, why) in [
        (&["script", "alice", "card-block"][..], "card alice: the card has no chip"),
        (&["script", "chip-debit", "reboot"], "there is no such 'reboot'"),
        (&["script", "chip-debit", "offline-count"], "there is no such 'offline-count'"),
    ] {
        let (fine, said) = program(bad);
        assert!(!fine && said.contains(why), "{said}");
    }
    let visit = Visit::of(&mut card("debit"), 100);
    let got = sale(&mut t, 100, &visit.icc);
    assert!(element(got.answer().icc.as_ref().unwrap(), 0x71).is_some());
    assert_eq!(sale(&mut t, 100, &spoilt(&visit.icc, 0x9F26)).code(), "05");
    let (_, said) = program(&["chips"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].ends_with("request of sale 00 approved: ARQC ATC 1"), "{said}");
    assert!(lines[1].ends_with("declined: ARQC ATC 1, refused: the card's cryptogram is wrong"), "{said}");
    assert!(program(&["ledger"]).1.contains(" chip ARQC ATC 1\n"));
    let (_, json) = program(&["chips", "--json"]);
    assert!(json.contains("\"atc\":1") && !json.contains(DEBIT), "{json}");
    sound(&r);
}
