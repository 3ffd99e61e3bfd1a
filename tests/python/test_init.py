"""test_init.py: nn.init beside PyTorch's: values that are fixed, the spread of those that are drawn,
and what is refused. Skips itself without PyTorch."""
import sys
import unittest

try:
    import numpy as np
    import torch  # noqa: F401
except ImportError:
    sys.exit(77)
import kiln
from beside import SIDES, close, said, to_numpy

ORTHOGONAL = ("orthogonal_(w)", "orthogonal_(w, 3.0)") if "qr" in kiln._kiln._functions["linalg"] else ()


class Init(unittest.TestCase):
    def test_deterministic(self):
        for source in ("constant_(w, 3.0)", "ones_(w)", "zeros_(w)", "eye_(w)"):
            outs = [eval("m.nn.init." + source, {"m": m, "w": m.empty(3, 4)}) for m in SIDES]
            close(outs[1], outs[0])
        for source in ("dirac_(w)", "dirac_(w, 2)"):
            outs = [eval("m.nn.init." + source, {"m": m, "w": m.empty(4, 2, 3, 3)}) for m in SIDES]
            close(outs[1], outs[0])

    def test_spread(self):
        for m in SIDES:
            m.manual_seed(0)
        for source in ("uniform_(w, -1, 3)", "normal_(w, 1.0, 2.0)", "trunc_normal_(w, 0.5, 1.0, -1.0, 1.0)",
                       "xavier_uniform_(w, 2.0)", "xavier_normal_(w)", "kaiming_uniform_(w, 0.3)",
                       "kaiming_normal_(w, mode='fan_out', nonlinearity='relu')", "sparse_(w, 0.5)", *ORTHOGONAL):
            stats = []
            for m in SIDES:
                w = to_numpy(eval("m.nn.init." + source, {"m": m, "w": m.empty(200, 100)}))
                stats.append([w.mean(), w.std(), w.min(), w.max()])
            with self.subTest(source):
                np.testing.assert_allclose(stats[1][1], stats[0][1], rtol=0.05)
                np.testing.assert_allclose(stats[1][0], stats[0][0], atol=0.05)
        q = to_numpy(kiln.nn.init.orthogonal_(kiln.empty(3, 5))) if ORTHOGONAL else np.eye(3)
        np.testing.assert_allclose(q @ q.T, np.eye(3), atol=1e-5)

    def test_refused(self):
        for source in ("eye_(m.ones(2))", "dirac_(m.ones(2))", "dirac_(m.ones(3, 2, 1), 2)", "xavier_uniform_(m.ones(2))",
                       "kaiming_normal_(m.ones(2, 2), mode='x')", "orthogonal_(m.ones(2))", "sparse_(m.ones(2), 0.1)",
                       "calculate_gain('x')", "calculate_gain('leaky_relu', 'a')"):
            theirs, ours = said("nn.init." + source, {})
            with self.subTest(source):
                self.assertEqual(ours, theirs)


if __name__ == "__main__":
    unittest.main()
