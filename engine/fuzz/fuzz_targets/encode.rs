//! Any text, typed: it comes back from its tokens, and none of them is a control token.

#![no_main]

use std::sync::LazyLock;

use engine::format::gguf::Gguf;
use engine::tokenizer::Tokenizer;
use engine_fuzz::every_byte;
use libfuzzer_sys::fuzz_target;

static FILES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| ["gpt2", "llama"].map(every_byte));
static TOKENIZERS: LazyLock<[Tokenizer<'static>; 2]> =
    LazyLock::new(|| FILES.each_ref().map(|file| Tokenizer::load(&Gguf::parse(file).unwrap()).unwrap()));

fuzz_target!(|text: &str| {
    for tokenizer in &*TOKENIZERS {
        let tokens = tokenizer.encode(text);
        assert!(tokens.iter().all(|&token| !tokenizer.is_control(token)));
        let mut decoder = tokenizer.decoder();
        let back: String = tokens.iter().map(|&token| decoder.push(token)).collect();
        let back = back + &decoder.finish();
        // SentencePiece writes a space as U+2581, which is a space again when it comes back.
        assert!(back == text || back == text.replace('\u{2581}', " "));
    }
});
