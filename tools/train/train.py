"""Train a small language model on any text, on an ordinary processor: `python train.py play.txt --out FOLDER`.

Loss (nats per token, on what is trained on and on what is held out) and samples are shown on the way; FOLDER gets checkpoint.pt and loss.png. Ctrl-C stops
after a checkpoint, and `--resume` goes on to exactly the weights that an uninterrupted run would have had. export.py makes files of it that bootlm boots.
"""

import argparse
import math
import os
import signal
import sys
import time
from pathlib import Path

# Threads that wait for each other sleep, and do not spin: on a machine that does other things too, spinning made a step seven times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

import checkpoint
import data
import tokenizer as vocabulary
from curve import plot
from model import Model, Shape, loss
from sample import sample


class Training:
    """A model on its way, with all that decides how it goes on."""

    def __init__(self, options, model, tokenizer, texts):
        self.options, self.model, self.tokenizer, self.texts = options, model, tokenizer, texts
        self.tokens = data.encode(tokenizer, texts.train)
        self.held_out = data.all_windows(data.encode(tokenizer, texts.held_out), model.shape.n_ctx)
        if len(self.tokens) < model.shape.n_ctx or not len(self.held_out):
            raise ValueError(f"the text is too short: what is trained on and what is held out each have to fill a window of {model.shape.n_ctx} tokens (--n-ctx)")
        self.optimizer = torch.optim.AdamW(groups(model, options["weight_decay"]), betas=(0.9, 0.95))
        self.step = 0
        self.history = []  # of every look at what is held out: step, loss in training since the last one, loss on what is held out

    @classmethod
    def begin(cls, options):
        """Return the beginning of a training with new weights, or with those of another training (fine-tuning)."""
        torch.manual_seed(options["seed"])
        texts = data.read(options["text"], options["held_out"])
        if options["init_from"]:
            model, tokenizer = checkpoint.model_and_tokenizer(checkpoint.load(options["init_from"]), options["dropout"])
        else:
            tokenizer = vocabulary.train(texts.train, options["n_vocab"])
            shape = {name: options[name] for name in ("n_vocab", "n_ctx", "n_embd", "n_layer", "n_head", "n_head_kv", "n_ff")}
            model = Model(Shape(**shape), options["dropout"])
        return cls(options, model, tokenizer, texts)

    @classmethod
    def resume(cls, state, steps=None):
        """Return the training that a checkpoint was made of, to end after as many steps as it was to, or after steps."""
        options = state["options"] | ({"steps": steps} if steps else {})
        texts = data.read(options["text"], options["held_out"])
        if texts.sha256 != state["sha256"]:
            raise ValueError("the text is not the one that the checkpoint was trained on, so it cannot go on")
        training = cls(options, *checkpoint.model_and_tokenizer(state, options["dropout"]), texts)
        training.optimizer.load_state_dict(state["optimizer"])
        training.step, training.history = state["step"], state["history"]
        torch.set_rng_state(state["random"])
        return training

    def state(self):
        return checkpoint.of_model(self.model, self.tokenizer) | {
            "options": self.options,
            "sha256": self.texts.sha256,
            "step": self.step,
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "history": self.history,
        }

    def train_step(self):
        """Take one step and return the loss before it."""
        self.model.train()
        windows = data.random_windows(self.tokens, self.options["n_batch"], self.model.shape.n_ctx)
        surprise = loss(self.model, windows)
        surprise.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options["lr"] * rate(self.step, self.options["warm_up"], self.options["steps"])
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return surprise.item()

    @torch.no_grad()
    def held_out_loss(self):
        self.model.eval()
        batches = self.held_out.split(self.options["n_batch"])
        return sum(loss(self.model, batch).item() * len(batch) for batch in batches) / len(self.held_out)


def groups(model, weight_decay):
    """Return the weights in two groups for the optimizer: matrices, which are pulled to zero, and gains, which are not."""
    weights = list(model.parameters())
    return [
        {"params": [w for w in weights if w.ndim == 2], "weight_decay": weight_decay},
        {"params": [w for w in weights if w.ndim == 1], "weight_decay": 0.0},
    ]


def rate(step, warm_up, steps):
    """Return the share of the learning rate that step takes: up in a line, level, and down in a line over the last quarter.

    As good as a cosine (Haegele et al., arXiv 2405.18392), and what is done before the way down is good for any number of steps.
    """
    return min(1.0, (step + 1) / warm_up, (steps - step) / (0.25 * steps))


def run(training, folder):
    """Take the steps that are left, or those until Ctrl-C, and keep folder up to date."""
    options, stop = training.options, []
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    tokens_per_character = training.held_out[:, 1:].numel() / sum(map(len, training.texts.held_out))
    started, cpu_started, first, losses = time.monotonic(), time.process_time(), training.step, []
    is_last = training.step >= options["steps"]
    while not is_last:
        losses.append(training.train_step())
        is_last = training.step == options["steps"] or bool(stop)
        if training.step % 10 == 0:
            seconds = (time.monotonic() - started) / (training.step - first)
            left = seconds * (options["steps"] - training.step) / 60
            status = f"step {training.step}/{options['steps']}  loss {sum(losses[-10:]) / len(losses[-10:]):.3f}  {seconds:.2f} s/step, {left:.0f} min left"
            print(f"\r{status}  ", end="", file=sys.stderr, flush=True)
        if training.step % options["look_every"] == 0 or is_last:
            held_out = training.held_out_loss()
            training.history.append((training.step, sum(losses) / len(losses), held_out))
            losses = []
            per_character = held_out * tokens_per_character / math.log(2)
            text = sample(training.model, training.tokenizer, options["prompt"], 60, 0.8, training.step)
            print(f"\nstep {training.step}: train {training.history[-1][1]:.4f}, held out {held_out:.4f} ({per_character:.3f} bits per character)")
            print("    " + text.replace("\n", "\n    "), flush=True)
            checkpoint.save(folder / "checkpoint.pt", training.state())
            plot(training.history, folder / "loss.png")
    minutes, cpu_minutes = (time.monotonic() - started) / 60, (time.process_time() - cpu_started) / 60
    print(f"steps {first} to {training.step} took {minutes:.1f} min, {cpu_minutes:.1f} min of processor time; {folder / 'checkpoint.pt'} is written")


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="Train a small language model on any text.", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("text", nargs="*", help="files of text in UTF-8")
    parser.add_argument("--out", type=Path, required=True, help="the folder for checkpoint.pt and loss.png")
    parser.add_argument("--resume", action="store_true", help="go on from --out's checkpoint, with its text and its options")
    parser.add_argument("--init-from", help="begin with the weights and the vocabulary of this checkpoint, not with new ones")
    parser.add_argument("--steps", type=int, help="how many times the weights are moved (can be changed on the way, with --resume)")
    parser.add_argument("--seed", type=int, default=1, help="of the weights, the windows and dropout")
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0 leaves it to PyTorch")
    shape = parser.add_argument_group("the model")
    shape.add_argument("--n-vocab", type=int, default=2048, help="tokens")
    shape.add_argument("--n-ctx", type=int, default=256, help="tokens that it looks back at")
    shape.add_argument("--n-embd", type=int, default=192, help="numbers that a token is carried by")
    shape.add_argument("--n-layer", type=int, default=4, help="layers")
    shape.add_argument("--n-head", type=int, default=6, help="heads of attention in each")
    shape.add_argument("--n-head-kv", type=int, default=3, help="heads that have keys and values; fewer than --n-head share them")
    shape.add_argument("--n-ff", type=int, default=416, help="numbers inside the feed-forward network; a multiple of 32 can be quantized")
    recipe = parser.add_argument_group("the recipe")
    recipe.add_argument("--n-batch", type=int, default=8, help="windows of --n-ctx tokens in a step")
    recipe.add_argument("--lr", type=float, default=3e-3, help="learning rate at its highest")
    recipe.add_argument("--warm-up", type=int, default=100, help="steps until it is")
    recipe.add_argument("--weight-decay", type=float, default=0.1, help="how strongly matrices are pulled to zero")
    recipe.add_argument("--dropout", type=float, default=0.0, help="share of activations left out; helps where a text is seen many times")
    recipe.add_argument("--held-out", type=float, default=0.05, help="share of each file, at its end, that is not trained on")
    look = parser.add_argument_group("looking at it")
    look.add_argument("--look-every", type=int, default=250, help="steps between looks: held-out loss, sample, checkpoint")
    look.add_argument("--prompt", default="", help="what samples begin with")
    options = parser.parse_args(arguments)
    if not options.resume:
        options.steps = options.steps or 3000
    if options.resume == bool(options.text):
        parser.error("name the files to train on, or --resume without any")
    return options


def lasting(options):
    """Return those options that a checkpoint keeps."""
    return {name: value for name, value in vars(options).items() if name not in ("out", "resume", "threads")}


def main():
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    path = options.out / "checkpoint.pt"
    if options.resume:
        training = Training.resume(checkpoint.load(path), options.steps)
    elif path.exists():
        sys.exit(f"{path} is there: go on from it with --resume, or name another folder")
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        training = Training.begin(lasting(options))
    n_params = sum(weights.numel() for weights in training.model.parameters())
    print(f"{n_params:,} weights, {training.model.shape}")
    print(f"{len(training.tokens):,} tokens of text to train on, {training.held_out[:, 1:].numel():,} held out; sha256 of the text {training.texts.sha256}")
    run(training, options.out)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"train.py: {error}")
