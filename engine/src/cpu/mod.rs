//! The inner loops, once per instruction set, and the table that picks one set at start.
//!
//! [`generic`] is portable, always callable, and the oracle that every other set is tested against. A faster set is
//! reachable only through [`Kernels::of`], which asks the processor (and whether the operating system, or our
//! kernel, keeps the registers) first.

pub(crate) mod attention;
mod generic;
mod processor;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::kv_cache::KvType;
use crate::quant::{self, Activations, BlockQ8_1, Groups, QK, ROWS, TensorType, Tiles};
pub use attention::{Found, KeysValues, Queries};
pub use processor::Processor;

/// The products of up to so many tokens have the very bits that those of each alone have, so that reading ahead
/// ([`crate::speculative`]) changes no answer. More tokens may be summed in another order.
pub(crate) const FEW_TOKENS: usize = 7;

/// An instruction set that the engine has inner loops for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// What the compiler's baseline has.
    Generic,
    /// x86-64 with SSSE3 and SSE4.1.
    Sse41,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// The same with AVX-VNNI, as processors without AVX-512 have it.
    AvxVnni,
    /// AVX2 with AVX-512: F, BW, VL and VNNI.
    Avx512,
    /// The same with BF16, to which weights and activations of many tokens are rounded.
    Avx512Bf16,
    /// The baseline where QEMU emulates it: quantized products in whole numbers.
    GenericEmulated,
    /// AVX2 where QEMU emulates it: quantized products in whole numbers.
    Avx2Emulated,
}

impl Isa {
    /// Every set, the plainest first.
    pub const ALL: [Self; 8] = [
        Self::Generic,
        Self::Sse41,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Avx512Bf16,
        Self::GenericEmulated,
        Self::Avx2Emulated,
    ];

    /// Return the set's name in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Sse41 => "sse41",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
            Self::GenericEmulated => "generic-emulated",
            Self::Avx2Emulated => "avx2-emulated",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generic => "generic",
            Self::Sse41 => "SSE4.1",
            Self::Avx2 => "AVX2",
            Self::AvxVnni => "AVX-VNNI",
            Self::Avx512 => "AVX-512",
            Self::Avx512Bf16 => "AVX-512, BF16",
            Self::GenericEmulated => "generic, emulated",
            Self::Avx2Emulated => "AVX2, emulated",
        })
    }
}

/// GELU's `sqrt(2 / pi)`, and its factor of `x^3`.
const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const GELU_CUBIC: f32 = 0.044_715;

/// `mul_mat(kind, w (n_rows, n_in), x (n_tokens, n_in), n_in, out (n_tokens)(n_rows))`.
type MulMat = fn(TensorType, &[u8], Activations<'_>, usize, &mut [&mut [f32]]);

/// `mul_mat_interleaved(kind, w (n_groups * ROWS, n_in), x (n_tokens, n_in), n_in, rows, out (n_tokens)(rows.len()))`.
type MulMatInterleaved = fn(TensorType, &[u8], Activations<'_>, usize, Range<usize>, &mut [&mut [f32]]);

/// One instruction set's inner loops. Having one tells that this processor runs them.
pub struct Kernels {
    isa: Isa,
    mul_mat: MulMat,
    mul_mat_groups: fn(Groups<'_>, Activations<'_>, usize, &mut [&mut [f32]]),
    interleaves: fn(TensorType) -> bool,
    mul_mat_interleaved: MulMatInterleaved,
    tiling: fn(Numbers) -> Option<Tiling>,
    tile: fn(Numbers, &[f32], usize, &mut [u32]),
    quantize_q8_1: fn(&[f32], usize, &mut [BlockQ8_1]),
    keep: fn(KvType, &[f32], &mut [u8]),
    attend: fn(&Queries<'_>, KeysValues<'_>, &mut [f32], &mut Found<'_>),
    softmax: fn(&mut [f32]),
    swiglu: fn(&mut [f32], &[f32]),
    gelu: fn(&mut [f32]),
    multiply_add: fn(Numbers, usize) -> usize,
    read: fn(&[[u8; LINE_BYTES]]) -> [u8; LINE_BYTES],
}

/// The bytes of a line of the cache, of every x86-64 processor.
pub const LINE_BYTES: usize = 64;

/// What products of matrices multiply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Numbers {
    /// 32-bit floats, to which other floats are widened.
    #[default]
    Floats,
    /// Floats of 16 bits, as many tokens meet them: widened, or rounded to BF16 or to whole numbers with a scale.
    Halves,
    /// Bytes, in which quantized weights meet activations.
    Bytes,
}

impl Numbers {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Floats, Self::Halves, Self::Bytes];

    /// Return what products of weights of `kind` multiply.
    pub fn of(kind: TensorType) -> Self {
        match kind {
            TensorType::F32 => Self::Floats,
            TensorType::F16 | TensorType::BF16 => Self::Halves,
            _ => Self::Bytes,
        }
    }
}

/// How the activations of many tokens lie for interleaved floats, those of some side by side: `(n_tiles, n_in / n_columns, n_tokens, n_words)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Tokens of a tile, at most [`MAX_TILE_TOKENS`].
    pub n_tokens: usize,
    /// Columns that a token takes [`Self::n_words`] for.
    pub n_columns: usize,
    /// Words that they take.
    pub n_words: usize,
}

/// The most tokens that a tile of any instruction set has.
pub(crate) const MAX_TILE_TOKENS: usize = 8;

impl Tiling {
    /// Return how many words a tile has.
    pub fn tile_len(self, n_in: usize) -> usize {
        n_in / self.n_columns * self.n_words * self.n_tokens
    }

    /// Return how many words `n_tokens` take.
    pub fn len(self, n_tokens: usize, n_in: usize) -> usize {
        n_tokens.div_ceil(self.n_tokens) * self.tile_len(n_in)
    }
}

impl Kernels {
    /// Return the inner loops that suit this processor best.
    pub fn detect() -> &'static Self {
        #[cfg(target_arch = "x86_64")]
        let order = match x86_64::is_emulated() {
            true => [Isa::Avx2Emulated, Isa::GenericEmulated].as_slice(),
            false => {
                let order =
                    &[Isa::Avx512Bf16, Isa::Avx512, Isa::AvxVnni, Isa::Avx2, Isa::Sse41, Isa::Generic];
                if x86_64::gains_from_bf16() { order } else { &order[1..] }
            }
        };
        #[cfg(not(target_arch = "x86_64"))]
        let order = [Isa::Generic];
        order.iter().copied().find_map(Self::of).unwrap_or(&generic::KERNELS)
    }

    /// Return the inner loops of the set that is called `name` ([`Isa::name`]).
    ///
    /// # Errors
    /// When there is none of that name, or this processor does not run it; says which there are.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        let there = Isa::ALL.into_iter().filter(|&isa| Self::of(isa).is_some());
        let found = there.clone().find(|isa| isa.name() == name).and_then(Self::of);
        found.ok_or_else(|| {
            let names = there.map(Isa::name).collect::<Vec<_>>().join(", ");
            format!("{name} is no instruction set that this processor runs; there are: {names}")
        })
    }

    /// Return the inner loops of `isa`, if this processor runs them.
    pub fn of(isa: Isa) -> Option<&'static Self> {
        match isa {
            Isa::Generic => Some(&generic::KERNELS),
            #[cfg(target_arch = "x86_64")]
            Isa::GenericEmulated => Some(const { &x86_64::emulated(generic::KERNELS, Isa::GenericEmulated) }),
            #[cfg(target_arch = "x86_64")]
            Isa::Sse41 => x86_64::has_sse41().then_some(&x86_64::SSE41),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86_64::has_avx2().then_some(&x86_64::AVX2),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => x86_64::has_avx_vnni().then_some(&x86_64::AVX_VNNI),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => x86_64::has_avx512().then_some(&x86_64::AVX512),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => x86_64::has_avx512_bf16().then_some(&x86_64::AVX512_BF16),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2Emulated => {
                x86_64::has_avx2().then_some(const { &x86_64::emulated(x86_64::AVX2, Isa::Avx2Emulated) })
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => None,
        }
    }

    /// Return which instruction set these are for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Write the products of the rows `w (n_rows, n_in)`, which are blocks of type `kind`, with `x (n_tokens, n_in)` to
    /// `out (n_tokens)(n_rows)`: a token's products are one piece, those of different tokens may lie apart.
    pub fn mul_mat(
        &self,
        kind: TensorType,
        w: &[u8],
        x: Activations<'_>,
        n_in: usize,
        out: &mut [&mut [f32]],
    ) {
        assert!(n_in.is_multiple_of(kind.block_len()));
        let row_bytes = n_in / kind.block_len() * kind.block_bytes();
        assert!(w.len().is_multiple_of(row_bytes));
        assert_eq!(x.n_values(kind), out.len() * n_in);
        assert!(out.iter().all(|out| out.len() == w.len() / row_bytes));
        (self.mul_mat)(kind, w, x, n_in, out);
    }

    /// As [`Self::mul_mat`], with weights whose scales lie apart: the rows are those of `w (n_rows, n_in / QK)`.
    pub fn mul_mat_groups(&self, w: Groups<'_>, x: Activations<'_>, n_in: usize, out: &mut [&mut [f32]]) {
        assert!(n_in.is_multiple_of(QK));
        let n_blocks = n_in / QK;
        assert_eq!(x.quants.len(), out.len() * n_blocks);
        assert!(out.iter().all(|out| out.len() * n_blocks == w.n_blocks()));
        (self.mul_mat_groups)(w, x, n_in, out);
    }

    /// Return whether rows of `kind` are multiplied faster where they are interleaved.
    pub fn interleaves(&self, kind: TensorType) -> bool {
        (self.interleaves)(kind)
    }

    /// Return in which tiles many tokens meet interleaved rows of `n_in` floats that multiply `numbers`: those for them, or for 32-bit
    /// floats where the rows are not whole words; `None` where they meet as rows of floats.
    pub fn tiling(&self, numbers: Numbers, n_in: usize) -> Option<(Numbers, Tiling)> {
        [numbers, Numbers::Floats].into_iter().find_map(|numbers| {
            let tiling = (self.tiling)(numbers)?;
            n_in.is_multiple_of(tiling.n_columns).then_some((numbers, tiling))
        })
    }

    /// Write the activations `x (n_tokens, n_in)` in tiles to `out`, as [`Self::tiling`] says.
    pub fn tile(&self, numbers: Numbers, x: &[f32], n_in: usize, out: &mut [u32]) {
        let tiling = (self.tiling)(numbers).expect("asked for where there are tiles");
        assert!(x.len().is_multiple_of(n_in) && n_in.is_multiple_of(tiling.n_columns));
        assert_eq!(out.len(), tiling.len(x.len() / n_in, n_in));
        (self.tile)(numbers, x, n_in, out);
    }

    /// Write the products of `rows` of the interleaved matrix `w (n_out, n_in)` with `x (n_tokens, n_in)` to
    /// `out (n_tokens)(rows.len())`. Floats meet more than [`FEW_TOKENS`] in tiles, made for the like or for 32-bit floats.
    pub fn mul_mat_interleaved(
        &self,
        kind: TensorType,
        w: &[u8],
        x: Activations<'_>,
        n_in: usize,
        rows: Range<usize>,
        out: &mut [&mut [f32]],
    ) {
        assert!(quant::can_interleave(kind, n_in));
        let row_bytes = n_in / kind.block_len() * kind.block_bytes();
        let n_out = w.len() / row_bytes;
        assert!(w.len().is_multiple_of(row_bytes) && rows.end <= n_out);
        assert_eq!(x.n_values(kind), out.len() * n_in);
        assert!(out.iter().all(|out| out.len() == rows.len()));
        if !kind.is_quantized() && out.len() > FEW_TOKENS {
            let Tiles { numbers, words } = x.tiles;
            assert!(numbers <= Numbers::of(kind));
            let tiling = (self.tiling)(numbers);
            assert_eq!(words.len(), tiling.map_or(0, |tiling| tiling.len(out.len(), n_in)));
        }
        // Rows behind the last whole group are not interleaved.
        let n_woven = n_out / ROWS * ROWS;
        let (woven, others) = w.split_at(n_woven * row_bytes);
        if rows.end <= n_woven {
            return (self.mul_mat_interleaved)(kind, woven, x, n_in, rows, out);
        }
        let first = rows.start.min(n_woven)..n_woven;
        let others =
            &others[(rows.start.max(n_woven) - n_woven) * row_bytes..(rows.end - n_woven) * row_bytes];
        for (token, out) in out.iter_mut().enumerate() {
            let x = x.of_token(kind, token, n_in);
            let (products, other_products) = out.split_at_mut(first.len());
            if !first.is_empty() {
                (self.mul_mat_interleaved)(kind, woven, x, n_in, first.clone(), &mut [products]);
            }
            (self.mul_mat)(kind, others, x, n_in, &mut [other_products]);
        }
    }

    /// Quantize `x (n)` to `out (n / QK)`, rounding halves to even; `n_sharing` values have one scale ([`TensorType::n_sharing`]).
    pub fn quantize_q8_1(&self, x: &[f32], n_sharing: usize, out: &mut [BlockQ8_1]) {
        assert!(n_sharing.is_multiple_of(QK) && x.len().is_multiple_of(n_sharing));
        assert_eq!(x.len(), out.len() * QK);
        (self.quantize_q8_1)(x, n_sharing, out);
    }

    /// Write `x (n, n_embd_head)`, keys or values, to `out` as the cache keeps them.
    pub fn keep(&self, kv_type: KvType, x: &[f32], out: &mut [u8]) {
        assert_eq!(kv_type.n_bytes(x.len()), out.len());
        (self.keep)(kv_type, x, out);
    }

    /// Write to `found` what `queries` find in the positions `seen`. `scratch` has at least the length that
    /// [`attention::scratch_len`] tells.
    pub(crate) fn attend(
        &self,
        queries: &Queries<'_>,
        seen: KeysValues<'_>,
        scratch: &mut [f32],
        found: &mut Found<'_>,
    ) {
        let row_bytes = seen.kv_type.n_bytes(queries.n_embd_head);
        assert!(queries.rows.len().is_multiple_of(queries.n_group * queries.n_embd_head));
        assert!(seen.keys.len().is_multiple_of(row_bytes) && seen.values.len() == seen.keys.len());
        assert!(scratch.len() >= attention::scratch_len(queries.len(), queries.n_embd_head));
        assert_eq!(found.values.len(), queries.rows.len());
        assert_eq!((found.largest.len(), found.totals.len()), (queries.len(), queries.len()));
        (self.attend)(queries, seen, scratch, found);
    }

    /// Turn `x` into probabilities: `exp(x_i) / sum(exp(x))`.
    pub fn softmax(&self, x: &mut [f32]) {
        (self.softmax)(x);
    }

    /// Replace `gate` by `silu(gate) * up`, with `silu(x) = x / (1 + exp(-x))` (SwiGLU, arXiv 2002.05202).
    pub fn swiglu(&self, gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len());
        (self.swiglu)(gate, up);
    }

    /// Replace each `x` by `gelu(x) = x / 2 * (1 + tanh(u))`, with `u = sqrt(2 / pi) * (x + 0.044715 x^3)` (GELU, arXiv
    /// 1606.08415, in the approximation that GPT-2 was trained with).
    pub fn gelu(&self, x: &mut [f32]) {
        (self.gelu)(x);
    }

    /// Do nothing but multiplications and additions of `numbers` for `n_rounds` rounds, and return how many of each these
    /// were: with the time that it takes, what no product of matrices can exceed.
    pub fn multiply_add(&self, numbers: Numbers, n_rounds: usize) -> usize {
        (self.multiply_add)(numbers, n_rounds)
    }

    /// Read `lines` as weights are read, in order, and return their exclusive or: with the time that it takes, how fast memory is.
    pub fn read(&self, lines: &[[u8; LINE_BYTES]]) -> [u8; LINE_BYTES] {
        (self.read)(lines)
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernels({})", self.isa)
    }
}

#[cfg(test)]
mod tests;
