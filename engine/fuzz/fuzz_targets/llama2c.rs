//! Any bytes as a llama2.c model and its tokenizer: the first two bytes say how long the tokenizer is, which comes first.

#![no_main]

use engine::format::File;
use engine_fuzz::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (tokenizer, model) = rest.split_at(rest.len().min(u16::from_le_bytes(*len).into()));
    run(&[File { name: "m.bin", bytes: model }, File { name: "tokenizer.bin", bytes: tokenizer }]);
});
