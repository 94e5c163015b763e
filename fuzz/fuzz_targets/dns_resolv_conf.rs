#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sshoal::fuzzing::dns_resolv_conf(data));
