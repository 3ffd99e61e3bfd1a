"""Functions from the rows of the table."""
from . import (_count, _edit, _elementwise, _grid, _helpers, _matrix, _polynomial, _quantile,
               _sets, _ufunc)
from ._array import _functions
from ._table import ALIASES, ARRAYS, FUNCTIONS, UFUNCS

_SCOPE = {}  # the names that a row's expression may use
for _module in (_count, _edit, _elementwise, _grid, _matrix, _polynomial, _quantile, _sets, _helpers):
    _SCOPE.update(vars(_module))


def _function(name, signature, expression, module):
    parts = signature.split(",")
    names = [p.split("=")[0].strip() for p in parts]
    lines = [f"def {name}({signature}):"]
    lines += [f"    {n} = asarray({n})" for n, p in zip(names, parts)
              if n in ARRAYS and not p.endswith("=None")]
    lines += [f"    return finish({expression}{', out' if 'out' in names else ''})"]
    scope = {}
    exec("\n".join(lines), _SCOPE, scope)
    fn = scope[name]
    fn.__module__ = "kiln.numpy" + (f".{module}" if module else "")
    return fn


def functions(module):
    """The functions of a module of NumPy's by name."""
    made = {n: _function(n, s, e, m) for m, n, s, e in FUNCTIONS if m == module}
    if module == "":
        for name, count, rule, fn in UFUNCS:
            made[name] = _ufunc.make(name, count, rule, fn)
        made["divmod"] = lambda x1, x2: (made["floor_divide"](x1, x2), made["remainder"](x1, x2))
        made.update({alias: made[name] for alias, name in ALIASES.items()})
        _functions.update(made)
    return made
