//! Values of fields as a profile writes them: text with variables, `"22{batch}00050"`. One definition serves
//! both ends: the terminal fills a template in, the acquirer's side takes the variables out of a field again.
use serde::Deserialize;

/// A variable of a template. Those without an own length run to the end of the field or to the next literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Var {
    /// PAN digits: typed, from the chip, or sealed; in a reversal also from the track.
    Pan,
    Amount,
    Stan,
    Batch,
    /// YYMM.
    Expiry,
    /// F22 of the entry mode, with or without PIN.
    Entry,
    /// Three digits.
    CardSequence,
    Track2,
    Track3,
    /// Nothing, but only where there is a PIN.
    IfPin,
    PinBlock,
    /// F53 for a PIN or a track.
    Security,
    Code,
    /// Length of the code, three digits.
    CodeLength,
    Serial,
    /// Length of the serial, two digits.
    SerialLength,
    OriginalRrn,
    OriginalBatch,
    OriginalStan,
    /// MMDD.
    OriginalDate,
    /// The code that the issuer gave by telephone: F38 of the request itself.
    VoiceCode,
    /// EMV elements of the chip, those of the message's `icc` list.
    Icc,
    /// One digit: whether the card was swiped since its chip could not be read (F60.5).
    IcCondition,
    /// One digit: 1 where a partial approval is taken, which with a chip it is not (F60.6).
    Partial,
    /// Minor units, twelve digits.
    Tip,
    /// The totals of a batch, 62 digits.
    Totals,
    /// Number of records in a list, two digits, and the records, 40 digits each.
    RecordCount,
    Records,
    /// Card type of a TC that is uploaded, two digits: 00 domestic, 01 foreign.
    CardType,
    /// Records uploaded, four digits.
    Uploaded,
    /// Entries of a list received so far, two digits.
    Received,
    /// The entry that a download asks for, BER-TLV.
    EmvName,
    /// Three characters: the original's card scheme, 000 when it is not known.
    Scheme,
    /// The original's in a request; in a reversal the reversed request's own answer's, else the original's.
    AuthCode,
    Tid,
    Mid,
    /// ISO 4217 numeric, three digits.
    Currency,
    /// Two digits.
    Operator,
    /// F39 of a reversal.
    Reason,
    /// Terminal state of the header: 0 normal, 1 test.
    State,
    /// Time of the terminal at the profile's offset, hhmmss and MMDD.
    Time,
    Date,
}

impl Var {
    const fn width(self) -> Option<usize> {
        match self {
            Var::Amount | Var::Tip => Some(12),
            Var::Stan
            | Var::Batch
            | Var::OriginalBatch
            | Var::OriginalStan
            | Var::AuthCode
            | Var::VoiceCode
            | Var::Time => Some(6),
            Var::Totals => Some(crate::settlement::TOTALS),
            Var::Expiry | Var::OriginalDate | Var::Date | Var::Uploaded => Some(4),
            Var::Entry | Var::CardSequence | Var::CodeLength | Var::Currency | Var::Scheme => Some(3),
            Var::PinBlock => Some(8),
            Var::Tid => Some(8),
            Var::Mid => Some(15),
            Var::Security => Some(16),
            Var::OriginalRrn => Some(12),
            Var::SerialLength
            | Var::RecordCount
            | Var::CardType
            | Var::Received
            | Var::Operator
            | Var::Reason => Some(2),
            Var::State | Var::IcCondition | Var::Partial => Some(1),
            Var::IfPin => Some(0),
            Var::Pan
            | Var::Icc
            | Var::Track2
            | Var::Track3
            | Var::Code
            | Var::Serial
            | Var::Records
            | Var::EmvName => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Var(Var),
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

impl Template {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, tail) = rest.split_once('{').unwrap_or((rest, ""));
            let opened = literal.len() < rest.len();
            if literal.contains('}') {
                return Err("'}' without '{'".into());
            }
            if !literal.is_empty() {
                pieces.push(Piece::Text(literal.into()));
            }
            if opened {
                let (name, tail) = tail.split_once('}').ok_or("'{' without '}'")?;
                let known =
                    Var::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name));
                pieces.push(Piece::Var(known.map_err(|_| format!("unknown variable '{{{name}}}'"))?));
                rest = tail;
            } else {
                rest = "";
            }
        }
        if pieces.is_empty() { Err("empty".into()) } else { Ok(Self(pieces)) }
    }

    pub fn vars(&self) -> impl Iterator<Item = Var> {
        self.0.iter().filter_map(|p| if let Piece::Var(v) = p { Some(*v) } else { None })
    }

    /// Fills the template in; `value` appends a variable's value, or says `false`: then the field has none.
    pub fn fill<E>(
        &self,
        out: &mut Vec<u8>,
        mut value: impl FnMut(Var, &mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Var(var) => {
                    if !value(*var, out)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Takes the variables out of a field; `None` when it does not have this form.
    pub fn take<'a>(&self, mut field: &'a [u8]) -> Option<Vec<(Var, &'a [u8])>> {
        let mut found = Vec::new();
        for (i, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Text(text) => field = field.strip_prefix(text.as_bytes())?,
                Piece::Var(var) => {
                    let next = match self.0.get(i + 1) {
                        Some(Piece::Text(text)) => text.as_bytes(),
                        Some(Piece::Var(_)) | None => &[],
                    };
                    let end = match var.width() {
                        Some(width) => width,
                        None if next.is_empty() => field.len(),
                        None => field.windows(next.len()).position(|w| w == next)?,
                    };
                    let (value, rest) = field.split_at_checked(end)?;
                    found.push((*var, value));
                    field = rest;
                }
            }
        }
        field.is_empty().then_some(found)
    }

    /// Digits of a frame's header for this terminal state.
    pub(crate) fn header_digits(&self, test: bool) -> Result<Vec<u8>, String> {
        let mut digits = Vec::new();
        let all = self.fill(&mut digits, |var, out| {
            out.push(if test { b'1' } else { b'0' });
            Ok::<_, String>(var == Var::State)
        })?;
        if all
            && digits.len().is_multiple_of(2)
            && digits.len() <= 32
            && digits.iter().all(u8::is_ascii_digit)
        {
            Ok(digits)
        } else {
            Err("an even number of digits up to 32, with no variable but {state}".into())
        }
    }
}
