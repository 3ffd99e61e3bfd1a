"""The graph behind a tensor: what made it."""
from .._kiln import Tensor, _grad_operands


class Node:
    """An operation of the graph: its kind has PyTorch's name for it.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = x * 2
    >>> type(y.grad_fn).__name__, y.grad_fn.name()
    ('MulBackward0', 'MulBackward0')
    >>> y.grad_fn.next_functions[0][0].name()
    'torch::autograd::AccumulateGrad'
    """

    def __init__(self, tensor):
        self._tensor = tensor

    def name(self):
        """What it is called."""
        return type(self).__name__

    @property
    def next_functions(self):
        """(node, number of its result) of each operand that a gradient flows to; arithmetic's
        second operand has a place too where it is a number: (None, 0)."""
        found = tuple((_node(t), 0) for t in _grad_operands(self._tensor))
        return found + ((None, 0),) * (2 - len(found)) if self.name() in _PAIRS else found


class AccumulateGrad(Node):
    """The end of the graph: a leaf collects its gradient here."""

    __module__ = "builtins"  # where PyTorch's nodes are: in no text
    next_functions = ()

    def name(self):
        return "torch::autograd::AccumulateGrad"


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
