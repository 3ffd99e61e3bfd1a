"""Size: the extents of a tensor."""


class Size(tuple):
    """A tuple of extents that prints as PyTorch's.

    >>> torch.ones(2, 3).shape, torch.ones(2, 3).shape.numel()
    (torch.Size([2, 3]), 6)
    """

    __slots__ = ()

    def __new__(cls, extents=()):
        if hasattr(extents, "dtype"):  # numbers of an array are no list of extents
            raise TypeError("torch.Size() takes an iterable of 'int' (item 0 is "
                            f"'{type(extents).__name__}')")
        self = tuple.__new__(cls, extents)
        for i, n in enumerate(self):
            if not hasattr(type(n), "__index__") or getattr(n, "shape", None):
                raise TypeError(f"torch.Size() takes an iterable of 'int' (item {i} is "
                                f"'{type(n).__name__}')")
        return self

    def __repr__(self):
        return f"torch.Size({list(self)})"

    def __getitem__(self, key):
        r = tuple.__getitem__(self, key)
        return Size(r) if isinstance(key, slice) else r

    def __add__(self, other):
        if not isinstance(other, tuple):
            return NotImplemented
        return Size(tuple.__add__(self, other))

    def __mul__(self, times):
        r = tuple.__mul__(self, times)
        return r if r is NotImplemented else Size(r)

    __rmul__ = __mul__

    def __radd__(self, other):
        return Size(other + tuple(self)) if isinstance(other, tuple) else NotImplemented

    def numel(self):
        n = 1
        for d in self:
            n *= d
        return n

    def __reduce__(self):
        return Size, (tuple(self),)
