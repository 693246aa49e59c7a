//! Registers and tokens, for `smcard_fuzz::psi::psi`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_fuzz::psi::psi(data));
