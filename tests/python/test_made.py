"""test_made.py: tensors made of lists that hold NumPy's arrays, keys that are ranges,
variables, copies, and what both print, beside PyTorch."""
import copy
import pickle
import sys
import unittest
import warnings

try:
    import numpy as np
    from beside import SIDES, close
except ImportError:
    sys.exit(77)

A = np.arange(6.).reshape(2, 3)
READ_ONLY = A.copy()
READ_ONLY.flags.writeable = False
LISTS = {
    "two": lambda: [A, A], "rows": lambda: (A[0], A[1]), "backwards": lambda: [A[::-1], A],
    "turned": lambda: [A.T, A.T], "read only": lambda: [READ_ONLY], "beside a list": lambda: [A[0], [1, 2, 3]],
    "after a list": lambda: [[1, 2, 3], A[0]], "float and double": lambda: [A[0].astype("f4"), A[1]],
    "signs": lambda: [A.astype("u1"), A.astype("i1")], "half": lambda: [A.astype("f2"), A.astype("f4")],
    "complex": lambda: [A.astype("c8")], "empty": lambda: [np.zeros((0, 3)), np.zeros((0, 3))],
    "lengths": lambda: [A[0], A[0][:2]], "number first": lambda: [[1.5], A[0][:1]],
}
KEYS = {
    "range": (range(2),), "column": (range(2), 1), "list beside": (range(2), [0, 1]),
    "mask": (np.array([True, False]),), "numbers": (np.array([1, 0]),), "mask of all": (A > 2,),
    "after dots": (..., np.array([True, False, True])),
    "short mask": (np.array([True]),), "of no dimension": (np.array(1),),
    "steps": (slice(None), range(0, 3, 2)), "outside": (range(3),), "generator": ((i for i in ()),),
}


def outcome(f):
    try:
        return f()
    except Exception as e:  # noqa: BLE001
        return type(e), str(e).splitlines()[0].split(" (at ")[0]


class Made(unittest.TestCase):
    def setUp(self):
        warnings.simplefilter("ignore")

    def same(self, f):
        theirs, ours = (outcome(lambda: f(m)) for m in SIDES)
        if isinstance(theirs, tuple):
            self.assertEqual(ours, theirs)
        else:
            close(ours, theirs)
            self.assertEqual(tuple(ours.shape), tuple(theirs.shape))

    def test_lists_of_arrays(self):
        for name, make in LISTS.items():
            with self.subTest(name):
                self.same(lambda m: m.tensor(make()))
                if name not in ("lengths", "complex"):
                    self.same(lambda m: m.as_tensor(make(), dtype=m.float64))
                    self.same(lambda m: m.FloatTensor(make()))

    def test_keys(self):
        for name, key in KEYS.items():
            key = key[0] if len(key) == 1 else key
            with self.subTest(name):
                self.same(lambda m: m.arange(6).reshape(2, 3)[key])

                def written(m):
                    x = m.zeros(2, 3)
                    x[key] = 5
                    return x
                self.same(written)

    def test_masks(self):
        """Masks of the first dimensions, with nothing, little and much in them."""
        random = np.random.default_rng(3)
        for shape, rank in (((9,), 1), ((3, 5), 1), ((17, 33), 2), ((4, 3, 9), 2), ((2, 3, 4, 5), 3),
                            ((0, 3), 2), ((3, 0), 2)):
            for part in (0, 0.1, 0.6, 1):
                x, hit = random.random(shape), random.random(shape[:rank]) < part

                def written(m):
                    t, mask = m.tensor(x), m.tensor(hit)
                    turned = m.tensor(x.T.copy()).permute(*range(x.ndim)[::-1])
                    turned[mask] = t[mask] * 2
                    t[mask] = 3
                    t[~mask] += m.tensor([7.])
                    return m.cat([t.flatten(), turned.flatten(), t[mask].flatten(), mask.nonzero().flatten()])
                with self.subTest((shape, rank, part)):
                    self.same(written)
        for value in (lambda m: m.ones(2), lambda m: m.ones(1, dtype=m.int64), lambda m: m.ones(3, 4),
                      lambda m: m.ones(3, dtype=m.int64), lambda m: 2.7):
            def put(m):
                t = m.ones(3, 4)
                t[m.tensor([True, False, True])] = value(m)
                return t
            self.same(put)

    def test_variables(self):
        for m in SIDES:
            Variable = m.autograd.Variable
            x = m.ones(2, requires_grad=True)
            self.assertTrue(isinstance(x, Variable))
            self.assertFalse(isinstance(2, Variable))
            self.assertFalse(Variable(x).requires_grad)
            y = Variable(m.ones(2), requires_grad=True)
            (y * 3).sum().backward()
            self.assertEqual(y.grad.tolist(), [3, 3])
            z = m.zeros(2)
            Variable(z)[0] = 1
            self.assertEqual(z.tolist(), [1, 0])


# What both print: dtypes of reductions that were asked for, NaN among the sorted, parts of complex
# numbers, ends of any kind
ALIKE = """m.ones(3, dtype=m.uint8).sum(dtype=m.int32)|m.full((300,), 1).sum(dtype=m.uint8)
m.ones(3, dtype=m.int8).prod(0, dtype=m.int16)|m.ones(3).int().cumsum(0, dtype=m.int16)
m.ones(2, 2).nansum(0, dtype=m.float64)|m.ones(3, dtype=m.uint8).any()|m.ones(2, 2).byte().all(1)
m.searchsorted(m.tensor([0., 1., nan]), m.tensor([nan, .5]))
m.searchsorted(m.tensor([0., 1., nan]), m.tensor([nan, .5]), right=True)
m.tensor([complex(nan, 1), complex(-inf, nan)]).nan_to_num(7)|m.tensor([-.2, .7]).hardshrink()
m.tensor([-1., 2.]).prelu(m.tensor([.5]))|m.linspace(0, 2j, 3)|m.linspace(m.tensor(0.), 1, 3)
m.linspace(1j, 2, 2, dtype=m.complex128)|m.eye(3)[[slice(0, 2), 1]]|m.eye(3)[[[0, 1], [1, 1]]]
m.chain_matmul(m.ones(1, 2), m.ones(2, 3))|m.pdist(m.eye(3))|m.embedding(m.eye(3), m.tensor([2]))|m.kl_div(m.zeros(2), m.ones(2))
m.batch_norm(m.ones(2, 3), None, None, m.zeros(3), m.ones(3), False, 0.1, 1e-5, False)|m.alpha_dropout(m.ones(2), 0.5, False)
m.instance_norm(m.ones(1, 2, 3), None, None, None, None, True, 0.1, 1e-5, False)|m.hinge_embedding_loss(m.ones(2), m.ones(2))
m.binary_cross_entropy_with_logits(m.zeros(2), m.ones(2))|m.poisson_nll_loss(m.ones(2), m.ones(2), True, False, 1e-8, 0)
m.normal(m.zeros(2), 0, out=m.empty(2))|m.__version__ >= (1, 10)|m.__version__ < "2.0"
copy.copy(m.nn.Parameter(m.ones(1)))|copy.deepcopy(given(m)).grad|m.Size([1]) + (2,)|m.Size([1, 2]) * 2|2 * m.Size([3])|m.asarray(m.ones(1, requires_grad=True)).requires_grad
(2,) + m.Size([1])
parts(m, real=0)|parts(m, imag=[5., 6.])|m.empty(0, 2).normal_().shape"""


def given(m):
    t = m.ones(2)
    t.grad = m.ones(2)
    return t


def parts(m, **new):
    z = m.tensor([1 + 2j, 3j])
    for name, value in new.items():
        setattr(z, name, m.tensor(value) if isinstance(value, list) else value)
    return z


class Alike(unittest.TestCase):
    def test_subclasses(self):
        for m in SIDES:
            class Mine(m.Tensor):
                pass

            x = m.ones(2, requires_grad=True)
            y = (x * 2).as_subclass(Mine)
            self.assertIs(type(y), Mine)
            y.sum().backward()
            self.assertEqual(x.grad.tolist(), [2, 2])

    def test_printed(self):
        env = {"nan": float("nan"), "inf": float("inf"), "copy": copy, "given": given, "parts": parts}
        for source in "|".join(ALIKE.split("\n")).split("|"):
            with self.subTest(source), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.assertEqual(*(repr(eval(source, {"m": m, **env})) for m in SIDES))

    def test_shallow_copy(self):
        for m in SIDES:
            x = m.ones(2)
            copy.copy(x).zero_()
            self.assertEqual(x.tolist(), [0, 0])

    def test_generators(self):
        for m in SIDES:
            g = m.Generator().manual_seed(3)
            same = [pickle.loads(pickle.dumps(g)), g.clone_state()]
            drawn = [m.rand(2, generator=h).tolist() for h in (g, *same)]
            self.assertEqual(drawn[1:], drawn[:1] * 2)
            self.assertEqual(g.seed(), g.initial_seed())


if __name__ == "__main__":
    unittest.main()
