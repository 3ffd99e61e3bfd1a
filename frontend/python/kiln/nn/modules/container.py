"""Modules that hold modules or parameters."""
import collections
import itertools

from ..._kiln import Tensor
from ..parameter import Parameter
from .module import Module


class Sequential(Module):
    """Calls its modules one after the other."""

    def __init__(self, *args):
        super().__init__()
        pairs = args[0].items() if len(args) == 1 and isinstance(args[0], dict) \
            else ((str(i), m) for i, m in enumerate(args))
        for name, m in pairs:
            self.add_module(name, m)

    def forward(self, input):
        for m in self._modules.values():
            input = m(input)
        return input

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def __getitem__(self, i):
        if isinstance(i, slice):
            return type(self)(collections.OrderedDict(list(self._modules.items())[i]))
        return list(self._modules.values())[_index(i, len(self))]

    def __setitem__(self, i, module):
        setattr(self, list(self._modules)[_index(i, len(self))], module)

    def __delitem__(self, i):
        for name in list(self._modules)[i if isinstance(i, slice) else slice(i, i + 1 or None)]:
            del self._modules[name]
        self._modules.update(_renumbered(self._modules))

    def append(self, module):
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules):
        for m in modules:
            self.append(m)
        return self

    def __add__(self, other):
        return Sequential(*itertools.chain(self, other))


def _index(i, n):
    i = i.__index__()
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of range")
    return i % n


def _renumbered(modules):
    values = list(modules.values())
    modules.clear()
    return {str(i): m for i, m in enumerate(values)}


class ModuleList(Module):
    """A list of modules."""

    def __init__(self, modules=None):
        super().__init__()
        self.extend(modules or ())

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def __getitem__(self, i):
        if isinstance(i, slice):
            return type(self)(list(self._modules.values())[i])
        return self._modules[str(_index(i, len(self)))]

    def __setitem__(self, i, module):
        setattr(self, str(_index(i, len(self))), module)

    def __delitem__(self, i):
        del self._modules[str(_index(i, len(self)))]
        self._modules.update(_renumbered(self._modules))

    def __contains__(self, module):
        return module in list(self)

    def append(self, module):
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules):
        for m in modules:
            self.append(m)
        return self

    def insert(self, index, module):
        values = list(self)
        values.insert(index, module)
        self._modules.clear()
        self.extend(values)

    def pop(self, i):
        m = self[i]
        del self[i]
        return m

    def __add__(self, other):
        return ModuleList(itertools.chain(self, other))


class ModuleDict(Module):
    """Modules by name."""

    def __init__(self, modules=None):
        super().__init__()
        self.update(modules or {})

    def update(self, modules):
        for name, m in modules.items() if hasattr(modules, "items") else modules:
            self[name] = m

    def __getitem__(self, name):
        return self._modules[name]

    def __setitem__(self, name, module):
        self.add_module(name, module)

    def __delitem__(self, name):
        del self._modules[name]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules)

    def __contains__(self, name):
        return name in self._modules

    def keys(self):
        return self._modules.keys()

    def items(self):
        return self._modules.items()

    def values(self):
        return self._modules.values()

    def clear(self):
        self._modules.clear()

    def pop(self, name):
        return self._modules.pop(name)


def _as_parameter(v):
    return v if isinstance(v, Parameter) or not isinstance(v, Tensor) else Parameter(v)


class ParameterList(Module):
    """A list of parameters."""

    def __init__(self, values=None):
        super().__init__()
        self.extend(values or ())

    def __len__(self):
        return len(self._parameters)

    def __iter__(self):
        return iter(self._parameters.values())

    def __getitem__(self, i):
        if isinstance(i, slice):
            return type(self)(list(self._parameters.values())[i])
        return self._parameters[str(_index(i, len(self)))]

    def __setitem__(self, i, value):
        self._parameters[str(_index(i, len(self)))] = _as_parameter(value)

    def append(self, value):
        self.register_parameter(str(len(self)), _as_parameter(value))
        return self

    def extend(self, values):
        for v in values:
            self.append(v)
        return self

    def extra_repr(self):
        return "\n".join(f"({n}): Parameter containing: [{p.dtype} of size "
                         f"{'x'.join(map(str, p.shape))}]" for n, p in self._parameters.items())


class ParameterDict(Module):
    """Parameters by name."""

    def __init__(self, parameters=None):
        super().__init__()
        self.update(parameters or {})

    def update(self, parameters):
        for name, p in parameters.items() if hasattr(parameters, "items") else parameters:
            self[name] = p

    def __getitem__(self, name):
        return self._parameters[name]

    def __setitem__(self, name, p):
        self.register_parameter(name, _as_parameter(p))

    def __delitem__(self, name):
        del self._parameters[name]

    def __len__(self):
        return len(self._parameters)

    def __iter__(self):
        return iter(self._parameters)

    def __contains__(self, name):
        return name in self._parameters

    def keys(self):
        return self._parameters.keys()

    def items(self):
        return self._parameters.items()

    def values(self):
        return self._parameters.values()
