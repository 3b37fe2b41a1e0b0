//! Issuer scripts (EMV 4.4 Book 3 §10.10; Book 4, script results): commands of the issuer that go through the
//! terminal to the card, which judges them.
use super::Run;
use crate::{
    Command, Tag,
    step::Note,
    tlv,
    verification::{Tsi, Tvr},
};

/// The scripts before, or those after the second GENERATE AC.
pub(super) struct Batch {
    scripts: std::vec::IntoIter<Script>,
    current: Option<Script>,
    /// What a script that fails sets.
    bit: Tvr,
}

struct Script {
    /// Place of its result.
    at: usize,
    /// None: it is malformed, nothing of it is sent.
    commands: Option<std::vec::IntoIter<Command>>,
    /// Of the command that was sent last, from 1.
    number: u8,
}

impl Batch {
    pub(super) fn none() -> Self {
        Self { scripts: Vec::new().into_iter(), current: None, bit: Tvr::ScriptAfter }
    }
    /// Each has a result from now on: not performed.
    pub(super) fn new(run: &mut Run, templates: &[&[u8]], bit: Tvr) -> Self {
        let mut scripts = Vec::new();
        for template in templates {
            let (id, commands) = read(template);
            let [a, b, c, d] = id.unwrap_or_default();
            scripts.push(Script { at: run.scripts.len(), commands: commands.map(Vec::into_iter), number: 0 });
            run.scripts.push([0, a, b, c, d]);
        }
        Self { scripts: scripts.into_iter(), current: None, bit }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scripts.len() == 0 && self.current.is_none()
    }

    /// The next command; none: all is done.
    pub(super) fn next(&mut self, run: &mut Run) -> Option<Command> {
        loop {
            let Some(script) = &mut self.current else {
                self.current = Some(self.scripts.next()?);
                run.tsi(Tsi::Scripts);
                continue;
            };
            let Some(commands) = &mut script.commands else {
                run.tvr(self.bit);
                self.end(run);
                continue;
            };
            if let Some(command) = commands.next() {
                script.number = script.number.saturating_add(1);
                // Failed, until the card says otherwise.
                result(run, script, 0x10 | script.number.min(0x0F));
                return Some(command);
            }
            result(run, script, 0x20);
            self.end(run);
        }
    }

    /// What the card says to the command before. A status but 90, 62 and 63 ends its script.
    pub(super) fn answered(&mut self, run: &mut Run, sw: u16) {
        if !matches!(sw >> 8, 0x90 | 0x62 | 0x63) {
            run.tvr(self.bit);
            self.end(run);
        }
    }

    fn end(&mut self, run: &mut Run) {
        let script = self.current.take();
        if let Some(result) = script.and_then(|s| run.scripts.get(s.at).copied()) {
            run.log.push(Note::Script(result));
        }
    }
}

fn result(run: &mut Run, script: &Script, value: u8) {
    if let Some([first, ..]) = run.scripts.get_mut(script.at) {
        *first = value;
    }
}

/// Identifier and commands of a template: at most one 9F18 of four bytes, at least one 86, nothing else. One
/// command that the kernel may not send spoils it.
fn read(template: &[u8]) -> (Option<[u8; 4]>, Option<Vec<Command>>) {
    let id = tlv::find(template, Tag(0x9F18)).ok().flatten().and_then(|id| id.try_into().ok());
    let mut named = false;
    let mut commands = Vec::new();
    for tlv in tlv::read(template) {
        let command = match tlv {
            Ok(tlv) if tlv.tag == Tag(0x9F18) && !named && tlv.value.len() == 4 => {
                named = true;
                continue;
            }
            Ok(tlv) if tlv.tag == Tag(0x86) => Command::of_issuer(tlv.value),
            Ok(_) | Err(_) => None,
        };
        let Some(command) = command else { return (id, None) };
        commands.push(command);
    }
    (id, Some(commands).filter(|c| !c.is_empty()))
}
