"""Pruning: a parameter times a mask of zeros and ones, made again before each call. What is
trained is name_orig, the mask is the buffer name_mask.

>>> m = nn.utils.prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=0.5)
>>> int(m.weight_mask.sum()), nn.utils.prune.is_pruned(m)
(2, True)
"""
import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable

from ... import _functions as K
from .convert_parameters import parameters_to_vector

# ---- how many ----


def _check_amount(amount):
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    whole = isinstance(amount, numbers.Integral)
    if amount < 0 or (not whole and amount > 1):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a "
                         "non-negative integer")


def _count(amount, size):
    """How many of size; a number of them, or a share."""
    if not isinstance(amount, numbers.Integral):
        return round(amount * size)
    if amount > size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to "
                         f"prune={size}")
    return amount


def _check_dim(t, dim):
    if t.dim() <= 1:
        raise ValueError("Structured pruning can only be applied to multidimensional tensors. "
                         f"Found tensor of shape {t.shape} with {t.dim()} dims")
    if dim >= t.dim():
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")


def _slices(t, dim, kept):
    """t's index of what is kept along dim."""
    where = [slice(None)] * t.dim()
    where[dim] = kept
    return tuple(where)


# ---- methods ----


class BasePruningMethod(ABC):
    """A way to choose: a subclass gives PRUNING_TYPE ("unstructured", "structured" with a
    dim, "global") and compute_mask(scores, default_mask)."""

    _tensor_name = None

    def __call__(self, module, inputs):
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t, default_mask):
        """The mask for a tensor of these scores, whose mask so far is default_mask."""

    def _pruned(self, module, when=""):
        if self._tensor_name is None:
            raise AssertionError(f"Module {module} has to be pruned{when}")
        return self._tensor_name

    def apply_mask(self, module):
        """The parameter times its mask."""
        name = self._pruned(module)
        orig = getattr(module, name + "_orig")
        return getattr(module, name + "_mask").to(orig.dtype) * orig

    @classmethod
    def apply(cls, module, name, *args, importance_scores=None, **kwargs):
        """Prune module's parameter before each call from now on; on top of what prunes it
        already."""
        method, key = _after_others(cls(*args, **kwargs), module, name)
        orig = getattr(module, name)
        scores = _scores(importance_scores, orig, f"parameter {name} of {module}")
        first = not isinstance(method, PruningContainer)
        mask = K.ones_like(orig) if first else getattr(module, name + "_mask").detach().clone()
        mask = method.compute_mask(scores, default_mask=mask)  # nothing has changed if it fails
        if first:
            del module._parameters[name]
            module.register_parameter(name + "_orig", orig)
        if key is not None:
            del module._forward_pre_hooks[key]
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t, default_mask=None, importance_scores=None):
        """t times its mask, by t's own values or by scores."""
        scores = _scores(importance_scores, t, "tensor t")
        mask = K.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=mask)

    def remove(self, module):
        """The parameter for good, as pruned."""
        name = self._pruned(module, " before pruning can be removed")
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        orig = module._parameters.pop(name + "_orig")
        del module._buffers[name + "_mask"]
        orig.data = weight.data
        setattr(module, name, orig)


def _scores(scores, t, of):
    if scores is not None and scores.shape != t.shape:
        raise AssertionError(f"importance_scores should have the same shape as {of}, got "
                             f"{scores.shape} vs {t.shape}")
    return t if scores is None else scores


def _hook_on(module, name):
    """What prunes that parameter, and its key."""
    return next(((k, h) for k, h in module._forward_pre_hooks.items()
                 if isinstance(h, BasePruningMethod) and h._tensor_name == name),
                (None, None))


def _after_others(method, module, name):
    """method, or a container with what prunes already and it; and the key of that one's hook."""
    method._tensor_name = name
    key, old = _hook_on(module, name)
    if old is None:
        return method, None
    return PruningContainer(*(old if isinstance(old, PruningContainer) else [old]), method), key


class PruningContainer(BasePruningMethod):
    """Several methods one after the other: each prunes what is left."""

    def __init__(self, *args):
        self._pruning_methods = ()
        if args:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method):
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError("Can only add pruning methods acting on the parameter named "
                             f"'{self._tensor_name}' to PruningContainer {self}. Found "
                             f"'{method._tensor_name}'")
        self._pruning_methods += (method,)

    def __len__(self):
        return len(self._pruning_methods)

    def __iter__(self):
        return iter(self._pruning_methods)

    def __getitem__(self, idx):
        return self._pruning_methods[idx]

    def compute_mask(self, t, default_mask):
        method = self._pruning_methods[-1]
        left = _left(method, t, default_mask)
        mask = default_mask.to(t.dtype)
        part = method.compute_mask(t[left], default_mask=default_mask[left])
        mask[left] = part.to(mask.dtype)
        return mask


def _left(method, t, mask):
    """t's index of what a method may still prune."""
    kind = method.PRUNING_TYPE
    if kind == "unstructured":
        return mask == 1
    if kind == "global":
        return (slice(None),) * t.dim()
    if kind != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {kind}")
    if not hasattr(method, "dim"):
        raise AttributeError('Pruning methods of PRUNING_TYPE "structured" need to have the '
                             "attribute `dim` defined.")
    if method.dim < -t.dim():
        raise IndexError(f"Index is out of bounds for tensor with dimensions {t.dim()}")
    dim = method.dim % t.dim()
    return _slices(t, dim, mask.sum([d for d in range(t.dim()) if d != dim]) != 0)


class Identity(BasePruningMethod):
    """Prunes nothing, with the names of a pruned parameter."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        return default_mask

    @classmethod
    def apply(cls, module, name):
        return super().apply(module, name)


class _Amount(BasePruningMethod):
    """Of one amount, of elements."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount):
        _check_amount(amount)
        self.amount = amount

    def compute_mask(self, t, default_mask):
        n = _count(self.amount, t.numel())
        mask = default_mask.clone().contiguous()
        if n:
            lowest = self._order(t).reshape(-1).topk(n, largest=False).indices
            mask.view(-1)[lowest] = 0
        return mask


class RandomUnstructured(_Amount):
    """Prunes elements at random."""

    def _order(self, t):
        return K.rand_like(t)

    @classmethod
    def apply(cls, module, name, amount):
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Amount):
    """Prunes the elements nearest to zero."""

    def _order(self, t):
        return t.abs()

    @classmethod
    def apply(cls, module, name, amount, importance_scores=None):
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Channels(BasePruningMethod):
    """Of one amount, of slices along dim."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount, dim=-1):
        _check_amount(amount)
        self.amount, self.dim = amount, dim

    def compute_mask(self, t, default_mask):
        _check_dim(t, self.dim)
        size = t.shape[self.dim]
        n = _count(self.amount, size)
        if not n:
            return default_mask
        mask = K.zeros_like(t)
        mask[_slices(t, self.dim, self._order(t).topk(size - n).indices)] = 1
        return mask * default_mask.to(mask.dtype)


class RandomStructured(_Channels):
    """Prunes slices along dim at random."""

    def _order(self, t):
        return K.rand(t.shape[self.dim])

    @classmethod
    def apply(cls, module, name, amount, dim=-1):
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Channels):
    """Prunes the slices along dim of the smallest norm."""

    def __init__(self, amount, n, dim=-1):
        super().__init__(amount, dim)
        self.n = n

    def _order(self, t):
        from ... import linalg
        t = t.detach()
        others = [d for d in range(t.dim()) if d != self.dim % t.dim()]
        matrices = len(others) == 2
        if self.n == "nuc" or (self.n == "fro" and matrices):
            return linalg.matrix_norm(t, self.n, others if matrices else (-2, -1))
        return linalg.vector_norm(t, 2 if self.n == "fro" else self.n, others)

    @classmethod
    def apply(cls, module, name, amount, n, dim, importance_scores=None):
        return super().apply(module, name, amount=amount, n=n, dim=dim,
                             importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask that is given."""

    PRUNING_TYPE = "global"

    def __init__(self, mask):
        self.mask = mask

    def compute_mask(self, t, default_mask):
        if default_mask.shape != self.mask.shape:
            raise AssertionError(f"default_mask shape {default_mask.shape} must match self.mask "
                                 f"shape {self.mask.shape}")
        return default_mask * self.mask.to(default_mask.dtype)

    @classmethod
    def apply(cls, module, name, mask):
        return super().apply(module, name, mask=mask)


# ---- functions ----


def identity(module, name):
    """The names of a pruned parameter, nothing pruned."""
    Identity.apply(module, name)
    return module


def random_unstructured(module, name, amount):
    """Prune an amount (a number, or a share) of elements at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module, name, amount, importance_scores=None):
    """Prune an amount of elements nearest to zero."""
    L1Unstructured.apply(module, name, amount, importance_scores)
    return module


def random_structured(module, name, amount, dim):
    """Prune an amount of slices along dim at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module, name, amount, n, dim, importance_scores=None):
    """Prune an amount of slices along dim, those of the smallest n-norm."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores)
    return module


def custom_from_mask(module, name, mask):
    """Prune by a mask."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters, pruning_method, importance_scores=None, **kwargs):
    """Prune an amount of all elements of several parameters, (module, name) each, together."""
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    given = {} if importance_scores is None else importance_scores
    if not isinstance(given, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    parameters = list(parameters)
    tensors = [getattr(m, name) for m, name in parameters]
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError('Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found '
                        f"method {pruning_method} of type {method.PRUNING_TYPE}")
    scores = parameters_to_vector(given.get(p, t) for p, t in zip(parameters, tensors))
    masks = parameters_to_vector(getattr(m, name + "_mask", K.ones_like(t))
                                 for (m, name), t in zip(parameters, tensors))
    mask = PruningContainer(method).compute_mask(scores, masks)
    parts = mask.split([t.numel() for t in tensors])
    for (m, name), t, part in zip(parameters, tensors, parts):
        custom_from_mask(m, name, part.view(t.shape))


def remove(module, name):
    """Leave the parameter as pruned, an ordinary one again."""
    key, hook = _hook_on(module, name)
    if hook is None:
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning "
                         "can be removed")
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module):
    """Whether it, or a module in it, has a pruned parameter."""
    return any(isinstance(h, BasePruningMethod)
               for m in module.modules() for h in m._forward_pre_hooks.values())
