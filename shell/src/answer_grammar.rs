//! The grammar that answers are held to, as the person wrote it.

use alloc::string::{String, ToString};

use engine::grammar::{Constraint, Grammar};
use engine::tokenizer::Tokenizer;
use engine::{Error, Token};

/// What a model's answers are held to.
pub(crate) struct AnswerGrammar {
    text: String,
    constraint: Constraint,
}

impl AnswerGrammar {
    /// Return the grammar `text`, for answers in tokens of `tokenizer`.
    ///
    /// # Errors
    /// When `text` is no grammar.
    pub(crate) fn new(text: &str, tokenizer: &Tokenizer<'_>) -> Result<Self, Error> {
        let constraint = Constraint::new(Grammar::parse(text)?, tokenizer);
        Ok(Self { text: text.to_string(), constraint })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Return what an answer is held to that goes on behind `begun`, tokens of `tokenizer`.
    ///
    /// # Errors
    /// When the grammar cannot be followed so far.
    pub(crate) fn constraint(
        &mut self,
        begun: &[Token],
        tokenizer: &Tokenizer<'_>,
    ) -> Result<&mut Constraint, Error> {
        self.constraint.restart(begun, tokenizer)?;
        Ok(&mut self.constraint)
    }
}
