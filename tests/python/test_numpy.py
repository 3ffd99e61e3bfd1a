"""kiln.numpy by itself, without NumPy: every name of its table is there, the guide's table of
names, and what NumPy prints. peer_numpy.py compares all of it with NumPy."""
import unittest

import kiln as torch
import kiln.numpy as np
from kiln.numpy import _table


def guide():
    """The rows of guides that put NumPy's names beside PyTorch's: both sides, one value."""
    a = np.array([[3., 1, 2], [4, 6, 5]])
    t = torch.tensor([[3., 1, 2], [4, 6, 5]], dtype=torch.float64)
    return [
        (np.zeros((2, 3)), torch.zeros(2, 3)), (np.ones((2, 3)), torch.ones(2, 3)),
        (np.full((2, 3), 7.), torch.full((2, 3), 7.)), (np.eye(3), torch.eye(3)),
        (np.arange(0, 6, 2), torch.arange(0, 6, 2)),
        (np.linspace(0, 1, 5), torch.linspace(0, 1, steps=5)),
        (a.reshape(-1), t.view(-1)), (np.ravel(a), t.flatten()), (a.T, t.T),
        (np.swapaxes(a, 0, 1), t.transpose(0, 1)), (np.moveaxis(a, 0, 1), t.movedim(0, 1)),
        (np.expand_dims(a, 0), t.unsqueeze(0)), (np.squeeze(a[:1]), t[:1].squeeze()),
        (np.concatenate([a, a], axis=1), torch.cat([t, t], dim=1)),
        (np.stack([a, a], axis=1), torch.stack([t, t], dim=1)),
        (np.repeat(a, 2, axis=0), t.repeat_interleave(2, dim=0)),
        (np.tile(a, (2, 1)), t.repeat(2, 1)), (np.where(a > 2, a, 0), torch.where(t > 2, t, 0)),
        (np.clip(a, 2, 4), torch.clamp(t, min=2, max=4)),
        (np.argmax(a, axis=1), t.argmax(dim=1)), (np.sort(a, axis=1), t.sort(dim=1)[0]),
        (np.argsort(a, axis=1), t.argsort(dim=1)), (a.sum(axis=0), t.sum(dim=0)),
        (a.mean(axis=1), t.mean(dim=1)), (a.std(axis=1), t.std(dim=1, correction=0)),
        (a.var(axis=0), t.var(dim=0, correction=0)), (a @ a.T, t @ t.T),
        (np.dot(a, a.T), torch.mm(t, t.T)), (np.linalg.norm(a), torch.norm(t)),
        (a + a, torch.add(t, t)), (np.maximum(a, 3), torch.maximum(t, torch.tensor(3.))),
        (np.fft.fft(a[0]), torch.fft.fft(t[0])), (np.abs(-a), torch.abs(-t)),
        (a.astype(np.float32), t.to(torch.float32)), (np.copy(a), t.clone())]


class Names(unittest.TestCase):
    def test_table(self):
        rows = [("", r[0]) for r in _table.UFUNCS] + [r[:2] for r in _table.FUNCTIONS]
        rows += [("", alias) for alias in _table.ALIASES]
        for module, name in rows:
            self.assertTrue(callable(getattr(getattr(np, module) if module else np, name)), name)
        self.assertGreater(len(rows), 240)
        self.assertFalse(hasattr(np, "frompyfunc"))

    def test_guide(self):
        for i, (a, t) in enumerate(guide()):
            self.assertEqual(a.tolist(), t.tolist(), i)
            self.assertEqual(a.shape, tuple(t.shape), i)


class Functions(unittest.TestCase):
    def test_where(self):
        a = np.array([[1., -2], [3, 4]])
        self.assertEqual(np.sum(a, axis=0, where=a > 0).tolist(), [4, 4])
        self.assertEqual(np.sqrt(a, where=a > 0, out=np.zeros((2, 2))).tolist()[0], [1, 0])
        self.assertEqual(np.sqrt(a, where=a > 0).tolist()[0], [1, 0])  # NumPy: whatever was there
        with self.assertRaisesRegex(ValueError, "one has to specify 'initial'"):
            np.max(a, where=a > 0)

    def test_sums_keep_the_dtype_asked_for(self):
        a = np.array([200, 100], "uint8")
        for f, want in ((np.sum, 44), (np.prod, 32), (np.cumsum, [200, 44]), (np.cumulative_prod, [200, 32])):
            r = f(a, dtype=np.uint8)
            self.assertEqual((r.dtype, r.tolist()), (np.uint8, want))
        self.assertEqual(np.vecdot(a, a).dtype, np.uint8)

    def test_order_of_columns(self):
        a = np.arange(6).reshape(2, 3)
        columns = [0, 3, 1, 4, 2, 5]
        for r in (a.reshape(-1, order="F"), a.ravel("F"), np.ravel(a, order="F"), a.flatten("F"),
                  a.T.ravel("C"), np.array(a, order="F").T.ravel()):
            self.assertEqual(r.tolist(), columns)
        self.assertEqual(a.reshape((3, -1), order="F").tolist(), [[0, 4], [3, 2], [1, 5]])
        self.assertEqual(np.array(a, order="F").strides, (8, 16))

    def test_arguments_of_numpy(self):
        a = np.array([[3, 1, 2], [0, 5, 4]])
        mean, weights = np.average(a, axis=1, weights=[1, 2, 3], returned=True)
        self.assertEqual((mean.tolist(), weights.tolist()), ([11 / 6, 22 / 6], [6, 6]))
        self.assertEqual(np.average(a, axis=1, returned=True)[1].tolist(), [3, 3])
        self.assertEqual(np.take(a, [-1, 7], mode="wrap").tolist(), [4, 1])
        self.assertEqual(np.take(a, [-1, 7], mode="clip").tolist(), [3, 4])
        self.assertEqual(a.compress([1, 0, 1], axis=1).tolist(), [[3, 2], [0, 4]])
        self.assertEqual(np.cross([1, 2], [3, 4]).item(), -2)
        self.assertEqual(np.cross([1, 2], [3, 4, 5]).tolist(), [10, -5, -2])
        self.assertEqual(np.linalg.matrix_power([[1, 2], [3, 4]], -1).round(6).tolist(),
                         [[-2, 1], [1.5, -0.5]])
        self.assertEqual((np.float64("1.5"), np.int32("7"), np.sign(-3.)), (1.5, 7, -1))
        self.assertEqual((np.array([1, 2]) != None).tolist(), [True, True])  # noqa: E711
        self.assertEqual(np.array2string(np.array([1.5678, 2]), precision=1), "[1.6 2. ]")
        np.copyto(a, 9, where=a > 3)
        a.put([0, -1], [7, 8])
        self.assertEqual(a.tolist(), [[7, 1, 2], [0, 9, 8]])
        a.shape = 6
        self.assertEqual(a.tolist(), [7, 1, 2, 0, 9, 8])

    def test_errors_of_numpy(self):
        a = np.ones((2, 3))
        for error, fn in [
                (ZeroDivisionError, lambda: np.average(a, axis=1, weights=[0, 0, 0])),
                (ValueError, lambda: np.bincount([-1])), (ValueError, lambda: np.dsplit(a, 2)),
                (ValueError, lambda: a.reshape(4, -1)), (ValueError, lambda: np.fft.fft([])),
                (ValueError, lambda: np.fft.fft([1.], norm="x")), (IndexError, lambda: a["x"]),
                (ValueError, lambda: np.linalg.norm(a, "x")), (IndexError, lambda: a[1.5]),
                (ValueError, lambda: np.linalg.solve(np.eye(2), np.ones(3))),
                (TypeError, lambda: np.copyto(np.array([1]), 2.5))]:
            self.assertRaises(error, fn)

    def test_complex_order(self):
        a = np.array([2 + 1j, complex(0, np.nan), 2 - 1j, 1 + 5j, 2 - 1j])
        self.assertEqual(np.argsort(a).tolist(), [3, 2, 4, 0, 1])
        self.assertEqual(np.unique(a[2:]).tolist(), [1 + 5j, 2 - 1j])

    def test_masks_without_elements(self):
        for mask, shape in (((0,), (0, 3)), ((0, 3), (0,)), ((2, 0), (0,))):
            a = np.ones((2, 3))
            self.assertEqual(a[np.zeros(mask, bool)].shape, shape)
            a[np.zeros(mask, bool)] = 5
            self.assertEqual(a.sum(), 6)
        self.assertEqual(np.ones((0, 3))[np.zeros(0, bool)].shape, (0, 3))

    def test_walks(self):
        a = np.arange(6.).reshape(2, 3)
        a.flat[[1, 4]] = 9
        self.assertEqual((a.flat[-2], a.flat[:2].tolist(), len(a.flat)), (9, [0, 9], 6))
        a.flat = 3
        self.assertEqual([float(v) for v in a.flat], [3] * 6)
        it = np.nditer([np.arange(3), np.arange(2)[:, None], None])
        for x, y, z in it:
            z[...] = x * y
        self.assertEqual(it.operands[2].tolist(), [[0, 0, 0], [0, 1, 2]])
        it, seen = np.nditer(np.arange(6).reshape(2, 3).T, flags=["multi_index"]), []
        while not it.finished:
            seen.append((int(it[0]), it.multi_index))
            it.iternext()
        self.assertEqual(seen[1:3], [(1, (1, 0)), (2, (2, 0))])
        self.assertEqual(np.add.reduceat(np.arange(8), [0, 4, 1, 5]).tolist(), [6, 4, 10, 18])
        self.assertEqual([t.tolist() for t in np.atleast_2d(1, [2, 3])], [[[1]], [[2, 3]]])

    def test_strides(self):
        views = np.lib.stride_tricks
        a = np.arange(6)
        self.assertEqual(views.as_strided(a, (3, 2), (8, 16)).tolist(), [[0, 2], [1, 3], [2, 4]])
        b = views.sliding_window_view(a.reshape(2, 3), (2, 2))
        self.assertEqual(b[0].tolist(), [[[0, 1], [3, 4]], [[1, 2], [4, 5]]])
        for call, text in ((lambda: views.sliding_window_view(a, 7), "cannot be larger"),
                           (lambda: np.add.reduceat(a, [6]), "index 6 out-of-bounds in add.reduceat"),
                           (lambda: np.nditer(np.zeros((0, 2))), "zero-sized operands")):
            with self.assertRaisesRegex((ValueError, IndexError), text):
                call()
        with self.assertRaisesRegex(NotImplementedError, "writeable"):
            a.flags.writeable = False

    def test_turns_complex(self):
        self.assertEqual((np.emath.sqrt(-1), np.emath.sqrt(4), np.lib.scimath.logn(2, 8)), (1j, 2, 3))
        self.assertEqual(np.emath.log([1., 1.]).dtype, float)
        self.assertEqual(np.emath.power([2, 4], -1).tolist(), [.5, .25])

    def test_edges(self):
        self.assertEqual((str(np.finfo("float32").max), np.finfo(float).eps.dtype), ("3.4028235e+38", float))
        self.assertEqual(str(np.sign(np.array([np.nan, -2]))), "[nan -1.]")
        self.assertEqual(str(np.array([-0., 4, -4]) % np.array([3, -2, 4])), "[ 0. -0.  0.]")
        self.assertEqual(np.arcsinh(np.array([1e300, -np.inf])).tolist(), [691.4686750787736, -np.inf])
        z = np.array([2, -2, complex(2, -0.)])
        self.assertEqual(np.round(np.arcsin(z), 3).tolist(), [1.571 + 1.317j, -1.571 + 1.317j, 1.571 - 1.317j])
        self.assertEqual(np.sinh(np.array([complex(np.inf, 0)])).tolist(), [complex(np.inf, 0)])

    def test_refused(self):
        for call, text in ((lambda: np.seterr(all="raise"), "divide='raise'"),
                           (lambda: np.set_printoptions(sign="+"), "sign"),
                           (lambda: np.r_["r", [1], [2]], "matrix subscripts"),
                           (lambda: np.vectorize(abs, signature="(n)->()"), "signature"),
                           (lambda: np.savetxt(None, np.ones(2) * 1j), "complex"),
                           (lambda: np.pad(np.ones(2), 1, "reflect", reflect_type="odd"), "odd")):
            with self.assertRaisesRegex(NotImplementedError, text):
                call()
        with self.assertRaisesRegex(ValueError, "Calling nonzero on 0d arrays"):
            np.nonzero(np.array(1))
        with self.assertRaisesRegex(TypeError, "requires stop"):
            np.arange()
        with self.assertRaisesRegex(ValueError, "stream argument"):
            np.ones(2).to_device("cpu", stream=1)
        with self.assertRaisesRegex(ValueError, 'Only "cpu" is allowed, but received: gpu'):
            np.from_dlpack(np.ones(2), device="gpu")
        with self.assertRaisesRegex(ValueError, "unsupported kind: 'big'"):
            np.__array_namespace_info__().dtypes(kind="big")
        with self.assertRaisesRegex(ValueError, "binary mode of fromstring is removed"):
            np.fromstring("12", sep="")
        with self.assertRaisesRegex(ValueError, "string is smaller than requested size"):
            np.fromstring("1 2", count=3, sep=" ")


class Namespace(unittest.TestCase):
    def test_dimensions(self):
        most = np.__array_namespace_info__().capabilities()["max dimensions"]
        self.assertEqual(np.ones((1,) * most).ndim, most)
        with self.assertRaisesRegex(RuntimeError, f"more than {most} dimensions"):
            np.reshape(np.ones(1), (1,) * (most + 1))


class Defaults(unittest.TestCase):
    def test_dtypes(self):
        self.assertEqual(str(np.array([1., 2]).dtype), "float64")
        self.assertEqual(repr(np.zeros(2).dtype), "dtype('float64')")
        self.assertEqual((np.array([1, 2]) / 2).dtype, np.float64)
        self.assertEqual((np.array([1, 2], "float32") * 2.5).dtype, "float32")
        self.assertEqual((np.array([1, 2], "uint8") + np.array([1], "int8")).dtype, np.int16)
        self.assertEqual(np.array([1, 2]).mean().dtype, float)
        self.assertAlmostEqual(float(np.array([1., 2, 3, 4]).std()), 1.1180340, 6)
        with self.assertRaisesRegex(OverflowError, "Python integer 300 out of bounds for uint8"):
            np.array([1], "uint8") + 300
        with self.assertRaisesRegex(TypeError, "Cannot interpret 'x' as a data type"):
            np.dtype("x")

    def test_views(self):
        a = np.arange(6)
        b = a[::-2]
        self.assertEqual(b.strides, (-16,))
        b[0] = 50
        self.assertEqual(a.tolist(), [0, 1, 2, 3, 4, 50])
        a[4:0:-1] += 10
        self.assertEqual(a.tolist(), [0, 11, 12, 13, 14, 50])
        self.assertEqual(memoryview(b).strides, (-16,))

    def test_text(self):
        self.assertEqual(str(np.array([2., 1, 1, 1, 1])), "[2. 1. 1. 1. 1.]")
        self.assertEqual(repr(np.array([100, 2, 3])), "array([100,   2,   3])")
        self.assertEqual(repr(np.array([1.5], "float32")), "array([1.5], dtype=float32)")
        self.assertEqual(repr(np.zeros((0, 3))), "array([], shape=(0, 3), dtype=float64)")
        self.assertEqual(str(np.arange(1200)), "[   0    1    2 ... 1197 1198 1199]")
        self.assertEqual(repr(np.array([1.5, 2]).sum()), "np.float64(3.5)")
        self.assertEqual(f"{np.array([1.5, 2]).sum():.2f}", "3.50")


ERRORS = [  # what is done, the error and its text
    (lambda a: a[5], IndexError, "index 5 is out of bounds for axis 0 with size 2"),
    (lambda a: a[0, 0, 0], IndexError,
     "too many indices for array: array is 2-dimensional, but 3 were indexed"),
    (lambda a: a.sum(axis=2), np.AxisError, "axis 2 is out of bounds for array of dimension 2"),
    (lambda a: a.sum(axis=(0, 0)), ValueError, "duplicate value in 'axis'"),
    (lambda a: bool(a), ValueError, "The truth value of an array with more than one element"),
    (lambda a: a + np.ones(2), ValueError,
     r"operands could not be broadcast together with shapes \(2,3\) \(2,\)"),
    (lambda a: np.squeeze(a, 0), ValueError,
     "cannot select an axis to squeeze out which has size not equal to one"),
    (lambda a: np.concatenate([a, np.ones((2, 2))]), ValueError,
     "but along dimension 1, the array at index 0 has size 3 and the array at index 1 has size 2"),
    (lambda a: a.reshape(5), ValueError, r"cannot reshape array of size 6 into shape \(5,\)"),
    (lambda a: np.max(a[:0]), ValueError,
     "zero-size array to reduction operation maximum which has no identity"),
    (lambda a: np.stack([a, a.T]), ValueError, "all input arrays must have the same shape"),
    (lambda a: a & a, TypeError, "ufunc 'bitwise_and' not supported for the input types"),
    (lambda a: a @ a, ValueError, "matmul: Input operand 1 has a mismatch in its core dimension 0"),
    (lambda a: a.astype(int) ** -1, ValueError, "Integers to negative integer powers"),
    (lambda a: np.quantile(a, 2), ValueError, "Quantiles must be in the range"),
    (lambda a: np.linalg.inv(np.zeros((2, 2))), np.linalg.LinAlgError, "Singular matrix"),
    (lambda a: len(a.sum()), TypeError, "len\\(\\) of unsized object"),
    (lambda a: a.item(), ValueError, "can only convert an array of size 1 to a Python scalar"),
    (lambda a: np.split(a, 2, 1), ValueError, "array split does not result in an equal division"),
    (lambda a: np.array([[1], [2, 3]]), ValueError, "inhomogeneous shape after 1 dimensions"),
    (lambda a: a.astype(int).__iadd__(1.5), TypeError,
     "Cannot cast ufunc 'add' output from dtype\\('float64'\\) to dtype\\('int64'\\)"),
]


class Errors(unittest.TestCase):
    def test_texts(self):
        for do, kind, text in ERRORS:
            with self.assertRaisesRegex(kind, text):
                do(np.ones((2, 3)))


if __name__ == "__main__":
    unittest.main()
