//! A card over T=0 (EMV 4.4 Book 1, TPDUs): data are fetched with GET RESPONSE, a wrong length is told.
use super::{TestCard, sw};

/// An answer that waits to be fetched: data, then status.
#[derive(Default)]
pub struct T0 {
    waiting: Vec<u8>,
}

/// Length in a byte, 256 as 0.
fn byte(len: usize) -> u8 {
    if len > 0xFF { 0 } else { len as u8 }
}
/// Length that a byte says.
fn said(byte: u8) -> usize {
    if byte == 0 { 256 } else { byte.into() }
}

impl T0 {
    /// What the card answers to a command, or to a part of one.
    pub fn answer(&mut self, card: &mut TestCard, command: &[u8]) -> Vec<u8> {
        if let [_, 0xC0, 0, 0, le] = command {
            return self.get_response(*le);
        }
        self.waiting.clear();
        match command {
            // Data of the card, or none.
            [_, _, _, _] | [_, _, _, _, _] => {
                let answer = card.answer(command);
                let len = answer.len() - 2;
                let asked = command.get(4).map_or(0, |le| said(*le));
                if len == 0 || len == asked { answer } else { vec![0x6C, byte(len)] }
            }
            // A length that is behind the data is of no use to T=0.
            [_, _, _, _, lc, ..] => {
                let answer = card.answer(command.get(..5 + usize::from(*lc)).unwrap_or(command));
                let len = answer.len() - 2;
                if len == 0 {
                    return answer;
                }
                self.waiting = answer;
                vec![0x61, byte(len)]
            }
            _ => card.answer(command),
        }
    }

    fn get_response(&mut self, le: u8) -> Vec<u8> {
        let Some(len) = self.waiting.len().checked_sub(2) else { return sw::CONDITIONS.to_be_bytes().into() };
        let asked = said(le);
        if asked > len {
            return vec![0x6C, byte(len)];
        }
        if asked == len {
            return std::mem::take(&mut self.waiting);
        }
        let mut part: Vec<u8> = self.waiting.drain(..asked).collect();
        part.extend([0x61, byte(len - asked)]);
        part
    }
}
