//! Application selection (EMV 4.4 Book 1, application selection): the payment system environment, else the
//! terminal's list of names; then the customer's choice and the final SELECT.
use super::{Go, Phase, Run, Turn, initiate};
use crate::{
    Command, Reply, Tag,
    fci::{APPLICATIONS_MAX, CASH, Fci, UNION_PAY, choice, fci, only, table},
    step::{Bound, Choice, Note, Step, Why},
    tlv,
};

/// SELECTs of a next application. 64: as many as there may be applications.
pub const SELECTIONS_MAX: u8 = 64;

const PSE: &[u8] = b"1PAY.SYS.DDF01";

/// What selection knows.
#[derive(Default)]
pub(super) struct State {
    candidates: Vec<Candidate>,
    next_selections: u8,
    blocked: bool,
    cash: bool,
    /// Why an application that was tried is out.
    dropped: Option<Why>,
}

pub(super) struct Candidate {
    name: Vec<u8>,
    aid: usize,
    choice: Choice,
}

pub(super) enum Wait {
    Pse,
    Directory {
        sfi: u8,
        record: u8,
        table: Option<u8>,
    },
    /// Name of the terminal's list that is tried.
    Listed {
        aid: usize,
        next: bool,
    },
    Cash,
    Final(Candidate),
}

pub(super) fn begin() -> Go {
    Go::Send(Command::select(PSE, false), Phase::Selection(Wait::Pse))
}

pub(super) fn answer(run: &mut Run, wait: Wait, reply: &Reply) -> Turn {
    let selects = !matches!(wait, Wait::Directory { .. } | Wait::Listed { next: true, .. });
    if selects && reply.sw == 0x6A81 {
        return Err(Why::CardBlocked);
    }
    run.own.selection.blocked |= reply.sw == 0x6283;
    match wait {
        Wait::Pse => match directory(reply) {
            Some((sfi, table)) => Ok(read(sfi, 1, table)),
            None => list(run, 0),
        },
        Wait::Directory { sfi, record, table } => match reply.sw {
            0x9000 => match entries(run, &reply.data, table)? {
                true => match record.checked_add(1) {
                    Some(record) => Ok(read(sfi, record, table)),
                    None => directory_end(run),
                },
                false => from_list(run),
            },
            0x6A83 => directory_end(run),
            _ => from_list(run),
        },
        Wait::Listed { aid, .. } => listed(run, aid, reply),
        Wait::Cash => {
            run.own.selection.cash = matches!(reply.sw, 0x9000 | 0x6283);
            offer(run)
        }
        Wait::Final(candidate) => selected(run, candidate, reply),
    }
}

fn read(sfi: u8, record: u8, table: Option<u8>) -> Go {
    let wait = Wait::Directory { sfi, record, table };
    Go::Send(Command::read_record(sfi, record), Phase::Selection(wait))
}

/// File of the directory and code table of its names, of a sound environment.
fn directory(reply: &Reply) -> Option<(u8, Option<u8>)> {
    if reply.sw != 0x9000 {
        return None;
    }
    let Fci { proprietary, .. } = fci(&reply.data)?;
    let &[sfi @ 1..=10] = tlv::find(proprietary, Tag(0x88)).ok()?? else { return None };
    Some((sfi, table(proprietary)))
}

fn directory_end(run: &mut Run) -> Turn {
    if run.own.selection.candidates.is_empty() { list(run, 0) } else { offer(run) }
}
/// The directory is no good: nothing of it counts.
fn from_list(run: &mut Run) -> Turn {
    run.own.selection.candidates.clear();
    list(run, 0)
}

/// Takes the entries of a directory record; false: it is malformed.
fn entries(run: &mut Run, record: &[u8], table: Option<u8>) -> Result<bool, Why> {
    let Ok(Some(record)) = only(record, Tag(0x70)) else { return Ok(false) };
    for entry in tlv::read(record) {
        let Ok(entry) = entry else { return Ok(false) };
        if entry.tag != Tag(0x61) {
            continue;
        }
        let Ok(Some(name)) = tlv::find(entry.value, Tag(0x4F)) else { return Ok(false) };
        let fits = |aid: &crate::terminal::Aid| {
            (5..=16).contains(&name.len()) && (aid.name == name || aid.partial && name.starts_with(&aid.name))
        };
        let aids = &run.parameters.aids;
        let best = aids.iter().enumerate().filter(|(_, a)| fits(a)).max_by_key(|(_, a)| a.name.len());
        if let Some((aid, _)) = best {
            let choice = choice(&run.terminal, name, entry.value, table);
            add(run, Candidate { name: name.to_vec(), aid, choice })?;
        } else if name.starts_with(CASH) {
            run.own.selection.cash = true;
        }
    }
    Ok(true)
}

/// Tries the terminal's list from a place on.
fn list(run: &mut Run, aid: usize) -> Turn {
    let aids = &run.parameters.aids;
    if let Some(found) = aids.get(aid) {
        let wait = Wait::Listed { aid, next: false };
        return Ok(Go::Send(Command::select(&found.name, false), Phase::Selection(wait)));
    }
    let asks = run.own.selection.candidates.is_empty() && aids.iter().any(|a| a.name.starts_with(UNION_PAY));
    if asks {
        return Ok(Go::Send(Command::select(CASH, false), Phase::Selection(Wait::Cash)));
    }
    offer(run)
}

fn listed(run: &mut Run, at: usize, reply: &Reply) -> Turn {
    let Some(aid) = run.parameters.aids.get(at) else { return offer(run) };
    let found = if matches!(reply.sw, 0x9000 | 0x6283) { fci(&reply.data) } else { None };
    let Some(Fci { name, proprietary }) = found.filter(|f| f.name.starts_with(&aid.name)) else {
        return list(run, at.saturating_add(1));
    };
    let exact = name.len() == aid.name.len();
    let fits = (exact || aid.partial) && reply.sw == 0x9000;
    let command = Command::select(&aid.name, true);
    if fits {
        let choice = choice(&run.terminal, name, proprietary, table(proprietary));
        add(run, Candidate { name: name.to_vec(), aid: at, choice })?;
    }
    if exact {
        return list(run, at.saturating_add(1));
    }
    if run.own.selection.next_selections == SELECTIONS_MAX {
        return Err(Why::Bound(Bound::Selections));
    }
    run.own.selection.next_selections += 1;
    Ok(Go::Send(command, Phase::Selection(Wait::Listed { aid: at, next: true })))
}

/// A name that fits more than one of the terminal's is the longest one's.
fn add(run: &mut Run, candidate: Candidate) -> Result<(), Why> {
    let State { candidates, cash, .. } = &mut run.own.selection;
    if candidate.name.starts_with(CASH) {
        *cash = true;
        return Ok(());
    }
    let len = |aid: usize| run.parameters.aids.get(aid).map_or(0, |a| a.name.len());
    if let Some(known) = candidates.iter_mut().find(|c| c.name == candidate.name) {
        if len(candidate.aid) > len(known.aid) {
            known.aid = candidate.aid;
        }
        return Ok(());
    }
    if candidates.len() == APPLICATIONS_MAX {
        return Err(Why::Bound(Bound::Applications));
    }
    candidates.push(candidate);
    Ok(())
}

/// Lets the customer choose, or takes the only one. After one that was tried and is out, he is always asked.
fn offer(run: &mut Run) -> Turn {
    let State { candidates, blocked, cash, dropped, .. } = &mut run.own.selection;
    run.log.push(Note::Candidates(candidates.len()));
    candidates.sort_by_key(|c| c.choice.priority.unwrap_or(u8::MAX));
    match &candidates[..] {
        [] if *blocked => Err(Why::ApplicationBlocked),
        [] if *cash => Err(Why::OnlyElectronicCash),
        [] => Err(dropped.unwrap_or(Why::NoApplication)),
        [one] if !one.choice.confirm && dropped.is_none() => chosen(run, Some(0)),
        several => {
            let choices = several.iter().map(|c| c.choice.clone()).collect();
            Ok(Go::Ask(Step::Choose(choices), Phase::Choice))
        }
    }
}

pub(super) fn chosen(run: &mut Run, at: Option<usize>) -> Turn {
    let at = at.ok_or(Why::Cancelled)?;
    let candidates = &mut run.own.selection.candidates;
    if at >= candidates.len() {
        return Err(Why::OutOfOrder);
    }
    // It comes back only by another run.
    let candidate = candidates.remove(at);
    Ok(Go::Send(Command::select(&candidate.name, false), Phase::Selection(Wait::Final(candidate))))
}

/// An application is out: another one may be chosen.
pub(super) fn drop(run: &mut Run, why: Why) -> Turn {
    run.own.selection.dropped = Some(why);
    offer(run)
}

fn selected(run: &mut Run, candidate: Candidate, reply: &Reply) -> Turn {
    if reply.sw != 0x9000 {
        return drop(run, Why::Status { ins: 0xA4, sw: reply.sw });
    }
    let Some(fci) = fci(&reply.data).filter(|f| f.name == candidate.name) else {
        return drop(run, Why::Malformed(Tag(0x6F)));
    };
    run.select(candidate.aid, candidate.choice, &fci)?;
    Ok(initiate::ask_parameters(run))
}
