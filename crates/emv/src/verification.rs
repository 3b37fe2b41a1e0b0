//! Terminal verification results (95) and transaction status information (9B), bit by bit (EMV 4.4 Book 3
//! Annex C5 and C6).

/// A bit of the TVR that this kernel sets: byte in the first digit, bit in the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tvr {
    NotAuthenticated = 0x18,
    SdaFailed = 0x17,
    DataMissing = 0x16,
    Listed = 0x15,
    DdaFailed = 0x14,
    CdaFailed = 0x13,
    SdaSelected = 0x12,
    Versions = 0x28,
    Expired = 0x27,
    NotYetEffective = 0x26,
    NotAllowed = 0x25,
    NewCard = 0x24,
    NotVerified = 0x38,
    UnknownCvm = 0x37,
    TryLimit = 0x36,
    NoPad = 0x35,
    NoPin = 0x34,
    OnlineCvm = 0x33,
    Floor = 0x48,
    LowerLimit = 0x47,
    UpperLimit = 0x46,
    Random = 0x45,
    Forced = 0x44,
    DefaultTdol = 0x58,
    IssuerFailed = 0x57,
    ScriptBefore = 0x56,
    ScriptAfter = 0x55,
}

/// A bit of the TSI that this kernel sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tsi {
    Authenticated = 0x18,
    Verified = 0x17,
    CardRisk = 0x16,
    Issuer = 0x15,
    Risk = 0x14,
    Scripts = 0x13,
}

/// Sets a bit. A bit outside of the value is none.
fn set(value: &mut [u8], bit: u8) {
    let (byte, bit) = (usize::from(bit >> 4), u32::from(bit & 0x0F));
    if let Some(byte) = byte.checked_sub(1).and_then(|at| value.get_mut(at)) {
        *byte |= 1u8.checked_shl(bit.wrapping_sub(1)).unwrap_or_default();
    }
}
impl Tvr {
    pub(crate) fn set(self, value: &mut [u8; 5]) {
        set(value, self as u8);
    }
}
impl Tsi {
    pub(crate) fn set(self, value: &mut [u8; 2]) {
        set(value, self as u8);
    }
}

/// What becomes of a bit here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Set,
    /// What it tells of is not built.
    Absent,
    /// Reserved.
    Rfu,
}

/// A bit of the books.
#[derive(Debug)]
pub struct Row {
    /// From 1.
    pub byte: u8,
    /// 8 to 1.
    pub bit: u8,
    pub name: &'static str,
    pub used: Use,
}
const fn row(place: u8, name: &'static str, used: Use) -> Row {
    Row { byte: place >> 4, bit: place & 0x0F, name, used }
}
const fn tvr(bit: Tvr, name: &'static str) -> Row {
    row(bit as u8, name, Use::Set)
}
const fn tsi(bit: Tsi, name: &'static str) -> Row {
    row(bit as u8, name, Use::Set)
}
const fn absent(place: u8, name: &'static str) -> Row {
    row(place, name, Use::Absent)
}
const fn rfu(place: u8) -> Row {
    row(place, "reserved", Use::Rfu)
}

/// All bits of the TVR.
pub const TVR: [Row; 40] = [
    tvr(Tvr::NotAuthenticated, "offline data authentication not performed"),
    tvr(Tvr::SdaFailed, "SDA failed"),
    tvr(Tvr::DataMissing, "card data missing"),
    tvr(Tvr::Listed, "card on the exception file"),
    tvr(Tvr::DdaFailed, "DDA failed"),
    tvr(Tvr::CdaFailed, "CDA failed"),
    tvr(Tvr::SdaSelected, "SDA selected"),
    absent(0x11, "XDA selected"),
    tvr(Tvr::Versions, "versions of card and terminal differ"),
    tvr(Tvr::Expired, "application expired"),
    tvr(Tvr::NotYetEffective, "application not yet effective"),
    tvr(Tvr::NotAllowed, "service not allowed for the card"),
    tvr(Tvr::NewCard, "new card"),
    rfu(0x23),
    absent(0x22, "biometrics"),
    absent(0x21, "biometrics"),
    tvr(Tvr::NotVerified, "cardholder verification not successful"),
    tvr(Tvr::UnknownCvm, "unrecognised CVM"),
    tvr(Tvr::TryLimit, "PIN try limit exceeded"),
    tvr(Tvr::NoPad, "PIN asked for, pad not there or not working"),
    tvr(Tvr::NoPin, "PIN asked for, pad there, PIN not entered"),
    tvr(Tvr::OnlineCvm, "online CVM captured"),
    absent(0x32, "biometrics"),
    absent(0x31, "biometrics"),
    tvr(Tvr::Floor, "floor limit exceeded"),
    tvr(Tvr::LowerLimit, "lower consecutive offline limit exceeded"),
    tvr(Tvr::UpperLimit, "upper consecutive offline limit exceeded"),
    tvr(Tvr::Random, "chosen at random for online processing"),
    tvr(Tvr::Forced, "forced online by the merchant"),
    absent(0x43, "biometrics, XDA"),
    absent(0x42, "biometrics, XDA"),
    absent(0x41, "biometrics, XDA"),
    tvr(Tvr::DefaultTdol, "default TDOL used"),
    tvr(Tvr::IssuerFailed, "issuer authentication failed"),
    tvr(Tvr::ScriptBefore, "script failed before the final GENERATE AC"),
    tvr(Tvr::ScriptAfter, "script failed after the final GENERATE AC"),
    absent(0x54, "relay resistance"),
    absent(0x53, "ECC key of the authority missing"),
    absent(0x52, "ECC key recovery failed"),
    rfu(0x51),
];

/// All bits of the TSI.
pub const TSI: [Row; 16] = [
    tsi(Tsi::Authenticated, "offline data authentication performed"),
    tsi(Tsi::Verified, "cardholder verification performed"),
    tsi(Tsi::CardRisk, "card risk management performed"),
    tsi(Tsi::Issuer, "issuer authentication performed"),
    tsi(Tsi::Risk, "terminal risk management performed"),
    tsi(Tsi::Scripts, "script processing performed"),
    rfu(0x12),
    rfu(0x11),
    rfu(0x28),
    rfu(0x27),
    rfu(0x26),
    rfu(0x25),
    rfu(0x24),
    rfu(0x23),
    rfu(0x22),
    rfu(0x21),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn book_3_annex_c_each_bit_has_one_row_in_order() {
        for (rows, bytes) in [(&TVR[..], 5), (&TSI[..], 2)] {
            let places: Vec<(u8, u8)> = rows.iter().map(|r| (r.byte, r.bit)).collect();
            let all: Vec<_> = (1..=bytes).flat_map(|y| (1..=8).rev().map(move |b| (y, b))).collect();
            assert_eq!(places, all);
        }
    }

    #[test]
    fn a_bit_is_set_where_its_name_says() {
        let mut value = [0; 5];
        Tvr::NotAuthenticated.set(&mut value);
        Tvr::NewCard.set(&mut value);
        Tvr::OnlineCvm.set(&mut value);
        Tvr::Forced.set(&mut value);
        Tvr::ScriptAfter.set(&mut value);
        assert_eq!(value, [0x80, 0x08, 0x04, 0x08, 0x10]);
        let mut value = [0; 2];
        Tsi::Scripts.set(&mut value);
        assert_eq!(value, [0x04, 0x00]);
    }
}
