//! How fast a turn went.

use alloc::format;
use alloc::string::String;
use core::fmt;

use engine::speculative::Drafts;

use crate::units::seconds;

/// Tokens that went through the model, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Phase {
    pub(crate) n_tokens: usize,
    pub(crate) ns: u64,
}

/// The two phases of a turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Turn {
    /// The reading of what is new in the conversation, up to the first token of the answer.
    pub(crate) prefill: Phase,
    /// How many tokens before these the context still held.
    pub(crate) n_reused: usize,
    /// The writing of the answer, token by token.
    pub(crate) decode: Phase,
    /// What was drafted of it, where that was asked for.
    pub(crate) drafts: Option<Drafts>,
}

impl Phase {
    /// Return the tokens per second; 0 where the clock did not advance.
    pub(crate) fn per_second(&self) -> f64 {
        if self.ns == 0 { 0.0 } else { self.n_tokens as f64 * 1e9 / self.ns as f64 }
    }
}

impl Turn {
    /// Return the turn in a few words.
    pub(crate) fn in_a_line(&self) -> String {
        let Self { prefill, n_reused, decode, drafts } = self;
        let mut line = format!(
            "prefill {} tokens ({n_reused} reused) {:.1}/s, decode {} tokens {:.1}/s",
            prefill.n_tokens,
            prefill.per_second(),
            decode.n_tokens,
            decode.per_second()
        );
        if let Some(Drafts { n_drafted, n_accepted }) = drafts {
            line += &format!(" ({n_accepted} of {n_drafted} drafted)");
        }
        line
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_tokens, ns } = *self;
        write!(f, "{n_tokens} tokens, {} s, {:.1} tokens/s", seconds(ns), self.per_second())
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "prefill: {}; {} reused", self.prefill, self.n_reused)?;
        writeln!(f, "decode: {}", self.decode)?;
        let Some(Drafts { n_drafted, n_accepted }) = self.drafts else { return Ok(()) };
        let percent = 100 * n_accepted / n_drafted.max(1);
        writeln!(f, "drafts: {n_drafted} tokens, {n_accepted} accepted, {percent} %")
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::{Drafts, Phase, Turn};

    #[test]
    fn writes_tokens_time_and_rate() {
        let turn = Turn {
            prefill: Phase { n_tokens: 31, ns: 4_210_000_000 },
            n_reused: 12,
            decode: Phase { n_tokens: 9, ns: 2_100_000_000 },
            drafts: None,
        };
        assert_eq!(
            turn.to_string(),
            "prefill: 31 tokens, 4.21 s, 7.4 tokens/s; 12 reused\ndecode: 9 tokens, 2.10 s, 4.3 tokens/s\n"
        );
        let line = "prefill 31 tokens (12 reused) 7.4/s, decode 9 tokens 4.3/s";
        assert_eq!(turn.in_a_line(), line);
        let turn = Turn { drafts: Some(Drafts { n_drafted: 8, n_accepted: 3 }), ..turn };
        assert!(turn.to_string().ends_with(" s, 4.3 tokens/s\ndrafts: 8 tokens, 3 accepted, 37 %\n"));
        assert_eq!(turn.in_a_line(), format!("{line} (3 of 8 drafted)"));
        let turn = Turn { drafts: Some(Drafts::default()), ..turn };
        assert!(turn.to_string().ends_with("\ndrafts: 0 tokens, 0 accepted, 0 %\n"));
    }

    #[test]
    fn a_turn_without_tokens_has_no_rate() {
        assert_eq!(Phase { n_tokens: 0, ns: 0 }.to_string(), "0 tokens, 0.00 s, 0.0 tokens/s");
    }
}
