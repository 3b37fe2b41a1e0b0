//! Each persona, played by its own commands; certificates and signatures are judged by the kernel's crate.
use super::*;
use payterm_emv::{Command, Tags, command::Cryptogram, dol, oda};
use payterm_primitives::DesKey;
use zeroize::Zeroizing;

const DATE: [u8; 3] = [0x26, 0x07, 0x15];
const RID: [u8; 5] = [0xA0, 0, 0, 0x03, 0x33];
const UN: [u8; 4] = [1, 2, 3, 4];

fn personas() -> Personas {
    Personas::parse(PERSONAS).unwrap()
}
fn card(name: &str) -> TestCard {
    TestCard::new(&personas(), name, DATE).unwrap()
}
fn tags(all: &[(u32, &[u8])]) -> Tags {
    let mut tags = Tags::new();
    all.iter().for_each(|(tag, value)| tags.put(Tag(*tag), value).unwrap());
    tags
}

/// A terminal that knows what a test needs.
struct Terminal {
    card: TestCard,
    tags: Tags,
    /// Records that are authenticated offline, and 82.
    signed: Vec<u8>,
}
impl Terminal {
    /// Application selected by its AID, processing options got, records read.
    fn of(card: TestCard, amount: u8) -> Self {
        let tags = tags(&[
            (0x9F02, &[0, 0, 0, 0, amount, 0]),
            (0x9F1A, &[0x01, 0x56]),
            (0x5F2A, &[0x01, 0x56]),
            (0x9A, &DATE),
            (0x9F37, &UN),
        ]);
        let mut terminal = Self { card, tags, signed: vec![] };
        terminal.begin();
        terminal
    }
    fn begin(&mut self) {
        let aid = self.card.applications[0].row.aid.0.clone();
        self.ok(&Command::select(&aid, false)).unwrap();
        self.options().unwrap();
        let afl = self.tags.get(Tag(0x94)).unwrap().to_vec();
        for &[sfi, first, last, signed] in afl.as_chunks().0 {
            for n in first..=last {
                let record = self.ok(&Command::read_record(sfi >> 3, n)).unwrap();
                let content = tlv::find(&record, Tag(0x70)).unwrap().unwrap();
                if n < first + signed {
                    let whole = sfi >> 3 > 10;
                    self.signed.extend_from_slice(if whole { &record } else { content });
                }
                self.take(content);
            }
        }
        let aip = self.tags.get(Tag(0x82)).unwrap();
        self.signed.extend_from_slice(aip);
    }
    fn options(&mut self) -> Answer {
        let pdol = self.card.applications[0].row.pdol.0.clone();
        self.tags.put(Tag(0x9F38), &pdol).unwrap();
        let values = self.values(0x9F38);
        let answer = self.ok(&Command::get_processing_options(&values))?;
        match tlv::find(&answer, Tag(0x80)).unwrap() {
            Some(values) => self.take(&[object(0x82, &values[..2]), object(0x94, &values[2..])].concat()),
            None => self.take(&answer),
        }
        Ok(answer)
    }
    fn take(&mut self, objects: &[u8]) {
        let tags = &mut self.tags;
        tlv::each(objects, &mut |t| tags.put(t.tag, t.value).unwrap()).unwrap();
    }
    /// Data, or the status word.
    fn ok(&mut self, command: &Command) -> Answer {
        self.raw(&command.bytes())
    }
    fn raw(&mut self, command: &[u8]) -> Answer {
        let answer = self.card.answer(command);
        let (data, sw) = answer.split_last_chunk().unwrap();
        match u16::from_be_bytes(*sw) {
            0x9000 => Ok(data.to_vec()),
            sw => Err(sw),
        }
    }
    fn get(&self, tag: u32) -> Vec<u8> {
        self.tags.get(Tag(tag)).unwrap().to_vec()
    }
    fn values(&self, list: u32) -> Vec<u8> {
        dol::fill(self.tags.get(Tag(list)).unwrap(), &self.tags).unwrap().to_vec()
    }
    /// CID and cryptogram.
    fn ac(&mut self, asked: Cryptogram) -> Result<(u8, [u8; 8]), u16> {
        let list = if self.card.session.run.as_ref().unwrap().stage == Stage::Asked { 0x8D } else { 0x8C };
        let values = self.values(list);
        let answer = self.ok(&Command::generate_ac(asked, false, &values))?;
        let value = tlv::find(&answer, Tag(0x80)).unwrap().unwrap();
        Ok((value[0], value[3..11].try_into().unwrap()))
    }
    fn with<T>(&self, run: impl FnOnce(oda::Keys<'_>) -> T) -> T {
        let (modulus, exponent) = ca_key();
        let key = oda::CaKey::new(RID, CA_INDEX, &modulus, &exponent, None).unwrap();
        run(oda::Keys { ca: &[key], revoked: &[], date: DATE })
    }
    fn key(&self) -> Result<oda::CardKey, oda::Flaw> {
        self.with(|keys| oda::card_key(keys, RID, &self.tags, &self.signed))
    }
    /// The issuer's keys for this card, by their rules.
    fn session(&self) -> DesKey {
        let application = &self.card.applications[0];
        self.card.derivation.session(&application.ac_key, application.atc)
    }
    /// 91 for a cryptogram and a code.
    fn issuer(&self, ac: [u8; 8], code: [u8; 2]) -> Vec<u8> {
        [&crypt::arpc(&self.session(), ac, code)[..], &code].concat()
    }
    /// A script command with its MAC.
    fn script(&self, head: [u8; 4], data: &[u8], ac: [u8; 8]) -> Vec<u8> {
        let application = &self.card.applications[0];
        let session = self.card.derivation.script_session(&application.mac_key, application.atc, ac);
        let [cla, ins, p1, p2] = head;
        let lc = data.len() as u8 + 4;
        let mac = crypt::script_mac(&session, [cla, ins, p1, p2, lc], application.atc, ac, data);
        [&[cla, ins, p1, p2, lc], data, &mac].concat()
    }
}

#[test]
fn all_personas_can_be_made_for_any_day() {
    for date in [DATE, [0x00, 0x01, 0x01], [0x26, 0x12, 0x31]] {
        for persona in &personas().all {
            assert!(TestCard::new(&personas(), &persona.name, date).is_ok(), "{}", persona.name);
        }
    }
    assert!(matches!(TestCard::new(&personas(), "nobody", DATE), Err(PersonaError::Unknown(_))));
    let spoilt = |from: &str, to: &str| Personas::parse(&PERSONAS.replacen(from, to, 1)).is_err();
    assert!(!spoilt("nothing", "nothing"));
    assert!(spoilt("pin = \"123456\"", "pin = \"12\"") && spoilt("priority = 1", "priority = 16"));
    assert!(spoilt("pan = \"6212", "pan = \"62x2") && spoilt("label =", "unknown = 1\nlabel ="));
}

#[test]
fn the_directory_lists_the_applications_and_select_finds_them_one_after_the_other() {
    let mut terminal = Terminal::of(card("both"), 1);
    let fci = terminal.ok(&Command::select(PSE, false)).unwrap();
    assert_eq!(tlv::find(&fci, Tag(0x6F)).unwrap().unwrap()[..2], [0x84, 14]);
    for (n, aid) in [(1, 0x02), (2, 0x01)] {
        let record = terminal.ok(&Command::read_record(1, n)).unwrap();
        let mut seen = vec![];
        tlv::each(&record, &mut |t| seen.push((t.tag.0, t.value.to_vec()))).unwrap();
        assert_eq!(seen[0], (0x4F, vec![0xA0, 0, 0, 0x03, 0x33, 0x01, 0x01, aid]));
    }
    assert_eq!(terminal.ok(&Command::read_record(1, 3)), Err(sw::NO_RECORD));
    let partial = [0xA0, 0, 0, 0x03, 0x33];
    let last = |answer: Answer| answer.map(|fci| fci[11]);
    assert_eq!(last(terminal.ok(&Command::select(&partial, false))), Ok(0x02));
    assert_eq!(last(terminal.ok(&Command::select(&partial, true))), Ok(0x01));
    assert_eq!(terminal.ok(&Command::select(&partial, true)), Err(sw::NO_FILE), "there are two");
    assert_eq!(terminal.ok(&Command::select(b"2PAY.SYS.DDF01", false)), Err(sw::NO_FILE));
    let mut without = Terminal::of(card("offline"), 1);
    assert_eq!(without.ok(&Command::select(PSE, false)), Err(sw::NO_FILE));
}

#[test]
fn certificates_and_signatures_hold_under_the_test_ca() {
    for name in ["debit", "credit", "both", "offline", "pin-blocked", "refuses-after-approval"] {
        let mut terminal = Terminal::of(card(name), 1);
        let key = terminal.key().unwrap_or_else(|flaw| panic!("{name}: {flaw}"));
        let answer = terminal.ok(&Command::internal_authenticate(&UN)).unwrap();
        let signed = tlv::find(&answer, Tag(0x80)).unwrap().unwrap();
        assert_eq!(oda::dynamic_data(&key, signed, &UN).map(|n| n.len()), Ok(8), "{name}");
        assert!(oda::dynamic_data(&key, signed, &[0; 4]).is_err(), "{name}");
    }
    let expired = Terminal::of(card("expired-certificate"), 1);
    assert_eq!(expired.key().err(), Some(oda::Flaw::Expired(Tag(0x9F46))));
    let wrong = Terminal::of(card("wrong-ca"), 1).key().err();
    assert!(matches!(wrong, Some(oda::Flaw::Trailer(Tag(0x90)) | oda::Flaw::Range(Tag(0x90)))), "{wrong:?}");
}

#[test]
fn a_static_card_is_signed_and_has_no_dynamic_signature() {
    let mut unblocked = personas();
    unblocked.all.iter_mut().for_each(|p| p.applications[0].blocked = false);
    let card = TestCard::new(&unblocked, "blocked-application", DATE).unwrap();
    let mut terminal = Terminal::of(card, 1);
    let code = terminal.with(|keys| oda::static_data(keys, RID, &terminal.tags, &terminal.signed));
    assert_eq!(code, Ok([0xDA, 0xC0]));
    assert_eq!(terminal.ok(&Command::internal_authenticate(&UN)), Err(sw::INSTRUCTION));
}

#[test]
fn online_the_issuers_right_answer_leads_to_a_tc_and_a_wrong_one_does_not() {
    for (wrong, end) in [(0, 0x40), (1, 0x00)] {
        let mut terminal = Terminal::of(card("debit"), 1);
        let (cid, ac) = terminal.ac(Cryptogram::Tc).unwrap();
        assert_eq!(cid, 0x80, "it has no limit of its own");
        let mut issuer = terminal.issuer(ac, *b"00");
        issuer[0] ^= wrong;
        let answer = terminal.ok(&Command::external_authenticate(&issuer));
        assert_eq!(answer, if wrong == 0 { Ok(vec![]) } else { Err(sw::AUTHENTICATION_FAILED) });
        assert_eq!(terminal.ok(&Command::external_authenticate(&issuer)), Err(sw::CONDITIONS), "once");
        terminal.tags.put(Tag(0x8A), b"00").unwrap();
        assert_eq!(terminal.ac(Cryptogram::Tc).map(|(cid, _)| cid), Ok(end));
        assert_eq!(terminal.card.applications[0].last_online, u16::from(wrong == 0));
        let kinds: Vec<_> = terminal.card.given().iter().map(|g| (g.atc, g.cid, g.second)).collect();
        assert_eq!(kinds, [(1, 0x80, false), (1, end, true)]);
        assert_eq!(terminal.card.given()[0].amount, [0, 0, 0, 0, 1, 0]);
        assert_eq!(terminal.card.given()[0].number, UN);
    }
    // It can be asked for the issuer's answer, and does not do without.
    let mut terminal = Terminal::of(card("debit"), 1);
    terminal.ac(Cryptogram::Arqc).unwrap();
    terminal.tags.put(Tag(0x8A), b"00").unwrap();
    assert_eq!(terminal.ac(Cryptogram::Tc).map(|(cid, _)| cid), Ok(0x00));
}

#[test]
fn the_issuers_answer_in_cdol2_counts_as_the_command() {
    for (wrong, end) in [(0, 0x40), (1, 0x00)] {
        let mut terminal = Terminal::of(card("credit"), 1);
        let (_, ac) = terminal.ac(Cryptogram::Arqc).unwrap();
        let mut issuer = terminal.issuer(ac, *b"00");
        assert_eq!(terminal.ok(&Command::external_authenticate(&issuer)), Err(sw::INSTRUCTION));
        issuer[7] ^= wrong;
        terminal.tags.put(Tag(0x91), &issuer).unwrap();
        terminal.tags.put(Tag(0x8A), b"00").unwrap();
        assert_eq!(terminal.ac(Cryptogram::Tc).map(|(cid, _)| cid), Ok(end));
    }
}

#[test]
fn a_cryptogram_is_over_what_the_issuer_hashes_too() {
    for name in ["debit", "credit"] {
        let mut terminal = Terminal::of(card(name), 1);
        let values = terminal.values(0x8C);
        let answer = terminal.ok(&Command::generate_ac(Cryptogram::Arqc, false, &values)).unwrap();
        let value = tlv::find(&answer, Tag(0x80)).unwrap().unwrap();
        let (atc, ac, iad) = (&value[1..3], &value[3..11], &value[11..]);
        assert_eq!(iad, [0x07, 0x01, 0x01, 0x03, 0xA0, 0, 0, 0x01]);
        // 9F02 9F03 9F1A 95 5F2A 9A 9C 9F37: CDOL1 has no more than these.
        let data = [&values[..], &terminal.get(0x82), atc, &iad[3..7]].concat();
        assert_eq!(crypt::cryptogram(&terminal.session(), &data), ac, "{name}");
    }
}

#[test]
fn a_combined_signature_is_right_for_both_cryptograms() {
    let mut terminal = Terminal::of(card("credit"), 1);
    let key = terminal.key().ok().unwrap();
    let mut told = terminal.values(0x9F38);
    let mut check = |terminal: &mut Terminal, list: u32, asked, cid: u8| {
        let values = terminal.values(list);
        told.extend_from_slice(&values);
        let answer = terminal.ok(&Command::generate_ac(asked, true, &values)).unwrap();
        let inner = tlv::find(&answer, Tag(0x77)).unwrap().unwrap();
        let signed = tlv::find(inner, Tag(0x9F4B)).unwrap().unwrap();
        let rest: Vec<u8> = tlv::read(inner)
            .map(Result::unwrap)
            .filter(|t| t.tag != Tag(0x9F4B))
            .flat_map(|t| object(t.tag.0, t.value))
            .collect();
        let combined = oda::combined_data(&key, signed, UN, cid, &[&told[..], &rest].concat()).unwrap();
        assert_eq!(combined.cryptogram, terminal.card.given().last().unwrap().cryptogram);
        combined.cryptogram
    };
    let ac = check(&mut terminal, 0x8C, Cryptogram::Arqc, 0x80);
    let issuer = terminal.issuer(ac, *b"00");
    terminal.tags.put(Tag(0x91), &issuer).unwrap();
    terminal.tags.put(Tag(0x8A), b"00").unwrap();
    check(&mut terminal, 0x8D, Cryptogram::Tc, 0x40);
    // An AAC is never signed, nor is anything of a card that has no CDA.
    for name in ["credit", "debit"] {
        let mut terminal = Terminal::of(card(name), 1);
        let values = terminal.values(0x8C);
        let answer = terminal.ok(&Command::generate_ac(Cryptogram::Aac, true, &values)).unwrap();
        assert_eq!(answer[0], 0x80, "{name}");
    }
}

#[test]
fn a_card_gives_no_more_than_is_asked_and_nothing_after_the_end() {
    for name in ["debit", "credit", "offline"] {
        for asked in [Cryptogram::Aac, Cryptogram::Tc, Cryptogram::Arqc] {
            let mut terminal = Terminal::of(card(name), 1);
            let (cid, _) = terminal.ac(asked).unwrap();
            let allowed = match asked {
                Cryptogram::Aac => &[0x00][..],
                Cryptogram::Arqc => &[0x80, 0x00],
                Cryptogram::Tc => &[0x40, 0x80, 0x00],
            };
            assert!(allowed.contains(&cid), "{name}: {asked:?}, {cid:02X}");
            if cid == 0x80 {
                let values = terminal.values(0x8D);
                let again = terminal.ok(&Command::generate_ac(Cryptogram::Arqc, false, &values));
                assert_eq!(again, Err(sw::CONDITIONS));
                assert_eq!(terminal.ac(Cryptogram::Aac).map(|(cid, _)| cid), Ok(0x00));
            }
            assert_eq!(terminal.ac(Cryptogram::Aac), Err(sw::CONDITIONS), "it has ended");
            assert_eq!(terminal.options(), Err(sw::CONDITIONS));
        }
    }
}

#[test]
fn offline_it_approves_small_amounts_so_many_times_until_it_was_online() {
    let kind = |terminal: &mut Terminal| terminal.ac(Cryptogram::Tc).unwrap().0;
    assert_eq!(kind(&mut Terminal::of(card("offline"), 0x99)), 0x40, "99.00");
    let mut large = Terminal::of(card("offline"), 0x00);
    large.tags.put(Tag(0x9F02), &[0, 0, 0, 2, 0, 1]).unwrap();
    assert_eq!(kind(&mut large), 0x80, "200.01");
    large.tags.put(Tag(0x8A), b"Y3").unwrap();
    assert_eq!(kind(&mut large), 0x00, "and not when the terminal cannot go online");

    let mut card = card("offline");
    for kind_of in [0x40, 0x40, 0x40, 0x80] {
        let mut terminal = Terminal::of(card, 1);
        assert_eq!(kind(&mut terminal), kind_of);
        card = terminal.card;
        card.reset();
    }
    let mut terminal = Terminal::of(card, 1);
    let (cid, ac) = terminal.ac(Cryptogram::Tc).unwrap();
    assert_eq!(cid, 0x80);
    let issuer = terminal.issuer(ac, *b"00");
    terminal.ok(&Command::external_authenticate(&issuer)).unwrap();
    terminal.tags.put(Tag(0x8A), b"00").unwrap();
    assert_eq!(kind(&mut terminal), 0x40);
    assert_eq!(terminal.ok(&Command::get_data(Tag(0x9F13))), Ok(vec![0x9F, 0x13, 2, 0, 5]));
    terminal.card.reset();
    terminal.begin();
    assert_eq!(kind(&mut terminal), 0x40, "it counts anew");
}

#[test]
fn it_refuses_after_approval_though_the_issuer_is_right() {
    let mut terminal = Terminal::of(card("refuses-after-approval"), 1);
    let (cid, ac) = terminal.ac(Cryptogram::Arqc).unwrap();
    assert_eq!(cid, 0x80);
    let issuer = terminal.issuer(ac, *b"00");
    terminal.ok(&Command::external_authenticate(&issuer)).unwrap();
    terminal.tags.put(Tag(0x8A), b"00").unwrap();
    assert_eq!(terminal.ac(Cryptogram::Tc).map(|(cid, _)| cid), Ok(0x00));
}

#[test]
fn a_blocked_application_is_selected_with_a_warning_and_goes_no_further() {
    let mut card = card("blocked-application");
    let aid = card.applications[0].row.aid.0.clone();
    let answer = card.answer(&Command::select(&aid, false).bytes());
    assert!(answer.len() > 2 && answer.ends_with(&[0x62, 0x83]));
    assert_eq!(card.answer(&Command::get_processing_options(&[]).bytes()), [0x69, 0x85]);
}

#[test]
fn a_plain_pin_is_right_or_takes_a_try_until_none_is_left() {
    let mut terminal = Terminal::of(card("debit"), 1);
    let plain = |block: [u8; 8]| [&[0x00, 0x20, 0x00, 0x80, 8][..], &block].concat();
    let right = plain([0x26, 0x12, 0x34, 0x56, 0xFF, 0xFF, 0xFF, 0xFF]);
    let wrong = plain([0x26, 0x12, 0x34, 0x57, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(terminal.raw(&wrong), Err(0x63C2));
    assert_eq!(terminal.ok(&Command::get_data(Tag(0x9F17))), Ok(vec![0x9F, 0x17, 1, 2]));
    assert_eq!(terminal.raw(&right), Ok(vec![]));
    assert_eq!(terminal.ok(&Command::get_data(Tag(0x9F17))), Ok(vec![0x9F, 0x17, 1, 3]));
    for left in [2, 1, 0] {
        assert_eq!(terminal.raw(&wrong), Err(0x63C0 + left));
    }
    assert_eq!(terminal.raw(&right), Err(sw::PIN_BLOCKED));
    terminal.card.reset();
    terminal.begin();
    assert_eq!(terminal.raw(&right), Err(sw::PIN_BLOCKED), "a pull gives no tries back");
    assert_eq!(Terminal::of(card("pin-blocked"), 1).raw(&right), Err(sw::PIN_BLOCKED));
    let (_, ac) = terminal.ac(Cryptogram::Arqc).unwrap();
    let unblock = terminal.script([0x84, 0x24, 0, 0], &[], ac);
    assert_eq!(terminal.raw(&unblock), Ok(vec![]));
    assert_eq!(terminal.raw(&right), Ok(vec![]));
}

#[test]
fn an_enciphered_pin_is_good_for_one_challenge() {
    for (name, head) in [("credit", [0x24, 0x12, 0x34, 0xFF]), ("debit", [0x26, 0x12, 0x34, 0x56])] {
        let mut terminal = Terminal::of(card(name), 1);
        let own = terminal.key().ok().unwrap();
        let key = terminal.with(|keys| oda::pin_key(keys, RID, &terminal.tags, Some(&own))).ok().unwrap();
        let [a, b, c, d] = head;
        let block = Zeroizing::new([a, b, c, d, 0xFF, 0xFF, 0xFF, 0xFF]);
        let enciphered = |number: &[u8]| {
            let padding = vec![7; key.padding_len()];
            let pin = oda::encipher_pin(&key, &block, number.try_into().unwrap(), &padding).unwrap();
            [&[0x00, 0x20, 0x00, 0x88, pin.len() as u8][..], &pin].concat()
        };
        let number = terminal.ok(&Command::get_challenge()).unwrap();
        let verify = enciphered(&number);
        assert_eq!(terminal.raw(&verify), Ok(vec![]), "{name}");
        assert_eq!(terminal.raw(&verify), Err(sw::REFERENCE_DATA), "the challenge is used up");
        let other = terminal.ok(&Command::get_challenge()).unwrap();
        assert_ne!(other, number);
        assert_eq!(terminal.raw(&verify), Err(sw::REFERENCE_DATA), "it was for another challenge");
        let number = terminal.ok(&Command::get_challenge()).unwrap();
        terminal.ok(&Command::get_data(Tag(0x9F17))).unwrap();
        assert_eq!(terminal.raw(&enciphered(&number)), Err(sw::REFERENCE_DATA), "a command lay between");
        assert_eq!(terminal.card.tries, 0, "each was a try");
    }
}

#[test]
fn scripts_are_carried_out_when_their_mac_is_right_and_only_after_a_cryptogram() {
    for name in ["debit", "credit"] {
        let mut terminal = Terminal::of(card(name), 1);
        let block = [0x84, 0x1E, 0, 0];
        let early = terminal.script(block, &[], [0; 8]);
        assert_eq!(terminal.raw(&early), Err(sw::CONDITIONS), "{name}");
        let (_, ac) = terminal.ac(Cryptogram::Arqc).unwrap();
        let script = terminal.script(block, &[], ac);
        for at in 0..4 {
            let mut spoilt = script.clone();
            spoilt[5 + at] ^= 1;
            assert_eq!(terminal.raw(&spoilt), Err(sw::MAC_WRONG), "{name}");
        }
        assert_eq!(terminal.raw(&[0x84, 0x1E, 0, 0, 2, 1, 2]), Err(sw::MAC_MISSING));
        let other = terminal.script(block, &[], [9; 8]);
        assert_eq!(terminal.raw(&other), Err(sw::MAC_WRONG), "it answers another cryptogram");
        assert!(!terminal.card.applications[0].blocked);
        let limit = terminal.script([0x04, 0xDA, 0x9F, 0x14], &[9], ac);
        assert_eq!(terminal.raw(&limit), Ok(vec![]));
        assert_eq!(terminal.card.applications[0].offline_count, 9);
        assert_eq!(terminal.raw(&script), Ok(vec![]));
        terminal.card.reset();
        let aid = terminal.card.applications[0].row.aid.0.clone();
        assert_eq!(terminal.ok(&Command::select(&aid, false)), Err(sw::DEACTIVATED));
    }
    let mut terminal = Terminal::of(card("debit"), 1);
    let (_, ac) = terminal.ac(Cryptogram::Arqc).unwrap();
    let script = terminal.script([0x84, 0x16, 0, 0], &[], ac);
    assert_eq!(terminal.raw(&script), Ok(vec![]));
    assert_eq!(terminal.ok(&Command::select(PSE, false)), Err(sw::NOT_SUPPORTED), "a blocked card");
}

#[test]
fn a_pull_ends_the_transaction_and_the_counter_stays() {
    let mut terminal = Terminal::of(card("debit"), 1);
    terminal.ac(Cryptogram::Arqc).unwrap();
    terminal.card.reset();
    let values = terminal.values(0x8D);
    assert_eq!(terminal.ok(&Command::generate_ac(Cryptogram::Tc, false, &values)), Err(sw::CONDITIONS));
    assert_eq!(terminal.ok(&Command::read_record(1, 1)), Err(sw::CONDITIONS));
    terminal.begin();
    assert_eq!(terminal.ok(&Command::get_data(Tag(0x9F36))), Ok(vec![0x9F, 0x36, 2, 0, 2]));
    assert_eq!(terminal.card.given().len(), 1);
    // At its end a counter does not begin again.
    terminal.card.applications[0].atc = u16::MAX;
    terminal.card.reset();
    let aid = terminal.card.applications[0].row.aid.0.clone();
    terminal.ok(&Command::select(&aid, false)).unwrap();
    assert_eq!(terminal.options(), Err(sw::CONDITIONS));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_it_is_told_there_is_an_answer(
        commands in proptest::collection::vec(
            (0usize..14, 0u8..=255, 0u8..=255, proptest::collection::vec(0u8..=255, 0..60)),
            1..8,
        ),
    ) {
        let mut card = card("offline");
        let aid = card.applications[0].row.aid.0.clone();
        card.answer(&Command::select(&aid, false).bytes());
        card.answer(&Command::get_processing_options(&[]).bytes());
        let heads = [
            [0x00, 0xA4], [0x00, 0xB2], [0x80, 0xA8], [0x80, 0xCA], [0x00, 0x84], [0x00, 0x20], [0x00, 0x88],
            [0x00, 0x82], [0x80, 0xAE], [0x84, 0x16], [0x84, 0x24], [0x04, 0xDA], [0x00, 0x00], [0xFF, 0xFF],
        ];
        for (n, p1, p2, data) in commands {
            let head = [&heads[n][..], &[p1, p2]].concat();
            let lc = if data.is_empty() { vec![] } else { vec![data.len() as u8] };
            for command in [[&head[..], &lc, &data].concat(), [&head[..], &data].concat(), data.clone()] {
                proptest::prop_assert!(card.answer(&command).len() >= 2);
            }
        }
        proptest::prop_assert!(card.given().iter().all(|g| g.cid != 0x40), "nothing was asked right");
    }
}
