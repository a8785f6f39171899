//! Products of interleaved rows: how they lie in memory, where their products go, and the loop over them, which is the same for
//! all instruction sets.
//!
//! A vector has a lane per row, four weights to a lane, so that no sum ever has to be folded. Sets whose vectors have fewer lanes than a
//! group has rows take it in parts.

use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use core::array;
use core::ops::Range;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::quant::{BlockQ8_1, F16, QK, ROWS};

/// Four bytes of each row.
pub(super) type Lanes = [u8; 4 * ROWS];

/// Blocks of a group, as [`crate::quant::interleave`] weaves them, of the types with one scale.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Scaled<const N: usize> {
    pub(super) d: [F16; ROWS],
    pub(super) qs: [Lanes; N],
}

/// The same with a minimum.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FromMinimum<const N: usize> {
    pub(super) d: [F16; ROWS],
    pub(super) m: [F16; ROWS],
    pub(super) qs: [Lanes; N],
}

/// Q4_K (`N` = 32) and Q5_K (`N` = 40, the fifth bits first).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SuperBlock<const N: usize> {
    pub(super) d: [F16; ROWS],
    pub(super) m: [F16; ROWS],
    pub(super) scales: [Lanes; 3],
    pub(super) qs: [Lanes; N],
}

/// Q6_K.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SuperBlockQ6 {
    pub(super) ql: [[[Lanes; 8]; 2]; 2],
    pub(super) qh: [[Lanes; 8]; 2],
    pub(super) scales: [Lanes; 4],
    pub(super) d: [F16; ROWS],
}

/// A block of a group.
pub(super) trait Woven: FromBytes + Immutable + KnownLayout + Unaligned {}

impl<const N: usize> Woven for Scaled<N> {}
impl<const N: usize> Woven for FromMinimum<N> {}
impl<const N: usize> Woven for SuperBlock<N> {}
impl Woven for SuperBlockQ6 {}

/// Which products are wanted, and where they go: `out (n_tokens)(rows.len())`.
pub(super) struct Destination<'o, 'r> {
    pub(super) n_in: usize,
    pub(super) rows: Range<usize>,
    pub(super) out: &'o mut [&'r mut [f32]],
}

impl Destination<'_, '_> {
    /// Return which groups the rows are in.
    pub(super) fn groups(&self) -> Range<usize> {
        self.rows.start / ROWS..self.rows.end.div_ceil(ROWS)
    }

    /// Write the products of the rows from `first` on, as far as they are wanted, to those of token `token`.
    #[inline]
    pub(super) fn store<const N: usize>(&mut self, token: usize, first: usize, products: &[f32; N]) {
        let wanted = first.max(self.rows.start)..(first + N).min(self.rows.end);
        if wanted.start >= wanted.end {
            return;
        }
        let out = &mut self.out[token][wanted.start - self.rows.start..wanted.end - self.rows.start];
        match <&mut [f32; N]>::try_from(&mut *out) {
            // All of them are one vector, not a copy of so many bytes.
            Ok(all) => *all = *products,
            Err(_) => out.copy_from_slice(&products[wanted.start - first..wanted.end - first]),
        }
    }
}

/// What an instruction set does with the blocks `B` of a group, taken in parts of `LANES` rows: one vector `V` of floats each.
pub(super) struct Steps<V, Unpack, Add, ToArray> {
    /// A vector of zeros.
    pub(super) zero: V,
    /// `unpack(block, i, part)`: the weights of a part of the block that meet block `i` of activations.
    pub(super) unpack: Unpack,
    /// `add(weights, x, sums)`: the rows' sums and the products with `x`.
    pub(super) add: Add,
    /// The sums as an array.
    pub(super) to_array: ToArray,
}

/// How far ahead of the weights at work others are fetched. Alone, a processor fetches too little: it looks no further than the end of a
/// page, and is slow to see that blocks whose parts are read in turns are a stream. (Zen 5, one core, GB/s: Q4_0 30 -> 38, Q4_K 17 -> 39.)
const AHEAD_BYTES: usize = 8192;

/// A line of the cache.
const LINE_BYTES: usize = 64;

/// Tokens that share unpacked weights: their sums, and the weights, fill the registers.
const TILE: usize = 4;

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_in / QK)`. A block of weights meets `N` of activations.
///
/// It is inlined, so that it becomes part of a function that may use the instruction set of `steps`.
#[inline(always)]
pub(super) fn mul_mat<B: Woven, W, V: Copy, const N: usize, const LANES: usize, const PARTS: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    mut to: Destination<'_, '_>,
    steps: &Steps<
        V,
        impl Fn(&B, usize, usize) -> W,
        impl Fn(&W, &BlockQ8_1, V) -> V,
        impl Fn(V) -> [f32; LANES],
    >,
) {
    const { assert!(LANES * PARTS == ROWS) };
    let w = <[B]>::ref_from_bytes(w).expect("whole groups");
    let x = x.as_chunks::<N>().0;
    let n_blocks = to.n_in / (N * QK);
    for group in to.groups() {
        let w = &w[group * n_blocks..][..n_blocks];
        let row = |part: usize| group * ROWS + part * LANES;
        for (i, x) in x.chunks(TILE * n_blocks).enumerate() {
            if x.len() == TILE * n_blocks {
                let x: [_; TILE] = array::from_fn(|token| &x[token * n_blocks..][..n_blocks]);
                for part in 0..PARTS {
                    let [sums] = tile(w, x, [part], steps);
                    for (token, sums) in sums.into_iter().enumerate() {
                        to.store(i * TILE + token, row(part), &(steps.to_array)(sums));
                    }
                }
            } else {
                for (token, x) in x.chunks_exact(n_blocks).enumerate() {
                    // All parts at once: weights come from memory in the order in which they lie.
                    let sums: [_; PARTS] = tile(w, [x], array::from_fn(|part| part), steps);
                    for (part, [sums]) in sums.into_iter().enumerate() {
                        to.store(i * TILE + token, row(part), &(steps.to_array)(sums));
                    }
                }
            }
        }
    }
}

/// Return the products of `parts` of a group of rows `w (n_blocks)` with `x (T, n_blocks)`.
#[inline(always)]
fn tile<B, W, V: Copy, A, const N: usize, const T: usize, const P: usize>(
    w: &[B],
    x: [&[[BlockQ8_1; N]]; T],
    parts: [usize; P],
    steps: &Steps<V, impl Fn(&B, usize, usize) -> W, impl Fn(&W, &BlockQ8_1, V) -> V, A>,
) -> [[V; T]; P] {
    let mut sums = [[steps.zero; T]; P];
    for (block, w) in w.iter().enumerate() {
        for i in 0..N {
            if T == 1 {
                fetch_ahead(w, i, N);
            }
            for (&part, sums) in parts.iter().zip(&mut sums) {
                let w = (steps.unpack)(w, i, part);
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = (steps.add)(&w, &x[block][i], *sum);
                }
            }
        }
    }
    sums
}

/// Fetch part `i` of `n` of what lies as large as `w` and [`AHEAD_BYTES`] behind it: weights of the same matrix, or of what comes after it.
#[inline(always)]
fn fetch_ahead<B>(w: &B, i: usize, n: usize) {
    let part = size_of::<B>().div_ceil(LINE_BYTES).div_ceil(n) * LINE_BYTES;
    for at in (i * part..size_of::<B>().min((i + 1) * part)).step_by(LINE_BYTES) {
        let address = (&raw const *w).cast::<i8>().wrapping_add(AHEAD_BYTES + at);
        // SAFETY: an address that is not there is not fetched, without a fault (Intel SDM volume 2, PREFETCHh).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
    }
}
