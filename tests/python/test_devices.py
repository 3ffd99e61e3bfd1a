"""Tensors on a CUDA device: the GPU, or the stand-ins for its driver."""
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


if __name__ == "__main__":
    unittest.main()
