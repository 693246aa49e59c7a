//! What a host does, for `smcard_fuzz::spi_card::spi_card`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smcard_fuzz::spi_card::spi_card(data));
