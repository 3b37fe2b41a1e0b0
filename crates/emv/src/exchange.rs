//! One command and what the card makes of it (EMV 4.4 Book 1, transport layer of T=0): 61xx is followed by
//! GET RESPONSE, 6Cxx by the same command with the length that the card names. Over T=1 neither comes.
use crate::Command;
use zeroize::Zeroizing;

/// GET RESPONSEs for one command. 16: an answer of 256 bytes in pieces of 16.
pub const RESPONSES_MAX: u8 = 16;
/// Bytes of one answer. 256: the most that a short command is answered with (ISO 7816-4).
pub const ANSWER_MAX: usize = 256;

/// What a card answered: data, and SW1 SW2.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    pub data: Zeroizing<Vec<u8>>,
    pub sw: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    #[error("the card answers without a status word")]
    NoStatus,
    #[error("the card has more to say after {RESPONSES_MAX} GET RESPONSEs")]
    Endless,
    #[error("the card answers with more than {ANSWER_MAX} bytes")]
    Long,
    #[error("the card names another length for the length that it named")]
    Length,
}

/// Where an exchange stands.
#[derive(PartialEq, Eq)]
pub enum Progress {
    /// These bytes go to the card next.
    Send(Zeroizing<Vec<u8>>),
    Done(Reply),
    Broken(ExchangeError),
}

/// A command under way.
pub struct Exchange {
    command: Command,
    data: Zeroizing<Vec<u8>>,
    responses: u8,
    /// The last that was sent has the length that the card named.
    corrected: bool,
    /// Status that came before the data.
    warning: Option<u16>,
}

impl Exchange {
    /// The exchange, and what goes to the card first.
    pub fn start(command: Command) -> (Self, Zeroizing<Vec<u8>>) {
        let bytes = command.bytes();
        (Self { command, data: Zeroizing::default(), responses: 0, corrected: false, warning: None }, bytes)
    }

    /// The card's answer to what was sent last.
    pub fn answer(&mut self, bytes: &[u8]) -> Progress {
        let Some((data, &[sw1, sw2])) = bytes.split_last_chunk() else {
            return Progress::Broken(ExchangeError::NoStatus);
        };
        if self.data.len() + data.len() > ANSWER_MAX {
            return Progress::Broken(ExchangeError::Long);
        }
        // As long as the answer, which most often comes in one piece. A Vec that grows by itself leaves its
        // bytes behind.
        self.data = Zeroizing::new([&self.data[..], data].concat());
        match sw1 {
            0x61 => self.more(sw2),
            0x6C if self.corrected => Progress::Broken(ExchangeError::Length),
            0x6C if self.responses > 0 => {
                self.corrected = true;
                Progress::Send(Command::response(sw2))
            }
            0x6C if self.command.answers() => {
                self.corrected = true;
                Progress::Send(self.command.asking(sw2))
            }
            // Over T=0 a warning comes before the data, which is still to be fetched.
            0x62 | 0x63 if self.command.is_case_4() && self.responses == 0 && self.data.is_empty() => {
                self.warning = Some(u16::from_be_bytes([sw1, sw2]));
                self.more(0)
            }
            _ => {
                let sw = self.warning.unwrap_or(u16::from_be_bytes([sw1, sw2]));
                Progress::Done(Reply { data: std::mem::take(&mut self.data), sw })
            }
        }
    }

    fn more(&mut self, le: u8) -> Progress {
        if self.responses == RESPONSES_MAX {
            return Progress::Broken(ExchangeError::Endless);
        }
        self.responses += 1;
        self.corrected = false;
        Progress::Send(Command::response(le))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Cryptogram;
    use proptest::prelude::*;

    fn case_4() -> Command {
        Command::select(&[0xA0, 0, 0, 3, 0x33], false)
    }
    type End = Result<(Vec<u8>, u16), ExchangeError>;
    /// What was sent, and how it ended.
    fn run(command: Command, answers: &[&[u8]]) -> (Vec<Vec<u8>>, Option<End>) {
        let (mut exchange, first) = Exchange::start(command);
        let mut sent = vec![first.to_vec()];
        for answer in answers {
            match exchange.answer(answer) {
                Progress::Send(bytes) => sent.push(bytes.to_vec()),
                Progress::Done(reply) => return (sent, Some(Ok((reply.data.to_vec(), reply.sw)))),
                Progress::Broken(e) => return (sent, Some(Err(e))),
            }
        }
        (sent, None)
    }

    #[test]
    fn book_1_an_answer_at_once() {
        let (sent, end) = run(case_4(), &[&[0x6F, 0, 0x90, 0]]);
        assert_eq!((sent.len(), end), (1, Some(Ok((vec![0x6F, 0], 0x9000)))));
        assert_eq!(run(case_4(), &[&[0x6A, 0x82]]).1, Some(Ok((vec![], 0x6A82))));
        assert_eq!(run(Command::external_authenticate(&[1; 8]), &[&[0x63, 0]]).1, Some(Ok((vec![], 0x6300))));
    }

    #[test]
    fn book_1_get_response_and_the_length_that_the_card_names_in_both_orders() {
        for command in [
            case_4(),
            Command::read_record(1, 1),
            Command::get_processing_options(&[]),
            Command::generate_ac(Cryptogram::Arqc, false, &[1]),
            Command::internal_authenticate(&[1; 4]),
            Command::get_data(crate::Tag(0x9F36)),
            Command::get_challenge(),
        ] {
            let again = |le: u8| command.asking(le).to_vec();
            let response = |le: u8| vec![0x00, 0xC0, 0x00, 0x00, le];
            let (sent, end) = run(command.clone(), &[&[0x61, 2], &[7, 8, 0x90, 0]]);
            assert_eq!(sent, [again(0), response(2)]);
            assert_eq!(end, Some(Ok((vec![7, 8], 0x9000))));
            let (sent, end) = run(command.clone(), &[&[0x6C, 2], &[7, 8, 0x90, 0]]);
            assert_eq!(sent, [again(0), again(2)]);
            assert_eq!(end, Some(Ok((vec![7, 8], 0x9000))));
            let (sent, _) = run(command.clone(), &[&[0x6C, 2], &[0x61, 2], &[7, 8, 0x90, 0]]);
            assert_eq!(sent, [again(0), again(2), response(2)]);
            let (sent, end) = run(command.clone(), &[&[0x61, 0], &[0x6C, 2], &[7, 8, 0x90, 0]]);
            assert_eq!(sent, [again(0), response(0), response(2)]);
            assert_eq!(end, Some(Ok((vec![7, 8], 0x9000))));
            // In pieces.
            let (_, end) = run(command.clone(), &[&[0x61, 1], &[7, 0x61, 1], &[8, 0x90, 0]]);
            assert_eq!(end, Some(Ok((vec![7, 8], 0x9000))));
        }
    }

    #[test]
    fn book_1_a_warning_before_the_data() {
        let (sent, end) = run(case_4(), &[&[0x62, 0x83], &[0x6C, 2], &[7, 8, 0x90, 0]]);
        assert_eq!(sent[1..], [vec![0, 0xC0, 0, 0, 0], vec![0, 0xC0, 0, 0, 2]]);
        assert_eq!(end, Some(Ok((vec![7, 8], 0x6283))), "the warning stays");
        // Over T=1 it comes with the data, or there is none.
        assert_eq!(run(case_4(), &[&[7, 0x62, 0x83]]).1, Some(Ok((vec![7], 0x6283))));
        assert_eq!(run(case_4(), &[&[0x62, 0x83], &[0x6D, 0]]).1, Some(Ok((vec![], 0x6283))));
        // A command without data to the card, or without an answer, has none to fetch.
        assert_eq!(run(Command::read_record(1, 1), &[&[0x62, 0x81]]).0.len(), 1);
    }

    #[test]
    fn a_card_that_never_ends_is_ended() {
        let endless: Vec<&[u8]> = vec![&[0x61, 0]; 40];
        let (sent, end) = run(case_4(), &endless);
        assert_eq!(sent.len(), 1 + usize::from(RESPONSES_MAX));
        assert_eq!(end, Some(Err(ExchangeError::Endless)));
        assert_eq!(run(case_4(), &[&[0x6C, 2], &[0x6C, 3]]).1, Some(Err(ExchangeError::Length)));
        assert_eq!(run(case_4(), &[&[0x61, 2], &[0x6C, 2], &[0x6C, 3]]).1, Some(Err(ExchangeError::Length)));
        assert_eq!(run(case_4(), &[&[0x90]]).1, Some(Err(ExchangeError::NoStatus)));
        assert_eq!(run(case_4(), &[&[]]).1, Some(Err(ExchangeError::NoStatus)));
        let full = [&[0; ANSWER_MAX][..], &[0x90, 0]].concat();
        assert_eq!(run(case_4(), &[&full]).1.map(|e| e.map(|(d, _)| d.len())), Some(Ok(ANSWER_MAX)));
        let more = [&[0; ANSWER_MAX - 1][..], &[0x61, 2]].concat();
        assert_eq!(run(case_4(), &[&more, &[1, 2, 0x90, 0]]).1, Some(Err(ExchangeError::Long)));
        // What expects no answer is not sent again for its length.
        assert_eq!(run(Command::external_authenticate(&[1; 8]), &[&[0x6C, 2]]).1, Some(Ok((vec![], 0x6C02))));
    }

    proptest! {
        #[test]
        fn whatever_a_card_says_it_ends(answers in prop::collection::vec(
            prop_oneof![
                Just(vec![0x61, 0]),
                Just(vec![0x6C, 1]),
                Just(vec![0x62, 0x83]),
                prop::collection::vec(any::<u8>(), 0..40),
            ],
            80,
        )) {
            let answers: Vec<&[u8]> = answers.iter().map(Vec::as_slice).collect();
            let (sent, end) = run(case_4(), &answers);
            prop_assert!(end.is_some() && sent.len() <= 2 * (1 + usize::from(RESPONSES_MAX)));
        }
    }
}
