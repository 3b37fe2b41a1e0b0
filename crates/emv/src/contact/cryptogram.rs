//! GENERATE AC, the first and the second (EMV 4.4 Book 3 §6.5.5): what is asked, and what the card gave for
//! it.
use super::Run;
use crate::{
    Command, Reply, Tag,
    command::Cryptogram,
    dol,
    fci::only,
    oda,
    step::{Lie, Note, Why},
    tlv,
    verification::{Tsi, Tvr},
};
use sha1::{Digest, Sha1};

/// A cryptogram that is asked for.
pub(super) struct Asked {
    kind: Cryptogram,
    cda: bool,
    second: bool,
}
/// A cryptogram that the card gave.
pub(super) struct Given {
    pub(super) kind: Cryptogram,
    /// It has the signature that was asked for, if one was.
    pub(super) signed: bool,
}

/// `list`: CDOL1 or CDOL2. A signature is asked for with a TC only: one over an ARQC is not.
pub(super) fn ask(run: &mut Run, kind: Cryptogram, list: u32) -> Result<(Command, Asked), Why> {
    let cda = run.own.cda && kind == Cryptogram::Tc;
    let wanted = run.tags.get(Tag(list)).ok_or(Why::Missing(Tag(list)))?.to_vec();
    if dol::entries(&wanted)?.iter().any(|(tag, _)| *tag == Tag(0x98)) {
        hash(run)?;
    }
    let values = run.fill(list, &wanted)?;
    run.own.hashed = [&run.own.hashed[..], &values].concat().into();
    run.own.committed = true;
    Ok((Command::generate_ac(kind, cda, &values), Asked { kind, cda, second: list == 0x8D }))
}

/// TC hash value (98) over what the card's TDOL asks for, or the terminal's default.
fn hash(run: &mut Run) -> Result<(), Why> {
    let own = run.tags.get(Tag(0x97)).map(<[u8]>::to_vec);
    if own.is_none() {
        run.tvr(Tvr::DefaultTdol);
    }
    let list = own.or_else(|| run.aid().and_then(|a| a.tdol.clone())).unwrap_or_default();
    let values = run.fill(0x97, &list)?;
    run.put(0x98, &Sha1::digest(&values[..]))
}

/// What a card answered with, its parts.
struct Parts<'a> {
    cid: u8,
    atc: &'a [u8],
    cryptogram: Option<&'a [u8]>,
    issuer: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
    /// Of format 2, all but the signature as it came.
    objects: Vec<u8>,
}

/// Takes the answer. A kind above what was asked for is a lie; so is, at the second time, an ARQC.
pub(super) fn take(run: &mut Run, asked: &Asked, reply: &Reply) -> Result<Given, Why> {
    if reply.sw != 0x9000 {
        return Err(Why::Status { ins: 0xAE, sw: reply.sw });
    }
    let Parts { cid, atc, cryptogram, issuer, signature, objects } = parts(&reply.data)?;
    run.cid = Some(cid);
    run.log.push(Note::Cid(cid));
    run.put(0x9F27, &[cid])?;
    run.put(0x9F36, atc)?;
    if let Some(issuer) = issuer {
        run.put(0x9F10, issuer)?;
    }
    let kind = match (asked.kind, cid & 0xC0) {
        (_, 0x00) => Cryptogram::Aac,
        (Cryptogram::Tc, 0x40) => Cryptogram::Tc,
        (Cryptogram::Tc | Cryptogram::Arqc, 0x80) if !asked.second => Cryptogram::Arqc,
        (_, _) => return Err(Why::Lied(Lie::Cryptogram)),
    };
    if asked.cda && kind != Cryptogram::Aac {
        let hashed = zeroize::Zeroizing::new([&run.own.hashed[..], &objects].concat());
        let un = run.transaction.unpredictable;
        let combined = match (&run.own.key, signature) {
            (Some(key), Some(signed)) => oda::combined_data(key, signed, un, cid, &hashed).ok(),
            (_, _) => None,
        };
        run.tsi(Tsi::Authenticated);
        let Some(combined) = combined else {
            run.tvr(Tvr::CdaFailed);
            // No cryptogram that can be believed; an ARQC is still to be ended by the card.
            run.put(0x9F26, cryptogram.unwrap_or(&[0; 8]))?;
            return Ok(Given { kind, signed: false });
        };
        run.put(0x9F26, &combined.cryptogram)?;
        run.put(0x9F4C, &combined.dynamic_number)?;
    } else {
        run.put(0x9F26, cryptogram.ok_or(Why::Missing(Tag(0x9F26)))?)?;
    }
    Ok(Given { kind, signed: true })
}

/// Format 1: CID, ATC, cryptogram and perhaps issuer application data behind one another; format 2: objects.
fn parts(data: &[u8]) -> Result<Parts<'_>, Why> {
    if let Some(values) = only(data, Tag(0x80))? {
        let wrong = Why::Malformed(Tag(0x80));
        let (&cid, rest) = values.split_first().ok_or(wrong)?;
        let (atc, rest) = rest.split_at_checked(2).ok_or(wrong)?;
        let (cryptogram, issuer) = rest.split_at_checked(8).ok_or(wrong)?;
        let issuer = Some(issuer).filter(|i| !i.is_empty());
        if issuer.is_some_and(|i| i.len() > 32) {
            return Err(wrong);
        }
        let (cryptogram, objects) = (Some(cryptogram), Vec::new());
        return Ok(Parts { cid, atc, cryptogram, issuer, signature: None, objects });
    }
    let all = only(data, Tag(0x77))?.ok_or(Why::Malformed(Tag(0x77)))?;
    let get = |tag: u32, least: usize, most: usize| match tlv::find(all, Tag(tag))? {
        Some(value) if !(least..=most).contains(&value.len()) => Err(Why::Malformed(Tag(tag))),
        value => Ok(value),
    };
    let cid = get(0x9F27, 1, 1)?.and_then(|v| v.first()).ok_or(Why::Missing(Tag(0x9F27)))?;
    Ok(Parts {
        cid: *cid,
        atc: get(0x9F36, 2, 2)?.ok_or(Why::Missing(Tag(0x9F36)))?,
        cryptogram: get(0x9F26, 8, 8)?,
        issuer: get(0x9F10, 0, 32)?,
        signature: get(0x9F4B, 1, 248)?,
        objects: tlv::without(all, Tag(0x9F4B))?,
    })
}
