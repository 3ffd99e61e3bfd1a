"""Functions as programs: traced once, called without Python's tensors in between, saved as text
(`.kl`, weights beside it) that kilnc compiles to native code."""
import inspect

from . import _kiln
from ._grad import no_grad
from ._kiln import Tensor


def _tuple(out):
    if isinstance(out, Tensor):
        return (out,)
    if not isinstance(out, (tuple, list)) or not all(isinstance(t, Tensor) for t in out):
        raise TypeError("a traced function takes and gives a tensor or a tuple of tensors")
    return tuple(out)


def _names(fn, n):
    """Names of the first n parameters, where the signature tells."""
    try:
        names = [p.name for p in inspect.signature(fn).parameters.values()
                 if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        names = []
    return tuple(names[:n] + [f"x{i}" for i in range(len(names[:n]), n)])


class TracedFunction:
    """A program: call it with tensors of the dtypes and shapes it was traced with."""

    def __init__(self, program, one):
        self._program, self._one = program, one
        self.names, self.inputs, self.outputs, dims, _ = _kiln._jit_about(program)
        self.dims = [d[0] for d in dims]

    def __repr__(self):
        inputs = ", ".join(f"{n}: {d}{list(s)}" for n, (d, s) in zip(self.names, self.inputs))
        return f"TracedFunction({inputs})"

    def _check(self, args):
        if len(args) != len(self.inputs):
            raise TypeError(f"expected {len(self.inputs)} tensors, but got {len(args)}")
        for name, (dtype, shape), t in zip(self.names, self.inputs, args):
            like = len(shape) == t.ndim and all(a in (-1, b) for a, b in zip(shape, t.shape))
            if t.dtype != dtype or not like:
                raise RuntimeError(f"input {name}: expected {dtype} of shape {list(shape)}, but got "
                                   f"{t.dtype} of shape {list(t.shape)}")

    def __call__(self, *args):
        """The outputs, new tensors; an extent that is -1 in `inputs` may be any that fits."""
        self._check(args)
        out = _kiln._jit_call(self._program, tuple(t.detach().contiguous() for t in args))
        return out[0] if self._one and len(out) == 1 else out

    def save(self, path):
        """The program to a file whose name ends in .kl, its weights in .safetensors beside it:
        `kilnc net.kl -o net.so` compiles it."""
        _kiln._jit_save(self._program, str(path))


def trace(func, example_inputs, **options):
    """The program of a function or module, found by calling it on tensors like example_inputs (a
    tensor or a tuple). What it takes from outside, as a module's weights, is captured with its
    value. Python's control flow is followed once, as the examples lead it.

    >>> f = torch.jit.trace(lambda x, y: (x * y).sum(), (torch.ones(3), torch.ones(3)))
    >>> f(torch.tensor([1., 2., 3.]), torch.tensor([4., 5., 6.]))
    tensor(32.)
    """
    inputs = _tuple(example_inputs)
    with no_grad():
        first = func(*inputs)  # not computed: only what it gives is looked at
        if hasattr(func, "named_parameters"):
            for name, t in [*func.named_parameters(), *func.named_buffers()]:
                _kiln._set_name(t, name)
        names = _names(getattr(func, "forward", func), len(inputs))
        ports = tuple((n, t.dtype, tuple(t.shape)) for n, t in zip(names, inputs))
        program = _kiln._jit_trace(lambda *args: _tuple(func(*args)), ports, len(_tuple(first)),
                                   (), ())
    return TracedFunction(program, isinstance(first, Tensor))


def load(path):
    """A program from a .kl file."""
    return TracedFunction(_kiln._jit_load(str(path)), True)


def save(function, path):
    function.save(path)


def script(obj, *args, **kwargs):
    """obj itself, as PyTorch's is under PYTORCH_JIT=0: what it computes is compiled anyway, when
    it is called. trace records a program that can be saved."""
    return obj


script_method = script


def is_tracing():
    """Whether a function is being traced now, on tensors without values."""
    return _kiln._is_tracing()


def ignore(fn=None, **kwargs):
    """fn itself: nothing is compiled from source."""
    return (lambda f: f) if fn is None else fn


unused = ignore
