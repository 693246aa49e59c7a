//! Arbitrary bytes for `smcard_fuzz::targets::batch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_fuzz::targets::batch(data));
