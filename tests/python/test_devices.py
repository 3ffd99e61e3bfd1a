"""Tensors on a CUDA device: the GPU, or the stand-ins for its driver."""
import os
import subprocess
import sys
import unittest

import kiln as torch


class OnDevice(unittest.TestCase):
    def test_moves(self):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        x = torch.ones(5, device=device)
        self.assertEqual(str(x.device), "cuda:0")
        self.assertEqual(repr((x + torch.ones(5, device=device)).to("cpu")),
                         "tensor([2., 2., 2., 2., 2.])")
        self.assertEqual(repr(x), "tensor([1., 1., 1., 1., 1.], device='cuda:0')")
        self.assertIs(x.to(device), x)
        self.assertEqual(torch.tensor([1, 2]).cuda().cpu().tolist(), [1, 2])
        self.assertEqual(torch.zeros(2, 2).to(x).device, x.device)

    def test_gradients_move(self):
        x = torch.ones(3, requires_grad=True)
        (x.to("cuda") * torch.tensor([1., 2, 3], device="cuda")).sum().backward()
        self.assertEqual(repr(x.grad), "tensor([1., 2., 3.])")
        y = torch.ones(2, device="cuda", requires_grad=True)
        self.assertTrue(y.is_leaf)
        (y.cpu() * 3).sum().backward()
        self.assertEqual(repr(y.grad), "tensor([3., 3.], device='cuda:0')")

    def test_refusals(self):
        x, y = torch.ones(5, device="cuda"), torch.ones(5)
        for a, b in ((x, y), (y, x)):
            with self.assertRaisesRegex(RuntimeError,
                                        "expected device cuda:0 but got device cpu"):
                a + b
        with self.assertRaisesRegex(TypeError, "can't convert cuda:0 device type tensor to numpy. "
                                    r"Use Tensor.cpu\(\) to copy the tensor to host memory first"):
            memoryview(x)
        with self.assertRaisesRegex(RuntimeError, "no device cuda:99 here"):
            y.to("cuda:99")

    def test_module_and_names(self):
        net = torch.nn.Linear(4, 2).to("cuda")
        out = net(torch.ones(3, 4, device="cuda"))
        out.sum().backward()
        self.assertEqual({str(p.grad.device) for p in net.parameters()}, {"cuda:0"})
        self.assertGreaterEqual(torch.cuda.device_count(), 1)
        self.assertTrue(torch.cuda.get_device_name(0))
        torch.cuda.synchronize()


    def test_default(self):
        torch.set_default_device("cuda")
        try:
            made = [torch.zeros(2), torch.rand(2), torch.arange(3), torch.tensor([1.0]), torch.as_tensor([2]),
                    torch.nn.Linear(2, 2).weight, torch.full((2,), 1)]
            self.assertEqual({str(t.device) for t in made}, {"cuda:0"})
            self.assertEqual(torch.get_default_device(), torch.device("cuda:0"))
            self.assertEqual(torch.zeros(2, device="cpu").device.type, "cpu")
            with torch.device("cpu"):
                self.assertEqual(torch.ones(2).device.type, "cpu")
                with torch.device("cuda:0"):
                    self.assertEqual(str(torch.ones(2).device), "cuda:0")
                self.assertEqual(torch.ones(2).device.type, "cpu")
            self.assertEqual(str(torch.ones(2).device), "cuda:0")
        finally:
            torch.set_default_device(None)
        self.assertEqual(torch.ones(2).device.type, "cpu")
        self.assertEqual(str(torch.as_tensor(torch.ones(2), device="cuda").device), "cuda:0")

    def test_environment(self):
        code = ("import kiln as t; x = t.tensor([1., 2]); print(x.device, t.rand(2).device, (x + t.ones(2)).tolist(),"
                "t.get_default_device())")
        got = subprocess.run([sys.executable, "-c", code], env={**os.environ, "KILN_DEVICE": "cuda"},
                             capture_output=True, text=True)
        self.assertEqual(got.stdout, "cuda:0 cuda:0 [2.0, 3.0] cuda:0\n", got.stderr)


    def test_one_program(self):
        """The same numbers on either kind of device (A241)."""
        code = ("import kiln as t; t.manual_seed(0); w = t.rand(4, 4, requires_grad=True)\n"
                "y = (t.randn(3, 4) @ w).softmax(0).square().sum(); y.backward(); print(y.tolist(), w.grad.tolist())")
        said = [subprocess.run([sys.executable, "-c", code], env={**os.environ, "KILN_DEVICE": device},
                               capture_output=True, text=True) for device in ("cpu", "cuda")]
        self.assertEqual(said[0].stdout, said[1].stdout, said[1].stderr)
        self.assertIn("[", said[0].stdout)


class Copies(unittest.TestCase):
    def counted(self, work):
        """What a piece of work gives, and how much it adds to the counters."""
        before = torch.stats()
        r = work()
        after = torch.stats()
        return r, {n: after[n] - before[n] for n in ("kernels_launched", "device_copies", "device_copy_bytes")}

    def test_shared_memory_to_device(self):
        """A088: nothing is copied on the host, once to the device, and later writes stay here."""
        numbers = memoryview(bytearray(16)).cast("f")
        shared = torch.frombuffer(numbers, dtype=torch.float32)
        before = torch.stats()["host_copies"]
        x, n = self.counted(lambda: shared.to("cuda"))
        self.assertEqual(n, {"kernels_launched": 0, "device_copies": 1, "device_copy_bytes": 16})
        self.assertEqual(torch.stats()["host_copies"], before)
        numbers[0] = 5
        self.assertEqual((shared.tolist(), x.tolist()), ([5, 0, 0, 0], [0, 0, 0, 0]))

    def test_bytes_to_images(self):
        pixels = bytearray(range(256))
        x, n = self.counted(lambda: torch.frombuffer(pixels, dtype=torch.uint8).float().div_(255).to("cuda"))
        self.assertEqual(n, {"kernels_launched": 1, "device_copies": 1, "device_copy_bytes": 1024})
        self.assertEqual(x.cpu().tolist(), [torch.tensor(v / 255).item() for v in range(256)])
        self.assertEqual(pixels, bytearray(range(256)))

    def test_pinned_loader(self):
        data = torch.utils.data.TensorDataset(torch.arange(10.), torch.arange(10))
        loader = torch.utils.data.DataLoader(data, batch_size=4, pin_memory=True)
        got, n = self.counted(lambda: [(x.to("cuda", non_blocking=True), y.cuda(non_blocking=True)) for x, y in loader])
        self.assertEqual((n["device_copies"], n["device_copy_bytes"]), (6, 40 + 80))
        self.assertEqual([v for x, _ in got for v in x.tolist()], list(range(10)))
        self.assertEqual([v for _, y in got for v in y.tolist()], list(range(10)))

    def test_non_blocking(self):
        x = torch.arange(100000.)
        y = x.to("cuda", non_blocking=True)
        x.zero_()
        self.assertEqual(x.sum().item(), 0)  # written while the copy may still run
        self.assertEqual((y + 1)[-1].item(), 100000)
        z = y.to("cpu", non_blocking=True)  # a read waits
        y.zero_()
        self.assertEqual((z[-1].item(), y.sum().item()), (99999, 0))


class Training(unittest.TestCase):
    """A net, its state and its optimiser's on the device, and autocast there."""

    def test_like(self):
        x = torch.ones(2, device="cuda")
        for t in (torch.zeros_like(x), torch.randn_like(x), torch.full_like(x, 2.0), x.new_zeros(3),
                  x.new_tensor([1.0])):
            self.assertEqual(str(t.device), "cuda:0")
        self.assertEqual(str(torch.zeros_like(x, device="cpu").device), "cpu")

    def test_steps(self):
        nn = torch.nn
        net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).to("cuda")
        x, y = torch.ones(5, 4).cuda(), torch.tensor([0, 1, 2, 0, 1]).cuda()
        for name in ("SGD", "Adam", "RMSprop", "Rprop"):
            opt, losses = getattr(torch.optim, name)(net.parameters()), []
            for _ in range(3):
                opt.zero_grad()
                loss = nn.CrossEntropyLoss()(net(x), y)
                loss.backward()
                opt.step()
                losses.append(loss.item())
            self.assertLess(losses[-1], losses[0], name)
        self.assertEqual({str(t.device) for t in net.state_dict().values()}, {"cuda:0"})

    def test_autocast(self):
        x = torch.ones(2, 2, device="cuda")
        with torch.autocast("cuda"):
            self.assertEqual(str((x @ x).dtype), "torch.float16")
            self.assertEqual(str((x @ x).sum().dtype), "torch.float32")
            self.assertEqual(str((torch.ones(2, 2) @ torch.ones(2, 2)).dtype), "torch.float32")
        w = torch.ones(2, device="cuda", requires_grad=True)
        scaler, opt = torch.cuda.amp.GradScaler(), torch.optim.SGD([w], lr=1.0)
        scaler.scale((w * 3).sum()).backward()
        scaler.step(opt)
        scaler.update()
        self.assertEqual(w.tolist(), [-2, -2])


if __name__ == "__main__":
    unittest.main()
