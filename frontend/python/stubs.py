"""stubs.py PACKAGE OUT: write the type stubs of the modules whose names are made when they are
imported, for checkers and editors, which import nothing. PACKAGE is the folder that holds kiln.

From the table kiln._kiln._table() come functions and Tensor's methods, a row an overload with
its sentence; from the imported modules what Python made: functions by their signature, classes
by where they stand, modules and values by what they are.

    "Tensor input, ints dim=None, bool keepdim=False", "Tensor", "The largest."   ->

    def amax(input: Tensor, dim: builtins.int | Sequence[builtins.int] | None = None,
             keepdim: builtins.bool = False, *, out: Tensor | None = None) -> Tensor:
        'The largest.'
"""
import importlib
import inspect
import keyword
import os
import sys

FUNCTION, METHOD, INPLACE, OUT = 1, 2, 4, 8  # as in ext/py.h
MODULES = {"__init__": "kiln", "functional": "kiln.nn.functional", "linalg": "kiln.linalg",
           "fft": "kiln.fft", "special": "kiln.special", "masked": "kiln.masked",
           "activation": "kiln.nn.modules.activation"}
# torch.int, torch.float and torch.bool are dtypes and Tensor.dtype is a property, so that
# Python's types are named in full and ours by an alias
TYPES = {"Tensor": "Tensor", "Tensors": "Sequence[Tensor]", "Operand": "Tensor | _Number",
         "int": "builtins.int", "float": "builtins.float", "Number": "_Number",
         "bool": "builtins.bool", "ints": "builtins.int | Sequence[builtins.int]",
         "Ints": "Sequence[builtins.int]", "sizes": "Sequence[builtins.int | None]",
         "floats": "builtins.float | Sequence[builtins.float]", "dtype": "_Dtype",
         "device": "_Device | builtins.str | builtins.int", "str": "builtins.str", "any": "Any"}
RESULTS = {"Tensor": "Tensor", "Tensors": "tuple[Tensor, ...]", "self": "Tensor",
           "tuple": "tuple[Tensor, ...]", "bool": "builtins.bool", "int": "builtins.int",
           "float": "builtins.float", "str": "builtins.str", "dtype": "_Dtype"}
PROPERTIES = {"shape": "Size", "dtype": "_Dtype", "device": "_Device", "grad": "Tensor | None",
              **dict.fromkeys(("T", "mT", "H", "mH", "real", "imag", "data"), "Tensor"),
              **dict.fromkeys(("ndim", "itemsize", "nbytes"), "builtins.int"),
              **dict.fromkeys(("requires_grad", "is_leaf", "is_cuda", "is_sparse", "retains_grad"),
                              "builtins.bool")}
# what a slot of Tensor gives, where it is no Tensor
SLOTS = {**dict.fromkeys(("__len__", "__int__", "__index__", "__hash__"), "builtins.int"),
         **dict.fromkeys(("__bool__", "__contains__"), "builtins.bool"),
         **dict.fromkeys(("__repr__", "__str__"), "builtins.str"),
         **dict.fromkeys(("__setitem__", "__delitem__", "__init__"), "None"),
         "__float__": "builtins.float", "__complex__": "builtins.complex",
         "__iter__": "Iterator[Tensor]"}
NOT_SHOWN = {"__doc__", "__module__", "__dict__", "__weakref__", "__slots__", "__hash__",
             "__getattribute__", "__setattr__", "__delattr__", "__qualname__"}
HEAD = '''"""Made by frontend/python/stubs.py."""
import builtins
from collections.abc import Iterator, Sequence
from typing import Any, overload

'''
ROOT = '''_Number = builtins.int | builtins.float | builtins.complex | builtins.bool
_Dtype = dtype
_Device = device

'''

# ---- rows ----


def parameter(text, rest):
    """A parameter of the table's as Python's; rest: it may take all positions that follow."""
    kind, name = text.split(" ", 1)
    name, _, default = name.partition("=")
    bare = kind.strip("*?")
    name += "_" * keyword.iskeyword(name)  # uniform_(from, to): by position alone
    if kind.startswith("*") and rest:
        one = "Tensor" if bare == "Tensors" else "builtins.int"
        return f"*{name}: {one} | Sequence[{one}]"
    hint = TYPES[bare]
    if hint != "Any" and (kind.endswith("?") or default == "None"):
        hint += " | None"
    if bare == "str" and default not in ("", "None"):
        default = repr(default)
    return f"{name}: {hint}" + (f" = {default}" if default else "")


def parameters(row, form):
    """Python's parameter list for one form of a row."""
    texts = row[3].split(", ") if row[3] else []
    out, star = [], False
    for i, text in enumerate(texts):
        last = i + 1 == len(texts) or texts[i + 1] == "*"
        if text == "*":
            out += [] if star else ["*"]
            star = True
        elif i == 0 and form != FUNCTION:
            out.append("self")
        else:
            rest = last and text.startswith("*") and "=" not in text
            out.append(parameter(text, rest))
            star = star or rest
    several = row[4].startswith("(")
    if form == FUNCTION and (row[2] & OUT or several):
        hint = "Sequence[Tensor]" if several else "Tensor"
        out += ([] if star else ["*"]) + [f"out: {hint} | None = None"]
    return ", ".join(out)


def result(row, form):
    if form == INPLACE:
        return "Tensor"
    if row[4].startswith("("):
        return f"tuple[{', '.join(['Tensor'] * (row[4].count(',') + 1))}]"
    return RESULTS.get(row[4], "Any")


def of_rows(rows, name, form, indent=""):
    """The overloads of one name in one form."""
    rows = [r for r in rows if r[2] & form]
    text = ""
    for row in rows:
        text += f"{indent}@overload\n" if len(rows) > 1 else ""
        text += (f"{indent}def {name}({parameters(row, form)}) -> {result(row, form)}:\n"
                 f"{indent}    {row[5]!r}\n")
    return text


# ---- what Python made ----


def simple(default):
    """Whether a default's text means the same in a stub."""
    return default is None or isinstance(default, (bool, int, str)) or (
        isinstance(default, float) and abs(default) < float("inf"))


def of_function(fn, name, indent="", gives=None):
    """gives: what it returns; else what its annotation says."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return f"{indent}def {name}(*args: Any, **kwargs: Any) -> {gives or 'Any'}: ...\n"
    empty = inspect.Parameter.empty
    plain = [p.replace(annotation=empty,
                       default=p.default if p.default is empty or simple(p.default) else ...)
             for p in signature.parameters.values()]
    returns = getattr(signature.return_annotation, "__name__", None)
    gives = gives or (returns if returns == "Tensor" else "Any")
    text = str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    body = f"\n{indent}    {fn.__doc__!r}" if inspect.isfunction(fn) and fn.__doc__ else " ..."
    return f"{indent}def {name}{text.replace('Ellipsis', '...')} -> {gives}:{body}\n"


def of_member(cls, key, v):
    if key == "__new__":
        return f"    def __new__(cls, *args: Any, **kwargs: Any) -> {cls}: ...\n"
    if isinstance(v, (classmethod, staticmethod)):
        return f"    @{type(v).__name__}\n" + of_function(v.__func__, key, "    ")
    if key in ("__eq__", "__ne__") and cls == "Tensor":  # element by element
        return f"    def {key}(self, other: Any, /) -> Tensor: ...  # type: ignore[override]\n"
    if inspect.isroutine(v):
        slot = SLOTS.get(key) or ("Tensor" if cls == "Tensor" and key.startswith("__") and
                                  not inspect.isfunction(v) else None)
        return of_function(v, key, "    ", slot)
    return f"    {key}: {PROPERTIES.get(key, 'Any') if cls == 'Tensor' else 'Any'}\n"


def of_class(cls, name, rows):
    """A class with its own members; rows: the table's, for Tensor."""
    bases = [b.__name__ for b in cls.__bases__ if b is not object]
    text = f"class {name}({', '.join(bases)}):\n" if bases else f"class {name}:\n"
    text += f"    {cls.__doc__!r}\n" if cls.__doc__ else ""
    done = set(NOT_SHOWN)
    for method, of in rows.items():
        for form, written in ((METHOD, method), (INPLACE, method + "_")):
            block = of_rows(of, written, form, "    ")
            done |= {written} if block else set()
            text += block
    for key, v in vars(cls).items():
        if key not in done and (not key.startswith("_") or key.endswith("__")):
            text += of_member(name, key, v)
    return text + "    ...\n"


def of_value(name, v, module):
    """A name of a module that no row gave."""
    if inspect.ismodule(v):
        inner = v.__name__ == f"{module.__name__}.{name}"
        return f"from . import {name} as {name}\n" if inner else ""
    if inspect.isclass(v):
        home = v.__module__
        written = type(v) is type and home.startswith("kiln.") and home != "kiln._kiln"
        if written and home != module.__name__:
            return f"from {home} import {v.__name__} as {name}\n"
        return of_class(v, name, {})
    if inspect.isroutine(v):
        return of_function(v, name)
    kind = type(v).__name__
    if type(v).__module__ == "builtins":
        kind = f"builtins.{kind}" if isinstance(v, (bool, int, float, str)) else "Any"
    return f"{name}: {kind if kind.startswith('builtins.') or kind in NAMED else 'Any'}\n"


NAMED = ("dtype", "device", "Generator")


def stub(module, rows, methods):
    """The text of a module's stub."""
    root = module.__name__ == "kiln"
    text = HEAD + (ROOT + of_class(module.Tensor, "Tensor", methods) if root else
                   "from kiln import Tensor, _Device, _Dtype, _Number\n")
    if module.__name__.startswith("kiln.nn.modules"):
        text += "from kiln.nn.modules.module import Module\n"
    for name, v in sorted(vars(module).items()):
        block = "" if inspect.isfunction(v) else of_rows(rows.get(name, ()), name, FUNCTION)
        if block:
            text += block
        elif not name.startswith("_") and name not in ("Tensor", "Module"):
            text += of_value(name, v, module)
    return text


def main(package, out):
    sys.path.insert(0, package)
    os.environ["KILN_CACHE"] = ""
    kiln = importlib.import_module("kiln")
    methods, where = {}, {}
    for row in kiln._kiln._table():
        methods.setdefault(row[0], []).append(row)
        for module in row[1].split():
            where.setdefault(module, {}).setdefault(row[0], []).append(row)
    for file, name in MODULES.items():
        rows = where.get("torch" if name == "kiln" else name[len("kiln."):], {})
        text = stub(importlib.import_module(name), rows, methods)
        with open(os.path.join(out, file + ".pyi"), "w", encoding="utf-8") as f:
            f.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
