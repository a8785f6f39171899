//! The conversation with one model: what goes into its context, and what comes out on the terminal.
//!
//! The context holds the conversation so far, so that a turn reads only what is new. What a stopped answer left open is
//! kept in `owed` and read together with the next message.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use engine::Token;
use engine::chat::ChatTemplate;
use engine::generation::{Ending, Generation, Limits};
use engine::sampler::Sampler;
use engine::session::Session;
use engine::tokenizer::Tokenizer;

use crate::Machine;
use crate::console::Console;
use crate::settings::Settings;
use crate::stats::{Phase, Turn};

/// A conversation with a model.
pub(crate) struct Chat<'m> {
    machine: &'m Machine<'m>,
    tokenizer: &'m Tokenizer<'m>,
    template: ChatTemplate,
    session: Session<'m>,
    pub(crate) settings: Settings,
    /// What belongs to the conversation and is not in the context yet: the end of the last answer.
    owed: Vec<Token>,
    last_turn: Option<Turn>,
}

impl<'m> Chat<'m> {
    /// Return a conversation in which nothing was said yet; the context of `session` is empty.
    pub(crate) fn new(
        machine: &'m Machine<'m>,
        tokenizer: &'m Tokenizer<'m>,
        template: ChatTemplate,
        session: Session<'m>,
    ) -> Self {
        Self {
            machine,
            tokenizer,
            template,
            session,
            settings: Settings::default(),
            owed: Vec::new(),
            last_turn: None,
        }
    }

    /// Say `text` to the model and show its answer.
    ///
    /// Whatever goes wrong is shown, and leaves the conversation as it was before or with the answer so far.
    pub(crate) fn say(&mut self, console: &mut Console, text: &str) {
        let mut turn = self.owed.clone();
        turn.extend(match self.session.n_past() {
            // No system message, not even the template's own: it would delay the first answer.
            0 => self.template.first_turn(self.tokenizer, None, text),
            _ => self.template.next_turn(self.tokenizer, text),
        });
        if let Err(refusal) = self.admit(&turn) {
            return writeln!(console, "{refusal}");
        }

        let clock = self.machine.clock;
        let start_ns = clock.now_ns();
        match self.session.eval(&turn, &mut || !console.interrupted()) {
            Ok(Some(_)) => {}
            Ok(None) => return console.print("[stopped before the message was read; it is forgotten]\n"),
            Err(error) => return writeln!(console, "The message cannot be read: {error}"),
        }
        let read_ns = clock.now_ns();
        self.owed.clear();
        let n_before = self.session.n_past();
        let ending = self.answer(console);
        self.owed.extend(self.template.end_of_answer(self.tokenizer));
        self.last_turn = Some(Turn {
            prefill: Phase { n_tokens: turn.len(), ns: read_ns - start_ns },
            decode: Phase { n_tokens: self.session.n_past() - n_before, ns: clock.now_ns() - read_ns },
        });

        let n_ctx = self.session.n_ctx();
        let max_tokens = self.settings.max_tokens();
        match ending {
            Ending::Done | Ending::StopString => {}
            Ending::Stopped => console.print("[stopped]\n"),
            Ending::MaxTokens => {
                writeln!(console, "[stopped after max_tokens = {max_tokens}; /set max_tokens changes it]");
            }
            Ending::ContextFull => {
                writeln!(
                    console,
                    "[stopped: all {n_ctx} tokens of the context are used; /clear starts anew]"
                );
            }
            Ending::Failed(error) => writeln!(console, "[stopped: {error}]"),
        }
    }

    /// Forget the conversation. The settings stay.
    pub(crate) fn clear(&mut self) {
        self.session.clear();
        self.owed.clear();
    }

    /// Return what `/stats` shows of the conversation.
    pub(crate) fn stats(&self) -> String {
        let turn = self.last_turn.map_or_else(|| String::from("no turn yet\n"), |turn| turn.to_string());
        format!("{turn}context: {} of {} tokens\n", self.session.n_past(), self.session.n_ctx(),)
    }

    /// Return whether `turn` can be read and leaves room for an answer.
    ///
    /// # Errors
    /// A sentence for the person, when it cannot.
    fn admit(&self, turn: &[Token]) -> Result<(), String> {
        let n_ctx = self.session.n_ctx();
        let free = n_ctx - self.session.n_past();
        // An answer takes one token at least.
        let needed = turn.len() + 1;
        if turn.is_empty() {
            Err(String::from("The model has no tokens for this message; say it in other characters."))
        } else if needed > n_ctx {
            Err(format!(
                "This message takes {needed} tokens, and the whole context has {n_ctx}. Make it shorter."
            ))
        } else if needed > free {
            Err(format!(
                "This message takes {needed} tokens, and {free} of the context's {n_ctx} are free. \
                 /clear forgets the conversation and makes room."
            ))
        } else {
            Ok(())
        }
    }

    /// Show the answer to what was read last. What is shown is also read back into the context; where that was not
    /// possible any more, the token is owed.
    fn answer(&mut self, console: &mut Console) -> Ending {
        let mut sampler = Sampler::new(self.settings.sampler(self.machine.entropy.seed()));
        let limits = Limits { max_tokens: self.settings.max_tokens(), stop: &[] };
        let mut generation = Generation::new(&mut self.session, &mut sampler, self.tokenizer, limits);
        let mut line_is_open = true;
        let mut show = |console: &mut Console, text: &str| {
            if let Some(last) = text.chars().last() {
                line_is_open = last != '\n';
            }
            console.print(text);
        };
        let ending = loop {
            match generation.next(&mut || !console.interrupted()) {
                Ok(text) => show(console, &text),
                Err(ending) => break ending,
            }
        };
        let leftover = generation.finish();
        show(console, &leftover.text);
        self.owed.extend(leftover.unread);
        if line_is_open {
            console.print("\n");
        }
        ending
    }
}
