"""Rows of grouped products: a mixture of experts, where each expert's tokens stand together.

    x [S, K] @ w [E, K, N], offs [E]   ->   rows offs[e - 1] to offs[e] of x by the matrix w[e]

How many rows a group has follows from data, so rows are laid in blocks, each of one group; a block
is as long as a mean group, so that twice the rows are the most there is to compute."""
import kiln

from .rows import row


class Blocks:
    """group [B]: each block's; rows [B, L]: the rows in it, and whether they are; place [S]: where
    each row stands among them, and whether it is in any group."""

    def __init__(self, offs, n):
        groups = offs.shape[0]
        length = -(-n // groups)
        ends, zero = offs.to(kiln.int64), kiln.zeros(1, dtype=kiln.int64)
        starts = kiln.cat([zero, ends[:-1]])
        until = ((ends - starts + length - 1) // length).cumsum(0)
        first = kiln.cat([zero, until[:-1]])
        number = kiln.arange(min(n, n // length + groups), dtype=kiln.int64)
        self.group = self.among(until, number)
        start = starts[self.group] + (number - first[self.group]) * length
        rows = start[:, None] + kiln.arange(length, dtype=kiln.int64)
        self.used = (rows < ends[self.group][:, None]) & (number < until[-1])[:, None]
        self.rows = rows.clamp(max=n - 1)
        each = kiln.arange(n, dtype=kiln.int64)
        group = self.among(ends, each)
        self.place, self.held = first[group] * length + each - starts[group], each < ends[-1]

    @staticmethod
    def among(ends, places):
        return kiln.searchsorted(ends, places, right=True).clamp(max=ends.shape[0] - 1)


def by_rows(x, w, offs):
    """Rows of no group give zeros."""
    if not x.shape[0]:
        return kiln.zeros((0, w.shape[2]), dtype=x.dtype)
    b = Blocks(offs, x.shape[0])
    y = kiln.bmm(x[b.rows], w[b.group]).flatten(0, 1)
    return kiln.where(b.held[:, None], y[b.place.clamp(max=y.shape[0] - 1)], 0)


def by_inner(x, y, offs):
    """x [M, S] @ y [S, N] -> [E, M, N], a product for each group of S."""
    r = kiln.zeros((offs.shape[0], x.shape[0], y.shape[1]), dtype=x.dtype)
    if not y.shape[0]:
        return r
    b = Blocks(offs, y.shape[0])
    left = kiln.where(b.used[:, :, None], x.T[b.rows], 0)
    return r.index_add(0, b.group, kiln.bmm(left.transpose(1, 2), y[b.rows]))


@row("_grouped_mm")
def _grouped_mm(a, b, offs=None, bias=None, out_dtype=None):
    if bias is not None:
        raise NotImplementedError("a bias")
    if offs is None:
        r = kiln.bmm(a, b)
    elif a.dim() == 3:
        r = by_rows(b.T, a.transpose(1, 2), offs).T
    else:
        r = (by_rows if b.dim() == 3 else by_inner)(a, b, offs)
    return r if out_dtype is None else r.to(out_dtype)


@row("transformers.grouped_mm_fallback")
def _fallback(x, w, offs):
    return by_rows(x, w, offs)


@row("transformers.grouped_mm_fallback_backward")
def _fallback_backward(x, w, offs, g):
    return by_rows(g, w.transpose(1, 2), offs), by_inner(x.T, g, offs)
