//! What the fuzz targets share: running whatever models there are in some files, and small valid files to begin with.

use engine::format::{File, models};
use engine::model::Model;
use engine::platform::OneCore;
use engine::session::{KvType, Session, memory_required};
use engine::testing::{GgufWriter, Llama2cWriter, llama2c_tokenizer};
use engine::tokenizer::{Part, Tokenizer};

/// Names under which a file may also be a part of a split model.
pub const NAMES: [&str; 2] = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];

/// Run what models there are among `files`, each for two tokens, where that takes little memory.
pub fn run(files: &[File<'_>]) {
    for found in models(files) {
        let Ok(gguf) = found.model else { continue };
        let (Ok(model), Ok(tokenizer)) = (Model::load(&gguf), Tokenizer::load(&gguf)) else { continue };
        let mut tokens = tokenizer.encode_parts(&[Part::Written("<s>a\n"), Part::Typed("b<s>")]);
        tokens.truncate(2);
        if tokens.is_empty() || memory_required(model.hparams(), 4, KvType::default(), 1) > 1 << 24 {
            continue;
        }
        let mut decoder = tokenizer.decoder();
        for &token in &tokens {
            decoder.push(token);
        }
        decoder.finish();
        if let Ok(mut session) = Session::new(&model, &OneCore, 4) {
            let _ = session.eval(&tokens, &mut || true);
        }
    }
}

/// Return a model of the llama architecture, with the tokenizer `kind` ("gpt2" or "llama"), or only a part of one.
pub fn gguf(kind: &str, part: Option<u16>) -> Vec<u8> {
    let n_embd = 32;
    let mut gguf = GgufWriter::default();
    if let Some(no) = part {
        gguf.value("split.no", 2, &no.to_le_bytes());
        gguf.value("split.count", 2, &2_u16.to_le_bytes());
        gguf.i32("split.tensors.count", 2);
        gguf.tensor_f32(["a", "b"][usize::from(no)], &[2], [1.0; 2]);
        return gguf.file();
    }
    gguf.string("general.architecture", "llama");
    for (key, value) in [
        ("context_length", 8),
        ("embedding_length", n_embd),
        ("block_count", 1),
        ("feed_forward_length", 32),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
    ] {
        gguf.u32(&format!("llama.{key}"), value);
    }
    gguf.f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
    vocabulary(&mut gguf, kind);
    gguf.tensor("token_embd.weight", &[32, N_VOCAB as u64], 8, &vec![1; 34 * N_VOCAB]);
    for (name, shape) in [
        ("output_norm", vec![32]),
        ("blk.0.attn_norm", vec![32]),
        ("blk.0.ffn_norm", vec![32]),
        ("blk.0.attn_q", vec![32, 32]),
        ("blk.0.attn_k", vec![32, 16]),
        ("blk.0.attn_v", vec![32, 16]),
        ("blk.0.attn_output", vec![32, 32]),
        ("blk.0.ffn_gate", vec![32, 32]),
        ("blk.0.ffn_up", vec![32, 32]),
        ("blk.0.ffn_down", vec![32, 32]),
    ] {
        let n = shape.iter().product::<u64>() as usize;
        if shape.len() == 1 {
            gguf.tensor_f32(&format!("{name}.weight"), &shape, vec![0.5; n]);
        } else {
            gguf.tensor(&format!("{name}.weight"), &shape, 8, &vec![1; n / 32 * 34]);
        }
    }
    gguf.file()
}

const N_VOCAB: usize = 12;

/// Add a vocabulary of some letters to `gguf`.
fn vocabulary(gguf: &mut GgufWriter, kind: &str) {
    let space = if kind == "gpt2" { "Ġ" } else { "\u{2581}" };
    let tokens = ["<unk>", "<s>", "</s>", space, "a", "b", "c", "ab", "abc", "[x]", "<0x0A>", "Ċ"];
    gguf.string("tokenizer.ggml.model", kind);
    gguf.string("tokenizer.ggml.pre", "qwen2");
    gguf.strings("tokenizer.ggml.tokens", &tokens.map(String::from));
    gguf.i32s("tokenizer.ggml.token_type", &[2, 3, 3, 1, 1, 1, 1, 1, 1, 4, 6, 1]);
    gguf.f32s("tokenizer.ggml.scores", &[0.0, 0.0, 0.0, -4.0, -3.0, -3.0, -3.0, -1.0, -2.0, 0.0, 0.0, -1.0]);
    gguf.strings("tokenizer.ggml.merges", &["a b", "ab c"].map(String::from));
    gguf.u32("tokenizer.ggml.bos_token_id", 1);
    gguf.u32("tokenizer.ggml.eos_token_id", 2);
}

/// Return a model of llama2.c and its tokenizer.
pub fn llama2c(version: u32, is_shared: bool) -> (Vec<u8>, Vec<u8>) {
    let pieces = ["<unk>", "\n<s>\n", "\n</s>\n", " ", "a", "b", "ab", " a", "<0x0A>"];
    let tokenizer = llama2c_tokenizer(pieces.map(|piece| (piece.as_bytes(), -(piece.len() as f32))));
    // 8-bit weights come in blocks of 32.
    let (dim, hidden_dim, n_layers) = if version == 2 { (64, 32, 1) } else { (8, 12, 2) };
    let model =
        Llama2cWriter { header: [dim, hidden_dim, n_layers, 4, 2, pieces.len() as i32, 8], is_shared };
    (model.file(version, |_, _, i| (i % 7) as f32 - 3.0), tokenizer)
}

/// Return a file with a vocabulary in which every byte is a token, and some pairs of bytes too; the tokenizer is `kind`.
pub fn every_byte(kind: &str) -> Vec<u8> {
    // GPT-2's way to write bytes: what is printable for itself, the rest from U+0100 on.
    let mut moved = 0x100..;
    let mut written = |byte: u8| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        _ => char::from_u32(moved.next().unwrap_or_default()).unwrap_or_default(),
    };
    let (mut tokens, kinds): (Vec<String>, Vec<i32>) = match kind {
        "gpt2" => (0..=u8::MAX).map(|byte| (written(byte).to_string(), 1)).unzip(),
        _ => (0..=u8::MAX).map(|byte| (format!("<0x{byte:02X}>"), 6)).unzip(),
    };
    let mut kinds = kinds;
    let space = if kind == "gpt2" { "Ġ" } else { "\u{2581}" };
    for (piece, kind) in
        [("th", 1), ("he", 1), ("the", 1), ("é", 1), (space, 1), ("<s>", 3), ("<|im_end|>", 3), ("<b>", 4)]
    {
        tokens.push(piece.into());
        kinds.push(kind);
    }
    let scores: Vec<f32> = (0..tokens.len()).map(|token| -(token as f32)).collect();
    let mut gguf = GgufWriter::default();
    gguf.string("tokenizer.ggml.model", kind);
    gguf.string("tokenizer.ggml.pre", "llama-bpe");
    gguf.strings("tokenizer.ggml.tokens", &tokens);
    gguf.i32s("tokenizer.ggml.token_type", &kinds);
    gguf.f32s("tokenizer.ggml.scores", &scores);
    gguf.strings("tokenizer.ggml.merges", &["t h", "h e", "t he"].map(String::from));
    gguf.file()
}
