//! The world an acquirer lives in, as data: its accounts with terminals, the issuers' cards, the wallets, the
//! rules.
//!
//! Everything in a world is **test data**: PANs and PINs stand in it in clear, and so does the test TMK of
//! each account. `Debug` of the types here masks them all the same.
mod check;
mod emv;

pub use emv::{AidRow, KeyRow};

use crate::{
    ask::{Ask, What},
    card::{PERSONAS, PersonaError, Personas},
    code::Code,
    mishap::Mishap,
};
use payterm_schema::{
    Currency, Kind, Money, Pan, PaymentCode,
    account::AccountId,
    config::{Mid, Tid},
    host::Wallet,
    secret::Pin,
};
use serde::Deserialize;
use std::{collections::BTreeSet, fmt, path::Path};

/// The world that is built in (`worlds/demo.toml`).
pub const DEMO: &str = include_str!("../worlds/demo.toml");
/// Greatest size of a world file.
pub const MAX_WORLD: u64 = 1 << 20;

/// The personas that are built in: the chip cards of every world.
pub fn personas() -> Result<Personas, PersonaError> {
    Personas::parse(PERSONAS)
}

#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error("{path}: {cause}")]
    Read { path: String, cause: std::io::Error },
    #[error("world, line {line}: {rule}")]
    Syntax { line: usize, rule: String },
    #[error("world, {field}: {rule}")]
    Invalid { field: String, rule: String },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    #[serde(rename = "account")]
    pub accounts: Vec<Account>,
    #[serde(rename = "card", default)]
    pub cards: Vec<Card>,
    #[serde(rename = "wallet", default)]
    pub wallets: Vec<WalletRow>,
    #[serde(rename = "code", default)]
    pub codes: Vec<CodeRow>,
    #[serde(rename = "rule", default)]
    pub rules: Vec<Rule>,
    #[serde(rename = "translate", default)]
    pub translations: Vec<Translation>,
    #[serde(rename = "parameter", default)]
    pub parameters: Vec<Parameter>,
    /// CA keys that terminals download. Default: the test CA's.
    #[serde(rename = "emv_key", default)]
    pub emv_keys: Vec<KeyRow>,
    /// Applications that terminals download. Default: those of the test cards.
    #[serde(rename = "emv_aid", default)]
    pub emv_aids: Vec<AidRow>,
    /// Answer to a repeated request: as before (default), or this F39.
    #[serde(default)]
    pub duplicate_code: Option<Code>,
    /// F39 when the wrong-PIN limit is reached. Default 75; 38 keeps the card.
    #[serde(default = "pin_limit_code")]
    pub pin_limit_code: Code,
}
fn pin_limit_code() -> Code {
    Code("75".into())
}

/// A 16-byte test TMK (two-key triple DES), 32 hex digits in the file.
#[derive(Clone, PartialEq, Eq, Deserialize, zeroize::ZeroizeOnDrop)]
#[serde(try_from = "String")]
pub struct TestTmk([u8; 16]);
impl TestTmk {
    pub fn reveal(&self) -> &[u8; 16] {
        &self.0
    }
}
impl TryFrom<String> for TestTmk {
    type Error = &'static str;
    fn try_from(s: String) -> Result<Self, &'static str> {
        let mut k = [0; 16];
        hex::decode_to_slice(s, &mut k).map_err(|_| "a TMK is 32 hex digits")?;
        Ok(Self(k))
    }
}
impl fmt::Debug for TestTmk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestTmk(..)")
    }
}

/// An acquirer account: what a terminal's `[[account]]` must agree with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub name: AccountId,
    /// Name of a built-in profile of `payterm-hosts`, or the path of a profile file.
    pub profile: String,
    /// F42.
    pub mid: Mid,
    /// F41.
    pub tid: Tid,
    /// F49.
    pub currency: Currency,
    /// F32, up to 11 digits.
    pub acquirer_id: String,
    pub tmk: TestTmk,
    /// Batch number of the first sign-in. Default 1.
    #[serde(default = "one")]
    pub first_batch: u32,
    /// Length of the MAK that a sign-in gives: 8, or 16 (default). The PIK has 16 bytes.
    #[serde(default = "sixteen")]
    pub mak_bytes: usize,
    /// Merchant's fee in basis points of the amount, rounded half up. Default 0.
    #[serde(default)]
    pub fee_bp: u32,
    /// Greatest fee of one sale, decimal text.
    #[serde(default)]
    pub fee_max: Option<String>,
    /// Greatest completion in percent of its pre-authorisation. Default 115.
    #[serde(default = "completion_percent")]
    pub completion_percent: u32,
    /// Greatest tip in percent of its sale. Default 20.
    #[serde(default = "tip_percent")]
    pub tip_percent: u32,
}
fn completion_percent() -> u32 {
    115
}
fn tip_percent() -> u32 {
    20
}
fn sixteen() -> usize {
    16
}
fn one() -> u32 {
    1
}
impl Account {
    /// The merchant's fee for a sale of `amount` minor units.
    pub fn fee(&self, amount: u64) -> u64 {
        let fee = (u128::from(amount) * u128::from(self.fee_bp) + 5_000) / 10_000;
        let max = self
            .fee_max
            .as_deref()
            .and_then(|t| Money::parse(t, self.currency).ok())
            .map_or(u64::MAX, Money::minor);
        u64::try_from(fee).unwrap_or(u64::MAX).min(max).min(amount)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CardStatus {
    #[default]
    Active,
    /// F39 41.
    Lost,
    /// F39 43.
    Stolen,
    /// F39 54.
    Expired,
    /// F39 62.
    Restricted,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Unique; the demo and the tests call cards by it.
    pub name: String,
    pan: String,
    /// YYMM.
    pub expiry: String,
    /// None: pays without a PIN. 4 to 12 digits.
    #[serde(default)]
    pin: Option<String>,
    /// Wrong PINs until the card is blocked. Default 3.
    #[serde(default = "three")]
    pub pin_limit: u32,
    pub currency: Currency,
    /// Opening balance, decimal text.
    pub balance: String,
    #[serde(default)]
    pub status: CardStatus,
    /// F63: three letters; CUP = domestic.
    #[serde(default = "cup")]
    pub scheme: String,
    /// F63 issuer text, up to 20 bytes in GBK.
    #[serde(default = "issuer")]
    pub issuer: String,
    /// F44 issuer part, up to 11 digits.
    #[serde(default = "issuer_id")]
    pub issuer_id: String,
    /// A persona's: it is made for a day, so that its expiry is not compared, and it pays by its chip without
    /// an online PIN too.
    #[serde(skip)]
    pub chip: bool,
}
fn three() -> u32 {
    3
}
fn cup() -> String {
    "CUP".into()
}
fn issuer() -> String {
    "测试发卡行".into()
}
fn issuer_id() -> String {
    "01990000".into()
}
impl Card {
    pub fn pan(&self) -> &str {
        &self.pan
    }
    pub fn masked(&self) -> String {
        Pan::parse(&self.pan).map(|p| p.masked()).unwrap_or_default()
    }
    pub fn pin(&self) -> Option<Pin> {
        self.pin.as_deref().and_then(Pin::parse)
    }
    /// Track 2 without sentinels: service code 120 (PIN, online), 201-less since these cards have no chip.
    pub fn track2(&self) -> String {
        format!("{}={}12000000001", self.pan, self.expiry)
    }
}
impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({} {})", self.name, self.masked())
    }
}
impl Drop for Card {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.pan.zeroize();
        self.pin.zeroize();
    }
}

/// A wallet, with one account from which all its payment codes pay.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletRow {
    pub name: Wallet,
    pub lengths: Vec<usize>,
    pub prefixes: Vec<String>,
    /// Opening balance in CNY, decimal text.
    pub balance: String,
    /// An undo sooner than this after the payment is answered 09 (WeChat 15,000). Default 0.
    #[serde(default)]
    pub undo_after_ms: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeAnswer {
    Paid,
    /// 09, then after `after_ms` paid, or refused with `code`.
    Pending,
    /// 09 for ever.
    Never,
    /// Refused with `code`.
    Refused,
}

/// Fate of a payment code, by its first digits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeRow {
    pub prefix: String,
    pub answer: CodeAnswer,
    #[serde(default)]
    pub after_ms: u32,
    #[serde(default)]
    pub code: Option<Code>,
}

/// A parameter that a terminal downloads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// None: for every account.
    #[serde(default)]
    pub account: Option<AccountId>,
    /// 1 to 32 of a-z 0-9 . _ -
    pub key: String,
    /// Up to 128 printable ASCII characters.
    pub value: String,
}

/// The first rule that fits decides. All given keys must hold; one of `code`, `mishap`, `partial`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(default)]
    pub account: Option<AccountId>,
    #[serde(default)]
    pub kind: Option<Kind>,
    /// A card's name.
    #[serde(default)]
    pub card: Option<String>,
    #[serde(default)]
    pub wallet: Option<Wallet>,
    /// Decimal texts in the account's currency; `amount` alone, or a range of both ends inclusive.
    #[serde(default)]
    pub amount: Option<String>,
    #[serde(default)]
    pub amount_from: Option<String>,
    #[serde(default)]
    pub amount_to: Option<String>,
    /// The request is refused with it, nothing is posted. Not 00.
    #[serde(default)]
    pub code: Option<Code>,
    #[serde(default)]
    pub mishap: Option<Mishap>,
    /// With a mishap: it befalls so many requests, then one goes through, and so on. None: it befalls all.
    #[serde(default)]
    pub times: Option<u32>,
    /// A card's sale of more than this is approved with this much and code 10; decimal text.
    #[serde(default)]
    pub partial: Option<String>,
}

impl Rule {
    /// Part of a sale that is approved, minor units.
    pub fn part(&self, account: &Account) -> Option<i64> {
        self.partial
            .as_deref()
            .and_then(|t| Money::parse(t, account.currency).ok())
            .and_then(|m| i64::try_from(m.minor()).ok())
    }
    fn fits(&self, world: &World, account: &Account, kind: Kind, ask: &Ask) -> bool {
        let card = || ask.pan.as_ref().and_then(|p| world.card_by_pan(p.reveal())).map(|c| c.name.as_str());
        let wallet = || ask.code.as_ref().and_then(|c| world.wallet_of(c)).map(|w| w.name);
        let minor = |t: &Option<String>| {
            t.as_deref().and_then(|t| Money::parse(t, account.currency).ok()).map(Money::minor)
        };
        let amount = |want: &Option<String>, cmp: fn(u64, u64) -> bool| {
            want.is_none() || matches!((ask.amount, minor(want)), (Some(a), Some(w)) if cmp(a, w))
        };
        self.account.as_ref().is_none_or(|a| *a == account.name)
            && self.kind.is_none_or(|k| k == kind)
            && self.card.as_deref().is_none_or(|c| Some(c) == card())
            && self.wallet.is_none_or(|w| Some(w) == wallet())
            && amount(&self.amount, |a, w| a == w)
            && amount(&self.amount_from, |a, w| a >= w)
            && amount(&self.amount_to, |a, w| a <= w)
    }
}

/// A code of another acquirer: this profile writes `to` where UnionPay writes `from`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    pub profile: String,
    pub from: Code,
    pub to: Code,
    /// Only in answers to reversals.
    #[serde(default)]
    pub reversal: bool,
}

impl World {
    pub fn demo() -> Result<Self, WorldError> {
        Self::parse(DEMO)
    }

    pub fn load(path: &Path) -> Result<Self, WorldError> {
        let read = |cause| WorldError::Read { path: path.display().to_string(), cause };
        if std::fs::metadata(path).map_err(read)?.len() > MAX_WORLD {
            return Err(WorldError::Invalid {
                field: "file".into(),
                rule: format!("at most {MAX_WORLD} bytes"),
            });
        }
        Self::parse(&std::fs::read_to_string(path).map_err(read)?)
    }

    pub fn parse(text: &str) -> Result<Self, WorldError> {
        let mut world: World = toml::from_str(text).map_err(|e| {
            let at = e.span().map_or(0, |s| s.start).min(text.len());
            WorldError::Syntax {
                line: text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1,
                rule: e.message().to_owned(),
            }
        })?;
        world
            .add_personas()
            .map_err(|e| WorldError::Invalid { field: "persona".into(), rule: e.to_string() })?;
        world.check()?;
        Ok(world)
    }

    /// Makes the personas' numbers cards of the world, unless it has cards with these names or numbers:
    /// `chip-debit`; the second number of a card is `chip-both-2`.
    fn add_personas(&mut self) -> Result<(), PersonaError> {
        for persona in personas()?.all {
            for (n, row) in persona.applications.iter().enumerate() {
                let more = if n == 0 { String::new() } else { format!("-{}", n + 1) };
                let name = format!("chip-{}{more}", persona.name);
                if self.cards.iter().any(|c| c.name == name || c.pan == row.pan) {
                    continue;
                }
                self.cards.push(Card {
                    name,
                    pan: row.pan.clone(),
                    expiry: "3012".into(),
                    pin: Some(persona.pin.clone()),
                    pin_limit: three(),
                    currency: Currency::CNY,
                    balance: "10000.00".into(),
                    status: CardStatus::Active,
                    scheme: cup(),
                    issuer: issuer(),
                    issuer_id: issuer_id(),
                    chip: true,
                });
            }
        }
        Ok(())
    }

    pub fn card_by_pan(&self, pan: &str) -> Option<&Card> {
        self.cards.iter().find(|c| c.pan == pan)
    }
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|a| a.name.as_str() == name)
    }
    /// Profiles in the order in which the accounts name them.
    pub fn profiles(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        self.accounts.iter().map(|a| a.profile.as_str()).filter(|p| seen.insert(*p)).collect()
    }
    /// The wallet that issued a code.
    pub fn wallet_of(&self, code: &PaymentCode) -> Option<&WalletRow> {
        let c = code.reveal();
        self.wallets
            .iter()
            .find(|w| w.lengths.contains(&c.len()) && w.prefixes.iter().any(|p| c.starts_with(p.as_str())))
    }
    pub fn code_row(&self, code: &PaymentCode) -> Option<&CodeRow> {
        self.codes
            .iter()
            .filter(|r| code.reveal().starts_with(r.prefix.as_str()))
            .max_by_key(|r| r.prefix.len())
    }

    /// The first rule that fits a request; reversals and queries have none: they only find what a request
    /// did.
    pub fn rule(&self, account: &Account, ask: &Ask) -> Option<(usize, &Rule)> {
        let What::Do(kind) = ask.what else { return None };
        self.rules.iter().enumerate().find(|(_, r)| r.fits(self, account, kind, ask))
    }
    /// F39 as this profile writes it.
    pub fn translate<'a>(&'a self, profile: &str, code: &'a str, reversal: bool) -> &'a str {
        let row = self
            .translations
            .iter()
            .find(|t| t.profile == profile && t.from.0 == code && (reversal || !t.reversal));
        row.map_or(code, |t| &t.to.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_world_is_sound_and_masks_its_secrets() {
        let w = World::demo().unwrap();
        let shown = format!("{w:?}");
        for c in &w.cards {
            assert!(!shown.contains(c.pan()));
            assert_eq!(format!("{c:?}"), format!("Card({} {})", c.name, c.masked()));
            // A short one may be the digits of a number that is shown in part.
            if let Some(p) = c.pin().filter(|p| !c.masked().contains(p.reveal())) {
                assert!(!shown.contains(p.reveal()), "{}", c.name);
            }
        }
        for a in &w.accounts {
            assert!(!shown.to_uppercase().contains(&hex::encode_upper(a.tmk.reveal())));
        }
        assert_eq!(w.profiles(), ["unionpay", "demo-x919"]);
        let chips = w.cards.iter().filter(|c| c.chip).map(|c| c.name.as_str());
        assert_eq!(chips.clone().count(), 16);
        assert!(chips.clone().any(|n| n == "chip-debit") && chips.clone().any(|n| n == "chip-both-2"));
        assert_eq!(w.account("cup").map(|a| a.fee(10_000)), Some(60));
        assert_eq!(w.account("cup").map(|a| a.fee(100_000_000)), Some(8_000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let card = |from: &str, to: &str| World::parse(&DEMO.replacen(from, to, 1)).unwrap_err().to_string();
        assert_eq!(
            card("6212345678900000003", "6212345678900000004"),
            "world, card[0].pan: 12 to 19 digits with a right check digit, each once"
        );
        assert_eq!(card("\"3012\"", "\"3013\""), "world, card[0].expiry: YYMM");
        assert_eq!(card("TEST0001", "TEST001"), "world, line 9: 8 printable ASCII characters");
        assert!(card("fee_bp = 60", "fee_pb = 60").contains("unknown field `fee_pb`"));
        assert!(card("0123456789ABCDEFFEDCBA9876543210", "0123").contains("a TMK is 32 hex digits"));
        assert!(!card("0123456789ABCDEFFEDCBA9876543210", "CANARY99").contains("CANARY99"));
        assert_eq!(
            card("type = \"busy\"", "type = \"requirement\", digit = 10"),
            "world, rule[2].mishap: digit: 0 to 9"
        );
        assert_eq!(
            card("times = 2", "times = 0"),
            "world, rule[5].times: at least 1, and only with a mishap"
        );
        assert_eq!(
            card("partial = \"50.00\"", "partial = \"5x\""),
            "world, rule[7].amount: a decimal amount of the account's currency (CNY when no account is named)"
        );
        assert!(
            card("partial = \"50.00\"", "partial = \"0.00\"")
                .starts_with("world, rule[7].partial: more than zero")
        );
        assert!(
            card("partial = \"50.00\"", "partial = \"50.00\"\ncode = \"05\"")
                .starts_with("world, rule[7].code: one of")
        );
        assert!(card("key = \"fee_bp\"", "key = \"Fee\"").starts_with("world, parameter[0].key: "));
        assert!(
            card("account = \"cup\"\nkey", "account = \"cop\"\nkey")
                .starts_with("world, parameter[0].account: ")
        );
        assert!(
            card("completion_percent = 115", "completion_percent = 99")
                .starts_with("world, account[0].completion_percent: ")
        );
        assert_eq!(
            card("code = \"05\"", "code = \"00\""),
            "world, rule[0].code: one of a code other than 00, a mishap and a partial amount"
        );
    }

    #[test]
    fn the_longest_prefix_of_a_code_decides() {
        let w = World::demo().unwrap();
        let row = |c: &str| PaymentCode::parse(c).ok().and_then(|c| w.code_row(&c).map(|r| r.answer));
        assert_eq!(row("139000000000000001"), Some(CodeAnswer::Pending));
        assert_eq!(row("130000000000000001"), None);
        let wallet = |c: &str| PaymentCode::parse(c).ok().and_then(|c| w.wallet_of(&c).map(|r| r.name));
        assert_eq!(wallet("130000000000000001"), Some(Wallet::Wechat));
        assert_eq!(wallet("1300000000000000019"), None);
        assert_eq!(wallet("280000000000000001"), Some(Wallet::Alipay));
    }
}
