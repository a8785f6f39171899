//! `/set` where it reaches beyond the settings: another context.

use alloc::format;
use alloc::string::{String, ToString};

use engine::Error;
use engine::cpu::Kernels;
use engine::session::{KvType, Session, memory_required};

use super::Chat;
use crate::start::RESERVE_BYTES;
use crate::units::megabytes;

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
        let (hparams, workers) = (self.model.hparams(), self.machine.workers);
        let bytes = |(n_ctx, kv)| memory_required(hparams, n_ctx, kv, workers.count());
        let needed_bytes = bytes(wanted).saturating_add(RESERVE_BYTES);
        let free_bytes = (self.machine.free_memory)().saturating_add(bytes(was));
        if needed_bytes > free_bytes {
            return Err(format!(
                "a context of {} tokens in {} takes {} of memory and {} are free; it stays at {}",
                wanted.0,
                wanted.1,
                megabytes(needed_bytes),
                megabytes(free_bytes),
                was.0,
            ));
        }
        let build = |(n_ctx, kv)| -> Result<Session<'m>, String> {
            Session::with_kernels(self.model, workers, n_ctx, kv, Kernels::detect())
                .map_err(|error: Error| error.to_string())
        };
        // The old one goes first, since there may not be room for both.
        self.session = build((1, was.1))?;
        let built = build(wanted);
        let failed = built.as_ref().err().cloned();
        self.session = built.or_else(|_| build(was))?;
        failed.map_or(Ok(()), Err)
    }
}
