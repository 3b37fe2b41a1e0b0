//! Signatures over data, and the PIN's way.
use super::*;

#[test]
fn each_byte_of_signed_static_data_counts() {
    let good = world();
    let signed = good.get(0x93);
    let tag = Tag(0x93);
    for at in 0..signed.len() {
        let mut world = good.clone();
        world.put(0x93, &good.issuer.spoilt(&signed, at));
        let flaw = match at {
            0 => Flaw::Header(tag),
            1 => Flaw::Format(tag),
            2 => Flaw::HashAlgorithm(tag),
            _ if at == signed.len() - 1 => Flaw::Trailer(tag),
            _ => Flaw::Hash(tag),
        };
        assert_eq!(world.sda(), Err(flaw), "byte {at}");
    }
    let mut world = good.clone();
    world.put(0x93, &signed[1..]);
    assert_eq!(world.sda(), Err(Flaw::Length(tag)));
}

#[test]
fn each_byte_of_a_dynamic_signature_counts() {
    let world = world();
    let key = world.card().ok().unwrap();
    let signed = world.card.dynamic(&[&[4], &NUMBER[..]].concat(), &UN);
    for at in 0..signed.len() {
        let flaw = match at {
            0 => Flaw::Header(DYNAMIC),
            1 => Flaw::Format(DYNAMIC),
            2 => Flaw::HashAlgorithm(DYNAMIC),
            // One byte of the dynamic data less; one of the number more than there are.
            3 => Flaw::DynamicLength,
            4 => Flaw::DynamicLength,
            _ if at == signed.len() - 1 => Flaw::Trailer(DYNAMIC),
            _ => Flaw::Hash(DYNAMIC),
        };
        assert_eq!(dynamic_data(&key, &world.card.spoilt(&signed, at), &UN), Err(flaw), "byte {at}");
    }
    assert_eq!(dynamic_data(&key, &signed, &[9, 8, 7, 5]), Err(Flaw::Hash(DYNAMIC)), "another number");
    assert_eq!(dynamic_data(&key, &signed, &[]), Err(Flaw::Hash(DYNAMIC)));
    let other = CardKey(world.pin.public());
    assert_eq!(dynamic_data(&other, &signed, &UN), Err(Flaw::Length(DYNAMIC)), "another card");
}

#[test]
fn a_dynamic_signature_without_its_length_byte_fails() {
    let world = world();
    let key = world.card().ok().unwrap();
    let signed = world.card.dynamic(&[&[4], &NUMBER[..]].concat(), &UN);
    // Its first byte is taken for the length: what is left is too short. Or the length is part of it.
    assert_eq!(dynamic_data(&key, &signed[1..], &UN), Err(Flaw::Length(DYNAMIC)));
    assert_eq!(dynamic_data(&key, &[&[80], &signed[..]].concat(), &UN), Err(Flaw::Length(DYNAMIC)));
    assert_eq!(dynamic_data(&key, &[], &UN), Err(Flaw::Length(DYNAMIC)));
    assert_eq!(combined_data(&key, &signed[1..], UN, 0x40, &[]), Err(Flaw::Length(DYNAMIC)));
}

#[test]
fn a_dynamic_number_has_2_to_8_bytes_and_room() {
    let world = world();
    let key = world.card().ok().unwrap();
    let run = |dynamic: &[u8]| dynamic_data(&key, &world.card.dynamic(dynamic, &UN), &UN);
    assert_eq!(run(&[2, 7, 7]), Ok(vec![7; 2]));
    assert_eq!(run(&[&[8], &[7; 8][..]].concat()), Ok(vec![7; 8]));
    assert_eq!(run(&[2, 7, 7, 0xEE]), Ok(vec![7; 2]), "a card may sign more");
    for dynamic in [&[][..], &[0], &[1, 7], &[9, 7, 7, 7, 7, 7, 7, 7, 7, 7]] {
        assert_eq!(run(dynamic), Err(Flaw::DynamicNumber), "{dynamic:02X?}");
    }
    assert_eq!(run(&[2, 7]), Err(Flaw::DynamicLength));
    // Its length says more than the signature has room for; to the last byte it is right.
    let most = world.card.modulus.len() - 25;
    let with = |len: usize| {
        let mut content = [5, 1, len as u8, 2, 7, 7].to_vec();
        content.resize(world.card.modulus.len() - 22, 0xBB);
        dynamic_data(&key, &world.card.sign(&content, &[&UN]), &UN)
    };
    assert_eq!(with(most), Ok(vec![7; 2]));
    assert_eq!(with(most + 1), Err(Flaw::DynamicLength));
    assert_eq!(with(255), Err(Flaw::DynamicLength));
}

#[test]
fn a_combined_signature_covers_cid_cryptogram_number_and_transaction() {
    let world = world();
    let key = world.card().ok().unwrap();
    let signed = world.card.combined(0x40, b"all");
    let run = |signed: &[u8], un, cid, all: &[u8]| combined_data(&key, signed, un, cid, all).err();
    assert_eq!(run(&signed, UN, 0x40, b"all"), None);
    assert_eq!(run(&signed, UN, 0x80, b"all"), Some(Flaw::Cid));
    assert_eq!(run(&signed, UN, 0x00, b"all"), Some(Flaw::Cid));
    assert_eq!(run(&signed, [9, 8, 7, 5], 0x40, b"all"), Some(Flaw::Hash(DYNAMIC)));
    assert_eq!(run(&signed, UN, 0x40, b"al"), Some(Flaw::TransactionHash));
    assert_eq!(run(&signed, UN, 0x40, b"all."), Some(Flaw::TransactionHash));
    for at in 0..signed.len() {
        let flaw = match at {
            0 => Flaw::Header(DYNAMIC),
            1 => Flaw::Format(DYNAMIC),
            2 => Flaw::HashAlgorithm(DYNAMIC),
            3 => Flaw::Hash(DYNAMIC),
            // The number is a byte longer: the hash behind it is cut.
            4 => Flaw::DynamicLength,
            9 => Flaw::Cid,
            _ if at == signed.len() - 1 => Flaw::Trailer(DYNAMIC),
            _ => Flaw::Hash(DYNAMIC),
        };
        let spoilt = world.card.spoilt(&signed, at);
        let got = run(&spoilt, UN, 0x40, b"all");
        assert_eq!(got, Some(flaw), "byte {at}");
    }
}

#[test]
fn a_combined_signature_is_not_a_dynamic_one_that_is_too_short() {
    let world = world();
    let key = world.card().ok().unwrap();
    let hash = sha1(&[b"all"]);
    let full = [&[4][..], &NUMBER, &[0x40], &[0xAC; 8], &hash].concat();
    for len in 5..full.len() {
        let signed = world.card.dynamic(&full[..len], &UN);
        assert_eq!(combined_data(&key, &signed, UN, 0x40, b"all"), Err(Flaw::DynamicLength), "{len} bytes");
    }
    let more = world.card.dynamic(&[&full[..], &[0xEE]].concat(), &UN);
    assert!(combined_data(&key, &more, UN, 0x40, b"all").is_ok(), "a card may sign more");
}

#[test]
fn a_pin_goes_under_the_key_for_pins_before_the_cards_own() {
    let world = || World { signed: vec![], ..world() };
    let own = CardKey(pair("card").public());
    let run = |w: &World, card| w.with(|keys| pin_key(keys, RID, &w.tags, card)).map(|k| k.0.size());
    assert_eq!(run(&world(), Some(&own)), Ok(64));
    assert_eq!(run(&world().without(0x9F2D), Some(&own)), Ok(80));
    assert_eq!(run(&world().without(0x9F2D), None), Err(Flaw::MissingData(PIN_CERTIFICATE)));
    let mut spoilt = world();
    spoilt.put(0x9F2D, &[0; 88]);
    assert_eq!(run(&spoilt, Some(&own)), Err(Flaw::Trailer(PIN_CERTIFICATE)), "it is not passed over");
}

#[test]
fn an_enciphered_pin_is_block_number_and_padding_behind_7f() {
    for name in ["pin", "card", "card-1152"] {
        let pair = pair(name);
        let key = CardKey(pair.public());
        let block = Zeroizing::new([0x24, 0x12, 0x34, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        let padding: Vec<u8> = (0..key.padding_len()).map(|n| n as u8).collect();
        assert_eq!(padding.len(), pair.modulus.len() - 17);
        let enciphered = encipher_pin(&key, &block, [0xC1; 8], &padding).unwrap();
        let clear = [&[0x7F], &block[..], &[0xC1; 8], &padding].concat();
        assert_eq!(pair.private(&enciphered), clear);
        for wrong in [&padding[1..], &[&padding[..], &[0]].concat(), &[]] {
            let flaw = Flaw::Padding { got: wrong.len(), need: padding.len() };
            assert_eq!(encipher_pin(&key, &block, [0xC1; 8], wrong).err(), Some(flaw));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_is_signed_there_is_an_answer(content in prop::collection::vec(any::<u8>(), 57)) {
        let card = pair("card");
        let key = CardKey(card.public());
        let signed = card.sign(&[&[5, 1], &content[..56]].concat(), &[&UN]);
        dynamic_data(&key, &signed, &UN).ok();
        let combined = combined_data(&key, &signed, UN, 0x40, b"all");
        prop_assert!(combined.is_err(), "nobody hashed the transaction");
    }
}
