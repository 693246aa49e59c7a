//! What a card says, for `smcard_fuzz::spi_driver::spi_driver`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_fuzz::spi_driver::spi_driver(data));
