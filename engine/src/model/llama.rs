//! The forward pass of the llama architecture (LLaMA, arXiv 2302.13971; grouped-query attention, arXiv 2305.13245).

use alloc::vec::Vec;

use super::{HParams, Model};
use crate::Error;
use crate::Token;
use crate::kv_cache::KvCache;
use crate::memory::zeroed;
use crate::ops::{add, rms_norm, rope, rope_angles};
use crate::parallel::{Cores, Product};
use crate::quant::{BlockQ8_1, QK};

/// The most tokens that go through the layers together: more read the weights fewer times, fewer stop sooner.
pub(crate) const N_BATCH: usize = 32;

/// What a forward pass writes on, for up to [`N_BATCH`] tokens; allocated once.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// The residual stream, `(N_BATCH, n_embd)`.
    stream: Vec<f32>,
    /// The stream normalized, or a block's result on its way back, `(N_BATCH, n_embd)`.
    x: Vec<f32>,
    /// Queries, `(N_BATCH, n_embd_q)`.
    q: Vec<f32>,
    /// Keys, `(N_BATCH, n_embd_kv)`.
    k: Vec<f32>,
    /// Values, `(N_BATCH, n_embd_kv)`.
    v: Vec<f32>,
    /// What the heads found, `(N_BATCH, n_embd_q)`.
    found: Vec<f32>,
    /// The gate of the feed-forward network, then its hidden layer, `(N_BATCH, n_ff)`.
    gate: Vec<f32>,
    /// Up, `(N_BATCH, n_ff)`.
    up: Vec<f32>,
    /// The input of a matrix, quantized, `(N_BATCH, widest input / QK)`.
    quants: Vec<BlockQ8_1>,
    /// The rotations of the batch's positions, `(N_BATCH, n_rot / 2)`.
    rotations: Vec<[f32; 2]>,
    /// Attention scores, a row per core, `(n_cores, n_ctx)`.
    scores: Vec<f32>,
    /// `(n_vocab)`.
    pub(crate) logits: Vec<f32>,
}

/// How long each part of a [`Scratch`] is.
struct ScratchLens {
    embd: usize,
    q: usize,
    kv: usize,
    ff: usize,
    quants: usize,
    rotations: usize,
    scores: usize,
    logits: usize,
}

impl ScratchLens {
    fn new(hparams: &HParams, n_ctx: usize, n_cores: usize) -> Self {
        let widest = hparams.n_embd.max(hparams.n_embd_q()).max(hparams.n_ff);
        Self {
            embd: N_BATCH * hparams.n_embd,
            q: N_BATCH * hparams.n_embd_q(),
            kv: N_BATCH * hparams.n_embd_kv(),
            ff: N_BATCH * hparams.n_ff,
            quants: N_BATCH * widest.div_ceil(QK),
            rotations: N_BATCH * (hparams.n_rot / 2),
            scores: n_cores * n_ctx,
            logits: hparams.n_vocab,
        }
    }
}

impl Scratch {
    /// Return scratch for contexts of up to `n_ctx` tokens.
    pub(crate) fn new(hparams: &HParams, n_ctx: usize, n_cores: usize) -> Result<Self, Error> {
        const WHAT: &str = "the scratch of the forward pass";
        let lens = ScratchLens::new(hparams, n_ctx, n_cores);
        Ok(Self {
            stream: zeroed(WHAT, lens.embd)?,
            x: zeroed(WHAT, lens.embd)?,
            q: zeroed(WHAT, lens.q)?,
            k: zeroed(WHAT, lens.kv)?,
            v: zeroed(WHAT, lens.kv)?,
            found: zeroed(WHAT, lens.q)?,
            gate: zeroed(WHAT, lens.ff)?,
            up: zeroed(WHAT, lens.ff)?,
            quants: zeroed(WHAT, lens.quants)?,
            rotations: zeroed(WHAT, lens.rotations)?,
            scores: zeroed(WHAT, lens.scores)?,
            logits: zeroed("the logits", lens.logits)?,
        })
    }

    /// Return how many bytes [`Self::new`] allocates.
    pub(crate) fn bytes(hparams: &HParams, n_ctx: usize, n_cores: usize) -> u64 {
        let lens = ScratchLens::new(hparams, n_ctx, n_cores);
        let floats =
            2 * (lens.embd + lens.q + lens.kv + lens.ff + lens.rotations) + lens.scores + lens.logits;
        (floats * size_of::<f32>() + lens.quants * size_of::<BlockQ8_1>()) as u64
    }
}

/// Tokens that go through the layers together.
pub(crate) struct Batch<'a> {
    /// The tokens, at most [`N_BATCH`].
    pub(crate) tokens: &'a [Token],
    /// Where the first of them stands in the context.
    pub(crate) position: usize,
    /// Whether the logits after the last of them are asked for.
    pub(crate) wants_logits: bool,
}

/// Run `batch` through the layers: keys and values go to `kv`, logits to `scratch.logits`.
///
/// Return false when `keep_going`, asked before every layer, said so; what lies behind the batch's position in `kv` is
/// then not valid.
pub(crate) fn forward(
    model: &Model<'_>,
    cores: Cores<'_>,
    kv: &mut KvCache,
    scratch: &mut Scratch,
    batch: &Batch<'_>,
    keep_going: &mut dyn FnMut() -> bool,
) -> bool {
    let Batch { tokens, position, wants_logits } = *batch;
    let hparams = model.hparams();
    let weights = model.weights();
    let HParams { n_embd, n_head, n_embd_head, n_ff, norm_rms_eps: eps, .. } = *hparams;
    let n_tokens = tokens.len();
    let Scratch { stream, x, q, k, v, found, gate, up, quants, rotations, scores, logits } = scratch;
    let stream = &mut stream[..n_tokens * n_embd];
    let x = &mut x[..n_tokens * n_embd];
    let q = &mut q[..n_tokens * hparams.n_embd_q()];
    let k = &mut k[..n_tokens * hparams.n_embd_kv()];
    let v = &mut v[..n_tokens * hparams.n_embd_kv()];
    let found = &mut found[..n_tokens * hparams.n_embd_q()];
    let gate = &mut gate[..n_tokens * n_ff];
    let up = &mut up[..n_tokens * n_ff];
    let n_pairs = hparams.n_rot / 2;

    // The stream begins as the rows of the embedding.
    for (&token, row) in tokens.iter().zip(stream.chunks_exact_mut(n_embd)) {
        weights.token_embd.dequantize_row(token as usize, row);
    }
    // A position turns queries and keys by the same angles in every layer.
    for (i, rotations) in rotations.chunks_exact_mut(n_pairs).take(n_tokens).enumerate() {
        rope_angles(position + i, hparams.rope_freq_base, rotations);
    }

    for (i, layer) in weights.layers.iter().enumerate() {
        if !keep_going() {
            return false;
        }
        // Attention: what is asked, what is offered for it, what it holds.
        rms_norm_rows(stream, &layer.attn_norm, eps, x);
        cores.multiply(
            x,
            quants,
            [
                Product { matrix: &layer.attn_q, out: q },
                Product { matrix: &layer.attn_k, out: k },
                Product { matrix: &layer.attn_v, out: v },
            ],
        );
        for (rows, width) in [(&mut *q, hparams.n_embd_q()), (&mut *k, hparams.n_embd_kv())] {
            for (row, rotations) in rows.chunks_exact_mut(width).zip(rotations.chunks_exact(n_pairs)) {
                rope(row, n_embd_head, rotations);
            }
        }
        kv.store(i, position, k, v);
        // Each head of each token looks at that token and those before it.
        let scale = 1.0 / libm::sqrtf(n_embd_head as f32);
        let (q, kv) = (&*q, &*kv);
        cores.for_each_unit(found, n_embd_head, scores, &|unit, scores, found| {
            let n_seen = position + unit / n_head + 1;
            let head_kv = (unit % n_head) * hparams.n_head_kv / n_head;
            let (keys, values) = kv.head(i, head_kv, n_seen);
            let q = &q[unit * n_embd_head..][..n_embd_head];
            cores.kernels.attend(q, keys, values, scale, &mut scores[..n_seen], found);
        });
        cores.multiply(found, quants, [Product { matrix: &layer.attn_output, out: x }]);
        add(stream, x);

        // Feed-forward: SwiGLU.
        rms_norm_rows(stream, &layer.ffn_norm, eps, x);
        cores.multiply(
            x,
            quants,
            [Product { matrix: &layer.ffn_gate, out: gate }, Product { matrix: &layer.ffn_up, out: up }],
        );
        cores.kernels.swiglu(gate, up);
        cores.multiply(gate, quants, [Product { matrix: &layer.ffn_down, out: x }]);
        add(stream, x);
    }

    // Only the last token's logits are ever asked for.
    if wants_logits {
        let last = &stream[(n_tokens - 1) * n_embd..];
        let x = &mut x[..n_embd];
        rms_norm(last, &weights.output_norm, eps, x);
        cores.multiply(x, quants, [Product { matrix: &weights.output, out: logits }]);
    }
    true
}

/// Normalize each row of `stream (n_tokens, n_embd)` to `out`.
fn rms_norm_rows(stream: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
    for (row, out) in stream.chunks_exact(gain.len()).zip(out.chunks_exact_mut(gain.len())) {
        rms_norm(row, gain, eps, out);
    }
}
