"""How long statements take: Timer, whose measurements print as PyTorch's."""
import ast
import statistics
import timeit

from ... import get_num_threads, set_num_threads
from ..._kiln import Tensor

_UNITS = ((1e-9, "ns"), (1e-6, "us"), (1e-3, "ms"), (1.0, "s"))


def _computed(value):
    """value, whose tensors have been computed."""
    if isinstance(value, Tensor):
        value.realize()
    elif isinstance(value, (list, tuple)):
        for v in value:
            _computed(v)
    return value


def _statement(text):
    """The text, what its last expression gives being computed within the time that is taken."""
    tree = ast.parse(text)
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        call = ast.Call(ast.Name("_computed", ast.Load()), [tree.body[-1].value], [])
        tree.body[-1] = ast.Expr(call)
    return ast.unparse(ast.fix_missing_locations(tree)) or "pass"


class Measurement:
    """Seconds of several runs, each of number_per_run calls."""

    def __init__(self, number_per_run, raw_times, label=None, num_threads=1):
        self.number_per_run, self.raw_times = number_per_run, raw_times
        self.label, self.num_threads = label, num_threads

    @property
    def times(self):
        """Seconds a call, one a run."""
        return [t / self.number_per_run for t in self.raw_times]

    mean = property(lambda self: statistics.fmean(self.times))
    median = property(lambda self: statistics.median(self.times))

    @property
    def iqr(self):
        """From the first quartile to the third."""
        t = self.times
        quartiles = statistics.quantiles(t, n=4, method="inclusive") if len(t) > 1 else t * 3
        return quartiles[2] - quartiles[0]

    def __repr__(self):
        scale, unit = next((u for u in reversed(_UNITS) if self.median >= u[0]), _UNITS[0])
        runs = len(self.raw_times)
        what = f"  Median: {self.median / scale:.2f} {unit}\n  IQR:    {self.iqr / scale:.2f} {unit}" \
            if runs > 1 else f"  {self.median / scale:.2f} {unit}"
        return (f"<kiln.utils.benchmark.Measurement object at {hex(id(self))}>\n{self.label}\n{what}\n"
                f"  {runs} measurement{'s' if runs > 1 else ''}, {self.number_per_run} runs "
                f"{'per measurement, ' if runs > 1 else ', '}{self.num_threads} "
                f"thread{'s' if self.num_threads > 1 else ''}")


class Timer:
    """Times a statement; what its last line gives is computed each time.

    >>> from kiln.utils.benchmark import Timer
    >>> m = Timer("x * 2", globals={"x": torch.ones(3)}).timeit(10)
    >>> m.number_per_run, m.mean > 0
    (10, True)
    """

    def __init__(self, stmt="pass", setup="pass", global_setup="", timer=timeit.default_timer,
                 globals=None, label=None, sub_label=None, description=None, env=None,
                 num_threads=1, language="python"):
        if str(language).lower() not in ("python", "py"):
            raise NotImplementedError("Timer: statements are Python's")
        self._label = label or ": ".join(s for s in (stmt, sub_label) if s)
        self._threads = num_threads
        names = {**(globals or {}), "_computed": _computed}
        self._timer = timeit.Timer(_statement(stmt), setup, timer, names)

    def _run(self, number):
        was = get_num_threads()
        set_num_threads(self._threads)
        try:
            return self._timer.timeit(number)
        finally:
            set_num_threads(was)

    def _measurement(self, number, times):
        return Measurement(number, times, self._label, self._threads)

    def timeit(self, number=1000000):
        """One run of so many calls, after a short one."""
        self._run(max(number // 100, 2))
        return self._measurement(number, [self._run(number)])

    def repeat(self, repeat=-1, number=-1):
        return [self._run(number) for _ in range(repeat)]

    def blocked_autorange(self, callback=None, min_run_time=0.2):
        """Runs of so many calls that the clock does not matter, for min_run_time seconds."""
        number = 1
        while self._run(number) < min_run_time / 1000 and number < 10 ** 9:
            number *= 10
        times = []
        while not times or sum(times) < min_run_time:
            times.append(self._run(number))
            if callback is not None:
                callback(number, times[-1])
        return self._measurement(number, times)

    adaptive_autorange = blocked_autorange
