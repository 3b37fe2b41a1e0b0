//! What a run of the world is made of: the app's orders, the customer, what happens to messages and papers, and noise.
use crate::bank::Fate;
use payterm_core::By;
use payterm_schema::{HostEvent, Kind, OperatorRequest, Screen, Time, paper::PrintResult};

/// Canaries: nobody may see these in clear.
pub const PAN: &str = "6225768317945678";
pub const TRACK2: &str = "6225768317945678=30122010000012300000";
/// A second card, for the second account.
pub const PAN2: &str = "4096669462738765";
pub const TRACK2B: &str = "4096669462738765=30122010000012300000";
pub const CODE: &str = "131234567890123456";
pub const PIN: &str = "735194";
/// Of the cashier 01 and the supervisor, once they are set.
pub const PASSWORD: &str = "482915";
pub const PASSWORD_00: &str = "739164";

pub fn at_epoch() -> Time {
    Time(1_795_000_000_000)
}

/// What the customer does when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Customer {
    Swipes,
    /// With the card of another issuer.
    SwipesOther,
    Shows,
    /// Presents nothing.
    Walks,
    CancelsAtPin,
    /// With the terminal's red key, while the PIN is asked for.
    PressesCancel,
    /// Confirms without a PIN.
    Bypasses,
    /// Swipes, and the cashier takes a part of the amount.
    TakesPart,
}

/// What happens between the orders, whatever the machine does just then.
#[derive(Clone, Debug)]
pub enum Noise {
    /// The app sends its running request once more, or with other content.
    StartAgain {
        same: bool,
    },
    CancelKey,
    Cancel(By),
    /// A person has everything that is Stuck tried again.
    Retry,
    Devices(bool),
    PrinterReady,
    /// At the terminal's own keypad: digits, `c` confirm, `x` cancel.
    Keys(&'static str),
    Operators(OperatorRequest),
    /// An event with a tag of another run, or of nobody.
    Stale(u64, HostEvent),
}

/// One thing that the app does.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: &'static str,
    pub kind: Kind,
    /// Minor units of CNY.
    pub amount: Option<u64>,
    pub original: Option<&'static str>,
    pub customer: Customer,
}

/// What is typed on a screen.
pub type Types = fn(&Screen) -> Option<String>;

/// A script: orders one after the other, and what happens to each message.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub orders: Vec<Order>,
    pub fates: Vec<Fate>,
    /// How the first prints end; then all are confirmed.
    pub prints: Vec<PrintResult>,
    /// What happens to the first sign-ins of the terminal's own; then all are answered.
    pub sign_ins: Vec<Fate>,
    /// At these times (ms after the start).
    pub noise: Vec<(i64, Noise)>,
    /// What the clock reads more (or less) after each power cut, ms.
    pub skews: Vec<i64>,
    /// What the operator types when a screen comes up: digits, `c`, `x`; and how often at most.
    pub operator: Option<(u32, Types)>,
    /// At the end a person has what is Stuck tried again and releases held papers, until nothing is open.
    pub settle: bool,
}
