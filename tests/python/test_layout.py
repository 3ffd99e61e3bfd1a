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

    def test_three_operands(self):
        functions = {
            "where": lambda m, a, b, c: m.where(a > 5, b, c), "lerp": lambda m, a, b, c: m.lerp(a, b, c),
            "clamp": lambda m, a, b, c: m.clamp(a, b, c), "addcmul": lambda m, a, b, c: m.addcmul(a, b, c),
            "addcdiv": lambda m, a, b, c: a.addcdiv(b, c + 1, value=2),
        }
        views = dict(itertools.islice(VIEWS.items(), 5))
        for (n, f), names in itertools.product(functions.items(), itertools.product(views, repeat=3)):
            try:
                f(torch, *(VIEWS[v](arrange(torch)) for v in names))
            except RuntimeError:
                continue
            with self.subTest(n, views=names):
                k, t = self.same(lambda m: f(m, *(VIEWS[v](arrange(m)) for v in names)))
                self.assertEqual(k.tolist(), t.tolist())

    def test_reductions(self):
        for (v, view), dim, keep in itertools.product(VIEWS.items(), (0, -1), (False, True)):
            for n, f in (("sum", lambda x: x.sum(dim, keep)), ("mean", lambda x: x.mean(dim, keep)),
                         ("amax", lambda x: x.amax(dim, keep)), ("var", lambda x: x.var(dim, keepdim=keep)),
                         ("argmax", lambda x: x.argmax(dim, keep)), ("softmax", lambda x: x.softmax(dim)),
                         ("cumsum", lambda x: x.cumsum(dim)), ("sort", lambda x: x.sort(dim)[0])):
                with self.subTest(n, view=v, dim=dim, keep=keep):
                    self.same(lambda m: f(view(arrange(m))))

    def test_channels_last(self):
        F = {m: m.nn.functional for m in (torch, kiln)}

        def image(m, *shape):
            x = m.arange(float(torch.tensor(shape).prod())).reshape(shape) / 7
            return x.contiguous(memory_format=m.channels_last)

        functions = {
            "conv2d": lambda m, x: F[m].conv2d(x, m.ones(4, 3, 2, 2)),
            "weight": lambda m, x: F[m].conv2d(x.contiguous(), image(m, 4, 3, 2, 2)),
            "batch_norm": lambda m, x: F[m].batch_norm(x, None, None, training=True),
            "relu": lambda m, x: F[m].relu(x), "max_pool2d": lambda m, x: F[m].max_pool2d(x, 2),
            "avg_pool2d": lambda m, x: F[m].avg_pool2d(x, 2), "cat": lambda m, x: m.cat([x, x], 1),
            "mixed": lambda m, x: m.cat([x, x.contiguous()], 1),
            "adaptive": lambda m, x: F[m].adaptive_avg_pool2d(x, 2),
            "interpolate": lambda m, x: F[m].interpolate(x, scale_factor=2.0),
            "clone": lambda m, x: x.clone(), "empty_like": lambda m, x: m.zeros_like(x),
            "back": lambda m, x: x.contiguous(memory_format=m.contiguous_format),
            "to": lambda m, x: x.contiguous().to(memory_format=m.channels_last),
            "double": lambda m, x: x.double(memory_format=m.contiguous_format),
            "empty": lambda m, x: m.zeros(2, 3, 4, 5).clone(memory_format=m.channels_last),
            "flatten": lambda m, x: m.flatten(x, 1), "dropout": lambda m, x: F[m].dropout(x, 0.0, True),
        }
        for n, f in functions.items():
            with self.subTest(n):
                k, t = self.same(lambda m: f(m, image(m, 2, 3, 4, 6)))
                torch.testing.assert_close(torch.from_numpy(k.numpy().copy()), t)
        for m in (torch, kiln):
            x = image(m, 2, 3, 4, 6)
            self.assertTrue(x.is_contiguous(memory_format=m.channels_last) and not x.is_contiguous())
            self.assertIs(x.contiguous(memory_format=m.channels_last), x)
            with self.assertRaisesRegex(RuntimeError, "required rank 4 tensor to use channels_last format"):
                m.zeros(2, 3).contiguous(memory_format=m.channels_last)
            net = m.nn.Sequential(m.nn.Conv2d(3, 4, 3), m.nn.BatchNorm2d(4)).to(memory_format=m.channels_last)
            self.assertTrue(net[0].weight.is_contiguous(memory_format=m.channels_last))
            y = net(x.requires_grad_())
            self.assertTrue(y.is_contiguous(memory_format=m.channels_last))
            (y * y).sum().backward()
            self.assertEqual(tuple(net[0].weight.grad.shape), (4, 3, 3, 3))

    def test_copies(self):
        for m in (torch, kiln):
            x = m.arange(9.).reshape(3, 3)
            d = m.diag(x)
            d[0] = 7
            self.assertEqual((x[0, 0].item(), d.stride()), (0, (1,)))
            self.assertEqual(m.arange(8.)[::2].ravel().stride(), (1,))
            self.assertEqual([i.stride() for i in m.nonzero(x, as_tuple=True)], [(1,), (1,)])
            self.assertEqual(m.zeros(1, 5).expand(1, 1, 5).stride(), (5, 5, 1))

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
