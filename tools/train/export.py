"""Files of a checkpoint that bootlm boots: GGUF, with the tokenizer in it, and llama2.c's model.bin with its tokenizer.bin.

    python export.py FOLDER/checkpoint.pt model.gguf --type q8_0
    python export.py FOLDER/checkpoint.pt model.bin           (and tokenizer.bin beside it)
"""

import argparse
import os
import struct
from pathlib import Path

import gguf

import checkpoint
from model import NORM_EPS, ROPE_FREQ_BASE, rotations
from tokenizer import BOS, EOS, UNKNOWN

TYPES = {name: gguf.GGMLQuantizationType[name.upper()] for name in ("f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")}

# llama2.c's version 0 has all layers of one kind of weights behind each other, in this order around the layers' norms.
ATTENTION = ("attn.q", "attn.k", "attn.v", "attn.output")
FEED_FORWARD = ("ffn.gate", "ffn.down", "ffn.up")


def gguf_name(name):
    """Return what a GGUF file calls the weights that the model calls name."""
    return name.replace("layers.", "blk.").replace("attn.", "attn_").replace("ffn.", "ffn_")


def kind_of(name, weights, kind, embedding_kind):
    """Return the type that weights get: norms, which are small and matter, stay floats."""
    if weights.ndim == 1:
        return TYPES["f32"]
    return embedding_kind if name == "token_embd.weight" else kind


def write_gguf(path, model, tokenizer, kind, embedding_kind, name):
    """Write model to path, matrices as kind and the embedding as embedding_kind, under the name that a person reads."""
    shape = model.shape
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head_kv)
    writer.add_layer_norm_rms_eps(NORM_EPS)
    writer.add_rope_dimension_count(shape.n_embd_head)
    writer.add_rope_freq_base(ROPE_FREQ_BASE)
    writer.add_vocab_size(shape.n_vocab)
    pieces, scores, types = zip(*tokenizer.pieces())
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_unk_token_id(UNKNOWN)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    for weights_name, weights in model.state_dict().items():
        as_kind = kind_of(weights_name, weights, kind, embedding_kind)
        writer.add_tensor(gguf_name(weights_name), gguf.quantize(weights.numpy(), as_kind), raw_dtype=as_kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_bin(path, model):
    """Write model to path as llama2.c's version 0: seven integers, then 32-bit floats. A positive vocabulary says that the embedding makes the logits."""
    shape, weights = model.shape, model.state_dict()

    def of_layers(name):
        return [weights[f"layers.{i}.{name}.weight"] for i in range(shape.n_layer)]

    tensors = [weights["token_embd.weight"], *of_layers("attn_norm")]
    tensors += [matrix for name in ATTENTION for matrix in of_layers(name)]
    tensors += of_layers("ffn_norm")
    tensors += [matrix for name in FEED_FORWARD for matrix in of_layers(name)]
    tensors += [weights["output_norm.weight"], *rotations(shape, shape.n_ctx)]
    header = (shape.n_embd, shape.n_ff, shape.n_layer, shape.n_head, shape.n_head_kv, shape.n_vocab, shape.n_ctx)
    path.write_bytes(struct.pack("<7i", *header) + b"".join(tensor.numpy().astype("<f4").tobytes() for tensor in tensors))


def main():
    parser = argparse.ArgumentParser(description="Make files of a checkpoint that bootlm boots.", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("checkpoint", help="what train.py wrote")
    parser.add_argument("file", type=Path, help="what to write: a .gguf, or a .bin, which gets a tokenizer.bin beside it")
    parser.add_argument("--type", choices=TYPES, default="f32", help="of the matrices in a GGUF")
    parser.add_argument("--embedding-type", choices=TYPES, help="of the embedding, if it is to differ")
    parser.add_argument("--name", help="what a GGUF says it is; else the file's name")
    options = parser.parse_args()
    model, tokenizer = checkpoint.model_and_tokenizer(checkpoint.load(options.checkpoint))
    part = options.file.with_name(options.file.name + ".part")
    if options.file.suffix == ".gguf":
        kinds = TYPES[options.type], TYPES[options.embedding_type or options.type]
        write_gguf(part, model, tokenizer, *kinds, options.name or options.file.stem)
    elif options.file.suffix == ".bin":
        write_bin(part, model)
        options.file.with_name("tokenizer.bin").write_bytes(tokenizer.to_bin())
    else:
        parser.error(f"{options.file}: neither a .gguf nor a .bin")
    os.replace(part, options.file)
    print(f"{options.file}: {options.file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
