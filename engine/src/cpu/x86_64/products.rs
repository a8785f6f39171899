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

/// The matrices of a product, and what becomes of it.
pub(super) struct Product<'a> {
    /// `(n_rows, a_width)`; as many of its columns count as `b` has rows.
    pub(super) a: &'a [f32],
    pub(super) a_width: usize,
    /// `(k, b_width)`, whose width is a multiple of the vectors'.
    pub(super) b: &'a [f32],
    pub(super) b_width: usize,
    /// How many columns of `b` count; what is written behind their products means nothing.
    pub(super) n_columns: usize,
    /// Whether the products are added to what is there, or take its place.
    pub(super) adds: bool,
}

/// Write `product` to `out (n_rows, b_width)`, in tiles of `N` vectors of some rows.
///
/// It is inlined, so that it becomes part of a function that may use the instruction set of `steps`.
#[inline(always)]
pub(super) fn multiply<V: Copy, const LANES: usize, const N: usize>(
    product: &Product<'_>,
    out: &mut [f32],
    steps: &Steps<V, impl Fn(&[f32; LANES]) -> V, impl Fn(&mut [f32; LANES], V), impl Fn(f32, V, V) -> V>,
) {
    let Product { a, a_width, b_width, .. } = *product;
    let out = out.as_chunks_mut::<LANES>().0;
    for (a, out) in a.chunks(ROWS * a_width).zip(out.chunks_mut(ROWS * b_width / LANES)) {
        let product = Product { a, ..*product };
        match a.len() / a_width {
            1 => multiply_rows::<V, LANES, N, 1>(&product, out, steps),
            2 => multiply_rows::<V, LANES, N, 2>(&product, out, steps),
            3 => multiply_rows::<V, LANES, N, 3>(&product, out, steps),
            4 => multiply_rows::<V, LANES, N, 4>(&product, out, steps),
            5 => multiply_rows::<V, LANES, N, 5>(&product, out, steps),
            _ => multiply_rows::<V, LANES, N, ROWS>(&product, out, steps),
        }
    }
}

/// As [`multiply`], for `M` rows; `out` is vectors.
#[inline(always)]
fn multiply_rows<V: Copy, const LANES: usize, const N: usize, const M: usize>(
    product: &Product<'_>,
    out: &mut [[f32; LANES]],
    steps: &Steps<V, impl Fn(&[f32; LANES]) -> V, impl Fn(&mut [f32; LANES], V), impl Fn(f32, V, V) -> V>,
) {
    let n_vectors = product.n_columns.div_ceil(LANES);
    let n_tiled = n_vectors / N * N;
    for first in (0..n_tiled).step_by(N) {
        multiply_tile::<V, LANES, N, M>(product, first, out, steps);
    }
    for first in n_tiled..n_vectors {
        multiply_tile::<V, LANES, 1, M>(product, first, out, steps);
    }
}

/// As [`multiply_rows`], for the vectors `first..first + N` of each row.
#[allow(clippy::needless_range_loop, reason = "iterators over arrays do not stay in registers")]
#[inline(always)]
fn multiply_tile<V: Copy, const LANES: usize, const N: usize, const M: usize>(
    product: &Product<'_>,
    first: usize,
    out: &mut [[f32; LANES]],
    steps: &Steps<V, impl Fn(&[f32; LANES]) -> V, impl Fn(&mut [f32; LANES], V), impl Fn(f32, V, V) -> V>,
) {
    let Product { a, a_width, b, b_width, adds, .. } = *product;
    let (b, width) = (b.as_chunks::<LANES>().0, b_width / LANES);
    let k = b.len() / width;
    let mut rows = [&[][..]; M];
    for m in 0..M {
        rows[m] = &a[m * a_width..][..k];
    }
    let mut sums = [[steps.zero; N]; M];
    if adds {
        for m in 0..M {
            for n in 0..N {
                sums[m][n] = (steps.load)(&out[m * width + first + n]);
            }
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
