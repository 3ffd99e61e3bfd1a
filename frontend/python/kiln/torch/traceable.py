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
