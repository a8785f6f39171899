"""The picture of a training: loss over steps."""

import matplotlib

matplotlib.use("agg")  # to a file; there need be no screen
from matplotlib import pyplot


def plot(history, path):
    """Draw the losses of history, (step, in training, held out) each, into the PNG file at path."""
    steps, train, held_out = zip(*history)
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(steps, train, label="text that is trained on")
    axes.plot(steps, held_out, label="text that is held out")
    axes.set(xlabel="step", ylabel="loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
