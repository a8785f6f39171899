//! Memory for weights that are unpacked once and then meet many tokens.

use core::mem::MaybeUninit;
use core::ptr;

/// Room for `N` of `T`. It costs nothing until it is filled, and only as much of it as is filled.
pub(super) struct Buffer<T, const N: usize>([MaybeUninit<T>; N]);

impl<T: Copy, const N: usize> Buffer<T, N> {
    /// Return one that is empty.
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; N])
    }

    /// Return `unpack(0)`, `unpack(1)` and so on to `unpack(n - 1)`, of `S` each, side by side in this memory.
    ///
    /// It is inlined, so that it becomes part of a function that may use the instruction set of `unpack`.
    #[inline(always)]
    pub(super) fn fill<const S: usize>(&mut self, n: usize, unpack: impl Fn(usize) -> [T; S]) -> &[T] {
        let places = &mut self.0[..n * S];
        for (i, places) in places.as_chunks_mut::<S>().0.iter_mut().enumerate() {
            for (place, unpacked) in places.iter_mut().zip(unpack(i)) {
                place.write(unpacked);
            }
        }
        // SAFETY: these are whole chunks of `S`, so that each of them has just been written.
        unsafe { places.assume_init_ref() }
    }

    /// As [`Self::fill`], of one each; `unpack(i, place)` writes it there, where it would be copied if it were returned.
    #[inline(always)]
    pub(super) fn fill_in_place(
        &mut self,
        n: usize,
        unpack: impl Fn(usize, &mut MaybeUninit<T>) -> &mut T,
    ) -> &[T] {
        let places = &mut self.0[..n];
        for (i, place) in places.iter_mut().enumerate() {
            let address = place.as_ptr();
            assert!(ptr::eq(unpack(i, place), address));
        }
        // SAFETY: to each of them there was a reference, so that each has been written.
        unsafe { places.assume_init_ref() }
    }
}
