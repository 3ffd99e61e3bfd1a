"""The name table of NumPy mode: data from which the functions are made (_generate.py) and which
tests/python/peer_numpy.py walks.

UFUNCS      name, operands, dtype rule, kiln's function. Rules: 'same': the operands' common
            dtype; 'real': integers become floats of fit size; 'divide': integers become float64;
            'double': at least float64; 'truth': compares, gives bool; 'realtruth': the same of
            'real'; 'logical': operands as bool; 'bits', 'count': integers alone; 'size': complex gives real.
FUNCTIONS   module, name, NumPy's parameters, what they mean over kiln's functions k.*;
            parameters named in ARRAYS arrive as arrays. The helpers are _generate.py's.
ALIASES     another name of a function."""

UFUNCS = [row.split() for row in """
add 2 same add
subtract 2 same sub
multiply 2 same mul
divide 2 divide div
floor_divide 2 same floor_divide
remainder 2 same signed_remainder
fmod 2 same fmod
power 2 same pow
float_power 2 double pow
arctan2 2 real atan2
hypot 2 real hypot
copysign 2 real copysign
nextafter 2 real nextafter
logaddexp 2 real logaddexp
logaddexp2 2 real logaddexp2
heaviside 2 real heaviside
maximum 2 same maximum
minimum 2 same minimum
fmax 2 same fmax
fmin 2 same fmin
gcd 2 bits gcd
lcm 2 bits lcm
bitwise_and 2 bits bitwise_and
bitwise_or 2 bits bitwise_or
bitwise_xor 2 bits bitwise_xor
left_shift 2 bits bitwise_left_shift
right_shift 2 bits bitwise_right_shift
less 2 truth lt
less_equal 2 truth le
equal 2 truth eq
not_equal 2 truth ne
greater 2 truth gt
greater_equal 2 truth ge
logical_and 2 logical logical_and
logical_or 2 logical logical_or
logical_xor 2 logical logical_xor
logical_not 1 logical logical_not
isnan 1 truth isnan
isinf 1 truth isinf
isfinite 1 truth isfinite
signbit 1 realtruth signbit
absolute 1 size abs
fabs 1 real abs
negative 1 same neg
positive 1 same positive
sign 1 same sign_or_nan
square 1 same square
reciprocal 1 same reciprocal
conjugate 1 same conj
invert 1 bits bitwise_not
floor 1 same floor
ceil 1 same ceil
trunc 1 same trunc
rint 1 real round
sqrt 1 real sqrt
cbrt 1 real cbrt
spacing 1 real spacing
bitwise_count 1 count bitwise_count
exp 1 real exp
exp2 1 real exp2
expm1 1 real expm1
log 1 real log
log2 1 real log2
log10 1 real log10
log1p 1 real log1p
sin 1 real sin
cos 1 real cos
tan 1 real tan
arcsin 1 real asin
arccos 1 real acos
arctan 1 real atan
sinh 1 real sinh
cosh 1 real cosh
tanh 1 real tanh
arcsinh 1 real asinh
arccosh 1 real acosh
arctanh 1 real atanh
deg2rad 1 real deg2rad
rad2deg 1 real rad2deg
""".strip().splitlines()]

ARRAYS = {"a", "b", "x", "x1", "x2", "m", "v", "arr", "ar", "condition", "indices", "y",
          "element", "test_elements", "ary"}

_MADE = "shape, dtype=None, order='C', *, device=None"
_LIKE = "a, dtype=None, order='K', subok=True, shape=None, *, device=None"
_TOTAL = "a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True"
_MEAN = "a, axis=None, dtype=None, out=None, keepdims=False, *, where=True"
_EDGE = "a, axis=None, out=None, keepdims=False, initial=None, where=True"
_TRUTH = "a, axis=None, out=None, keepdims=False, *, where=True"
_SPREAD = ("a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, mean=None, "
           "correction=None")
_QUANTILE = "a, q, axis=None, out=None, overwrite_input=False, method='linear', keepdims=False"
_CUM = "a, axis=None, dtype=None, out=None"

FUNCTIONS = [
    # ---- new arrays ----
    ("", "zeros", _MADE, "whole(k.zeros(shape, dtype=real(dtype), device=device))"),
    ("", "ones", _MADE, "whole(k.ones(shape, dtype=real(dtype), device=device))"),
    ("", "empty", _MADE, "whole(k.empty(shape, dtype=real(dtype), device=device))"),
    ("", "full", "shape, fill_value, dtype=None, order='C', *, device=None",
     "whole(on(full(shape, fill_value, dtype), device))"),
    ("", "zeros_like", _LIKE,
     "whole(k.zeros(like_shape(a, shape), dtype=like(a, dtype), device=place_of(a, device)))"),
    ("", "ones_like", _LIKE,
     "whole(k.ones(like_shape(a, shape), dtype=like(a, dtype), device=place_of(a, device)))"),
    ("", "empty_like", _LIKE,
     "whole(k.empty(like_shape(a, shape), dtype=like(a, dtype), device=place_of(a, device)))"),
    ("", "full_like", "a, fill_value, dtype=None, order='K', subok=True, shape=None, *, device=None",
     "whole(on(full(like_shape(a, shape), fill_value, dtype or a.dtype), place_of(a, device)))"),
    ("", "eye", "N, M=None, k=0, dtype=None, order='C', *, device=None",
     "on(eye(N, M, k, real(dtype)), device)"),
    ("", "identity", "n, dtype=None", "k.eye(n, dtype=real(dtype))"),
    ("", "arange", "start=None, stop=None, step=None, dtype=None, *, device=None",
     "on(arange(start, stop, step, dtype), device)"),
    ("", "linspace", "start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0, *, "
                     "device=None",
     "on(linspace(start, stop, num, endpoint, retstep, dtype, axis), device)"),
    ("", "geomspace", "start, stop, num=50, endpoint=True, dtype=None, axis=0",
     "geomspace(start, stop, num, endpoint, dtype, axis)"),
    ("", "logspace", "start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0",
     "logspace(start, stop, num, endpoint, base, dtype, axis)"),
    ("", "tri", "N, M=None, k=0, dtype=None", "tri(N, M, k, real(dtype))"),
    ("", "vander", "x, N=None, increasing=False",
     "k.vander(asarray(x, meet([x.dtype, dtype('int64')], ())), x.size if N is None else N, "
     "increasing)"),
    ("", "copy", "a, order='K', subok=False", "whole(k.clone(a))"),
    # ---- sums and their like ----
    ("", "sum", _TOTAL, "begun(k.add, fold(k.sum, kept(a, where, 0), axis, keepdims, "
                        "wide(a, dtype)), initial)"),
    ("", "prod", _TOTAL, "begun(k.mul, fold(each_axis(k.prod), kept(a, where, 1), axis, keepdims, "
                         "wide(a, dtype)), initial)"),
    ("", "mean", _MEAN, "mean(a, axis, keepdims, quotient(a, dtype), where)"),
    ("", "var", _SPREAD,
     "spread(a, axis, quotient(a, dtype), ddof, correction, keepdims, where, mean)"),
    ("", "std", _SPREAD,
     "k.sqrt(spread(a, axis, quotient(a, dtype), ddof, correction, keepdims, where, mean))"),
    ("", "nansum", _TOTAL, "begun(k.add, fold(k.sum, kept(filled(a, 0), where, 0), axis, keepdims, "
                           "wide(a, dtype)), initial)"),
    ("", "nanprod", _TOTAL, "begun(k.mul, fold(each_axis(k.prod), kept(filled(a, 1), where, 1), axis, "
                            "keepdims, wide(a, dtype)), initial)"),
    ("", "nanmean", _MEAN, "mean(a, axis, keepdims, quotient(a, dtype), present(a, where))"),
    ("", "nanvar", _SPREAD, "nan_spread(a, axis, dtype, ddof, correction, keepdims, where, mean)"),
    ("", "nanstd", _SPREAD,
     "k.sqrt(nan_spread(a, axis, dtype, ddof, correction, keepdims, where, mean))"),
    ("", "max", _EDGE, "extreme('maximum', k.amax, a, axis, keepdims, initial, where)"),
    ("", "min", _EDGE, "extreme('minimum', k.amin, a, axis, keepdims, initial, where)"),
    ("", "nanmax", _EDGE, "nan_extreme(k.amax, a, axis, keepdims, -math.inf, initial, where)"),
    ("", "nanmin", _EDGE, "nan_extreme(k.amin, a, axis, keepdims, math.inf, initial, where)"),
    ("", "ptp", "a, axis=None, out=None, keepdims=False",
     "k.sub(extreme('maximum', k.amax, a, axis, keepdims), "
     "extreme('minimum', k.amin, a, axis, keepdims))"),
    ("", "any", _TRUTH, "fold(k.any, kept(a, where, 0), axis, keepdims, truth)"),
    ("", "all", _TRUTH, "fold(k.all, kept(a, where, 1), axis, keepdims, truth)"),
    ("", "count_nonzero", "a, axis=None, *, keepdims=False",
     "fold(k.sum, k.ne(a, 0), axis, keepdims, index)"),
    ("", "argmax", "a, axis=None, out=None, *, keepdims=False", "place(k.argmax, a, axis, keepdims)"),
    ("", "argmin", "a, axis=None, out=None, *, keepdims=False", "place(k.argmin, a, axis, keepdims)"),
    ("", "nanargmax", "a, axis=None, out=None, *, keepdims=False",
     "nan_place(k.argmax, a, axis, keepdims, -math.inf)"),
    ("", "nanargmin", "a, axis=None, out=None, *, keepdims=False",
     "nan_place(k.argmin, a, axis, keepdims, math.inf)"),
    ("", "median", "a, axis=None, out=None, overwrite_input=False, keepdims=False",
     "median(a, axis, keepdims)"),
    ("", "nanmedian", "a, axis=None, out=None, overwrite_input=False, keepdims=False",
     "nan_median(a, axis, keepdims)"),
    ("", "quantile", _QUANTILE, "quantile(a, q, axis, keepdims, method)"),
    ("", "percentile", _QUANTILE, "quantile(a, share(q), axis, keepdims, method, 'Percentiles', 100)"),
    ("", "nanquantile", _QUANTILE, "nan_quantile(a, q, axis, keepdims, method)"),
    ("", "nanpercentile", _QUANTILE,
     "nan_quantile(a, share(q), axis, keepdims, method, 'Percentiles', 100)"),
    ("", "average", "a, axis=None, weights=None, returned=False, *, keepdims=False",
     "average(a, axis, weights, returned, keepdims)"),
    ("", "cumsum", _CUM, "along(k.cumsum, a, axis, wide(a, dtype))"),
    ("", "cumprod", _CUM, "along(k.cumprod, a, axis, wide(a, dtype))"),
    ("", "nancumsum", _CUM, "along(k.cumsum, filled(a, 0), axis, wide(a, dtype))"),
    ("", "nancumprod", _CUM, "along(k.cumprod, filled(a, 1), axis, wide(a, dtype))"),
    ("", "cumulative_sum", "x, /, *, axis=None, dtype=None, out=None, include_initial=False",
     "cumulative(k.cumsum, x, axis, wide(x, dtype), include_initial, 0)"),
    ("", "cumulative_prod", "x, /, *, axis=None, dtype=None, out=None, include_initial=False",
     "cumulative(k.cumprod, x, axis, wide(x, dtype), include_initial, 1)"),
    ("", "diff", "a, n=1, axis=-1, prepend=None, append=None",
     "diff(a, n, axis, prepend, append)"),
    ("", "ediff1d", "ary, to_end=None, to_begin=None", "ediff1d(ary, to_end, to_begin)"),
    ("", "gradient", "f, *varargs, axis=None, edge_order=1", "gradient(asarray(f), varargs, axis, edge_order)"),
    ("", "interp", "x, xp, fp, left=None, right=None, period=None",
     "interp(x, xp, fp, left, right, period)"),
    ("", "convolve", "a, v, mode='full'", "convolve(a, v, mode)"),
    ("", "correlate", "a, v, mode='valid'", "correlate(a, v, mode)"),
    ("", "unwrap", "p, discont=None, axis=-1, *, period=2 * math.pi",
     "unwrap(asarray(p), discont, axis, period)"),
    ("", "histogram", "a, bins=10, range=None, density=None, weights=None",
     "histogram(a, bins, range, density, weights)"),
    ("", "histogram_bin_edges", "a, bins=10, range=None, weights=None",
     "edges_of(a, bins, range, weights)"),
    ("", "histogram2d", "x, y, bins=10, range=None, density=None, weights=None",
     "histogram2d(x, y, bins, range, density, weights)"),
    ("", "histogramdd", "sample, bins=10, range=None, density=None, weights=None",
     "histogramdd(sample, bins, range, density, weights)"),
    ("", "digitize", "x, bins, right=False", "digitize(x, bins, right)"),
    # ---- polynomials and windows ----
    ("", "poly", "seq_of_zeros", "poly(seq_of_zeros)"),
    ("", "roots", "p", "roots(p)"),
    ("", "polyfit", "x, y, deg, rcond=None, full=False, w=None, cov=False",
     "polyfit(x, y, deg, rcond, full, w, cov)"),
    ("", "polyadd", "a1, a2", "polyadd(a1, a2)"),
    ("", "polysub", "a1, a2", "polysub(a1, a2)"),
    ("", "polymul", "a1, a2", "polymul(a1, a2)"),
    ("", "polydiv", "u, v", "polydiv(u, v)"),
    ("", "polyder", "p, m=1", "polyder(p, m)"),
    ("", "polyint", "p, m=1, k=None", "polyint(p, m, k)"),
    ("", "hanning", "M", "window(M, (0.5, 0.5))"),
    ("", "hamming", "M", "window(M, (0.54, 0.46))"),
    ("", "blackman", "M", "window(M, (0.42, 0.5, 0.08))"),
    ("", "bartlett", "M", "bartlett(M)"),
    ("", "kaiser", "M, beta", "kaiser(M, beta)"),
    ("", "polyval", "p, x", "polyval(p, x)"),
    ("", "trapezoid", "y, x=None, dx=1.0, axis=-1", "trapezoid(y, x, dx, axis)"),
    ("", "lexsort", "keys, axis=-1", "lexsort(keys, axis)"),
    ("", "sort_complex", "a", "sort_complex(a)"),
    ("", "union1d", "ar1, ar2", "union1d(ar1, ar2)"),
    ("", "intersect1d", "ar1, ar2, assume_unique=False, return_indices=False",
     "intersect1d(ar1, ar2, assume_unique, return_indices)"),
    ("", "setdiff1d", "ar1, ar2, assume_unique=False", "setdiff1d(ar1, ar2, assume_unique)"),
    ("", "setxor1d", "ar1, ar2, assume_unique=False", "setxor1d(ar1, ar2, assume_unique)"),
    ("", "unique_all", "x, /", "unique_named('All', x, 'values indices inverse_indices counts', "
                              "first=True, inverse=True, counts=True)"),
    ("", "unique_counts", "x, /", "unique_named('Counts', x, 'values counts', counts=True)"),
    ("", "unique_inverse", "x, /", "unique_named('Inverse', x, 'values inverse_indices', inverse=True)"),
    ("", "unique_values", "x, /", "unique(x, equal_nan=False)"),
    ("", "cov", "m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None",
     "cov(m, y, rowvar, (0 if bias else 1) if ddof is None else ddof, fweights, aweights)"),
    ("", "corrcoef", "x, y=None, rowvar=True", "k.corrcoef(both_rows(x, y, rowvar))"),
    # ---- order ----
    ("", "sort", "a, axis=-1, kind=None, order=None, *, stable=None, descending=False",
     "ordered(a, axis, descending)[0]"),
    ("", "argsort", "a, axis=-1, kind=None, order=None, *, stable=None, descending=False",
     "ordered(a, axis, descending)[1]"),
    ("", "partition", "a, kth, axis=-1", "ordered(a, axis)[0]"),
    ("", "argpartition", "a, kth, axis=-1", "ordered(a, axis)[1]"),
    ("", "searchsorted", "a, v, side='left', sorter=None", "search(a, v, side, sorter)"),
    ("", "bincount", "x, weights=None, minlength=0",
     "k.bincount(whole_numbers(x), minlength=minlength, "
     "weights=None if weights is None else asarray(weights).astype('float64'))"),
    ("", "nonzero", "a", "nonzero(a)"),
    ("", "flatnonzero", "a", "k.where(k.reshape(a, -1))[0]"),
    ("", "argwhere", "a", "k.argwhere(a)"),
    ("", "unique", "ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *, "
                   "equal_nan=True, sorted=True",
     "unique(ar, return_index, return_inverse, return_counts, axis, equal_nan)"),
    ("", "isin", "element, test_elements, assume_unique=False, invert=False, *, kind=None",
     "k.isin(*alike((element, test_elements)), invert=invert)"),
    # ---- shapes: views where NumPy's are ----
    ("", "reshape", "a, shape, order='C', *, copy=None", "whole(reshape(a, shape, order))"),
    ("", "ravel", "a, order='C'", "reshape(a, -1, order)"),
    ("", "transpose", "a, axes=None",
     "whole(k.permute(a, tuple(range(a.ndim))[::-1] if axes is None else axes_of(axes, a.ndim)))"),
    ("", "matrix_transpose", "x, /", "matrix_transpose(x)"),
    ("", "swapaxes", "a, axis1, axis2",
     "k.transpose(a, axis_of(axis1, a.ndim, 'axis1: '), axis_of(axis2, a.ndim, 'axis2: '))"),
    ("", "moveaxis", "a, source, destination",
     "k.movedim(a, axes_of(source, a.ndim, 'source: '), axes_of(destination, a.ndim, 'destination: '))"),
    ("", "rollaxis", "a, axis, start=0", "rollaxis(a, axis, start)"),
    ("", "expand_dims", "a, axis", "expand_dims(a, axis)"),
    ("", "squeeze", "a, axis=None", "whole(squeeze(a, axis))"),
    ("", "broadcast_to", "a, shape", "whole(broadcast_to(a, shape))"),
    ("", "broadcast_arrays", "*args", "broadcast_arrays(args)"),
    ("", "atleast_1d", "*arys", "each(k.atleast_1d, arys)"),
    ("", "atleast_2d", "*arys", "each(k.atleast_2d, arys)"),
    ("", "atleast_3d", "*arys", "each(k.atleast_3d, arys)"),
    ("", "flip", "m, axis=None", "k.flip(m, axes_of(axis, m.ndim))"),
    ("", "fliplr", "m", "k.fliplr(m)"),
    ("", "flipud", "m", "k.flipud(m)"),
    ("", "rot90", "m, k=1, axes=(0, 1)", "kiln.rot90(m, k, list(axes))"),
    ("", "roll", "a, shift, axis=None", "k.roll(a, shift, axis) if axis is not None else "
                                       "k.reshape(k.roll(k.reshape(a, -1), shift, 0), a.shape)"),
    ("", "repeat", "a, repeats, axis=None", "repeat(a, repeats, axis)"),
    ("", "tile", "a, reps", "k.tile(a, (reps,) if isinstance(reps, int) else tuple(reps))"),
    ("", "diag", "v, k=0", "kiln.diag(v, k)"),
    ("", "diagflat", "v, k=0", "kiln.diagflat(v, k)"),
    ("", "diagonal", "a, offset=0, axis1=0, axis2=1", "k.diagonal(a, offset, axis1, axis2)"),
    ("", "trace", "a, offset=0, axis1=0, axis2=1, dtype=None, out=None",
     "fold(k.sum, k.diagonal(a, offset, axis1, axis2), -1, False, wide(a, dtype))"),
    ("", "tril", "m, k=0", "kiln.tril(m, k)"),
    ("", "triu", "m, k=0", "kiln.triu(m, k)"),
    ("", "tril_indices", "n, k=0, m=None", "tuple(kiln.tril_indices(n, n if m is None else m, k))"),
    ("", "triu_indices", "n, k=0, m=None", "tuple(kiln.triu_indices(n, n if m is None else m, k))"),
    ("", "tril_indices_from", "arr, k=0",
     "tuple(kiln.tril_indices(*square(arr).shape, k))"),
    ("", "triu_indices_from", "arr, k=0",
     "tuple(kiln.triu_indices(*square(arr).shape, k))"),
    ("", "diag_indices", "n, ndim=2", "(k.arange(n),) * ndim"),
    ("", "diag_indices_from", "arr", "diag_indices_from(arr)"),
    ("", "ix_", "*args", "ix_(*args)"),
    ("", "indices", "dimensions, dtype=int, sparse=False", "indices(dimensions, dtype, sparse)"),
    ("", "meshgrid", "*xi, copy=True, sparse=False, indexing='xy'", "meshgrid(xi, sparse, indexing)"),
    ("", "ravel_multi_index", "multi_index, dims, mode='raise', order='C'",
     "ravel_multi_index(multi_index, dims, mode, order)"),
    ("", "unravel_index", "indices, shape", "tuple(k.unravel_index(indices, shape))"),
    # ---- joining and parting ----
    ("", "concatenate", "arrays, /, axis=0, out=None, *, dtype=None, casting='same_kind'",
     "concatenate(arrays, axis, dtype, casting)"),
    ("", "stack", "arrays, axis=0, out=None, *, dtype=None, casting='same_kind'",
     "stack(arrays, axis, dtype, casting)"),
    ("", "hstack", "tup, *, dtype=None, casting='same_kind'",
     "k.hstack(alike(tup, dtype, casting))"),
    ("", "vstack", "tup, *, dtype=None, casting='same_kind'",
     "k.vstack(alike(tup, dtype, casting))"),
    ("", "dstack", "tup", "k.dstack(alike(tup))"),
    ("", "column_stack", "tup", "k.column_stack(alike(tup))"),
    ("", "append", "arr, values, axis=None", "append(arr, values, axis)"),
    ("", "insert", "arr, obj, values, axis=None", "insert(arr, obj, values, axis)"),
    ("", "delete", "arr, obj, axis=None", "delete(arr, obj, axis)"),
    ("", "pad", "array, pad_width, mode='constant', **kwargs", "pad(array, pad_width, mode, kwargs)"),
    ("", "resize", "a, new_shape", "resize(a, new_shape)"),
    ("", "block", "arrays", "block(arrays)"),
    ("", "trim_zeros", "filt, trim='fb'", "trim_zeros(filt, trim)"),
    ("", "unstack", "x, /, *, axis=0", "unstack(x, axis)"),
    ("", "packbits", "a, axis=None, bitorder='big'", "packbits(a, axis, bitorder)"),
    ("", "unpackbits", "a, axis=None, count=None, bitorder='big'", "unpackbits(a, axis, count, bitorder)"),
    ("", "split", "ary, indices_or_sections, axis=0", "split(ary, indices_or_sections, axis, True)"),
    ("", "array_split", "ary, indices_or_sections, axis=0",
     "split(ary, indices_or_sections, axis, False)"),
    ("", "hsplit", "ary, indices_or_sections",
     "split(deep(ary, 1, 'hsplit'), indices_or_sections, int(ary.ndim > 1), True)"),
    ("", "vsplit", "ary, indices_or_sections", "split(deep(ary, 2, 'vsplit'), indices_or_sections, 0, True)"),
    ("", "dsplit", "ary, indices_or_sections", "split(deep(ary, 3, 'dsplit'), indices_or_sections, 2, True)"),
    # ---- choosing ----
    ("", "where", "condition, x=None, y=None", "where(condition, x, y)"),
    ("", "clip", "a, a_min=None, a_max=None, out=None, *, min=None, max=None",
     "clip(a, min if a_min is None else a_min, max if a_max is None else a_max)"),
    ("", "take", "a, indices, axis=None, out=None, mode='raise'",
     "take(a, indices, axis, mode)"),
    ("", "take_along_axis", "arr, indices, axis=-1", "k.take_along_dim(arr, indices, axis) "
     "if axis is not None else k.take_along_dim(k.reshape(arr, -1), indices, 0)"),
    ("", "compress", "condition, a, axis=None, out=None",
     "take(a, k.where(cast(condition, truth))[0], axis)"),
    ("", "select", "condlist, choicelist, default=0", "select(condlist, choicelist, default)"),
    ("", "choose", "a, choices, out=None, mode='raise'", "choose(a, choices, mode)"),
    ("", "piecewise", "x, condlist, funclist, *args, **kw",
     "piecewise(x, condlist, funclist, args, kw)"),
    ("", "extract", "condition, arr", "k.reshape(arr, -1)[k.where(k.reshape(condition, -1))[0]]"),
    ("", "modf", "x, /", "modf(x)"),
    ("", "frexp", "x, /", "frexp(x)"),
    ("", "ldexp", "x1, x2, /", "ldexp(x1, x2)"),
    ("", "real_if_close", "a, tol=100", "real_if_close(a, tol)"),
    ("", "nan_to_num", "x, copy=True, nan=0.0, posinf=None, neginf=None",
     "k.nan_to_num(x, nan, posinf, neginf)"),
    ("", "round", "a, decimals=0, out=None", "rounded(a, decimals)"),
    ("", "fix", "x", "k.trunc(x)"),
    ("", "isclose", "a, b, rtol=1e-05, atol=1e-08, equal_nan=False",
     "close(a, b, rtol, atol, equal_nan)"),
    ("", "allclose", "a, b, rtol=1e-05, atol=1e-08, equal_nan=False",
     "bool(k.all(close(a, b, rtol, atol, equal_nan)))"),
    ("", "array_equiv", "a1, a2", "equivalent(a1, a2)"),
    ("", "array_equal", "a, b, equal_nan=False", "same(a, b, equal_nan)"),
    ("", "real", "a", "whole(k.real(a))"),
    ("", "imag", "a", "whole(k.imag(a) if a.dtype.kind == 'c' else k.zeros_like(a))"),
    ("", "angle", "a, deg=False", "angle(a, deg)"),
    ("", "isreal", "x", "k.isreal(x)"),
    ("", "iscomplex", "x", "k.logical_not(k.isreal(x))"),
    ("", "isposinf", "x", "k.isposinf(x)"),
    ("", "isneginf", "x", "k.isneginf(x)"),
    ("", "sinc", "x", "k.sinc(cast(x, quotient(x, None)))"),
    ("", "i0", "x", "k.i0(cast(x, quotient(x, None)))"),
    # ---- products ----
    ("", "matmul", "a, b, out=None", "matmul(a, b)"),
    ("", "dot", "a, b, out=None", "dot(a, b)"),
    ("", "vdot", "a, b", "k.vdot(*(k.reshape(t, -1) for t in alike((a, b))))"),
    ("", "inner", "a, b", "inner(a, b)"),
    ("", "outer", "a, b, out=None", "k.outer(*(k.reshape(t, -1) for t in alike((a, b))))"),
    ("", "vecdot", "x1, x2, /, *, axis=-1", "vecdot(x1, x2, axis)"),
    ("", "matvec", "x1, x2, /", "matvec(x1, x2)"),
    ("", "vecmat", "x1, x2, /", "vecmat(x1, x2)"),
    ("", "kron", "a, b", "k.kron(*alike((a, b)))"),
    ("", "cross", "a, b, axis=-1", "cross(*alike((a, b)), axis)"),
    ("", "tensordot", "a, b, axes=2", "whole(kiln.tensordot(*alike((a, b)), axes))"),
    ("", "einsum", "*operands, out=None, optimize=False", "einsum(operands)"),
    # ---- numpy.linalg ----
    ("linalg", "norm", "x, ord=None, axis=None, keepdims=False", "norm(x, ord, axis, keepdims)"),
    ("linalg", "matrix_power", "a, n", "matrix_power(a, n)"),
    ("linalg", "det", "a", "linalg.det(squares(a))"),
    ("linalg", "slogdet", "a", "named('SlogdetResult', 'sign logabsdet', linalg.slogdet, "
                               "squares(a))"),
    ("linalg", "inv", "a", "solved(linalg.inv, squares(a))"),
    ("linalg", "solve", "a, b", "solve(a, b)"),
    ("linalg", "cholesky", "a, /, *, upper=False",
     "solved(linalg.cholesky, squares(a), upper=upper)"),
    ("linalg", "qr", "a, mode='reduced'", "qr(a, mode)"),
    ("linalg", "svd", "a, full_matrices=True, compute_uv=True, hermitian=False",
     "svd(a, full_matrices, compute_uv)"),
    ("linalg", "svdvals", "x, /", "linalg.svdvals(matrices(x))"),
    ("linalg", "eigh", "a, UPLO='L'", "named('EighResult', 'eigenvalues eigenvectors', "
                                      "linalg.eigh, squares(a), UPLO)"),
    ("linalg", "eigvalsh", "a, UPLO='L'", "linalg.eigvalsh(squares(a), UPLO)"),
    ("linalg", "eig", "a", "eig(a)"),
    ("linalg", "eigvals", "a", "eig(a)[0]"),
    ("linalg", "lstsq", "a, b, rcond=None", "lstsq(a, b, rcond)"),
    ("linalg", "pinv", "a, rcond=None, hermitian=False, *, rtol=unset",
     "pinv(matrices(a), rcond, hermitian, rtol)"),
    ("linalg", "matrix_rank", "a, tol=None, hermitian=False, *, rtol=None",
     "matrix_rank(a, tol, hermitian, rtol)"),
    ("linalg", "cond", "x, p=None", "linalg.cond(full_precision(x), p)"),
    ("linalg", "tensorsolve", "a, b, axes=None",
     "solved(linalg.tensorsolve, *map(full_precision, alike((a, b))), axes)"),
    ("linalg", "tensorinv", "a, ind=2", "solved(linalg.tensorinv, full_precision(a), ind)"),
    ("linalg", "vecdot", "x1, x2, /, *, axis=-1", "vecdot(x1, x2, axis)"),
    ("linalg", "tensordot", "x1, x2, /, *, axes=2", "whole(kiln.tensordot(*alike((x1, x2)), axes))"),
    ("linalg", "vector_norm", "x, /, *, axis=None, keepdims=False, ord=2",
     "vector_norm(x, axis, keepdims, ord)"),
    ("linalg", "matrix_norm", "x, /, *, keepdims=False, ord='fro'",
     "norm(x, ord, (-2, -1), keepdims)"),
    ("linalg", "multi_dot", "arrays", "multi_dot(alike(arrays))"),
    ("linalg", "matmul", "x1, x2", "matmul(x1, x2)"),
    ("linalg", "outer", "x1, x2", "k.outer(*alike((x1, x2)))"),
    ("linalg", "cross", "x1, x2, axis=-1", "k.cross(*alike((x1, x2)), axis)"),
    ("linalg", "trace", "x, /, *, offset=0, dtype=None",
     "fold(k.sum, k.diagonal(x, offset, -2, -1), -1, False, wide(x, dtype))"),
    ("linalg", "diagonal", "x, /, *, offset=0", "k.diagonal(x, offset, -2, -1)"),
    ("linalg", "matrix_transpose", "x, /", "matrix_transpose(x)"),
]

_ONE = "a, n=None, axis=-1, norm=None, out=None"
_MANY = "a, s=None, axes=None, norm=None, out=None"
_TWO = "a, s=None, axes=(-2, -1), norm=None, out=None"
FUNCTIONS += [("fft", f, _ONE, f"transformed(fft.{f}, cast(a, quotient(a, None)), n, axis, norm)")
              for f in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")]
FUNCTIONS += [("fft", f + tail, sig, f"transformed(fft.{f}n, cast(a, quotient(a, None)), s, axes, norm)")
              for f in ("fft", "ifft", "rfft", "irfft") for tail, sig in (("2", _TWO), ("n", _MANY))]
FUNCTIONS += [
    ("fft", "fftfreq", "n, d=1.0, device=None, *, dtype=None",
     "fft.fftfreq(n, d, dtype=real(dtype), device=device)"),
    ("fft", "rfftfreq", "n, d=1.0, device=None, *, dtype=None",
     "fft.rfftfreq(n, d, dtype=real(dtype), device=device)"),
    ("fft", "fftshift", "x, axes=None", "fft.fftshift(x, axes)"),
    ("fft", "ifftshift", "x, axes=None", "fft.ifftshift(x, axes)"),
]

ALIASES = {
    "true_divide": "divide", "mod": "remainder", "abs": "absolute", "conj": "conjugate",
    "bitwise_not": "invert", "bitwise_invert": "invert", "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift", "degrees": "rad2deg", "radians": "deg2rad",
    "amax": "max", "amin": "min", "acos": "arccos", "acosh": "arccosh", "asin": "arcsin",
    "asinh": "arcsinh", "atan": "arctan", "atanh": "arctanh", "atan2": "arctan2",
    "pow": "power", "around": "round", "concat": "concatenate",
    "permute_dims": "transpose",
}
