"""kiln within a process: Ctrl-C, fork, the environment, the terminal. Needs nothing else."""
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import kiln as torch
from kiln.utils.data import DataLoader, Dataset

TUNED = """
import kiln
x = (kiln.arange(120000).reshape(300, 400) % 7).float()
y = ((x @ (kiln.arange(200000).reshape(400, 500) % 5).float()) * 0.37).tanh()
print(sum(hash(v) for v in y.reshape(-1).tolist()), kiln.stats()["kernels_compiled"])
"""
ENDLESS = """
import kiln as torch, sys, time
x = torch.ones(1000, 1000)
(x @ x).sum().item()
print("begun", flush=True)
try:
    {}
except KeyboardInterrupt:
    print("interrupted", x.sum().item(), (torch.ones(300, 300) @ torch.ones(300, 300)).sum().item())
"""
CHAIN = "y = x\n    while True:\n        for i in range(100): y = (y @ x) * 1e-3\n        y.{}()"
WIDE = "while True: (torch.rand(9000, 9000).sin().exp().erf() + 1).log().sum().{}()"


def child(code, **env):
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **env}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Interrupt(unittest.TestCase):
    def test_promptly(self):
        for form in (CHAIN.format("realize"), CHAIN.format("tolist"), WIDE.format("item")):
            for threads in "12":
                p = child(ENDLESS.format(form), KILN_THREADS=threads)
                self.assertEqual(p.stdout.readline(), "begun\n")
                time.sleep(0.5)
                sent = time.monotonic()
                p.send_signal(signal.SIGINT)
                out, err = p.communicate(timeout=60)
                self.assertEqual(out, "interrupted 1000000.0 27000000.0\n", err)
                self.assertLess(time.monotonic() - sent, 20, form)  # a machine may be busy

    def test_other_signals_do_not_stop(self):
        seen = []
        before = signal.signal(signal.SIGALRM, lambda *_: seen.append(torch.ones(3).sum().item()))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            x = torch.ones(400, 400)
            end = time.monotonic() + 20
            while not seen and time.monotonic() < end:
                y = x
                for _ in range(40):
                    y = (y @ x) * 2 ** -9
                got = y[0, 0].item()
        finally:
            signal.signal(signal.SIGALRM, before)
        self.assertEqual(seen, [3])
        self.assertAlmostEqual(got, (400 / 512) ** 40, 8)


def in_child(work):
    """work() in a fork: whether it went well."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(60)  # a child that hangs fails
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


class Squares(Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, i):
        return (torch.full((3,), float(i)) ** 2).sum(), i


class Fork(unittest.TestCase):
    def setUp(self):
        self.threads = torch.get_num_threads()
        torch.set_num_threads(2)

    def tearDown(self):
        torch.set_num_threads(self.threads)

    def test_after_threads(self):
        x = torch.rand(300, 300)
        want = (x @ x).sum().item()
        pending = torch.ones(300, 300) * 2 + 1
        line = torch.nn.Linear(10, 10)

        def work():
            assert (x @ x).sum().item() == want
            assert pending.sum().item() == 270000
            assert torch.linalg.inv(torch.eye(20) * 2).sum().item() == 10
            line(torch.ones(3, 10)).sum().backward()
            assert line.bias.grad.tolist() == [3] * 10
            assert (torch.ones(17, 19).square() - 3.25).cumsum(0)[-1, 0].item() == -38.25  # compiled here

        for _ in range(3):
            self.assertTrue(in_child(work))
        self.assertEqual((x @ x).sum().item(), want)

    def test_while_a_thread_computes(self):
        stop = threading.Event()

        def busy():
            n = 2
            while not stop.is_set():
                n += 1
                (torch.ones(n, 3).sqrt() * n).cumsum(0).sum().item()

        def work():
            assert (torch.ones(60, 7).square() - 2).sum().item() == -420

        t = threading.Thread(target=busy)
        t.start()
        try:
            self.assertEqual([in_child(work) for _ in range(8)], [True] * 8)
        finally:
            stop.set()
            t.join()

    def test_workers(self):
        (torch.rand(400, 400) @ torch.rand(400, 400)).sum().item()
        fork = multiprocessing.get_context("fork")
        loader = DataLoader(Squares(), batch_size=6, num_workers=2, multiprocessing_context=fork)
        got = [v for batch, _ in loader for v in batch.tolist()]
        self.assertEqual(got, [3.0 * i * i for i in range(20)])


class Device(unittest.TestCase):
    def test_default(self):
        self.assertEqual(repr(torch.get_default_device()), "device(type='cpu')")
        torch.set_default_device("cpu")
        with torch.device("cpu") as d:
            self.assertEqual((d, torch.ones(2).device), (torch.device("cpu"),) * 2)
        torch.set_default_device(None)
        with self.assertRaisesRegex(RuntimeError, "at start of device string: nowhere"):
            torch.set_default_device("nowhere")
        with self.assertRaisesRegex(RuntimeError, "no device cuda:99 here|driver"):
            torch.set_default_device("cuda:99")
        self.assertEqual(torch.tensor([1]).device.type, "cpu")

    def test_tuning(self):
        """Other schedules are tried only in their time, give the same bits, and are kept."""
        with tempfile.TemporaryDirectory() as folder:
            def run(ms, cache=folder):
                out, err = child(TUNED, KILN_CACHE=cache, KILN_TUNE=str(ms), PYTHONHASHSEED="0").communicate()
                self.assertEqual(err, "")
                return out.split()

            bits, kernels = run(0, "")
            self.assertEqual(run(1, ""), [bits, kernels])
            same, more = run(4000)
            self.assertEqual(same, bits)
            self.assertGreater(int(more), int(kernels))
            self.assertEqual(run(0), [bits, "0"])
            table = os.path.join(folder, "tune.txt")
            if os.path.exists(table):
                with open(table) as f:
                    for line in f:
                        self.assertRegex(line, r"^[0-9a-f]{32} \d+ \w+ \d+ # \w+ for .*: [\d.]+ us, was [\d.]+$")
            with open(table, "a") as f:
                f.write("nonsense\n" + "0" * 32 + " 0 mc -7 # x\n")
            self.assertEqual(run(0), [bits, "0"])

    def test_environment(self):
        got = child("import kiln; print(kiln.zeros(2).device)", KILN_DEVICE="cpu").communicate()[0]
        self.assertEqual(got, "cpu\n")
        out, err = child("import kiln; kiln.zeros(2)", KILN_DEVICE="cuda:77").communicate()
        self.assertRegex(err, r"RuntimeError: .*cuda:77.*\(KILN_DEVICE\)|driver.*\(KILN_DEVICE\)")


LAYERS = """
import sys, kiln as torch
from kiln import nn
model = nn.Sequential(*[m for _ in range(12) for m in (nn.Linear(64, 64), nn.GELU())])
for p in model.parameters():
    p.sum().item()
x = torch.ones(8192, 64).realize()
before = torch.stats()["pool_peak"]
if sys.argv[1] == "infer":
    with torch.no_grad():
        model(x).sum().item()
else:
    model(x).sum().backward()
    [p.grad.sum().item() for p in model.parameters()]
print((torch.stats()["pool_peak"] - before) / (8192 * 64 * 4))
"""


class Memory(unittest.TestCase):
    def test_inference_keeps_no_activation(self):
        infer, train = (float(subprocess.run([sys.executable, "-c", LAYERS, how], capture_output=True,
                                             text=True).stdout) for how in ("infer", "train"))
        self.assertLess(infer, 3)  # a layer's operand and its result
        self.assertGreater(train, 12)  # every layer's


LONG = """
import sys, time
from kiln.utils.progress import progress
for i in progress(range(4), "epoch 1"):
    time.sleep(0.6)
print("after")
for i in progress(range(3)): pass
"""


class Progress(unittest.TestCase):
    def on_terminal(self, code):
        """What a program writes to a terminal that is its stdout and stderr."""
        try:
            main, side = os.openpty()
        except OSError as e:  # a bare tree of files, without /dev/pts
            self.skipTest(f"no terminal can be made: {e}")
        p = subprocess.Popen([sys.executable, "-c", code], stdout=side, stderr=side, close_fds=True)
        os.close(side)
        text = b""
        while True:
            try:
                part = os.read(main, 1000)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            text += part
        os.close(main)
        self.assertEqual(p.wait(), 0)
        return text.decode().replace("\r\n", "\n")

    def test_on_a_terminal(self):
        text = self.on_terminal(LONG)
        self.assertRegex(text, r"^\repoch 1  2/4  50%  00:01, 00:01 to go"
                               r"\repoch 1  3/4  75%  00:01, 00:00 to go\r +\rafter\n$")

    def test_elsewhere(self):
        p = child(LONG)
        self.assertEqual(p.communicate(), ("after\n", ""))

    def test_without_length(self):
        text = self.on_terminal(LONG.replace("range(4)", "(v for v in range(4))"))
        self.assertRegex(text, r"^\repoch 1  2  00:01\repoch 1  3  00:01\r +\rafter\n$")


if __name__ == "__main__":
    unittest.main()
