"""Functions of functions: grad, vjp, jvp, and matrices of derivatives."""
import functools

from . import autograd
from ._grad import enable_grad
from ._kiln import Tensor


def _flat(tree):
    """The tensors of nested tuples, lists and dicts."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [t for x in tree for t in _flat(x)] if isinstance(tree, (list, tuple)) else []


def _like(tree, tensors):
    """tree with its tensors taken from an iterator."""
    if isinstance(tree, Tensor):
        return next(tensors)
    if isinstance(tree, dict):
        return {k: _like(v, tensors) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_like(x, tensors) for x in tree)
    return tree


def _variables(tree):
    """tree with tensors to derive by, and those; a part of an outer derivative stays one."""
    found = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_()
             for t in _flat(tree)]
    return _like(tree, iter(found)), found


def _outer(tree):
    return any(t.requires_grad for t in _flat(tree))


def _done(tree, keep):
    return tree if keep else _like(tree, (t.detach() for t in _flat(tree)))


def _grads(y, xs, seed=None):
    return autograd.grad(y, xs, seed, create_graph=True, allow_unused=True,
                         materialize_grads=True)


def grad_and_value(func, argnums=0, has_aux=False):
    """A function that gives the gradient of func (which gives one number) by arguments
    argnums, and func's value; with has_aux func gives (value, aux)."""
    single = isinstance(argnums, int)
    which = (argnums,) if single else tuple(argnums)

    @functools.wraps(func)
    def run(*args, **kwargs):
        keep = _outer(args)
        picked = tuple(args[i] for i in which)
        with enable_grad():
            by, xs = _variables(picked)
            full = list(args)
            for i, v in zip(which, by):
                full[i] = v
            y = func(*full, **kwargs)
            aux = None
            if has_aux:
                y, aux = y
            if not isinstance(y, Tensor) or y.dim() != 0:
                raise RuntimeError("grad_and_value(f)(*args): Expected f(*args) to return a "
                                   "scalar tensor, got a tensor with "
                                   f"{getattr(y, 'ndim', '?')} dims. Maybe you wanted to use "
                                   "the vjp or jacrev APIs instead?")
            g = _like(by, iter(_grads(y, xs)))
        g, y = _done(g, keep), _done(y, keep)
        value = (y, _done(aux, keep)) if has_aux else y
        return (g[0] if single else g), value

    return run


def grad(func, argnums=0, has_aux=False):
    """The gradient of func by arguments argnums, as a function.

    >>> torch.func.grad(lambda x: x ** 3)(torch.tensor(2.))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def run(*args, **kwargs):
        g, value = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return run


def vjp(func, *primals, has_aux=False):
    """func(*primals), and the function from weights of the result to gradients."""
    keep = _outer(primals)
    with enable_grad():
        by, xs = _variables(primals)
        out = func(*by)
        aux = None
        if has_aux:
            out, aux = out

    def back(*cotangents):
        seeds = _flat(cotangents[0] if len(cotangents) == 1 else cotangents)
        with enable_grad():
            total = None
            for y, s in zip(_flat(out), seeds):
                g = _grads(y, xs, s)
                total = g if total is None else tuple(a + b for a, b in zip(total, g))
        r = _done(_like(by, iter(total)), keep or _outer(cotangents))
        return r

    value = _done(out, keep)
    return (value, back, _done(aux, keep)) if has_aux else (value, back)


def jvp(func, primals, tangents, *, has_aux=False):
    """func(*primals), and its derivative along tangents: the gradient, by its weights, of the
    gradient weighed by them."""
    keep = _outer(primals) or _outer(tangents)
    with enable_grad():
        by, xs = _variables(tuple(primals))
        out = func(*by)
        aux = None
        if has_aux:
            out, aux = out
        along = []
        for y in _flat(out):
            weight = y.detach().mul(0).requires_grad_()
            inner = sum((g * t).sum() for g, t in zip(_grads(y, xs, weight), _flat(tangents)))
            along += _grads(inner, [weight]) if inner.requires_grad else [weight.detach()]
    value, d = _done(out, keep), _done(_like(out, iter(along)), keep)
    return (value, d, _done(aux, keep)) if has_aux else (value, d)


def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None):
    """The matrix of derivatives, of shape result + argument, a row of the result at a time."""
    single = isinstance(argnums, int)
    which = (argnums,) if single else tuple(argnums)

    @functools.wraps(func)
    def run(*args):
        from . import stack

        keep = _outer(args)
        with enable_grad():
            by, xs = _variables(tuple(args[i] for i in which))
            full = list(args)
            for i, v in zip(which, by):
                full[i] = v
            out = func(*full)
            aux = None
            if has_aux:
                out, aux = out
            results = []
            for y in _flat(out):
                rows = [_grads(e, xs) for e in y.reshape(-1)]
                whole = (stack([r[i] for r in rows]).reshape(y.shape + x.shape)
                         for i, x in enumerate(xs))
                r = _like(by, whole)
                results.append(r[0] if single else r)
        r = _done(_like(out, iter(results)), keep)
        return (r, _done(aux, keep)) if has_aux else r

    return run


jacfwd = jacrev  # the same matrix


def hessian(func, argnums=0):
    """The matrix of second derivatives.

    >>> torch.func.hessian(lambda x: x.prod())(torch.tensor([2., 3.]))
    tensor([[0., 1.],
            [1., 0.]])
    """
    return jacrev(jacrev(func, argnums), argnums)


def functional_call(module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights=True,
                    strict=False):
    """module(*args) with these tensors in place of its parameters and buffers."""
    given = parameters_and_buffers
    if isinstance(given, (list, tuple)):
        given = {k: v for d in given for k, v in d.items()}
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if strict and set(own) != set(given):
        raise RuntimeError(f"functional_call: missing {sorted(set(own) - set(given))}, "
                           f"unexpected {sorted(set(given) - set(own))}")
    places = []
    for name, value in given.items():
        path, _, leaf = name.rpartition(".")
        holder = module.get_submodule(path)
        table = holder._parameters if leaf in holder._parameters else holder._buffers
        if leaf not in table:
            raise RuntimeError(f"functional_call: the module has no {name}")
        places.append((table, leaf, table[leaf]))
        table[leaf] = value
    try:
        args = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*args, **(kwargs or {}))
    finally:
        for table, leaf, was in places:
            table[leaf] = was


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """Not yet."""
    raise NotImplementedError("kiln.func.vmap is not implemented yet")


def _reject(name):
    def run(*args, **kwargs):
        raise NotImplementedError(f"kiln.func.{name} is not implemented yet")

    run.__name__ = name
    return run


linearize, stack_module_state, functionalize = map(
    _reject, ("linearize", "stack_module_state", "functionalize"))
