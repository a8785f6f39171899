"""Make fixtures/checkpoints/: tiny checkpoints with random weights, in every form that can be converted.

    pip install -r requirements.txt
    python checkpoints.py

Each folder is what a person would have fetched. Its reference.json says what transformers computes with it in float32 (the logits at some
positions, as hex of little-endian floats), and which tokens `tokenizers` or `sentencepiece` make of some texts. Weights are drawn so that every part
of a model matters: gains are not 1, biases not 0.
"""

import io
import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "checkpoints"
SEED = 5
N_CTX, N_LAYER = 64, 2
POSITIONS = [0, 11]

# What vocabularies are trained on, and what is encoded.
PROSE = [
    "The kernel takes the machine over, shows which models are there, and hands the console to a chat with the chosen one.",
    "A loader brings the kernel and the model files into memory; the model stays where it is.",
    "There is no operating system, no file system and no network underneath it.",
]
TEXTS = ["The kernel takes the machine over.", " a  b\n\n c", "It's 12345, isn't it? I'LL", "größer ✓ 漢字 🙂", "", "a\tb  ", "<|im_start|>the"]

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"\p{N}{1,3}" + OTHERS
QWEN2 = CONTRACTIONS + r"\p{N}" + OTHERS
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"

DECODER = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": N_LAYER, "num_attention_heads": 4, "num_key_value_heads": 2,
           "max_position_embeddings": N_CTX, "rms_norm_eps": 1e-3}


def rope(theta, kind="default", **scaling):
    return {"rope_theta": theta, "rope_type": kind} | scaling


def made_with(*packages):
    versions = {name: version(name) for name in ("numpy", "torch", "transformers", *packages)}
    return {"script": "checkpoints.py", "seed": SEED, "python": platform.python_version()} | versions


def draw_weights(model, dtype):
    """Give every parameter values that matter, rounded to `dtype`."""
    generator = torch.Generator().manual_seed(SEED)
    for name, weights in model.named_parameters():
        random = torch.randn(weights.shape, generator=generator)
        is_gain = weights.ndim == 1 and name.endswith("weight")
        is_embedding = name.endswith(("embed_tokens.weight", "wte.weight", "wpe.weight"))
        scale = 0.3 if weights.ndim == 1 else 1.0 if is_embedding else 1.5 * weights.shape[-1] ** -0.5
        weights.data = ((1.0 if is_gain else 0.0) + scale * random).to(dtype).float()


def folder(name):
    path = FIXTURES / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def state_dict(model, dtype):
    """Return the weights as they are saved: a tied output is not."""
    tied = model.config.tie_word_embeddings
    state = model.state_dict().items()
    return {name: weights.to(dtype).contiguous() for name, weights in state if not (tied and name == "lm_head.weight")}


def reference(path, model, encode, made):
    """Write what the model says of some tokens, and which tokens some texts are."""
    n_vocab = model.config.vocab_size
    tokens = [int(token) for token in np.random.default_rng(SEED).integers(0, n_vocab, POSITIONS[-1] + 1)]
    with torch.no_grad():
        logits = model.eval()(torch.tensor([tokens])).logits[0].numpy()
    texts = [{"text": text, "ids": encode(text)} for text in TEXTS]
    content = {"made_with": made, "tokens": tokens, "positions": POSITIONS, "texts": texts,
               "logits": [logits[position].astype("<f4").tobytes().hex() for position in POSITIONS]}
    lines = [f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in content.items()]
    (path / "reference.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    size = sum(file.stat().st_size for file in path.iterdir())
    print(f"{path.name}: {size:,} bytes, logits to {np.abs(logits).max():.1f}")


def write_json(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")


def write_config(path, config):
    write_json(path / "config.json", {key: value for key, value in config.to_dict().items() if key != "transformers_version"} | {"architectures": config.architectures})


def train(pre_tokenizer, n_vocab, special):
    """Return a byte-level BPE: the 256 bytes, the merges that a few sentences give, and the special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=n_vocab, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(PROSE * 4, trainer)
    return tokenizer


def split_by(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def plain_ids(tokenizer, special):
    """Return the function to ids that takes special tokens in the text for text, as the engine takes what a person types."""
    bare = json.loads(tokenizer.to_str())
    bare["added_tokens"] = [token for token in bare["added_tokens"] if token["content"] not in special]
    bare["post_processor"] = None
    plain = Tokenizer.from_str(json.dumps(bare))
    begin = tokenizer.encode("").ids
    return lambda text: begin + plain.encode(text).ids


def write_tokenizer(path, tokenizer, **config):
    write_json(path / "tokenizer.json", json.loads(tokenizer.to_str()))
    write_json(path / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"} | config)


def gpt2():
    """A .pt in the format before torch 1.6, float16, no "transformer." before the names, and the tokenizer in two files."""
    path, special = folder("gpt2"), ["<|endoftext|>"]
    tokenizer = train(pre_tokenizers.ByteLevel(add_prefix_space=False), 264, special)
    trained = json.loads(tokenizer.to_str())["model"]
    write_json(path / "vocab.json", trained["vocab"])
    (path / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(merge) + "\n" for merge in trained["merges"]))
    config = GPT2Config(vocab_size=264, n_positions=N_CTX, n_embd=24, n_layer=N_LAYER, n_head=4, n_inner=40, layer_norm_epsilon=1e-3,
                        bos_token_id=0, eos_token_id=0, architectures=["GPT2LMHeadModel"])
    model = GPT2LMHeadModel(config)
    draw_weights(model, torch.float16)
    write_config(path, config)
    state = {name.removeprefix("transformer."): weights for name, weights in state_dict(model, torch.float16).items()}
    state |= {f"h.{i}.attn.bias": torch.ones(1, 1, 4, 4, dtype=torch.uint8) for i in range(N_LAYER)}  # masks, as old files have them
    torch.save(state, path / "model.pt", _use_new_zipfile_serialization=False)
    reference(path, model, plain_ids(tokenizer, special), made_with("tokenizers"))


def llama():
    """Shards, bfloat16, Llama 3's rotations and words, biases, a begin token, an output of its own."""
    path, special = folder("llama"), ["<|begin_of_text|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = train(split_by(LLAMA3), 272, special)
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)])
    write_tokenizer(path, tokenizer, bos_token="<|begin_of_text|>", eos_token="<|im_end|>")
    (path / "chat_template.jinja").write_text(TEMPLATE)
    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    config = LlamaConfig(**DECODER, vocab_size=272, head_dim=12, tie_word_embeddings=False, attention_bias=True, rope_parameters=rope(50.0, "llama3", **scaling),
                         architectures=["LlamaForCausalLM"])
    model = LlamaForCausalLM(config)
    draw_weights(model, torch.bfloat16)
    write_config(path, config)
    state = state_dict(model, torch.bfloat16)
    shards = [dict(list(state.items())[i::3]) for i in range(3)]
    weight_map = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        save_file(shard, path / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    write_json(path / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    reference(path, model, plain_ids(tokenizer, special), made_with("tokenizers", "safetensors"))


def llama_spm():
    """SafeTensors, float16, SentencePiece; tokenizer_hf.json is the same tokenizer as Hugging Face's library has it."""
    path = folder("llama_spm")
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(PROSE), model_writer=trained, model_type="bpe", vocab_size=320, byte_fallback=True, character_coverage=0.98,
        normalization_rule_name="identity", remove_extra_whitespaces=False, num_threads=1, minloglevel=2)
    (path / "tokenizer.model").write_bytes(trained.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    vocab = {processor.id_to_piece(i): i for i in range(processor.vocab_size())}
    rank = lambda piece: -processor.get_score(vocab[piece])
    words = [piece for piece, i in vocab.items() if not (processor.is_byte(i) or processor.is_control(i) or processor.is_unknown(i))]
    splits = [(piece[:i], piece[i:]) for piece in words for i in range(1, len(piece))]
    merges = sorted(((left, right) for left, right in splits if left in vocab and right in vocab), key=lambda pair: (rank("".join(pair)), vocab[pair[0]], vocab[pair[1]]))
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    write_json(path / "tokenizer_hf.json", json.loads(tokenizer.to_str()))
    write_json(path / "tokenizer_config.json", {"bos_token": {"content": "<s>"}, "eos_token": {"content": "</s>"}, "add_bos_token": True,
                                                "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": TEMPLATE}]})
    config = LlamaConfig(**DECODER, vocab_size=len(vocab), tie_word_embeddings=True, rope_parameters=rope(10000.0, "linear", factor=4.0),
                         architectures=["LlamaForCausalLM"])
    model = LlamaForCausalLM(config)
    draw_weights(model, torch.float16)
    write_config(path, config)
    save_file(state_dict(model, torch.float16), path / "model.safetensors")
    reference(path, model, lambda text: [1] + processor.encode(text), made_with("sentencepiece"))


def qwen(name, model_class, config_class, dtype, save, **options):
    path, special = folder(name), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = train(split_by(QWEN2), 270, special)
    tokenizer.normalizer = normalizers.NFC()
    write_tokenizer(path, tokenizer, bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>", add_bos_token=False, chat_template=TEMPLATE)
    write_json(path / "generation_config.json", {"eos_token_id": [2, 0]})
    # More rows than tokens, as published models have.
    config = config_class(**DECODER, vocab_size=272, rope_parameters=rope(1e6), architectures=[model_class.__name__], **options)
    model = model_class(config)
    draw_weights(model, dtype)
    write_config(path, config)
    save(state_dict(model, dtype), path)
    reference(path, model, plain_ids(tokenizer, special), made_with("tokenizers"))


def main():
    gpt2()
    llama()
    llama_spm()
    qwen("qwen2", Qwen2ForCausalLM, Qwen2Config, torch.float16, lambda state, path: save_file(state, path / "model.safetensors"), tie_word_embeddings=True)
    # A ZIP archive, with a module's parameters among other things.
    qwen("qwen3", Qwen3ForCausalLM, Qwen3Config, torch.bfloat16, lambda state, path: torch.save({"state_dict": {name: torch.nn.Parameter(weights) for name, weights in state.items()}, "step": 1}, path / "pytorch_model.bin"),
         tie_word_embeddings=True, head_dim=12)


if __name__ == "__main__":
    main()
