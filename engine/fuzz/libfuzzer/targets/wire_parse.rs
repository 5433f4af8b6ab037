#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| synward_fuzz::wire_parse(data));
