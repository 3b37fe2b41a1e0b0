//! Replies: read by the terminal, made by the other side (host-protocol §3 "A reply echoes", "Matching").
use crate::emv_download::{self, DownloadFault};
use crate::frame::{FrameError, take_apart};
use crate::iso8583::{IsoError, Message, Part};
use crate::mask::{trace_of, trace_of_none};
use crate::mti::{first_mti, reply_mti};
use crate::profile::{Profile, Slice, field};
use crate::settlement::{read_totals, set_reply};
use encoding_rs::GBK;
use payterm_schema::Time;
use payterm_schema::account::Batch;
use payterm_schema::download::{EmvAnswer, EmvName};
use payterm_schema::host::{FieldView, HostAnswer, KeysVerdict};
use payterm_schema::icc::Icc;
use payterm_schema::kind::Kind;
use payterm_schema::outcome::Class;
use payterm_schema::secret::{Mac, MacError, SecretBytes};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("F39: a reply without a response code")]
    NoCode,
    #[error("MAC: {0}")]
    Mac(#[from] MacError),
    #[error("F{field}: {fault}")]
    Download { field: u8, fault: DownloadFault },
}

/// Why a reply is not the one that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("MTI: {found}, expected {want}")]
    Mti { want: String, found: String },
    #[error("F{0}: not the request's")]
    Field(u8),
    #[error("F4: not the request's amount")]
    Amount,
    #[error("F60.2: not the request's batch")]
    Batch,
    #[error("F49: not the request's currency")]
    Currency,
    #[error("F62: another entry than the one that was asked for")]
    Entry,
}

/// Values of a request that its reply must agree with; holds no card data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    pub(crate) mti: String,
    pub(crate) same: Vec<(u8, Vec<u8>)>,
    pub(crate) amount: Option<Vec<u8>>,
    pub(crate) batch: Option<Batch>,
    pub(crate) partial: Vec<String>,
    pub(crate) currency: Option<Vec<u8>>,
    /// The field with the answer to what was asked, beside its code (balance, totals, parameters).
    pub(crate) decides: Option<u8>,
    /// The entry that a download asked for.
    pub(crate) entry: Option<EmvName>,
}

/// A reply that says nothing: it cannot be read, or what decides is not of the profile's form.
#[derive(Debug)]
pub struct Unusable {
    pub why: ReadError,
    /// Masked.
    pub trace: Vec<FieldView>,
    message: Option<Message>,
}
impl Unusable {
    /// Tells whether it names the request, as far as it could be read.
    pub fn names(&self, expect: &Expect) -> bool {
        let Some(m) = &self.message else { return false };
        let agrees = |(n, v): &(u8, Vec<u8>)| m.get(*n).is_none_or(|found| found == v.as_slice());
        first_mti(m.mti()) == expect.mti && m.has(field::STAN) && expect.same.iter().all(agrees)
    }
}

/// A reply, decoded.
#[derive(Debug)]
pub struct Reply {
    /// `keys` stays `None` here (or `Refused`, when their length is not the profile's): the vault judges
    /// them.
    pub answer: HostAnswer,
    /// The working keys of a successful sign-in, still enciphered.
    pub keys: Option<SecretBytes>,
    /// Masked.
    pub trace: Vec<FieldView>,
    message: Message,
    /// What was left out.
    unread: Vec<IsoError>,
}

/// Decodes a whole frame and judges its MAC; whether it answers a request is for [`Reply::matches`]. What
/// only informs (F44, F54, F55, F63 ...) and does not have the profile's form is left out, it does not spoil
/// the reply.
pub fn read(profile: &Profile, frame: &[u8], mac: &dyn Mac) -> Result<Reply, Box<Unusable>> {
    let none = |why: ReadError| {
        let trace = trace_of_none(&why.to_string(), frame);
        Box::new(Unusable { why, trace, message: None })
    };
    let decoded = take_apart(profile, frame).map_err(|e| none(e.into()))?;
    let mut trace = trace_of(profile, &decoded);
    let verdict = decoded.unread.iter().find(|u| u.last || decides(profile, u.fault.part)).map_or_else(
        || decoded.verify(profile, mac).map_err(ReadError::Mac),
        |unread| Err(ReadError::Frame(FrameError::Iso(unread.fault))),
    );
    let code = decoded.message.text(field::CODE).map(str::to_owned);
    let (verdict, code) = match verdict.and_then(|v| Ok((v, code.ok_or(ReadError::NoCode)?))) {
        Ok(read) => read,
        Err(why) => return Err(Box::new(Unusable { why, trace, message: Some(decoded.message) })),
    };
    let success = profile.rules.codes.get(&code).is_some_and(|c| c.class == Class::A);
    let download = match emv_download::read(profile, &decoded.message).filter(|_| success).transpose() {
        Ok(download) => download,
        Err(fault) => {
            let why = ReadError::Download { field: profile.reply.parameters, fault };
            return Err(Box::new(Unusable { why, trace, message: Some(decoded.message) }));
        }
    };
    let (m, r) = (&decoded.message, &profile.reply);
    let parameters = answers(profile, Kind::Parameters, m, false);
    let sign_in = !parameters && answers(profile, Kind::SignIn, m, true);
    let given = m.get(profile.keys.field).filter(|_| sign_in && success);
    let unread = decoded.unread.iter().find(|u| u.fault.part == Part::Field(profile.keys.field));
    let (keys, verdict_on_keys) = match given {
        None => match unread.filter(|_| sign_in && success) {
            Some(u) => (None, KeysVerdict::Refused(u.fault.to_string())),
            None => (None, KeysVerdict::None),
        },
        Some(k) if profile.keys.lengths.contains(&k.len()) => {
            (Some(SecretBytes::new(k.to_vec())), KeysVerdict::None)
        }
        Some(k) => (
            None,
            KeysVerdict::Refused(format!(
                "F{}: {} bytes; the profile takes {:?}",
                profile.keys.field,
                k.len(),
                profile.keys.lengths
            )),
        ),
    };
    let text = |n: u8| m.text(n).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    let part = |s: Slice| slice_text(m, s);
    let moment = |trace: &mut [FieldView], n: u8, rule: &str, good: fn(&str) -> bool| {
        let given = text(n)?;
        let row = trace.iter_mut().find(|v| v.field.strip_prefix('F') == Some(n.to_string().as_str()));
        if let Some(row) = row.filter(|_| !good(&given)) {
            row.value = format!("{given} ({rule}: not used)");
        }
        Some(given).filter(|t| good(t))
    };
    let judged = success || r.not_balanced.contains(&code);
    let settlement = m
        .text(r.settlement)
        .filter(|_| judged && answers(profile, Kind::Settlement, m, true))
        .and_then(read_totals);
    let answer = HostAnswer {
        code,
        mac: verdict,
        keys: verdict_on_keys,
        amount: m.text(field::AMOUNT).and_then(|t| t.parse().ok()),
        time: moment(&mut trace, r.time, "no time of day", is_time),
        date: moment(&mut trace, r.date, "no date", is_date),
        settlement_date: text(r.settlement_date),
        acquirer: text(r.acquirer),
        rrn: text(r.rrn),
        auth_code: text(r.auth_code),
        issuer_id: part(r.issuer_id),
        acquirer_id: part(r.acquirer_id),
        balance: m.text(r.balance).and_then(balance),
        batch: batch(m, profile),
        scheme: part(r.scheme),
        texts: r.texts.iter().filter_map(|s| part(*s)).collect(),
        fee: r.fee.and_then(part).and_then(|t| t.parse().ok()),
        parameters: m.get(r.parameters).filter(|_| parameters && success).map(pairs).unwrap_or_default(),
        settlement,
        icc: r.icc.and_then(|n| m.get(n)).and_then(|v| Icc::parse(v).ok()),
        download,
        requirement: decoded.envelope.requirement(profile),
    };
    let unread = decoded.unread.into_iter().map(|u| u.fault).collect();
    Ok(Reply { answer, keys, trace, message: decoded.message, unread })
}

/// Fields of any reply that decide what it says and to whom.
fn decides(profile: &Profile, part: Part) -> bool {
    let fixed = [field::AMOUNT, field::STAN, field::CODE, field::CURRENCY, field::MAC];
    match part {
        Part::Field(n) => {
            fixed.contains(&n) || profile.reply.same.contains(&n) || profile.reply.batch.field == n
        }
        Part::Message | Part::Mti | Part::Bitmap => true,
    }
}

/// In a year that has every date: 2024.
const LEAP: Time = Time(1_704_067_200_000);
/// hhmmss.
fn is_time(text: &str) -> bool {
    text.len() == 6 && Time::nearest(LEAP, "0101", text, 0).is_some()
}
/// MMDD.
pub(crate) fn is_date(text: &str) -> bool {
    text.len() == 4 && Time::nearest(LEAP, text, "000000", 0).is_some()
}

impl Reply {
    /// Checks that it answers that request (host-protocol §3 "Matching").
    pub fn matches(&self, profile: &Profile, expect: &Expect) -> Result<(), Mismatch> {
        let found = first_mti(self.message.mti());
        if found != expect.mti {
            return Err(Mismatch::Mti { want: expect.mti.clone(), found: self.message.mti().to_owned() });
        }
        if let Some((n, _)) = expect.same.iter().find(|(n, v)| self.message.get(*n) != Some(v.as_slice())) {
            return Err(Mismatch::Field(*n));
        }
        if let Some(asked) = &expect.amount {
            let found = self.message.get(field::AMOUNT);
            // Digits of equal length compare like numbers.
            let part = expect.partial.contains(&self.answer.code)
                && found.is_some_and(|f| f < asked.as_slice() && f.iter().any(|d| *d != b'0'));
            if found != Some(asked.as_slice()) && !part {
                return Err(Mismatch::Amount);
            }
        }
        let named = self
            .message
            .get(profile.reply.batch.field)
            .and_then(|v| v.get(profile.reply.batch.at..profile.reply.batch.at + 6));
        let currency = self.message.get(field::CURRENCY);
        if currency.is_some_and(|c| expect.currency.as_ref().is_some_and(|want| c != want.as_slice())) {
            return Err(Mismatch::Currency);
        }
        let given = self.answer.download.as_ref().and_then(EmvAnswer::name);
        if expect.entry.is_some() && given.is_some() && given != expect.entry {
            return Err(Mismatch::Entry);
        }
        match (expect.batch, named) {
            (Some(want), Some(found)) if found != want.to_string().as_bytes() => Err(Mismatch::Batch),
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    /// Why it says nothing although it is the answer to that request: what was asked for could not be read.
    pub fn unusable(&self, expect: &Expect) -> Option<IsoError> {
        let decides = expect.decides.map(Part::Field)?;
        self.unread.iter().find(|fault| fault.part == decides).copied()
    }
}

/// Tells whether a reply is that of this kind, by its MTI and what it echoes of the request's own values.
/// `lacking`: what is not echoed says nothing.
fn answers(profile: &Profile, kind: Kind, m: &Message, lacking: bool) -> bool {
    answers_row(profile, kind.name(), m, lacking)
}
pub(crate) fn answers_row(profile: &Profile, name: &str, m: &Message, lacking: bool) -> bool {
    profile.messages.get(name).is_some_and(|row| {
        let mut echoed = row.own.iter().filter(|(n, _)| profile.reply.echo.contains(n));
        reply_mti(&row.mti) == first_mti(m.mti())
            && echoed.all(|(n, own)| m.get(*n).map_or(lacking, |v| own.take(v).is_some()))
    })
}

/// Lines of `key=value`: key 1 to 32 of `a-z 0-9 . _ -`, value up to 128 printable ASCII characters; others
/// are left out.
fn pairs(text: &[u8]) -> Vec<(String, String)> {
    let lines = text.split(|b| *b == b'\n').filter_map(|l| std::str::from_utf8(l).ok()?.split_once('='));
    let fits = |key: &str, value: &str| {
        (1..=32).contains(&key.len())
            && key
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
            && value.len() <= 128
            && value.bytes().all(|b| (0x20..=0x7E).contains(&b))
    };
    lines
        .filter(|(k, v)| fits(k, v))
        .take(HostAnswer::MAX_PARAMETERS)
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

fn slice_text(m: &Message, s: Slice) -> Option<String> {
    let value = m.get(s.field)?;
    let part = value.get(s.at..value.len().min(s.at + s.length))?;
    let (text, _) = GBK.decode_without_bom_handling(part);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn batch(m: &Message, profile: &Profile) -> Option<Batch> {
    slice_text(m, profile.reply.batch)?.parse().ok().and_then(Batch::new)
}

/// F54: account 2, type 2, currency 3, sign C or D, amount 12; type 02 is the available balance.
fn balance(text: &str) -> Option<i64> {
    if text.len() != 20 || text.get(2..4) != Some("02") {
        return None;
    }
    let minor: i64 = text.get(8..).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    match text.get(7..8) {
        Some("C") => Some(minor),
        Some("D") => Some(-minor),
        Some(_) | None => None,
    }
}

/// The other side: the reply to a request, with what `answer` holds (its `mac`, `keys` and `requirement` are
/// not of the message). `encode` adds F64.
pub fn reply_message(
    profile: &Profile,
    request: &Message,
    answer: &HostAnswer,
    keys: Option<&SecretBytes>,
) -> Result<Message, IsoError> {
    let r = &profile.reply;
    let mut m = Message::new(&reply_mti(request.mti()))?;
    for n in &r.echo {
        if let Some(value) = request.get(*n) {
            m.set(*n, value)?;
        }
    }
    m.set(field::CODE, &answer.code)?;
    if let (Some(amount), true) = (answer.amount, request.has(field::AMOUNT)) {
        m.set(field::AMOUNT, format!("{amount:012}"))?;
    }
    let single = [
        (r.time, &answer.time),
        (r.date, &answer.date),
        (r.settlement_date, &answer.settlement_date),
        (r.acquirer, &answer.acquirer),
        (r.rrn, &answer.rrn),
        (r.auth_code, &answer.auth_code),
    ];
    for (n, value) in single {
        if let Some(value) = value {
            m.set(n, value)?;
        }
    }
    if let Some(minor) = answer.balance {
        let currency = request.text(field::CURRENCY).unwrap_or("000");
        m.set(
            r.balance,
            format!("1002{currency}{}{:012}", if minor < 0 { 'D' } else { 'C' }, minor.unsigned_abs()),
        )?;
    }
    if let Some(keys) = keys {
        m.set(profile.keys.field, keys.reveal())?;
    }
    if !answer.parameters.is_empty() {
        let lines: Vec<String> = answer.parameters.iter().map(|(k, v)| format!("{k}={v}")).collect();
        m.set(r.parameters, lines.join("\n"))?;
    }
    if let (Some(download), Some(form)) = (&answer.download, profile.emv) {
        m.set(r.parameters, emv_download::answer(form, download))?;
    }
    if let Some(totals) = set_reply(answer) {
        m.set(r.settlement, totals)?;
    }
    if let (Some(n), Some(icc)) = (r.icc, &answer.icc) {
        m.set(n, icc.bytes())?;
    }
    if let Some(batch) = answer.batch {
        put(&mut m, r.batch, &batch.to_string())?;
    }
    for (slice, text) in
        [(r.issuer_id, &answer.issuer_id), (r.acquirer_id, &answer.acquirer_id), (r.scheme, &answer.scheme)]
    {
        if let Some(text) = text {
            put(&mut m, slice, text)?;
        }
    }
    for (slice, text) in r.texts.iter().zip(&answer.texts) {
        put(&mut m, *slice, text)?;
    }
    if let (Some(slice), Some(fee)) = (r.fee, answer.fee) {
        put(&mut m, slice, &format!("{fee:0width$}", width = slice.length))?;
    }
    Ok(m)
}

/// Writes a part of a field; what is before it and not yet there is spaces.
fn put(m: &mut Message, s: Slice, text: &str) -> Result<(), IsoError> {
    let mut value = m.get(s.field).unwrap_or_default().to_vec();
    if value.len() < s.at + s.length {
        value.resize(s.at + s.length, b' ');
    }
    let mut at = s.at;
    for c in text.chars() {
        let mut utf8 = [0; 4];
        let (bytes, _, unknown) = GBK.encode(c.encode_utf8(&mut utf8));
        let bytes = if unknown { b"?".as_slice() } else { &bytes };
        if at + bytes.len() > s.at + s.length {
            break;
        }
        value[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    }
    value[at..s.at + s.length].fill(b' ');
    m.set(s.field, value)
}
