"""test_science.py: pandas, SciPy and matplotlib take a tensor, and an array of kiln.numpy, where
they take an array: each call gives what it gives for NumPy's. Skips itself without the three.

What they do not take is said here, too: pandas looks at the class of a key (.loc, .iloc, a mask)
and of what pd.unique and pd.factorize are given, and of isin's values it takes the elements, which
are tensors to it."""
import sys
import unittest

try:
    import matplotlib
    import numpy as np
    import pandas as pd
    import scipy
    import scipy.fft
    import scipy.integrate
    import scipy.interpolate
    import scipy.linalg
    import scipy.ndimage
    import scipy.optimize
    import scipy.signal
    import scipy.sparse
    import scipy.spatial
    import scipy.special
    import scipy.stats
except ImportError:
    sys.exit(77)
import kiln
import kiln.numpy

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# over x (4 numbers), m (a 2 by 2 matrix), i (3 integers), b (4 truth values)
PANDAS = """
pd.Series(x)
pd.Series(i).value_counts()
pd.DataFrame(m)
pd.DataFrame(m, columns=['a', 'b']).mean()
pd.DataFrame({'a': x, 'b': x * 2}).sum()
pd.Index(i)
pd.DataFrame({'a': [1, 2, 3, 4]}).assign(c=x)
pd.cut(x, 2).codes
pd.Series([1., 2, 3, 4]) + x
x + pd.Series([1., 2, 3, 4])
pd.isna(x)
pd.concat([pd.Series(x), pd.Series(x)])
pd.to_numeric(x)
pd.Series([1., 2, 3, 4]).where(b, x)
"""
SCIPY = """
scipy.fft.fft(x)
scipy.linalg.solve(m, m)
scipy.linalg.svdvals(m)
scipy.linalg.expm(m)
scipy.signal.convolve(x, x)
scipy.signal.medfilt(x)
scipy.signal.lfilter([1.], [1., .5], x)
scipy.stats.describe(x).variance
scipy.stats.ttest_1samp(x, 1).statistic
scipy.stats.norm.pdf(x)
scipy.stats.zscore(x)
scipy.stats.linregress(x, x).slope
scipy.interpolate.CubicSpline([0., 1, 2, 3], x)(1.5)
scipy.sparse.csr_matrix(m).toarray()
scipy.sparse.csr_matrix(np.eye(2)) @ m
scipy.sparse.coo_matrix((x, (b * 1, b * 1))).toarray()
scipy.ndimage.gaussian_filter(m, 1)
scipy.special.gamma(x)
scipy.special.logsumexp(x)
scipy.integrate.trapezoid(x)
scipy.spatial.distance.cdist(m, m)
scipy.spatial.KDTree(m).query(m)[1]
scipy.optimize.curve_fit(lambda t, a: a * t, x, x)[0]
scipy.optimize.minimize(lambda v: float(((v - np.asarray(x)) ** 2).sum()), x).x
"""
MATPLOTLIB = """
ax.plot(x, x)[0].get_ydata()
ax.plot(x)[0].get_ydata()
[line.get_ydata() for line in ax.plot(m)]
ax.scatter(x, x, c=x, s=x).get_offsets()
ax.imshow(m).get_array()
ax.hist(x, bins=2)[0]
ax.hist2d(x, x, bins=2)[0]
ax.bar(i, i)[0].get_height()
len(ax.errorbar(x, x, yerr=x))
ax.fill_between(x, x, 0).get_paths()[0].vertices
ax.contourf(m).levels
ax.pcolormesh(m).get_array()
len(ax.boxplot(m)['boxes'])
ax.step(x, x)[0].get_xdata()
ax.stem(x, x).markerline.get_ydata()
ax.set_xticks(i)[0].get_loc()
ax.quiver(x, x, x, x).U
len(ax.pie(x)[0])
len(ax.violinplot(x)['bodies'])
ax.vlines(x, 0, 1).get_segments()
"""
NUMPY = """
np.max(x)
np.min(m, axis=0)
np.std(x)
np.var(m, axis=1, ddof=1)
np.prod(x)
np.any(b)
np.argmax(x)
np.sort(x)
np.concatenate([x, x])
np.linalg.norm(x)
np.histogram(x, 2)[0]
np.where(b, x, 0)
np.arange(5)[i]
np.float64(2) * x
np.interp(1.5, [0., 1, 2, 3], x)
"""


def evaluated(form, make):
    x, m = make(np.array([3., 1, 2, 5])), make(np.array([[4., 1], [2, 3]]))
    i, b = make(np.array([1, 2, 2])), make(np.array([True, False, True, True]))
    figure, ax = plt.subplots()
    try:
        return eval(form, {"x": x, "m": m, "i": i, "b": b, "ax": ax, "pd": pd, "np": np, "scipy": scipy})
    finally:
        plt.close(figure)


class Libraries(unittest.TestCase):
    def same(self, forms):
        for make in (kiln.from_numpy, kiln.numpy.asarray):
            for form in forms.strip().splitlines():
                with self.subTest(form=form, of=make.__module__):
                    want, got = evaluated(form, lambda a: a), evaluated(form, make)
                    np.testing.assert_allclose(np.asarray(got), np.asarray(want), 1e-12)

    def test_pandas(self):
        self.same(PANDAS)
        t = kiln.tensor(pd.Series([1., 2]))
        self.assertEqual((t.dtype, t.tolist()), (kiln.float64, [1, 2]))
        self.assertEqual(kiln.tensor(pd.DataFrame({"a": [1], "b": [2]})).tolist(), [[1, 2]])

    def test_scipy(self):
        self.same(SCIPY)

    def test_matplotlib(self):
        self.same(MATPLOTLIB)

    def test_operators(self):
        """A number of NumPy's beside a tensor, and a tensor beside an array, give a tensor; an array
        beside a tensor gives an array, which pandas counts on."""
        t, u = kiln.ones(3, requires_grad=True), kiln.ones(3)
        y = np.float64(2) * t - np.float32(1) / t + t ** np.int64(2)
        y.sum().backward()
        self.assertEqual(t.grad.tolist(), [5.0] * 3)
        self.assertEqual([v.dtype for v in (np.float64(2) < u, np.sin(u), u - np.ones(3), t * np.ones(3))],
                         [kiln.bool, kiln.float32, kiln.float64, kiln.float64])
        self.assertIs(type(np.ones(3) * u), np.ndarray)
        made = [[np.float64(2)], [1, np.float64(2)], [np.float16(1)], [np.float16(1), 1.5],
                [np.int8(1), np.int16(1)], [[np.complex64(1j)], [2.0]]]
        self.assertEqual([kiln.tensor(v).dtype for v in made],
                         [kiln.float64, kiln.float64, kiln.float16, kiln.float32, kiln.int16, kiln.complex64])
        self.assertEqual(kiln.tensor(made[-1]).tolist(), [[1j], [2]])
        self.assertEqual(np.dtype(kiln.float16), np.float16)
        with self.assertRaises(TypeError):
            np.dtype(kiln.bfloat16)
        self.assertIs(type(np.sin(kiln.numpy.ones(3))), kiln.numpy.ndarray)

    def test_numpy(self):
        self.same(NUMPY)
        with self.assertRaisesRegex(RuntimeError, "Can't call numpy"):
            np.max(kiln.ones(2, requires_grad=True))


if __name__ == "__main__":
    unittest.main()
