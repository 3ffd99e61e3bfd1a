"""beside.py: the same thing done in PyTorch and in kiln, for the tests that compare them."""
import numpy as np
import torch

import kiln

SIDES = (torch, kiln)


def to_numpy(t):
    return np.asarray(t.detach().numpy())


def to_kiln(t):
    """A tensor of PyTorch's, or what holds some, with the same numbers in kiln."""
    if isinstance(t, torch.Tensor):
        return kiln.from_numpy(t.detach().numpy().copy()).requires_grad_(t.requires_grad)
    if isinstance(t, (list, tuple)):
        return type(t)(to_kiln(x) for x in t)
    return t


def copy_state(theirs, ours):
    ours.load_state_dict({k: to_kiln(v) for k, v in theirs.state_dict().items()})


def flat(r):
    """All tensors of a result, in order."""
    if isinstance(r, SIDES[0].Tensor) or isinstance(r, SIDES[1].Tensor):
        return [r]
    if isinstance(r, dict):
        r = list(r.values())
    return [t for x in r for t in flat(x)] if isinstance(r, (list, tuple)) else []


def said(source, env):
    """What an expression raises in each of the two: type and first line."""
    r = []
    for m in SIDES:
        try:
            eval(source, {"m": m, "nn": m.nn, "F": m.nn.functional, **{
                k: v(m) if callable(v) else v for k, v in env.items()}})
            r.append(None)
        except Exception as e:
            r.append((type(e), str(e).splitlines()[0].replace("'kiln.", "'torch.")))
    return r


def close(ours, theirs, tol=2e-5):
    a, b = to_numpy(ours), to_numpy(theirs)
    assert a.dtype == b.dtype, (a.dtype, b.dtype)
    np.testing.assert_allclose(a, b, tol, tol)
