//! Driver `pcsc`: chip readers over pcscd, the PC/SC service of Linux.
//!
//! Two connections to pcscd stand behind a reader. One watches what lies in it ([`watch`]), so that a wait is
//! ended by a condition variable: SCardCancel ends no wait that is yet to begin, and may block. The other one
//! speaks to the card, on a thread of its own for each card ([`talk`]): SCardTransmit has no deadline, and a
//! thread that a card never answers is left to itself until the card is pulled.
//!
//! Traps: a driver may report an empty answer as a success, where the card was pulled (vpcd does). A pull is
//! known only when pcscd has asked the reader again, up to 0.4 s behind the command that failed of it. The
//! names of readers end in numbers that depend on the order in which they were plugged in. pcscd started with
//! `--apdu` writes every command and answer to its log, card numbers too.
mod talk;
mod watch;

use crate::{CardDevice, CardFault, CardReader, DeviceError, Env, Face, Interrupt, Registration, options};
use payterm_schema::{DeviceKind, card::Interface, config::DeviceConfig, selftest::Finding};
use pcsc::{Context, Error, Scope};
use serde::Deserialize;
use std::{ffi::CString, io, sync::Arc, time::Duration};
use talk::{Job, NoAnswer, Talk};
use watch::Watch;
use zeroize::Zeroizing;

/// Time for a card to be powered. 5 s: the reader may try three voltages, with 1 s for an answer each.
const POWER_TIME: Duration = Duration::from_secs(5);
/// Time for a card to be switched off. 2 s: it answers nothing to it.
const OFF_TIME: Duration = Duration::from_secs(2);
/// Time within which a pull shows behind a command that failed. 1 s: twice what pcscd takes to see it.
const PULL_TIME: Duration = Duration::from_secs(1);

/// Row of this driver in the register.
pub(crate) fn registration() -> Registration {
    Registration {
        driver: "pcsc".into(),
        kinds: [DeviceKind::ChipReader, DeviceKind::ContactlessReader].as_slice().into(),
        is_virtual: false,
        shows_pins: false,
        runs_cards: Some(Arc::new(|_, kernel| kernel)),
        check: Arc::new(|device| read(device).map(drop)),
        open: Arc::new(open),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Name of the reader, or a part of it that no other one has; none: the only reader.
    reader: Option<String>,
}

fn read(device: &DeviceConfig) -> Result<Options, DeviceError> {
    if device.address.is_some() {
        return Err(DeviceError::rule(&device.name, "address", "a reader is chosen by options.reader"));
    }
    let read: Options = options(device)?;
    if read.reader.as_ref().is_some_and(String::is_empty) {
        return Err(DeviceError::rule(&device.name, "options.reader", "a part of the reader's name"));
    }
    Ok(read)
}

fn open(device: &DeviceConfig, env: &Env) -> Result<Vec<Face>, DeviceError> {
    let Options { reader: rule } = read(device)?;
    let contact = device.kind == DeviceKind::ChipReader;
    let interface = if contact { Interface::Contact } else { Interface::Contactless };
    let reader = Box::new(PcscReader::open(&device.name, rule, interface)?);
    let kernel = env.kernel.as_ref().map(|make| make());
    let face = if contact { Face::ChipReader } else { Face::ContactlessReader };
    Ok(vec![face(CardDevice { reader, kernel })])
}

/// The reader that the rule names.
fn choose(device: &str, rule: Option<&str>, names: Vec<CString>) -> Result<CString, DeviceError> {
    let fits = |name: &CString| rule.is_none_or(|rule| name.to_string_lossy().contains(rule));
    let exact = |name: &&CString| rule.is_some_and(|rule| name.to_bytes() == rule.as_bytes());
    let chosen: Vec<CString> = match names.iter().find(exact) {
        Some(name) => vec![name.clone()],
        None => names.into_iter().filter(fits).collect(),
    };
    match chosen.as_slice() {
        [] => Err(DeviceError::Gone { device: device.into() }),
        [name] => Ok(name.clone()),
        several => Err(DeviceError::rule(
            device,
            "options.reader",
            format!("names one reader, where there are {several:?}"),
        )),
    }
}

/// Chip reader of pcscd, with the card that was found.
struct PcscReader {
    device: String,
    rule: Option<String>,
    interface: Interface,
    name: CString,
    watch: Arc<Watch>,
    found: Option<Found>,
    /// Card that was let go of: it is to be pulled before it is found again.
    spent: Option<u32>,
}
struct Found {
    /// Number of the insertion.
    card: u32,
    talk: Talking,
}
enum Talking {
    NotYet,
    Now(Talk),
    /// It failed: this card says nothing any more.
    Over,
}

impl PcscReader {
    fn open(device: &str, rule: Option<String>, interface: Interface) -> Result<Self, DeviceError> {
        let (context, names) = readers(device)?;
        let name = choose(device, rule.as_deref(), names)?;
        let watch = Watch::begin(context, &name).map_err(|e| DeviceError::io(device, "watching it", e))?;
        Ok(Self { device: device.into(), rule, interface, name, watch, found: None, spent: None })
    }

    /// One job for the card that was found. One that failed once is not asked again.
    fn ask(&mut self, job: Job, within: Duration) -> Result<Zeroizing<Vec<u8>>, CardFault> {
        let Some(Found { card, talk }) = &mut self.found else { return Err(CardFault::Removed) };
        let card = *card;
        let said = match talk {
            Talking::Now(talk) => talk.ask(job, within),
            Talking::NotYet | Talking::Over => return Err(self.end_of(card, Duration::ZERO)),
        };
        let failed = match said {
            Ok(answer) if answer.len() >= 2 => return Ok(answer),
            said => said.err(),
        };
        *talk = Talking::Over;
        Err(match failed {
            Some(NoAnswer::Failed(Error::RemovedCard | Error::NoSmartcard)) => CardFault::Removed,
            Some(NoAnswer::Failed(e @ (Error::ResetCard | Error::SharingViolation))) => {
                DeviceError::io(&self.device, "keeping the card to itself", io::Error::other(e)).into()
            }
            // Its time is over: what is known by now.
            Some(NoAnswer::Late) => self.end_of(card, Duration::ZERO),
            Some(NoAnswer::Failed(_)) | None => self.end_of(card, PULL_TIME),
        })
    }

    /// How the talk with a card ended that failed: it was pulled, is still there and says nothing, or the
    /// reader was lost.
    fn end_of(&self, card: u32, within: Duration) -> CardFault {
        match self.watch.is_pulled(card, within) {
            Ok(true) => CardFault::Removed,
            Ok(false) => CardFault::Mute,
            Err(lost) => CardFault::Reader(lost.error(&self.device)),
        }
    }
}

/// A connection to pcscd, and its readers.
fn readers(device: &str) -> Result<(Context, Vec<CString>), DeviceError> {
    let error = |e| DeviceError::io(device, "asking pcscd", io::Error::other(e));
    let context = Context::establish(Scope::System).map_err(error)?;
    let names = match context.list_readers_owned() {
        Ok(names) => names,
        Err(Error::NoReadersAvailable) => Vec::new(),
        Err(e) => return Err(error(e)),
    };
    Ok((context, names))
}

impl CardReader for PcscReader {
    fn wait(&mut self, timeout: Duration) -> Result<Option<Interface>, DeviceError> {
        let card = self.watch.wait(timeout, self.spent).map_err(|lost| lost.error(&self.device))?;
        let Some(card) = card else { return Ok(None) };
        if self.found.as_ref().is_none_or(|found| found.card != card) {
            (self.found, self.spent) = (Some(Found { card, talk: Talking::NotYet }), None);
        }
        Ok(Some(self.interface))
    }
    fn power(&mut self) -> Result<Vec<u8>, CardFault> {
        if let Some(found @ Found { talk: Talking::NotYet, .. }) = &mut self.found {
            let talk = Talk::begin(self.name.clone());
            found.talk =
                Talking::Now(talk.map_err(|e| DeviceError::io(&self.device, "starting a thread", e))?);
        }
        self.ask(Job::Power, POWER_TIME).map(|answer| answer.to_vec())
    }
    fn transmit(&mut self, command: &[u8], timeout: Duration) -> Result<Zeroizing<Vec<u8>>, CardFault> {
        self.ask(Job::Send(Zeroizing::new(command.to_vec())), timeout)
    }
    fn present(&mut self) -> Result<bool, DeviceError> {
        let Some(found) = &self.found else { return Ok(false) };
        let pulled = self.watch.is_pulled(found.card, Duration::ZERO);
        pulled.map(|pulled| !pulled).map_err(|lost| lost.error(&self.device))
    }
    fn occupied(&mut self) -> Result<bool, DeviceError> {
        let card = self.watch.card().map_err(|lost| lost.error(&self.device))?;
        Ok(card.is_some() && card == self.spent)
    }
    fn release(&mut self) -> Result<(), DeviceError> {
        let found = self.found.take();
        let taken = found.as_ref().filter(|found| !matches!(found.talk, Talking::NotYet)).map(|f| f.card);
        if let Some(Found { talk: Talking::Now(talk), .. }) = found {
            talk.hang_up(OFF_TIME);
        }
        let now = self.watch.card().map_err(|lost| lost.error(&self.device))?;
        self.spent = taken.or(now);
        Ok(())
    }
    fn interrupt(&self) -> Interrupt {
        let watch = self.watch.clone();
        Arc::new(move || watch.interrupt())
    }
    /// Tests that pcscd answers, and still has the reader.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        let (_, names) = readers(&self.device)?;
        let chosen = choose(&self.device, self.rule.as_deref(), names)?;
        if chosen == self.name {
            Ok(Finding::works())
        } else {
            Err(DeviceError::Gone { device: self.device.clone() })
        }
    }
}
impl Drop for PcscReader {
    fn drop(&mut self) {
        self.watch.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_named_whole_or_by_a_part_that_no_other_has() {
        let names = || ["Desk 00 00", "Desk 00 00 (2)", "Pad 01 00"].map(|name| CString::new(name).unwrap());
        let chosen = |rule: Option<&str>| choose("chip", rule, names().to_vec());
        assert_eq!(chosen(Some("Pad")).unwrap().to_bytes(), b"Pad 01 00");
        assert_eq!(chosen(Some("Desk 00 00")).unwrap().to_bytes(), b"Desk 00 00", "the whole name");
        assert!(matches!(chosen(Some("Till")), Err(DeviceError::Gone { .. })));
        for rule in [None, Some("Desk")] {
            let why = chosen(rule).unwrap_err().to_string();
            assert!(
                why.starts_with("device chip: options.reader: ") && why.contains("Desk 00 00 (2)"),
                "{why}"
            );
            assert_eq!(why.contains("Pad"), rule.is_none(), "{why}");
        }
        let one = vec![CString::new("Desk 00 00").unwrap()];
        assert_eq!(choose("chip", None, one).unwrap().to_bytes(), b"Desk 00 00");
    }
}
