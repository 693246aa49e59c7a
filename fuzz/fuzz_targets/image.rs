//! Changes to card images for `smcard_cuts::fuzz::image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_cuts::fuzz::image(data));
