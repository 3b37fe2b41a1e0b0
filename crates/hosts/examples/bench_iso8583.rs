//! Time of packing and unpacking one message of tests/peers/message.json (a 0200 of 286 bytes with F55 of 160
//! bytes) with the UnionPay table: one JSON object a line, medians. `--hex` prints the packed message
//! instead.
use payterm_hosts::Profile;
use payterm_hosts::iso8583::{Class, Message};
use std::hint::black_box;
use std::time::Instant;

const RUNS: usize = 61;
const TIMES: u32 = 20_000;

/// Median of the runs, nanoseconds a call.
fn median(mut f: impl FnMut()) -> f64 {
    let mut runs: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            (0..TIMES).for_each(|_| f());
            start.elapsed().as_nanos() as f64 / f64::from(TIMES)
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let table = Profile::builtin("unionpay")?.table;
    let json: serde_json::Value = serde_json::from_str(include_str!("../../../tests/peers/message.json"))?;
    let mti = json["mti"].as_str().ok_or("mti")?;
    let mut fields = Vec::new();
    for (n, value) in json["fields"].as_object().ok_or("fields")? {
        let (n, value): (u8, _) = (n.parse()?, value.as_str().ok_or("a field is no text")?);
        let binary = table.formats[usize::from(n)].is_some_and(|f| matches!(f.class, Class::B | Class::Gbk));
        fields.push((n, if binary { hex::decode(value)? } else { value.as_bytes().to_vec() }));
    }
    fields.sort();
    let build = || -> Result<Vec<u8>, payterm_hosts::iso8583::IsoError> {
        let mut message = Message::new(black_box(mti))?;
        for (n, value) in black_box(&fields) {
            message.set(*n, value)?;
        }
        let mut out = Vec::new();
        table.pack(&message, &mut out)?;
        Ok(out)
    };
    let packed = build()?;
    if std::env::args().any(|a| a == "--hex") {
        println!("{}", hex::encode_upper(&packed));
        return Ok(());
    }
    let unpack = || -> Result<usize, payterm_hosts::iso8583::IsoError> {
        let message = table.unpack(black_box(&packed))?.message;
        Ok(message.fields().map(|n| black_box(message.get(n)).map_or(0, <[u8]>::len)).sum())
    };
    let total: usize = fields.iter().map(|(_, v)| v.len()).sum();
    assert_eq!(unpack()?, total, "every field comes back");
    for (name, value) in [
        ("iso8583.pack", median(|| _ = black_box(build()))),
        ("iso8583.unpack", median(|| _ = black_box(unpack()))),
    ] {
        println!(r#"{{"name":"{name}","unit":"ns","value":{value:.1}}}"#);
    }
    Ok(())
}
