//! An acquirer's profile: everything in which acquirers differ, as data. Loaded from TOML and validated; no
//! value of any acquirer stands in Rust.
use crate::iso8583::{Align, Bitmap, Class, Digits, FIELDS, Format, Prefix, Table};
use crate::reply::reply_mti;
use crate::settlement::{NEEDED, Upload};
use crate::template::{Template, Var};
use payterm_schema::host::{CodeRule, EntryMode, HostRules, ReversalReason, Wallet, WalletQuery};
use payterm_schema::kind::{Kind, Recovery};
use payterm_schema::offline::OfflineAuthority;
use payterm_schema::secret::MacAlgorithm;
use payterm_schema::time::Millis;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

/// What is wrong with a profile file: `profile: message.sale.fields: F7 is not in [fields]`.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("profile: there is no built-in profile '{0}' (unionpay, demo-x919, private-label)")]
    Unknown(String),
    #[error("profile: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("profile: {key}: {rule}")]
    Rule { key: String, rule: String },
}
fn bad<T>(key: impl Into<String>, rule: impl Into<String>) -> Result<T, ProfileError> {
    Err(ProfileError::Rule { key: key.into(), rule: rule.into() })
}

const BUILTIN: [(&str, &str); 3] = [
    ("unionpay", include_str!("../profiles/unionpay.toml")),
    ("demo-x919", include_str!("../profiles/demo-x919.toml")),
    ("private-label", include_str!("../profiles/private-label.toml")),
];

/// A validated profile.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub title: String,
    /// Minutes east of UTC of the host's F12 and F13.
    pub utc_offset_minutes: i32,
    pub table: Table,
    pub frame: Frame,
    pub mac: MacRule,
    pub keys: Keys,
    pub(crate) shows: BTreeMap<u8, Show>,
    pub(crate) header: Option<Template>,
    pub(crate) entry: Entry,
    pub(crate) security: Security,
    pub(crate) messages: BTreeMap<String, MessageRow>,
    pub(crate) reversal: Reversal,
    pub reply: ReplyRow,
    pub(crate) rules: HostRules,
    repeat_mti: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    title: String,
    utc_offset_minutes: i32,
    sign_in: bool,
    repeat_mti: bool,
    completion_percent: u32,
    #[serde(default = "one")]
    advices_in_flight: u32,
    #[serde(default)]
    offline_authorities: Vec<OfflineAuthority>,
    frame: Frame,
    coding: Coding,
    mac: MacRule,
    keys: Keys,
    fields: BTreeMap<String, FieldRow>,
    entry: Entry,
    security: Security,
    values: BTreeMap<String, String>,
    message: BTreeMap<String, MessageFile>,
    reversal: Reversal,
    advice: Advice,
    reply: ReplyRow,
    #[serde(default)]
    wallet: BTreeMap<Wallet, WalletRow>,
    codes: BTreeMap<String, CodeRule>,
}

fn one() -> u32 {
    1
}
/// More would say little: with so many the line and the host are busy.
const MAX_ADVICES_IN_FLIGHT: u32 = 32;

/// How a message lies on the stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    pub length: LengthPrefix,
    /// Greatest number of bytes after the length.
    pub max: usize,
    /// Two hex digits; then the TPDU is these, destination NII and source NII: 5 bytes.
    pub tpdu: Option<String>,
    /// Template of an even number of digits, sent in BCD.
    pub header: Option<String>,
    /// Which header digit the host sets (counted from 1): the processing requirement.
    pub requirement_digit: Option<usize>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthPrefix {
    /// Two bytes, big endian.
    Binary2,
    /// Four ASCII digits.
    Ascii4,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coding {
    mti: Digits,
    bitmap: Bitmap,
    lengths: Digits,
    numeric: Digits,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MacRule {
    pub algorithm: MacAlgorithm,
    pub form: MacForm,
    pub(crate) mtis: Vec<String>,
    /// A success without F64 is not believed.
    pub approval_needs_mac: bool,
}
/// How F64 is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacForm {
    /// The 8 bytes that the algorithm gives.
    Whole,
    /// Its first 4 bytes in 8 upper-case hex characters.
    Hex,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Field of the sign-in reply with the working keys.
    pub field: u8,
    /// Lengths in bytes that are taken (24, 40 and 60: host-protocol §4).
    pub lengths: Vec<usize>,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldRow {
    name: String,
    class: Class,
    #[serde(default)]
    prefix: Prefix,
    max: u16,
    #[serde(default)]
    align: Align,
    #[serde(default)]
    mask: Mask,
}
/// How a field is shown in a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    #[default]
    Show,
    /// First six and last four digits.
    Pan,
    /// Only its length.
    Hide,
    /// A payment code in it: first two and last four digits.
    Code,
    /// EMV data: values of card data elements are hidden.
    Icc,
}
#[derive(Clone, Debug)]
pub(crate) struct Show {
    /// `F2`.
    pub field: Arc<str>,
    pub name: Arc<str>,
    pub mask: Mask,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    manual: EntryRow,
    swipe: EntryRow,
    code: EntryRow,
    chip: EntryRow,
    contactless: EntryRow,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryRow {
    pin: String,
    no_pin: String,
}
impl Entry {
    /// F22.
    pub fn digits(&self, mode: EntryMode, pin: bool) -> Option<&str> {
        let row = match mode {
            EntryMode::Manual => &self.manual,
            EntryMode::Swipe => &self.swipe,
            EntryMode::Code => &self.code,
            EntryMode::Chip => &self.chip,
            EntryMode::Contactless => &self.contactless,
            EntryMode::None => return None,
        };
        Some(if pin { &row.pin } else { &row.no_pin })
    }
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Security {
    pub pin: String,
    pub track: String,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageFile {
    mti: String,
    fields: String,
    #[serde(default)]
    values: BTreeMap<String, String>,
    #[serde(default)]
    new_batch: bool,
}
/// One message of the profile, its values worked out.
#[derive(Clone, Debug)]
pub(crate) struct MessageRow {
    pub mti: String,
    pub request: Vec<Slot>,
    /// Empty: this message is never reversed.
    pub reversal: Vec<Slot>,
    /// Values of its own: by these a request is recognised.
    pub own: Vec<(u8, Template)>,
    pub new_batch: bool,
}
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub field: u8,
    pub must: bool,
    pub value: Option<Template>,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reversal {
    pub mti: String,
    drop: Vec<u8>,
    add: String,
    #[serde(default)]
    values: BTreeMap<String, String>,
    ends: Vec<String>,
    pub reasons: Reasons,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reasons {
    no_reply: String,
    bad_mac: String,
    other: String,
    terminal_fault: String,
}
impl Reasons {
    pub fn code(&self, reason: ReversalReason) -> &str {
        match reason {
            ReversalReason::NoReply => &self.no_reply,
            ReversalReason::BadMac => &self.bad_mac,
            ReversalReason::Other => &self.other,
            ReversalReason::TerminalFault => &self.terminal_fault,
        }
    }
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advice {
    ends: Vec<String>,
}
/// A part of a field, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    pub field: u8,
    pub at: usize,
    pub length: usize,
}
/// Where the parts of a reply stand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyRow {
    /// Fields that a reply repeats from its request.
    pub echo: Vec<u8>,
    /// Fields that must agree with the request.
    pub same: Vec<u8>,
    /// Codes with which F4 may be less than asked for.
    pub partial: Vec<String>,
    pub time: u8,
    pub date: u8,
    pub settlement_date: u8,
    pub acquirer: u8,
    pub rrn: u8,
    pub auth_code: u8,
    pub balance: u8,
    /// Text of a parameters reply: a line for each parameter, `key=value` (ours).
    pub parameters: u8,
    /// The acquirer's totals and its word on them, in the reply to a settlement.
    pub settlement: u8,
    pub batch: Slice,
    pub issuer_id: Slice,
    pub acquirer_id: Slice,
    pub scheme: Slice,
    pub texts: Vec<Slice>,
    /// Fee of the merchant, digits in minor units.
    pub fee: Option<Slice>,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WalletRow {
    undo_after_s: u32,
    query: Option<QueryRow>,
}
/// Seconds after a pending answer: the first query, from one to the next, and the end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryRow {
    first_s: u32,
    every_s: u32,
    until_s: u32,
}

/// Fields with a fixed meaning in ISO 8583 that the code itself reads.
pub(crate) mod field {
    pub const AMOUNT: u8 = 4;
    pub const CODE: u8 = 39;
    pub const CURRENCY: u8 = 49;
    pub const MAC: u8 = 64;
}

/// ISO 8583 fields with card data: PAN, PAN extended, tracks 2, 3 and 1, PIN block, ICC data.
const CARD_FIELDS: [u8; 7] = [2, 34, 35, 36, 45, 52, 55];

impl Profile {
    pub fn builtin(name: &str) -> Result<Self, ProfileError> {
        let (_, text) = BUILTIN
            .iter()
            .find(|(n, _)| *n == name)
            .ok_or_else(|| ProfileError::Unknown(name.chars().take(64).collect()))?;
        Self::parse(text)
    }
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        toml::from_str::<File>(text)?.check()
    }
    /// What the core needs to know of it.
    pub fn rules(&self) -> HostRules {
        self.rules.clone()
    }
    pub(crate) fn upload(&self, upload: Upload) -> Option<&MessageRow> {
        let instead = || {
            self.messages
                .get(&Upload::One(Kind::VoiceSale).row())
                .filter(|_| upload == Upload::One(Kind::Sale))
        };
        self.messages.get(&upload.row()).or_else(instead)
    }
    /// The advice of a sale that the merchant accepted at its own risk.
    pub(crate) fn offline_sale(&self) -> Option<&MessageRow> {
        self.messages.get(OFFLINE)
    }
    /// The row of a kind; a payment code may have its own.
    pub(crate) fn message(&self, kind: Kind, mode: EntryMode) -> Option<&MessageRow> {
        let code =
            if mode == EntryMode::Code { self.messages.get(&format!("{}_code", kind.name())) } else { None };
        code.or_else(|| self.messages.get(kind.name()))
    }
    /// MTI of a repeat: the same, or with the repeat digit set.
    pub(crate) fn repeated(&self, mti: &str) -> String {
        match mti.split_at_checked(3) {
            Some((head, "0")) if self.repeat_mti => format!("{head}1"),
            Some(_) | None => mti.to_owned(),
        }
    }
    /// Messages of this type carry F64; a repeat is judged like its first.
    pub(crate) fn uses_mac(&self, mti: &str) -> bool {
        self.mac.mtis.contains(&first_mti(mti))
    }
}

/// The MTI with its repeat digit cleared (0201 -> 0200, 0231 -> 0230).
pub(crate) fn first_mti(mti: &str) -> String {
    let mut digits = mti.as_bytes().to_vec();
    if let Some(last) = digits.last_mut() {
        *last &= !1;
    }
    String::from_utf8(digits).unwrap_or_default()
}

/// The message that asks what became of a payment by code ([`payterm_schema::host::MessageKind::Query`]); it is of no
/// kind.
pub(crate) const QUERY: &str = "query";

/// The advice of a sale that was accepted at the merchant's risk ([`OfflineAuthority::Merchant`]); its kind is the sale.
pub(crate) const OFFLINE: &str = "offline_sale";

/// The kind of a message's name; a payment code may have a row of its own, `sale_code`.
pub(crate) fn kind_of(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|k| name == k.name() || name.strip_suffix("_code") == Some(k.name()))
}

fn is_mti(mti: &str) -> bool {
    mti.len() == 4 && mti.bytes().all(|b| b.is_ascii_digit())
}

fn values(
    key: &str,
    from: &BTreeMap<String, String>,
    table: &Table,
) -> Result<BTreeMap<u8, Template>, ProfileError> {
    from.iter()
        .map(|(n, text)| {
            let key = format!("{key}.{n}");
            let n = number(&key, n)?;
            known(&key, n, table)?;
            Template::parse(text).map(|t| (n, t)).or_else(|rule| bad(key, rule))
        })
        .collect()
}
fn number(key: &str, text: &str) -> Result<u8, ProfileError> {
    match text.parse::<u8>() {
        Ok(n) if (2..=FIELDS as u8).contains(&n) => Ok(n),
        Ok(_) | Err(_) => bad(
            key,
            format!("'{}' is no field number from 2 to 64", text.chars().take(16).collect::<String>()),
        ),
    }
}
fn known(key: &str, n: u8, table: &Table) -> Result<(), ProfileError> {
    match table.formats.get(usize::from(n)) {
        Some(Some(_)) => Ok(()),
        Some(None) | None => bad(key, format!("F{n} is not in [fields]")),
    }
}

/// `"C2 M3 M4"`: field numbers, M always, C when it applies.
fn field_list(key: &str, text: &str, table: &Table) -> Result<Vec<(u8, bool)>, ProfileError> {
    let mut list: Vec<(u8, bool)> = Vec::new();
    for word in text.split_whitespace() {
        let (must, n) = match word.split_at_checked(1) {
            Some(("M", n)) => (true, number(key, n)?),
            Some(("C", n)) => (false, number(key, n)?),
            Some(_) | None => return bad(key, "each field is M or C and a number, as in \"C2 M3 M4\""),
        };
        known(key, n, table)?;
        if list.last().is_some_and(|(last, _)| *last >= n) {
            return bad(key, format!("F{n} is out of order"));
        }
        list.push((n, must));
    }
    Ok(list)
}

fn slots(key: &str, list: &[(u8, bool)], values: &BTreeMap<u8, Template>) -> Result<Vec<Slot>, ProfileError> {
    list.iter()
        .map(|&(field, must)| {
            let value = values.get(&field).cloned();
            if must && value.is_none() && field != field::MAC {
                return bad(key, format!("F{field} is always sent, but no value is given for it"));
            }
            Ok(Slot { field, must, value })
        })
        .collect()
}

impl File {
    fn table(&self) -> Result<(Table, BTreeMap<u8, Show>), ProfileError> {
        let Coding { mti, bitmap, lengths, numeric } = self.coding;
        let mut table = Table { formats: [None; FIELDS + 1], mti, bitmap, lengths, numeric };
        let mut shows = BTreeMap::new();
        for (key, row) in &self.fields {
            let n = number(&format!("fields.{key}"), key)?;
            table.formats[usize::from(n)] =
                Some(Format { class: row.class, prefix: row.prefix, max: row.max, align: row.align });
            shows.insert(
                n,
                Show { field: format!("F{n}").into(), name: row.name.as_str().into(), mask: row.mask },
            );
        }
        table.check().or_else(|e| bad(format!("fields.{}", e.part), e.rule.to_string()))?;
        for n in [field::AMOUNT, field::CODE, field::CURRENCY, field::MAC] {
            known("fields", n, &table)?;
        }
        let mac = table.formats[usize::from(field::MAC)];
        if mac.is_none_or(|f| f.class != Class::B || f.prefix != Prefix::Fixed || f.max != 8) {
            return bad("fields.64", "the MAC is 8 fixed bytes of class b");
        }
        Ok((table, shows))
    }

    fn check_frame(&self) -> Result<Option<Template>, ProfileError> {
        let most = match self.frame.length {
            LengthPrefix::Binary2 => crate::iso8583::MAX_MESSAGE,
            LengthPrefix::Ascii4 => crate::iso8583::MAX_MESSAGE.min(9999),
        };
        if !(64..=most).contains(&self.frame.max) {
            return bad("frame.max", format!("64 to {most} bytes"));
        }
        if self.frame.tpdu.as_ref().is_some_and(|t| t.len() != 2 || hex::decode(t).is_err()) {
            return bad("frame.tpdu", "two hex digits");
        }
        let Some(header) = &self.frame.header else {
            return if self.frame.requirement_digit.is_some() {
                bad("frame.requirement_digit", "there is no header")
            } else {
                Ok(None)
            };
        };
        let template = Template::parse(header).or_else(|rule| bad("frame.header", rule))?;
        let digits =
            crate::frame::header_digits(&template, false).or_else(|rule| bad("frame.header", rule))?;
        if self.frame.requirement_digit.is_some_and(|d| d == 0 || d > digits.len()) {
            return bad("frame.requirement_digit", format!("1 to {}", digits.len()));
        }
        Ok(Some(template))
    }

    fn check_messages(&self, table: &Table) -> Result<BTreeMap<String, MessageRow>, ProfileError> {
        let common = values("values", &self.values, table)?;
        let undo = values("reversal.values", &self.reversal.values, table)?;
        let add = field_list("reversal.add", &self.reversal.add, table)?;
        if !is_mti(&self.reversal.mti) {
            return bad("reversal.mti", "four digits");
        }
        let mut rows = BTreeMap::new();
        for (name, file) in &self.message {
            let key = |part: &str| format!("message.{name}.{part}");
            let kind = kind_of(name);
            if kind.is_none() && name != QUERY && name != OFFLINE && Upload::named(name).is_none() {
                return bad(format!("message.{name}"), "no such kind");
            }
            if !is_mti(&file.mti) {
                return bad(key("mti"), "four digits");
            }
            let own = values(&key("values"), &file.values, table)?;
            let mut all = common.clone();
            all.extend(own.clone());
            let list = field_list(&key("fields"), &file.fields, table)?;
            if list.iter().any(|(n, _)| *n == field::MAC) != self.mac.mtis.contains(&file.mti) {
                return bad(key("fields"), "F64 must be there exactly when mac.mtis names the MTI");
            }
            let request = slots(&key("fields"), &list, &all)?;
            all.extend(undo.clone());
            let mut kept: BTreeMap<u8, bool> =
                list.into_iter().filter(|(n, _)| !self.reversal.drop.contains(n)).collect();
            for (n, must) in &add {
                kept.entry(*n).and_modify(|m| *m |= must).or_insert(*must);
            }
            let reversible = kind.is_some_and(|k| k.row().recovery == Recovery::Reverse);
            let reversal = if reversible {
                slots("reversal.add", &kept.into_iter().collect::<Vec<_>>(), &all)?
            } else {
                Vec::new()
            };
            if reversible
                && reversal.iter().any(|s| s.field == field::MAC)
                    != self.mac.mtis.contains(&self.reversal.mti)
            {
                return bad(
                    "reversal",
                    format!("F64 of {name} must be kept exactly when mac.mtis names {}", self.reversal.mti),
                );
            }
            rows.insert(
                name.clone(),
                MessageRow {
                    mti: file.mti.clone(),
                    request,
                    reversal,
                    own: own.into_iter().collect(),
                    new_batch: file.new_batch,
                },
            );
        }
        if let Some(lacking) =
            NEEDED.iter().find(|n| rows.contains_key("settlement") && !rows.contains_key(**n))
        {
            return bad(format!("message.{lacking}"), "needed: the profile has a settlement");
        }
        Ok(rows)
    }

    /// A mask that was forgotten would put a track or a PIN block on disk: what holds such data by ISO 8583,
    /// or by a template of this profile, is masked, and no part of an answer is taken from it.
    fn check_masks(
        &self,
        shows: &BTreeMap<u8, Show>,
        messages: &BTreeMap<String, MessageRow>,
    ) -> Result<(), ProfileError> {
        let mask = |n: u8| shows.get(&n).map_or(Mask::Hide, |s| s.mask);
        let refuse = |n: u8, rule: &str| bad(format!("fields.{n}.mask"), rule);
        if let Some(n) = CARD_FIELDS.into_iter().chain([self.keys.field]).find(|n| mask(*n) == Mask::Show) {
            return refuse(n, "the field may hold card data or keys");
        }
        let slots = messages.values().flat_map(|m| m.request.iter().chain(&m.reversal));
        for (n, var) in slots.flat_map(|s| s.value.iter().flat_map(|t| t.vars().map(|v| (s.field, v)))) {
            let hidden =
                [Var::Pan, Var::Records, Var::Code, Var::Track2, Var::Track3, Var::PinBlock, Var::Expiry]
                    .contains(&var);
            if hidden
                && !matches!(
                    (var, mask(n)),
                    (_, Mask::Hide) | (Var::Pan, Mask::Pan) | (Var::Code, Mask::Code)
                )
            {
                return refuse(n, "a PAN needs pan, a payment code code, tracks, PIN block and expiry hide");
            }
        }
        let r = &self.reply;
        let single = [r.time, r.date, r.settlement_date, r.acquirer, r.rrn, r.auth_code, r.balance];
        let parts = [r.batch, r.issuer_id, r.acquirer_id, r.scheme];
        let parts = parts.iter().chain(&r.texts).chain(&r.fee).map(|s| s.field);
        match r.same.iter().copied().chain(single).chain(parts).find(|n| mask(*n) != Mask::Show) {
            Some(n) => bad(
                "reply",
                format!("F{n} is masked: nothing is taken from it, and nothing compared with it"),
            ),
            None => Ok(()),
        }
    }

    /// A success is believed by its MAC only: where that is demanded, replies to authorisations and reversals
    /// must carry one.
    fn check_reply_macs(&self) -> Result<(), ProfileError> {
        let authorises = |name: &str| {
            name == QUERY || name == OFFLINE || kind_of(name).is_some_and(|k| k.row().authorisation)
        };
        let asked = self
            .message
            .iter()
            .filter(|(name, _)| authorises(name))
            .map(|(_, m)| &m.mti)
            .chain([&self.reversal.mti]);
        match asked
            .map(|mti| reply_mti(mti))
            .find(|mti| self.mac.approval_needs_mac && !self.mac.mtis.contains(mti))
        {
            Some(mti) => bad("mac.mtis", format!("{mti} is not there, but approval_needs_mac = true")),
            None => Ok(()),
        }
    }

    fn check_reply(&self, table: &Table) -> Result<(), ProfileError> {
        let r = &self.reply;
        let single = [
            r.time,
            r.date,
            r.settlement_date,
            r.acquirer,
            r.rrn,
            r.auth_code,
            r.balance,
            r.parameters,
            r.settlement,
            self.keys.field,
        ];
        for n in r.echo.iter().chain(&r.same).chain(&single) {
            known("reply", *n, table)?;
        }
        for slice in [r.batch, r.issuer_id, r.acquirer_id, r.scheme].iter().chain(&r.texts).chain(&r.fee) {
            known("reply", slice.field, table)?;
            let max = table.formats[usize::from(slice.field)].map_or(0, |f| usize::from(f.max));
            if slice.length == 0 || slice.at.saturating_add(slice.length) > max {
                return bad("reply", format!("a part of F{} lies outside its {max} characters", slice.field));
            }
        }
        if r.batch.length != 6 {
            return bad("reply.batch", "a batch number has 6 digits");
        }
        if self.keys.lengths.is_empty() {
            return bad("keys.lengths", "none given");
        }
        Ok(())
    }

    fn check_queries(&self) -> Result<BTreeMap<Wallet, WalletQuery>, ProfileError> {
        let mut queries = BTreeMap::new();
        for (wallet, row) in &self.wallet {
            let Some(q) = &row.query else { continue };
            if q.first_s == 0 || q.every_s == 0 || q.until_s < q.first_s || q.until_s > 600 {
                return bad("wallet.query", "first_s and every_s from 1, until_s from first_s to 600");
            }
            let secs = |s: u32| Millis::secs(i64::from(s));
            queries.insert(
                *wallet,
                WalletQuery { first: secs(q.first_s), every: secs(q.every_s), until: secs(q.until_s) },
            );
        }
        Ok(queries)
    }

    fn check_codes(&self) -> Result<BTreeMap<String, CodeRule>, ProfileError> {
        let mut codes = BTreeMap::new();
        for (key, rule) in &self.codes {
            for code in key.split_whitespace() {
                if !is_code(code) {
                    return bad(format!("codes.{key}"), "a response code is 2 letters or digits");
                }
                if codes.insert(code.to_owned(), *rule).is_some() {
                    return bad(format!("codes.{key}"), format!("{code} is there twice"));
                }
            }
        }
        if codes.is_empty() {
            return bad("codes", "none given");
        }
        Ok(codes)
    }

    fn check(self) -> Result<Profile, ProfileError> {
        if !(100..=200).contains(&self.completion_percent) {
            return bad("completion_percent", "100 to 200");
        }
        if !(1..=MAX_ADVICES_IN_FLIGHT).contains(&self.advices_in_flight) {
            return bad("advices_in_flight", format!("1 to {MAX_ADVICES_IN_FLIGHT}"));
        }
        if !(-720..=840).contains(&self.utc_offset_minutes) {
            return bad("utc_offset_minutes", "-720 to 840");
        }
        let (table, shows) = self.table()?;
        let header = self.check_frame()?;
        let Entry { manual, swipe, code, chip, contactless } = &self.entry;
        let entry =
            [manual, swipe, code, chip, contactless].into_iter().flat_map(|row| [&row.pin, &row.no_pin]);
        if let Some(text) = entry
            .chain([&self.security.pin, &self.security.track])
            .find(|t| t.is_empty() || !t.bytes().all(|b| b.is_ascii_digit()))
        {
            return bad("entry, security", format!("'{text}' is not made of digits"));
        }
        if let Some(mti) = self.mac.mtis.iter().find(|m| !is_mti(m)) {
            return bad("mac.mtis", format!("'{mti}' is not four digits"));
        }
        let messages = self.check_messages(&table)?;
        self.check_reply(&table)?;
        self.check_masks(&shows, &messages)?;
        self.check_reply_macs()?;
        let codes = self.check_codes()?;
        let Reasons { no_reply, bad_mac, other, terminal_fault } = &self.reversal.reasons;
        if let Some(code) = [no_reply, bad_mac, other, terminal_fault]
            .into_iter()
            .chain(&self.reversal.ends)
            .chain(&self.advice.ends)
            .chain(&self.reply.partial)
            .find(|c| !is_code(c))
        {
            return bad("reversal, advice.ends, reply.partial", format!("'{code}' is no response code"));
        }
        let wallet_query = self.check_queries()?;
        let lacks = |offline_authority: &OfflineAuthority| match offline_authority {
            OfflineAuthority::Merchant => !messages.contains_key(OFFLINE),
            OfflineAuthority::Voice => !messages.contains_key(Kind::VoiceSale.name()),
            // Their messages come with the chip.
            OfflineAuthority::Card | OfflineAuthority::CardUnableOnline => false,
        };
        if let Some(offline_authority) = self.offline_authorities.iter().find(|r| lacks(r)) {
            return bad(
                "offline_authorities",
                format!("there is no message for {}", offline_authority.name()),
            );
        }
        let pin = |m: &MessageRow| {
            m.request.iter().flat_map(|s| &s.value).flat_map(Template::vars).any(|v| v == Var::PinBlock)
        };
        let no_pin =
            Kind::ALL.into_iter().filter(|k| messages.get(k.name()).is_some_and(|m| !pin(m))).collect();
        let rules = HostRules {
            codes,
            reversal_ends: self.reversal.ends.clone(),
            sign_in: self.sign_in,
            mac_on_replies: self.mac.approval_needs_mac,
            wallet_undo_after: self
                .wallet
                .iter()
                .map(|(w, row)| (*w, Millis::secs(i64::from(row.undo_after_s))))
                .collect(),
            wallets: self.wallet.keys().copied().collect(),
            advice_ends: self.advice.ends.clone(),
            query: messages.contains_key(QUERY),
            wallet_query,
            partial: self.reply.partial.clone(),
            completion_percent: self.completion_percent,
            kinds: Kind::ALL.into_iter().filter(|k| messages.contains_key(k.name())).collect(),
            advices_in_flight: self.advices_in_flight,
            offline_authorities: self.offline_authorities.clone(),
            no_pin,
        };
        Ok(Profile {
            name: self.name,
            title: self.title,
            utc_offset_minutes: self.utc_offset_minutes,
            table,
            frame: self.frame,
            mac: self.mac,
            keys: self.keys,
            shows,
            header,
            entry: self.entry,
            security: self.security,
            messages,
            reversal: self.reversal,
            reply: self.reply,
            rules,
            repeat_mti: self.repeat_mti,
        })
    }
}

fn is_code(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphanumeric())
}
