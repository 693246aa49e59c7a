//! Arbitrary bytes for `smcard_fuzz::targets::apdu`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_fuzz::targets::apdu(data));
