//! The issuer's word and the second GENERATE AC (EMV 4.4 Book 3 §10.9 to §10.11; Book 4, authorisation
//! response codes): issuer authentication, scripts before, the card's last word, scripts after. An approval
//! is told before the scripts behind it run: a power cut among them is not to make it unknown.
use super::{Go, Phase, Run, Turn, action, cryptogram, script::Batch};
use crate::{
    Command, Reply, Tag,
    command::Cryptogram,
    step::{By, Fired, HostWord, Lie, Note, Step, Verdict, Why},
    tlv::{self, Tlv},
    verification::{Tsi, Tvr},
};

/// Scripts in one answer of a host. 16: what the results' field (DF31) holds.
pub const ISSUER_SCRIPTS_MAX: usize = 16;

/// What is asked of the card in the end, and what its yes and no mean.
pub(super) struct Last {
    kind: Cryptogram,
    fired: Fired,
    by: By,
    /// Why it is declined, if the card does what it is asked.
    refusal: Why,
    after: Batch,
}

pub(super) enum Wait {
    /// EXTERNAL AUTHENTICATE.
    Issuer(Last, Batch),
    Before(Last, Batch),
    Cryptogram(cryptogram::Asked, Last),
    After(Batch),
}

pub(super) fn begin(run: &mut Run, word: HostWord<'_>) -> Turn {
    let (arc, issuer, approved) = match word {
        HostWord::NotSent { offline } => return unable(run, offline),
        HostWord::NoReply => return decline(run, *b"Z3", Fired::NoReply, Why::NoReply),
        HostWord::Approved { arc, issuer } => (arc, issuer, true),
        HostWord::Refused { arc, issuer } => (arc, issuer, false),
    };
    // A referral is not an approval, whoever calls it one.
    let approved = approved && !matches!(&arc, b"01" | b"02");
    let Some(objects) = sort(issuer) else {
        return decline(run, arc, Fired::Host, if approved { Why::IssuerData } else { Why::Host });
    };
    run.put(0x8A, &arc)?;
    let before = Batch::new(run, &objects.before, Tvr::ScriptBefore);
    let after = Batch::new(run, &objects.after, Tvr::ScriptAfter);
    let kind = if approved { Cryptogram::Tc } else { Cryptogram::Aac };
    let last = Last { kind, fired: Fired::Host, by: By::HostAndCard, refusal: Why::Host, after };
    if let Some(data) = objects.authentication {
        run.put(0x91, data)?;
        // AIP byte 1 bit 3: by a command of its own; else in CDOL2, or not at all.
        if run.aip_has(0x04) {
            let command = Command::external_authenticate(data);
            return Ok(Go::Send(command, Phase::Completion(Wait::Issuer(last, before))));
        }
    }
    scripts_before(run, last, before)
}

/// The host could not be asked: the default action codes decide (Book 3 §10.7), where what the card approves
/// is accepted.
pub(super) fn unable(run: &mut Run, offline: bool) -> Turn {
    let default = run.limits.default;
    let (fired, kind, arc) = if run.terminal.is_online_only() || !offline {
        (Fired::OnlineOnly, Cryptogram::Aac, b"Z3")
    } else if action::matches(run, 0x9F0D, 0xFF, default) {
        (Fired::Default, Cryptogram::Aac, b"Z3")
    } else {
        (Fired::Nothing, Cryptogram::Tc, b"Y3")
    };
    run.put(0x8A, arc)?;
    let by = By::CardUnableOnline;
    last(run, Last { kind, fired, by, refusal: Why::NotSent, after: Batch::none() })
}
/// The first cryptogram's signature is wrong: the card ends with an AAC (Book 2, CDA).
pub(super) fn refuse(run: &mut Run) -> Turn {
    decline(run, *b"Z1", Fired::Signature, Why::Lied(Lie::Signature))
}
fn decline(run: &mut Run, arc: [u8; 2], fired: Fired, refusal: Why) -> Turn {
    run.put(0x8A, &arc)?;
    let (kind, by, after) = (Cryptogram::Aac, By::HostAndCard, Batch::none());
    last(run, Last { kind, fired, by, refusal, after })
}

/// A host's data objects.
struct Objects<'a> {
    authentication: Option<&'a [u8]>,
    /// Templates 71.
    before: Vec<&'a [u8]>,
    /// Templates 72.
    after: Vec<&'a [u8]>,
}
/// Sound as a whole, one 91 of 8 to 16 bytes at most, not too many scripts, or none is taken; other objects
/// are left out.
fn sort(issuer: &[u8]) -> Option<Objects<'_>> {
    let mut all = Objects { authentication: None, before: Vec::new(), after: Vec::new() };
    for tlv in tlv::read(issuer) {
        let Tlv { tag, value } = tlv.ok()?;
        match tag {
            Tag(0x91) if !(8..=16).contains(&value.len()) => return None,
            Tag(0x91) if all.authentication.replace(value).is_some() => return None,
            Tag(0x71) => all.before.push(value),
            Tag(0x72) => all.after.push(value),
            _ => {}
        }
    }
    Some(all).filter(|all| all.before.len() + all.after.len() <= ISSUER_SCRIPTS_MAX)
}

pub(super) fn answer(run: &mut Run, wait: Wait, reply: &Reply) -> Turn {
    match wait {
        Wait::Issuer(last, before) => {
            run.tsi(Tsi::Issuer);
            if reply.sw != 0x9000 {
                run.tvr(Tvr::IssuerFailed);
            }
            scripts_before(run, last, before)
        }
        Wait::Before(last, mut batch) => {
            batch.answered(run, reply.sw);
            scripts_before(run, last, batch)
        }
        Wait::Cryptogram(asked, last) => ended(run, &asked, last, reply),
        Wait::After(mut batch) => {
            batch.answered(run, reply.sw);
            scripts_after(run, batch)
        }
    }
}

fn scripts_before(run: &mut Run, then: Last, mut batch: Batch) -> Turn {
    match batch.next(run) {
        Some(command) => Ok(Go::Send(command, Phase::Completion(Wait::Before(then, batch)))),
        None => last(run, then),
    }
}

fn last(run: &mut Run, last: Last) -> Turn {
    run.log.push(Note::Action(last.fired, last.kind));
    let (command, asked) = cryptogram::ask(run, last.kind, 0x8D)?;
    Ok(Go::Send(command, Phase::Completion(Wait::Cryptogram(asked, last))))
}

fn ended(run: &mut Run, asked: &cryptogram::Asked, last: Last, reply: &Reply) -> Turn {
    let given = match cryptogram::take(run, asked, reply) {
        Ok(given) => given,
        Err(why) => return Ok(Go::End(Verdict::Declined, why)),
    };
    if !given.signed {
        return Ok(Go::End(Verdict::Declined, Why::Lied(Lie::Signature)));
    }
    run.own.decided = Some(match (given.kind, last.kind) {
        (Cryptogram::Tc, Cryptogram::Tc) => (Verdict::Approved(last.by), Why::Complete),
        (_, Cryptogram::Tc) => (Verdict::Declined, Why::Card),
        (_, Cryptogram::Aac | Cryptogram::Arqc) => (Verdict::Declined, last.refusal),
    });
    if !last.after.is_empty() && matches!(run.own.decided, Some((Verdict::Approved(_), _))) {
        run.write_results()?;
        return Ok(Go::Ask(Step::Completed(run.tags.clone()), Phase::Completed(last.after)));
    }
    scripts_after(run, last.after)
}

pub(super) fn scripts_after(run: &mut Run, mut batch: Batch) -> Turn {
    if let Some(command) = batch.next(run) {
        return Ok(Go::Send(command, Phase::Completion(Wait::After(batch))));
    }
    let (verdict, why) = run.own.decided.ok_or(Why::OutOfOrder)?;
    Ok(Go::End(verdict, why))
}
