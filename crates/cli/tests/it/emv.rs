//! `paytermctl emv`: data objects and certificates, without a terminal. Cards in a reader are run in
//! `tests/tests/real/emv.rs`.
use crate::common::*;
use payterm_emv::Tag;
use payterm_simulator::card::{PERSONAS, Personas, TestCard, ca_key_370};
use serde_json::Value;
use std::{fs, path::Path};

async fn run(arguments: &[&str], input: &str) -> Done {
    let mut c = paytermctl();
    c.arg("emv").args(arguments);
    finish(c, input).await
}

#[tokio::test]
async fn field_55_of_each_golden_frame_is_told_object_by_object() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/frames");
    let mut seen = 0;
    for file in fs::read_dir(golden).unwrap().map(|f| f.unwrap().path()) {
        let Ok(json) = serde_json::from_str::<Value>(&fs::read_to_string(&file).unwrap()) else { continue };
        let Some(f55) = json["fields"]["55"].as_str() else { continue };
        let d = run(&["decode", f55, "--json"], "").await;
        assert_eq!(d.code, 0, "{} {}", file.display(), d.err);
        let objects = d.json();
        // One behind the other, to the last byte.
        let mut at = 0;
        for object in objects.as_array().unwrap() {
            assert_eq!(object["offset"], at, "{object}");
            at += object["tag"].as_str().unwrap().len() / 2 + 1 + object["length"].as_u64().unwrap() as usize;
            assert_eq!((object["hidden"].as_bool(), object["name"].is_string()), (Some(false), true));
        }
        assert_eq!(at * 2, f55.len(), "{}", file.display());
        seen += 1;
    }
    assert!(seen > 5, "golden frames with field 55: {seen}");
    // In lines, with space between, from stdin.
    let text = "9F02 06 000000001234\n95 05 0000048000 5F2A 02 0156\n9F34 03 42 03 02\r\n9A 03 261202";
    let d = run(&["decode"], text).await;
    assert_eq!(
        d.out,
        [
            "9F02 [6] Amount, Authorised (Numeric): 12.34 CNY",
            "95 [5] Terminal Verification Results: 0000048000",
            "    byte 3 bit 3: online CVM captured",
            "    byte 4 bit 8: floor limit exceeded",
            "5F2A [2] Transaction Currency Code: 0156 (CNY)",
            "9F34 [3] Cardholder Verification Method Results: 420302",
            "    enciphered PIN for the issuer, where the terminal has it, successful",
            "9A [3] Transaction Date: 2026-12-02",
            "",
        ]
        .join("\n")
    );
    assert_eq!(run(&["decode", "-"], text).await.out, d.out);
    assert_eq!(run(&["decode", &text.replace(['\n', '\r'], "")], "").await.out, d.out);
}

#[tokio::test]
async fn templates_are_indented_and_lists_taken_apart() {
    let fci = "6F1A 8407A0000003330101 A50F 5004 44454249 9F3806 9F0206 9F3704".replace(' ', "");
    let d = run(&["decode", &fci.replace("6F1A", "6F1B").replace("A50F", "A510")], "").await;
    assert_eq!(d.code, 2, "announced more than is there: {}", d.out);
    let d = run(&["decode", &fci], "").await;
    assert_eq!(
        d.out,
        [
            "6F [26] File Control Information Template",
            "  84 [7] Dedicated File Name: A0000003330101",
            "  A5 [15] File Control Information Proprietary Template",
            "    50 [4] Application Label: DEBI",
            "    9F38 [6] Processing Options Data Object List: 9F02069F3704",
            "        9F02 Amount, Authorised (Numeric) [6]",
            "        9F37 Unpredictable Number [4]",
            "",
        ]
        .join("\n")
    );
    let zh = run(&["decode", "DF7F0101", "--lang", "zh-CN"], "").await;
    assert_eq!(zh.out, "DF7F [1] 未知: 不显示\n");
    let zh = run(&["decode", "95050000048000 9F38039F3704", "--lang", "zh-CN"], "").await;
    assert_eq!(
        zh.out,
        [
            "95 [5] 终端验证结果(TVR): 0000048000",
            "    第 3 字节第 3 位:已采集联机 CVM",
            "    第 4 字节第 8 位:超过终端最低限额",
            "9F38 [3] 处理选项数据对象列表(PDOL): 9F3704",
            "    9F37 不可预知数 [4]",
            "",
        ]
        .join("\n")
    );
    // A script reads the same in every language.
    let json = run(&["decode", "9505000004 8000", "--lang", "zh-CN", "--json"], "").await.json();
    assert_eq!(json[0]["name"], "Terminal Verification Results");
    let broken = run(&["decode", "9505", "--lang", "zh-CN"], "").await;
    assert!(broken.err.contains("95:声明 5 字节,实有 0 字节"), "{}", broken.err);
}

#[tokio::test]
async fn what_does_not_add_up_is_told_with_its_place_and_rule() {
    for (hex, rule) in [
        ("", "is needed"),
        ("9F0", "pairs of hexadecimal digits"),
        ("95 0g", "character 5: no hexadecimal digit"),
        ("9F", "byte 0: a tag ends too soon"),
        ("5001419F8182830100", "byte 3: a tag has more than three bytes"),
        ("50014195", "byte 3: 95: its length is missing"),
        ("5001419580", "byte 3: 95: the length is indefinite"),
        ("0000950500", "byte 2: 95: 5 bytes are announced, 1 are there"),
        // Within a template the place is that of the whole.
        ("500141700695058000", "byte 3: 70: 6 bytes are announced, 4 are there"),
        ("50014170049505800000", "byte 5: 95: 5 bytes are announced, 2 are there"),
        ("7012701070", "byte 0: 70: 18 bytes are announced"),
    ] {
        let d = run(&["decode", hex], "").await;
        assert_eq!(d.code, 2, "{hex}: {}", d.out);
        assert!(d.err.contains(rule), "{hex}: {}", d.err);
        let json = run(&["decode", hex, "--json"], "").await;
        assert_eq!(
            (json.code, &json.json()["fault"]),
            (2, &"Invalid".into()),
            "the fault alone: {}",
            json.out
        );
    }
    // What came before it is shown to people.
    assert!(run(&["decode", "50014195"], "").await.out.starts_with("50 [1] Application Label: A\n"));
    // Templates in one another, to a bound.
    let nested =
        |depth: usize| (0..depth).fold("500141".to_owned(), |t, _| format!("70{:02X}{t}", t.len() / 2));
    assert_eq!(run(&["decode", &nested(8)], "").await.code, 0);
    let deep = run(&["decode", &nested(9)], "").await;
    assert!(
        deep.code == 2 && deep.err.contains("byte 16: 70: it lies in more than 8 others"),
        "{}",
        deep.err
    );
    let d = run(&["decode", "-"], &"00".repeat(200_000)).await;
    assert!(d.code == 2 && d.err.contains("longer than 256 KiB"), "{}", d.err);
}

const PAN: &str = "6212345678900010101";
const SECRETS: [&str; 6] = [PAN, "345678900", "3012", "TEST/CARD", "544553542F43415244", "99887766"];

#[tokio::test]
async fn number_track_name_and_what_nobody_knows_are_in_no_output() {
    let object = |tag: &str, value: &str| format!("{tag}{:02X}{value}", value.len() / 2);
    let all = [
        object("5A", &format!("{PAN}F")),
        object("57", &format!("{PAN}D30122010000000000F")),
        object("9F6B", &format!("{PAN}D30122010000000000F")),
        object("56", &hex::encode(format!("B{PAN}^TEST/CARD^3012"))),
        object("5F20", "544553542F43415244"),
        object("9F0B", "544553542F43415244"),
        object("5F24", "301231"),
        object("5F30", "0220"),
        object("9F1F", "3330313233343536373839303030"),
        object("9F20", "99887766"),
        object("99", "99887766"),
        object("9F46", &"99887766".repeat(8)),
        object("9F2D", &"99887766".repeat(8)),
        object("DF7F", &format!("{PAN}F")),
        // No number at all where one should be.
        object("5A", "99887766"),
    ];
    let plain = all.concat();
    for (hex, whole) in [
        (plain.clone(), true),
        (object("70", &all[..4].concat()), true),
        // Cut anywhere.
        (plain[..plain.len() - 2].to_owned(), false),
        (plain[..36].to_owned(), false),
    ] {
        for arguments in [&["decode"][..], &["decode", "--json"], &["decode", "--lang", "zh-CN"]] {
            let d = run(arguments, &hex).await;
            assert_eq!(d.code == 0, whole, "{}", d.err);
            for secret in SECRETS {
                assert!(!d.out.contains(secret) && !d.err.contains(secret), "{secret}: {} {}", d.out, d.err);
            }
            if whole {
                assert!(d.out.contains("621234*********0101"), "{}", d.out);
            }
            assert!(!d.out.contains("0220"), "service code: {}", d.out);
        }
    }
}

/// The day for which the cards are made.
const DAY: &str = "261202";
const RID: [u8; 5] = [0xA0, 0, 0, 3, 0x33];

fn test_card(persona: &str) -> TestCard {
    TestCard::new(&Personas::parse(PERSONAS).unwrap(), persona, [0x26, 0x12, 0x02]).unwrap()
}
fn say(card: &mut TestCard, command: &[u8]) -> Vec<u8> {
    let mut answer = card.answer(command);
    let status = answer.split_off(answer.len() - 2);
    assert_eq!(status, [0x90, 0], "{command:02X?}");
    answer
}
/// All that a card says to a reader that selects its application and reads it.
fn said(persona: &str, aid: &str) -> Vec<Vec<u8>> {
    said_by(&mut test_card(persona), aid)
}
fn said_by(card: &mut TestCard, aid: &str) -> Vec<Vec<u8>> {
    let mut say = |command: &[u8]| say(card, command);
    let aid = hex::decode(aid).unwrap();
    let fci = say(&[&[0, 0xA4, 4, 0, aid.len() as u8][..], &aid, &[0]].concat());
    let lists: usize = fci.windows(3).position(|w| w[..2] == [0x9F, 0x38]).map_or(0, |at| {
        let list = &fci[at + 3..at + 3 + usize::from(fci[at + 2])];
        payterm_emv::dol::entries(list).unwrap().iter().map(|(_, len)| len).sum()
    });
    let values = vec![0; lists];
    let options =
        say(&[&[0x80, 0xA8, 0, 0, values.len() as u8 + 2, 0x83, values.len() as u8][..], &values, &[0]]
            .concat());
    let afl = match options[0] {
        0x80 => options[4..].to_vec(),
        _ => options[2..].split_at(6).1.to_vec(),
    };
    let mut all = vec![fci, options];
    for file in afl.chunks(4) {
        for record in file[1]..=file[2] {
            all.push(say(&[0, 0xB2, record, file[0] | 4, 0]));
        }
    }
    all
}

async fn cert(all: &[Vec<u8>], more: &[&str]) -> (Done, Value) {
    let key = hex::encode(ca_key_370(RID));
    let mut arguments = vec!["cert", "--date", DAY, "--key", &key];
    arguments.extend(more);
    let input = all.iter().map(|part| hex::encode(part) + "\n").collect::<String>();
    let text = run(&arguments, &input).await;
    arguments.push("--json");
    let json = run(&arguments, &input).await;
    for d in [&text, &json] {
        for secret in ["345678900", "TEST/CARD"] {
            assert!(!d.out.contains(secret) && !d.err.contains(secret), "{secret}: {}", d.out);
        }
    }
    assert_eq!(text.code, json.code);
    (text, json.json())
}
/// Tag and verdict of each step.
fn verdicts(page: &Value) -> Vec<String> {
    let step = |s: &Value| format!("{} {}", s["tag"].as_str().unwrap(), s["verdict"].as_str().unwrap());
    page["steps"].as_array().unwrap().iter().map(step).collect()
}

#[tokio::test]
async fn certificates_are_recovered_and_explained() {
    let debit = said("debit", "A000000333010101");
    let (text, page) = cert(&debit, &[]).await;
    assert_eq!((text.code, &page["good"]), (0, &true.into()), "{}", text.out);
    assert_eq!((&page["rid"], &page["index"]), (&"A000000333".into(), &"F1".into()));
    assert!(verdicts(&page).starts_with(&["90 good".into()]) && verdicts(&page).len() > 1, "{page}");
    let [issuer, card] = [0, 1].map(|n| &page["steps"][n]);
    assert_eq!((&issuer["owner"], &issuer["expiry"]), (&"621234".into(), &"12/30".into()), "{page}");
    assert_eq!(issuer["modulus"].as_str().unwrap().len() * 4, issuer["key_bits"].as_u64().unwrap() as usize);
    assert_eq!(card["signer_bits"], issuer["key_bits"], "the next hangs on it");
    for part in ["CA key A000000333 F1", "90 Issuer Public Key Certificate", "621234", "01 SHA-1", "01 RSA"] {
        assert!(text.out.contains(part), "{part}: {}", text.out);
    }
    // Its static data signed by the issuer, its PIN's key.
    let mut seen = Vec::new();
    for (persona, aid) in [("credit", "A000000333010102"), ("offline", "A000000333010101")] {
        let (text, page) = cert(&said(persona, aid), &[]).await;
        assert_eq!((text.code, &page["good"]), (0, &true.into()), "{persona}: {}", text.out);
        seen.extend(verdicts(&page));
    }
    for verdict in ["90 good", "9F46 good", "9F2D good"] {
        assert!(seen.iter().any(|v| v == verdict), "{seen:?}");
    }
    // In Chinese too.
    let (zh, _) = cert(&debit, &["--lang", "zh-CN"]).await;
    assert!(zh.code == 0 && zh.out.contains("\u{7ed3}\u{8bba}"), "{}", zh.out);
}

#[tokio::test]
async fn a_signature_with_a_cryptogram_is_checked_but_for_the_data_of_the_payment() {
    let mut card = test_card("credit");
    let mut all = said_by(&mut card, "A000000333010102");
    let mut asked = 0;
    for part in &all {
        payterm_emv::tlv::each(part, &mut |object| {
            if object.tag == Tag(0x8C) {
                asked = payterm_emv::dol::entries(object.value).unwrap().iter().map(|(_, len)| len).sum();
            }
        })
        .unwrap();
    }
    // An ARQC with CDA, for a payment of zeros.
    all.push(say(&mut card, &[&[0x80, 0xAE, 0x90, 0, asked as u8][..], &vec![0; asked], &[0]].concat()));
    let (text, page) = cert(&all, &[]).await;
    let last = |page: &Value| page["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((text.code, verdicts(&page).last().unwrap().as_str()), (23, "9F4B unknown"), "{}", text.out);
    assert!(text.out.contains("not all there (9F37"), "{}", text.out);
    all.push(vec![0x9F, 0x37, 4, 0, 0, 0, 0]);
    let (text, page) = cert(&all, &[]).await;
    assert_eq!((text.code, verdicts(&page).last().unwrap().as_str()), (0, "9F4B good"), "{}", text.out);
    let step = last(&page);
    assert_eq!((&step["cid"], step["cryptogram"].as_str().unwrap().len()), (&"80".into(), 16), "{step}");
    assert_eq!(step["unchecked"], "hash over the data of the payment");
    assert!(text.out.contains("Not checked") && text.out.contains("values of PDOL and CDOL"), "{}", text.out);
    // Another kind of cryptogram is announced than is signed.
    let answer = all.len() - 2;
    let at = all[answer].windows(3).position(|w| w == [0x9F, 0x27, 1]).unwrap() + 3;
    all[answer][at] = 0x40;
    let (text, _) = cert(&all, &[]).await;
    assert_eq!(text.code, 23);
    assert!(text.out.contains("9F4B: its CID is not that of the answer (Book 2, CDA)"), "{}", text.out);
    let (zh, _) = cert(&all, &["--lang", "zh-CN"]).await;
    assert!(zh.out.contains("9F4B:CID 与应答不符"), "{}", zh.out);
}

#[tokio::test]
async fn of_a_script_the_commands_headers_are_shown() {
    let object = |tag: &str, value: &str| format!("{tag}{:02X}{value}", value.len() / 2);
    let command = object("86", &format!("8424000210{}", "99887766".repeat(4)));
    let blocks = object("86", "8418000004A1B2C3D4");
    let script = [object("9F18", "00000001"), command.clone(), blocks, object("86", "841E0000")].concat();
    let whole = object("72", &script);
    let d = run(&["decode", &whole], "").await;
    assert_eq!(
        d.out,
        [
            "72 [47] Issuer Script Template 2",
            "  9F18 [4] Issuer Script Identifier: 00000001",
            "  86 [21] Issuer Script Command: 8424000210..",
            "      PIN CHANGE/UNBLOCK",
            "  86 [9] Issuer Script Command: 8418000004..",
            "      APPLICATION UNBLOCK",
            "  86 [4] Issuer Script Command: 841E0000",
            "      APPLICATION BLOCK",
            "",
        ]
        .join("\n")
    );
    for hex in [whole.as_str(), &command, &whole[..whole.len() - 2]] {
        for arguments in [&["decode"][..], &["decode", "--json"], &["decode", "--lang", "zh-CN"]] {
            let d = run(arguments, hex).await;
            for part in ["99887766", "A1B2"] {
                assert!(!d.out.contains(part) && !d.err.contains(part), "{} {}", d.out, d.err);
            }
        }
    }
}

#[tokio::test]
async fn the_check_that_fails_is_named_with_its_book() {
    let expired = said("expired-certificate", "A000000333010101");
    let (text, page) = cert(&expired, &[]).await;
    assert_eq!((text.code, &page["good"]), (23, &false.into()));
    assert_eq!(verdicts(&page), ["90 good", "9F46 wrong"]);
    assert!(text.out.contains("wrong: 9F46: it has expired (Book 2"), "{}", text.out);
    assert_eq!(page["steps"][1]["expiry"], "11/26", "shown all the same");
    // Valid on its last day.
    assert_eq!(run_on("261130", &expired).await, ["90 good", "9F46 good"]);

    let (text, page) = cert(&said("wrong-ca", "A000000333010101"), &[]).await;
    assert_eq!((text.code, verdicts(&page)), (23, vec!["90 wrong".to_owned()]));
    assert!(text.out.contains("(Book 2") && page["steps"][0]["recovered"] == false, "{}", text.out);

    let debit = said("debit", "A000000333010101");
    // A byte of the signed record is another one.
    let mut broken = debit.clone();
    let place = |record: &[u8]| record.windows(3).position(|w| w == [0x9F, 0x07, 0x02]);
    let record = broken.iter_mut().find(|r| place(r).is_some()).unwrap();
    let at = place(record).unwrap() + 3;
    record[at] ^= 1;
    let (text, page) = cert(&broken, &[]).await;
    assert_eq!(text.code, 23);
    assert!(text.out.contains("its hash is another (Book 2") && page["good"] == false, "{}", text.out);

    // Other keys than the card's; none; one with a wrong checksum.
    let unionpay = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../emv/tests/data/unionpay-ca-keys.tlv"),
    );
    let unionpay = unionpay.unwrap().lines().find(|l| l.starts_with("9F06")).unwrap().to_owned();
    let all = debit.iter().map(hex::encode).collect::<String>();
    let d = run(&["cert", "--date", DAY, "--key", &unionpay], &all).await;
    assert!(d.code == 23 && d.out.contains("there is no CA key with the index F1"), "{} {}", d.out, d.err);
    let d = run(&["cert"], &all).await;
    assert!(d.code == 2 && d.err.contains("key: needed without --parameters"), "{}", d.err);
    let d = run(&["cert", "--key", &format!("{}00", &unionpay[..unionpay.len() - 2])], &all).await;
    assert!(d.code == 2 && d.err.contains("key"), "{}", d.err);

    // Without all records the hash of the card's certificate says nothing; without 84 a name is needed.
    let (text, page) = cert(&debit[..debit.len() - 1], &[]).await;
    assert!(text.code == 23 && page["good"] == false, "{}", text.out);
    let (_, page) = cert(&[&debit[..1], &debit[2..]].concat(), &[]).await;
    assert_eq!(verdicts(&page)[..2], ["90 good", "9F46 unknown"], "{page}");
    let nameless = &debit[1..];
    let all = nameless.iter().map(hex::encode).collect::<String>();
    let key = hex::encode(ca_key_370(RID));
    let d = run(&["cert", "--date", DAY, "--key", &key], &all).await;
    assert!(d.code == 2 && d.err.contains("aid: needed: 84"), "{}", d.err);
    let (text, _) = cert(nameless, &["--aid", "A000000333010101"]).await;
    assert_eq!(text.code, 0, "{}", text.out);
    for (arguments, code) in [(["--date", "261302"], 2), (["--aid", "A0"], 2), (["--parameters", "/none"], 3)]
    {
        let d = run(&[&["cert", "--key", &key][..], &arguments].concat(), &all).await;
        assert_eq!(d.code, code, "{arguments:?} {}", d.err);
    }
}

async fn run_on(day: &str, all: &[Vec<u8>]) -> Vec<String> {
    let input = all.iter().map(hex::encode).collect::<String>();
    let key = hex::encode(ca_key_370(RID));
    verdicts(&run(&["cert", "--date", day, "--key", &key, "--json"], &input).await.json())
}

#[tokio::test]
async fn a_revoked_certificate_stands_in_the_file_of_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("emv.toml");
    let debit = said("debit", "A000000333010101");
    let input = debit.iter().map(hex::encode).collect::<String>();
    let key = hex::encode(ca_key_370(RID));
    let write = |more: &str| {
        let aid = "[[aid]]\naid = \"A000000333010101\"\nversion = \"0030\"\n";
        fs::write(&file, format!("version = 1\nkeys = [\"{key}\"]\n{aid}{more}")).unwrap();
    };
    let arguments = ["cert", "--date", DAY, "--parameters", file.to_str().unwrap(), "--json"];
    write("");
    let page = run(&arguments, &input).await.json();
    assert_eq!(page["good"], true, "{page}");
    let serial = page["steps"][0]["serial"].as_str().unwrap();
    write(&format!("[[revoked]]\nrid = \"A000000333\"\nindex = \"F1\"\nserial = \"{serial}\"\n"));
    let d = run(&arguments, &input).await;
    assert_eq!((d.code, verdicts(&d.json())), (23, vec!["90 wrong".to_owned()]), "{}", d.out);
    assert!(d.out.contains("it is revoked"), "{}", d.out);
}

#[tokio::test]
async fn the_decisions_of_a_transaction_are_read_from_the_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let log = |txn| ["log", txn, "--state", state];
    let none = run(&log("17"), "").await;
    assert!(none.code == 3 && none.err.contains("has no decisions of cards"), "{}", none.err);
    let line =
        |txn: u64, said: &str| format!("{{\"txn\":{txn},\"at\":1796194799000,\"log\":[\"{said}\"]}}\n");
    let old = line(17, "status 6A82") + &line(16, "of another");
    fs::write(dir.path().join("cards.1.log"), old + "{\"txn\":17,\"at\":1,\"lo").unwrap();
    fs::write(dir.path().join("cards.log"), line(18, "of another") + &line(17, "TVR: \\u001b[31m")).unwrap();
    for txn in ["17", "R0001-17"] {
        let d = run(&log(txn), "").await;
        assert_eq!(d.code, 0, "{}", d.err);
        let at = "Transaction 17, 2026-12-02 14:59:59";
        assert_eq!(d.out, format!("{at}\n  status 6A82\n\n{at}\n  TVR:  [31m\n"), "in order, cleaned");
    }
    let zh = run(&[&log("17")[..], &["--lang", "zh-CN"]].concat(), "").await;
    assert!(zh.out.contains("状态字 6A82"), "{}", zh.out);
    // An app's id that ends like a reference is another payment's.
    let d = run(&log("order-17"), "").await;
    assert!(d.code != 0 && d.err.contains("a number, or a reference"), "{}", d.err);
    let json = run(&[&log("17")[..], &["--json"]].concat(), "").await.json();
    assert_eq!((json.as_array().unwrap().len(), &json[1]["txn"]), (2, &17.into()));
    let gone = run(&log("19"), "").await;
    assert!(gone.code == 3 && gone.err.contains("19"), "{}", gone.err);
    assert_eq!(run(&log("R0001"), "").await.code, 2);
}
