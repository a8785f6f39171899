"""Make fixtures/ggml_quants.json: what llama.cpp makes of the same weights, and which type it gives to which tensor.

    pip install -r requirements.txt
    python ggml_quants.py

"source" is a row of floats, mostly normal, some far out (hex of little-endian f32). "rows" are its blocks in each type, by ggml_quantize_chunk of the
library that llama-cpp-python brings. "file_types" are the types that llama_model_quantize gives to the tensors of models of zeros: for each
model, file type and tensor type, the tensors that have it, but for those of the commonest type, which "base" names.
"""

import collections
import ctypes
import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
SEED, N = 7, 1024
T = gguf.GGMLQuantizationType
TYPES = [T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.IQ4_NL, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K]
FILE_TYPES = {"f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15,
              "q5_k_s": 16, "q5_k_m": 17, "q6_k": 18, "iq4_nl": 25, "bf16": 32}
# Architecture, layers, width, width of the feed-forward network, heads of keys (of 8), whether the output has weights.
MODELS = {"llama": ("llama", 16, 256, 512, 2, True), "llama_odd": ("llama", 4, 288, 100, 8, False), "gpt2": ("gpt2", 4, 256, 512, 8, False)}


def chunk_quantizer():
    library = next((Path(llama_cpp.__file__).parent / "lib").glob("libggml-base.so*"))
    quantize = ctypes.CDLL(str(library)).ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    return quantize


def blocks(quantize, kind, source):
    block_len, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros(len(source) // block_len * block_bytes, np.uint8)
    written = quantize(int(kind), source.ctypes.data, out.ctypes.data, 0, 1, len(source), None)
    assert written == len(out), kind
    return out


def write_model(path, arch, n_layer, n_embd, n_ff, n_head_kv, has_output):
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(n_layer)
    writer.add_context_length(32)
    writer.add_embedding_length(n_embd)
    writer.add_feed_forward_length(n_ff)
    writer.add_head_count(8)
    writer.add_head_count_kv(n_head_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(32)
    n_kv = n_embd // 8 * n_head_kv
    shapes = {"token_embd": (32, n_embd), "output_norm": (n_embd,)} | ({"output": (32, n_embd)} if has_output else {})
    if arch == "gpt2":
        shapes |= {"position_embd": (32, n_embd)}
        layer = {"attn_norm": (n_embd,), "attn_qkv": (3 * n_embd, n_embd), "attn_output": (n_embd, n_embd), "ffn_norm": (n_embd,), "ffn_up": (n_ff, n_embd), "ffn_down": (n_embd, n_ff)}
    else:
        layer = {"attn_norm": (n_embd,), "attn_q": (n_embd, n_embd), "attn_k": (n_kv, n_embd), "attn_v": (n_kv, n_embd), "attn_output": (n_embd, n_embd),
                 "ffn_norm": (n_embd,), "ffn_gate": (n_ff, n_embd), "ffn_up": (n_ff, n_embd), "ffn_down": (n_embd, n_ff)}
    for i in range(n_layer):
        shapes |= {f"blk.{i}.{name}": shape for name, shape in layer.items()}
    biases = {name: (shape[0],) for name, shape in shapes.items() if arch == "gpt2" and name != "token_embd" and name != "position_embd"}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, np.float32))
    for name, shape in biases.items():
        writer.add_tensor(f"{name}.bias", np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {f"{name}.weight": list(reversed(shape)) for name, shape in shapes.items()}


def file_types():
    models = {}
    with tempfile.TemporaryDirectory() as folder:
        for model, (arch, n_layer, n_embd, n_ff, n_head_kv, has_output) in MODELS.items():
            source, target = Path(folder) / "source.gguf", Path(folder) / "target.gguf"
            shapes = write_model(source, arch, n_layer, n_embd, n_ff, n_head_kv, has_output)
            by_type = {}
            for name, number in FILE_TYPES.items():
                params = llama_cpp.llama_model_quantize_default_params()
                params.ftype = number
                assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)) == 0, (model, name)
                kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(target).tensors if tensor.name in shapes}
                base = collections.Counter(kind for kind in kinds.values() if kind != "F32" or name == "f32").most_common(1)[0][0]
                others = collections.defaultdict(list)
                for tensor, kind in kinds.items():
                    if kind != base:
                        others[kind].append(tensor)
                by_type[name] = {"base": base} | others
            models[model] = {"n_layer": n_layer, "n_gqa": 8 // n_head_kv, "has_output": has_output, "shapes": shapes, "file_types": by_type}
    return models


def main():
    rng = np.random.default_rng(SEED)
    source = rng.standard_normal(N).astype(np.float32)
    source[::97] *= 6  # some far out, as trained weights have them
    source[-256:-128] = 0
    quantize = chunk_quantizer()
    made = {"script": "ggml_quants.py", "seed": SEED, "python": platform.python_version()} | {name: version(name) for name in ("gguf", "llama_cpp_python", "numpy")}
    content = {
        "made_with": made,
        "source": source.astype("<f4").tobytes().hex(),
        "rows": {kind.name: blocks(quantize, kind, source).tobytes().hex() for kind in TYPES},
        "models": file_types(),
    }
    path = FIXTURES / "ggml_quants.json"
    lines = [f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in content.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
