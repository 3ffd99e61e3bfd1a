"""Symbolic sizes of PyTorch's graphs as dimensions of kiln's programs.

    s0, (s0 - 1)//2 + 1   ->   ("s0", 2, 4096, 1, 32), ("s0_1", 0, 0, 0, 0, "floor((s0+-1)/2)+1")

A dimension is (name, least, most, divisor, a size that works), one that follows from others
(name, 0, 0, 0, 0, formula)."""
import contextlib
import functools
import math

import sympy
import torch

MOST = 2 ** 31 - 1
HINTS = 48
KILN = "floor({}/({}))", "mod({},{})"
PYTHON = "(({})//({}))", "(({})%({}))"


def formula(expr, names, spelling=KILN):
    """The text of an extent, as kiln's graphs have it, or as Python."""
    kind, (floor, mod) = type(expr).__name__, spelling
    over = math.prod(int(a.q) for a in expr.args if a.is_Rational) if expr.is_Mul else 1
    if over > 1:
        return floor.format(formula(expr * over, names, spelling), over)
    args = [formula(a, names, spelling) for a in expr.args]
    if expr in names:
        return names[expr]
    if expr.is_Integer:
        return str(int(expr))
    if expr.is_Add:
        return "(" + "+".join(args) + ")"
    if expr.is_Mul:
        return "*".join(args)
    if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        return "*".join([args[0]] * int(expr.exp))
    if kind in ("FloorDiv", "CleanDiv", "IntTrueDiv"):
        return floor.format(*args)
    if kind == "CeilDiv":
        return floor.format(f"({args[0]}+{args[1]}+-1)", args[1])
    if kind in ("Mod", "PythonMod"):
        return mod.format(*args)
    if kind in ("Max", "Min"):
        text = args[0]
        for a in args[1:]:
            text = f"{kind.lower()}({text},{a})"
        return text
    raise NotImplementedError(f"an input's extent {expr}")


@functools.lru_cache(maxsize=4096)
def function_of(expr):
    """An extent's symbols, and a function of what they are; None: its text has no such form. SymPy
    itself would take a thousand times as long."""
    symbols = tuple(expr.free_symbols)
    names = {s: f"s{i}" for i, s in enumerate(symbols)}
    try:
        return symbols, eval(f"lambda {','.join(names.values())}: {formula(expr, names, PYTHON)}")
    except NotImplementedError:
        return symbols, None


class Sizes:
    """symbols: symbol -> its value now, or None; derived: formula -> number of its dimension;
    equal: divisors are such that what PyTorch found equal now is equal at all sizes."""

    def __init__(self, symbols, env, equal=False):
        self.numbers = {s: i for i, s in enumerate(symbols)}
        self.values, self.env = symbols, env
        self.divisors = {s: self.divisor(s) for s in symbols}
        if equal:
            self.keep_equal()
        self.names = {s: str(s) for s in symbols}
        self.derived = {}

    def number(self, expr):
        """Of the dimension that an extent is."""
        if expr in self.numbers:
            return self.numbers[expr]
        return self.derived.setdefault(formula(expr, self.names),
                                       len(self.numbers) + len(self.derived))

    def derive(self, sizes):
        """These too are dimensions, so that nobody need guess their formulas."""
        for expr in dict.fromkeys(s.node.expr for s in sizes):
            if len(self.derived) < HINTS and expr.free_symbols <= self.numbers.keys():
                with contextlib.suppress(NotImplementedError):
                    self.number(expr)

    def divisor(self, symbol):
        by = 1
        for m in self.env.divisible:
            if type(m).__name__ in ("Mod", "PythonMod") and m.args[0] == symbol and \
                    m.args[1].is_Integer:
                by = math.lcm(by, int(m.args[1]))
        return by

    def holds(self, guard):
        """At many multiples of the divisors."""
        symbols = sorted(guard.free_symbols, key=str)
        return all(guard.subs({s: self.divisors[s] * (7 + k + k * k * i)
                               for i, s in enumerate(symbols)}) == True  # noqa: E712  sympy's
                   for k in range(16))

    def keep_equal(self):
        """eq(floor((s0+1)/2), floor(s0/2)), of x[::2] + x[1::2]   ->   s0's divisor is 2"""
        for g in (g.expr for g in self.env.guards):
            if not (isinstance(g, sympy.Eq) and g.free_symbols and g.atoms(sympy.Function) and
                    all(self.values.get(s) for s in g.free_symbols)) or self.holds(g):
                continue
            for s in sorted(g.free_symbols, key=str):
                before = self.divisors[s]
                for by in (before * k for k in range(2, 65)):
                    self.divisors[s] = by
                    if self.values[s] % by == 0 and self.holds(g):
                        break
                else:
                    self.divisors[s] = before
                    continue
                break

    def dimensions(self, least=2):
        for s in self.numbers:
            r = self.env.var_to_range.get(s)
            low = int(r.lower) if r.lower.is_Integer else least
            most = int(r.upper) if r.upper.is_Integer and r.upper < MOST else MOST
            yield (self.names[s], max(low, least), most, self.divisors[s],
                   self.values.get(s) or 0)
        for i, text in enumerate(self.derived):
            yield (f"size{i}", 0, 0, 0, 0, text)


def env_of(nodes):
    """Where the graph's symbols are known; None: it has none."""
    for n in nodes:
        val = n.meta.get("val")
        for s in getattr(val, "shape", ()) if isinstance(val, torch.Tensor) else (val,):
            if isinstance(s, torch.SymInt):
                return s.node.shape_env
    return None
