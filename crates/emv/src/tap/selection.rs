//! Combination selection (EMV contactless Book B, combination selection): the directory of taps, the
//! applications that card and terminal have in common, by the card's priority, and the final SELECT. No list
//! of names is tried, and the directory of the contact chip never.
use super::{Go, Kernel, Phase, Run, Turn, kernel_7, preprocess::Combination};
use crate::{
    Command, Reply, Tag,
    fci::{CASH, choice, fci, table},
    step::{Choice, Note, Why},
    tlv,
};

const PPSE: &[u8] = b"2PAY.SYS.DDF01";

/// What selection knows.
#[derive(Default)]
pub(super) struct State {
    /// The next one last.
    candidates: Vec<Candidate>,
    cash: bool,
    blocked: bool,
    /// Why an application that was tried is out.
    dropped: Option<Why>,
}

pub(super) struct Candidate {
    name: Vec<u8>,
    aid: usize,
    combination: Combination,
    choice: Choice,
}

pub(super) fn begin(run: &Run) -> Turn {
    let tapped = run.parameters.aids.iter().any(|aid| aid.tap.is_some() && Kernel::of(&aid.name).is_some());
    if tapped && run.own.combinations.iter().all(Option::is_none) {
        return Err(Why::OverLimit);
    }
    Ok(Go::Send(Command::select(PPSE, false), Phase::Directory))
}

/// The directory's entries stand in the answer to its SELECT, which has room for 28 of them: no bound of
/// their own is needed.
pub(super) fn directory(run: &mut Run, reply: &Reply) -> Turn {
    if reply.sw == 0x6A81 {
        return Err(Why::CardBlocked);
    }
    let sound = if reply.sw == 0x9000 { fci(&reply.data) } else { None };
    let proprietary = sound.filter(|f| f.name == PPSE).ok_or(Why::NoDirectory)?.proprietary;
    let discretionary = tlv::find(proprietary, Tag(0xBF0C))?.ok_or(Why::NoDirectory)?;
    let table = table(proprietary);
    for entry in tlv::read(discretionary) {
        let entry = entry?;
        if entry.tag != Tag(0x61) {
            continue;
        }
        if let Some(candidate) = candidate(run, entry.value, table)? {
            run.own.selection.candidates.push(candidate);
        }
    }
    let candidates = &mut run.own.selection.candidates;
    run.log.push(Note::Candidates(candidates.len()));
    // 1 before 15 before none; of the same priority in the directory's order.
    candidates.sort_by_key(|c| c.choice.priority.unwrap_or(u8::MAX));
    candidates.reverse();
    try_next(run)
}

/// An entry that the terminal can tap, with the longest of its names that fit.
fn candidate(run: &mut Run, entry: &[u8], table: Option<u8>) -> Result<Option<Candidate>, Why> {
    let Some(name) = tlv::find(entry, Tag(0x4F))? else { return Err(Why::Malformed(Tag(0x61))) };
    if !(5..=16).contains(&name.len()) {
        return Err(Why::Malformed(Tag(0x4F)));
    }
    if name.starts_with(CASH) {
        run.own.selection.cash = true;
        return Ok(None);
    }
    let wanted = tlv::find(entry, Tag(0x9F2A))?;
    let aids = run.parameters.aids.iter().enumerate().zip(&run.own.combinations);
    let fits = aids.filter_map(|((at, aid), combination)| {
        let named = aid.name == name || aid.partial && name.starts_with(&aid.name);
        combination.filter(|c| named && is_wanted(wanted, c.kernel)).map(|c| (at, aid.name.len(), c))
    });
    let best = fits.max_by_key(|(_, len, _)| *len);
    Ok(best.map(|(aid, _, combination)| {
        let choice = choice(&run.terminal, name, entry, table);
        Candidate { name: name.to_vec(), aid, combination, choice }
    }))
}

/// Kernel identifier of an entry: bits 8 and 7 of its first byte say that it is one of EMVCo's (00, 01), its
/// value is the kernel; without one, or with 0, it is the provider's.
fn is_wanted(wanted: Option<&[u8]>, kernel: Kernel) -> bool {
    match wanted.and_then(<[u8]>::first) {
        None | Some(0) => true,
        Some(id) => *id == kernel.id(),
    }
}

fn try_next(run: &mut Run) -> Turn {
    let State { candidates, cash, blocked, dropped } = &mut run.own.selection;
    match candidates.pop() {
        Some(next) => Ok(Go::Send(Command::select(&next.name, false), Phase::Selection(next))),
        None if *blocked => Err(Why::ApplicationBlocked),
        None if dropped.is_none() && *cash => Err(Why::OnlyElectronicCash),
        None => Err(dropped.unwrap_or(Why::NoApplication)),
    }
}

/// An application is out: the next one is tried. There are not more of them than there were entries.
pub(super) fn drop(run: &mut Run, why: Why) -> Turn {
    run.own.selection.dropped = Some(why);
    try_next(run)
}

pub(super) fn selected(run: &mut Run, candidate: Candidate, reply: &Reply) -> Turn {
    run.own.selection.blocked |= reply.sw == 0x6283;
    if reply.sw != 0x9000 {
        return drop(run, Why::Status { ins: 0xA4, sw: reply.sw });
    }
    let Some(fci) = fci(&reply.data).filter(|f| f.name == candidate.name) else {
        return drop(run, Why::Malformed(Tag(0x6F)));
    };
    run.select(candidate.aid, candidate.choice, &fci)?;
    run.own.ttq = candidate.combination.ttq;
    run.log.push(Note::Ttq(candidate.combination.ttq));
    match candidate.combination.kernel {
        Kernel::Seven => kernel_7::begin(run),
    }
}
