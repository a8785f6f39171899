"""Text from a checkpoint, as the model goes on with a prompt: `python sample.py FOLDER/checkpoint.pt --prompt "Once upon a time"`."""

import argparse

import torch

import checkpoint
from tokenizer import BOS, EOS


@torch.no_grad()
def generate(model, tokens, n_new, temperature, generator=None):
    """Return tokens with up to n_new more behind them, up to an end token; at temperature 0 the likeliest each time."""
    tokens = list(tokens)
    for _ in range(n_new):
        context = torch.tensor([tokens[-model.shape.n_ctx :]])
        logits = model(context)[0, -1]
        if temperature == 0:
            token = logits.argmax()
        else:
            token = torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator)
        if token in (BOS, EOS):
            break
        tokens.append(token.item())
    return tokens


def sample(model, tokenizer, prompt, n_new, temperature, seed):
    """Return prompt and what the model goes on with. The state of dropout and of PyTorch's own random numbers stays as it is."""
    was_training = model.training
    model.eval()
    tokens = generate(model, [BOS, *tokenizer.encode(prompt)], n_new, temperature, torch.Generator().manual_seed(seed))
    model.train(was_training)
    return tokenizer.decode(tokens)


def main():
    parser = argparse.ArgumentParser(description="Let a trained model go on with a text.")
    parser.add_argument("checkpoint", help="what train.py wrote")
    parser.add_argument("--prompt", default="", help="what the text begins with")
    parser.add_argument("--tokens", type=int, default=200, help="how many tokens at most (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0 takes the likeliest token each time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random choices (default: %(default)s)")
    options = parser.parse_args()
    model, tokenizer = checkpoint.model_and_tokenizer(checkpoint.load(options.checkpoint))
    print(sample(model, tokenizer, options.prompt, options.tokens, options.temperature, options.seed))


if __name__ == "__main__":
    main()
