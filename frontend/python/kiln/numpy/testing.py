"""numpy.testing's checks of values, for arrays of kiln or of anybody else."""
import contextlib
import unittest

import kiln.numpy as np

_case = unittest.TestCase()
assert_raises, assert_raises_regex = _case.assertRaises, _case.assertRaisesRegex
assert_warns = _case.assertWarns


def _fail(what, x, y, err_msg, verbose, more=""):
    lines = ["", what, err_msg] + [more] * bool(more)
    if verbose:
        lines += [f" ACTUAL: {x!r}", f" DESIRED: {y!r}"]
    raise AssertionError("\n".join(lines))


def assert_(val, msg=""):
    """val is true."""
    if not val:
        raise AssertionError(msg() if callable(msg) else msg)


def _compare(good, x, y, err_msg, verbose, what, equal_nan=True, strict=False):
    x, y = np.asarray(x), np.asarray(y)
    if strict and (x.shape != y.shape or x.dtype != y.dtype) or \
            not strict and x.ndim and y.ndim and x.shape != y.shape:
        _fail(what, x, y, err_msg, verbose, f"(shapes {x.shape}, {y.shape} mismatch)"
              if x.shape != y.shape else f"(dtypes {x.dtype}, {y.dtype} mismatch)")
    ok = good(x, y)
    if equal_nan and x.dtype.kind in "fc" and y.dtype.kind in "fc":
        ok = ok | (np.isnan(x) & np.isnan(y))
    wrong = int(np.size(ok)) - int(np.count_nonzero(ok))
    if wrong:
        share = 100 * wrong / np.size(ok)
        _fail(what, x, y, err_msg, verbose,
              f"Mismatched elements: {wrong} / {np.size(ok)} ({share:.3g}%)")


def assert_array_equal(actual, desired, err_msg="", verbose=True, *, strict=False):
    """Equal in every element; nan equals nan."""
    _compare(lambda x, y: x == y, actual, desired, err_msg, verbose, "Arrays are not equal",
             strict=strict)


def assert_allclose(actual, desired, rtol=1e-7, atol=0, equal_nan=True, err_msg="", verbose=True, *,
                    strict=False):
    """Every difference is at most atol + rtol * |desired|."""
    _compare(lambda x, y: np.isclose(x, y, rtol=rtol, atol=atol), actual, desired, err_msg, verbose,
             f"Not equal to tolerance rtol={rtol:g}, atol={atol:g}", equal_nan, strict)


def assert_array_almost_equal(actual, desired, decimal=6, err_msg="", verbose=True):
    """Every difference is below 1.5 * 10 ** -decimal."""
    _compare(lambda x, y: (np.abs(x - y) < 1.5 * 10.0 ** -decimal) | (x == y), actual, desired,
             err_msg, verbose, f"Arrays are not almost equal to {decimal} decimals")


def assert_array_less(x, y, err_msg="", verbose=True, *, strict=False):
    """Every element of x is less than y's."""
    _compare(lambda a, b: a < b, x, y, err_msg, verbose, "Arrays are not strictly ordered `x < y`",
             strict=strict)


def assert_equal(actual, desired, err_msg="", verbose=True, *, strict=False):
    """Equal: numbers, arrays, and lists, tuples and dicts of them."""
    if isinstance(desired, dict):
        if not isinstance(actual, dict) or actual.keys() != desired.keys():
            _fail("Items are not equal:", actual, desired, err_msg, verbose)
        for k in desired:
            assert_equal(actual[k], desired[k], f"key={k!r}\n{err_msg}", verbose)
    elif isinstance(desired, (list, tuple)) and isinstance(actual, (list, tuple)):
        if len(actual) != len(desired):
            _fail("Items are not equal:", actual, desired, err_msg, verbose)
        for k, (a, d) in enumerate(zip(actual, desired)):
            assert_equal(a, d, f"item={k!r}\n{err_msg}", verbose)
    elif isinstance(desired, (str, bytes, type(None))) or isinstance(actual, (str, type(None))):
        if actual != desired:
            _fail("Items are not equal:", actual, desired, err_msg, verbose)
    else:
        assert_array_equal(actual, desired, err_msg, verbose, strict=strict)


def assert_almost_equal(actual, desired, decimal=7, err_msg="", verbose=True):
    """assert_array_almost_equal, to 7 decimals."""
    assert_array_almost_equal(actual, desired, decimal, err_msg, verbose)


def assert_approx_equal(actual, desired, significant=7, err_msg="", verbose=True):
    """Two numbers agree to so many digits."""
    scale = 10.0 ** np.floor(np.log10(0.5 * (abs(float(actual)) + abs(float(desired))) or 1.0)).item()
    if abs(float(actual) - float(desired)) / scale >= 10.0 ** -(significant - 1):
        _fail(f"Items are not equal to {significant} significant digits:", actual, desired, err_msg,
              verbose)


def assert_string_equal(actual, desired):
    """Two strings are equal."""
    _case.assertMultiLineEqual(actual, desired)


@contextlib.contextmanager
def assert_no_warnings():
    """No warning comes from what runs within."""
    import warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    if caught:
        raise AssertionError(f"Got warnings: {[str(w.message) for w in caught]}")
