"""Derivatives held against differences of the function itself."""
import math

from .._grad import enable_grad, no_grad
from .._kiln import Tensor
from . import grad

__all__ = ["gradcheck", "gradgradcheck", "GradcheckError"]


class GradcheckError(RuntimeError):
    """A gradient that is not what differences say."""


def _tensors(x):
    return [t for t in (x if isinstance(x, (tuple, list)) else (x,)) if isinstance(t, Tensor)]


def _numbers(t):
    from .. import view_as_real
    return (view_as_real(t) if t.is_complex() else t).reshape(-1)


def _numerical(func, inputs, x, k, eps):
    """Columns of output k's Jacobian by x's real numbers, each from two values of func."""
    copy = x.detach().clone()
    inputs = [copy if t is x else t for t in inputs]
    flat, columns = copy.view(-1), []
    with no_grad():
        for i in range(flat.numel()):
            was = flat[i].item()
            for step in (eps, eps * 1j) if x.is_complex() else (eps,):
                ends = []
                for at in (was - step, was + step):
                    flat[i] = at
                    ends.append(_numbers(_tensors(func(*inputs))[k].detach()).clone().tolist())
                columns.append([(b - a) / (2 * eps) for a, b in zip(*ends)])
            flat[i] = was
    return columns


def _analytical(out, x):
    """Rows of the Jacobian of out's real numbers by x's."""
    flat = _numbers(out)
    rows = []
    for i in range(flat.numel()):
        g = grad(flat[i], [x], retain_graph=True, allow_unused=True, materialize_grads=True)[0]
        rows.append([0.0] * _numbers(x).numel() if g is None else
                    _numbers(g.detach()).tolist())
    return rows


def _far(a, b, atol, rtol):
    return not (a == b or abs(a - b) <= atol + rtol * abs(b) or (math.isnan(a) and math.isnan(b)))


def _compare(func, inputs, outs, eps, atol, rtol):
    for k, out in enumerate(outs):
        for j, x in enumerate(inputs):
            if not (isinstance(x, Tensor) and x.requires_grad):
                continue
            numbers, rows = _numerical(func, inputs, x, k, eps), _analytical(out, x)
            for i, row in enumerate(rows):
                for m, a in enumerate(row):
                    if _far(a, numbers[m][i], atol, rtol):
                        raise GradcheckError(
                            f"Jacobian mismatch for output {k} with respect to input {j},\n"
                            f"numerical:{numbers[m][i]}\nanalytical:{a}\n")


def _check_inputs(inputs):
    wanted = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none "
                         "of them have requires_grad=True.")
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.requires_grad and \
                not str(x.dtype).endswith(("float64", "complex128")):
            import warnings
            warnings.warn(f"Input #{i} requires gradient and is not a double precision floating "
                          "point or complex. This check will likely fail if all the inputs are not "
                          "of double precision floating point or complex. ")


def gradcheck(func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True,
              nondet_tol=0.0, check_undefined_grad=True, check_grad_dtypes=False,
              check_batched_grad=False, check_batched_forward_grad=False, check_forward_ad=False,
              check_backward_ad=True, fast_mode=False, masked=None):
    """Whether func's gradients by those inputs that require one are what differences say.

    >>> x = torch.tensor([1., 2.], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(torch.sin, (x,))
    True
    """
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    try:
        _check_inputs(inputs)
        with enable_grad():
            outs = [y for y in _tensors(func(*inputs)) if y.requires_grad]
            _compare(func, inputs, outs, eps, atol, rtol)
    except RuntimeError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3,
                  gen_non_contig_grad_outputs=False, raise_exception=True, nondet_tol=0.0,
                  check_undefined_grad=True, check_grad_dtypes=False, check_batched_grad=False,
                  check_fwd_over_rev=False, check_rev_over_rev=True, fast_mode=False, masked=False):
    """The same of func's gradients, as functions of the inputs and of grad_outputs."""
    from .. import randn

    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    with enable_grad():
        outs = [y for y in _tensors(func(*inputs)) if y.requires_grad]
    seeds = tuple(_tensors(grad_outputs)) if grad_outputs is not None else tuple(
        randn(*y.shape, dtype=y.dtype).requires_grad_() for y in outs)

    wanted = [isinstance(x, Tensor) and x.requires_grad for x in inputs]

    def gradients(*given):
        with enable_grad():
            xs = [x if not w or x.requires_grad else x.detach().requires_grad_()
                  for x, w in zip(given, wanted)]
            ys = [y for y in _tensors(func(*xs)) if y.requires_grad]
            return tuple(grad(ys, [x for x, w in zip(xs, wanted) if w], given[len(inputs):],
                              create_graph=True, allow_unused=True, materialize_grads=True))

    return gradcheck(gradients, (*inputs, *seeds), eps=eps, atol=atol, rtol=rtol,
                     raise_exception=raise_exception)
