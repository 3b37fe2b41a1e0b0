//! A request as the bank hears it, whatever its wire format.
use payterm_schema::{
    Kind, Pan, PaymentCode,
    icc::Icc,
    secret::{Pin, PinBlock},
};
use std::fmt;

/// Purpose of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Do(Kind),
    /// State of a payment-code sale (F3 310000, 60.1 01, F61).
    Query,
    Reversal,
    /// Results of the issuer's scripts on a chip card (0620).
    Notice,
}

/// The PIN of a request.
#[derive(Clone, Default)]
pub enum PinGiven {
    #[default]
    None,
    /// PIN block as it came, which the bank wants opened; none when F52 is no PIN block.
    Sealed(Option<PinBlock>),
    Clear(Pin),
    /// The block does not decode under this session's PIK.
    Malformed,
}

/// Naming of the original by a message: all that is given must agree.
#[derive(Clone, Debug, Default)]
pub struct Named {
    pub batch: Option<u32>,
    pub stan: Option<u32>,
    /// MMDD.
    pub date: Option<String>,
}

/// A request, decoded. Card data is masked in `Debug`.
#[derive(Clone)]
pub struct Ask {
    /// Tells of a sale that the merchant has accepted: its card was there, its PIN is not asked for.
    pub advice: bool,
    pub what: What,
    /// MTI with the repeat digit cleared.
    pub mti: String,
    pub f3: Option<String>,
    pub f25: Option<String>,
    /// F60.1
    pub type60: Option<String>,
    pub batch: u32,
    pub stan: u32,
    /// F4, minor units.
    pub amount: Option<u64>,
    /// F49 numeric.
    pub currency: Option<u16>,
    pub pan: Option<Pan>,
    /// F23.
    pub psn: Option<u8>,
    /// F55.
    pub icc: Option<Icc>,
    /// YYMM of F14 or the track.
    pub expiry: Option<String>,
    pub pin: PinGiven,
    pub code: Option<PaymentCode>,
    /// F48 of a tip adjustment, minor units.
    pub tip: Option<u64>,
    pub rrn: Option<String>,
    /// F38: the original's; of a voice sale its own.
    pub auth: Option<String>,
    pub named: Option<Named>,
}
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Ask({:?} {} batch {} stan {} {:?} {:?})",
            self.what, self.mti, self.batch, self.stan, self.pan, self.code
        )
    }
}
