//! Recorder logs of any bytes.
#![no_main]
#![allow(dead_code, reason = "each target uses a part of the module")]

#[path = "../../crates/heap/tests/hostile/mod.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::logs(bytes));
