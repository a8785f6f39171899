//! The way in which a text is cut into words, by the name that llama.cpp gave it.
//!
//! llama.cpp knows them by what they make of one long text. Here it is what tokenizer.json says of them: its steps, and the
//! regular expressions in them. The names, and what each of them means, stand in engine/src/tokenizer/pretokenize.rs.

use anyhow::{Context, Result, bail};
use serde_json::Value as Json;

/// Llama 3's expression, and Qwen2's, which differs from it in the digits that stand together.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// GPT-2's expression, which `ByteLevel` has in itself, and which some files write out.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// A step that cuts.
#[derive(Debug, PartialEq, Eq)]
enum Cut<'j> {
    /// Each digit alone.
    Digits,
    /// Where an expression says.
    Regex(&'j str),
}

/// Return the name of the way in which `pre_tokenizer` cuts words.
///
/// # Errors
/// When it is none that the engine has.
pub(super) fn name(pre_tokenizer: Option<&Json>) -> Result<&'static str> {
    let pre_tokenizer = pre_tokenizer.filter(|json| !json.is_null());
    let pre_tokenizer =
        pre_tokenizer.context("tokenizer.json has no pre_tokenizer, which would cut a text into words")?;
    let cuts: Option<Vec<_>> = steps(pre_tokenizer).into_iter().filter_map(cut).collect();
    match cuts.as_deref() {
        Some([Cut::Regex(GPT2)]) => Ok("gpt-2"),
        Some([Cut::Digits, Cut::Regex(GPT2)]) => Ok("smollm"),
        Some([Cut::Regex(LLAMA3)]) => Ok("llama-bpe"),
        Some([Cut::Regex(QWEN2)]) => Ok("qwen2"),
        _ => bail!(
            "the engine does not have this way of cutting a text into words: {pre_tokenizer}; it has those of gpt-2, \
             smollm, llama-bpe (Llama 3) and qwen2"
        ),
    }
}

/// Return the steps that `step` is made of, or itself alone.
pub(super) fn steps(step: &Json) -> Vec<&Json> {
    let parts = ["pretokenizers", "normalizers"].into_iter().find_map(|key| step.get(key)?.as_array());
    parts.map_or_else(|| vec![step], |parts| parts.iter().flat_map(steps).collect())
}

/// Return how `step` cuts, nothing where it does not cut, `Some(None)` where it does in a way that has no name here.
fn cut(step: &Json) -> Option<Option<Cut<'_>>> {
    let is = |key: &str, expected: bool| step.get(key).and_then(Json::as_bool).unwrap_or(true) == expected;
    match step.get("type").and_then(Json::as_str) {
        // A space before the text would be a further token.
        Some("ByteLevel") if step.get("add_prefix_space") == Some(&Json::Bool(true)) => Some(None),
        Some("ByteLevel") => is("use_regex", true).then_some(Some(Cut::Regex(GPT2))),
        Some("Digits") if is("individual_digits", true) => Some(Some(Cut::Digits)),
        Some("Split") => {
            let regex = step.get("pattern").and_then(|pattern| pattern.get("Regex")?.as_str());
            let is_isolated = step.get("behavior").and_then(Json::as_str) == Some("Isolated");
            let is_inverted = step.get("invert") == Some(&Json::Bool(true));
            Some(regex.filter(|_| is_isolated && !is_inverted).map(Cut::Regex))
        }
        _ => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_published_ones_are_recognised() {
        let bytes =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let split = |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
        let sequence = |steps: &[Json]| json!({"type": "Sequence", "pretokenizers": steps});
        let gpt2 = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true});
        let digits = json!({"type": "Digits", "individual_digits": true});
        for (pre_tokenizer, expected) in [
            (gpt2.clone(), "gpt-2"),
            (sequence(&[digits.clone(), gpt2.clone()]), "smollm"),
            (sequence(&[split(LLAMA3), bytes.clone()]), "llama-bpe"),
            (sequence(&[split(QWEN2), bytes.clone()]), "qwen2"),
        ] {
            assert_eq!(name(Some(&pre_tokenizer)).unwrap(), expected);
        }
        // Another expression, the steps in another order, none that cuts, and none at all.
        for other in [sequence(&[split(r"\s+"), bytes.clone()]), sequence(&[gpt2, digits]), bytes, Json::Null]
        {
            assert!(name(Some(&other)).is_err(), "{other}");
        }
    }
}
