//! `[flow]`: times and rules of a payment.
use super::{BinRange, Limits, Percent, Rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Times and rules of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowConfig {
    /// Greatest wait for the cashier's confirmation. Default 60,000.
    pub confirm_timeout_ms: u32,
    /// Greatest wait for a card or code. Default 60,000.
    pub present_timeout_ms: u32,
    /// Greatest wait for the PIN. Default 60,000.
    pub pin_timeout_ms: u32,
    /// Greatest wait for a sign-in or for earlier obligations of the account, before the frame may leave.
    /// Default 90,000.
    pub prepare_timeout_ms: u32,
    /// Greatest wait for each step of a chip card. Default 30,000.
    pub card_timeout_ms: u32,
    /// Greatest wait for a chip card's end after the host's word; then it is stopped, and an approval that
    /// it has not completed is taken back. Default 10,000.
    pub completing_ms: u32,
    /// Time for which the result stays on the screen. Default 10,000: then card number and amount leave the
    /// customer's screen.
    pub result_ms: u32,
    /// Cards or codes that cannot be read or are refused before the request fails, 1 to 9. Default 3.
    pub present_tries: u8,
    /// PIN tries of one request, 1 to 9. Default 3; the host's 38 or 75 ends them sooner.
    pub pin_tries: u8,
    /// The customer may confirm without a PIN (credit cards; the issuer decides). Default true.
    pub pin_bypass: bool,
    /// A card number may be typed on the terminal's keypad. Default false: most acquirers forbid it.
    pub typed_pan: bool,
    /// Greatest time from the start of `Pay` to its answer, which is then `unknown`. Default 180,000.
    pub answer_within_ms: u32,
    /// Further tries when the host answers that it is busy and nothing reached the issuer (retry `now` in
    /// docs/codes.md), 0 to 9. Default 2.
    pub busy_tries: u8,
    /// Countdown before each further try on a busy host. Default 5,000.
    pub busy_wait_ms: u32,
    /// A part of the amount that the host approves (code 10) is offered to the cashier; false: reversed at
    /// once. Default true.
    pub partial_approval: bool,
    /// Amounts above this are confirmed by the cashier, written out in words; with this key every amount in a
    /// currency that it does not name. Default: none are.
    pub confirm_above: Option<Limits>,
    /// A swiped card that has a chip (service code 2.. or 6..) is asked for its chip, where chips can be
    /// read. Default true.
    pub chip_first: bool,
    /// A card whose tap could not be sent, or is signed wrongly, is asked to be inserted in the same payment,
    /// where chips can be read: inserted, it may approve by itself. Default false: declined.
    pub insert_after_tap: bool,
    /// Stripe of a card whose chip cannot be read.
    pub fallback: FallbackConfig,
    /// Ranges of card numbers that are refused before the host is asked, from-to as in `route.bin`. Default
    /// empty.
    pub refused_bins: Vec<BinRange>,
    /// Greatest tip in percent of the sale. Default 20.
    pub tip_percent: Percent,
    /// Small amounts without PIN and signature 免密免签. Default: none.
    pub no_cvm: Option<NoCvmConfig>,
}

/// Stripe of a card whose chip cannot be read (fallback 降级).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FallbackConfig {
    /// Insertions of a chip that could not be read before its stripe is taken, 0 to 9; 0: it never is. A chip
    /// without an application that this terminal has counts as all of them. Default 3.
    pub tries: u8,
    /// Time within which the card must be swiped then. Default 60,000.
    pub ms: u32,
}
impl Default for FallbackConfig {
    fn default() -> Self {
        Self { tries: 3, ms: 60_000 }
    }
}

/// Small amounts that need neither PIN nor signature 免密免签.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoCvmConfig {
    /// Greatest amount without PIN and signature; none in a currency that it does not name.
    pub limit: Limits,
    /// Only cards in these ranges, from-to as in `route.bin`. Default empty = all.
    #[serde(default)]
    pub bins: Vec<BinRange>,
    /// Entry modes of the card. Default: contactless only, as UnionPay has it.
    #[serde(default = "contactless")]
    pub modes: Vec<crate::host::EntryMode>,
}
fn contactless() -> Vec<crate::host::EntryMode> {
    vec![crate::host::EntryMode::Contactless]
}
const TIP_PERCENT: Percent = Percent::new(20).expect("below 1000");
impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            confirm_timeout_ms: 60_000,
            present_timeout_ms: 60_000,
            pin_timeout_ms: 60_000,
            prepare_timeout_ms: 90_000,
            card_timeout_ms: 30_000,
            completing_ms: 10_000,
            result_ms: 10_000,
            present_tries: 3,
            pin_tries: 3,
            pin_bypass: true,
            typed_pan: false,
            answer_within_ms: 180_000,
            busy_tries: 2,
            busy_wait_ms: 5_000,
            partial_approval: true,
            confirm_above: None,
            chip_first: true,
            insert_after_tap: false,
            fallback: FallbackConfig::default(),
            refused_bins: Vec::new(),
            tip_percent: TIP_PERCENT,
            no_cvm: None,
        }
    }
}

impl FlowConfig {
    pub(super) fn check(&self, mut rules: Rules<'_>) {
        rules.not_zero([
            ("confirm_timeout_ms", self.confirm_timeout_ms),
            ("present_timeout_ms", self.present_timeout_ms),
            ("pin_timeout_ms", self.pin_timeout_ms),
            ("prepare_timeout_ms", self.prepare_timeout_ms),
            ("card_timeout_ms", self.card_timeout_ms),
            ("completing_ms", self.completing_ms),
            ("answer_within_ms", self.answer_within_ms),
            ("busy_wait_ms", self.busy_wait_ms),
            ("fallback.ms", self.fallback.ms),
        ]);
        rules.hold((1..=9).contains(&self.present_tries), "present_tries", "1 to 9");
        rules.hold((1..=9).contains(&self.pin_tries), "pin_tries", "1 to 9");
        rules.hold(self.fallback.tries <= 9, "fallback.tries", "0 to 9");
        rules.hold(self.busy_tries <= 9, "busy_tries", "0 to 9");
    }
}
