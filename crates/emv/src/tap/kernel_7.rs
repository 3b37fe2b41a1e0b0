//! Kernel 7, UnionPay quickPass (qPBOC; EMV contactless Book C-7, and PBOC 3.0 part 12 by what is public of
//! it): one GET PROCESSING OPTIONS gives the cryptogram, records what is signed. The host decides an ARQC, a
//! dynamic signature (fDDA, version 01) a TC.
use super::{
    Go, Phase, Run, Turn,
    preprocess::{CVM_REQUIRED, ONLINE_PIN, ONLINE_REQUIRED, SIGNATURE},
    selection,
};
use crate::{
    Command, Reply, Tag,
    command::Cryptogram,
    dol,
    fci::only,
    oda,
    records::{Reading, locate},
    step::{
        By, HostWord, Input, Lie, Next, Note, Online, PinAsk, PinWord, Proceed, Step, Then, Verdict, Why,
    },
    terminal::{Depth, day},
    tlv,
};

/// Version of the dynamic signature, the first byte of 9F69.
const FDDA_VERSION: u8 = 0x01;

/// Where the kernel waits.
pub(super) enum Wait {
    Options,
    Records(Reading, Cryptogram),
    Read(Cryptogram),
    Pin,
    Online,
}

/// The card must be told what the terminal wants of it.
pub(super) fn begin(run: &mut Run) -> Turn {
    let ttq = run.own.ttq;
    run.put(0x9F66, &ttq)?;
    let list = run.tags.get(Tag(0x9F38)).ok_or(Why::Missing(Tag(0x9F38)))?.to_vec();
    if !dol::entries(&list)?.contains(&(Tag(0x9F66), 4)) {
        return Err(Why::Missing(Tag(0x9F66)));
    }
    let values = run.fill(0x9F38, &list)?;
    Ok(Go::Send(Command::get_processing_options(&values), Phase::Kernel7(Wait::Options)))
}

pub(super) fn answer(run: &mut Run, wait: Wait, reply: &Reply) -> Turn {
    match wait {
        Wait::Options => options(run, reply),
        Wait::Records(mut reading, given) => {
            reading.take(run, reply)?;
            records(run, reading, given)
        }
        Wait::Read(_) | Wait::Pin | Wait::Online => Err(Why::OutOfOrder),
    }
}

pub(super) fn told(run: &mut Run, wait: Wait, input: &Input<'_>) -> Turn {
    match (wait, input) {
        (Wait::Read(_), Input::Proceed(_)) if run.transaction.depth == Depth::Read => {
            Ok(Go::End(Verdict::Read, Why::Complete))
        }
        (Wait::Read(given), Input::Proceed(proceed)) => proceeded(run, given, *proceed),
        (Wait::Pin, Input::Pin(word)) => match word {
            PinWord::Entered => {
                run.cvm.online_pin = true;
                run.results = [0x02, 0, 0];
                online(run)
            }
            PinWord::Bypassed | PinWord::NoPad => Err(Why::NoCvm),
            PinWord::Cancelled => Err(Why::Cancelled),
            PinWord::Status(_) => Err(Why::OutOfOrder),
        },
        (Wait::Online, Input::Host(word)) => Ok(host(word)),
        (_, _) => Err(Why::OutOfOrder),
    }
}

fn options(run: &mut Run, reply: &Reply) -> Turn {
    match reply.sw {
        0x9000 => {}
        // Conditions of use not satisfied; some cards have an application in name only.
        sw @ (0x6985 | 0x6D00) => return selection::drop(run, Why::Status { ins: 0xA8, sw }),
        sw => return Err(Why::Status { ins: 0xA8, sw }),
    }
    // Format 1 has no cryptogram: the card began a contact run, or one with a stripe's data.
    let objects = only(&reply.data, Tag(0x77))?.ok_or(Why::Format)?;
    let mut seen = Vec::new();
    for tlv in tlv::read(objects) {
        run.keep(tlv?, Tag(0x77), &mut seen)?;
    }
    for tag in [0x82, 0x9F10, 0x9F26, 0x9F36] {
        if !run.tags.has(Tag(tag)) {
            return Err(Why::Missing(Tag(tag)));
        }
    }
    run.aip = run.tags.get(Tag(0x82)).and_then(|v| v.try_into().ok()).ok_or(Why::Malformed(Tag(0x82)))?;
    if let Some(&[a, b]) = run.tags.get(Tag(0x9F6C)) {
        run.log.push(Note::Ctq([a, b]));
    }
    let given = given(run)?;
    run.cid = Some(given as u8);
    run.log.push(Note::Cid(given as u8));
    run.put(0x9F27, &[given as u8])?;
    let [_, needs, ..] = run.own.ttq;
    if given == Cryptogram::Tc && needs & ONLINE_REQUIRED != 0 {
        return Err(Why::Lied(Lie::Cryptogram));
    }
    if given == Cryptogram::Aac && run.transaction.depth != Depth::Read {
        return Ok(Go::End(Verdict::Declined, Why::Card));
    }
    let files = run.tags.get(Tag(0x94)).map(locate).transpose()?.unwrap_or_default();
    records(run, Reading::new(files, seen), given)
}

/// Kind of the cryptogram: by the card's verification results in 9F10 (byte 5, bits 6 and 5), and by 9F27
/// where the card gives it; one that says both ways is not believed.
fn given(run: &Run) -> Result<Cryptogram, Why> {
    let kind = |bits: u8, tag: u32| match bits & 0x03 {
        0 => Ok(Cryptogram::Aac),
        1 => Ok(Cryptogram::Tc),
        2 => Ok(Cryptogram::Arqc),
        _ => Err(Why::Malformed(Tag(tag))),
    };
    let results = run.tags.get(Tag(0x9F10)).and_then(|iad| iad.get(4)).ok_or(Why::Malformed(Tag(0x9F10)))?;
    let given = kind(results >> 4, 0x9F10)?;
    match run.tags.get(Tag(0x9F27)).and_then(<[u8]>::first) {
        Some(cid) if kind(cid >> 6, 0x9F27)? != given => Err(Why::Lied(Lie::Cryptogram)),
        Some(_) | None => Ok(given),
    }
}

fn records(run: &mut Run, reading: Reading, given: Cryptogram) -> Turn {
    if let Some(command) = reading.command() {
        return Ok(Go::Send(command, Phase::Kernel7(Wait::Records(reading, given))));
    }
    run.close_signed();
    let read = run.card_read()?;
    Ok(Go::Ask(Step::Read(Box::new(read)), Phase::Kernel7(Wait::Read(given))))
}

/// The card has said all: restrictions, its signature and the cardholder's verification follow.
fn proceeded(run: &mut Run, given: Cryptogram, proceed: Proceed) -> Turn {
    run.proceed = proceed;
    if given == Cryptogram::Tc {
        // Its qualifiers said so before the card was known, or another account takes it.
        if run.is_online_only() {
            return Ok(Go::End(Verdict::Declined, Why::OnlineOnly));
        }
        if let Some(end) = refused(run) {
            return Ok(end);
        }
    } else if run.terminal.is_offline_only() {
        return Ok(Go::End(Verdict::Declined, Why::NotSent));
    }
    let method = method(run)?;
    match (method, given) {
        (Method::OnlinePin, Cryptogram::Arqc) => {
            Ok(Go::Ask(Step::Pin(PinAsk::Online), Phase::Kernel7(Wait::Pin)))
        }
        // Nobody would look at it.
        (Method::OnlinePin, _) => Err(Why::NoCvm),
        (Method::Device, _) => {
            run.cvm.device = true;
            decided(run, given)
        }
        (Method::Signature, _) => {
            run.cvm.sign = true;
            run.results = [0x1E, 0, 0];
            decided(run, given)
        }
        (Method::None, _) => decided(run, given),
    }
}

fn decided(run: &mut Run, given: Cryptogram) -> Turn {
    match given {
        Cryptogram::Tc => Ok(Go::End(Verdict::Approved(By::Card), Why::Complete)),
        Cryptogram::Arqc => online(run),
        Cryptogram::Aac => Ok(Go::End(Verdict::Declined, Why::Card)),
    }
}

fn online(run: &mut Run) -> Turn {
    run.write_results()?;
    let online = Online { tags: run.tags.clone(), cvm: run.cvm, then: Then::Final };
    Ok(Go::Ask(Step::Online(Box::new(online)), Phase::Kernel7(Wait::Online)))
}

/// Why a TC is not taken: exception file, dates, signature. A card may wish to be inserted where its
/// signature is not right (9F6C byte 1 bit 5).
fn refused(run: &mut Run) -> Option<Go> {
    if run.proceed.listed {
        return Some(Go::End(Verdict::Declined, Why::Listed));
    }
    let date = |tag| run.tags.get(Tag(tag)).and_then(day);
    let today = day(&run.transaction.date);
    if date(0x5F24).is_none() || date(0x5F24) < today || date(0x5F25).is_some_and(|from| Some(from) > today) {
        return Some(Go::End(Verdict::Declined, Why::Dates));
    }
    let flaw = match signature(run) {
        Ok(number) => {
            // What is full has no room for it; nobody needs it.
            run.put(0x9F4C, &number).ok();
            None
        }
        Err(flaw) => Some(flaw),
    };
    run.log.push(Note::Fdda(flaw.as_ref().map(Unsigned::to_string)));
    flaw?;
    let [wishes, _] = qualifiers(run).unwrap_or_default();
    let verdict = if wishes & 0x10 != 0 { Verdict::Ended(Next::InsertInstead) } else { Verdict::Declined };
    Some(Go::End(verdict, Why::Lied(Lie::Signature)))
}

/// Why a dynamic signature is not right.
#[derive(Debug, thiserror::Error)]
enum Unsigned {
    #[error("82 has no dynamic authentication")]
    NotOffered,
    #[error("{0} is missing")]
    Missing(Tag),
    #[error("9F69: another version than 01")]
    Version,
    #[error("a record that is signed, or 9F4A, is malformed")]
    Records,
    #[error(transparent)]
    Flaw(#[from] oda::Flaw),
}

/// Checks the dynamic signature: over 9F37, 9F02, 5F2A and 9F69. Gives its dynamic number.
fn signature(run: &Run) -> Result<Vec<u8>, Unsigned> {
    if !run.aip_has(0x20) {
        return Err(Unsigned::NotOffered);
    }
    let get = |tag: u32| run.tags.get(Tag(tag)).ok_or(Unsigned::Missing(Tag(tag)));
    let (related, signed) = (get(0x9F69)?, get(0x9F4B)?);
    if related.first() != Some(&FDDA_VERSION) {
        return Err(Unsigned::Version);
    }
    let values = [get(0x9F37)?, get(0x9F02)?, get(0x5F2A)?, related].concat();
    let key = run.authenticate(oda::card_key).ok_or(Unsigned::Records)??;
    Ok(oda::dynamic_data(&key, signed, &values)?)
}

/// How the cardholder is verified.
enum Method {
    None,
    OnlinePin,
    Signature,
    Device,
}

/// Card transaction qualifiers.
fn qualifiers(run: &Run) -> Option<[u8; 2]> {
    run.tags.get(Tag(0x9F6C)).and_then(|ctq| ctq.try_into().ok())
}

/// What the card chose (9F6C) of that which both can: online PIN, verified by the phone, signature. A card
/// that wants one and gets none, or a payment that needs one, ends here.
fn method(run: &Run) -> Result<Method, Why> {
    let [can, needs, ..] = run.own.ttq;
    let [first, second] = qualifiers(run).unwrap_or_default();
    let (pin, sign, device) = (first & 0x80 != 0, first & 0x40 != 0, second & 0x80 != 0);
    // Where there is one, its signed copy (9F69 bytes 6 and 7) must say the same.
    let related = run.tags.get(Tag(0x9F69));
    let told_twice = related.is_none_or(|related| related.get(5..7) == Some(&[first, second]));
    if pin && can & ONLINE_PIN != 0 && run.proceed.online_pin {
        Ok(Method::OnlinePin)
    } else if device && told_twice {
        Ok(Method::Device)
    } else if sign && can & SIGNATURE != 0 {
        Ok(Method::Signature)
    } else if pin || sign || device || needs & CVM_REQUIRED != 0 {
        Err(Why::NoCvm)
    } else {
        Ok(Method::None)
    }
}

/// The host's word. A referral is not an approval, whoever calls it one.
fn host(word: &HostWord<'_>) -> Go {
    match word {
        HostWord::Approved { arc, .. } if !matches!(arc, b"01" | b"02") => {
            Go::End(Verdict::Approved(By::Host), Why::Complete)
        }
        HostWord::Approved { .. } | HostWord::Refused { .. } => Go::End(Verdict::Declined, Why::Host),
        HostWord::NotSent { .. } => Go::End(Verdict::Declined, Why::NotSent),
        HostWord::NoReply => Go::End(Verdict::Declined, Why::NoReply),
    }
}
