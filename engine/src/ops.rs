//! The small operations between the matrices, on rows of floats.

/// Write `x (n)` divided by its root mean square, times `gain (n)`, to `out (n)` (RMSNorm, arXiv 1910.07467).
pub(crate) fn rms_norm(x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
    let mean_square = sum_of_squares(x) / x.len() as f32;
    let scale = 1.0 / libm::sqrtf(mean_square + eps);
    for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
        *out = x * scale * gain;
    }
}

/// Write `x (n)` less its mean, divided by its standard deviation, times `gain (n)` and plus `bias (n)`, to `out (n)`
/// (LayerNorm, arXiv 1607.06450).
pub(crate) fn layer_norm(x: &[f32], gain: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    for (out, x) in out.iter_mut().zip(x) {
        *out = x - mean;
    }
    let variance = sum_of_squares(out) / x.len() as f32;
    let scale = 1.0 / libm::sqrtf(variance + eps);
    for ((out, gain), bias) in out.iter_mut().zip(gain).zip(bias) {
        *out = *out * scale * gain + bias;
    }
}

/// Return the sum of squares, in eight sums that the compiler can keep in one vector.
fn sum_of_squares(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<8>();
    let mut sums = [0_f32; 8];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x * x;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}

/// Add `other (n)` to `x (n)`.
pub(crate) fn add(x: &mut [f32], other: &[f32]) {
    for (x, other) in x.iter_mut().zip(other) {
        *x += other;
    }
}

/// Write how one position turns each pair, a cosine and a sine, to `out`; `frequencies` are in radians per position
/// (RoPE, arXiv 2104.09864).
pub(crate) fn rotations(position: usize, frequencies: &[f32], out: &mut [[f32; 2]]) {
    for ([cos, sin], frequency) in out.iter_mut().zip(frequencies) {
        let angle = position as f32 * frequency;
        (*cos, *sin) = (libm::cosf(angle), libm::sinf(angle));
    }
}

/// Turn the pairs `(2i, 2i + 1)` of `head (n_embd_head)` by `rotations`; what lies behind the pairs stays.
pub(crate) fn rope_neighbours(head: &mut [f32], rotations: &[[f32; 2]]) {
    let (pairs, _) = head.as_chunks_mut::<2>();
    for ([a, b], rotation) in pairs.iter_mut().zip(rotations) {
        turn(a, b, rotation);
    }
}

/// Turn the pairs `(i, n + i)` of `head (n_embd_head)` by the `n` `rotations`; what lies behind the pairs stays.
pub(crate) fn rope_halves(head: &mut [f32], rotations: &[[f32; 2]]) {
    let (first, second) = head.split_at_mut(rotations.len());
    for ((a, b), rotation) in first.iter_mut().zip(second).zip(rotations) {
        turn(a, b, rotation);
    }
}

fn turn(a: &mut f32, b: &mut f32, [cos, sin]: &[f32; 2]) {
    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rms_norm_of_a_known_row() {
        let mut out = [0.0; 9];
        let x = [3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 12.0];
        // The mean square is (9 + 16 + 144) / 9, its root 13 / 3.
        rms_norm(&x, &[1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5], 0.0, &mut out);
        for (out, expected) in
            out.iter().zip([9.0 / 13.0, 24.0 / 13.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 18.0 / 13.0])
        {
            assert!((out - expected).abs() < 1e-6, "{out} is not {expected}");
        }
    }

    #[test]
    fn layer_norm_of_a_known_row() {
        let mut out = [0.0; 3];
        // The mean is 4, the variance (9 + 0 + 9) / 3 = 6; with 3 more the divisor is 3.
        layer_norm(&[1.0, 4.0, 7.0], &[1.0, 2.0, 0.5], &[0.25, 0.5, -1.0], 3.0, &mut out);
        assert_eq!(out, [-0.75, 0.5, -0.5]);
    }

    #[test]
    fn rotations_are_position_times_frequency() {
        let mut found = [[0.0; 2]; 2];
        rotations(3, &[1.0, 0.1], &mut found);
        let expected = [[3_f64.cos(), 3_f64.sin()], [0.3_f64.cos(), 0.3_f64.sin()]];
        for (found, expected) in found.as_flattened().iter().zip(expected.as_flattened()) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn rope_turns_pairs_and_leaves_what_lies_behind_them() {
        // A quarter turn, and none.
        let rotations = [[0.0, 1.0], [1.0, 0.0]];
        let mut head = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        rope_neighbours(&mut head, &rotations);
        assert_eq!(head, [-2.0, 1.0, 3.0, 4.0, 5.0, 6.0]);
        let mut head = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        rope_halves(&mut head, &rotations);
        assert_eq!(head, [-3.0, 2.0, 1.0, 4.0, 5.0, 6.0]);
    }
}
