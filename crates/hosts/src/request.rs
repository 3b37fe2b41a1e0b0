//! The acquirer's side: what a request says, read by the same templates that build it.
use crate::emv_download::{ROWS, asked};
use crate::iso8583::Message;
use crate::mti::first_mti;
use crate::profile::{CARD_SALE, MessageRow, OFFLINE, Profile, QUERY, Slot, kind_of};
use crate::settlement::{RecordView, Upload, read_records, read_totals};
use crate::template::Var;
use payterm_schema::account::{Batch, Stan};
use payterm_schema::download::EmvAsk;
use payterm_schema::host::{ENTRY_MODES, EntryMode, ReversalReason};
use payterm_schema::icc::Icc;
use payterm_schema::kind::Kind;
use payterm_schema::secret::{Pan, PaymentCode, PinBlock, Tracks};
use payterm_schema::settlement::Halves;
use std::{collections::BTreeMap, fmt};
use zeroize::Zeroizing;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("no message of the profile has this MTI and these values")]
    Unknown,
    #[error("F{0}: always sent with this message, but it is not there")]
    Missing(u8),
    #[error("F{0}: not a field of this message")]
    Extra(u8),
    #[error("F{0}: does not have the profile's form")]
    Form(u8),
}

/// A request or reversal taken apart into its variables.
pub struct RequestView {
    pub kind: Kind,
    /// A reversal, and why.
    pub reversal: Option<ReversalReason>,
    /// Asks what became of a payment by code; `kind` is the sale then.
    pub query: bool,
    /// A message of a batch upload; `kind` is the settlement then.
    pub upload: Option<Upload>,
    /// Tells of a sale that the merchant, or the card, accepted without the host.
    pub offline: bool,
    /// Results of issuer scripts; `kind` is that of their payment.
    pub script_result: bool,
    /// The card was swiped since its chip could not be read.
    pub fallback: bool,
    /// Entry mode of the instrument, and whether a PIN came with it (F22).
    pub entry: Option<(EntryMode, bool)>,
    /// A message of a download of CA keys or applications; `kind` is the parameters then.
    pub download: Option<EmvAsk>,
    vars: BTreeMap<Var, Zeroizing<Vec<u8>>>,
}

impl RequestView {
    pub fn read(profile: &Profile, message: &Message) -> Result<Self, RequestError> {
        let mti = first_mti(message.mti());
        let is_reversal = mti == profile.reversal.mti;
        let is_script = profile.script_result.as_ref().is_some_and(|script| mti == script.mti);
        let mut fault = RequestError::Unknown;
        for (name, row) in &profile.messages {
            let slots = match (is_reversal, is_script) {
                (true, _) => &row.reversal,
                (false, true) => &row.script_result,
                (false, false) => &row.request,
            };
            if (!is_reversal && !is_script && mti != row.mti)
                || slots.is_empty()
                || !is_own(row, slots, message)
            {
                continue;
            }
            let (query, offline) = (name == QUERY, name == OFFLINE || name == CARD_SALE);
            let upload = Upload::named(name);
            let downloads = ROWS.contains(&name.as_str());
            let kind = kind_of(name)
                .or(downloads.then_some(Kind::Parameters))
                .or((query || offline).then_some(Kind::Sale))
                .or(upload.map(|_| Kind::Settlement));
            let Some(kind) = kind else { continue };
            match vars(slots, message) {
                Ok(vars) => {
                    let mut view = Self::new(profile, kind, vars)?;
                    if downloads {
                        let ask = asked(name, &view).ok_or(RequestError::Form(profile.reply.parameters))?;
                        view.download = Some(ask);
                    }
                    return Ok(Self { query, offline, upload, script_result: is_script, ..view });
                }
                Err(e) => fault = e,
            }
        }
        Err(fault)
    }

    fn new(
        profile: &Profile,
        kind: Kind,
        vars: BTreeMap<Var, Zeroizing<Vec<u8>>>,
    ) -> Result<Self, RequestError> {
        let mut view = Self {
            kind,
            reversal: None,
            query: false,
            offline: false,
            upload: None,
            script_result: false,
            fallback: false,
            entry: None,
            download: None,
            vars,
        };
        if let Some(digits) = view.text(Var::Entry) {
            let all = ENTRY_MODES.iter().flat_map(|row| [(row.mode, true), (row.mode, false)]);
            let mut all = all.flat_map(|(mode, pin)| [(mode, pin, false), (mode, pin, true)]);
            let found =
                all.find(|(mode, pin, fallback)| profile.entry.digits(*mode, *pin, *fallback) == digits);
            let (mode, pin, fallback) = found.ok_or(RequestError::Form(22))?;
            let condition = view.text(Var::IcCondition).zip(profile.ic_condition.as_ref());
            let told = condition.is_some_and(|(digit, of)| digit == of.fallback);
            (view.entry, view.fallback) = (Some((mode, pin)), fallback || told);
        }
        if let Some(code) = view.text(Var::Reason) {
            let all = [
                ReversalReason::NoReply,
                ReversalReason::BadMac,
                ReversalReason::Other,
                ReversalReason::TerminalFault,
            ];
            let reason = all.into_iter().find(|r| profile.reversal.reasons.code(*r) == code);
            view.reversal = Some(reason.ok_or(RequestError::Form(39))?);
        }
        Ok(view)
    }

    pub fn bytes(&self, var: Var) -> Option<&[u8]> {
        self.vars.get(&var).map(|v| v.as_slice())
    }
    /// Trimmed; `None` when it is empty or no text.
    pub fn text(&self, var: Var) -> Option<&str> {
        self.bytes(var).and_then(|v| std::str::from_utf8(v).ok()).map(str::trim).filter(|t| !t.is_empty())
    }
    pub fn stan(&self) -> Option<Stan> {
        self.text(Var::Stan)?.parse().ok().and_then(Stan::new)
    }
    pub fn batch(&self) -> Option<Batch> {
        self.text(Var::Batch)?.parse().ok().and_then(Batch::new)
    }
    /// Batch and STAN of the original; none where they are zeros.
    pub fn original(&self) -> Option<(Batch, Stan)> {
        let (b, s) =
            (self.text(Var::OriginalBatch)?.parse().ok()?, self.text(Var::OriginalStan)?.parse().ok()?);
        Batch::new(b).zip(Stan::new(s))
    }
    /// Minor units.
    pub fn amount(&self) -> Option<u64> {
        self.text(Var::Amount)?.parse().ok()
    }
    /// Minor units.
    pub fn tip(&self) -> Option<u64> {
        self.text(Var::Tip)?.parse().ok()
    }
    /// Totals of the terminal, of a settlement.
    pub fn totals(&self) -> Option<Halves> {
        read_totals(self.text(Var::Totals)?).map(|r| Halves { domestic: r.domestic.0, foreign: r.foreign.0 })
    }
    /// Records of a list; none when they are not as many as it says.
    pub fn records(&self) -> Option<Vec<RecordView>> {
        let count: usize = self.text(Var::RecordCount)?.parse().ok()?;
        read_records(self.text(Var::Records)?).filter(|r| r.len() == count)
    }
    /// Number of uploaded records, of the end of an upload.
    pub fn uploaded(&self) -> Option<u32> {
        self.text(Var::Uploaded)?.parse().ok()
    }
    /// PAN of F2, else of track 2.
    pub fn pan(&self) -> Option<Pan> {
        if let Some(pan) = self.text(Var::Pan) {
            return Pan::parse(pan).ok();
        }
        let mut tracks = Tracks::default();
        tracks.track2 = self.text(Var::Track2).map(str::to_owned);
        tracks.track2_parts().ok().map(|(pan, _, _)| pan)
    }
    pub fn code(&self) -> Option<PaymentCode> {
        PaymentCode::parse(self.text(Var::Code)?).ok()
    }
    /// Elements of the chip; none where there are none or they are malformed.
    pub fn icc(&self) -> Option<Icc> {
        Icc::parse(self.bytes(Var::Icc)?).ok()
    }
    pub fn pin_block(&self) -> Option<PinBlock> {
        self.bytes(Var::PinBlock)?.try_into().ok().map(PinBlock::iso0)
    }
}

/// The names of what is there, no values.
impl fmt::Debug for RequestView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RequestView({}{} {:?})",
            self.kind.name(),
            if self.reversal.is_some() { " reversal" } else { "" },
            self.vars.keys().collect::<Vec<_>>()
        )
    }
}

/// The values that are this message's own (F3, F25, F60 ...) are in it; those that a reversal replaces do not
/// count.
fn is_own(row: &MessageRow, slots: &[Slot], message: &Message) -> bool {
    row.own
        .iter()
        .filter(|(n, template)| slots.iter().any(|s| s.field == *n && s.value.as_ref() == Some(template)))
        .all(|(n, template)| message.get(*n).is_some_and(|value| template.take(value).is_some()))
}

fn vars(slots: &[Slot], message: &Message) -> Result<BTreeMap<Var, Zeroizing<Vec<u8>>>, RequestError> {
    let mut found = BTreeMap::new();
    for slot in slots {
        match (message.get(slot.field), &slot.value) {
            (None, Some(_)) if slot.must => return Err(RequestError::Missing(slot.field)),
            (Some(value), Some(template)) => {
                let parts = template.take(value).ok_or(RequestError::Form(slot.field))?;
                found.extend(parts.into_iter().map(|(var, v)| (var, Zeroizing::new(v.to_vec()))));
            }
            (Some(_) | None, Some(_) | None) => {}
        }
    }
    match message.fields().find(|n| !slots.iter().any(|s| s.field == *n)) {
        Some(extra) => Err(RequestError::Extra(extra)),
        None => Ok(found),
    }
}
