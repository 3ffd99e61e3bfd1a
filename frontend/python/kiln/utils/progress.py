"""A line that says how far long work is: on a terminal, from the second second on.

    for x, y in progress(loader, "epoch 1"):
        ...

    epoch 1  37/120  31%  00:03, 00:07 to go"""
import sys
import time

_AFTER, _EVERY = 1.0, 0.1  # seconds: short work shows nothing, and a line is not drawn more often


def progress(iterable, label="", total=None, file=None):
    """iterable's items; meanwhile a line on file (stderr) where that is a terminal.

    >>> from kiln.utils.progress import progress
    >>> sum(progress([1, 2, 3]))
    6
    """
    file = sys.stderr if file is None else file
    if file is None or not getattr(file, "isatty", lambda: False)():
        return iter(iterable)
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    return _shown(iterable, label, total, file)


def _shown(iterable, label, total, file):
    begin = time.monotonic()
    drawn, width = begin + _AFTER - _EVERY, 0
    try:
        for count, item in enumerate(iterable):
            now = time.monotonic()
            if now - drawn >= _EVERY:
                text = _line(label, count, total, now - begin)
                file.write("\r" + text.ljust(width))
                file.flush()
                drawn, width = now, len(text)
            yield item
    finally:
        if width:
            file.write("\r" + " " * width + "\r")  # what is printed next begins a line
            file.flush()


def _line(label, count, total, seconds):
    parts = [label] if label else []
    if total:
        parts += [f"{count}/{total}", f"{100 * count // total}%"]
    else:
        parts += [str(count)]
    left = f", {_clock(seconds / count * (total - count))} to go" if total and count else ""
    return "  ".join(parts + [_clock(seconds) + left])


def _clock(seconds):
    m, s = divmod(int(seconds), 60)
    return f"{m // 60}:{m % 60:02d}:{s:02d}" if m >= 60 else f"{m:02d}:{s:02d}"
