"""Print, as JSON, what PyTorch computes with a GGUF that export.py wrote: `python logits.py FILE.gguf` (the tests of Rust compare with it).

The weights are read by the gguf package, quantized ones as the floats that they stand for; the tokenizer is sentencepiece's own, made of the pieces in the file.
`tokens` are those of `text` behind the begin token; `logits` are those behind the last of them; `likeliest` has behind each of them the token that PyTorch takes for
the likeliest, or null where the second is so near that other arithmetic may choose otherwise.
"""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import gguf
import torch
from sentencepiece import sentencepiece_model_pb2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from export import gguf_name
from model import Model, Shape
from tokenizer import BOS, Tokenizer

TEXT = """\
ROMEO:
Good morrow, cousin. Shall I call thee naïve?

JULIET:
Thou art a villain, and I will not hear thee more.

[Exit JULIET.]

ROMEO:
What, is she gone? Then farewell, my sweet lady;
I'll to the church, and there
"""
TOO_CLOSE = 0.2


def read(path):
    """Return the model and the tokenizer in the GGUF at path."""
    reader = gguf.GGUFReader(path)

    def value(key):
        return reader.get_field(key).contents()

    names = {"n_vocab": "vocab_size", "n_ctx": "context_length", "n_embd": "embedding_length", "n_layer": "block_count", "n_head": "attention.head_count",
             "n_head_kv": "attention.head_count_kv", "n_ff": "feed_forward_length"}
    model = Model(Shape(**{name: value(f"llama.{key}") for name, key in names.items()}))
    tensors = {tensor.name: torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type)) for tensor in reader.tensors}
    model.load_state_dict({name: tensors[gguf_name(name)] for name in model.state_dict()})

    proto = sentencepiece_model_pb2.ModelProto()
    for piece, score, kind in zip(*(value(f"tokenizer.ggml.{key}") for key in ("tokens", "scores", "token_type"))):
        proto.pieces.add(piece=piece, score=score, type=kind)
    proto.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.BPE
    proto.trainer_spec.byte_fallback = True
    proto.normalizer_spec.add_dummy_prefix = value("tokenizer.ggml.add_space_prefix")
    proto.normalizer_spec.remove_extra_whitespaces = False
    return model.eval(), Tokenizer(proto.SerializeToString())


@torch.no_grad()
def main():
    model, tokenizer = read(sys.argv[1])
    tokens = [BOS, *tokenizer.encode(TEXT)]
    logits = model(torch.tensor([tokens]))[0]
    best = torch.topk(logits, 2)
    is_clear = best.values[:, 0] - best.values[:, 1] > TOO_CLOSE
    likeliest = [token if clear else None for token, clear in zip(best.indices[:, 0].tolist(), is_clear)]
    made_with = {"script": "logits.py", "python": platform.python_version()} | {name: version(name) for name in ("gguf", "sentencepiece", "torch")}
    fixture = {"made_with": made_with, "text": TEXT, "tokens": tokens, "likeliest": likeliest, "logits": [round(logit, 4) for logit in logits[-1].tolist()]}
    print("{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(content)}" for key, content in fixture.items()) + "\n}")


if __name__ == "__main__":
    main()
