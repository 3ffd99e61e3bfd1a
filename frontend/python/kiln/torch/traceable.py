"""Composite operators of PyTorch that look at a tensor's values, which nothing that traces can
follow, as the same composition without a look: in use while a graph is traced, nowhere else."""
import torch

COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


def traceable(op):
    def take(f):
        return f if COMPOSITE in op.py_kernels else op.py_impl(COMPOSITE)(f)

    return take


@traceable(torch.ops.aten.cov.default)
def _cov(x, correction=1, fweights=None, aweights=None):
    x = x.reshape(1, -1) if x.dim() < 2 else x
    given = [t for t in (fweights, aweights) if t is not None]
    weights = None if not given else given[0] if len(given) == 1 else fweights * aweights
    total = x.new_full((), x.shape[1], dtype=torch.int64) if weights is None else weights.sum()
    average = (x if weights is None else x * weights).sum(1) / total
    less = correction if aweights is None or not correction else \
        correction * (weights * aweights).sum() / total
    number = torch.clamp(total - less, min=0)
    left = x - average.unsqueeze(1)
    right = left if weights is None else left * weights
    return (left @ right.t().conj() / number).squeeze()


@traceable(torch.ops.aten._pad_circular.default)
def _pad_circular(x, pad):
    """PyTorch writes the borders one into the other's result, which reads each of them again."""
    for i in range(0, len(pad), 2):
        dim = x.dim() - 1 - i // 2
        n, (lo, hi) = x.shape[dim], pad[i:i + 2]
        torch._check(lo <= n and hi <= n,
                     lambda: "Padding value causes wrapping around more than once.")
        torch._check(lo + n + hi >= 0,
                     lambda: "Negative padding value is resulting in an empty dimension")
        n -= max(-lo, 0) + max(-hi, 0)
        x = x.narrow(dim, max(-lo, 0), n)
        parts = [x]
        if lo > 0:
            parts.insert(0, x.narrow(dim, n - lo, lo))
        if hi > 0:
            parts.append(x.narrow(dim, 0, hi))
        x = torch.cat(parts, dim)
    return x
