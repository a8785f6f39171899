//! A text against a grammar, byte by byte: after each, whether the text can still become one that the grammar matches.
//!
//! The grammar's program runs on all its stacks at once ([`stacks`](super::stacks)). What a byte does to them is computed
//! when it is first asked and then kept, as the lazy automata of regular expressions do: a state that comes back, such as
//! "within a string", costs a look-up per byte.

use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use hashbrown::{HashMap, HashSet};

use super::Grammar;
use super::program::{ACCEPT, Program, Step};
use super::stacks::{Frame, NOWHERE, Set, Stacks};
use crate::Error;

/// The number of a state: the stacks that there are after some text.
pub(super) type State = u32;

/// The state of a text that cannot match any more.
pub(super) const DEAD: State = 0;

/// A transition that was not asked for yet.
const UNKNOWN: State = u32::MAX;

/// After so many steps the states are forgotten, and one token may take as many. A step takes some nanoseconds, and 16
/// bytes at most are kept of it; the first mask of JSON takes some ten thousand.
const MAX_STEPS: usize = 1 << 20;

/// What a new set of stacks counts, for its places in tables.
const STEPS_PER_SET: usize = 8;

/// A text in the making.
#[derive(Clone, Debug)]
pub struct Matcher {
    grammar: Grammar,
    stacks: Stacks,
    /// The set of stacks of each state.
    sets: Vec<Set>,
    states: HashMap<Set, State>,
    /// Where each state goes with each class of bytes.
    transitions: Vec<State>,
    state: State,
    /// What was done since states were last forgotten.
    n_steps: usize,
    /// How often states were forgotten.
    n_forgotten: usize,
    scratch: Scratch,
}

/// What [`Matcher::close`] works on.
#[derive(Clone, Debug)]
struct Scratch {
    /// Where to go on.
    work: Vec<Frame>,
    seen: HashSet<Frame>,
    found: Vec<Frame>,
    /// The rules that were called and not begun.
    called: BinaryHeap<Reverse<u32>>,
    /// What each of them returns to.
    returns: Vec<Vec<Frame>>,
}

impl Scratch {
    fn new(program: &Program) -> Self {
        Self {
            work: Vec::new(),
            seen: HashSet::new(),
            found: Vec::new(),
            called: BinaryHeap::new(),
            returns: vec![Vec::new(); program.entries.len()],
        }
    }
}

impl Matcher {
    /// Return the beginning of a text that `grammar` is to match.
    pub fn new(grammar: Grammar) -> Self {
        let scratch = Scratch::new(&grammar.program);
        let mut matcher = Self {
            grammar,
            stacks: Stacks::new(),
            sets: Vec::new(),
            states: HashMap::new(),
            transitions: Vec::new(),
            state: DEAD,
            n_steps: 0,
            n_forgotten: 0,
            scratch,
        };
        matcher.add_state(NOWHERE);
        matcher.restart();
        matcher
    }

    /// Begin a new text. What was learned about the grammar stays.
    pub fn restart(&mut self) {
        self.state = DEAD;
        self.forget_old_states();
        self.scratch.work.push(Frame { pc: 0, below: NOWHERE });
        // The beginning of a text comes to each step of a program once, and there are fewer than a token may take.
        self.state = self.close().expect("a text can begin");
    }

    /// Add `bytes` to the text, and return whether it can still match.
    ///
    /// # Errors
    /// When the grammar is too ambiguous to be followed; the text is what it was.
    pub fn push(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        self.forget_old_states();
        let mut state = self.state;
        for &byte in bytes {
            state = self.next(state, byte)?;
        }
        self.state = state;
        Ok(state != DEAD)
    }

    /// Return whether the text matches as it is.
    pub fn is_complete(&self) -> bool {
        self.frames(self.state).iter().any(|frame| frame.pc == ACCEPT)
    }

    /// Return whether nothing can be added to the text.
    pub fn is_finished(&self) -> bool {
        self.frames(self.state).iter().all(|frame| frame.pc == ACCEPT)
    }

    /// Return the state after the text, and how often states were forgotten: it is valid until they are again.
    pub(super) fn state(&self) -> (State, usize) {
        (self.state, self.n_forgotten)
    }

    /// Return where `state` goes with `byte`.
    ///
    /// # Errors
    /// When the grammar is too ambiguous to be followed.
    #[inline]
    pub(super) fn next(&mut self, state: State, byte: u8) -> Result<State, Error> {
        let program = &self.grammar.program;
        let class = program.class_of[usize::from(byte)];
        let at = state as usize * program.class_bytes.len() + usize::from(class);
        match self.transitions[at] {
            UNKNOWN => self.find_next(state, class, at),
            next => Ok(next),
        }
    }

    /// Forget all states but that of the text, when there are many.
    pub(super) fn forget_old_states(&mut self) {
        if self.n_steps < MAX_STEPS {
            return;
        }
        self.n_forgotten += 1;
        let set = self.sets[self.state as usize];
        self.sets.clear();
        self.states.clear();
        self.transitions.clear();
        let (set, n_frames) = self.stacks.keep_only(set);
        self.n_steps = n_frames;
        self.add_state(NOWHERE);
        self.state = self.add_state(set);
    }

    fn frames(&self, state: State) -> &[Frame] {
        self.stacks.frames(self.sets[state as usize])
    }

    /// Return the state of `set`.
    fn add_state(&mut self, set: Set) -> State {
        if let Some(&state) = self.states.get(&set) {
            return state;
        }
        let state = self.sets.len() as State;
        self.sets.push(set);
        self.states.insert(set, state);
        let n_classes = self.grammar.program.class_bytes.len();
        self.transitions.resize(self.transitions.len() + n_classes, UNKNOWN);
        self.n_steps += n_classes + STEPS_PER_SET;
        state
    }

    /// Compute the transition `at`: from `state`, with a byte of `class`.
    #[cold]
    fn find_next(&mut self, state: State, class: u8, at: usize) -> Result<State, Error> {
        let program = &self.grammar.program;
        let byte = program.class_bytes[usize::from(class)];
        let frames = self.stacks.frames(self.sets[state as usize]);
        for &Frame { pc, below } in frames.iter() {
            if let Step::Bytes { first, last } = program.steps[pc as usize]
                && (first..=last).contains(&byte)
            {
                self.scratch.work.push(Frame { pc: pc + 1, below });
            }
        }
        self.n_steps += frames.len();
        let next = self.close()?;
        self.transitions[at] = next;
        Ok(next)
    }

    /// Go on from the frames in `work`, which have just read a byte, to all that read one next, and return their state.
    ///
    /// # Errors
    /// When that takes too many steps.
    fn close(&mut self) -> Result<State, Error> {
        let Self { grammar, stacks, n_steps, scratch, .. } = self;
        let program = &grammar.program;
        let Scratch { work, seen, found, called, returns } = scratch;
        let mut has_read = true;
        loop {
            while let Some(frame) = work.pop() {
                let Frame { pc, below } = frame;
                if !program.is_productive[pc as usize] || !seen.insert(frame) {
                    continue;
                }
                *n_steps += 1;
                match program.steps[pc as usize] {
                    Step::Bytes { .. } | Step::Accept => found.push(frame),
                    Step::Split(to) => work.extend([pc + 1, to].map(|pc| Frame { pc, below })),
                    Step::Jump(to) => work.push(Frame { pc: to, below }),
                    Step::Call(rule) => {
                        let returns = &mut returns[rule as usize];
                        if returns.is_empty() {
                            called.push(Reverse(rule));
                        }
                        let next = program.skip_jumps(pc + 1);
                        if program.steps[next as usize] == Step::Return {
                            // Recursion at a rule's end needs no stack.
                            returns.extend_from_slice(stacks.frames(below));
                            *n_steps += stacks.frames(below).len();
                        } else {
                            returns.push(Frame { pc: next, below });
                        }
                        if program.is_nullable[rule as usize] {
                            work.push(Frame { pc: pc + 1, below });
                        }
                    }
                    Step::Return if has_read => {
                        work.extend_from_slice(stacks.frames(below));
                        *n_steps += stacks.frames(below).len();
                    }
                    // Who called a rule that can match nothing has gone on without it.
                    Step::Return => {}
                }
                if *n_steps > 2 * MAX_STEPS {
                    *scratch = Scratch::new(program);
                    return Err(Error::GrammarTooAmbiguous { max_steps: MAX_STEPS });
                }
            }
            // The first of the rules that were called is called by none of the others.
            let Some(Reverse(rule)) = called.pop() else { break };
            let returns = &mut returns[rule as usize];
            returns.sort_unstable();
            returns.dedup();
            let below = stacks.set(returns);
            *n_steps += STEPS_PER_SET;
            returns.clear();
            work.push(Frame { pc: program.entries[rule as usize], below });
            has_read = false;
        }
        found.sort_unstable();
        let set = stacks.set(found);
        found.clear();
        // Clearing takes as long as the table is large.
        if seen.capacity() > 1024 {
            *seen = HashSet::new()
        } else {
            seen.clear()
        }
        Ok(self.add_state(set))
    }
}
