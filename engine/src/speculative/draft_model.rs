//! A draft model: a smaller one of the same vocabulary reads along, and drafts what it finds likeliest.

use arrayvec::ArrayVec;

use crate::sampler::{Sampler, SamplerParams};
use crate::session::{MAX_DRAFT, Session};
use crate::{Error, Token};

/// A model at work on the same text.
pub(super) struct DraftModel<'m> {
    pub(super) session: Session<'m>,
    /// One that takes the likeliest token.
    sampler: Sampler,
}

impl<'m> DraftModel<'m> {
    /// Return the model of `session`.
    pub(super) fn new(session: Session<'m>) -> Self {
        Self { session, sampler: Sampler::new(SamplerParams::default()) }
    }

    /// Return up to `n_draft` tokens that may follow `context` with `token` behind it; none where the model's own context is too
    /// short, and nothing when `keep_going` says no.
    ///
    /// Its context is brought up to the other one, of which it reads only what it does not have: what was drafted and came is there, and
    /// after another turn, a shift or a retraction it is what went on differently.
    pub(super) fn draft(
        &mut self,
        context: &[Token],
        token: Token,
        n_draft: usize,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<ArrayVec<Token, MAX_DRAFT>>, Error> {
        let Self { session, sampler } = self;
        let mut draft = ArrayVec::new();
        if context.len() >= session.n_ctx() {
            return Ok(Some(draft));
        }
        let known = session.tokens().iter().zip(context);
        let n_known = known.take_while(|(known, token)| known == token).count();
        session.truncate(n_known);
        // The last of them go together with `token`: one batch fetches the weights once.
        let (earlier, last) =
            context[n_known..].split_at((context.len() - n_known).saturating_sub(MAX_DRAFT));
        if !earlier.is_empty() && session.eval(earlier, keep_going)?.is_none() {
            return Ok(None);
        }
        let mut next: ArrayVec<Token, { MAX_DRAFT + 1 }> = last.iter().copied().collect();
        next.push(token);
        loop {
            let Some(logits) = session.eval(&next, keep_going)? else { return Ok(None) };
            let likeliest = sampler.sample(logits, &[]);
            draft.push(likeliest);
            if draft.len() == n_draft || session.n_past() == session.n_ctx() {
                return Ok(Some(draft));
            }
            next.clear();
            next.push(likeliest);
        }
    }
}
