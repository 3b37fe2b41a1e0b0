//! Initiate application processing (EMV 4.4 Book 3, functions: initiate application processing, and GET
//! PROCESSING OPTIONS): the card learns what its PDOL asks for, and says what it can and where its records
//! are.
use super::{Go, Phase, Run, Turn, records, selection};
use crate::{
    Command, Reply, Tag,
    step::{Step, Why},
    terminal::Limits,
    tlv,
};

/// Bytes of an application file locator. 252: what a template of one answer holds.
pub const AFL_MAX: usize = 252;

pub(super) fn ask_parameters(run: &Run) -> Go {
    let name = run.aid().map(|a| a.name.clone()).unwrap_or_default();
    Go::Ask(Step::Parameters(name), Phase::Parameters)
}

pub(super) fn begin(run: &mut Run, limits: Option<Limits>) -> Turn {
    let own = run.aid().map(|a| a.limits);
    run.limits = limits.or(own).filter(Limits::hold).ok_or(Why::OutOfOrder)?;
    let floor = run.limits.floor.to_be_bytes();
    run.put(0x9F1B, &floor)?;
    let list = run.tags.get(Tag(0x9F38)).unwrap_or_default().to_vec();
    run.hashed = run.fill(0x9F38, &list)?;
    Ok(Go::Send(Command::get_processing_options(&run.hashed), Phase::Initiation))
}

pub(super) fn answer(run: &mut Run, reply: &Reply) -> Turn {
    match reply.sw {
        0x9000 => {}
        // Conditions of use not satisfied; some cards have an application in name only.
        sw @ (0x6985 | 0x6D00) => return selection::drop(run, Why::Status { ins: 0xA8, sw }),
        sw => return Err(Why::Status { ins: 0xA8, sw }),
    }
    let mut seen = Vec::new();
    if let Some(values) = selection::only(&reply.data, Tag(0x80))? {
        let (aip, afl) = values.split_first_chunk::<2>().ok_or(Why::Malformed(Tag(0x80)))?;
        run.put(0x82, aip)?;
        run.put(0x94, afl)?;
        seen.extend([Tag(0x82), Tag(0x94)]);
    } else {
        let objects = selection::only(&reply.data, Tag(0x77))?.ok_or(Why::Malformed(Tag(0x77)))?;
        for tlv in tlv::read(objects) {
            run.keep(tlv?, Tag(0x77), &mut seen)?;
        }
    }
    let aip = run.tags.get(Tag(0x82)).ok_or(Why::Missing(Tag(0x82)))?;
    run.aip = aip.try_into().map_err(|_| Why::Malformed(Tag(0x82)))?;
    let afl = locate(run.tags.get(Tag(0x94)).ok_or(Why::Missing(Tag(0x94)))?)?;
    records::begin(run, afl, seen)
}

/// Some records of a file.
#[derive(Clone, Copy)]
pub(super) struct Records {
    pub(super) sfi: u8,
    pub(super) first: u8,
    pub(super) last: u8,
    /// So many from the first on are signed.
    pub(super) signed: u8,
}

/// Reads a locator: entries of four bytes, files 1 to 30, records from 1 in order, not more signed than read.
fn locate(afl: &[u8]) -> Result<Vec<Records>, Why> {
    let wrong = Why::Malformed(Tag(0x94));
    let (entries, rest) = afl.as_chunks::<4>();
    if entries.is_empty() || !rest.is_empty() || afl.len() > AFL_MAX {
        return Err(wrong);
    }
    let entry = |&[file, first, last, signed]: &[u8; 4]| {
        let sfi = file >> 3;
        let count = last.checked_sub(first).ok_or(wrong)?;
        let holds =
            (1..=30).contains(&sfi) && file & 0x07 == 0 && first > 0 && signed.saturating_sub(1) <= count;
        if holds { Ok(Records { sfi, first, last, signed }) } else { Err(wrong) }
    };
    entries.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn book_3_10_2_a_locator_has_so_many_bytes_and_no_more() {
        let of = |entries: usize| locate(&[0x08, 1, 2, 2].repeat(entries)).map(|all| all.len());
        assert_eq!(of(AFL_MAX / 4), Ok(AFL_MAX / 4));
        assert_eq!(of(AFL_MAX / 4 + 1), Err(Why::Malformed(Tag(0x94))));
        assert_eq!(of(0), Err(Why::Malformed(Tag(0x94))));
        // All of a file may be signed, not more.
        assert!(locate(&[0x08, 3, 3, 1]).is_ok() && locate(&[0x08, 3, 3, 2]).is_err());
        assert!(locate(&[0x08, 1, 255, 255]).is_ok());
    }
}
