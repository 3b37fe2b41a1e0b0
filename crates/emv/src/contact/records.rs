//! Read application data (EMV 4.4 Book 3, functions: read application data), up to the word to go on.
use super::{Go, Phase, Run, Turn};
use crate::{
    Reply, Tag,
    records::{Reading, Records},
    step::{Step, Why},
};

pub(super) fn begin(run: &mut Run, afl: Vec<Records>, seen: Vec<Tag>) -> Turn {
    go_on(run, Reading::new(afl, seen))
}

pub(super) fn answer(run: &mut Run, mut reading: Reading, reply: &Reply) -> Turn {
    reading.take(run, reply)?;
    go_on(run, reading)
}

fn go_on(run: &mut Run, reading: Reading) -> Turn {
    if let Some(command) = reading.command() {
        return Ok(Go::Send(command, Phase::Records(reading)));
    }
    for tag in [0x5A, 0x5F24, 0x8C, 0x8D] {
        if !run.tags.has(Tag(tag)) {
            return Err(Why::Missing(Tag(tag)));
        }
    }
    run.close_signed();
    Ok(Go::Ask(Step::Read(Box::new(run.card_read()?)), Phase::Read))
}
