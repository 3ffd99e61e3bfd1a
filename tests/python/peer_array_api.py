"""kiln.numpy against array_api_strict, the array API standard and nothing else: every function of
its three namespaces on the same samples (values, dtypes, shapes), its operators, and its errors
where NumPy raises them too. kiln.numpy follows NumPy 2 where the two part: NUMPYS_OWN lists these
calls, and each must still differ."""
import sys
import warnings

import array_api_strict as xp
import numpy as np

import kiln.numpy as kp
from agree import done, near, note, same_error

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
NUMPYS_OWN = {  # what NumPy does otherwise
    "isin": "array_api_strict 2.6 forgets invert=",
}
F, G = rng.uniform(-3, 4, (3, 4)), rng.uniform(-3, 4, (3, 4)).astype("f4")
I, J = rng.integers(-4, 5, (3, 4)), rng.integers(1, 9, (3, 4)).astype("i2")
U, B, C = rng.integers(1, 9, (3, 4)).astype("u1"), F > 0, F + 1j * F[::-1]
REALS = [F, G, I, J, U, F[:0], F[0, 0].reshape(()), F.T]
NUMBERS = REALS + [C, C.astype("c8")]
ANY = NUMBERS + [B]
WHOLE = [I, J, U]
SMALL = [np.tanh(a) / 2 for a in (F, G, C.conj() * .1)]
POSITIVE = [np.abs(a) + 1 for a in (F, G, C)]
FLOATS = [F, G, C]


def each(arrays, *kwargs):
    return [((a,), k) for a in arrays for k in kwargs or ({},)]


def pairs(arrays):
    """Operands of one dtype, broadcast, and with Python's number on the right."""
    return [((a, a[..., ::-1] if a.ndim else a), {}) for a in arrays] + [
        ((a, a[:1]), {}) for a in arrays if a.ndim == 2] + [((a, 2), {}) for a in arrays]


AXES = ({}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 1)}, {"axis": 5})
AXIS = ({}, {"axis": 0}, {"axis": -1}, {"axis": 7})
FULL = [a for a in REALS if a.ndim == 2 and a.size]
SHAPES = [((s,), {"dtype": d} if d else {}) for s in (3, (2, 3), (), (0, 2)) for d in (None, "int8", "float32", "bool")]
SQUARE = rng.uniform(-1, 1, (2, 3, 3))
SPD = SQUARE @ SQUARE.swapaxes(1, 2) + np.eye(3)
CASES = {
    **{n: each(FLOATS) for n in "exp expm1 sin cos tan sinh cosh tanh asinh atan".split()},
    **{n: each(POSITIVE) for n in "log log1p log2 log10 sqrt reciprocal".split()},
    "acos": each(SMALL), "asin": each(SMALL), "atanh": each(SMALL), "acosh": each(POSITIVE),
    **{n: each(REALS) for n in "floor ceil trunc signbit".split()},
    **{n: each(NUMBERS) for n in "abs positive negative square round sign isfinite isinf isnan".split()},
    **{n: pairs(NUMBERS) for n in "add subtract multiply equal not_equal".split()},
    **{n: pairs([F, G, C]) for n in ("divide", "pow")},
    **{n: pairs([F, G, U, J]) for n in "floor_divide remainder less less_equal greater greater_equal maximum "
                                       "minimum".split()},
    **{n: pairs([F, G]) for n in "atan2 copysign hypot logaddexp nextafter".split()},
    **{n: pairs(WHOLE) for n in "bitwise_and bitwise_or bitwise_xor".split()},
    **{n: [((a, U[:, ::-1].astype(a.dtype) % 5), {}) for a in WHOLE] for n in "bitwise_left_shift bitwise_right_shift".split()},
    "bitwise_invert": each(WHOLE + [B]), "logical_not": each([B]),
    **{n: [((B, ~B[:1]), {})] for n in "logical_and logical_or logical_xor".split()},
    "conj": each([C]), "real": each([C]), "imag": each([C]),
    "clip": [((a,), {"min": 0, "max": 2}) for a in FULL] + [((F,), {"max": 1}), ((F, -1), {})],
    # ---- making ----
    "zeros": SHAPES, "ones": SHAPES, "full": [(((2, 3), v), {}) for v in (1, 1.5, True, 1j)] + [((3, 7), {"dtype": "uint8"})],
    "empty": [((3,), {})], "zeros_like": each(ANY), "ones_like": each(ANY), "empty_like": each([F]),
    "full_like": [((a, 2), {}) for a in NUMBERS], "eye": [((3,), {}), ((2, 4), {"k": 1, "dtype": "int32"})],
    "arange": [((5,), {}), ((1, 9, 2), {}), ((0., 1., .25), {}), ((5, 0, -2), {}), ((4,), {"dtype": "float32"})],
    "linspace": [((0, 1, 5), {}), ((0., 1., 4), {"endpoint": False}), ((0, 1, 3), {"dtype": "float32"})],
    "asarray": [((v,), {}) for v in (1, 2.5, True, [1, 2], [[1., 2.]], 1j, F)] + [(([1, 2],), {"dtype": "float32"})],
    "tril": each(FULL, {}, {"k": 1}), "triu": each(FULL, {}, {"k": -1}),
    "meshgrid": [((F[0], G[:, 0].astype("f8")), {}), ((F[0], F[:, 0]), {"indexing": "ij"})],
    # ---- reducing ----
    **{n: each(NUMBERS, *AXES) for n in ("sum", "prod")}, **{n: each(FULL + [F[0]], *AXES) for n in ("max", "min")},
    "mean": each([F, G], *AXES), "std": each([F, G], *AXES, {"correction": 1}), "var": each([F, G], *AXES, {"correction": 1.}),
    "all": each([B, F, I], *AXES), "any": each([B, F, I], *AXES), "count_nonzero": each([I, F, B], *AXES),
    "cumulative_sum": each([F[0], I[0], U[0]], {}, {"include_initial": True}) + each([F, C], {"axis": 1}),
    "cumulative_prod": each([F[0], I[0]], {}, {"include_initial": True}) + each([F, C], {"axis": 1}),
    "argmax": each(FULL, *AXIS), "argmin": each(FULL, *AXIS), "diff": each(NUMBERS[:5], {}, {"axis": 0}, {"n": 2}),
    # ---- ordering, choosing ----
    "sort": each(FULL, {}, {"axis": 0}, {"descending": True}),
    "argsort": each(FULL, {}, {"axis": 0, "descending": True}),
    "searchsorted": [((np.arange(5.), F), {}), ((np.arange(5.), F), {"side": "right"})],
    "nonzero": each([a for a in ANY if a.ndim]), "where": [((B, a, a[:1]), {}) for a in (F, G, I, C)] + [((B, F, 1.), {})],
    "unique_all": each([I, F]), "unique_counts": each([I]), "unique_inverse": each([I]), "unique_values": each([I]),
    "isin": [((I, I[0]), {}), ((I, I[0]), {"invert": True})],
    "take": [((a, np.asarray([0, 2])), {"axis": 0}) for a in FULL] + [((F[0], np.asarray([1, 1])), {})],
    "take_along_axis": [((F, np.argsort(F, 1)), {}), ((F, np.argsort(F, 0)), {"axis": 0})],
    # ---- shapes ----
    "reshape": [((a, (-1,)), {}) for a in ANY] + [((F, (4, 3)), {}), ((F, (5, 5)), {})],
    "permute_dims": [((SQUARE, (2, 0, 1)), {})], "matrix_transpose": each([F, SQUARE, F[0]]),
    "moveaxis": [((SQUARE, 0, 2), {}), ((SQUARE, 0, 7), {})], "expand_dims": [((F,), {"axis": d}) for d in (0, 1, -1, 9)],
    "squeeze": [((F[:1],), {"axis": 0}), ((F,), {"axis": 0})], "flip": each(FULL, {}, {"axis": 0}),
    "roll": [((F, 1), {}), ((F, 2), {"axis": 1}), ((F, (1, 2)), {"axis": (0, 1)})],
    "repeat": [((F, 2), {}), ((F, 2), {"axis": 0})], "tile": [((F, (2, 1)), {}), ((F[0], (2, 2)), {})],
    "broadcast_to": [((F[0], (3, 4)), {}), ((F, (2, 4)), {})], "broadcast_arrays": [((F, F[0]), {}), ((F, F[0, :3]), {})],
    "broadcast_shapes": [(((2, 1), (3,)), {}), (((2,), (3,)), {})],
    "concat": [(([F, F],), {"axis": d}) for d in (0, 1, None)] + [(([F, F.T],), {})],
    "stack": [(([F, F],), {"axis": d}) for d in (0, 1, -1)], "unstack": each([F, SQUARE], {}, {"axis": 1}),
    # ---- products ----
    "matmul": [((F, F.T), {}), ((SQUARE, SQUARE), {}), ((I, I.T), {}), ((F, F), {}), ((F, F[0]), {})],
    "tensordot": [((F, F.T), {"axes": 1}), ((F, F), {})], "vecdot": [((F, F), {}), ((C, C), {"axis": 0})],
    # ---- dtypes ----
    "astype": [((F, d), {}) for d in ("float32", "int32", "bool")], "can_cast": [], "isdtype": [], "result_type": [],
    "finfo": [], "iinfo": [], "from_dlpack": [],
    # ---- linalg ----
    "linalg.cholesky": each([SPD], {}, {"upper": True}), "linalg.cross": [((F[:, :3], F[:, 1:]), {})],
    "linalg.det": each([SQUARE, F]), "linalg.diagonal": each([SQUARE], {}, {"offset": 1}), "linalg.eig": [], "linalg.eigvals": [],
    "linalg.eigh": [], "linalg.eigvalsh": each([SPD]), "linalg.inv": each([SQUARE, F]),
    "linalg.matmul": [((F, F.T), {})], "linalg.matrix_norm": each([SQUARE, F], {}, {"ord": 1}, {"ord": 2}, {"keepdims": True}),
    "linalg.matrix_power": [((SQUARE, 3), {})], "linalg.matrix_rank": each([SQUARE]), "linalg.matrix_transpose": each([SQUARE]),
    "linalg.outer": [((F[0], F[1]), {})], "linalg.pinv": each([F]), "linalg.qr": [], "linalg.slogdet": each([SQUARE]),
    "linalg.solve": [((SQUARE, SQUARE), {})], "linalg.svd": [], "linalg.svdvals": each([F]),
    "linalg.tensordot": [((F, F.T), {"axes": 1})], "linalg.trace": each([SQUARE, I]), "linalg.vecdot": [((F, F), {})],
    "linalg.vector_norm": each([F, C, F[0]], {}, {"ord": 1}, {"axis": 0}, {"ord": np.inf}, {"keepdims": True}),
    # ---- fft ----
    **{"fft." + n: each([C], {}, {"n": 3}, {"norm": "ortho"}) for n in ("fft", "ifft", "hfft", "irfft")},
    **{"fft." + n: each([F], {}, {"n": 5}, {"norm": "forward"}) for n in ("rfft", "ihfft")},
    **{"fft." + n: each([C], {}, {"norm": "ortho"}) for n in ("fftn", "ifftn", "irfftn")}, "fft.rfftn": each([F]),
    "fft.fftfreq": [((5,), {}), ((4,), {"d": .5, "dtype": "float32"})], "fft.rfftfreq": [((5,), {})],
    "fft.fftshift": each([F]), "fft.ifftshift": each([F], {}, {"axes": 0}),
}
# no functions of arrays
NAMES = set("__version__ __array_api_version__ Device DType Array ModuleType get_array_api_strict_flags set_array_api_strict_flags "
            "reset_array_api_strict_flags ArrayAPIStrictFlags".split())
UNFILLED = {"empty", "empty_like"}
COMPOSED = "linalg.eig linalg.eigh linalg.eigvals linalg.qr linalg.svd".split()


def namespace(module):
    return sorted(n for n in module.__all__ if n not in NAMES)


def find(module, name):
    for part in name.split("."):
        module = getattr(module, part)
    return module


def given(v, make, dtypes):
    """An argument as one library has it: arrays, dtypes by name, nested lists of arrays."""
    if isinstance(v, np.ndarray):
        return make(v)
    if isinstance(v, str) and hasattr(dtypes, v):
        return getattr(dtypes, v)
    return [given(w, make, dtypes) for w in v] if isinstance(v, list) else v


def called(module, name, args, kwargs):
    try:
        return find(module, name)(*(given(v, module.asarray, module) for v in args),
                                  **{n: given(v, module.asarray, module) for n, v in kwargs.items()})
    except Exception as e:
        return e


def plain(r):
    """A result as NumPy arrays."""
    if isinstance(r, (tuple, list)):
        return [plain(v) for v in r]
    return np.asarray(r) if hasattr(r, "dtype") else r


def differs(got, want):
    if isinstance(want, list):
        return len(got) != len(want) or any(map(differs, got, want))
    if not isinstance(want, np.ndarray):
        return got != want
    return got.dtype != want.dtype or got.shape != want.shape or not near(got, want, False)


def compare(name, args, kwargs):
    want, theirs, got = (called(m, name, args, kwargs) for m in (xp, np, kp))
    text = f"{name}({', '.join(str(getattr(a, 'dtype', a)) for a in args)}, {kwargs})"
    if isinstance(want, Exception):  # the standard leaves it open, and NumPy may answer
        refused = isinstance(got, Exception) == isinstance(theirs, Exception)
        note(refused and (isinstance(got, Exception) or not differs(plain(got), plain(theirs))),
             f"{text}: {got!r} for {theirs!r}")
    elif isinstance(got, Exception):
        if isinstance(theirs, Exception):
            AGAINST.setdefault(name, text)
        note(same_error(got, theirs), f"{text}: {got!r} for {want!r}")
    elif name in UNFILLED:
        note(got.shape == want.shape and str(got.dtype) == str(np.asarray(want).dtype), text)
    else:
        bad = differs(plain(got), plain(want))
        if bad and differs(plain(theirs), plain(want)):
            AGAINST.setdefault(name, text)
            bad = differs(plain(got), plain(theirs))
        note(not bad, f"{text}: {got!r} for {want!r}")


AGAINST = {}  # where NumPy itself is not the standard's


def walk_functions():
    names = namespace(xp) + ["linalg." + n for n in namespace(xp.linalg)] + [
        "fft." + n for n in namespace(xp.fft)]
    for name in names:
        value = find(xp, name)
        if not callable(value) or isinstance(value, type(xp.float64)) or name in ("linalg", "fft"):
            note(hasattr(kp, name.split(".")[0]), name)
        elif name not in ("bool",) and name != "__array_namespace_info__":
            for args, kwargs in CASES[name]:
                compare(name, args, kwargs)
    for name in AGAINST.keys() ^ NUMPYS_OWN.keys():
        note(False, f"NUMPYS_OWN should {'not ' * (name in NUMPYS_OWN)}hold {name}: {AGAINST.get(name)}")


def walk_composed():
    """Decompositions by what they are."""
    for name in COMPOSED:
        a = F if name.endswith(("qr", "svd")) else SPD
        got, want = called(kp, name, (a,), {}), called(xp, name, (a,), {})
        if name.endswith("eigvals"):
            note(np.allclose(np.sort_complex(np.asarray(got)), np.sort_complex(np.asarray(want))), name)
            continue
        note(got._fields == want._fields and [v.shape for v in got] == [tuple(v.shape) for v in want], name)
        p = [np.asarray(v) for v in got]
        back = p[0] @ p[1] if name.endswith("qr") else p[0][:, :len(p[1])] * p[1] @ p[2][:len(p[1])] if name.endswith(
            "svd") else None
        note(np.allclose(back, a) if back is not None else np.allclose(a @ p[1], p[1] * p[0][..., None, :]), name)


OPERATORS = ("x + y", "x - y", "x * y", "-x", "+x", "abs(x)", "x == y", "x != y", "x[0, ...]", "x[:, 1]", "x[None, 0, :]",
             "x[::-1, 1:3]", "x.T", "x.mT", "x.shape", "x.ndim", "x.size", "x[y > y] if False else x", "x @ y.T", "2 * x",
             "x * 2", "x.to_device(x.device)")
OF_KIND = {"f": ("x / y", "x // y", "x % y", "x < y", "x ** 2", "float(x[0, 0])"), "c": ("x / y", "complex(x[0, 0])"),
           "i": ("x // y", "x & y", "x | y", "x ^ y", "~x", "x << (y * 0 + 1)", "x >> (y * 0 + 1)", "int(x[0, 0])", "x >= y"),
           "u": ("x // y", "x % y", "x & y", "x << (y * 0 + 1)"), "b": ("x & y", "x | y", "~x", "x ^ y", "bool(x[0, 0])")}


def walk_operators():
    for a in (F, G, I, J, U, C):
        for form in OPERATORS + OF_KIND[a.dtype.kind]:
            results = []
            for m in (xp, kp):
                x, y = m.asarray(a), m.asarray(a[::-1] + a.dtype.type(1))
                try:
                    results.append(plain(eval(form, {"x": x, "y": y})))
                except Exception as e:
                    results.append(e)
            want, got = results
            note(not isinstance(got, Exception) and not differs(got, want), f"{form} of {a.dtype}: {got!r} for {want!r}")


KINDS = ["bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric"]
DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128".split()


def walk_dtypes():
    info, ours = xp.__array_namespace_info__(), kp.__array_namespace_info__()
    note({n: str(v) for n, v in ours.default_dtypes().items()} == {
        n: str(np.dtype(v._np_dtype)) for n, v in info.default_dtypes().items()}, "default_dtypes")
    note(set(info.capabilities()) <= set(ours.capabilities()) and ours.default_device() == "cpu" and ours.devices() == ["cpu"],
         "capabilities")
    for kind in KINDS + [None]:
        note(set(ours.dtypes(kind=kind)) == set(info.dtypes(kind=kind)), f"dtypes of {kind}")
    for d in DTYPES:
        a, b = getattr(xp, d), getattr(kp, d)
        for kind in KINDS:
            note(xp.isdtype(a, kind) == kp.isdtype(b, kind), f"isdtype {d} {kind}")
        for e in DTYPES:
            may = kp.can_cast(b, getattr(kp, e))  # across kinds too, as NumPy has it
            note(may == np.can_cast(d, e) and may >= xp.can_cast(a, getattr(xp, e)), f"can_cast {d} {e}")
            try:
                want = xp.result_type(a, getattr(xp, e))
            except TypeError:  # kinds that the standard does not mix
                continue
            note(str(kp.result_type(b, getattr(kp, e))) == str(want._np_dtype), f"result_type {d} {e}")
    for d in ("float32", "float64", "complex64"):
        f, g = xp.finfo(getattr(xp, d)), kp.finfo(getattr(kp, d))
        note(all(getattr(f, n) == getattr(g, n) for n in ("bits", "eps", "max", "min", "smallest_normal")), f"finfo {d}")
        note(str(np.dtype(f.dtype._np_dtype)) == str(g.dtype), f"finfo {d}.dtype")
    for d in ("int8", "uint16", "int64"):
        f, g = xp.iinfo(getattr(xp, d)), kp.iinfo(getattr(kp, d))
        note((f.bits, f.max, f.min) == (g.bits, g.max, g.min), f"iinfo {d}")
    x = kp.asarray(F)
    note(kp.from_dlpack(F).tolist() == F.tolist() and np.array_equal(np.asarray(kp.from_dlpack(x)), F), "from_dlpack")
    for name in ("e", "pi", "inf", "newaxis"):
        note(getattr(kp, name) == getattr(xp, name), name)


walk_functions()
walk_composed()
walk_operators()
walk_dtypes()
sys.exit(done())
