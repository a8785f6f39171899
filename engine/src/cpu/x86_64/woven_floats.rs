//! Products of interleaved rows that are floats: the loops over them, which are the same for all instruction sets.
//!
//! As in [`super::woven`], a lane is a row's, so that no sum ever goes across lanes; and what is read lies in one piece, however long the
//! rows are. (The activations of a long row are more than the first cache keeps beside a stream of weights: each meets sixteen rows
//! here for once that it comes. Zen 4, one core, F16 rows of 5,632, GB/s of weights: 17 -> 29.)

use core::array;
use core::ops::Range;

use arrayvec::ArrayVec;
use zerocopy::{FromBytes, IntoBytes};

use super::buffer::Buffer;
use super::fetch;
use super::woven::{Destination, Lanes};
use crate::quant::ROWS;

/// Columns side by side in a lane, of weights that have half of one.
pub(super) const PAIR: usize = 2;

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_in)`, each token by itself. A block of a group has `N` columns,
/// and makes `M` vectors of sums: `add(block, x, sums)` adds its products to them, `to_array` returns each row's.
///
/// It is inlined, so that it becomes part of a function that may use the instruction set of `add`.
#[inline(always)]
pub(super) fn multiply_few<V: Copy, const N: usize, const M: usize>(
    w: &[u8],
    x: &[f32],
    mut to: Destination<'_, '_>,
    zero: V,
    add: impl Fn(&Lanes, &[f32; N], [V; M]) -> [V; M],
    to_array: impl Fn([V; M]) -> [f32; ROWS],
) {
    let (w, n_blocks) = (w.as_chunks().0, to.n_in / N);
    for group in to.groups() {
        let w = &w[group * n_blocks..][..n_blocks];
        for (token, x) in x.as_chunks().0.chunks_exact(n_blocks).enumerate() {
            let sums = w.iter().zip(x).fold([zero; M], |sums, (w, x)| add(w, x, sums));
            to.store(token, group * ROWS, &to_array(sums));
        }
    }
}

/// What an instruction set does with the floats of many tokens, a step at a time: a column of weights, or as many as a lane has at once.
pub(super) struct Steps<V, Unpack, Add, AddTo> {
    /// A vector of zeros.
    pub(super) zero: V,
    /// `unpack(block)`: the weights of a block, step by step.
    pub(super) unpack: Unpack,
    /// `add(weights, x, sums)`: the rows' sums and the products with the word `x` of activations.
    pub(super) add: Add,
    /// `add_to(sums, out)`: add the sums of a group to `out`.
    pub(super) add_to: AddTo,
}

/// Write the products of the interleaved rows `w` with the tiles `x` of activations ([`crate::cpu::Kernels::tile`]), each of `T` tokens, and `G`
/// groups at a time. A block has `N` columns and takes `S` steps, a word each; a step of a group is `M` vectors.
///
/// Weights of `PANEL` steps are unpacked at a time, for `BATCH` tokens: the fewer steps, the more often sums are added to what is in memory; the more,
/// the less of them stays in the first cache, and of the activations in the second.
#[inline(always)]
pub(super) fn multiply_many<
    W: Copy,
    V: Copy,
    const N: usize,
    const S: usize,
    const M: usize,
    const G: usize,
    const T: usize,
    const PANEL: usize,
    const BATCH: usize,
>(
    w: &[u8],
    x: &[u32],
    mut to: Destination<'_, '_>,
    steps: &Steps<
        V,
        impl Fn(&Lanes) -> [[W; M]; S],
        impl Fn(W, u32, V) -> V,
        impl Fn([V; M], &mut [f32; ROWS]),
    >,
) {
    const { assert!(PANEL.is_multiple_of(S) && BATCH.is_multiple_of(T)) };
    let (w, n_tokens, groups) = (w.as_chunks().0, to.out.len(), to.groups());
    let (n_steps, x) = (to.n_in / N * S, x.as_chunks::<T>().0);
    for first_token in (0..n_tokens).step_by(BATCH) {
        let tokens = first_token..n_tokens.min(first_token + BATCH);
        for start in (0..n_steps).step_by(PANEL) {
            let steps_of = start..n_steps.min(start + PANEL);
            let panel = Panel { w, x, n_steps, steps: steps_of, tokens: tokens.clone() };
            let mut group = groups.start;
            while group + G <= groups.end {
                multiply_panel::<W, V, N, S, M, G, T, PANEL>(&panel, &mut to, group, steps);
                group += G;
            }
            for group in group..groups.end {
                multiply_panel::<W, V, N, S, M, 1, T, PANEL>(&panel, &mut to, group, steps);
            }
        }
    }
}

/// Some steps of all rows, and the activations that they meet: `x (n_tiles, n_steps)` of words of `T` tokens.
struct Panel<'a, const T: usize> {
    w: &'a [Lanes],
    x: &'a [[u32; T]],
    n_steps: usize,
    steps: Range<usize>,
    tokens: Range<usize>,
}

/// Add the products of the steps of a panel in the groups from `group` on.
#[inline(always)]
fn multiply_panel<
    W: Copy,
    V: Copy,
    const N: usize,
    const S: usize,
    const M: usize,
    const G: usize,
    const T: usize,
    const PANEL: usize,
>(
    panel: &Panel<'_, T>,
    to: &mut Destination<'_, '_>,
    group: usize,
    steps: &Steps<
        V,
        impl Fn(&Lanes) -> [[W; M]; S],
        impl Fn(W, u32, V) -> V,
        impl Fn([V; M], &mut [f32; ROWS]),
    >,
) {
    let Panel { w, x, n_steps, steps: Range { start, end }, tokens } = panel;
    let (n_blocks, blocks) = (to.n_in / N, start / S..end / S);
    let blocks_of =
        |group: usize| w.get(group * n_blocks + blocks.start..group * n_blocks + blocks.end).unwrap_or(&[]);
    let mut weights = Buffer::<[[W; M]; G], PANEL>::new();
    let weights = weights.fill(blocks.len(), |i| {
        let unpacked: [[_; S]; G] = array::from_fn(|j| (steps.unpack)(&blocks_of(group + j)[i]));
        array::from_fn::<_, S, _>(|step| unpacked.map(|steps| steps[step]))
    });
    let n_tiles = tokens.len().div_ceil(T);
    for (i, tokens) in tokens.clone().step_by(T).map(|first| first..tokens.end.min(first + T)).enumerate() {
        // What is unpacked next comes meanwhile, some of it with each tile.
        for next in group + G..group + 2 * G {
            fetch::part(blocks_of(next).as_flattened(), i, n_tiles);
        }
        let first = group * ROWS;
        if *start == 0 {
            tokens.clone().for_each(|token| to.clear(token, first, G * ROWS));
        }
        let places = to.places::<T, G>(tokens.start, first).filter(|_| tokens.len() == T);
        places.iter().flatten().for_each(|out| fetch::soon(*out));
        // Tokens that the tile lacks are zeros; nobody reads their sums.
        let x = &x[tokens.start / T * n_steps + start..][..end - start];
        let sums: [_; T] = multiply_tile(weights, x, steps.zero, &steps.add);
        match places {
            // All of them, one by one: sums that are an array do not stay in registers.
            Some(places) => {
                for (out, sums) in places.into_iter().zip(sums) {
                    out.iter_mut().zip(sums).for_each(|(out, sums)| (steps.add_to)(sums, out));
                }
            }
            None => {
                for (token, sums) in tokens.zip(sums) {
                    to.add(token, first, sums, &steps.add_to);
                }
            }
        }
    }
}

/// Return the products of the weights of some steps with the activations of as many.
#[inline(always)]
fn multiply_tile<W: Copy, V: Copy, const M: usize, const G: usize, const T: usize>(
    w: &[[[W; M]; G]],
    x: &[[u32; T]],
    zero: V,
    add: &impl Fn(W, u32, V) -> V,
) -> [[[V; M]; G]; T] {
    let mut sums = [[[zero; M]; G]; T];
    for (w, x) in w.iter().zip(x) {
        for (sums, x) in sums.iter_mut().zip(x) {
            for (sum, w) in sums.as_flattened_mut().iter_mut().zip(w.as_flattened()) {
                *sum = add(*w, *x, *sum);
            }
        }
    }
    sums
}

/// As [`crate::cpu::Kernels::tile`], with a float to a word and `T` tokens to a tile.
pub(super) fn tile<const T: usize>(x: &[f32], n_in: usize, out: &mut [u32]) {
    let x = <[u32]>::ref_from_bytes(x.as_bytes()).expect("words of the size of floats");
    for (x, out) in x.chunks(T * n_in).zip(out.chunks_mut(T * n_in)) {
        let rows: ArrayVec<&[u32], T> = x.chunks_exact(n_in).collect();
        transpose::<T>(&rows, out);
    }
}

/// Write the rows `x (n_tokens)(n)`, of at most `T` tokens, column by column to `out (n, T)`; tokens that are lacking have zeros.
#[inline(always)]
pub(super) fn transpose<const T: usize>(x: &[&[u32]], out: &mut [u32]) {
    for (column, out) in out.as_chunks_mut::<T>().0.iter_mut().enumerate() {
        *out = array::from_fn(|token| x.get(token).map_or(0, |x| x[column]));
    }
}
