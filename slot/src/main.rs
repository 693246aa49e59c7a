//! `smcard-slot`
#![forbid(unsafe_code)]
fn main() {}
