"""Arrays in files: text in rows, NumPy's .npy and .npz, raw bytes."""
import contextlib
import io
import os

from .. import _kiln
from ._array import array_of, asarray
from ._dtype import dtype as find
from ._helpers import k


@contextlib.contextmanager
def _opened(file, mode):
    if hasattr(file, "read" if mode[0] == "r" else "write"):
        yield file
    else:
        with open(file, mode) as f:
            yield f


def _lines(fname, encoding):
    if isinstance(fname, (str, os.PathLike)):
        with open(fname, encoding=encoding) as f:
            return f.read().splitlines()
    return [v.decode(encoding or "latin1") if isinstance(v, bytes) else v.rstrip("\n") for v in fname]


def _cells(lines, comments, delimiter, missing=False):
    """Each line's cells, without comments and empty lines; the line's number with them."""
    marks = [comments] if isinstance(comments, str) else list(comments or ())
    for number, line in enumerate(lines, 1):
        for mark in marks:
            line = line.partition(mark)[0]
        if line.strip():
            yield number, [c.strip() for c in line.strip("\r\n").split(delimiter)]


def _number(text, d, row, column):
    try:
        if d.kind == "c":
            return complex(text.strip("()").replace("i", "j"))
        return float(text) if d.order == 2 else int(text) if d.order == 1 else bool(int(text))
    except ValueError:
        raise ValueError(f"could not convert string '{text}' to {d.name} at row {row}, column "
                         f"{column + 1}.") from None


def loadtxt(fname, dtype=float, comments="#", delimiter=None, converters=None, skiprows=0,
            usecols=None, unpack=False, ndmin=0, encoding=None, max_rows=None, *, quotechar=None,
            like=None):
    """Numbers of a text file, a row a line."""
    d = find(dtype)
    rows = list(_cells(_lines(fname, encoding)[skiprows:], comments, delimiter))
    rows = [cells for _, cells in rows[:max_rows]]
    width = len(rows[0]) if rows else 0
    for i, cells in enumerate(rows):
        if len(cells) != width and usecols is None:
            raise ValueError(f"the number of columns changed from {width} to {len(cells)} at row "
                             f"{i + 1}; use `usecols` to select a subset and avoid this error")
    columns = [usecols] if isinstance(usecols, int) else list(range(width) if usecols is None else usecols)
    table = [[_converted(cells, c, converters, d, i) for c in columns] for i, cells in enumerate(rows)]
    t = asarray(table, d) if table else array_of(k.zeros((0, 0), dtype=d.kiln))
    return _shaped(t if table else asarray(k.reshape(t, (0,))), unpack, ndmin)


def _converted(cells, column, converters, d, row):
    try:
        text = cells[column]
    except IndexError:
        raise ValueError(f"invalid column index {column} at row {row + 1} with {len(cells)} "
                         "columns") from None
    fn = converters.get(column) if isinstance(converters, dict) else converters
    return fn(text) if fn else _number(text, d, row, column)


def _shaped(t, unpack, ndmin):
    if ndmin not in (0, 1, 2):
        raise ValueError(f"Illegal value of ndmin keyword: {ndmin}")
    if t.ndim == 2 and ndmin < 2:
        t = asarray(k.reshape(t, [n for n in t.shape if n != 1]))
    if ndmin == 1 and t.ndim == 0:
        t = asarray(k.reshape(t, -1))
    if not unpack:
        return t
    return t.T


def genfromtxt(fname, dtype=float, comments="#", delimiter=None, skip_header=0, skip_footer=0,
               filling_values=None, usecols=None, unpack=False, encoding=None, max_rows=None,
               ndmin=0):
    """The same where cells may be missing or no numbers: those become nan, or -1."""
    d = find(dtype)
    lines = _lines(fname, encoding)[skip_header:]
    rows = [cells for _, cells in _cells(lines, comments, delimiter)]
    rows = rows[:len(rows) - skip_footer][:max_rows]
    other = filling_values if filling_values is not None else float("nan") if d.order >= 2 else -1
    width = len(rows[0]) if rows else 0
    bad = [(i + 1 + skip_header, len(r)) for i, r in enumerate(rows) if len(r) != width]
    if bad:
        raise ValueError("Some errors were detected !\n" + "\n".join(
            f"    Line #{i} (got {n} columns instead of {width})" for i, n in bad))
    columns = [usecols] if isinstance(usecols, int) else list(range(width) if usecols is None else usecols)

    def value(text):
        try:
            return _number(text, d, 0, 0)
        except ValueError:
            return other
    table = [[value(cells[c]) for c in columns] for cells in rows]
    return _shaped(asarray(table, d) if table else array_of(k.zeros(0, dtype=d.kiln)), unpack, ndmin)


def savetxt(fname, X, fmt="%.18e", delimiter=" ", newline="\n", header="", footer="", comments="# ",
            encoding=None):
    """Numbers as text, a row a line."""
    t = asarray(X)
    if t.ndim == 0 or t.ndim > 2:
        raise ValueError(f"Expected 1D or 2D array, got {t.ndim}D array instead")
    rows = t.tolist() if t.ndim == 2 else [[v] for v in t.tolist()]
    width = t.shape[1] if t.ndim == 2 else 1
    if isinstance(fmt, (list, tuple)):
        if len(fmt) != width:
            raise AttributeError(f"fmt has wrong shape.  {fmt!s}")
        line = delimiter.join(fmt)
    else:
        count = fmt.count("%")
        if count not in (1, width):
            raise ValueError(f"fmt has wrong number of % formats:  {fmt}")
        line = fmt if count == width and count > 1 else delimiter.join([fmt] * width)
    if t.dtype.kind == "c":
        raise NotImplementedError("savetxt(): complex numbers are not implemented")
    out = io.StringIO()
    for text in (header, None, footer):
        if text is None:
            for row in rows:
                out.write(line % tuple(row) + newline)
        elif text:
            out.write(comments + text.replace("\n", "\n" + comments) + newline)
    _write_text(fname, out.getvalue(), encoding)


def _write_text(fname, text, encoding):
    with _opened(fname, "wb") as f:
        try:
            f.write(text.encode(encoding or "latin1"))
        except TypeError:  # a file of text
            f.write(text)


def save(file, arr, allow_pickle=True):
    """To a .npy file."""
    import numpy
    numpy.save(file, asarray(arr).numpy())


def savez(file, *args, **kwds):
    """Several arrays to a .npz file, by their names or as arr_0, arr_1."""
    _savez("savez", file, args, kwds)


def savez_compressed(file, *args, **kwds):
    """The same, packed."""
    _savez("savez_compressed", file, args, kwds)


def _savez(name, file, args, kwds):
    import numpy
    getattr(numpy, name)(file, *(asarray(a).numpy() for a in args),
                         **{n: asarray(a).numpy() for n, a in kwds.items()})


def load(file):
    """A .npy file's array, or a dict of a .npz file's."""
    from .. import load as read
    r = read(file)
    return {n: array_of(t) for n, t in r.items()} if isinstance(r, dict) else array_of(r)


def frombuffer(buffer, dtype=float, count=-1, offset=0):
    """A 1-d array over a buffer's bytes."""
    d = find(dtype)
    view = memoryview(buffer).cast("B")
    if not 0 <= offset <= len(view):
        raise ValueError("offset must be non-negative and no greater than buffer length "
                         f"({len(view)})")
    rest = len(view) - offset
    if count < 0 and rest % d.itemsize:
        raise ValueError("buffer size must be a multiple of element size")
    if count * d.itemsize > rest:
        raise ValueError("buffer is smaller than requested size")
    n = rest // d.itemsize if count < 0 else count
    if not n:
        return array_of(k.zeros(0, dtype=d.kiln))
    return array_of(_kiln._over_bytes(view[offset:offset + n * d.itemsize], d.kiln))


def fromfile(file, dtype=float, count=-1, sep="", offset=0):
    """A file's bytes as elements, or with sep the numbers of its text."""
    if sep:
        with _opened(file, "r") as f:
            return fromstring(f.read(), dtype, count, sep=sep)
    d = find(dtype)
    with _opened(file, "rb") as f:
        f.seek(offset, os.SEEK_CUR)
        data = f.read(-1 if count < 0 else count * d.itemsize)
    data = data[:len(data) // d.itemsize * d.itemsize]
    return frombuffer(bytearray(data), d) if data else array_of(k.zeros(0, dtype=d.kiln))


def fromstring(string, dtype=float, count=-1, *, sep):
    """The numbers of a text, parted by sep."""
    if not sep:
        raise ValueError("The binary mode of fromstring is removed, use frombuffer instead")
    d = find(dtype)
    cells = string.split() if sep.isspace() else [c for c in string.split(sep) if c.strip()]
    values = [_number(c.strip(), d, 0, i) for i, c in enumerate(cells[:count if count >= 0 else None])]
    if len(values) < count:
        raise ValueError("string is smaller than requested size")
    return asarray(values, d) if values else array_of(k.zeros(0, dtype=d.kiln))
