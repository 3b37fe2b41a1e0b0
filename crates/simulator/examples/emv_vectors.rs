//! What the test card and its issuer compute, for random inputs of a fixed seed: a JSON object a line, as
//! many as the argument says (1,000). `tests/emv/check.py` computes them again.
use payterm_primitives::DesKey;
use payterm_simulator::card::crypt::{self, Derivation};
use serde_json::json;
use std::io::{BufWriter, Write};

/// Random numbers (splitmix64).
struct Random(u64);
impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ x >> 31
    }
    fn below(&mut self, end: u64) -> usize {
        (self.next() % end) as usize
    }
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }
    fn some(&mut self, end: u64) -> Vec<u8> {
        (0..self.below(end)).map(|_| self.next() as u8).collect()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = std::env::args().nth(1).map_or(Ok(1_000), |n| n.parse::<u64>())?;
    let mut random = Random(0x0E5F);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for _ in 0..count {
        let master = DesKey::new(&random.bytes::<16>())?;
        let pan: String =
            (0..8 + random.below(12)).map(|_| char::from(b'0' + random.below(10) as u8)).collect();
        let psn = random.below(100) as u8;
        // Counters with equal bytes and with a zero too.
        let atc = match random.below(4) {
            0 => random.next() as u8 as u16,
            _ => random.next() as u16,
        };
        let (data, code) = (random.some(100), random.bytes());
        let (header, script) = (random.bytes(), random.some(60));
        let card = crypt::card_key(&master, &pan, psn);
        let derived = |derivation: Derivation| {
            let session = derivation.session(&card, atc);
            let ac = crypt::cryptogram(&session, &data);
            let own = derivation.script_session(&card, atc, ac);
            json!({
                "session": hex::encode(session.reveal()),
                "ac": hex::encode(ac),
                "arpc": hex::encode(crypt::arpc(&session, ac, code)),
                "script_session": hex::encode(own.reveal()),
                "mac": hex::encode(crypt::script_mac(&own, header, atc, ac, &script)),
                "enciphered": hex::encode(crypt::script_encipher(&own, &script)),
            })
        };
        let line = json!({
            "master": hex::encode(master.reveal()),
            "pan": pan,
            "psn": format!("{psn:02}"),
            "atc": format!("{atc:04x}"),
            "data": hex::encode(&data),
            "code": hex::encode(code),
            "header": hex::encode(header),
            "script": hex::encode(&script),
            "card": hex::encode(card.reveal()),
            "common": derived(Derivation::EmvCommon),
            "pboc": derived(Derivation::Pboc),
        });
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
