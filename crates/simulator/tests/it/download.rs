//! The acquirer over real TCP: CA keys and applications, list by list, entry by entry, and what a mishap
//! makes of them.
use crate::common::Till;
use payterm_hosts::read;
use payterm_schema::{
    Kind,
    download::{EmvAid, EmvAnswer, EmvAsk, EmvKey, EmvList, EmvName, EmvRow},
    host::{CardSecrets, MessageKind, Plan},
};
use payterm_simulator::{
    Acquirer, Options, Running, World,
    card::{CA_INDEX, ca_key, play},
    mishap::{Mishap, Plan as Planned},
};
use std::time::Duration;

const DEMO: &str = payterm_simulator::world::DEMO;

fn start(more: &str) -> Running {
    Acquirer::start(World::parse(&format!("{DEMO}\n{more}")).unwrap(), Options::fast()).unwrap()
}
/// The answer as the terminal reads it; none: the host was silent.
fn say(t: &mut Till, ask: EmvAsk) -> Option<Result<EmvAnswer, String>> {
    let plan = Plan { download: Some(ask), ..t.plan(Kind::Parameters) };
    let built = t.build(MessageKind::Request, &plan, &CardSecrets::default());
    t.send(built.bytes.reveal());
    let frame = t.frame(Duration::from_millis(500))?;
    let reply = read(&t.profile, &frame, &t.mak).map_err(|unusable| unusable.why.to_string());
    Some(reply.map(|reply| {
        reply.matches(&t.profile, &built.expect).unwrap();
        assert_eq!(reply.answer.code, "00");
        reply.answer.download.unwrap_or(EmvAnswer::NoEntry)
    }))
}
fn list(t: &mut Till, of: EmvList) -> Vec<EmvRow> {
    let mut all = Vec::new();
    loop {
        let received = all.len() as u8;
        match say(t, EmvAsk::List { of, received }) {
            Some(Ok(EmvAnswer::Page { more, rows })) => {
                all.extend(rows);
                if !more {
                    return all;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}
fn key(t: &mut Till, name: &EmvName) -> EmvKey {
    match say(t, EmvAsk::Entry { name: name.clone() }) {
        Some(Ok(EmvAnswer::Key(key))) => key,
        other => panic!("{other:?}"),
    }
}
fn aid(t: &mut Till, name: &EmvName) -> EmvAid {
    match say(t, EmvAsk::Entry { name: name.clone() }) {
        Some(Ok(EmvAnswer::Aid(aid))) => aid,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_test_cards_applications_and_the_test_ca_come_by_themselves_in_both_profiles() {
    let r = start("");
    for account in ["cup", "x919"] {
        let mut t = Till::new(&r, account);
        let keys = list(&mut t, EmvList::Keys);
        let [row] = keys.as_slice() else { panic!("{keys:?}") };
        let ca = key(&mut t, &row.name);
        assert_eq!((ca.modulus.clone(), ca.exponent.clone()), ca_key());
        assert_eq!((ca.index, row.expiry.as_deref()), (CA_INDEX, Some("20991231")));
        let names: Vec<_> = list(&mut t, EmvList::Aids);
        let aids: Vec<Vec<u8>> = names.iter().map(|row| aid(&mut t, &row.name).aid).collect();
        let cards = play::aids(play::ALL_ONLINE).into_iter().map(|aid| aid.name);
        assert_eq!(aids, cards.collect::<Vec<_>>());
        for of in [EmvList::Keys, EmvList::Aids] {
            assert_eq!(say(&mut t, EmvAsk::End { of }), Some(Ok(EmvAnswer::NoEntry)));
        }
    }
}

#[test]
fn a_long_list_comes_in_parts_and_is_the_worlds_for_that_account() {
    let row = |i: usize| {
        let account = if i == 0 { "account = \"x919\"\n" } else { "" };
        format!(
            "[[emv_aid]]\n{account}aid = \"A0000003330101{i:02}\"\npartial = {}\nfloor = {i}\n",
            i.is_multiple_of(2)
        )
    };
    let r = start(&(0..40).map(row).collect::<String>());
    let mut t = Till::new(&r, "cup");
    let rows = list(&mut t, EmvList::Aids);
    assert_eq!(rows.len(), 39, "one is of the other account");
    let last = aid(&mut t, &rows.last().unwrap().name);
    assert_eq!((last.aid.last(), last.partial, last.floor), (Some(&0x39), false, 39));
    let other = EmvName::Aid { aid: hex::decode("A000000333010100").unwrap() };
    assert_eq!(say(&mut t, EmvAsk::Entry { name: other.clone() }), Some(Ok(EmvAnswer::NoEntry)));
    assert!(aid(&mut Till::new(&r, "x919"), &other).partial);
}

#[test]
fn each_mishap_is_what_a_terminal_must_refuse() {
    let r = start("");
    let mut t = Till::new(&r, "cup");
    let ca = list(&mut t, EmvList::Keys)[0].name.clone();
    let befalls = |mishap| r.mishaps().add(Planned { kind: Some(Kind::Parameters), ..Planned::new(mishap) });
    let fault = |t: &mut Till, ask| say(t, ask).unwrap().unwrap_err();
    let entry = || EmvAsk::Entry { name: ca.clone() };
    befalls(Mishap::ZeroChecksum).unwrap();
    assert_eq!(fault(&mut t, entry()), "F62: tag DF03: the checksum is zeros");
    befalls(Mishap::TruncatedTlv).unwrap();
    assert!(fault(&mut t, entry()).ends_with("the data ends inside an element"));
    befalls(Mishap::NoEntry).unwrap();
    assert_eq!(say(&mut t, entry()), Some(Ok(EmvAnswer::NoEntry)));
    befalls(Mishap::NoEnd).unwrap();
    assert_eq!(say(&mut t, EmvAsk::End { of: EmvList::Keys }), None);
    befalls(Mishap::EndlessList).unwrap();
    let page = say(&mut t, EmvAsk::List { of: EmvList::Keys, received: 99 });
    assert!(matches!(page, Some(Ok(EmvAnswer::Page { more: true, .. }))), "{page:?}");
    assert_eq!(key(&mut t, &ca).name(), ca, "and then all is well");
}

#[test]
fn a_world_with_a_bad_row_is_refused_by_name() {
    for (row, field) in [
        ("[[emv_aid]]\naid = \"A0\"", "emv_aid[0]"),
        ("[[emv_aid]]\naid = \"A000000333\"\n[[emv_aid]]\naid = \"A000000333\"", "emv_aid[1]"),
        ("[[emv_aid]]\naccount = \"nobody\"\naid = \"A000000333\"", "emv_aid[0].account"),
        (
            "[[emv_key]]\nrid = \"A0\"\nindex = \"01\"\nexpiry = \"\"\nmodulus = \"\"\nexponent = \"03\"",
            "emv_key[0]",
        ),
    ] {
        let told = World::parse(&format!("{DEMO}\n{row}\n")).unwrap_err().to_string();
        assert!(told.starts_with(&format!("world, {field}: ")), "{told}");
    }
}
