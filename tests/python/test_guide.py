"""test_guide.py: rows A of the feature list, a line of the guides' code each and what PyTorch
prints for it; the rows about NumPy's memory run where NumPy is, and skip themselves elsewhere."""
import unittest

import kiln as torch
from kiln import nn

try:
    import numpy as np
except ImportError:
    np = None

# row, statements, an expression, its text
ROWS = [
    ("A001", "", "torch.tensor([1, 2, 3, 4, 5]).dtype", "torch.int64"),
    ("A002", "", "torch.tensor([1., 2.]).dtype", "torch.float32"),
    ("A003", "", "torch.get_default_dtype(), torch.ones(2).dtype", "(torch.float32, torch.float32)"),
    ("A005", "", "torch.empty(3).shape", "torch.Size([3])"),
    ("A006", "", "torch.empty(2, 3).nbytes, torch.empty(2, 3, 4).nbytes", "(24, 96)"),
    ("A007", "", "torch.zeros((3, 4)).shape, torch.zeros(2, 3, 4).any()",
     "(torch.Size([3, 4]), tensor(False))"),
    ("A008", "", "torch.ones(2, 2)", "tensor([[1., 1.],\n        [1., 1.]])"),
    ("A009", "", "torch.ones(2, dtype=torch.int)", "tensor([1, 1], dtype=torch.int32)"),
    ("A010", "", "torch.ones(2, dtype=torch.double).dtype", "torch.float64"),
    ("A011", "", "torch.ones(2, dtype=torch.float32).dtype", "torch.float32"),
    ("A012", "", "torch.int is torch.int32 and torch.long is torch.int64 and "
     "torch.float is torch.float32 and torch.double is torch.float64", "True"),
    ("A013", "", "torch.int", "torch.int32"),
    ("A014", "", "torch.zeros(32, 3, 64, 64, dtype=torch.uint8).nbytes", "393216"),
    ("A015", "", "torch.arange(10)", "tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])"),
    ("A016", "", "torch.arange(6).reshape(2, 3)", "tensor([[0, 1, 2],\n        [3, 4, 5]])"),
    ("A017", "", "torch.linspace(0, 1, steps=5).tolist()", "[0.0, 0.25, 0.5, 0.75, 1.0]"),
    ("A018", "", "torch.linspace(0, 1, 8, dtype=torch.float32).reshape(2, 4)[-1, -1].item()", "1.0"),
    ("A019", "", "torch.eye(2)", "tensor([[1., 0.],\n        [0., 1.]])"),
    ("A021", "x = torch.ones(2)", "x.float() is x, x.double().dtype, x.long()",
     "(True, torch.float64, tensor([1, 1]))"),
    ("A023", "x = torch.ones(2, 3, 4)", "x.size() == x.shape, x.size()",
     "(True, torch.Size([2, 3, 4]))"),
    ("A024", "", "torch.ones(2, 3).ndim, torch.ones(2, 3).dim(), torch.tensor(1).dim()", "(2, 2, 0)"),
    ("A025", "", "torch.ones(5) + 1", "tensor([2., 2., 2., 2., 2.])"),
    ("A026", "", "torch.tensor([99, 2, 3])", "tensor([99,  2,  3])"),
    ("A027", "", "torch.ones(5, requires_grad=True)",
     "tensor([1., 1., 1., 1., 1.], requires_grad=True)"),
    ("A028", "", "torch.ones(5, requires_grad=True) + 2",
     "tensor([3., 3., 3., 3., 3.], grad_fn=<AddBackward0>)"),
    ("A032", "x = torch.rand(3, 4)", "torch.equal(x[:, :], x), x[:, :].data_ptr() == x.data_ptr()",
     "(True, True)"),
    ("A033", "x = torch.zeros(3, 4); x[0, :].fill_(1)", "x.sum(), x[0, :].shape",
     "(tensor(4.), torch.Size([4]))"),
    ("A034", "x = torch.arange(12).view(3, 4)", "x[1, :], x[1, :].storage_offset()",
     "(tensor([4, 5, 6, 7]), 4)"),
    ("A035", "x = torch.arange(6).view(2, 3)", "x[0, 0], x[1, 2].dim(), x[1, 2].numel()",
     "(tensor(0), 0, 1)"),
    ("A036", "x = torch.arange(6.).view(2, 3)", "x[1, 2].item()", "5.0"),
    ("A037", "data = torch.ones(5, 3)", "data[:, :-1].shape, data[:, :-1].stride()",
     "(torch.Size([5, 2]), (3, 1))"),
    ("A038", "data = torch.ones(5, 3)", "data[:, -1].shape, data[:, -1].stride()",
     "(torch.Size([5]), (3,))"),
    ("A039", "t = torch.zeros(3); u = t.view(3); t[0] = 9", "u", "tensor([9., 0., 0.])"),
    ("A041", "a = torch.ones(2); b = a; b.add_(1)", "a", "tensor([2., 2.])"),
    ("A042", "a = torch.tensor([5]); c = a; a.sub_(torch.tensor([2])); a = c", "a", "tensor([3])"),
    ("A043", "x = torch.arange(16).view(4, 4)", "x.view(16).shape, x.view(16).data_ptr() == x.data_ptr()",
     "(torch.Size([16]), True)"),
    ("A044", "", "torch.ones(4, 4).view(-1, 8).shape", "torch.Size([2, 8])"),
    ("A045", "", "torch.ones(4, 4).view(4, -1).shape", "torch.Size([4, 4])"),
    ("A046", "", "torch.ones(4, 4).view(-1, 2, 2).shape", "torch.Size([4, 2, 2])"),
    ("A049", "x = torch.arange(12)", "x.reshape(3, 4).data_ptr() == x.data_ptr()", "True"),
    ("A050", "x = torch.arange(24).view(4, 3, 2).permute(2, 0, 1)",
     "torch.equal(x.reshape(2, -1), x.contiguous().view(2, -1))", "True"),
    ("A052", "x = torch.randn(4, 3, 2).permute(2, 0, 1)", "x.shape, x.stride(), x.is_contiguous()",
     "(torch.Size([2, 4, 3]), (1, 6, 2), False)"),
    ("A053", "x = torch.randn(4, 3); y = x.t().contiguous()", "y.stride(), x.contiguous() is x",
     "((4, 1), True)"),
    ("A054", "x = torch.arange(24).view(4, 3, 2)",
     "x.permute(2, 0, 1).contiguous().view(2, -1)[1].tolist() == list(range(1, 24, 2))", "True"),
    ("A055", "", "torch.ones(2, 3, 4).transpose(0, 2).shape", "torch.Size([4, 3, 2])"),
    ("A056", "", "torch.ones(2, 3).T.shape, torch.ones(3).t().shape",
     "(torch.Size([3, 2]), torch.Size([3]))"),
    ("A057", "", "torch.ones(2, 3, 4).swapaxes(0, 2).shape", "torch.Size([4, 3, 2])"),
    ("A058", "", "torch.ones(2, 3, 4).movedim(0, 2).shape", "torch.Size([3, 4, 2])"),
    ("A059", "", "torch.ones(2, 3).ravel().shape, torch.ones(2, 3).reshape(-1).shape",
     "(torch.Size([6]), torch.Size([6]))"),
    ("A060", "", "torch.tensor(3).flatten(), torch.ones(2, 3).view(-1).shape",
     "(tensor([3]), torch.Size([6]))"),
    ("A061", "", "torch.ones(3).unsqueeze(0).shape, torch.ones(3).unsqueeze(-1).shape",
     "(torch.Size([1, 3]), torch.Size([3, 1]))"),
    ("A062", "x = torch.ones(1, 3, 1)", "x.squeeze().shape, x.squeeze(1).shape, x.squeeze(0).shape",
     "(torch.Size([3]), torch.Size([1, 3, 1]), torch.Size([3, 1]))"),
    ("A063", "a = torch.ones(2, 3)", "torch.cat((a, a.t().reshape(2, 3), a), dim=1).shape",
     "torch.Size([2, 9])"),
    ("A064", "", "torch.stack([torch.ones(3), torch.zeros(3)], dim=1).shape", "torch.Size([3, 2])"),
    ("A065", "", "torch.tensor([1, 2, 3]).repeat_interleave(2)", "tensor([1, 1, 2, 2, 3, 3])"),
    ("A066", "", "torch.tensor([1, 2, 3]).repeat(2)", "tensor([1, 2, 3, 1, 2, 3])"),
    ("A067", "", "torch.ones(2, 3).sum(axis=1)", "tensor([3., 3.])"),
    ("A068", "", "(torch.ones(4, 1, 3) + torch.ones(2, 1)).shape", "torch.Size([4, 2, 3])"),
    ("A070", "a = torch.tensor([1, 2])", "torch.sum(a), a.sum()", "(tensor(3), tensor(3))"),
    ("A085", "a = torch.ones(2); b = a.add(1)", "a, b", "(tensor([1., 1.]), tensor([2., 2.]))"),
    ("A096", "x, y = torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6])",
     "x + y, torch.equal(x + y, torch.add(x, y))", "(tensor([5, 7, 9]), True)"),
    ("A097", "", "torch.tensor([5, 7]) - torch.tensor([1, 2])", "tensor([4, 5])"),
    ("A098", "", "torch.tensor([5, 7]) * torch.tensor([1, 2])", "tensor([ 5, 14])"),
    ("A099", "", "torch.tensor([1, 2]) / torch.tensor([2, 2])", "tensor([0.5000, 1.0000])"),
    ("A100", "a = torch.tensor([1., 2.]); torch.div(a, 2)", "a", "tensor([1., 2.])"),
    ("A101", "", "torch.tensor([1, 2]) + 2, torch.tensor([1, 2]) * 1.5",
     "(tensor([3, 4]), tensor([1.5000, 3.0000]))"),
    ("A102", "", "torch.tensor([1, 2, 3]) ** 2", "tensor([1, 4, 9])"),
    ("A103", "y = torch.ones(2); p = y.data_ptr(); z = y.add_(1)", "z is y, y.data_ptr() == p, y",
     "(True, True, tensor([2., 2.]))"),
    ("A104", "", "torch.tensor([5]).sub_(torch.tensor([2]))", "tensor([3])"),
    ("A105", "", "torch.tensor([5]).mul_(torch.tensor([2]))", "tensor([10])"),
    ("A106", "", "torch.tensor([5.]).div_(torch.tensor([2.]))", "tensor([2.5000])"),
    ("A107", "a = torch.tensor([1, 2, 3])", "a.add_(10).tolist(), a.mul_(2).tolist(), a.zero_()",
     "([11, 12, 13], [22, 24, 26], tensor([0, 0, 0]))"),
    ("A109", "t = torch.ones(2); p = t.data_ptr(); t += 1", "t, t.data_ptr() == p",
     "(tensor([2., 2.]), True)"),
    ("A111", "w = torch.ones(2, requires_grad=True); (w ** 2).sum().backward()\n"
     "with torch.no_grad(): w -= 0.1 * w.grad", "w", "tensor([0.8000, 0.8000], requires_grad=True)"),
    ("A112", "", "torch.tensor([0, 255], dtype=torch.uint8).float().div_(255)", "tensor([0., 1.])"),
    ("A113", "", "torch.where(torch.tensor([True, False]), torch.tensor([1., float('nan')]), "
     "torch.tensor([float('nan'), 2.]))", "tensor([1., 2.])"),
    ("A114", "", "torch.clamp(torch.tensor([-2, 0, 9]), min=-1, max=3), torch.tensor([1.]).clamp(3, 2)",
     "(tensor([-1,  0,  3]), tensor([2.]))"),
    ("A117", "", "torch.tensor([1, 2, 3]).sum()", "tensor(6)"),
    ("A118", "", "torch.tensor([1., 2., 3.]).mean()", "tensor(2.)"),
    ("A120", "x = torch.ones(2, 3, 4)", "x.sum(dim=(0, -1)), x.mean(dim=1, keepdim=True).shape",
     "(tensor([8., 8., 8.]), torch.Size([2, 1, 4]))"),
    ("A122", "x = torch.tensor([1., 2., 3., 4.])", "x.std(dim=0), x.var(dim=0)",
     "(tensor(1.2910), tensor(1.6667))"),
    ("A123", "", "torch.tensor([[1, 5], [7, 7]]).argmax(dim=1)", "tensor([1, 0])"),
    ("A125", "", "torch.tensor([3, 1, 2]).sort(descending=True).values", "tensor([3, 2, 1])"),
    ("A126", "", "torch.topk(torch.tensor([3, 1, 2]), 2).indices", "tensor([0, 2])"),
    ("A129", "a = torch.arange(4.).view(2, 2)", "torch.equal(a @ a, torch.matmul(a, a)), a @ a",
     "(True, tensor([[ 2.,  3.],\n        [ 6., 11.]]))"),
    ("A130", "", "(torch.ones(5, 3) @ torch.ones(3)).shape", "torch.Size([5])"),
    ("A137", "a = torch.randn(3, 3)", "torch.equal(a @ torch.eye(3), a)", "True"),
    ("A143", "r = torch.rand(10000)", "bool((r >= 0).all() and (r < 1).all())", "True"),
    ("A144", "", "torch.rand(2, 3, 4).shape", "torch.Size([2, 3, 4])"),
    ("A146", "r = torch.randint(0, 2, (100,))", "r.dtype, r.unique()", "(torch.int64, tensor([0, 1]))"),
    ("A147", "r = torch.randint(0, 256, (100000,), dtype=torch.uint8)", "len(r.unique())", "256"),
    ("A153", "", "torch.ones(2, requires_grad=True).requires_grad", "True"),
    ("A155", "x = torch.ones(2, requires_grad=True)", "(x + 1).requires_grad", "True"),
    ("A156", "x = torch.ones(2, requires_grad=True)", "'AddBackward0' in str((x + 1).grad_fn)", "True"),
    ("A157", "x = torch.ones(2, requires_grad=True)", "x.is_leaf, (x + 1).is_leaf", "(True, False)"),
    ("A160", "a = torch.tensor([1., 2.], requires_grad=True); (a ** 2).sum().backward()", "a.grad",
     "tensor([2., 4.])"),
    ("A161", "x = torch.ones(5, requires_grad=True); (x + 2).sum().backward()", "x.grad",
     "tensor([1., 1., 1., 1., 1.])"),
    ("A162", "x, w = torch.ones(5, 3), torch.ones(3, requires_grad=True)\n"
     "((x @ w) ** 2).mean().backward()", "w.grad", "tensor([6., 6., 6.])"),
    ("A163", "x = torch.ones(2, requires_grad=True); x.sum().backward(); x.sum().backward()", "x.grad",
     "tensor([2., 2.])"),
    ("A164", "x = torch.ones(2, requires_grad=True); x.sum().backward(); x.grad.zero_()", "x.grad",
     "tensor([0., 0.])"),
    ("A165", "m = nn.Linear(2, 1); m(torch.ones(1, 2)).sum().backward(); "
     "torch.optim.SGD(m.parameters(), lr=1.0).zero_grad()", "m.weight.grad", "None"),
    ("A167", "x = torch.ones(2, requires_grad=True)\nwith torch.no_grad(): y = x * 2",
     "y.requires_grad, y.grad_fn", "(False, None)"),
    ("A169", "x = torch.ones(2, requires_grad=True); d = x.detach()",
     "d.requires_grad, d.data_ptr() == x.data_ptr()", "(False, True)"),
    ("A174", "x, w = torch.ones(2), torch.ones(2, requires_grad=True); (x * w).sum().backward()",
     "x.grad", "None"),
    ("A177", "", "nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))",
     "Sequential(\n  (0): Linear(in_features=10, out_features=20, bias=True)\n  (1): ReLU()\n"
     "  (2): Linear(in_features=20, out_features=2, bias=True)\n)"),
    ("A178", "m = nn.Linear(10, 20)", "m.weight.shape, m.bias.shape, "
     "bool(m.weight.abs().max() <= 10 ** -0.5)", "(torch.Size([20, 10]), torch.Size([20]), True)"),
    ("A179", "x = torch.tensor([-1., 0., 2.], requires_grad=True); nn.ReLU()(x).sum().backward()",
     "x.grad", "tensor([0., 0., 1.])"),
    ("A180", "m = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))",
     "len(list(m.parameters())), sum(p.numel() for p in m.parameters())", "(4, 262)"),
    ("A181", "m = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))",
     "m(torch.ones(100, 10)).shape", "torch.Size([100, 2])"),
    ("A182", "", "nn.CrossEntropyLoss()(torch.tensor([[1e4, 0.]]), torch.tensor([0])).item() == 0", "True"),
    ("A187", "", "torch.randn(100, 10, dtype=torch.float64).float().dtype, torch.ones(2).long().dtype",
     "(torch.float32, torch.int64)"),
    ("A188", "d = torch.utils.data.TensorDataset(torch.arange(4), torch.arange(4) * 2)",
     "len(d), d[3]", "(4, (tensor(3), tensor(6)))"),
    ("A193", "w = torch.ones(2, requires_grad=True); torch.optim.Adam([w]).step()", "w",
     "tensor([1., 1.], requires_grad=True)"),
    ("A201", "", "torch.device('cuda'), torch.device('cuda', 0)",
     "(device(type='cuda'), device(type='cuda', index=0))"),
    ("A203", "", "torch.ones(2).device", "device(type='cpu')"),
    ("A213", "", "torch.backends.mps.is_available()", "False"),
]

# the same with NumPy's memory
SHARED = [
    ("A004", "", "torch.from_numpy(np.ones(5)).dtype, torch.from_numpy(np.zeros(2, np.uint8)).dtype",
     "(torch.float64, torch.uint8)"),
    ("A020", "X = np.ones(2); t = torch.tensor(X, dtype=torch.float32); X[0] = 9", "t",
     "tensor([1., 1.])"),
    ("A040", "arr = np.array([1, 2, 3]); t1, t2 = torch.from_numpy(arr), torch.tensor(arr); arr[0] = 99",
     "t1, t2", "(tensor([99,  2,  3]), tensor([1, 2, 3]))"),
    ("A072", "arr = np.array([1, 2, 3]); torch.from_numpy(arr)[0] = 100", "arr.tolist()", "[100, 2, 3]"),
    ("A074", "x = np.ones(5); y = torch.from_numpy(x); x += 1", "y",
     "tensor([2., 2., 2., 2., 2.], dtype=torch.float64)"),
    ("A075", "t = torch.ones(2)", "t.numpy().ctypes.data == t.data_ptr()", "True"),
    ("A076", "a = torch.ones(5); b = a.numpy(); a[0] = 2", "b.tolist()", "[2.0, 1.0, 1.0, 1.0, 1.0]"),
    ("A077", "a = torch.ones(2); b = a.numpy(); a.add_(1)", "b.tolist()", "[2.0, 2.0]"),
    ("A078", "x = np.ones(2); y = torch.tensor(x); x += 1", "y.tolist()", "[1.0, 1.0]"),
    ("A079", "a = torch.ones(2); b = a.clone().numpy(); a[0] = 9", "b.tolist()", "[1.0, 1.0]"),
    ("A080", "x = np.ones(2); y = torch.from_numpy(x).clone(); x += 1", "y.tolist()", "[1.0, 1.0]"),
    ("A081", "x = np.ones(2); y = torch.from_numpy(x.copy()); x += 1", "y.tolist()", "[1.0, 1.0]"),
    ("A082", "t = torch.ones(2); a = np.array(t); t += 1", "a.tolist()", "[1.0, 1.0]"),
    ("A083", "t = torch.ones(2, requires_grad=True); a = t.detach().cpu().numpy().copy()",
     "a.tolist()", "[1.0, 1.0]"),
    ("A084", "t = torch.ones(2, 3, requires_grad=True).t()", "t.detach().cpu().numpy().shape", "(3, 2)"),
    ("A089", "x = np.array([0, 255], np.uint8); t = torch.from_numpy(x).float().div_(255)",
     "t, x.tolist()", "(tensor([0., 1.]), [0, 255])"),
    ("A090", "t = torch.tensor([1., 2.]); a = (t ** 2).detach().cpu().numpy().copy()",
     "a.tolist(), t.tolist()", "([1.0, 4.0], [1.0, 2.0])"),
    ("A093", "x = np.ones(2); y = torch.from_numpy(x); z = y + 1; x += 1", "z.tolist()", "[2.0, 2.0]"),
]

# row, an expression, its exception, part of its text
REFUSED = [
    ("A047", "torch.ones(4, 4).view(-1, -1)", RuntimeError, "only one dimension can be inferred"),
    ("A048", "torch.ones(16).view(-1, 5)", RuntimeError,
     "shape '[-1, 5]' is invalid for input of size 16"),
    ("A051", "torch.ones(2, 3).t().view(-1)", RuntimeError,
     "view size is not compatible with input tensor's size and stride"),
    ("A055", "torch.ones(2, 3).permute(0, 0)", RuntimeError, "duplicate dims are not allowed"),
    ("A068", "torch.ones(2) + torch.ones(2, 3)", RuntimeError, "The size of tensor a (2) must match"),
    ("A106", "torch.tensor([1]).div_(2)", RuntimeError, "result type Float can't be cast"),
    ("A119", "torch.tensor([1, 2]).mean()", RuntimeError, "mean(): could not infer output dtype. "
     "Input dtype must be either a floating point or complex dtype. Got: Long"),
    ("A158", "torch.ones(2, requires_grad=True).backward()", RuntimeError,
     "grad can be implicitly created only for scalar outputs"),
    ("A171", "torch.ones(2, requires_grad=True).add_(1)", RuntimeError,
     "a leaf Variable that requires grad is being used in an in-place operation."),
    ("A172", "torch.ones(2, requires_grad=True).numpy()", RuntimeError,
     "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."),
    ("A250", "torch.ones(2).item()", RuntimeError, "cannot be converted to Scalar"),
]


def value(statements, expression):
    names = {"torch": torch, "nn": nn, "np": np}
    exec(statements, names)
    return repr(eval(expression, names))


class Guides(unittest.TestCase):
    def check(self, rows):
        torch.manual_seed(0)
        for row, statements, expression, text in rows:
            with self.subTest(row):
                self.assertEqual(value(statements, expression), text)

    def test_rows(self):
        self.check(ROWS)

    @unittest.skipIf(np is None, "NumPy is not here")
    def test_shared(self):
        self.check(SHARED)

    def test_refused(self):
        for row, expression, kind, text in REFUSED:
            if np is None and ".numpy()" in expression:
                continue
            with self.subTest(row), self.assertRaises(kind) as caught:
                value("", expression)
            with self.subTest(row):
                self.assertIn(text, str(caught.exception))

    def test_saved_is_changed(self):
        """A170: what backward needs may not be written over."""
        y = torch.ones(2, requires_grad=True).exp()
        y.add_(1)
        with self.assertRaisesRegex(RuntimeError, "has been modified by an inplace operation"):
            y.sum().backward()

    def test_inplace_has_a_twin(self):
        """A108: every name with an underscore behind it is also there without; those that fill
        a tensor are not."""
        alone = {name for name, _, forms, *_ in torch._kiln._table() if forms & 4 and not
                 (hasattr(torch.Tensor, name) or hasattr(torch, name) or hasattr(nn.functional, name))}
        self.assertEqual(alone, {"copy", "uniform", "exponential", "cauchy", "geometric",
                                 "log_normal", "zero"})



if __name__ == "__main__":
    unittest.main()
