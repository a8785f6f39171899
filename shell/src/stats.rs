//! How fast a turn went.

use alloc::format;
use alloc::string::String;
use core::fmt;

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
        let Self { prefill, n_reused, decode } = self;
        format!(
            "prefill {} tokens ({n_reused} reused) {:.1}/s, decode {} tokens {:.1}/s",
            prefill.n_tokens,
            prefill.per_second(),
            decode.n_tokens,
            decode.per_second()
        )
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
        writeln!(f, "decode: {}", self.decode)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::{Phase, Turn};

    #[test]
    fn writes_tokens_time_and_rate() {
        let turn = Turn {
            prefill: Phase { n_tokens: 31, ns: 4_210_000_000 },
            n_reused: 12,
            decode: Phase { n_tokens: 9, ns: 2_100_000_000 },
        };
        assert_eq!(
            turn.to_string(),
            "prefill: 31 tokens, 4.21 s, 7.4 tokens/s; 12 reused\ndecode: 9 tokens, 2.10 s, 4.3 tokens/s\n"
        );
        assert_eq!(turn.in_a_line(), "prefill 31 tokens (12 reused) 7.4/s, decode 9 tokens 4.3/s");
    }

    #[test]
    fn a_turn_without_tokens_has_no_rate() {
        assert_eq!(Phase { n_tokens: 0, ns: 0 }.to_string(), "0 tokens, 0.00 s, 0.0 tokens/s");
    }
}
