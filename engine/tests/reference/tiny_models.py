"""Make fixtures/tiny_*.gguf: tiny transformers models with random weights, each with the logits of a fixed sequence at every position.

    pip install -r requirements.txt    (torch comes with a few GB of CUDA libraries, which it wants to see even where it runs on the processor)
    python tiny_models.py

The models are transformers' own classes, run in float32; the files are written by the `gguf` package under the names and in the layout of
llama.cpp's converter: llama's q and k with their halves interleaved, GPT-2's Conv1D transposed. What was computed stands in the file's metadata
under "reference.": made_with, tokens (n_tokens), logits (n_tokens, n_vocab).

Weights are drawn so that every part of a model matters: gains are not 1, biases not 0, scores not flat. Of every variant the script prints how far
the logits move without what it is there for; an engine that left that out would be as far off.
"""

import json

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from common import CONTROL, FIXTURES, made_with
from tokenizer_texts import PROSE

SEED = 20
N_VOCAB, N_CTX, N_LAYER, N_TOKENS = 272, 64, 2, 20
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

DECODER = {"vocab_size": N_VOCAB, "hidden_size": 32, "intermediate_size": 36, "num_hidden_layers": N_LAYER, "num_attention_heads": 4,
           "num_key_value_heads": 2, "max_position_embeddings": N_CTX, "rms_norm_eps": 1e-3}


def rope(theta, kind="default", **scaling):
    return {"rope_theta": theta, "rope_type": kind} | scaling


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}

# Per file: the architecture's GGUF name, transformers' model and configuration, the same without what the variant is there for, and what that is.
VARIANTS = {
    "llama": (LlamaForCausalLM, LlamaConfig(**DECODER, head_dim=12, tie_word_embeddings=True, rope_parameters=rope(500.0)),
              {"rope_parameters": rope(10000.0)}, "its rope base"),
    "llama_linear": (LlamaForCausalLM, LlamaConfig(**DECODER, tie_word_embeddings=False, attention_bias=True, mlp_bias=True,
                                                   rope_parameters=rope(10000.0, "linear", factor=4.0)),
                     {"rope_parameters": rope(10000.0)}, "rope scaling"),
    "llama_llama3": (LlamaForCausalLM, LlamaConfig(**DECODER, head_dim=12, tie_word_embeddings=True,
                                                   rope_parameters=rope(50.0, "llama3", **LLAMA3)),
                     {"rope_parameters": rope(50.0)}, "rope scaling"),
    "gpt2": (GPT2LMHeadModel, GPT2Config(vocab_size=N_VOCAB, n_positions=N_CTX, n_embd=32, n_layer=N_LAYER, n_head=4, n_inner=72,
                                         layer_norm_epsilon=1e-3, bos_token_id=0, eos_token_id=0), {"activation_function": "gelu"}, "the tanh of GELU"),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**DECODER, tie_word_embeddings=True, rope_parameters=rope(1e6)),
              {"rope_parameters": rope(10000.0)}, "its rope base"),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**DECODER, head_dim=12, tie_word_embeddings=True, rope_parameters=rope(1e6)),
              {"rope_parameters": rope(10000.0)}, "its rope base"),
}


def draw_weights(model):
    """Give every parameter values that matter: gains about 1, biases about 0, products of the size of their inputs."""
    generator = torch.Generator().manual_seed(SEED)
    for name, weights in model.named_parameters():
        random = torch.randn(weights.shape, generator=generator)
        is_gain = weights.ndim == 1 and name.endswith("weight")
        is_embedding = name.endswith(("embed_tokens.weight", "wte.weight", "wpe.weight"))
        # Conv1D keeps (n_in, n_out), Linear (n_out, n_in); these models' widths are near enough to take either for n_in.
        scale = 0.3 if weights.ndim == 1 else 1.0 if is_embedding else 1.5 * weights.shape[-1] ** -0.5
        weights.data = (1.0 if is_gain else 0.0) + scale * random


def evaluate(model_class, config, state, tokens):
    model = model_class(config).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].numpy()


def interleaved(weights, n_head):
    """Return rows (n_head, 2, half, ...) as (n_head, half, 2, ...): ggml turns the pairs (2i, 2i + 1) where transformers turns (i, i + half)."""
    halves = weights.reshape(n_head, 2, -1, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def tensors(model, arch):
    """Return the model's weights by their GGUF names."""
    config, names = model.config, gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch.upper()], N_LAYER)
    out = {}
    for name, weights in model.named_parameters():
        weights = weights.detach().numpy()
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            weights = weights.T
        if arch == "llama" and ".q_proj." in name:
            weights = interleaved(weights, config.num_attention_heads)
        if arch == "llama" and ".k_proj." in name:
            weights = interleaved(weights, config.num_key_value_heads)
        stem, kind = name.rsplit(".", 1)
        out[f"{names.get_name(stem)}.{kind}"] = np.ascontiguousarray(weights, np.float32)
    if arch != "gpt2" and config.rope_parameters["rope_type"] == "llama3":
        n_rot = config.head_dim
        unscaled = config.rope_parameters["rope_theta"] ** (-np.arange(0, n_rot, 2) / n_rot)
        out["rope_freqs.weight"] = (unscaled / model.model.rotary_emb.inv_freq.numpy()).astype(np.float32)
    return out


def write_hyperparameters(writer, config, arch):
    writer.add_context_length(N_CTX)
    writer.add_block_count(N_LAYER)
    if arch == "gpt2":
        writer.add_embedding_length(config.n_embd)
        writer.add_feed_forward_length(config.n_inner)
        writer.add_head_count(config.n_head)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    head_size = getattr(config, "head_dim", None)
    if head_size is not None:
        writer.add_key_length(head_size)
        writer.add_value_length(head_size)
    if arch == "llama":
        writer.add_rope_dimension_count(head_size)
        writer.add_vocab_size(N_VOCAB)
    if config.rope_parameters["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])


def write_tokenizer(writer, arch):
    """Write a byte-level BPE: the 256 bytes, the merges that a few sentences give, and the control tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=N_VOCAB, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(PROSE * 4, trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(trained["vocab"], key=trained["vocab"].get)
    assert len(tokens) == N_VOCAB and tokens[: len(SPECIAL)] == SPECIAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre({"gpt2": "gpt-2", "llama": "smollm"}.get(arch, "qwen2"))
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in trained["merges"]])
    writer.add_eos_token_id(tokens.index("<|endoftext|>" if arch == "gpt2" else "<|im_end|>"))


def main():
    made = json.dumps(made_with("tiny_models.py", "gguf", "numpy", "tokenizers", "torch", "transformers") | {"seed": SEED})
    tokens = [int(token) for token in np.random.default_rng(SEED).integers(0, N_VOCAB, N_TOKENS)]
    for variant, (model_class, config, without, what) in VARIANTS.items():
        arch = variant.split("_")[0]
        model = model_class(config)
        draw_weights(model)
        logits = evaluate(model_class, config, model.state_dict(), tokens)
        poorer = evaluate(model_class, type(config).from_dict(config.to_dict() | without), model.state_dict(), tokens)

        path = FIXTURES / f"tiny_{variant}.gguf"
        writer = gguf.GGUFWriter(path, arch)
        writer.add_name(f"tiny {variant}")
        write_hyperparameters(writer, config, arch)
        write_tokenizer(writer, arch)
        writer.add_string("reference.made_with", made)
        writer.add_array("reference.tokens", tokens)
        writer.add_array("reference.logits", logits.flatten().tolist())
        for name, weights in tensors(model, arch).items():
            writer.add_tensor(name, weights)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        print(f"{path.name}: {path.stat().st_size:,} bytes; logits to {np.abs(logits).max():.1f}, std {logits.std():.2f}; "
              f"without {what} they move by up to {np.abs(poorer - logits).max():.3f}")


if __name__ == "__main__":
    main()
