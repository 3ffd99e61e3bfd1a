"""Operators that hold graphs of single numbers; here they are of all at once. flex_attention holds
two: one of a score, one of whether it counts; each index has its axis. On the CPU PyTorch has no
derivative of it. associative_scan: at the end.

    score(s, b, h, i, j)   ->   score(s: [B,H,M,N], b: [B,1,1,1], h: [H,1,1], i: [M,1], j: [N])"""
import math

import kiln

from .graph import Tracer
from .names import dtype_of
from .rows import add


class Elementwise(Tracer):
    """A graph of single numbers, over tensors of them."""

    def like(self, t, want):
        """Scores stay as wide as they are."""
        dtype = dtype_of(want.dtype)
        return t if t.dtype.is_floating_point and dtype.is_floating_point else t.to(dtype)

    def result(self, graph, args):
        got = self.results(graph, args)
        return got[0] if isinstance(got, (list, tuple)) else got

    def results(self, graph, args):
        self.env.update(zip([n for n in graph.nodes if n.op == "placeholder"], args))
        for n in graph.nodes:
            if n.op == "call_function":
                self.run(n)
        return self.argument(graph.output_node().args[0])


def places(shape):
    return [kiln.arange(n, dtype=kiln.int32).reshape([-1] + [1] * (3 - d))
            for d, n in enumerate(shape)]


def scores(q, k, score, mask, scale, of_score, of_mask):
    """[B,H,M,N], -inf where a score does not count."""
    s = (q @ k.transpose(-2, -1)) * scale
    at = places(s.shape)
    counts = Elementwise({}).result(mask.graph, (*at, *of_mask))
    s = Elementwise({}).result(score.graph, (s, *at, *of_score)).to(s.dtype)
    return kiln.where(counts, s, -math.inf)


def flex_attention(q, k, v, score, block_mask, scale, options, of_score=(), of_mask=()):
    """The result, and of each row the logarithm of its sum and its largest score, to base 2."""
    wide = kiln.float64 if q.dtype == kiln.float64 else kiln.float32
    each = q.shape[1] // k.shape[1]
    k, v = (t.repeat_interleave(each, 1) if each > 1 else t for t in (k, v))
    s = scores(q.to(wide), k.to(wide), score, block_mask[-1], scale, of_score, of_mask)
    most = s.amax(-1, True)
    start = kiln.where(most == -math.inf, 0.0, most)
    e = (s - start).exp()
    total = e.sum(-1, True)
    y = (e / kiln.where(total == 0, 1.0, total)).to(q.dtype) @ v
    return y, (total.log() + start).squeeze(-1) / math.log(2), most.squeeze(-1) / math.log(2)


add("flex_attention", flex_attention)


def associative_scan(combine, xs, more=()):
    """Each element combined with all before it, along the first dimension: with the one before it,
    then with the two before these, then with four: what is combined is of single elements."""
    step, n = 1, xs[0].shape[0]
    while step < n:
        both = [*[x[:-step] for x in xs], *[x[step:] for x in xs], *more]
        xs = [kiln.cat([x[:step], y]) for x, y in
              zip(xs, Elementwise({}).results(combine.graph, both))]
        step *= 2
    return xs


add("associative_scan", associative_scan)
