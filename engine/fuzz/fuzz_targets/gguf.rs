//! Any bytes as a GGUF file: whole, and as a part beside a valid one.

#![no_main]

use std::sync::LazyLock;

use engine::format::File;
use engine_fuzz::{NAMES, gguf, run};
use libfuzzer_sys::fuzz_target;

static SECOND: LazyLock<Vec<u8>> = LazyLock::new(|| gguf("gpt2", Some(1)));

fuzz_target!(|bytes: &[u8]| {
    run(&[File { name: NAMES[0], bytes }, File { name: NAMES[1], bytes: &SECOND }]);
});
