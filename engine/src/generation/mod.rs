//! An answer in the making: a token is drawn, its text shown, and it is read back into the context, until something ends
//! it.

mod stop_strings;

use alloc::string::String;
use alloc::vec::Vec;

use crate::grammar::Constraint;
use crate::sampler::Sampler;
use crate::session::Session;
use crate::speculative::Speculation;
use crate::tokenizer::{Decoder, Tokenizer};
use crate::{Error, Token};
use stop_strings::{Checked, StopStrings};

/// Where an answer ends, unless the model ends it.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// The most tokens it takes.
    pub max_tokens: usize,
    /// Texts that end it; neither they nor what comes behind them is shown.
    pub stop: &'a [&'a str],
}

/// Why there is no more text.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The model ended its answer, or the answer's grammar has nothing that could follow.
    Done,
    /// The answer came to one of [`Limits::stop`].
    StopString,
    /// The answer came to [`Limits::max_tokens`].
    MaxTokens,
    /// The context has no room for the next token; after [`Generation::shift`] the answer can go on.
    ContextFull,
    /// The answer's grammar needs more, but the model has no token for any of it.
    DeadEnd,
    /// `keep_going` said no.
    Stopped,
    /// The next token cannot be evaluated, or its grammar not be followed.
    Failed(Error),
}

/// An answer in the making.
pub struct Generation<'g, 'm> {
    session: &'g mut Session<'m>,
    sampler: &'g mut Sampler,
    tokenizer: &'g Tokenizer<'g>,
    max_tokens: usize,
    decoder: Decoder<'g>,
    stop: StopStrings<'g>,
    constraint: Option<&'g mut Constraint>,
    speculation: Option<&'g mut Speculation<'m>>,
    /// The tokens that make up the answer.
    tokens: Vec<Token>,
    /// Where the text of each of them begins, in bytes of the answer.
    starts: Vec<usize>,
    n_bytes: usize,
    /// What was drawn and found no room in the context.
    waiting: Option<Token>,
    unread: Option<Token>,
}

/// What an answer leaves when it has ended.
#[derive(Debug, PartialEq)]
pub struct Leftover {
    /// The end of its text, which might have become a stop string or a character, and did not.
    pub text: String,
    /// All its tokens. The context lacks those that were shifted out of it, and perhaps the last one, which belongs before
    /// whatever is read next.
    pub tokens: Vec<Token>,
}

impl<'g, 'm> Generation<'g, 'm> {
    /// Return the beginning of the answer to what `session` has just evaluated.
    pub fn new(
        session: &'g mut Session<'m>,
        sampler: &'g mut Sampler,
        tokenizer: &'g Tokenizer<'g>,
        limits: Limits<'g>,
    ) -> Self {
        Self {
            session,
            sampler,
            tokenizer,
            max_tokens: limits.max_tokens,
            decoder: tokenizer.decoder(),
            stop: StopStrings::new(limits.stop),
            constraint: None,
            speculation: None,
            tokens: Vec::new(),
            starts: Vec::new(),
            n_bytes: 0,
            waiting: None,
            unread: None,
        }
    }

    /// Hold the answer to the grammar of `constraint`, from where that has come to.
    pub fn constrained(self, constraint: &'g mut Constraint) -> Self {
        Self { constraint: Some(constraint), ..self }
    }

    /// Read ahead what `speculation` drafts.
    pub fn speculating(self, speculation: &'g mut Speculation<'m>) -> Self {
        Self { speculation: Some(speculation), ..self }
    }

    /// Let the answer go on behind `tokens`, which were shown as its beginning.
    pub fn go_on_behind(&mut self, tokens: &[Token]) {
        for &token in tokens {
            self.decoder.push(token);
        }
    }

    /// Return the text of the next token: whole characters, and perhaps none yet.
    ///
    /// `keep_going` is asked as in [`Session::eval`].
    ///
    /// # Errors
    /// The reason, when the answer has ended; only after [`Ending::ContextFull`] does asking again make sense.
    pub fn next(&mut self, keep_going: &mut dyn FnMut() -> bool) -> Result<String, Ending> {
        if self.constraint.as_ref().is_some_and(|constraint| constraint.is_finished()) {
            return Err(Ending::Done);
        }
        if let Some(token) = self.unread {
            let read = match &mut self.speculation {
                Some(speculation) => speculation.eval(self.session, token, keep_going),
                None => self.session.eval(&[token], keep_going),
            };
            match read {
                Ok(Some(_)) => self.unread = None,
                Ok(None) => return Err(Ending::Stopped),
                Err(error) => return Err(Ending::Failed(error)),
            }
        }
        let token = match self.waiting.take() {
            Some(token) => token,
            None => self.draw()?,
        };
        if self.tokenizer.is_end(token) {
            return Err(Ending::Done);
        }
        if self.tokens.len() == self.max_tokens {
            return Err(Ending::MaxTokens);
        }
        if self.session.n_past() == self.session.n_ctx() {
            self.waiting = Some(token);
            return Err(Ending::ContextFull);
        }
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(self.decoder.text(&self.tokenizer.piece(token))).map_err(Ending::Failed)?;
        }
        self.unread = Some(token);
        self.tokens.push(token);
        self.starts.push(self.n_bytes);
        let text = self.decoder.push(token);
        self.n_bytes += text.len();
        match self.stop.push(&text) {
            Checked::Free(text) => Ok(text),
            Checked::Stop { n_cut_bytes } => {
                self.forget(self.n_bytes - n_cut_bytes);
                Err(Ending::StopString)
            }
        }
    }

    /// Return the next token.
    fn draw(&mut self) -> Result<Token, Ending> {
        let (logits, context) = (self.session.logits(), self.session.tokens());
        let Some(constraint) = &mut self.constraint else {
            return Ok(self.sampler.sample(logits, context));
        };
        let allowed = constraint.allowed(self.decoder.drops_space()).map_err(Ending::Failed)?;
        self.sampler.sample_among(logits, context, allowed).ok_or(Ending::DeadEnd)
    }

    /// Make room in a full context, as [`Session::shift`] does, and return how many tokens were dropped.
    pub fn shift(&mut self, n_keep: usize) -> usize {
        self.session.shift(n_keep)
    }

    /// Return what is left of the answer.
    pub fn finish(mut self) -> Leftover {
        Leftover { text: self.stop.finish() + &self.decoder.finish(), tokens: self.tokens }
    }

    /// Take the tokens whose text begins at byte `end` of the answer or later out of the context: it is not shown.
    fn forget(&mut self, end: usize) {
        let n_cut = self.starts.iter().rev().take_while(|&&start| start >= end).count();
        self.tokens.truncate(self.tokens.len() - n_cut);
        // The last of them has not been read.
        if n_cut > 0 {
            self.unread = None;
            self.session.truncate(self.session.n_past() - (n_cut - 1));
        }
    }
}
