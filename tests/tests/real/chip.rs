//! Chip cards through the real programs: paytermd with a reader of a real pcscd, test cards in it.
use crate::{canary, common::*};
use payterm_dbus::Client;
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControl};
use payterm_schema::{Status, Terminal, device::DeviceState, host::EntryMode};
use payterm_simulator::card::{TestCard, vpcd::Behaviour};
use payterm_tests::real::{
    audit::Verdict,
    chip::{PLAIN, Readers, card, certificates, pulls},
    pcscd::{Inserted, Pcscd, READERS, alone},
    stack::{Stack, until},
};
use serde_json::Value;
use std::time::{Duration, Instant};

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

const PATIENCE: Duration = Duration::from_secs(60);

/// paytermd with the virtual readers of pcscd in place of its own: cards are inserted into the first, and
/// tapped on the second.
fn stack() -> Done<Stack> {
    Stack::start(|config, _| Readers::Pcscd.configure(config))
}
fn insert(card: TestCard, behaviour: Behaviour) -> Done<Inserted> {
    Inserted::insert(card, READERS[0].1, behaviour)
}

/// Waits until the terminal has this of a device.
async fn becomes(client: &Client, name: &str, state: DeviceState) -> Done {
    let began = Instant::now();
    loop {
        let devices = client.devices().await?;
        let device = devices.iter().find(|device| device.name == name).ok_or("no such device")?;
        if device.state == state {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("it stays {device:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
/// A sale as far as the card is asked for.
async fn begun(client: &Client, virtuals: &mut VirtualControl, id: &str) -> Done {
    start(client, sale(id, "12.34")).await;
    virtuals.wait_screen("12.34", PATIENCE)?;
    Ok(())
}
/// Pays with the card, and takes it back.
async fn pays(client: &Client, virtuals: &mut VirtualControl, id: &str, card: TestCard) -> Done<TestCard> {
    begun(client, virtuals, id).await?;
    let inserted = insert(card, PLAIN)?;
    virtuals.pin(PIN, SOON)?;
    let outcome = last(client, id).await;
    is(&outcome, Status::Approved);
    assert_eq!(outcome.entry, Some(EntryMode::Chip));
    inserted.take_out()
}

#[tokio::test]
async fn cards_pay_though_pcscd_goes_and_comes_back() -> Done {
    if !alone("chip::cards_pay_though_pcscd_goes_and_comes_back") {
        return Ok(());
    }
    let mut pcscd = Pcscd::start()?;
    let mut stack = stack()?;
    let (client, mut virtuals, pid) = (stack.client().await?, stack.virtuals()?, stack.daemon_pid());
    let card = pays(&client, &mut virtuals, "a", card("debit")?).await?;
    // A wrong PIN first: the card in the reader runs again.
    begun(&client, &mut virtuals, "wrong").await?;
    let inserted = insert(card, PLAIN)?;
    virtuals.pin("000000", SOON)?;
    virtuals.pin(PIN, SOON)?;
    is(&last(&client, "wrong").await, Status::Approved);
    let card = inserted.take_out()?;
    // Between two customers.
    pcscd.kill()?;
    pcscd.start_again()?;
    let card = pays(&client, &mut virtuals, "b", card).await?;
    // Nobody needs it, and it is missed all the same.
    pcscd.kill()?;
    becomes(&client, "chip", DeviceState::Failed).await?;
    pcscd.start_again()?;
    becomes(&client, "chip", DeviceState::Idle).await?;
    // It comes back when a card is asked for already.
    pcscd.kill()?;
    begun(&client, &mut virtuals, "back").await?;
    becomes(&client, "chip", DeviceState::Failed).await?;
    pcscd.start_again()?;
    let back = Instant::now();
    becomes(&client, "chip", DeviceState::Idle).await?;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    let inserted = insert(card, PLAIN)?;
    virtuals.pin(PIN, SOON)?;
    is(&last(&client, "back").await, Status::Approved);
    let card = inserted.take_out()?;
    // While one types.
    begun(&client, &mut virtuals, "lost").await?;
    let inserted = insert(card, PLAIN)?;
    becomes(&client, "pinpad", DeviceState::Busy).await?;
    pcscd.kill()?;
    let outcome = last(&client, "lost").await;
    assert!(matches!(outcome.status, Status::Failed | Status::Cancelled), "{outcome:?}");
    let card = inserted.pull()?;
    pcscd.start_again()?;
    becomes(&client, "chip", DeviceState::Idle).await?;
    pays(&client, &mut virtuals, "c", card).await?;
    assert_eq!((stack.net("cup")?, stack.daemon_pid()), (5 * 1234, pid));
    assert!(!stack.daemon_gone());
    // Each TC is found in the journal, told once, and right.
    let settled: Value = serde_json::from_slice(&stack.ctl(&["settle", "--json"])?.stdout)?;
    assert_eq!((&settled["status"], &settled["settlement"]["certificates"]), (&"approved".into(), &5.into()));
    let there: Value = serde_json::from_str(&stack.acquirer(&["settlements", "--json"])?)?;
    assert_eq!((&there[0]["certificates"], &there[0]["difference"]), (&5.into(), &"".into()), "{there}");
    Ok(())
}

#[tokio::test]
async fn a_card_that_is_pulled_at_any_command_leaves_the_books_right() -> Done {
    if !alone("chip::a_card_that_is_pulled_at_any_command_leaves_the_books_right") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    pulled(pulls(Readers::Pcscd, 20, 1).await?)
}

/// The same without pcscd.
#[tokio::test]
async fn a_card_that_is_pulled_out_of_the_terminals_own_reader_leaves_the_books_right() -> Done {
    pulled(pulls(Readers::own()?, 60, 1).await?)
}

/// Cards approve by themselves, the daemon is killed meanwhile: the acquirer has each TC once in the end.
#[tokio::test]
async fn what_cards_approve_alone_is_told_once_through_kills() -> Done {
    let verdict = certificates(40, 8, 1).await?;
    assert!(verdict.ok() && verdict.offline > 20, "{verdict:#?}");
    Ok(())
}

/// The books agree; cards were pulled before their number was read, before their cryptogram, behind the
/// host's yes, and not at all.
fn pulled(verdict: Verdict) -> Done {
    assert!(verdict.ok(), "{verdict:#?}");
    let some = |end: &str| verdict.ends.iter().filter(|(is, _)| is.starts_with(end)).map(|(_, n)| n).sum();
    let all: [usize; 3] = ["sale cancelled", "sale declined card-gone", "sale approved"].map(some);
    assert!(all[0] > 0 && all[1] > 0 && all[2] > 25, "{:?}", verdict.ends);
    Ok(())
}

#[tokio::test]
async fn what_a_card_may_do_besides_paying() -> Done {
    if !alone("chip::what_a_card_may_do_besides_paying") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    let stack = stack()?;
    let (client, mut virtuals) = (stack.client().await?, stack.virtuals()?);
    // Refused behind the host's yes: taken back.
    begun(&client, &mut virtuals, "refuses").await?;
    let inserted = insert(card("refuses-after-approval")?, PLAIN)?;
    let outcome = last(&client, "refuses").await;
    is(&outcome, Status::Declined);
    assert_eq!(outcome.reason.map(|r| r.code).as_deref(), Some("card-refused-approval"));
    until("its reversal", || stack.net("cup").is_ok_and(|net| net == 0))?;
    inserted.take_out()?;
    // Two applications: the customer takes the second.
    begun(&client, &mut virtuals, "two").await?;
    let inserted = insert(card("both")?, PLAIN)?;
    virtuals.wait_screen("2 PBOC CREDIT", PATIENCE)?;
    virtuals.key("2", When::Queue)?;
    let outcome = last(&client, "two").await;
    is(&outcome, Status::Approved);
    assert_eq!(outcome.chip.as_ref().map(|c| c.aid.as_str()), Some("A000000333010102"), "{outcome:?}");
    inserted.take_out()?;
    // A chip that says nothing, three times: its stripe is taken.
    begun(&client, &mut virtuals, "mute").await?;
    let mut mute = card("debit")?;
    for n in 1..=3 {
        let inserted = insert(mute, Behaviour { mute_at: Some(1), ..PLAIN })?;
        virtuals.wait_screen("The card is be", PATIENCE)?;
        virtuals.wait_screen(if n < 3 { "Card not read" } else { "Swipe the card" }, PATIENCE)?;
        mute = inserted.take_out()?;
    }
    let stripe = format!(";{}={}20100000000?", ALICE.0, ALICE.1);
    virtuals.swipe_tracks(&stripe, false, SOON)?;
    virtuals.pin(PIN, SOON)?;
    let outcome = last(&client, "mute").await;
    is(&outcome, Status::Approved);
    assert_eq!((outcome.entry, outcome.fallback), (Some(EntryMode::Swipe), true), "{outcome:?}");
    // A tap, with its PIN.
    begun(&client, &mut virtuals, "tap").await?;
    let _tapped = Inserted::insert(card("qpboc-online")?, READERS[1].1, PLAIN)?;
    virtuals.pin(PIN, SOON)?;
    let outcome = last(&client, "tap").await;
    is(&outcome, Status::Approved);
    assert_eq!((outcome.entry, outcome.pin), (Some(EntryMode::Contactless), true), "{outcome:?}");
    until("the acquirer has three", || stack.net("cup").is_ok_and(|net| net == 3 * 1234))?;
    // What was decided is told without the terminal, of the tap as far as its issuer is asked.
    for (id, parts) in [
        ("refuses", ["the host's word: asks for TC", "the card gives AAC"]),
        ("tap", ["card's qualifiers (9F6C) 8000", "the card gives ARQC"]),
    ] {
        let txn = last(&client, id).await.txn.to_string();
        until("its decisions", || {
            let said = stack.ctl(&["emv", "log", &txn, "--lang", "en"]);
            let said = said.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
            parts.iter().all(|part| said.contains(part))
        })?;
    }
    let log = std::fs::read_to_string(stack.state().join("cards.log"))?;
    assert!(!log.contains("345678"), "digits of a card number");
    Ok(())
}

/// A card that lies in the reader when that is opened was given for nothing that is asked now.
#[tokio::test]
async fn a_card_of_before_the_start_is_asked_out_first() -> Done {
    if !alone("chip::a_card_of_before_the_start_is_asked_out_first") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    let mut stack = stack()?;
    stack.kill_daemon();
    let inserted = insert(card("offline")?, PLAIN)?;
    // pcscd looks every 0.4 s.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stack.start_daemon(&[])?;
    let (client, mut virtuals) = (stack.client().await?, stack.virtuals()?);
    start(&client, sale("a", "12.34")).await;
    virtuals.wait_screen("Take old card out", PATIENCE)?;
    let _inserted = insert(inserted.take_out()?, PLAIN)?;
    is(&last(&client, "a").await, Status::Approved);
    Ok(())
}

/// The pad shows the card its PIN, enciphered, over both protocols; the host gets none.
#[tokio::test]
async fn a_card_that_checks_the_pin_itself() -> Done {
    if !alone("chip::a_card_that_checks_the_pin_itself") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    let stack = stack()?;
    let (client, mut virtuals) = (stack.client().await?, stack.virtuals()?);
    let mut its = card("credit")?;
    for (id, t0) in [("t1", false), ("t0", true)] {
        begun(&client, &mut virtuals, id).await?;
        let inserted = insert(its, Behaviour { t0, ..PLAIN })?;
        virtuals.pin("8642", SOON)?;
        virtuals.wait_screen("Wrong PIN, 2 left", PATIENCE)?;
        virtuals.pin("1234", SOON)?;
        let outcome = last(&client, id).await;
        is(&outcome, Status::Approved);
        let chip = outcome.chip.as_ref().ok_or("no chip")?;
        assert_eq!((outcome.pin, chip.pin, chip.sign), (false, true, false), "{outcome:?}");
        its = inserted.take_out()?;
    }
    // Wrong to the end: the next method of this card is a signature.
    begun(&client, &mut virtuals, "wrong").await?;
    let inserted = insert(its, PLAIN)?;
    for screen in ["Wrong PIN, 2 left", "Wrong PIN, last try", "Approved"] {
        virtuals.pin("8642", SOON)?;
        virtuals.wait_screen(screen, PATIENCE)?;
    }
    let outcome = last(&client, "wrong").await;
    assert!(outcome.chip.is_some_and(|chip| chip.sign && !chip.pin));
    inserted.take_out()?;
    until("the acquirer has three", || stack.net("cup").is_ok_and(|net| net == 3 * 1234))?;
    Ok(())
}

/// Invariant 9, with pcscd's driver between card and terminal, and a PIN that goes to the card in clear.
#[tokio::test]
async fn what_a_card_holds_is_found_nowhere() -> Done {
    if !alone("chip::what_a_card_holds_is_found_nowhere") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    let stack = Stack::start(|config, _| {
        Readers::Pcscd.configure(config);
        config.emv.as_mut().expect("a kernel").capabilities = "E0F8C8".into();
        config.log.level = "trace".into();
    })?;
    let mut monitor = canary::monitor(&stack)?;
    let (client, mut virtuals) = (stack.client().await?, stack.virtuals()?);
    let mut card = card("canary")?;
    let of_card = &[canary::WRONG, canary::PIN][..];
    for (id, amount, pins, (_, port)) in
        [("inserted", "12.30", of_card, READERS[0]), ("tapped", "12.40", &[canary::PIN], READERS[1])]
    {
        let asked = (id, amount, pins);
        let outcome;
        (outcome, card) = canary::with_chip(&client, &mut virtuals, asked, card, (port, PLAIN)).await?;
        is(&outcome, Status::Approved);
        assert_eq!(outcome.chip.is_some_and(|chip| chip.pin), id == "inserted");
    }
    virtuals.wait_papers(4, PATIENCE)?;
    monitor.kill()?;
    monitor.wait()?;
    assert!(canary::search_all(&stack)? >= 5);
    Ok(())
}
