//! CA keys and applications from the acquirer: a card that the terminal's own file does not know pays after
//! the download, and after a restart.
use super::*;
use futures_util::StreamExt;
use payterm_schema::Notice;
use payterm_schema::request::RequestWire;
use payterm_simulator::mishap::{Mishap, Plan};

/// The demo whose file has an application of another scheme, and no key.
fn rig_of_another_scheme(reader: DeviceKind) -> (Rig, SocketAddr) {
    rig_with_file(reader, |_| "version = 1\n[[aid]]\naid = \"A0000000041010\"\nversion = \"0002\"\n".into())
}
/// What the journal says of downloads.
fn story(rig: &Rig, record: &str) -> Vec<String> {
    let db = rusqlite::Connection::open(rig.state().join("journal.db")).unwrap();
    let mut rows = db.prepare("SELECT json FROM record WHERE instr(json, ?) > 0 ORDER BY seq").unwrap();
    let rows = rows.query_map([format!("{{\"account\":{{\"{record}\"")], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}
fn by_hand(rig: &Rig, id: &str) {
    let wire = RequestWire { id: id.into(), kind: "parameters".into(), ..RequestWire::default() };
    let key = rig.begin_patiently(wire);
    assert_eq!(rig.end(&key, true).status, Status::Approved);
}
fn pays_by_chip(rig: &mut Rig, card: TestCard, at: SocketAddr, id: &str) -> TestCard {
    let key = rig.begin_patiently(sale(id));
    let inserted = insert(rig, card, at);
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!((outcome.status, outcome.entry), (Status::Approved, Some(EntryMode::Chip)), "{outcome:?}");
    let card = inserted.pull();
    assert_eq!(card.given().last().map(|given| given.cid), Some(0x40));
    card
}

#[test]
fn what_was_downloaded_by_hand_pays_and_outlives_a_restart() {
    let (mut rig, at) = rig_of_another_scheme(DeviceKind::ChipReader);
    by_hand(&rig, "p");
    rig.until("both lists are on disk", |rig| story(rig, "emv_parameters").len() == 1);
    let card = pays_by_chip(&mut rig, slot::card("debit"), at, "a");
    rig.restart();
    pays_by_chip(&mut rig, card, at, "b");
    assert_eq!(story(&rig, "emv_parameters").len(), 1, "it is not asked for again");
}

/// Its limits are those of the download too.
#[test]
fn what_was_downloaded_pays_by_a_tap() {
    let (mut rig, at) = rig_of_another_scheme(DeviceKind::ContactlessReader);
    by_hand(&rig, "p");
    rig.until("both lists are on disk", |rig| story(rig, "emv_parameters").len() == 1);
    let key = rig.begin_patiently(sale("a"));
    let _tapped = insert(&rig, slot::card("qpboc-online"), at);
    rig.virtuals().pin(PIN, When::Within(SOON)).unwrap();
    let outcome = rig.end(&key, true);
    assert_eq!(
        (outcome.status, outcome.entry),
        (Status::Approved, Some(EntryMode::Contactless)),
        "{outcome:?}"
    );
}

#[test]
fn the_host_asks_for_it_and_a_spoilt_one_changes_nothing() {
    let (mut rig, at) = rig_of_another_scheme(DeviceKind::ChipReader);
    let mut notices = rig.t().notices();
    let mut told = |rig: &Rig| {
        rig.runtime.block_on(async {
            let told = notices.by_ref().filter_map(async |notice| {
                if let Notice::Downloaded { version, keys, aids, .. } = notice {
                    Some((Ok((version, keys.is_some(), aids.is_some())), false))
                } else if let Notice::DownloadFailed { why, again, .. } = notice {
                    Some((Err(why), again.is_some()))
                } else {
                    None
                }
            });
            tokio::time::timeout(SOON, std::pin::pin!(told).next()).await.unwrap().unwrap()
        })
    };
    // In whichever answer it comes, that of the terminal's own sign-in too.
    for (n, digit) in [5, 4].into_iter().enumerate() {
        rig.acquirer.mishaps().next(Mishap::Requirement { digit }).unwrap();
        assert_eq!(rig.sale(&format!("s{digit}")).status, Status::Approved);
        rig.until("the list is on disk", |rig| story(rig, "emv_parameters").len() == n + 1);
        assert_eq!(told(&rig), (Ok((n as u64 + 1, digit == 4, digit == 5)), false));
    }
    let kept = story(&rig, "emv_parameters");
    assert!(kept[0].contains("\"version\":1") && kept[1].contains("\"version\":2"), "{kept:?}");
    let kind = Some(payterm_schema::Kind::Parameters);
    for (n, (mishap, why)) in [
        (Mishap::ZeroChecksum, "F62: tag DF03: the checksum is zeros"),
        (Mishap::TruncatedTlv, "the data ends inside an element"),
        (Mishap::NoEntry, "the host does not have an entry of its list"),
        (Mishap::EndlessList, "the list names an entry twice"),
    ]
    .into_iter()
    .enumerate()
    {
        rig.acquirer.mishaps().add(Plan { kind, next: 500, ..Plan::new(mishap) }).unwrap();
        by_hand(&rig, &format!("p{n}"));
        rig.until("it has failed", |rig| story(rig, "download_failed").len() == n + 1);
        rig.acquirer.mishaps().clear();
        let failed = story(&rig, "download_failed");
        assert!(failed[n].contains(why), "{failed:?}");
        let (heard, again) = told(&rig);
        assert!(again && heard.as_ref().is_err_and(|heard| heard.contains(why)), "{heard:?}");
    }
    assert_eq!(story(&rig, "emv_parameters"), kept);
    pays_by_chip(&mut rig, slot::card("debit"), at, "a");
}
