//! Arbitrary bytes for `smcard_fuzz::scripts::script`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_fuzz::scripts::script(data));
