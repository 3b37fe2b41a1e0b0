#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| payterm_emv_fuzz::exchange(bytes));
