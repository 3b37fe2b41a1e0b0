//! Onboarding 终端申请, applying for a terminal: what a merchant tells the acquirer's terminal management before
//! the terminal has a merchant and a terminal number, what the acquirer offers, and what an approved terminal
//! is given. The messages are in docs/apply.md.
use crate::{
    account::AccountId,
    config::{AccountConfig, Mid, Nii, PlainLine, Sum, Tid, TlsConfig, TmsConfig},
    fault::Fault,
    host::Wallet,
    money::Currency,
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fmt};

/// Greatest length of an offer's words in characters.
pub const MAX_TERMS: usize = 8_000;
/// Greatest number of fee rows of an account.
pub const MAX_FEES: usize = 64;
/// Greatest number of accounts of a grant.
pub const MAX_ACCOUNTS: usize = 8;
/// Greatest number of entries of a BIN list.
pub const MAX_BINS: usize = 2_000;

/// Product that the merchant takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// Bank cards 银行卡.
    Card,
    /// Payment codes 扫码.
    Scan,
}

/// Settlement cycle: when the merchant gets the money. T counts working days, D calendar days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Settlement {
    #[serde(rename = "T+0")]
    T0,
    #[serde(rename = "T+1")]
    T1,
    #[serde(rename = "D+1")]
    D1,
}
impl Settlement {
    /// Name as it is written: `T+1`.
    pub const fn name(self) -> &'static str {
        match self {
            Settlement::T0 => "T+0",
            Settlement::T1 => "T+1",
            Settlement::D1 => "D+1",
        }
    }
}

/// Row of a fee table; the first whose conditions all hold is taken. Its sums are in the account's currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeeRow {
    pub product: Product,
    /// Only payment codes of this wallet. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<Wallet>,
    /// Only cards of this scheme, as F63 names it: `CUP`, `VIS`. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Fee in hundredths of a percent of the amount, 0 to 10,000; rounded half up to the minor unit.
    pub basis_points: u32,
    /// Least fee. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Sum>,
    /// Greatest fee 封顶. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Sum>,
}

/// Checks the rules of a fee table of an account in this currency; `at` is its place in a message,
/// `account[0].fee`.
fn check_fees(at: &str, rows: &[FeeRow], currency: Currency) -> Result<(), Fault> {
    if rows.len() > MAX_FEES {
        return Err(Fault::invalid(at, "at most 64 rows"));
    }
    rows.iter().enumerate().try_for_each(|(i, r)| {
        r.check(currency).map_err(|(key, rule)| Fault::invalid(&format!("{at}[{i}].{key}"), rule))
    })
}
impl FeeRow {
    /// Checks the row in a table of this currency; the error is a key and its rule.
    pub fn check(&self, currency: Currency) -> Result<(), (&'static str, &'static str)> {
        if self.basis_points > 10_000 {
            return Err(("basis_points", "0 to 10000"));
        }
        let ordered = self.min.zip(self.max).is_none_or(|(min, max)| min.minor() <= max.minor());
        if !ordered || [self.min, self.max].into_iter().flatten().any(|sum| sum.currency() != currency) {
            return Err(("max", "min and max are in the account's currency, max not below min"));
        }
        let good = |o: &str| o.len() == 3 && o.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !self.scheme.as_deref().is_none_or(good) {
            return Err(("scheme", "3 of A-Z 0-9 (F63)"));
        }
        let fits = (self.wallet.is_none() || self.product == Product::Scan)
            && (self.scheme.is_none() || self.product == Product::Card);
        if fits { Ok(()) } else { Err(("product", "a wallet goes with scan, a scheme with card")) }
    }
}

/// Data of the merchant. Lengths count characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Shop name on screens and slips, 1 to 40.
    pub name: String,
    /// Name in the business licence, 1 to 80.
    pub legal_name: String,
    /// Number of the business licence 统一社会信用代码, 5 to 32 of `A-Z 0-9 -`.
    pub licence: String,
    /// Address of the shop, 1 to 80.
    pub address: String,
    /// City of the shop, 1 to 40.
    pub city: String,
    /// Merchant category code (ISO 18245), 4 digits.
    pub category: String,
    /// Name of the contact person, 1 to 40.
    pub contact: String,
    /// Telephone number, 5 to 20 of `0-9 + -` and space.
    pub phone: String,
    /// E-mail address, up to 80, with one `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Products that the merchant takes: `card`, `scan` or both, each once.
    pub products: Vec<Product>,
}

impl Draft {
    /// Checks each field; the error is the first that breaks its rule.
    pub fn check(&self) -> Result<(), Fault> {
        for (field, value, max) in [
            ("name", &self.name, 40),
            ("legal_name", &self.legal_name, 80),
            ("address", &self.address, 80),
            ("city", &self.city, 40),
            ("contact", &self.contact, 40),
        ] {
            if !(1..=max).contains(&value.chars().count())
                || value.chars().any(char::is_control)
                || value.trim() != value
            {
                return Err(Fault::invalid(
                    field,
                    &format!(
                        "1 to {max} characters, none of them a control character, no space at either end"
                    ),
                ));
            }
        }
        let among = |text: &str, len: std::ops::RangeInclusive<usize>, ok: fn(u8) -> bool| {
            len.contains(&text.len()) && text.bytes().all(ok)
        };
        if !among(&self.licence, 5..=32, |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-') {
            return Err(Fault::invalid("licence", "5 to 32 of A-Z 0-9 -"));
        }
        if !among(&self.category, 4..=4, |b| b.is_ascii_digit()) {
            return Err(Fault::invalid("category", "4 digits (merchant category code)"));
        }
        if !among(&self.phone, 5..=20, |b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b' ')) {
            return Err(Fault::invalid("phone", "5 to 20 of 0-9 + - and space"));
        }
        let mail = |m: &String| {
            among(m, 3..=80, |b| b.is_ascii_graphic())
                && m.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty() && !b.contains('@'))
        };
        if !self.email.as_ref().is_none_or(mail) {
            return Err(Fault::invalid("email", "up to 80 characters with one @"));
        }
        let once: BTreeSet<_> = self.products.iter().collect();
        if once.is_empty() || once.len() != self.products.len() {
            return Err(Fault::invalid("products", "card, scan or both, each once"));
        }
        Ok(())
    }
}

/// Offer of the acquirer, which the merchant sees and accepts before the onboarding is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Name that the acquirer gives it, 1 to 32 of `A-Z a-z 0-9 - _ .`.
    pub id: String,
    pub products: Vec<Product>,
    pub currency: Currency,
    pub fees: Vec<FeeRow>,
    pub settlement: Settlement,
    /// Conditions in words, up to 8,000 characters.
    pub text: String,
}
impl Offer {
    /// Checks each field; the error is the first that breaks its rule.
    pub fn check(&self) -> Result<(), Fault> {
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=32).contains(&self.id.len()) || !self.id.bytes().all(word) {
            return Err(Fault::invalid("offer.id", "1 to 32 of A-Z a-z 0-9 - _ ."));
        }
        if self.products.is_empty() || self.products.len() > 2 {
            return Err(Fault::invalid("offer.products", "card, scan or both"));
        }
        if self.text.chars().count() > MAX_TERMS {
            return Err(Fault::invalid("offer.text", "up to 8000 characters"));
        }
        check_fees("offer.fees", &self.fees, self.currency)
    }
}

/// Text of the terminal management with its signature: ECDSA on P-256 with SHA-256 over the text's bytes,
/// ASN.1 in hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    pub text: String,
    pub signature: String,
}
impl Signed {
    /// SHA-256 of the text, 64 hex digits: what an acceptance names.
    pub fn hash(&self) -> String {
        Sha256::digest(self.text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Offer as a face shows it; `hash` is what [`Step::Accept`] names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfferShown {
    pub hash: String,
    #[serde(flatten)]
    pub offer: Offer,
}

/// Stage of an onboarding; a change is one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Being filled in, on this terminal only.
    Draft,
    /// Sent, or about to be: repeated until the acquirer has answered.
    Submitted,
    /// In review: the acquirer has it and has not decided.
    InReview,
    /// Approved: parameters and key can be fetched.
    Approved,
    /// Rejected: can be edited and submitted again, as the next revision.
    Rejected,
    /// In service: parameters and key are on the terminal.
    Activated,
}
impl Stage {
    pub const ALL: [Stage; 6] =
        [Stage::Draft, Stage::Submitted, Stage::InReview, Stage::Approved, Stage::Rejected, Stage::Activated];
    /// Name in JSON, D-Bus and text ids.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Draft => "draft",
            Stage::Submitted => "submitted",
            Stage::InReview => "in_review",
            Stage::Approved => "approved",
            Stage::Rejected => "rejected",
            Stage::Activated => "activated",
        }
    }
}

/// Agreement of the merchant to an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// [`Signed::hash`] of `terms`.
    pub hash: String,
    /// Time of the acceptance.
    pub at: Time,
    /// App that accepted for the merchant.
    pub by: String,
    pub offer: Offer,
    /// Offer as it was signed, so that what was accepted can be proved.
    pub terms: Signed,
}

/// Onboarding of this terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Onboarding {
    /// Identity that the terminal gives it, 32 hex digits; the same in all revisions.
    pub id: String,
    /// Revision: 1, and one more each time that a rejected onboarding is taken up again.
    pub revision: u32,
    pub stage: Stage,
    /// Time at which it came into this stage.
    pub since: Time,
    pub draft: Draft,
    /// Agreement of the merchant; none before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// Reason that the acquirer gave for a rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Parameters that an activated terminal was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
}

/// Onboarding as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OnboardingSlip {
    pub onboarding: Onboarding,
    /// Test: printed as on a payment's slip.
    pub test: bool,
}
impl OnboardingSlip {
    /// Copies the onboarding without what is too long for a paper: the words of the offer (their hash stays)
    /// and the BIN lists.
    pub fn new(onboarding: &Onboarding, test: bool) -> Self {
        let mut onboarding = onboarding.clone();
        if let Some(a) = &mut onboarding.accepted {
            a.offer.text.clear();
            a.terms = Signed { text: String::new(), signature: String::new() };
        }
        if let Some(p) = &mut onboarding.parameters {
            p.bins = BinLists::default();
        }
        Self { onboarding, test }
    }
}

/// Onboarding as a face shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OnboardingShown {
    /// The onboarding; none: nobody has applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onboarding: Option<Onboarding>,
    /// Problem of the last try to reach the terminal management, while it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The terminal has an account, applied for or configured.
    #[serde(default)]
    pub in_service: bool,
}

/// Step of an onboarding that a face asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fills the draft in; a previous one is replaced.
    Draft(Box<Draft>),
    /// Accepts the offer with this hash.
    Accept { hash: String },
    /// Sends the onboarding. A repeated call does nothing again.
    Submit,
    /// Asks the acquirer for its decision now.
    Refresh,
    /// Fetches parameters and key, and goes into service. A repeated call does nothing again.
    Activate,
}

/// Body of the PUT of an onboarding. The same id, revision and content any number of times is one onboarding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// [`Onboarding::id`].
    pub onboarding: String,
    pub revision: u32,
    pub draft: Draft,
    /// [`Accepted::hash`] of the offer that was accepted.
    pub offer: String,
    /// Time at which the offer was accepted.
    pub accepted_at: Time,
    /// Name of the terminal before it has a number: SHA-256 of the public key's DER, 64 hex digits.
    pub terminal: String,
    /// Public key of the terminal: RSA-2048, SubjectPublicKeyInfo as DER in hex.
    pub public_key: String,
}

/// Decision of the acquirer on an onboarding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnboardingStatus {
    pub onboarding: String,
    pub revision: u32,
    pub terminal: String,
    pub verdict: Verdict,
    /// Reason of a rejection, up to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
/// Decision of the acquirer on an onboarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    InReview,
    Approved,
    Rejected,
}

/// Grant, which an approved terminal fetches. `nonce` is the terminal's own, for this fetch: a recorded
/// answer to an earlier one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub onboarding: String,
    pub terminal: String,
    pub nonce: String,
    pub accounts: Vec<GrantedAccount>,
    #[serde(default)]
    pub bins: BinLists,
}
/// Account of a grant, with its terminal master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantedAccount {
    pub account: AccountParameters,
    pub key: WrappedKey,
}
/// Terminal master key, enciphered under the terminal's public key: RSA-OAEP with SHA-256 and the label of
/// [`WrappedKey::label`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// Cipher text, 512 hex digits.
    pub wrapped: String,
    /// Check value of the key: the first 3 bytes of 8 zero bytes enciphered under it, 6 hex digits.
    pub check_value: String,
}
impl WrappedKey {
    /// Label of the cipher text, which binds it to onboarding, terminal, fetch and account.
    pub fn label(onboarding: &str, terminal: &str, nonce: &str, account: &AccountId) -> String {
        format!("payterm-tmk|{onboarding}|{terminal}|{nonce}|{account}")
    }
}

/// Parameters that an activated terminal keeps: everything of the grant but the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub accounts: Vec<AccountParameters>,
    #[serde(default)]
    pub bins: BinLists,
}

/// Account as the acquirer gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountParameters {
    pub id: AccountId,
    /// Name of a built-in profile, never a path.
    pub profile: String,
    /// Merchant number (F42).
    pub mid: Mid,
    /// Terminal number (F41).
    pub tid: Tid,
    pub currency: Currency,
    /// Address of the acquirer's host, `host:port`.
    pub address: String,
    /// Destination in the TPDU (NII), 4 hex digits; none: the default of a configured account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nii: Option<Nii>,
    /// TLS to the host, under the CA of `[tms]`.
    #[serde(default)]
    pub tls: bool,
    /// Nature of a line without TLS that leaves this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<PlainLine>,
    /// Greatest amount of one payment, in the account's currency; none: the default of a configured account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_limit: Option<Sum>,
    pub settlement: Settlement,
    #[serde(default)]
    pub fees: Vec<FeeRow>,
}

/// Lists of first digits of card numbers, 2 to 12 each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BinLists {
    /// Cards whose small amounts need no PIN and no signature 免密免签.
    pub no_pin: Vec<String>,
    /// Cards that are not taken 黑名单.
    pub blocked: Vec<String>,
}

impl AccountParameters {
    /// Account as one of the configuration; `tms` gives the CA for TLS.
    pub fn config(&self, tms: Option<&TmsConfig>) -> AccountConfig {
        let tls = tms.filter(|_| self.tls).map(|t| TlsConfig {
            ca: t.ca.clone(),
            server_name: None,
            cert: None,
            key: None,
        });
        let mut config = AccountConfig::new(
            self.id.clone(),
            &self.profile,
            self.mid,
            self.tid,
            self.currency,
            &self.address,
        );
        config.nii = self.nii.unwrap_or(config.nii);
        config.amount_limit = self.amount_limit;
        config.tls = tls;
        config.line = self.line;
        config.fees = self.fees.clone();
        config
    }
}

impl Parameters {
    /// Checks the rules of the grant; those of the configuration are checked with the accounts in it.
    pub fn check(&self) -> Result<(), Fault> {
        if !(1..=MAX_ACCOUNTS).contains(&self.accounts.len()) {
            return Err(Fault::invalid("accounts", "1 to 8"));
        }
        if self.accounts.iter().any(|a| a.profile.is_empty() || a.profile.contains(['/', '.'])) {
            return Err(Fault::invalid("accounts.profile", "the name of a built-in profile"));
        }
        for (field, list) in [("bins.no_pin", &self.bins.no_pin), ("bins.blocked", &self.bins.blocked)] {
            if list.len() > MAX_BINS
                || !list.iter().all(|b| (2..=12).contains(&b.len()) && b.bytes().all(|d| d.is_ascii_digit()))
            {
                return Err(Fault::invalid(field, "up to 2000 of 2 to 12 digits"));
            }
        }
        Ok(())
    }
}

/// Problem for which the terminal management gave nothing that can be used. Texts: `apply-problem-<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Connection or answer did not come in time.
    Unreachable,
    /// Certificate is not of the configured CA.
    Untrusted,
    /// Answer is an error.
    Refused,
    /// Answer has more bytes than any may have.
    TooLong,
    /// Answer is no message of this protocol, or breaks a rule.
    Malformed,
    /// Answer is not signed by the configured key.
    Signature,
    /// Answer is for another onboarding, another terminal or an earlier question.
    NotForUs,
    /// Wrapped key cannot be unwrapped, its check value is wrong, or it could not be stored.
    Keys,
}
impl Problem {
    pub const ALL: [Problem; 8] = [
        Problem::Unreachable,
        Problem::Untrusted,
        Problem::Refused,
        Problem::TooLong,
        Problem::Malformed,
        Problem::Signature,
        Problem::NotForUs,
        Problem::Keys,
    ];
    pub const fn name(self) -> &'static str {
        match self {
            Problem::Unreachable => "unreachable",
            Problem::Untrusted => "untrusted",
            Problem::Refused => "refused",
            Problem::TooLong => "too_long",
            Problem::Malformed => "malformed",
            Problem::Signature => "signature",
            Problem::NotForUs => "not_for_us",
            Problem::Keys => "keys",
        }
    }
}
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let s = String::from;
        Draft {
            name: s("便民超市"),
            legal_name: s("上海便民超市有限公司"),
            licence: s("91310000MA1FL0AA0X"),
            address: s("人民路 1 号"),
            city: s("上海"),
            category: s("5411"),
            contact: s("王小明"),
            phone: s("+86 21-5555 0000"),
            email: Some(s("wang@example.cn")),
            products: vec![Product::Card, Product::Scan],
        }
    }

    #[test]
    fn each_field_has_its_limits() {
        assert_eq!(draft().check(), Ok(()));
        let long = "字".repeat(81);
        type Break = (&'static str, fn(&mut Draft, &str));
        let breaks: [Break; 16] = [
            ("name", |d, _| d.name.clear()),
            ("name", |d, long| d.name = long.chars().take(41).collect()),
            ("name", |d, _| d.name = "a\u{1b}[2J".into()),
            ("legal_name", |d, long| d.legal_name = long.into()),
            ("licence", |d, _| d.licence = "913x".into()),
            ("licence", |d, _| d.licence = "A".repeat(33)),
            ("address", |d, _| d.address = " ".into()),
            ("city", |d, long| d.city = long.into()),
            ("category", |d, _| d.category = "541".into()),
            ("category", |d, _| d.category = "541a".into()),
            ("contact", |d, _| d.contact.clear()),
            ("phone", |d, _| d.phone = "call me".into()),
            ("email", |d, _| d.email = Some("a@b@c".into())),
            ("email", |d, _| d.email = Some("@".into())),
            ("products", |d, _| d.products.clear()),
            ("products", |d, _| d.products = vec![Product::Card, Product::Card]),
        ];
        for (field, broken) in breaks {
            let mut d = draft();
            broken(&mut d, &long);
            assert!(
                matches!(d.check(), Err(Fault::Invalid { field: f, .. }) if f == field),
                "{field}: {d:?}"
            );
        }
        assert!(
            serde_json::from_str::<Draft>(&serde_json::to_string(&draft()).unwrap().replacen(
                '{',
                "{\"more\":1,",
                1
            ))
            .is_err()
        );
    }

    #[test]
    fn fee_rows_and_parameters_have_rules() {
        let sum = |text: &str| text.parse().ok();
        let row = FeeRow {
            product: Product::Card,
            wallet: None,
            scheme: Some("CUP".into()),
            basis_points: 60,
            min: sum("0.01 CNY"),
            max: sum("80.00 CNY"),
        };
        let check_fees = |at, rows: &[FeeRow]| check_fees(at, rows, Currency::CNY);
        assert_eq!(check_fees("fee", std::slice::from_ref(&row)), Ok(()));
        let field = |checked| match checked {
            Err(Fault::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        for (key, bad) in [
            ("basis_points", FeeRow { basis_points: 10_001, ..row.clone() }),
            ("max", FeeRow { min: sum("90.00 CNY"), ..row.clone() }),
            ("max", FeeRow { max: sum("80.00 USD"), ..row.clone() }),
            ("max", FeeRow { min: sum("1 JPY"), ..row.clone() }),
            ("scheme", FeeRow { scheme: Some("cup".into()), ..row.clone() }),
            ("product", FeeRow { wallet: Some(Wallet::Alipay), scheme: None, ..row.clone() }),
            ("product", FeeRow { product: Product::Scan, ..row.clone() }),
        ] {
            assert_eq!(field(check_fees("fee", &[bad])), format!("fee[0].{key}"));
        }
        assert_eq!(field(check_fees("fee", &vec![row; MAX_FEES + 1])), "fee");
        let account = AccountParameters {
            id: AccountId::new("bank").unwrap(),
            profile: "unionpay".into(),
            mid: "TESTMERCHANT001".parse().unwrap(),
            tid: "TEST0002".parse().unwrap(),
            currency: Currency::CNY,
            address: "127.0.0.1:1".into(),
            nii: None,
            tls: false,
            line: None,
            amount_limit: None,
            settlement: Settlement::T1,
            fees: Vec::new(),
        };
        let mut json = serde_json::to_value(&account).unwrap();
        assert!(serde_json::from_value::<AccountParameters>(json.clone()).is_ok());
        json["mid"] = "short".into();
        assert!(serde_json::from_value::<AccountParameters>(json).is_err(), "a merchant number has 15");
        let good = Parameters { accounts: vec![account.clone()], bins: BinLists::default() };
        assert_eq!(good.check(), Ok(()));
        let path = AccountParameters { profile: "/etc/passwd".into(), ..account };
        assert!(Parameters { accounts: vec![path], ..good.clone() }.check().is_err());
        assert!(Parameters { accounts: Vec::new(), ..good.clone() }.check().is_err());
        assert!(
            Parameters { bins: BinLists { blocked: vec!["6".into()], ..BinLists::default() }, ..good }
                .check()
                .is_err()
        );
    }
}
