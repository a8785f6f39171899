"""Make fixtures/quants.json: one row of 512 weights in each tensor type, as bytes and as the floats the gguf package reads from them.

    pip install -r requirements.txt
    python quants.py

"source" and "activation" are two rows of normal floats. Types that the gguf package can write hold "source" quantized ("from_source" is true;
an engine that quantizes should produce the same bytes); for the others the bytes are random, with finite, ordinary scales.
"f16_edges" are the values that a hand-written conversion gets wrong. All numbers are hex of little-endian bytes: f32 for
"source", "activation" and "values". "dot" is the float64 sum of values * activation, and "dot_q8_0" the same with the
activation first rounded to Q8_0 ("activation_q8_0"), which an integer dot product should meet to f32 rounding.
"""

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

from common import made_with, write_fixture

N = 512
SEED = 20240607

WRITTEN_BY_GGUF = [T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1]

# Byte offset of each f16 scale in a block that the package can only read.
SCALES_AT = {
    T.Q2_K: [80, 82],  # scales[16], qs[64], d, dmin
    T.Q3_K: [108],  # hmask[32], qs[64], scales[12], d
    T.Q4_K: [0, 2],  # d, dmin, scales[12], qs[128]
    T.Q5_K: [0, 2],  # d, dmin, scales[12], qh[32], qs[128]
    T.Q6_K: [208],  # ql[128], qh[64], scales[16], d
    T.IQ4_NL: [0],  # d, qs[16]
}

# Both zeros, the least and greatest subnormals, the least normal, the greatest finite, the infinities, one, and neighbours of one.
F16_EDGES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x3C00, 0x3C01, 0x3BFF]


def random_blocks(kind: T, rng) -> np.ndarray:
    """Return N weights as random bytes with scales between 2^-8 and 2^-4 of either sign."""
    block_size, type_size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (N // block_size, type_size), dtype=np.uint8)
    for at in SCALES_AT[kind]:
        scales = (rng.uniform(2**-8, 2**-4, len(blocks)) * rng.choice([-1, 1], len(blocks))).astype("<f2")
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(-1)


def floats(x) -> str:
    return np.ascontiguousarray(x, "<f4").tobytes().hex()


def main():
    rng = np.random.default_rng(SEED)
    source, activation = rng.standard_normal((2, N)).astype(np.float32)
    activation_q8_0 = quantize(activation, T.Q8_0)
    rounded_activation = dequantize(activation_q8_0, T.Q8_0)

    rows = []
    for kind in WRITTEN_BY_GGUF + list(SCALES_AT):
        from_source = kind in WRITTEN_BY_GGUF
        data = quantize(source, kind) if from_source else random_blocks(kind, rng)
        data = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        values = dequantize(data, kind)
        rows.append({
            "type": kind.name, "id": int(kind), "from_source": from_source,
            "bytes": data.tobytes().hex(), "values": floats(values),
            "dot": float(values.astype(np.float64) @ activation), "dot_q8_0": float(values.astype(np.float64) @ rounded_activation),
        })
    edges = np.array(F16_EDGES, "<u2")
    write_fixture("quants.json", {
        "made_with": made_with("quants.py", "gguf", "numpy") | {"seed": SEED},
        "source": floats(source), "activation": floats(activation), "activation_q8_0": activation_q8_0.tobytes().hex(),
        "f16_edges": {"bytes": edges.tobytes().hex(), "values": floats(edges.view("<f2"))},
        "rows": rows,
    })


if __name__ == "__main__":
    main()
