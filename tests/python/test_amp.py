"""test_amp.py: autocast and the gradient scaler on the cpu beside PyTorch's own: which dtype each
function gives, a whole loop, skipped steps. Skips itself without PyTorch."""
import subprocess
import sys
import unittest
import warnings

try:
    import numpy as np
    import torch
except ImportError:
    sys.exit(77)
import kiln
from beside import SIDES, copy_state, said, to_kiln

CALLS = ["x @ x", "m.mm(x, x)", "F.linear(x, x)", "F.conv1d(x[None], x[:, :, None])", "x + x", "m.bmm(x[None], x[None])",
         "m.addmm(x, x, x)", "F.mse_loss(h, h)", "F.cross_entropy(h, i)", "F.l1_loss(h, h)", "h.softmax(1)", "h.sum()",
         "m.cat([x, h])", "m.stack([x, h])", "F.relu(h)", "(x @ x).exp()", "m.mm(x.double(), x.double())", "h.prod()",
         "F.binary_cross_entropy_with_logits(h, h)", "F.layer_norm(h, (4,))", "m.nn.LSTM(4, 2)(x)[0]", "F.nll_loss(h, i)",
         "m.nn.MultiheadAttention(4, 2)(x, x, x)[0]", "F.kl_div(h, h)", "m.cdist(x, x)", "m.matmul(x, x).relu() @ x"]


def peer_has_lstm(dtype):
    """PyTorch has one of halves not on every cpu."""
    try:
        with torch.autocast("cpu", dtype=getattr(torch, dtype)):
            torch.nn.LSTM(4, 2)(torch.ones(4, 4))
    except RuntimeError:
        return False
    return True


class Autocast(unittest.TestCase):
    def test_dtypes(self):
        for dtype in ("bfloat16", "float16"):
            for source in CALLS:
                if "LSTM" in source and not peer_has_lstm(dtype):
                    continue
                said_ = []
                for m in SIDES:
                    x = m.ones(4, 4)
                    env = {"m": m, "F": m.nn.functional, "x": x, "h": x.to(getattr(m, dtype)), "i": m.tensor([0, 1, 2, 3])}
                    with m.autocast("cpu", dtype=getattr(m, dtype)), warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        said_.append(str(eval(source, env).dtype))
                    self.assertEqual(str((x @ x).dtype), "torch.float32")
                with self.subTest(source, dtype=dtype):
                    self.assertEqual(*said_)

    def test_state(self):
        for m in SIDES:
            self.assertFalse(m.is_autocast_enabled("cpu"))
            with m.amp.autocast("cpu"):
                self.assertTrue(m.is_autocast_enabled("cpu"))
                self.assertEqual(str(m.get_autocast_dtype("cpu")), "torch.bfloat16")
                with m.autocast("cpu", enabled=False):
                    self.assertEqual(str((m.ones(2, 2) @ m.ones(2, 2)).dtype), "torch.float32")
                self.assertEqual(str((m.ones(2, 2) @ m.ones(2, 2)).dtype), "torch.bfloat16")

            @m.autocast("cpu")
            def product():
                return m.ones(2, 2) @ m.ones(2, 2)

            self.assertEqual(str(product().dtype), "torch.bfloat16")
            with self.assertWarnsRegex(UserWarning, "CPU Autocast only supports dtypes of"):
                m.autocast("cpu", dtype=m.float64)
            with self.assertWarnsRegex(UserWarning, "CUDA is not available or torch_xla is imported"):
                m.autocast("cuda")

    def test_refused(self):
        for source in ("m.autocast(3)", "m.autocast('cpu')(3)",
                       "m.amp.GradScaler('cpu', growth_factor=1.0)", "m.amp.GradScaler('cpu', backoff_factor=1.0)",
                       "m.amp.GradScaler('cpu').update()", "m.amp.GradScaler('cpu').step(o)",
                       "m.amp.GradScaler('cpu').unscale_(o)", "m.amp.GradScaler('cpu').scale(3)",
                       "m.amp.GradScaler('cpu').load_state_dict({})"):
            theirs, ours = said(source, {"o": lambda m: m.optim.SGD([m.ones(1, requires_grad=True)])})
            with self.subTest(source):
                self.assertIsNotNone(theirs)
                self.assertEqual(ours, theirs)

    def test_lists(self):
        shown = subprocess.run([sys.executable, "-m", "kiln.amp"], capture_output=True, text=True, check=True).stdout
        self.assertRegex(shown, r"matmul +cpu lower +cuda lower")
        self.assertRegex(shown, r"mse_loss +cpu float32 +cuda float32")

    def test_functions(self):
        for m in SIDES:
            class Double(m.autograd.Function):
                @staticmethod
                @m.amp.custom_fwd(device_type="cpu", cast_inputs=m.float32)
                def forward(ctx, x):
                    seen.append((str(x.dtype), m.is_autocast_enabled("cpu")))
                    return x * 2

                @staticmethod
                @m.amp.custom_bwd(device_type="cpu")
                def backward(ctx, g):
                    seen.append(m.is_autocast_enabled("cpu"))
                    return g * 2

            seen = []
            x = m.ones(2, dtype=m.bfloat16, requires_grad=True)
            with m.autocast("cpu"):
                y = Double.apply(x).sum()
            y.backward()
            self.assertEqual(seen, [("torch.float32", False), False])


class Scaler(unittest.TestCase):
    def test_scale(self):
        for m in SIDES:
            w = m.ones(2, requires_grad=True)
            scaler = m.amp.GradScaler("cpu")
            scaler.scale((w * 3).sum()).backward()
            self.assertEqual(w.grad.tolist(), [3 * 65536.0] * 2)
            opt = m.optim.SGD([w], lr=1.0)
            scaler.unscale_(opt)
            self.assertEqual(w.grad.tolist(), [3, 3])
            with self.assertRaisesRegex(RuntimeError, "already been called on this optimizer"):
                scaler.unscale_(opt)
            scaler.step(opt)
            with self.assertRaisesRegex(RuntimeError, "step\\(\\) has already been called"):
                scaler.step(opt)
            scaler.update()
            self.assertEqual((w.tolist(), scaler.get_scale()), ([-2, -2], 65536))
            self.assertEqual([t.tolist() for t in scaler.scale([m.ones(1), m.ones(1)])], [[65536.0]] * 2)

    def test_skips(self):
        for m in SIDES:
            w = m.ones(2, requires_grad=True)
            opt = m.optim.SGD([w], lr=1.0)
            scaler = m.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
            scales = []
            for k in (1.0, float("inf"), 1.0, 1.0, float("nan"), 1.0, 1.0):
                before = w.tolist()
                opt.zero_grad()
                scaler.scale((w * k).sum()).backward()
                scaler.step(opt)
                scaler.update()
                scales.append(scaler.get_scale())
                self.assertEqual(w.tolist() == before, k != 1.0)
            self.assertEqual(scales, [8, 4, 4, 8, 4, 4, 8])
            state = scaler.state_dict()
            self.assertEqual(state, {"scale": 8.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2,
                                     "_growth_tracker": 0})
            again = m.amp.GradScaler("cpu")
            again.load_state_dict(state)
            self.assertEqual(again.state_dict(), state)

    def test_disabled(self):
        for m in SIDES:
            with self.assertWarnsRegex(UserWarning, "CUDA is not available"):
                scaler = m.cuda.amp.GradScaler() if m is kiln else m.amp.GradScaler()
            self.assertFalse(scaler.is_enabled())
            w = m.ones(2, requires_grad=True)
            scaler.scale(w.sum()).backward()
            scaler.step(m.optim.SGD([w], lr=1.0))
            scaler.update()
            self.assertEqual((w.tolist(), scaler.get_scale(), scaler.state_dict()), ([0, 0], 1.0, {}))

    def test_loop(self):
        """The whole loop in bf16 is within 2% of float32's, and like PyTorch's."""
        torch.manual_seed(0)
        x, y = torch.randn(64, 8), torch.randn(64, 1)
        nets = [m.nn.Sequential(m.nn.Linear(8, 16), m.nn.ReLU(), m.nn.Linear(16, 1)) for m in SIDES]
        start = {k: v.clone() for k, v in nets[0].state_dict().items()}
        last = {}
        for half in (True, False):
            nets[0].load_state_dict(start)
            copy_state(*nets)
            for m, net, (x2, y2) in zip(SIDES, nets, ((x, y), (to_kiln(x), to_kiln(y)))):
                opt, scaler = m.optim.Adam(net.parameters(), lr=0.01), m.amp.GradScaler("cpu")
                for _ in range(10):
                    opt.zero_grad()
                    with m.autocast("cpu", enabled=half):
                        loss = m.nn.functional.mse_loss(net(x2), y2)
                    scaler.scale(loss).backward()
                    scaler.step(opt)
                    scaler.update()
                last[m, half] = loss.item()
                self.assertEqual(str(net[0].weight.grad.dtype), "torch.float32")
        np.testing.assert_allclose(last[kiln, True], last[kiln, False], rtol=0.02)
        np.testing.assert_allclose(last[kiln, True], last[torch, True], rtol=0.02)
        np.testing.assert_allclose(last[kiln, False], last[torch, False], rtol=1e-4)


if __name__ == "__main__":
    unittest.main()
