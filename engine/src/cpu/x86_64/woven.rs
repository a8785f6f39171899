//! Interleaved rows as they lie in memory, and where their products go.

use core::ops::Range;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::quant::{F16, ROWS};

/// Four bytes of each row.
pub(super) type Lanes = [u8; 4 * ROWS];

/// Blocks of eight rows, as [`crate::quant::interleave`] weaves them, of the types with one scale.
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

/// A block of eight rows.
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
