//! The virtual chip reader: whoever connects to its socket is a card.
use payterm_devices::{CardDevice, CardFault, CardReader, DeviceError, Drivers, Env, Face, VirtualBench};
use payterm_schema::{DeviceKind, card::Interface, config::DeviceConfig};
use payterm_simulator::card::{PERSONAS, Personas, TestCard, inserted::Inserted, vpcd};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

const SOON: Duration = Duration::from_secs(5);
const NOW: Duration = Duration::from_millis(50);
/// SELECT of the directory.
const SELECT: &[u8] = b"\x00\xA4\x04\x00\x0E1PAY.SYS.DDF01\x00";

fn config(card: &str) -> DeviceConfig {
    let mut config = DeviceConfig::new("chip", DeviceKind::ChipReader, "virtual");
    config.options.insert("card".into(), card.into());
    config
}
fn open() -> (Box<dyn CardReader>, SocketAddr) {
    // A port that is free now.
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let env = Env {
        bench: VirtualBench::new(),
        encipher: Arc::new(|_, _, _| Err("no vault".into())),
        kernel: None,
    };
    let mut faces = Drivers::default().open(&config(&at.to_string()), &env).unwrap();
    let Face::ChipReader(CardDevice { reader, kernel: None }) = faces.remove(0) else { panic!("no reader") };
    (reader, at)
}
fn card() -> TestCard {
    TestCard::new(&Personas::parse(PERSONAS).unwrap(), "debit", [0x26, 0x07, 0x15]).unwrap()
}

#[test]
fn a_card_is_found_powered_and_asked_until_it_is_pulled() {
    let (mut reader, at) = open();
    assert_eq!(reader.wait(NOW).unwrap(), None);
    let inserted = Inserted::insert(card(), at).unwrap();
    assert_eq!(reader.wait(SOON).unwrap(), Some(Interface::Contact));
    assert!(reader.present().unwrap());
    assert_eq!(reader.power().unwrap(), vpcd::ATR_T1);
    let answer = reader.transmit(SELECT, SOON).unwrap();
    assert!(answer.starts_with(&[0x6F]) && answer.ends_with(&[0x90, 0x00]), "{answer:02X?}");
    // Powered again it has forgotten what was selected.
    let read = &[0x00, 0xB2, 0x01, 0x0C, 0x00];
    assert!(reader.transmit(read, SOON).unwrap().ends_with(&[0x90, 0x00]));
    reader.power().unwrap();
    assert!(!reader.transmit(read, SOON).unwrap().ends_with(&[0x90, 0x00]));
    drop(inserted);
    let until = Instant::now() + SOON;
    while reader.present().unwrap() {
        assert!(Instant::now() < until, "it is pulled");
    }
    assert!(matches!(reader.transmit(SELECT, SOON), Err(CardFault::Removed)));
    assert!(matches!(reader.power(), Err(CardFault::Removed)));
}

#[test]
fn a_card_that_was_let_go_of_is_found_again_once_it_was_out() {
    let (mut reader, at) = open();
    let inserted = Inserted::insert(card(), at).unwrap();
    assert_eq!(reader.wait(SOON).unwrap(), Some(Interface::Contact));
    reader.power().unwrap();
    reader.release().unwrap();
    assert_eq!(reader.wait(NOW).unwrap(), None, "it pays nothing that is asked later");
    let card = inserted.pull();
    let _inserted = Inserted::insert(card, at).unwrap();
    assert_eq!(reader.wait(SOON).unwrap(), Some(Interface::Contact));
    // One that nobody took is forgotten, too.
    reader.release().unwrap();
    assert_eq!(reader.wait(NOW).unwrap(), None);
}

#[test]
fn the_next_customers_card_is_found_although_the_last_one_was_not_let_go_of_yet() {
    let (mut reader, at) = open();
    let inserted = Inserted::insert(card(), at).unwrap();
    assert_eq!(reader.wait(SOON).unwrap(), Some(Interface::Contact));
    reader.power().unwrap();
    let card = inserted.pull();
    let _next = Inserted::insert(card, at).unwrap();
    reader.release().unwrap();
    assert_eq!(reader.wait(SOON).unwrap(), Some(Interface::Contact));
}

#[test]
fn a_wait_is_interrupted_and_so_is_the_next_without_one() {
    let (mut reader, _) = open();
    let interrupt = reader.interrupt();
    interrupt();
    let begun = Instant::now();
    assert_eq!(reader.wait(SOON).unwrap(), None);
    let waker = std::thread::spawn(move || {
        std::thread::sleep(NOW);
        interrupt();
    });
    assert_eq!(reader.wait(SOON).unwrap(), None);
    assert!(begun.elapsed() < SOON / 2);
    waker.join().unwrap();
    let begun = Instant::now();
    assert_eq!(reader.wait(NOW).unwrap(), None);
    assert!(begun.elapsed() >= NOW, "an interrupt is used up");
}

#[test]
fn a_card_that_does_not_answer_in_time_is_mute_and_is_not_heard_later() {
    let (mut reader, at) = open();
    let mut card = TcpStream::connect(at).unwrap();
    assert_eq!(reader.wait(SOON).unwrap(), Some(Interface::Contact));
    let begun = Instant::now();
    assert!(matches!(reader.transmit(SELECT, NOW), Err(CardFault::Mute)));
    assert!(begun.elapsed() < SOON / 2);
    // What it says now is an answer to nothing.
    card.write_all(&[0, 2, 0x90, 0x00]).ok();
    assert!(matches!(reader.transmit(SELECT, SOON), Err(CardFault::Removed)));
    // A byte now and then is no answer either.
    let mut card = TcpStream::connect(at).unwrap();
    assert_eq!(reader.wait(SOON).unwrap(), Some(Interface::Contact));
    let drips = std::thread::spawn(move || {
        let mut asked = [0; 22];
        card.read_exact(&mut asked).unwrap();
        for byte in [0, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1] {
            std::thread::sleep(NOW / 2);
            if card.write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    let begun = Instant::now();
    assert!(matches!(reader.transmit(SELECT, NOW * 3), Err(CardFault::Mute)));
    assert!(begun.elapsed() < NOW * 5);
    drips.join().unwrap();
    // A new one is as good as ever; a command that is none is sent to nobody.
    let _inserted = Inserted::insert(self::card(), at).unwrap();
    assert_eq!(reader.wait(SOON).unwrap(), Some(Interface::Contact));
    assert!(matches!(reader.transmit(&[0], SOON), Err(CardFault::Mute)));
    reader.power().unwrap();
    assert!(reader.transmit(SELECT, SOON).is_ok());
}

#[test]
fn a_socket_that_others_reach_is_refused() {
    for card in ["0.0.0.0:35963", "192.0.2.1:35963", "localhost", "127.0.0.1", ""] {
        let refused = (Drivers::default().find(&config(card)).unwrap().check)(&config(card));
        assert!(
            matches!(&refused, Err(DeviceError::Rule { field, .. }) if field == "options.card"),
            "{card}: {refused:?}"
        );
    }
    let device = config("127.0.0.1:35963");
    assert!(Drivers::default().run_cards(std::slice::from_ref(&device), DeviceKind::ChipReader, true));
    assert!(
        !Drivers::default().run_cards(&[device], DeviceKind::ChipReader, false),
        "without a kernel no card runs"
    );
    let plain = DeviceConfig::new("chip", DeviceKind::ChipReader, "virtual");
    assert!(
        !Drivers::default().run_cards(&[plain], DeviceKind::ChipReader, true),
        "the bench's cards have no chip"
    );
}
