//! The cardholder's PIN (EMV 4.4 Book 3, VERIFY; Book 2, PIN encipherment).
use super::{Answer, Apdu, TestCard, sw};

impl TestCard {
    /// GET CHALLENGE: 8 bytes, good for the next command.
    pub(super) fn get_challenge(&mut self, apdu: &Apdu<'_>) -> Answer {
        self.running()?;
        if !apdu.data.is_empty() {
            return Err(sw::WRONG_LENGTH);
        }
        let challenge = self.random();
        self.session.challenge = Some(challenge);
        Ok(challenge.to_vec())
    }

    /// VERIFY of a plain or an enciphered PIN. A try is used up before the PIN is looked at.
    pub(super) fn verify(&mut self, apdu: &Apdu<'_>, challenge: Option<[u8; 8]>) -> Answer {
        self.running()?;
        if !matches!((apdu.p1, apdu.p2), (0x00, 0x80 | 0x88)) {
            return Err(sw::P1_P2);
        }
        self.tries = self.tries.checked_sub(1).ok_or(sw::PIN_BLOCKED)?;
        let block = match apdu.p2 {
            0x80 => <[u8; 8]>::try_from(apdu.data).map_err(|_| sw::WRONG_LENGTH),
            _ => challenge.and_then(|number| self.decipher(apdu.data, number)).ok_or(sw::REFERENCE_DATA),
        };
        let right = block == Ok(self.pin_block());
        if right {
            self.tries = 3;
        }
        let tries = self.tries;
        let (_, run) = self.running()?;
        run.pin = Some(right);
        block?;
        if right { Ok(vec![]) } else { Err(0x63C0 | u16::from(tries)) }
    }

    fn decipher(&self, enciphered: &[u8], challenge: [u8; 8]) -> Option<[u8; 8]> {
        let clear = self.keys.pin.as_ref().unwrap_or(&self.keys.card).private(enciphered)?;
        let (head, rest) = clear.split_first()?;
        let (block, rest) = rest.split_first_chunk::<8>()?;
        (*head == 0x7F && rest.first_chunk() == Some(&challenge)).then_some(*block)
    }

    /// Its PIN as a block of format 2: 2, length, digits, F.
    pub(super) fn pin_block(&self) -> [u8; 8] {
        let text = format!("2{:X}{:F<14}", self.pin.len(), self.pin);
        let mut block = [0; 8];
        hex::decode_to_slice(text, &mut block).expect("4 to 12 digits, by the persona's check");
        block
    }
}
