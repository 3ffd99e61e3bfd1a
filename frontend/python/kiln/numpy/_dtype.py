"""NumPy's dtypes over kiln's, and which dtype an operation's operands meet in."""
from .. import _kiln

_ROWS = [  # name, kind, bytes, NumPy's character
    ("bool", "b", 1, "?"), ("int8", "i", 1, "b"), ("uint8", "u", 1, "B"),
    ("int16", "i", 2, "h"), ("uint16", "u", 2, "H"), ("int32", "i", 4, "i"),
    ("uint32", "u", 4, "I"), ("int64", "i", 8, "l"), ("uint64", "u", 8, "L"),
    ("float16", "f", 2, "e"), ("float32", "f", 4, "f"), ("float64", "f", 8, "d"),
    ("complex64", "c", 8, "F"), ("complex128", "c", 16, "D")]
_ORDER = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}
_known = {}  # by every spelling


class dtype:
    """An element type: one object each, equal to all its spellings."""

    __slots__ = ("name", "kind", "itemsize", "char", "str", "type", "kiln", "order")

    def __new__(cls, spec=None):
        found = spec if isinstance(spec, dtype) else None
        if found is None:
            try:
                found = _known.get(spec)
            except TypeError:  # a spelling that cannot be looked up
                pass
        if found is None:
            found = _known.get(getattr(spec, "name", getattr(spec, "__name__", "")))
        if found is None:
            text = str(getattr(spec, "name", spec))
            if text.lstrip("<>=|").startswith(("datetime64", "timedelta64", "M8", "m8")):
                raise TypeError(f"kiln has no dtype {text}: keep times as int64 or float64")
            raise TypeError(f"Cannot interpret {spec!r} as a data type")
        return found

    @property
    def dtype(self):
        """NumPy's own, for np.dtype() to find."""
        import numpy
        return numpy.dtype(self.name)

    def __repr__(self):
        return f"dtype('{self.name}')"

    def __str__(self):
        return self.name

    def __eq__(self, other):
        try:
            return other is not None and dtype(other) is self
        except TypeError:
            return False

    def __hash__(self):
        return hash(self.name)

    def __reduce__(self):
        return dtype, (self.name,)


def _make(name, kind, size, char):
    d = object.__new__(dtype)
    d.name, d.kind, d.itemsize, d.char, d.order = name, kind, size, char, _ORDER[kind]
    d.str = f"{'|' if size == 1 else '<'}{kind}{size}"
    d.kiln, d.type = getattr(_kiln, name), None
    for key in (name, char, d.str, f"{kind}{size}", "=" + f"{kind}{size}", d.kiln):
        _known[key] = d


for _row in _ROWS:
    _make(*_row)
for _spec, _name in ((None, "float64"), (float, "float64"), ("float", "float64"), (int, "int64"),
                     ("int", "int64"), ("uint", "uint64"), ("q", "int64"), ("Q", "uint64"),
                     ("p", "int64"), (bool, "bool"), ("half", "float16"), ("single", "float32"),
                     ("double", "float64"), (complex, "complex128"), ("complex", "complex128")):
    _known[_spec] = _known[_name]

WEAK = (bool, int, float, complex)  # Python's numbers, by order of kind
_WEAK_ALONE = [_known[n] for n in ("bool", "int64", "float64", "complex128")]


def _real_size(d):
    """Bytes of the smallest real dtype that holds d's numbers or most of them."""
    if d.kind == "c":
        return d.itemsize // 2
    return d.itemsize if d.kind == "f" else 2 if d.order == 0 else min(2 * d.itemsize, 8)


def _promote(a, b):
    if a is b:
        return a
    if a.order > b.order:
        a, b = b, a
    if a.order == 0:
        return b
    if b.order >= 2:
        size = max(_real_size(a), _real_size(b))
        return _known[f"float{8 * size}" if b.kind == "f" else f"complex{16 * size}"]
    if a.kind == b.kind:
        return a if a.itemsize > b.itemsize else b
    signed, plain = (a, b) if a.kind == "i" else (b, a)
    if signed.itemsize > plain.itemsize:
        return signed
    return _known[f"int{16 * plain.itemsize}" if plain.itemsize < 8 else "float64"]


def promote_types(type1, type2):
    """The smallest dtype that both cast to safely."""
    return _promote(dtype(type1), dtype(type2))


def meet(dtypes, weak):
    """The dtype of dtypes and of Python numbers' types, which only count by kind."""
    order = max((WEAK.index(w) for w in weak), default=-1)
    if not dtypes:
        return _WEAK_ALONE[order]
    d = dtypes[0]
    for other in dtypes[1:]:
        d = _promote(d, other)
    if order <= d.order:
        return d
    return _promote(_known["complex64"], d) if order == 3 and d.order == 2 else _WEAK_ALONE[order]


def real_of(d):
    """In which dtype functions of real numbers take d."""
    return d if d.order >= 2 else _known[f"float{8 * _real_size(d)}"]


def _named(x):
    """A dtype by any spelling, or the one that an array has."""
    of = x if isinstance(x, dtype) else getattr(x, "dtype", None)
    return of if isinstance(of, dtype) else dtype(x)


_SAFE = {"b": "buifc", "u": "uifc", "i": "ifc", "f": "fc", "c": "c"}


def can_cast(from_, to, casting="safe"):
    """Whether a cast is allowed: 'safe' keeps every value, 'same_kind' may lose precision."""
    from_, to = _named(from_), dtype(to)
    if casting == "unsafe" or from_ is to:
        return True
    if casting == "same_kind":
        return to.kind in _SAFE[from_.kind]
    return casting == "safe" and _promote(from_, to) is to


class finfo:
    """A floating-point dtype's range and precision."""

    def __init__(self, dt):
        from .. import finfo as of
        f = of(_named(dt).kiln)
        self.dtype = _known[f.dtype] if f.dtype in _known else _named(dt)
        self.bits = f.bits
        for name in ("eps", "max", "min", "tiny", "smallest_normal", "resolution"):
            setattr(self, name, self.dtype.type(getattr(f, name)))


class iinfo:
    """An integer dtype's range."""

    def __init__(self, dt):
        from .. import iinfo as of
        f = of(_named(dt).kiln)
        self.dtype, self.bits, self.min, self.max = _named(dt), f.bits, f.min, f.max
