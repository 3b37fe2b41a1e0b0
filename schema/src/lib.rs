//! Vocabulary that all payterm crates share: money, account, request, outcome, notice, fault, secret, device,
//! kind, host message, record, config, and the traits [`Terminal`] (the front door), [`PinPad`] and [`Mac`].
//! No runtime, no I/O.
//!
//! Invariant: a type that can hold a PAN, a track, a PIN block, a payment code or a key has no `Serialize`,
//! no `Display` and a masked `Debug` (see [`secret`]).
pub mod account;
pub mod caller;
pub mod card;
pub mod config;
pub mod device;
pub mod download;
pub mod emv_lists;
pub mod fault;
pub mod host;
pub mod icc;
pub mod inhibit;
pub mod kind;
pub mod money;
pub mod notice;
pub mod offline;
pub mod onboarding;
pub mod operator;
pub mod outcome;
pub mod page;
pub mod paper;
pub mod reconciliation;
pub mod record;
pub mod request;
pub mod sealed;
pub mod secret;
pub mod selftest;
pub mod settlement;
pub mod terminal;
pub mod time;
pub mod totals;
pub mod verify;
pub mod zone;

pub use account::{AccountId, Batch, CardToken, Stan};
pub use caller::Caller;
pub use device::{Device, DeviceKind, DeviceState, Instrument};
pub use fault::Fault;
pub use host::{HostAnswer, HostEvent, HostMessage};
pub use inhibit::InhibitReason;
pub use kind::Kind;
pub use money::{Currency, Money};
pub use notice::{Notice, Phase, Screen};
pub use operator::{OperatorId, OperatorRequest};
pub use outcome::{Authority, Class, Outcome, Status};
pub use record::{
    AccountRecord, Entry, ObligationRecord, PaperRecord, Record, RequestRecord, SettlementRecord,
    TerminalRecord,
};
pub use request::{Request, RequestKey};
pub use sealed::{EraseBatch, SealedNeeds};
pub use secret::{Mac, Pan, PaymentCode, PinBlock, PinPad, Tracks};
pub use selftest::SelfTest;
pub use terminal::Terminal;
pub use time::Time;
