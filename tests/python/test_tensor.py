"""test_tensor.py: kiln's Python package against what PyTorch prints and raises, without
PyTorch or NumPy: the expected texts were printed by PyTorch 2.15."""
import array
import copy
import io
import math
import threading
import unittest

import kiln as torch
from kiln import nn


class Printing(unittest.TestCase):
    CASES = [
        ("torch.tensor([1., 2.])", "tensor([1., 2.])"),
        ("torch.tensor([[1, 2], [3, 4]])", "tensor([[1, 2],\n        [3, 4]])"),
        ("torch.ones(2, requires_grad=True)", "tensor([1., 1.], requires_grad=True)"),
        ("torch.ones(2, requires_grad=True) + 2",
         "tensor([3., 3.], grad_fn=<AddBackward0>)"),
        ("torch.ones(2, dtype=torch.float64)", "tensor([1., 1.], dtype=torch.float64)"),
        ("torch.tensor([True, False])", "tensor([ True, False])"),
        ("torch.tensor(3)", "tensor(3)"),
        ("torch.zeros(0)", "tensor([])"),
        ("torch.zeros(2, 3).shape", "torch.Size([2, 3])"),
        ("torch.float32", "torch.float32"),
        ("torch.device('cuda', 0)", "device(type='cuda', index=0)"),
        ("torch.tensor([1 + 2j]) * 2j", "tensor([-4.+2.j])"),
        ("torch.max(torch.tensor([[1, 5], [7, 2]]), 1)",
         "torch.return_types.max(\nvalues=tensor([5, 7]),\nindices=tensor([1, 0]))"),
        ("nn.Linear(10, 20)", "Linear(in_features=10, out_features=20, bias=True)"),
        ("nn.Sequential(nn.ReLU(), nn.Flatten())",
         "Sequential(\n  (0): ReLU()\n  (1): Flatten(start_dim=1, end_dim=-1)\n)"),
    ]

    def test_texts(self):
        for source, text in self.CASES:
            with self.subTest(source):
                self.assertEqual(repr(eval(source)), text)


class Errors(unittest.TestCase):
    REFUSED = [
        ("torch.add(1, 1, alpha=True)", "Boolean alpha only supported for Boolean results."),
        ("torch.add(torch.ones(2, dtype=torch.int32), 1, alpha=1.1)",
         "For integral input tensors, argument alpha must not be a floating point number."),
        ("torch.addcdiv(*[torch.ones(2, dtype=torch.int32)] * 3)",
         "Integer division with addcdiv is no longer supported"),
        ("torch.ones(2).mT", "tensor.mT is only supported on matrices or batches of matrices. Got 1-D"),
        ("torch.ones(2, 3, 4).H", "For batches of matrices, consider using tensor.mH"),
        ("torch.ones(2).expand(3)", "The expanded size of the tensor (3) must match the existing size "
         "(2) at non-singleton dimension 0.  Target sizes: [3].  Tensor sizes: [2]"),
        ("torch.fliplr(torch.ones(2))", "Input must be >= 2-d."),
        ("torch.rot90(torch.ones(2, 2), 1, (0, -2))",
         "expected rotation dims to be different, but got dim0 = 0 and dim1 = -2"),
        ("torch.movedim(torch.ones(2, 3), (0,), (0, 1))", "movedim: Invalid source or destination dims"),
        ("torch.take_along_dim(torch.ones(2, 3), torch.ones(2, 3), dim=0)",
         "torch.take_along_dim(): dtype of indices should be Long but got Float"),
        ("torch.ones(2, 3, 4).t()", "t() expects a tensor with <= 2 dimensions, but self is 3D"),
        ("torch.hsplit(torch.tensor(1), 2)", "torch.hsplit requires a tensor with at least 1 dim"),
        ("torch.normal(0.0, -1.0, (2,))", "normal expects std >= 0.0, but found std -1"),
        ("torch.ones(2).uniform_(3, 2)", "found from=3 > to=2"),
        ("torch.ones(2).bernoulli_(2)", "bernoulli_ expects p to be in [0, 1], but got p=2"),
        ("torch.ones(2, 3).index_add(0, torch.tensor([0]), torch.ones(1, 4))",
         "source tensor shape must match self tensor shape, excluding the specified dimension."),
        ("torch.tensor_split(torch.tensor(1), 1)", "tensor_split expected at least a 1-dimensional tensor"),
    ]

    def test_refused(self):
        for source, text in self.REFUSED:
            with self.subTest(source), self.assertRaises(RuntimeError) as e:
                eval(source)
            self.assertIn(text, str(e.exception))
        with self.assertRaisesRegex(TypeError, r"cat\(\): argument 'tensors' \(position 1\) must be "
                                    "tuple of Tensors, not Tensor"):
            torch.cat(torch.ones(2))
        with self.assertRaisesRegex(TypeError, r"iterable of 'int' \(item 1 is 'str'\)"):
            torch.Size([1, "a"])

    def test_index_range(self):
        x = torch.arange(12).reshape(3, 4)
        for call, text in ((lambda: x[torch.tensor([9])], "index 9 is out of bounds for dimension 0 with size 3"),
                           (lambda: x[[0, 1], [2, -5]], "index -5 is out of bounds for dimension 1 with size 4"),
                           (lambda: x[:, torch.tensor([-128], dtype=torch.int8)],
                            "index -128 is out of bounds for dimension 1 with size 4"),
                           (lambda: x.__setitem__([3], 0), "index 3 is out of bounds for dimension 0 with size 3"),
                           (lambda: x[torch.arange(5)].sum().item(), "index 3 is out of bounds for dimension 0 with size 3")):
            with self.assertRaises(IndexError) as e:
                call()
            self.assertIn(text, str(e.exception))
        self.assertEqual(x[[-3, 2], [-4, 3]].tolist(), [0, 11])

    def test_assigned_digits(self):
        x = torch.zeros(3, dtype=torch.float64)
        x[0], x[1:], x[torch.tensor([2])] = 0.1, 0.3, 1 / 3
        self.assertEqual(x.tolist(), [0.1, 0.3, 1 / 3])
        z = torch.zeros(2, dtype=torch.complex128)
        z[0], z[1] = 0.1 + 0.7j, 0.3
        self.assertEqual(z.tolist(), [0.1 + 0.7j, 0.3])
        n = torch.zeros(1, dtype=torch.int64)
        n[0] = 2.0 ** 40 + 1
        self.assertEqual(n.item(), 2 ** 40 + 1)

    def test_in_a_text(self):
        t = torch.tensor(2.5)
        self.assertEqual(f"{t} {t:.2f} {torch.ones(2)}", "2.5 2.50 tensor([1., 1.])")

    def test_index_found_late(self):
        """Indices whose values nobody knew yet, or that were too many to look at: told when read,
        with the place of the operation that used them."""
        x, i = torch.zeros(5, 3), torch.arange(3) * 4
        many = torch.zeros(100000, dtype=torch.long)
        many[70000] = 7
        bounds = "index {} is out of bounds for dimension {} with size {}"
        for use, kind, text in (
                (lambda: x[many], IndexError, bounds.format(7, 0, 5)),
                (lambda: x[:, i], IndexError, bounds.format(4, 1, 3)),
                (lambda: x[torch.arange(3), torch.arange(3) * 2 - 4], IndexError, bounds.format(-4, 1, 3)),
                (lambda: x.index_select(0, i), IndexError, "index out of range in self"),
                (lambda: x.gather(0, i.reshape(1, 3)), RuntimeError, bounds.format(8, 0, 5)),
                (lambda: x.scatter(1, i.reshape(1, 3), 1.0), RuntimeError, bounds.format(4, 1, 3)),
                (lambda: x.index_add(0, i, torch.ones(3, 3)), RuntimeError, bounds.format(8, 0, 5)),
                (lambda: x.take(i * 10), IndexError,
                 "out of range: tried to access index 40 on a tensor of 15 elements."),
                (lambda: torch.nn.functional.embedding(i - 4, x), IndexError, "index out of range in self"),
                (lambda: torch.nn.functional.cross_entropy(x[:3], i // 2), IndexError,
                 "Target 4 is out of bounds.")):
            here = use.__code__.co_firstlineno
            with self.assertRaises(kind) as e:
                (use() + 1).tolist()
            self.assertEqual(str(e.exception).split(" (at ")[0], text)
            self.assertIn(f"test_tensor.py:{here}", str(e.exception))
        self.assertEqual((x[i // 4] + 1).sum().item(), 9)  # and nothing is left of the errors

    CASES = [
        ("torch.ones(4, 4).view(-1, -1)", RuntimeError, "only one dimension can be inferred"),
        ("torch.ones(4, 4).view(-1, 5)", RuntimeError,
         "shape '[-1, 5]' is invalid for input of size 16"),
        ("torch.ones(2).item()", RuntimeError,
         "a Tensor with 2 elements cannot be converted to Scalar"),
        ("torch.ones(3)[5]", IndexError,
         "index 5 is out of bounds for dimension 0 with size 3"),
        ("torch.tensor([1, 2, 3]).div_(2)", RuntimeError,
         "result type Float can't be cast to the desired output type Long"),
        ("torch.ones(2, 3) + torch.ones(2)", RuntimeError,
         "The size of tensor a (3) must match the size of tensor b (2) at non-singleton "
         "dimension 1"),
        ("torch.ones(2, 3) @ torch.ones(2)", RuntimeError,
         "size mismatch, got input (2), mat (2x3), vec (2)"),
        ("torch.ones(3, requires_grad=True).mul(2).backward()", RuntimeError,
         "grad can be implicitly created only for scalar outputs"),
        ("torch.ones(3, dtype=torch.long, requires_grad=True)", RuntimeError,
         "Only Tensors of floating point and complex dtype can require gradients"),
        ("torch.ones(2, requires_grad=True).add_(1)", RuntimeError,
         "a leaf Variable that requires grad is being used in an in-place operation."),
        ("torch.ones(2).permute(0, 0)", RuntimeError, ""),
        ("bool(torch.ones(2))", RuntimeError,
         "Boolean value of Tensor with more than one value is ambiguous"),
        ("torch.tensor([[1, 2], [3]])", ValueError,
         "expected sequence of length 2 at dim 1 (got 1)"),
        ("torch.add('a', 1)", TypeError, "add()"),
        ("int(torch.ones(2))", ValueError, "only one element tensors can be converted to Python scalars"),
        ("torch.tensor([200], dtype=torch.int8)", RuntimeError,
         "value cannot be converted to type int8 without overflow"),
        ("torch.tensor([-3.], dtype=torch.uint8)", RuntimeError, "to type uint8 without overflow"),
        ("torch.tensor(math.nan, dtype=torch.int32)", RuntimeError, "to type int32 without overflow"),
        ("torch.tensor(-1, dtype=torch.uint64)", OverflowError, "can't convert negative int to unsigned"),
        ("torch.tensor(2**63)", ValueError, "Overflow when unpacking long long"),
        ("torch.tensor(1j, dtype=torch.float32)", TypeError, "must be real number, not complex"),
        ("torch.ones(2) + 2**70", OverflowError, "int too big to convert"),
        ("torch.eye(3, -1)", RuntimeError, "m must be greater or equal to 0, got -1"),
        ("torch.ones(2).roll((), ())", RuntimeError, "`shifts` required"),
        ("torch.nansum(torch.tensor([1j]))", NotImplementedError, "nansum does not support complex"),
        ("torch.multinomial(torch.zeros(2), 1).item()", RuntimeError,
         "invalid multinomial distribution (sum of probabilities <= 0)"),
        ("torch.multinomial(torch.tensor([[.5, 1], [-.1, 1]]), 1).tolist()", RuntimeError,
         "probability tensor contains either `inf`, `nan` or element < 0"),
        ("torch.nn.functional.cross_entropy(torch.ones(3, 5), torch.tensor([1, 2]))", ValueError,
         "Expected input batch_size (3) to match target batch_size (2)."),
        ("torch.nn.functional.nll_loss(torch.ones(()), torch.tensor(0))", ValueError,
         "Expected 1 or more dimensions (got 0)"),
        ("torch.nn.functional.dropout2d(torch.ones(1, 2, 2), -.1)", ValueError,
         "dropout probability has to be between 0 and 1, but got -0.1"),
        ("torch.nn.Embedding(2, 3)(torch.ones(1))", RuntimeError, "argument #1 'indices'"),
        ("torch.nn.utils.rnn.pack_padded_sequence(torch.ones(0, 0), [])", RuntimeError,
         "Cannot pack empty tensors."),
        ("torch.distributions.Geometric(0)", ValueError, "to be positive but found invalid values"),
        ("torch.ones(3).to('mps')", RuntimeError, "is not linked with support for mps devices"),
    ]

    def test_texts(self):
        for source, kind, text in self.CASES:
            with self.subTest(source):
                with self.assertRaises(kind) as caught:
                    eval(source)
                self.assertIn(text, str(caught.exception))

    GIVEN = [  # integers of any size, and arguments that PyTorch takes
        ("torch.tensor([2**70, 1.])", [2.**70, 1.]), ("torch.tensor(2**70, dtype=torch.bool)", True),
        ("torch.tensor([2**63 + 1], dtype=torch.uint64)", [2**63 + 1]),
        ("torch.tensor([-255], dtype=torch.uint8)", [1]), ("torch.ones(2).new_tensor(2**70)", 2.**70),
        ("torch.tensor([100.]).half() / 1e5", [0.0010004043579101562]),
        ("torch.tensor([1e-5]).half().mul_(1e5)", [1.0009765625]),
        ("torch.cat([torch.ones(1, 1), torch.empty(0).double()]) + 1e-12", [[1 + 1e-12]]),
        ("torch.tensor([2., 1.]).sort(stable=None)[0]", [1., 2.]),
        ("torch.cumulative_trapezoid(torch.zeros(2, 0))", [[], []]),
        ("torch.binomial(torch.tensor([3., 5., 0.]), torch.tensor([0., 1., .5]))", [0., 5., 0.]),
        ("torch.ones(3).unsafe_split_with_sizes((1, 2))[1]", [1., 1.]),
        ("torch.rand_like(torch.ones(3), generator=torch.Generator().manual_seed(3)) - "
         "torch.rand(3, generator=torch.Generator().manual_seed(3))", [0., 0., 0.]),
        ("torch.randint_like(torch.ones(2), 9, generator=torch.Generator().manual_seed(3)) - "
         "torch.randint(9, (2,), generator=torch.Generator().manual_seed(3))", [0., 0.]),
        ("torch.distributions.Binomial(10, logits=torch.tensor([200.])).log_prob(torch.tensor([10.]))", [0.]),
    ]

    def test_given(self):
        for source, value in self.GIVEN:
            with self.subTest(source):
                self.assertEqual(eval(source).tolist(), value)

    def test_place(self):
        with self.assertRaises(RuntimeError) as caught:
            torch.ones(2) + torch.ones(3)
        self.assertIn("test_tensor.py:", str(caught.exception))


class Indices(unittest.TestCase):
    def test_truths_share_a_dimension(self):
        a = torch.ones(2, 3)
        self.assertEqual(a[True, True].shape, (1, 2, 3))
        self.assertEqual(a[False, True, ...].shape, (0, 2, 3))
        self.assertEqual(a[True, [0, 1], True, [1]].tolist(), [1, 1])
        a[True] = -torch.ones(1, 1, 2, 3)
        self.assertEqual(a.tolist(), [[-1] * 3] * 2)

    def test_bytes_are_a_mask(self):
        v = torch.arange(4)
        mask = torch.tensor([1, 0, 0, 1], dtype=torch.uint8)
        with self.assertWarnsRegex(UserWarning, "dtype torch.uint8 is now deprecated"):
            self.assertEqual(v[mask].tolist(), [0, 3])
        self.assertEqual(v.index_put_((mask,), torch.tensor(9)).tolist(), [9, 1, 2, 9])

    def test_leading_ones_are_dropped(self):
        m = torch.zeros(3, 3)
        m[range(3), range(3)] = torch.arange(3.0).view(1, 3)
        m[0] = torch.ones(1, 1, 3)
        self.assertEqual(m.tolist(), [[1, 1, 1], [0, 1, 0], [0, 0, 2]])

    def test_refused(self):
        a = torch.ones(2, 3)
        for key, text in [(([0, 1], [0, 1, 2]), r"shape mismatch: indexing tensors could not be "
                           r"broadcast together with shapes \[2\], \[3\]"),
                          ((0, 5), "index 5 is out of bounds for dimension 1 with size 3")]:
            with self.assertRaisesRegex(IndexError, text):
                a[key]
        with self.assertRaisesRegex(IndexError, "out of bounds for dimension with size 0"):
            torch.ones(2, 0)[:, [0, 1]]
        with self.assertRaisesRegex(IndexError, "invalid index of a 0-dim tensor"):
            torch.tensor(1)[0]
        with self.assertRaisesRegex(RuntimeError, "got Float for the destination and Int"):
            a[[0, 1]] = torch.ones(2, 3, dtype=torch.int32)
        with self.assertRaisesRegex(TypeError, "expected 'indices' to be integer dtype"):
            torch.unravel_index(torch.tensor(0.5), (2, 2))


class Out(unittest.TestCase):
    def test_takes_on_the_shape(self):
        out = torch.empty(0, dtype=torch.float64)
        self.assertIs(torch.add(torch.tensor(1.0), 1, out=out), out)
        self.assertEqual((out.shape, out.dtype, out.item()), ((), torch.float64, 2))
        with self.assertWarnsRegex(UserWarning, "An output with one or more elements was resized"):
            self.assertEqual(torch.neg(torch.ones(3), out=out).shape, (3,))

    def test_everywhere(self):
        x, out = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.empty(0)
        for call in (lambda **k: torch.cat([x, x], **k), lambda **k: torch.stack([x, x], **k),
                     lambda **k: torch.addmm(x, x, x, **k), lambda **k: torch.var(x, **k),
                     lambda **k: torch.where(x > 1, x, 0.0, **k), lambda **k: torch.diag(x, **k),
                     lambda **k: torch.index_select(x, 0, torch.tensor([1]), **k),
                     lambda **k: torch.max(x, x, **k), lambda **k: torch.eye(3, **k)):
            self.assertEqual(call(out=out.resize_(0)).tolist(), call().tolist())

    def test_gives_its_dtype_to_what_is_made(self):
        out = torch.empty(3, dtype=torch.int32)
        self.assertEqual(torch.zeros(3, out=out).dtype, torch.int32)
        self.assertEqual(torch.arange(3, out=out).tolist(), [0, 1, 2])
        self.assertEqual(torch.linspace(0, 3, 4, out=torch.empty(4, dtype=torch.int64)).tolist(), [0, 1, 2, 3])


class Memory(unittest.TestCase):
    def test_storage(self):
        x = torch.arange(6).view(2, 3)
        self.assertEqual(x[1].storage().tolist(), [0, 1, 2, 3, 4, 5])
        self.assertEqual((x.storage().size(), x.storage()[4]), (6, 4))
        y = torch.empty(0, dtype=torch.int64).set_(x.untyped_storage(), 1, (2, 2), (3, 1))
        y[0, 0] = 9
        self.assertEqual(x.tolist(), [[0, 9, 2], [3, 4, 5]])
        self.assertEqual(y.tolist(), [[9, 2], [4, 5]])

    def test_storages_of_their_own(self):
        s = torch.FloatStorage([1, 2, 3])
        self.assertEqual((len(s), s.dtype, s.nbytes(), s.long().tolist()), (3, torch.float32, 12, [1, 2, 3]))
        self.assertTrue(isinstance(s, torch.FloatStorage) and not isinstance(s, torch.LongStorage))
        self.assertEqual(torch.ShortStorage.from_buffer(bytearray([1, 2]), "big").tolist(), [258])
        x = torch.tensor(s)
        s.fill_(7)
        self.assertEqual((x.tolist(), s[1:].tolist()), ([1, 2, 3], [7, 7]))
        self.assertTrue(x[1:]._is_view() and not x._is_view())

    def test_saved(self):
        """Storages stay shared with the tensors over them; sparse tensors keep their places."""
        x, file = torch.arange(4.0), io.BytesIO()
        torch.save([x[2:], x.storage(), torch.sparse_coo_tensor([[0, 2]], [1.0, 2.0], (4,)),
                    torch.channels_last], file)
        file.seek(0)
        y, s, sparse, layout = torch.load(file)
        s[2] = 9
        self.assertEqual((y.tolist(), s.dtype, layout), ([9, 3], torch.float32, torch.channels_last))
        self.assertEqual(sparse.to_dense().tolist(), [1, 0, 2, 0])

    def test_by_functions(self):
        x = torch.arange(3.0)
        self.assertEqual(x.apply_(lambda v: v + 1).tolist(), [1, 2, 3])
        self.assertEqual(x.map_(torch.ones(1), lambda a, b: a - b).tolist(), [0, 1, 2])
        self.assertEqual(list(reversed(x)), [2, 1, 0])

    def test_diagonals(self):
        tall = torch.zeros(5, 2).fill_diagonal_(1, wrap=True)
        self.assertEqual(tall.tolist(), [[1, 0], [0, 1], [0, 0], [1, 0], [0, 1]])
        self.assertEqual(torch.zeros(2, 3).t().fill_diagonal_(1).sum().item(), 2)

    def test_draws(self):
        ones = torch.ones(2, 2, dtype=torch.int64)
        self.assertEqual(ones.bernoulli_(torch.tensor([0.0, 1.0])).tolist(), [[0, 1], [0, 1]])
        self.assertEqual(torch.bernoulli(torch.zeros(3), 1.0).tolist(), [1, 1, 1])
        self.assertEqual(torch.rand(2, dtype=torch.complex64).dtype, torch.complex64)

    def test_joins_and_numbers(self):
        self.assertEqual(torch.cat([torch.ones(2, 3), torch.empty(0)], 1).shape, (2, 3))
        self.assertEqual(torch.full((2,), 1 + 1j).dtype, torch.complex64)
        with self.assertWarnsRegex(UserWarning, "torch.range is deprecated"):
            self.assertEqual(torch.range(1, 2, 0.5).tolist(), [1, 1.5, 2])

    def test_unique_of_none(self):
        r = torch.unique(torch.empty(5, 0), return_inverse=True, return_counts=True, dim=1)
        self.assertEqual([tuple(t.shape) for t in r], [(5, 0), (0,), (0,)])
        r = torch.unique(torch.tensor([2.0, 1, 2]), return_inverse=True, return_counts=True)
        self.assertEqual([t.tolist() for t in r], [[1, 2], [1, 0, 1], [1, 2]])

    def test_random(self):
        x = torch.empty(50).random_(3, 5)
        self.assertEqual(sorted(set(x.tolist())), [3, 4])
        with self.assertRaisesRegex(RuntimeError, "got from=5 >= to=5"):
            x.random_(5, 5)

    def test_shared(self):
        a = array.array("d", [1, 2, 3])
        t = torch._kiln._from_buffer(a)
        a[0] = 5
        self.assertEqual(t.tolist(), [5, 2, 3])
        t.add_(1)
        self.assertEqual(list(a), [6, 3, 4])

    def test_exported(self):
        t = torch.zeros(2, 2)
        m = memoryview(t)
        t[0, 1] = 7
        self.assertEqual(m.tolist(), [[0, 7], [0, 0]])
        m.release()
        t += 1
        self.assertEqual(t.tolist(), [[1, 8], [1, 1]])

    def test_views(self):
        x = torch.arange(12).view(3, 4)
        x[1:, ::2] = -1
        self.assertEqual(x.tolist(), [[0, 1, 2, 3], [-1, 5, -1, 7], [-1, 9, -1, 11]])
        x[x < 0] = 0
        x[[0, 2], [1, 3]] += 100
        self.assertEqual(x.tolist(), [[0, 101, 2, 3], [0, 5, 0, 7], [0, 9, 0, 111]])
        self.assertEqual(x.T.stride(), (1, 4))
        self.assertEqual(x[..., None, 1].shape, (3, 1))

    def test_copies(self):
        x = torch.ones(2, requires_grad=True)
        y = copy.deepcopy(x)
        self.assertTrue(y.requires_grad and y.is_leaf and y is not x)


class OtherDtypes(unittest.TestCase):
    """view(dtype): the same memory."""

    def test_halves_computed_in_float(self):
        x = torch.full((2,), 0.1, dtype=torch.float16)
        self.assertEqual(torch.add(x, x, alpha=40000).tolist(), [4000, 4000])
        low, high = (torch.full((1,), v, dtype=torch.float16) for v in (-30000.0, -20000.0))
        self.assertEqual(torch.lerp(low, high, 8).tolist(), [49984])

    def test_scattered_nothing(self):
        x, none = torch.ones(2, 2), torch.tensor([], dtype=torch.int64)
        for y in (x.scatter(0, none, x), x.scatter_add(0, none, x), x.scatter_reduce(0, none, x, "prod")):
            self.assertTrue(torch.equal(x, y))

    def test_poisson(self):
        torch.manual_seed(0)
        x = torch.poisson(torch.full((4000,), 3.0))
        self.assertTrue(abs(x.mean().item() - 3) < 0.15 and abs(x.var().item() - 3) < 0.4)
        with self.assertRaisesRegex(RuntimeError, "rate to be non-negative"):
            torch.poisson(torch.tensor(-1.0))

    def test_shared(self):
        x = torch.zeros(2, 4)
        y = x.view(torch.int32)
        y[0, 0] = 1065353216  # 1.0
        self.assertEqual(x[0].tolist(), [1, 0, 0, 0])
        x += 1
        self.assertEqual(y[1].tolist(), [1065353216] * 4)
        x.view(torch.uint8)[0, :4].fill_(0)
        self.assertEqual(x[0].tolist(), [0, 1, 1, 1])
        self.assertEqual(x.view(torch.int16).shape, (2, 8))
        self.assertEqual(x.view(torch.float64).shape, (2, 2))
        self.assertEqual(torch.arange(4.)[1:3].view(torch.int32).tolist(), [1065353216, 1073741824])
        same = x.view(torch.float32)
        same[1] = 5
        self.assertEqual(x[1].tolist(), [5] * 4)

    def test_frombuffer(self):
        for dtype, one in ((torch.float32, 2.3694278276172396e-38), (torch.int16, 257)):
            memory = bytearray(16)
            t = torch.frombuffer(memory, dtype=dtype)
            memory[:] = bytes([1] * 16)
            self.assertEqual(t[0].item(), one)

    def test_refusals(self):
        x = torch.zeros(2, 4)
        unlike = "(different element sizes)"
        for view, text in (
                (lambda: x.t().view(torch.int16),
                 f"self.stride(-1) must be 1 to view Float as Short {unlike}, but got 4"),
                (lambda: torch.zeros(3, 3).view(torch.float64),
                 f"self.size(-1) must be divisible by 2 to view Float as Double {unlike}, but got 3"),
                (lambda: x[:, 1:3].view(torch.float64),
                 f"self.storage_offset() must be divisible by 2 to view Float as Double {unlike}, but got 1"),
                (lambda: torch.zeros(4, 5)[:, :4].view(torch.float64),
                 f"self.stride(0) must be divisible by 2 to view Float as Double {unlike}, but got 5"),
                (lambda: torch.tensor(1.).view(torch.int16),
                 f"self.dim() cannot be 0 to view Float as Short {unlike}")):
            with self.assertRaises(RuntimeError) as raised:
                view()
            self.assertIn(text, str(raised.exception))


class Gradients(unittest.TestCase):
    def test_leaf_that_moves_on(self):
        """What was computed before a leaf was written, or shown to NumPy, still has its gradient."""
        def shown(x):
            memoryview(x.detach())

        def written(x):
            with torch.no_grad():
                x.add_(1)

        def replaced(x):
            x.data = torch.zeros(3)

        for change in (shown, written, replaced):
            x = torch.ones(3, requires_grad=True)
            y = (x * 2).sum()
            change(x)
            z = (x * 3).sum()
            self.assertEqual(torch.autograd.grad(y, x, retain_graph=True)[0].tolist(), [2] * 3)
            y.backward()
            self.assertEqual(x.grad.tolist(), [2] * 3)
            (y2, z2) = ((x * x).sum(), z)
            z2.backward()
            self.assertEqual(x.grad.tolist(), [5] * 3)
            y2.backward()

    def test_hook_above_a_leaf_that_moved_on(self):
        calls = []
        x = torch.ones(2, requires_grad=True)
        h = x * 3
        h.register_hook(lambda g: calls.append(1))
        y = (h * h).sum()
        x.data = torch.zeros(2)
        self.assertEqual((x * 1).tolist(), [0, 0])
        self.assertEqual(torch.autograd.grad(y, x)[0].tolist(), [18, 18])
        self.assertEqual(calls, [1])

    def test_backward(self):
        x = torch.tensor([1., 2., 3.], requires_grad=True)
        (x ** 2).sum().backward()
        self.assertEqual(x.grad.tolist(), [2, 4, 6])
        self.assertIs(x.grad, x.grad)
        with torch.no_grad():
            x -= x.grad
        self.assertEqual(x.tolist(), [-1, -2, -3])

    def test_function(self):
        class Cube(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, k):
                ctx.save_for_backward(x)
                ctx.k = k
                return x * x * x * k

            @staticmethod
            def backward(ctx, g):
                x, = ctx.saved_tensors
                return 3 * x * x * g * ctx.k, None

        x = torch.tensor([1., 2.], requires_grad=True)
        y = Cube.apply(x * 2, 10.0)
        (y + Cube.apply(y, 1.0)).sum().backward()
        for got, want in zip(x.grad.tolist(), (240 + 3 * 80. ** 2 * 240,
                                               960 + 3 * 640. ** 2 * 960)):
            self.assertAlmostEqual(got / want, 1, 6)

    def test_hooks(self):
        x = torch.tensor([1., 2.], requires_grad=True)
        h = x * 2
        handle = h.register_hook(lambda g: g * 10)
        (h * h).sum().backward()
        self.assertEqual(x.grad.tolist(), [80, 160])
        handle.remove()
        x.grad = None
        x.register_hook(lambda g: g + 1)
        (x * x).sum().backward()
        self.assertEqual(x.grad.tolist(), [3, 5])

    def test_grad_through_function(self):
        x = torch.tensor([3.], requires_grad=True)
        y = x * x
        y.register_hook(lambda g: g * 2)
        g, = torch.autograd.grad(y.sum(), x)
        self.assertEqual(g.tolist(), [12])

    def test_hook_beside_a_path(self):
        w = torch.tensor([3.], requires_grad=True)
        h = w * 2
        loss = (h * h).sum() + w.sum()  # built before the hook
        h.register_hook(lambda g: g * 10)
        loss.backward()
        self.assertEqual(w.grad.tolist(), [1 + 10 * 24])


class Inputs(unittest.TestCase):
    def test_none(self):
        x = torch.ones(2, requires_grad=True)
        for call, name in ((lambda: torch.autograd.grad(x.sum(), []), "grad"),
                           (lambda: x.sum().backward(inputs=[]), "backward")):
            with self.assertRaisesRegex(RuntimeError, rf"`{name}\(\)` cannot be empty"):
                call()


class Training(unittest.TestCase):
    def loop(self, threads=None):
        torch.manual_seed(0)
        x, y = torch.randn(100, 10), torch.randint(2, (100,))
        net = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))
        opt = torch.optim.Adam(net.parameters(), lr=0.01)
        losses = []
        for _ in range(30):
            loss = nn.CrossEntropyLoss()(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            losses.append(loss.item())
        return losses, net, opt

    def test_falls_and_repeats(self):
        first, net, opt = self.loop()
        again, _, _ = self.loop()
        self.assertLess(first[-1], first[0])
        self.assertEqual(first, again)
        other = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))
        self.assertEqual(repr(other.load_state_dict(net.state_dict())),
                         "<All keys matched successfully>")
        self.assertTrue(torch.equal(other[0].weight, net[0].weight))
        state = opt.state_dict()
        self.assertEqual(float(state["state"][0]["step"]), 30)

    def test_loader(self):
        data = torch.utils.data.TensorDataset(torch.arange(100), torch.arange(100) * 2)
        for workers in (0, 2):
            loader = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True,
                                                 num_workers=workers)
            sizes, seen = [], []
            for a, b in loader:
                sizes.append(len(a))
                seen += a.tolist()
                self.assertTrue(torch.equal(b, a * 2))
            self.assertEqual(sizes, [32, 32, 32, 4])
            self.assertEqual(sorted(seen), list(range(100)))

    def test_threads(self):
        wrong = []

        def work(i):
            for k in range(20):
                if (torch.ones(1000 + i) * k).sum().item() != (1000 + i) * k:
                    wrong.append(i)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])



class ShapesInPlace(unittest.TestCase):
    def test_views(self):
        x = torch.arange(6.0)
        y = x.view(2, 3)
        self.assertIs(y.t_(), y)
        self.assertEqual((tuple(y.shape), y.stride()), ((3, 2), (1, 3)))
        y.mul_(2)
        self.assertEqual(x.tolist(), [0, 2, 4, 6, 8, 10])
        self.assertEqual(tuple(y.unsqueeze_(0).transpose_(1, 2).swapaxes_(0, 1).shape), (2, 1, 3))
        self.assertEqual(tuple(y.squeeze_().as_strided_((2,), (1,), 4).shape), (2,))
        self.assertEqual(y.tolist(), [8, 10])

    def test_history(self):
        w = torch.ones(3, requires_grad=True)
        z = w * 2
        z.unsqueeze_(0)
        z.sum().backward()
        self.assertEqual(w.grad.tolist(), [2, 2, 2])
        self.assertFalse((w * 2).detach_().requires_grad)
        self.assertTrue((w * 2).zero_().requires_grad)
        with self.assertRaisesRegex(RuntimeError, "a leaf Variable that requires grad is being used"):
            w.unsqueeze_(0)
        with self.assertRaisesRegex(RuntimeError, "cannot resize variables that require grad"):
            w.resize_(2)

    def test_resize(self):
        x = torch.arange(4.0)
        v = x.view(4)
        x.resize_(2).add_(1)
        self.assertEqual(v.tolist(), [1, 2, 2, 3])
        self.assertEqual(x.resize_(2, 2).tolist(), [[1, 2], [2, 3]])
        self.assertEqual(x.resize_as_(torch.zeros(2, 3))[0].tolist(), [1, 2, 2])
        self.assertEqual(tuple(torch.empty(0).resize_((2, 0)).shape), (2, 0))

    def test_resize_formats(self):
        x = torch.empty(24).resize_((1, 2, 3, 4), memory_format=torch.channels_last)
        self.assertTrue(x.is_contiguous(memory_format=torch.channels_last))

    def test_functions(self):
        x = torch.tensor([-1.0, 2.0])
        self.assertIs(torch.relu_(x), x)
        self.assertEqual(x.tolist(), [0, 2])


if __name__ == "__main__":
    unittest.main()
