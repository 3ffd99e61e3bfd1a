"""kiln.numpy against NumPy: every row of its name table on arrays of many dtypes and layouts
(values, dtypes, shapes, printed text), and what no row says: indexing, operators, sharing,
printing, errors. Last digits of the mathematical functions may differ, by a few units."""
import sys
import warnings

import numpy as np

import kiln.numpy as kp
from kiln.numpy import _table

warnings.simplefilter("ignore")
nan, inf = np.nan, np.inf
rng = np.random.default_rng(0)
passed = failed = 0
WALKED = set()


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
        known = isinstance(want, Exception) and (isinstance(e, type(want)) or isinstance(
            want, type(e)) or isinstance(e, (TypeError, ValueError, RuntimeError)))
        bad = "" if known else f"{type(e).__name__}: {e}"
    note(not bad, f"{name}({', '.join(map(short, args))}) {kwargs or ''}: {bad}")


def short(v):
    return f"{v.dtype}{v.shape}" if hasattr(v, "dtype") else repr(v)


def mine(v):
    if isinstance(v, np.ndarray):
        return kp.asarray(v)
    return type(v)(map(mine, v)) if type(v) in (tuple, list) else v


REALS = ["float64", "float32"]
NUMBERS = REALS + ["int64", "int32", "uint8"]
DTYPES = NUMBERS + ["bool", "complex128"]


def layouts(dt, low=-4, high=5):
    """Arrays of a dtype: matrix, 0-d, empty; of float64 also transposed, reversed."""
    a = rng.uniform(low, high, (3, 4)) if dt[0] in "fc" else rng.integers(max(int(low), 0) if dt[
        0] == "u" else int(low), max(int(high), 1), (3, 4))
    a = (a + 1j * rng.uniform(low, high, (3, 4)) if dt[0] == "c" else a).astype(dt)
    return [a, a[1, 2].reshape(()), a[:0]] + ([a.T, a[::-1, ::-2]] if dt == "float64" else [])


# ---- the table: how each row is called ----

LIMITS = {"arcsin": (-1, 1), "arccos": (-1, 1), "arctanh": (-.9, .9), "arccosh": (1, 9),
          "log": (0, 9), "log2": (0, 9), "log10": (0, 9), "log1p": (0, 9), "sqrt": (0, 9),
          "left_shift": (0, 6), "right_shift": (0, 6), "power": (0, 4), "float_power": (0, 4),
          "nextafter": (1, 9), "reciprocal": (1, 9)}
# no complex form in NumPy or in kiln
REAL_ONLY = set("floor_divide remainder fmod arctan2 hypot copysign nextafter logaddexp logaddexp2 "
                "heaviside maximum minimum fmax fmin less less_equal greater greater_equal signbit "
                "fabs floor ceil trunc deg2rad rad2deg power float_power rint sign exp2 expm1 log1p "
                "log2 reciprocal arcsin arccos arctan arcsinh arccosh arctanh isinf isfinite "
                "isnan".split())
# what NumPy alone gives truth values (int8, or no function at all), and integers' division by 0
NO_BOOL = set("floor_divide remainder fmod power gcd lcm sign negative subtract positive square "
              "left_shift right_shift reciprocal conjugate float_power floor ceil trunc".split())


def walk_ufuncs():
    for name, count, rule, _ in _table.UFUNCS:
        WALKED.add(name)
        fk, fn = getattr(kp, name), getattr(np, name)
        for dt in DTYPES:
            if dt[0] == "c" and name in REAL_ONLY or dt == "bool" and name in NO_BOOL:
                continue
            limits = LIMITS.get(name, (1, 9) if name in NO_BOOL else (-4, 5))
            xs = layouts(dt, *limits)
            ys = layouts(dt, *limits)
            for x, y in zip(xs, ys):
                compare(name, fk, fn, (x, y)[:int(count)])
            if count == "2" and rule != "bits":
                for other in ("float32", "int64"):
                    compare(name, fk, fn, (xs[0], layouts(other, *limits)[0]))
                if dt != "bool":
                    compare(name, fk, fn, (xs[0], 2))
                    compare(name, fk, fn, (2, xs[0]))
                    compare(name, fk, fn, (xs[0], 2.5))
            if rule == "same" and dt == "float64":
                theirs, ours = np.empty((3, 4)), kp.empty((3, 4))
                fn(*(xs[0], ys[0])[:int(count)], out=theirs)
                fk(*map(mine, (xs[0], ys[0])[:int(count)]), out=ours)
                note(not agree(ours, theirs), f"{name} out=")


A = rng.uniform(-4, 5, (3, 4))
I = rng.integers(-4, 5, (3, 4))
C = A + 1j * A[::-1]
B3 = rng.uniform(-4, 5, (2, 3, 4))
N = np.array([[1., nan, 3, 4], [nan, 2, 1, 0], [inf, 1, -inf, 2]])
ANY = [A, I, A.astype("f4"), C, I > 0, A.T, A[::-1], B3[:, ::-2], np.array(2.5), A[:0]]
REAL = [a for a in ANY if a.dtype.kind != "c"]
MATRIX = [a for a in ANY if a.ndim == 2 and a.size]
AXES = [{}, {"axis": 0}, {"axis": -1}, {"axis": 0, "keepdims": True}, {"axis": (0, 1)}]
AXIS = [{}, {"axis": 0}, {"axis": -1}, {"axis": None}]
ONES = [{}]


def each(arrays, *rest, kwargs=ONES):
    return [((a,) + rest, k) for a in arrays for k in kwargs]


def sums(arrays):
    return each(arrays, kwargs=AXES) + [((B3,), {"axis": (0, 2), "keepdims": True}),
                                        ((A,), {"axis": 2}), ((A,), {"keepdims": True})]


SQUARE = rng.uniform(-1, 1, (3, 3))
SPD = SQUARE @ SQUARE.T + np.eye(3)
V = np.array([3, 1, 2, 1, 3])
PAIRS = [(A, B3[0].T), (A[0], A[1]), (I, I.T), (B3, A.T), (A, A[0]), (C, A.T), (A.astype("f4"), I.T)]
SPLITS = [((np.arange(12.).reshape(4, 3), s), {}) for s in (2, 4, [1, 3])]
CASES = {  # name: [(args, kwargs)]
    "zeros": [((s,), k) for s in (3, (2, 3), ()) for k in ({}, {"dtype": "int32"})],
    "full": [((3, 7), {}), (((2, 2), 1.5), {}), ((3, 7), {"dtype": "f4"}), ((2, True), {})],
    "zeros_like": each(ANY) + [((A,), {"dtype": int})], "full_like": each(ANY, 3),
    "eye": [((3,), {}), ((3, 4), {}), ((3, 4, 1), {}), ((3,), {"k": -1, "dtype": "int64"})],
    "identity": [((3,), {})], "tri": [((3,), {}), ((3, 4, 1), {})],
    "arange": [((5,), {}), ((2, 9, 3), {}), ((0., 1., .1), {}), ((5.,), {}), ((5, 0, -2), {}),
               ((3,), {"dtype": "f4"}), ((3, 1), {})],
    "linspace": [((0, 1, 5), {}), ((0, 1, 5, False), {}), ((2, 3), {}), ((0, 9, 1), {}),
                 ((0, 9, 4), {"dtype": int}), ((0, 1, 0), {}), ((0, 1, 3), {"retstep": True})],
    "logspace": [((0, 2, 3), {}), ((0, 3, 4), {"base": 2.0})],
    "vander": [((V,), {}), ((A[0], 3), {}), ((V,), {"increasing": True})], "copy": each(ANY),
    "sum": sums(ANY) + [((I,), {"dtype": "f8"})], "prod": sums(ANY), "mean": sums(ANY),
    "nansum": sums(REAL + [N]), "nanmean": sums(REAL[:3] + [N]), "var": sums(ANY) + [((A,), {"ddof": 1})],
    "std": sums(ANY) + [((A, 0), {"ddof": 1})], "max": sums(REAL + [N]), "min": sums(REAL + [N]),
    "ptp": sums([A, I]), "any": sums(ANY), "all": sums(ANY), "count_nonzero": sums(ANY)[:-1],
    "argmax": each(REAL + [N], kwargs=AXIS), "argmin": each(REAL + [N], kwargs=AXIS),
    "median": sums(REAL[:3] + [N]), "average": each([A, I]) + [((A,), {"axis": 0, "weights": [1, 2, 3]}),
                                                              ((A,), {"weights": np.abs(A)})],
    "nanprod": sums([A, N, I]), "nanmax": sums([A, N, I]), "nanmin": sums([A, N, I]),
    "quantile": [((a, q), k) for a in (A, I, N) for q in (.3, [0, .5, 1]) for k in AXES] + [((A, 2), {})],
    "percentile": [((A, 30), {}), ((A, [5, 95]), {"axis": 1})],
    "ediff1d": each([A, I]), "polyval": [(([1, 2, 3], A), {}), ((V, 2.5), {})],
    "cumsum": each(ANY, kwargs=AXIS), "cumprod": each(ANY, kwargs=AXIS),
    "diff": each([A, I, B3]) + [((A, 2, 0), {})],
    "trapezoid": each([A, I]) + [((A, A[0]), {}), ((A,), {"axis": 0, "dx": .5})],
    "cov": each([A, I]) + [((A,), {"rowvar": False}), ((A,), {"bias": True})],
    "corrcoef": each([A]) + [((A,), {"rowvar": False})],
    "sort": each(REAL + [N, V], kwargs=AXIS), "argsort": each([A, V, N, I], kwargs=[
        {"kind": "stable"}, {"kind": "stable", "axis": 0}, {"kind": "stable", "axis": None}]),
    "searchsorted": [((np.arange(5.), v), k) for v in (2, 2.5, A) for k in ({}, {"side": "right"})],
    "bincount": [((V,), {}), ((V,), {"minlength": 9}), ((V,), {"weights": [.5] * 5})],
    "nonzero": each([a for a in ANY if a.ndim]), "flatnonzero": each(ANY), "argwhere": each(MATRIX),
    "unique": each([V, I, A]) + [((V,), {"return_index": True, "return_inverse": True,
                                         "return_counts": True})],
    "isin": [((V, [1, 2]), {}), ((I, V), {})],
    "reshape": [((a, s), {}) for a in ANY for s in (-1, (a.size, 1))] + [
        ((A, (4, 3)), {"order": "F"}), ((A, (5, 5)), {}), ((np.array(1.), ()), {})],
    "ravel": each(ANY), "transpose": each(ANY) + [((B3, (2, 0, 1)), {}), ((B3, (-1, 0, 1)), {})],
    "swapaxes": [((B3, 0, 2), {}), ((A, 0, -1), {}), ((A, 0, 5), {})],
    "moveaxis": [((B3, 0, 2), {}), ((B3, [0, 1], [-1, 0]), {})], "rollaxis": [((B3, 2), {}), ((B3, 0, 2), {})],
    "expand_dims": [((A, d), {}) for d in (0, -1, 1, (0, 2), 5)],
    "squeeze": [((a,), k) for a in (A[:1], A[:1, :1], A) for k in ({}, {"axis": 0})],
    "broadcast_to": [((A[0], (2, 3, 4)), {}), ((A, (5, 4)), {})],
    "broadcast_arrays": [((A, A[0]), {}), ((A, 2), {})],
    "atleast_1d": each(ANY), "atleast_2d": each(ANY), "atleast_3d": each(ANY),
    "flip": each(ANY) + [((B3, 1), {}), ((B3, (0, 2)), {})], "fliplr": each(MATRIX), "flipud": each(MATRIX),
    "rot90": each(MATRIX) + [((A, 2), {}), ((A, 1, (1, 0)), {})],
    "roll": [((A, 2), {}), ((A, 1, 0), {}), ((A, -1, 1), {}), ((A, (1, 2), (0, 1)), {})],
    "repeat": [((V, 2), {}), ((A, 2, 0), {}), ((A, [1, 0, 2], 0), {}), ((A, 2), {})],
    "tile": [((V, 2), {}), ((A, (2, 1)), {}), ((A, (2, 1, 2)), {}), ((B3, 2), {})],
    "diag": each([V, A, I]) + [((A, 1), {}), ((V, -1), {})], "diagflat": each([V, A]),
    "diagonal": each(MATRIX) + [((B3, 1, 1, 2), {})], "trace": each(MATRIX) + [((B3,), {})],
    "tril": each(MATRIX) + [((A, 1), {})], "triu": each(MATRIX) + [((A, -1), {})],
    "tril_indices": [((3,), {}), ((3, 1, 4), {})], "triu_indices": [((3,), {}), ((3, 1, 4), {})],
    "meshgrid": [((V, A[0]), {}), ((V, A[0]), {"indexing": "ij"})],
    "unravel_index": [((V, (2, 3)), {})],
    "concatenate": [(([A, A],), {}), (([A, A[:1]],), {}), (([A, I], 1), {}), (([A, V],), {}),
                    (([A, A.T],), {}), (([A, I], None), {}), (([I > 0, I.astype("i1")],), {})],
    "stack": [(([A, A],), {}), (([A, I], -1), {}), (([A, A.T],), {})],
    "hstack": [(([A, A],), {}), (([V, V],), {})], "vstack": [(([A, A],), {}), (([V, V],), {})],
    "dstack": [(([A, A],), {})], "column_stack": [(([V, V],), {})],
    "append": [((A, 2.5), {}), ((A, A, 0), {}), ((V, [1, 2]), {})],
    "split": SPLITS + [((A, 2), {}), ((A, 2, 1), {})], "array_split": SPLITS + [((V, 3), {})],
    "hsplit": [((A, 2), {}), ((A, [1, 3]), {})], "vsplit": SPLITS, "dsplit": [((B3, 2), {})],
    "where": [((A > 0, A, 0), {}), ((A > 0, A, I), {}), ((A > 0,), {}), ((I > 0, 1, 2.5), {}),
              ((A > 0, N, A[0]), {}), ((True, A, I), {})],
    "clip": [((A, -1, 1), {}), ((A, None, 1), {}), ((I, 0, 2.5), {}), ((N, 3, 1), {}), ((I, 0, None), {})],
    "take": [((A, V - 4), {}), ((A, [0, 2], 0), {}), ((A, [[0, -1]], 1), {}), ((V, 2), {})],
    "take_along_axis": [((A, np.argsort(A, 1), 1), {}), ((A, np.argsort(A, 0), 0), {})],
    "compress": [(([True, False, True], A), {"axis": 0}), (([True, False, True], V), {})],
    "nan_to_num": each([N, A]) + [((N,), {"nan": 1.0, "posinf": 2.0, "neginf": 3.0})],
    "round": each([A, I, A.astype("f4")]) + [((A, 1), {}), ((A * 99, -1), {}), ((C, 1), {})],
    "fix": each([A, A.T]), "isclose": [((A, A + 1e-9), {}), ((N, N), {}), ((N, N), {"equal_nan": True}), ((I, I), {})],
    "allclose": [((A, A + 1e-9), {}), ((A, N), {})],
    "array_equal": [((A, A), {}), ((A, I), {}), ((A, V), {}), ((N, N, True), {})],
    "real": each(ANY), "imag": each(ANY), "angle": each([C, A, I]) + [((C, True), {})],
    "isreal": each([C, A]), "iscomplex": each([C, A]), "isposinf": each([N]), "isneginf": each([N]),
    "sinc": each([A, I]), "i0": each([A]),
    "matmul": [(p, {}) for p in PAIRS] + [((A, A), {}), ((A, 2), {})], "dot": [(p, {}) for p in PAIRS[:5]] + [((A, 2), {})],
    "vdot": [((A, A), {}), ((C, C), {}), ((V, V), {})], "inner": [((A, A), {}), ((V, V), {}), ((A[0], B3), {})],
    "outer": [((V, A[0]), {}), ((A, V), {})], "kron": [((A, I), {}), ((V, V), {})],
    "cross": [((A[:, :3], A[:, 1:]), {})], "tensordot": [((A, B3, ([0, 1], [1, 2])), {}), ((A, A.T, 1), {})],
    "einsum": [(("ij,kj->ik", A, I), {}), (("ij->j", A), {}), (("ii", SQUARE), {}), (("i, i", V, V), {})],
    "linalg.norm": each([A, I, V, C, A[0]]) + [((A, o), {}) for o in (1, -1, 2, -2, inf, -inf, "fro", "nuc")] + [
        ((V, o), {}) for o in (1, 2, inf, 0, 3)] + [((A,), {"axis": 0}), ((A, 1, 1), {}), ((A,), {"keepdims": True})],
    "linalg.matrix_power": [((SQUARE, n), {}) for n in (0, 1, 3)],
    "linalg.det": each([SQUARE, SPD, I[:, :3]]), "linalg.slogdet": each([SQUARE, SPD]),
    "linalg.inv": each([SQUARE, SPD, np.zeros((2, 2))]),
    "linalg.solve": [((SQUARE, A), {}), ((SQUARE, A[:, 0]), {}), ((np.zeros((3, 3)), A), {})],
    "linalg.cholesky": each([SPD, -SPD]) + [((SPD,), {"upper": True})],
    "linalg.qr": each([A.T]) + [((A.T, "r"), {})], "linalg.svdvals": each([A, I]),
    "linalg.svd": [((A,), {"compute_uv": False})], "linalg.eigvalsh": each([SPD]),
    "linalg.pinv": each([A, I]), "linalg.matrix_rank": each([A, np.ones((3, 3))]),
    "linalg.cond": [((SQUARE,), {}), ((SQUARE, 1), {}), ((SQUARE, inf), {}), ((SQUARE, "fro"), {})],
    "linalg.lstsq": [((A.T, np.arange(12.).reshape(4, 3) ** 2), {}), ((A.T, V[:4]), {})],
    "linalg.tensorsolve": [((SQUARE.reshape(3, 3), A[:, 0]), {})],
    "linalg.tensorinv": [((SQUARE,), {"ind": 1})], "linalg.vecdot": [((A, A), {}), ((C, C), {"axis": 0})],
    "linalg.multi_dot": [(([A, A.T, A],), {})], "linalg.matmul": [(p, {}) for p in PAIRS[:3]],
    "linalg.outer": [((V, A[0]), {})], "linalg.cross": [((A[:, :3], A[:, 1:]), {})],
    "linalg.trace": each([SQUARE, I]) + [((B3,), {})], "linalg.diagonal": each([SQUARE]) + [((B3,), {"offset": 1})],
    "linalg.matrix_transpose": each([A, B3]),
    "fft.fftfreq": [((4,), {}), ((5, .5), {})], "fft.rfftfreq": [((4,), {}), ((5, .5), {})],
    "fft.fftshift": [((V,), {}), ((A,), {}), ((A, 1), {})], "fft.ifftshift": [((V,), {}), ((A,), {})],
}
for _to, _of in {"ones": "zeros", "ones_like": "zeros_like"}.items():
    CASES[_to] = CASES[_of]
LENGTHS = [{}, {"n": 3}, {"n": 7}, {"axis": 0}, {"norm": "ortho"}, {"norm": "forward"}]
for _f in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    CASES["fft." + _f] = each([A, I, A.astype("f4")] + ([C] if "r" not in _f and _f != "ihfft" else []), kwargs=LENGTHS)
for _f in ("fft", "ifft", "rfft", "irfft"):
    for _n in "2n":
        CASES[f"fft.{_f}{_n}"] = each([A, B3], kwargs=[{}, {"norm": "ortho"}, {"s": (2, 5), "axes": (0, 1)}])
UNFILLED = {"empty": ((2, 3),), "empty_like": (A,)}
SPECTRA = {"linalg.eig": SQUARE, "linalg.eigvals": SQUARE, "linalg.eigh": SPD}
ANY_ORDER = {"partition": ((A, 1),), "argpartition": ((A, 1),)}


def find(module, name):
    for part in name.split("."):
        module = getattr(module, part)
    return module


def spectrum(name, a):
    """Eigenvalues in any order, eigenvectors by what they are."""
    got, want = find(kp, name)(mine(a)), find(np, name)(a)
    values, theirs = (got, want) if name.endswith("vals") else (got.eigenvalues, want.eigenvalues)
    note(str(values.dtype) == str(theirs.dtype) and np.allclose(
        np.sort_complex(np.asarray(values)), np.sort_complex(theirs)), name)
    if not name.endswith("vals"):
        v = np.asarray(got.eigenvectors)
        note(np.allclose(a @ v, v * np.asarray(values)), name + "'s vectors")


def walk_functions():
    for module, name, _, _ in _table.FUNCTIONS:
        full = f"{module}.{name}" if module else name
        WALKED.add(full)
        if full in UNFILLED:
            got, want = find(kp, full)(*map(mine, UNFILLED[full])), find(np, full)(*UNFILLED[full])
            note(got.shape == want.shape and got.dtype == want.dtype, full)
        elif full in SPECTRA:
            spectrum(full, SPECTRA[full])
        elif full in ANY_ORDER:
            a, kth = ANY_ORDER[full][0]
            got = np.asarray(find(kp, full)(mine(a), kth))
            got = np.take_along_axis(a, got, -1) if full[0] == "a" else got
            note(np.array_equal(got[:, kth], np.sort(a)[:, kth]) and
                 (got[:, :kth].max(1) <= got[:, kth]).all(), full)
        else:
            for args, kwargs in CASES[full]:
                compare(full, find(kp, full), find(np, full), args, kwargs)
    for alias, name in _table.ALIASES.items():
        note(getattr(kp, alias) is getattr(kp, name) and hasattr(np, alias), alias)


# ---- beside the table ----


def walk_printing():
    reals = [rng.normal(size=5), rng.normal(size=(3, 4)) * 1e5, np.array(3.), np.array(1e-7),
             np.array([1., 2, 3]), np.array([1., nan, inf]), np.array([.5, -inf]), np.zeros(0),
             np.zeros((0, 3)), np.zeros((2, 0)), rng.normal(size=(2, 3, 4)), rng.normal(size=(40, 40)),
             np.arange(1200.), rng.normal(size=30) * 1e3, np.array([1e9, 1.]), np.array([0., -0.]),
             np.array([1e5, 1.]), np.array([123456789., 0]), np.array([1 / 3, 1e-3]), np.array([nan]),
             np.array([1e-300, 1e300]), np.array([.1, .25, 100.125]), np.array([1e16]), np.array(1e16),
             np.array([5e-324]), np.array(123456.789), np.array([2., 1, 1, 1, 1])]
    whole = [np.arange(6).reshape(2, 3), np.array(7), np.arange(0), np.arange(2000), np.array([-5, 100]),
             np.arange(60), np.arange(24).reshape(2, 3, 4), np.arange(1200).reshape(2, 600)]
    for a in reals:
        for dt in ("f8", "f4", "f2"):
            printed(a.astype(dt))
        for dt in ("c16", "c8"):
            printed((a + 1j * a[::-1] if a.ndim else a + 2j).astype(dt))
    for a in whole:
        for dt in ("i8", "i4", "u1", "i1", "?", "u8"):
            printed(a.astype(dt))
    for v in rng.normal(size=200) * 10. ** rng.integers(-12, 20, 200):
        for dt in (np.float64, np.float32, np.complex128):
            printed(np.array(v, dt)[()])
            printed(np.array([v, 1.5], dt))


def printed(a):
    k = kp.asarray(a) if isinstance(a, np.ndarray) else kp.array([a])[0]
    if not isinstance(a, np.ndarray):
        k = kp.array(np.array([a]))[0]
    note((repr(k), str(k), f"{k}") == (repr(a), str(a), f"{a}"), f"{k!r}\n{a!r}\n{k}\n{a}")


KEYS = ["[1]", "[-1]", "[1, 2]", "[1:]", "[::-1]", "[:, ::-1]", "[::-2, 3:0:-2]", "[...]", "[..., 0]",
        "[None]", "[:, None]", "[[0, 2]]", "[[0, 2], [1, 1]]", "[a > 0]", "[0, [1, 2]]", "[[1, 0], :]",
        "[:, [True, False, True, True]]", "[5]", "[0, 0, 0]", "[1:0]", "[::-1][::-1]", "[::-1, [0, 1]]",
        "[2:0:-1, 1]", "[-5:]", "[10:2:-1]", "[np.int64(1)]", "[()]", "[a > 100]", "[np.array([0, -1])]"]


def walk_indexing():
    for a in (A, I, A.T, A[::-1, ::2].repeat(2, 1)):
        for key in KEYS:
            compare(key, lambda a: eval("a" + key, {"a": a, "np": kp}),
                    lambda a: eval("a" + key, {"a": a, "np": np}), (a,), exact=True)
    for key in KEYS[:14]:
        for value in (7, 2.5) if key == "[1, 2]" else (7, 2.5, [9]):
            both = [np.arange(12.).reshape(3, 4), kp.arange(12.).reshape(3, 4)]
            for a, m in zip(both, (np, kp)):
                exec(f"a{key} = v", {"a": a, "np": m, "v": value})
            note(not agree(both[1], both[0], True), f"a{key} = {value}")
    for a in (A, B3, A.T):
        for key in KEYS[:11]:
            want, got = eval("a" + key, {"a": a}), eval("a" + key, {"a": kp.asarray(a)})
            note(want.ndim == 0 or all(n < 2 or s == t for n, s, t in zip(
                want.shape, got.strides, want.strides)), f"strides {key}")  # of one: any
    k = kp.asarray([5, 0, 2])
    b = np.arange(6)[::-1]
    view = kp.asarray(b)
    view[0] = 50
    note(b[0] == 50 and view.strides == b.strides and k.shape == (3,), "negative strides shared")
    one = view[1]
    view[1] = 9
    note(one == 4 and view[1] == 9, "an element is a copy")
    back = np.asarray(view)
    back[2] = 70
    note(view[2] == 70 and back.strides == b.strides, "NumPy takes the memory itself")


def walk_operators():
    for dt in DTYPES:
        x, y = layouts(dt, 1, 5)[0], layouts("int32", 1, 5)[0]
        for op in ("+", "-", "*", "/", "//", "%", "**", "<", "<=", "==", "!=", ">", ">=", "@"):
            if dt[0] == "c" and op in "// % < <= > >=".split() or dt == "bool" and op in ("-", "//", "%", "**"):
                continue
            for form in ("x {} y", "x {} 2", "2 {} x", "x {} x"):
                if "@" == op:
                    form = "x @ y.T"
                if dt == "bool" and "2" in form or dt[0] == "c" and op == "**":
                    continue
                compare(form.format(op), lambda x, y: eval(form.format(op)),
                        lambda x, y: eval(form.format(op)), (x, y))
    for form in ("-x", "abs(x)", "+x", "~i", "i << 1", "i >> 1", "i & 3", "i | 3", "i ^ i", "divmod(i, 3)",
                 "x.T", "x.sum()", "x.mean(0)", "x.astype(int)", "x.reshape(4, 3)", "x.reshape(-1)",
                 "x.flatten()", "x.copy()", "x.std()", "x.argmax()", "i.clip(0, 2)", "x.round(1)",
                 "x.max(axis=1, keepdims=True)", "x.transpose(1, 0)", "x.dot(x.T)", "x.cumsum(0)", "x.item(3)",
                 "x.tolist()", "x.tobytes()", "x.size", "x.ndim", "x.nbytes", "x.itemsize", "len(x)",
                 "x.real", "x.imag", "i + np.float32(1)", "i + 1.5", "i / 2", "i // 2", "(i > 0) + 1",
                 "i.astype('u1') + 300", "i - np.int8(3)", "np.float32(3) * 2.5", "np.float64(1) / 3",
                 "np.int64(7) // 2", "sum(i.ravel())", "2.5 in x", "bool(x)", "float(x[0, 0])", "[v for v in x]",
                 "np.dtype('f4')", "np.float32(1).dtype", "np.result_type(x, 1)", "f'{x[0, 0]:.2f}'",
                 "np.promote_types('i4', 'f4')", "np.issubdtype('f4', np.floating)", "isinstance(x[0, 0], np.floating)"):
        def run(m, x, i):
            r = eval(form, {"np": m, "x": x, "i": i})
            if isinstance(r, m.dtype):
                return str(r), repr(r)
            return r
        check_plain(form, run)
    for code in ("x += 1", "x[1:] *= 2", "i += 2", "i += 1.5", "i /= 2", "x -= i", "x[::-1] += x", "x.sort()",
                 "x.fill(3)", "x[x > 0] = 0", "x @= x", "x[:, ::-2] = 1", "np.copyto(x, i)", "i[0] = 2.7"):
        results = []
        for m in (np, kp):
            names = {"np": m, "x": m.array(A), "i": m.array(I)}
            try:
                exec(code, names)
            except Exception as e:
                results.append(type(e).__mro__)
                continue
            results.append((names["x"], names["i"]))
        want, got = results
        ok = any(t in (TypeError, ValueError) for t in got) if isinstance(want[0], type) else not agree(got, want)
        note(ok, f"{code}: {got} for {want}")


def check_plain(form, run):
    try:
        want = run(np, A, I)
    except Exception as e:
        want = e
    try:
        got = run(kp, kp.array(A), kp.array(I))
    except Exception as e:
        got = e
    if isinstance(want, Exception):
        note(isinstance(got, type(want).__mro__[-3]) and type(got).__name__ == type(want).__name__ or
             isinstance(want, type(got)), f"{form}: {got!r} for {want!r}")
    elif hasattr(want, "dtype") or isinstance(want, tuple) and hasattr(want[0], "dtype"):
        bad = agree(got, want)
        note(not bad, f"{form}: {bad}")
    elif isinstance(want, list) and hasattr(want[0], "dtype"):
        note(not agree(got, want), form)
    else:
        note(got == want, f"{form}: {got!r} for {want!r}")


def walk_making():
    for data in ([1, 2], [1., 2], [[1, 2.5], [3, 4]], 3, 2.5, True, [True, False], [1 + 2j], [], [[]], (1, 2),
                 [np.float32(1), 2], [A[0], A[1]], range(3), [2 ** 63], [[1], [2, 3]], [1, True], A, I.T):
        for kw in ({}, {"dtype": "float32"}, {"ndmin": 3}):
            compare("array", kp.array, np.array, (data,), kw)
    a = kp.array([1., 2, 3])
    note(np.sum(a) == 6 and isinstance(np.asarray(a), np.ndarray) and (np.ones(3) + a).tolist() == [2, 3, 4],
         "NumPy's own functions take arrays")
    note(a.numpy() is not None and np.shares_memory(np.asarray(a), np.asarray(a[::-1])), "views share")
    for f in ("rand", "randn"):
        kp.random.seed(5)
        x = getattr(kp.random, f)(3, 4)
        kp.random.seed(5)
        note(np.array_equal(x, getattr(kp.random, f)(3, 4)) and x.dtype == "float64" and x.shape == (3, 4), f)
    x = kp.random.randint(0, 256, (100, 100), dtype=kp.uint8)
    note(x.dtype == "uint8" and len(kp.unique(x)) == 256, "randint")
    g, h = kp.random.default_rng(1), kp.random.default_rng(1)
    note(np.array_equal(g.random(5), h.random(5)) and g.integers(0, 2, 9).max() <= 1, "default_rng")
    note(sorted(g.permutation(5).tolist()) == [0, 1, 2, 3, 4] and g.choice([3, 4], 5).shape == (5,) and
         sorted(g.choice(4, 4, replace=False).tolist()) == [0, 1, 2, 3], "permutation, choice")
    note(abs(float(g.normal(3, 2, 100000).mean()) - 3) < .05 and isinstance(g.uniform(1, 2), kp.float64), "normal")
    import copy
    import pickle
    for a in (kp.array([1., 2])[::-1], kp.array([1.5]).sum()):
        for b in (pickle.loads(pickle.dumps(a)), copy.copy(a), copy.deepcopy(a)):
            note(type(b) is type(a) and repr(b) == repr(a), "pickle, copy")
    for missing in ("datetime64", "frompyfunc", "nditer"):
        note(not hasattr(kp, missing), missing)


walk_ufuncs()
walk_functions()
walk_printing()
walk_indexing()
walk_operators()
walk_making()
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
