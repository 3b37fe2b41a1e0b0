//! What a run asks for, what it is told, and how it ends: one [`Step`] for one [`Input`], in turns.
use crate::{
    Hidden, Tag, Tags,
    command::Cryptogram,
    dol::DolError,
    exchange::ExchangeError,
    oda::{CardKey, Method},
    tags::TagsError,
    terminal::Limits,
    tlv::TlvError,
    verification::{Tsi, Tvr},
};
use zeroize::Zeroizing;

/// What is to be done next.
pub enum Step {
    /// These bytes go to the card; its answer comes as [`Input::Answer`]. No PIN is ever in them.
    Send(Zeroizing<Vec<u8>>),
    /// The customer chooses, or confirms the only one: [`Input::Chosen`].
    Choose(Vec<Choice>),
    /// By contact an application is selected, its name as the terminal has it; before the card learns of the
    /// payment its limits may be replaced: [`Input::Parameters`].
    Parameters(Vec<u8>),
    /// The card is read: [`Input::Proceed`]. In a tap it has answered all, and may leave the field; that it
    /// is gone is no input any more.
    Read(Box<CardRead>),
    /// A PIN is asked for: [`Input::Pin`].
    Pin(PinAsk),
    /// The issuer is asked: [`Input::Host`].
    Online(Box<Online>),
    /// The card has approved, and scripts of its issuer come behind that: [`Input::Scripts`]. Whatever
    /// becomes of these, the run ends with an approval. The tags are those of this moment: each script that
    /// is left has the result "not performed".
    Completed(Tags),
    Done(Box<End>),
}

/// What happened.
pub enum Input<'a> {
    Answer(&'a [u8]),
    Gone(Gone),
    /// Place in the list; none: the customer wants none.
    Chosen(Option<usize>),
    Parameters(Option<Limits>),
    Proceed(Proceed),
    Pin(PinWord),
    Host(HostWord<'a>),
    /// The scripts behind the card's approval may run.
    Scripts,
    Stop,
    TimeOut,
}

/// How a card went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    Removed,
    Mute,
    Reader,
}

/// An application that the customer may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// In the card's words.
    pub name: Vec<u8>,
    /// Part of ISO 8859 that the name is written in; none: its letters are those of ASCII.
    pub table: Option<u8>,
    /// 1 is the card's first wish, 15 the last; none: it has none.
    pub priority: Option<u8>,
    /// It may not be taken unless the customer says so.
    pub confirm: bool,
}

/// What was read of a card.
pub struct CardRead {
    /// Digits.
    pub pan: Hidden,
    /// 5F34, where the card has one.
    pub psn: Option<u8>,
    /// YYMM.
    pub expiry: Hidden,
    /// As on the stripe, `=` between number and expiry.
    pub track2: Option<Hidden>,
    /// The first of the card's that the terminal has.
    pub language: Option<[u8; 2]>,
    /// Name of the application (84) in the card.
    pub application: Vec<u8>,
    /// Label, or the preferred name, as the customer saw or would have seen it.
    pub name: Vec<u8>,
    /// Part of ISO 8859 that the name is written in; none: its letters are those of ASCII.
    pub table: Option<u8>,
}

/// Word to go on with the card that was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proceed {
    /// Minor units that this card has paid already in this batch.
    pub earlier: u64,
    /// The card stands in the exception file.
    pub listed: bool,
    /// The account has a key for online PINs.
    pub online_pin: bool,
    /// What the card approves without the issuer is accepted; else this payment is one of a terminal that is
    /// online only.
    pub offline: bool,
}

/// A PIN that is asked for.
pub enum PinAsk {
    Online,
    /// To be shown to the card as it is. `left`: tries, where the card says.
    Plain {
        left: Option<u8>,
    },
    /// To be shown to the card enciphered ([`crate::oda::encipher_pin`]).
    Enciphered {
        key: CardKey,
        challenge: [u8; 8],
        left: Option<u8>,
    },
}

/// What became of the PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinWord {
    /// It was entered for the issuer.
    Entered,
    /// The card answered VERIFY with this status.
    Status(u16),
    Bypassed,
    /// There is no pad, or it does not work.
    NoPad,
    Cancelled,
}

/// What the host made of it. `issuer`: data objects of its answer (91, 71, 72) as they came.
pub enum HostWord<'a> {
    Approved {
        arc: [u8; 2],
        issuer: &'a [u8],
    },
    Refused {
        arc: [u8; 2],
        issuer: &'a [u8],
    },
    /// No byte of the request has left. `offline`: what the card then approves is accepted; else it is asked
    /// for an AAC.
    NotSent {
        offline: bool,
    },
    /// It may have left; no answer came that can be believed.
    NoReply,
}

/// How the cardholder was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cvm {
    /// A PIN was entered for the issuer.
    pub online_pin: bool,
    /// The card found the PIN right.
    pub offline_pin: bool,
    /// A phone says that it verified its holder itself.
    pub device: bool,
    /// The slip is to be signed.
    pub sign: bool,
}

/// A question to the issuer.
pub struct Online {
    pub tags: Tags,
    pub cvm: Cvm,
    pub then: Then,
}

/// Who has the last word behind the issuer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The card waits for the answer, and ends the payment.
    Card,
    /// Nobody: the card was tapped.
    Final,
}

/// How a run ended.
pub struct End {
    pub verdict: Verdict,
    pub why: Why,
    /// Kind of the last cryptogram (9F27), if there was one.
    pub cid: Option<u8>,
    pub tags: Tags,
    pub cvm: Cvm,
    /// Results of issuer scripts, in order (EMV 4.4 Book 4 Annex A, script results).
    pub scripts: Vec<[u8; 5]>,
    pub log: Vec<Note>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Approved(By),
    /// A decision was made, and it is no.
    Declined,
    /// No decision was made.
    Ended(Next),
    /// Depth was `Read`, and it is read.
    Read,
}

/// Who approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Card,
    /// The card, since the issuer could not be asked.
    CardUnableOnline,
    HostAndCard,
    /// The issuer alone, of a card that was tapped.
    Host,
}

/// What may be tried after a run that decided nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Nothing,
    /// The card could not be read: insert it again.
    TryAgain,
    /// The chip has nothing that the terminal has.
    Swipe,
    /// The card left the field too early.
    TapAgain,
    InsertInstead,
    /// The phone wants something of its holder, then the tap again.
    SeePhone,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("all is done")]
    Complete,
    #[error("the card declines")]
    Card,
    #[error("the host refuses")]
    Host,
    #[error("the host could not be asked")]
    NotSent,
    #[error("the issuer must be asked")]
    OnlineOnly,
    #[error("the host gave no answer")]
    NoReply,
    #[error("the host's data objects are not sound")]
    IssuerData,
    #[error("the card lies: {0}")]
    Lied(Lie),
    #[error("the card is gone: {0:?}")]
    Gone(Gone),
    #[error("stopped")]
    Stopped,
    #[error("timed out")]
    TimedOut,
    #[error("the customer cancelled")]
    Cancelled,
    #[error("told what was not asked")]
    OutOfOrder,
    #[error("the card is blocked")]
    CardBlocked,
    #[error("the application is blocked")]
    ApplicationBlocked,
    #[error("card and terminal have no application in common")]
    NoApplication,
    #[error("the card has electronic cash only")]
    OnlyElectronicCash,
    #[error("more than may be paid by a tap")]
    OverLimit,
    #[error("the card has no directory for taps")]
    NoDirectory,
    #[error("an answer to 80A8 that is not of format 2")]
    Format,
    #[error("card and terminal have no cardholder verification in common")]
    NoCvm,
    #[error("the application is not valid on this day")]
    Dates,
    #[error("the card is on the exception file")]
    Listed,
    #[error("the card answers {sw:04X} to {ins:02X}")]
    Status { ins: u8, sw: u16 },
    #[error("not what {0} should be")]
    Malformed(Tag),
    #[error("{0} is missing")]
    Missing(Tag),
    #[error(transparent)]
    Tlv(#[from] TlvError),
    #[error(transparent)]
    Tags(#[from] TagsError),
    #[error("a list of the card: {0}")]
    Dol(#[from] DolError),
    #[error(transparent)]
    Transport(#[from] ExchangeError),
    #[error("too much: {0}")]
    Bound(Bound),
}

/// What a card said that cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    #[error("more than it was asked for")]
    Cryptogram,
    #[error("its signature is wrong")]
    Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bound {
    #[error("commands")]
    Commands,
    #[error("bytes")]
    Bytes,
    #[error("selections")]
    Selections,
    #[error("applications")]
    Applications,
    #[error("data objects")]
    Objects,
}

/// A line of a run's log: what was decided and by what. It holds no value of the card's but names, status
/// words and the kind of a cryptogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// CLA, INS, P1, P2.
    Sent([u8; 4]),
    Status(u16),
    Candidates(usize),
    Selected(Vec<u8>),
    /// The card gave what is not the card's, or not there.
    Ignored(Tag),
    /// What a data object list asks for.
    Asked(Tag, Vec<Tag>),
    Tvr(Tvr),
    Tsi(Tsi),
    Authentication {
        method: Option<Method>,
        flaw: Option<String>,
    },
    /// A rule of the CVM list, its two bytes.
    Rule([u8; 2], RuleEnd),
    /// CVM results (9F34).
    Cvm([u8; 3]),
    Action(Fired, Cryptogram),
    /// Terminal transaction qualifiers (9F66) of the application that is tried.
    Ttq([u8; 4]),
    /// Card transaction qualifiers (9F6C).
    Ctq([u8; 2]),
    /// A tap's signature; none: it is right.
    Fdda(Option<String>),
    Cid(u8),
    Script([u8; 5]),
    End(Verdict, Why),
}

/// What became of a CVM rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleEnd {
    /// Its condition does not hold.
    Skipped,
    Unknown,
    Unsupported,
    Failed,
    Done,
}

/// What decided which cryptogram is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// Action codes, the issuer's or the terminal's.
    Denial,
    Online,
    Default,
    /// None of the action codes.
    Nothing,
    /// The terminal asks the issuer always, or cannot decide alone.
    OnlineOnly,
    Host,
    NoReply,
    /// A signature over the first cryptogram is wrong.
    Signature,
    /// The run goes to an AAC, whatever was found.
    Depth,
}
