//! Rows of a profile that messages are built and read by.
use crate::template::Template;
use payterm_schema::host::{EntryMode, ReversalReason};
use payterm_schema::icc::Tag;
use payterm_schema::secret::MacAlgorithm;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

/// Framing of a message on the stream.
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
    /// Position, counted from 1, of the header digit that the host sets: the processing requirement.
    pub requirement_digit: Option<usize>,
    /// Answer to a frame of length 0. Default: none.
    #[serde(default)]
    pub keep_alive: KeepAlive,
}
/// Answer to a keep-alive, a frame of length 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepAlive {
    #[default]
    Ignore,
    /// The same, back.
    Echo,
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
pub struct MacRule {
    pub algorithm: MacAlgorithm,
    pub form: MacForm,
    pub(crate) mtis: Vec<String>,
    /// A success without F64 is not believed.
    pub approval_needs_mac: bool,
}
/// Form of the MAC in F64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacForm {
    /// The 8 bytes that the algorithm gives.
    Whole,
    /// First 4 bytes of the MAC in 8 upper-case hex characters.
    Hex,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Field of the sign-in reply with the working keys.
    pub field: u8,
    /// Lengths in bytes that are taken (24, 40 and 60: host-protocol §4).
    pub lengths: Vec<usize>,
    /// Length of the MAK. Default: the one that comes.
    #[serde(default)]
    pub mak: MakLength,
    /// Keys that others have replaced may come again: the acquirer hands out few. Default false.
    #[serde(default)]
    pub repeat: bool,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MakLength {
    #[default]
    Any,
    /// 16 bytes; a single-length MAK is refused.
    Double,
}
/// Form of a field in a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    #[default]
    Show,
    /// First six and last four digits.
    Pan,
    /// The length alone is shown.
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
    pub(super) manual: EntryRow,
    pub(super) swipe: EntryRow,
    pub(super) code: EntryRow,
    pub(super) chip: EntryRow,
    pub(super) contactless: EntryRow,
    /// Swiped, since the chip could not be read. Default: as any swipe.
    pub(super) fallback: Option<EntryRow>,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryRow {
    pub(super) pin: String,
    pub(super) no_pin: String,
}
impl Entry {
    /// F22. `fallback`: of a swipe, since the chip could not be read.
    pub fn digits(&self, mode: EntryMode, pin: bool, fallback: bool) -> &str {
        let row = match mode {
            EntryMode::Swipe if fallback => self.fallback.as_ref().unwrap_or(&self.swipe),
            EntryMode::Manual => &self.manual,
            EntryMode::Swipe => &self.swipe,
            EntryMode::Code => &self.code,
            EntryMode::Chip => &self.chip,
            EntryMode::Contactless => &self.contactless,
        };
        if pin { &row.pin } else { &row.no_pin }
    }
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Security {
    pub pin: String,
    pub track: String,
}
/// Message of the profile, its values worked out.
#[derive(Clone, Debug)]
pub(crate) struct MessageRow {
    pub mti: String,
    pub request: Vec<Slot>,
    /// Empty: this message is never reversed.
    pub reversal: Vec<Slot>,
    /// Results of issuer scripts on a card that was in this message; empty: there are none.
    pub script_result: Vec<Slot>,
    /// Values of its own: by these a request is recognised.
    pub own: Vec<(u8, Template)>,
    pub new_batch: bool,
    /// EMV elements that `{icc}` of the request stands for, of the reversal and of the script result.
    pub icc: Vec<Tag>,
    pub reversal_icc: Vec<Tag>,
    pub script_icc: Vec<Tag>,
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
    pub(super) drop: Vec<u8>,
    pub(super) add: String,
    #[serde(default)]
    pub(super) values: BTreeMap<String, String>,
    /// EMV elements in `{icc}` of a reversal.
    #[serde(default)]
    pub(super) icc: Vec<Tag>,
    pub(super) ends: Vec<String>,
    pub reasons: Reasons,
}
/// Message that tells what a card made of its issuer's scripts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptResult {
    pub mti: String,
    pub(super) fields: String,
    #[serde(default)]
    pub(super) values: BTreeMap<String, String>,
    pub(super) icc: Vec<Tag>,
}
/// F60.5: how the chip was read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IcCondition {
    pub normal: String,
    pub fallback: String,
}
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reasons {
    pub(super) no_reply: String,
    pub(super) bad_mac: String,
    pub(super) other: String,
    pub(super) terminal_fault: String,
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
/// Form of the elements in which sources on downloads of CA keys and applications disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmvForm {
    /// DF01 of an application whose AID may be the beginning of a card's: 0 or 1. The other one: it is the
    /// whole name.
    pub partial: u8,
    /// Form of a key's last day (DF05).
    pub expiry: Expiry,
}
/// Form of a date of year, month and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// YYYYMMDD in 8 ASCII digits.
    Ascii,
    /// YYYYMMDD in 4 bytes of BCD.
    Bcd,
    /// YYMMDD in 3 bytes of BCD, of the years 2000 to 2099.
    ShortBcd,
}
/// A part of a field, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    pub field: u8,
    pub at: usize,
    pub length: usize,
}
/// Places of the parts of a reply.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyRow {
    /// Fields that a reply repeats from its request.
    pub echo: Vec<u8>,
    /// Fields that must agree with the request.
    pub same: Vec<u8>,
    /// Codes with which F4 may be less than asked for.
    pub partial: Vec<String>,
    /// Codes that say that the totals of a settlement do not balance. Default: none.
    #[serde(default)]
    pub not_balanced: Vec<String>,
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
    /// EMV data of the issuer. Default: none is read.
    pub icc: Option<u8>,
    /// Fee of the merchant, digits in minor units.
    pub fee: Option<Slice>,
}
