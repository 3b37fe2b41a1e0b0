//! A test card in the field (qPBOC; EMV contactless Book B, directory): SELECT of the directory, and GET
//! PROCESSING OPTIONS, which answers with the cryptogram and all that belongs to it.
use super::{
    Answer, Given, Run, Session, Stage, TestCard,
    authorise::{AAC, ARQC, TC, approves_alone, cryptogram, fixed, number},
    issue::{Application, object, track2},
    persona::TapCvm,
    sw,
};

pub(super) const PPSE: &[u8] = b"2PAY.SYS.DDF01";
/// File and number of the record that is signed anew in each tap.
pub(super) const SIGNED: (u8, u8) = (4, 1);

/// Terminal transaction qualifiers (9F66): offline only, online PIN, signature; online, CVM required.
const OFFLINE_ONLY: u8 = 0x08;
const ONLINE_PIN: u8 = 0x04;
const SIGNATURE: u8 = 0x02;
const ONLINE: u8 = 0x80;
const VERIFY: u8 = 0x40;

impl TestCard {
    pub(super) fn select_taps(&mut self) -> Answer {
        let tapped = self.applications.iter().filter(|a| a.row.tap.is_some());
        let entries = tapped.map(|Application { row, .. }| {
            let label = object(0x50, row.label.as_bytes());
            let entry = [object(0x4F, &row.aid.0), label, object(0x87, &[row.priority])].concat();
            object(0x61, &entry)
        });
        let entries: Vec<u8> = entries.flatten().collect();
        if entries.is_empty() {
            return Err(sw::NO_FILE);
        }
        self.session = Session { tapped: true, ..Session::default() };
        let inner = object(0xA5, &object(0xBF0C, &entries));
        Ok(object(0x6F, &[object(0x84, PPSE), inner].concat()))
    }

    /// The answer to GET PROCESSING OPTIONS with these values, for the application at this place; `drawn`:
    /// what its random number is of.
    pub(super) fn tap(&mut self, n: usize, values: &[u8], drawn: [u8; 8]) -> Answer {
        let derivation = self.derivation;
        let application = &self.applications[n];
        let tap = application.row.tap.as_ref().ok_or(sw::CONDITIONS)?;
        let list = &tap.pdol.0;
        let [can, needs, ..] = fixed::<4>(list, values, 0x9F66);
        let amount: [u8; 6] = fixed(list, values, 0x9F02);
        let verifies = needs & VERIFY != 0;
        let qualifiers = match tap.cvm {
            TapCvm::OnlinePin if verifies && can & ONLINE_PIN != 0 => [0x80, 0x00],
            TapCvm::Signature if verifies && can & SIGNATURE != 0 => [0x40, 0x00],
            TapCvm::Device => [0x00, 0x80],
            TapCvm::OnlinePin | TapCvm::Signature => [0x00, 0x00],
        };
        let alone = needs & ONLINE == 0 && !verifies && approves_alone(application, number(&amount));
        let cid = match (alone, can & OFFLINE_ONLY != 0) {
            (true, _) => TC,
            (false, false) => ARQC,
            (false, true) => AAC,
        };
        // No second cryptogram is asked for; kind of the first.
        let cvr = [0x03, 0x80 | cid >> 2, 0x00, 0x00];
        let (given, iad) = cryptogram(derivation, application, list, values, cvr);
        let track = track2(&application.row, application.expires);
        let mut answer = [
            object(0x82, &application.aip),
            object(0x9F36, &application.atc.to_be_bytes()),
            object(0x57, &track),
            object(0x9F10, &iad),
            object(0x9F26, &given),
            object(0x9F6C, &qualifiers),
        ]
        .concat();
        // SFI, first and last record, how many of them are authenticated offline.
        let certificates = application.records.iter().filter(|(sfi, ..)| *sfi == 3).count() as u8;
        let file = application.row.signed_file << 3;
        let signed = [[file, 1, 1, 1], [3 << 3, 1, certificates, 0], [SIGNED.0 << 3, 1, 1, 0]];
        match cid {
            TC => answer.extend(object(0x94, &signed.concat())),
            ARQC if !tap.bare => answer.extend(object(0x94, &[file, 1, 1, 0])),
            _ => answer.extend(object(0x5F34, &[application.row.psn / 10 * 16 + application.row.psn % 10])),
        }
        // Version, the card's number, its qualifiers again; a signature over the terminal's values and those.
        let [a, b, c, d, ..] = drawn;
        let related = [&[0x01, a, b, c, d][..], &qualifiers].concat();
        let un: [u8; 4] = fixed(list, values, 0x9F37);
        let currency: [u8; 2] = fixed(list, values, 0x5F2A);
        let content = [&[0x05, 0x01, 3, 2][..], &application.atc.to_be_bytes()].concat();
        let record = (cid == TC).then(|| {
            let signature = self.keys.card.sign(&content, &[&un, &amount, &currency, &related]);
            object(0x70, &[object(0x9F69, &related), object(0x9F4B, &signature)].concat())
        });
        let (aid, atc) = (application.row.aid.0.clone(), application.atc);
        self.given.push(Given { aid, atc, cid, cryptogram: given, amount, number: un, second: false });
        self.session.run = Some(Run { stage: Stage::Ended, signed: record, ..Run::default() });
        Ok(object(0x77, &answer))
    }
}
