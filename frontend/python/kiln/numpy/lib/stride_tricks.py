"""Views of an array's memory by other shapes and strides."""
from .. import broadcast_arrays, broadcast_shapes, broadcast_to  # noqa: F401
from .._array import array_of, asarray, axes_of
from .._helpers import k


def as_strided(x, shape=None, strides=None, subok=False, writeable=True, *, check_bounds=None):
    """A view of x's memory: shape, and strides in bytes.

    >>> import kiln.numpy as np
    >>> np.lib.stride_tricks.as_strided(np.arange(5), (3, 3), (8, 8))
    array([[0, 1, 2],
           [1, 2, 3],
           [2, 3, 4]])
    """
    x = asarray(x)
    steps = x.strides if strides is None else strides
    odd = [s for s in steps if s % x.itemsize]
    if odd:
        raise NotImplementedError("kiln.numpy.lib.stride_tricks.as_strided with strides of parts of "
                                  f"an element is not implemented: {odd}")
    return array_of(k.as_strided(x, list(x.shape if shape is None else shape),
                                 [s // x.itemsize for s in steps]))


def sliding_window_view(x, window_shape, axis=None, *, subok=False, writeable=False):
    """A view with the windows of x as its last axes.

    >>> import kiln.numpy as np
    >>> np.lib.stride_tricks.sliding_window_view(np.arange(5), 3).sum(-1)
    array([3, 6, 9])
    """
    x = asarray(x)
    window = tuple(window_shape) if hasattr(window_shape, "__iter__") else (window_shape,)
    if any(n < 0 for n in window):
        raise ValueError("`window_shape` cannot contain negative values")
    if axis is None and len(window) != x.ndim:
        raise ValueError("Since axis is `None`, must provide window_shape for all dimensions of `x`; "
                         f"got {len(window)} window_shape elements and `x.ndim` is {x.ndim}.")
    axes = axes_of(axis, x.ndim)
    if len(window) != len(axes):
        raise ValueError("Must provide matching length window_shape and axis; got "
                         f"{len(window)} window_shape elements and {len(axes)} axes elements.")
    if any(x.shape[d] < n for d, n in zip(axes, window)):
        raise ValueError("window shape cannot be larger than input array shape")
    for d, n in zip(axes, window):
        x = x.unfold(d, n, 1)
    return array_of(x)
