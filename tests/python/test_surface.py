"""What stands around tensors: devices, generators, functions of functions, profiles. Without
NumPy or PyTorch."""
import collections
import copy
import importlib
import io
import os
import pickle
import tempfile
import unittest
from types import SimpleNamespace as Namespace

import kiln as torch
from kiln import nn, overrides


class Devices(unittest.TestCase):
    def test_without_a_driver(self):
        if torch.cuda.is_available():
            self.skipTest("there is a CUDA device: test_devices.py")
        self.assertEqual(torch.cuda.device_count(), 0)
        self.assertEqual(torch.ones(2).device, torch.device("cpu"))
        with self.assertRaisesRegex(RuntimeError, "no device cuda:0 here: no CUDA driver"):
            torch.ones(2, device="cuda")
        with self.assertRaisesRegex(AssertionError, "Invalid device id"):
            torch.cuda.get_device_name(0)
        with self.assertRaisesRegex(RuntimeError, "not linked with support for mps"):
            torch.ones(2).to("mps")
        self.assertFalse(torch.backends.mps.is_available())

    def test_accelerator(self):
        there = torch.cuda.is_available()
        self.assertEqual(torch.accelerator.is_available(), there)
        self.assertEqual(torch.accelerator.device_count(), torch.cuda.device_count())
        self.assertEqual(torch.accelerator.current_accelerator() is not None, there)
        torch.accelerator.synchronize()

    def test_data_parallel(self):
        net = torch.nn.DataParallel(torch.nn.Linear(2, 3), device_ids=[])
        self.assertEqual(list(net.state_dict()), ["module.weight", "module.bias"])
        x = torch.ones(4, 2)
        self.assertTrue(torch.equal(net(x), net.module(x)))
        self.assertTrue(torch.equal(torch.nn.parallel.data_parallel(net, x, []), net(x)))
        with self.assertRaises(NotImplementedError):
            torch.nn.DataParallel(torch.nn.Linear(2, 3), device_ids=[0, 1])

    def test_names(self):
        self.assertEqual(repr(torch.device("cuda")), "device(type='cuda')")
        self.assertEqual(repr(torch.device("cuda", 0)), "device(type='cuda', index=0)")
        self.assertEqual(str(torch.device("cuda:1")), "cuda:1")
        for bad in ("cuda: 2", "cuda:+2", "cuda:2 ", "cuda:", -1):
            self.assertRaises(RuntimeError, torch.device, bad)

    def test_settings(self):
        torch.set_deterministic_debug_mode("warn")
        self.assertEqual((torch.are_deterministic_algorithms_enabled(), torch.get_deterministic_debug_mode()),
                         (True, 1))
        torch.use_deterministic_algorithms(False)
        self.assertEqual(torch.get_deterministic_debug_mode(), 0)
        check = torch.sparse.check_sparse_tensor_invariants
        with check():
            self.assertTrue(check.is_enabled())
        self.assertFalse(check.is_enabled())
        self.assertIn("Version", torch.__config__.show())
        self.assertIn("get_num_threads() : ", torch.__config__.parallel_info())
        self.assertRaises(RuntimeError, torch.ones(1).as_subclass, int)
        self.assertRaises(RuntimeError, torch.set_num_threads, 2 ** 80)
        self.assertFalse(torch.ones(1).is_shared())
        for shared in (torch.ones(1).share_memory_, torch.nn.Linear(1, 1).share_memory):
            self.assertRaises(NotImplementedError, shared)


class Generators(unittest.TestCase):
    def test_streams(self):
        g = torch.Generator().manual_seed(3)
        a, b = torch.rand(3, generator=g), torch.rand(3, generator=g)
        state = g.get_state()
        c = torch.rand(2, generator=g)
        self.assertTrue(torch.equal(torch.rand(2, generator=g.set_state(state)), c))
        torch.manual_seed(3)
        self.assertTrue(torch.equal(torch.rand(3), a))
        with torch.random.fork_rng():
            torch.rand(5)
        self.assertTrue(torch.equal(torch.rand(3), b))
        with self.assertRaises(TypeError):
            torch.rand(3, generator=5)


class Func(unittest.TestCase):
    def test_derivatives(self):
        x = torch.tensor([1., 2, 3])

        def f(x):
            return (x ** 3).sum()

        self.assertEqual(torch.func.grad(f)(x).tolist(), [3, 12, 27])
        second = torch.func.grad(lambda x: torch.func.grad(f)(x).sum())
        self.assertEqual(second(x).tolist(), [6, 12, 18])
        self.assertEqual(torch.func.hessian(f)(x).tolist(), [[6, 0, 0], [0, 12, 0], [0, 0, 18]])
        out, back = torch.func.vjp(lambda x: x * x, x)
        self.assertEqual(back(torch.ones(3))[0].tolist(), [2, 4, 6])
        _, along = torch.func.jvp(lambda x: x * x, (x,), (torch.tensor([1., 0, 2]),))
        self.assertEqual(along.tolist(), [2, 0, 12])
        self.assertFalse(torch.func.grad(f)(x).requires_grad)
        with self.assertRaises(NotImplementedError):
            torch.func.vmap(f)

    def test_functional_call(self):
        net = torch.nn.Linear(3, 2)
        y = torch.func.functional_call(net, {"weight": torch.zeros(2, 3)}, torch.ones(3))
        self.assertEqual(y.tolist(), net.bias.tolist())
        self.assertNotEqual(net.weight.tolist(), [[0] * 3] * 2)


class Inspecting(unittest.TestCase):
    def test_profile(self):
        with torch.profiler.profile() as p:
            (torch.ones(64, 64) @ torch.ones(64, 64)).sum().item()
        self.assertTrue(any(r["flops"] > 0 for r in p.key_averages()))
        self.assertIn("GFLOP/s", p.table())
        with tempfile.TemporaryDirectory() as folder:
            p.export_chrome_trace(os.path.join(folder, "t.json"))
            self.assertTrue(os.path.getsize(os.path.join(folder, "t.json")) > 100)

    def test_schedule(self):
        ready = []
        plan = torch.profiler.schedule(wait=1, warmup=1, active=2, repeat=1, skip_first=1)
        self.assertEqual([plan(i).name for i in range(6)],
                         ["NONE", "NONE", "WARMUP", "RECORD", "RECORD_AND_SAVE", "NONE"])
        with torch.profiler.profile(schedule=plan, on_trace_ready=ready.append) as p:
            for _ in range(8):
                (torch.ones(8, 8) @ torch.ones(8, 8)).tolist()
                p.step()
        self.assertEqual(ready, [p])
        self.assertTrue(p.key_averages())
        with tempfile.TemporaryDirectory() as folder:
            with torch.autograd.profiler.profile(
                    on_trace_ready=torch.profiler.tensorboard_trace_handler(folder, "a", True)):
                torch.ones(3).add(1).tolist()
            self.assertEqual([n[-17:] for n in os.listdir(folder)], [".pt.trace.json.gz"])

    def test_explain_and_stats(self):
        before = torch.stats()["kernels_launched"]
        text = torch.explain(lambda a: (a * 2).exp().sum(), torch.ones(1000))
        self.assertIn("launch", text)
        torch.ones(3).add(1).tolist()
        self.assertGreater(torch.stats()["kernels_launched"], before)


class Turns(unittest.TestCase):
    """What a loop hands on is not computed from its first turn on, whatever a turn asks for."""

    def launched(self, turn, **names):
        s, counts = Namespace(**names), []
        for _ in range(9):
            before = torch.stats()["kernels_launched"]
            turn(s)
            counts.append(torch.stats()["kernels_launched"] - before)
        self.assertLessEqual(max(counts[2:]), counts[1], counts)
        self.assertLessEqual(max(counts[4:]), min(counts[4:]) + 1, counts)
        return s

    def test_a_sum_of_each(self):
        x = torch.full((30, 30), 0.01)

        def turn(s):
            s.y = (s.y @ x) + 1
            s.total += s.y.sum().item()

        self.assertEqual(round(self.launched(turn, y=x * 0, total=0).total), 11020)

    def test_two_lines(self):
        a = torch.eye(20) * 2 + 0.1

        def turn(s):
            ap = a @ s.p
            step = (s.r @ s.r) / (s.p @ ap)
            s.x = s.x + step * s.p
            new = s.r - step * ap
            s.p = new + (new @ new) / (s.r @ s.r + 1e-30) * s.p
            s.r = new
            s.error = new.abs().max().item()

        s = self.launched(turn, x=torch.zeros(20), r=torch.ones(20), p=torch.ones(20))
        torch.testing.assert_close(a @ s.x, torch.ones(20))

    def test_growing(self):
        w = torch.eye(8) * 0.5

        def turn(s):
            s.seen = torch.cat([s.seen, s.x @ w])
            s.x = (torch.softmax(s.x @ s.seen.t(), -1) @ s.seen) + 1
            s.next = s.x.argmax().item()

        s = self.launched(turn, seen=torch.ones(1, 8), x=torch.ones(1, 8))
        self.assertEqual(s.seen.shape, (10, 8))

    def test_what_waits_is_computed(self):
        """A mean that nobody asks for does not hold on to all that it was made of."""
        w, mean, extra = torch.ones(1000), torch.zeros(1000), []
        for _ in range(40):
            before = torch.stats()["kernels_launched"]
            mean = mean * 0.5 + w * 0.5
            extra.append(torch.stats()["kernels_launched"] - before)
            w = w * 0.5
            self.assertGreater(w.sum().item(), 0)
        self.assertEqual(sum(n > 0 for n in extra), 2, extra)
        self.assertAlmostEqual(mean[0].item() * 2 ** 39, 20, 4)

    def test_with_gradients(self):
        x = torch.arange(20.).reshape(10, 2) / 20

        def turn(s):
            loss = ((x @ s.w - 1) ** 2).mean()
            s.w = (s.w - 0.5 * torch.autograd.grad(loss, s.w)[0]).detach().requires_grad_()
            s.loss = loss.item()

        self.assertLess(self.launched(turn, w=torch.zeros(2).requires_grad_()).loss, 0.3)


class Modules(unittest.TestCase):
    def test_two_functions_of_a_name(self):
        a = torch.tensor([[3., 1], [1, 2]])
        u, s, v = torch.svd(a)
        torch.testing.assert_close(u @ s.diag() @ v.T, a)
        self.assertEqual(torch.linalg.svd(a)._fields, ("U", "S", "Vh"))
        q, r = torch.qr(a, some=True)
        torch.testing.assert_close(q @ r, a)
        with self.assertRaises(TypeError):
            torch.linalg.qr(a, some=True)
        self.assertEqual(torch.slogdet(a)[0], 1)
        self.assertEqual(a.lu_solve(*torch.linalg.lu_factor(a)).round().tolist(), [[1, 0], [0, 1]])

    def test_older_names(self):
        self.assertIs(torch.functional.F, torch.nn.functional)
        self.assertIs(torch.functional.einsum, torch.einsum)
        self.assertIs(torch.autograd.function.Function, torch.autograd.Function)
        x = torch.ones(2, dtype=torch.float64)
        self.assertEqual(str(x.new([1, 2])), "tensor([1., 2.], dtype=torch.float64)")
        self.assertEqual((x.new(2, 3).shape, x.new(x.shape).shape, x.new().shape),
                         ((2, 3), (2,), (0,)))
        self.assertEqual(x.ndimension(), 1)
        self.assertEqual((x.is_xpu, x.is_xla, x.is_nested, x.is_mkldnn), (False,) * 4)
        self.assertEqual(torch.tensor(collections.deque([torch.ones(()), 2])).tolist(), [1, 2])
        self.assertEqual(torch.histogram(x).hist.shape, (100,))
        self.assertEqual(torch.spmm(torch.ones(1, 2), torch.ones(2, 1)).tolist(), [[2]])

    def test_modules_of_signatures(self):
        from kiln.multiprocessing import cpu_count
        from kiln.nn.common_types import _size_2_t
        from kiln.optim.adamw import AdamW
        from kiln.types import Device, Number
        from kiln.utils.data._utils.collate import default_collate
        from kiln.utils.dlpack import from_dlpack, to_dlpack
        x = torch.zeros(2)
        from_dlpack(to_dlpack(x))[0] = 5
        self.assertEqual(x.tolist(), [5, 0])
        self.assertIs(x.pin_memory(), x)
        self.assertIs(AdamW, torch.optim.AdamW)
        self.assertIs(default_collate, torch.utils.data.default_collate)
        self.assertGreater(cpu_count(), 0)
        self.assertTrue(all((_size_2_t, Device, Number)))

    def test_files_of_layers(self):
        for name, layer in (("activation", "MultiheadAttention"), ("batchnorm", "BatchNorm1d"),
                            ("normalization", "LayerNorm"), ("transformer", "Transformer"),
                            ("upsampling", "Upsample"), ("flatten", "Flatten")):
            of = importlib.import_module(f"kiln.nn.modules.{name}")
            self.assertIs(getattr(of, layer), getattr(torch.nn, layer))
        for name, one in (("normal", "Normal"), ("categorical", "Categorical"),
                          ("multivariate_normal", "MultivariateNormal"), ("kl", "kl_divergence")):
            self.assertTrue(hasattr(importlib.import_module(f"kiln.distributions.{name}"), one))
        self.assertIs(importlib.import_module("kiln.utils.data.dataloader").DataLoader,
                      torch.utils.data.DataLoader)


    def test_trees(self):
        """Containers in containers, as programs map functions over them."""
        from kiln.utils._pytree import tree_flatten, tree_map, tree_map_only, tree_unflatten
        Pair = collections.namedtuple("Pair", "a b")
        tree = {"x": [1, (2, 3)], "y": Pair(4, None), "z": collections.OrderedDict(k=5)}
        leaves, spec = tree_flatten(tree)
        self.assertEqual((leaves, spec.num_leaves), ([1, 2, 3, 4, None, 5], 6))
        self.assertEqual(tree_unflatten(leaves, spec), tree)
        self.assertEqual(tree_map(lambda a, b: a + b, [1, (2,)], [3, (4,)]), [4, (6,)])
        self.assertEqual(tree_map_only(int, lambda x: -x, tree)["y"], Pair(-4, None))
        with self.assertRaisesRegex(ValueError, "length 1 but the spec refers to"):
            tree_unflatten([1], spec)

    def test_one_process(self):
        """What programs of several processes import is there, and says that there is one."""
        from kiln.distributed import init_process_group, is_available, is_initialized
        from kiln.nn.parallel import DistributedDataParallel
        self.assertFalse(is_available() or is_initialized())
        for f in (lambda: init_process_group("nccl"), lambda: DistributedDataParallel(torch.nn.Linear(1, 1))):
            with self.assertRaisesRegex(RuntimeError, "has no process groups"):
                f()
        of = importlib.import_module("kiln.utils.data.distributed").DistributedSampler
        parts = [list(of(range(10), 3, r, seed=1)) for r in range(3)]
        self.assertEqual([len(p) for p in parts], [4, 4, 4])
        self.assertEqual(set(sum(parts, [])), set(range(10)))
        self.assertEqual(list(of(range(10), 3, 1, shuffle=False, drop_last=True)), [1, 4, 7])


class Testing(unittest.TestCase):
    def test_assert_close(self):
        close = torch.testing.assert_close
        close(torch.ones(3), torch.ones(3) + 1e-7)
        close({"a": [torch.ones(2), 1.0]}, {"a": [torch.ones(2), 1.0]})
        with self.assertRaisesRegex(AssertionError, r"Mismatched elements: 1 / 3 \(33.3%\)"):
            close(torch.tensor([1., 2, 3]), torch.tensor([1., 2, 4]))
        with self.assertRaisesRegex(AssertionError, "'dtype' do not match"):
            close(torch.ones(2), torch.ones(2).double())


class Files(unittest.TestCase):
    def test_round_trip(self):
        base = torch.arange(6.).reshape(2, 3)
        body = io.BytesIO()
        torch.save({"a": base, "row": base[1], "n": 3}, body)
        body.seek(0)
        got = torch.load(body)
        self.assertEqual(got["row"].tolist(), [3, 4, 5])
        got["a"][1, 0] = 9
        self.assertEqual(got["row"].tolist(), [9, 4, 5])
        with self.assertRaisesRegex(RuntimeError, "neither PyTorch's zip format"):
            torch.load(io.BytesIO(b"nonsense"))


    def test_files_that_read_and_seek(self):
        class Reader:
            def __init__(self, file):
                self.read, self.seek, self.tell = file.read, file.seek, file.tell

        file = io.BytesIO()
        torch.save(torch.ones(2), file)
        file.seek(0)
        self.assertEqual(torch.load(Reader(file)).tolist(), [1, 1])
        with self.assertRaisesRegex(AttributeError, "a file that is seekable"):
            torch.load(type("Pipe", (), {"read": file.read})())

    def test_nowhere_to_step(self):
        w = torch.ones(2, requires_grad=True)
        opt = torch.optim.LBFGS([w], tolerance_grad=-1.0)
        self.assertEqual(opt.step(lambda: torch.tensor(10.0)).item(), 10)


class Batches(unittest.TestCase):
    def test_of_no_matrix(self):
        a = torch.zeros(0, 3, 3)
        for f in (torch.linalg.svdvals, torch.linalg.eigvalsh, torch.linalg.eigvals,
                  torch.linalg.matrix_rank, torch.linalg.det, torch.linalg.cholesky):
            self.assertEqual(f(a).tolist(), [])
        self.assertEqual([t.shape for t in torch.linalg.svd(a)], [(0, 3, 3), (0, 3), (0, 3, 3)])
        self.assertEqual(torch.linalg.lstsq(a, a).solution.shape, (0, 3, 3))


class Sparse(unittest.TestCase):
    def test_coordinates(self):
        at, v = [[0, 1, 1, 0], [2, 0, 2, 2]], torch.tensor([3., 4., 5., 1.], requires_grad=True)
        s = torch.sparse_coo_tensor(at, v, (2, 3))
        self.assertEqual(s.to_dense().tolist(), [[0, 0, 4], [4, 0, 5]])
        self.assertEqual(s.coalesce().values().tolist(), [4, 4, 5])
        (s.coalesce().to_dense() * torch.tensor([1., 2, 3])).sum().backward()
        self.assertEqual(torch.tensor([[0, 1.5], [2, 0]]).to_sparse().indices().tolist(),
                         [[0, 1], [1, 0]])
        with self.assertRaisesRegex(RuntimeError, "please call .coalesce"):
            s.indices()
        with self.assertRaisesRegex(RuntimeError, "found index 5"):
            torch.sparse_coo_tensor([[0, 5]], [1., 2.], (3,))
        for later in (lambda: s @ s, lambda: s.sum(), lambda: torch.sparse.mm(s, s),
                      lambda: torch.add(s, s)):
            with self.assertRaisesRegex(NotImplementedError, "matmul|sum|mm|add"):
                later()

    def test_products(self):
        a, b = torch.tensor([[0., 2., 0.], [3., 0., 4.]]), torch.arange(6.).reshape(3, 2)
        for x in (b, b[:, 0]):
            v = torch.tensor([3., 1., 4., 1.], requires_grad=True)
            s = torch.sparse_coo_tensor([[1, 0, 1, 0], [0, 1, 2, 1]], v, (2, 3))
            ys = [s @ x, s.mm(x), torch.sparse.mm(s, x), torch.spmm(s, x), torch.matmul(s, x),
                  torch.mm(input=s, mat2=x)]
            for y in ys:
                self.assertEqual(y.tolist(), (a @ x).tolist())
            ys[0].sum().backward()
            at = x if x.dim() == 1 else x.sum(1)
            self.assertEqual(v.grad.tolist(), at[[0, 1, 2, 1]].tolist())
        self.assertEqual((s.t() @ torch.eye(2)).tolist(), a.T.tolist())
        with self.assertRaisesRegex(RuntimeError, r"cannot be multiplied \(2x3 and 2x3\)"):
            s @ a


class Sharing(unittest.TestCase):
    def test_dlpack(self):
        for version in (None, (1, 0)):
            t = torch.arange(6.).reshape(2, 3).t()
            u = torch.from_dlpack(t.__dlpack__(max_version=version))
            u[0, 1] = 9
            self.assertEqual(t.tolist(), [[0, 9], [1, 4], [2, 5]])
            t.__dlpack__(max_version=version)  # never taken: lets go by itself
        with self.assertRaises(BufferError):
            torch.ones(2, requires_grad=True).__dlpack__()

    def test_data_ptr(self):
        t = torch.arange(6.)
        self.assertEqual(t[2:].data_ptr(), t.data_ptr() + 8)
        self.assertEqual(t.untyped_storage(), t[1:].untyped_storage())
        t.add_(1)
        self.assertEqual(t.data_ptr(), t.view(2, 3).data_ptr())


    def test_frombuffer(self):
        memory = bytearray(16)
        t = torch.frombuffer(memory, dtype=torch.float32, offset=4)
        z = torch.frombuffer(memory, dtype=torch.complex64, count=1)
        memory[6:8] = b"\x80\x3f"
        self.assertEqual((t.tolist(), z.tolist()), ([1, 0, 0], [1j]))
        self.assertEqual(torch.frombuffer(memory, dtype=torch.bfloat16).shape, (8,))
        for args, text in (
                ((b"", -1, 0), "both buffer length (0) and count (-1) must not be 0"),
                ((memory, 0, 0), "both buffer length (16) and count (0) must not be 0"),
                ((memory, 1, 16), "offset (16 bytes) must be non-negative and no greater than "
                                  "buffer length (16 bytes) minus 1"),
                ((memory, -1, 2), "buffer length (14 bytes) after offset (2 bytes) must be a "
                                  "multiple of element size (4)"),
                ((memory, 4, 4), "requested buffer length (4 * 4 bytes) after offset (4 bytes) must "
                                 "not be greater than actual buffer length (16 bytes)"),
                ((3, -1, 0), "object does not implement Python buffer protocol.")):
            with self.assertRaises(ValueError) as e:
                torch.frombuffer(args[0], dtype=torch.int32, count=args[1], offset=args[2])
            self.assertEqual(str(e.exception), text)


class Dtypes(unittest.TestCase):
    def test_late_unsigned(self):
        text = ("Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
                "UInt64 and Long")
        a, b = torch.ones(2, dtype=torch.uint64), torch.ones(2, dtype=torch.int64)
        for call in (lambda: a + b, lambda: torch.cat([a, b]), lambda: torch.where(a > 0, a, b)):
            with self.assertRaises(RuntimeError) as e:
                call()
            self.assertIn(text, str(e.exception))
        with self.assertRaisesRegex(RuntimeError, "must match the size of tensor b"):
            torch.broadcast_tensors(torch.ones(2), torch.ones(3))

    def test_info(self):
        self.assertEqual(torch.finfo(torch.float32).eps, 2.0 ** -23)
        self.assertEqual(torch.finfo(torch.complex64).dtype, "float32")
        self.assertEqual((torch.iinfo(torch.int8).min, torch.iinfo(torch.uint8).max), (-128, 255))
        self.assertEqual(torch.promote_types(torch.int8, torch.uint8), torch.int16)
        self.assertEqual(torch.result_type(torch.ones(2, dtype=torch.int32), 1.5), torch.float32)
        self.assertFalse(torch.can_cast(torch.float32, torch.int64))
        self.assertEqual(torch.ones(2).type(), "torch.FloatTensor")
        self.assertIsInstance(torch.LongTensor([1, 2]), torch.LongTensor)


class Mine(torch.Tensor):
    """A class of the user's that says nothing of functions."""


class Told(torch.Tensor):
    """One that takes note of them."""

    seen = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.seen.append(func.__name__)
        if func is torch.mean:
            return "mean"
        return super().__torch_function__(func, types, args, kwargs)


class Held:
    """An object that is no tensor."""

    def __init__(self, held):
        self.held = torch.as_tensor(held)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return Held(func(*(getattr(a, "held", a) for a in args), **(kwargs or {})))


class Classes(unittest.TestCase):
    """Tensor's subclasses, __torch_function__ and its modes, as PyTorch's guide to extending has them."""

    def test_results_are_of_the_class(self):
        x = torch.arange(4.).reshape(2, 2).as_subclass(Mine)
        for r in (x + 1, 1 - x, x @ x, -x, x < 1, x[0], x.T, x.mT, x.data, x.sum(), torch.cat([x, x]),
                  x.split(1)[0], x.max(0).values, nn.functional.relu(x), torch.ones(2) * x, x.clone(),
                  nn.Linear(2, 2)(x), torch.ones_like(x), copy.deepcopy(x), x.new_ones(2), x.new_tensor([1.])):
            self.assertIs(type(r), Mine)
        self.assertEqual(repr(x), "Mine([[0., 1.],\n      [2., 3.]])")
        w = torch.ones(2, 2, requires_grad=True)
        (w.as_subclass(Mine) * x).sum().backward()
        self.assertEqual(w.grad.tolist(), x.tolist())
        self.assertIs(type(nn.Parameter(x) * 2), torch.Tensor)
        self.assertIs(type(x.as_subclass(torch.Tensor) + 1), torch.Tensor)

    def test_functions_are_told(self):
        x = torch.ones(2).as_subclass(Told)
        Told.seen = []
        x + 1, torch.add(x, 2), torch.stack([x, x]), x[0], x.add_(1), 2 / x, x.__setitem__(0, 1.)
        self.assertEqual(Told.seen, ["add", "add", "stack", "__getitem__", "add_", "__rtruediv__",
                                     "__setitem__"])
        self.assertEqual((torch.mean(x), type(x.mean())), ("mean", Told))
        with torch._C.DisableTorchFunctionSubclass():
            self.assertIs(type(x + 1), torch.Tensor)

    def test_other_objects(self):
        h = Held([1., -2.])
        for r, value in ((torch.ones(2) + h, [2., -1.]), (torch.add(h, 1), [2., -1.]), (torch.ones(2).mul(h), [1., -2.]),
                         (nn.functional.relu(h), [1., 0.]), (torch.neg(h), [-1., 2.])):
            self.assertEqual((type(r), r.held.tolist()), (Held, value))
        self.assertEqual(overrides.handle_torch_function(torch.add, (h,), h, 1).held.tolist(), [2., -1.])
        self.assertEqual([overrides.has_torch_function((v,)) for v in (h, torch.ones(1), nn.Parameter(torch.ones(1)))],
                         [True, False, False])

    def test_modes(self):
        class Mode(overrides.TorchFunctionMode):
            def __init__(self):
                self.seen = []

            def __torch_function__(self, func, types, args=(), kwargs=None):
                self.seen.append(func.__name__)
                return func(*args, **(kwargs or {}))

        with Mode() as outer, Mode() as inner:
            y = torch.ones(2).exp() + 1
        self.assertEqual((outer.seen, inner.seen), (["ones", "exp", "add"],) * 2)
        self.assertEqual(len((y * 2).tolist() + inner.seen), 5)

    def test_errors(self):
        class Refusing(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return NotImplemented

        with self.assertRaisesRegex(TypeError, "no implementation found for .* on types that implement"):
            torch.add(Refusing([1.]), 1)
        with self.assertRaisesRegex(TypeError, "unsupported operand type"):
            Refusing([1.]) + 1

    def test_pickled(self):
        x = torch.ones(2).as_subclass(Mine)
        x.note = "kept"
        y = pickle.loads(pickle.dumps(x))
        self.assertEqual((type(y), y.note, y.tolist()), (Mine, "kept", [1., 1.]))


if __name__ == "__main__":
    unittest.main()
