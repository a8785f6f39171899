"""What training promises: `python -m unittest discover tests` in the folder above."""

import sys
import tempfile
import unittest
from pathlib import Path

import gguf
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import checkpoint
import data
import tokenizer as vocabulary
from evaluate import round_weights
from export import TYPES, gguf_name, write_gguf
from model import Model, Shape, loss
from sample import sample
from shakespeare import tidy
from train import Training, lasting, parse, rate

torch.set_num_threads(1)  # models so small gain nothing by more

TEXT = "".join(f"KING:\nThe {a} {b} that I {c},\nMy lord, is {a}.\n\n" for a in ("good", "bad", "old") for b in ("man", "dog") for c in ("saw", "had", "love")) * 8
TINY = "--n-vocab 300 --n-ctx 32 --n-embd 32 --n-layer 2 --n-head 4 --n-head-kv 2 --n-ff 64 --n-batch 4 --warm-up 2 --dropout 0.1 --steps 12"


class TrainingTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.text = self.folder / "text.txt"
        self.text.write_text(TEXT)

    def begin(self, *more):
        return Training.begin(lasting(parse([str(self.text), "--out", "unused", *TINY.split(), *more])))

    def saved(self, training):
        checkpoint.save(self.folder / "checkpoint.pt", training.state())
        return checkpoint.load(self.folder / "checkpoint.pt")

    def assert_same_weights(self, a, b):
        for name, weights in a.model.state_dict().items():
            self.assertTrue(torch.equal(weights, b.model.state_dict()[name]), name)

    def test_a_resumed_training_ends_in_the_weights_of_one_that_was_not_interrupted(self):
        whole = self.begin()
        for _ in range(12):
            whole.train_step()
        first = self.begin()
        for _ in range(5):
            first.train_step()
        # A look at what is held out, and a sample, change nothing.
        first.held_out_loss()
        sample(first.model, first.tokenizer, "KING:", 4, 0.8, seed=0)
        state = self.saved(first)
        torch.manual_seed(99)  # what a new process would have is not what it had
        resumed = Training.resume(state)
        self.assertEqual(resumed.step, 5)
        for _ in range(7):
            resumed.train_step()
        self.assert_same_weights(whole, resumed)

    def test_another_text_is_refused_when_resuming(self):
        state = self.saved(self.begin())
        self.text.write_text(TEXT + "more\n")
        with self.assertRaisesRegex(ValueError, "not the one"):
            Training.resume(state)

    def test_the_loss_goes_down_on_text_that_is_held_out_too(self):
        training = self.begin("--dropout", "0", "--steps", "60", "--lr", "1e-2")
        before = training.held_out_loss()
        for _ in range(60):
            training.train_step()
        self.assertLess(training.held_out_loss(), before / 2)

    def test_fine_tuning_begins_with_the_weights_and_the_vocabulary_of_the_other(self):
        base = self.begin()
        base.train_step()
        self.saved(base)
        self.text.write_text(TEXT.replace("KING", "QUEEN"))
        tuned = self.begin("--init-from", str(self.folder / "checkpoint.pt"))
        self.assert_same_weights(base, tuned)
        self.assertEqual(tuned.tokenizer.proto, base.tokenizer.proto)
        self.assertEqual(tuned.step, 0)

    def test_a_gguf_holds_the_weights_rounded_by_less_than_its_type_promises(self):
        training = self.begin()
        for name, bits in (("f32", 24), ("f16", 11), ("q8_0", 7), ("q4_0", 3)):
            write_gguf(self.folder / "model.gguf", training.model, training.tokenizer, TYPES[name], TYPES["f32"], "test")
            reader = gguf.GGUFReader(self.folder / "model.gguf")
            written = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
            for weights_name, weights in training.model.state_dict().items():
                error = abs(torch.tensor(written.pop(gguf_name(weights_name))) - weights).max()
                self.assertLessEqual(error, weights.abs().max() * 2.0**-bits, f"{name} {weights_name}")
            self.assertFalse(written)

    def test_rounded_weights_take_the_bytes_of_their_type(self):
        training = self.begin()
        n_weights = sum(weights.numel() for weights in training.model.parameters())
        n_gains = 5 * 32
        self.assertEqual(round_weights(training.model, TYPES["q8_0"], TYPES["q8_0"]), (n_weights - n_gains) * 34 // 32 + 4 * n_gains)


class PartsTest(unittest.TestCase):
    def test_any_text_is_decoded_to_itself(self):
        tokenizer = vocabulary.train([TEXT], 300)
        for text in ("KING:\nMy lord", " a  space\t\r\n\n", "naïve 東京 \x00", ""):
            self.assertEqual(tokenizer.decode(tokenizer.encode(text)), text)

    def test_no_token_sees_those_behind_it(self):
        torch.manual_seed(0)
        model = Model(Shape(n_vocab=50, n_ctx=16, n_embd=16, n_layer=2, n_head=4, n_head_kv=1, n_ff=32)).eval()
        a = torch.randint(50, (1, 16))
        b = a.clone()
        b[0, 9:] = (b[0, 9:] + 1) % 50
        torch.testing.assert_close(model(a)[:, :9], model(b)[:, :9])
        self.assertFalse(torch.allclose(model(a)[:, 9], model(b)[:, 9]))

    def test_a_new_model_knows_nothing(self):
        torch.manual_seed(0)
        model = Model(Shape(n_vocab=50, n_ctx=16, n_embd=16, n_layer=2, n_head=4, n_head_kv=4, n_ff=32))
        self.assertAlmostEqual(loss(model, torch.randint(50, (8, 17))).item(), torch.tensor(50.0).log().item(), delta=0.1)

    def test_what_is_held_out_is_not_trained_on(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "text.txt"
            path.write_text(TEXT)
            texts = data.read([path], 0.1)
        self.assertEqual("".join(texts.train + texts.held_out), TEXT)
        self.assertTrue(texts.train[0].endswith("\n"))
        self.assertAlmostEqual(len(texts.held_out[0]), len(TEXT) / 10, delta=40)

    def test_the_learning_rate_rises_stays_and_falls(self):
        rates = [rate(step, 10, 100) for step in range(100)]
        self.assertEqual((rates[0], rates[9], rates[75]), (0.1, 1.0, 1.0))
        self.assertAlmostEqual(rates[80], 0.8)
        self.assertAlmostEqual(rates[99], 1 / 25)

    def test_speakers_are_written_alike_in_all_plays(self):
        for play in ("HAMLET\n\n\n\nHam.\nNay,   sir.\n", "HAMLET\n\nHAM\n  Nay, sir. \n"):
            self.assertEqual(tidy(play), "HAMLET\n\nHAM:\nNay, sir.\n")
        self.assertEqual(tidy("\nACT I.\nSCENE 1\n"), "ACT I.\nSCENE 1\n")


if __name__ == "__main__":
    unittest.main()
