"""What ran natively, and what PyTorch's own kernels did instead, with the reason."""
import collections
import warnings

from .. import _kiln

_native = collections.Counter()     # overload -> nodes compiled
_fallback = collections.Counter()   # (overload, reason) -> runs
_separate = collections.Counter()   # reason -> graphs
_programs = collections.deque(maxlen=32)  # (name, program), the newest


class Report:
    """native: overload -> nodes compiled into programs; fallbacks: (overload, reason) -> how often
    PyTorch's kernel ran; separate: reason -> graphs of varying sizes that have a program for each
    size; calls: of native programs."""

    def __init__(self):
        self.native, self.fallbacks = dict(_native), dict(_fallback)
        self.separate = dict(_separate)
        self.calls = _kiln._caller_calls()

    def __str__(self):
        lines = [f"{sum(self.native.values())} operations of {len(self.native)} overloads in "
                 f"native programs, called {self.calls} times"]
        lines += [f"fallback {op} {n} times: {why}"
                  for (op, why), n in sorted(self.fallbacks.items(), key=lambda r: -r[1])]
        lines += [f"a program for each size, {n} graph{'s' * (n > 1)}: {why}"
                  for why, n in self.separate.items()]
        return "\n".join(lines)

    __repr__ = __str__


def report(html=None, *, title="torch.compile", arch="sm_80"):
    """What torch.compile(backend="kiln") did so far in this process.

    html: a file; it gets a page of its own that shows the newest 32 programs: their graph, each
    kernel from algorithm to machine code and, for the GPU of that arch, CUDA C and PTX, with its
    work, its bound and, where sizes are fixed, its time measured on zeros."""
    if html is not None:
        page = _kiln._report(str(title), tuple(_programs), arch)
        with open(html, "w", encoding="utf-8") as f:
            f.write(page)
    return Report()


def reset():
    """Count from here on."""
    _native.clear()
    _fallback.clear()
    _separate.clear()
    _programs.clear()


def native(ops):
    _native.update(ops)


def compiled(name, program):
    _programs.append((f"{name} {len(_programs)}", program))


def ran(op, why):
    _fallback[op, why] += 1


def separate(why):
    """A graph of varying sizes is compiled for each of them; said once a reason."""
    if why not in _separate:
        warnings.warn(f"kiln: a program for each size: {why}", stacklevel=2)
    _separate[why] += 1
