"""What ran natively, and what PyTorch's own kernels did instead, with the reason."""
import collections

from .. import _kiln

_native = collections.Counter()     # overload -> nodes compiled
_fallback = collections.Counter()   # (overload, reason) -> runs


class Report:
    """native: overload -> nodes compiled into programs; fallbacks: (overload, reason) -> how often
    PyTorch's kernel ran; calls: of native programs."""

    def __init__(self):
        self.native, self.fallbacks = dict(_native), dict(_fallback)
        self.calls = _kiln._caller_calls()

    def __str__(self):
        lines = [f"{sum(self.native.values())} operations of {len(self.native)} overloads in "
                 f"native programs, called {self.calls} times"]
        lines += [f"fallback {op} {n} times: {why}"
                  for (op, why), n in sorted(self.fallbacks.items(), key=lambda r: -r[1])]
        return "\n".join(lines)

    __repr__ = __str__


def report():
    """What torch.compile(backend="kiln") did so far in this process."""
    return Report()


def reset():
    """Count from here on."""
    _native.clear()
    _fallback.clear()


def native(ops):
    _native.update(ops)


def ran(op, why):
    _fallback[op, why] += 1
