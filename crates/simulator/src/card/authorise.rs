//! Signatures, cryptograms and scripts (EMV 4.4 Book 3, INTERNAL AUTHENTICATE, GENERATE AC, EXTERNAL
//! AUTHENTICATE, post-issuance commands; Book 2, dynamic signatures, cryptograms, secure messaging).
use super::{
    Answer, Apdu, Given, Stage, TestCard, crypt, filled_len,
    issue::{Application, object},
    persona::IssuerAuthentication,
    rsa::sha1,
    sw,
};
use payterm_emv::{Tag, dol};

pub(super) const AAC: u8 = 0x00;
pub(super) const TC: u8 = 0x40;
pub(super) const ARQC: u8 = 0x80;

/// The value that the terminal gave for a tag of a list.
fn value<'a>(list: &[u8], values: &'a [u8], tag: u32) -> Option<&'a [u8]> {
    let mut rest = values;
    for (t, len) in dol::entries(list).ok()? {
        let (value, behind) = rest.split_at_checked(len)?;
        if t == Tag(tag) {
            return Some(value);
        }
        rest = behind;
    }
    None
}
pub(super) fn fixed<const N: usize>(list: &[u8], values: &[u8], tag: u32) -> [u8; N] {
    value(list, values, tag).and_then(|v| v.try_into().ok()).unwrap_or([0; N])
}

/// Number of a BCD value; what is no digit counts as 9, so that it never makes an amount smaller.
pub(super) fn number(bcd: &[u8]) -> u64 {
    bcd.iter().flat_map(|b| [b >> 4, b & 0x0F]).fold(0, |n, d| n * 10 + u64::from(d.min(9)))
}

impl TestCard {
    /// INTERNAL AUTHENTICATE: a dynamic number, signed with what it is told.
    pub(super) fn internal_authenticate(&mut self, apdu: &Apdu<'_>) -> Answer {
        let (application, _) = self.running()?;
        if application.aip[0] & 0x20 == 0 {
            return Err(sw::INSTRUCTION);
        }
        if apdu.data.len() < 4 {
            return Err(sw::WRONG_LENGTH);
        }
        let number = self.random();
        let content = [&[0x05, 0x01, 9, 8][..], &number].concat();
        Ok(object(0x80, &self.keys.card.sign(&content, &[apdu.data])))
    }

    /// EXTERNAL AUTHENTICATE: once, between the two GENERATE ACs.
    pub(super) fn external_authenticate(&mut self, apdu: &Apdu<'_>) -> Answer {
        let derivation = self.derivation;
        let (application, run) = self.running()?;
        if application.row.issuer_authentication != IssuerAuthentication::External {
            return Err(sw::INSTRUCTION);
        }
        if run.stage != Stage::Asked || run.issuer.is_some() {
            return Err(sw::CONDITIONS);
        }
        let right = issuer_is_right(derivation, application, run.ac, apdu.data);
        run.issuer = Some(right);
        if right { Ok(vec![]) } else { Err(sw::AUTHENTICATION_FAILED) }
    }

    /// GENERATE AC, first or second.
    pub(super) fn generate_ac(&mut self, apdu: &Apdu<'_>) -> Answer {
        let derivation = self.derivation;
        let (application, run) = self.running()?;
        let second = run.stage == Stage::Asked;
        let asked = apdu.p1 & 0xC0;
        let list = if second { application.cdol2.clone() } else { application.cdol1.clone() };
        if run.stage == Stage::Ended || asked == 0xC0 || (second && asked == ARQC) {
            return Err(sw::CONDITIONS);
        }
        if apdu.p1 & 0x2F != 0 || apdu.p2 != 0 {
            return Err(sw::P1_P2);
        }
        if apdu.data.len() != filled_len(&list) {
            return Err(sw::WRONG_LENGTH);
        }
        let amount = fixed(&list, apdu.data, 0x9F02);
        let cid = if second {
            if let Some(answer) = value(&list, apdu.data, 0x91)
                && answer.iter().any(|b| *b != 0)
            {
                run.issuer = Some(issuer_is_right(derivation, application, run.ac, answer));
            }
            second_kind(application, asked, fixed(&list, apdu.data, 0x8A), run.issuer, number(&amount))
        } else {
            first_kind(application, asked, number(&amount))
        };
        if second && cid == TC && run.issuer == Some(true) {
            application.last_online = application.atc;
        }
        let cvr = [
            0x03,
            match (second, cid) {
                (false, kind) => 0x80 | kind >> 2,
                (true, kind) => kind | 0x20,
            } | u8::from(run.issuer == Some(false)) << 3
                | u8::from(run.pin.is_some()) << 2
                | u8::from(run.pin == Some(false)) << 1,
            0x00,
            run.scripts << 4,
        ];
        let (cryptogram, iad) = cryptogram(derivation, application, &list, apdu.data, cvr);
        let atc = application.atc;
        let given = Given {
            aid: application.row.aid.0.clone(),
            atc,
            cid,
            cryptogram,
            amount,
            number: fixed(&list, apdu.data, 0x9F37),
            second,
        };
        let combined = apdu.p1 & 0x10 != 0 && application.aip[0] & 0x01 != 0 && cid != AAC;
        // A signature's transaction data: PDOL, CDOL1 and, the second time, CDOL2.
        let before = if second { [&run.pdol[..], &run.cdol1].concat() } else { run.pdol.clone() };
        let transaction = [before, apdu.data.to_vec()].concat();
        if !second {
            (run.ac, run.cdol1) = (cryptogram, apdu.data.to_vec());
        }
        run.stage = if cid == ARQC { Stage::Asked } else { Stage::Ended };
        self.given.push(given);
        let atc = atc.to_be_bytes();
        if !combined {
            return Ok(object(0x80, &[&[cid][..], &atc, &cryptogram, &iad].concat()));
        }
        let un: [u8; 4] = fixed(&list, apdu.data, 0x9F37);
        let head = [object(0x9F27, &[cid]), object(0x9F36, &atc)].concat();
        let tail = object(0x9F10, &iad);
        let hash = sha1(&[&transaction, &head, &tail]);
        let number = self.random();
        let content = [&[0x05, 0x01, 38, 8][..], &number, &[cid], &cryptogram, &hash].concat();
        let signature = object(0x9F4B, &self.keys.card.sign(&content, &[&un]));
        Ok(object(0x77, &[head, signature, tail].concat()))
    }

    /// Script commands of the issuer: application block and unblock, card block, PIN unblock, and PUT DATA of
    /// 9F14, how many payments in a row it approves by itself. Each ends with a MAC of 4 bytes, and nothing
    /// is done before that is right.
    pub(super) fn script(&mut self, apdu: &Apdu<'_>) -> Answer {
        let derivation = self.derivation;
        let (application, run) = self.running()?;
        // Once there is a cryptogram that the issuer can have seen.
        if run.stage == Stage::Begun {
            return Err(sw::CONDITIONS);
        }
        let (data, mac) = apdu.data.split_last_chunk::<4>().ok_or(sw::MAC_MISSING)?;
        let session = derivation.script_session(&application.mac_key, application.atc, run.ac);
        let header = [apdu.cla, apdu.ins, apdu.p1, apdu.p2, apdu.data.len() as u8];
        if crypt::script_mac(&session, header, application.atc, run.ac, data) != *mac {
            return Err(sw::MAC_WRONG);
        }
        match (apdu.ins, apdu.p1, apdu.p2, data) {
            (0x1E, 0, 0, []) => application.blocked = true,
            (0x18, 0, 0, []) => application.blocked = false,
            (0xDA, 0x9F, 0x14, [limit]) => application.offline_count = (*limit).into(),
            (0x16, 0, 0, []) | (0x24, 0, 0, []) => {}
            _ => return Err(sw::P1_P2),
        }
        run.scripts = run.scripts.saturating_add(1);
        match apdu.ins {
            0x16 => self.blocked = true,
            0x24 => self.tries = 3,
            _ => {}
        }
        Ok(vec![])
    }
}

/// The cryptogram over what the terminal gave, AIP, counter and the card's verification results, and the
/// issuer application data that holds those.
pub(super) fn cryptogram(
    derivation: crypt::Derivation,
    application: &Application,
    list: &[u8],
    values: &[u8],
    cvr: [u8; 4],
) -> ([u8; 8], Vec<u8>) {
    let session = derivation.session(&application.ac_key, application.atc);
    let told = [0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37];
    let told = told.iter().flat_map(|tag| value(list, values, *tag).unwrap_or_default());
    let mut hashed: Vec<u8> = told.copied().collect();
    hashed.extend_from_slice(&application.aip);
    hashed.extend_from_slice(&application.atc.to_be_bytes());
    hashed.extend_from_slice(&cvr);
    // Length, key index, cryptogram version 01, CVR, algorithm.
    let iad = [&[0x07, 0x01, 0x01][..], &cvr, &[0x01]].concat();
    (crypt::cryptogram(&session, &hashed), iad)
}

/// Tells whether the issuer's answer (8 bytes of ARPC, then the code) fits the cryptogram.
fn issuer_is_right(
    derivation: crypt::Derivation,
    application: &Application,
    ac: [u8; 8],
    answer: &[u8],
) -> bool {
    let session = derivation.session(&application.ac_key, application.atc);
    let Some((arpc, code)) = answer.split_first_chunk::<8>() else { return false };
    code.try_into().is_ok_and(|code| crypt::arpc(&session, ac, code) == *arpc)
}

/// It approves so much by itself, so many times since it was online.
pub(super) fn approves_alone(application: &Application, amount: u64) -> bool {
    let since = application.atc.saturating_sub(application.last_online);
    amount <= application.offline_limit && since <= application.offline_count
}

/// Never more than was asked: TC above ARQC above AAC.
fn first_kind(application: &Application, asked: u8, amount: u64) -> u8 {
    match asked {
        AAC => AAC,
        TC if approves_alone(application, amount) => TC,
        _ => ARQC,
    }
}

/// A TC needs an issuer that was not wrong, and where the card can ask for its answer, one that was right;
/// unable to go online (Y3), the card's own limits.
fn second_kind(application: &Application, asked: u8, code: [u8; 2], issuer: Option<bool>, amount: u64) -> u8 {
    let needs = application.row.issuer_authentication != IssuerAuthentication::None;
    let good = match issuer {
        Some(right) => right,
        None if code == *b"Y3" => approves_alone(application, amount),
        None => !needs,
    };
    let refuses = application.row.refuses_after_approval && code != *b"Y3";
    if asked == TC && good && !refuses { TC } else { AAC }
}
