//! The conversation with one model: what is said, and what comes out on the terminal.
//!
//! [`conversation`] holds what was said; before every answer, the session's context is brought up to it, of which it reads
//! only what it does not have yet. So nothing that goes wrong in a turn can lose anything.

mod bench;
mod contexts;
pub(crate) mod conversation;
mod drafts;
mod info;
mod likelihood;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use engine::Token;
use engine::chat::ChatTemplate;
use engine::format::gguf::Gguf;
use engine::generation::{Ending, Generation, Leftover, Limits};
use engine::model::Model;
use engine::sampler::Sampler;
use engine::session::{Session, SessionMemory};
use engine::speculative::{Drafts, Speculation};
use engine::tokenizer::Tokenizer;

use crate::Machine;
use crate::answer_grammar::AnswerGrammar;
use crate::console::Console;
use crate::settings::Settings;
use crate::shelf::Shelf;
use crate::start::Candidate;
use crate::stats::{Phase, Turn};
use conversation::{Conversation, Exchange, Written};

/// A conversation with a model.
pub(crate) struct Chat<'m> {
    machine: &'m Machine<'m>,
    /// The models that could draft.
    shelf: &'m Shelf<'m>,
    file_name: &'m str,
    gguf: &'m Gguf<'m>,
    model: &'m Model<'m>,
    tokenizer: &'m Tokenizer<'m>,
    template: ChatTemplate,
    session: Session<'m>,
    settings: Settings,
    /// As the settings ask for it.
    speculation: Option<Speculation<'m>>,
    grammar: Option<AnswerGrammar>,
    conversation: Conversation,
    last_turn: Option<Turn>,
    /// Whether every answer is followed by a line about its speed.
    pub(crate) shows_stats: bool,
    /// What to try first with this model.
    pub(crate) demos: &'static [&'static str],
}

/// What came of an answer.
struct Outcome {
    ending: Ending,
    n_decoded: usize,
    /// How many of the oldest tokens were forgotten to make room for it.
    n_shifted: usize,
}

/// What the model said.
struct Generated {
    ending: Ending,
    leftover: Leftover,
    n_shifted: usize,
    drafts: Option<Drafts>,
}

impl<'m> Chat<'m> {
    /// Return a conversation with `candidate`, one of `shelf`, in which nothing was said yet; the context of `session` is empty.
    ///
    /// There is no system message, not even the template's own: it would delay the first answer.
    pub(crate) fn new(
        machine: &'m Machine<'m>,
        shelf: &'m Shelf<'m>,
        candidate: &'m Candidate<'m>,
        tokenizer: &'m Tokenizer<'m>,
        template: ChatTemplate,
        session: Session<'m>,
    ) -> Self {
        let model = candidate.model();
        let n_ctx_max = model.hparams().n_ctx_train.min(model.n_ctx_max());
        Self {
            machine,
            shelf,
            file_name: candidate.file_name(),
            gguf: candidate.gguf(),
            model,
            tokenizer,
            template,
            settings: Settings::new(session.n_ctx(), session.kv_type(), n_ctx_max),
            speculation: None,
            session,
            grammar: None,
            conversation: Conversation::default(),
            last_turn: None,
            shows_stats: false,
            demos: &[],
        }
    }

    /// Say `text` to the model and show its answer.
    ///
    /// Whatever goes wrong is shown, and leaves the conversation as it was before or with the answer so far.
    pub(crate) fn say(&mut self, console: &mut Console, text: &str) {
        self.conversation.exchanges.push(Exchange { message: text.into(), answer: Vec::new() });
        if let Err(sentence) = self.answer(console) {
            self.conversation.exchanges.pop();
            writeln!(console, "{sentence}");
        }
    }

    /// Say `text` to the model and show its answer, without a word about it.
    ///
    /// # Errors
    /// A sentence, when the message could not be read, or when the answer broke off.
    pub(crate) fn say_once(&mut self, console: &mut Console, text: &str) -> Result<(), String> {
        self.conversation.exchanges.push(Exchange { message: text.into(), answer: Vec::new() });
        match self.respond(console)?.ending {
            Ending::Done | Ending::StopString | Ending::MaxTokens => Ok(()),
            Ending::Stopped => Err("stopped".into()),
            Ending::DeadEnd => Err("no token of the model leads on under the grammar".into()),
            Ending::ContextFull => {
                Err(format!("the {} tokens of the context are full", self.session.n_ctx()))
            }
            Ending::Failed(error) => Err(error.to_string()),
        }
    }

    /// Show another answer to the last message, in place of the one that it has.
    ///
    /// # Errors
    /// A sentence for the person; the conversation is what it was.
    pub(crate) fn regenerate(&mut self, console: &mut Console) -> Result<(), String> {
        let last = self.conversation.exchanges.last_mut().ok_or("Nothing was said yet.")?;
        let before = core::mem::take(&mut last.answer);
        let outcome = self.answer(console);
        if let (Err(_), Some(last)) = (&outcome, self.conversation.exchanges.last_mut()) {
            last.answer = before;
        }
        outcome
    }

    /// Go on with the last answer.
    ///
    /// # Errors
    /// A sentence for the person; the conversation is what it was.
    pub(crate) fn go_on(&mut self, console: &mut Console) -> Result<(), String> {
        match self.conversation.exchanges.is_empty() {
            true => Err("Nothing was said yet.".into()),
            false => self.answer(console),
        }
    }

    /// Take back the last message and its answer, and return the message.
    ///
    /// # Errors
    /// A sentence for the person, when there is none.
    pub(crate) fn undo(&mut self) -> Result<String, String> {
        let last = self.conversation.exchanges.pop().ok_or("Nothing was said yet.")?;
        match self.conversation.exchanges.is_empty() {
            true => self.clear(),
            false => drop(self.session.keep_common(&self.written().tokens)),
        }
        Ok(last.message)
    }

    /// Forget the conversation, of which nothing stays in the context's memory. The settings and the system message stay.
    pub(crate) fn clear(&mut self) {
        self.conversation.exchanges = Vec::new();
        self.conversation.n_forgotten = 0;
        let system = self.conversation.system.as_deref();
        self.session.wipe(self.template.n_before_turns(self.tokenizer, system));
        if let Some(speculation) = &mut self.speculation {
            speculation.wipe();
        }
    }

    /// Return the context that the conversation lives in.
    pub(crate) fn session(&self) -> &Session<'m> {
        &self.session
    }

    /// Return what a draft model takes of the memory, beside its weights.
    pub(crate) fn draft_memory(&self) -> Option<SessionMemory> {
        self.speculation.as_ref().and_then(Speculation::memory)
    }

    /// Return the system message.
    pub(crate) fn system(&self) -> Option<&str> {
        self.conversation.system.as_deref()
    }

    /// Return the system message that the model's template has for conversations without one.
    pub(crate) fn default_system(&self) -> Option<&str> {
        self.template.default_system()
    }

    /// Begin the conversation with `system` from now on.
    pub(crate) fn set_system(&mut self, system: Option<String>) {
        self.conversation.system = system;
    }

    /// Return the grammar that answers are held to.
    pub(crate) fn grammar(&self) -> Option<&str> {
        self.grammar.as_ref().map(AnswerGrammar::text)
    }

    /// Hold answers to the grammar `text` from now on, or to none.
    ///
    /// # Errors
    /// A sentence for the person, when it is no grammar; answers are held to what they were.
    pub(crate) fn set_grammar(&mut self, text: Option<&str>) -> Result<(), String> {
        let grammar = text.map(|text| AnswerGrammar::new(text, self.tokenizer)).transpose();
        self.grammar = grammar.map_err(|error| format!("{error}"))?;
        Ok(())
    }

    /// Return what `/history` shows: everything that was said, with the tokens that it takes.
    pub(crate) fn history(&self) -> String {
        let Self { conversation, template, tokenizer, .. } = self;
        let mut text = String::new();
        if let Some(system) = &conversation.system {
            let n_tokens = template.n_before_turns(tokenizer, Some(system));
            text += &format!("system ({n_tokens} tokens): {system}\n");
        }
        for (index, Exchange { message, answer }) in conversation.exchanges.iter().enumerate() {
            let n_tokens = conversation.message(index, template, tokenizer).len();
            text += &format!("you ({n_tokens} tokens): {message}\n");
            let shown = Conversation::text(answer, tokenizer);
            text += &format!("model ({} tokens): {}\n", answer.len(), shown.trim_end());
        }
        if conversation.n_forgotten > 0 {
            let n_forgotten = conversation.n_forgotten;
            text += &format!("The oldest {n_forgotten} tokens are not in the context any more.\n");
        }
        match text.is_empty() {
            true => String::from("Nothing was said yet.\n"),
            false => text,
        }
    }

    /// Return what `/stats` shows of the conversation.
    pub(crate) fn stats(&self) -> String {
        let turn = self.last_turn.map_or_else(|| String::from("no turn yet\n"), |turn| format!("{turn}"));
        format!("{turn}context: {} of {} tokens\n", self.session.n_past(), self.session.n_ctx())
    }

    fn written(&self) -> Written {
        self.conversation.written(&self.template, self.tokenizer)
    }

    /// Read what is new in the conversation, show the answer, or the rest of the answer, to its last message, and say what there
    /// is to say about it.
    ///
    /// # Errors
    /// A sentence for the person, when the conversation could not be read; nothing was answered then.
    fn answer(&mut self, console: &mut Console) -> Result<(), String> {
        let Outcome { ending, n_decoded, n_shifted } = self.respond(console)?;
        if n_shifted > 0 {
            writeln!(console, "[the context was full: the oldest {n_shifted} tokens are forgotten]");
        }
        let n_ctx = self.session.n_ctx();
        let max_tokens = self.settings.max_tokens();
        match ending {
            Ending::Done if n_decoded == 0 => console.print("[the model has nothing to say]\n"),
            Ending::Done => {}
            Ending::StopString => console.print("[stopped at a stop string; /set stop shows them]\n"),
            Ending::Stopped => console.print("[stopped; /continue goes on]\n"),
            Ending::MaxTokens => {
                writeln!(console, "[stopped after max_tokens = {max_tokens}; /continue goes on]");
            }
            Ending::DeadEnd => {
                console.print(
                    "[stopped: no token of the model leads on under the grammar; /grammar shows it]\n",
                );
            }
            Ending::ContextFull => {
                writeln!(console, "[stopped: the {n_ctx} tokens of the context are full; /continue goes on]");
            }
            Ending::Failed(error) => writeln!(console, "[stopped: {error}]"),
        }
        if let (true, Some(turn)) = (self.shows_stats, self.last_turn) {
            writeln!(console, "[{}, context {}/{n_ctx}]", turn.in_a_line(), self.session.n_past());
        }
        Ok(())
    }

    /// Read what is new in the conversation, and show the answer, or the rest of the answer, to its last message.
    ///
    /// # Errors
    /// A sentence for the person, when the conversation could not be read; nothing was answered then.
    fn respond(&mut self, console: &mut Console) -> Result<Outcome, String> {
        self.conversation.recall_message(&self.template, self.tokenizer);
        let mut written = self.written();
        let n_forgotten = self.make_room(&mut written)?;
        if n_forgotten > 0 {
            writeln!(console, "[the context is full: the oldest {n_forgotten} tokens are forgotten]");
        }
        let clock = self.machine.clock;
        let start_ns = clock.now_ns();
        let n_reused = self.session.keep_common(&written.tokens);
        let new = &written.tokens[n_reused..];
        let (file_name, keeper) = (self.file_name, self.machine.keeper);
        keeper.begin(format_args!("{file_name}: reading {} tokens behind {n_reused}", new.len()));
        match self.session.eval(new, &mut || !console.interrupted()) {
            Ok(Some(_)) => {}
            Ok(None) => return Err("[stopped before all was read; the conversation is as it was]".into()),
            Err(error) => return Err(format!("The message cannot be read: {error}")),
        }
        let read_ns = clock.now_ns();
        keeper.begin(format_args!("{file_name}: answering behind {} tokens", self.session.n_past()));
        let Generated { ending, leftover, n_shifted, drafts } = self.generate(console, &written);
        let n_decoded = leftover.tokens.len();
        if let Some(last) = self.conversation.exchanges.last_mut() {
            last.answer.extend(leftover.tokens);
        }
        keeper.begin(format_args!("{file_name}: waiting for a person"));
        self.conversation.n_forgotten += n_shifted;
        self.last_turn = Some(Turn {
            prefill: Phase { n_tokens: new.len(), ns: read_ns - start_ns },
            n_reused,
            decode: Phase { n_tokens: n_decoded, ns: clock.now_ns() - read_ns },
            drafts,
        });
        Ok(Outcome { ending, n_decoded, n_shifted })
    }

    /// Forget the oldest turns where `written` leaves no room for an answer, and return how many tokens these were.
    ///
    /// # Errors
    /// A sentence for the person, when the last message alone is too long, or is nothing.
    fn make_room(&mut self, written: &mut Written) -> Result<usize, String> {
        let n_ctx = self.session.n_ctx();
        // An answer takes one token at least.
        let n_over = (written.tokens.len() + 1).saturating_sub(n_ctx);
        // Of an answer that goes on, only the last token has to be there.
        let kept_start = match written.tokens.len() > written.answer_start {
            true => written.tokens.len() - 1,
            false => written.message_start,
        };
        if kept_start == written.tokens.len() {
            return Err("The model has no tokens for this message; say it in other characters.".into());
        }
        let most = kept_start - written.turns_start;
        if n_over > most {
            let n_needed = written.tokens.len() + 1 - most;
            return Err(format!(
                "This message takes {n_needed} tokens, and the whole context has {n_ctx}. Make it shorter."
            ));
        }
        if n_over == 0 {
            return Ok(0);
        }
        // Half of the old, so that not every turn has to forget.
        let n_forgotten = n_over.max(most / 2);
        let forgotten = written.turns_start..written.turns_start + n_forgotten;
        if self.session.tokens().get(..forgotten.end) == written.tokens.get(..forgotten.end) {
            // Where nothing can move, what stays is read again.
            self.session.remove(forgotten);
        }
        written.forget(n_forgotten);
        self.conversation.n_forgotten += n_forgotten;
        Ok(n_forgotten)
    }

    /// Show what the model says behind `written`, which was read.
    fn generate(&mut self, console: &mut Console, written: &Written) -> Generated {
        let mut sampler = Sampler::new(self.settings.sampler(self.machine.entropy.seed()));
        let stop: Vec<&str> = self.settings.stop().iter().map(String::as_str).collect();
        let limits = Limits { max_tokens: self.settings.max_tokens(), stop: &stop };
        let mut generation = Generation::new(&mut self.session, &mut sampler, self.tokenizer, limits);
        let before: &[Token] = &written.tokens[written.answer_start..];
        generation.go_on_behind(before);
        if let Some(grammar) = &mut self.grammar {
            // All of the answer, whatever of it the context still holds.
            let begun = self.conversation.exchanges.last().map_or(&[][..], |last| &last.answer);
            match grammar.constraint(begun, self.tokenizer) {
                Ok(constraint) => generation = generation.constrained(constraint),
                Err(error) => {
                    let leftover = generation.finish();
                    return Generated { ending: Ending::Failed(error), leftover, n_shifted: 0, drafts: None };
                }
            }
        }
        if let Some(speculation) = &mut self.speculation {
            speculation.begin();
            generation = generation.speculating(speculation);
        }
        let mut line_is_open = false;
        let mut show = |console: &mut Console, text: &str| {
            if let Some(last) = text.chars().last() {
                line_is_open = last != '\n';
            }
            console.print(text);
        };
        let mut n_shifted = 0;
        let ending = loop {
            match generation.next(&mut || !console.interrupted()) {
                Ok(text) => show(console, &text),
                Err(Ending::ContextFull) => match generation.shift(written.turns_start) {
                    0 => break Ending::ContextFull,
                    n => n_shifted += n,
                },
                Err(ending) => break ending,
            }
        };
        let leftover = generation.finish();
        show(console, &leftover.text);
        if line_is_open {
            console.print("\n");
        }
        let drafts = self.speculation.as_ref().map(Speculation::drafts);
        Generated { ending, leftover, n_shifted, drafts }
    }
}
