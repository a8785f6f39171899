//! How the work between two meetings of the cores is cut: every core gets its own part of the output.
//!
//! A mutex hands each part over; nobody else ever asks for it, so that it costs one uncontended exchange.

use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use arrayvec::ArrayVec;
use ndarray::{ArrayViewMut1, ArrayViewMut2, Axis};
use spin::Mutex;

use crate::Error;
use crate::cpu::{FEW_TOKENS, Kernels, MAX_TILE_TOKENS};
use crate::memory::zeroed;
use crate::model::{Linear, Matrix, N_BATCH};
use crate::platform::Workers;
use crate::quant::{Activations, BlockQ8_1, QK, Tiles};

/// Cores that can take part; further ones stay idle.
pub(crate) const MAX_CORES: usize = 64;

/// Into how many shares per core a large product is cut: a core that is faster, or less disturbed, takes more of them.
const SHARES_PER_CORE: usize = 4;

/// The same of products with many tokens, which take longer: for so much of one do cores wait for the last.
const SHARES_OF_MANY_TOKENS: usize = 16;

/// Products of a share at least: what a core reads the weights of in some ten microseconds.
const MIN_SHARE_PRODUCTS: usize = 128 * 1024;

/// Rows of a matrix are dealt out in groups of this many: what the kernels take at a time.
const ROW_GROUP: usize = 32;

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

/// Room for the forms in which activations meet matrices, for up to [`N_BATCH`] tokens; allocated once.
#[derive(Debug)]
pub(crate) struct Forms {
    /// `(N_BATCH, widest input / QK)`.
    quants: Vec<BlockQ8_1>,
    /// As many as there are tokens, and a tile's more, `(N_BATCH + MAX_TILE_TOKENS, widest input)`.
    tiles: Vec<u32>,
}

impl Forms {
    /// Return room for inputs of up to `n_in`.
    pub(crate) fn new(n_in: usize) -> Result<Self, Error> {
        let [n_quants, n_words] = Self::lens(n_in);
        Ok(Self {
            quants: zeroed("the quantized activations", n_quants)?,
            tiles: zeroed("the activations in tiles", n_words)?,
        })
    }

    /// Zero what the last products left.
    pub(crate) fn wipe(&mut self) {
        self.quants.fill(BlockQ8_1::default());
        self.tiles.fill(0);
    }

    /// Return how many bytes [`Self::new`] allocates.
    pub(crate) fn bytes(n_in: usize) -> usize {
        let [n_quants, n_words] = Self::lens(n_in);
        n_quants * size_of::<BlockQ8_1>() + n_words * size_of::<u32>()
    }

    fn lens(n_in: usize) -> [usize; 2] {
        [N_BATCH * n_in.div_ceil(QK), (N_BATCH + MAX_TILE_TOKENS) * n_in]
    }
}

/// A share of a product: some rows, so that no weight is read by two cores.
struct Part<'a> {
    linear: &'a Linear<'a>,
    rows: Range<usize>,
    /// `(n_tokens, rows.len())`.
    out: ArrayViewMut2<'a, f32>,
}

impl Cores<'_> {
    /// Return how many cores take part.
    pub(crate) fn count(&self) -> usize {
        self.workers.count().clamp(1, MAX_CORES)
    }

    /// Multiply the same activations `x (n_tokens, n_in)` with several matrices, in one meeting of the cores.
    ///
    /// `forms` is scratch for other forms of the activations that the matrices may ask for.
    pub(crate) fn multiply<const N: usize>(&self, x: &[f32], forms: &mut Forms, products: [Product<'_>; N]) {
        self.multiply_then(x, forms, products, &|_| {});
    }

    /// As [`Self::multiply`]; then call `finish` for each token with some rows of its products: where the matrices have as many
    /// rows, the same ones of each. They begin at a multiple of [`ROW_GROUP`], so that what is left of a vector is the same
    /// however many cores there are.
    pub(crate) fn multiply_then<const N: usize>(
        &self,
        x: &[f32],
        forms: &mut Forms,
        products: [Product<'_>; N],
        finish: &(dyn Fn([&mut [f32]; N]) + Sync),
    ) {
        let n_tokens = products[0].out.len() / products[0].linear.rows.len();
        let matrices = products.each_ref().map(|product| product.linear.matrix);
        let x = self.in_forms(x, n_tokens, forms, &matrices);

        let n_cores = self.count();
        let n_weights: usize =
            products.iter().map(|Product { linear, .. }| linear.rows.len() * linear.matrix.n_in()).sum();
        let shares_per_core = if n_tokens > FEW_TOKENS { SHARES_OF_MANY_TOKENS } else { SHARES_PER_CORE };
        let per_core = (n_weights * n_tokens / MIN_SHARE_PRODUCTS / n_cores).clamp(1, shares_per_core);
        let n_shares = (n_cores * per_core).min(MAX_CORES);
        let mut shares: ArrayVec<Mutex<[Part<'_>; N]>, MAX_CORES> = ArrayVec::new();
        let mut rests = products.map(|Product { linear, out }| {
            let out = ArrayViewMut2::from_shape((n_tokens, linear.rows.len()), out);
            (linear, Some(out.expect("as many products as tokens and rows")))
        });
        for i in 0..n_shares {
            shares.push(Mutex::new(rests.each_mut().map(|(linear, rest)| {
                let rows = rows_of_share(linear.rows.len(), i, n_shares);
                let (out, others) =
                    rest.take().expect("put back for every share").split_at(Axis(1), rows.len());
                *rest = Some(others);
                Part { linear, rows, out }
            })));
        }
        let n_taken = [const { AtomicUsize::new(0) }; MAX_CORES];
        self.workers.run(&|core| {
            // Shares of its own come first: what it writes there, it wrote in the layer before, and no other core has it in its
            // cache. Then it helps the others.
            for owner in (0..n_cores).cycle().skip(core).take(n_cores) {
                let shares = &shares[share(n_shares, owner, n_cores)];
                while let Some(share) = shares.get(n_taken[owner].fetch_add(1, Ordering::Relaxed)) {
                    let mut parts = share.lock();
                    for Part { linear, rows, out } in parts.iter_mut() {
                        if rows.start < rows.end {
                            // Filled where it is: what is collected is copied, all that it has room for.
                            let mut tokens = ArrayVec::<_, N_BATCH>::new();
                            tokens.extend(out.rows_mut().into_iter().map(slice));
                            linear.apply(self.kernels, rows.clone(), x, &mut tokens);
                        }
                    }
                    for token in 0..n_tokens {
                        finish(parts.each_mut().map(|part| slice(part.out.row_mut(token))));
                    }
                }
            }
        });
    }

    /// Return the activations `x (n_tokens, n_in)` in the forms that `matrices` ask for.
    fn in_forms<'x>(
        &self,
        x: &'x [f32],
        n_tokens: usize,
        forms: &'x mut Forms,
        matrices: &[Matrix<'_>],
    ) -> Activations<'x> {
        let n_in = x.len() / n_tokens;
        let mut activations = Activations { floats: x, ..Activations::default() };
        // What suits the type that asks for the most of one scale, suits all.
        if let Some(n_sharing) = matrices.iter().filter_map(Matrix::n_sharing).max() {
            let quants = &mut forms.quants[..x.len() / QK];
            self.for_each_row(quants, n_in / QK, &|tokens, quants| {
                let x = &x[tokens.start * n_in..tokens.end * n_in];
                self.kernels.quantize_q8_1(x, n_sharing, quants);
            });
            activations.quants = quants;
        }
        // Tiles for 32-bit floats suit all others.
        let numbers = matrices.iter().filter_map(Matrix::numbers_in_tiles).min();
        let tiling = numbers.and_then(|numbers| self.kernels.tiling(numbers, n_in));
        if let Some((numbers, tiling)) = tiling.filter(|_| n_tokens > FEW_TOKENS) {
            let words = &mut forms.tiles[..tiling.len(n_tokens, n_in)];
            self.for_each_row(words, tiling.tile_len(n_in), &|tiles, words| {
                let tokens = tiles.start * tiling.n_tokens..n_tokens.min(tiles.end * tiling.n_tokens);
                self.kernels.tile(numbers, &x[tokens.start * n_in..tokens.end * n_in], n_in, words);
            });
            activations.tiles = Tiles { numbers, words };
        }
        activations
    }

    /// Call `task(units, scratch, out)` on all cores, each with its part of `out (n_units, unit_len)`: the units that `cut(core)`
    /// names, one core's behind the other's. Every core has its own row of `scratch (n_cores, scratch_len)`.
    pub(crate) fn for_each_share<T: Send>(
        &self,
        out: &mut [T],
        unit_len: usize,
        cut: &dyn Fn(usize) -> Range<usize>,
        scratch: &mut [f32],
        task: &(dyn Fn(Range<usize>, &mut [f32], &mut [T]) + Sync),
    ) {
        let n_cores = self.count();
        let scratch_len = scratch.len() / n_cores;
        let mut shares: ArrayVec<Mutex<(Range<usize>, &mut [f32], &mut [T])>, MAX_CORES> = ArrayVec::new();
        let mut rest = out;
        let mut rest_of_scratch = scratch;
        for core in 0..n_cores {
            let units = cut(core);
            let (mine, others) = rest.split_at_mut(units.len() * unit_len);
            let (scratch, other_scratch) = rest_of_scratch.split_at_mut(scratch_len);
            (rest, rest_of_scratch) = (others, other_scratch);
            shares.push(Mutex::new((units, scratch, mine)));
        }
        self.workers.run(&|core| {
            let Some(share) = shares.get(core) else { return };
            let (units, scratch, out) = &mut *share.lock();
            task(units.clone(), scratch, out);
        });
    }

    /// Call `task(rows, out)` for all rows of `out (n_rows, width)`, shared out to the cores; a few rows are not worth a meeting.
    pub(crate) fn for_each_row<T: Send>(
        &self,
        out: &mut [T],
        width: usize,
        task: &(dyn Fn(Range<usize>, &mut [T]) + Sync),
    ) {
        let (n_rows, n_cores) = (out.len() / width, self.count());
        if n_rows <= FEW_TOKENS {
            return task(0..n_rows, out);
        }
        let cut = |core| share(n_rows, core, n_cores);
        self.for_each_share(out, width, &cut, &mut [], &|rows, _, out| task(rows, out));
    }
}

/// Return which of a product's `n_rows` rows are share `i` of `n`.
fn rows_of_share(n_rows: usize, i: usize, n: usize) -> Range<usize> {
    let groups = share(n_rows.div_ceil(ROW_GROUP), i, n);
    (groups.start * ROW_GROUP).min(n_rows)..(groups.end * ROW_GROUP).min(n_rows)
}

/// Return a token's part of a product.
fn slice(row: ArrayViewMut1<'_, f32>) -> &mut [f32] {
    row.into_slice().expect("a token's products lie side by side")
}

/// Return which of `n` units are core `core`'s.
pub(crate) fn share(n: usize, core: usize, n_cores: usize) -> Range<usize> {
    n * core / n_cores..n * (core + 1) / n_cores
}
