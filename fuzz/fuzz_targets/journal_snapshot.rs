#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wakeful::internals::fuzzing::journal_snapshot(data));
