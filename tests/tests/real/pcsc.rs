//! The driver `pcsc` over a real pcscd with virtual readers.
use payterm_devices::{CardDevice, CardFault, CardReader, DeviceError, Drivers, Env, Face, VirtualBench};
use payterm_schema::{DeviceKind, card::Interface, config::DeviceConfig};
use payterm_simulator::card::{PERSONAS, Personas, TestCard, vpcd, vpcd::Behaviour};
use payterm_tests::real::{
    pcscd::{Inserted, Pcscd, READERS, alone},
    stack::until,
};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

const SOON: Duration = Duration::from_secs(10);
const NOW: Duration = Duration::from_millis(50);
/// SELECT of the directory, READ RECORD of what was selected.
const SELECT: &[u8] = b"\x00\xA4\x04\x00\x0E1PAY.SYS.DDF01\x00";
const READ: &[u8] = &[0x00, 0xB2, 0x01, 0x0C, 0x00];
const PLAIN: Behaviour = Behaviour { t0: false, pull_at: None, mute_at: None };

fn config(rule: Option<&str>) -> DeviceConfig {
    let mut config = DeviceConfig::new("chip", DeviceKind::ChipReader, "pcsc");
    config.options.extend(rule.map(|rule| ("reader".into(), rule.into())));
    config
}
fn opened(rule: Option<&str>) -> Result<Box<dyn CardReader>, DeviceError> {
    let env = Env {
        bench: VirtualBench::new(),
        encipher: Arc::new(|_, _, _| Err("no vault".into())),
        kernel: None,
    };
    let mut faces = Drivers::default().open(&config(rule), &env)?;
    let Face::ChipReader(CardDevice { reader, kernel: None }) = faces.remove(0) else { panic!("no reader") };
    Ok(reader)
}
fn first() -> Done<Box<dyn CardReader>> {
    Ok(opened(Some(READERS[0].0))?)
}
fn card() -> Done<TestCard> {
    Ok(TestCard::new(&Personas::parse(PERSONAS)?, "debit", [0x26, 0x07, 0x15])?)
}
fn insert(behaviour: Behaviour) -> Done<Inserted> {
    Inserted::insert(card()?, READERS[0].1, behaviour)
}
fn is_good(answer: &[u8]) -> bool {
    answer.ends_with(&[0x90, 0x00])
}
/// The next customer pays.
fn works(reader: &mut dyn CardReader) -> Done {
    let inserted = insert(PLAIN)?;
    assert_eq!(reader.wait(SOON)?, Some(Interface::Contact));
    assert_eq!(reader.power()?, vpcd::ATR_T1);
    assert!(is_good(&reader.transmit(SELECT, SOON)?));
    reader.release()?;
    inserted.take_out()?;
    Ok(())
}

#[test]
fn a_card_is_found_talked_to_and_pulled() -> Done {
    if !alone("pcsc::a_card_is_found_talked_to_and_pulled") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    let mut reader = first()?;
    assert_eq!(reader.wait(NOW)?, None);
    assert!(matches!(reader.power(), Err(CardFault::Removed)));
    let inserted = insert(PLAIN)?;
    assert_eq!(reader.wait(SOON)?, Some(Interface::Contact));
    assert!(reader.present()?);
    assert_eq!(reader.power()?, vpcd::ATR_T1);
    let answer = reader.transmit(SELECT, SOON)?;
    assert!(answer.starts_with(&[0x6F]) && is_good(&answer), "{answer:02X?}");
    assert!(is_good(&reader.transmit(READ, SOON)?));
    // Powered again it has forgotten what was selected.
    reader.power()?;
    assert!(!is_good(&reader.transmit(READ, SOON)?));
    // Nobody else has it meanwhile, and who wants it says so and goes on.
    let mut other = first()?;
    assert_eq!(other.wait(SOON)?, Some(Interface::Contact));
    assert!(matches!(other.power(), Err(CardFault::Reader(DeviceError::Io { .. }))));
    assert!(is_good(&reader.transmit(SELECT, SOON)?));
    let card = inserted.pull()?;
    until("the pull is seen", || !reader.present().is_ok_and(|there| there))?;
    assert!(matches!(reader.transmit(SELECT, SOON), Err(CardFault::Removed)));
    assert!(matches!(reader.power(), Err(CardFault::Removed)));
    reader.release()?;
    // Over T=0, what is long is fetched, and a length is the card's.
    let _inserted = Inserted::insert(card, READERS[0].1, Behaviour { t0: true, ..PLAIN })?;
    assert_eq!(reader.wait(SOON)?, Some(Interface::Contact));
    assert_eq!(reader.power()?, vpcd::ATR_T0);
    let answer = reader.transmit(SELECT, SOON)?;
    let [0x61, len] = **answer else { panic!("{answer:02X?}") };
    assert!(is_good(&reader.transmit(&[0x00, 0xC0, 0x00, 0x00, len], SOON)?));
    assert!(matches!(**reader.transmit(READ, SOON)?, [0x6C, _]));
    Ok(())
}

#[test]
fn a_card_that_was_let_go_of_is_found_again_once_it_was_out() -> Done {
    if !alone("pcsc::a_card_that_was_let_go_of_is_found_again_once_it_was_out") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    let mut reader = first()?;
    let inserted = insert(PLAIN)?;
    assert_eq!(reader.wait(SOON)?, Some(Interface::Contact));
    reader.power()?;
    reader.release()?;
    // Longer than pcscd takes to look again.
    assert_eq!(reader.wait(Duration::from_secs(1))?, None, "it pays nothing that is asked later");
    let card = inserted.take_out()?;
    let inserted = Inserted::insert(card, READERS[0].1, PLAIN)?;
    assert_eq!(reader.wait(SOON)?, Some(Interface::Contact));
    // One that nobody took is forgotten, too.
    reader.release()?;
    assert_eq!(reader.wait(NOW)?, None);
    inserted.take_out()?;
    works(&mut *reader)
}

#[test]
fn a_card_that_is_pulled_at_a_command_is_out_and_not_mute() -> Done {
    if !alone("pcsc::a_card_that_is_pulled_at_a_command_is_out_and_not_mute") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    let mut reader = first()?;
    for _ in 0..3 {
        let _inserted = insert(Behaviour { pull_at: Some(2), ..PLAIN })?;
        assert_eq!(reader.wait(SOON)?, Some(Interface::Contact));
        reader.power()?;
        reader.transmit(SELECT, SOON)?;
        let end = reader.transmit(READ, SOON);
        assert!(matches!(end, Err(CardFault::Removed)), "{:?}", end.err());
        assert!(!reader.present()?);
        reader.release()?;
    }
    works(&mut *reader)
}

#[test]
fn a_mute_card_ends_in_time_and_the_next_one_works() -> Done {
    if !alone("pcsc::a_mute_card_ends_in_time_and_the_next_one_works") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    let mut reader = first()?;
    for _ in 0..3 {
        let inserted = insert(Behaviour { mute_at: Some(2), ..PLAIN })?;
        assert_eq!(reader.wait(SOON)?, Some(Interface::Contact));
        reader.power()?;
        reader.transmit(SELECT, SOON)?;
        let begun = Instant::now();
        assert!(matches!(reader.transmit(READ, NOW * 4), Err(CardFault::Mute)));
        assert!(matches!(reader.transmit(READ, SOON), Err(CardFault::Mute)), "it is not asked again");
        assert!(matches!(reader.power(), Err(CardFault::Mute)));
        assert!(reader.present()?);
        reader.release()?;
        assert!(begun.elapsed() < SOON / 10, "{:?}", begun.elapsed());
        assert_eq!(reader.wait(NOW)?, None, "it is to be pulled");
        inserted.take_out()?;
    }
    works(&mut *reader)?;
    // One whose answer to reset no reader takes is found, and says nothing.
    let mut odd = TcpStream::connect((Ipv4Addr::LOCALHOST, READERS[0].1))?;
    let pulled = odd.try_clone()?;
    let plays = std::thread::spawn(move || {
        let mut frame = [0; 3];
        while odd.read_exact(&mut frame).is_ok() {
            if frame == [0, 1, 4] && odd.write_all(&[&[0, 40][..], &[0x3B; 40]].concat()).is_err() {
                break;
            }
        }
    });
    assert_eq!(reader.wait(SOON)?, Some(Interface::Contact));
    let end = reader.power();
    assert!(matches!(end, Err(CardFault::Mute)), "{end:?}");
    pulled.shutdown(std::net::Shutdown::Both)?;
    plays.join().map_err(|_| "it played")?;
    until("the pull is seen", || !reader.present().is_ok_and(|there| there))?;
    reader.release()?;
    works(&mut *reader)
}

#[test]
fn a_wait_is_interrupted_and_so_is_the_next_without_one() -> Done {
    if !alone("pcsc::a_wait_is_interrupted_and_so_is_the_next_without_one") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    let mut reader = first()?;
    let interrupt = reader.interrupt();
    interrupt();
    let begun = Instant::now();
    assert_eq!(reader.wait(SOON)?, None);
    let waker = std::thread::spawn(move || {
        std::thread::sleep(NOW);
        interrupt();
    });
    assert_eq!(reader.wait(SOON)?, None);
    assert!(begun.elapsed() < SOON / 2);
    waker.join().map_err(|_| "it woke")?;
    let begun = Instant::now();
    assert_eq!(reader.wait(NOW)?, None);
    assert!(begun.elapsed() >= NOW, "an interrupt is used up");
    Ok(())
}

#[test]
fn pcscd_goes_and_comes_back() -> Done {
    if !alone("pcsc::pcscd_goes_and_comes_back") {
        return Ok(());
    }
    let lost = |e: &DeviceError| matches!(e, DeviceError::Io { doing, .. } if doing == "asking pcscd");
    assert!(opened(None).is_err_and(|e| lost(&e)), "there is none yet");
    let mut pcscd = Pcscd::start()?;
    // While nobody waits, while a card is waited for, while one is waited at.
    let mut reader = first()?;
    pcscd.kill()?;
    until("it is seen", || reader.present().is_err() || reader.wait(NOW).is_err())?;
    assert!(reader.self_test().is_err_and(|e| lost(&e)));
    assert!(reader.release().is_err_and(|e| lost(&e)) && opened(None).is_err_and(|e| lost(&e)));
    pcscd.start_again()?;
    let mut reader = first()?;
    works(&mut *reader)?;
    let killed = std::thread::spawn(move || {
        std::thread::sleep(NOW * 4);
        pcscd.kill().map_err(|e| e.to_string())?;
        Ok::<_, String>(pcscd)
    });
    let begun = Instant::now();
    assert!(reader.wait(SOON).is_err_and(|e| lost(&e)) && begun.elapsed() < SOON / 2);
    let mut pcscd = killed.join().map_err(|_| "it killed")??;
    pcscd.start_again()?;
    let mut reader = first()?;
    works(&mut *reader)?;
    let mute = insert(Behaviour { mute_at: Some(1), ..PLAIN })?;
    assert_eq!(reader.wait(SOON)?, Some(Interface::Contact));
    reader.power()?;
    let killed = std::thread::spawn(move || {
        std::thread::sleep(NOW * 4);
        pcscd.kill().map_err(|e| e.to_string())?;
        Ok::<_, String>(pcscd)
    });
    let begun = Instant::now();
    let end = reader.transmit(SELECT, SOON);
    assert!(matches!(&end, Err(CardFault::Reader(e)) if lost(e)), "{:?}", end.err());
    assert!(begun.elapsed() < SOON / 2);
    let mut pcscd = killed.join().map_err(|_| "it killed")??;
    mute.pull()?;
    pcscd.start_again()?;
    works(&mut *first()?)
}

#[test]
fn of_two_readers_the_rule_names_one() -> Done {
    if !alone("pcsc::of_two_readers_the_rule_names_one") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    for rule in [None, Some("Virtual")] {
        let Err(DeviceError::Rule { field, rule, .. }) = opened(rule) else { panic!("one of them") };
        assert!(field == "options.reader" && READERS.iter().all(|(name, _)| rule.contains(name)), "{rule}");
    }
    assert!(matches!(opened(Some("Desk")), Err(DeviceError::Gone { .. })));
    let mut reader = opened(Some("00 01"))?;
    assert!(reader.self_test().is_ok());
    let _other = insert(PLAIN)?;
    let _inserted = Inserted::insert(card()?, READERS[1].1, PLAIN)?;
    assert_eq!(reader.wait(SOON)?, Some(Interface::Contact));
    assert_eq!(reader.power()?, vpcd::ATR_T1);
    let check = |device: &DeviceConfig| Drivers::default().find(device).and_then(|row| (row.check)(device));
    let mut addressed = config(None);
    addressed.address = Some("usb".into());
    assert!(matches!(check(&addressed), Err(DeviceError::Rule { field, .. }) if field == "address"));
    assert!(
        matches!(check(&config(Some(""))), Err(DeviceError::Rule { field, .. }) if field == "options.reader")
    );
    Ok(())
}
