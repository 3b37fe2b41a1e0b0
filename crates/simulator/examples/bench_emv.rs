//! Time of the kernel in a whole run with a card, without the card: DDA, online PIN, an issuer that is
//! authenticated, approval (keys: CA 1984, issuer 1408, card 1152 bits, exponent 3); against the three RSA
//! operations that are in it, and, with the feature `openssl`, OpenSSL's of the same numbers. Turn by turn,
//! medians. Of a tap that the card decides alone, its dynamic signature (fDDA) checked, in the same way. And
//! of a field 55 (160 bytes, `tests/peers/message.json`), parsed and looked up. One JSON object
//! a line.
use payterm_emv::{
    Contact, Tag, Tags, Tap,
    oda::CaKey,
    step::{By, Verdict},
    terminal::{Parameters, Terminal},
    tlv,
};
use payterm_simulator::card::{
    PERSONAS, Personas, TestCard, ca_key,
    play::{self, Recording},
};
use std::{hint::black_box, sync::Arc, time::Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Many short turns: what else the machine does falls into few of them.
const TURNS: usize = 1_501;
const TIMES: u32 = 8;
const F55_TIMES: u32 = 200;

/// Microseconds of a call, one turn.
fn turn(times: u32, mut f: impl FnMut()) -> f64 {
    let began = Instant::now();
    (0..times).for_each(|_| f());
    began.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}
fn median(mut turns: Vec<f64>) -> f64 {
    turns.sort_by(f64::total_cmp);
    turns[turns.len() / 2]
}

/// A signature, and modulus and exponent of the key that made it.
struct Signed {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    signature: Vec<u8>,
}
impl Signed {
    fn key(&self) -> Result<CaKey> {
        Ok(CaKey::new([0; 5], 0, &self.modulus, &self.exponent, None)?)
    }
    /// What it gives back.
    fn open(&self) -> Result<Vec<u8>> {
        Ok(self.key()?.recover(&self.signature).ok_or("not below the modulus")?.to_vec())
    }
    /// The key that is certified from this byte on, with what is left of it; it signed this.
    fn certifies(
        &self,
        at: usize,
        len: usize,
        rest: &[u8],
        exponent: &[u8],
        signature: &[u8],
    ) -> Result<Self> {
        let opened = self.open()?;
        let inside = opened.get(at..opened.len() - 21).ok_or("a short certificate")?;
        let modulus = [&inside[..inside.len().min(len)], rest].concat();
        if modulus.len() != len {
            return Err(format!("a key of {} bytes, not {len}", modulus.len()).into());
        }
        Ok(Self { modulus, exponent: exponent.to_vec(), signature: signature.to_vec() })
    }
}

/// The three signatures of a run: the issuer's certificate, the card's, its dynamic one.
fn signatures(recording: &Recording, tags: &Tags) -> Result<[Signed; 3]> {
    let get = |tag: u32| tags.get(Tag(tag)).unwrap_or_default();
    let (modulus, exponent) = ca_key();
    let issuers = Signed { modulus, exponent, signature: get(0x90).to_vec() };
    let cards = issuers.certifies(15, 1408 / 8, get(0x92), get(0x9F32), get(0x9F46))?;
    let dynamic = recording.answers.iter().find_map(|answer| {
        let (data, [0x90, 0x00]) = answer.split_last_chunk()? else { return None };
        tlv::find(data, Tag(0x80)).ok()?.filter(|signed| signed.len() == 1152 / 8)
    });
    let dynamic = cards.certifies(21, 1152 / 8, get(0x9F48), get(0x9F47), dynamic.ok_or("no DDA")?)?;
    if dynamic.open()?.first() != Some(&0x6A) {
        return Err("the wrong key for the dynamic signature".into());
    }
    Ok([issuers, cards, dynamic])
}

#[cfg(feature = "openssl")]
mod openssl_ops {
    use super::{Result, Signed};
    use openssl::{
        bn::BigNum,
        rsa::{Padding, Rsa},
    };
    use std::hint::black_box;

    pub fn key(of: &Signed) -> Result<Rsa<openssl::pkey::Public>> {
        let (n, e) = (BigNum::from_slice(&of.modulus)?, BigNum::from_slice(&of.exponent)?);
        Ok(Rsa::from_public_components(n, e)?)
    }
    pub fn open(key: &Rsa<openssl::pkey::Public>, of: &Signed) -> Result<Vec<u8>> {
        let mut out = vec![0; of.modulus.len()];
        key.public_encrypt(black_box(&of.signature), &mut out, Padding::NONE)?;
        Ok(out)
    }
}

fn line(name: &str, unit: &str, value: f64, against: Option<(&str, f64)>) {
    let mut line = serde_json::json!({"name": name, "unit": unit, "value": value});
    if let Some((against, floor)) = against {
        line["against"] = against.into();
        line["against_value"] = floor.into();
        line["ratio"] = (value / floor).into();
    }
    println!("{line}");
}

fn contact() -> Result<()> {
    let terminal = Arc::new(Terminal::new(play::terminal())?);
    let parameters = Arc::new(Parameters::new(1, play::aids(play::LIMITS), play::keys(), Vec::new())?);
    let payment = play::payment(1_000);
    let mut card = TestCard::new(&Personas::parse(PERSONAS)?, "debit", play::DATE)?;
    let recording = Recording::of::<Contact>(&mut card, &terminal, &parameters, payment)?;
    let run = || recording.play::<Contact>(&terminal, &parameters, black_box(payment));
    let played = run()?;
    let tags = &played.end.tags;
    let good = played.end.verdict == Verdict::Approved(By::HostAndCard)
        && played.online.is_some()
        && tags.get(Tag(0x9F4C)).is_some_and(|number| number.len() == 8)
        && tags.get(Tag(0x95)).is_some_and(|tvr| tvr[0] == 0 && tvr[4] == 0);
    if !good {
        return Err(format!("{:?}, {}", played.end.verdict, played.end.why).into());
    }
    let signed = signatures(&recording, tags)?;
    let [first, second, third] = &signed;
    let made = [first.key()?, second.key()?, third.key()?];
    let opened = |key: &CaKey, of: &Signed| _ = black_box(key.recover(black_box(&of.signature)));
    let (mut runs, mut bare, mut floors, mut theirs) = (vec![], vec![], vec![], vec![]);
    #[cfg(feature = "openssl")]
    let of_openssl = [openssl_ops::key(first)?, openssl_ops::key(second)?, openssl_ops::key(third)?];
    #[cfg(feature = "openssl")]
    for (key, of) in of_openssl.iter().zip(&signed) {
        if openssl_ops::open(key, of)? != of.open()? {
            return Err("OpenSSL recovers something else".into());
        }
    }
    for _ in 0..TURNS {
        runs.push(turn(TIMES, || _ = black_box(run())));
        bare.push(turn(TIMES, || made.iter().zip(&signed).for_each(|(key, of)| opened(key, of))));
        floors.push(turn(TIMES, || {
            opened(&made[0], first);
            [second, third].iter().for_each(|of| opened(&of.key().expect("made before"), of));
        }));
        #[cfg(feature = "openssl")]
        theirs.push(turn(TIMES, || {
            for (key, of) in of_openssl.iter().zip(&signed) {
                black_box(openssl_ops::open(key, of).expect("done before"));
            }
        }));
    }
    let (value, bare, floor) = (median(runs), median(bare), median(floors));
    let against = "its three RSA operations, keys of issuer and card made for them";
    line("emv.contact", "us", value, Some((against, floor)));
    line("emv.rsa", "us", floor, Some(("the three operations with keys that are there", bare)));
    line("emv.rest", "us", value - floor, None);
    if theirs.is_empty() {
        eprintln!("emv.openssl: left out, built without the feature openssl");
    } else {
        let theirs: f64 = median(std::mem::take(&mut theirs));
        line(
            "emv.openssl",
            "us",
            value,
            Some(("OpenSSL's three operations, with keys that are there", theirs)),
        );
    }
    Ok(())
}

/// A tap, signed by the card, without the card.
fn tap() -> Result<()> {
    let terminal = Arc::new(Terminal::new(play::terminal())?);
    let parameters = Arc::new(Parameters::new(1, play::aids(play::LIMITS), play::keys(), Vec::new())?);
    let payment = play::payment(1_000);
    let mut card = TestCard::new(&Personas::parse(PERSONAS)?, "qpboc-offline", play::DATE)?;
    let recording = Recording::of::<Tap>(&mut card, &terminal, &parameters, payment)?;
    let run = || recording.play::<Tap>(&terminal, &parameters, black_box(payment));
    let end = run()?.end;
    if end.verdict != Verdict::Approved(By::Card) || !end.tags.has(Tag(0x9F4C)) {
        return Err(format!("{:?}, {}", end.verdict, end.why).into());
    }
    let turns = (0..TURNS).map(|_| turn(TIMES, || _ = black_box(run()))).collect();
    line("emv.tap", "us", median(turns), None);
    Ok(())
}

/// A host's or card's objects: into the arena, and each found again.
fn f55() -> Result<()> {
    let json: serde_json::Value = serde_json::from_str(include_str!("../../../tests/peers/message.json"))?;
    let field = hex::decode(json["fields"]["55"].as_str().ok_or("no field 55")?)?;
    let wanted: Vec<Tag> =
        tlv::read(&field).map(|t| t.map(|t| t.tag)).collect::<std::result::Result<_, _>>()?;
    let looked_up = || -> Result<usize> {
        let mut tags = Tags::new();
        for tlv in tlv::read(black_box(&field)) {
            let tlv = tlv?;
            tags.add(tlv.tag, tlv.value)?;
        }
        Ok(black_box(&wanted).iter().map(|tag| black_box(tags.get(*tag)).map_or(0, <[u8]>::len)).sum())
    };
    let len = looked_up()?;
    if field.len() != 160 || wanted.len() < 20 || len < 100 {
        return Err(format!("{} bytes, {} objects, {len} of values", field.len(), wanted.len()).into());
    }
    let turns = (0..TURNS).map(|_| turn(F55_TIMES, || _ = black_box(looked_up()))).collect();
    line("emv.tlv", "us", median(turns), None);
    Ok(())
}

fn main() -> Result<()> {
    contact()?;
    tap()?;
    f55()
}
