//! What a daemon sends and pcscd asks, for `smcard_fuzz::ifd::ifd`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_fuzz::ifd::ifd(data));
