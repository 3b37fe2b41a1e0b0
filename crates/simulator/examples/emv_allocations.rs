//! Allocations of the kernel in the runs that `bench_emv` measures: one JSON object a line.
use allocation_counter::measure;
use payterm_emv::{
    Contact, Tap,
    terminal::{Parameters, Terminal},
};
use payterm_simulator::card::{
    PERSONAS, Personas, TestCard,
    play::{self, Recording},
};
use std::{hint::black_box, sync::Arc};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let terminal = Arc::new(Terminal::new(play::terminal())?);
    let parameters = Arc::new(Parameters::new(1, play::aids(play::LIMITS), play::keys(), Vec::new())?);
    let mut card = TestCard::new(&Personas::parse(PERSONAS)?, "debit", play::DATE)?;
    let recording = Recording::of::<Contact>(&mut card, &terminal, &parameters, play::payment(1_000))?;
    let counted =
        measure(|| _ = black_box(recording.play::<Contact>(&terminal, &parameters, play::payment(1_000))));
    let line = |name: &str, unit: &str, value| {
        println!("{}", serde_json::json!({"name": name, "unit": unit, "value": value}));
    };
    line("emv.allocations", "", counted.count_total);
    line("emv.allocated", "B", counted.bytes_total);
    line("emv.allocated.max", "B", counted.bytes_max);
    let mut card = TestCard::new(&Personas::parse(PERSONAS)?, "qpboc-offline", play::DATE)?;
    let recording = Recording::of::<Tap>(&mut card, &terminal, &parameters, play::payment(1_000))?;
    let counted =
        measure(|| _ = black_box(recording.play::<Tap>(&terminal, &parameters, play::payment(1_000))));
    line("emv.tap.allocations", "", counted.count_total);
    Ok(())
}
