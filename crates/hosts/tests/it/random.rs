//! Random and mutated input never panics; what is packed is unpacked to the same. `PROPTEST_CASES` sets how
//! often.
use crate::support::*;
use payterm_hosts::iso8583::{Bitmap, Class, Digits, Message, Prefix};
use payterm_hosts::*;
use payterm_schema::host::MessageKind;
use proptest::prelude::*;

fn profiles() -> [Profile; 2] {
    ["unionpay", "demo-x919"].map(|n| Profile::builtin(n).unwrap())
}

/// A value that the table takes for a field.
fn value(class: Class, prefix: Prefix, max: usize) -> BoxedStrategy<Vec<u8>> {
    let len = if prefix == Prefix::Fixed { max..=max } else { 0..=max };
    let of = |bytes: Vec<u8>| prop::collection::vec(prop::sample::select(bytes), len).boxed();
    match class {
        Class::N => of((b'0'..=b'9').collect()),
        Class::Z => of((b'0'..=b'9').chain([b'=']).collect()),
        Class::An => of(b"09AZaz ".to_vec()),
        Class::Ans => of((0x20..=0x7E).collect()),
        Class::Gbk => of((0x20..=0x7E).chain(0x80..=0xFF).collect()),
        Class::B => of((0..=255).collect()),
    }
}
fn message(p: &Profile) -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> + use<> {
    let one = |(n, f): (usize, Option<iso8583::Format>)| {
        f.map(|f| {
            prop::option::of(value(f.class, f.prefix, usize::from(f.max)).prop_map(move |v| (n as u8, v)))
        })
    };
    let all: Vec<_> = p.table.formats.into_iter().enumerate().filter_map(one).collect();
    all.prop_map(|fields| fields.into_iter().flatten().collect())
}
fn try_all(p: &Profile, frame: &[u8]) {
    let _ = frame_len(p, frame);
    if let Ok(d) = decode(p, frame) {
        let _ = RequestView::read(p, &d.message)
            .map(|v| (v.pan(), v.code(), v.original(), v.amount(), v.pin_block()));
        let _ = trace(p, &d.envelope, &d.message);
        let _ = reply_message(p, &d.message, &answer("00"), None);
    }
    if let Ok(r) = read(p, frame, &TestMac::new(MAK16)) {
        let built = build(
            p,
            &station(true),
            MessageKind::Request,
            &cases()[0].plan,
            &cases()[0].secrets,
            "S",
            &TestMac::new(MAK16),
        )
        .unwrap();
        let _ = r.matches(p, &built.expect);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packed_is_unpacked_to_the_same(
        (which, fields) in (0..2usize).prop_flat_map(|i| (Just(i), message(&profiles()[i]))),
        mti in "[0-9]{4}",
        coding in any::<(bool, bool, bool, bool)>(),
    ) {
        let mut table = profiles()[which].table.clone();
        let digits = |ascii| if ascii { Digits::Ascii } else { Digits::Bcd };
        table.mti = digits(coding.0);
        table.lengths = digits(coding.1);
        table.numeric = digits(coding.2);
        table.bitmap = if coding.3 { Bitmap::Hex } else { Bitmap::Binary };
        let mut m = Message::new(&mti).unwrap();
        for (n, v) in &fields {
            m.set(*n, v).unwrap();
        }
        let mut packed = Vec::new();
        table.pack(&m, &mut packed).unwrap();
        let back = table.unpack(&packed).unwrap().message;
        prop_assert_eq!(back.mti(), &mti);
        let got: Vec<_> = back.fields().map(|n| (n, back.get(n).unwrap().to_vec())).collect();
        prop_assert_eq!(got, fields);
        let mut again = Vec::new();
        table.pack(&back, &mut again).unwrap();
        prop_assert_eq!(&again, &packed);
        // Cut anywhere or with more behind it, it is refused.
        let cut = packed.len() - 1;
        prop_assert!(table.unpack(&packed[..cut]).is_err());
        packed.push(0);
        prop_assert!(table.unpack(&packed).is_err());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for p in profiles() {
            try_all(&p, &bytes);
            let _ = p.table.unpack(&bytes);
            // What unpacks is canonical: it packs to the same bytes.
            if let Ok(u) = p.table.unpack(&bytes) {
                let mut again = Vec::new();
                p.table.pack(&u.message, &mut again).unwrap();
                prop_assert_eq!(&again, &bytes);
            }
        }
    }

    #[test]
    fn mutated_frames_never_panic(
        case in 0..17usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        trim in any::<bool>(),
    ) {
        for p in profiles() {
            let all = cases();
            let case = &all[case % all.len()];
            let (station, mac) = (station(true), TestMac::new(MAK16));
            let built =
                build(&p, &station, case.message_kind, &case.plan, &case.secrets, "PT1", &mac).unwrap();
            let mut frame = built.bytes.reveal().to_vec();
            for (at, with) in &flips {
                let at = at.index(frame.len());
                frame[at] = *with;
            }
            if trim {
                frame.truncate(cut.index(frame.len()));
            }
            try_all(&p, &frame);
            // The inside of the frame, with a right length.
            if let Some(body) = frame.get(2..) {
                let mut framed = (body.len() as u16).to_be_bytes().to_vec();
                framed.extend_from_slice(body);
                try_all(&p, &framed);
            }
        }
    }
}
