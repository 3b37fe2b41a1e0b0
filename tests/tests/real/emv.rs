//! `paytermctl emv card` with test cards in the readers of a real pcscd.
use payterm_schema::Time;
use payterm_simulator::card::{PERSONAS, Personas, TestCard, ca_key_370, vpcd::Behaviour};
use payterm_tests::real::{
    pcscd::{Inserted, Pcscd, READERS, alone},
    stack::programs,
};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
    time::{Duration, SystemTime},
};

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

const PLAIN: Behaviour = Behaviour { t0: false, pull_at: None, mute_at: None };
const AAC: u8 = 0x00;

/// The persona's card, of today.
fn card(persona: &str) -> Done<TestCard> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let today = Time(now.try_into()?).local(480);
    let bcd = |n: u8| n / 10 * 16 + n % 10;
    let date = [(today.year() % 100) as u8, today.month().into(), today.day()].map(bcd);
    Ok(TestCard::new(&Personas::parse(PERSONAS)?, persona, date)?)
}

fn parameters(dir: &Path) -> Done<String> {
    let file = dir.join("emv.toml");
    let key = hex::encode(ca_key_370([0xA0, 0, 0, 0x03, 0x33]));
    let aid = |last| {
        format!(
            "[[aid]]\naid = \"A0000003330101{last}\"\nversion = \"0030\"\nfloor = 100_000\n\
             online = \"FC00000000\"\ntap = {{ floor = 100_000, most = 500_000, cvm = 1_000 }}\n"
        )
    };
    std::fs::write(&file, format!("version = 1\nkeys = [\"{key}\"]\n{}{}", aid("01"), aid("02")))?;
    Ok(file.to_str().ok_or("text")?.into())
}

struct Tool(String);
impl Tool {
    fn run(&self, more: &[&str]) -> Done<Output> {
        let mut command = Command::new(programs()?.join("paytermctl"));
        command.args(["emv", "card", "--lang", "en", "--parameters", &self.0, "--wait", "3"]).args(more);
        Ok(command.output()?)
    }
    /// Its one sentence, and that it failed.
    fn fails(&self, code: i32, more: &[&str], sentence: &str) -> Done {
        let out = self.run(more)?;
        let said = String::from_utf8(out.stderr)?;
        assert_eq!(out.status.code(), Some(code), "{said}");
        assert!(said.contains(sentence), "{sentence}: {said}");
        Ok(())
    }
    /// The page of a card in a reader, as text and as JSON; no secret of the card's is in them.
    fn page(&self, card: TestCard, reader: usize, more: &[&str]) -> Done<(String, Value, TestCard)> {
        let (name, port) = READERS[reader];
        let mut all = vec!["--reader", name];
        all.extend(more);
        let inserted = Inserted::insert(card, port, PLAIN)?;
        let text = self.run(&all)?;
        all.push("--json");
        let json = self.run(&all)?;
        let card = inserted.pull()?;
        // A card that is changed sooner is not seen by pcscd.
        std::thread::sleep(Duration::from_secs(1));
        let text_out = String::from_utf8(text.stdout)?;
        let json_out = String::from_utf8(json.stdout)?;
        let errors = String::from_utf8(text.stderr)? + &String::from_utf8(json.stderr)?;
        let given: Vec<String> =
            card.given().iter().map(|given| hex::encode_upper(given.cryptogram)).collect();
        assert_eq!(given.len(), 2, "one of each run: {errors} {text_out}");
        for out in [&text_out, &json_out, &errors] {
            for secret in
                given.iter().map(String::as_str).chain(["345678", "TEST/CARD", "544553542F43415244"])
            {
                assert!(!out.contains(secret), "{secret}: {out}");
            }
        }
        assert_eq!(text.status.code(), json.status.code());
        let mut page: Value = serde_json::from_str(&json_out).map_err(|e| format!("{e}: {errors}"))?;
        page["code"] = json.status.code().into();
        Ok((text_out, page, card))
    }
}

#[test]
fn a_card_is_run_to_an_aac_and_nothing_that_could_be_used() -> Done {
    if !alone("emv::a_card_is_run_to_an_aac_and_nothing_that_could_be_used") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let tool = Tool(parameters(dir.path())?);
    let _pcscd = Pcscd::start()?;
    // DDA and CDA, answers of either format; one would approve 200.00 alone, and is not asked.
    for (persona, amount, label) in [
        ("debit", "12.34", "PBOC DEBIT"),
        ("credit", "12.34", "PBOC CREDIT"),
        ("offline", "1.00", "PBOC DEBIT"),
    ] {
        let (text, page, card) = tool.page(card(persona)?, 0, &["--amount", amount])?;
        assert_eq!((&page["code"], &page["good"]), (&0.into(), &true.into()), "{persona}: {text}");
        assert!(card.given().iter().all(|given| given.cid == AAC && !given.second), "{:?}", card.given());
        for part in [
            label,
            "SELECT 00A40400: 9000",
            "621234",
            "****",
            "Application File Locator",
            "the run goes to an AAC: asks for AAC",
            "the card gives AAC: declined",
            "declined: the card declines",
            "5F20 [9] Cardholder Name: hidden",
            "9F26 [8] Application Cryptogram: hidden",
        ] {
            assert!(text.contains(part), "{persona}: {part}: {text}");
        }
    }
    // Of two the second, by its place.
    let (text, page, _) = tool.page(card("both")?, 0, &["--application", "2"])?;
    assert_eq!(page["applications"], serde_json::json!(["PBOC DEBIT", "PBOC CREDIT"]), "{text}");
    assert!(text.contains("84 [8] Dedicated File Name: A000000333010102"), "{text}");
    // What is wrong with a certificate stands in the decisions.
    let (text, page, _) = tool.page(card("expired-certificate")?, 0, &[])?;
    assert!(page["good"] == true && text.contains("DDA failed: 9F46: it has expired (Book 2"), "{text}");
    Ok(())
}

#[test]
fn a_tapped_card_is_run_for_nothing_and_told_to_ask_its_issuer() -> Done {
    if !alone("emv::a_tapped_card_is_run_for_nothing_and_told_to_ask_its_issuer") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let tool = Tool(parameters(dir.path())?);
    let _pcscd = Pcscd::start()?;
    // The second would approve what it is tapped for alone.
    for persona in ["qpboc-online", "qpboc-offline", "phone"] {
        let (text, page, card) = tool.page(card(persona)?, 1, &["--tap"])?;
        assert_eq!(page["good"], true, "{persona}: {text}");
        for given in card.given() {
            assert_eq!((given.cid, given.amount), (0x80, [0; 6]), "{persona}: for nothing, by the issuer");
        }
        assert!(text.contains("byte 2 bit 8") || text.contains("(9F66) 36800080"), "{text}");
    }
    Ok(())
}

#[test]
fn what_is_not_there_is_told_in_a_sentence() -> Done {
    if !alone("emv::what_is_not_there_is_told_in_a_sentence") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let tool = Tool(parameters(dir.path())?);
    tool.fails(3, &[], "Is it running (systemctl start pcscd)")?;
    let _pcscd = Pcscd::start()?;
    tool.fails(2, &[], "names one reader, where there are")?;
    tool.fails(3, &["--reader", "Till"], "pcscd has no reader named Till")?;
    let first = ["--reader", READERS[0].0];
    tool.fails(3, &first, "No card came within 3 seconds")?;
    tool.fails(2, &[&first[..], &["--amount", "1.234"]].concat(), "amount")?;
    tool.fails(2, &["--tap", "--amount", "1.00"], "cannot be used with")?;
    Tool("/none".into()).fails(3, &first, "/none: No such file")?;
    // More than there are in common; pulled in the middle; mute.
    let inserted = Inserted::insert(card("both")?, READERS[0].1, PLAIN)?;
    tool.fails(2, &[&first[..], &["--application", "3"]].concat(), "1 to 2")?;
    let card = inserted.take_out()?;
    for behaviour in [Behaviour { pull_at: Some(4), ..PLAIN }, Behaviour { mute_at: Some(4), ..PLAIN }] {
        let inserted = Inserted::insert(card.clone(), READERS[0].1, behaviour)?;
        let out = tool.run(&first)?;
        let said = String::from_utf8(out.stdout)?;
        assert_eq!(out.status.code(), Some(23), "{said}");
        assert!(said.contains("no answer") && said.contains("no decision: the card is gone"), "{said}");
        inserted.take_out()?;
    }
    Ok(())
}
