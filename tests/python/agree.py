"""agree.py: one call of NumPy mode beside NumPy's own, for the tests that compare them: values
(to a few units in the last place unless they must be exact), dtypes, shapes, printed text."""
import numpy as np

import kiln.numpy as kp

passed = failed = 0


def note(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print(str(what)[:400].replace("\n", "|"))


def near(a, b, exact):
    """The same values; to a few units in the last place unless they must be exact."""
    if a.dtype.kind in "biu" or exact or not a.size:
        return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    real = np.zeros(0, a.dtype).real.dtype
    eps, tiny = np.finfo(real).eps, np.finfo(real).tiny
    finite = np.abs(b[np.isfinite(b)]).astype(np.float64)
    return np.allclose(a.astype(np.result_type(a, np.float64)), b, rtol=16 * eps,
                       atol=4 * eps * (finite.max() if finite.size else 0) + tiny, equal_nan=True)


def agree(got, want, exact=False):
    """Whether a result is NumPy's, and how it is not."""
    if isinstance(want, (tuple, list)):
        if len(got) != len(want):
            return f"{len(got)} results for {len(want)}"
        return next((m for m in (agree(g, w, exact) for g, w in zip(got, want)) if m), "")
    if isinstance(want, (bool, int)) or want is None:
        return "" if got == want else f"{got} for {want}"
    if not hasattr(got, "dtype"):
        return f"{got!r} for {want!r}"
    if str(got.dtype) != str(want.dtype) or got.shape != want.shape:
        return f"{got.dtype}{got.shape} for {want.dtype}{want.shape}"
    a, b = np.asarray(got), np.asarray(want)
    if not near(a, b, exact):
        return f"{got!r} for {want!r}"
    if np.array_equal(a, b) and not np.any(np.signbit(a.real) != np.signbit(b.real)) and (
            not np.iscomplexobj(a) or not np.any(np.signbit(a.imag) != np.signbit(b.imag))):
        if (repr(got), str(got)) != (repr(want), str(want)):
            return f"printed {got!r}|{got} for {want!r}|{want}"
    return ""


def compare(name, fk, fn, args, kwargs={}, exact=False):
    """One call on both sides, on arrays of the same memory layout."""
    try:
        want = fn(*args, **kwargs)
    except Exception as e:
        want = e
    try:
        got = fk(*map(mine, args), **{n: mine(v) for n, v in kwargs.items()})
        bad = f"no {type(want).__name__}: {want}" if isinstance(want, Exception) else agree(
            got, want, exact)
    except Exception as e:
        bad = "" if same_error(e, want) else f"{type(e).__name__}: {e} for {type(want).__name__}: {want}"
    note(not bad, f"{name}({', '.join(map(short, args))}) {kwargs or ''}: {bad}")


def same_error(got, want):
    """NumPy's text, and its type or one that it is a kind of."""
    names = [t.__name__ for t in type(want).__mro__]
    return isinstance(want, Exception) and str(got) == str(want) and type(got).__name__ in names


def short(v):
    return f"{v.dtype}{v.shape}" if hasattr(v, "dtype") else repr(v)


def mine(v):
    if isinstance(v, np.ndarray):
        return kp.asarray(v)
    return type(v)(map(mine, v)) if type(v) in (tuple, list) else v


def done():
    """The last line, and the exit status."""
    print(f"{passed} passed, {failed} failed")
    return failed > 0
