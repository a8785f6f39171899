//! Products of interleaved rows: how they lie in memory, where their products go, and the loop over them, which is the same for
//! all instruction sets.
//!
//! A vector has a lane per row, four weights to a lane, so that no sum ever has to be folded. Sets whose vectors have fewer lanes than a
//! group has rows take it in parts.

use core::array;
use core::ops::Range;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::buffer::Buffer;
use super::fetch;
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
    #[inline(always)]
    pub(super) fn store<const N: usize>(&mut self, token: usize, first: usize, products: &[f32; N]) {
        let (out, wanted) = self.place(token, first, N);
        match <&mut [f32; N]>::try_from(&mut *out) {
            // All of them are one vector, not a copy of so many bytes.
            Ok(all) => *all = *products,
            Err(_) => out.copy_from_slice(&products[wanted]),
        }
    }

    /// Zero the products of `n` rows from `first` on, as far as they are wanted, of token `token`.
    #[inline(always)]
    pub(super) fn clear(&mut self, token: usize, first: usize, n: usize) {
        self.place(token, first, n).0.fill(0.0);
    }

    /// Add the products of the groups of rows from `first` on, as far as they are wanted, to those of token `token`; `add_to` adds those
    /// of a group.
    #[inline(always)]
    pub(super) fn add<S: Copy, const G: usize>(
        &mut self,
        token: usize,
        first: usize,
        sums: [S; G],
        add_to: impl Fn(S, &mut [f32; ROWS]),
    ) {
        let (out, wanted) = self.place(token, first, G * ROWS);
        let mut products = [[0.0; ROWS]; G];
        products.iter_mut().zip(sums).for_each(|(products, sums)| add_to(sums, products));
        let products = &products.as_flattened()[wanted];
        out.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
    }

    /// Return where the products of `T` tokens with `G` groups of rows from `first` on go; `None` if not all of them are wanted.
    #[inline(always)]
    pub(super) fn places<const T: usize, const G: usize>(
        &mut self,
        token: usize,
        first: usize,
    ) -> Option<[&mut [[f32; ROWS]; G]; T]> {
        let first = first.checked_sub(self.rows.start)?;
        let out: &mut [&mut [f32]; T] = self.out.get_mut(token..token + T)?.try_into().ok()?;
        if first + G * ROWS > self.rows.len() {
            return None;
        }
        Some(out.each_mut().map(|out| {
            let groups = out[first..].as_chunks_mut().0.first_chunk_mut();
            groups.expect("as many as rows are wanted")
        }))
    }

    /// Return where products of `n` rows from `first` on go, and which of them are wanted.
    #[inline(always)]
    fn place(&mut self, token: usize, first: usize, n: usize) -> (&mut [f32], Range<usize>) {
        let wanted = first.max(self.rows.start)..(first + n).min(self.rows.end);
        if wanted.is_empty() {
            return (&mut [], 0..0);
        }
        let out = &mut self.out[token][wanted.start - self.rows.start..wanted.end - self.rows.start];
        (out, wanted.start - first..wanted.end - first)
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

/// Tokens whose sums are in registers together with the weights of a block.
const TILE: usize = 4;

/// Tokens that share unpacked weights: their activations stay in the second cache.
const BATCH: usize = 64;

/// Blocks of unpacked weights that stay in the first cache.
const PANEL: usize = 32;

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_in / QK)`. A block of weights meets `N` of activations.
///
/// It is inlined, so that it becomes part of a function that may use the instruction set of `steps`.
#[inline(always)]
pub(super) fn mul_mat<B: Woven, W: Copy, V: Copy, const N: usize, const LANES: usize, const PARTS: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    steps: &Steps<
        V,
        impl Fn(&B, usize, usize) -> W,
        impl Fn(&W, &BlockQ8_1, V) -> V,
        impl Fn(V) -> [f32; LANES],
    >,
) {
    if to.out.len() < TILE {
        multiply_few::<_, _, _, N, LANES, PARTS>(w, x, to, steps);
    } else {
        multiply_many::<_, _, _, N, LANES, PARTS>(w, x, to, steps);
    }
}

/// As [`mul_mat`], each token by itself: weights come from memory in the order in which they lie, all parts of a block together.
#[inline(always)]
pub(super) fn multiply_few<B: Woven, W, V: Copy, const N: usize, const LANES: usize, const PARTS: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    to: Destination<'_, '_>,
    steps: &Steps<
        V,
        impl Fn(&B, usize, usize) -> W,
        impl Fn(&W, &BlockQ8_1, V) -> V,
        impl Fn(V) -> [f32; LANES],
    >,
) {
    let add = |w: &B, x: &[BlockQ8_1; N], mut sums: [V; PARTS]| {
        for (i, x) in x.iter().enumerate() {
            fetch::ahead(w, i, N);
            for (part, sums) in sums.iter_mut().enumerate() {
                *sums = (steps.add)(&(steps.unpack)(w, i, part), x, *sums);
            }
        }
        sums
    };
    multiply_blocks(w, x, to, steps.zero, add, &steps.to_array);
}

/// As [`multiply_few`], block by block: `add(block, x, sums)` returns the rows' sums and the products of a block with those that it meets.
#[inline(always)]
pub(super) fn multiply_blocks<B: Woven, V: Copy, const N: usize, const LANES: usize, const PARTS: usize>(
    w: &[u8],
    x: &[BlockQ8_1],
    mut to: Destination<'_, '_>,
    zero: V,
    add: impl Fn(&B, &[BlockQ8_1; N], [V; PARTS]) -> [V; PARTS],
    to_array: impl Fn(V) -> [f32; LANES],
) {
    const { assert!(LANES * PARTS == ROWS) };
    let w = <[B]>::ref_from_bytes(w).expect("whole groups");
    let n_blocks = to.n_in / (N * QK);
    for group in to.groups() {
        let w = &w[group * n_blocks..][..n_blocks];
        for (token, x) in x.as_chunks::<N>().0.chunks_exact(n_blocks).enumerate() {
            let sums = w.iter().zip(x).fold([zero; PARTS], |sums, (w, x)| add(w, x, sums));
            for (part, sums) in sums.into_iter().enumerate() {
                to.store(token, group * ROWS + part * LANES, &to_array(sums));
            }
        }
    }
}

/// As [`mul_mat`], with weights that are unpacked once for [`BATCH`] tokens.
#[inline(always)]
fn multiply_many<B: Woven, W: Copy, V: Copy, const N: usize, const LANES: usize, const PARTS: usize>(
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
    let (n_quants, n_blocks) = (to.n_in / QK, to.n_in / (N * QK));
    let mut panel = Buffer::<W, PANEL>::new();
    let mut sums = [steps.zero; BATCH];
    let groups = to.groups();
    for (batch, x) in x.chunks(BATCH * n_quants).enumerate() {
        let n_tokens = x.len() / n_quants;
        let sums = &mut sums[..n_tokens];
        for (group, part) in groups.clone().flat_map(|group| (0..PARTS).map(move |part| (group, part))) {
            let w = &w[group * n_blocks..][..n_blocks];
            sums.fill(steps.zero);
            for first in (0..n_quants).step_by(PANEL) {
                let panel = panel.fill(PANEL.min(n_quants - first), |i| {
                    let quant = first + i;
                    [(steps.unpack)(&w[quant / N], quant % N, part)]
                });
                let x = |token: usize| &x[token * n_quants + first..][..panel.len()];
                let (tiles, others) = sums.as_chunks_mut::<TILE>();
                let n_tiled = tiles.len() * TILE;
                for (i, sums) in tiles.iter_mut().enumerate() {
                    let x = array::from_fn(|token| x(i * TILE + token));
                    *sums = tile(panel, x, *sums, &steps.add);
                }
                for (i, sums) in others.iter_mut().enumerate() {
                    [*sums] = tile(panel, [x(n_tiled + i)], [*sums], &steps.add);
                }
            }
            for (token, sums) in sums.iter().enumerate() {
                to.store(batch * BATCH + token, group * ROWS + part * LANES, &(steps.to_array)(*sums));
            }
        }
    }
}

/// Return `sums` plus the products of `w (n)` with `x (T)(n)`.
#[inline(always)]
fn tile<W, V: Copy, const T: usize>(
    w: &[W],
    x: [&[BlockQ8_1]; T],
    mut sums: [V; T],
    add: &impl Fn(&W, &BlockQ8_1, V) -> V,
) -> [V; T] {
    for (i, w) in w.iter().enumerate() {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = add(w, &x[i], *sum);
        }
    }
    sums
}
