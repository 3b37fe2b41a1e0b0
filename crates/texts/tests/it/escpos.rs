//! The printer's side: walks the bytes as a printer does. Whatever a host, a shop name or a note holds,
//! nothing but our own commands comes out.
use crate::common::*;
use payterm_schema::{
    Kind, Outcome, Status,
    config::Language,
    outcome::{Place, Reason, Sums},
    paper::PaperKind,
};
use payterm_texts::{Align, Line, Paper, QR_MAX, Size, SlipContext, slip};
use proptest::prelude::*;

#[derive(Debug, Default, PartialEq)]
struct Walked {
    lines: Vec<String>,
    qr: Vec<String>,
    cuts: usize,
}

/// Reads a job byte by byte. Every byte below 20 and 7F must belong to one of the commands that a slip may
/// use.
fn walk(bytes: &[u8]) -> Result<Walked, String> {
    let mut out = Walked::default();
    let mut line = Vec::new();
    let mut rest = bytes.strip_prefix(b"\x1b@\x1c&").ok_or("does not begin with ESC @, FS &")?;
    while let Some((&b, tail)) = rest.split_first() {
        rest = match (b, tail) {
            (b'\n', _) => {
                let (text, _, bad) = encoding_rs::GB18030.decode(&line);
                if bad {
                    return Err(format!("no GB18030: {line:02x?}"));
                }
                out.lines.push(text.into_owned());
                line.clear();
                tail
            }
            (0x1b, [b'a', 0..=2, t @ ..] | [b'E', 0..=1, t @ ..] | [b'd', 1..=20, t @ ..])
            | (0x1d, [b'!', 0x00 | 0x11, t @ ..]) => t,
            (0x1d, [b'V', 66, 0, t @ ..]) => {
                out.cuts += 1;
                t
            }
            (0x1d, [b'(', b'k', lo, hi, t @ ..]) => {
                let (data, t) = t
                    .split_at_checked(usize::from(u16::from_le_bytes([*lo, *hi])))
                    .ok_or("GS ( k is cut off")?;
                match data {
                    [49, 65, 50, 0] | [49, 67, 1..=16] | [49, 69, 48..=51] | [49, 81, 48] => {}
                    [49, 80, 48, content @ ..] => {
                        out.qr.push(String::from_utf8(content.to_vec()).map_err(|e| e.to_string())?)
                    }
                    _ => return Err(format!("GS ( k {data:02x?}")),
                }
                t
            }
            (0x00..=0x1f | 0x7f, _) => {
                return Err(format!("stray {b:02x} before {:02x?}", &tail[..tail.len().min(8)]));
            }
            // A lead byte takes its trail along: a printer in Chinese mode does the same.
            (0x81..=0xfe, [0x30..=0x39, x, y, t @ ..]) => {
                line.extend_from_slice(&[b, tail[0], *x, *y]);
                t
            }
            (0x81..=0xfe, [c @ (0x40..=0x7e | 0x80..=0xfe), t @ ..]) => {
                line.extend_from_slice(&[b, *c]);
                t
            }
            (0x20..=0x7e, t) => {
                line.push(b);
                t
            }
            _ => return Err(format!("bad byte {b:02x}")),
        };
    }
    if line.is_empty() { Ok(out) } else { Err("bytes after the last line".into()) }
}

#[test]
fn the_walker_finds_what_is_wrong() {
    for bad in [
        &b"\x1b@\x1c&\x1bp\x00\x19\xfa\n"[..],
        b"\x1b@\x1c&a\x07\n",
        b"\x1b@\x1c&a\x10\x04\x01\n",
        b"\x1b@\x1c&\xff\n",
        b"\x1b@\x1c&x",
        b"hi\n",
    ] {
        assert!(walk(bad).is_err(), "{bad:02x?}");
    }
}

#[test]
fn chinese_survives_the_way_to_the_printer() {
    let job = job(PaperKind::MerchantCopy, Outcome { note: Some("加辣 龘 䶮 ①".into()), ..sale() });
    for mm in [58, 80] {
        let printed = walk(
            &slip(&job, &context(Language::ZhCn), &Default::default())
                .to_escpos(mm, &Default::default())
                .bytes,
        )
        .expect("only our commands");
        let all = printed.lines.join("\n");
        for part in ["商户存根", "老王面馆", "622848******1234 /S", "RMB 1234.50", "本人确认", "加辣 龘 䶮 ①"]
        {
            assert!(all.contains(part), "{part} is not on:\n{all}");
        }
        assert_eq!(printed.qr, ["payterm:898310058120001:20260001:000007:000118:606414000118"]);
        assert_eq!(printed.cuts, 1);
    }
}

#[test]
fn text_and_bytes_say_the_same() {
    for (mm, columns) in [(58, 32), (80, 48)] {
        let paper = slip(
            &job(PaperKind::CustomerCopy, void()),
            &SlipContext { qr: String::new(), ..context(Language::ZhCn) },
            &Default::default(),
        );
        let printed = walk(&paper.to_escpos(mm, &Default::default()).bytes).expect("only our commands").lines;
        let text: Vec<String> =
            paper.to_text(columns).lines().filter(|l| !l.is_empty()).map(|l| l.trim().to_owned()).collect();
        assert_eq!(printed.iter().map(|l| l.trim().to_owned()).collect::<Vec<_>>(), text);
    }
}

#[test]
fn sizes_are_taken_back() {
    let line = |text: &str, size, bold, align| Line::Text { text: text.into(), align, size, bold };
    let paper = Paper {
        lines: vec![
            line("A", Size::Double, true, Align::Center),
            line("B", Size::Normal, false, Align::Left),
        ],
    };
    assert_eq!(
        paper.to_escpos(58, &Default::default()).bytes,
        b"\x1b@\x1c&\x1ba\x01\x1d!\x11\x1bE\x01A\n\x1ba\x00\x1d!\x00\x1bE\x00B\n"
    );
}

#[test]
fn a_qr_code_is_whole_or_absent() {
    let qr = |content: &str| {
        walk(&Paper { lines: vec![Line::Qr(content.into())] }.to_escpos(58, &Default::default()).bytes)
            .map(|w| w.qr)
    };
    let longest = "x".repeat(QR_MAX);
    assert_eq!(qr(&longest), Ok(vec![longest.clone()]));
    for bad in [&(longest + "x"), "", "a\x1b@", "店", "a\nb"] {
        assert_eq!(qr(bad), Ok(vec![]), "{bad:?}");
    }
}

#[test]
fn what_has_no_glyph_is_replaced_and_what_is_hidden_is_dropped() {
    let row = |text: &str| {
        Paper {
            lines: vec![Line::Text {
                text: text.into(),
                align: Align::Left,
                size: Size::Normal,
                bold: false,
            }],
        }
        .to_text(48)
    };
    assert_eq!(row("a\u{1f600}b\u{e5e5}c\u{e000}"), "a?b?c?\n");
    assert_eq!(row("1\u{202e}00\u{2066}\u{200b}\u{feff}"), "100\n");
    assert_eq!(row("x\u{9b}y\u{85}\tz\u{7f}."), "x y  z .\n");
}

/// Any text, texts made of printer commands and markup, and long ones.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => any::<char>().prop_map(String::from),
        2 => (0u8..0x20).prop_map(|b| char::from(b).to_string()),
        2 => prop::sample::select(vec![
            "\x1b@", "\x1bp\x00\x19\u{fa}", "\x1d(k\x03\x001Q0", "\x1dV\x00", "\x10\x14\x01", "\x1c.", "\n",
            "\r\ncut", "|", "\\", "\\|", "cut", "\nqr|http://x", "{{ t(\"x\") }}",
            "{% for i in range(99999) %}", "{rrn}", "{$name}", "\u{202e}", "\u{2028}", "\u{e5e5}", "\u{20ac}",
            "\u{1f468}\u{200d}\u{1f469}",
            "老", "\u{10ffff}", "&#65;",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,60}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn hostile_texts_stay_text(
        texts in prop::array::uniform12(hostile()),
        host_texts in prop::collection::vec(hostile(), 0..4),
        kind in prop::sample::select(vec![
            PaperKind::MerchantCopy,
            PaperKind::CustomerCopy,
            PaperKind::UnknownSlip,
            PaperKind::StuckSlip,
            PaperKind::BalanceSlip,
        ]),
        language in prop::sample::select(vec![Language::ZhCn, Language::En]),
        status in prop::sample::select(vec![Status::Approved, Status::Declined, Status::Unknown]),
        minor in any::<u64>(), balance in any::<i64>(), time in any::<i64>(),
        host_offset_minutes in -720i32..=840,
        zone in prop::sample::select(vec!["Asia/Shanghai", "America/St_Johns", "Pacific/Kiritimati"]),
    ) {
        let [shop, address, city, note, rrn, auth, issuer, acquirer, scheme, host_date, phone, code] = texts;
        let outcome = Outcome {
            status, kind: Kind::Void, test: true,
            place: Place { shop, address, city },
            note: Some(note), rrn: Some(rrn.clone()), auth_code: Some(auth.clone()), issuer: Some(issuer),
            acquirer: Some(acquirer.clone()), scheme: Some(scheme.clone()), host_texts,
            host_date: Some(host_date.clone()), host_time: Some(host_date),
            mid: Some(auth), tid: Some(acquirer), masked_pan: Some(rrn), operator: scheme,
            reason: Some(Reason::new(code, payterm_schema::Class::C)),
            sums: Sums {
                balance: Some(balance),
                fee: Some(minor),
                ..Sums::new(sale().sums.currency, Some(minor))
            },
            ended: Some(payterm_schema::Time(time)), answer_by: Some(payterm_schema::Time(time)),
            ..void()
        };
        let ctx = SlipContext {
            service_phone: phone.clone(),
            qr: phone + "{rrn}",
            zone: zone.parse().unwrap(),
            host_offset_minutes,
            duplicate: true,
            ..context(language)
        };
        let paper = slip(&job(kind, outcome), &ctx, &Default::default());
        for mm in [58, 80] {
            let walked = walk(&paper.to_escpos(mm, &Default::default()).bytes).map_err(TestCaseError::fail)?;
            prop_assert_eq!(walked.cuts, 1);
            prop_assert!(walked.qr.len() <= 1);
            let all = walked.lines.join("\n");
            prop_assert!(all.contains("TEST") && all.contains("DUPLICATE"), "{}", all);
        }
        for line in paper.to_text(32).lines() {
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
        }
    }
}
