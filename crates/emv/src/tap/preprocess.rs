//! Pre-processing (EMV contactless Book A, pre-processing): before a card is there, which applications may be
//! tapped for this payment, and what the terminal asks of the card.
use super::Kernel;
use crate::terminal::{Aid, Depth, Parameters, TapLimits, Terminal, Transaction};

/// An application of the terminal with its kernel, for this payment.
#[derive(Clone, Copy)]
pub(super) struct Combination {
    pub(super) kernel: Kernel,
    /// Terminal transaction qualifiers (9F66).
    pub(super) ttq: [u8; 4],
}

/// Byte 2 of the qualifiers: the payment goes online.
pub(super) const ONLINE_REQUIRED: u8 = 0x80;
/// The cardholder is to be verified.
pub(super) const CVM_REQUIRED: u8 = 0x40;
/// Byte 1: online PIN, signature.
pub(super) const ONLINE_PIN: u8 = 0x04;
pub(super) const SIGNATURE: u8 = 0x02;

/// By the terminal's list; none: it may not be tapped, or not for so much.
pub(super) fn combinations(
    terminal: &Terminal,
    parameters: &Parameters,
    payment: &Transaction,
) -> Vec<Option<Combination>> {
    let one = |aid: &Aid| {
        let limits = aid.tap.filter(|limits| payment.amount < limits.most)?;
        let kernel = Kernel::of(&aid.name)?;
        Some(Combination { kernel, ttq: qualifiers(terminal, aid, limits, payment) })
    };
    parameters.aids.iter().map(one).collect()
}

/// What the terminal can (qPBOC, contact, offline only, online PIN, signature; fDDA version 01), and what
/// this payment needs.
fn qualifiers(terminal: &Terminal, aid: &Aid, limits: TapLimits, payment: &Transaction) -> [u8; 4] {
    let [_, cvm, _] = terminal.data.capabilities;
    let bit = |holds: bool, bit: u8| if holds { bit } else { 0 };
    let can = 0x20
        | 0x10
        | bit(terminal.is_offline_only(), 0x08)
        | bit(cvm & 0x40 != 0 && aid.online_pin, ONLINE_PIN)
        | bit(cvm & 0x20 != 0, SIGNATURE);
    // No amount at all is no payment that a card could decide about.
    let online = payment.amount > limits.floor
        || payment.amount == 0
        || payment.force_online
        || payment.depth == Depth::Decline
        || terminal.is_online_only();
    let needs = bit(online, ONLINE_REQUIRED) | bit(payment.amount >= limits.cvm, CVM_REQUIRED);
    [can, needs, 0, 0x80]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{Limits, TerminalData};

    fn qualifiers_of(change: impl Fn(&mut TerminalData, &mut Aid, &mut Transaction)) -> Option<String> {
        let mut data = TerminalData {
            country: 156,
            kind: 0x22,
            capabilities: [0xE0, 0xF8, 0xC8],
            additional: [0x60, 0x00, 0xF0, 0xA0, 0x01],
            serial: *b"PT000001",
            category: 5411,
            merchant: None,
            id: None,
            name: b"SHOP".to_vec(),
            languages: Vec::new(),
            bypass: false,
        };
        let mut aid = Aid {
            name: vec![0xA0, 0, 0, 3, 0x33, 1, 1, 1],
            partial: false,
            version: [0; 2],
            limits: Limits::ALL_ONLINE,
            ddol: None,
            tdol: None,
            online_pin: true,
            tap: Some(TapLimits { floor: 200, most: 5_000, cvm: 1_000 }),
        };
        let mut payment = Transaction {
            amount: 100,
            other: 0,
            currency: 156,
            exponent: 2,
            kind: 0,
            date: [0x26, 0x12, 0x02],
            time: [0; 3],
            sequence: 1,
            unpredictable: [1, 2, 3, 4],
            draw: 1,
            depth: Depth::Full,
            force_online: false,
        };
        change(&mut data, &mut aid, &mut payment);
        let parameters = Parameters::new(1, vec![aid], Vec::new(), Vec::new()).unwrap();
        let all = combinations(&Terminal::new(data).unwrap(), &parameters, &payment);
        all[0].map(|c| format!("{:08X}", u32::from_be_bytes(c.ttq)))
    }

    #[test]
    fn book_a_limits_decide_what_is_asked_of_the_card() {
        for (amount, ttq) in [
            (1, Some("36000080")),
            (200, Some("36000080")),
            (201, Some("36800080")),
            (999, Some("36800080")),
            (1_000, Some("36C00080")),
            (4_999, Some("36C00080")),
            (5_000, None),
            (0, Some("36800080")),
        ] {
            assert_eq!(qualifiers_of(|_, _, p| p.amount = amount).as_deref(), ttq, "{amount}");
        }
    }

    #[test]
    fn book_a_the_terminal_says_what_it_can() {
        let of = |change: fn(&mut TerminalData, &mut Aid, &mut Transaction)| qualifiers_of(change);
        assert_eq!(of(|d, _, _| d.kind = 0x21).as_deref(), Some("36800080"), "online only");
        assert_eq!(of(|d, _, _| d.kind = 0x23).as_deref(), Some("3E000080"), "offline only");
        assert_eq!(of(|d, _, _| d.capabilities[1] = 0x08).as_deref(), Some("30000080"), "no PIN, no pen");
        assert_eq!(of(|_, a, _| a.online_pin = false).as_deref(), Some("32000080"));
        assert_eq!(of(|_, _, p| p.force_online = true).as_deref(), Some("36800080"));
        assert_eq!(of(|_, _, p| p.depth = Depth::Decline).as_deref(), Some("36800080"));
        assert_eq!(of(|_, a, _| a.tap = None), None, "not for taps");
        assert_eq!(of(|_, a, _| a.name = vec![0xA0, 0, 0, 0, 3, 0x10, 0x10]), None, "no kernel for it");
    }
}
