//! SentencePiece's tokenizer.model, a protocol buffer: the fields of `sentencepiece_model.proto` that matter here.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use prost::Message;

use super::special::Special;
use super::{Kind, Model, Piece, Vocabulary};

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<SentencePiece>,
    #[prost(message, optional, tag = "2")]
    trainer_spec: Option<TrainerSpec>,
    #[prost(message, optional, tag = "3")]
    normalizer_spec: Option<NormalizerSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct SentencePiece {
    #[prost(string, optional, tag = "1")]
    piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    /// Numbered as `tokenizer.ggml.token_type` is.
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct TrainerSpec {
    #[prost(int32, optional, tag = "3", default = "1")]
    model_type: Option<i32>,
    #[prost(int32, optional, tag = "41", default = "1")]
    bos_id: Option<i32>,
    #[prost(int32, optional, tag = "42", default = "2")]
    eos_id: Option<i32>,
    #[prost(int32, optional, tag = "43", default = "-1")]
    pad_id: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct NormalizerSpec {
    #[prost(bool, optional, tag = "3", default = "true")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4", default = "true")]
    remove_extra_whitespaces: Option<bool>,
}

/// `TrainerSpec.ModelType` of a tokenizer that merges; 1 is one that weighs pieces by their probability.
const BPE: i32 = 2;

/// Return the tokenizer in the file `path`, for an embedding of `n_vocab` rows.
pub(super) fn read(path: &Path, n_vocab: usize) -> Result<Vocabulary> {
    let bytes = fs::read(path)?;
    let model =
        ModelProto::decode(bytes.as_slice()).context("this is no SentencePiece model; fetch it again")?;
    let trainer = model.trainer_spec.unwrap_or_default();
    ensure!(
        trainer.model_type() == BPE,
        "this SentencePiece model is of type {} (1 is unigram), and the engine has {BPE}, BPE",
        trainer.model_type()
    );
    ensure!(
        model.pieces.len() <= n_vocab,
        "the tokenizer has {} tokens, and the embedding {n_vocab} rows",
        model.pieces.len()
    );
    let normalizer = model.normalizer_spec.unwrap_or_default();
    ensure!(
        !normalizer.remove_extra_whitespaces(),
        "this SentencePiece model takes out spaces that follow others, which the engine does not do"
    );
    let piece = |piece: &SentencePiece| Piece {
        text: piece.piece().to_string(),
        kind: match piece.kind {
            Some(2) => Kind::Unknown,
            Some(3) => Kind::Control,
            Some(4) => Kind::UserDefined,
            Some(5) => Kind::Unused,
            Some(6) => Kind::Byte,
            _ => Kind::Normal,
        },
        score: piece.score(),
    };
    // Negative where there is none.
    let id = |id: i32| u32::try_from(id).ok();
    let special = Special::of_spm(id(trainer.bos_id()), id(trainer.eos_id()), id(trainer.pad_id()));
    let adds_space_prefix = normalizer.add_dummy_prefix();
    Ok(Vocabulary {
        pieces: model.pieces.iter().map(piece).collect(),
        model: Model::Spm { adds_space_prefix },
        special,
    })
}
