//! A CA, an issuer and cards of the tests' own: their keys are in `tests/data/rsa-test-keys.txt` (name,
//! modulus, exponent, private exponent a line), made once from a fixed seed.
use super::*;
use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use proptest::prelude::*;

mod chain;
mod signatures;

const RID: [u8; 5] = [0xA0, 0, 0, 3, 0x33];
const DATE: [u8; 3] = [0x26, 0x07, 0x31];
const EXPIRY: [u8; 2] = [0x12, 0x27];
const SERIAL: [u8; 3] = [1, 2, 3];
const PAN_16: [u8; 8] = [0x62, 0x28, 0x48, 0x00, 0x00, 0x00, 0x00, 0x01];
const NUMBER: [u8; 4] = [4, 3, 2, 1];
const UN: [u8; 4] = [9, 8, 7, 6];

/// A key pair.
#[derive(Clone)]
struct Pair {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    private: Vec<u8>,
}
fn pair(name: &str) -> Pair {
    let all = include_str!("../../tests/data/rsa-test-keys.txt");
    let line = all.lines().find(|l| l.split(' ').next() == Some(name)).unwrap();
    let [modulus, exponent, private] =
        [1, 2, 3].map(|n| hex::decode(line.split(' ').nth(n).unwrap()).unwrap());
    Pair { modulus, exponent, private }
}
impl Pair {
    fn private(&self, number: &[u8]) -> Vec<u8> {
        let modulus = Odd::new(BoxedUint::from_be_slice_vartime(&self.modulus)).into_option().unwrap();
        let base =
            BoxedMontyForm::new(BoxedUint::from_be_slice_vartime(number), &BoxedMontyParams::new(modulus));
        let bytes = base.pow(&BoxedUint::from_be_slice_vartime(&self.private)).retrieve().to_be_bytes();
        bytes[bytes.len() - self.modulus.len()..].to_vec()
    }
    fn public(&self) -> PublicKey {
        PublicKey::new(&self.modulus, &self.exponent).unwrap()
    }
    fn ca(&self) -> CaKey {
        CaKey::new(RID, 7, &self.modulus, &self.exponent, None).unwrap()
    }
    /// Header, content, hash over it and what is behind it, trailer: signed.
    fn sign(&self, content: &[u8], behind: &[&[u8]]) -> Vec<u8> {
        let hash = sha1(&[&[content], behind].concat());
        self.private(&[&[0x6A], content, &hash, &[0xBC]].concat())
    }
    /// The same with other content, its hash right again.
    fn again(&self, signed: &[u8], behind: &[&[u8]], alter: &dyn Fn(&mut [u8])) -> Vec<u8> {
        let mut bytes = self.public().recover(signed).unwrap().to_vec();
        let end = bytes.len() - 21;
        alter(&mut bytes[1..end]);
        self.sign(&bytes[1..end], behind)
    }
    /// The same with one byte of it altered, and nothing made right.
    fn spoilt(&self, signed: &[u8], at: usize) -> Vec<u8> {
        let mut bytes = self.public().recover(signed).unwrap().to_vec();
        // Bit 1 keeps the header below every modulus.
        bytes[at] ^= 0x01;
        self.private(&bytes)
    }
    /// A dynamic signature.
    fn dynamic(&self, dynamic: &[u8], behind: &[u8]) -> Vec<u8> {
        let mut content = [&[5, 1, dynamic.len() as u8], dynamic].concat();
        content.resize(self.modulus.len() - 22, 0xBB);
        self.sign(&content, &[behind])
    }
    fn combined(&self, cid: u8, transaction: &[u8]) -> Vec<u8> {
        let hash = sha1(&[transaction]);
        self.dynamic(&[&[4][..], &NUMBER, &[cid], &[0xAC; 8], &hash].concat(), &UN)
    }
}

/// Certificate and remainder of a key; `front`: format and owner.
fn certificate(signer: &Pair, front: &[u8], key: &Pair, hashed: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let lens = [1, 1, key.modulus.len() as u8, key.exponent.len() as u8];
    let mut content = [front, &EXPIRY, &SERIAL, &lens].concat();
    let room = signer.modulus.len() - 22 - content.len();
    let (inside, rest) = key.modulus.split_at(room.min(key.modulus.len()));
    content.extend_from_slice(inside);
    content.resize(signer.modulus.len() - 22, 0xBB);
    (signer.sign(&content, &[rest, &key.exponent, hashed]), rest.to_vec())
}

/// A card, and those who signed it.
#[derive(Clone)]
struct World {
    ca: Pair,
    issuer: Pair,
    card: Pair,
    pin: Pair,
    revoked: Vec<Revoked>,
    date: [u8; 3],
    tags: Tags,
    signed: Vec<u8>,
}
/// The card's number as certificates have it.
fn card_front() -> Vec<u8> {
    [&[4], &PAN_16[..], &[0xFF; 2]].concat()
}
fn world_of([ca, issuer, card, pin]: [&str; 4]) -> World {
    let [ca, issuer, card, pin] = [ca, issuer, card, pin].map(pair);
    let signed = b"static data\x7C\x00".to_vec();
    let mut tags = Tags::new();
    let mut put = |tag: u32, value: &[u8]| tags.put(Tag(tag), value).unwrap();
    put(0x5A, &PAN_16);
    put(0x8F, &[7]);
    put(0x9F4A, &[0x82]);
    let (cert, rest) = certificate(&ca, &[2, 0x62, 0x28, 0x48, 0xFF], &issuer, &[]);
    put(0x90, &cert);
    put(0x92, &rest);
    put(0x9F32, &issuer.exponent);
    let (cert, rest) = certificate(&issuer, &card_front(), &card, &signed);
    put(0x9F46, &cert);
    put(0x9F48, &rest);
    put(0x9F47, &card.exponent);
    let (cert, rest) = certificate(&issuer, &card_front(), &pin, &[]);
    put(0x9F2D, &cert);
    put(0x9F2F, &rest);
    put(0x9F2E, &pin.exponent);
    let mut content = vec![3, 1, 0xDA, 0xC0];
    content.resize(issuer.modulus.len() - 22, 0xBB);
    put(0x93, &issuer.sign(&content, &[&signed]));
    World { ca, issuer, card, pin, revoked: vec![], date: DATE, tags, signed }
}
fn world() -> World {
    world_of(["ca", "issuer", "card", "pin"])
}
impl World {
    fn with<T>(&self, run: impl FnOnce(Keys<'_>) -> T) -> T {
        run(Keys { ca: &[self.ca.ca()], revoked: &self.revoked, date: self.date })
    }
    fn sda(&self) -> Result<[u8; 2], Flaw> {
        self.with(|keys| static_data(keys, RID, &self.tags, &self.signed))
    }
    fn card(&self) -> Result<CardKey, Flaw> {
        self.with(|keys| card_key(keys, RID, &self.tags, &self.signed))
    }
    fn pin(&self) -> Result<CardKey, Flaw> {
        self.with(|keys| pin_key(keys, RID, &self.tags, None))
    }
    fn get(&self, tag: u32) -> Vec<u8> {
        self.tags.get(Tag(tag)).unwrap().to_vec()
    }
    fn put(&mut self, tag: u32, value: &[u8]) {
        self.tags.put(Tag(tag), value).unwrap();
    }
    /// The world without one value.
    fn without(mut self, tag: u32) -> Self {
        let all: Vec<Tag> = self.tags.tags().filter(|t| t.0 != tag).collect();
        let old = std::mem::take(&mut self.tags);
        all.iter().for_each(|t| self.tags.put(*t, old.get(*t).unwrap()).unwrap());
        self
    }
    /// Each kind of certificate: its tag, who signs it, remainder, exponent, what else is hashed, how it is
    /// checked.
    fn kinds(&self) -> [Kind; 3] {
        [
            Kind { tags: [0x90, 0x92, 0x9F32], check: |w| w.sda().map(drop), owner: 4, hashed: vec![] },
            Kind {
                tags: [0x9F46, 0x9F48, 0x9F47],
                check: |w| w.card().map(drop),
                owner: 10,
                hashed: self.signed.clone(),
            },
            Kind { tags: [0x9F2D, 0x9F2F, 0x9F2E], check: |w| w.pin().map(drop), owner: 10, hashed: vec![] },
        ]
    }
    fn signer(&self, tag: u32) -> &Pair {
        if tag == 0x90 { &self.ca } else { &self.issuer }
    }
    /// One certificate made again with other content.
    fn alter(&mut self, kind: &Kind, alter: &dyn Fn(&mut [u8])) {
        let [tag, remainder, exponent] = kind.tags;
        let behind = [self.get(remainder), self.get(exponent), kind.hashed.clone()];
        let behind: Vec<&[u8]> = behind.iter().map(Vec::as_slice).collect();
        let again = self.signer(tag).again(&self.get(tag), &behind, alter);
        self.put(tag, &again);
    }
}
struct Kind {
    /// Certificate, remainder, exponent.
    tags: [u32; 3],
    check: fn(&World) -> Result<(), Flaw>,
    owner: usize,
    hashed: Vec<u8>,
}

#[test]
fn book_3_10_3_cda_goes_before_dda_before_sda_and_both_must_have_it() {
    let all = |aip, capabilities| method([aip, 0], [0, 0, capabilities]);
    assert_eq!(all(0x61, 0xC8), Some(Method::Cda));
    assert_eq!(all(0x61, 0xC0), Some(Method::Dda));
    assert_eq!(all(0x60, 0xC8), Some(Method::Dda));
    assert_eq!(all(0x61, 0x80), Some(Method::Sda));
    assert_eq!(all(0x40, 0xC8), Some(Method::Sda));
    // What the one has and the other has not is nothing.
    for (aip, capabilities) in [(0x40, 0x48), (0x20, 0x88), (0x01, 0xC0), (0x9E, 0xFF), (0xFF, 0x37)] {
        assert_eq!(all(aip, capabilities), None, "{aip:02X} {capabilities:02X}");
    }
}

#[test]
fn a_sound_card_is_authenticated_each_way() {
    let large = ["ca-1984", "issuer-1408", "card-1152", "card"];
    for keys in [["ca", "issuer", "card", "pin"], ["ca-f4", "issuer", "card", "pin"], large] {
        let world = world_of(keys);
        assert_eq!(world.sda(), Ok([0xDA, 0xC0]), "{keys:?}");
        let key = world.card().ok().unwrap();
        assert_eq!(
            dynamic_data(&key, &world.card.dynamic(&[&[4], &NUMBER[..]].concat(), &UN), &UN),
            Ok(NUMBER.to_vec())
        );
        assert_eq!(
            combined_data(&key, &world.card.combined(0x40, b"all"), UN, 0x40, b"all"),
            Ok(Combined { dynamic_number: NUMBER.to_vec(), cryptogram: [0xAC; 8] })
        );
        assert_eq!(world.pin().ok().unwrap().0.size(), world.pin.modulus.len());
    }
}

#[test]
fn each_field_of_a_certificate_has_a_flaw_of_its_own() {
    let good = world();
    for kind in &good.kinds() {
        let tag = Tag(kind.tags[0]);
        let (exponent, owner) = (Tag(kind.tags[2]), kind.owner);
        let other_owner = if kind.owner == 4 { Flaw::Issuer } else { Flaw::Pan(tag) };
        for (at, value, flaw) in [
            (0, 0x07, Flaw::Format(tag)),
            (1, 0x63, other_owner),
            (owner, 0x09, other_owner),
            (owner + 1, 0x13, Flaw::Expiry(tag)),
            (owner + 1, 0x0A, Flaw::Expiry(tag)),
            (owner + 1, 0x00, Flaw::Expiry(tag)),
            (owner + 2, 0xA7, Flaw::Expiry(tag)),
            (owner + 2, 0x25, Flaw::Expired(tag)),
            (owner + 6, 0x02, Flaw::HashAlgorithm(tag)),
            (owner + 7, 0x02, Flaw::KeyAlgorithm(tag)),
            (owner + 8, 0x3F, Flaw::KeyLength(tag)),
            (owner + 8, 0xF8, Flaw::KeyLength(tag)),
            (owner + 8, 0x40 + 1, Flaw::Remainder(Tag(kind.tags[1]))),
            (owner + 9, 0x02, Flaw::Exponent(exponent)),
            (owner + 9, 0x03, Flaw::Exponent(exponent)),
            (owner + 10, 0x7F, Flaw::Modulus(tag)),
        ] {
            let mut world = good.clone();
            world.alter(kind, &|content| content[at] = value);
            assert_eq!((kind.check)(&world), Err(flaw), "{tag}: byte {at} = {value:02X}");
        }
        // The serial number alone may be any.
        let mut world = good.clone();
        world.alter(kind, &|content| content[owner + 3] ^= 0xFF);
        assert_eq!((kind.check)(&world), Ok(()), "{tag}");
    }
}

#[test]
fn each_byte_of_a_certificate_counts() {
    for n in 0..3 {
        let good = world();
        let kind = &good.kinds()[n];
        let [tag, remainder, exponent] = kind.tags;
        let (signed, owner) = (good.get(tag), kind.owner);
        for at in 0..signed.len() {
            let mut world = good.clone();
            let spoilt = world.signer(tag).spoilt(&signed, at);
            world.put(tag, &spoilt);
            let t = Tag(tag);
            let flaw = match at {
                0 => Flaw::Header(t),
                1 => Flaw::Format(t),
                _ if at == signed.len() - 1 => Flaw::Trailer(t),
                _ if at == owner + 7 => Flaw::HashAlgorithm(t),
                // One byte more is certified.
                _ if at == owner + 9 => Flaw::Remainder(Tag(remainder)),
                _ if at == owner + 10 => Flaw::Exponent(Tag(exponent)),
                _ => Flaw::Hash(t),
            };
            assert_eq!((kind.check)(&world), Err(flaw), "{t}: byte {at}");
            let mut altered = signed.clone();
            altered[at] ^= 0x01;
            world.put(tag, &altered);
            assert!((kind.check)(&world).is_err(), "{t}: byte {at} of the signature");
        }
        for at in 0..good.get(remainder).len() {
            let mut world = good.clone();
            let mut altered = good.get(remainder);
            altered[at] ^= 0x80;
            world.put(remainder, &altered);
            assert_eq!((kind.check)(&world), Err(Flaw::Hash(Tag(tag))), "{}: byte {at}", Tag(remainder));
        }
    }
    let mut world = world();
    world.signed[0] ^= 1;
    assert_eq!(world.card().err(), Some(Flaw::Hash(Tag(0x9F46))), "static data of the card's certificate");
    assert_eq!(world.sda().err(), Some(Flaw::Hash(Tag(0x93))));
    assert!(world.pin().is_ok(), "a PIN certificate covers no static data");
}

#[test]
fn a_certificate_is_as_long_as_its_key_and_below_its_modulus() {
    for n in 0..3 {
        let good = world();
        let kind = &good.kinds()[n];
        let tag = kind.tags[0];
        let signed = good.get(tag);
        let modulus = good.signer(tag).modulus.clone();
        for (value, flaw) in [
            (signed[..signed.len() - 1].to_vec(), Flaw::Length(Tag(tag))),
            (signed[1..].to_vec(), Flaw::Length(Tag(tag))),
            ([&[0], &signed[..]].concat(), Flaw::Length(Tag(tag))),
            ([&signed[..], &[0]].concat(), Flaw::Length(Tag(tag))),
            (vec![], Flaw::Length(Tag(tag))),
            (modulus.clone(), Flaw::Range(Tag(tag))),
            (vec![0xFF; modulus.len()], Flaw::Range(Tag(tag))),
            (vec![0; modulus.len()], Flaw::Trailer(Tag(tag))),
        ] {
            let mut world = world();
            world.put(tag, &value);
            assert_eq!((kind.check)(&world), Err(flaw), "{value:02X?}");
        }
    }
}

#[test]
fn book_3_10_3_what_is_missing_is_named() {
    for tag in [0x5A, 0x8F, 0x90, 0x92, 0x93, 0x9F32] {
        assert_eq!(world().without(tag).sda().err(), Some(Flaw::MissingData(Tag(tag))));
    }
    for tag in [0x5A, 0x8F, 0x90, 0x92, 0x9F32, 0x9F46, 0x9F47, 0x9F48] {
        assert_eq!(world().without(tag).card().err(), Some(Flaw::MissingData(Tag(tag))));
    }
    for tag in [0x5A, 0x8F, 0x90, 0x92, 0x9F32, 0x9F2D, 0x9F2E, 0x9F2F] {
        assert_eq!(world().without(tag).pin().err(), Some(Flaw::MissingData(Tag(tag))));
    }
    // A signature of the other method is of no matter.
    assert!(world().without(0x93).card().is_ok() && world().without(0x9F46).sda().is_ok());
}

#[test]
fn a_remainder_is_what_is_left_of_the_key_and_no_more() {
    for n in 0..3 {
        let good = world();
        let kind = &good.kinds()[n];
        let (remainder, tag) = (good.get(kind.tags[1]), kind.tags[1]);
        for value in [&remainder[1..], &[&remainder[..], &[0]].concat(), &[]] {
            let mut world = world();
            world.put(tag, value);
            assert_eq!((kind.check)(&world), Err(Flaw::Remainder(Tag(tag))));
        }
    }
    // Where the whole key is in the certificate there is none, or an empty one.
    let large = || world_of(["ca-1984", "issuer-1408", "card-1152", "card"]);
    assert_eq!(large().get(0x92), []);
    assert!(large().without(0x92).sda().is_ok());
    let mut world = large();
    world.put(0x92, &[0xBB]);
    assert_eq!(world.sda().err(), Some(Flaw::Remainder(Tag(0x92))));
}

#[test]
fn exponents_are_3_or_65537_in_their_shortest_form() {
    for exponent in [&[][..], &[1], &[2], &[5], &[0, 3], &[0, 0, 3], &[1, 0, 0], &[0, 1, 0, 1], &[1, 0, 1, 0]]
    {
        let key = pair("ca");
        let fault = PublicKey::new(&key.modulus, exponent).err();
        assert_eq!(fault, Some(KeyFault::Exponent), "{exponent:02X?}");
        for n in 0..3 {
            // Certified as it stands in the card, and still none.
            let mut world = world();
            let kind = &world.kinds()[n];
            world.put(kind.tags[2], exponent);
            let len = exponent.len() as u8;
            let at = kind.owner + 9;
            world.alter(kind, &|content| content[at] = len);
            assert_eq!((kind.check)(&world), Err(Flaw::Exponent(Tag(kind.tags[2]))), "{exponent:02X?}");
        }
    }
}

#[test]
fn a_certificate_is_good_to_the_last_day_of_its_month() {
    for (month, year, date, good) in [
        (0x07, 0x26, [0x26, 0x07, 0x31], true),
        (0x07, 0x26, [0x26, 0x08, 0x01], false),
        (0x12, 0x25, [0x26, 0x01, 0x01], false),
        (0x01, 0x27, [0x26, 0x12, 0x31], true),
        // Below 50 it is a year of 2000.
        (0x12, 0x49, [0x26, 0x07, 0x31], true),
        (0x12, 0x50, [0x26, 0x07, 0x31], false),
        (0x12, 0x99, [0x00, 0x01, 0x01], false),
        (0x01, 0x00, [0x99, 0x12, 0x31], true),
    ] {
        for n in 0..3 {
            let mut world = World { date, ..world() };
            for kind in world.kinds() {
                let at = kind.owner + 1;
                // Those that are not looked at are good for ever.
                let last = if kind.tags == world.kinds()[n].tags { [month, year] } else { [0x12, 0x49] };
                world.alter(&kind, &|content| content[at..at + 2].copy_from_slice(&last));
            }
            let kind = &world.kinds()[n];
            let flaw = Flaw::Expired(Tag(kind.tags[0]));
            let case = format!("{month:02X}{year:02X} on {date:02X?}");
            assert_eq!((kind.check)(&world), if good { Ok(()) } else { Err(flaw) }, "{case}");
        }
    }
    for date in [[0x26, 0x13, 0x01], [0x26, 0x00, 0x01], [0x2A, 0x01, 0x01]] {
        assert_eq!(World { date, ..world() }.sda().err(), Some(Flaw::Date));
    }
}

#[test]
fn a_certificate_is_revoked_by_provider_index_and_serial_number_together() {
    let entry = Revoked { rid: RID, index: 7, serial: SERIAL };
    let with = |revoked: Vec<Revoked>| World { revoked, ..world() };
    assert_eq!(with(vec![entry]).sda().err(), Some(Flaw::Revoked));
    assert_eq!(with(vec![entry]).card().err(), Some(Flaw::Revoked));
    assert_eq!(with(vec![entry]).pin().err(), Some(Flaw::Revoked));
    let others = vec![
        Revoked { rid: [0xA0, 0, 0, 0, 3], ..entry },
        Revoked { index: 8, ..entry },
        Revoked { serial: [1, 2, 4], ..entry },
    ];
    assert!(with(others.clone()).card().is_ok());
    assert_eq!(with([others, vec![entry]].concat()).card().err(), Some(Flaw::Revoked));
}

#[test]
fn a_ca_key_is_found_by_provider_and_index() {
    let world = world();
    let key = |rid, index| CaKey { rid, index, key: world.ca.public(), until: None };
    let run = |ca: &[CaKey]| {
        static_data(Keys { ca, revoked: &[], date: DATE }, RID, &world.tags, &world.signed).err()
    };
    assert_eq!(run(&[]), Some(Flaw::NoCaKey(7)));
    assert_eq!(run(&[key(RID, 8), key([0xA0, 0, 0, 0, 3], 7)]), Some(Flaw::NoCaKey(7)));
    assert_eq!(run(&[key(RID, 8), key(RID, 7)]), None);
    // Another CA's key of that index gives back no certificate.
    let wrong = CaKey { rid: RID, index: 7, key: pair("ca-f4").public(), until: None };
    assert!(matches!(run(&[wrong]), Some(Flaw::Trailer(_) | Flaw::Range(_))));
}

#[test]
fn a_ca_key_with_an_end_is_used_to_its_last_day() {
    let world = world();
    let on = |date, until| {
        let ca = &[world.ca.ca().until(Some(until))];
        static_data(Keys { ca, revoked: &[], date }, RID, &world.tags, &world.signed).err()
    };
    // The last day, the next, and one of the next century: its end has four digits of the year.
    assert_eq!((on([0x26, 0x12, 0x31], 20261231), on(DATE, 20991231)), (None, None));
    assert_eq!(on([0x27, 0x01, 0x01], 20261231), Some(Flaw::CaKeyEnded(7)));
    assert_eq!(on([0x26, 0x02, 0x30], 20261231), Some(Flaw::Date), "no day");
}

#[test]
fn an_issuer_is_named_by_3_to_8_first_digits() {
    for (identifier, good) in [
        ([0x62, 0x2F, 0xFF, 0xFF], true),
        ([0x62, 0x28, 0xFF, 0xFF], true),
        ([0x62, 0x28, 0x48, 0x00], true),
        ([0x62, 0xFF, 0xFF, 0xFF], false),
        ([0xFF, 0xFF, 0xFF, 0xFF], false),
        ([0x62, 0x29, 0xFF, 0xFF], false),
        ([0x62, 0x28, 0x48, 0x01], false),
        ([0x62, 0x28, 0xF8, 0x00], false),
        ([0x62, 0x28, 0x4A, 0xFF], false),
    ] {
        let mut world = world();
        let kind = &world.kinds()[0];
        world.alter(kind, &|content| content[1..5].copy_from_slice(&identifier));
        let want = if good { Ok([0xDA, 0xC0]) } else { Err(Flaw::Issuer) };
        assert_eq!(world.sda(), want, "{identifier:02X?}");
    }
}

#[test]
fn card_numbers_are_compared_as_if_filled_up_with_f() {
    for (pan, card) in [
        (&PAN_16[..], None),
        (&[&PAN_16[..], &[0xFF]].concat(), None),
        (&[&PAN_16[..], &[0xFF; 2]].concat(), None),
        (&[&PAN_16[..], &[0xFF; 3]].concat(), Some(Flaw::Length(Tag(0x5A)))),
        (&[&PAN_16[..], &[0x1F]].concat(), Some(Flaw::Pan(Tag(0x9F46)))),
        (&PAN_16[..7], Some(Flaw::Pan(Tag(0x9F46)))),
        (&[], Some(Flaw::Issuer)),
    ] {
        let mut world = world();
        world.put(0x5A, pan);
        assert_eq!(world.card().err(), card, "{pan:02X?}");
    }
}

#[test]
fn the_list_of_static_data_names_82_and_nothing_else() {
    for list in [&[][..], &[0x82, 0x82], &[0x82, 0x94], &[0x94], &[0x5F, 0x24]] {
        let mut world = world();
        world.put(0x9F4A, list);
        assert_eq!(world.sda().err(), Some(Flaw::TagList), "{list:02X?}");
        assert_eq!(world.card().err(), Some(Flaw::TagList), "{list:02X?}");
        assert!(world.pin().is_ok(), "a PIN certificate covers no static data");
    }
    assert!(world().without(0x9F4A).card().is_ok());
}

#[test]
fn unionpays_ca_keys_load_with_their_checksums_and_not_with_others() {
    let lines = include_str!("../../tests/data/unionpay-ca-keys.tlv").lines();
    let mut seen = 0;
    for bytes in lines.map(|l| hex::decode(l).unwrap()) {
        let get = |tag| crate::tlv::find(&bytes, Tag(tag)).unwrap().unwrap();
        let rid: [u8; 5] = get(0x9F06).try_into().unwrap();
        let (index, modulus, exponent) = (get(0x9F22)[0], get(0xDF02), get(0xDF04));
        let sum: [u8; 20] = get(0xDF03).try_into().unwrap();
        let load = |rid, index, modulus: &[u8], sum| CaKey::new(rid, index, modulus, exponent, sum).err();
        assert_eq!(load(rid, index, modulus, Some(sum)), None, "{index:02X}");
        assert_eq!(load(rid, index, modulus, None), None);
        let wrong = Some(KeyFault::Checksum);
        assert_eq!(load(rid, index, modulus, Some([0; 20])), wrong, "zeros are no checksum");
        assert_eq!(load(rid, index ^ 1, modulus, Some(sum)), wrong);
        assert_eq!(load([0xA0, 0, 0, 0, 3], index, modulus, Some(sum)), wrong);
        let mut altered = modulus.to_vec();
        altered[9] ^= 1;
        assert_eq!(load(rid, index, &altered, Some(sum)), wrong);
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn a_modulus_is_odd_begins_with_a_one_and_has_64_to_248_bytes() {
    let of = |len: usize, first: u8, last: u8| {
        let mut modulus = vec![0x55; len];
        if let [a, .., z] = modulus.as_mut_slice() {
            (*a, *z) = (first, last);
        }
        CaKey::new(RID, 1, &modulus, &[3], None).err()
    };
    for len in [MODULUS_MIN, 65, 127, MODULUS_MAX] {
        assert_eq!(of(len, 0x80, 1), None);
        assert_eq!(of(len, 0x7F, 1), Some(KeyFault::Modulus));
        assert_eq!(of(len, 0x80, 2), Some(KeyFault::Modulus));
    }
    for len in [0, 1, MODULUS_MIN - 1, MODULUS_MAX + 1] {
        assert_eq!(of(len, 0x80, 1), Some(KeyFault::Size(len)));
    }
}

/// By the definition of the power, with numbers small enough to check by hand: 2 to the power of 3 is 8,
/// whatever the modulus; and a modulus less one, to an odd power, is itself.
#[test]
fn recovery_is_the_power_modulo_the_modulus() {
    for name in ["ca", "card", "ca-1984", "ca-f4", "issuer-1408"] {
        let pair = pair(name);
        let mut less_one = pair.modulus.clone();
        *less_one.last_mut().unwrap() -= 1;
        assert_eq!(pair.public().recover(&less_one).unwrap().to_vec(), less_one);
        let small = |n: u8| [&vec![0; pair.modulus.len() - 1][..], &[n]].concat();
        if pair.exponent == [3] {
            assert_eq!(pair.public().recover(&small(2)).unwrap().to_vec(), small(8));
        }
        assert_eq!(pair.public().recover(&small(1)).unwrap().to_vec(), small(1));
    }
    // A modulus whose length is no multiple of a limb.
    let odd = PublicKey::new(&[0xFF; 65], &[3]).unwrap();
    let three = [&[0; 64][..], &[3]].concat();
    assert_eq!(odd.recover(&three).unwrap().to_vec(), [&[0; 64][..], &[27]].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_a_card_has_there_is_an_answer(
        values in prop::collection::vec((0usize..13, prop::collection::vec(any::<u8>(), 0..260)), 0..6),
    ) {
        let all = [
            0x5A, 0x8F, 0x90, 0x92, 0x93, 0x9F32, 0x9F46, 0x9F47, 0x9F48, 0x9F2D, 0x9F2E, 0x9F2F, 0x9F4A,
        ];
        let mut world = world();
        let altered: Vec<u32> = values.iter().map(|(n, _)| all[*n]).collect();
        values.iter().for_each(|(n, value)| world.put(all[*n], value));
        prop_assert!(world.sda().is_err() || !altered.iter().any(|t| [0x5A, 0x90, 0x93].contains(t)));
        prop_assert!(world.card().is_err() || !altered.iter().any(|t| [0x5A, 0x90, 0x9F46].contains(t)));
        prop_assert!(world.pin().is_err() || !altered.iter().any(|t| [0x5A, 0x90, 0x9F2D].contains(t)));
    }
}
