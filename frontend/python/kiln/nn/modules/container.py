"""Modules that hold modules or parameters: two kinds of list, two of dictionary."""
import collections
import collections.abc
import itertools
import operator

from ..._kiln import Tensor
from ..._typename import tensor_name
from ..parameter import Parameter
from .module import Module, _indented


class _List(Module):
    """What Sequential, ModuleList and ParameterList share: entries under "0", "1", .."""

    def _entries(self):
        return list(self._modules.values())

    def _rebuild(self, entries):
        """These entries in place of all that there are."""
        for name in list(self._modules):
            del self._modules[name]
        for i, m in enumerate(entries):
            self._modules[str(i)] = m

    def _key(self, i):
        n, i = len(self), operator.index(i)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range")
        return list(self._modules)[i]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._entries())

    def __getitem__(self, i):
        if isinstance(i, slice):
            return type(self)(self._entries()[i])
        return getattr(self, self._key(i))

    def __setitem__(self, i, value):
        setattr(self, self._key(i), value)

    def __delitem__(self, i):
        entries = self._entries()
        if not isinstance(i, slice):
            self._key(i)
        del entries[i]
        self._rebuild(entries)

    def __iadd__(self, values):
        return self.extend(values)

    def __dir__(self):
        return [k for k in super().__dir__() if not k.isdigit()]

    def append(self, value):
        """One more at the end."""
        self.add_module(str(len(self)), value)
        return self

    def extend(self, values):
        """All of them at the end."""
        for v in values:
            self.append(v)
        return self

    def pop(self, key):
        """Take one out."""
        v = self[key]
        del self[key]
        return v


class Sequential(_List):
    """Calls its modules one after the other.

    >>> nn.Sequential(nn.Linear(2, 1), nn.ReLU())
    Sequential(
      (0): Linear(in_features=2, out_features=1, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args):
        super().__init__()
        named = len(args) == 1 and isinstance(args[0], collections.OrderedDict)
        for name, m in args[0].items() if named else enumerate(args):
            self.add_module(str(name), m)

    def forward(self, input):
        for m in self._modules.values():
            input = m(input)
        return input

    def __getitem__(self, i):
        if isinstance(i, slice):
            return type(self)(collections.OrderedDict(list(self._modules.items())[i]))
        return self._modules[self._key(i)]

    @staticmethod
    def _check(other):
        if not isinstance(other, Sequential):
            raise ValueError("add operator supports only objects of Sequential class, but "
                             f"{type(other)} is given.")

    def __add__(self, other):
        self._check(other)
        return Sequential(*self, *other)

    def __iadd__(self, other):
        self._check(other)
        return self.extend(list(other))

    def _times(self, n):
        if not isinstance(n, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(n)}")
        if n <= 0:
            raise ValueError(f"Non-positive multiplication factor {n} for {type(self)}")
        return list(self) * n

    def __mul__(self, other):
        return Sequential(*self._times(other))

    __rmul__ = __mul__

    def __imul__(self, other):
        return self.extend(self._times(other)[len(self):])

    def insert(self, index, module):
        """One more before number index."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        n, entries = len(self), self._entries()
        if not -n <= index <= n:
            raise IndexError(f"Index out of range: {index}")
        entries.insert(index, module)
        self._rebuild(entries)
        return self


class ModuleList(_List):
    """A list of modules."""

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def extend(self, modules):
        """All of them at the end."""
        if not isinstance(modules, collections.abc.Iterable):
            raise TypeError("ModuleList.extend should be called with an iterable, but got "
                            + type(modules).__name__)
        return super().extend(list(modules))

    def insert(self, index, module):
        """One more before number index."""
        entries = self._entries()
        entries.insert(index, module)
        self._rebuild(entries)

    def __add__(self, other):
        return ModuleList(itertools.chain(self, other))

    def __repr__(self):
        """As Module's, with runs of modules that print alike as one line."""
        runs = []
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        if not runs:
            return self._get_name() + "()"
        lines = [_indented(f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}", 2)
                 for a, b, text in runs]
        return self._get_name() + "(\n  " + "\n  ".join(lines) + "\n)"


def _pairs(kind, given):
    """The pairs of a mapping or of a sequence of pairs."""
    if not isinstance(given, collections.abc.Iterable):
        raise TypeError(f"{kind}.update should be called with an iterable of key/value pairs, but "
                        "got " + type(given).__name__)
    if hasattr(given, "items"):
        return list(given.items())
    for i, pair in enumerate(given):
        what = f"{kind.replace('Parameters', 'Parameter')} update sequence element #{i}"
        if not isinstance(pair, collections.abc.Iterable):
            raise TypeError(f"{what} should be Iterable; is{type(pair).__name__}")
        if len(pair) != 2:
            raise ValueError(f"{what} has length {len(pair)}; 2 is required")
    return list(given)


class _Dict(Module):
    """What ModuleDict and ParameterDict share; _names() are the keys in order."""

    def __len__(self):
        return len(self._names())

    def __iter__(self):
        return iter(self._names())

    def __contains__(self, key):
        return key in self._names()

    def keys(self):
        return self._names().keys()

    def items(self):
        return {k: self[k] for k in self._names()}.items()

    def values(self):
        return {k: self[k] for k in self._names()}.values()

    def clear(self):
        """Take all out."""
        for k in list(self._names()):
            del self[k]

    def pop(self, key):
        """Take one out."""
        v = self[key]
        del self[key]
        return v


class ModuleDict(_Dict):
    """Modules by name."""

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def _names(self):
        return self._modules

    def __getitem__(self, key):
        return self._modules[key]

    def __setitem__(self, key, module):
        self.add_module(key, module)

    def __delitem__(self, key):
        del self._modules[key]

    def update(self, modules):
        """More of them, from a mapping or pairs."""
        for key, m in _pairs("ModuleDict", modules):
            self[key] = m


def _as_parameter(v):
    return v if isinstance(v, Parameter) or not isinstance(v, Tensor) else Parameter(v)


def _shown(pairs, what):
    """The lines of extra_repr; what(tensor) names its type."""
    lines = []
    for key, p in pairs:
        if not isinstance(p, Tensor):
            lines.append(f"  ({key}): Object of type: {type(p).__name__}")
            continue
        where = f" ({p.device})" if p.device.type == "cuda" else ""
        kind = "Parameter" if isinstance(p, Parameter) else "Tensor"
        lines.append(f"  ({key}): {kind} containing: [{what(p)} of size "
                     f"{'x'.join(map(str, p.shape))}{where}]")
    return "\n".join(lines)


class ParameterList(_List):
    """A list of parameters; other values are kept as they are."""

    def __init__(self, values=None):
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _entries(self):
        return [getattr(self, str(i)) for i in range(self._size)]

    def _key(self, i):
        n, i = len(self), operator.index(i)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range")
        return str(i % n)

    def _rebuild(self, entries):
        for i in range(self._size):
            delattr(self, str(i))
        self._size = 0
        self.extend(entries)

    def __len__(self):
        return self._size

    def __setitem__(self, i, value):
        setattr(self, self._key(i), _as_parameter(value))

    def append(self, value):
        """One more at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values):
        """All of them at the end."""
        if not isinstance(values, collections.abc.Iterable) or isinstance(values, Tensor):
            raise TypeError("ParameterList.extend should be called with an iterable, but got "
                            + type(values).__name__)
        return super().extend(list(values))

    def extra_repr(self):
        return _shown(enumerate(self), lambda p: p.dtype)

    def __call__(self, *args, **kwargs):
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(_Dict):
    """Parameters by name; other values are kept as they are."""

    def __init__(self, parameters=None):
        super().__init__()
        self._keys = {}
        if parameters is not None:
            self.update(parameters)

    def _names(self):
        return self._keys

    @staticmethod
    def _checked(key):
        if not isinstance(key, str):
            raise TypeError("Index given to ParameterDict cannot be used as a key as it is not a "
                            f"string (type is '{type(key).__name__}'). Open an issue on github "
                            "if you need non-string keys.")
        return key

    def __getitem__(self, key):
        return getattr(self, self._checked(key))

    def __setitem__(self, key, value):
        self._keys[key] = None
        setattr(self, self._checked(key), _as_parameter(value))

    def __delitem__(self, key):
        del self._keys[key]
        delattr(self, self._checked(key))

    def __reversed__(self):
        return reversed(self._keys)

    def get(self, key, default=None):
        return self[key] if key in self else default

    def setdefault(self, key, default=None):
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self):
        """Take the last out: its key and value."""
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def fromkeys(self, keys, default=None):
        return ParameterDict((k, default) for k in keys)

    def copy(self):
        return ParameterDict(collections.OrderedDict(self.items()))

    def update(self, parameters):
        """More of them, from a mapping (one without order: by name) or pairs."""
        pairs = parameters if isinstance(parameters, (list, tuple)) else _pairs(
            "ParametersDict", list(parameters) if isinstance(parameters, collections.abc.Iterator)
            else parameters)
        ordered = isinstance(parameters, (collections.OrderedDict, ParameterDict)) \
            or not isinstance(parameters, collections.abc.Mapping)
        for key, p in _pairs("ParametersDict", pairs) if ordered else sorted(
                pairs, key=lambda pair: pair[0]):
            self[key] = p

    def extra_repr(self):
        return _shown(self.items(), tensor_name)

    def __call__(self, input):
        raise RuntimeError("ParameterDict should not be called.")

    def __or__(self, other):
        both = self.copy()
        both.update(other)
        return both

    def __ror__(self, other):
        both = ParameterDict(other)
        both.update(self)
        return both

    def __ior__(self, other):
        self.update(other)
        return self
