"""The functions of the table that stand in the package itself, and the named tuples that
functions of several results give."""
import collections

from . import _kiln

globals().update(_kiln._functions["torch"])
__all__ = list(_kiln._functions["torch"])


def _named_tuples():
    types = {}
    for name, where, _, _, result, _ in _kiln._table():
        name = "linalg_" + name if where.startswith("linalg") else name
        if result.startswith("("):
            fields = [f.strip() for f in result.strip("()").split(",")]
            types[name] = _result_type(name, fields)
    return types


def _result_type(name, fields):
    base = collections.namedtuple(name, fields)

    def new(cls, values):
        return tuple.__new__(cls, values)

    def show(self):
        return f"torch.return_types.{name}(\n" + ",\n".join(
            f"{f}={v!r}" for f, v in zip(fields, self)) + ")"

    return type(name, (base,), {"__new__": new, "__repr__": show, "__slots__": (),
                                "__module__": "torch.return_types"})


return_types = _named_tuples()
