//! Terminal action analysis and the first GENERATE AC (EMV 4.4 Book 3 §10.7 and card action analysis).
use super::{Go, Phase, Run, Turn, completion, cryptogram};
use crate::{
    Reply, Tag,
    command::Cryptogram,
    step::{By, Fired, Lie, Note, Online, Step, Then, Verdict, Why},
    terminal::Depth,
    verification::Tsi,
};

pub(super) fn begin(run: &mut Run) -> Turn {
    let limits = run.limits;
    let default = || matches(run, 0x9F0D, 0xFF, limits.default);
    let (fired, kind) = if matches(run, 0x9F0E, 0x00, limits.denial) {
        (Fired::Denial, Cryptogram::Aac)
    } else if run.is_online_only() {
        (Fired::OnlineOnly, Cryptogram::Arqc)
    } else if run.terminal.is_offline_only() {
        if default() { (Fired::Default, Cryptogram::Aac) } else { (Fired::Nothing, Cryptogram::Tc) }
    } else if matches(run, 0x9F0F, 0xFF, limits.online) {
        (Fired::Online, Cryptogram::Arqc)
    } else {
        (Fired::Nothing, Cryptogram::Tc)
    };
    run.log.push(Note::Action(fired, kind));
    let kind = match run.transaction.depth {
        Depth::Decline => {
            run.log.push(Note::Action(Fired::Depth, Cryptogram::Aac));
            Cryptogram::Aac
        }
        Depth::Full | Depth::Read => kind,
    };
    match kind {
        Cryptogram::Tc => run.put(0x8A, b"Y1")?,
        Cryptogram::Aac => run.put(0x8A, b"Z1")?,
        Cryptogram::Arqc => {}
    }
    let (command, asked) = cryptogram::ask(run, kind, 0x8C)?;
    Ok(Go::Send(command, Phase::Action(asked)))
}

/// The results have a bit of the issuer's action code, or of the terminal's. A card without the code has all
/// of its bits `missing`.
pub(super) fn matches(run: &Run, issuer: u32, missing: u8, terminal: [u8; 5]) -> bool {
    let missing = [missing; 5];
    let issuer = run.tags.get(Tag(issuer)).unwrap_or(&missing);
    run.tvr.iter().zip(issuer).zip(terminal).any(|((tvr, issuer), terminal)| tvr & (issuer | terminal) != 0)
}

pub(super) fn answer(run: &mut Run, asked: &cryptogram::Asked, reply: &Reply) -> Turn {
    let given = match cryptogram::take(run, asked, reply) {
        Ok(given) => given,
        Err(why @ Why::Lied(_)) => return Ok(Go::End(Verdict::Declined, why)),
        Err(why) => return Err(why),
    };
    run.tsi(Tsi::CardRisk);
    match (given.kind, given.signed) {
        (Cryptogram::Aac, _) => Ok(Go::End(Verdict::Declined, Why::Card)),
        (Cryptogram::Tc, false) => Ok(Go::End(Verdict::Declined, Why::Lied(Lie::Signature))),
        (Cryptogram::Tc, true) => Ok(Go::End(Verdict::Approved(By::Card), Why::Complete)),
        (Cryptogram::Arqc, signed) => {
            // It was for a TC.
            run.tags.remove(Tag(0x8A));
            if !signed {
                return completion::refuse(run);
            }
            if run.terminal.is_offline_only() {
                return completion::unable(run, run.proceed.offline);
            }
            run.write_results()?;
            let online = Online { tags: run.tags.clone(), cvm: run.cvm, then: Then::Card };
            Ok(Go::Ask(Step::Online(Box::new(online)), Phase::Online))
        }
    }
}
