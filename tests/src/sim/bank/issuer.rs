//! The issuer of the simulator's cards: it checks a chip's cryptogram and answers with its own. It shares
//! nothing with the machine, nor with the kernel.
use crate::sim::world::cards::ALL;
use payterm_schema::{
    HostMessage,
    host::{CardSecrets, MessageKind, SecretsFrom},
    icc::Icc,
};
use payterm_simulator::card::{Asked, CardIssuer, Script, When};

/// Made when a chip asks for the first time: it knows what it approved in this world.
#[derive(Default)]
pub(super) struct Issuer(Option<CardIssuer>);

/// A cryptogram that is its card's.
pub(super) struct Checked {
    pan: String,
    sequence: Option<u8>,
    asked: Asked,
}

impl Issuer {
    /// What is to be said of a request's cryptogram; none: it is of no card of the simulator's. The error: it
    /// is wrong.
    pub fn check(&mut self, m: &HostMessage) -> Option<Result<Checked, ()>> {
        let icc = m.plan.icc.as_ref().filter(|_| m.message_kind == MessageKind::Request)?;
        let SecretsFrom::Memory(CardSecrets { pan: Some(pan), .. }) = &m.secrets else { return None };
        let issuer = self.0.get_or_insert_with(|| CardIssuer::new(&ALL));
        let (pan, sequence) = (pan.reveal().to_owned(), m.plan.card_sequence);
        let checked = issuer.knows(&pan).then(|| issuer.check(&pan, sequence, icc))?;
        Some(checked.map(|asked| Checked { pan, sequence, asked }).map_err(|_| ()))
    }

    /// Its answer with this code, with a script for the card or none.
    pub fn answer(&mut self, checked: &Checked, code: &str, script: bool) -> Icc {
        let issuer = self.0.get_or_insert_with(|| CardIssuer::new(&ALL));
        let scripts: &[Script] = if script { &[Script::PinUnblock { when: When::Before }] } else { &[] };
        let Checked { pan, sequence, asked } = checked;
        if code == "00" {
            issuer.approved(pan, *sequence, asked.atc, asked.cryptogram);
        }
        issuer.answer(asked, code.as_bytes().try_into().expect("two characters"), scripts)
    }
}
