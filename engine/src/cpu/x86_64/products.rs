//! Products of small matrices of floats, which stay in the caches: the loop over them, which is the same for all instruction sets.

/// Rows of a tile: six of two vectors are 12 of 16 registers, and of four vectors 24 of 32; the vectors and a factor take others.
const ROWS: usize = 6;

/// What an instruction set does with vectors `V` of `LANES` floats.
pub(super) struct Steps<V, Load, Store, Add> {
    /// A vector of zeros.
    pub(super) zero: V,
    /// `load(floats)`: the vector of them.
    pub(super) load: Load,
    /// `store(floats, vector)`.
    pub(super) store: Store,
    /// `add(factor, vector, sum)`: `factor * vector + sum`.
    pub(super) add: Add,
}

/// Add to `out (n_rows, width)` the product of the first columns of `a (n_rows, a_width)` with `b (k, width)`, in tiles of `N` vectors
/// of some rows. `width` is a multiple of `LANES`.
///
/// It is inlined, so that it becomes part of a function that may use the instruction set of `steps`.
#[inline(always)]
pub(super) fn add<V: Copy, const LANES: usize, const N: usize>(
    a: &[f32],
    a_width: usize,
    b: &[f32],
    width: usize,
    out: &mut [f32],
    steps: &Steps<V, impl Fn(&[f32; LANES]) -> V, impl Fn(&mut [f32; LANES], V), impl Fn(f32, V, V) -> V>,
) {
    let (b, out) = (b.as_chunks::<LANES>().0, out.as_chunks_mut::<LANES>().0);
    let width = width / LANES;
    for (a, out) in a.chunks(ROWS * a_width).zip(out.chunks_mut(ROWS * width)) {
        match a.len() / a_width {
            1 => add_rows::<V, LANES, N, 1>(a, a_width, b, width, out, steps),
            2 => add_rows::<V, LANES, N, 2>(a, a_width, b, width, out, steps),
            3 => add_rows::<V, LANES, N, 3>(a, a_width, b, width, out, steps),
            4 => add_rows::<V, LANES, N, 4>(a, a_width, b, width, out, steps),
            5 => add_rows::<V, LANES, N, 5>(a, a_width, b, width, out, steps),
            _ => add_rows::<V, LANES, N, ROWS>(a, a_width, b, width, out, steps),
        }
    }
}

/// As [`add`], for `M` rows; `b` and `out` are vectors.
#[inline(always)]
fn add_rows<V: Copy, const LANES: usize, const N: usize, const M: usize>(
    a: &[f32],
    a_width: usize,
    b: &[[f32; LANES]],
    width: usize,
    out: &mut [[f32; LANES]],
    steps: &Steps<V, impl Fn(&[f32; LANES]) -> V, impl Fn(&mut [f32; LANES], V), impl Fn(f32, V, V) -> V>,
) {
    let n_tiled = width / N * N;
    for first in (0..n_tiled).step_by(N) {
        add_tile::<V, LANES, N, M>(a, a_width, b, width, first, out, steps);
    }
    for first in n_tiled..width {
        add_tile::<V, LANES, 1, M>(a, a_width, b, width, first, out, steps);
    }
}

/// Add to the vectors `first..first + N` of each row of `out (M, width)` the product of `a (M, k)` with `b (k, width)`.
#[allow(clippy::needless_range_loop, reason = "iterators over arrays do not stay in registers")]
#[inline(always)]
fn add_tile<V: Copy, const LANES: usize, const N: usize, const M: usize>(
    a: &[f32],
    a_width: usize,
    b: &[[f32; LANES]],
    width: usize,
    first: usize,
    out: &mut [[f32; LANES]],
    steps: &Steps<V, impl Fn(&[f32; LANES]) -> V, impl Fn(&mut [f32; LANES], V), impl Fn(f32, V, V) -> V>,
) {
    let k = b.len() / width;
    let mut rows = [&[][..]; M];
    for m in 0..M {
        rows[m] = &a[m * a_width..][..k];
    }
    let mut sums = [[steps.zero; N]; M];
    for m in 0..M {
        for n in 0..N {
            sums[m][n] = (steps.load)(&out[m * width + first + n]);
        }
    }
    for (i, b) in (0..k).zip(b.chunks_exact(width)) {
        let b = &b[first..first + N];
        let mut vectors = [steps.zero; N];
        for n in 0..N {
            vectors[n] = (steps.load)(&b[n]);
        }
        for m in 0..M {
            for n in 0..N {
                sums[m][n] = (steps.add)(rows[m][i], vectors[n], sums[m][n]);
            }
        }
    }
    for m in 0..M {
        for n in 0..N {
            (steps.store)(&mut out[m * width + first + n], sums[m][n]);
        }
    }
}
