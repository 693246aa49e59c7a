//! What a kernel says, for `smcard_fuzz::mmc_driver::mmc_driver`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_fuzz::mmc_driver::mmc_driver(data));
