"""test_made.py: tensors made of lists that hold NumPy's arrays, keys that are ranges, and variables,
beside PyTorch."""
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


if __name__ == "__main__":
    unittest.main()
