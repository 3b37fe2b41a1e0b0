//! Offline data authentication (EMV 4.4 Book 3 §10.3; Book 2): which method, and what its result means for
//! the run. The cryptography is [`crate::oda`]'s.
use super::{Go, Phase, Run, Turn, cardholder, restrictions};
use crate::{
    Command, Reply, Tag, dol,
    fci::only,
    oda::{self, Flaw, Method},
    step::{Note, Proceed, Why},
    tlv,
    verification::{Tsi, Tvr},
};
use zeroize::Zeroizing;

pub(super) fn begin(run: &mut Run, proceed: Proceed) -> Turn {
    run.proceed = proceed;
    if proceed.listed {
        run.tvr(Tvr::Listed);
    }
    match oda::method(run.aip, run.capabilities) {
        None => {
            run.tvr(Tvr::NotAuthenticated);
            run.log.push(Note::Authentication { method: None, flaw: None });
            end(run)
        }
        Some(Method::Sda) => {
            run.tvr(Tvr::SdaSelected);
            match run.authenticate(oda::static_data) {
                Some(Ok(code)) => {
                    run.put(0x9F45, &code)?;
                    done(run, Method::Sda)
                }
                Some(Err(flaw)) => failed(run, Method::Sda, Some(flaw)),
                None => failed(run, Method::Sda, None),
            }
        }
        Some(method @ (Method::Dda | Method::Cda)) => match run.authenticate(oda::card_key) {
            Some(Ok(key)) => {
                run.own.key = Some(key);
                if method == Method::Dda { challenge(run) } else { combined(run) }
            }
            Some(Err(flaw)) => failed(run, method, Some(flaw)),
            None => failed(run, method, None),
        },
    }
}

/// The signature comes with the cryptogram.
fn combined(run: &mut Run) -> Turn {
    run.own.cda = true;
    run.log.push(Note::Authentication { method: Some(Method::Cda), flaw: None });
    end(run)
}

/// The card signs what its DDOL, or the terminal's, asks for; all of 9F37 must be in it.
fn challenge(run: &mut Run) -> Turn {
    let own = run.tags.get(Tag(0x9F49)).map(<[u8]>::to_vec);
    let list = own.or_else(|| run.aid().and_then(|a| a.ddol.clone())).unwrap_or_default();
    let entries = dol::entries(&list).unwrap_or_default();
    if !entries.iter().any(|(tag, len)| *tag == Tag(0x9F37) && *len == 4) {
        return failed(run, Method::Dda, None);
    }
    let values = run.fill(0x9F49, &list)?;
    Ok(Go::Send(Command::internal_authenticate(&values), Phase::Authentication(values)))
}

pub(super) fn answer(run: &mut Run, values: &Zeroizing<Vec<u8>>, reply: &Reply) -> Turn {
    if reply.sw != 0x9000 {
        return Err(Why::Status { ins: 0x88, sw: reply.sw });
    }
    let verdict = match (signature(&reply.data), &run.own.key) {
        (Some(signed), Some(key)) => oda::dynamic_data(key, signed, values),
        (_, _) => return failed(run, Method::Dda, None),
    };
    match verdict {
        Ok(number) => {
            run.put(0x9F4C, &number)?;
            done(run, Method::Dda)
        }
        Err(flaw) => failed(run, Method::Dda, Some(flaw)),
    }
}

/// Signed data of either format; none: the answer is not sound, as one without its length byte.
fn signature(data: &[u8]) -> Option<&[u8]> {
    match (only(data, Tag(0x80)), only(data, Tag(0x77))) {
        (Ok(Some(signed)), _) => Some(signed),
        (_, Ok(Some(objects))) => tlv::find(objects, Tag(0x9F4B)).ok()?,
        (_, _) => None,
    }
}

fn done(run: &mut Run, method: Method) -> Turn {
    run.tsi(Tsi::Authenticated);
    run.log.push(Note::Authentication { method: Some(method), flaw: None });
    end(run)
}

/// `flaw`: none where the data cannot be signed, or the card's answer or list is not sound.
fn failed(run: &mut Run, method: Method, flaw: Option<Flaw>) -> Turn {
    if matches!(flaw, Some(Flaw::MissingData(_))) {
        run.tvr(Tvr::DataMissing);
    }
    run.tvr(match method {
        Method::Sda => Tvr::SdaFailed,
        Method::Dda => Tvr::DdaFailed,
        Method::Cda => Tvr::CdaFailed,
    });
    run.tsi(Tsi::Authenticated);
    let text =
        flaw.map_or_else(|| "what was signed or the signature is malformed".to_owned(), |f| f.to_string());
    run.log.push(Note::Authentication { method: Some(method), flaw: Some(text) });
    end(run)
}

fn end(run: &mut Run) -> Turn {
    restrictions::check(run);
    cardholder::begin(run)
}
