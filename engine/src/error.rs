//! One error for the whole engine; every variant carries the facts that a person needs to act.
//!
//! Model files are untrusted input: whatever is wrong with one ends here, never in a panic.

use alloc::string::String;
use core::fmt;

/// What went wrong, where, what was expected, and what was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// The file does not begin with the four bytes of any format that the engine reads.
    UnknownFormat {
        /// The first bytes of the file, at most four.
        found: String,
        /// The file's length in bytes.
        file_bytes: u64,
    },
    /// The file's format is known, its version is not.
    UnsupportedVersion {
        /// The version that the header names.
        found: u32,
    },
    /// The file ends before something that it announces.
    Truncated {
        /// What was being read.
        what: String,
        /// Where it begins, in bytes from the file's start.
        offset: u64,
        /// How many bytes it takes.
        needed_bytes: u64,
        /// The file's length in bytes.
        file_bytes: u64,
    },
    /// A file that belongs to the model is not among those that were brought.
    MissingFile {
        /// Which one.
        what: String,
        /// Why the model needs it.
        why: String,
    },
    /// A metadata key that the model cannot be run without is not there.
    MissingKey {
        /// The key.
        key: String,
    },
    /// A value in the file is outside what it may be.
    BadValue {
        /// The metadata key, or what the value is.
        what: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The file asks for something that the engine does not have.
    Unsupported {
        /// What: the architecture, the tokenizer, ...
        what: &'static str,
        /// Which one the file asks for.
        found: String,
        /// Those that the engine has.
        known: &'static str,
    },
    /// A tensor that the architecture needs is not there.
    MissingTensor {
        /// The tensor's name.
        name: String,
    },
    /// A tensor is there, but not as the hyperparameters demand.
    BadTensor {
        /// The tensor's name.
        name: String,
        /// What the architecture needs: a shape or a type.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The tokens do not fit behind those that the context already holds.
    ContextFull {
        /// Tokens in the context.
        n_past: usize,
        /// Tokens that were to be added.
        n_tokens: usize,
        /// The context's size in tokens.
        n_ctx: usize,
    },
    /// A text that should be a grammar is none, or none that can be followed.
    BadGrammar {
        /// The line where it goes wrong, from 1.
        line: usize,
        /// The character in this line, from 1.
        column: usize,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A text can be read in more ways than can be followed.
    GrammarTooAmbiguous {
        /// How many steps one token may take.
        max_steps: usize,
    },
    /// The host has no memory left for something.
    OutOfMemory {
        /// What it was for.
        what: &'static str,
        /// How much it takes.
        needed_bytes: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat { found, file_bytes } => write!(
                f,
                "not a model file: it begins with \"{found}\" ({file_bytes} bytes in all) where a GGUF file begins with \"GGUF\"; \
                 check that the download is whole and that it is a .gguf file or one of llama2.c"
            ),
            Self::UnsupportedVersion { found } => write!(
                f,
                "GGUF version {found} is not supported (2 and 3 are); convert the model again with a current tool"
            ),
            Self::Truncated { what, offset, needed_bytes, file_bytes } => write!(
                f,
                "the file is cut short: {what} takes {needed_bytes} bytes at offset {offset}, but the file ends at {file_bytes}; \
                 copy or download it again"
            ),
            Self::MissingFile { what, why } => {
                write!(f, "{what} is missing: {why}; put it beside this file")
            }
            Self::MissingKey { key } => {
                write!(
                    f,
                    "the metadata has no {key}, without which the model cannot be run; convert the model again"
                )
            }
            Self::BadValue { what, expected, found } => {
                write!(
                    f,
                    "{what} is {found}, expected {expected}; the file is damaged or was made for another program"
                )
            }
            Self::Unsupported { what, found, known } => {
                write!(f, "the {what} \"{found}\" is not supported; known: {known}")
            }
            Self::MissingTensor { name } => {
                write!(f, "the tensor {name} is missing; the file is damaged or is one part of a split model")
            }
            Self::BadTensor { name, expected, found } => {
                write!(f, "the tensor {name} is {found}, expected {expected}")
            }
            Self::ContextFull { n_past, n_tokens, n_ctx } => write!(
                f,
                "the context is full: it holds {n_past} of {n_ctx} tokens and {n_tokens} more do not fit"
            ),
            Self::BadGrammar { line, column, expected, found } => {
                write!(f, "line {line}, column {column} of the grammar: expected {expected}, got {found}")
            }
            Self::GrammarTooAmbiguous { max_steps } => write!(
                f,
                "the grammar reads this text in too many ways at once (over {max_steps} steps for one token); \
                 write it so that fewer rules match the same"
            ),
            Self::OutOfMemory { what, needed_bytes } => {
                write!(f, "out of memory: {what} needs {needed_bytes} bytes in one piece")
            }
        }
    }
}

impl core::error::Error for Error {}
