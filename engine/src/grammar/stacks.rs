//! Where a grammar can stand: sets of stacks, each set kept once.
//!
//! All calls of a rule from one place of the text share what they return to, as in a graph-structured stack
//! ("Efficient Parsing for Natural Language", M. Tomita 1985), so that an ambiguous grammar does not multiply them.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::program::Pc;

/// The number of a set of stacks. A set is made of frames below which are earlier sets.
pub(super) type Set = u32;

/// The set with nothing in it.
pub(super) const NOWHERE: Set = 0;

/// The tops of some stacks: a step, and the stacks that the rule of this step returns to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Frame {
    pub(super) pc: Pc,
    pub(super) below: Set,
}

/// All sets that occurred.
#[derive(Clone, Debug)]
pub(super) struct Stacks {
    sets: Vec<Rc<[Frame]>>,
    numbers: HashMap<Rc<[Frame]>, Set>,
}

impl Stacks {
    /// Return the set with nothing in it, alone.
    pub(super) fn new() -> Self {
        let mut stacks = Self { sets: Vec::new(), numbers: HashMap::new() };
        stacks.set(&[]);
        stacks
    }

    /// Return the number of the set of `frames`, which are sorted and all different.
    pub(super) fn set(&mut self, frames: &[Frame]) -> Set {
        if let Some(&set) = self.numbers.get(frames) {
            return set;
        }
        let set = self.sets.len() as Set;
        let frames: Rc<[Frame]> = frames.into();
        self.sets.push(Rc::clone(&frames));
        self.numbers.insert(frames, set);
        set
    }

    /// Return the frames of `set`, sorted.
    pub(super) fn frames(&self, set: Set) -> &Rc<[Frame]> {
        &self.sets[set as usize]
    }

    /// Forget all sets but `set` and those below it, and return its new number and how many frames are left.
    pub(super) fn keep_only(&mut self, set: Set) -> (Set, usize) {
        let mut is_kept = vec![false; self.sets.len()];
        is_kept[set as usize] = true;
        // What is below a set is older than the set.
        for old in (0..=set as usize).rev() {
            if is_kept[old] {
                self.sets[old].iter().for_each(|frame| is_kept[frame.below as usize] = true);
            }
        }
        let mut kept = Self::new();
        let mut n_frames = 0;
        let mut number_of = vec![NOWHERE; self.sets.len()];
        for old in (0..=set as usize).filter(|&old| is_kept[old]) {
            let frames = self.sets[old].iter();
            // Numbers keep their order, and so do the frames.
            let frames: Vec<Frame> =
                frames.map(|frame| Frame { below: number_of[frame.below as usize], ..*frame }).collect();
            n_frames += frames.len();
            number_of[old] = kept.set(&frames);
        }
        *self = kept;
        (number_of[set as usize], n_frames)
    }
}
