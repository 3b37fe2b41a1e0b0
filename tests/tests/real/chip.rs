//! Chip cards through the real programs: paytermd with a reader of a real pcscd, test cards in it.
use crate::common::*;
use payterm_dbus::Client;
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControl};
use payterm_schema::{
    Status, Terminal, Time,
    config::{Config, DeviceConfig, EmvConfig},
    device::{DeviceKind, DeviceState},
    host::EntryMode,
};
use payterm_simulator::card::{PERSONAS, Personas, TestCard, ca_key_370, vpcd::Behaviour};
use payterm_tests::real::{
    pcscd::{Inserted, Pcscd, READERS, alone},
    stack::{Stack, caller, until},
};
use std::time::{Duration, Instant, SystemTime};

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

const PATIENCE: Duration = Duration::from_secs(60);
/// A sale of which nothing is heard for so long waits for a card.
const AGAIN: Duration = Duration::from_secs(3);
const PLAIN: Behaviour = Behaviour { t0: false, pull_at: None, mute_at: None };

/// F55 of a sale and of a reversal, as in docs/host-protocol.md.
const ICC: &str = r#"["9F26", "9F27", "9F10", "9F37", "9F36", "95", "9A", "9C", "9F02", "5F2A", "82", "9F1A",
    "9F03", "9F33", "9F34", "9F35", "9F1E", "84", "9F09"]"#;
const BACK: &str = r#"["95", "9F1E", "9F10", "9F36", "DF31"]"#;

/// The profile with the chip's data in a sale, and in its answer, where the built-in one has none.
fn chip_profile(config: &mut Config) -> Done {
    let mut text = include_str!("../../../crates/hosts/profiles/unionpay.toml").to_owned();
    if text.contains("{icc}") {
        return Ok(());
    }
    let sale = "values = { 3 = \"000000\", 25 = \"00\", 60 = \"22{batch}000501\" }";
    let chip = sale.replace("60 =", "55 = \"{icc}\", 60 =");
    for (old, new) in [
        (sale, format!("{chip}\nicc = {ICC}")),
        ("[reversal] ", format!("[reversal]\nicc = {BACK} ")),
        ("\nrrn = 37", "\nrrn = 37\nicc = 55".into()),
    ] {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, &new);
    }
    let path = config.store.dir.with_file_name("chip.toml");
    std::fs::write(&path, text)?;
    config.accounts[0].profile = path.display().to_string();
    Ok(())
}

/// paytermd with the first virtual reader of pcscd in place of its virtual one.
fn stack() -> Done<Stack> {
    Stack::start(|config, _| {
        config.devices.retain(|device| device.kind != DeviceKind::ChipReader);
        let mut chip = DeviceConfig::new("chip", DeviceKind::ChipReader, "pcsc");
        chip.options.insert("reader".into(), READERS[0].0.into());
        config.devices.push(chip);
        let key = hex::encode(ca_key_370([0xA0, 0, 0, 0x03, 0x33]));
        let emv = config.store.dir.with_file_name("emv.toml");
        let text = format!(
            "version = 1\nkeys = [\"{key}\"]\n[[aid]]\naid = \"A000000333010101\"\nversion = \"0030\"\n"
        );
        std::fs::write(&emv, text).expect("a file");
        config.emv = Some(EmvConfig::new(emv));
        chip_profile(config).expect("a profile");
    })
}

/// A card of today with Alice's number, whose issuer does not answer its cryptogram.
fn card() -> Done<TestCard> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let today = Time(now.try_into()?).local(480);
    let bcd = |n: u8| n / 10 * 16 + n % 10;
    let date = [(today.year() % 100) as u8, today.month().into(), today.day()].map(bcd);
    let answered = "issuer_authentication = \"external\"";
    let personas = PERSONAS.replace("6212345678900010101", ALICE.0).replacen(
        answered,
        "issuer_authentication = \"none\"",
        1,
    );
    Ok(TestCard::new(&Personas::parse(&personas)?, "debit", date)?)
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
    let card = pays(&client, &mut virtuals, "a", card()?).await?;
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
    Ok(())
}

#[tokio::test]
async fn a_card_that_is_pulled_at_any_command_leaves_the_books_right() -> Done {
    if !alone("chip::a_card_that_is_pulled_at_any_command_leaves_the_books_right") {
        return Ok(());
    }
    let _pcscd = Pcscd::start()?;
    let stack = stack()?;
    let (client, mut virtuals) = (stack.client().await?, stack.virtuals()?);
    let (mut card, mut approved, mut ends) = (card()?, 0, Vec::new());
    // More than a sale has.
    for at in 1..=20 {
        let id = format!("pull-{at}");
        virtuals.pin(PIN, When::Queue)?;
        begun(&client, &mut virtuals, &id).await?;
        let inserted = insert(card, Behaviour { pull_at: Some(at), ..PLAIN })?;
        let end = tokio::time::timeout(AGAIN, client.wait(&caller(), &key(&id), true)).await;
        card = inserted.take_out()?;
        let outcome = match end {
            Ok(outcome) => outcome?,
            // Its number was not read yet: it may be inserted again.
            Err(_) => {
                let inserted = insert(card, PLAIN)?;
                let outcome = last(&client, &id).await;
                card = inserted.take_out()?;
                outcome
            }
        };
        approved += i64::from(outcome.status == Status::Approved);
        ends.push((at, outcome.status, outcome.reason.map(|reason| reason.code)));
        until("the acquirer has what was approved", || {
            stack.net("cup").is_ok_and(|net| net == approved * 1234)
        })
        .map_err(|e| format!("{e}: {ends:?}"))?;
    }
    let some = |status| ends.iter().filter(|(_, is, _)| *is == status).count();
    // Before the number is read or never, before the card's cryptogram, behind the host's yes.
    assert!(
        some(Status::Cancelled) > 0 && some(Status::Declined) > 0 && some(Status::Approved) > 5,
        "{ends:?}"
    );
    assert_eq!(client.recall(&caller(), &key("pull-1")).await?.outcome, last(&client, "pull-1").await);
    Ok(())
}
