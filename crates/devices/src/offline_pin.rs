//! PIN that the card checks itself, for PIN pads in software: its block, its encipherment, VERIFY.
use payterm_emv::oda;
use payterm_schema::{
    card::PinForm,
    secret::{Pin, PinEntry},
    verify::{CardPort, Verify},
};
use zeroize::Zeroizing;

/// Why a card cannot be shown a PIN. No text holds a digit.
#[derive(Debug, thiserror::Error)]
enum PinFault {
    #[error("the card's key: {0}")]
    Key(#[from] oda::KeyFault),
    #[error("the PIN is not enciphered: {0}")]
    Flaw(#[from] oda::Flaw),
    #[error("enciphered PIN data of a length that no VERIFY has")]
    Length,
    #[error("no random bytes: {0}")]
    Random(String),
}

/// Shows the card its holder's PIN. `random` fills the padding.
pub fn show(
    pin: &Pin,
    form: &PinForm,
    card: &mut dyn CardPort,
    random: impl FnOnce(&mut [u8]) -> Result<(), String>,
) -> PinEntry {
    match command(pin, form, random) {
        Ok(command) => card.verify(command).map_or(PinEntry::NoCard, PinEntry::Status),
        Err(fault) => PinEntry::Failed(fault.to_string()),
    }
}

fn command(
    pin: &Pin,
    form: &PinForm,
    random: impl FnOnce(&mut [u8]) -> Result<(), String>,
) -> Result<Verify, PinFault> {
    let block = block(pin);
    let PinForm::Enciphered { modulus, exponent, challenge } = form else { return Ok(Verify::plain(&block)) };
    let key = oda::CardKey::new(modulus, exponent)?;
    let mut padding = Zeroizing::new(vec![0; key.padding_len()]);
    random(&mut padding).map_err(PinFault::Random)?;
    let data = oda::encipher_pin(&key, &block, *challenge, &padding)?;
    Verify::enciphered(&data).ok_or(PinFault::Length)
}

/// PIN block of format 2 (ISO 9564-1): 2, length, digits, F.
fn block(pin: &Pin) -> Zeroizing<[u8; 8]> {
    let digits = pin.reveal().as_bytes();
    let nibble = |i: usize| match i {
        0 => 2,
        1 => digits.len() as u8, // 4 to 12 by Pin's own rule
        _ => digits.get(i - 2).map_or(0xF, |digit| digit - b'0'),
    };
    // In place: a block that is passed by value leaves its PIN on the stack.
    let mut block = Zeroizing::new([0; 8]);
    for (i, byte) in block.iter_mut().enumerate() {
        *byte = nibble(2 * i) << 4 | nibble(2 * i + 1);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_format_2_has_length_digits_and_filler() {
        for (pin, right) in [
            ("1234", "241234ffffffffff"),
            ("12345", "2512345fffffffff"),
            ("123456789012", "2c123456789012ff"),
        ] {
            assert_eq!(hex::encode(*block(&Pin::parse(pin).unwrap())), right, "{pin}");
        }
    }

    struct Card(Vec<Verify>);
    impl CardPort for Card {
        fn verify(&mut self, command: Verify) -> Option<u16> {
            self.0.push(command);
            Some(0x9000)
        }
    }

    #[test]
    fn what_cannot_be_enciphered_is_shown_to_no_card() {
        let pin = Pin::parse("735194").unwrap();
        let good = PinForm::Enciphered { modulus: vec![0xC1; 64], exponent: vec![3], challenge: [7; 8] };
        let short = PinForm::Enciphered { modulus: vec![0xC1; 63], exponent: vec![3], challenge: [7; 8] };
        let (fills, fails) = (|_: &mut [u8]| Ok(()), |_: &mut [u8]| Err("none".to_owned()));
        let mut card = Card(Vec::new());
        assert_eq!(show(&pin, &good, &mut card, fills), PinEntry::Status(0x9000));
        let [sent] = card.0.as_slice() else { panic!("{:?}", card.0) };
        assert_eq!(sent.reveal()[..5], [0x00, 0x20, 0x00, 0x88, 64]);
        for entry in [show(&pin, &short, &mut card, fills), show(&pin, &good, &mut card, fails)] {
            let PinEntry::Failed(why) = entry else { panic!("{entry:?}") };
            assert!(!why.contains("735194"), "{why}");
        }
        assert_eq!(card.0.len(), 1);
    }
}
