"""Functions from the rows of the table."""
from . import _helpers
from ._array import _functions, cast, dtype, ndarray, operand
from ._dtype import WEAK, meet, real_of
from ._helpers import finish, k
from ._table import ALIASES, ARRAYS, FUNCTIONS, UFUNCS

from .. import _kiln

_UNFIT = ("ufunc '{}' not supported for the input types, and the inputs could not be safely "
          "coerced to any supported types according to the casting rule ''safe''")


def _work_dtype(rule, d, name):
    """In which dtype a function computes when its operands meet in d."""
    if rule in ("real", "realtruth"):
        return real_of(d)
    if rule == "divide":
        return d if d.order >= 2 else dtype("float64")
    if rule == "double":
        return meet([d, dtype("float64")], ())
    if rule == "logical":
        return dtype("bool")
    if rule == "bits" and d.order > 1 or d.order == 0 and name in ("subtract", "negative"):
        raise TypeError(_UNFIT.format(name))
    return d


def _check_number(v, d):
    if type(v) is int and d.order == 1:
        bits = 8 * d.itemsize
        low, high = (-2 ** (bits - 1), 2 ** (bits - 1) - 1) if d.kind == "i" else (0, 2 ** bits - 1)
        if not low <= v <= high:
            raise OverflowError(f"Python integer {v} out of bounds for {d.name}")


def _broadcast(name, arrays):
    """Shapes that fit, or NumPy's words."""
    shapes = [a.shape for a in arrays]
    for pair in zip(*(reversed(s) for s in shapes)):
        if len(set(pair) - {1}) > 1:
            text = " ".join(str(s).replace(" ", "") for s in shapes)
            raise ValueError(f"operands could not be broadcast together with shapes {text} ")


def _ufunc(name, count, rule, fn):
    def call(*args, out=None, dtype=None):
        if len(args) == count + 1:
            *args, out = args
        if len(args) != count:
            raise TypeError(f"{name}() takes {count} positional arguments but {len(args)} were given")
        xs = [operand(x) for x in args]
        arrays = [x for x in xs if isinstance(x, ndarray)]
        d = meet([x.dtype for x in arrays], [type(x) for x in xs if type(x) in WEAK])
        d = _work_dtype(rule, d if dtype is None else _dtype(dtype), name)
        if len(arrays) > 1:
            _broadcast(name, arrays)
        if rule == "logical":
            xs = [x if isinstance(x, ndarray) else bool(x) for x in xs]
        for x in xs:
            _check_number(x, d)
        ts = [cast(x, d) if isinstance(x, ndarray) else x for x in xs]
        if not arrays:
            ts[0] = _kiln._tensor(ts[0], d.kiln)
        if name == "power" and d.order == 1 and type(ts[1]) is int and ts[1] < 0:
            raise ValueError("Integers to negative integer powers are not allowed.")
        r = ts[0] if d.order == 0 and name == "absolute" else fn(*ts)
        return finish(cast(r, d) if rule in ("same", "bits") else r, out)

    call.__name__ = call.__qualname__ = name
    call.nin = count
    return call


_dtype = dtype


def _function(name, signature, expression, module):
    parts = signature.split(",")
    names = [p.split("=")[0].strip() for p in parts]
    lines = [f"def {name}({signature}):"]
    lines += [f"    {n} = asarray({n})" for n, p in zip(names, parts)
              if n in ARRAYS and not p.endswith("=None")]
    lines += [f"    return finish({expression}{', out' if 'out' in names else ''})"]
    scope = {}
    exec("\n".join(lines), vars(_helpers), scope)
    fn = scope[name]
    fn.__module__ = "kiln.numpy" + (f".{module}" if module else "")
    return fn


def functions(module):
    """The functions of a module of NumPy's by name."""
    made = {n: _function(n, s, e, m) for m, n, s, e in FUNCTIONS if m == module}
    if module == "":
        for name, count, rule, fn in UFUNCS:
            made[name] = _ufunc(name, int(count), rule, getattr(k, fn))
        made["divmod"] = lambda x1, x2: (made["floor_divide"](x1, x2), made["remainder"](x1, x2))
        made.update({alias: made[name] for alias, name in ALIASES.items()})
        _functions.update(made)
    return made
