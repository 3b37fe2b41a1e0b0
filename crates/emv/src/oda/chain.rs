//! A card's certificates and signatures step by step, for people: what each gives back, and the check that
//! fails (EMV 4.4 Book 2). The checks are those of a run.
use super::{
    CardKey, Flaw, Keys, Recovered,
    certificate::{self, CARD, Fields, ISSUER, PIN, Place},
    key::PublicKey,
};
use crate::{
    Tag, Tags, dol,
    fci::only,
    records::{Records, locate},
};
use zeroize::Zeroizing;

/// What every signature with a cryptogram is over: the unpredictable number (9F37).
const UNPREDICTABLE: &[u8] = &[0x9F, 0x37, 4];

/// A certificate or signature.
pub struct Shown {
    pub tag: Tag,
    /// Bytes of the key that signed it, where there is one.
    pub signer_len: Option<usize>,
    /// What it gave back, where header, format and trailer are as they must be.
    pub content: Option<Content>,
    pub verdict: Verdict,
}
/// What a certificate or signature gave back.
pub enum Content {
    Certificate(Certificate),
    /// Data authentication code (9F45).
    Static {
        hash_algorithm: u8,
        code: [u8; 2],
    },
    /// ICC dynamic number (9F4C), and what else the card signed, in bytes.
    Dynamic {
        hash_algorithm: u8,
        number: Vec<u8>,
        more: usize,
    },
    /// What a combined signature holds. Its hash over the data of the payment is not checked: what card and
    /// terminal told each other is not all known.
    Combined {
        hash_algorithm: u8,
        number: Vec<u8>,
        /// 9F27.
        cid: u8,
        /// 9F26.
        cryptogram: [u8; 8],
    },
}
/// A certificate's fields.
pub struct Certificate {
    /// Identifier of an issuer, or a card's number: digits two a byte, filled up with F.
    pub owner: Zeroizing<Vec<u8>>,
    /// MMYY, BCD.
    pub expiry: [u8; 2],
    pub serial: [u8; 3],
    pub hash_algorithm: u8,
    pub key_algorithm: u8,
    /// Bytes of the certified key, and of its exponent.
    pub key_len: usize,
    pub exponent_len: usize,
    /// Bytes of the key that stand outside of the certificate.
    pub remainder_len: usize,
    /// The key with its remainder, as far as it is there.
    pub modulus: Vec<u8>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// What it is over is not known.
    Unknown,
    Wrong(Flaw),
}
impl Verdict {
    /// `known`: what it is over is known, else its hash says nothing.
    fn of<T>(result: &Result<T, Flaw>, known: bool) -> Self {
        match result {
            Ok(_) => Self::Good,
            Err(Flaw::Hash(_)) if !known => Self::Unknown,
            Err(flaw) => Self::Wrong(*flaw),
        }
    }
}

/// Certificates and signatures among the tags, in the order in which they hang on one another: 90, 93, 9F46,
/// 9F2D, 9F4B. Behind one that is not good those that need it are left out. `signed`: the static data
/// ([`static_of`]), none where it is not known. `ddol`: the terminal's default list.
pub fn chain(keys: Keys<'_>, rid: [u8; 5], tags: &Tags, signed: Option<&[u8]>, ddol: &[u8]) -> Vec<Shown> {
    let issuer = certificate::issuer_key(keys, rid, tags);
    let mut all = vec![Shown {
        verdict: Verdict::of(&issuer, true),
        ..opened(certificate::ca_key(keys, rid, tags).ok().map(|ca| &ca.key), tags, &ISSUER)
    }];
    let Ok(issuer) = issuer else { return all };
    let (over, known) = (signed.unwrap_or_default(), signed.is_some());
    if tags.has(super::STATIC) {
        let verdict = Verdict::of(&super::static_data(keys, rid, tags, over), known);
        let content = recovered(&issuer, tags, super::STATIC, 0x03).and_then(|r| match r.content() {
            &[_format, hash_algorithm, a, b, ..] => Some(Content::Static { hash_algorithm, code: [a, b] }),
            _ => None,
        });
        all.push(Shown { tag: super::STATIC, signer_len: Some(issuer.size()), content, verdict });
    }
    let mut card = None;
    if tags.has(CARD.certificate) {
        let key = super::card_key(keys, rid, tags, over);
        all.push(Shown { verdict: Verdict::of(&key, known), ..opened(Some(&issuer), tags, &CARD) });
        card = key.ok();
    }
    if tags.has(PIN.certificate) {
        let key = certificate::pin_key(keys, rid, tags);
        all.push(Shown { verdict: Verdict::of(&key, true), ..opened(Some(&issuer), tags, &PIN) });
    }
    if let Some(card) = card
        && let Some(signature) = tags.get(super::DYNAMIC)
    {
        all.push(dynamic(&card, signature, tags, ddol));
    }
    all
}

/// The signature 9F4B: of a card with CDA, and long enough, the one with a cryptogram in it.
fn dynamic(card: &CardKey, signature: &[u8], tags: &Tags, ddol: &[u8]) -> Shown {
    let recovered = recovered(&card.0, tags, super::DYNAMIC, 0x05);
    let content = recovered.as_ref().and_then(|recovered| {
        let (hash_algorithm, number, more) = super::dynamic_parts(recovered.content()).ok()?;
        let number = number.to_vec();
        let cda = tags.get(Tag(0x82)).is_some_and(|aip| aip.first().is_some_and(|byte| byte & 0x01 != 0));
        Some(match more {
            [cid, rest @ ..] if cda && !tags.has(Tag(0x9F69)) && rest.len() >= 28 => {
                let cryptogram = *rest.first_chunk()?;
                Content::Combined { hash_algorithm, number, cid: *cid, cryptogram }
            }
            _ => Content::Dynamic { hash_algorithm, number, more: more.len() },
        })
    });
    // By INTERNAL AUTHENTICATE what the DDOL asks for, with a cryptogram 9F37, in a tap 9F37 and these.
    let tap = tags.has(Tag(0x9F69)).then_some(&[0x9F, 0x37, 4, 0x9F, 0x02, 6, 0x5F, 0x2A, 2][..]);
    let own = tags.get(Tag(0x9F49)).unwrap_or(ddol);
    let ways = match content {
        Some(Content::Combined { .. }) => [Some(UNPREDICTABLE), None, None],
        _ => [Some(own), Some(UNPREDICTABLE), tap],
    };
    let mut verdict = Verdict::Unknown;
    for list in ways.into_iter().flatten() {
        let entries = dol::entries(list).unwrap_or_default();
        if entries.is_empty() || entries.iter().any(|(tag, _)| !tags.has(*tag)) {
            continue;
        }
        let mut values = dol::fill(list, tags).unwrap_or_default();
        if Some(list) == tap {
            values.extend_from_slice(tags.get(Tag(0x9F69)).unwrap_or_default());
        }
        verdict = Verdict::of(&super::dynamic_data(card, signature, &values), true);
        if verdict == Verdict::Good {
            break;
        }
    }
    if let Some(Content::Combined { cid, .. }) = content
        && tags.get(Tag(0x9F27)).is_some_and(|said| said != [cid])
    {
        verdict = Verdict::Wrong(Flaw::Cid);
    }
    Shown { tag: super::DYNAMIC, signer_len: Some(card.0.size()), content, verdict }
}

fn recovered(signer: &PublicKey, tags: &Tags, tag: Tag, format: u8) -> Option<Recovered> {
    Recovered::open(signer, tag, tags.get(tag)?, format).ok()
}

/// A certificate's fields; the verdict is the caller's.
fn opened(signer: Option<&PublicKey>, tags: &Tags, place: &Place) -> Shown {
    let certificate = || {
        let recovered = recovered(signer?, tags, place.certificate, place.format)?;
        let fields = Fields::of(recovered.content(), place.owner)?;
        let remainder = tags.get(place.remainder).unwrap_or_default();
        let mut modulus = fields.modulus.to_vec();
        modulus.truncate(fields.key_len);
        modulus.extend_from_slice(remainder);
        Some(Content::Certificate(Certificate {
            owner: Zeroizing::new(fields.owner.to_vec()),
            expiry: fields.expiry,
            serial: fields.serial,
            hash_algorithm: fields.hash_algorithm,
            key_algorithm: fields.key_algorithm,
            key_len: fields.key_len,
            exponent_len: fields.exponent_len,
            remainder_len: fields.key_len.saturating_sub(fields.modulus.len()),
            modulus,
        }))
    };
    let signer_len = signer.map(PublicKey::size);
    Shown { tag: place.certificate, signer_len, content: certificate(), verdict: Verdict::Unknown }
}

/// The static data of a card: of the records of its locator (94), given whole and in its order, those that
/// are signed, and behind them 82 where 9F4A is there. None: the locator is not sound, or there are other
/// records than it names.
pub fn static_of(tags: &Tags, records: &[&[u8]]) -> Option<Zeroizing<Vec<u8>>> {
    let mut signed = Zeroizing::new(Vec::with_capacity(records.iter().map(|r| r.len() + 2).sum()));
    let mut records = records.iter();
    for Records { sfi, first, last, signed: count } in locate(tags.get(Tag(0x94))?).ok()? {
        for number in first..=last {
            let record = *records.next()?;
            if number - first < count {
                signed.extend_from_slice(if sfi <= 10 { only(record, Tag(0x70)).ok()?? } else { record });
            }
        }
    }
    if tags.has(super::TAG_LIST) {
        signed.extend_from_slice(tags.get(Tag(0x82))?);
    }
    records.next().is_none().then_some(signed)
}
