"""Products of a function's derivatives with vectors, and matrices of derivatives."""
from .._grad import enable_grad
from .._kiln import Tensor
from . import grad

__all__ = ["vjp", "jvp", "jacobian", "hessian", "hvp", "vhp"]


def _as_tuple(x, what, whose):
    """x as a tuple of tensors, and whether it was one."""
    several = isinstance(x, tuple)
    for i, t in enumerate(x if several else (x,)):
        if not isinstance(t, Tensor):
            where = f"value at index {i} has type" if several else f"given {what} has type"
            raise TypeError(f"The {what} given to {whose} must be either a Tensor or a tuple of "
                            f"Tensors but the {where} {type(t)}.")
    return several, x if several else (x,)


def _leaves(xs, create_graph, need_graph=True):
    return tuple(x.view_as(x) if create_graph and x.requires_grad else
                 x.detach().requires_grad_(need_graph) for x in xs)


def _done(x, create_graph):
    if isinstance(x, tuple):
        return tuple(_done(t, create_graph) for t in x)
    return x if create_graph else x.detach()


def _like(x, several):
    return x if several else x[0]


def _check_vector(v, others, several):
    if len(v) != len(others):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(others)} but got "
                           f"{len(v)}." if several else
                           "The given v should contain a single Tensor.")
    for i, (a, b) in enumerate(zip(v, others)):
        if a.size() != b.size():
            raise RuntimeError(f"{f'Entry {i} in ' if several else ''}v has invalid size: should be "
                               f"{b.size()} but got {a.size()}.")


def _check_outputs(outs, strict):
    for i, y in enumerate(outs):
        if strict and not y.requires_grad:
            raise RuntimeError(f"Output {i} of the user-provided function does not require "
                               "gradients. The outputs must be computed in a differentiable manner "
                               "from the input when running in strict mode.")


def _grads(outs, xs, seeds=None, create_graph=False):
    """Gradients by xs, zeros where nothing depends on one."""
    seeds = (None,) * len(outs) if seeds is None else seeds
    some = [(y, s) for y, s in zip(outs, seeds) if y.requires_grad]
    if not some:
        return tuple(x.new_zeros(x.shape) for x in xs)
    ys, given = zip(*some)
    got = grad(ys, xs, given, retain_graph=True, create_graph=create_graph, allow_unused=True,
               materialize_grads=True)
    return tuple(x.new_zeros(x.shape) if g is None else g for x, g in zip(xs, got))


def _vector(v, others, several, whose, of):
    """v, or 1 where what it weighs has one element."""
    if v is not None:
        _, v = _as_tuple(v, "v", whose)
        v = tuple(t.detach() if not t.requires_grad else t for t in v)
        _check_vector(v, others, several)
        return v
    if len(others) != 1 or others[0].nelement() != 1:
        raise RuntimeError(f"The vector v can only be None if {of} a single Tensor with a single "
                           "element.")
    return (others[0].detach().new_ones(others[0].shape),)


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """func(*inputs), and the product of v with its Jacobian."""
    with enable_grad():
        many, xs = _as_tuple(inputs, "inputs", "vjp")
        xs = _leaves(xs, create_graph)
        several, outs = _as_tuple(func(*xs), "outputs of the user-provided function", "vjp")
        _check_outputs(outs, strict)
        v = _vector(v, outs, several, "vjp", "the user-provided function returns")
        got = _grads(outs, xs, v, create_graph)
    return _like(_done(outs, create_graph), several), _like(_done(got, create_graph), many)


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """func(*inputs), and the product of its Jacobian with v."""
    with enable_grad():
        many, xs = _as_tuple(inputs, "inputs", "jvp")
        xs = _leaves(xs, create_graph)
        v = _vector(v, xs, many, "jvp", "the input to the user-provided function is")
        several, outs = _as_tuple(func(*xs), "outputs of the user-provided function", "jvp")
        _check_outputs(outs, strict)
        seeds = tuple(y.detach().new_zeros(y.shape).requires_grad_() for y in outs)
        back = _grads(outs, xs, seeds, True)
        got = _grads(back, seeds, v, create_graph)
    return _like(_done(outs, create_graph), several), _like(_done(got, create_graph), several)


def _jacobian(outs, xs, create_graph):
    """Of each output, by each input."""
    from .. import stack

    rows = []
    for y in outs:
        flat = y.reshape(-1)
        parts = [_grads((flat[i],), xs, None, create_graph) for i in range(flat.numel())]
        rows.append(tuple(
            (stack([p[k] for p in parts]) if parts else x.new_zeros((0,) + tuple(x.shape)))
            .reshape(tuple(y.shape) + tuple(x.shape)) for k, x in enumerate(xs)))
    return tuple(rows)


def _unpacked(rows, several, many):
    rows = tuple(_like(row, many) for row in rows)
    return _like(rows, several)


def jacobian(func, inputs, create_graph=False, strict=False, vectorize=False,
             strategy="reverse-mode"):
    """The derivatives of each element that func gives by each of inputs.

    >>> torch.autograd.functional.jacobian(lambda x: x ** 2, torch.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode". '
                             'Hint: If your function has more outputs than inputs, "forward-mode" '
                             'tends to be more performant. Otherwise, prefer to use "reverse-mode".')
    with enable_grad():
        many, xs = _as_tuple(inputs, "inputs", "jacobian")
        xs = _leaves(xs, create_graph)
        several, outs = _as_tuple(func(*xs), "outputs of the user-provided function", "jacobian")
        _check_outputs(outs, strict)
        rows = _jacobian(outs, xs, create_graph)
    return _unpacked(_done(rows, create_graph), several, many)


def _one(out, whose):
    several, outs = _as_tuple(out, "outputs of the user-provided function", whose)
    if several or not isinstance(out, Tensor):
        raise RuntimeError(f"The function given to {whose} should return a single Tensor")
    if out.nelement() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {whose} should contain a "
                           "single element")
    return outs


def hessian(func, inputs, create_graph=False, strict=False, vectorize=False,
            outer_jacobian_strategy="reverse-mode"):
    """The second derivatives of a function that gives one number.

    >>> torch.autograd.functional.hessian(lambda x: (x ** 3).sum(), torch.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError("Expected strategy to be either \"forward-mode\" or \"reverse-mode\".")
    with enable_grad():
        many, xs = _as_tuple(inputs, "inputs", "hessian")
        xs = _leaves(xs, create_graph)
        outs = _one(func(*xs), "hessian")
        _check_outputs(outs, strict)
        rows = _jacobian(_grads(outs, xs, None, True), xs, create_graph)
    return _unpacked(_done(rows, create_graph), many, many)


def _second(func, inputs, v, create_graph, strict, whose):
    many, xs = _as_tuple(inputs, "inputs", whose)
    xs = _leaves(xs, create_graph)
    v = _vector(v, xs, many, whose, "the input to the user-provided function is")
    outs = _one(func(*xs), whose)
    _check_outputs(outs, strict)
    got = _grads(_grads(outs, xs, None, True), xs, v, create_graph)
    return _done(outs, create_graph)[0], _like(_done(got, create_graph), many)


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """func(*inputs), and the product of v with its Hessian."""
    with enable_grad():
        return _second(func, inputs, v, create_graph, strict, "vhp")


def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """func(*inputs), and the product of its Hessian with v, which is that of v with it."""
    with enable_grad():
        return _second(func, inputs, v, create_graph, strict, "hvp")
