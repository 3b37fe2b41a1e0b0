//! The issuer's half: it knows the keys of all personas, checks their cryptograms, and answers with its own
//! and with scripts (EMV 4.4 Book 2, cryptograms and secure messaging; Book 3 §10.9 and §10.10).
use super::{Personas, crypt, crypt::Derivation};
use payterm_primitives::DesKey;
use payterm_schema::{
    icc::{Icc, Tag},
    secret::Pin,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

const AAC: u8 = 0x00;
const TC: u8 = 0x40;
const ARQC: u8 = 0x80;
/// Codes with which a request is approved (host-protocol §9, class A).
const APPROVALS: [&[u8; 2]; 7] = [b"00", b"10", b"11", b"A2", b"A4", b"A5", b"A6"];
/// Scripts that one answer has room for; a terminal takes 128 bytes at least.
pub const MAX_SCRIPTS: usize = 8;

/// When a script goes to the card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before the second GENERATE AC (71).
    Before,
    /// Behind it (72).
    #[default]
    After,
}

/// A command of the issuer that the test card carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Script {
    ApplicationBlock {
        #[serde(default)]
        when: When,
    },
    CardBlock {
        #[serde(default)]
        when: When,
    },
    PinUnblock {
        #[serde(default)]
        when: When,
    },
    /// Payments in a row that the card approves by itself (9F14).
    OfflineCount {
        #[serde(default)]
        when: When,
        count: u8,
    },
}
impl Script {
    fn when(self) -> When {
        match self {
            Self::ApplicationBlock { when }
            | Self::CardBlock { when }
            | Self::PinUnblock { when }
            | Self::OfflineCount { when, .. } => when,
        }
    }
    /// Header and data, without the MAC.
    fn command(self) -> ([u8; 4], Vec<u8>) {
        match self {
            Self::ApplicationBlock { .. } => ([0x84, 0x1E, 0, 0], vec![]),
            Self::CardBlock { .. } => ([0x84, 0x16, 0, 0], vec![]),
            Self::PinUnblock { .. } => ([0x84, 0x24, 0, 0], vec![]),
            Self::OfflineCount { count, .. } => ([0x04, 0xDA, 0x9F, 0x14], vec![count]),
        }
    }
}

/// Why the issuer does not take the data of a card. No value is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IccRefusal {
    #[error("the issuer has no such card")]
    Unknown,
    #[error("tag {0} is missing")]
    Missing(Tag),
    #[error("tag {0} does not have its form")]
    Form(Tag),
    #[error("the card's cryptogram is of another kind than 9F27 says")]
    Kind,
    #[error("the card's cryptogram is no ARQC")]
    NoArqc,
    #[error("the card's cryptogram is wrong")]
    Cryptogram,
    #[error("the card's counter has been approved before")]
    Replayed,
}

/// A question of a card whose cryptogram is right: what its answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Place in the issuer's list.
    card: usize,
    /// 9F36.
    pub atc: u16,
    /// 9F26.
    pub cryptogram: [u8; 8],
    /// 9F02, minor units.
    pub amount: u64,
}

/// What the issuer knows of an application of a card.
#[derive(Clone)]
struct Known {
    pan: String,
    psn: u8,
    pin: String,
    derivation: Derivation,
    ac_key: DesKey,
    mac_key: DesKey,
}

impl Known {
    /// Tells whether the card made this cryptogram.
    fn made(&self, signed: &Signed) -> bool {
        let session = self.derivation.session(&self.ac_key, signed.atc);
        crypt::cryptogram(&session, &signed.data) == signed.cryptogram
    }
}

/// The issuer of all personas. A copy knows what was approved until it was made, and nothing of what the
/// other approves later.
pub struct CardIssuer {
    cards: Vec<Known>,
    /// Counter and cryptogram that were approved last, by place of the card.
    approved: Mutex<BTreeMap<usize, (u16, [u8; 8])>>,
}
impl Clone for CardIssuer {
    fn clone(&self) -> Self {
        Self { cards: self.cards.clone(), approved: Mutex::new(self.last().clone()) }
    }
}
impl fmt::Debug for CardIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardIssuer({} cards)", self.cards.len())
    }
}

/// The only value of a tag.
fn value(icc: &Icc, tag: u32) -> Result<&[u8], IccRefusal> {
    let tag = Tag::new(tag).ok_or(IccRefusal::Unknown)?;
    icc.values(tag).next().ok_or(IccRefusal::Missing(tag))
}
fn fixed<const N: usize>(icc: &Icc, tag: u32) -> Result<[u8; N], IccRefusal> {
    value(icc, tag)?.try_into().map_err(|_| form(tag))
}
fn form(tag: u32) -> IccRefusal {
    Tag::new(tag).map_or(IccRefusal::Unknown, IccRefusal::Form)
}

/// A cryptogram, and what it is over.
struct Signed {
    cryptogram: [u8; 8],
    atc: u16,
    /// ARQC, TC or AAC, by 9F27 and by the card's verification results, which the cryptogram is over.
    kind: u8,
    data: Vec<u8>,
}

/// The values that CDOL1 asks for, then AIP, counter and the card's verification results.
fn signed(icc: &Icc) -> Result<Signed, IccRefusal> {
    let cryptogram = fixed(icc, 0x9F26)?;
    let mut data = Vec::with_capacity(40);
    let of_terminal = [(0x9F02, 6), (0x9F03, 6), (0x9F1A, 2), (0x95, 5), (0x5F2A, 2), (0x9A, 3), (0x9C, 1)];
    for (tag, len) in of_terminal.into_iter().chain([(0x9F37, 4), (0x82, 2)]) {
        let value = value(icc, tag)?;
        if value.len() != len {
            return Err(form(tag));
        }
        data.extend_from_slice(value);
    }
    let atc: [u8; 2] = fixed(icc, 0x9F36)?;
    // Length, key index, cryptogram version; verification results; algorithm.
    let [0x07, 0x01, 0x01, length, results, pin, scripts, 0x01] = fixed(icc, 0x9F10)? else {
        return Err(form(0x9F10));
    };
    data.extend_from_slice(&atc);
    data.extend_from_slice(&[length, results, pin, scripts]);
    // Bits 8 and 7: of the second GENERATE AC, 10 before it; then 6 and 5: of the first.
    let kind = if results & 0xC0 == 0x80 { results << 2 & 0xC0 } else { results & 0xC0 };
    let [cid] = fixed(icc, 0x9F27)?;
    if cid & 0xC0 != kind {
        return Err(IccRefusal::Kind);
    }
    Ok(Signed { cryptogram, atc: u16::from_be_bytes(atc), kind, data })
}

/// 9F02: digits.
fn amount(icc: &Icc) -> Result<u64, IccRefusal> {
    let digits = hex::encode(fixed::<6>(icc, 0x9F02)?);
    digits.parse().map_err(|_| form(0x9F02))
}

impl CardIssuer {
    pub fn new(personas: &Personas) -> Self {
        let applications = personas.all.iter().flat_map(|p| p.applications.iter().map(move |row| (p, row)));
        let known = applications.map(|(persona, row)| Known {
            pan: row.pan.clone(),
            psn: row.psn,
            pin: persona.pin.clone(),
            derivation: persona.derivation,
            ac_key: crypt::card_key(&personas.issuer.ac.0, &row.pan, row.psn),
            mac_key: crypt::card_key(&personas.issuer.mac.0, &row.pan, row.psn),
        });
        Self { cards: known.collect(), approved: Mutex::default() }
    }

    pub fn knows(&self, pan: &str) -> bool {
        self.find(pan, None).is_some()
    }
    /// The PIN of a card.
    pub fn pin(&self, pan: &str) -> Option<Pin> {
        self.find(pan, None).and_then(|(_, card)| Pin::parse(&card.pin))
    }
    /// Where the card does not say its sequence number, the number alone finds it.
    fn find(&self, pan: &str, psn: Option<u8>) -> Option<(usize, &Known)> {
        let mut all = self.cards.iter().enumerate();
        all.find(|(_, card)| card.pan == pan && psn.is_none_or(|psn| psn == card.psn))
    }
    fn last(&self) -> MutexGuard<'_, BTreeMap<usize, (u16, [u8; 8])>> {
        self.approved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the request of a card: all tags that its cryptogram is over, the cryptogram, its counter.
    pub fn check(&self, pan: &str, psn: Option<u8>, icc: &Icc) -> Result<Asked, IccRefusal> {
        let (place, card) = self.find(pan, psn).ok_or(IccRefusal::Unknown)?;
        let [cid] = fixed(icc, 0x9F27)?;
        if cid & 0xC0 != ARQC {
            return Err(IccRefusal::NoArqc);
        }
        let signed = signed(icc)?;
        if !card.made(&signed) {
            return Err(IccRefusal::Cryptogram);
        }
        let Signed { atc, cryptogram, .. } = signed;
        let replayed = |(last, of): &(u16, [u8; 8])| atc <= *last && cryptogram != *of;
        if self.last().get(&place).is_some_and(replayed) {
            return Err(IccRefusal::Replayed);
        }
        Ok(Asked { card: place, atc, cryptogram, amount: amount(icc)? })
    }

    /// The issuer's data for a card: 91 with the cryptogram over `arc`, and the templates of the first
    /// [`MAX_SCRIPTS`] scripts, each command with its MAC. What is approved counts from now on.
    ///
    /// # Panics
    /// When what it makes is no data of a message, whatever it is asked: never.
    pub fn answer(&self, asked: &Asked, arc: [u8; 2], scripts: &[Script]) -> Icc {
        let Some(card) = self.cards.get(asked.card) else { return Icc::default() };
        if APPROVALS.contains(&&arc) {
            self.count(asked.card, asked.atc, asked.cryptogram);
        }
        let session = card.derivation.session(&card.ac_key, asked.atc);
        let mut bytes = vec![0x91, 10];
        bytes.extend(crypt::arpc(&session, asked.cryptogram, arc));
        bytes.extend(arc);
        let session = card.derivation.script_session(&card.mac_key, asked.atc, asked.cryptogram);
        for (template, when) in [(0x71, When::Before), (0x72, When::After)] {
            // 9F18 is the template's tag: which of both a result is of.
            let mut inner = vec![0x9F, 0x18, 4, 0, 0, 0, template];
            let named = inner.len();
            for script in scripts.iter().take(MAX_SCRIPTS).filter(|s| s.when() == when) {
                let ([cla, ins, p1, p2], data) = script.command();
                let header = [cla, ins, p1, p2, data.len() as u8 + 4];
                let mac = crypt::script_mac(&session, header, asked.atc, asked.cryptogram, &data);
                let command = [&header[..], &data, &mac].concat();
                inner.extend([0x86, command.len() as u8]);
                inner.extend(command);
            }
            if inner.len() > named {
                bytes.extend([template, inner.len() as u8]);
                bytes.extend(inner);
            }
        }
        Icc::parse(&bytes).expect("91 and two short templates")
    }

    /// Takes note of an approval that was given before, so that it counts after a restart.
    pub fn approved(&self, pan: &str, psn: Option<u8>, atc: u16, cryptogram: [u8; 8]) {
        if let Some((place, _)) = self.find(pan, psn) {
            self.count(place, atc, cryptogram);
        }
    }
    fn count(&self, place: usize, atc: u16, cryptogram: [u8; 8]) {
        let mut last = self.last();
        let entry = last.entry(place).or_insert((atc, cryptogram));
        if atc > entry.0 {
            *entry = (atc, cryptogram);
        }
    }

    /// Tells whether this is a TC or an AAC of the card, with all the tags that it is over, and right.
    pub fn verify_final(&self, pan: &str, psn: Option<u8>, icc: &Icc) -> bool {
        let (Some((_, card)), Ok(signed)) = (self.find(pan, psn), signed(icc)) else { return false };
        matches!(signed.kind, TC | AAC) && card.made(&signed)
    }
}

#[cfg(test)]
mod tests;
