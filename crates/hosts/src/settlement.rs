//! Settlement and batch upload (host-protocol §7): which row of the profile a message has, and what its
//! additional data say.
use payterm_schema::host::{HostAnswer, Plan};
use payterm_schema::settlement::{BatchPart, Half, Halves, LIST_MAX, SettlementReply, UploadRecord};
use payterm_schema::{Kind, Pan};

/// A message of a batch upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// List of up to eight records.
    List,
    /// Single record of this kind.
    One(Kind),
    /// TC of a chip card.
    Certificate {
        balanced: bool,
        unauthenticated: bool,
    },
    End {
        balanced: bool,
    },
}

impl Upload {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let certificate = |balanced, unauthenticated| Upload::Certificate { balanced, unauthenticated };
        match name.strip_prefix("upload")? {
            "" => Some(Upload::List),
            "_end" => Some(Upload::End { balanced: false }),
            "_end_balanced" => Some(Upload::End { balanced: true }),
            "_certificate_balanced" => Some(certificate(true, false)),
            "_certificate" => Some(certificate(false, false)),
            "_unauthenticated_balanced" => Some(certificate(true, true)),
            "_unauthenticated" => Some(certificate(false, true)),
            "_offline_sale" => Some(Upload::One(Kind::Sale)),
            kind => Kind::named(kind.strip_prefix('_')?).map(Upload::One),
        }
    }
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        match plan.settlement.as_deref()? {
            BatchPart::Totals(_) => None,
            BatchPart::List(_) => Some(Upload::List),
            BatchPart::One { kind, .. } => Some(Upload::One(*kind)),
            BatchPart::Certificate { balanced, unauthenticated, .. } => {
                let (balanced, unauthenticated) = (*balanced, *unauthenticated);
                Some(Upload::Certificate { balanced, unauthenticated })
            }
            BatchPart::End { balanced, .. } => Some(Upload::End { balanced: *balanced }),
        }
    }
    /// Name of its row in the profile.
    pub(crate) fn row(self) -> String {
        match self {
            Upload::List => "upload".into(),
            Upload::Certificate { balanced, unauthenticated } => {
                let what = if unauthenticated { "unauthenticated" } else { "certificate" };
                format!("upload_{what}{}", if balanced { "_balanced" } else { "" })
            }
            Upload::End { balanced: false } => "upload_end".into(),
            Upload::End { balanced: true } => "upload_end_balanced".into(),
            // A sale that is uploaded alone was accepted offline; a profile without a row for it has that of
            // a voice sale.
            Upload::One(Kind::Sale) => "upload_offline_sale".into(),
            Upload::One(kind) => format!("upload_{}", kind.name()),
        }
    }
}

/// Rows that a profile with a settlement must have.
pub(crate) const NEEDED: [&str; 8] = [
    "settlement",
    "upload",
    "upload_end",
    "upload_end_balanced",
    "upload_refund",
    "upload_voice_sale",
    "upload_tip_adjust",
    "upload_completion_advice",
];

/// Rows of a profile whose acquirer is told the TCs of chip cards, all of them or none.
pub(crate) const CERTIFICATES: [&str; 4] = [
    "upload_certificate_balanced",
    "upload_certificate",
    "upload_unauthenticated_balanced",
    "upload_unauthenticated",
];

/// Characters of the totals.
pub(crate) const TOTALS: usize = 62;

const SUM_MAX: u64 = 999_999_999_999;

/// Debit sum 12 and count 3, credit sum 12 and count 3, result 1.
fn half(h: &Half, result: u8) -> Option<String> {
    let fits = [h.debit_count, h.credit_count].iter().all(|n| *n <= Half::COUNT_MAX)
        && [h.debit_minor, h.credit_minor].iter().all(|n| *n <= SUM_MAX)
        && result < 10;
    fits.then(|| {
        format!(
            "{:012}{:03}{:012}{:03}{result}",
            h.debit_minor, h.debit_count, h.credit_minor, h.credit_count
        )
    })
}

/// Field 48 of the totals; none where a count or a sum has more digits than there is room for.
pub(crate) fn totals(h: &Halves) -> Option<String> {
    Some(half(&h.domestic, 0)? + &half(&h.foreign, 0)?)
}
pub(crate) fn reply_totals(r: &SettlementReply) -> Option<String> {
    Some(half(&r.domestic.0, r.domestic.1)? + &half(&r.foreign.0, r.foreign.1)?)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
fn read_half(t: &str) -> Option<(Half, u8)> {
    let n = |at: std::ops::Range<usize>| t.get(at).and_then(number);
    let count = |at| n(at).and_then(|n| u32::try_from(n).ok());
    let half = Half {
        debit_minor: n(0..12)?,
        debit_count: count(12..15)?,
        credit_minor: n(15..27)?,
        credit_count: count(27..30)?,
    };
    Some((half, u8::try_from(n(30..31)?).ok()?))
}

/// Reads field 48 of the acquirer's answer; none where it is not made of 62 digits.
pub(crate) fn read_totals(text: &str) -> Option<SettlementReply> {
    (text.len() == TOTALS).then_some(())?;
    Some(SettlementReply { domestic: read_half(text.get(..31)?)?, foreign: read_half(text.get(31..)?)? })
}

/// Appends 40 digits for each record: card type, STAN, PAN with zeros on its left (all zeros where there is
/// none), amount.
pub(crate) fn records(list: &[UploadRecord], pans: &[Option<Pan>], out: &mut Vec<u8>) -> bool {
    if !(1..=LIST_MAX).contains(&list.len()) || list.iter().any(|r| r.minor > SUM_MAX) {
        return false;
    }
    for (i, r) in list.iter().enumerate() {
        let pan = pans.get(i).and_then(|p| p.as_ref()).map(|p| p.reveal()).unwrap_or_default();
        out.extend_from_slice(if r.foreign { b"01" } else { b"00" });
        out.extend_from_slice(r.stan.to_string().as_bytes());
        out.extend(std::iter::repeat_n(b'0', 20_usize.saturating_sub(pan.len())));
        out.extend_from_slice(pan.as_bytes());
        out.extend_from_slice(format!("{:012}", r.minor).as_bytes());
    }
    true
}

/// A record as the acquirer reads it; its PAN stays in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView {
    pub foreign: bool,
    pub stan: u32,
    /// Minor units.
    pub minor: u64,
}

pub(crate) fn read_records(digits: &str) -> Option<Vec<RecordView>> {
    let chunk = |t: &[u8]| {
        let t = std::str::from_utf8(t).ok()?;
        let n = |at: std::ops::Range<usize>| t.get(at).and_then(number);
        number(t.get(8..28)?.trim_start_matches('0')).or(Some(0))?;
        Some(RecordView { foreign: n(0..2)? == 1, stan: u32::try_from(n(2..8)?).ok()?, minor: n(28..40)? })
    };
    (digits.len().is_multiple_of(40) && digits.len() <= 40 * LIST_MAX).then_some(())?;
    digits.as_bytes().chunks(40).map(chunk).collect()
}

/// F48 of an answer to a settlement.
pub(crate) fn set_reply(answer: &HostAnswer) -> Option<String> {
    answer.settlement.as_ref().and_then(reply_totals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn totals_come_back(
            n in prop::array::uniform4(0..=SUM_MAX),
            c in prop::array::uniform4(0..=999_u32),
            r in prop::array::uniform2(0..10_u8),
        ) {
            let half = |i: usize| Half {
                debit_minor: n[i],
                debit_count: c[i],
                credit_minor: n[i + 1],
                credit_count: c[i + 1],
            };
            let reply = SettlementReply { domestic: (half(0), r[0]), foreign: (half(2), r[1]) };
            let text = reply_totals(&reply).unwrap();
            prop_assert_eq!(text.len(), TOTALS);
            prop_assert_eq!(read_totals(&text), Some(reply));
        }
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            read_totals(&text);
            read_records(&text);
        }
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let big = |h: Half| totals(&Halves { domestic: h, foreign: Half::default() });
        assert!(big(Half { debit_count: 1_000, ..Half::default() }).is_none());
        assert!(big(Half { credit_minor: SUM_MAX + 1, ..Half::default() }).is_none());
        assert!(read_totals(&"1".repeat(61)).is_none() && read_totals(&"x".repeat(62)).is_none());
    }
}
