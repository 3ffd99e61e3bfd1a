"""numpy_cases.py: how the functions of kiln.numpy's table are called to be compared with NumPy's:
name -> [(arguments, keywords)]."""
import numpy as np

nan, inf = np.nan, np.inf
rng = np.random.default_rng(0)

A = rng.uniform(-4, 5, (3, 4))
I = rng.integers(-4, 5, (3, 4))
C = A + 1j * A[::-1]
B3 = rng.uniform(-4, 5, (2, 3, 4))
N = np.array([[1., nan, 3, 4], [nan, 2, 1, 0], [inf, 1, -inf, 2]])
ANY = [A, I, A.astype("f4"), np.abs(I).astype("u1"), C, I > 0, A.T, A[::-1], B3[:, ::-2], np.array(2.5), A[:0]]
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
    "broadcast_arrays": [((A, A[0]), {}), ((A, 2), {}), ((True, 2.5), {})],
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
MASK, ROW = A > 0, np.array([True, False, True, True])
WHERE = [{"where": MASK}, {"where": ROW, "axis": 0}, {"where": MASK, "axis": 1, "keepdims": True},
         {"where": np.ones((2, 3, 4), bool)}]
for _name in ("sum", "prod", "mean", "any", "all", "var", "std", "nansum", "nanprod", "nanmean", "nanvar"):
    CASES[_name] = CASES.get(_name, []) + each([A, I, N, C][:3 if _name == "nanvar" else 4], kwargs=WHERE)
for _name, _start in (("max", -9), ("min", 9), ("sum", 2), ("prod", 3), ("nanmax", 0), ("nanmin", 0), ("nansum", 5)):
    CASES[_name] += each([A, I, N, A[:0]], kwargs=[{"initial": _start}, {"initial": _start, "axis": 0}, {
        "initial": _start, "where": ROW}]) + [((A,), {"where": MASK, "axis": 0})]
CASES["var"] += [((A,), {"axis": 0, "mean": A.mean(0, keepdims=True)})]
SLOPES = [((A,), {}), ((A, 2.), {}), ((A, .5, 2.), {}), ((A,), {"axis": 0}), ((V,), {}), ((V, V.cumsum()), {}),
          ((A[0],), {"edge_order": 2}), ((A[0], np.array([0., 1, 3, 4])), {"edge_order": 2}), ((A, 1, 2, 3), {}),
          ((A[:1],), {}), ((A,), {"edge_order": 3}), ((A, np.arange(3.)), {"axis": 1}), ((B3,), {"axis": (0, 2)}),
          ((A, np.ones((2, 2))), {"axis": 0})]
XS, YS = np.array([0., 1, 2.5, 4]), np.array([1., -1, 3, 2])
STEPS = np.array([0., 1, 2, 4, 8])
P, Q = np.array([1., -6, 11, -6]), np.array([1, -2])
U8 = np.arange(20, dtype="u1") * 13
METHODS = ("lower higher nearest midpoint hazen weibull median_unbiased normal_unbiased inverted_cdf "
           "averaged_inverted_cdf closest_observation interpolated_inverted_cdf").split()
CASES["quantile"] += [((a, [0, .1, .25, .5, .77, 1]), {"method": m, "axis": 0}) for m in METHODS
                      for a in (A, I, N)] + [((A, .5), {"method": "none"})]
CASES.update({
    "geomspace": [((1, 1000, 4), {}), ((1, 256, 9), {"endpoint": False}), ((-1, -100, 3), {}), ((0, 1), {}),
                  ((1, 100, 3), {"dtype": "f4"}), ((1j, 16j, 5), {})],
    "nanvar": CASES["nanvar"] + sums([A, I, N]) + [((N,), {"axis": 0, "ddof": 2})], "nanstd": sums([A, I, N]),
    "nanargmax": each([A, I, N], kwargs=AXIS) + [((N * nan,), {})], "nanargmin": each([A, N], kwargs=AXIS),
    "nanmedian": sums([A, I, N]) + [((N * nan,), {"axis": 0})],
    "nanquantile": [((a, q), k) for a in (A, I, N) for q in (.3, [0, .5, 1]) for k in AXES] + [((N, 2), {})] + [
        ((N, .3), {"axis": 0, "method": m}) for m in METHODS],
    "nanpercentile": [((N, 30), {}), ((N, [5, 95]), {"axis": 1}), ((N, 101), {})],
    "nancumsum": each([A, N, I], kwargs=AXIS), "nancumprod": each([A, N, I], kwargs=AXIS),
    "cumulative_sum": each([V, A[0]]) + each([A, I, C], kwargs=[{"axis": 0}, {"axis": 1, "include_initial": True}, {}]),
    "cumulative_prod": each([V]) + each([A, I], kwargs=[{"axis": -1, "include_initial": True}, {"axis": 2}]),
    "gradient": SLOPES,
    "interp": [((v, XS, YS), k) for v in (2., XS, np.linspace(-1, 5, 13), N[0], A) for k in (
        {}, {"left": -5., "right": 7.}, {"period": 3.})] + [((XS, XS, YS + 1j), {}), ((XS, XS, YS[:2]), {}), (
            (1., [], []), {}), ((1., [2.], [3.]), {}), ((V, XS, [1, 2, 3, 4]), {}), ((XS, XS, YS), {"period": 0})],
    "convolve": [((a, v), {"mode": m}) for a, v in ((A[0], V), (V, A[0]), (V, V), (C[0], V), (A[0], A[0][:2]), (
        V > 1, V > 2), (V, 2), (V, []), ([], V)) for m in ("full", "same", "valid")] + [((V, V), {"mode": "x"})],
    "correlate": [((a, v), {"mode": m}) for a, v in ((A[0], V), (V, A[0]), (V, V), (C[0], C[1]), (A[0], A[0][:2]), (
        A[0][:2], A[0]), (A[0][:3], A[0])) for m in ("full", "same", "valid")],
    "unwrap": [((np.array([0., 3, 6.5, -1, 9, 2]),), {}), ((A * 5,), {"axis": 0}), ((V,), {"period": 4}),
               ((np.array([0., 3, 6.5, -1, 9, 2]),), {"discont": 4.})],
    "histogram": [((a,), k) for a in (A, I, V, U8, A[:0], A.astype("f4")) for k in (
        {}, {"bins": 3}, {"bins": 4, "range": (-2, 2)}, {"bins": [-1, 0, .5, 3]}, {"density": True, "bins": 4})] + [
            ((V,), {"bins": "auto"}), ((A,), {"bins": "sturges"}), ((A,), {"bins": "fd"}), ((A,), {"bins": "sqrt"}),
            ((A,), {"weights": np.abs(A), "bins": 3}), ((V,), {"bins": 0}), ((V,), {"bins": [3, 1]}),
            ((V,), {"range": (2, 1)}), ((V,), {"bins": "none"}), ((N,), {}), ((V,), {"weights": [1, 2]}),
            ((V,), {"bins": [[1, 2]]}), ((V,), {"bins": "fd", "weights": V}), ((V,), {"range": (0, inf)})],
    "histogram_bin_edges": each([A, V, A[:0]], kwargs=[{}, {"bins": "auto"}, {"bins": "scott"}, {"bins": "rice"}]),
    "histogram2d": [((A[0], A[1]), {}), ((A[0], A[1]), {"bins": 3}), ((A[0], A[1]), {"bins": [2, 3], "density": True}),
                    ((A[0], A[1]), {"bins": [-4, 0, 5]}), ((A[0], A[1][:2]), {}),
                    ((A[0], A[1]), {"bins": 2, "weights": V[:4], "range": [[-4, 5], [-4, 5]]})],
    "histogramdd": [((A,), {"bins": 2}), ((A, [2, 2, 1, 1]), {"density": True}), ((A,), {"bins": [2, 2]})],
    "digitize": [((A, STEPS), {}), ((STEPS, STEPS), {}), ((STEPS, STEPS), {"right": True}), ((STEPS, STEPS[::-1]), {}),
                 ((STEPS, STEPS[::-1]), {"right": True}), ((V, [3, 1, 2]), {}), ((2.5, STEPS), {})],
    "poly": [((np.array([1., 2, 3]),), {}), ((np.array([1j, -1j]),), {}), ((np.array([1, 2]),), {}), ((SQUARE,), {}), (
        (B3,), {})],
    "roots": [((Q,), {}), (([0, 0],), {}), (([2, 0, 0],), {}), ((A,), {})],
    "polyfit": [((XS, YS, d), {}) for d in (0, 1, 2)] + [((XS, A.T, 1), {}), ((XS, YS, 1), {"w": XS + 1}), (
        (V[:4], YS, 1), {}), ((XS, YS, 1), {"cov": True}), ((XS, YS, 1), {"full": True}), ((XS, YS, -1), {}), (
            (XS, YS[:2], 1), {}), ((A, YS, 1), {}), (([], [], 1), {}), ((XS, YS, 1), {"cov": "unscaled"}), (
                (XS, YS, 3), {"cov": True}), ((XS, B3, 1), {}), ((XS, YS, 1), {"w": A}), ((XS, YS, 1), {"w": [1.]})],
    "polyadd": [((P, Q), {}), ((Q, P), {}), ((Q, 3), {})], "polysub": [((P, Q), {}), ((Q, Q), {})],
    "polymul": [((P, Q), {}), ((Q, 3), {}), (([0, 1, 2], Q), {})],
    "polydiv": [((P, Q), {}), ((Q, P), {}), (([1, 5, 6], Q), {}), ((P, [2.]), {})],
    "polyder": [((P,), {}), ((V, 2), {}), ((P, 5), {}), ((P, -1), {})],
    "polyint": [((P,), {}), ((V, 2), {}), ((P,), {"k": 3}), ((P, 2), {"k": [1, 2]}), ((P, -1), {}), ((P, 2, [1., 2, 3]), {}),
                ((P, 3), {"k": [1, 2]})],
    "lexsort": [(([V, V[::-1]],), {}), ((I,), {}), ((I,), {"axis": 0}), ((I.T,), {}), (([V, A[0]],), {}), (([],), {})],
    "sort_complex": each([V, A, C, V.astype("u1"), A.astype("f4"), np.array([1 + 2j, 1 - 1j, 0, nan])]),
    "union1d": [((V, [7, 2, 1]), {}), ((A, I), {}), ((V, []), {})],
    "intersect1d": [((V, [7, 2, 1]), {}), ((V, V), {"return_indices": True}), (([1, 2], [2, 3]), {"assume_unique": True})],
    "setdiff1d": [((V, [2, 7]), {}), ((V, [2, 7]), {"assume_unique": True}), ((V, []), {})],
    "setxor1d": [((V, [2, 7]), {}), (([1, 2], [2, 3]), {"assume_unique": True}), (([], []), {})],
    "unique_all": each([V, A, N]), "unique_counts": each([V, N]), "unique_inverse": each([V, I]),
    "matrix_transpose": each([A, B3, V]), "tril_indices_from": [((A,), {}), ((A, 1), {}), ((V,), {})],
    "triu_indices_from": [((A,), {}), ((A, -1), {}), ((B3,), {})], "diag_indices": [((3,), {}), ((2, 3), {})],
    "diag_indices_from": each([SQUARE, A, V]),
    "ix_": [(([0, 2], [1, 3]), {}), (([True, False, True], V), {}), ((A,), {}), (([], [1]), {})],
    "indices": [(((2, 3),), {}), (((2, 3),), {"sparse": True}), (((2,),), {"dtype": float}), (((),), {})],
    "ravel_multi_index": [((([0, 1], [2, 3]), (2, 4)), {}), ((([0, 1], [2, 3]), (2, 4)), {"order": "F"}), (
        (([0, 1], [2, 9]), (2, 4)), {}), ((([0, -1], [2, 9]), (2, 4)), {"mode": "wrap"}), (
            (([0, -1], [2, 9]), (2, 4)), {"mode": ("wrap", "clip")}), (((1, 2), (2, 4)), {}), (((1,), (2, 4)), {}), (
                ((1., 2.), (2, 4)), {})],
    "insert": [((V, 1, 9), {}), ((V, [1, 3], 9), {}), ((V, [1, 3], [8, 9]), {}), ((V, 1, [8, 9]), {}), ((V, -1, 9), {}), (
        (A, 1, 5), {"axis": 1}), ((A, 1, [1, 2, 3]), {"axis": 1}), ((A, [1], [[1], [2], [3]]), {"axis": 1}), ((A, 2, A[:2]), {
            "axis": 0}), ((A, 1, 9), {}), ((V, slice(0, 3), 7), {}), ((V, [3, 1, 1], [7, 8, 9]), {}), ((V, 9, 1), {}), (
                (V, [[1]], 1), {}), ((I, 1, 2.7), {}), ((V, [0, 9], 1), {}), ((V, V > 2, 0), {}), ((V, [], 5), {}), (
                    (B3, 1, B3[:, 0]), {"axis": 1}), ((A, [0, 2], A[0][:, None][:3]), {"axis": 1}), ((A, 1, 2), {"axis": 4})],
    "delete": [((V, 1), {}), ((V, [1, -1]), {}), ((V, slice(None, None, 2)), {}), ((V, V > 2), {}), ((A, 1), {"axis": 0}), (
        (A, [0, 2]), {"axis": 1}), ((A, 3), {}), ((V, 9), {}), ((V, []), {}), ((V, [True]), {}), ((V, [1, 1]), {}), (
            (V, 1.5), {}), ((A, 0), {"axis": 3}), ((V, [0, 9]), {})],
    "pad": [((a, w, m), {}) for a in (A, I, V) for w in (1, (2, 0)) for m in (
        "constant", "edge", "linear_ramp", "maximum", "mean", "minimum", "reflect", "symmetric", "wrap")] + [
            ((A, ((1, 2), (0, 3))), {"constant_values": 7}), ((V, 2), {"constant_values": (4, 6)}), ((V, 9, "reflect"), {}), (
                (V, 9, "symmetric"), {}), ((V, 9, "wrap"), {}), ((A, 2, "mean"), {"stat_length": 2}), ((A, {0: 1}), {}), (
                    (A, 3, "linear_ramp"), {"end_values": -2}), ((V, -1), {}), ((V, 1, "none"), {}), ((V, 1, "edge"), {
                        "constant_values": 2}), ((A[:0], 1, "edge"), {}), ((A[:1], 2, "reflect"), {})],
    "resize": [((V, (2, 4)), {}), ((V, 3), {}), ((V, 0), {}), ((A[:0], 3), {}), ((V, (-1, 2)), {})],
    "block": [(([[A, A], [I, I]],), {}), (([V, V],), {}), (([[V], [V]],), {}), ((A,), {}), (([A, [A]],), {}), (([],), {}), (
        ([B3, B3],), {}), (([[A[:, :1], A], [I[:1], I[:1, :1]]],), {}), (([1, V],), {})],
    "trim_zeros": [((np.array([0, 0, 1, 0, 2, 0]), t), {}) for t in ("fb", "f", "b")] + [((np.zeros(3),), {})],
    "unstack": [((A,), {}), ((B3,), {"axis": -1}), ((np.array(1.),), {}), ((A,), {"axis": 2})],
    "packbits": [((U8 > 99,), {}), ((U8,), {"bitorder": "little"}), ((A > 0,), {"axis": 0}), ((A > 0,), {"axis": -1}), (
        (A,), {})],
    "unpackbits": [((U8,), {}), ((U8.reshape(4, 5),), {"axis": 1}), ((U8.reshape(4, 5),), {"axis": 0, "count": 9}), (
        (U8,), {"count": -3}), ((U8,), {"count": 200}), ((U8,), {"bitorder": "little"}), ((V,), {})],
    "select": [(([A > 2, A > 0], [A, -A]), {}), (([A > 2, I > 0], [A, I]), {"default": 7}), (([A > 2], [A, A]), {}), (
        ([], []), {}), (([I], [A]), {}), (([V > 1], [V]), {"default": 2.5})],
    "choose": [(([1, 0, 2, 1], [V[:4], V[1:], A[0]]), {}), ((3, [1, 2]), {}), (([0, 5, -1], [1, 2]), {"mode": "wrap"}), (
        ([0, 5, -1], [1, 2]), {"mode": "clip"}), ((I > 0, (A, I)), {})],
    "piecewise": [((A, [A < 0, A >= 2], [-1, 1]), {}), ((A, [A < 0, A >= 2], [-1, 1, 9]), {}), ((A, A < 0, [3, 4]), {}), (
        (V, [V < 2], [7.9, 2]), {}), ((A, [A < 0], [1, 2, 3]), {})],
    "extract": [((A > 0, A), {}), ((A > 0, I), {}), (([1, 0, 1, 0, 1], V), {})],
    "modf": each([A, I, N, A.astype("f4"), np.array(-2.5)]), "frexp": each([A, I, N, A.astype("f4")]),
    "ldexp": [((A, I), {}), ((A.astype("f4"), 3), {}), ((1., 1023), {}), ((A, A), {}), ((1., -1070), {})],
    "real_if_close": each([A, C, A + 1e-15j, A + 1e-10j]) + [((A + 1e-10j,), {"tol": 1e7})],
    "array_equiv": [((A, A), {}), ((A[0], A[:1]), {}), ((A, V), {}), (([1, 1], 1), {}), ((A, N), {})],
    "vecdot": [((A, A), {}), ((C, C), {"axis": 0}), ((A, A[0]), {}), ((I > 0, I > 1), {}), ((A, V), {}), ((A, 1), {}), (
        (A.astype("f4"), I), {})],
    "matvec": [((A, A[0]), {}), ((B3, A[:2]), {}), ((A, V), {}), ((V, V), {}), ((C, C[0]), {})],
    "vecmat": [((A[:, 0], A), {}), ((C[:, 0], C), {}), ((V, A), {}), ((V, V), {})],
    "linalg.tensordot": [((A, A.T), {"axes": 1}), ((A, A), {})],
    "linalg.vector_norm": each([A, I, V, C, np.array(-2.)]) + [((A,), {"axis": 0, "ord": o}) for o in (1, inf, 0, 3)] + [
        ((A,), {"keepdims": True})],
    "linalg.matrix_norm": each([A, I, B3]) + [((A,), {"ord": o}) for o in (1, -1, 2, inf, "nuc")] + [((A,), {"keepdims": True}), ((V,), {})],
})
for _name in ("hanning", "hamming", "blackman", "bartlett"):
    CASES[_name] = [((m,), {}) for m in (0, 1, 5, 8)]
CASES["kaiser"] = [((m, b), {}) for m in (1, 5, 8) for b in (0, 3.5)]
CASES["unique"] += [((I,), {"axis": 0}), ((np.array([[1, 2], [0, 3], [1, 2]]),), {
    "axis": 0, "return_index": True, "return_inverse": True, "return_counts": True}), ((I,), {"axis": 1}), (
        (np.append(N, N),), {}), ((np.append(N, N),), {"equal_nan": False}), ((I,), {"return_inverse": True})]
CASES["isin"] += [((V, [1, 2]), {"invert": True}), ((A, I), {})]
CASES["concatenate"] += [(([A, I],), {"dtype": d, "casting": c}) for d in ("f4", "i8", "c16")
                         for c in ("no", "safe", "same_kind", "unsafe")]
CASES["stack"] += [(([A, A],), {"dtype": "i4", "casting": "unsafe"}), (([A, A],), {"dtype": "i4"})]
CASES["vstack"] += [(([A, I],), {"dtype": "f4", "casting": "safe"})]
CASES["ediff1d"] += [(([],), {})]
CASES["cov"] += [((A.astype("f4"),), {}), ((A.astype("f4"), A[:1]), {})]
CASES["corrcoef"] += [((A.astype("f4"),), {})]
CASES["vander"] += [((V.astype("f4"),), {})]
CASES["diff"] += [((A,), {"prepend": 0, "append": A}), ((A, 1, 0), {"append": 2}), ((A, 0), {}), ((A, -1), {}), ((2.5,), {})]
CASES["ediff1d"] += [((V,), {"to_begin": 9, "to_end": [8, 7]}), ((V,), {"to_end": 2.5})]
CASES["cov"] += [((A[0], A[1]), {}), ((A, A[:1]), {}), ((A,), {"fweights": [1, 2, 3, 1]}), ((A,), {"aweights": [1., 2, .5, 1]})]
CASES["corrcoef"] += [((A[0], A[1]), {})]
CASES["meshgrid"] += [((V, A[0]), {"sparse": True}), ((V, A[0]), {"indexing": "x"}), ((V,), {}), ((V, A[0], I[0]), {})]
CASES["linspace"] += [((A[0], A[1], 3), {"axis": 1}), ((0, 1, -1), {})]
CASES["linalg.matrix_transpose"] += [((V,), {})]
for _to, _of in {"ones": "zeros", "ones_like": "zeros_like"}.items():
    CASES[_to] = CASES[_of]
LENGTHS = [{}, {"n": 3}, {"n": 7}, {"axis": 0}, {"norm": "ortho"}, {"norm": "forward"}]
for _f in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    CASES["fft." + _f] = each([A, I, A.astype("f4")] + ([C] if "r" not in _f and _f != "ihfft" else []), kwargs=LENGTHS)
for _f in ("fft", "ifft", "rfft", "irfft"):
    for _n in "2n":
        CASES[f"fft.{_f}{_n}"] = each([A, B3], kwargs=[{}, {"norm": "ortho"}, {"s": (2, 5), "axes": (0, 1)}])
UNFILLED = {"empty": ((2, 3),), "empty_like": (A,)}

# what is no row, as code over np, x (3, 4) of float64, i of int64, c of complex128: the value of r
ODD = np.array([1 + 2j, 1 - 1j, 0, complex(nan, 1), complex(1, nan), complex(nan, nan), 3, complex(0, nan), 1 - 1j])
for _name in ("sort", "argsort"):
    CASES[_name] += each([ODD, C, ODD.reshape(3, 3).astype("c8")], kwargs=AXIS[:2] + AXIS[3:])
CASES["unique"] += [((ODD,), {"return_index": True, "return_inverse": True, "return_counts": True}),
                    ((ODD.reshape(3, 3),), {"axis": 0})]
CASES["intersect1d"] += [((ODD[:3], ODD), {})]
for _name in ("sum", "prod", "cumsum", "cumprod", "cumulative_sum", "cumulative_prod", "trace", "linalg.trace"):
    CASES[_name] = CASES[_name] + [((np.arange(12, dtype="u1").reshape(3, 4) * 30,), {
        "dtype": d, **({} if "trace" in _name else {"axis": 1})}) for d in ("uint8", "int8", "int16", "uint32", "bool", "float32")]
CASES["nonzero"] += each([np.array(1)])
CASES["where"] += each([np.array(1)])
CASES["arange"] += [((1, 9, 2, "float32"), {}), ((), {}), ((), {"start": 1, "stop": 5}), ((5,), {"step": 2})]
DEFICIENT = np.stack([np.diag([1., 2, 3]), np.diag([1., .05, .3])])
CASES["linalg.pinv"] += [((DEFICIENT,), k) for k in ({"rcond": .5}, {"rtol": .1}, {"rtol": np.array([.1, .5])}, {
    "rtol": .1, "rcond": .1})] + [((SPD,), {"hermitian": True})]
CASES["linalg.matrix_rank"] += [((DEFICIENT,), k) for k in ({"tol": 1.}, {"rtol": .1}, {"tol": .1, "rtol": .1})] + [
    ((SPD,), {"hermitian": True})]
CASES["fft.fftfreq"] += [((5,), {"device": "cpu"})]
CASES["fft.rfftfreq"] += [((5,), {"device": "cpu"})]

CODE = """
r = x < 2**70, x[0] + 2**70, 2**70 - x[0, 0], c[0] * 2**70, np.maximum(x, 2**70), x // 2**70, np.power(2., 2**65)
r = i < 2**70, i != -2**70, np.array([1, 2], 'u1') < 300, 256 > np.array([1, 2], 'u1'), np.int8(5) == 1000
r = np.array([7], 'u8') * (2**63 + 1), np.array([7], 'u8') == 2**63 + 1, np.maximum(np.array([7], 'u8'), 2**63)
r = np.asarray([1, 2**63]), np.array([2**63, True]), np.array([2**63, 1.5]), np.array([2**70], '?')
r = np.full(2, 2**70, 'f4'), np.array([-2**63 - 1, 1], 'f8'), np.float32(2**100), np.array(2**64, 'c8')
r = np.where([True], 2**70, 1.), np.clip(x, 0, 2**70), np.clip(np.array([1, 2], 'u1'), -5, 300)
r = np.array([3, 300], 'u1')
r = np.uint8(300)
x[:] = 2**70; r = x
r = np.array([1, 2], 'u1'); r[0] = 300
r = np.array([2**63, 2**62], 'u8').sum(), np.cumsum(np.array([2**63, 5], 'u8')), np.trace(np.ones((2, 2), 'u1'))
r = np.result_type(np.float32, np.int16), np.result_type(x, 1), np.result_type('f4', c)
r = np.add(x, i, where=x > 0, out=np.zeros((3, 4)))
r = np.add(x, 1, where=[True, False, True, False], out=x)
r = np.sqrt(x, where=x > 0, out=np.full((3, 4), -1.))
r = np.multiply(x[0], 2, where=np.ones((3, 4), bool), out=np.zeros((3, 4)))
r = np.add(x, 1, where=x)
r = np.add(x, 1, out=i)
r = np.add(x, 1, out=i, casting='unsafe')
r = np.add(x, 1, out=np.zeros(4))
r = np.add(x, 1, out=np.zeros((2, 3, 4)))
r = np.add(x, x, dtype=int)
r = np.negative(x, dtype=int)
r = np.add(i, i, dtype='f4')
r = np.add(x, x, dtype='i8', casting='unsafe')
r = np.add(x[0], np.ones(3))
r = np.add(1)
r = np.add(1, 2, 3, 4)
r = np.add.reduce(x)
r = np.add.reduce(i, axis=None, dtype='f4')
r = np.multiply.reduce(i, axis=(0, 1))
r = np.maximum.reduce(x, axis=1, keepdims=True)
r = np.minimum.reduce(x, initial=0)
r = np.maximum.reduce(x, where=x > 0)
r = np.maximum.reduce(x[:0])
r = np.logical_and.reduce(x > 0)
r = np.logical_or.reduce(x > 0, axis=1)
r = np.subtract.reduce(x)
r = np.subtract.reduce(x, axis=(0, 1))
r = np.subtract.reduce(x[:0])
r = np.bitwise_or.reduce(i, axis=(0, 1))
r = np.bitwise_and.reduce(i, where=i > 0)
r = np.fmax.reduce(x, axis=1, initial=3)
r = np.fmax.reduce(x, where=x > 0)
r = np.power.reduce(x[:2] * 0 + 2, axis=0)
r = np.hypot.reduce(x, axis=(0, 1))
r = np.negative.reduce(x)
r = np.negative.accumulate(x)
r = np.negative.outer(x, x)
r = np.add.accumulate(x)
r = np.multiply.accumulate(i, axis=1)
r = np.maximum.accumulate(x, 1)
r = np.minimum.accumulate(i)
r = np.subtract.accumulate(x, axis=1)
r = np.logical_or.accumulate(x > 0)
r = np.add.accumulate(2.5)
r = np.add.outer(x[0], i)
r = np.less.outer(i, i[0])
r = x.copy(); np.add.at(r, ([0, 0, 1], [1, 1, 2]), 5)
r = i.ravel(); np.subtract.at(r, [0, 3, 3, 3], [1, 2, 3, 4])
r = x.ravel(); np.negative.at(r, [0, 1])
r = i.copy(); np.add.at(r, 0, 1.5)
r = i.copy(); np.maximum.at(r, [0, 0], 3)
r = repr(np.add) + np.add.__name__ + str(np.add.nin) + str(np.add.nout) + str(np.sin.nargs)
r = isinstance(np.exp, np.ufunc), callable(np.exp)
r = x.sum(where=x > 0), x.mean(axis=0, where=i > 0), x.max(initial=9, where=x < 0), (x > 0).any(axis=0, where=i > 0)
r = x.copy(); np.put(r, [0, 5, -1], [7, 8])
r = x.copy(); np.put(r, [99], 1)
r = x.copy(); np.put(r, [99, -99], 1, mode='clip')
r = x.copy(); np.put(r, [99, -99], 1, mode='wrap')
r = x.copy(); np.putmask(r, x > 0, [1., 2, 3])
r = x.copy(); np.putmask(r, [True], 1)
r = x.copy(); np.place(r, x > 0, [1, 2, 3])
r = x.copy(); np.place(r, x > 0, [])
r = x.copy(); np.place(r, [True], 1)
r = x.copy(); np.put_along_axis(r, np.argmax(x, 1, keepdims=True), 99, 1)
r = x.copy(); np.put_along_axis(r, np.array([1, -2]), 99, None)
r = x.copy(); np.fill_diagonal(r, 5)
r = np.zeros((5, 2)); np.fill_diagonal(r, [1, 2], wrap=True)
r = np.zeros((3, 3, 3), int); np.fill_diagonal(r, 4)
r = x[0].copy(); np.fill_diagonal(r, 5)
r = np.zeros((2, 3, 3)); np.fill_diagonal(r, 5)
r = np.mgrid[0:3, 0:2]
r = np.mgrid[0:1:5j]
r = np.mgrid[0:3, 0:1:.5]
r = np.ogrid[0:3, 0:1:3j]
r = np.r_[1:4, 0, [7, 8]]
r = np.r_[0:1:3j, 5]
r = np.r_['0,2', [1, 2], [3, 4]]
r = np.r_['-1', x, x]
r = np.r_['0,2,0', [1, 2], [3, 4]]
r = np.c_[[1, 2], [3, 4]]
r = np.c_[x, i]
r = x[np.s_[1:, ::2]]
r = len(np.index_exp[1]), np.s_[1:2]
r = x[np.ix_([0, 2], [1, 3])]
r = list(np.ndindex(2, 3))
r = list(np.ndindex((2, 1)))
r = list(np.ndindex(-1))
r = [(k, float(v)) for k, v in np.ndenumerate(i)]
r = np.apply_along_axis(np.sum, 1, x)
r = np.apply_along_axis(np.sort, 0, x)
r = np.apply_along_axis(lambda v: np.outer(v, v), 1, x)
r = np.apply_along_axis(np.sum, 0, x[:, :0])
r = np.apply_over_axes(np.sum, x, [0, 1])
r = np.apply_over_axes(np.max, x, 1)
r = np.vectorize(lambda a, b: a if a > b else b)(i, 2)
r = np.vectorize(lambda a: (a, a * 2))(i)
r = np.vectorize(float, otypes=['f4'])(i)
r = np.vectorize(lambda a: a)(x[:0])
r = np.fromfunction(lambda a, b: a * 10 + b, (2, 3))
r = np.fromfunction(lambda a, b: a == b, (3, 3), dtype=int)
r = np.fromiter((v * v for v in range(4)), 'f4')
r = np.fromiter(range(9), int, 3)
r = np.fromiter(range(2), int, 3)
r = np.mask_indices(3, np.triu, 1)
r = np.broadcast_shapes((2, 1), 3, (1, 1))
r = np.broadcast_shapes((2,), (3,))
r = np.broadcast_arrays(x, np.ones(3))
r = np.isdtype(np.float32, 'real floating'), np.isdtype(np.dtype('i4'), (np.int32, 'bool')), np.isdtype(np.uint8, 'integral')
r = np.isdtype(np.float32, 'real')
r = np.astype(x, np.int32)
r = np.astype([1], int)
r = np.from_dlpack(x)
r = x.__array_namespace__() is np, x.device, x.to_device('cpu')
r = x.__array_namespace__(api_version='1900')
r = np.zeros(3, device='cpu'), np.arange(3, device='cpu'), np.ones_like(x, device='cpu'), np.eye(2, device='cpu')
r = np.asarray(x, copy=False) is x, np.asarray(x, copy=True) is x
r = np.asarray([1, 2], copy=False)
r = np.asfortranarray(x).strides, np.isfortran(x.T), np.isfortran(x)
r = np.asarray_chkfinite(x)
r = np.asarray_chkfinite([1, np.inf])
r = [str(np.min_scalar_type(v)) for v in (1, 256, -1, -200, 1.5, 1e30, 1e300, True, 1 + 1e40j, 2**40)]
r = np.common_type(x, i) is np.float64, np.common_type(x.astype('f4')) is np.float32, np.common_type(c) is np.complex128
r = np.common_type(x > 0)
r = np.iterable([1]), np.iterable(2)
r = np.True_, np.False_, np.uintp(3), np.little_endian
r = np.geterr is not None, sorted(np.geterr())
r = np.errstate(divide='sometimes').__enter__()
with np.errstate(divide='ignore', invalid='ignore'): r = np.log(x)
with np.printoptions(precision=3): r = repr(x), str(c)
with np.printoptions(threshold=5, edgeitems=1): r = repr(x), str(i)
with np.printoptions(linewidth=30): r = repr(x), str(i)
with np.printoptions(suppress=True): r = str(np.array([1e-7, 1., 12345.6789]))
with np.printoptions(nanstr='-', infstr='big'): r = str(np.array([np.nan, -np.inf, np.inf, 1.]))
np.set_printoptions(precision=2); r = str(x); np.set_printoptions(precision=8)
np.set_printoptions(threshold='x')
np.set_printoptions(threshold=np.nan)
r = np.get_printoptions()['precision'], np.get_printoptions()['threshold']
np.savetxt(f, x); r = open(f).read(), np.loadtxt(f)
np.savetxt(f, i, fmt='%d', delimiter=',', header='a\nb', footer='end'); r = open(f).read(), np.loadtxt(f, delimiter=',')
np.savetxt(f, x[0], fmt='%.3f'); r = open(f).read(), np.loadtxt(f), np.loadtxt(f, ndmin=2)
np.savetxt(f, x, fmt=['%d', '%.1f', '%g', '%e']); r = open(f).read()
np.savetxt(f, x, fmt='%d %d')
np.savetxt(f, x, fmt=['%d'])
np.savetxt(f, 1.5)
r = np.loadtxt(['1 2 # note', '', '3 4'])
r = np.loadtxt(['1,2', '3,4'], delimiter=',', dtype=int, unpack=True)
r = np.loadtxt(['1,2,3', '4,5,6'], delimiter=',', usecols=(0, 2))
r = np.loadtxt(['a b', '1 2'], skiprows=1)
r = np.loadtxt(['1 2', '3 4', '5 6'], max_rows=2, usecols=1)
r = np.loadtxt(['1 2', '3'])
r = np.loadtxt(['1 x'])
r = np.loadtxt(['1 2'], usecols=5)
r = np.loadtxt(['1 2'], ndmin=3)
r = np.loadtxt(['0x10 2'], converters={0: lambda s: int(s, 16)})
r = np.loadtxt(['5'])
r = np.genfromtxt(['1,2', '3,'], delimiter=',')
r = np.genfromtxt(['1,x', '3,4'], delimiter=',', filling_values=9)
r = np.genfromtxt(['1,2', '3'], delimiter=',')
r = np.genfromtxt(['h', '1 2', '3 4', 'end'], skip_header=1, skip_footer=1)
np.savez(f + '.npz', a=x, b=i); z = np.load(f + '.npz'); r = z['a'], z['b']
np.savez_compressed(f + '.npz', x); r = np.load(f + '.npz')['arr_0']
np.save(f + '.npy', c); r = np.load(f + '.npy')
open(f, 'wb').write(x.tobytes()); r = np.fromfile(f), np.fromfile(f, 'i8', 2), np.fromfile(f, 'f8', offset=16)
open(f, 'w').write('1, 2, 3'); r = np.fromfile(f, sep=',')
r = np.fromstring('1 2 3', sep=' '), np.fromstring('1,2', int, sep=',')
r = np.frombuffer(x.tobytes(), 'f4'), np.frombuffer(c.tobytes(), 'c16', 2, 16)
r = np.frombuffer(bytes(9), 'f4')
r = np.frombuffer(bytes(8), 'f4', 3)
r = np.frombuffer(bytes(8), 'f4', -1, 9)
r = [np.binary_repr(v) for v in (0, 5, -5)], np.binary_repr(5, 8), np.binary_repr(-5, 8), np.binary_repr(-4, 3)
r = np.binary_repr(9, 2)
r = np.binary_repr(-9, 2)
r = [np.base_repr(v, b) for v in (0, 5, -255) for b in (2, 16, 36)], np.base_repr(7, 3, 2), np.base_repr(0, 2, 1)
r = np.base_repr(1, 37)
r = np.base_repr(1, 1)
import math; s = np.float64(2.567); r = round(s), round(s, 1), math.floor(s), math.ceil(s), math.trunc(s)
r = np.float32(2.5).is_integer(), np.float64(2).is_integer(), np.float64(.75).as_integer_ratio(), round(np.int64(25), -1)
r = x.flags.c_contiguous, x.T.flags['F_CONTIGUOUS'], x.T.flags.c_contiguous, x.flags.writeable, x[0].flags.f_contiguous
r = x.flags['NONE']
x.tofile(f); r = np.fromfile(f); i.tofile(f, sep=','); r = r, open(f).read()
r = np.linalg.inv(x)
r = np.linalg.solve(x, x)
r = np.linalg.det(x)
r = np.linalg.cholesky(x)
r = np.linalg.eigvals(x)
r = np.linalg.eigvalsh(x)
r = np.linalg.inv(x[0])
r = np.linalg.svd(x[0])
r = np.linalg.matrix_power(x, 2)
r = np.swapaxes(x, 5, 0)
r = np.moveaxis(x, 5, 0)
r = np.moveaxis(x, 0, 5)
r = np.stack([])
r = np.array([[1, 2], 3])
r = np.array([[[1, 2], [3]], [[1, 2], [3, 4]]])
r = np.array([x, x[0]])
r = x[[True, False]]
r = x[:, [True]]
r = x[[0, 9]]
r = x[[0, 1], [2, -5]]
r = x[:, np.array([1, 4], 'i1')]
x[[0, 3]] = 1; r = x
r = i.ravel(); np.add.at(r, [99], 1)
r = np.floor_divide(c, 2)
r = [f(c, c.real) for f in (np.maximum, np.minimum, np.fmax, np.fmin, np.less, np.greater_equal)]
r = np.fmax(c, np.nan), np.maximum(np.nan, c)
r = np.arctan2(c, 1)
""".strip().splitlines()
