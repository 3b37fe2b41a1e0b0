//! VERIFY, the command by which a PIN pad shows a card the PIN of its holder, and the pad's way to that card.
//!
//! Invariant: only VERIFY goes this way, and only the card's status word comes back.
use crate::secret::SecretBytes;
use std::fmt;

/// VERIFY (EMV 4.4 Book 3 §6.5.12): zeroised, no debug text.
pub struct Verify(SecretBytes);
impl Verify {
    /// Length of enciphered PIN data: that of a card's key, 512 to 1984 bits.
    const ENCIPHERED: std::ops::RangeInclusive<usize> = 64..=248;

    /// Command with a plain PIN block of format 2 (ISO 9564-1), P2 80.
    pub fn plain(block: &[u8; 8]) -> Self {
        Self::new(0x80, block)
    }
    /// Command with enciphered PIN data, P2 88; none where they are too short or too long for it.
    pub fn enciphered(data: &[u8]) -> Option<Self> {
        Self::ENCIPHERED.contains(&data.len()).then(|| Self::new(0x88, data))
    }
    fn new(p2: u8, data: &[u8]) -> Self {
        // In one piece: a buffer that grew would leave a PIN behind in memory.
        let mut command = Vec::with_capacity(5 + data.len());
        command.extend([0x00, 0x20, 0x00, p2, data.len() as u8]);
        command.extend_from_slice(data);
        Self(SecretBytes::new(command))
    }
    /// The command's bytes.
    pub fn reveal(&self) -> &[u8] {
        self.0.reveal()
    }
}
impl fmt::Debug for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verify(..)")
    }
}

/// Way of a PIN pad to the card in the reader, for one PIN entry.
pub trait CardPort: Send {
    /// Sends the command, and gives the card's status word; none: the card is gone, or does not answer.
    fn verify(&mut self, command: Verify) -> Option<u16>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_verify_whatever_it_holds_and_shows_nothing() {
        let plain = Verify::plain(&[0x24, 0x12, 0x34, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        let whole = [0x00, 0x20, 0x00, 0x80, 8, 0x24, 0x12, 0x34, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(plain.reveal(), whole);
        assert_eq!(format!("{plain:?}"), "Verify(..)");
        for (len, fits) in [(63, false), (64, true), (248, true), (249, false)] {
            let made = Verify::enciphered(&vec![0xAB; len]);
            assert_eq!(made.is_some(), fits, "{len}");
            if let Some(made) = made {
                assert_eq!(made.reveal()[..5], [0x00, 0x20, 0x00, 0x88, len as u8]);
                assert_eq!(made.reveal().len(), 5 + len);
            }
        }
    }
}
