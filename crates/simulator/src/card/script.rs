//! Script commands of the issuer (EMV 4.4 Book 3, commands of post-issuance; Book 2, secure messaging): each
//! ends with a MAC of 4 bytes, and nothing is done before it is right.
use super::{Answer, Apdu, Stage, TestCard, crypt, sw};

impl TestCard {
    /// Application block and unblock, card block, PIN unblock, and PUT DATA of 9F14, how many payments in a
    /// row it approves by itself.
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
