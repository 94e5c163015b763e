#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sshoal::fuzzing::get(data));
