//! `/set` where it reaches beyond the settings: other contexts.

use alloc::format;
use alloc::string::{String, ToString};

use engine::Error;
use engine::session::{KvType, Session, memory_required};

use super::Chat;
use crate::Machine;
use crate::fit::Room;

impl<'m> Chat<'m> {
    /// Do what `/set arguments` asks for and return the text to show.
    ///
    /// # Errors
    /// A sentence for the person; nothing has changed then.
    pub(crate) fn set(&mut self, arguments: &str) -> Result<String, String> {
        let before = self.settings.clone();
        let shown = self.settings.set(arguments)?;
        let (was, wanted) = (before.context(), self.settings.context());
        if was != wanted
            && let Err(reason) = self.replace_context(was, wanted)
        {
            self.settings = before;
            return Err(reason);
        }
        Ok(shown)
    }

    /// Replace the context of size and type `was` with an empty one as `wanted`: the next turn reads the conversation
    /// again.
    fn replace_context(&mut self, was: (usize, KvType), wanted: (usize, KvType)) -> Result<(), String> {
        let (hparams, machine) = (self.model.hparams(), self.machine);
        let workers = machine.workers;
        let was_bytes = memory_required(hparams, was.0, was.1, workers.count());
        self.refuse_where_memory_is_short(wanted, was_bytes)
            .map_err(|reason| format!("{reason}; it stays at {}, kv {}", was.0, was.1))?;
        let build = |(n_ctx, kv)| -> Result<Session<'m>, String> {
            Session::with_kernels(self.model, workers, n_ctx, kv, machine.kernels)
                .map_err(|error: Error| error.to_string())
        };
        // The old one goes first, since there may not be room for both.
        self.session = build((1, was.1))?;
        let built = build(wanted);
        let failed = built.as_ref().err().cloned();
        self.session = built.or_else(|_| build(was))?;
        failed.map_or(Ok(()), Err)
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
        self.refuse_where_memory_is_short((n_ctx, KvType::default()), 0)?;
        let Machine { workers, kernels, .. } = *self.machine;
        Session::with_kernels(self.model, workers, n_ctx, KvType::default(), kernels)
            .map_err(|error| error.to_string())
    }

    /// Return an error where there is no memory for a context of this size and type, after `freed_bytes` are freed.
    fn refuse_where_memory_is_short(
        &self,
        (n_ctx, kv): (usize, KvType),
        freed_bytes: u64,
    ) -> Result<(), String> {
        let room = Room {
            hparams: self.model.hparams(),
            n_workers: self.machine.workers.count(),
            other_bytes: 0,
            free_bytes: (self.machine.free_memory)().saturating_add(freed_bytes),
        };
        if room.fits(n_ctx, kv) { Ok(()) } else { Err(room.refusal(n_ctx, kv)) }
    }
}
