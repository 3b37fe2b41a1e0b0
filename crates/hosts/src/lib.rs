//! Pure host codecs: the ISO 8583 engine, the acquirers' profiles as data, and the messages of each kind
//! built and read by them. No I/O, no clock, no runtime.
//!
//! Invariant: what differs between acquirers is in `profiles/*.toml`; no byte from a host makes this crate
//! panic, and no secret leaves it but in the frame itself (traces are masked, errors hold no values, buffers
//! are wiped).
mod build;
mod emv_download;
mod frame;
pub mod iso8583;
mod mask;
mod mti;
mod profile;
mod reply;
mod request;
mod settlement;
mod template;

pub use build::{BuildError, Built, Station, build};
pub use emv_download::{DownloadFault, TagRule};
pub use frame::{Decoded, Envelope, FrameError, decode, encode, frame_len, is_keep_alive, take_apart};
pub use mask::{trace, trace_of, trace_of_none};
pub use profile::{
    EmvForm, Expiry, Frame, KeepAlive, Keys, LengthPrefix, MacForm, MacRule, MakLength, Mask, Profile,
    ProfileError, ReplyRow, Slice,
};
pub use reply::{Expect, Mismatch, ReadError, Reply, Unusable, read, reply_message};
pub use request::{RequestError, RequestView};
pub use settlement::{RecordView, Upload};
pub use template::Var;
