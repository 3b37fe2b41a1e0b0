//! Secrets by type: no `Display`, no `Serialize`, masked `Debug`, zeroised on drop; `reveal()` can be found
//! by grep.
use crate::{card::CardPin, device::Key, money::Money, verify::CardPort};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes; the debug text gives their number only.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);
impl SecretBytes {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
    /// Clear bytes.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}
impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

/// Primary account number, F2 主账号: 12 to 19 digits.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Pan(String);

/// Error in card data or a payment code; it names field and rule, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    #[error("pan: 12 to 19 digits")]
    Pan,
    #[error("pan: the check digit (Luhn, ISO/IEC 7812-1 annex B) is wrong")]
    Luhn,
    #[error("expiry: YYMM with a month of 01 to 12")]
    Expiry,
    #[error("track {0}: {1}")]
    Track(u8, &'static str),
    #[error("payment code: {0}")]
    Code(&'static str),
}

impl Pan {
    /// Checks the form: 12 to 19 digits. The check digit is not judged, see [`Pan::luhn`].
    pub fn parse(digits: &str) -> Result<Self, CardError> {
        let ok = (12..=19).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if ok { Ok(Self(digits.into())) } else { Err(CardError::Pan) }
    }
    /// Clear digits.
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// Masked form, the only one that leaves the terminal: first six and last four digits with stars between.
    /// Of fewer than 15 digits the first are fewer, so that five are hidden: with six shown, the check digit
    /// would leave ten candidates of a number of 12.
    pub fn masked(&self) -> String {
        let n = self.0.len();
        let first = 6.min(n - 9);
        format!("{}{}{}", &self.0[..first], "*".repeat(n - first - 4), &self.0[n - 4..])
    }
    /// First six digits (issuer identification number, ISO/IEC 7812-1).
    pub fn bin(&self) -> &str {
        &self.0[..6]
    }
    /// Tells whether the check digit is right (Luhn, ISO/IEC 7812-1 annex B).
    pub fn luhn(&self) -> bool {
        let sum: u32 = self
            .0
            .bytes()
            .rev()
            .enumerate()
            .map(|(i, b)| {
                let d = u32::from(b - b'0') * if i % 2 == 1 { 2 } else { 1 };
                if d > 9 { d - 9 } else { d }
            })
            .sum();
        sum.is_multiple_of(10)
    }
}
impl fmt::Debug for Pan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pan({})", self.masked())
    }
}

/// Tracks of a swipe, without sentinels and LRC. Track 1 as ISO/IEC 7813 format B; track 2 `PAN=YYMMSSS...`
/// (`=` as the separator), ISO/IEC 7813; track 3 as ISO/IEC 4909.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Default)]
pub struct Tracks {
    pub track1: Option<String>,
    pub track2: Option<String>,
    pub track3: Option<String>,
}
impl Tracks {
    /// Parts of track 2: card number, expiry (YYMM) and service code. An expiry is sent and not judged;
    /// expiry and service code are none where old cards have `=` in their place.
    pub fn track2_parts(&self) -> Result<(Pan, Option<String>, Option<String>), CardError> {
        let t = self.track2.as_deref().ok_or(CardError::Track(2, "missing"))?;
        let (pan, rest) = t.split_once('=').ok_or(CardError::Track(2, "no field separator"))?;
        let pan = Pan::parse(pan).map_err(|_| CardError::Track(2, "PAN is not 12 to 19 digits"))?;
        let digits = |r: std::ops::Range<usize>| {
            rest.get(r).filter(|s| s.bytes().all(|b| b.is_ascii_digit())).map(str::to_owned)
        };
        Ok((pan, digits(0..4), digits(4..7)))
    }
}
impl fmt::Debug for Tracks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Tracks({}{}{})",
            if self.track1.is_some() { "1" } else { "" },
            if self.track2.is_some() { "2" } else { "" },
            if self.track3.is_some() { "3" } else { "" }
        )
    }
}

/// Payment code of a wallet: whoever has it can pay with it. The journal keeps its first 2 and last 4 digits.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PaymentCode(String);
impl PaymentCode {
    /// Checks the form: 16 to 24 digits. `core` judges to which wallet it belongs.
    pub fn parse(text: &str) -> Result<Self, CardError> {
        let ok = (16..=24).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if ok { Ok(Self(text.into())) } else { Err(CardError::Code("16 to 24 digits")) }
    }
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// Masked form: first two and last four digits.
    pub fn masked(&self) -> String {
        let n = self.0.len();
        format!("{}{}{}", &self.0[..2], "*".repeat(n - 6), &self.0[n - 4..])
    }
}
impl fmt::Debug for PaymentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentCode({})", self.masked())
    }
}

/// Format of a PIN block, ISO 9564-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinFormat {
    /// 8 bytes, bound to the PAN, filled with F (ANSI X9.8).
    Iso0,
    /// 8 bytes, not bound to a PAN.
    Iso1,
    /// 8 bytes, bound to the PAN, filled at random.
    Iso3,
    /// 16 bytes under a cipher of 16-byte blocks, bound to the PAN.
    Iso4,
}
impl PinFormat {
    /// Bytes of an enciphered block.
    pub const fn size(self) -> usize {
        match self {
            PinFormat::Iso0 | PinFormat::Iso1 | PinFormat::Iso3 => 8,
            PinFormat::Iso4 => 16,
        }
    }
}

/// Key serial number of DUKPT: names device and transaction, and so the key; it is no secret. 10 bytes with
/// triple DES (ANSI X9.24-1), 12 with AES (ANSI X9.24-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ksn(Vec<u8>);
impl Ksn {
    /// Serial number of 10 or 12 bytes; none for another length.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        matches!(bytes.len(), 10 | 12).then(|| Self(bytes.to_vec()))
    }
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Enciphered PIN block (F52), under the account's PIN key or under the DUKPT key of its serial number.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PinBlock {
    bytes: SecretBytes,
    #[zeroize(skip)]
    format: PinFormat,
    #[zeroize(skip)]
    ksn: Option<Ksn>,
}
impl PinBlock {
    /// Block under the account's PIN key; none when the bytes have not the size of the format.
    pub fn new(format: PinFormat, enciphered: &[u8]) -> Option<Self> {
        (enciphered.len() == format.size()).then(|| Self {
            bytes: SecretBytes::new(enciphered.to_vec()),
            format,
            ksn: None,
        })
    }
    /// Block of format 0, which today's profiles send, under the account's PIN key.
    pub fn iso0(enciphered: [u8; 8]) -> Self {
        Self { bytes: SecretBytes::new(enciphered.to_vec()), format: PinFormat::Iso0, ksn: None }
    }
    /// Same block, marked as enciphered under the DUKPT key of `ksn`.
    #[must_use]
    pub fn with_ksn(mut self, ksn: Ksn) -> Self {
        self.ksn = Some(ksn);
        self
    }
    pub fn format(&self) -> PinFormat {
        self.format
    }
    pub fn ksn(&self) -> Option<&Ksn> {
        self.ksn.as_ref()
    }
    /// Enciphered bytes.
    pub fn reveal(&self) -> &[u8] {
        self.bytes.reveal()
    }
}
impl fmt::Debug for PinBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinBlock(..)")
    }
}

/// Clear PIN, 4 to 12 digits (ISO 9564-1). It exists only inside a PIN pad driver and the vault.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pin(String);
impl Pin {
    /// PIN of these digits; none for what is not 4 to 12 digits.
    pub fn parse(digits: &str) -> Option<Self> {
        ((4..=12).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| Self(digits.into()))
    }
    pub fn reveal(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// Digits that are being typed at the terminal's keypad: a password or customer service's code.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Typed(Vec<u8>);
impl Typed {
    /// Greatest number of digits that are kept; further ones are dropped, and what was typed is then too long
    /// for any password or code.
    const MOST: usize = 12;

    /// Empty buffer with room for all digits: one that grew would leave digits behind in memory.
    pub fn new() -> Self {
        Self(Vec::with_capacity(Self::MOST))
    }
    /// Adds an ASCII digit; what is beyond the twelfth is dropped.
    pub fn push(&mut self, digit: u8) {
        if digit.is_ascii_digit() && self.0.len() < Self::MOST {
            self.0.push(digit);
        }
    }
    pub fn clear(&mut self) {
        self.0.zeroize();
    }
    /// Number of digits so far.
    pub fn count(&self) -> u8 {
        self.0.len() as u8 // at most 12
    }
    /// Digits as text.
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}
impl Default for Typed {
    fn default() -> Self {
        Self::new()
    }
}
impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed(..)")
    }
}

/// Keys that were pressed while nobody could take them, the oldest first: digits of passwords among them.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct TypedAhead(Vec<u8>);
impl TypedAhead {
    /// Greatest number of keys that wait; further ones are dropped.
    pub const MOST: usize = 16;

    pub fn push(&mut self, key: Key) {
        // Room for all at once: a buffer that grew would leave digits behind in memory.
        self.0.reserve_exact(Self::MOST - self.0.len());
        if self.0.len() < Self::MOST {
            self.0.push(match key {
                Key::Digit(digit) => digit,
                Key::Confirm => b'o',
                Key::Cancel => b'x',
                Key::Clear => b'c',
            });
        }
    }
    /// Takes the oldest key.
    pub fn take(&mut self) -> Option<Key> {
        let key = match *self.0.first()? {
            b'o' => Key::Confirm,
            b'x' => Key::Cancel,
            b'c' => Key::Clear,
            digit => Key::Digit(digit),
        };
        self.0.rotate_left(1);
        if let Some(last) = self.0.last_mut() {
            last.zeroize();
        }
        self.0.pop();
        Some(key)
    }
    pub fn clear(&mut self) {
        self.0.zeroize();
    }
}
impl fmt::Debug for TypedAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedAhead(..)")
    }
}

/// Password of an operator: exactly 6 digits, typed on the terminal's own keypad.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Password(String);
impl Password {
    /// Password of these digits; none for what is not 6 digits.
    pub fn parse(digits: &str) -> Option<Self> {
        (digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| Self(digits.into()))
    }
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// Tells whether it is too easy to guess: six equal digits, or six that follow one another up or down
    /// (123456, 987654).
    pub fn is_weak(&self) -> bool {
        let digits = self.0.as_bytes();
        [0, 1, -1]
            .into_iter()
            .any(|step| digits.windows(2).all(|w| i16::from(w[1]) - i16::from(w[0]) == step))
    }
}
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// One-time code of customer service: 8 digits.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ServiceCode(String);
impl ServiceCode {
    /// Code of these digits; none for what is not 8 digits.
    pub fn parse(digits: &str) -> Option<Self> {
        (digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| Self(digits.into()))
    }
    pub fn reveal(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for ServiceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceCode(..)")
    }
}

/// Verifier that a password is checked against: a PHC string (argon2id over a keyed hash). It opens nothing
/// without the vault's key and is of no use to a reader: it is kept, and not shown.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Verifier(String);
impl Verifier {
    pub fn new(phc: String) -> Self {
        Self(phc)
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// PIN pad: takes a PIN from the customer and gives it back enciphered. A hardware pad enciphers inside
/// itself; the software pad asks the vault. `slot` names the account whose PIN key is used.
pub trait PinPad: Send {
    /// Asks for a PIN, and blocks until the customer confirmed or cancelled, or `timeout` is over. `progress`
    /// is called with the number of digits typed.
    fn enter(
        &mut self,
        slot: &str,
        pan: &Pan,
        amount: Option<Money>,
        timeout: std::time::Duration,
        progress: &mut dyn FnMut(usize),
    ) -> PinEntry;
    /// Asks for a PIN as [`PinPad::enter`] does, and shows it to the card in the form that the card wants:
    /// VERIFY is made by the pad, and seen by nobody else but the card. Gives no [`PinEntry::Block`].
    /// Default: a pad that shows no card a PIN.
    fn verify(
        &mut self,
        _ask: &CardPin,
        _card: &mut dyn CardPort,
        _amount: Option<Money>,
        _timeout: std::time::Duration,
        _progress: &mut dyn FnMut(usize),
    ) -> PinEntry {
        PinEntry::Failed("this PIN pad shows no card a PIN".into())
    }
    /// Ends the entry under way as `Cancelled`, from any thread, without blocking; without an entry it does
    /// nothing. An entry calls `progress(0)` as soon as it can be interrupted, so a canceller that was too
    /// early tries again from there.
    fn interrupt(&self) -> std::sync::Arc<dyn Fn() + Send + Sync> {
        std::sync::Arc::new(|| ())
    }
    /// Tests whether the pad could take a PIN for each of these accounts, without a customer and without a
    /// wait. Default: the pad is there.
    fn self_test(&mut self, _slots: &[String]) -> crate::selftest::Finding {
        crate::selftest::Finding::works()
    }
}

/// Result of a PIN entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinEntry {
    Block(PinBlock),
    /// The card was shown the PIN, and answered with this status word.
    Status(u16),
    /// The card that was to be shown the PIN is gone, or does not answer.
    NoCard,
    /// The customer confirmed without digits: no PIN.
    Bypassed,
    /// The customer cancelled, or the entry was interrupted.
    Cancelled,
    TimedOut,
    /// The pad does not work; the text names the fault and holds no digit.
    Failed(String),
}

/// MAC of a message as its algorithm gives it: 8 bytes with DES, 16 with AES-CMAC or SM4.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MacValue(SecretBytes);
impl MacValue {
    pub fn new(bytes: &[u8]) -> Self {
        Self(SecretBytes::new(bytes.to_vec()))
    }
    pub fn reveal(&self) -> &[u8] {
        self.0.reveal()
    }
}
impl fmt::Debug for MacValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacValue({} bytes)", self.reveal().len())
    }
}

/// Maker and verifier of message MACs (F64). Host codecs get this, never a key.
pub trait Mac {
    /// MAC of `data` under the account's MAC key; `NoKey` before a sign-in.
    fn mac(&self, algorithm: MacAlgorithm, data: &[u8]) -> Result<MacValue, MacError>;
    /// Compares `mac` with the MAC of `data`, in constant time.
    fn verify(&self, algorithm: MacAlgorithm, data: &[u8], mac: &[u8]) -> Result<bool, MacError>;
}

/// Error of making a MAC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    #[error("no MAC key: sign in first")]
    NoKey,
    #[error("the key store failed: {0}")]
    Store(String),
}

/// MAC algorithm that an acquirer's profile may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MacAlgorithm {
    /// UnionPay "ECB" (host-protocol §5): XOR of blocks, hex, two encipherments; F64 is 8 ASCII hex
    /// characters.
    UnionpayEcb,
    /// ANSI X9.9: DES CBC-MAC, binary.
    X9_9,
    /// ANSI X9.19 (retail MAC): DES CBC, last block triple DES, binary.
    X9_19,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_six_digits_and_not_the_first_that_come_to_mind() {
        let weak = |d: &str| Password::parse(d).map(|p| p.is_weak());
        for bad in ["000000", "999999", "123456", "456789", "654321", "987654"] {
            assert_eq!(weak(bad), Some(true), "{bad}");
        }
        for good in ["123457", "112233", "908172", "890123", "135790"] {
            assert_eq!(weak(good), Some(false), "{good}");
        }
        for none in ["", "12345", "1234567", "12345a", "\u{ff11}23456"] {
            assert_eq!(Password::parse(none), None, "{none}");
        }
        let shown = format!("{:?} {:?}", Password::parse("908172"), ServiceCode::parse("90817263"));
        assert!(!shown.contains("9081"), "{shown}");
    }

    #[test]
    fn a_pin_block_has_the_size_of_its_format_and_shows_nothing() {
        for (format, right) in
            [(PinFormat::Iso0, 8), (PinFormat::Iso1, 8), (PinFormat::Iso3, 8), (PinFormat::Iso4, 16)]
        {
            for size in 0..=24 {
                let block = PinBlock::new(format, &vec![0xAB; size]);
                assert_eq!(
                    block.map(|b| b.reveal().len()),
                    (size == right).then_some(right),
                    "{format:?} {size}"
                );
            }
        }
        for (size, good) in [(8, false), (10, true), (11, false), (12, true), (13, false)] {
            assert_eq!(Ksn::new(&vec![1; size]).is_some(), good, "{size}");
        }
        let block = Ksn::new(&[0xCD; 12])
            .zip(PinBlock::new(PinFormat::Iso4, &[0xAB; 16]))
            .map(|(ksn, block)| block.with_ksn(ksn))
            .unwrap();
        assert_eq!((block.format(), block.ksn().map(|k| k.as_bytes().len())), (PinFormat::Iso4, Some(12)));
        assert_ne!(block, PinBlock::new(PinFormat::Iso4, &[0xAB; 16]).unwrap(), "the serial number is of it");
        let shown = format!("{block:?} {:?} {:?}", Some(&block), MacValue::new(&[0xAB; 16]));
        assert_eq!(shown, "PinBlock(..) Some(PinBlock(..)) MacValue(16 bytes)");
    }

    #[test]
    fn a_wiped_block_and_mac_hold_nothing() {
        let (mut block, mut mac) = (PinBlock::iso0([0xAB; 8]), MacValue::new(&[0xAB; 16]));
        block.zeroize();
        mac.zeroize();
        assert_eq!((block.reveal(), mac.reveal()), (&[][..], &[][..]));
    }

    #[test]
    fn what_is_typed_is_never_cut_to_size() {
        let mut typed = Typed::new();
        "90817263544".bytes().for_each(|d| typed.push(d));
        assert_eq!((typed.count(), Password::parse(typed.reveal())), (11, None));
        assert_eq!(format!("{typed:?}"), "Typed(..)");
        typed.clear();
        assert_eq!(typed.count(), 0);
    }

    #[test]
    fn sixteen_keys_wait_in_their_order() {
        let mut ahead = TypedAhead::default();
        let keys = [Key::Digit(b'7'), Key::Clear, Key::Confirm, Key::Cancel].repeat(5);
        keys.iter().for_each(|k| ahead.push(*k));
        assert_eq!(format!("{ahead:?}"), "TypedAhead(..)");
        let taken: Vec<Key> = std::iter::from_fn(|| ahead.take()).collect();
        assert_eq!(taken, keys[..16]);
        ahead.push(Key::Confirm);
        ahead.clear();
        assert_eq!(ahead.take(), None);
    }

    #[test]
    fn a_mask_hides_five_digits_at_least() {
        let masked = |digits: &str| Pan::parse(digits).map(|p| p.masked()).unwrap_or_default();
        assert_eq!(masked("6225768317945678"), "622576******5678");
        assert_eq!(masked("6222021234567890128"), "622202*********0128");
        assert_eq!(masked("371449635398431"), "371449*****8431");
        assert_eq!(masked("501234567890"), "501*****7890");
    }
}
