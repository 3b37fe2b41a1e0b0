//! Offline data authentication, of certificates and signatures that say what the bytes want, and are signed
//! right all the same: the keys are the tests' own.
use super::Choices;
use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use payterm_emv::{
    Tag, Tags,
    oda::{self, CaKey, Keys},
};
use sha1::{Digest, Sha1};
use std::sync::LazyLock;
use zeroize::Zeroizing;

const RID: [u8; 5] = [0xA0, 0, 0, 3, 0x33];
const DATE: [u8; 3] = [0x26, 0x07, 0x31];
const PAN: [u8; 8] = [0x62, 0x28, 0x48, 0, 0, 0, 0, 1];
const UN: [u8; 4] = [9, 8, 7, 6];
/// Data that are authenticated, and what a card hashed of a transaction.
const STATIC: &[u8] = b"static data\x7C\x00";
const TRANSACTION: &[u8] = b"transaction";

struct Pair {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    private: Vec<u8>,
}
impl Pair {
    fn named(name: &str) -> Self {
        let all = include_str!("../../tests/data/rsa-test-keys.txt");
        let line = all.lines().find(|l| l.split(' ').next() == Some(name)).expect("a key of that name");
        let bytes = |digits: &str| {
            let byte = |n| u8::from_str_radix(&digits[n..n + 2], 16).expect("hex digits");
            (0..digits.len()).step_by(2).map(byte).collect()
        };
        let mut numbers = line.split(' ').skip(1).map(bytes);
        let mut next = || numbers.next().expect("three numbers");
        Self { modulus: next(), exponent: next(), private: next() }
    }
    /// Header, content, hash over it and what is behind it, trailer: signed.
    fn sign(&self, content: &[u8], behind: &[u8]) -> Vec<u8> {
        let hash = Sha1::digest([content, behind].concat());
        let number = [&[0x6A], content, &hash, &[0xBC]].concat();
        let modulus = Odd::new(BoxedUint::from_be_slice_vartime(&self.modulus)).into_option().expect("odd");
        let base = BoxedUint::from_be_slice_vartime(&number);
        let base = BoxedMontyForm::new(base, &BoxedMontyParams::new(modulus));
        let bytes = base.pow(&BoxedUint::from_be_slice_vartime(&self.private)).retrieve().to_be_bytes();
        bytes[bytes.len() - self.modulus.len()..].to_vec()
    }
    /// Content as long as a signature of this key has it.
    fn filled(&self, mut content: Vec<u8>) -> Vec<u8> {
        content.resize(self.modulus.len() - 22, 0xBB);
        content
    }
}

/// A signature of a sound card, before it is signed.
struct Unsigned {
    signer: usize,
    /// Tag of a certificate or of the static signature; none: it comes with an answer.
    tag: Option<u32>,
    content: Vec<u8>,
    behind: Vec<u8>,
}
struct Card {
    ca: CaKey,
    pairs: [Pair; 4],
    tags: Tags,
    all: Vec<Unsigned>,
    /// Answers to INTERNAL AUTHENTICATE and GENERATE AC.
    answers: Vec<Vec<u8>>,
}

static CARD: LazyLock<Card> = LazyLock::new(|| {
    let pairs = ["ca", "issuer", "card", "pin"].map(Pair::named);
    let ca = CaKey::new(RID, 7, &pairs[0].modulus, &pairs[0].exponent, None).expect("a key");
    let mut tags = Tags::new();
    let mut put = |tag: u32, value: &[u8]| tags.put(Tag(tag), value).expect("room");
    put(0x5A, &PAN);
    put(0x8F, &[7]);
    put(0x9F4A, &[0x82]);
    let of_card = [&[4], &PAN[..], &[0xFF; 2]].concat();
    let mut all = Vec::new();
    for (signer, front, key, hashed, [certificate, rest, exponent]) in [
        (0, &[2, 0x62, 0x28, 0x48, 0xFF][..], 1, &[][..], [0x90, 0x92, 0x9F32]),
        (1, &of_card, 2, STATIC, [0x9F46, 0x9F48, 0x9F47]),
        (1, &of_card, 3, &[], [0x9F2D, 0x9F2F, 0x9F2E]),
    ] {
        let (by, key): (&Pair, &Pair) = (&pairs[signer], &pairs[key]);
        let lens = [1, 1, key.modulus.len() as u8, key.exponent.len() as u8];
        let content = [front, &[0x12, 0x27, 1, 2, 3], &lens].concat();
        let room = by.modulus.len() - 22 - content.len();
        let (inside, remainder) = key.modulus.split_at(room.min(key.modulus.len()));
        put(rest, remainder);
        put(exponent, &key.exponent);
        let behind = [remainder, &key.exponent, hashed].concat();
        let content = by.filled([&content[..], inside].concat());
        all.push(Unsigned { signer, tag: Some(certificate), content, behind });
    }
    let hash = Sha1::digest(TRANSACTION);
    let combined = [&[5, 1, 34, 4, 1, 2, 3, 4, 0x40][..], &[0xAC; 8], &hash].concat();
    for (signer, tag, content, behind) in [
        (1, Some(0x93), vec![3, 1, 0xDA, 0xC0], STATIC),
        (2, None, vec![5, 1, 5, 4, 1, 2, 3, 4], &UN[..]),
        (2, None, combined, &UN),
    ] {
        all.push(Unsigned { signer, tag, content: pairs[signer].filled(content), behind: behind.to_vec() });
    }
    let mut answers = Vec::new();
    for unsigned in &all {
        let signed = pairs[unsigned.signer].sign(&unsigned.content, &unsigned.behind);
        match unsigned.tag {
            Some(tag) => tags.put(Tag(tag), &signed).expect("room"),
            None => answers.push(signed),
        }
    }
    Card { ca, pairs, tags, all, answers }
});

/// One signature of a card says something else, and perhaps one of its objects: a key that comes out can be
/// used, and a number has its length; a card of which nothing was changed is sound.
pub fn oda(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let Card { ca, pairs, tags, all, answers } = &*CARD;
    let (mut tags, mut answers) = (tags.clone(), answers.clone());
    let which = usize::from(choices.next()) % all.len();
    let Unsigned { signer, tag, content, behind } = &all[which];
    let (mut content, mut behind) = (content.clone(), behind.clone());
    for _ in 0..choices.next() % 8 {
        let at = usize::from(choices.next()) % content.len();
        content[at] = choices.next();
    }
    if choices.next() >= 0xF0 {
        behind = choices.some().to_vec();
    }
    let signature = pairs[*signer].sign(&content, &behind);
    match tag {
        Some(tag) => tags.put(Tag(*tag), &signature).expect("room"),
        None => answers[which - 4] = signature,
    }
    let objects = [0x5A, 0x8F, 0x90, 0x92, 0x93, 0x9F2F, 0x9F32, 0x9F47, 0x9F48, 0x9F4A];
    let other = choices.next();
    if other >= 0xE0 {
        tags.put(Tag(objects[usize::from(other) % objects.len()]), choices.some()).ok();
    }
    let whole = content == all[which].content && behind == all[which].behind && other < 0xE0;
    let keys = Keys { ca: std::slice::from_ref(ca), revoked: &[], date: DATE };
    let code = oda::static_data(keys, RID, &tags, STATIC);
    assert!(!whole || code == Ok([0xDA, 0xC0]), "{code:?}");
    let card = oda::card_key(keys, RID, &tags, STATIC);
    assert!(!whole || card.is_ok());
    if let Ok(card) = &card {
        let number = oda::dynamic_data(card, &answers[0], &UN);
        assert!(number.as_ref().map_or(!whole, |n| (2..=8).contains(&n.len())), "{number:?}");
        let both = oda::combined_data(card, &answers[1], UN, 0x40, TRANSACTION);
        assert!(both.as_ref().map_or(!whole, |c| (2..=8).contains(&c.dynamic_number.len())), "{both:?}");
    }
    match oda::pin_key(keys, RID, &tags, card.as_ref().ok()) {
        Ok(key) => {
            let padding = vec![0xA5; key.padding_len()];
            let enciphered = oda::encipher_pin(&key, &Zeroizing::new([0x24; 8]), [7; 8], &padding);
            assert!(enciphered.is_ok_and(|e| e.len() == padding.len() + 17));
        }
        Err(flaw) => assert!(!whole, "{flaw}"),
    }
}
