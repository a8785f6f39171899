//! Which scale, or scale and minimum, a group of weights is told best by.
//!
//! The largest weight alone does not decide it: a slightly other scale may move many of the others nearer to a whole number. So
//! some are tried, as ggml's `make_qx_quants` and `make_qkx2_quants` (ggml-quants.c) do, and for the whole numbers that each
//! leads to, the best scale is the solution of a weighted least squares problem.

/// Return the `d` of the weights `d * q` that come closest to `x`, where `q = nearest(x * inverse)` for one of `inverses`.
///
/// Weights count by their squares.
pub(super) fn fit_scale(x: &[f32], inverses: impl Iterator<Item = f32>, nearest: impl Fn(f32) -> f32) -> f32 {
    let (mut best, mut best_d) = (0.0, 0.0);
    for inverse in inverses {
        let (mut xq, mut qq) = (0.0, 0.0);
        for &x in x {
            let q = nearest(x * inverse);
            xq += x * x * x * q;
            qq += x * x * q * q;
        }
        // With the best d, which is xq / qq, this is what is subtracted from the error of all weights being 0.
        if qq > 0.0 && xq * xq > best * qq {
            best = xq * xq / qq;
            best_d = xq / qq;
        }
    }
    best_d
}

/// The ways in which types differ that have a scale and an offset per group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// The largest whole number.
    pub(super) most: f32,
    /// The ranges of whole numbers that are tried begin as much above `most`, and there are so many, 0.1 apart.
    pub(super) first: f32,
    /// How many are tried.
    pub(super) n_steps: usize,
    /// Whether errors count by their size, not by their square.
    pub(super) is_absolute: bool,
}

impl Search {
    /// Return the `(d, m)` of the weights `d * q - m` that come closest to `x`, where `q` is 0 to `most`; neither is negative.
    pub(super) fn fit(&self, x: &[f32], importance: impl Fn(f32) -> f32) -> (f32, f32) {
        let mut least = x.iter().copied().fold(0.0, f32::min);
        let greatest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if greatest <= least {
            return (0.0, -least);
        }
        let d = (greatest - least) / self.most;
        let mut best = (d, -least);
        let mut best_error = self.error(x, &importance, best, 1.0 / d, least);
        for step in 0..=self.n_steps {
            let range = self.most + self.first + 0.1 * step as f32;
            let inverse = range / (greatest - least);
            let Some(solution) = self.solve(x, &importance, inverse, least) else { continue };
            let error = self.error(x, &importance, solution, inverse, least);
            if error < best_error {
                (best, best_error) = (solution, error);
                // The next ranges begin where the best one does.
                least = -solution.1;
            }
        }
        best
    }

    fn nearest(&self, x: f32) -> f32 {
        x.round_ties_even().clamp(0.0, self.most)
    }

    /// Return the best `(d, m)` for the whole numbers that `inverse` and `least` lead to, unless all of them are the same.
    fn solve(
        &self,
        x: &[f32],
        importance: &impl Fn(f32) -> f32,
        inverse: f32,
        least: f32,
    ) -> Option<(f32, f32)> {
        let [mut w_sum, mut x_sum, mut q_sum, mut qq_sum, mut xq_sum] = [0.0; 5];
        for &x in x {
            let (q, w) = (self.nearest((x - least) * inverse), importance(x));
            w_sum += w;
            x_sum += w * x;
            q_sum += w * q;
            qq_sum += w * q * q;
            xq_sum += w * x * q;
        }
        let determinant = w_sum * qq_sum - q_sum * q_sum;
        if determinant <= 0.0 {
            return None;
        }
        let d = (w_sum * xq_sum - x_sum * q_sum) / determinant;
        let m = (q_sum * xq_sum - qq_sum * x_sum) / determinant;
        // An offset can only be subtracted.
        Some(if m < 0.0 { (xq_sum / qq_sum, 0.0) } else { (d, m) })
    }

    /// Return how far `d * q - m` is from `x` for the whole numbers that `inverse` and `least` lead to.
    fn error(
        &self,
        x: &[f32],
        importance: &impl Fn(f32) -> f32,
        (d, m): (f32, f32),
        inverse: f32,
        least: f32,
    ) -> f32 {
        let error = |&x: &f32| {
            let difference = (d * self.nearest((x - least) * inverse) - m - x).abs();
            importance(x) * if self.is_absolute { difference } else { difference * difference }
        };
        x.iter().map(error).sum()
    }
}
