//! A session: a model, and the context that it has read so far.

use alloc::vec;
use alloc::vec::Vec;
use core::iter;
use core::mem::MaybeUninit;
use core::ops::Range;

use arrayvec::ArrayVec;

use crate::cpu::Kernels;
use crate::kv_cache::KvCache;
pub use crate::kv_cache::KvType;
use crate::memory::zeroed;
use crate::model::{Batch, HParams, Model, N_BATCH, N_LOGITS, Pass, Scratch, Stopwatch, Times};
use crate::ops::rotations;
use crate::parallel::{Cores, MAX_CORES};
use crate::platform::{Clock, Workers};
use crate::{Error, Token};

/// A model at work. All that an evaluation needs was allocated when it began.
pub struct Session<'m> {
    model: &'m Model<'m>,
    cores: Cores<'m>,
    kv: KvCache,
    scratch: Scratch,
    n_ctx: usize,
    /// What the context holds; there is room for `n_ctx`.
    tokens: Vec<Token>,
    /// What was read with the context's last tokens in case that it comes next.
    draft: ArrayVec<Token, MAX_DRAFT>,
    /// How much of the draft came: after so many of its tokens are the logits.
    n_accepted: usize,
}

/// The longest draft.
pub const MAX_DRAFT: usize = N_LOGITS - 1;

/// What a session takes of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionMemory {
    /// Keys and values of the whole context.
    pub kv_cache_bytes: u64,
    /// What a forward pass writes on.
    pub scratch_bytes: u64,
}

/// Return how many bytes [`Session::new`] allocates.
pub fn memory_required(hparams: &HParams, n_ctx: usize, kv_type: KvType, n_workers: usize) -> u64 {
    let n_cores = n_workers.clamp(1, MAX_CORES);
    let tokens_bytes = (n_ctx as u64).saturating_mul(size_of::<Token>() as u64);
    KvCache::bytes(hparams, n_ctx, kv_type)
        .saturating_add(Scratch::bytes(hparams, n_cores))
        .saturating_add(tokens_bytes)
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
        let mut tokens = zeroed("the tokens of the context", n_ctx)?;
        tokens.clear();
        Ok(Self {
            model,
            cores,
            kv: KvCache::new(model.hparams(), n_ctx, kv_type)?,
            scratch: Scratch::new(model.hparams(), cores.count())?,
            n_ctx,
            tokens,
            draft: ArrayVec::new(),
            n_accepted: 0,
        })
    }

    /// Return the size of the context in tokens.
    pub fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// Return the type that the context is kept in.
    pub fn kv_type(&self) -> KvType {
        self.kv.kv_type()
    }

    /// Return what this takes of the memory.
    pub fn memory(&self) -> SessionMemory {
        SessionMemory {
            kv_cache_bytes: self.kv.size_bytes(),
            scratch_bytes: Scratch::bytes(self.model.hparams(), self.cores.count()),
        }
    }

    /// Return how many tokens the context holds.
    pub fn n_past(&self) -> usize {
        self.tokens.len()
    }

    /// Return the tokens that the context holds.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Return the logits `(n_vocab)` of the last evaluation.
    pub fn logits(&self) -> &[f32] {
        let n_vocab = self.model.hparams().n_vocab;
        &self.scratch.logits[self.n_accepted * n_vocab..][..n_vocab]
    }

    /// Return what is left of the draft: tokens that [`Self::eval`] has read already if they come next, in this order.
    pub fn draft(&self) -> &[Token] {
        self.draft.get(self.n_accepted..).unwrap_or_default()
    }

    /// Forget the context.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Forget all but the first `n_tokens` of the context.
    pub fn truncate(&mut self, n_tokens: usize) {
        self.tokens.truncate(n_tokens);
        self.draft.clear();
    }

    /// Forget all but the first `n_tokens` of the context, and leave nothing of the rest in memory.
    pub fn wipe(&mut self, n_tokens: usize) {
        self.truncate(n_tokens);
        self.tokens.spare_capacity_mut().fill(MaybeUninit::zeroed());
        self.kv.wipe(self.tokens.len());
        self.scratch.wipe();
    }

    /// Forget what `tokens` does not begin with, and return how many of `tokens` need not be read again. The last one
    /// always must be, for its logits.
    pub fn keep_common(&mut self, tokens: &[Token]) -> usize {
        let n_common = self.tokens.iter().zip(tokens).take_while(|(known, new)| known == new).count();
        self.truncate(n_common.min(tokens.len().saturating_sub(1)));
        self.n_past()
    }

    /// Make room without reading anything again: forget the older half of what lies behind the first `n_keep` tokens, and
    /// return how many tokens these were. None are where fewer than two lie there, and where the model learned its
    /// positions, so that nothing can move.
    ///
    /// What lies behind them moves up: its keys are turned to their new positions, as by llama.cpp's K-shift. What it saw
    /// of the forgotten stays in it, so that the context is not quite as if it had been read anew.
    pub fn shift(&mut self, n_keep: usize) -> usize {
        let n_dropped = self.n_past().saturating_sub(n_keep) / 2;
        if n_dropped > 0 && self.remove(n_keep..n_keep + n_dropped) { n_dropped } else { 0 }
    }

    /// Forget the tokens in `dropped`, as [`Self::shift`] does, and return whether that was possible: not where the model
    /// learned its positions.
    ///
    /// # Panics
    /// When the context does not hold so many tokens.
    pub fn remove(&mut self, dropped: Range<usize>) -> bool {
        let Some(rope) = self.model.rope() else { return false };
        // A position turns a key by an angle that grows with it; this is the angle of the difference, back.
        let mut back = vec![[0.0; 2]; rope.frequencies.len()];
        rotations(dropped.len(), &rope.frequencies, &mut back);
        for [_, sin] in &mut back {
            *sin = -*sin;
        }
        let (kernels, n_past) = (self.cores.kernels, self.n_past());
        self.kv.remove(kernels, dropped.clone(), n_past, &|key| rope.turn(key, key.len(), &back));
        self.tokens.drain(dropped);
        self.draft.clear();
        true
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
        if let ([token], [expected, ..]) = (tokens, self.draft())
            && token == expected
        {
            self.tokens.push(*token);
            self.n_accepted += 1;
            return Ok(Some(self.logits()));
        }
        self.read(tokens, 0, keep_going, None)
    }

    /// Read `token` as [`Self::eval`] does, and in the same batch a `draft` of what may come next. The context is as it is
    /// without the draft, and so are the logits; only when [`Self::eval`] is given the next tokens, one by one, those that
    /// the draft foresaw cost nothing.
    ///
    /// Of the draft, [`MAX_DRAFT`] tokens are read, and no more than there is room for.
    ///
    /// # Errors
    /// When the context is full.
    ///
    /// # Panics
    /// When a token is not in the vocabulary.
    pub fn eval_with_draft(
        &mut self,
        token: Token,
        draft: &[Token],
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<&[f32]>, Error> {
        let room = self.n_ctx.saturating_sub(self.n_past() + 1);
        let n_draft = draft.len().min(MAX_DRAFT).min(room);
        let tokens: ArrayVec<Token, N_LOGITS> =
            iter::once(token).chain(draft[..n_draft].iter().copied()).collect();
        self.read(&tokens, n_draft, keep_going, None)
    }

    /// Read `token` and return how long each step of the forward pass took, by `clock`.
    ///
    /// # Errors
    /// When the context is full.
    ///
    /// # Panics
    /// When `token` is not in the vocabulary.
    pub fn eval_timed(&mut self, token: Token, clock: &dyn Clock) -> Result<Times, Error> {
        let mut times = Times::default();
        self.read(&[token], 0, &mut || true, Some((clock, &mut times)))?;
        Ok(times)
    }

    /// Read `tokens` as [`Self::eval`] does, of which the last `n_draft` are a draft, with the clock that takes the times
    /// where somebody wants them.
    fn read(
        &mut self,
        tokens: &[Token],
        n_draft: usize,
        keep_going: &mut dyn FnMut() -> bool,
        mut timed: Option<(&dyn Clock, &mut Times)>,
    ) -> Result<Option<&[f32]>, Error> {
        assert!(!tokens.is_empty(), "no tokens to read");
        if tokens.len() > self.n_ctx - self.n_past() {
            return Err(Error::ContextFull {
                n_past: self.n_past(),
                n_tokens: tokens.len(),
                n_ctx: self.n_ctx,
            });
        }
        // It lies where the new tokens go.
        self.draft.clear();
        let n_batches = tokens.len().div_ceil(N_BATCH);
        for (i, batch) in tokens.chunks(N_BATCH).enumerate() {
            let batch = Batch {
                tokens: batch,
                position: self.n_past() + i * N_BATCH,
                n_logits: if i + 1 == n_batches { 1 + n_draft } else { 0 },
            };
            let hparams = self.model.hparams();
            let (kv, scratch) = (&mut self.kv, &mut self.scratch);
            let stopwatch = timed.as_mut().map(|(clock, times)| Stopwatch::start(*clock, times));
            let mut pass = Pass::new(batch, hparams, self.cores, kv, scratch, keep_going, stopwatch);
            if !self.model.forward(&mut pass) {
                return Ok(None);
            }
        }
        let (read, draft) = tokens.split_at(tokens.len() - n_draft);
        self.tokens.extend_from_slice(read);
        self.draft.extend(draft.iter().copied());
        self.n_accepted = 0;
        Ok(Some(self.logits()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use alloc::string::ToString;
    use std::{format, fs};

    use super::*;
    use crate::format::gguf::Gguf;
    use crate::platform::OneCore;

    /// Call `test` with the tiny model `name` of `tests/reference/tiny_models.py`.
    pub(crate) fn with_model(name: &str, test: impl FnOnce(&Model<'_>)) {
        let path = format!("{}/tests/fixtures/tiny_{name}.gguf", env!("CARGO_MANIFEST_DIR"));
        let file = fs::read(path).unwrap();
        test(&Model::load(&Gguf::parse(&file).unwrap()).unwrap());
    }

    /// Return a session that has read `tokens`.
    pub(crate) fn session<'m>(model: &'m Model<'m>, kv_type: KvType, tokens: &[Token]) -> Session<'m> {
        let mut session = Session::with_kernels(model, &OneCore, 64, kv_type, Kernels::detect()).unwrap();
        read(&mut session, tokens);
        session
    }

    fn read(session: &mut Session<'_>, tokens: &[Token]) {
        assert!(session.eval(tokens, &mut || true).unwrap().is_some());
    }

    /// Return forty tokens; what lies 17 behind one is another.
    fn forty_tokens() -> Vec<Token> {
        (0..40).map(|i| 3 + i * 7 % 20).collect()
    }

    /// Return the largest difference between two rows.
    fn difference(found: &[f32], expected: &[f32]) -> f32 {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn shifted_keys_equal_keys_read_at_the_new_positions() {
        let tokens = forty_tokens();
        let expected_tokens = [&tokens[..5], &tokens[22..]].concat();
        let check = |model: &Model<'_>, kv_type, tolerance| {
            let HParams { n_head_kv, n_embd_head, .. } = *model.hparams();
            let before = session(model, kv_type, &tokens);
            let fresh = session(model, kv_type, &expected_tokens);
            let mut shifted = session(model, kv_type, &tokens);
            assert_eq!(shifted.shift(5), 17);
            assert_eq!(shifted.tokens(), expected_tokens);
            // In the first layer, keys and values depend on nothing but the token and its position.
            for head in 0..n_head_kv {
                let [keys, values] = shifted.kv.head(0, head, 23);
                let [expected_keys, expected_values] = fresh.kv.head(0, head, 23);
                let (key, value) = (difference(&keys, &expected_keys), difference(&values, &expected_values));
                assert!(key < tolerance && value < tolerance, "{key} {value}");
                // They have been turned.
                let [keys_before, _] = before.kv.head(0, head, 40);
                assert!(difference(&keys_before[22 * n_embd_head..], &keys[5 * n_embd_head..]) > 0.1);
            }
        };
        for name in ["llama", "qwen2", "qwen3"] {
            with_model(name, |model| check(model, KvType::F32, 1e-4));
            with_model(name, |model| check(model, KvType::F16, 1e-2));
        }
    }

    #[test]
    fn heads_that_are_no_whole_blocks_cannot_be_kept_as_q8_0() {
        with_model("llama", |model| {
            let error = Session::with_kernels(model, &OneCore, 64, KvType::Q8_0, Kernels::detect()).err();
            let expected = "the type of the context \"q8_0, with heads of 12\" is not supported; \
                            known: f16, f32; q8_0 for heads of a multiple of 32";
            assert_eq!(error.unwrap().to_string(), expected);
        });
    }

    #[test]
    fn a_shift_moves_every_layer_alike() {
        with_model("llama", |model| {
            let HParams { n_layer, n_head_kv, n_embd_head, .. } = *model.hparams();
            let before = session(model, KvType::F32, &forty_tokens());
            let mut shifted = session(model, KvType::F32, &forty_tokens());
            assert_eq!(shifted.shift(5), 17);
            let frequencies = &model.rope().unwrap().frequencies;
            for (layer, head) in (0..n_layer).flat_map(|layer| (0..n_head_kv).map(move |head| (layer, head)))
            {
                let [keys, values] = shifted.kv.head(layer, head, 23);
                let [expected_keys, expected_values] = before.kv.head(layer, head, 40).map(|mut expected| {
                    expected.drain(5 * n_embd_head..22 * n_embd_head);
                    expected
                });
                assert_eq!(values, expected_values);
                let mut expected_keys = expected_keys;
                for key in expected_keys[5 * n_embd_head..].chunks_exact_mut(n_embd_head) {
                    // llama's pairs are neighbours.
                    for (pair, frequency) in key.chunks_exact_mut(2).zip(frequencies) {
                        let (sin, cos) = (-17.0 * f64::from(*frequency)).sin_cos();
                        let (a, b) = (f64::from(pair[0]), f64::from(pair[1]));
                        (pair[0], pair[1]) = ((a * cos - b * sin) as f32, (a * sin + b * cos) as f32);
                    }
                }
                assert!(difference(&keys, &expected_keys) < 1e-4, "layer {layer}, head {head}");
            }
        });
    }

    #[test]
    fn wiping_leaves_nothing_behind_what_is_kept() {
        for kv_type in [KvType::F16, KvType::F32] {
            with_model("llama", |model| {
                let HParams { n_layer, n_head_kv, n_embd_head, .. } = *model.hparams();
                let before = session(model, kv_type, &forty_tokens());
                let mut wiped = session(model, kv_type, &forty_tokens());
                wiped.wipe(5);
                assert_eq!(wiped.tokens(), &forty_tokens()[..5]);
                for (layer, head) in
                    (0..n_layer).flat_map(|layer| (0..n_head_kv).map(move |head| (layer, head)))
                {
                    let kept = before.kv.head(layer, head, 40);
                    for (found, kept) in wiped.kv.head(layer, head, 40).into_iter().zip(kept) {
                        let (found, rest) = found.split_at(5 * n_embd_head);
                        assert_eq!(found, &kept[..5 * n_embd_head]);
                        assert!(rest.iter().all(|&float| float == 0.0), "layer {layer}, head {head}");
                        assert!(kept[5 * n_embd_head..].iter().any(|&float| float != 0.0));
                    }
                }
                assert!(wiped.logits().iter().all(|&logit| logit == 0.0));
                // What is read anew is what it was.
                read(&mut wiped, &forty_tokens()[5..]);
                assert!(difference(wiped.logits(), before.logits()) < 1e-3);
            });
        }
    }

    #[test]
    fn a_shift_drops_half_of_what_need_not_be_kept() {
        with_model("llama", |model| {
            let mut session = session(model, KvType::F16, &[1, 2, 3, 4, 5, 6, 7]);
            for n_keep in [7, 6, usize::MAX] {
                assert_eq!(session.shift(n_keep), 0);
            }
            assert_eq!(session.tokens(), [1, 2, 3, 4, 5, 6, 7]);
            assert_eq!(session.shift(2), 2);
            assert_eq!(session.tokens(), [1, 2, 5, 6, 7]);
            assert_eq!(session.shift(0), 2);
            assert_eq!(session.tokens(), [5, 6, 7]);
            read(&mut session, &[8, 9]);
            assert_eq!(session.tokens(), [5, 6, 7, 8, 9]);
        });
    }

    #[test]
    fn what_was_drafted_and_did_not_come_leaves_no_trace() {
        for name in ["llama", "gpt2"] {
            with_model(name, |model| {
                let HParams { n_layer, n_head_kv, .. } = *model.hparams();
                let mut drafted = session(model, KvType::F32, &[1, 2, 3]);
                // Of three drafted tokens comes one.
                drafted.eval_with_draft(4, &[5, 6, 7], &mut || true).unwrap();
                assert_eq!((drafted.tokens(), drafted.draft()), (&[1, 2, 3, 4][..], &[5, 6, 7][..]));
                let plain = session(model, KvType::F32, &[1, 2, 3, 4]);
                assert_eq!(drafted.logits(), plain.logits());
                for (tokens, draft) in [(&[1, 2, 3, 4, 5][..], &[6, 7][..]), (&[1, 2, 3, 4, 5, 9], &[])] {
                    read(&mut drafted, &tokens[tokens.len() - 1..]);
                    let plain = session(model, KvType::F32, tokens);
                    assert_eq!((drafted.tokens(), drafted.draft()), (tokens, draft));
                    assert_eq!(drafted.logits(), plain.logits());
                    for (layer, head) in
                        (0..n_layer).flat_map(|layer| (0..n_head_kv).map(move |head| (layer, head)))
                    {
                        let found = drafted.kv.head(layer, head, tokens.len());
                        let expected = plain.kv.head(layer, head, tokens.len());
                        assert_eq!(found, expected, "layer {layer}, head {head}");
                    }
                }
                // A draft is no part of the context, and gone when that changes.
                drafted.eval_with_draft(4, &[5, 6, 7], &mut || true).unwrap();
                drafted.truncate(3);
                assert_eq!((drafted.tokens(), drafted.draft()), (&[1, 2, 3][..], &[][..]));
                read(&mut drafted, &[5]);
                let plain = session(model, KvType::F32, &[1, 2, 3, 5]);
                assert_eq!(drafted.logits(), plain.logits());
            });
        }
    }

    #[test]
    fn a_draft_is_no_longer_than_there_is_room() {
        with_model("llama", |model| {
            let mut session = session(model, KvType::F32, &[1; 61]);
            session.eval_with_draft(2, &[3; 9], &mut || true).unwrap();
            assert_eq!(session.draft(), [3, 3]);
            read(&mut session, &[3]);
            read(&mut session, &[3]);
            assert_eq!((session.n_past(), session.draft()), (64, &[][..]));
            assert!(session.eval_with_draft(2, &[], &mut || true).is_err());
            session.truncate(10);
            session.eval_with_draft(2, &[3; 9], &mut || true).unwrap();
            assert_eq!(session.draft(), [3; MAX_DRAFT]);
        });
    }

    #[test]
    fn learned_positions_cannot_be_shifted() {
        with_model("gpt2", |model| {
            let mut session = session(model, KvType::F16, &[1, 2, 3, 4]);
            assert_eq!(session.shift(0), 0);
            assert_eq!(session.tokens(), [1, 2, 3, 4]);
        });
    }

    /// A clock that advances by 1 ns at each look.
    #[derive(Default)]
    struct TickingClock(core::cell::Cell<u64>);

    impl Clock for TickingClock {
        fn now_ns(&self) -> u64 {
            self.0.set(self.0.get() + 1);
            self.0.get()
        }
    }

    #[test]
    fn every_step_of_a_timed_token_is_counted() {
        for (name, expected) in [
            // Of each layer: two norms, one of each other step; then the embedding, the rotations, the logits.
            ("llama", [1, 4, 2, 3, 2, 2, 2, 1]),
            // Positions are embedded, and nothing is rotated.
            ("gpt2", [2, 4, 2, 0, 2, 2, 2, 1]),
            // Heads are normalized too.
            ("qwen3", [1, 6, 2, 3, 2, 2, 2, 1]),
        ] {
            with_model(name, |model| {
                let mut session = session(model, KvType::F32, &[1, 2]);
                let times = session.eval_timed(3, &TickingClock::default()).unwrap();
                let laps: Vec<u64> = times.steps().map(|(_, ns)| ns).collect();
                assert_eq!(model.hparams().n_layer, 2);
                assert_eq!(laps, expected, "{name}");
                assert_eq!(session.tokens(), [1, 2, 3]);
                let fresh = self::session(model, KvType::F32, &[1, 2, 3]);
                assert!(difference(session.logits(), fresh.logits()) < 1e-4);
            });
        }
    }

    #[test]
    fn what_two_prompts_share_is_read_once() {
        with_model("llama", |model| {
            let mut session = session(model, KvType::F32, &[1, 2, 3, 4]);
            assert_eq!(session.keep_common(&[1, 2, 3, 4, 5]), 4);
            assert_eq!(session.keep_common(&[1, 2, 9, 4]), 2);
            read(&mut session, &[9, 4]);
            let fresh = self::session(model, KvType::F32, &[1, 2, 9, 4]);
            assert!(difference(session.logits(), fresh.logits()) < 1e-4);
            // Without reading a token there would be no logits.
            assert_eq!(session.keep_common(&[1, 2, 9, 4]), 3);
            assert_eq!(session.keep_common(&[]), 0);
        });
    }
}
