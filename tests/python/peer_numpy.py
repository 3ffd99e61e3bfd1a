"""kiln.numpy against NumPy: every row of its name table on arrays of many dtypes and layouts
(values, dtypes, shapes, printed text), and what no row says: indexing, operators, sharing,
printing, errors. Last digits of the mathematical functions may differ, by a few units."""
import sys
import tempfile
import warnings

import numpy as np

import kiln.numpy as kp
from agree import agree, compare, done, mine, note, same_error
from kiln.numpy import _table
from numpy_cases import A, B3, C, CASES, CODE, I, N, SPD, SQUARE, UNFILLED, inf, nan, rng

warnings.simplefilter("ignore")


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
# what NumPy alone gives truth values (int8, or no function at all), and integers' division by 0
NO_BOOL = set("floor_divide remainder fmod power gcd lcm sign negative subtract positive square "
              "left_shift right_shift reciprocal conjugate float_power floor ceil trunc".split())


def walk_ufuncs():
    for name, count, rule, _ in _table.UFUNCS:
        fk, fn = getattr(kp, name), getattr(np, name)
        for dt in DTYPES:
            if dt == "bool" and name in NO_BOOL:
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
        if full in UNFILLED:
            got, want = find(kp, full)(*map(mine, UNFILLED[full])), find(np, full)(*UNFILLED[full])
            note(got.shape == want.shape and got.dtype == want.dtype, full)
        elif full in SPECTRA:
            spectrum(full, SPECTRA[full])
        elif full == "unique_values":  # which NumPy leaves in any order
            for a in (I, N):
                compare(full, lambda a: kp.sort(kp.unique_values(a)), lambda a: np.sort(np.unique_values(a)), (a,))
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


# ---- what numbers become at their edges ----

EDGES = [0., -0., 1., -1., .5, -2., 3., 30., -1e3, inf, -inf, nan]
FAR = [1e19, -3e30, 1e38]  # whose squares are no float32
COMPLEX = ("exp exp2 log log2 log10 log1p sqrt sin cos tan sinh cosh tanh arcsin arccos arctan "
           "arcsinh arccosh arctanh absolute").split()  # expm1: NumPy has no infinities


def walk_edges():
    x = np.array(EDGES + FAR)
    for name in ("sign", "arcsinh", "arccosh", "arctan"):
        for dt in REALS:
            compare(name, getattr(kp, name), getattr(np, name), (x.astype(dt),))
    for name in ("remainder", "floor_divide", "hypot", "copysign"):
        compare(name, getattr(kp, name), getattr(np, name), (x, x[:, None]))
    z = np.array([complex(a, b) for a in EDGES for b in EDGES] + [complex(a, b) for a in FAR for b in EDGES[:5]])
    for name in COMPLEX:
        for dt in ("complex128", "complex64"):
            want, got = getattr(np, name)(z.astype(dt)), np.asarray(getattr(kp, name)(kp.asarray(z.astype(dt))))
            for i in np.flatnonzero(~same_parts(got, want)):
                note(False, f"{name}({z[i]}) as {dt}: {got[i]} for {want[i]}")
            note(got.dtype == want.dtype, name)


def same_parts(a, b):
    """Part by part; beside a NaN the sign of the other part is nobody's."""
    tol = 2e-5 if a.dtype.name in ("complex64", "float32") else 1e-13
    pairs = [(a.real, b.real), (a.imag, b.imag)] if a.dtype.kind == "c" else [(a, b)]
    unsigned = np.isnan(a)
    return np.all([np.isclose(np.where(unsigned, abs(p), p), np.where(unsigned, abs(q), q), tol, tol, True)
                   for p, q in pairs], 0)


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
    for missing in ("datetime64", "frompyfunc", "busday_count"):
        note(not hasattr(kp, missing), missing)


def run_code(code, m, f):
    names = {"np": m, "f": f, **{n: m.array(v) for n, v in dict(x=A, i=I, c=C).items()}}
    try:
        exec(code, names)
    except Exception as e:
        return e
    return names["r"]


def walk_code():
    with tempfile.TemporaryDirectory() as folder:
        for code in CODE:
            want, got = (run_code(code, m, folder + "/file") for m in (np, kp))
            if isinstance(want, Exception) or isinstance(got, Exception):
                note(same_error(got, want), f"{code}: {got!r} for {want!r}")
            else:
                bad = alike(got, want)
                note(not bad, f"{code}: {bad}")


def alike(got, want):
    """Results of code: arrays as agree() has it, everything else equal."""
    if isinstance(want, (tuple, list)) and type(got) is type(want) and len(got) == len(want):
        return next((m for m in map(alike, got, want) if m), "")
    if hasattr(want, "dtype"):
        return agree(got, want)
    return "" if got == want else f"{got!r} for {want!r}"


walk_ufuncs()
walk_edges()
walk_code()
walk_functions()
walk_printing()
walk_indexing()
walk_operators()
walk_making()
sys.exit(done())
