//! `paytermctl emv cert`.
use super::{NOT_GOOD, bytes_of, local, now};
use crate::{
    Failure,
    ui::{Ui, pairs},
};
use clap::Args;
use payterm_devices::emv_config::{self, Lists};
use payterm_emv::{
    Tag, Tags,
    oda::{
        CaKey, Keys, Revoked,
        chain::{self, Certificate, Content, Shown, Verdict},
    },
    tlv::{self, Tlv},
};
use payterm_schema::{Fault, Pan};
use serde::Serialize;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The terminal's default DDOL: the unpredictable number.
const DDOL: &[u8] = &[0x9F, 0x37, 4];

/// Recovers the certificates and signatures of a card, and tells which check fails (EMV Book 2).
///
/// What the card has said is read as data objects: its certificates and keys (8F, 90, 92, 9F32, 9F46 to
/// 9F48), card number (5A), and, for the hash of the card's certificate, the answer to GET PROCESSING OPTIONS
/// (82, 94) and all records in the order of 94. The name of the application is taken from 84, or --aid.
///
/// For a dynamic signature (9F4B): the answer that has it, and the terminal's unpredictable number (9F37).
/// With CDA its hash over the data of the payment is not checked, since they are not all known.
#[derive(Args)]
pub struct Cert {
    /// Hexadecimal digits, with or without space; - = stdin, better for real card data.
    #[arg(default_value = "-")]
    hex: String,
    /// CA keys and revoked certificates: the file of [emv] (docs/emv-parameters.toml).
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
    /// A CA key as an acquirer sends one (370): 9F06, 9F22, DF02, DF04, DF03 in hexadecimal digits. More than
    /// one may be given.
    #[arg(long = "key", value_name = "HEX")]
    keys: Vec<String>,
    /// Name of the application, hexadecimal digits.
    #[arg(long, value_parser = aid)]
    aid: Option<Rid>,
    /// Day of the payment. Default: today.
    #[arg(long, value_name = "YYMMDD", value_parser = date)]
    date: Option<Day>,
}

/// Application provider: the first five bytes of an application's name.
#[derive(Clone, Copy)]
struct Rid([u8; 5]);
/// YYMMDD, BCD.
#[derive(Clone, Copy)]
struct Day([u8; 3]);

fn aid(text: &str) -> Result<Rid, &'static str> {
    let name = hex::decode(text).ok().filter(|name| (5..=16).contains(&name.len()));
    name.and_then(|name| name.first_chunk().copied()).map(Rid).ok_or("5 to 16 bytes, hexadecimal digits")
}
fn date(text: &str) -> Result<Day, &'static str> {
    let mut day = [0; 3];
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && hex::decode_to_slice(text, &mut day).is_ok();
    let [_, month, last] = day;
    let is_day = digits && (0x01..=0x12).contains(&month) && (0x01..=0x31).contains(&last);
    is_day.then_some(Day(day)).ok_or("a day as YYMMDD")
}

impl Cert {
    pub fn run(self, ui: &Ui) -> Result<u8, Failure> {
        let (ca, revoked) = trusted(self.parameters, &self.keys)?;
        let bytes = bytes_of(self.hex, "tlv")?;
        let Card { tags, signed } = Card::of(&bytes)?;
        let named = tags.get(Tag(0x84)).or(tags.get(Tag(0x9F06))).and_then(|name| name.first_chunk());
        let Some(rid) = self.aid.map(|Rid(rid)| rid).or(named.copied()) else {
            return Err(Fault::invalid("aid", "needed: 84 is not among the data objects").into());
        };
        let date = self.date.map_or_else(|| local(ui.zone(), now()).0, |Day(date)| date);
        let keys = Keys { ca: &ca, revoked: &revoked, date };
        let shown = chain::chain(keys, rid, &tags, signed.as_ref().map(|signed| signed.as_slice()), DDOL);
        let page = Page {
            rid: hex::encode_upper(rid),
            index: tags.get(Tag(0x8F)).map(hex::encode_upper),
            good: shown.iter().all(|shown| shown.verdict == Verdict::Good),
            steps: shown.iter().map(step).collect(),
        };
        ui.result(&page, || text(ui, &page));
        Ok(if page.good { 0 } else { NOT_GOOD })
    }
}

fn trusted(file: Option<PathBuf>, keys: &[String]) -> Result<(Vec<CaKey>, Vec<Revoked>), Failure> {
    if file.is_none() && keys.is_empty() {
        return Err(Fault::invalid("key", "needed without --parameters").into());
    }
    let lists = file.map(|file| Lists::read(&file)).transpose().map_err(Failure::Local)?;
    let (mut ca, revoked) = lists.map(|lists| (lists.keys, lists.revoked)).unwrap_or_default();
    for text in keys {
        ca.push(emv_config::key(text.trim()).map_err(|rule| Fault::invalid("key", &rule))?);
    }
    Ok((ca, revoked))
}

/// What a card has said.
struct Card {
    tags: Tags,
    /// Static data; none: it cannot be told.
    signed: Option<Zeroizing<Vec<u8>>>,
}
impl Card {
    /// Of one tag several times the last one counts, as of the application that was selected last; what a
    /// directory says of applications is left out.
    fn of(bytes: &[u8]) -> Result<Self, Fault> {
        let wrong = |why: &dyn std::fmt::Display| Fault::invalid("tlv", &why.to_string());
        let (mut tags, mut records, mut reader) = (Tags::new(), Vec::new(), tlv::read(bytes));
        loop {
            let before = reader.rest();
            let Some(object) = reader.next() else { break };
            let Tlv { tag, value } =
                object.map_err(|why| wrong(&format_args!("byte {}: {why}", bytes.len() - before.len())))?;
            let whole = before.get(..before.len() - reader.rest().len()).unwrap_or_default();
            match (tag, value) {
                // A record of the application, not of a directory.
                (Tag(0x70), value) if !value.starts_with(&[0x61]) => {
                    let filling = whole.iter().take_while(|b| **b == 0).count();
                    records.push(whole.get(filling..).unwrap_or_default());
                }
                (Tag(0x70), _) => continue,
                // GET PROCESSING OPTIONS, format 1.
                (Tag(0x80), [aip_0, aip_1, afl @ ..]) if afl.len() >= 4 && afl.len() % 4 == 0 => {
                    let aip = &[*aip_0, *aip_1];
                    tags.put(Tag(0x82), aip)
                        .and_then(|()| tags.put(Tag(0x94), afl))
                        .map_err(|e| wrong(&e))?;
                    continue;
                }
                (_, _) => {}
            }
            let mut full = Ok(());
            let mut keep = |tlv: Tlv<'_>| {
                // Names of directories begin with 1PAY or 2PAY.
                let directory = tlv.tag == Tag(0x84) && tlv.value.get(1..4) == Some(b"PAY");
                if !tlv.value.is_empty() && !directory && full.is_ok() {
                    full = tags.put(tlv.tag, tlv.value);
                }
            };
            if tag.is_constructed() {
                tlv::each(value, &mut keep).map_err(|e| wrong(&e))?;
            } else {
                keep(Tlv { tag, value });
            }
            full.map_err(|e| wrong(&e))?;
        }
        let signed = chain::static_of(&tags, &records);
        Ok(Self { tags, signed })
    }
}

#[derive(Serialize)]
struct Page {
    /// Application provider.
    rid: String,
    /// Of the CA key (8F).
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<String>,
    /// All of them are.
    good: bool,
    steps: Vec<Step>,
}

/// Certificate or signature.
#[derive(Default, Serialize)]
struct Step {
    tag: String,
    name: &'static str,
    /// Bits of the key that signed it; none: there is no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    signer_bits: Option<usize>,
    /// Header, format and trailer are as they must be: what follows was recovered.
    recovered: bool,
    /// First digits of the issuer's card numbers, or the card number, masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// MM/YY.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash_algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_bits: Option<usize>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    exponent_length: Option<usize>,
    /// Bytes of the key that stand outside of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    remainder_length: Option<usize>,
    /// The public key.
    #[serde(skip_serializing_if = "Option::is_none")]
    modulus: Option<String>,
    /// Data authentication code, or the card's dynamic number.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<String>,
    /// Signed beside it with CDA: kind of the cryptogram (9F27), and the cryptogram (9F26).
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cryptogram: Option<String>,
    /// What the verdict says nothing of.
    #[serde(skip_serializing_if = "Option::is_none")]
    unchecked: Option<&'static str>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

fn step(shown: &Shown) -> Step {
    let (verdict, why) = match shown.verdict {
        Verdict::Good => ("good", None),
        Verdict::Unknown => ("unknown", None),
        Verdict::Wrong(flaw) => ("wrong", Some(flaw.to_string())),
    };
    let algorithm = |n: u8, name: &str| {
        if n == 1 { format!("01 {name}") } else { format!("{n:02X}") }
    };
    let step = Step {
        tag: shown.tag.to_string(),
        name: shown.tag.row().map_or("", |row| row.name),
        signer_bits: shown.signer_len.map(|len| len * 8),
        recovered: shown.content.is_some(),
        verdict,
        why,
        ..Step::default()
    };
    match &shown.content {
        None => step,
        Some(Content::Static { hash_algorithm, code }) => Step {
            hash_algorithm: Some(algorithm(*hash_algorithm, "SHA-1")),
            signed: Some(hex::encode_upper(code)),
            ..step
        },
        Some(Content::Dynamic { hash_algorithm, number, .. }) => Step {
            hash_algorithm: Some(algorithm(*hash_algorithm, "SHA-1")),
            signed: Some(hex::encode_upper(number)),
            ..step
        },
        Some(Content::Combined { hash_algorithm, number, cid, cryptogram }) => Step {
            hash_algorithm: Some(algorithm(*hash_algorithm, "SHA-1")),
            signed: Some(hex::encode_upper(number)),
            cid: Some(hex::encode_upper([*cid])),
            cryptogram: Some(hex::encode_upper(cryptogram)),
            unchecked: Some("hash over the data of the payment"),
            ..step
        },
        Some(Content::Certificate(certificate)) => {
            let Certificate { expiry: [month, year], serial, key_len, exponent_len, .. } = certificate;
            Step {
                owner: Some(owner(shown.tag, certificate)),
                expiry: Some(format!("{month:02X}/{year:02X}")),
                serial: Some(hex::encode_upper(serial)),
                hash_algorithm: Some(algorithm(certificate.hash_algorithm, "SHA-1")),
                key_algorithm: Some(algorithm(certificate.key_algorithm, "RSA")),
                key_bits: Some(key_len * 8),
                exponent_length: Some(*exponent_len),
                remainder_length: Some(certificate.remainder_len),
                modulus: Some(hex::encode_upper(&certificate.modulus)),
                ..step
            }
        }
    }
}

/// An issuer's digits are the first of many cards; a card's number is masked.
fn owner(tag: Tag, certificate: &Certificate) -> String {
    let digits = Zeroizing::new(hex::encode_upper(&*certificate.owner));
    let number = digits.trim_end_matches('F');
    match tag {
        Tag(0x90) => number.to_owned(),
        _ => Pan::parse(number).map_or_else(|_| "?".into(), |pan| pan.masked()),
    }
}

fn text(ui: &Ui, page: &Page) -> String {
    let index = page.index.clone().unwrap_or_else(|| ui.text("cli-none"));
    let mut out = ui.say("cli-emv-ca-key", &[("rid", &page.rid), ("index", &index)]) + "\n";
    for step in &page.steps {
        out += &format!("\n{} {}\n", step.tag, ui.texts.kernel(step.name));
        let none = ui.text("cli-none");
        let signer = step.signer_bits.map_or(none, |bits| ui.say("cli-emv-bits", &[("bits", &bits)]));
        let mut rows = vec![("cli-emv-signer", Some(signer))];
        rows.push(("cli-emv-recovered", Some(ui.yes_no(step.recovered))));
        rows.extend([
            ("cli-emv-owner", step.owner.clone()),
            ("cli-emv-expiry", step.expiry.clone()),
            ("cli-emv-serial", step.serial.clone()),
            ("cli-emv-hash-algorithm", step.hash_algorithm.clone()),
            ("cli-emv-key-algorithm", step.key_algorithm.clone()),
            (
                "cli-emv-key",
                step.key_bits.map(|bits| {
                    let rest = step.remainder_length.unwrap_or_default();
                    ui.say("cli-emv-key-lengths", &[("bits", &bits), ("rest", &rest)])
                }),
            ),
            ("cli-emv-exponent", step.exponent_length.map(|n| n.to_string())),
            ("cli-emv-signed", step.signed.clone()),
            ("cli-emv-cid", step.cid.clone()),
            ("cli-emv-cryptogram", step.cryptogram.clone()),
        ]);
        let verdict = match step.verdict {
            "good" => ui.text("cli-emv-good"),
            "unknown" if step.tag == "9F4B" => ui.text("cli-emv-not-known-dynamic"),
            "unknown" => ui.text("cli-emv-not-known"),
            _ => {
                ui.say("cli-emv-wrong", &[("why", &ui.texts.kernel(step.why.as_deref().unwrap_or_default()))])
            }
        };
        rows.push(("cli-emv-verdict", Some(verdict)));
        rows.push(("cli-emv-unchecked", step.unchecked.map(|_| ui.text("cli-emv-payment-hash"))));
        let rows = rows.into_iter().filter_map(|(id, value)| Some((ui.text(id), value?)));
        out += &pairs(rows).lines().map(|line| format!("  {line}\n")).collect::<String>();
    }
    out
}
