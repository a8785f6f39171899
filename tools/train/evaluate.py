"""What a type of weights costs: the loss on held-out text with a checkpoint's weights as they are, and rounded as export.py would round them.

    python evaluate.py FOLDER/checkpoint.pt --types q8_0 q4_0
"""

import argparse

import gguf
import torch

import checkpoint
from export import TYPES, kind_of
from train import Training


@torch.no_grad()
def round_weights(model, kind, embedding_kind):
    """Round the weights of model to what a GGUF of these types holds, and return how many bytes that takes."""
    n_bytes = 0
    for name, weights in model.state_dict().items():
        as_kind = kind_of(name, weights, kind, embedding_kind)
        rounded = gguf.quantize(weights.numpy(), as_kind)
        weights.copy_(torch.from_numpy(gguf.dequantize(rounded, as_kind)))
        n_bytes += rounded.nbytes
    return n_bytes


def main():
    parser = argparse.ArgumentParser(description="Measure the loss of a checkpoint on the text that was held out, with weights of several types.")
    parser.add_argument("checkpoint", help="what train.py wrote; its text has to lie where it lay")
    parser.add_argument("--types", nargs="+", choices=TYPES, default=list(TYPES), help="of the matrices (default: all)")
    parser.add_argument("--embedding-type", choices=TYPES, help="of the embedding, if it is to differ")
    options = parser.parse_args()
    state = checkpoint.load(options.checkpoint)
    training = Training.resume(state)
    for name in options.types:
        training.model.load_state_dict(state["model"])
        n_bytes = round_weights(training.model, TYPES[name], TYPES[options.embedding_type or name])
        print(f"{name:5} {n_bytes:>12,} bytes  loss {training.held_out_loss():.4f}", flush=True)


if __name__ == "__main__":
    main()
