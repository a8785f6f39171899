//! Rules, compiled to steps over bytes: the program that [`matcher`](super::matcher) runs.
//!
//! A class of characters becomes the sequences of bytes that write them in UTF-8, so that nothing behind this file knows
//! characters, and a token may end within one. It is the program of a Pike VM ("Regular Expression Matching: the
//! Virtual Machine Approach", R. Cox 2009) with calls.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use regex_syntax::hir::ClassUnicode;
use regex_syntax::utf8::{Utf8Sequence, Utf8Sequences};

use super::analysis;
use super::parser::{Expr, Rules, error_at, parse};
use crate::Error;

/// The place of a step.
pub(super) type Pc = u32;

/// What repetitions may make of a grammar.
const MAX_STEPS: usize = 1 << 16;

/// A step; unless it says otherwise, the next one follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Read a byte, of these.
    Bytes { first: u8, last: u8 },
    /// Go on behind this step, and also there.
    Split(Pc),
    /// Go on there.
    Jump(Pc),
    /// Read what the rule of this number matches.
    Call(u32),
    /// The rule ends.
    Return,
    /// The text ends.
    Accept,
}

/// A grammar as steps. The first two are a call of the root and [`Step::Accept`].
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    /// Where each rule begins. A rule calls only later ones before it has read a byte.
    pub(super) entries: Vec<Pc>,
    /// Which rules can match nothing.
    pub(super) is_nullable: Vec<bool>,
    /// From which steps the rule can come to its end: the others lead nowhere.
    pub(super) is_productive: Vec<bool>,
    /// The class of each byte: all bytes of a class lead to the same.
    pub(super) class_of: Box<[u8; 256]>,
    /// A byte of each class.
    pub(super) class_bytes: Vec<u8>,
}

/// The step that ends the text.
pub(super) const ACCEPT: Pc = 1;

/// A program in the making.
struct Compiler<'r> {
    steps: Vec<Step>,
    entries: Vec<Pc>,
    /// What each rule matches, and which rule of the text that is, or is a part of: repetitions make rules as well.
    bodies: Vec<(&'r Expr, usize)>,
}

/// The program has too many steps.
struct TooLarge;

impl Program {
    /// Return the program of the grammar `text`.
    ///
    /// # Errors
    /// When it is no grammar, too large, or recursive before it has read anything, or when no text matches it.
    pub(super) fn compile(text: &str) -> Result<Self, Error> {
        let Rules { rules, root } = parse(text)?;
        let bodies = rules.iter().enumerate().map(|(number, rule)| (&rule.body, number)).collect();
        let steps = vec![Step::Call(root as u32), Step::Accept];
        let mut compiler = Compiler { steps, entries: Vec::new(), bodies };
        while let Some(&(body, owner)) = compiler.bodies.get(compiler.entries.len()) {
            compiler.rule(body, owner).map_err(|TooLarge| {
                let expected = format!("at most {MAX_STEPS} steps when repetitions are written out");
                error_at(text, rules[owner].at, expected, format!("more, in {}", rules[owner].name))
            })?;
        }
        let Compiler { mut steps, mut entries, bodies } = compiler;

        let may_be_empty = analysis::reaches_end(&steps, &entries, false);
        let order = analysis::calling_order(&steps, &entries, &may_be_empty).map_err(|cycle| {
            let mut owners: Vec<usize> = cycle.iter().map(|&rule| bodies[rule as usize].1).collect();
            owners.dedup();
            if owners.len() == 1 {
                owners.push(owners[0]);
            }
            let first = &rules[owners[0]];
            let mut names: Vec<&str> = owners.iter().take(8).map(|&owner| rules[owner].name).collect();
            if owners.len() > names.len() {
                names.push("...");
            }
            let found = format!("left recursion: {}", names.join(" begins with "));
            error_at(text, first.at, "a rule that reads something before it comes back to itself", found)
        })?;

        let is_productive = analysis::reaches_end(&steps, &entries, true);
        if !is_productive[entries[root] as usize] {
            let found = "one that never comes to an end";
            return Err(error_at(text, rules[root].at, "a root that some text matches", found));
        }

        let mut place_of = vec![0; entries.len()];
        for (place, &rule) in order.iter().enumerate() {
            place_of[rule as usize] = place as u32;
        }
        for step in &mut steps {
            if let Step::Call(rule) = step {
                *rule = place_of[*rule as usize];
            }
        }
        entries = order.iter().map(|&rule| entries[rule as usize]).collect();
        let is_nullable = entries.iter().map(|&entry| may_be_empty[entry as usize]).collect();
        let (class_of, class_bytes) = classes(&steps);
        Ok(Self { steps, entries, is_nullable, is_productive, class_of, class_bytes })
    }

    /// Return where `pc` leads without doing anything.
    pub(super) fn skip_jumps(&self, mut pc: Pc) -> Pc {
        while let Step::Jump(to) = self.steps[pc as usize] {
            pc = to;
        }
        pc
    }
}

impl<'r> Compiler<'r> {
    fn here(&self) -> Pc {
        self.steps.len() as Pc
    }

    fn push(&mut self, step: Step) -> Result<Pc, TooLarge> {
        if self.steps.len() == MAX_STEPS {
            return Err(TooLarge);
        }
        self.steps.push(step);
        Ok(self.here() - 1)
    }

    /// Let the split or jump at `pc` lead behind what there is.
    fn land(&mut self, pc: Pc) {
        let here = self.here();
        match &mut self.steps[pc as usize] {
            Step::Split(to) | Step::Jump(to) => *to = here,
            step => unreachable!("{step:?} leads nowhere else"),
        }
    }

    fn rule(&mut self, body: &'r Expr, owner: usize) -> Result<(), TooLarge> {
        self.entries.push(self.here());
        self.expr(body, owner)?;
        self.push(Step::Return)?;
        Ok(())
    }

    fn expr(&mut self, expr: &'r Expr, owner: usize) -> Result<(), TooLarge> {
        match expr {
            Expr::Literal(text) => text.bytes().try_for_each(|byte| self.bytes(byte, byte)),
            Expr::Class(class) => self.class(class),
            Expr::Rule(number) => self.push(Step::Call(*number as u32)).map(drop),
            Expr::Sequence(items) => items.iter().try_for_each(|item| self.expr(item, owner)),
            Expr::Choice(alternatives) => {
                self.choice(alternatives, |compiler, alternative| compiler.expr(alternative, owner))
            }
            Expr::Repeat { what, min: 0, max: None } => self.repeat(|compiler| compiler.expr(what, owner)),
            Expr::Repeat { what, min: 0, max: Some(1) } => {
                let split = self.push(Step::Split(0))?;
                self.expr(what, owner)?;
                self.land(split);
                Ok(())
            }
            Expr::Repeat { what, min, max } => self.times(what, *min, *max, owner),
        }
    }

    /// Add `expr`, which is needed more than once, as a rule: `min` calls of it, and up to `max` or any number of them.
    fn times(&mut self, expr: &'r Expr, min: u32, max: Option<u32>, owner: usize) -> Result<(), TooLarge> {
        let number = match expr {
            Expr::Rule(number) => *number,
            _ => {
                self.bodies.push((expr, owner));
                self.bodies.len() - 1
            }
        };
        let call = Step::Call(number as u32);
        for _ in 0..min {
            self.push(call)?;
        }
        let Some(max) = max else { return self.repeat(|compiler| compiler.push(call).map(drop)) };
        // All of them lead behind the last one: those that are left out are not counted one by one.
        let mut splits = Vec::new();
        for _ in min..max {
            splits.push(self.push(Step::Split(0))?);
            self.push(call)?;
        }
        splits.into_iter().for_each(|split| self.land(split));
        Ok(())
    }

    fn repeat(&mut self, body: impl FnOnce(&mut Self) -> Result<(), TooLarge>) -> Result<(), TooLarge> {
        let split = self.push(Step::Split(0))?;
        body(self)?;
        self.push(Step::Jump(split))?;
        self.land(split);
        Ok(())
    }

    /// Add each of `alternatives`, of which there is one at least, by `add`.
    fn choice<'c, T>(
        &mut self,
        alternatives: &'c [T],
        add: impl Fn(&mut Self, &'c T) -> Result<(), TooLarge>,
    ) -> Result<(), TooLarge> {
        let Some((last, others)) = alternatives.split_last() else { return Ok(()) };
        let mut jumps = Vec::new();
        for alternative in others {
            let split = self.push(Step::Split(0))?;
            add(self, alternative)?;
            jumps.push(self.push(Step::Jump(0))?);
            self.land(split);
        }
        add(self, last)?;
        jumps.into_iter().for_each(|jump| self.land(jump));
        Ok(())
    }

    fn bytes(&mut self, first: u8, last: u8) -> Result<(), TooLarge> {
        self.push(Step::Bytes { first, last }).map(drop)
    }

    /// Add the sequences of bytes that write the characters of `class`.
    fn class(&mut self, class: &ClassUnicode) -> Result<(), TooLarge> {
        let characters = class.iter();
        let sequences: Vec<Utf8Sequence> =
            characters.flat_map(|range| Utf8Sequences::new(range.start(), range.end())).collect();
        self.choice(&sequences, |compiler, sequence| {
            sequence.into_iter().try_for_each(|range| compiler.bytes(range.start, range.end))
        })
    }
}

/// Return the class of each byte, and a byte of each class: bytes that no step tells apart are one.
fn classes(steps: &[Step]) -> (Box<[u8; 256]>, Vec<u8>) {
    let mut begins = [false; 257];
    for step in steps {
        if let Step::Bytes { first, last } = *step {
            begins[usize::from(first)] = true;
            begins[usize::from(last) + 1] = true;
        }
    }
    let mut class_of = Box::new([0; 256]);
    let mut class_bytes = vec![0];
    for byte in 1..=u8::MAX {
        if begins[usize::from(byte)] {
            class_bytes.push(byte);
        }
        class_of[usize::from(byte)] = (class_bytes.len() - 1) as u8;
    }
    (class_of, class_bytes)
}
