//! Building of frames: from a plan and the card's secrets to the bytes that leave (host-protocol §3, §6).
use crate::emv_download;
use crate::frame::{Envelope, FrameError, encode};
use crate::iso8583::{IsoError, Message};
use crate::mask::trace;
use crate::mti::reply_mti;
use crate::profile::{IcCondition, MessageRow, Profile, QUERY, field};
use crate::reply::Expect;
use crate::settlement::{self, Upload};
use crate::template::{Template, Var};
use payterm_schema::Currency;
use payterm_schema::config::Nii;
use payterm_schema::download::EmvAsk;
use payterm_schema::host::{CardSecrets, EntryMode, FieldView, MessageKind, Plan};
use payterm_schema::icc::Tag;
use payterm_schema::kind::Kind;
use payterm_schema::offline::OfflineAuthority;
use payterm_schema::secret::{CardError, Mac, SecretBytes, Tracks};
use payterm_schema::settlement::BatchPart;
use zeroize::Zeroizing;

/// The account's part of a message: the numbers of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Station {
    /// F42, up to 15 characters.
    pub mid: String,
    /// F41, up to 8 characters.
    pub tid: String,
    pub currency: Currency,
    /// TPDU destination.
    pub nii: Nii,
    /// Terminal state 1 in the header.
    pub test: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("the profile has no message for '{}'", .0.name())]
    Kind(Kind),
    #[error("F{field}: always sent, but {what} is not there")]
    Missing { field: u8, what: &'static str },
    #[error("currency: the account takes {account}, the amount is in {amount}")]
    Currency { account: Currency, amount: Currency },
    #[error("serial: 1 to 50 printable characters")]
    Serial,
    #[error("operator: 2 digits")]
    Operator,
    #[error("tip: below 10^12 minor units")]
    Tip,
    #[error("settlement: a count, a sum or a number of records for which there is no room")]
    Settlement,
    #[error("download: at most {most} entries of a list", most = EmvAsk::LIST_MAX)]
    List,
    #[error("scheme: 3 letters or digits")]
    Scheme,
    #[error("wallet: the profile does not take this payment code")]
    Wallet,
    #[error(transparent)]
    Card(#[from] CardError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}
impl From<IsoError> for BuildError {
    fn from(e: IsoError) -> Self {
        BuildError::Frame(FrameError::Iso(e))
    }
}

/// A frame ready to leave.
#[derive(Debug)]
pub struct Built {
    /// The length prefix included.
    pub bytes: SecretBytes,
    pub expect: Expect,
    envelope: Envelope,
    message: Message,
}
impl Built {
    /// Masked. Made when it is asked for: a frame does not wait for it.
    pub fn trace(&self, profile: &Profile) -> Vec<FieldView> {
        trace(profile, &self.envelope, &self.message)
    }
}

/// Builds the frame of a plan. `serial` is the terminal's serial number (F62 of a sign-in and of a status
/// upload).
pub fn build(
    profile: &Profile,
    station: &Station,
    message_kind: MessageKind,
    plan: &Plan,
    secrets: &CardSecrets,
    serial: &str,
    mac: &dyn Mac,
) -> Result<Built, BuildError> {
    let row = match (message_kind, Upload::of(plan), plan.offline_authority) {
        _ if plan.download.is_some() => plan.download.as_ref().and_then(|ask| profile.download(ask)),
        (MessageKind::Query, ..) => profile.messages.get(QUERY),
        (MessageKind::ScriptResult, ..) => profile.message(plan.kind, plan.mode),
        (_, Some(upload), _) => profile.upload(upload),
        (
            MessageKind::Request | MessageKind::Repeat | MessageKind::Reversal(_),
            None,
            Some(OfflineAuthority::Merchant),
        ) => profile.offline_sale(),
        (
            MessageKind::Request | MessageKind::Repeat | MessageKind::Reversal(_),
            None,
            Some(OfflineAuthority::Card | OfflineAuthority::CardUnableOnline),
        ) => profile.card_sale(),
        (
            MessageKind::Request | MessageKind::Repeat | MessageKind::Reversal(_),
            None,
            Some(OfflineAuthority::Voice) | None,
        ) => profile.message(plan.kind, plan.mode),
    };
    let row = row.ok_or(BuildError::Kind(plan.kind))?;
    let (mti, slots) = match message_kind {
        MessageKind::Request | MessageKind::Query => (row.mti.clone(), &row.request),
        MessageKind::ScriptResult => match &profile.script_result {
            Some(script) if !row.script_result.is_empty() => (script.mti.clone(), &row.script_result),
            Some(_) | None => return Err(BuildError::Kind(plan.kind)),
        },
        MessageKind::Repeat => (profile.repeated(&row.mti), &row.request),
        MessageKind::Reversal(_) if row.reversal.is_empty() => return Err(BuildError::Kind(plan.kind)),
        MessageKind::Reversal(_) => (profile.reversal.mti.clone(), &row.reversal),
    };
    let track = slots.iter().flat_map(|s| &s.value).flat_map(Template::vars).any(|v| v == Var::Track2);
    let icc = match message_kind {
        MessageKind::Reversal(_) => &row.reversal_icc,
        MessageKind::ScriptResult => &row.script_icc,
        MessageKind::Request | MessageKind::Query | MessageKind::Repeat => &row.icc,
    };
    let source = Source { profile, station, message_kind, plan, secrets, serial, track, icc };
    source.check()?;
    let mut message = Message::new(&mti)?;
    let mut value = Zeroizing::new(Vec::with_capacity(1024));
    for slot in slots {
        let Some(template) = &slot.value else { continue };
        value.clear();
        let mut lacking = "its value";
        let there = template.fill(&mut value, |var, out| {
            let there = source.value(slot.field, var, out)?;
            if !there {
                lacking = what(var);
            }
            Ok::<_, BuildError>(there)
        })?;
        if there {
            message.set(slot.field, value.as_slice())?;
        } else if slot.must {
            return Err(BuildError::Missing { field: slot.field, what: lacking });
        }
    }
    let envelope = source.envelope()?;
    let bytes = encode(profile, &envelope, &mut message, Some(mac))?;
    Ok(Built { bytes, expect: expect(profile, row, message_kind, plan, &message), envelope, message })
}

fn expect(
    profile: &Profile,
    row: &MessageRow,
    message_kind: MessageKind,
    plan: &Plan,
    message: &Message,
) -> Expect {
    let (reply, own) = (&profile.reply, message_kind == MessageKind::Request);
    let totals = matches!(plan.settlement.as_deref(), Some(BatchPart::Totals(_)));
    let by_kind = [
        (Kind::Balance, own, reply.balance),
        (Kind::Parameters, own, reply.parameters),
        (Kind::Settlement, totals, reply.settlement),
    ];
    let decides = by_kind.iter().find(|(kind, asks, _)| *kind == plan.kind && *asks).map(|row| row.2);
    Expect {
        mti: reply_mti(message.mti()),
        same: profile.reply.same.iter().filter_map(|n| Some((*n, message.get(*n)?.to_vec()))).collect(),
        amount: message.get(field::AMOUNT).map(<[u8]>::to_vec),
        batch: (!row.new_batch).then_some(plan.batch),
        partial: profile.reply.partial.clone(),
        currency: message.get(field::CURRENCY).map(<[u8]>::to_vec),
        decides,
        entry: plan.download.as_ref().and_then(|ask| match ask {
            EmvAsk::Entry { name } => Some(name.clone()),
            EmvAsk::List { .. } | EmvAsk::End { .. } => None,
        }),
    }
}

struct Source<'a> {
    profile: &'a Profile,
    station: &'a Station,
    message_kind: MessageKind,
    plan: &'a Plan,
    secrets: &'a CardSecrets,
    serial: &'a str,
    /// The message has a place for the track.
    track: bool,
    /// EMV elements of this message.
    icc: &'a [Tag],
}

impl Source<'_> {
    fn check(&self) -> Result<(), BuildError> {
        let Source { plan, station, .. } = self;
        if let Some(amount) = plan.amount
            && amount.currency != station.currency
        {
            return Err(BuildError::Currency { account: station.currency, amount: amount.currency });
        }
        if plan.operator.len() != 2 || !plan.operator.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BuildError::Operator);
        }
        if plan.tip.is_some_and(|t| t > 999_999_999_999) {
            return Err(BuildError::Tip);
        }
        if plan.scheme.as_ref().is_some_and(|o| o.len() != 3 || !o.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            return Err(BuildError::Scheme);
        }
        if plan.mode == Some(EntryMode::Code)
            && plan.wallet.is_none_or(|w| !self.profile.rules.wallets.contains(&w))
        {
            return Err(BuildError::Wallet);
        }
        if matches!(plan.kind, Kind::SignIn | Kind::StatusUpload)
            && !((1..=50).contains(&self.serial.len())
                && self.serial.bytes().all(|b| (0x20..=0x7E).contains(&b)))
        {
            return Err(BuildError::Serial);
        }
        Ok(())
    }

    /// Appends a part of a settlement: totals, records or their number.
    fn part(&self, var: Var, out: &mut Vec<u8>) -> Result<bool, BuildError> {
        let text = match (var, self.plan.settlement.as_deref()) {
            (Var::Totals, Some(BatchPart::Totals(halves))) => settlement::totals(halves),
            (Var::RecordCount, Some(BatchPart::List(list))) => Some(format!("{:02}", list.len())),
            (Var::CardType, Some(BatchPart::Certificate { record, .. })) => {
                Some(if record.foreign { "01" } else { "00" }.into())
            }
            (Var::Records, Some(BatchPart::List(list))) => {
                return if settlement::records(list, &self.secrets.pans, out) {
                    Ok(true)
                } else {
                    Err(BuildError::Settlement)
                };
            }
            (Var::Uploaded, Some(BatchPart::End { records, .. })) => {
                (*records <= 9_999).then(|| format!("{records:04}"))
            }
            (_, Some(_) | None) => return Ok(false),
        };
        out.extend_from_slice(text.ok_or(BuildError::Settlement)?.as_bytes());
        Ok(true)
    }

    fn envelope(&self) -> Result<Envelope, BuildError> {
        let tpdu = match &self.profile.frame.tpdu {
            None => None,
            Some(id) => {
                let id = u8::from_str_radix(id, 16).map_err(|_| FrameError::Tpdu)?;
                let [high, low] = self.station.nii.bytes();
                Some([id, high, low, 0, 0])
            }
        };
        let header = self
            .profile
            .header
            .as_ref()
            .map(|t| t.header_digits(self.station.test))
            .transpose()
            .map_err(|_| FrameError::Header)?;
        Ok(Envelope { tpdu, header })
    }

    /// Appends F2 and tells whether this message has one; `None`: it must, and the secrets have no card.
    fn pan(&self, out: &mut Vec<u8>) -> Result<Option<bool>, BuildError> {
        let Source { plan, secrets, .. } = self;
        let by_code = plan.mode == Some(EntryMode::Code);
        let mut put = |text: &str| {
            out.extend_from_slice(text.as_bytes());
            Ok(Some(true))
        };
        if plan.settlement.is_some() {
            // A PAN that is not there any more is no reason not to upload its record.
            let pan = secrets.pans.first().and_then(|p| p.as_ref()).filter(|_| !by_code);
            return pan.map_or(Ok(Some(false)), |p| put(p.reveal()));
        }
        // F2 is sent with typed and chip data; a swipe's request has its track instead (host-protocol §3),
        // where it has one.
        let request = !matches!(self.message_kind, MessageKind::Reversal(_));
        let by_track = request && self.track && plan.track && plan.mode == Some(EntryMode::Swipe);
        if by_code || plan.mode.is_none() || by_track {
            return Ok(Some(false));
        }
        match (&secrets.pan, &secrets.tracks) {
            (Some(pan), _) => put(pan.reveal()),
            (None, Some(tracks)) => put(tracks.track2_parts()?.0.reveal()),
            (None, None) => Ok(None),
        }
    }

    /// Appends the value; false: this message has none. What the plan promises and the secrets lack is an
    /// error.
    fn value(&self, field: u8, var: Var, out: &mut Vec<u8>) -> Result<bool, BuildError> {
        let Source { plan, secrets, station, .. } = self;
        let request = !matches!(self.message_kind, MessageKind::Reversal(_));
        let missing = || BuildError::Missing { field, what: what(var) };
        let mut put = |text: Option<&str>| {
            out.extend_from_slice(text.unwrap_or_default().as_bytes());
            Ok(text.is_some())
        };
        let original = plan.original.as_ref();
        let at = || (plan.at + plan.offset).local(self.profile.utc_offset_minutes);
        match var {
            Var::Pan => self.pan(out)?.ok_or_else(missing),
            Var::Totals | Var::RecordCount | Var::Records | Var::Uploaded | Var::CardType => {
                self.part(var, out)
            }
            Var::Received => match &plan.download {
                Some(EmvAsk::List { received, .. }) if *received > EmvAsk::LIST_MAX => Err(BuildError::List),
                Some(EmvAsk::List { received, .. }) => put(Some(&format!("{received:02}"))),
                Some(EmvAsk::Entry { .. } | EmvAsk::End { .. }) | None => Ok(false),
            },
            Var::EmvName => match &plan.download {
                Some(EmvAsk::Entry { name }) => {
                    emv_download::put_name(name, out);
                    Ok(true)
                }
                Some(EmvAsk::List { .. } | EmvAsk::End { .. }) | None => Ok(false),
            },
            Var::Track2 | Var::Track3 if !plan.track => Ok(false),
            Var::Track2 | Var::Track3 => {
                let there = |t: &&Tracks| t.track2.is_some() || t.track3.is_some();
                let tracks = secrets.tracks.as_ref().filter(there).ok_or_else(missing)?;
                put(if var == Var::Track2 { tracks.track2.as_deref() } else { tracks.track3.as_deref() })
            }
            Var::IfPin => Ok(plan.pin),
            Var::PinBlock if !plan.pin => Ok(false),
            Var::PinBlock => {
                out.extend_from_slice(secrets.pin_block.as_ref().ok_or_else(missing)?.reveal());
                Ok(true)
            }
            Var::Security => put(match (plan.pin, plan.track) {
                (true, _) => Some(&self.profile.security.pin),
                (false, true) => Some(&self.profile.security.track),
                (false, false) => None,
            }),
            Var::Code => put(secrets.code.as_ref().map(|c| c.reveal())),
            Var::CodeLength => {
                put(secrets.code.as_ref().map(|c| format!("{:03}", c.reveal().len())).as_deref())
            }
            Var::Serial => put(Some(self.serial)),
            Var::SerialLength => put(Some(&format!("{:02}", self.serial.len()))),
            Var::Amount => put(plan.amount.map(|a| format!("{:012}", a.minor())).as_deref()),
            Var::Stan => put(Some(&plan.stan.to_string())),
            Var::Batch => put(Some(&plan.batch.to_string())),
            Var::Expiry => put(plan.expiry.as_deref()),
            Var::Entry => put(plan.mode.map(|m| self.profile.entry.digits(m, plan.pin, plan.fallback))),
            Var::IcCondition => {
                let digit = self.profile.ic_condition.as_ref().map(|IcCondition { normal, fallback }| {
                    if plan.fallback { fallback.as_str() } else { normal.as_str() }
                });
                put(digit)
            }
            Var::Partial => put(Some(if plan.icc.is_some() { "0" } else { "1" })),
            Var::CardSequence => put(plan.card_sequence.map(|n| format!("{n:03}")).as_deref()),
            Var::OriginalRrn => put(original.and_then(|o| o.rrn.as_deref())),
            Var::OriginalBatch => {
                put(original.map(|o| o.batch.map_or("000000".into(), |b| b.to_string())).as_deref())
            }
            Var::OriginalStan => {
                put(original.map(|o| o.stan.map_or("000000".into(), |s| s.to_string())).as_deref())
            }
            Var::OriginalDate => put(original.and_then(|o| o.date.as_deref())),
            Var::AuthCode => {
                let of_original = original.and_then(|o| o.auth_code.as_deref());
                put(if request { of_original } else { plan.auth_code.as_deref().or(of_original) })
            }
            Var::VoiceCode => put(plan.auth_code.as_deref()),
            Var::Icc => {
                let picked = plan.icc.as_ref().map(|icc| icc.pick(self.icc)).unwrap_or_default();
                out.extend_from_slice(&picked);
                Ok(!picked.is_empty())
            }
            Var::Tip => put(plan.tip.map(|t| format!("{t:012}")).as_deref()),
            Var::Scheme => put(plan.scheme.as_deref()),
            // Fixed fields are filled up here too, so that the reply's echo compares equal.
            Var::Tid => put(Some(&format!("{:8}", station.tid))),
            Var::Mid => put(Some(&format!("{:15}", station.mid))),
            Var::Currency => put(Some(&format!("{:03}", station.currency.numeric()))),
            Var::Operator => put(Some(&plan.operator)),
            Var::Reason => match self.message_kind {
                MessageKind::Request
                | MessageKind::Repeat
                | MessageKind::Query
                | MessageKind::ScriptResult => Ok(false),
                MessageKind::Reversal(reason) => put(Some(self.profile.reversal.reasons.code(reason))),
            },
            Var::State => put(Some(if station.test { "1" } else { "0" })),
            Var::Time => put(Some(&format!("{:02}{:02}{:02}", at().hour(), at().minute(), at().second()))),
            Var::Date => put(Some(&format!("{:02}{:02}", u8::from(at().month()), at().day()))),
        }
    }
}

/// Name of a variable in error texts.
const fn what(var: Var) -> &'static str {
    match var {
        Var::Pan => "the PAN",
        Var::Amount => "the amount",
        Var::Track2 | Var::Track3 => "the track",
        Var::PinBlock => "the PIN block",
        Var::Code | Var::CodeLength => "the payment code",
        Var::OriginalRrn => "the original's RRN",
        Var::OriginalBatch | Var::OriginalStan | Var::OriginalDate => "the original",
        Var::Expiry => "the expiry",
        Var::Entry => "the entry mode",
        Var::AuthCode | Var::VoiceCode => "the authorisation code",
        Var::Icc => "the chip's data",
        Var::Tip => "the tip",
        Var::Totals | Var::RecordCount | Var::Records | Var::Uploaded | Var::CardType => "the settlement",
        Var::Received | Var::EmvName => "the download",
        Var::Scheme => "the card scheme",
        Var::CardSequence
        | Var::IcCondition
        | Var::Partial
        | Var::IfPin
        | Var::Security
        | Var::Serial
        | Var::SerialLength
        | Var::Stan
        | Var::Batch => "its value",
        Var::Tid
        | Var::Mid
        | Var::Currency
        | Var::Operator
        | Var::Reason
        | Var::State
        | Var::Time
        | Var::Date => "its value",
    }
}
