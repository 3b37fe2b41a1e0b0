#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| _ = payterm_emv_fuzz::run(bytes));
