//! What the model thinks of texts: `/tokens`, `/logprobs`, `/perplexity`, and `/trace`, which says how long it thinks.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use engine::Token;
use engine::sampler::{Probabilities, perplexity};
use engine::session::Session;

use super::Chat;
use crate::console::Console;
use crate::paragraph::paragraph;
use crate::settings::quote;

/// How many of the last tokens `/logprobs` looks at.
const N_LAST: usize = 8;

impl Chat<'_> {
    /// Return the tokens of `text`, each with its number.
    pub(crate) fn show_tokens(&self, text: &str) -> String {
        let tokens = self.tokenizer.encode(text);
        let items: Vec<String> =
            tokens.iter().map(|&token| format!("{token} {}", self.show_token(token))).collect();
        let shown = paragraph("", &items, "  ");
        format!("{shown}{} tokens, {} characters\n", tokens.len(), text.chars().count())
    }

    /// Show the last tokens of the conversation, each with its probability and with the `n` likeliest in its place, and
    /// the likeliest to come next.
    ///
    /// # Errors
    /// A sentence for the person, when nothing was said or Ctrl-C was pressed. The conversation is untouched either way.
    pub(crate) fn show_log_probabilities(&mut self, console: &mut Console, n: usize) -> Result<(), String> {
        let tokens = self.written().tokens;
        if tokens.len() < 2 {
            return Err("Nothing was said yet.".into());
        }
        let start = tokens.len().saturating_sub(N_LAST).max(1);
        let n_read = self.session.keep_common(&tokens[..start]);
        read(&mut self.session, console, &tokens[n_read..start])?;
        for i in start..=tokens.len() {
            let probabilities = Probabilities::new(self.session.logits());
            let likeliest = probabilities.likeliest(n).into_iter();
            let likeliest: Vec<String> = likeliest
                .map(|token| format!("{} {:.1}%", self.show_token(token), 100.0 * probabilities.of(token)))
                .collect();
            let Some(&token) = tokens.get(i) else {
                console.print(&paragraph(&format!("{:<16} {:>7}  ", "next", ""), &likeliest, "  "));
                break;
            };
            let (shown, log) = (self.show_token(token), probabilities.log_of(token));
            console.print(&paragraph(&format!("{shown:<16} {log:>7.3}  "), &likeliest, "  "));
            read(&mut self.session, console, &[token])?;
        }
        Ok(())
    }

    /// Return the perplexity of `text`: how well the model foresees it.
    ///
    /// # Errors
    /// A sentence for the person, when the text is too short or too long, when memory is short, or when Ctrl-C was pressed.
    pub(crate) fn perplexity(&self, console: &mut Console, text: &str) -> Result<String, String> {
        let bos = self.tokenizer.bos().filter(|_| self.tokenizer.adds_bos());
        let tokens: Vec<Token> = bos.into_iter().chain(self.tokenizer.encode(text)).collect();
        let n_foreseen = tokens.len().saturating_sub(1);
        if n_foreseen == 0 {
            return Err("The first token is foreseen by nothing: the text takes two at least.".into());
        }
        let mut session = self.other_session(tokens.len())?;
        let mut logs = Vec::new();
        for pair in tokens.windows(2) {
            read(&mut session, console, &pair[..1])?;
            logs.push(Probabilities::new(session.logits()).log_of(pair[1]));
        }
        let nats = -logs.iter().sum::<f64>() / n_foreseen as f64;
        Ok(format!(
            "perplexity {:.2}: {n_foreseen} tokens foreseen with {nats:.3} nats each\n",
            perplexity(&logs)
        ))
    }

    /// Read the last token again, and return how long each step took.
    ///
    /// # Errors
    /// A sentence for the person, when nothing was said.
    pub(crate) fn trace(&mut self, console: &mut Console) -> Result<String, String> {
        let tokens = self.written().tokens;
        let Some((&last, before)) = tokens.split_last() else { return Err("Nothing was said yet.".into()) };
        let n_read = self.session.keep_common(&tokens);
        if n_read < before.len() {
            read(&mut self.session, console, &before[n_read..])?;
        }
        let times = self.session.eval_timed(last, self.machine.clock).map_err(|error| error.to_string())?;
        let total_ns: u64 = times.steps().map(|(_, ns)| ns).sum();
        let row = |name: &str, ns: u64| {
            let share = 100.0 * ns as f64 / total_ns.max(1) as f64;
            format!("{name:<16} {:>9.3} ms {share:>5.1}%\n", ns as f64 / 1e6)
        };
        let rows: String = times.steps().map(|(name, ns)| row(name, ns)).collect();
        Ok(rows + &row("a token", total_ns))
    }

    /// Return `token` for a person: its text in quotes, or the mark that stands for none.
    fn show_token(&self, token: Token) -> String {
        match self.tokenizer.is_control(token) {
            true => self.tokenizer.spelling(token).into(),
            false => quote(&String::from_utf8_lossy(&self.tokenizer.piece(token))),
        }
    }
}

/// Let `session` read `tokens`.
fn read(session: &mut Session<'_>, console: &mut Console, tokens: &[Token]) -> Result<(), String> {
    match session.eval(tokens, &mut || !console.interrupted()) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("[stopped]".into()),
        Err(error) => Err(error.to_string()),
    }
}
