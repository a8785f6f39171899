//! A batch of tokens on its way through the layers: the steps that forward passes are written in.
//!
//! Every step reads and writes rows of floats, one per token, that were allocated once.

use alloc::vec::Vec;

use super::blocks::{Attention, Mlp, Norm, Rope, SwiGlu};
use super::matrix::Matrix;
use super::weights::Linear;
use super::{HParams, Step, Stopwatch};

use crate::Error;
use crate::Token;
use crate::attention::{Cut, attend};
use crate::cpu::FEW_TOKENS;
use crate::kv_cache::KvCache;
use crate::memory::zeroed;
use crate::ops::{add, rotations};
use crate::parallel::{Cores, Forms, Product};

/// The most tokens that go through the layers together: more read the weights fewer times, fewer stop sooner.
pub(crate) const N_BATCH: usize = 256;

/// The most positions of a batch whose logits are asked for.
pub(crate) const N_LOGITS: usize = FEW_TOKENS;

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
    /// The hidden layer of the feed-forward network, `(N_BATCH, n_ff)`.
    hidden: Vec<f32>,
    /// What its gate lets through, `(N_BATCH, n_ff)`.
    up: Vec<f32>,
    /// The input of a matrix in other forms.
    forms: Forms,
    /// The rotations of the batch's positions, `(N_BATCH, n_rot / 2)` and room for `n_rot = n_embd_head`.
    rotations: Vec<[f32; 2]>,
    /// What attention writes on, on all cores.
    attention: Vec<f32>,
    /// `(N_LOGITS, n_vocab)`.
    pub(crate) logits: Vec<f32>,
}

impl Scratch {
    /// Return scratch for `n_cores`.
    pub(crate) fn new(hparams: &HParams, n_cores: usize) -> Result<Self, Error> {
        let batch = |width| zeroed("the scratch of the forward pass", N_BATCH * width);
        Ok(Self {
            stream: batch(hparams.n_embd)?,
            x: batch(hparams.n_embd)?,
            q: batch(hparams.n_embd_q())?,
            k: batch(hparams.n_embd_kv())?,
            v: batch(hparams.n_embd_kv())?,
            found: batch(hparams.n_embd_q())?,
            hidden: batch(hparams.n_ff)?,
            up: batch(hparams.n_ff)?,
            forms: Forms::new(widest_input(hparams))?,
            rotations: zeroed("the rotations", N_BATCH * (hparams.n_embd_head / 2))?,
            attention: zeroed("the scratch of attention", Cut::new(hparams, n_cores).scratch_len())?,
            logits: zeroed("the logits", N_LOGITS * hparams.n_vocab)?,
        })
    }

    /// Zero what the last evaluation left.
    pub(crate) fn wipe(&mut self) {
        let Self { stream, x, q, k, v, found, hidden, up, forms, rotations, attention, logits } = self;
        for floats in [stream, x, q, k, v, found, hidden, up, attention, logits] {
            floats.fill(0.0);
        }
        forms.wipe();
        rotations.fill([0.0; 2]);
    }

    /// Return how many bytes [`Self::new`] allocates.
    pub(crate) fn bytes(hparams: &HParams, n_cores: usize) -> u64 {
        let widths = hparams.n_embd + hparams.n_embd_q() + hparams.n_embd_kv() + hparams.n_ff;
        let token_floats = 2 * (widths + hparams.n_embd_head / 2);
        let floats = Cut::new(hparams, n_cores).scratch_len() + N_LOGITS * hparams.n_vocab;
        let n_floats = N_BATCH * token_floats + floats;
        (n_floats * size_of::<f32>() + Forms::bytes(widest_input(hparams))) as u64
    }
}

/// Return how wide the widest input of a matrix is.
fn widest_input(hparams: &HParams) -> usize {
    hparams.n_embd.max(hparams.n_embd_q()).max(hparams.n_ff)
}

/// Tokens that go through the layers together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'b> {
    /// The tokens, at most [`N_BATCH`].
    pub(crate) tokens: &'b [Token],
    /// Where the first of them stands in the context.
    pub(crate) position: usize,
    /// After how many of the last of them the logits are asked for, at most [`N_LOGITS`].
    pub(crate) n_logits: usize,
}

/// A batch on its way. The rows are those of [`Scratch`], as many as the batch has tokens.
pub(crate) struct Pass<'p> {
    batch: Batch<'p>,
    hparams: &'p HParams,
    cores: Cores<'p>,
    kv: &'p mut KvCache,
    keep_going: &'p mut dyn FnMut() -> bool,
    stopwatch: Option<Stopwatch<'p>>,
    stream: &'p mut [f32],
    x: &'p mut [f32],
    q: &'p mut [f32],
    k: &'p mut [f32],
    v: &'p mut [f32],
    found: &'p mut [f32],
    hidden: &'p mut [f32],
    up: &'p mut [f32],
    forms: &'p mut Forms,
    rotations: &'p mut [[f32; 2]],
    attention: &'p mut [f32],
    logits: &'p mut [f32],
}

impl<'p> Pass<'p> {
    /// Return `batch` before the first layer; `keep_going` is asked before every layer, and a `stopwatch` takes
    /// the times.
    pub(crate) fn new(
        batch: Batch<'p>,
        hparams: &'p HParams,
        cores: Cores<'p>,
        kv: &'p mut KvCache,
        scratch: &'p mut Scratch,
        keep_going: &'p mut dyn FnMut() -> bool,
        stopwatch: Option<Stopwatch<'p>>,
    ) -> Self {
        let n_tokens = batch.tokens.len();
        Self {
            batch,
            hparams,
            cores,
            kv,
            keep_going,
            stopwatch,
            stream: &mut scratch.stream[..n_tokens * hparams.n_embd],
            x: &mut scratch.x[..n_tokens * hparams.n_embd],
            q: &mut scratch.q[..n_tokens * hparams.n_embd_q()],
            k: &mut scratch.k[..n_tokens * hparams.n_embd_kv()],
            v: &mut scratch.v[..n_tokens * hparams.n_embd_kv()],
            found: &mut scratch.found[..n_tokens * hparams.n_embd_q()],
            hidden: &mut scratch.hidden[..n_tokens * hparams.n_ff],
            up: &mut scratch.up[..n_tokens * hparams.n_ff],
            forms: &mut scratch.forms,
            rotations: &mut scratch.rotations,
            attention: &mut scratch.attention,
            logits: &mut scratch.logits,
        }
    }

    /// Return whether to go on with the next layer.
    pub(super) fn keeps_going(&mut self) -> bool {
        (self.keep_going)()
    }

    /// Note the end of `step` where somebody takes the times.
    fn lap(&mut self, step: Step) {
        if let Some(stopwatch) = &mut self.stopwatch {
            stopwatch.lap(step);
        }
    }

    /// Begin the stream: each token's row of `token_embd (n_vocab, n_embd)`.
    pub(super) fn embed(&mut self, token_embd: &Matrix<'_>) {
        let (n_embd, all) = (self.hparams.n_embd, self.batch.tokens);
        self.cores.for_each_row(self.stream, n_embd, &|tokens, rows| {
            for (&token, row) in all[tokens].iter().zip(rows.chunks_exact_mut(n_embd)) {
                token_embd.dequantize_row(token as usize, row);
            }
        });
        self.lap(Step::Embed);
    }

    /// Add to the stream each position's row of `position_embd (n_positions, n_embd)`.
    pub(super) fn add_positions(&mut self, position_embd: &Matrix<'_>) {
        for (i, row) in self.x.chunks_exact_mut(self.hparams.n_embd).enumerate() {
            position_embd.dequantize_row(self.batch.position + i, row);
        }
        self.add_to_stream();
        self.lap(Step::Embed);
    }

    /// Add what a block made to the stream.
    fn add_to_stream(&mut self) {
        let (x, n_embd) = (&*self.x, self.hparams.n_embd);
        self.cores
            .for_each_row(self.stream, n_embd, &|tokens, stream| add(stream, &x[tokens.start * n_embd..]));
    }

    /// Work out by how much the batch's positions turn queries and keys, the same in every layer.
    pub(super) fn prepare_rotations(&mut self, rope: &Rope) {
        let Batch { tokens, position, .. } = self.batch;
        let width = rope.frequencies.len();
        self.cores.for_each_row(&mut self.rotations[..tokens.len() * width], width, &|tokens, rows| {
            for (i, row) in tokens.zip(rows.chunks_exact_mut(width)) {
                rotations(position + i, &rope.frequencies, row);
            }
        });
        self.lap(Step::Rotate);
    }

    /// Normalize the stream for the block that reads it next.
    pub(super) fn normalize(&mut self, norm: &impl Norm) {
        let (stream, n_embd) = (&*self.stream, self.hparams.n_embd);
        self.cores.for_each_row(self.x, n_embd, &|tokens, out| {
            normalize_rows(norm, &stream[tokens.start * n_embd..], n_embd, out);
        });
        self.lap(Step::Normalize);
    }

    /// Make queries, keys and values of the normalized stream: what is asked, what is offered for it, what it holds.
    pub(super) fn project(&mut self, attention: &Attention<'_>) {
        let products = [
            Product { linear: &attention.q, out: self.q },
            Product { linear: &attention.k, out: self.k },
            Product { linear: &attention.v, out: self.v },
        ];
        self.cores.multiply(self.x, self.forms, products);
        self.lap(Step::Project);
    }

    /// Normalize each head of the queries and of the keys.
    pub(super) fn normalize_heads(&mut self, q_norm: &impl Norm, k_norm: &impl Norm) {
        // What the heads find is written later: until then there is room.
        let room = &mut *self.found;
        normalize_rows(q_norm, self.q, self.hparams.n_embd_head, room);
        self.q.copy_from_slice(room);
        let room = &mut room[..self.k.len()];
        normalize_rows(k_norm, self.k, self.hparams.n_embd_head, room);
        self.k.copy_from_slice(room);
        self.lap(Step::Normalize);
    }

    /// Turn queries and keys by their positions.
    pub(super) fn rotate(&mut self, rope: &Rope) {
        let hparams = self.hparams;
        let rotations = &*self.rotations;
        for (rows, width) in [(&mut *self.q, hparams.n_embd_q()), (&mut *self.k, hparams.n_embd_kv())] {
            self.cores.for_each_row(rows, width, &|tokens, rows| {
                let rotations = rotations.chunks_exact(rope.frequencies.len()).skip(tokens.start);
                for (row, rotations) in rows.chunks_exact_mut(width).zip(rotations) {
                    rope.turn(row, hparams.n_embd_head, rotations);
                }
            });
        }
        self.lap(Step::Rotate);
    }

    /// Let each head of each token look at that token and those before it, and add what they find to the stream.
    pub(super) fn attend(&mut self, layer: usize, attention: &Attention<'_>) {
        let position = self.batch.position;
        self.kv.store(self.cores.kernels, layer, position, self.k, self.v);
        let cut = Cut::new(self.hparams, self.cores.count());
        attend(&self.cores, self.kv, &cut, (layer, position), self.q, self.attention, self.found);
        self.lap(Step::Attend);
        self.cores.multiply(self.found, self.forms, [Product { linear: &attention.output, out: self.x }]);
        self.add_to_stream();
        self.lap(Step::AttentionOutput);
    }

    /// Run the gated feed-forward network, and add its result to the stream.
    pub(super) fn swiglu(&mut self, network: &SwiGlu<'_>) {
        let products = [
            Product { linear: &network.gate, out: self.hidden },
            Product { linear: &network.up, out: self.up },
        ];
        let kernels = self.cores.kernels;
        self.cores.multiply_then(self.x, self.forms, products, &|[gate, up]| kernels.swiglu(gate, up));
        self.cores.multiply(self.hidden, self.forms, [Product { linear: &network.down, out: self.x }]);
        self.add_to_stream();
        self.lap(Step::FeedForward);
    }

    /// Run the feed-forward network with GELU, and add its result to the stream.
    pub(super) fn gelu(&mut self, network: &Mlp<'_>) {
        let product = Product { linear: &network.up, out: self.hidden };
        let kernels = self.cores.kernels;
        self.cores.multiply_then(self.x, self.forms, [product], &|[hidden]| kernels.gelu(hidden));
        self.cores.multiply(self.hidden, self.forms, [Product { linear: &network.down, out: self.x }]);
        self.add_to_stream();
        self.lap(Step::FeedForward);
    }

    /// Work out the logits where they are asked for: after the last tokens.
    pub(super) fn logits(&mut self, norm: &impl Norm, output: &Linear<'_>) {
        let HParams { n_embd, n_vocab, .. } = *self.hparams;
        let n_logits = self.batch.n_logits;
        if n_logits > 0 {
            let last = self.stream.len() - n_logits * n_embd;
            let x = &mut self.x[..n_logits * n_embd];
            normalize_rows(norm, &self.stream[last..], n_embd, x);
            let product = Product { linear: output, out: &mut self.logits[..n_logits * n_vocab] };
            self.cores.multiply(x, self.forms, [product]);
            self.lap(Step::Logits);
        }
    }
}

/// Normalize each row of `rows (n, width)` to `out`.
fn normalize_rows(norm: &impl Norm, rows: &[f32], width: usize, out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        norm.row(row, out);
    }
}
