//! Test cards: a chip card in process that answers commands (EMV 4.4 Books 1 to 3, qPBOC), made from a
//! persona under a generated test CA.
//!
//! Invariant: its counters and tries only move as a real card's do, whatever it is told and whenever it is
//! pulled; what a terminal sends never makes it panic.
mod authorise;
pub mod crypt;
pub mod inserted;
mod issue;
pub mod issuer;
pub mod memory;
mod persona;
pub mod play;
mod rsa;
pub mod t0;
mod tap;
mod verify;
pub mod vpcd;

pub use issue::CA_INDEX;
pub use issuer::{Asked, CardIssuer, IccRefusal, Script, When};
pub use persona::{Certificate, PERSONAS, Persona, PersonaError, Personas};

use crypt::Derivation;
use issue::{Application, CardKeys, object};
use payterm_emv::{Tag, tlv};
use payterm_schema::Time;
use rsa::{Pair, sha1};
use serde::{Deserialize, Serialize};

/// Status words (EMV 4.4 Book 3, and ISO 7816-4 where it is silent).
mod sw {
    pub const OK: u16 = 0x9000;
    pub const DEACTIVATED: u16 = 0x6283;
    pub const AUTHENTICATION_FAILED: u16 = 0x6300;
    pub const WRONG_LENGTH: u16 = 0x6700;
    pub const PIN_BLOCKED: u16 = 0x6983;
    pub const REFERENCE_DATA: u16 = 0x6984;
    pub const CONDITIONS: u16 = 0x6985;
    pub const MAC_MISSING: u16 = 0x6987;
    pub const MAC_WRONG: u16 = 0x6988;
    pub const DATA_WRONG: u16 = 0x6A80;
    pub const NOT_SUPPORTED: u16 = 0x6A81;
    pub const NO_FILE: u16 = 0x6A82;
    pub const NO_RECORD: u16 = 0x6A83;
    pub const P1_P2: u16 = 0x6A86;
    pub const NO_DATA: u16 = 0x6A88;
    pub const INSTRUCTION: u16 = 0x6D00;
    pub const CLASS: u16 = 0x6E00;
}

/// Day in China as cards and terminals say it: YYMMDD, BCD.
pub fn day(at: Time) -> [u8; 3] {
    let local = at.local(8 * 60);
    let year = local.year().rem_euclid(100) as u8;
    [year, u8::from(local.month()), local.day()].map(|n| n / 10 * 16 + n % 10)
}

/// Data, or a status word.
type Answer = Result<Vec<u8>, u16>;

const PSE: &[u8] = b"1PAY.SYS.DDF01";

/// A cryptogram that a card gave: the card's own list, for those who check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    #[serde(with = "memory::digits")]
    pub aid: Vec<u8>,
    pub atc: u16,
    /// 80 ARQC, 40 TC, 00 AAC.
    pub cid: u8,
    #[serde(with = "memory::digits")]
    pub cryptogram: [u8; 8],
    /// 9F02, BCD, as it was told.
    #[serde(with = "memory::digits")]
    pub amount: [u8; 6],
    /// 9F37.
    #[serde(with = "memory::digits")]
    pub number: [u8; 4],
    /// Of the first GENERATE AC of its transaction, or the second.
    pub second: bool,
}

/// A test card. What [`TestCard::reset`] does not touch is its memory.
#[derive(Clone)]
pub struct TestCard {
    name: String,
    derivation: Derivation,
    pin: String,
    tries: u8,
    pse: bool,
    blocked: bool,
    keys: CardKeys,
    applications: Vec<Application>,
    given: Vec<Given>,
    /// Random numbers so far: they come from it and the name, so that a run can be repeated.
    drawn: u64,
    session: Session,
}

/// What a card forgets when it is pulled.
#[derive(Clone, Default)]
struct Session {
    selected: Option<Selected>,
    challenge: Option<[u8; 8]>,
    run: Option<Run>,
    /// The directory of taps was selected: what a reader without contacts begins with.
    tapped: bool,
}
#[derive(Clone, Copy, PartialEq, Eq)]
enum Selected {
    Directory,
    /// Place in the card's list.
    Application(usize),
}

/// A transaction, from GET PROCESSING OPTIONS on.
#[derive(Clone, Default)]
struct Run {
    /// Values that the PDOL and CDOL1 asked for.
    pdol: Vec<u8>,
    cdol1: Vec<u8>,
    stage: Stage,
    /// First cryptogram.
    ac: [u8; 8],
    /// The issuer's answer was right, or wrong.
    issuer: Option<bool>,
    /// A PIN was right, or wrong.
    pin: Option<bool>,
    /// Script commands that were carried out.
    scripts: u8,
    /// The record of a tap that is signed anew each time.
    signed: Option<Vec<u8>>,
}
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Begun,
    /// An ARQC was given.
    Asked,
    Ended,
}

/// A command, taken apart.
struct Apdu<'a> {
    cla: u8,
    ins: u8,
    p1: u8,
    p2: u8,
    data: &'a [u8],
}
impl<'a> Apdu<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (&[cla, ins, p1, p2], rest) = bytes.split_first_chunk()?;
        let data = match rest {
            [] | [_] => &[],
            [lc, rest @ ..] => {
                let (data, le) = rest.split_at_checked(usize::from(*lc))?;
                if data.is_empty() || le.len() > 1 {
                    return None;
                }
                data
            }
        };
        Some(Self { cla, ins, p1, p2, data })
    }
}

fn pair(name: &str) -> Pair {
    Pair::named(name).unwrap_or_else(|| panic!("no test key {name}"))
}

/// The test CA's key as terminals are given it: modulus, exponent. Its index is [`CA_INDEX`], under the
/// provider of any AID.
pub fn ca_key() -> (Vec<u8>, Vec<u8>) {
    let ca = pair("ca");
    (ca.modulus, ca.exponent)
}

/// The test CA's key as an acquirer sends one (370), under this provider.
pub fn ca_key_370(rid: [u8; 5]) -> Vec<u8> {
    let (modulus, exponent) = ca_key();
    let sum = sha1(&[&rid, &[CA_INDEX], &modulus, &exponent]);
    let (index, end, one) = ([CA_INDEX], b"20991231", [1]);
    let objects: [(u32, &[u8]); 8] = [
        (0x9F06, &rid),
        (0x9F22, &index),
        (0xDF05, end),
        (0xDF06, &one),
        (0xDF07, &one),
        (0xDF02, &modulus),
        (0xDF04, &exponent),
        (0xDF03, &sum),
    ];
    objects.iter().flat_map(|(tag, value)| object(*tag, value)).collect()
}

impl TestCard {
    /// The persona's card, made for a day (YYMMDD, BCD): its dates lie around it.
    pub fn new(personas: &Personas, name: &str, date: [u8; 3]) -> Result<Self, PersonaError> {
        let persona = personas.named(name)?;
        let invalid = |rule| PersonaError::Invalid { name: name.to_owned(), rule };
        let card = Pair::named(&persona.key).ok_or(invalid("its RSA key is unknown"))?;
        let keys = CardKeys { card, pin: persona.pin_key.then(|| pair("pin")) };
        let make = |row| issue::application(persona, row, &personas.issuer, &keys, date);
        Ok(Self {
            name: name.to_owned(),
            derivation: persona.derivation,
            pin: persona.pin.clone(),
            tries: persona.tries,
            pse: persona.pse,
            blocked: false,
            applications: persona.applications.iter().map(make).collect(),
            keys,
            given: Vec::new(),
            drawn: 0,
            session: Session::default(),
        })
    }

    /// Pulls the card, or takes its power: what it did not keep is gone.
    pub fn reset(&mut self) {
        self.session = Session::default();
    }

    /// All cryptograms that it gave, in order.
    pub fn given(&self) -> &[Given] {
        &self.given
    }

    /// The answer to a command, with its status word, as over T=1.
    pub fn answer(&mut self, command: &[u8]) -> Vec<u8> {
        let answer = match Apdu::of(command) {
            Some(apdu) => self.execute(&apdu),
            None => Err(sw::WRONG_LENGTH),
        };
        let (mut out, sw) = match answer {
            Ok(data) => (data, self.status_of(command)),
            Err(sw) => (Vec::new(), sw),
        };
        out.extend_from_slice(&sw.to_be_bytes());
        out
    }

    /// The status with an answer's data: a blocked application is selected with a warning.
    fn status_of(&self, command: &[u8]) -> u16 {
        let selects = command.get(1) == Some(&0xA4);
        let blocked = self.selected().is_some_and(|n| self.applications[n].blocked);
        if selects && blocked { sw::DEACTIVATED } else { sw::OK }
    }

    fn execute(&mut self, apdu: &Apdu<'_>) -> Answer {
        // A challenge is good for the command behind it.
        let challenge = self.session.challenge.take();
        match (apdu.cla, apdu.ins) {
            (0x00, 0xA4) => self.select(apdu),
            _ if self.blocked => Err(sw::NOT_SUPPORTED),
            (0x00, 0xB2) => self.read_record(apdu),
            (0x80, 0xA8) => self.get_processing_options(apdu),
            (0x80, 0xCA) => self.get_data(apdu),
            (0x00, 0x84) => self.get_challenge(apdu),
            (0x00, 0x20) => self.verify(apdu, challenge),
            (0x00, 0x88) => self.internal_authenticate(apdu),
            (0x00, 0x82) => self.external_authenticate(apdu),
            (0x80, 0xAE) => self.generate_ac(apdu),
            (0x84, 0x16 | 0x18 | 0x1E | 0x24) | (0x04, 0xDA) => self.script(apdu),
            (0x00 | 0x04 | 0x80 | 0x84, _) => Err(sw::INSTRUCTION),
            _ => Err(sw::CLASS),
        }
    }

    /// Place of the application that is selected.
    fn selected(&self) -> Option<usize> {
        match self.session.selected {
            Some(Selected::Application(n)) => Some(n),
            Some(Selected::Directory) | None => None,
        }
    }
    /// The application that is selected, and its transaction.
    fn running(&mut self) -> Result<(&mut Application, &mut Run), u16> {
        let n = self.selected().ok_or(sw::CONDITIONS)?;
        let application = self.applications.get_mut(n).ok_or(sw::CONDITIONS)?;
        Ok((application, self.session.run.as_mut().ok_or(sw::CONDITIONS)?))
    }
    fn random(&mut self) -> [u8; 8] {
        self.drawn += 1;
        let [a, b, c, d, e, f, g, h, ..] = sha1(&[self.name.as_bytes(), &self.drawn.to_be_bytes()]);
        [a, b, c, d, e, f, g, h]
    }

    /// SELECT by name (Book 1): whole or first bytes, the first or the next that fits.
    fn select(&mut self, apdu: &Apdu<'_>) -> Answer {
        if self.blocked {
            return Err(sw::NOT_SUPPORTED);
        }
        let next = match (apdu.p1, apdu.p2) {
            (0x04, 0x00) => false,
            (0x04, 0x02) => true,
            _ => return Err(sw::P1_P2),
        };
        if apdu.data == tap::PPSE && !next {
            return self.select_taps();
        }
        if apdu.data == PSE && self.pse && !next {
            self.session = Session { selected: Some(Selected::Directory), ..Session::default() };
            return Ok(object(0x6F, &[object(0x84, PSE), object(0xA5, &object(0x88, &[1]))].concat()));
        }
        let after = if next { self.selected().ok_or(sw::NO_FILE)? + 1 } else { 0 };
        let tapped = self.session.tapped;
        let fits = |a: &Application| {
            let here = !tapped || a.row.tap.is_some();
            here && apdu.data.len() >= 5 && a.row.aid.0.starts_with(apdu.data)
        };
        let found = self.applications.iter().skip(after).position(fits).ok_or(sw::NO_FILE)? + after;
        self.session = Session { selected: Some(Selected::Application(found)), tapped, ..Session::default() };
        let pdol = self.pdol(found).to_vec();
        let row = &self.applications[found].row;
        let mut inner = [object(0x50, row.label.as_bytes()), object(0x87, &[row.priority])].concat();
        if !pdol.is_empty() {
            inner.extend(object(0x9F38, &pdol));
        }
        if !row.languages.is_empty() {
            inner.extend(object(0x5F2D, row.languages.as_bytes()));
        }
        Ok(object(0x6F, &[object(0x84, &row.aid.0), object(0xA5, &inner)].concat()))
    }

    /// READ RECORD: the directory's when it is selected, else the application's once it runs.
    fn read_record(&mut self, apdu: &Apdu<'_>) -> Answer {
        let (sfi, number) = (apdu.p2 >> 3, apdu.p1);
        if apdu.p2 & 0x07 != 0x04 || sfi == 0 || number == 0 {
            return Err(sw::P1_P2);
        }
        if self.session.selected == Some(Selected::Directory) {
            let row = self.applications.get(usize::from(number) - 1).filter(|_| sfi == 1);
            let row = &row.ok_or(sw::NO_RECORD)?.row;
            let label = object(0x50, row.label.as_bytes());
            let entry = [object(0x4F, &row.aid.0), label, object(0x87, &[row.priority])].concat();
            return Ok(object(0x70, &object(0x61, &entry)));
        }
        let (application, run) = self.running()?;
        if let Some(signed) = run.signed.as_ref().filter(|_| (sfi, number) == tap::SIGNED) {
            return Ok(signed.clone());
        }
        let mut of_file = application.records.iter().filter(|(s, ..)| *s == sfi).peekable();
        of_file.peek().ok_or(sw::NO_FILE)?;
        of_file.find(|(_, n, _)| *n == number).map(|(.., content)| content.clone()).ok_or(sw::NO_RECORD)
    }

    /// GET PROCESSING OPTIONS (Book 3 §6.5.8): the counter goes on.
    fn get_processing_options(&mut self, apdu: &Apdu<'_>) -> Answer {
        let n = self.selected().ok_or(sw::CONDITIONS)?;
        if self.applications[n].blocked || self.session.run.is_some() {
            return Err(sw::CONDITIONS);
        }
        let values = tlv::find(apdu.data, Tag(0x83)).ok().flatten().ok_or(sw::DATA_WRONG)?;
        if values.len() != filled_len(self.pdol(n)) {
            return Err(sw::DATA_WRONG);
        }
        let application = &mut self.applications[n];
        application.atc = application.atc.checked_add(1).ok_or(sw::CONDITIONS)?;
        if self.session.tapped {
            let drawn = self.random();
            return self.tap(n, values, drawn);
        }
        self.session.run = Some(Run { pdol: values.to_vec(), ..Run::default() });
        let answer = [object(0x82, &application.aip), object(0x94, &application.afl)].concat();
        Ok(match application.row.authentication {
            persona::Authentication::Cda => object(0x77, &answer),
            persona::Authentication::Sda | persona::Authentication::Dda => {
                object(0x80, &[&application.aip[..], &application.afl].concat())
            }
        })
    }

    /// What an application asks for, by contact or in a tap.
    fn pdol(&self, n: usize) -> &[u8] {
        let row = &self.applications[n].row;
        match &row.tap {
            Some(tap) if self.session.tapped => &tap.pdol.0,
            Some(_) | None => &row.pdol.0,
        }
    }

    /// GET DATA (Book 3 §6.5.7).
    fn get_data(&mut self, apdu: &Apdu<'_>) -> Answer {
        let n = self.selected().ok_or(sw::CONDITIONS)?;
        let application = &self.applications[n];
        match (apdu.p1, apdu.p2) {
            (0x9F, 0x13) => Ok(object(0x9F13, &application.last_online.to_be_bytes())),
            (0x9F, 0x17) => Ok(object(0x9F17, &[self.tries])),
            (0x9F, 0x36) => Ok(object(0x9F36, &application.atc.to_be_bytes())),
            _ => Err(sw::NO_DATA),
        }
    }
}

/// Bytes that a list asks for.
fn filled_len(list: &[u8]) -> usize {
    payterm_emv::dol::entries(list).map_or(0, |all| all.iter().map(|(_, len)| len).sum())
}

#[cfg(test)]
mod runs;
#[cfg(test)]
mod taps;
#[cfg(test)]
mod tests;
