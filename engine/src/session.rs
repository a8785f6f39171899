//! A session: a model, and the context that it has read so far.

use crate::cpu::Kernels;
use crate::kv_cache::KvCache;
pub use crate::kv_cache::KvType;
use crate::model::{Batch, HParams, Model, N_BATCH, Pass, Scratch};
use crate::parallel::{Cores, MAX_CORES};
use crate::platform::Workers;
use crate::{Error, Token};

/// A model at work. All that it needs was allocated when it began.
pub struct Session<'m> {
    model: &'m Model<'m>,
    cores: Cores<'m>,
    kv: KvCache,
    scratch: Scratch,
    n_ctx: usize,
    n_past: usize,
}

/// Return how many bytes [`Session::new`] allocates.
pub fn memory_required(hparams: &HParams, n_ctx: usize, kv_type: KvType, n_workers: usize) -> u64 {
    let n_cores = n_workers.clamp(1, MAX_CORES);
    KvCache::bytes(hparams, n_ctx, kv_type).saturating_add(Scratch::bytes(hparams, n_ctx, n_cores))
}

impl<'m> Session<'m> {
    /// Return a session with an empty context of `n_ctx` tokens, on the best instruction set that the processor runs.
    ///
    /// # Errors
    /// When there is no memory for it, or when the model has no positions for so many tokens.
    pub fn new(model: &'m Model<'m>, workers: &'m dyn Workers, n_ctx: usize) -> Result<Self, Error> {
        Self::with_kernels(model, workers, n_ctx, KvType::default(), Kernels::detect())
    }

    /// Return a session that keeps its context as `kv_type` and runs the inner loops `kernels`.
    ///
    /// # Errors
    /// When there is no memory for it, or when the model has no positions for so many tokens.
    pub fn with_kernels(
        model: &'m Model<'m>,
        workers: &'m dyn Workers,
        n_ctx: usize,
        kv_type: KvType,
        kernels: &'static Kernels,
    ) -> Result<Self, Error> {
        if n_ctx > model.n_ctx_max() {
            return Err(Error::ContextFull { n_past: 0, n_tokens: n_ctx, n_ctx: model.n_ctx_max() });
        }
        let cores = Cores { workers, kernels };
        Ok(Self {
            model,
            cores,
            kv: KvCache::new(model.hparams(), n_ctx, kv_type)?,
            scratch: Scratch::new(model.hparams(), n_ctx, cores.count())?,
            n_ctx,
            n_past: 0,
        })
    }

    /// Return the size of the context in tokens.
    pub fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// Return how many tokens the context holds.
    pub fn n_past(&self) -> usize {
        self.n_past
    }

    /// Forget the context.
    pub fn clear(&mut self) {
        self.n_past = 0;
    }

    /// Read `tokens` and return the logits `(n_vocab)` after the last of them: the model's opinion on the next token.
    ///
    /// `keep_going` is asked several times per token or batch of tokens. When it says no, the result is `None` and the
    /// context is what it was.
    ///
    /// # Errors
    /// When the tokens do not fit into the context, which is then what it was.
    ///
    /// # Panics
    /// When there are no tokens, or one is not in the vocabulary: these are the caller's mistakes.
    pub fn eval(
        &mut self,
        tokens: &[Token],
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<&[f32]>, Error> {
        assert!(!tokens.is_empty(), "no tokens to read");
        if tokens.len() > self.n_ctx - self.n_past {
            return Err(Error::ContextFull {
                n_past: self.n_past,
                n_tokens: tokens.len(),
                n_ctx: self.n_ctx,
            });
        }
        let n_batches = tokens.len().div_ceil(N_BATCH);
        for (i, batch) in tokens.chunks(N_BATCH).enumerate() {
            let batch = Batch {
                tokens: batch,
                position: self.n_past + i * N_BATCH,
                wants_logits: i + 1 == n_batches,
            };
            let hparams = self.model.hparams();
            let (kv, scratch) = (&mut self.kv, &mut self.scratch);
            if !self.model.forward(&mut Pass::new(batch, hparams, self.cores, kv, scratch, keep_going)) {
                return Ok(None);
            }
        }
        self.n_past += tokens.len();
        Ok(Some(&self.scratch.logits))
    }
}
