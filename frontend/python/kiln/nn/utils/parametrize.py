"""Parametrizations: a module's tensor as a function of others, which are what is trained.

>>> class Symmetric(nn.Module):
...     def forward(self, x):
...         return x.triu() + x.triu(1).T
>>> m = nn.utils.parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
>>> bool((m.weight == m.weight.T).all()), type(m).__name__
(True, 'ParametrizedLinear')
"""
import contextlib
import copy
from collections.abc import Sequence

from ..._grad import no_grad
from ..._kiln import Tensor
from ..modules.container import ModuleDict, ModuleList
from ..parameter import Parameter

_depth, _kept = 0, {}  # how many cached() are open, and the tensors made since


@contextlib.contextmanager
def cached():
    """Within it every parametrized tensor is made once."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _kept.clear()


def _register(module, name, x):
    if isinstance(x, Parameter):
        module.register_parameter(name, x)
    else:
        module.register_buffer(name, x)


def _check_tensor(x, what="A parametrization must return a tensor. Got"):
    if not isinstance(x, Tensor):
        raise ValueError(f"{what} {type(x).__name__}.")


def _check_like(before, after, the, names=("unparametrized {}", "parametrized {}")):
    """Refuse another dtype or shape."""
    for what in ("dtype", "shape"):
        old, new = before[what], getattr(after, what)
        if old != new:
            raise ValueError(
                f"Registering a parametrization may not change the {what} of the tensor, unless "
                f"{the}`unsafe` flag is enabled.\n{names[0].format(what)}: {old}\n"
                f"{names[1].format(what)}: {new}")


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, called one after the other, and what they are made of:
    `original`, or `original0`, `original1`, .. where the first takes several."""

    def __init__(self, modules, original, unsafe=False):
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = {"dtype": original.dtype, "shape": original.shape}
        with no_grad():
            new = self._inverse(original, strict=False)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors (list, "
                             f"tuple...). Got {type(new).__name__}")
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            self._keep_one(original, new)
        else:
            self._keep_several(original, new)
        if not unsafe:
            made = self()
            _check_tensor(made)
            _check_like(before, made, "")

    def _inverse(self, value, strict):
        for m in reversed(self):
            if not hasattr(m, "right_inverse"):
                if strict:
                    raise RuntimeError(f"parametrization {type(m).__name__} does not implement "
                                       "right_inverse.")
                continue
            try:
                value = m.right_inverse(value)
            except NotImplementedError:
                if strict:
                    raise
        return value

    def _keep_one(self, original, new):
        for what in ("dtype", "device"):
            old, now = getattr(original, what), getattr(new, what)
            if old != now:
                raise ValueError(
                    f"When `right_inverse` outputs one tensor, it may not change the {what}.\n"
                    f"original.{what}: {old}\nright_inverse(original).{what}: {now}")
        original.data = new.detach()
        _register(self, "original", original)

    def _keep_several(self, original, new):
        for i, x in enumerate(new):
            if not isinstance(x, Tensor):
                raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors "
                                 f"(list, tuple...). Got element {i} of the sequence with type "
                                 f"{type(x).__name__}.")
            if isinstance(original, Parameter):
                x = Parameter(x.detach(), original.requires_grad)
            x.requires_grad_(original.requires_grad)
            _register(self, f"original{i}", x)

    def _originals(self):
        return [self.original] if self.is_tensor else \
            [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value):
        """Store what gives value: assigning to the parametrized tensor calls it."""
        with no_grad():
            value = self._inverse(value, strict=True)
            if self.is_tensor:
                self._check_one(value)
            else:
                self._check_several(value)
            for old, new in zip(self._originals(), [value] if self.is_tensor else value):
                old.data = new.detach()

    def _check_one(self, value):
        if not isinstance(value, Tensor):
            raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
        if value.dtype != self.original.dtype:
            raise ValueError(f"The tensor returned by `right_inverse` has dtype {value.dtype} "
                             f"while `original` has dtype {self.original.dtype}")

    def _check_several(self, value):
        if not isinstance(value, Sequence):
            raise ValueError("'right_inverse' must return a sequence of tensors. "
                             f"Got {type(value).__name__}.")
        if len(value) != self.ntensors:
            raise ValueError("'right_inverse' must return a sequence of tensors of length "
                             f"{self.ntensors}. Got a sequence of length {len(value)}.")
        for i, (x, old) in enumerate(zip(value, self._originals())):
            if not isinstance(x, Tensor):
                raise ValueError("'right_inverse' must return a sequence of tensors. Got element "
                                 f"{i} of type {type(x).__name__}.")
            if x.dtype != old.dtype:
                raise ValueError(f"Tensor {i} returned by `right_inverse` has dtype {x.dtype} "
                                 f"while `original{i}` has dtype {old.dtype}")

    def forward(self):
        first, *rest = self
        x = first(*self._originals())
        for m in rest:
            x = m(x)
        return x


# ---- the module's class with a property for each such tensor ----


def _copy_module(self, memo):
    if id(self) not in memo:
        memo[id(self)] = replica = self.__new__(type(self))
        replica.__dict__ = copy.deepcopy(self.__dict__, memo)
    return memo[id(self)]


def _no_state(self):
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(). See:\n"
        "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
        "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training")


def _derive_class(module):
    base = type(module)
    body = {"__getstate__": _no_state}
    if not hasattr(base, "__deepcopy__"):
        body["__deepcopy__"] = _copy_module
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), body)


def _add_property(module, name):
    def made(self):
        if not _depth:
            return self.parametrizations[name]()
        if (id(self), name) not in _kept:
            _kept[id(self), name] = self.parametrizations[name]()
        return _kept[id(self), name]

    def assign(self, value):
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(made, assign))


def _check_next(module, name, parametrization):
    """Of one more parametrization after others."""
    y = getattr(module, name)
    x = parametrization(y)
    _check_tensor(x)
    before = {"dtype": y.dtype, "shape": y.shape}
    _check_like(before, x, "the ", (f"module.{name}.{{}}", f"parametrization(module.{name}).{{}}"))
    if not hasattr(parametrization, "right_inverse"):
        return
    try:
        z = parametrization.right_inverse(x)
    except NotImplementedError:
        return
    if not isinstance(z, Tensor):
        raise ValueError("parametrization.right_inverse must return a tensor. Got: "
                         f"{type(z).__name__}")
    for what in ("dtype", "shape"):
        if before[what] != getattr(z, what):
            raise ValueError(
                f"The tensor returned by parametrization.right_inverse must have the same {what} "
                f"as module.{name}, unless the `unsafe` flag is enabled.\n"
                f"module.{name}.{what}: {before[what]}\nreturned {what}: {getattr(z, what)}")


def register_parametrization(module, tensor_name, parametrization, *, unsafe=False):
    """Make module's tensor parametrization's result; what it is made of is what is trained."""
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_next(module, tensor_name, parametrization)
        module.parametrizations[tensor_name].append(parametrization)
        module.parametrizations[tensor_name].unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        made_of = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _derive_class(module)
            module.parametrizations = ModuleDict()
        _add_property(module, tensor_name)
        module.parametrizations[tensor_name] = made_of
    else:
        raise ValueError(f"Module '{module}' does not have a parameter, a buffer, or a "
                         f"parametrized element with name '{tensor_name}'")
    return module


def is_parametrized(module, tensor_name=None):
    """Whether that tensor, or any, is parametrized."""
    lists = getattr(module, "parametrizations", None)
    if not isinstance(lists, ModuleDict):
        return False
    return len(lists) > 0 if tensor_name is None else tensor_name in lists


def remove_parametrizations(module, tensor_name, leave_parametrized=True):
    """Make it a plain tensor again: its value now, or (False) what it was made of."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    made_of = module.parametrizations[tensor_name]
    if made_of.is_tensor:
        original = made_of.original
        if leave_parametrized:
            with no_grad():
                original.data = getattr(module, tensor_name).detach()
    elif leave_parametrized:
        t = getattr(module, tensor_name)
        original = Parameter(t.detach()) if t.requires_grad else t
    else:
        raise ValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor that "
                         "is parametrized in terms of a sequence of tensors.")
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module):
    """The module's own class."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module, to_module, tensor_name=None):
    """Give to_module the parametrizations of from_module, and what they are made of."""
    if not is_parametrized(from_module):
        return to_module
    for name in from_module.parametrizations if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        source = from_module.parametrizations[name]
        for p in source:
            register_parametrization(to_module, name, p)
        target = to_module.parametrizations[name]
        for i, x in enumerate(source._originals()):
            setattr(target, "original" if source.is_tensor else f"original{i}", x)
    return to_module
