//! What a block of weights is: bytes of a file that can be taken apart into numbers.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{Activations, BlockQ8_1, F16, QK};

/// A block of weights as it lies in a file, at any alignment.
pub trait Block: FromBytes + Immutable + KnownLayout + Unaligned + 'static {
    /// What it holds.
    type Weights: Weights;

    /// Return the block's weights.
    fn unpack(&self) -> Self::Weights;
}

/// The weights of one block: a float, or [`Quants`].
pub trait Weights {
    /// How many there are.
    const LEN: usize;

    /// As many activations.
    type X: 'static;

    /// Return the activations in the form that meets these weights.
    fn activations(x: Activations<'_>) -> &[Self::X];

    /// Write the weights as floats to `out (LEN)`.
    fn dequantize(&self, out: &mut [f32]);

    /// Return the dot product with activations: the oracle of every faster one.
    fn dot(&self, x: &Self::X) -> f32;
}

impl Weights for f32 {
    const LEN: usize = 1;
    type X = Self;

    fn activations(x: Activations<'_>) -> &[Self] {
        x.floats
    }

    fn dequantize(&self, out: &mut [f32]) {
        out[0] = *self;
    }

    fn dot(&self, x: &f32) -> f32 {
        self * x
    }
}

/// `N * QK` weights in `GROUPS` equal groups: weight `i` of group `g` is `d * scales[g] * q[i] - m * offsets[g]`.
#[derive(Clone, Copy, Debug)]
pub struct Quants<const N: usize, const GROUPS: usize> {
    /// Scale of the scales.
    pub d: F16,
    /// Scale of the offsets.
    pub m: F16,
    /// A scale per group.
    pub scales: [i8; GROUPS],
    /// An offset per group.
    pub offsets: [i8; GROUPS],
    /// The whole numbers, as many rows as blocks of activations.
    pub qs: [[i8; QK]; N],
}

impl<const N: usize, const GROUPS: usize> Quants<N, GROUPS> {
    /// Weights in a group: 16 or 32.
    pub const GROUP_LEN: usize = N * QK / GROUPS;
}

impl Quants<1, 1> {
    /// Return 32 weights `d * q`.
    pub(super) fn scaled(d: F16, qs: [i8; QK]) -> Self {
        Self { d, m: F16::default(), scales: [1], offsets: [0], qs: [qs] }
    }

    /// Return 32 weights `d * q + m`.
    pub(super) fn from_minimum(d: F16, m: F16, qs: [i8; QK]) -> Self {
        Self { d, m, scales: [1], offsets: [-1], qs: [qs] }
    }
}

impl<const N: usize, const GROUPS: usize> Weights for Quants<N, GROUPS> {
    const LEN: usize = N * QK;
    type X = [BlockQ8_1; N];

    fn activations(x: Activations<'_>) -> &[Self::X] {
        x.quants.as_chunks().0
    }

    fn dequantize(&self, out: &mut [f32]) {
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        for (i, (out, &q)) in out.iter_mut().zip(self.qs.as_flattened()).enumerate() {
            let group = i / Self::GROUP_LEN;
            *out = d * f32::from(self.scales[group]) * f32::from(q) - m * f32::from(self.offsets[group]);
        }
    }

    fn dot(&self, x: &Self::X) -> f32 {
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        let groups_per_row = QK / Self::GROUP_LEN;
        let mut dot = 0.0;
        for (row, (qs, x)) in self.qs.iter().zip(x).enumerate() {
            let groups = qs.chunks_exact(Self::GROUP_LEN).zip(x.qs.chunks_exact(Self::GROUP_LEN));
            for (i, (qs, xs)) in groups.enumerate() {
                let group = row * groups_per_row + i;
                let products: i32 = qs.iter().zip(xs).map(|(&q, &x)| i32::from(q) * i32::from(x)).sum();
                let sum = match groups_per_row {
                    1 => x.s,
                    _ => x.d * xs.iter().map(|&x| i32::from(x)).sum::<i32>() as f32,
                };
                let scale = d * f32::from(self.scales[group]);
                dot += scale * x.d * products as f32 - m * f32::from(self.offsets[group]) * sum;
            }
        }
        dot
    }
}

/// Return the 4-bit numbers of `bytes`: weight `i` in the low half of byte `i`, weight `i + 16` in its high half.
pub(super) fn nibbles(bytes: &[u8; QK / 2]) -> [u8; QK] {
    let mut numbers = [0; QK];
    let (low, high) = numbers.split_at_mut(QK / 2);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        (*low, *high) = (byte & 0xf, byte >> 4);
    }
    numbers
}

/// Return the 5-bit numbers whose low four bits are [`nibbles`], and whose fifth is bit `i` of `high` for weight `i`.
pub(super) fn nibbles_and_fifth_bits(bytes: &[u8; QK / 2], high: [u8; QK / 8]) -> [u8; QK] {
    let mut numbers = nibbles(bytes);
    for (numbers, bits) in numbers.as_chunks_mut().0.iter_mut().zip(high) {
        // Byte k of the product has all eight bits and keeps bit k: 2^k or nothing. Adding 127 makes that bit 7 of the byte, or
        // leaves it below, without a carry into the next; from there the bit goes down to place 4.
        let kept = (u64::from(bits) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
        let fifth = (kept + 0x7f7f_7f7f_7f7f_7f7f) >> 3 & 0x1010_1010_1010_1010;
        *numbers = (u64::from_le_bytes(*numbers) | fifth).to_le_bytes();
    }
    numbers
}
