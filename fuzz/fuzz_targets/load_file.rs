//! Arbitrary bytes for `smcard_fuzz::targets::load_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_fuzz::targets::load_file(data));
