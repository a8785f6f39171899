//! How long the steps of a forward pass take, for those who ask. Nobody else pays for it: without a stopwatch, the end of a
//! step is one comparison.

use crate::platform::Clock;

/// The steps of a forward pass, over all layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Embed,
    Normalize,
    Project,
    Rotate,
    Attend,
    AttentionOutput,
    FeedForward,
    Logits,
}

/// Their names, in the order of [`Step`].
const NAMES: [&str; 8] =
    ["embed", "norms", "q, k, v", "rotate", "attention", "attention output", "feed-forward", "logits"];

/// How long each step of a forward pass took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    ns: [u64; NAMES.len()],
}

impl Times {
    /// Return each step's name and the nanoseconds that it took.
    pub fn steps(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.ns)
    }
}

/// Takes the times of a forward pass.
pub(crate) struct Stopwatch<'s> {
    clock: &'s dyn Clock,
    times: &'s mut Times,
    last_ns: u64,
}

impl<'s> Stopwatch<'s> {
    /// Return a stopwatch that runs from now on and adds to `times`.
    pub(crate) fn start(clock: &'s dyn Clock, times: &'s mut Times) -> Self {
        Self { last_ns: clock.now_ns(), clock, times }
    }

    /// Note the end of `step`.
    pub(crate) fn lap(&mut self, step: Step) {
        let now_ns = self.clock.now_ns();
        self.times.ns[step as usize] += now_ns - self.last_ns;
        self.last_ns = now_ns;
    }
}
