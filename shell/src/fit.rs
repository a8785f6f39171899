//! Which context fits into the memory: what one takes is computed before anything is allocated, and what does not fit is refused with
//! what would.

use alloc::format;
use alloc::string::String;
use core::ops::RangeInclusive;

use engine::model::{HParams, Model};
use engine::quant::TensorType;
use engine::session::{self, KvType};

use crate::units::{bytes, megabytes};

/// Memory that a context leaves free: the sampler's candidates (12 bytes for each token of the vocabulary, 3 MB for the
/// largest vocabularies), messages, lines, and what the allocator loses between its pieces.
pub(crate) const RESERVE_BYTES: u64 = 8_000_000;

/// How finely the context is fitted to the memory, in tokens; and the smallest that is named to a person.
const N_CTX_STEP: usize = 64;

/// The type of a context that takes the least memory.
const SMALLEST_KV: KvType = KvType::Q8_0;

/// Types of weights that models come in, the largest first.
const WEIGHT_TYPES: [TensorType; 6] = [
    TensorType::Q8_0,
    TensorType::Q6_K,
    TensorType::Q5_K,
    TensorType::Q4_K,
    TensorType::Q3_K,
    TensorType::Q2_K,
];

/// What a context has to fit into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'r> {
    pub(crate) hparams: &'r HParams,
    /// Those of the model that drafts, whose context is as large, or as large as the model knows.
    pub(crate) draft_hparams: Option<&'r HParams>,
    pub(crate) n_workers: usize,
    /// What is still to be allocated beside the context.
    pub(crate) other_bytes: u64,
    pub(crate) free_bytes: u64,
}

impl Room<'_> {
    /// Return what a context of this size and type takes, with all beside it.
    fn needed_bytes(&self, n_ctx: usize, kv: KvType) -> u64 {
        let context_bytes =
            |hparams: &HParams, n_ctx| session::memory_required(hparams, n_ctx, kv, self.n_workers);
        let draft_bytes =
            self.draft_hparams.map_or(0, |hparams| context_bytes(hparams, n_ctx.min(hparams.n_ctx_train)));
        [draft_bytes, self.other_bytes, RESERVE_BYTES]
            .into_iter()
            .fold(context_bytes(self.hparams, n_ctx), u64::saturating_add)
    }

    /// Return whether a context of this size and type fits.
    pub(crate) fn fits(&self, n_ctx: usize, kv: KvType) -> bool {
        self.needed_bytes(n_ctx, kv) <= self.free_bytes
    }

    /// Return the largest context in `kv` that fits, of the `sizes` that it may have in tokens.
    pub(crate) fn largest(&self, sizes: &RangeInclusive<usize>, kv: KvType) -> Option<usize> {
        let (least, most) = (*sizes.start(), *sizes.end());
        let steps = (least / N_CTX_STEP + 1..=most / N_CTX_STEP).rev().map(|n| n * N_CTX_STEP);
        [most].into_iter().chain(steps).chain([least]).find(|&n_ctx| self.fits(n_ctx, kv))
    }

    /// Return a sentence without its end for the person: why a context of `n_ctx` tokens in `kv` does not fit, and which would.
    pub(crate) fn refusal(&self, n_ctx: usize, kv: KvType) -> String {
        let would_fit = match (self.next_best(n_ctx, kv), self.next_best(n_ctx, SMALLEST_KV)) {
            (Some(same), Some(small)) if small > same => format!("{same} fit, or {small} in {SMALLEST_KV}"),
            (Some(same), _) => format!("{same} fit"),
            (None, Some(small)) => format!("{small} fit in {SMALLEST_KV}"),
            (None, None) => format!("not even {N_CTX_STEP} fit"),
        };
        format!("{}; {would_fit}", self.shortage(n_ctx, kv))
    }

    /// Return what the person can do where not even the smallest context of use, of `least` tokens in `kv`, fits beside the weights
    /// of `model`.
    pub(crate) fn advice(&self, least: usize, kv: KvType, model: &Model<'_>) -> String {
        // Rounded up to what the number shows, so that so much is enough.
        let missing_bytes = self.needed_bytes(least, kv).saturating_sub(self.free_bytes);
        let more = megabytes(missing_bytes.next_multiple_of(100_000));
        let mut advice =
            format!("{}; give the machine at least {more} more memory", self.shortage(least, kv));
        if let Some(n_ctx) = self.next_best(least, kv) {
            advice += &format!(", or start with n_ctx={n_ctx}");
        }
        if let Some(n_ctx) = self.next_best(least, SMALLEST_KV).filter(|_| kv != SMALLEST_KV) {
            advice += &format!(", or with n_ctx={n_ctx} kv={SMALLEST_KV}");
        }
        if self.draft_hparams.is_some() && (Self { draft_hparams: None, ..*self }).fits(least, kv) {
            advice += ", or start without speculative";
        }
        let left_bytes = model.size_bytes().saturating_sub(missing_bytes);
        let as_type =
            |kind: TensorType| model.n_params() / kind.block_len() as u64 * kind.block_bytes() as u64;
        if let Some(kind) = WEIGHT_TYPES.into_iter().find(|&kind| as_type(kind) <= left_bytes) {
            advice += &format!(", or take the same model in {kind}, of about {}", bytes(as_type(kind)));
        }
        advice
    }

    /// Return what a context that does not fit takes, and what there is.
    fn shortage(&self, n_ctx: usize, kv: KvType) -> String {
        let (needed, free) = (megabytes(self.needed_bytes(n_ctx, kv)), megabytes(self.free_bytes));
        let draft = if self.draft_hparams.is_some() { ", with that of the model that drafts," } else { "" };
        format!("a context of {n_ctx} tokens in {kv}{draft} takes {needed} of memory and {free} are free")
    }

    /// Return the largest context in `kv` that fits and has at most `n_ctx` tokens.
    fn next_best(&self, n_ctx: usize, kv: KvType) -> Option<usize> {
        let suits =
            [Some(self.hparams), self.draft_hparams].into_iter().flatten().all(|hparams| kv.suits(hparams));
        (n_ctx >= N_CTX_STEP && suits).then(|| self.largest(&(N_CTX_STEP..=n_ctx), kv)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use engine::format::gguf::Gguf;
    use engine::model::{HParams, Model};
    use engine::session::{KvType, memory_required};
    use engine::testing::ChainModel;

    use super::{N_CTX_STEP, RESERVE_BYTES, Room};

    /// SmolLM2-135M's shape.
    const SMOLLM2: HParams = HParams {
        n_ctx_train: 8192,
        n_embd: 576,
        n_layer: 30,
        n_head: 9,
        n_head_kv: 3,
        n_embd_head: 64,
        n_ff: 1536,
        n_vocab: 49_152,
    };

    const OTHER_BYTES: u64 = 1_000_000;

    fn room(free_bytes: u64) -> Room<'static> {
        Room { hparams: &SMOLLM2, draft_hparams: None, n_workers: 2, other_bytes: OTHER_BYTES, free_bytes }
    }

    fn required(n_ctx: usize, kv: KvType) -> u64 {
        memory_required(&SMOLLM2, n_ctx, kv, 2) + OTHER_BYTES + RESERVE_BYTES
    }

    #[test]
    fn takes_the_largest_context_that_leaves_the_reserve() {
        for (n_ctx, smaller) in
            [(250, None), (256, Some(250)), (512, Some(448)), (2048, Some(1984)), (2050, Some(2048))]
        {
            let free_bytes = required(n_ctx, KvType::F16);
            assert_eq!(room(free_bytes).largest(&(250..=2050), KvType::F16), Some(n_ctx));
            assert_eq!(room(free_bytes - 1).largest(&(250..=2050), KvType::F16), smaller);
        }
    }

    #[test]
    fn names_the_contexts_that_would_fit() {
        let room = room(required(3000, KvType::F16));
        let same = 3000 / N_CTX_STEP * N_CTX_STEP;
        let in_q8_0 =
            (same..8192).rev().find(|&n| n % N_CTX_STEP == 0 && room.fits(n, KvType::Q8_0)).unwrap();
        let said = room.refusal(8192, KvType::F16);
        let (needed, free) = (required(8192, KvType::F16) as f64 / 1e6, room.free_bytes as f64 / 1e6);
        assert_eq!(
            said,
            format!(
                "a context of 8192 tokens in f16 takes {needed:.1} MB of memory and {free:.1} MB are free; \
                 {same} fit, or {in_q8_0} in q8_0"
            )
        );
        assert!(in_q8_0 > 5000, "{said}");
        // Never more than was asked for.
        assert!(room.refusal(3100, KvType::F16).ends_with("; 2944 fit, or 3100 in q8_0"));
        let said = room.refusal(8192, KvType::Q8_0);
        assert!(said.ends_with(&format!("; {in_q8_0} fit")), "{said}");
    }

    #[test]
    fn tells_where_only_eight_bits_fit_and_where_nothing_does() {
        let said = room(required(64, KvType::F16) - 1).refusal(256, KvType::F16);
        assert!(said.ends_with(" MB are free; 64 fit in q8_0"), "{said}");
        let said = room(required(64, KvType::Q8_0) - 1).refusal(256, KvType::F16);
        assert!(said.ends_with(" MB are free; not even 64 fit"), "{said}");
        // Heads of 48 are no whole number of blocks of 32.
        let hparams = HParams { n_embd_head: 48, ..SMOLLM2 };
        let room = Room { hparams: &hparams, ..room(required(64, KvType::F16)) };
        assert!(!room.refusal(8192, KvType::F16).contains("q8_0"));
    }

    #[test]
    fn a_model_that_drafts_takes_its_part() {
        let small = HParams { n_ctx_train: 512, n_layer: 3, ..SMOLLM2 };
        let together = |n_ctx: usize, kv| {
            required(n_ctx, kv) + memory_required(&small, n_ctx.min(small.n_ctx_train), kv, 2)
        };
        let room = |free_bytes| Room { draft_hparams: Some(&small), ..room(free_bytes) };
        for (n_ctx, smaller) in [(256, None), (512, Some(448)), (1984, Some(1920))] {
            let free_bytes = together(n_ctx, KvType::F16);
            assert_eq!(room(free_bytes).largest(&(256..=2048), KvType::F16), Some(n_ctx));
            assert_eq!(room(free_bytes - 1).largest(&(256..=2048), KvType::F16), smaller);
        }
        let said = room(together(512, KvType::F32)).refusal(2048, KvType::F32);
        assert!(
            said.starts_with("a context of 2048 tokens in f32, with that of the model that drafts, takes ")
        );
        assert!(said.contains("; 512 fit, or "), "{said}");
        // Heads of 48 are no whole number of blocks of 32.
        let odd = HParams { n_embd_head: 48, ..small };
        let said = Room { draft_hparams: Some(&odd), ..room(together(512, KvType::F32)) };
        assert!(!said.refusal(2048, KvType::F32).contains("q8_0"));

        let file = ChainModel::answers("yes").file();
        let model = Model::load(&Gguf::parse(&file).unwrap()).unwrap();
        let without = ", or start without speculative";
        let alone_bytes = required(256, KvType::F16);
        assert!(room(alone_bytes).advice(256, KvType::F16, &model).contains(without));
        assert!(!room(alone_bytes - 1).advice(256, KvType::F16, &model).contains(without));
    }

    #[test]
    fn advises_memory_smaller_contexts_and_smaller_weights() {
        let file = ChainModel::answers("yes").file();
        let model = Model::load(&Gguf::parse(&file).unwrap()).unwrap();
        let needed_bytes = required(256, KvType::F16);
        let room = room(needed_bytes - 300_000);
        let said = room.advice(256, KvType::F16, &model);
        let n_ctx = room.next_best(256, KvType::F16).unwrap();
        // 231 thousand weights, of which 32 in Q8_0 take 34 bytes.
        let end = format!(
            "at least 0.3 MB more memory, or start with n_ctx={n_ctx}, or with n_ctx=256 kv=q8_0, or take the same model in \
             Q8_0, of about 0.2 MB"
        );
        assert!(said.ends_with(&end), "{said}");
        // Where all of the file would not be enough, no weights are.
        let said = Room { free_bytes: 0, ..room }.advice(256, KvType::F16, &model);
        let needed = needed_bytes.next_multiple_of(100_000) as f64 / 1e6;
        assert!(
            said.ends_with(&format!("0.0 MB are free; give the machine at least {needed:.1} MB more memory")),
            "{said}"
        );
    }
}
