//! Products of interleaved rows that are floats: the loops over them, which are the same for all instruction sets.
//!
//! As in [`super::woven`], a lane is a row's, so that no sum ever goes across lanes; and what is read lies in one piece, however long the
//! rows are. (The activations of a long row are more than the first cache keeps beside a stream of weights: each meets sixteen rows
//! here for once that it comes. Zen 4, one core, F16 rows of 5,632, GB/s of weights: 17 -> 29.)

use core::ops::Range;

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
pub(super) struct Steps<V, Unpack, Round, Add, AddTo> {
    /// A vector of zeros.
    pub(super) zero: V,
    /// `unpack(block)`: the weights of a block, step by step.
    pub(super) unpack: Unpack,
    /// `round(x, out)`: the activations of some columns as they meet the weights of as many steps.
    pub(super) round: Round,
    /// `add(weights, x, sums)`: the rows' sums and the products with `x`.
    pub(super) add: Add,
    /// `add_to(sums, out)`: add the sums of a group to `out`.
    pub(super) add_to: AddTo,
}

/// Write the products of the interleaved rows `w` with `x (n_tokens, n_in)`, in tiles of `T` tokens and `G` groups. A block has `N` columns and
/// takes `S` steps; a step of a group is `M` vectors.
///
/// Weights of `PANEL` steps are unpacked at a time, for `BATCH` tokens: the fewer steps, the more often sums are added to what is in memory; the more,
/// the less of them stays in the first cache, and of the activations in the second.
#[inline(always)]
pub(super) fn multiply_many<
    W: Copy,
    V: Copy,
    X: Copy + Default,
    const N: usize,
    const S: usize,
    const M: usize,
    const G: usize,
    const T: usize,
    const PANEL: usize,
    const BATCH: usize,
>(
    w: &[u8],
    x: &[f32],
    mut to: Destination<'_, '_>,
    steps: &Steps<
        V,
        impl Fn(&Lanes) -> [[W; M]; S],
        impl Fn(&[f32], &mut [X]),
        impl Fn(W, X, V) -> V,
        impl Fn([V; M], &mut [f32; ROWS]),
    >,
) {
    const { assert!(PANEL.is_multiple_of(S) && BATCH.is_multiple_of(T)) };
    let (w, n_in, groups) = (w.as_chunks().0, to.n_in, to.groups());
    to.out.iter_mut().for_each(|out| out.fill(0.0));
    let mut activations = [[X::default(); PANEL]; BATCH];
    for (first_token, x) in (0..).step_by(BATCH).zip(x.chunks(BATCH * n_in)) {
        for start in (0..n_in).step_by(PANEL / S * N) {
            let columns = start..n_in.min(start + PANEL / S * N);
            for (x, activations) in x.chunks_exact(n_in).zip(&mut activations) {
                (steps.round)(&x[columns.clone()], &mut activations[..columns.len() / N * S]);
            }
            let panel = Panel {
                w,
                columns,
                activations: &activations,
                tokens: first_token..first_token + x.len() / n_in,
            };
            let mut group = groups.start;
            while group + G <= groups.end {
                multiply_panel::<W, V, X, N, S, M, G, T, PANEL, BATCH>(&panel, &mut to, group, steps);
                group += G;
            }
            for group in group..groups.end {
                multiply_panel::<W, V, X, N, S, M, 1, T, PANEL, BATCH>(&panel, &mut to, group, steps);
            }
        }
    }
}

/// Some columns of all rows, and the activations that they meet.
struct Panel<'a, X, const PANEL: usize, const BATCH: usize> {
    w: &'a [Lanes],
    columns: Range<usize>,
    activations: &'a [[X; PANEL]; BATCH],
    tokens: Range<usize>,
}

/// Add the products of the columns of a panel in the groups from `group` on.
#[inline(always)]
fn multiply_panel<
    W: Copy,
    V: Copy,
    X: Copy,
    const N: usize,
    const S: usize,
    const M: usize,
    const G: usize,
    const T: usize,
    const PANEL: usize,
    const BATCH: usize,
>(
    panel: &Panel<'_, X, PANEL, BATCH>,
    to: &mut Destination<'_, '_>,
    group: usize,
    steps: &Steps<
        V,
        impl Fn(&Lanes) -> [[W; M]; S],
        impl Fn(&[f32], &mut [X]),
        impl Fn(W, X, V) -> V,
        impl Fn([V; M], &mut [f32; ROWS]),
    >,
) {
    let Panel { w, columns, activations, tokens } = panel;
    let (n_blocks, blocks) = (to.n_in / N, columns.start / N..columns.end / N);
    let blocks_of =
        |group: usize| w.get(group * n_blocks + blocks.start..group * n_blocks + blocks.end).unwrap_or(&[]);
    let Some(block) = blocks_of(group).first() else { return };
    let mut weights = [[(steps.unpack)(block)[0]; G]; PANEL];
    for i in 0..G {
        for (block, weights) in blocks_of(group + i).iter().zip(weights.as_chunks_mut::<S>().0) {
            for (step, unpacked) in weights.iter_mut().zip((steps.unpack)(block)) {
                step[i] = unpacked;
            }
        }
    }
    let weights = &weights[..blocks.len() * S];
    // What is unpacked next comes meanwhile, some of it with each tile: of much at once, the processor forgets most.
    let n_fetched = blocks.len().div_ceil(tokens.len().div_ceil(T));
    for (i, tokens) in tokens.clone().step_by(T).map(|first| first..tokens.end.min(first + T)).enumerate() {
        for next in group + G..group + 2 * G {
            for block in blocks_of(next).iter().skip(i * n_fetched).take(n_fetched) {
                fetch::line(block);
            }
        }
        let first = group * ROWS;
        if let Some(places) = to.places::<T, G>(tokens.start, first) {
            places.iter().for_each(|out| fetch::soon(*out));
        }
        // Tokens that the tile lacks have the activations of others; nobody reads their sums.
        let sums: [_; T] = tile(weights, &activations.as_chunks().0[i], steps.zero, &steps.add);
        match to.places::<T, G>(tokens.start, first) {
            // All of them, one by one: sums that are an array do not stay in registers.
            Some(places) if tokens.len() == T => {
                for (out, sums) in places.into_iter().zip(sums) {
                    out.iter_mut().zip(sums).for_each(|(out, sums)| (steps.add_to)(sums, out));
                }
            }
            _ => {
                for (token, sums) in tokens.zip(sums) {
                    to.add(token, first, sums, &steps.add_to);
                }
            }
        }
    }
}

/// Return the products of the weights of some steps with the activations of as many.
#[inline(always)]
fn tile<W: Copy, V: Copy, X: Copy, const M: usize, const G: usize, const T: usize, const PANEL: usize>(
    w: &[[[W; M]; G]],
    x: &[[X; PANEL]; T],
    zero: V,
    add: &impl Fn(W, X, V) -> V,
) -> [[[V; M]; G]; T] {
    let mut sums = [[[zero; M]; G]; T];
    for (i, w) in w.iter().enumerate().take(PANEL) {
        for (sums, x) in sums.iter_mut().zip(x) {
            for (sum, w) in sums.as_flattened_mut().iter_mut().zip(w.as_flattened()) {
                *sum = add(*w, x[i], *sum);
            }
        }
    }
    sums
}
