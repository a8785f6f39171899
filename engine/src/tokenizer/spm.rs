//! SentencePiece's byte-pair encoding (Kudo and Richardson, arXiv 1808.06226), as in Llama and Llama-2.
//!
//! Spaces are written as U+2581 (llama2.c writes them as they are). A text begins as its characters; of all neighbours whose joined text is a token, those of
//! the highest score (the leftmost of several) are merged first, until none is left. A character that is no token becomes
//! the tokens of its UTF-8 bytes, `<0x0A>` and so on.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::merge::{Merge, merge, symbols};
use super::vocabulary::{Kind, Vocabulary};
use crate::format::gguf::{Gguf, Value, bad_value};
use crate::{Error, Token};

/// What a space is written as: U+2581, LOWER ONE EIGHTH BLOCK.
pub(super) const SPACE: char = '\u{2581}';

/// The scored pieces that text is made of.
#[derive(Debug)]
pub(super) struct Spm {
    /// The rank of each token: the higher its score, the lower the rank.
    ranks: Vec<u32>,
    /// The length of the longest piece in bytes.
    longest: usize,
    /// The token of each byte; a vocabulary need not have them.
    bytes: [Option<Token>; 256],
    /// What stands for a character where the vocabulary has neither it nor its bytes.
    unknown: Option<Token>,
    /// What the pieces write a space as: [`SPACE`], or a space.
    space: char,
    /// Whether a text begins with a space that it does not have.
    pub(super) adds_space_prefix: bool,
}

impl Spm {
    /// Return the scored pieces of `gguf` for `vocabulary`, which writes a space as `space`.
    ///
    /// # Errors
    /// When scores are missing, or are not numbers.
    pub(super) fn load(gguf: &Gguf<'_>, vocabulary: &Vocabulary<'_>, space: char) -> Result<Self, Error> {
        let ranks = ranks(gguf, vocabulary.len())?;
        let mut bytes = [None; 256];
        for token in 0..vocabulary.len() as Token {
            if let Some(Kind::Byte(byte)) = vocabulary.kind(token) {
                bytes[usize::from(byte)].get_or_insert(token);
            }
        }
        let texts = vocabulary.iter().filter(|&(token, ..)| vocabulary.is_text(token));
        Ok(Self {
            longest: texts.map(|(_, text, _)| text.len()).max().unwrap_or(0),
            ranks,
            bytes,
            unknown: vocabulary.unknown(),
            space,
            adds_space_prefix: gguf.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true),
        })
    }

    /// Add the tokens of `text` to `tokens`, behind a space where `at_start` and the vocabulary ask for it.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary<'_>,
        text: &str,
        at_start: bool,
        tokens: &mut Vec<Token>,
    ) {
        let prefix = if at_start && self.adds_space_prefix { " " } else { "" };
        let as_spaces = |c: char| if matches!(c, ' ' | SPACE) { self.space } else { c };
        let text: String = prefix.chars().chain(text.chars()).map(as_spaces).collect();
        let piece = |start: usize, len: usize| {
            if len > self.longest {
                return None;
            }
            let token = vocabulary.token(text.as_bytes().get(start..start + len)?)?;
            vocabulary.is_text(token).then(|| Merge { rank: self.ranks[token as usize], token })
        };
        let mut symbols = symbols(
            text.char_indices()
                .map(|(at, c)| (piece(at, c.len_utf8()).map(|piece| piece.token), c.len_utf8())),
        );
        merge(&mut symbols, |left, right| piece(left.start(), left.len() + right.len()));
        for symbol in symbols {
            match symbol.token {
                Some(token) => tokens.push(token),
                // Only single characters are no tokens.
                None => self.encode_bytes(&text.as_bytes()[symbol.start()..][..symbol.len()], tokens),
            }
        }
    }

    /// Add the tokens of a character's bytes; the unknown token where one of them has none, and nothing without that.
    fn encode_bytes(&self, character: &[u8], tokens: &mut Vec<Token>) {
        let n_before = tokens.len();
        tokens.extend(character.iter().map_while(|&byte| self.bytes[usize::from(byte)]));
        if tokens.len() < n_before + character.len() {
            tokens.truncate(n_before);
            tokens.extend(self.unknown);
        }
    }
}

/// Return the rank of each token's score: integers that order as the scores do, the highest first.
fn ranks(gguf: &Gguf<'_>, n_vocab: usize) -> Result<Vec<u32>, Error> {
    let key = "tokenizer.ggml.scores";
    let scores = match gguf.value(key) {
        None => return Err(Error::MissingKey { key: key.to_string() }),
        Some(Value::Array(scores)) if scores.iter().len() == n_vocab => scores,
        Some(other) => {
            return Err(bad_value(
                key,
                &format!("one number for each of the {n_vocab} tokens"),
                other.to_string(),
            ));
        }
    };
    let mut ranks = Vec::with_capacity(n_vocab);
    for (token, score) in scores.iter().enumerate() {
        match score {
            Value::Float(score) if !score.is_nan() => ranks.push(rank(score as f32)),
            other => {
                let what = format!("the score of token {token} in {key}");
                return Err(bad_value(&what, "a number", other.to_string()));
            }
        }
    }
    Ok(ranks)
}

/// Return an integer that is the lower the higher `score` is, and the same for equal scores.
fn rank(score: f32) -> u32 {
    // The bits of positive floats order as the floats do, those of negative ones the other way round; -0.0 + 0.0 is 0.0.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { bits } else { !(bits | 1 << 31) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_the_score_the_lower_the_rank() {
        let scores = [f32::INFINITY, 1e9, 1.0, 1e-40, 0.0, -1e-40, -1.0, -2.5, -1e9, f32::NEG_INFINITY];
        assert!(scores.is_sorted_by_key(|&score| rank(score)));
        assert!(scores.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])));
        assert_eq!(rank(0.0), rank(-0.0));
    }
}
