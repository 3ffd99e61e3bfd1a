"""test_sizes.py: one program for many sizes: how many are compiled, and that no bit differs from
the programs of their own."""
import random
import unittest

import kiln
from kiln import nn
from kiln.nn import functional as F


def pinned(run, sizes):
    was = kiln.set_pinned_shapes(True)
    try:
        return [run(n) for n in sizes]
    finally:
        kiln.set_pinned_shapes(was)


def data(*shape, seed=1):
    g = kiln.Generator().manual_seed(seed)
    return kiln.randn(*shape, generator=g).clone().realize()


def bits(t):
    return repr(t.detach().tolist())  # of every bit, the signs of zeros too


def strided(x, w):
    """The input's gradient of a convolution of stride 2."""
    x.requires_grad_()
    F.conv1d(x, w, stride=2, padding=1).square().sum().backward()
    return x.grad


class Same(unittest.TestCase):
    def check(self, run, sizes=(5, 9, 12, 7, 33, 64, 20)):
        self.assertEqual([run(n) for n in sizes], pinned(run, sizes))

    def each(self, **runs):
        for name, run in runs.items():
            with self.subTest(name):
                self.check(run)

    def test_elementwise(self):
        self.each(
            chain=lambda n: bits(F.gelu(data(n, 6)) * 2 + 1),
            broadcast=lambda n: bits(data(n, 1) + data(1, n) * data(n, n)),
            mean=lambda n: bits(data(n, 3).mean(0)),
            mean_all=lambda n: data(n, 3).mean().item(),
            variance=lambda n: bits(data(n, 3).var(0)),
            softmax=lambda n: bits(data(4, n).softmax(-1)),
            log_softmax=lambda n: bits(data(n, 10).log_softmax(1)),
            cumulative=lambda n: bits(data(n, 3).cumsum(0)),
            sorted=lambda n: bits(data(n).sort()[0]),
            largest=lambda n: bits(data(n, 4).max(0)[1]),
            top=lambda n: bits(data(4, n).topk(3)[0]),
            made=lambda n: bits(kiln.arange(n) * 2 + kiln.zeros(n)),
            random=lambda n: (kiln.manual_seed(3), bits(kiln.rand(n, 3)))[1],
        )

    def test_movement(self):
        self.each(
            reshape=lambda n: bits(data(n, 6).reshape(-1).exp()),
            transposed=lambda n: bits(data(n, 6).t().contiguous().sin()),
            cat=lambda n: bits(kiln.cat([data(n, 3), data(2, 3), data(n, 3)]).exp()),
            stack=lambda n: bits(kiln.stack([data(n), data(n) + 1]).exp()),
            half=lambda n: bits(data(2 * n, 3)[::2].exp()),
            tail=lambda n: bits(data(n, 3)[2:].exp()),
            last=lambda n: bits(data(n, 3)[-1].exp()),
            flip=lambda n: bits(data(n, 3).flip(0).exp()),
            roll=lambda n: bits(data(n, 3).roll(2, 0).exp()),
            pad=lambda n: bits(F.pad(data(3, n), (1, 2)).exp()),
            triangle=lambda n: bits(data(n, n).tril().exp()),
            repeat=lambda n: bits(data(n, 2).repeat(2, 3).exp()),
            split=lambda n: bits(data(3, 2 * n).chunk(2, 1)[1].exp()),
            written=lambda n: bits(self.written(n)),
            indexed=lambda n: bits(data(n, 3)[kiln.tensor([0, 2, 1])].exp()),
            rows=lambda n: bits(data(5, 3)[kiln.arange(n) % 5].exp()),
            embedded=lambda n: bits(F.embedding(kiln.arange(n) % 5, data(5, 3))),
        )

    @staticmethod
    def written(n):
        x = data(n, 4)
        x[1:3] = 2.0
        x[:, 1] += 1
        return x

    def test_contractions(self):
        w = data(8, 6, seed=2)
        self.each(
            rows=lambda n: bits(data(n, 8) @ w),
            depth=lambda n: bits(data(3, n) @ data(n, 5, seed=4)),
            columns=lambda n: bits(data(3, 8) @ data(8, n, seed=4)),
            square=lambda n: bits(data(n, n) @ data(n, n, seed=4)),
            batched=lambda n: bits(data(n, 3, 4) @ data(n, 4, 5, seed=4)),
            vector=lambda n: bits(data(n, 8) @ data(8, seed=4)),
            einsum=lambda n: bits(kiln.einsum("bij,bjk->bik", data(2, n, 4), data(2, 4, n))),
            conv1d=lambda n: bits(F.conv1d(data(2, 3, n + 4), data(5, 3, 3, seed=4), padding=1)),
            conv2d=lambda n: bits(F.conv2d(data(n, 3, 6, 6), data(5, 3, 3, 3, seed=4), padding=1)),
            transposed=lambda n: bits(F.conv_transpose1d(data(2, 3, n + 4), data(3, 5, 4, seed=4),
                                                         stride=3, padding=1, dilation=2)),
            strided=lambda n: bits(strided(data(2, 3, n + 4), data(5, 3, 3, seed=4))),
            pool=lambda n: bits(F.max_pool2d(data(n, 3, 6, 6), 2)),
            attention=lambda n: bits(F.scaled_dot_product_attention(
                data(1, 2, n, 4), data(1, 2, n, 4, seed=4), data(1, 2, n, 4, seed=5), is_causal=True)),
        )

    def test_two_sizes_at_once(self):
        pairs = [(5, 9), (7, 9), (8, 12), (12, 5), (6, 6), (9, 31), (40, 4)]
        self.check(lambda p: bits((data(p[0], 4) @ data(4, p[1], seed=4)).exp()), pairs)
        self.check(lambda p: bits(data(p[0], p[1], 4).reshape(-1, 4).exp().sum(0)), pairs)
        self.check(lambda p: bits(kiln.cat([data(p[0], 4), data(p[1], 4)]).exp()), pairs)

    def test_training(self):
        def step(n):
            kiln.manual_seed(0)
            net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 3))
            opt = kiln.optim.Adam(net.parameters(), lr=0.1)
            losses = []
            for _ in range(2):
                opt.zero_grad()
                loss = F.cross_entropy(net(data(n, 6)), kiln.arange(n) % 3)
                loss.backward()
                opt.step()
                losses.append(loss.item())
            return losses, [bits(p) for p in net.parameters()]

        self.check(step)

    def test_batch_norm_and_convolutions(self):
        def step(n):
            kiln.manual_seed(0)
            net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                                nn.Flatten(), nn.Linear(16, 3))
            loss = F.cross_entropy(net(data(n, 1, 6, 6)), kiln.arange(n) % 3)
            loss.backward()
            return loss.item(), [bits(p.grad) for p in net.parameters()]

        self.check(step)


class Counts(unittest.TestCase):
    def count(self, run, sizes, most=2):
        before = kiln.stats()["programs_compiled"]
        for n in sizes:
            run(n)
        self.assertLessEqual(kiln.stats()["programs_compiled"] - before, most)

    def test_batches(self):
        w = data(32, 16, seed=2)
        rows = data(64, 32)
        self.count(lambda n: (kiln.tanh(rows[:n].clone() @ w) * 2 + 1).sum(1).tolist(), range(44, 64))
        self.count(lambda n: (data(n, 3) / n + n).tolist(), range(44, 64), most=4)

    def test_a_thousand_lengths(self):
        x, w = data(1100, 8), data(8, 3, seed=2)
        self.count(lambda n: (x[:n].softmax(0) @ w).relu().sum().item(), range(5, 1005))

    def test_places(self):
        x = data(64, 8)
        self.count(lambda i: (x[i] * 3).exp().tolist(), range(40))
        self.count(lambda i: (x[i:i + 3] * 5).tolist(), range(40))

    def test_numbers(self):
        x = data(64)
        self.count(lambda i: (kiln.full((64,), i / 7) + x).tolist(), range(1, 40), most=3)

    def test_training_steps(self):
        net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        opt = kiln.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        def step(n):
            x, y = data(n, 6), kiln.arange(n).remainder(3).realize()
            opt.zero_grad()
            F.cross_entropy(net(x), y).backward()
            opt.step()

        step(8)
        self.count(lambda n: step(n), [random.Random(n).randrange(4, 500) for n in range(50)], most=8)


if __name__ == "__main__":
    unittest.main()
