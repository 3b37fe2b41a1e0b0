//! Talk with one card, on a thread of its own: it may be given up in the middle of a command.
use pcsc::{Card, Context, Disposition, Error, MAX_BUFFER_SIZE, Protocol, Protocols, Scope, ShareMode};
use std::{
    borrow::Cow,
    ffi::{CStr, CString},
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::Duration,
};
use zeroize::Zeroizing;

pub(super) enum Job {
    /// Connects to the card, or resets it; answered with its ATR.
    Power,
    /// A command, answered with what the card says.
    Send(Zeroizing<Vec<u8>>),
}

pub(super) enum NoAnswer {
    Late,
    Failed(Error),
}

type Answer = Result<Zeroizing<Vec<u8>>, Error>;

/// Talk. Dropped, it is hung up: the card is switched off as soon as the thread has an answer.
pub(super) struct Talk {
    jobs: SyncSender<Job>,
    answers: Receiver<Answer>,
}

impl Talk {
    pub(super) fn begin(reader: CString) -> io::Result<Self> {
        let ((jobs, taken), (says, answers)) = (sync_channel::<Job>(1), sync_channel(1));
        std::thread::Builder::new().name("pcsc-talk".into()).spawn(move || {
            let mut powered = None;
            for job in taken {
                // Nobody listens: nor does anybody send another job.
                if says.send(answer(job, &mut powered, &reader)).is_err() {
                    break;
                }
            }
            if let Some(Powered { card, .. }) = powered {
                // The drop of a card resets it, and a reset one is powered.
                card.disconnect(Disposition::UnpowerCard).map_err(drop).ok();
            }
        })?;
        Ok(Self { jobs, answers })
    }

    /// Hands a job to the thread. A talk that was late once is to be hung up.
    pub(super) fn ask(&self, job: Job, within: Duration) -> Result<Zeroizing<Vec<u8>>, NoAnswer> {
        // A thread that is gone gives no answer.
        self.jobs.send(job).ok();
        match self.answers.recv_timeout(within) {
            Ok(answer) => answer.map_err(NoAnswer::Failed),
            Err(RecvTimeoutError::Timeout) => Err(NoAnswer::Late),
            Err(RecvTimeoutError::Disconnected) => Err(NoAnswer::Failed(Error::InternalError)),
        }
    }

    /// Ends the talk, and waits this long until the card is switched off.
    pub(super) fn hang_up(self, within: Duration) {
        drop(self.jobs);
        // No job is under way: the thread ends, and says nothing.
        self.answers.recv_timeout(within).ok();
    }
}

/// Card that is powered.
struct Powered {
    card: Card,
    is_t0: bool,
}

fn answer(job: Job, powered: &mut Option<Powered>, reader: &CStr) -> Answer {
    match (job, powered) {
        (Job::Power, place) => {
            let card = match place.take() {
                Some(Powered { mut card, .. }) => {
                    card.reconnect(ShareMode::Exclusive, Protocols::ANY, Disposition::ResetCard)?;
                    card
                }
                None => {
                    let context = Context::establish(Scope::System)?;
                    context.connect(reader, ShareMode::Exclusive, Protocols::ANY)?
                }
            };
            let status = card.status2_owned()?;
            *place = Some(Powered { card, is_t0: status.protocol2() == Some(Protocol::T0) });
            Ok(Zeroizing::new(status.atr().to_vec()))
        }
        (Job::Send(command), Some(Powered { card, is_t0 })) => {
            let mut room = Zeroizing::new([0; MAX_BUFFER_SIZE]);
            let answer = card.transmit(&in_protocol(&command, *is_t0), &mut *room)?;
            Ok(Zeroizing::new(answer.to_vec()))
        }
        (Job::Send(_), None) => Err(Error::UnpoweredCard),
    }
}

/// The command as pcscd's drivers want it: over T=0 a length of the answer behind data is not sent (ISO/IEC
/// 7816-3, case 4: the card says 61xx), and one without lengths has P3 = 00 (case 1).
fn in_protocol(command: &[u8], is_t0: bool) -> Cow<'_, [u8]> {
    match command {
        [_, _, _, _] if is_t0 => [command, &[0]].concat().into(),
        [data @ .., _] if is_t0 && command.get(4).is_some_and(|lc| data.len() == 5 + usize::from(*lc)) => {
            data.into()
        }
        _ => command.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_4_has_no_length_of_its_answer_over_t0() {
        let select = b"\x00\xA4\x04\x00\x02\x31\x32\x00";
        assert_eq!(*in_protocol(select, true), select[..7]);
        assert_eq!(*in_protocol(select, false), select[..]);
        for whole in [&b"\x00\xB2\x01\x0C\x00"[..], b"\x00\x20\x00\x80\x02\x12\x34", b"\x00\xC0\x00\x00\x10"]
        {
            assert_eq!(*in_protocol(whole, true), *whole);
        }
        assert_eq!(*in_protocol(b"\x00\x84\x00\x00", true), *b"\x00\x84\x00\x00\x00");
        assert_eq!(in_protocol(b"\x00\x84\x00\x00", false).len(), 4);
    }
}
