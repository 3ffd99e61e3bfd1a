"""profile: what ran, how long, with how many bytes and operations.

    with kiln.profiler.profile() as p:
        step()
    print(p.table())
    p.export_chrome_trace("trace.json")"""
import enum
import os

from . import _kiln


class ProfilerActivity:
    CPU, CUDA = "CPU", "CUDA"


class _Averages(list):
    def table(self, sort_by=None, row_limit=100, **kwargs):
        """A line a kernel: calls, time, bytes a second, operations a second."""
        keys = {"name": lambda r: r["name"], "calls": lambda r: -r["calls"]}
        rows = sorted(self, key=keys.get(sort_by, lambda r: -r["us"]))[:row_limit]
        width = max([len(r["name"]) for r in rows] + [6])
        head = f"{'kernel':{width}}  {'calls':>6}  {'total':>10}  {'mean':>10}  {'GB/s':>7}  " \
               f"{'GFLOP/s':>8}"
        lines = [head, "-" * len(head)]
        for r in rows:
            speed = 1e-3 / r["us"] if r["us"] else 0
            lines.append(f"{r['name']:{width}}  {r['calls']:6}  {r['us']:8.1f}us  "
                         f"{r['us'] / r['calls']:8.2f}us  {r['bytes'] * speed:7.1f}  "
                         f"{r['flops'] * speed:8.1f}")
        return "\n".join(lines)


class profile:
    """Notes, inside a with statement, every kernel, compile and copy."""

    def __init__(self, activities=None, *, schedule=None, on_trace_ready=None,
                 record_shapes=False, profile_memory=False, with_stack=False, with_flops=False,
                 **kwargs):
        self.events, self.step_num = [], 0
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self._noting = False

    def _action(self):
        return self.schedule(self.step_num) if self.schedule else ProfilerAction.RECORD

    def _begin(self):
        import tempfile

        if self._action() not in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            return
        self._forget()
        handle, self._path = tempfile.mkstemp(suffix=".json")
        os.close(handle)
        _kiln._profile_begin(self._path)
        self._noting = True

    def _end(self):
        import json

        if not self._noting:
            return
        self._noting = False
        _kiln._profile_end()
        with open(self._path) as f:
            self.events = json.load(f)["traceEvents"]
        if self.on_trace_ready:
            self.on_trace_ready(self)

    def __enter__(self):
        self._begin()
        return self

    def __exit__(self, *exc):
        self._end()
        return False

    start = __enter__

    def stop(self):
        self.__exit__()

    def step(self):
        """One step ends: the schedule, where there is one, says what the next one is."""
        if self._action() is ProfilerAction.RECORD_AND_SAVE:
            self._end()
        self.step_num += 1
        if self.schedule and not self._noting:
            self._begin()

    def key_averages(self, **kwargs):
        """Sums by kernel."""
        rows = {}
        for e in self.events:
            if e.get("ph") != "X":
                continue
            what = e["name"] if e["cat"] == "kernel" else f"{e['cat']}: {e['name']}"
            r = rows.setdefault(what, {"name": what, "calls": 0, "us": 0.0, "bytes": 0,
                                       "flops": 0})
            args = e.get("args", {})
            r["calls"] += 1
            r["us"] += e["dur"]
            r["bytes"] += args.get("GB/s", 0) * e["dur"] * 1e3
            r["flops"] += args.get("GFLOP/s", 0) * e["dur"] * 1e3
        return _Averages(rows.values())

    def table(self, **options):
        return self.key_averages().table(**options)

    def export_chrome_trace(self, path):
        """For chrome://tracing or ui.perfetto.dev."""
        import shutil

        shutil.copyfile(self._path, path)

    def _forget(self):
        if os.path.exists(getattr(self, "_path", "")):
            os.unlink(self._path)

    __del__ = _forget


class ProfilerAction(enum.Enum):
    """What a profile does in a step."""

    NONE, WARMUP, RECORD, RECORD_AND_SAVE = range(4)


def schedule(*, wait, warmup, active, repeat=0, skip_first=0, skip_first_wait=0):
    """Which steps are noted: after skip_first, wait none, warmup none, active noted; then again,
    repeat times in all or for ever.

    >>> s = torch.profiler.schedule(wait=1, warmup=0, active=2, repeat=1)
    >>> [s(i).name for i in range(4)]
    ['NONE', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise AssertionError("Invalid profiler schedule arguments")

    def action(step):
        step -= skip_first
        if step < 0:
            return ProfilerAction.NONE
        step += wait if skip_first_wait else 0
        cycle, at = divmod(step, wait + warmup + active)
        if at < wait or 0 < repeat <= cycle:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        last = at == wait + warmup + active - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD

    return action


def tensorboard_trace_handler(dir_name, worker_name=None, use_gzip=False):
    """An on_trace_ready that writes each trace into that folder."""
    def write(prof):
        import gzip
        import shutil
        import socket
        import time

        os.makedirs(dir_name, exist_ok=True)
        who = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        path = os.path.join(dir_name, f"{who}.{time.time_ns()}.pt.trace.json")
        prof.export_chrome_trace(path)
        if use_gzip:
            with open(path, "rb") as plain, gzip.open(path + ".gz", "wb") as packed:
                shutil.copyfileobj(plain, packed)
            os.unlink(path)

    return write


class record_function:
    """A name for what runs inside; kernels have names and places of their own."""

    def __init__(self, name, args=None):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return False
