//! Golden frames: `tests/frames/*.json` at the top of the tree. `PAYTERM_BLESS=1 cargo test -p payterm-hosts
//! golden` writes them; `tests/frames/check.py` builds and reads the same frames with pyiso8583 and psec
//! alone.
use crate::support::*;
use payterm_hosts::{Decoded, Profile, RequestView, Upload, Var, build, decode, encode, read, reply_message};
use payterm_schema::account::Batch;
use payterm_schema::host::{HostAnswer, MacVerdict, MessageKind};
use payterm_schema::kind::Kind;
use payterm_schema::secret::SecretBytes;
use payterm_schema::settlement::{BatchPart, SettlementReply};
use serde_json::{Value, json};
use std::path::PathBuf;

fn golden(name: &str, made: &Value) {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/frames").join(format!("{name}.json"));
    if std::env::var_os("PAYTERM_BLESS").is_some() {
        std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(made).unwrap())).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), made, "{name}");
}

fn entry(
    profile: &Profile,
    direction: &str,
    frame: &[u8],
    d: &Decoded,
    pan: Option<&str>,
    pin: Option<&str>,
) -> Value {
    let mut fields = serde_json::Map::new();
    for n in d.message.fields() {
        let value = d.message.get(n).unwrap();
        let is_text = profile.table.formats[usize::from(n)].is_some_and(|f| {
            !matches!(f.class, payterm_hosts::iso8583::Class::B | payterm_hosts::iso8583::Class::Gbk)
        });
        let text = if is_text { d.message.text(n).unwrap().to_owned() } else { hex::encode_upper(value) };
        fields.insert(n.to_string(), text.into());
    }
    let mut v = json!({
        "profile": profile.name, "direction": direction, "mti": d.message.mti(), "fields": fields,
        "hex": hex::encode_upper(frame), "mak": key(&profile.name),
    });
    if let Some(tpdu) = d.envelope.tpdu {
        v["tpdu"] = hex::encode_upper(tpdu).into();
        v["header"] = String::from_utf8(d.envelope.header.clone().unwrap()).unwrap().into();
    }
    if let (Some(pan), Some(pin)) = (pan, pin) {
        v["pik"] = PIK.into();
        v["pan"] = pan.into();
        v["pin"] = pin.into();
    }
    v
}

#[test]
fn frames_are_the_golden_ones_and_read_back() {
    for name in ["unionpay", "demo-x919"] {
        let profile = Profile::builtin(name).unwrap();
        let mac = TestMac::new(key(name));
        for case in cases() {
            let built = build(
                &profile,
                &station(true),
                case.message_kind,
                &case.plan,
                &case.secrets,
                "PT00000042",
                &mac,
            )
            .unwrap();
            let frame = built.bytes.reveal();
            let d = decode(&profile, frame).unwrap();
            golden(&format!("{name}-{}", case.name), &entry(&profile, "sent", frame, &d, case.pan, case.pin));

            // The other side understands it.
            let view = RequestView::read(&profile, &d.message)
                .unwrap_or_else(|e| panic!("{name} {}: {e}", case.name));
            assert_eq!(view.kind, case.plan.kind, "{name} {}", case.name);
            let financial = case.plan.kind.row().authorisation;
            let card = financial && case.message_kind != MessageKind::Query;
            assert_eq!(
                d.verify(&profile, &mac).unwrap(),
                if financial { MacVerdict::Good } else { MacVerdict::NotUsed }
            );
            assert_eq!(
                (view.stan(), view.batch()),
                (Some(case.plan.stan), Some(case.plan.batch)),
                "{name} {}",
                case.name
            );
            assert_eq!(view.amount(), case.plan.amount.map(|a| a.minor()));
            assert_eq!(view.query, case.message_kind == MessageKind::Query);
            assert_eq!(view.script_result, case.message_kind == MessageKind::ScriptResult);
            assert_eq!(view.fallback, case.plan.fallback, "{name} {}", case.name);
            match case.plan.settlement.as_deref() {
                Some(BatchPart::Totals(halves)) => {
                    assert_eq!((view.upload, view.totals()), (None, Some(*halves)))
                }
                Some(BatchPart::List(list)) => {
                    let read: Vec<_> =
                        view.records().unwrap().iter().map(|r| (r.foreign, r.stan, r.minor)).collect();
                    assert_eq!(
                        read,
                        list.iter().map(|r| (r.foreign, r.stan.get(), r.minor)).collect::<Vec<_>>()
                    );
                }
                // Neither has a row of its own for an offline sale: it goes as a voice sale.
                Some(BatchPart::One { kind: Kind::Sale | Kind::VoiceSale, .. }) => {
                    assert_eq!(view.upload, Some(Upload::One(Kind::VoiceSale)))
                }
                Some(BatchPart::One { kind, .. }) => assert_eq!(view.upload, Some(Upload::One(*kind))),
                Some(BatchPart::Certificate { balanced, unauthenticated, .. }) => {
                    let (balanced, unauthenticated) = (*balanced, *unauthenticated);
                    assert_eq!(view.upload, Some(Upload::Certificate { balanced, unauthenticated }));
                }
                Some(BatchPart::End { records, balanced }) => {
                    assert_eq!(
                        (view.upload, view.uploaded()),
                        (Some(Upload::End { balanced: *balanced }), Some(*records))
                    );
                }
                None => assert_eq!(view.upload, None),
            }
            assert_eq!(view.download, case.plan.download);
            assert_eq!(view.tip(), case.plan.tip);
            if !matches!(case.message_kind, MessageKind::Reversal(_)) {
                assert_eq!(view.text(Var::VoiceCode), case.plan.auth_code.as_deref());
            }
            if let (
                Some(o),
                MessageKind::Request | MessageKind::Repeat | MessageKind::Query | MessageKind::ScriptResult,
            ) = (&case.plan.original, case.message_kind)
            {
                assert_eq!(view.original(), o.batch.zip(o.stan), "{name} {}", case.name);
                assert_eq!(view.text(Var::Scheme), case.plan.scheme.as_deref());
                let date = view.text(Var::OriginalDate);
                assert!(date.is_none() || date == o.date.as_deref());
                let own_stan = case.message_kind == MessageKind::Query
                    || view.text(Var::OriginalRrn) == o.rrn.as_deref()
                    || view.text(Var::AuthCode) == o.auth_code.as_deref();
                assert!(own_stan, "{name} {} names its original", case.name);
            }
            match case.message_kind {
                MessageKind::Request
                | MessageKind::Repeat
                | MessageKind::Query
                | MessageKind::ScriptResult => {
                    assert_eq!(view.reversal, None);
                    assert_eq!(view.pin_block(), case.secrets.pin_block);
                    assert_eq!(view.code(), case.secrets.code);
                }
                MessageKind::Reversal(reason) => {
                    assert_eq!(view.reversal, Some(reason));
                    assert!([52, 53, 35, 36, 26].iter().all(|n| !d.message.has(*n)));
                    assert!(view.text(Var::Reason).is_some());
                }
            }
            if card {
                assert_eq!(
                    view.pan().map(|p| p.reveal().to_owned()),
                    case.pan.map(str::to_owned),
                    "{name} {}",
                    case.name
                );
                assert_eq!(
                    view.entry,
                    case.plan.mode.map(|mode| (mode, case.plan.pin)),
                    "F22 stays as it was: {name} {}",
                    case.name
                );
            }

            // The reply: made by the other side, read and matched by ours.
            let sign_in = case.plan.kind == Kind::SignIn;
            let pairs =
                |of: &[(&str, &str)]| of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let download = case.plan.download.as_ref();
            let parameters = if case.plan.kind == Kind::Parameters && download.is_none() {
                pairs(&[("fee_bp", "60"), ("limit", "50000.00")])
            } else {
                Vec::new()
            };
            let totals = if let Some(BatchPart::Totals(h)) = case.plan.settlement.as_deref() {
                Some(*h)
            } else {
                None
            };
            let want = HostAnswer {
                amount: case.plan.amount.map(|a| a.minor()),
                balance: (case.plan.kind == Kind::Balance).then_some(-123_450),
                batch: Batch::new(if sign_in { 8 } else { 7 }),
                mac: if financial { MacVerdict::Good } else { MacVerdict::NotUsed },
                parameters,
                download: download.and_then(emv_answer),
                settlement: totals
                    .map(|h| SettlementReply { domestic: (h.domestic, 1), foreign: (h.foreign, 2) }),
                requirement: if name == "unionpay" { 3 } else { 0 },
                ..answer("00")
            };
            let keys = sign_in.then(|| SecretBytes::new(hex::decode(KEYS).unwrap()));
            let mut reply = reply_message(&profile, &d.message, &want, keys.as_ref()).unwrap();
            let frame = encode(&profile, &d.envelope.reply(&profile, 3), &mut reply, Some(&mac)).unwrap();
            let got = read(&profile, frame.reveal(), &mac).unwrap();
            assert_eq!(got.answer, want, "{name} {}", case.name);
            assert_eq!(got.keys, keys);
            assert_eq!(got.matches(&profile, &built.expect), Ok(()), "{name} {}", case.name);
            let d = decode(&profile, frame.reveal()).unwrap();
            golden(
                &format!("{name}-reply-{}", case.name),
                &entry(&profile, "received", frame.reveal(), &d, None, None),
            );
        }
    }
}

/// Every golden file belongs to a case: none is left over from an older protocol.
#[test]
fn no_golden_file_is_stale() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/frames");
    let names: Vec<String> = ["unionpay", "demo-x919"]
        .into_iter()
        .flat_map(|p| {
            cases()
                .into_iter()
                .flat_map(move |c| [format!("{p}-{}.json", c.name), format!("{p}-reply-{}.json", c.name)])
        })
        .collect();
    for file in std::fs::read_dir(dir).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".json") || names.contains(&name), "{name} belongs to no case");
    }
}
