//! Book 3 §10.5, cardholder verification.
use crate::card::{Card, Setup, ok};
use payterm_emv::step::PinWord;

/// A card with this list; X is 10.00, Y is 20.00.
fn card(rules: &str) -> Card {
    Card::debit().with(&[("8E", &format!("000003E8 000007D0 {rules}")), ("9F42", "0156")])
}
fn setup(capabilities: u8, pins: &[PinWord]) -> Setup {
    Setup::new().with(|s| s.data.capabilities[1] = capabilities).with(|s| s.pins = pins.to_vec())
}
/// Results, byte 3 of the TVR, byte 1 of the TSI, PINs asked for.
fn outcome(setup: &Setup, card: Card) -> (String, u8, bool, Vec<String>) {
    let ran = setup.run(card);
    let byte = |tag, at: usize| ran.end().tags.get(payterm_emv::Tag(tag)).unwrap()[at];
    (ran.tag(0x9F34), byte(0x95, 2), byte(0x9B, 0) & 0x40 != 0, ran.pins)
}
const ALL: u8 = 0xF8;

/// What a rule should come to, told by the words of Book 3 Annex C3 alone.
fn expected(code: u8, condition: u8, amount: u64, capabilities: u8) -> (String, u8) {
    let need = match code {
        0x00 => Some(0x00),
        0x01 => Some(0x80),
        0x02 => Some(0x40),
        0x03 => Some(0xA0),
        0x04 => Some(0x10),
        0x05 => Some(0x30),
        0x1E => Some(0x20),
        0x1F => Some(0x08),
        _ => None,
    };
    let has = need.is_some_and(|need| capabilities & need == need);
    let holds = match condition {
        0x00 | 0x02 => true,
        0x03 => has,
        0x06 => amount < 1_000,
        0x07 => amount > 1_000,
        0x08 => amount < 2_000,
        0x09 => amount > 2_000,
        _ => false,
    };
    let lacks_pad = match code {
        0x01 | 0x03 | 0x04 | 0x05 => capabilities & 0x90 == 0,
        0x02 => capabilities & 0x40 == 0,
        _ => false,
    };
    let result = |byte: u8| format!("{code:02X}{condition:02X}{byte:02X}");
    match (holds, has, code) {
        (false, _, _) => ("3F0001".to_owned(), 0x80),
        (true, false, _) if need.is_none() => ("3F0001".to_owned(), 0xC0),
        (true, false, _) => ("3F0001".to_owned(), if lacks_pad { 0x90 } else { 0x80 }),
        (true, true, 0x00) => (result(1), 0x80),
        (true, true, 0x01 | 0x1F) => (result(2), 0),
        (true, true, 0x02) => (result(0), 0x04),
        (true, true, 0x03 | 0x1E) => (result(0), 0),
        // No key of the card is to be had.
        (true, true, _) => (result(1), 0x80),
    }
}

/// Holds each method beside each condition, amount and capability.
fn table(codes: &[u8], conditions: &[u8], amounts: &[u64], capabilities: &[u8]) {
    for code in codes {
        for condition in conditions {
            let rule = card(&format!("{code:02X}{condition:02X}"));
            for amount in amounts {
                for capabilities in capabilities {
                    let pin = if *code == 0x02 { PinWord::Entered } else { PinWord::Status(0x9000) };
                    let setup = setup(*capabilities, &[pin]).with(|s| s.payment.amount = *amount);
                    let (results, tvr, performed, _) = outcome(&setup, rule.clone());
                    let case = format!("{code:02X} {condition:02X} {amount} {capabilities:02X}");
                    assert_eq!((results, tvr), expected(*code, *condition, *amount, *capabilities), "{case}");
                    assert!(performed, "{case}");
                }
            }
        }
    }
}
const CODES: [u8; 13] = [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x1D, 0x1E, 0x1F, 0x20, 0x30, 0x3F];
const CAPABILITIES: [u8; 9] = [0x00, 0x08, 0x10, 0x20, 0x30, 0x40, 0x80, 0xA0, ALL];

#[test]
fn each_method_with_each_condition_and_capability() {
    table(&CODES, &[0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0A, 0x80, 0xFF], &[1_000], &CAPABILITIES);
}
#[test]
fn each_method_with_each_amount_and_capability() {
    let amounts = [999, 1_000, 1_001, 1_999, 2_000, 2_001];
    table(&CODES, &[0x06, 0x07], &amounts[..3], &CAPABILITIES);
    table(&CODES, &[0x08, 0x09], &amounts[3..], &CAPABILITIES);
}
#[test]
fn each_code_there_may_be() {
    table(&(0x00..=0x3F).collect::<Vec<u8>>(), &[0x00], &[1_000], &[0x00, ALL]);
}

#[test]
fn cash_and_cash_back_have_conditions_of_their_own() {
    // Which of the conditions 01, 02, 04, 05 hold.
    let held = |kind: u8, other: u64, terminal: u8| {
        let all = [0x01, 0x02, 0x04, 0x05].into_iter().filter(|condition| {
            let setup = setup(ALL, &[]).with(|s| {
                (s.payment.kind, s.payment.other, s.data.kind) = (kind, other, terminal);
            });
            outcome(&setup, card(&format!("1F{condition:02X}"))).1 == 0
        });
        all.collect::<Vec<u8>>()
    };
    assert_eq!(held(0x00, 0, 0x22), [0x02]);
    assert_eq!(held(0x01, 0, 0x22), [0x04]);
    assert_eq!(held(0x01, 0, 0x25), [0x01]);
    assert_eq!(held(0x09, 500, 0x22), [0x05]);
    assert_eq!(held(0x00, 500, 0x22), [0x05]);
}

#[test]
fn amounts_count_in_the_applications_currency_only() {
    for (currency, results) in [("0156", "1F0602"), ("0840", "3F0001"), ("", "3F0001")] {
        let card = card("1F06").with(&[("9F42", currency)]);
        let setup = setup(ALL, &[]).with(|s| s.payment.amount = 999);
        assert_eq!(outcome(&setup, card).0, results, "{currency}");
    }
}

#[test]
fn a_list_that_is_not_there_or_has_no_rules_is_missing_and_an_odd_one_ends_the_run() {
    for list in ["", "0000000000000000"] {
        let ran = Setup::new().run(Card::debit().with(&[("8E", list)]));
        assert_eq!((ran.tag(0x9F34), &ran.tag(0x95)[..2]), ("3F0000".to_owned(), "A0"), "{list}");
        assert_eq!(ran.tag(0x9B), "2800", "card and terminal risk, no verification");
    }
    let ran = Setup::new().run(Card::debit().with(&[("8E", "00000000000000001F")]));
    assert_eq!(ran.told(), "Ended(Nothing), not what 8E should be");
    // Nor is a list looked at, where the card verifies nobody.
    let ran = Setup::new().run(card("0000").aip("0800"));
    assert_eq!((ran.tag(0x9F34), ran.tag(0x9B)), ("3F0000".to_owned(), "2800".to_owned()));
}

#[test]
fn a_rule_in_vain_is_followed_by_the_next_where_it_says_so() {
    let none = setup(0x08, &[]);
    assert_eq!(outcome(&none, card("42001F00")).0, "1F0002", "not had, and on");
    assert_eq!(outcome(&none, card("02001F00")).0, "3F0001", "not had, and the end");
    assert_eq!(outcome(&none, card("46001F00")).1, 0x40, "not known, and on");
    assert_eq!(outcome(&none, card("06001F00")).0, "3F0001", "not known, and the end");
    assert_eq!(outcome(&none, card("02011F00")).0, "1F0002", "a condition that does not hold is no failure");
    assert_eq!(outcome(&none, card("40001F00")).0, "400001", "failing is the end, whatever else it says");
    // The last that was carried out stays in the results, one that is not had does not.
    let plain = setup(0x88, &[PinWord::Status(0x63C0)]);
    assert_eq!(outcome(&plain, card("41004200")).0, "410001");
}

#[test]
fn an_offline_pin_is_asked_for_until_it_is_right_or_the_tries_are_used_up() {
    let plain =
        |pins: &[PinWord]| outcome(&setup(ALL, pins), card("41001F00").on("80CA9F17", &ok("9F170103")));
    let wrong = |left: u16| PinWord::Status(0x63C0 | left);
    let (results, tvr, _, asked) = plain(&[wrong(2), wrong(1), PinWord::Status(0x9000)]);
    assert_eq!((results.as_str(), tvr), ("410002", 0));
    assert_eq!(asked, ["plain Some(3)", "plain Some(2)", "plain Some(1)"]);
    for last in [0x63C0, 0x6983, 0x6984] {
        let (results, tvr, _, _) = plain(&[wrong(1), PinWord::Status(last)]);
        assert_eq!((results.as_str(), tvr), ("1F0002", 0x20), "{last:04X}");
    }
    let (_, _, _, asked) = plain(&[wrong(2), wrong(2), PinWord::Status(0x9000)]);
    assert_eq!(asked.len(), 2, "tries that do not get fewer");
    let ran = setup(ALL, &[PinWord::Status(0x6F00)]).run(card("41001F00"));
    assert_eq!(ran.told(), "Ended(Nothing), the card answers 6F00 to 20");
}

#[test]
fn tries_that_are_used_up_before_are_not_asked_for() {
    let blocked = card("41001F00").on("80CA9F17", &ok("9F170100"));
    assert_eq!(outcome(&setup(ALL, &[]), blocked), ("1F0002".to_owned(), 0x20, true, Vec::new()));
    for silent in ["6A88", "9F1702000090 00", "9000"] {
        let card = card("0100").on("80CA9F17", silent);
        let (_, _, _, asked) = outcome(&setup(ALL, &[PinWord::Status(0x9000)]), card);
        assert_eq!(asked, ["plain None"], "{silent}");
    }
}

#[test]
fn a_pin_that_is_left_out_counts_for_all_behind_it() {
    let (results, tvr, _, asked) = outcome(&setup(ALL, &[PinWord::Bypassed]), card("410042001F00"));
    assert_eq!((results.as_str(), tvr, asked.len()), ("1F0002", 0x08, 1));
    let (results, tvr, _, asked) = outcome(&setup(ALL, &[PinWord::Bypassed]), card("42004100"));
    assert_eq!((results.as_str(), tvr, asked.len()), ("410001", 0x88, 1));
    let (results, tvr, _, asked) = outcome(&setup(ALL, &[PinWord::NoPad]), card("42004100"));
    assert_eq!((results.as_str(), tvr, asked.len()), ("410001", 0x90, 1));
    let never = setup(ALL, &[PinWord::Bypassed]).with(|s| s.data.bypass = false);
    assert_eq!(never.run(card("42001F00")).told(), "Ended(Nothing), told what was not asked");
    let ran = setup(ALL, &[PinWord::Cancelled]).run(card("42001F00"));
    assert_eq!(ran.told(), "Ended(Nothing), the customer cancelled");
    assert!(ran.commands("80AE").is_empty());
}

#[test]
fn an_account_without_a_pin_key_has_no_pad() {
    let setup = setup(ALL, &[]).with(|s| s.proceed.online_pin = false);
    assert_eq!(outcome(&setup, card("42001F00")), ("1F0002".to_owned(), 0x10, true, Vec::new()));
    assert_eq!(outcome(&setup, card("0200")), ("020001".to_owned(), 0x90, true, Vec::new()));
}

#[test]
fn a_word_about_another_pin_ends_the_run() {
    for (rule, word) in [("0200", PinWord::Status(0x9000)), ("0100", PinWord::Entered)] {
        let ran = setup(ALL, &[word]).run(card(rule));
        assert_eq!(ran.told(), "Ended(Nothing), told what was not asked", "{rule}");
    }
}

#[test]
fn how_it_was_verified_is_told() {
    let of = |rule: &str, pin: PinWord| {
        let cvm = setup(ALL, &[pin]).run(card(rule)).end().cvm;
        (cvm.online_pin, cvm.offline_pin, cvm.sign)
    };
    assert_eq!(of("0200", PinWord::Entered), (true, false, false));
    assert_eq!(of("0100", PinWord::Status(0x9000)), (false, true, false));
    assert_eq!(of("0300", PinWord::Status(0x9000)), (false, true, true));
    assert_eq!(of("0300", PinWord::Status(0x63C0)), (false, false, false));
    assert_eq!(of("1E00", PinWord::Cancelled), (false, false, true));
    assert_eq!(of("1F00", PinWord::Cancelled), (false, false, false));
}

#[test]
fn no_command_holds_a_pin() {
    let ran = setup(ALL, &[PinWord::Status(0x9000)]).run(card("0100"));
    assert!(ran.sent.iter().all(|c| !c.starts_with("0020")), "{:?}", ran.sent);
}
