//! How fast a turn went.

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
    /// The writing of the answer, token by token.
    pub(crate) decode: Phase,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A clock that did not advance yields no rate.
        let per_second = if self.ns == 0 { 0.0 } else { self.n_tokens as f64 * 1e9 / self.ns as f64 };
        write!(f, "{} tokens, {} s, {per_second:.1} tokens/s", self.n_tokens, seconds(self.ns))
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "prefill: {}", self.prefill)?;
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
            decode: Phase { n_tokens: 9, ns: 2_100_000_000 },
        };
        assert_eq!(
            turn.to_string(),
            "prefill: 31 tokens, 4.21 s, 7.4 tokens/s\ndecode: 9 tokens, 2.10 s, 4.3 tokens/s\n"
        );
    }

    #[test]
    fn a_turn_without_tokens_has_no_rate() {
        assert_eq!(Phase { n_tokens: 0, ns: 0 }.to_string(), "0 tokens, 0.00 s, 0.0 tokens/s");
    }
}
