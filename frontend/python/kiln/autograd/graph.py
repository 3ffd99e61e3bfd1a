"""The graph behind a tensor: what made it, and hooks on its way."""
import collections
import gc
import threading

from .. import _kiln
from .._hooks import RemovableHandle
from .._kiln import Tensor, _grad_operands
from . import _after

GradientEdge = collections.namedtuple("GradientEdge", ["node", "output_nr"])


class Node:
    """An operation of the graph: its kind has PyTorch's name for it.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = x * 2
    >>> type(y.grad_fn).__name__, y.grad_fn.name()
    ('MulBackward0', 'MulBackward0')
    >>> y.grad_fn.next_functions[0][0].name()
    'torch::autograd::AccumulateGrad'
    >>> y.grad_fn.next_functions[0][0].variable is x
    True
    """

    def __init__(self, tensor):
        self._tensor = tensor
        self._key = _kiln._grad_id(tensor)

    def __eq__(self, other):
        return isinstance(other, Node) and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def name(self):
        """What it is called."""
        return type(self).__name__

    @property
    def metadata(self):
        """Notes of the user's own, which go with the tensor."""
        if not hasattr(self._tensor, "_grad_fn_metadata"):
            self._tensor._grad_fn_metadata = {}
        return self._tensor._grad_fn_metadata

    @property
    def next_functions(self):
        """(node, number of its result) of each operand that a gradient flows to; arithmetic's
        second operand has a place too where it is a number: (None, 0)."""
        found = tuple((_node(t), 0) for t in _grad_operands(self._tensor))
        return found + ((None, 0),) * (2 - len(found)) if self.name() in _PAIRS else found

    def register_prehook(self, hook):
        """hook(gradients of the results) before the operation's own derivative; what it gives
        replaces them."""
        def run(grad):
            r = hook((grad,))
            return r[0] if isinstance(r, tuple) else r

        return self._tensor.register_hook(run)


class AccumulateGrad(Node):
    """The end of the graph: a leaf collects its gradient here."""

    __module__ = "builtins"  # where PyTorch's nodes are: in no text
    next_functions = ()

    def name(self):
        return "torch::autograd::AccumulateGrad"

    @property
    def variable(self):
        """The leaf, as the object that the program has, if it still has one."""
        mine = (t for t in gc.get_objects() if isinstance(t, Tensor) and t is not self._tensor
                and t.requires_grad and t.is_leaf and _kiln._grad_id(t) == self._key)
        return next(mine, self._tensor)


_PAIRS = {"AddBackward0", "SubBackward0", "MulBackward0", "DivBackward0"}
_kinds = {}


def _node(t):
    """The node that made t, or that collects its gradient."""
    name = t._grad_fn
    if name is None:
        return AccumulateGrad(t)
    if name not in _kinds:
        own = name.endswith("Backward")  # a user's Function; what kiln has is numbered
        _kinds[name] = type(name, (Node,), {
            "__module__": "torch.autograd.function" if own else "builtins"})
    return _kinds[name](t)


def _grad_fn(self):
    """The operation it comes from: a node of the graph, or None."""
    return _node(self) if self._grad_fn else None


Tensor.grad_fn = property(_grad_fn)


def get_gradient_edge(tensor):
    """The node that tensor's gradient goes to."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not "
                           "require gradients")
    return GradientEdge(_node(tensor), 0)


# ---- what Functions keep ----

_here = threading.local()


def current_hooks():
    """The innermost saved_tensors_hooks, or None."""
    hooks = getattr(_here, "hooks", None)
    return hooks[-1] if hooks else None


class saved_tensors_hooks:
    """What a Function saves for its backward is kept as pack_hook(tensor) and read as
    unpack_hook of that. Other operations save no tensors: what their derivatives read is part of
    one program, and such values are computed, kept or computed again by its plan."""

    def __init__(self, pack_hook, unpack_hook):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self):
        if getattr(_here, "refused", None) is not None:
            raise RuntimeError(_here.refused)
        if not hasattr(_here, "hooks"):
            _here.hooks = []
        _here.hooks.append(self)

    def __exit__(self, *exc):
        if getattr(_here, "hooks", None):
            _here.hooks.pop()


class save_on_cpu(saved_tensors_hooks):
    """What Functions save is kept in the host's memory."""

    def __init__(self, pin_memory=False, device_type="cuda"):
        super().__init__(lambda t: (t.device, t.cpu()), lambda kept: kept[1].to(kept[0]))


class disable_saved_tensors_hooks:
    """Entering saved_tensors_hooks is an error of this text."""

    def __init__(self, error_message):
        self._text = error_message

    def __enter__(self):
        self._was, _here.refused = getattr(_here, "refused", None), self._text

    def __exit__(self, *exc):
        _here.refused = self._was


# ---- hooks on several tensors ----


class _Together:
    """The gradients of several tensors during one backward."""

    def __init__(self, n, fn, any_of):
        self.n, self.fn, self.any_of, self.grads = n, fn, any_of, None

    def arrived(self, i, grad):
        first = self.grads is None
        if first:
            self.grads = [None] * self.n
            _after.queue_callback(self.end)
        if self.any_of and first:
            self.fn(grad)
        self.grads[i] = grad

    def end(self):
        grads, self.grads = self.grads, None
        if not self.any_of:
            self.fn(grads)


class _Handles:
    def __init__(self, handles):
        self._handles = handles

    def remove(self):
        for h in self._handles:
            h.remove()

    __enter__ = RemovableHandle.__enter__
    __exit__ = RemovableHandle.__exit__


def register_multi_grad_hook(tensors, fn, *, mode="all"):
    """fn(list of gradients, None where there is none) after a backward that reaches some of the
    tensors; mode "any": fn(gradient) with the first of them, at once."""
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    together = _Together(len(tensors), fn, mode == "any")

    def watch(i):
        return lambda grad: together.arrived(i, grad)

    return _Handles([t.register_hook(watch(i)) for i, t in enumerate(tensors)])
