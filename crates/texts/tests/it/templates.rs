//! A shop's templates: what they may do, and what they cannot.
use crate::common::*;
use base64::{Engine, prelude::BASE64_STANDARD};
use payterm_schema::{
    Fault, Kind, Outcome, Status,
    config::Language,
    page::Printable,
    paper::{PaperContent, PaperKind},
};
use payterm_texts::{SlipContext, TEMPLATE_MAX, Templates, check_images, slip};

fn load(name: &str, source: &str) -> Result<Templates, String> {
    let (good, faults) = Templates::load(&[(name.into(), source.as_bytes().to_vec())]);
    faults.first().map_or(Ok(good), |f| Err(f.to_string()))
}

#[test]
fn a_good_template_makes_the_middle_and_payterm_the_rest() {
    let templates = load(
        "payment.jinja",
        "center big|{{ shop }}\n{# mine #}{% if original %}row|was|{{ original.rrn }}\n{% endif %}row|{{ \
         t(\"slip-amount\") }}|{{ amount }}\ncut",
    )
    .expect("good");
    for language in [Language::ZhCn, Language::En] {
        for kind in [PaperKind::MerchantCopy, PaperKind::CustomerCopy] {
            let outcome = Outcome { test: true, voided: true, ..sale() };
            let paper =
                slip(&job(kind, outcome), &SlipContext { duplicate: true, ..context(language) }, &templates)
                    .to_text(48);
            for part in [
                "TEST",
                "DUPLICATE",
                "VOIDED",
                "RMB 1234.50",
                "622848******1234 /S",
                "606414000118",
                "000118",
                "老王面馆",
            ] {
                assert!(paper.contains(part), "{part} is not on:\n{paper}");
            }
            assert!(!paper.contains("7.41"), "{paper}");
            // What the template showed is not shown twice.
            assert_eq!(paper.matches("RMB 1234.50").count(), 1, "{paper}");
        }
    }
    let declined =
        slip(&job(PaperKind::CustomerCopy, declined()), &context(Language::En), &templates).to_text(48);
    assert!(declined.contains("NOT APPROVED") && declined.contains("declined"), "{declined}");
    // The other papers are the built-in ones.
    let mine = slip(&job(PaperKind::UnknownSlip, unknown()), &context(Language::En), &templates);
    assert_eq!(
        mine,
        slip(&job(PaperKind::UnknownSlip, unknown()), &context(Language::En), &Templates::default())
    );
}

#[test]
fn a_template_that_says_nothing_or_lies_hides_nothing() {
    for source in [
        "",
        "text|paid RMB 1.00, card 1234\n",
        "row|x|{{ shop }} {{ amount }} {{ card }} {{ rrn }} {{ stan }}\n",
    ] {
        for name in ["payment", "unknown", "stuck"] {
            let templates = load(&format!("{name}.jinja"), source).expect("good");
            let (kind, outcome) = match name {
                "payment" => (PaperKind::MerchantCopy, sale()),
                "unknown" => {
                    (PaperKind::UnknownSlip, Outcome { kind: Kind::Refund, rrn: sale().rrn, ..unknown() })
                }
                _ => (PaperKind::StuckSlip, Outcome { kind: Kind::Refund, rrn: sale().rrn, ..unknown() }),
            };
            let paper = slip(&job(kind, outcome.clone()), &context(Language::En), &templates).to_text(48);
            let amount = if outcome.kind == Kind::Refund { "RMB -1234.50" } else { "RMB 1234.50" };
            for part in [
                amount,
                "622848******1234 /S",
                "606414000118",
                "000118",
                if outcome.status == Status::Approved { "approved" } else { "unknown" },
            ] {
                assert!(paper.lines().any(|l| l.trim_end().ends_with(part)), "{part} is not on:\n{paper}");
            }
            assert_eq!(paper.contains("DO NOT REFUND AGAIN"), name != "payment", "{paper}");
        }
    }
}

#[test]
fn a_broken_template_is_refused_with_file_line_and_rule() {
    let long = "x".repeat(TEMPLATE_MAX + 1);
    let double = format!("{}{{{{ a }}}}", "{% set a = a ~ a %}\n".repeat(40));
    for (source, said) in [
        ("rule\n{% for a in %}", "payment.jinja, line 2: "),
        ("rule\nrule\ntext|{{ colour }}\n", "payment.jinja, line 3: undefined value"),
        ("{% for i in range(9) %}{% endfor %}", "payment.jinja, line 1: unknown function"),
        ("rule\n{% include \"balance\" %}", "payment.jinja, line 2: a tag is one of"),
        ("{%- import \"x\" as y %}", "payment.jinja, line 1: a tag is one of"),
        ("{% extends \"x\" %}", "payment.jinja, line 1: a tag is one of"),
        ("{% set a = 1 %}", "payment.jinja, line 1: a tag is one of"),
        (&double, "payment.jinja, line 1: "),
        ("rule\n\n{{ amount|upper }}", "payment.jinja, line 3: no operators"),
        ("{{ amount ~ amount }}", "payment.jinja, line 1: no operators"),
        ("{{ 'a' * 999999999 }}", "payment.jinja, line 1: no operators"),
        ("{{ \"\\u001b\" }}", "payment.jinja, line 1: no escapes"),
        ("{{ amount", "payment.jinja, line 1: a tag without its end"),
        ("{# x", "payment.jinja, line 1: a comment without its end"),
        ("blink|x", "payment.jinja: output line 1: unknown word"),
        ("feed|99", "payment.jinja: output line 1: feed"),
        (&"rule\n".repeat(201), "payment.jinja: output line 201: a template makes up to 200 lines"),
        (&"feed|20\n".repeat(11), "payment.jinja: output line 201: a template makes up to 200 lines"),
        (&long, "payment.jinja: up to 65536 bytes"),
    ] {
        let fault = load("payment.jinja", source).expect_err(&source.chars().take(80).collect::<String>());
        assert!(fault.starts_with(said), "{fault}");
    }
    let loops = [
        "{% for b in [1,2,3,4,5,6,7,8,9,10] %}".repeat(12),
        "{% if b %}{% endif %}".into(),
        "{% endfor %}".repeat(12),
    ]
    .concat();
    let said = |source: &str| load("payment.jinja", source).expect_err("refused");
    assert!(said(&loops).contains("fuel"), "a loop without end: {}", said(&loops));
    let huge = format!("{{% for b in [1,2,3,4,5,6,7,8,9] %}}text|{}\n{{% endfor %}}", "x".repeat(20_000));
    assert!(said(&huge).contains("failed to write output"), "64 KiB of output: {}", said(&huge));
    assert!(
        load("receipt.jinja", "rule")
            .expect_err("unknown name")
            .starts_with("receipt.jinja: a template is one of")
    );
    let (_, faults) = Templates::load(&[("payment.jinja".into(), vec![0xff])]);
    assert!(faults.iter().any(|f| f.rule.starts_with("UTF-8")));
    // The built-in one serves.
    let (none, _) = Templates::load(&[("payment.jinja".into(), b"blink|x".to_vec())]);
    assert_eq!(
        slip(&job(PaperKind::MerchantCopy, sale()), &context(Language::En), &none),
        slip(&job(PaperKind::MerchantCopy, sale()), &context(Language::En), &Templates::default())
    );
}

#[test]
fn control_characters_become_no_command() {
    let templates =
        load("payment.jinja", "text|a\u{1b}@\u{0}b\u{2028}\u{202e}c\ntext|{{ note }}\n").expect("good");
    let outcome = Outcome { note: Some("x\ncut\u{1d}V".into()), ..sale() };
    let bytes = slip(&job(PaperKind::MerchantCopy, outcome), &context(Language::En), &templates)
        .to_escpos(58, &Default::default())
        .bytes;
    let cuts = bytes.windows(2).filter(|w| w == b"\x1dV").count();
    assert_eq!((cuts, bytes.windows(2).filter(|w| w == b"\x1b@").count()), (1, 1));
}

#[test]
fn images_and_bar_codes_fit_the_printer() {
    let fault = |json: &str, mm: u8| match Printable::parse(json) {
        Ok(Printable::Page(page)) => check_images(&page, mm).err(),
        other => panic!("{other:?}"),
    };
    let line = |line: &str| format!(r#"{{"page":{{"lines":[{line}]}}}}"#);
    let image = |png: &str| line(&format!(r#"{{"type":"image","png":"{png}"}}"#));
    let rule = |f: Option<Fault>| f.map(|f| f.to_string());
    assert_eq!(fault(PAGE, 58), None);
    assert_eq!(
        rule(fault(&image(WIDE[0]), 58)).as_deref(),
        Some("page.lines[0].png: up to 384 dots wide on this paper")
    );
    assert_eq!(fault(&image(WIDE[0]), 80), None);
    assert_eq!(
        rule(fault(&image(WIDE[1]), 80)).as_deref(),
        Some("page.lines[0].png: up to 576 dots wide and 800 high")
    );
    assert_eq!(rule(fault(&image("!"), 80)).as_deref(), Some("page.lines[0].png: base64"));
    assert!(rule(fault(&image("aGVsbG8="), 80)).is_some_and(|f| f.starts_with("page.lines[0].png: a PNG")));
    assert!(
        rule(fault(&image(&WIDE[0][..60]), 80)).is_some_and(|f| f.starts_with("page.lines[0].png: a PNG"))
    );
    let code = line(r#"{"type":"barcode","symbology":"code128","content":"ABCDEFGHIJKLMNO"}"#);
    assert!(rule(fault(&code, 58)).is_some_and(|f| f.contains("384 dots")) && fault(&code, 80).is_none());
    // A page as it was accepted.
    let PaperContent::Page(page) = composed(PAGE) else { panic!("a page") };
    assert_eq!(page.lines.len(), 10);
}

/// A picture in base64: width and height in dots.
fn png(kind: png::ColorType, depth: png::BitDepth, size: [u32; 2], dots: &[u8], palette: &[u8]) -> String {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size[0], size[1]);
    encoder.set_color(kind);
    encoder.set_depth(depth);
    if kind == png::ColorType::Indexed {
        encoder.set_palette(palette.to_vec());
        encoder.set_trns(vec![255, 0]);
    }
    encoder.write_header().unwrap().write_image_data(dots).unwrap();
    BASE64_STANDARD.encode(file)
}

#[test]
fn logos_of_every_kind_become_black_dots() {
    use png::{
        BitDepth::{Eight, One, Sixteen},
        ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba},
    };
    // Black and white in turn, ten wide, two high; of those with alpha white is transparent black.
    let two = |black: &[u8], white: &[u8]| [black, white].concat().repeat(10);
    let rows = [0b1010_1010, 0b1000_0000].repeat(2);
    let pictures = [
        png(Grayscale, One, [10, 2], &[0b0101_0101, 0b0100_0000].repeat(2), &[]),
        png(Grayscale, Eight, [10, 2], &two(&[0], &[255]), &[]),
        png(Grayscale, Sixteen, [10, 2], &two(&[0, 0], &[255, 255]), &[]),
        png(GrayscaleAlpha, Eight, [10, 2], &two(&[0, 255], &[0, 0]), &[]),
        png(Rgb, Eight, [10, 2], &two(&[0, 0, 0], &[255, 255, 255]), &[]),
        png(Rgba, Eight, [10, 2], &two(&[0, 0, 0, 255], &[0, 0, 0, 0]), &[]),
        png(Indexed, Eight, [10, 2], &two(&[0], &[1]), &[0, 0, 0, 0, 0, 0]),
    ];
    let printed = |picture: &str| {
        let json = format!(r#"{{"page":{{"lines":[{{"type":"image","png":"{picture}"}}]}}}}"#);
        let PaperContent::Page(page) = composed(&json) else { panic!("a page") };
        assert_eq!(check_images(&page, 58), Ok(()));
        let job = own(PaperKind::Page, PaperContent::Page(page));
        let bytes =
            slip(&job, &context(Language::En), &Default::default()).to_escpos(58, &Default::default()).bytes;
        let at = bytes.windows(4).position(|w| w == b"\x1dv0\0").unwrap() + 4;
        let (size, rest) = bytes[at..].split_at(4);
        rest[..usize::from(size[0]) * usize::from(size[2])].to_vec()
    };
    for (i, picture) in pictures.iter().enumerate() {
        assert_eq!(printed(picture), rows, "picture {i}");
    }
    // A grey that is half of white: about half of the dots.
    let grey = printed(&png(Grayscale, Eight, [64, 64], &[128; 64 * 64], &[]));
    let black: u32 = grey.iter().map(|b| b.count_ones()).sum();
    assert!((1900..=2200).contains(&black), "{black} of 4096");
    // Yellow is seen on white paper; a picture that is no picture is still refused.
    let yellow = printed(&png(Rgb, Eight, [64, 64], &[255, 220, 0].repeat(64 * 64), &[]));
    assert!(yellow.iter().any(|b| *b != 0));
}
