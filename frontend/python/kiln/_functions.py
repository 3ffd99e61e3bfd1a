"""The functions of the table that stand in the package itself, and the named tuples that
functions of several results give."""
import collections

from . import _kiln

globals().update(_kiln._functions["torch"])
_IN_PLACE = (
    "abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ "
    "atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ "
    "dropout_ erf_ erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_ frac_ gcd_ i0_ index_put_ lcm_ "
    "ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ "
    "relu_ round_ rsqrt_ selu_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ "
    "zero_")
globals().update({name: getattr(_kiln.Tensor, name) for name in _IN_PLACE.split()})
__all__ = [*_kiln._functions["torch"], *_IN_PLACE.split()]


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
