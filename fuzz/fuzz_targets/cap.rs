//! Arbitrary bytes for `smcard_fuzz::targets::cap`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_fuzz::targets::cap(data));
