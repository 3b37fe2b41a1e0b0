//! What the kernel is told before a card is there (EMV 4.4 Book 4, terminal data): the terminal, the
//! applications with their limits, and the payment.
use crate::{
    dol::{self, DolError},
    oda::{CaKey, Revoked},
};

/// Greatest amount: twelve digits (9F02).
const AMOUNT_MAX: u64 = 999_999_999_999;
/// Applications that a terminal has. 64: a SELECT each, in the bound of a run.
pub const AIDS_MAX: usize = 64;
/// Bytes of the merchant's name and location (9F4E). 252: the most that a data object list can ask for.
pub const NAME_MAX: usize = 252;

/// Terminal data, as configured. Binary fields as in Book 4 Annex A.
#[derive(Clone, Debug)]
pub struct TerminalData {
    /// ISO 3166 number (9F1A): 156.
    pub country: u16,
    /// 9F35, BCD: 0x22 is a merchant's attended terminal that can do both, online and offline.
    pub kind: u8,
    /// 9F33.
    pub capabilities: [u8; 3],
    /// 9F40.
    pub additional: [u8; 5],
    /// 9F1E.
    pub serial: [u8; 8],
    /// ISO 18245 number (9F15).
    pub category: u16,
    /// 9F16.
    pub merchant: Option<[u8; 15]>,
    /// 9F1C.
    pub id: Option<[u8; 8]>,
    /// 9F4E, in the character set that the acquirer agreed to.
    pub name: Vec<u8>,
    /// ISO 639 codes of the screens' languages, in the terminal's order.
    pub languages: Vec<[u8; 2]>,
    /// A customer may leave out the PIN.
    pub bypass: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TerminalFault {
    #[error("country: three digits, not 0")]
    Country,
    #[error("terminal type: 11 to 16, 21 to 26 or 34 to 36")]
    Kind,
    #[error(
        "terminal capabilities: contact chip, and no bit that is reserved or not built (XDA, biometrics)"
    )]
    Capabilities,
    #[error("additional terminal capabilities: some transaction, and no bit that is reserved")]
    Additional,
    #[error("serial number: 8 letters or digits")]
    Serial,
    #[error("merchant category: four digits")]
    Category,
    #[error("merchant or terminal number: printable")]
    Numbers,
    #[error("merchant's name: 1 to {NAME_MAX} bytes")]
    Name,
    #[error("language: two small letters")]
    Language,
}

/// Terminal data that holds.
#[derive(Clone, Debug)]
pub struct Terminal {
    pub(crate) data: TerminalData,
}
impl Terminal {
    pub fn new(data: TerminalData) -> Result<Self, TerminalFault> {
        let wrong = |holds: bool, fault| if holds { Ok(()) } else { Err(fault) };
        let TerminalData { country, kind, capabilities: [input, cvm, security], .. } = data;
        wrong((1..1000).contains(&country), TerminalFault::Country)?;
        wrong(matches!(kind, 0x11..=0x16 | 0x21..=0x26 | 0x34..=0x36), TerminalFault::Kind)?;
        // Byte 3 bit 5 is reserved, bits 3 to 1 are XDA's and reserved.
        let known = input & 0x3F == 0x20 && cvm & 0x07 == 0 && security & 0x17 == 0;
        wrong(known, TerminalFault::Capabilities)?;
        let [kinds, more, keys, shows, _] = data.additional;
        let known = kinds != 0 && more & 0x7F == 0 && keys & 0x0F == 0 && shows & 0x0C == 0;
        wrong(known, TerminalFault::Additional)?;
        wrong(data.serial.iter().all(u8::is_ascii_alphanumeric), TerminalFault::Serial)?;
        wrong(data.category < 10_000, TerminalFault::Category)?;
        let printable = |all: &[u8]| all.iter().all(|b| (b' '..=b'~').contains(b));
        let numbers = data.merchant.is_none_or(|m| printable(&m)) && data.id.is_none_or(|i| printable(&i));
        wrong(numbers, TerminalFault::Numbers)?;
        wrong((1..=NAME_MAX).contains(&data.name.len()), TerminalFault::Name)?;
        let languages = data.languages.iter().flatten().all(u8::is_ascii_lowercase);
        wrong(languages, TerminalFault::Language)?;
        Ok(Self { data })
    }

    /// Can never go online (Book 4 Annex A, terminal type: second digit 3 or 6).
    pub(crate) fn is_offline_only(&self) -> bool {
        matches!(self.data.kind & 0x0F, 3 | 6)
    }
    /// Never decides without the issuer (second digit 1 or 4).
    pub(crate) fn is_online_only(&self) -> bool {
        matches!(self.data.kind & 0x0F, 1 | 4)
    }
    pub(crate) fn is_attended(&self) -> bool {
        self.data.kind & 0x0F < 4
    }
    /// A bank's unattended terminal that pays out cash.
    pub(crate) fn is_atm(&self) -> bool {
        let [kinds, ..] = self.data.additional;
        matches!(self.data.kind, 0x14..=0x16) && kinds & 0x80 != 0
    }
    /// Shows the characters of this part of ISO 8859 (9F40 bytes 4 and 5).
    pub(crate) fn shows(&self, table: u8) -> bool {
        let [.., high, low] = self.data.additional;
        let shown = u16::from(high & 0x03) << 8 | u16::from(low);
        (1..=10).contains(&table) && shown >> (table - 1) & 1 == 1
    }
}

/// Limits and action codes of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Minor units (9F1B). From there on payments go online.
    pub floor: u32,
    /// Minor units. Below it `target` percent are chosen for the issuer, from there to the floor rising to
    /// `most` percent.
    pub threshold: u32,
    pub target: u8,
    pub most: u8,
    /// Terminal action codes.
    pub denial: [u8; 5],
    pub online: [u8; 5],
    pub default: [u8; 5],
}
impl Limits {
    /// Nothing is decided without the issuer.
    pub(crate) const ALL_ONLINE: Self = Self {
        floor: 0,
        threshold: 0,
        target: 0,
        most: 0,
        denial: [0; 5],
        online: [0xFF; 5],
        default: [0xFF; 5],
    };
    /// Percentages of 99 at most, in order, and a threshold not above the floor (Book 3 §10.6, random
    /// transaction selection).
    pub(crate) fn hold(&self) -> bool {
        self.target <= self.most && self.most <= 99 && self.threshold <= self.floor
    }
}

/// Limits of an application for taps, in minor units (EMV contactless Book A, configuration data of the entry
/// point).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapLimits {
    /// DF19. What is above it goes online.
    pub floor: u64,
    /// DF20. From there on nothing is paid by a tap.
    pub most: u64,
    /// DF21. From there on the cardholder is verified.
    pub cvm: u64,
}
impl TapLimits {
    /// Amounts of twelve digits, and something that may be paid.
    fn hold(&self) -> bool {
        let amount = |n: u64| n <= AMOUNT_MAX;
        self.most > 0 && amount(self.most) && amount(self.floor) && amount(self.cvm)
    }
}

/// An application of the terminal.
#[derive(Clone, Debug)]
pub struct Aid {
    pub name: Vec<u8>,
    /// Names of the card that only begin with it fit too.
    pub partial: bool,
    /// 9F09.
    pub version: [u8; 2],
    pub limits: Limits,
    /// Default DDOL.
    pub ddol: Option<Vec<u8>>,
    /// Default TDOL.
    pub tdol: Option<Vec<u8>>,
    /// Online PIN may be asked for, where the terminal has it.
    pub online_pin: bool,
    /// None: it is not for taps.
    pub tap: Option<TapLimits>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersFault {
    #[error("more than {AIDS_MAX} applications")]
    Many,
    #[error("aid[{0}]: 5 to 16 bytes")]
    Name(usize),
    #[error("aid[{0}]: it is there twice")]
    Double(usize),
    #[error("aid[{0}]: percentages of 99 at most, target not above the most, threshold not above floor")]
    Limits(usize),
    #[error("aid[{0}]: limits for taps have twelve digits, and that of the payment is not 0")]
    TapLimits(usize),
    #[error("aid[{at}]: a default list: {why}")]
    List { at: usize, why: DolError },
}

/// Applications and keys, in one version.
pub struct Parameters {
    pub(crate) aids: Vec<Aid>,
    pub(crate) keys: Vec<CaKey>,
    pub(crate) revoked: Vec<Revoked>,
    version: u64,
}
impl Parameters {
    pub fn new(
        version: u64,
        aids: Vec<Aid>,
        keys: Vec<CaKey>,
        revoked: Vec<Revoked>,
    ) -> Result<Self, ParametersFault> {
        if aids.len() > AIDS_MAX {
            return Err(ParametersFault::Many);
        }
        for (at, aid) in aids.iter().enumerate() {
            if !(5..=16).contains(&aid.name.len()) {
                return Err(ParametersFault::Name(at));
            }
            if aids.iter().take(at).any(|other| other.name == aid.name) {
                return Err(ParametersFault::Double(at));
            }
            if !aid.limits.hold() {
                return Err(ParametersFault::Limits(at));
            }
            if aid.tap.is_some_and(|limits| !limits.hold()) {
                return Err(ParametersFault::TapLimits(at));
            }
            for list in [&aid.ddol, &aid.tdol].into_iter().flatten() {
                dol::entries(list).map_err(|why| ParametersFault::List { at, why })?;
            }
        }
        Ok(Self { aids, keys, revoked, version })
    }
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// To a cryptogram.
    Full,
    /// To an AAC: as `Full`, and by contact the card is asked to decline whatever was found. A tapped card
    /// cannot be asked for that: it is told that the issuer must be (9F66), so that it approves nothing.
    Decline,
    /// The records are read, the card is asked for nothing.
    Read,
}

/// The payment.
#[derive(Clone, Copy, Debug)]
pub struct Transaction {
    /// Minor units, `other` included (9F02).
    pub amount: u64,
    /// Minor units paid out in cash (9F03).
    pub other: u64,
    /// ISO 4217 number (5F2A).
    pub currency: u16,
    /// Decimal places (5F36).
    pub exponent: u8,
    /// 9C, BCD: the first two digits of the processing code.
    pub kind: u8,
    /// YYMMDD, BCD, where the terminal stands.
    pub date: [u8; 3],
    /// HHMMSS, BCD.
    pub time: [u8; 3],
    /// 9F41: never the same twice.
    pub sequence: u32,
    /// 9F37: from a good random source, one a payment.
    pub unpredictable: [u8; 4],
    /// 1 to 99, from a good random source (Book 3 §10.6, random transaction selection).
    pub draw: u8,
    pub depth: Depth,
    /// The merchant wants the issuer asked.
    pub force_online: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionFault {
    #[error("amount: at most twelve digits, and not less than its cash")]
    Amount,
    #[error("currency: three digits, not 0, and at most nine decimal places")]
    Currency,
    #[error("transaction type: two digits")]
    Kind,
    #[error("date or time: no such day or second")]
    Date,
    #[error("sequence number: at most eight digits")]
    Sequence,
    #[error("draw: 1 to 99")]
    Draw,
}
impl Transaction {
    pub(crate) fn check(&self) -> Result<(), TransactionFault> {
        let [hours, minutes, seconds] = self.time.map(|b| number(b).unwrap_or(u8::MAX));
        let is_time = hours < 24 && minutes < 60 && seconds < 60;
        for (holds, fault) in [
            (self.amount <= AMOUNT_MAX && self.other <= self.amount, TransactionFault::Amount),
            ((1..1000).contains(&self.currency) && self.exponent <= 9, TransactionFault::Currency),
            (number(self.kind).is_some(), TransactionFault::Kind),
            (day(&self.date).is_some() && is_time, TransactionFault::Date),
            (self.sequence < 100_000_000, TransactionFault::Sequence),
            ((1..=99).contains(&self.draw), TransactionFault::Draw),
        ] {
            if !holds {
                return Err(fault);
            }
        }
        Ok(())
    }
}

/// Number of two BCD digits.
fn number(byte: u8) -> Option<u8> {
    let (high, low) = (byte >> 4, byte & 0x0F);
    (high < 10 && low < 10).then(|| high * 10 + low)
}

/// A number's last digits as BCD.
pub(crate) fn digits<const N: usize>(mut number: u64) -> [u8; N] {
    let mut out = [0; N];
    for byte in out.iter_mut().rev() {
        let two = (number % 100) as u8;
        *byte = ((two / 10) << 4) | (two % 10);
        number /= 100;
    }
    out
}

/// A day of YYMMDD in BCD, later ones greater. Years below 50 are of this century (Book 4, date management).
pub(crate) fn day(date: &[u8]) -> Option<u32> {
    let &[year, month, day] = date else { return None };
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    let century = if year < 50 { 2000 } else { 1900 };
    let year = century + u32::from(year);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && year != 1900 => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    (1..=last).contains(&day).then(|| year * 10_000 + u32::from(month) * 100 + u32::from(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> TerminalData {
        TerminalData {
            country: 156,
            kind: 0x22,
            capabilities: [0xE0, 0xF8, 0xC8],
            additional: [0x60, 0x00, 0xF0, 0xA0, 0x01],
            serial: *b"PT000001",
            category: 5411,
            merchant: Some(*b"104420154110001"),
            id: Some(*b"00000001"),
            name: b"SHOP".to_vec(),
            languages: vec![*b"zh", *b"en"],
            bypass: false,
        }
    }
    fn aid() -> Aid {
        Aid {
            name: vec![0xA0, 0, 0, 3, 0x33, 1, 1, 1],
            partial: false,
            version: [0, 0x30],
            limits: Limits {
                floor: 10_000,
                threshold: 5_000,
                target: 10,
                most: 50,
                denial: [0; 5],
                online: [0xFF; 5],
                default: [0xFF; 5],
            },
            ddol: Some(vec![0x9F, 0x37, 4]),
            tdol: None,
            online_pin: true,
            tap: None,
        }
    }

    #[test]
    fn book_4_terminal_data_that_cannot_be_is_refused_by_name() {
        type Case = (TerminalFault, fn(&mut TerminalData));
        assert!(Terminal::new(data()).is_ok());
        let cases: [Case; 19] = [
            (TerminalFault::Country, |d| d.country = 0),
            (TerminalFault::Country, |d| d.country = 1000),
            (TerminalFault::Kind, |d| d.kind = 0x17),
            (TerminalFault::Kind, |d| d.kind = 0x31),
            (TerminalFault::Kind, |d| d.kind = 0x20),
            (TerminalFault::Capabilities, |d| d.capabilities[0] = 0xC0),
            (TerminalFault::Capabilities, |d| d.capabilities[0] = 0xE1),
            (TerminalFault::Capabilities, |d| d.capabilities[1] = 0xF9),
            (TerminalFault::Capabilities, |d| d.capabilities[2] = 0xCC),
            (TerminalFault::Additional, |d| d.additional = [0; 5]),
            (TerminalFault::Additional, |d| d.additional[1] = 1),
            (TerminalFault::Additional, |d| d.additional[3] = 0x04),
            (TerminalFault::Serial, |d| d.serial[3] = b' '),
            (TerminalFault::Category, |d| d.category = 10_000),
            (TerminalFault::Numbers, |d| d.merchant = Some([7; 15])),
            (TerminalFault::Numbers, |d| d.id = Some([0x80; 8])),
            (TerminalFault::Name, |d| d.name.clear()),
            (TerminalFault::Name, |d| d.name = vec![b'A'; NAME_MAX + 1]),
            (TerminalFault::Language, |d| d.languages[0] = *b"ZH"),
        ];
        for (at, (fault, spoil)) in cases.into_iter().enumerate() {
            let mut data = data();
            spoil(&mut data);
            assert_eq!(Terminal::new(data).err(), Some(fault), "case {at}");
        }
    }

    #[test]
    fn book_4_the_terminal_type_says_what_it_can() {
        let of = |kind| Terminal::new(TerminalData { kind, ..data() }).unwrap();
        for (kind, offline, online, attended) in [
            (0x21, false, true, true),
            (0x22, false, false, true),
            (0x23, true, false, true),
            (0x24, false, true, false),
            (0x25, false, false, false),
            (0x26, true, false, false),
        ] {
            let t = of(kind);
            assert_eq!(
                (t.is_offline_only(), t.is_online_only(), t.is_attended()),
                (offline, online, attended)
            );
        }
        assert!(!of(0x14).is_atm(), "it pays out no cash");
        let cash = TerminalData { kind: 0x14, additional: [0xE0, 0, 0xF0, 0xA0, 1], ..data() };
        assert!(Terminal::new(cash).unwrap().is_atm());
    }

    #[test]
    fn book_4_character_sets_are_those_of_the_additional_capabilities() {
        let of = |high: u8, low: u8| {
            let additional = [0x60, 0, 0xF0, 0xA0 | high, low];
            let t = Terminal::new(TerminalData { additional, ..data() }).unwrap();
            (0..=255).filter(|table| t.shows(*table)).collect::<Vec<u8>>()
        };
        assert_eq!(of(0, 0x01), [1]);
        assert_eq!(of(0, 0x90), [5, 8]);
        assert_eq!(of(3, 0), [9, 10]);
    }

    #[test]
    fn parameters_that_cannot_be_are_refused_by_name() {
        let new = |aids| Parameters::new(1, aids, Vec::new(), Vec::new()).map(|p| p.version());
        assert_eq!(new(vec![aid()]), Ok(1));
        let with = |spoil: fn(&mut Aid)| {
            let mut bad = aid();
            spoil(&mut bad);
            new(vec![Aid { name: vec![9; 5], ..aid() }, bad])
        };
        assert_eq!(with(|a| a.name = vec![0xA0; 4]), Err(ParametersFault::Name(1)));
        assert_eq!(with(|a| a.name = vec![0xA0; 17]), Err(ParametersFault::Name(1)));
        assert_eq!(with(|a| a.name = vec![9; 5]), Err(ParametersFault::Double(1)));
        assert_eq!(with(|a| a.limits.target = 51), Err(ParametersFault::Limits(1)));
        assert_eq!(with(|a| a.limits.most = 100), Err(ParametersFault::Limits(1)));
        assert_eq!(with(|a| a.limits.threshold = 10_001), Err(ParametersFault::Limits(1)));
        assert!(matches!(with(|a| a.ddol = Some(vec![0x9F])), Err(ParametersFault::List { at: 1, .. })));
        assert!(matches!(with(|a| a.tdol = Some(vec![0x95])), Err(ParametersFault::List { at: 1, .. })));
        let many = |n: usize| (0..n as u8).map(|i| Aid { name: vec![i; 5], ..aid() }).collect::<Vec<_>>();
        assert_eq!(new(many(AIDS_MAX)), Ok(1));
        assert_eq!(new(many(AIDS_MAX + 1)), Err(ParametersFault::Many));
    }

    #[test]
    fn a_payment_that_cannot_be_is_refused_by_name() {
        type Case = (Result<(), TransactionFault>, fn(&mut Transaction));
        let cases: [Case; 14] = [
            (Ok(()), |_| ()),
            (Ok(()), |t| t.amount = 999_999_999_999),
            (Err(TransactionFault::Amount), |t| t.amount = 1_000_000_000_000),
            (Err(TransactionFault::Amount), |t| t.other = t.amount + 1),
            (Err(TransactionFault::Currency), |t| t.currency = 0),
            (Err(TransactionFault::Currency), |t| t.currency = 1000),
            (Err(TransactionFault::Currency), |t| t.exponent = 10),
            (Err(TransactionFault::Kind), |t| t.kind = 0x0A),
            (Err(TransactionFault::Date), |t| t.date = [0x26, 0x02, 0x29]),
            (Err(TransactionFault::Date), |t| t.time = [0x24, 0, 0]),
            (Err(TransactionFault::Date), |t| t.time = [0x23, 0x5A, 0]),
            (Err(TransactionFault::Sequence), |t| t.sequence = 100_000_000),
            (Err(TransactionFault::Draw), |t| t.draw = 0),
            (Err(TransactionFault::Draw), |t| t.draw = 100),
        ];
        for (at, (result, spoil)) in cases.into_iter().enumerate() {
            let mut t = Transaction {
                amount: 1234,
                other: 0,
                currency: 156,
                exponent: 2,
                kind: 0,
                date: [0x26, 0x12, 0x02],
                time: [0x13, 0x59, 0x59],
                sequence: 1,
                unpredictable: [1; 4],
                draw: 50,
                depth: Depth::Full,
                force_online: false,
            };
            spoil(&mut t);
            assert_eq!(t.check(), result, "case {at}");
        }
    }

    #[test]
    fn book_4_days_of_two_centuries_are_in_order() {
        assert_eq!(day(&[0x49, 0x12, 0x31]), Some(2049_1231));
        assert_eq!(day(&[0x50, 0x01, 0x01]), Some(1950_0101));
        assert_eq!(day(&[0x24, 0x02, 0x29]), Some(2024_0229));
        let none: [&[u8]; 7] = [
            &[0x25, 0x02, 0x29],
            &[0x25, 0x13, 0x01],
            &[0x25, 0x00, 0x01],
            &[0x25, 0x04, 0x31],
            &[0x25, 0x01, 0x00],
            &[0x2A, 0x01, 0x01],
            &[0x25, 0x01],
        ];
        none.iter().for_each(|date| assert_eq!(day(date), None, "{date:02X?}"));
    }

    #[test]
    fn a_number_becomes_digits() {
        assert_eq!(digits::<6>(123_456), [0, 0, 0, 0x12, 0x34, 0x56]);
        assert_eq!(digits::<2>(156), [0x01, 0x56]);
        assert_eq!(digits::<1>(199), [0x99], "the last ones");
    }
}
