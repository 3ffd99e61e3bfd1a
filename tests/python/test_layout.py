"""test_layout.py: in which order the axes of results lie in memory, beside PyTorch."""
import itertools
import sys
import unittest

try:
    import torch
except ImportError:
    sys.exit(77)
import kiln

SHAPE = (2, 3, 4)
VIEWS = {
    "whole": lambda x: x, "(0 1)": lambda x: x.transpose(0, 1), "(0 2)": lambda x: x.transpose(0, 2),
    "(1 2)": lambda x: x.transpose(1, 2), "turned": lambda x: x.permute(2, 0, 1),
    "turned back": lambda x: x.permute(1, 2, 0), "every other": lambda x: x[:, ::2],
    "repeated": lambda x: x[:1].expand(*SHAPE), "part": lambda x: x.transpose(0, 2)[1:],
    "one row": lambda x: x[:, :1].transpose(0, 2), "column": lambda x: x[..., 1].t(),
}
UNARY = {
    "exp": lambda a: a.exp(), "mul": lambda a: a * 2, "neg": lambda a: -a, "clone": lambda a: a.clone(),
    "double": lambda a: a.double(), "relu": lambda a: a.relu(), "greater": lambda a: a > 3,
    "contiguous": lambda a: a.contiguous(), "square": lambda a: a * a, "pow": lambda a: a**2,
    "sigmoid": lambda a: a.sigmoid(),
}


def arrange(m):
    return m.arange(24.).reshape(SHAPE)


class Layout(unittest.TestCase):
    def same(self, f):
        k, t = f(kiln), f(torch)
        self.assertEqual((k.stride(), k.is_contiguous(), tuple(k.shape)), (t.stride(), t.is_contiguous(), tuple(t.shape)))
        self.assertEqual(k.numpy().strides, t.numpy().strides)
        return k, t

    def test_one_operand(self):
        for (v, view), (n, f) in itertools.product(VIEWS.items(), UNARY.items()):
            with self.subTest(n, view=v):
                k, t = self.same(lambda m: f(view(arrange(m))))
                if n not in ("exp", "sigmoid"):
                    self.assertEqual(k.tolist(), t.tolist())

    def test_two_operands(self):
        for (v, a), (w, b) in itertools.product(VIEWS.items(), VIEWS.items()):
            try:
                a(arrange(torch)) + b(arrange(torch))
            except RuntimeError:
                continue
            with self.subTest(v, other=w):
                k, t = self.same(lambda m: a(arrange(m)) + b(arrange(m)))
                self.assertEqual(k.tolist(), t.tolist())

    def test_bias(self):
        for v, view in VIEWS.items():
            n = view(arrange(torch)).shape[-1]
            with self.subTest(v):
                self.same(lambda m: view(arrange(m)) + m.arange(float(n)))
                self.same(lambda m: m.arange(float(n)) + view(arrange(m)))

    def test_written_and_derived(self):
        def f(m):
            z = arrange(m).permute(2, 0, 1) * 2
            z.add_(1)
            z[0] = 5
            return z

        k, t = self.same(f)
        self.assertEqual(k.tolist(), t.tolist())
        grads = []
        for m in (kiln, torch):
            w = arrange(m).requires_grad_()
            q = w.permute(2, 0, 1) * 3
            q.retain_grad()
            (q * q).sum().backward()
            grads.append((w.grad.tolist(), q.grad.tolist()))
            with self.assertRaisesRegex(RuntimeError, "view size is not compatible"):
                (arrange(m).transpose(0, 1) * 1).view(-1)
        self.assertEqual(*grads)


if __name__ == "__main__":
    unittest.main()
