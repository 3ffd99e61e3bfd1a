"""test_rows.py: rows of the guides that no other test shows, a test each, and what kiln.numpy has
beside functions (polynomials as objects, the older generator, numpy.testing). Skips itself without
NumPy."""
import io
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy as np
except ImportError:
    sys.exit(77)
import kiln as torch
import kiln.numpy as kp

NAN = float("nan")


def output(code, **env):
    """What a fresh process prints, both streams."""
    r = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                       env={**os.environ, "KILN_CACHE": "", **env}, check=True)
    return r.stdout + r.stderr


class Rows(unittest.TestCase):
    def test_a022_astype(self):
        a = kp.asarray([1 + 2.0 ** -24, 1 + 3 * 2.0 ** -24, 0.1])  # ties go to the even one
        b = a.astype(np.float32)
        self.assertEqual(b.tolist(), np.array(a.tolist()).astype(np.float32).tolist())
        self.assertFalse(kp.shares_memory(a, a.astype(np.float64)))

    def test_a029_printed(self):
        for v in ([2.0, 1, 1], [[1.5, -2], [3, 4]], [100, 2, 3], [True, False], [1e10, 1], [NAN, 1], []):
            self.assertEqual(str(kp.array(v)), str(np.array(v)))
            self.assertEqual(repr(kp.array(v)), repr(np.array(v)))

    def test_a030_type_names(self):
        t = torch.ones(2)
        self.assertTrue(repr(type(t)).endswith("Tensor'>"))
        self.assertEqual(repr(type(t.numpy())), "<class 'numpy.ndarray'>")
        self.assertEqual(t.type(), "torch.FloatTensor")

    def test_a088_a095_copies_counted(self):
        def counted(f, *keys):
            before = torch.stats()
            r = f()
            r.tolist() if isinstance(r, torch.Tensor) else None
            return [torch.stats()[k] - before[k] for k in keys]

        a = np.random.default_rng(0).standard_normal((100, 10))
        self.assertEqual(counted(lambda: (torch.from_numpy(a), None)[1], "host_copies", "casts"), [0, 0])
        self.assertEqual(counted(lambda: torch.from_numpy(a).numpy() is None, "host_copies"), [0])
        self.assertEqual(counted(lambda: torch.from_numpy(a).float(), "casts"), [1])
        self.assertEqual(counted(lambda: torch.from_numpy(a).double(), "casts"), [0])
        x = torch.ones(3)
        self.assertEqual(counted(lambda: x + torch.from_numpy(np.ones(3)), "casts"), [0])  # A259: seen
        self.assertEqual((x + torch.from_numpy(np.ones(3))).dtype, torch.float64)

    def test_a094_share_or_copy(self):
        a = np.arange(6.0).reshape(2, 3)
        address = a.__array_interface__["data"][0]
        t = torch.from_numpy(a)
        self.assertEqual((t.data_ptr(), t.numpy().__array_interface__["data"][0]), (address, address))
        for copied in (torch.tensor(a), t.clone(), torch.from_numpy(a.copy()), torch.tensor(a.T)):
            self.assertNotEqual(copied.data_ptr(), address)
            copied.add_(1)
            self.assertNotEqual(copied.numpy().__array_interface__["data"][0], address)
        self.assertEqual(a.tolist(), [[0, 1, 2], [3, 4, 5]])

    def test_a110_in_place_through_a_slice(self):
        for m in (np, kp):
            a = m.arange(5.0)
            a[1:3] += 1
            b = a[::2]
            b *= 10
            self.assertEqual(a.tolist(), [0, 2, 30, 3, 40])

    def test_a121_spread(self):
        for m in (np, kp):
            a = m.array([1.0, 2, 3, 4])
            self.assertAlmostEqual(float(a.std()), 1.1180339887)
            self.assertEqual(float(m.var(a)), 1.25)
            self.assertAlmostEqual(float(m.std(a, ddof=1)), 1.2909944487)

    def test_a124_sort(self):
        for v, axis in (([3.0, NAN, -1, 2], 0), ([[3, 1], [2, 5]], 0), ([[3, 1], [2, 0]], -1)):
            a = kp.array(v)
            np.testing.assert_array_equal(np.asarray(kp.sort(a, axis=axis)), np.sort(np.array(v), axis=axis))
            np.testing.assert_array_equal(np.asarray(a), np.array(v))  # a copy

    def test_a127_argpartition(self):
        v = np.random.default_rng(3).integers(0, 50, (4, 9))
        for k in (0, 3, 8):
            at = np.asarray(kp.argpartition(kp.array(v), k, axis=1))
            part = np.take_along_axis(v, at, 1)
            np.testing.assert_array_equal(part[:, k], np.sort(v, 1)[:, k])
            self.assertTrue((part[:, :k] <= part[:, k:k + 1]).all() and (part[:, k:] >= part[:, k:k + 1]).all())

    def test_a145_normal(self):
        """Kolmogorov and Smirnov's distance of a million draws: below its bound of one in 10,000."""
        from math import erf, sqrt
        torch.manual_seed(1)
        x = np.sort(torch.randn(1000000).numpy().astype(np.float64))
        self.assertLess(abs(x.mean()), 4e-3)
        self.assertLess(abs(x.var() - 1), 6e-3)
        grid = np.linspace(-5, 5, 2001)
        want = np.array([(1 + erf(v / sqrt(2))) / 2 for v in grid])
        got = np.searchsorted(x, grid) / len(x)
        self.assertLess(np.abs(got - want).max(), 2.23 / sqrt(len(x)))

    def test_a150_generator(self):
        a, b, c = kp.random.default_rng(1), kp.random.default_rng(2), kp.random.default_rng(1)
        first = a.random(4).tolist()
        b.random(7)
        self.assertEqual(c.random(4).tolist(), first)
        self.assertNotEqual(a.random(4).tolist(), first)

    def test_a175_no_gradients_no_cost(self):
        def f(x):
            return ((x * 2).exp() @ x.T).softmax(1).sum()

        x, tracked = torch.rand(8, 8).realize(), torch.rand(8, 8, requires_grad=True).realize()
        f(x).item()
        before = torch.stats()
        with torch.no_grad():
            f(tracked).item()
        f(tracked.detach()).item()
        after = torch.stats()
        self.assertEqual(after["programs_compiled"], before["programs_compiled"])
        self.assertEqual(after["kernels_compiled"], before["kernels_compiled"])

    def test_a214_xla(self):
        with self.assertRaisesRegex(RuntimeError, "not linked with support for xla devices"):
            torch.ones(3).to("xla")

    def test_a225_no_half_precision(self):
        code = """if 1:
            import kiln as torch
            net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
            opt = torch.optim.Adam(net.parameters())
            with torch.autocast("cpu", enabled=%s):
                loss = torch.nn.functional.cross_entropy(net(torch.ones(3, 4)), torch.zeros(3, dtype=torch.long))
            loss.backward()
            opt.step()
            print(loss.item())"""
        plain, mixed = (output(code % on, KILN_DUMP="all") for on in (False, True))
        self.assertIn("f32", plain)
        self.assertNotIn("f16", plain)  # nor bf16
        self.assertIn("bf16", mixed)

    def test_a234_npy_bytes(self):
        arrays = [np.array(7.5), np.zeros((0, 3)), np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3))]
        arrays += [np.arange(4).astype(d) for d in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4",
                                                    "f8", "c8", "c16")]
        with tempfile.TemporaryDirectory() as folder:
            for a in arrays:
                file, want = os.path.join(folder, "a.npy"), io.BytesIO()
                np.save(want, a)
                kp.save(file, kp.asarray(a))
                with open(file, "rb") as f:
                    self.assertEqual(f.read(), want.getvalue(), (a.dtype, a.shape))
                np.testing.assert_array_equal(np.load(file), a)
                self.assertEqual(np.asarray(kp.load(file)).tolist(), a.tolist())

    def test_a238_text(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "data.csv")
            for text in ("1,2\n3,4\n", "# head\n1,2.5\n\n-3e2,nan\n", "1,2\n3,x\n", "1,2\n3\n"):
                with open(file, "w") as f:
                    f.write(text)
                said = []
                for m in (np, kp):
                    try:
                        a = m.loadtxt(file, delimiter=",")
                        said.append((str(a.dtype), repr(a.tolist())))
                    except ValueError as e:
                        said.append(str(e))
                self.assertEqual(said[1], said[0])

    def test_a252_dtypes_meet(self):
        with self.assertRaisesRegex(RuntimeError, "float32 != float64; cast"):
            torch.ones(2, 3) @ torch.ones(3, 2).double()
        self.assertEqual((torch.ones(2) + torch.ones(2).double()).dtype, torch.float64)

    def test_a254_layout_complaints(self):
        with self.assertRaisesRegex(RuntimeError, r"view size is not compatible .*Use .reshape\(...\) instead"):
            torch.ones(4, 3, 2).permute(2, 0, 1).view(-1)
        self.assertEqual(torch.ones(4, 3, 2).permute(2, 0, 1).contiguous().view(2, -1).shape, (2, 12))

    def test_a256_launch_bound(self):
        x = torch.ones(8)
        self.assertIn("launch", torch.explain(lambda: x * 2 + 1))

    def test_a257_written_after_saved(self):
        x = torch.ones(2, requires_grad=True)
        y = x.exp()
        y.add_(1)
        with self.assertRaisesRegex(RuntimeError, "modified by an inplace operation.*output 0 of Exp.*version 1"):
            y.sum().backward()


class NumpyObjects(unittest.TestCase):
    def test_poly1d(self):
        for c in ([1, -3, 2], [2.5, 0, -1, 1], [1], [0], [3, 0], [1, 0, 0], [-1, 2, 3, 4, 5], [0, 0, 1, 2], [1] * 12):
            p, q = np.poly1d(c), kp.poly1d(c)
            self.assertEqual((str(q), repr(q), q.order, len(q)), (str(p), repr(p), p.order, len(p)))
            self.assertEqual([q[i] for i in range(5)], [p[i] for i in range(5)])
            self.assertEqual(np.asarray(q(kp.arange(3))).tolist(), p(np.arange(3)).tolist())
        a, b = ([m.poly1d([1, 2, 3]), m.poly1d([1, -1])] for m in (np, kp))
        for f in (lambda p, q: p + q, lambda p, q: p - q, lambda p, q: p * q, lambda p, q: p * 2, lambda p, q: 1 - p,
                  lambda p, q: p ** 3, lambda p, q: p / 2, lambda p, q: (p / q)[0], lambda p, q: (p / q)[1],
                  lambda p, q: p(q), lambda p, q: p.deriv(), lambda p, q: p.deriv(2), lambda p, q: p.integ(),
                  lambda p, q: p.integ(2, [1, 2]), lambda p, q: -p, lambda p, q: 3 + q):
            self.assertEqual(np.asarray(f(*b).coeffs).tolist(), f(*a).coeffs.tolist())
        np.testing.assert_allclose(np.sort_complex(np.asarray(b[0].r)), np.sort_complex(a[0].r))
        self.assertEqual(np.asarray(kp.poly1d([1, 2], True).c).tolist(), np.poly1d([1, 2], True).c.tolist())
        for p in (a[1], b[1]):
            p[3] = 5
            self.assertEqual((p[3], p == p, p == a[0] or p == b[0]), (5, True, False))

    def test_random_state(self):
        for name in dir(np.random.RandomState):
            if not name.startswith("_") and name not in ("hypergeometric", "logseries", "vonmises", "zipf"):
                self.assertTrue(hasattr(kp.random.RandomState, name), name)
        r, s = kp.random.RandomState(3), kp.random.RandomState(3)
        self.assertEqual(r.rand(2, 2).tolist(), s.random_sample((2, 2)).tolist())
        state = r.get_state()
        first = r.randint(0, 9, 5).tolist()
        r.set_state(state)
        self.assertEqual(r.randint(0, 9, 5).tolist(), first)
        self.assertLessEqual(set(r.random_integers(3, size=50).tolist()), {1, 2, 3})
        state = kp.random.get_state()
        first = kp.random.rand(3).tolist()
        kp.random.set_state(state)
        self.assertEqual(kp.random.rand(3).tolist(), first)

    def test_testing(self):
        good = ("assert_equal([1, {'a': 2.0}], [1, {'a': 2.0}])", "assert_allclose([1.0, float('nan')], [1 + 1e-9, float('nan')])",
                "assert_array_equal([1, 2], [1, 2])", "assert_almost_equal(1.0, 1.00000001)", "assert_array_less([1, 2], 3)",
                "assert_array_almost_equal([1.0], [1.0000001])", "assert_approx_equal(0.12345677, 0.12345678)",
                "assert_equal(None, None)", "assert_string_equal('a', 'a')", "assert_(True)")
        bad = ("assert_equal([1, 2], [1, 3])", "assert_equal({'a': 1}, {'b': 1})", "assert_allclose([1.0], [1.1])",
               "assert_array_equal([1, 2, 3], [1, 2])", "assert_almost_equal(1.0, 1.1)", "assert_array_less([1, 3], 3)",
               "assert_array_equal([1, 2], [1.0, 2.0], strict=True)", "assert_allclose([float('nan')], [0.0])",
               "assert_approx_equal(1.0, 1.1)", "assert_equal('a', 'b')", "assert_(False, 'x')")
        for m in (np, kp):
            for call in good:
                eval("m.testing." + call, {"m": m})
            for call in bad:
                with self.assertRaises(AssertionError, msg=call):
                    eval("m.testing." + call, {"m": m})
        for call in ("assert_allclose([1.0, 2], [1.1, 2])", "assert_array_equal([1, 2, 3], [1, 2, 4])"):
            first = []
            for m in (np, kp):
                try:
                    eval("m.testing." + call, {"m": m})
                except AssertionError as e:
                    first.append(str(e).splitlines()[:3])
            self.assertEqual(first[1], first[0])

    def test_no_times(self):
        for refused in (lambda: kp.datetime64("2020-01-01"), lambda: kp.timedelta64(1, "D"),
                        lambda: kp.zeros(2, dtype="datetime64[D]"), lambda: kp.dtype("m8[s]"),
                        lambda: kp.asarray(np.array(["2020-01-01"], dtype="M8[D]"))):
            with self.assertRaises((TypeError, AttributeError)) as e:
                refused()
            self.assertIn("kiln has no", str(e.exception))


if __name__ == "__main__":
    unittest.main()
