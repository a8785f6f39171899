//! What was said so far, as data: the context of a session is only its copy, and is brought up to it before every answer.

use alloc::string::String;
use alloc::vec::Vec;

use engine::Token;
use engine::chat::ChatTemplate;
use engine::tokenizer::Tokenizer;

/// A message and what the model answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) message: String,
    /// Tokens, not text: another way from the text to tokens would have to be read anew.
    pub(crate) answer: Vec<Token>,
}

/// A conversation.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    pub(crate) system: Option<String>,
    pub(crate) exchanges: Vec<Exchange>,
    /// How many tokens behind the system message were given up when the context was full. They stay in `exchanges`.
    pub(crate) n_forgotten: usize,
}

/// A conversation as the model reads it.
#[derive(Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) tokens: Vec<Token>,
    /// Where the first turn begins.
    pub(crate) turns_start: usize,
    /// Where the last message begins, with what the template writes before it.
    pub(crate) message_start: usize,
    /// Where the last answer begins.
    pub(crate) answer_start: usize,
}

impl Conversation {
    /// Return the text of `answer` as it was shown.
    pub(crate) fn text(answer: &[Token], tokenizer: &Tokenizer<'_>) -> String {
        let mut decoder = tokenizer.decoder();
        let text: String = answer.iter().map(|&token| decoder.push(token)).collect();
        text + &decoder.finish()
    }

    /// Return the tokens of the message at `index`, with what the template writes around it.
    pub(crate) fn message(
        &self,
        index: usize,
        template: &ChatTemplate,
        tokenizer: &Tokenizer<'_>,
    ) -> Vec<Token> {
        let text = &self.exchanges[index].message;
        if index == 0 {
            return template.first_turn(tokenizer, self.system.as_deref(), text);
        }
        let mut tokens = template.end_of_answer(tokenizer);
        tokens.extend(template.next_turn(tokenizer, text));
        tokens
    }

    /// Return the conversation as the model reads it, without what was forgotten.
    pub(crate) fn written(&self, template: &ChatTemplate, tokenizer: &Tokenizer<'_>) -> Written {
        let mut written = self.whole(template, tokenizer);
        written.forget(self.n_forgotten);
        written
    }

    /// Forget nothing of the last message while it has no answer.
    pub(crate) fn recall_message(&mut self, template: &ChatTemplate, tokenizer: &Tokenizer<'_>) {
        let Written { tokens, turns_start, message_start, answer_start } = self.whole(template, tokenizer);
        if answer_start == tokens.len() {
            self.n_forgotten = self.n_forgotten.min(message_start - turns_start);
        }
    }

    /// Return all of the conversation as the model would read it.
    fn whole(&self, template: &ChatTemplate, tokenizer: &Tokenizer<'_>) -> Written {
        let mut tokens = Vec::new();
        let (mut message_start, mut answer_start) = (0, 0);
        for (index, exchange) in self.exchanges.iter().enumerate() {
            message_start = tokens.len();
            tokens.extend(self.message(index, template, tokenizer));
            answer_start = tokens.len();
            tokens.extend(&exchange.answer);
        }
        let turns_start = template.n_before_turns(tokenizer, self.system.as_deref()).min(tokens.len());
        Written { tokens, turns_start, message_start: message_start.max(turns_start), answer_start }
    }
}

impl Written {
    /// Take up to `n_tokens` out behind the system message.
    pub(crate) fn forget(&mut self, n_tokens: usize) {
        let end = (self.turns_start + n_tokens).min(self.tokens.len());
        self.tokens.drain(self.turns_start..end);
        for start in [&mut self.message_start, &mut self.answer_start] {
            *start = start.saturating_sub(n_tokens).max(self.turns_start);
        }
    }
}
