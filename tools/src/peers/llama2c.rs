//! A shape as files of llama2.c, which its run.c reads: a model of version 0 (export.py, `legacy_export`), seven numbers and 32-bit
//! floats, and a tokenizer (tokenizer.py). Its weights are those of the GGUF file of this shape.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::quant::TensorType;

use super::shape::{Shape, tokens};

/// The tensors in the order of the file; those of a layer stand there for all layers, one behind the other.
const ORDER: [&str; 11] = [
    "token_embd",
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_down",
    "ffn_up",
    "output_norm",
];

/// Return where the files beside the GGUF file `model` are: the model, and its tokenizer.
pub(super) fn files_of(model: &Path) -> [PathBuf; 2] {
    ["bin", "tokenizer.bin"].map(|extension| model.with_extension(extension))
}

/// Write `shape`, whose output is its embedding, beside its GGUF file `model`.
pub(super) fn write(shape: &Shape, model: &Path) -> Result<()> {
    let [file, tokenizer] = files_of(model);
    let counts = [
        shape.n_embd,
        shape.n_ff,
        shape.n_layer,
        shape.n_head,
        shape.n_head_kv,
        shape.n_vocab,
        shape.n_ctx_train,
    ];
    let mut bytes: Vec<u8> = counts.into_iter().flat_map(|count| (count as i32).to_le_bytes()).collect();
    let tensors = shape.weights();
    for wanted in ORDER {
        for (name, weights) in &tensors {
            if name.split('.').any(|part| part == wanted) {
                bytes.extend(weights.encode(0..weights.n_rows(), TensorType::F32)?);
            }
        }
    }
    // The rotations, which are there and no longer read.
    bytes.resize(bytes.len() + shape.n_ctx_train * shape.n_embd / shape.n_head * size_of::<f32>(), 0);
    fs::write(&file, bytes)?;

    let texts: Vec<_> = tokens(shape.n_vocab).map(|(text, _)| text).collect();
    let longest = texts.iter().map(String::len).max().unwrap_or(0);
    let mut bytes = (longest as i32).to_le_bytes().to_vec();
    for text in texts {
        bytes.extend(0_f32.to_le_bytes());
        bytes.extend((text.len() as i32).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    fs::write(&tokenizer, bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use engine::format::{File, gguf::Gguf, models};
    use engine::model::Model;
    use engine::platform::OneCore;
    use engine::session::Session;

    use super::*;
    use crate::quantize::FileType;

    #[test]
    fn both_files_of_a_shape_have_the_same_logits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.F32.gguf");
        let shape = Shape::named("stories15M");
        shape.write(&path, FileType::F32).unwrap();
        write(shape, &path).unwrap();
        let logits = |gguf: &Gguf<'_>| {
            let model = Model::load(gguf).unwrap();
            let mut session = Session::new(&model, &OneCore, 8).unwrap();
            session.eval(&[1, 300, 31_999], &mut || true).unwrap();
            session.logits().to_vec()
        };
        let bytes = [path.clone()].into_iter().chain(files_of(&path)).map(|path| fs::read(path).unwrap());
        let bytes: Vec<_> = bytes.collect();
        let files = [File { name: "m.bin", bytes: &bytes[1] }, File { name: "t.bin", bytes: &bytes[2] }];
        let found = models(&files).into_iter().find(|found| found.name == "m.bin").unwrap();
        assert_eq!(logits(&found.model.unwrap()), logits(&Gguf::parse(&bytes[0]).unwrap()));
    }
}
