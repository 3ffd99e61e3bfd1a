"""Walks over elements that may write them: a.flat, and nditer over several arrays at once."""
from ._array import array_of, asarray, ndarray
from ._dtype import dtype, meet
from ._edit import put
from ._grid import ndindex
from ._helpers import broadcast_shapes, k


class flatiter:
    """An array's elements, row after row: read one after another, indexed, and written.

    >>> import kiln.numpy as np
    >>> a = np.zeros((2, 2))
    >>> a.flat[1:3] = 7
    >>> a, a.flat[2]
    (array([[0., 7.],
           [7., 0.]]), np.float64(7.0))
    """

    def __init__(self, a):
        self.base, self.index = a, 0

    def __len__(self):
        return self.base.size

    def __iter__(self):
        return self

    def __next__(self):
        if self.index >= self.base.size:
            raise StopIteration
        self.index += 1
        return self.base.ravel()[self.index - 1]

    def __getitem__(self, key):
        return self.base.ravel()[key].copy()

    def __setitem__(self, key, value):
        put(self.base, asarray(k.arange(self.base.size))[key], value)

    def __array__(self, dtype=None, copy=None):
        return self.copy().__array__(dtype)

    def copy(self):
        """The elements as an array of one dimension."""
        return self.base.flatten()

    @property
    def coords(self):
        """The index of the element that comes next."""
        return tuple(int(i) for i in k.unravel_index(k.tensor(self.index), self.base.shape))


ndarray.flat = property(flatiter, lambda a, v: flatiter(a).__setitem__(slice(None), v),
                        doc="The elements, row after row, to be read, indexed and written.")
_FLAGS = {"multi_index", "c_index", "f_index", "refs_ok", "zerosize_ok", "copy_if_overlap",
          "common_dtype", "buffered", "grow_inner"}


class nditer:
    """The elements of arrays that are broadcast together, each a view without dimensions; None
    among the arrays is a new one.

    >>> import kiln.numpy as np
    >>> it = np.nditer([np.arange(3), np.arange(2)[:, None], None])
    >>> for x, y, z in it:
    ...     z[...] = x * y
    >>> it.operands[2]
    array([[0, 0, 0],
           [0, 1, 2]])
    """

    def __init__(self, op, flags=(), op_flags=None, op_dtypes=None, order="K", casting="safe"):
        unknown = set(flags) - _FLAGS
        if unknown or op_dtypes is not None:
            raise NotImplementedError("kiln.numpy.nditer with "
                                      f"{sorted(unknown) or 'op_dtypes'} is not implemented yet")
        ops = op if isinstance(op, (list, tuple)) else [op]
        given = [None if o is None else asarray(o) for o in ops]
        known = [a for a in given if a is not None]
        self.shape = broadcast_shapes(*(a.shape for a in known))
        self.ndim, self.itersize, self.nop = len(self.shape), 1, len(ops)
        for n in self.shape:
            self.itersize *= n
        if not self.itersize and "zerosize_ok" not in flags:
            raise ValueError("Iteration of zero-sized operands is not enabled")
        kind = dtype(meet([a.dtype for a in known], ())).kiln
        self.operands = tuple(array_of(k.zeros(self.shape, dtype=kind)) if a is None else a
                              for a in given)
        self._views = [array_of(k.broadcast_to(a, self.shape)) for a in self.operands]
        axes = sorted(range(self.ndim), key=lambda d: -abs(self._views[0].strides[d])) \
            if order in "KA" else range(self.ndim)[::-1 if order == "F" else 1]
        self._axes = list(axes)
        self.reset()

    def reset(self):
        """To the first element again."""
        self._rest = ndindex(tuple(self.shape[d] for d in self._axes))
        self._started, self.iterindex, self.finished = False, -1, False
        self.iternext()

    def iternext(self):
        """To the next element: whether there was one."""
        at = next(self._rest, None)
        self.finished = at is None
        if not self.finished:
            self.iterindex += 1
            self.multi_index = tuple(at[self._axes.index(d)] for d in range(self.ndim))
        return not self.finished

    @property
    def index(self):
        """The element's place, row after row."""
        place = 0
        for i, n in zip(self.multi_index, self.shape):
            place = place * n + i
        return place

    def __getitem__(self, i):
        return self._views[i][self.multi_index + (Ellipsis,)]

    def __setitem__(self, i, value):
        self[i][...] = value

    @property
    def value(self):
        """The elements now."""
        return self[0] if self.nop == 1 else tuple(self[i] for i in range(self.nop))

    def __len__(self):
        return self.nop

    def __iter__(self):
        return self

    def __next__(self):
        if self._started:
            self.iternext()
        self._started = True
        if self.finished:
            raise StopIteration
        return self.value

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None
