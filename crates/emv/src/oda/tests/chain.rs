//! The chain that is shown to people says what a run finds.
use super::*;
use crate::oda::chain::{Content, Verdict, chain, static_of};

/// The terminal's default list: 9F37.
const DDOL: &[u8] = &[0x9F, 0x37, 4];

fn shown(world: &World, known: bool) -> Vec<(u32, Verdict)> {
    let signed = known.then_some(&world.signed[..]);
    let all = world.with(|keys| chain(keys, RID, &world.tags, signed, DDOL));
    all.iter().map(|shown| (shown.tag.0, shown.verdict)).collect()
}
fn signing() -> World {
    let mut world = world();
    world.put(0x9F37, &UN);
    let signature = world.card.dynamic(&[&[4], &NUMBER[..]].concat(), &UN);
    world.put(0x9F4B, &signature);
    world
}

#[test]
fn each_certificate_and_signature_is_good_and_told_by_its_fields() {
    let world = signing();
    let good = |tag| (tag, Verdict::Good);
    assert_eq!(shown(&world, true), [0x90, 0x93, 0x9F46, 0x9F2D, 0x9F4B].map(good));
    let all = world.with(|keys| chain(keys, RID, &world.tags, Some(&world.signed), DDOL));
    let lens: Vec<_> = all.iter().map(|shown| shown.signer_len.unwrap()).collect();
    let [ca, issuer, card] = [&world.ca, &world.issuer, &world.card].map(|pair| pair.modulus.len());
    assert_eq!(lens, [ca, issuer, issuer, issuer, card]);
    let (mut certificates, mut signed) = (Vec::new(), Vec::new());
    for shown in all {
        match shown.content.unwrap() {
            Content::Certificate(c) => {
                assert_eq!((c.expiry, c.serial, c.hash_algorithm, c.key_algorithm), (EXPIRY, SERIAL, 1, 1));
                assert_eq!((c.key_len, c.exponent_len > 0), (c.modulus.len(), true));
                certificates.push((c.owner.to_vec(), c.modulus));
            }
            Content::Static { hash_algorithm, code } => signed.push((hash_algorithm, code.to_vec())),
            Content::Dynamic { hash_algorithm, number, more: _ } => signed.push((hash_algorithm, number)),
            Content::Combined { .. } => panic!("no cryptogram is signed"),
        }
    }
    let number = card_front()[1..].to_vec();
    assert_eq!(
        certificates,
        [
            (vec![0x62, 0x28, 0x48, 0xFF], world.issuer.modulus.clone()),
            (number.clone(), world.card.modulus.clone()),
            (number, world.pin.modulus.clone()),
        ]
    );
    assert_eq!(signed, [(1, vec![0xDA, 0xC0]), (1, NUMBER.to_vec())]);
}

#[test]
fn what_fails_is_the_flaw_of_a_run_and_what_hangs_on_it_is_left_out() {
    let mut world = signing();
    // Behind a card's key that is not good, its signature says nothing.
    world.put(0x5A, &[0x62, 0x28, 0x48, 0, 0, 0, 0, 2]);
    let flaw = world.card().err().unwrap();
    let static_data = Verdict::Good;
    assert_eq!(
        shown(&world, true),
        [
            (0x90, Verdict::Good),
            (0x93, static_data),
            (0x9F46, Verdict::Wrong(flaw)),
            (0x9F2D, Verdict::Wrong(Flaw::Pan(Tag(0x9F2D)))),
        ]
    );
    let mut world = signing();
    world.date = [0x28, 0x01, 0x01];
    assert_eq!(shown(&world, true), [(0x90, Verdict::Wrong(Flaw::Expired(Tag(0x90))))]);
    let world = signing().without(0x8F);
    assert_eq!(shown(&world, true), [(0x90, Verdict::Wrong(Flaw::MissingData(Tag(0x8F))))]);
    let mut world = signing();
    world.put(0x9F37, &[0; 4]);
    assert_eq!(shown(&world, true)[4], (0x9F4B, Verdict::Wrong(Flaw::Hash(DYNAMIC))));
    assert_eq!(shown(&world.without(0x9F37), true)[4], (0x9F4B, Verdict::Unknown), "over what?");
}

#[test]
fn without_the_static_data_their_hash_says_nothing() {
    let (good, unknown) = (Verdict::Good, Verdict::Unknown);
    assert_eq!(shown(&signing(), false), [(0x90, good), (0x93, unknown), (0x9F46, unknown), (0x9F2D, good),]);
}

#[test]
fn a_taps_signature_is_over_its_own_values() {
    let mut world = signing();
    let related = [1, 9, 9, 9, 9, 0, 0];
    let (amount, currency) = ([0, 0, 0, 0, 0x12, 0x34], [0x01, 0x56]);
    for (tag, value) in [(0x9F02, &amount[..]), (0x5F2A, &currency), (0x9F69, &related)] {
        world.put(tag, value);
    }
    let over = [&UN[..], &amount, &currency, &related].concat();
    let signature = world.card.dynamic(&[&[4], &NUMBER[..]].concat(), &over);
    world.put(0x9F4B, &signature);
    assert_eq!(shown(&world, true)[4], (0x9F4B, Verdict::Good));
}

#[test]
fn a_combined_signature_is_told_by_its_cryptogram() {
    let mut world = signing();
    let number = [&[4], &NUMBER[..]].concat();
    let hash_of_the_payment = [0xEE; 20];
    let combined = [&number[..], &[0x80], &[0xAC; 8], &hash_of_the_payment].concat();
    let signature = world.card.dynamic(&combined, &UN);
    world.put(0x9F4B, &signature);
    let content = |world: &World| {
        let mut all = world.with(|keys| chain(keys, RID, &world.tags, Some(&world.signed), DDOL));
        all.remove(4).content
    };
    // A card without CDA may sign what it likes beside its number.
    world.put(0x82, &[0x3C, 0]);
    assert!(matches!(content(&world), Some(Content::Dynamic { more: 29, .. })));
    world.put(0x82, &[0x3D, 0]);
    let Some(Content::Combined { number, cid, cryptogram, .. }) = content(&world) else { panic!("no CDA") };
    assert_eq!((number, cid, cryptogram), (NUMBER.to_vec(), 0x80, [0xAC; 8]));
    assert_eq!(shown(&world, true)[4], (0x9F4B, Verdict::Good));
    world.put(0x9F27, &[0x80]);
    assert_eq!(shown(&world, true)[4], (0x9F4B, Verdict::Good));
    world.put(0x9F27, &[0x40]);
    assert_eq!(shown(&world, true)[4], (0x9F4B, Verdict::Wrong(Flaw::Cid)));
    world.put(0x9F37, &[0; 4]);
    world.put(0x9F27, &[0x80]);
    assert_eq!(shown(&world, true)[4], (0x9F4B, Verdict::Wrong(Flaw::Hash(DYNAMIC))));
    assert_eq!(shown(&world.without(0x9F37), true)[4], (0x9F4B, Verdict::Unknown));
}

#[test]
fn static_data_are_the_signed_records_of_the_locator() {
    let mut tags = Tags::new();
    let low: &[u8] = &[0x70, 3, 0x50, 1, 7];
    let high: &[u8] = &[0x70, 0x81, 3, 0x50, 1, 8];
    let of = |tags: &Tags, all: &[&[u8]]| static_of(tags, all).map(|s| s.to_vec());
    assert_eq!(of(&tags, &[low]), None, "no locator");
    tags.put(Tag(0x94), &[0x08, 1, 2, 1, 0x58, 1, 1, 1]).unwrap();
    // Of file 1 the first, without its template; of file 11 with it, as it came.
    assert_eq!(of(&tags, &[low, low, high]), Some([&low[2..], high].concat()));
    assert_eq!(of(&tags, &[low, high]), None, "one is missing");
    assert_eq!(of(&tags, &[low, low, high, low]), None, "one too many");
    tags.put(Tag(0x9F4A), &[0x82]).unwrap();
    assert_eq!(of(&tags, &[low, low, high]), None, "the AIP is to be there");
    tags.put(Tag(0x82), &[0x5C, 0]).unwrap();
    assert_eq!(of(&tags, &[low, low, high]), Some([&low[2..], high, &[0x5C, 0]].concat()));
}
