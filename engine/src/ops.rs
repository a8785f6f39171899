//! The small operations between the matrices, on rows of floats.

/// Write `x (n)` divided by its root mean square, times `gain (n)`, to `out (n)` (RMSNorm, arXiv 1910.07467).
pub(crate) fn rms_norm(x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
    let mean_square = sum_of_squares(x) / x.len() as f32;
    let scale = 1.0 / libm::sqrtf(mean_square + eps);
    for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
        *out = x * scale * gain;
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

/// The rotations of one position, a cosine and a sine per pair (RoPE, arXiv 2104.09864).
pub(crate) fn rope_angles(position: usize, freq_base: f32, rotations: &mut [[f32; 2]]) {
    let n_rot = 2 * rotations.len();
    for (i, [cos, sin]) in rotations.iter_mut().enumerate() {
        let frequency = libm::powf(freq_base, -((2 * i) as f32) / n_rot as f32);
        let angle = position as f32 * frequency;
        (*cos, *sin) = (libm::cosf(angle), libm::sinf(angle));
    }
}

/// Turn the pairs `(2i, 2i + 1)` of each head in `heads (n_head, n_embd_head)` by `rotations`; what lies behind the
/// pairs stays.
pub(crate) fn rope(heads: &mut [f32], n_embd_head: usize, rotations: &[[f32; 2]]) {
    for head in heads.chunks_exact_mut(n_embd_head) {
        let (pairs, _) = head.as_chunks_mut::<2>();
        for ([a, b], [cos, sin]) in pairs.iter_mut().zip(rotations) {
            (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
        }
    }
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
    fn rope_turns_pairs_by_position_times_frequency() {
        let mut rotations = [[0.0; 2]; 2];
        rope_angles(3, 100.0, &mut rotations);
        // Frequencies 100^0 and 100^(-2/4) = 0.1; the fifth and sixth values of a head lie behind the pairs.
        let mut heads = [1.0, 0.0, 0.0, 1.0, 7.0, 8.0];
        rope(&mut heads, 6, &rotations);
        let expected = [3_f64.cos(), 3_f64.sin(), -(0.3_f64.sin()), 0.3_f64.cos(), 7.0, 8.0];
        for (value, expected) in heads.iter().zip(expected) {
            assert!((f64::from(*value) - expected).abs() < 1e-6, "{value} is not {expected}");
        }
    }
}
