//! Chat templates: how a conversation is written for the model that reads it.
//!
//! What a person types is always encoded as text: only the template itself writes control tokens.

use alloc::vec::Vec;

use crate::format::gguf::{Gguf, bad_value, readable};
use crate::tokenizer::Tokenizer;
use crate::{Error, Token};

/// The way a model was taught to read turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatTemplate {
    /// `<|im_start|>user\n...<|im_end|>\n<|im_start|>assistant\n` (ChatML).
    ChatMl {
        /// `<|im_start|>`
        start: Token,
        /// `<|im_end|>`
        end: Token,
    },
    /// No turns: the model continues the text.
    Plain,
}

impl ChatTemplate {
    /// Return the template that `gguf` asks for in `tokenizer.chat_template`; [`Self::Plain`] where it asks for none.
    ///
    /// # Errors
    /// When the template is not one that the engine has, or the vocabulary lacks its control tokens.
    pub fn of(gguf: &Gguf<'_>, tokenizer: &Tokenizer<'_>) -> Result<Self, Error> {
        let key = "tokenizer.chat_template";
        let Some(template) = gguf.str(key)? else { return Ok(Self::Plain) };
        if !template.contains("<|im_start|>") {
            return Err(Error::Unsupported {
                what: "chat template",
                found: readable(template.as_bytes()),
                known: "ChatML, with <|im_start|>",
            });
        }
        let control = |text: &str| {
            tokenizer
                .control_token(text)
                .ok_or_else(|| bad_value(text, "a control token of the vocabulary", "missing"))
        };
        Ok(Self::ChatMl { start: control("<|im_start|>")?, end: control("<|im_end|>")? })
    }

    /// Return what must be read for the person's turn `text`, so that the model's answer comes next.
    ///
    /// `first` tells that nothing was read before.
    pub fn user_turn(&self, tokenizer: &Tokenizer<'_>, first: bool, text: &str) -> Vec<Token> {
        match *self {
            Self::ChatMl { start, end } => {
                let mut tokens = Vec::new();
                if !first {
                    tokens.extend(tokenizer.encode("\n"));
                }
                tokens.push(start);
                tokens.extend(tokenizer.encode(&["user\n", text].concat()));
                tokens.push(end);
                tokens.extend(tokenizer.encode("\n"));
                tokens.push(start);
                tokens.extend(tokenizer.encode("assistant\n"));
                tokens
            }
            Self::Plain => tokenizer.encode(text),
        }
    }

    /// Return what must be read to close an answer, whether the model ended it or not, before the next turn.
    pub fn end_of_answer(&self) -> Vec<Token> {
        match *self {
            Self::ChatMl { end, .. } => alloc::vec![end],
            Self::Plain => Vec::new(),
        }
    }
}
