"""test_sequence.py: recurrent layers, packed sequences, attention of heads, transformers and CTC
beside PyTorch's own. Skips itself without PyTorch."""
import sys
import unittest
import warnings

try:
    import numpy as np
    import torch
except ImportError:
    sys.exit(77)
import kiln
from beside import SIDES, close, copy_state, flat, said, to_kiln


class Pair:
    """A module of each package, with the same parameters."""

    def __init__(self, source):
        torch.manual_seed(0)
        self.modules = [eval(source, vars(m.nn)) for m in SIDES]
        copy_state(*self.modules)

    def check(self, *args, call=lambda net, *args, **more: net(*args, **more), tol=2e-5, **kwargs):
        """The same call of both: results, and gradients by the arguments and parameters."""
        results = []
        for side, (m, net) in enumerate(zip(SIDES, self.modules)):
            net.zero_grad()
            given = [a.detach().clone().requires_grad_(a.is_floating_point()) if isinstance(a, torch.Tensor) else a
                     for a in args]
            given = [to_kiln(a) for a in given] if side else given
            more = {k: to_kiln(v) if side else v for k, v in kwargs.items()}
            out = flat(call(net, *given, **more))
            sum(((o * o).sum() + o.sum()) for o in out if o.requires_grad).backward()
            grads = [a.grad for a in flat(given) if a.requires_grad] + [p.grad for p in net.parameters()]
            results.append(out + [g for g in grads if g is not None])
        assert len(results[0]) == len(results[1])
        for got, want in zip(results[1], results[0]):
            close(got, want, tol)
        return self


RECURRENT = ["{}(3, 4)", "{}(3, 4, 2)", "{}(3, 4, bias=False)", "{}(3, 4, batch_first=True)",
             "{}(3, 4, bidirectional=True)", "{}(3, 4, 2, batch_first=True, bidirectional=True)"]


class Recurrent(unittest.TestCase):
    def test_values(self):
        for kind in ("RNN", "LSTM", "GRU"):
            for source in RECURRENT + (["LSTM(3, 4, 2, proj_size=2, bidirectional=True)"] if kind == "LSTM" else
                                       ["RNN(3, 4, nonlinearity='relu')"] if kind == "RNN" else []):
                source = source.format(kind)
                with self.subTest(source):
                    pair = Pair(source)
                    self.assertEqual(*map(repr, pair.modules))
                    self.assertEqual(*([*net.state_dict()] for net in pair.modules))
                    torch.manual_seed(1)
                    pair.check(torch.randn(5, 2, 3))
                    pair.check(torch.randn(5, 3))

    def test_states(self):
        for kind, n in (("RNN", 1), ("LSTM", 2), ("GRU", 1)):
            pair = Pair(f"{kind}(3, 4, 2)")
            for x, shape in ((torch.randn(5, 2, 3), (2, 2, 4)), (torch.randn(5, 3), (2, 4))):
                h = [torch.randn(shape) for _ in range(n)]
                pair.check(x, *h, call=lambda net, x, *h: net(x, h if n == 2 else h[0]))

    def test_packed(self):
        x = torch.randn(5, 3, 3)
        for kind in ("RNN", "LSTM", "GRU"):
            for extra in ("", ", 2, bidirectional=True"):
                for lengths, ordered in (([5, 3, 2], True), ([2, 5, 4], False)):
                    def run(net, x):
                        r = (torch if isinstance(x, torch.Tensor) else kiln).nn.utils.rnn
                        p = r.pack_padded_sequence(x, lengths, enforce_sorted=ordered)
                        out, last = net(p)
                        return r.pad_packed_sequence(out), last
                    with self.subTest(kind + extra, lengths=lengths):
                        Pair(f"{kind}(3, 4{extra})").check(x, call=run)

    def test_cells(self):
        for kind, n in (("RNNCell", 1), ("LSTMCell", 2), ("GRUCell", 1)):
            for source in (f"{kind}(3, 4)", f"{kind}(3, 4, bias=False)"):
                with self.subTest(source):
                    pair = Pair(source).check(torch.randn(2, 3)).check(torch.randn(3))
                    self.assertEqual(*map(repr, pair.modules))
                    h = [torch.randn(2, 4) for _ in range(n)]
                    pair.check(torch.randn(2, 3), *h, call=lambda net, x, *h: net(x, h if n == 2 else h[0]))
        Pair("RNNCell(3, 4, nonlinearity='relu')").check(torch.randn(2, 3))

    def test_dropout(self):
        kiln.manual_seed(0)
        net = kiln.nn.LSTM(3, 4, 2, dropout=0.5)
        x = kiln.ones(5, 2, 3)
        self.assertNotEqual(net(x)[0].tolist(), net(x)[0].tolist())
        net.eval()
        self.assertEqual(net(x)[0].tolist(), net(x)[0].tolist())

    def test_trained(self):
        """A loop that reads its loss before backward, as all do."""
        losses = []
        torch.manual_seed(0)
        x = torch.randn(6, 4, 3)
        nets = [m.nn.LSTM(3, 4) for m in SIDES]
        self.assertEqual(*[n._flat_weights_names for n in nets])
        copy_state(*nets)
        for m, net, x in zip(SIDES, nets, (x, to_kiln(x))):
            opt = m.optim.Adam(net.parameters(), lr=0.05)
            losses.append([])
            for _ in range(5):
                opt.zero_grad()
                loss = (net(x)[0] ** 2).mean()
                losses[-1].append(loss.item())
                loss.backward()
                opt.step()
        np.testing.assert_allclose(*losses, rtol=1e-4)

    WRONG = [
        "nn.LSTM(3, 0)", "nn.LSTM(0, 3)", "nn.LSTM(3.0, 2)", "nn.LSTM(3, 2, 0)", "nn.LSTM(3, 2, dropout=2)",
        "nn.LSTM(3, 2, bias=1)", "nn.LSTM(3, 2, batch_first=1)", "nn.LSTM(3, 2, proj_size=3)", "nn.GRU(3, 2, proj_size=1)",
        "nn.RNN(3, 2, nonlinearity='x')", "nn.LSTM(3, 2)(m.ones(2))", "nn.GRU(3, 2)(m.ones(2))", "nn.RNN(3, 2)(m.ones(2))",
        "nn.LSTM(3, 2)(m.ones(2, 2, 4))", "nn.GRU(3, 2)(m.ones(2, 2, 3), m.ones(1, 3, 2))",
        "nn.GRU(3, 2)(m.ones(2, 2, 3), m.ones(1, 2))", "nn.GRU(3, 2)(m.ones(2, 3), m.ones(1, 1, 2))",
        "nn.LSTM(3, 2)(m.ones(2, 2, 3), (m.ones(1, 2), m.ones(1, 2)))",
        "nn.LSTM(3, 2)(m.ones(2, 2, 3), (m.ones(1, 2, 2), m.ones(2, 2, 2)))", "nn.LSTM(3, 2)(m.ones(2, 2, 3).double())",
        "nn.RNNCell(3, 2)(m.ones(1, 1, 3))", "nn.LSTMCell(3, 2)(m.ones(1, 3), (m.ones(1, 1, 2), m.ones(1, 2)))",
        "nn.GRUCell(3, 2)(m.ones(1, 3), m.ones(1, 1, 2))",
        "nn.utils.rnn.pack_padded_sequence(m.ones(3, 2, 1), [2, 3])",
        "nn.utils.rnn.pack_padded_sequence(m.ones(3, 2, 1), [2, 0])",
        "nn.utils.rnn.pack_padded_sequence(m.ones(3, 2, 1), [2])", "nn.utils.rnn.pad_sequence(3)",
        "nn.utils.rnn.pad_packed_sequence(nn.utils.rnn.pack_sequence([m.ones(3)]), total_length=1)",
    ]

    def test_refused(self):
        for source in self.WRONG:
            theirs, ours = said(source, {})
            with self.subTest(source):
                self.assertIsNotNone(theirs)
                self.assertEqual(ours, theirs)


class Sequences(unittest.TestCase):
    def test_padding(self):
        for source in ("r.pad_sequence([m.ones(2), m.ones(3), m.ones(1)])",
                       "r.pad_sequence([m.ones(2, 2), m.ones(3, 2)], batch_first=True, padding_value=7.0)",
                       "r.pad_sequence([m.ones(2), m.ones(3)], padding_side='left')",
                       "r.pack_sequence([m.arange(3), m.arange(2)])",
                       "r.pack_sequence([m.arange(2), m.arange(3)], enforce_sorted=False)",
                       "r.pad_packed_sequence(r.pack_sequence([m.arange(2.), m.arange(3.)], False), True, 9.0, 5)",
                       "r.unpack_sequence(r.pack_sequence([m.arange(2.), m.arange(3.)], False))",
                       "r.unpad_sequence(m.ones(3, 2), m.tensor([1, 3]))",
                       "r.PackedSequence(m.ones(3), m.tensor([2, 1]))",
                       "r.pack_sequence([m.arange(3)]).double().data.dtype"):
            with self.subTest(source):
                self.assertEqual(*(repr(eval(source, {"m": m, "r": m.nn.utils.rnn})) for m in SIDES))


class Attention(unittest.TestCase):
    def test_values(self):
        q, k = torch.randn(4, 2, 6), torch.randn(5, 2, 6)
        for source in ("MultiheadAttention(6, 2)", "MultiheadAttention(6, 3, bias=False)",
                       "MultiheadAttention(6, 2, add_bias_kv=True)", "MultiheadAttention(6, 2, add_zero_attn=True)",
                       "MultiheadAttention(6, 2, add_bias_kv=True, add_zero_attn=True)"):
            with self.subTest(source):
                pair = Pair(source)
                self.assertEqual(*map(repr, pair.modules))
                self.assertEqual(*([*net.state_dict()] for net in pair.modules))
                pair.check(q, k, k)
                pair.check(q[:, 0], k[:, 0], k[:, 0])
                pair.check(q, k, k, average_attn_weights=False)
                pair.check(q, k, k, need_weights=False)
                pair.check(q, k, k, attn_mask=torch.rand(4, 5) > 0.7)
                pair.check(q, k, k, attn_mask=torch.randn(2 * pair.modules[0].num_heads, 4, 5))
                pair.check(q, k, k, key_padding_mask=torch.tensor([[False] * 4 + [True], [False] * 5]))
                pair.check(q, k, k, attn_mask=torch.rand(4, 5) > 0.7,
                           key_padding_mask=torch.tensor([[False] * 4 + [True], [False] * 5]))
        Pair("MultiheadAttention(6, 2, batch_first=True)").check(q, q, q)
        Pair("MultiheadAttention(6, 2, kdim=3, vdim=7)").check(q, torch.randn(5, 2, 3), torch.randn(5, 2, 7))

    def test_grouped(self):
        """Keys and values of fewer heads, each for several of the query's."""
        q, k = torch.randn(2, 6, 4, 8), torch.randn(2, 3, 5, 8)
        want = torch.nn.functional.scaled_dot_product_attention(q, k, k + 1, enable_gqa=True)
        q, k = (kiln.tensor(t.numpy()) for t in (q, k))
        got = kiln.nn.functional.scaled_dot_product_attention(q, k, k + 1, enable_gqa=True)
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)
        with self.assertRaisesRegex(RuntimeError, "must match the size of tensor b"):
            kiln.nn.functional.scaled_dot_product_attention(q, k, k)

    def test_dropped(self):
        """Weights are dropped, not results: of 100 equal ones about a quarter."""
        kiln.manual_seed(3)
        q, k, v = kiln.zeros(1, 2000, 8), kiln.zeros(1, 100, 8), kiln.ones(1, 100, 8)
        y = kiln.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=0.25)
        self.assertAlmostEqual(y.mean().item(), 1, delta=0.01)
        self.assertAlmostEqual(y.std().item(), 0.0577, delta=0.004)

    WRONG = [
        "nn.MultiheadAttention(0, 1)", "nn.MultiheadAttention(5, 2)", "net(m.ones(2), m.ones(2), m.ones(2))",
        "net(m.ones(3, 2, 4), m.ones(3, 4), m.ones(3, 4))", "net(m.ones(3, 4), m.ones(3, 2, 4), m.ones(3, 4))",
        "net(x, x, x, m.ones(3) > 0)", "net(x, x, x, attn_mask=m.ones(3) > 0)", "net(x, x, x, attn_mask=m.ones(3, 5))",
        "net(x, x, x, attn_mask=m.ones(3, 5, 5))", "net(x[:, :, :2], x, x)", "net(x, x, x[:2])",
        "net(x[:, 0], x[:, 0], x[:, 0], attn_mask=m.ones(5, 3, 3))", "net(x, x, x, is_causal=True)",
        "nn.TransformerEncoderLayer(4, 2, activation='x')",
        "nn.Transformer(4, 2, 1, 1, 8)(x, m.ones(3, 1, 4))", "nn.Transformer(4, 2, 1, 1, 8)(x, m.ones(3, 2, 5))",
    ]

    def test_refused(self):
        for source in self.WRONG:
            theirs, ours = said(source, {"net": lambda m: m.nn.MultiheadAttention(4, 2),
                                         "x": lambda m: m.ones(3, 2, 4)})
            with self.subTest(source):
                self.assertIsNotNone(theirs)
                self.assertEqual(ours, theirs)


class Transformers(unittest.TestCase):
    def test_layers(self):
        src, tgt = torch.randn(5, 2, 8), torch.randn(4, 2, 8)
        causal = torch.nn.Transformer.generate_square_subsequent_mask(5)
        close(kiln.nn.Transformer.generate_square_subsequent_mask(5), causal)
        for more in ("", ", activation='gelu'", ", norm_first=True", ", bias=False", ", batch_first=True"):
            with self.subTest(more):
                pair = Pair(f"TransformerEncoderLayer(8, 2, 16, 0.0{more})")
                self.assertEqual(*map(repr, pair.modules))
                self.assertEqual(*([*net.state_dict()] for net in pair.modules))
                pair.check(src)
                if "batch" not in more:
                    pair.check(src, src_mask=causal, src_key_padding_mask=torch.tensor([[0., 0, 0, 0, float("-inf")],
                                                                                        [0.] * 5]))
                    pair = Pair(f"TransformerDecoderLayer(8, 2, 16, 0.0{more})").check(tgt, src, tgt_mask=causal[:4, :4])
                    self.assertEqual(*map(repr, pair.modules))

    def test_stacks(self):
        src, tgt = torch.randn(5, 2, 8), torch.randn(4, 2, 8)
        pair = Pair("TransformerEncoder(TransformerEncoderLayer(8, 2, 16, 0.0), 2, LayerNorm(8))").check(src)
        self.assertEqual(*map(repr, pair.modules))
        pair = Pair("Transformer(8, 2, 2, 1, 16, 0.0)").check(src, tgt, tol=1e-4)
        self.assertEqual(*map(repr, pair.modules))
        self.assertEqual(*([*net.state_dict()] for net in pair.modules))


class CTC(unittest.TestCase):
    def test_values(self):
        logits = torch.randn(8, 3, 5)
        targets = torch.tensor([[1, 2, 3, 3], [4, 1, 0, 0], [2, 2, 2, 0]])
        lengths, counts = torch.tensor([8, 7, 8]), torch.tensor([4, 2, 3])
        joined = torch.tensor([1, 2, 3, 3, 4, 1, 2, 2, 2])
        for r in ("mean", "sum", "none"):
            for t in (targets, joined):
                results = []
                for m in SIDES:
                    x, t2, n, c = (logits.clone(), t, lengths, counts) if m is torch else map(
                        to_kiln, (logits, t, lengths, counts))
                    x = x.detach().requires_grad_()
                    loss = m.nn.CTCLoss(reduction=r)(m.nn.functional.log_softmax(x, 2), t2, n, c)
                    loss.sum().backward()
                    results.append((loss, x.grad))
                close(results[1][0], results[0][0], 1e-4)
                close(results[1][1], results[0][1], 1e-4)

    def test_impossible(self):
        for zero in (True, False):
            results = []
            for m in SIDES:
                logp = m.zeros(2, 1, 3).log_softmax(2)
                results.append(m.nn.CTCLoss(zero_infinity=zero)(logp, m.tensor([[1, 1, 1]]), (2,), (3,)).item())
            self.assertEqual(*results)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    unittest.main()
