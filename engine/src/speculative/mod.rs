//! Speculative decoding (Leviathan et al., arXiv 2211.17192): what may come next is drafted cheaply and read in one batch
//! with the last token, so that the weights are fetched once for all tokens of the draft that do come.
//!
//! It changes no answer. Every token is drawn from the model's own logits, by the sampler, with the random numbers and under
//! the grammar that it would have anyway; a draft only decides what was computed before. A drafted token `x` is accepted
//! with the probability `p(x)` that the sampler gives it, which is the paper's `min(1, p(x) / q(x))` for a drafter that
//! is sure of what it proposes, and a rejected one is replaced by a draw from the rest. Nor does rounding change it: drafts are
//! so short that the logits have the bits that they would have one by one (`cpu::FEW_TOKENS`).

mod draft_model;
mod lookup;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use crate::session::{MAX_DRAFT, Session, SessionMemory};
use crate::{Error, Token};
use draft_model::DraftModel;

/// A drafter, and how its drafts did.
pub struct Speculation<'m> {
    drafter: Drafter<'m>,
    /// How long the next draft is: two more after one that came as a whole, else one less (as transformers does).
    n_draft: usize,
    drafts: Drafts,
}

/// Where drafts come from.
enum Drafter<'m> {
    /// From the context.
    Lookup,
    /// From another model.
    Model(Box<DraftModel<'m>>),
}

/// Tokens that were drafted, and those of them that came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drafts {
    /// Tokens that were read ahead.
    pub n_drafted: usize,
    /// Tokens that did come.
    pub n_accepted: usize,
}

impl<'m> Speculation<'m> {
    /// Return speculation by prompt lookup.
    pub fn lookup() -> Self {
        Self::new(Drafter::Lookup)
    }

    /// Return speculation by the model of `session`, which has to have the vocabulary of the model that it drafts for. What `session`
    /// has read does not matter.
    pub fn draft_model(session: Session<'m>) -> Self {
        Self::new(Drafter::Model(Box::new(DraftModel::new(session))))
    }

    fn new(drafter: Drafter<'m>) -> Self {
        Self { drafter, n_draft: MAX_DRAFT / 2, drafts: Drafts::default() }
    }

    /// Begin another answer, of which nothing was drafted yet.
    pub fn begin(&mut self) {
        (self.n_draft, self.drafts) = (MAX_DRAFT / 2, Drafts::default());
    }

    /// Return what a draft model takes of the memory, beside its weights.
    pub fn memory(&self) -> Option<SessionMemory> {
        match &self.drafter {
            Drafter::Lookup => None,
            Drafter::Model(model) => Some(model.session.memory()),
        }
    }

    /// Leave nothing in memory of what a draft model has read.
    pub fn wipe(&mut self) {
        if let Drafter::Model(model) = &mut self.drafter {
            model.session.wipe(0);
        }
    }

    /// Return how the drafts did so far.
    pub fn drafts(&self) -> Drafts {
        self.drafts
    }

    /// Read `token` as [`Session::eval`] does, and a draft with it where there was none.
    ///
    /// # Errors
    /// When the context is full.
    ///
    /// # Panics
    /// When a draft model knows more tokens than the session's, and drafts one of them.
    pub(crate) fn eval<'s>(
        &mut self,
        session: &'s mut Session<'_>,
        token: Token,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<&'s [f32]>, Error> {
        if session.draft().first() == Some(&token) {
            self.drafts.n_accepted += 1;
            if session.draft().len() == 1 {
                self.n_draft = (self.n_draft + 2).min(MAX_DRAFT);
            }
            return session.eval(&[token], keep_going);
        }
        if !session.draft().is_empty() {
            self.n_draft = (self.n_draft - 1).max(1);
        }
        let context = session.tokens();
        let draft = match &mut self.drafter {
            Drafter::Lookup => lookup::draft(context, token, self.n_draft).iter().copied().collect(),
            Drafter::Model(model) => match model.draft(context, token, self.n_draft, keep_going)? {
                Some(draft) => draft,
                None => return Ok(None),
            },
        };
        let read = session.eval_with_draft(token, &draft, keep_going)?.is_some();
        self.drafts.n_drafted += session.draft().len();
        Ok(read.then(|| session.logits()))
    }
}
