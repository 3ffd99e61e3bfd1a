"""test_jit.py: functions as programs: traced, called, saved, read, compiled by kilnc."""
import ctypes
import os
import subprocess
import tempfile
import unittest

import kiln as torch
from kiln import nn

KILNC = os.path.join(os.environ.get("PYTHONPATH", "").split(os.pathsep)[0], "..", "kilnc")


class Traced(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        torch.manual_seed(0)

    def path(self, name):
        return os.path.join(self.folder, name)

    def test_control_flow(self):
        """What torch.cond and torch.while_loop choose and repeat, at once."""
        self.assertEqual(torch.cond(torch.tensor(False), lambda x: x + 1, lambda x: x * 3, (torch.ones(2),)).tolist(), [3, 3])
        i, s = torch.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s + i), (torch.tensor(0), torch.tensor(5)))
        self.assertEqual([i.item(), s.item()], [3, 8])

    def test_module(self):
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        x = torch.randn(3, 4)
        f = torch.jit.trace(net, x)
        self.assertEqual(f(x).tolist(), net(x).tolist())
        f.save(self.path("net.kl"))
        with open(self.path("net.kl"), encoding="utf-8") as text:
            self.assertIn("%w0_weight: f32[8,4]", text.read())
        self.assertEqual(torch.jit.load(self.path("net.kl"))(x).tolist(), net(x).tolist())

    def test_compiled_ahead_of_time(self):
        f = torch.jit.trace(lambda x: (x.exp() + 1).sum(0), torch.zeros(3, 4))
        torch.jit.save(f, self.path("sums.kl"))
        subprocess.run([KILNC, "sums.kl", "-o", "sums.so"], cwd=self.folder, check=True)
        library = ctypes.CDLL(self.path("sums.so"))
        x, y = (ctypes.c_float * 12)(*range(12)), (ctypes.c_float * 4)()
        self.assertEqual(library.sums(x, y), 0)
        self.assertEqual(list(y), f(torch.arange(12.).view(3, 4)).tolist())

    def test_several(self):
        f = torch.jit.trace(lambda x, y: (x @ y, x.sum()), (torch.ones(3, 4), torch.ones(4, 5)))
        product, total = f(torch.ones(3, 4), 2 * torch.ones(4, 5))
        self.assertEqual((product[0].tolist(), total.item()), ([8.0] * 5, 12.0))
        self.assertEqual(repr(f), "TracedFunction(x: torch.float32[3, 4], y: torch.float32[4, 5])")

    def test_is_tracing(self):
        seen = []
        torch.jit.trace(lambda x: (seen.append(torch.jit.is_tracing()), x + 1)[1], torch.ones(2))
        self.assertEqual((seen, torch.jit.is_tracing()), ([False, True], False))

    def test_views_and_weights_from_outside(self):
        w = torch.arange(3.)
        f = torch.jit.trace(lambda x: x * w, torch.ones(3))
        w += 5  # it was captured as it was
        self.assertEqual(f(torch.ones(3, 3)[:, 1]).tolist(), [0, 1, 2])

    def test_memory_shared_with_others(self):
        whole = bytearray(4 * 8192)
        w = torch.frombuffer(whole, dtype=torch.float32)  # too large to be copied when it is read
        f = torch.jit.trace(lambda x: x + w, torch.zeros(8192))
        whole[:4] = b"\0\0\x80\x3f"  # 1.0, after the trace
        self.assertEqual(f(torch.ones(8192)).sum().item(), 8192)
        self.assertEqual((torch.ones(8192) + w).sum().item(), 8193)

    def test_bits(self):
        """Views as another dtype split and join the last axis, as in memory."""
        x = torch.tensor([[1.5, -2.0], [3.25, 0.0]])
        for dtype in (torch.uint8, torch.int16, torch.int32, torch.int64, torch.float64):
            f = torch.jit.trace(lambda t: t.view(dtype), (x,))  # noqa: B023
            self.assertEqual(f(x).tolist(), x.view(dtype).tolist())

    def test_dimensions(self):
        with open(self.path("s.kl"), "w", encoding="utf-8") as text:
            text.write("graph s(%x: f32[B,4], %y: f32[B,4]) {\n"
                       "  %1: f32[B,4] = add %x, %y\n  out %1\n}\n")
        f = torch.jit.load(self.path("s.kl"))
        for n in (2, 5):
            self.assertEqual(f(torch.ones(n, 4), torch.ones(n, 4)).tolist(), [[2.0] * 4] * n)
        with self.assertRaisesRegex(RuntimeError, r"input y of shape \[3, 4\] does not fit the others"):
            f(torch.ones(2, 4), torch.ones(3, 4))

    def test_script(self):
        @torch.jit.script
        def f(x):
            return x * 2
        self.assertEqual(f(torch.ones(2)).tolist(), [2, 2])
        net = torch.nn.Linear(1, 1)
        self.assertIs(torch.jit.script(net), net)

    def test_refusals(self):
        x = torch.ones(3, 4)
        f = torch.jit.trace(torch.exp, x)
        for call, error, text in (
                (lambda: f(x[:2]), RuntimeError, r"expected torch.float32 of shape \[3, 4\], but got"),
                (lambda: f(x.double()), RuntimeError, "but got torch.float64"),
                (lambda: f(x, x), TypeError, "expected 1 tensors, but got 2"),
                (lambda: torch.jit.trace(lambda a: a.sum().item() + a, x), RuntimeError, "has no value"),
                (lambda: torch.jit.trace(lambda a: 1 / 0, x), ZeroDivisionError, "division"),
                (lambda: torch.jit.trace(lambda a: 3, x), TypeError, "a tensor or a tuple of tensors"),
                (lambda: torch.jit.load(self.path("none.kl")), OSError, "none.kl")):
            with self.assertRaisesRegex(error, text):
                call()


if __name__ == "__main__":
    unittest.main()
