//! `/set` where it reaches beyond the settings: other contexts, and other drafters.

use alloc::format;
use alloc::string::{String, ToString};

use engine::Error;
use engine::session::{KvType, Session, SessionMemory, memory_required};

use super::Chat;
use crate::Machine;
use crate::fit::Room;
use crate::start::Candidate;

impl<'m> Chat<'m> {
    /// Do what `/set arguments` asks for and return the text to show.
    ///
    /// # Errors
    /// A sentence for the person; nothing has changed then.
    pub(crate) fn set(&mut self, arguments: &str) -> Result<String, String> {
        let before = self.settings.clone();
        let shown = self.settings.set(arguments)?;
        if before.context() == self.settings.context() && before.speculation() == self.settings.speculation()
        {
            return Ok(shown);
        }
        if let Err(reason) = self.refuse_other_contexts(before.context()) {
            self.settings = before;
            return Err(reason);
        }
        if let Err(reason) = self.make_contexts() {
            self.settings = before;
            self.make_contexts()?;
            return Err(reason);
        }
        Ok(shown)
    }

    /// Return an error where the contexts that the settings ask for cannot take the place of those that are there, of which the
    /// conversation's has size and type `was`.
    fn refuse_other_contexts(&self, was: (usize, KvType)) -> Result<(), String> {
        let (draft_model, wanted) = (self.draft_model()?, self.settings.context());
        if draft_model.is_none() && was == wanted {
            return Ok(());
        }
        let was_bytes = memory_required(self.model.hparams(), was.0, was.1, self.machine.workers.count());
        let draft_bytes = self
            .draft_memory()
            .map_or(0, |SessionMemory { kv_cache_bytes, scratch_bytes }| kv_cache_bytes + scratch_bytes);
        self.refuse_where_memory_is_short(wanted, draft_model, was_bytes + draft_bytes)
            .map_err(|reason| format!("{reason}; it stays at {}, kv {}", was.0, was.1))
    }

    /// Make the contexts that the settings ask for, where they are others than before: empty ones, so that the next turn reads the
    /// conversation again.
    fn make_contexts(&mut self) -> Result<(), String> {
        let Machine { workers, kernels, .. } = *self.machine;
        let model = self.model;
        let build = |(n_ctx, kv)| -> Result<Session<'m>, String> {
            Session::with_kernels(model, workers, n_ctx, kv, kernels)
                .map_err(|error: Error| error.to_string())
        };
        // The old ones go first, since there may not be room for both.
        self.speculation = None;
        let wanted = self.settings.context();
        if (self.session.n_ctx(), self.session.kv_type()) != wanted {
            self.session = build((1, self.session.kv_type()))?;
            self.session = build(wanted)?;
        }
        self.speculation = self.drafter()?;
        Ok(())
    }

    /// Return another session with an empty context of `n_ctx` tokens, which leaves the conversation's alone.
    ///
    /// # Errors
    /// A sentence for the person, when the model knows no context of this size, or memory is short.
    pub(super) fn other_session(&self, n_ctx: usize) -> Result<Session<'m>, String> {
        let n_ctx_train = self.model.hparams().n_ctx_train;
        if n_ctx > n_ctx_train {
            return Err(format!("This takes {n_ctx} tokens of context, and the model knows {n_ctx_train}."));
        }
        self.refuse_where_memory_is_short((n_ctx, KvType::default()), None, 0)?;
        let Machine { workers, kernels, .. } = *self.machine;
        Session::with_kernels(self.model, workers, n_ctx, KvType::default(), kernels)
            .map_err(|error| error.to_string())
    }

    /// Return an error where there is no memory for a context of this size and type, and for one of `draft_model`, after
    /// `freed_bytes` are freed.
    fn refuse_where_memory_is_short(
        &self,
        (n_ctx, kv): (usize, KvType),
        draft_model: Option<&Candidate<'_>>,
        freed_bytes: u64,
    ) -> Result<(), String> {
        let room = Room {
            hparams: self.model.hparams(),
            draft_hparams: draft_model.map(|drafting| drafting.model().hparams()),
            n_workers: self.machine.workers.count(),
            other_bytes: 0,
            free_bytes: (self.machine.free_memory)().saturating_add(freed_bytes),
        };
        if room.fits(n_ctx, kv) { Ok(()) } else { Err(room.refusal(n_ctx, kv)) }
    }
}
