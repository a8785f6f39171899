//! How the work between two meetings of the cores is cut: every core gets its own part of the output.
//!
//! A mutex per core hands the part over; nobody else ever asks for it, so that it costs one uncontended exchange.

use core::ops::Range;

use arrayvec::ArrayVec;
use spin::Mutex;

use crate::cpu::Kernels;
use crate::model::Linear;
use crate::platform::Workers;
use crate::quant::{Activations, BlockQ8_1, QK};

/// Cores that can take part; further ones stay idle.
pub(crate) const MAX_CORES: usize = 64;

/// Rows of a matrix are dealt out in groups of this many: what the kernels take at a time.
const ROW_GROUP: usize = 8;

/// The cores, and the inner loops that they run.
#[derive(Clone, Copy)]
pub(crate) struct Cores<'a> {
    pub(crate) workers: &'a dyn Workers,
    pub(crate) kernels: &'static Kernels,
}

/// A matrix, and where its products and their bias go: `(n_tokens, n_out)`.
pub(crate) struct Product<'a> {
    pub(crate) linear: &'a Linear<'a>,
    pub(crate) out: &'a mut [f32],
}

/// A core's part of a product.
struct Part<'a> {
    linear: &'a Linear<'a>,
    rows: Range<usize>,
    tokens: Range<usize>,
    out: &'a mut [f32],
}

impl Cores<'_> {
    /// Return how many cores take part.
    pub(crate) fn count(&self) -> usize {
        self.workers.count().clamp(1, MAX_CORES)
    }

    /// Multiply the same activations `x (n_tokens, n_in)` with several matrices, in one meeting of the cores.
    ///
    /// `quants (n_tokens, n_in / QK)` is scratch, used when a matrix is quantized.
    pub(crate) fn multiply<const N: usize>(
        &self,
        x: &[f32],
        quants: &mut [BlockQ8_1],
        mut products: [Product<'_>; N],
    ) {
        let n_in = products[0].linear.matrix.n_in();
        let n_tokens = x.len() / n_in;
        let quants = match products.iter().any(|product| product.linear.matrix.is_quantized()) {
            true => &mut quants[..x.len() / QK],
            false => &mut [],
        };
        if !quants.is_empty() {
            self.kernels.quantize_q8_1(x, quants);
        }
        let quants = &*quants;

        let n_cores = self.count();
        let mut shares: ArrayVec<Mutex<[Part<'_>; N]>, MAX_CORES> = ArrayVec::new();
        for core in 0..n_cores {
            shares
                .push(Mutex::new(products.each_mut().map(|product| part(product, core, n_cores, n_tokens))));
        }
        self.workers.run(&|core| {
            let Some(share) = shares.get(core) else { return };
            for Part { linear, rows, tokens, out } in share.lock().iter_mut() {
                let x = Activations {
                    floats: &x[tokens.start * n_in..tokens.end * n_in],
                    quants: quants
                        .get(tokens.start * (n_in / QK)..tokens.end * (n_in / QK))
                        .unwrap_or_default(),
                };
                if !out.is_empty() {
                    linear.apply(self.kernels, rows.clone(), x, out);
                }
            }
        });
    }

    /// Call `task(unit, scratch, out)` for each unit of `out (n_units, unit_len)`, on all cores; every core has its own
    /// row of `scratch (n_cores, scratch_len)`.
    pub(crate) fn for_each_unit(
        &self,
        out: &mut [f32],
        unit_len: usize,
        scratch: &mut [f32],
        task: &(dyn Fn(usize, &mut [f32], &mut [f32]) + Sync),
    ) {
        let n_cores = self.count();
        let n_units = out.len() / unit_len;
        let scratch_len = scratch.len() / n_cores;
        let mut shares: ArrayVec<Mutex<(usize, &mut [f32], &mut [f32])>, MAX_CORES> = ArrayVec::new();
        let mut rest = out;
        for (core, scratch) in scratch.chunks_exact_mut(scratch_len).take(n_cores).enumerate() {
            let units = share(n_units, core, n_cores);
            let (mine, others) = rest.split_at_mut(units.len() * unit_len);
            rest = others;
            shares.push(Mutex::new((units.start, scratch, mine)));
        }
        self.workers.run(&|core| {
            let Some(share) = shares.get(core) else { return };
            let (first, scratch, out) = &mut *share.lock();
            for (i, out) in out.chunks_exact_mut(unit_len).enumerate() {
                task(*first + i, scratch, out);
            }
        });
    }
}

/// Return which of `n` units are core `core`'s.
pub(crate) fn share(n: usize, core: usize, n_cores: usize) -> Range<usize> {
    n * core / n_cores..n * (core + 1) / n_cores
}

/// Cut core `core`'s part off the front of `product`'s output: some rows of one token, or all rows of some tokens, so
/// that either way its output is one piece.
fn part<'a>(product: &mut Product<'a>, core: usize, n_cores: usize, n_tokens: usize) -> Part<'a> {
    let linear = product.linear;
    let n_out = linear.rows.len();
    let (rows, tokens) = if n_tokens == 1 {
        let groups = share(n_out.div_ceil(ROW_GROUP), core, n_cores);
        ((groups.start * ROW_GROUP).min(n_out)..(groups.end * ROW_GROUP).min(n_out), 0..1)
    } else {
        (0..n_out, share(n_tokens, core, n_cores))
    };
    let (out, rest) = core::mem::take(&mut product.out).split_at_mut(rows.len() * tokens.len());
    product.out = rest;
    Part { linear, rows, tokens, out }
}
