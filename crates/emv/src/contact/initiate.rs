//! Initiate application processing (EMV 4.4 Book 3, functions: initiate application processing, and GET
//! PROCESSING OPTIONS): the card learns what its PDOL asks for, and says what it can and where its records
//! are.
use super::{Go, Phase, Run, Turn, records, selection};
use crate::{
    Command, Reply, Tag,
    fci::only,
    records::locate,
    step::{Step, Why},
    terminal::Limits,
    tlv,
};

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
    run.own.hashed = run.fill(0x9F38, &list)?;
    Ok(Go::Send(Command::get_processing_options(&run.own.hashed), Phase::Initiation))
}

pub(super) fn answer(run: &mut Run, reply: &Reply) -> Turn {
    match reply.sw {
        0x9000 => {}
        // Conditions of use not satisfied; some cards have an application in name only.
        sw @ (0x6985 | 0x6D00) => return selection::drop(run, Why::Status { ins: 0xA8, sw }),
        sw => return Err(Why::Status { ins: 0xA8, sw }),
    }
    let mut seen = Vec::new();
    if let Some(values) = only(&reply.data, Tag(0x80))? {
        let (aip, afl) = values.split_first_chunk::<2>().ok_or(Why::Malformed(Tag(0x80)))?;
        run.put(0x82, aip)?;
        run.put(0x94, afl)?;
        seen.extend([Tag(0x82), Tag(0x94)]);
    } else {
        let objects = only(&reply.data, Tag(0x77))?.ok_or(Why::Malformed(Tag(0x77)))?;
        for tlv in tlv::read(objects) {
            run.keep(tlv?, Tag(0x77), &mut seen)?;
        }
    }
    let aip = run.tags.get(Tag(0x82)).ok_or(Why::Missing(Tag(0x82)))?;
    run.aip = aip.try_into().map_err(|_| Why::Malformed(Tag(0x82)))?;
    let afl = locate(run.tags.get(Tag(0x94)).ok_or(Why::Missing(Tag(0x94)))?)?;
    records::begin(run, afl, seen)
}
