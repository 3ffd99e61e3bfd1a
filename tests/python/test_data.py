"""test_data.py: datasets, samplers, collation and the loader beside PyTorch's own, with worker
processes too. Skips itself without PyTorch."""
import collections
import sys
import unittest
import warnings

try:
    import numpy as np
    import torch
except ImportError:
    sys.exit(77)
import kiln
from beside import SIDES, said

Point = collections.namedtuple("Point", "x y")
ITEMS = ["[1, 2]", "[1.5, 2]", "[True, False]", "['a', 'b']", "[b'a', b'b']", "[m.ones(2), m.zeros(2)]",
         "[np.ones(2), np.zeros(2)]", "[np.float32(1), np.float32(2)]", "[np.int64(1), np.int64(2)]",
         "[(1, 2.0), (3, 4.0)]", "[[1, 2], [3, 4]]", "[{'a': 1, 'b': m.ones(1)}, {'a': 2, 'b': m.zeros(1)}]",
         "[Point(1, m.ones(1)), Point(2, m.zeros(1))]", "[((1, 'a'), [2.0]), ((2, 'b'), [3.0])]",
         "[collections.OrderedDict(a=1), collections.OrderedDict(a=2)]", "[np.array([1, 2]), np.array([3, 4])]"]
WRONG = ["u.default_collate([None, None])", "u.default_collate([(1, 2), (1,)])", "u.default_collate([{1}, {2}])",
         "u.default_collate([np.array(['a']), np.array(['b'])])", "u.TensorDataset(m.ones(2), m.ones(3))", "u.StackDataset()",
         "u.StackDataset([1], x=[2])", "u.StackDataset([1], [2, 3])", "u.StackDataset(a=[1], b=[2, 3])", "u.ConcatDataset([])",
         "u.ConcatDataset([[1, 2]])[-3]", "u.ConcatDataset([it])", "u.IterableDataset()", "list(u.ChainDataset([[1]]))",
         "len(u.ChainDataset([[1]]))", "u.Dataset()[0]", "u.random_split([1, 2, 3], [1, 1])",
         "u.random_split([1, 2, 3], [1.5, -0.5])", "u.RandomSampler([])", "u.RandomSampler([1], replacement=1)",
         "u.RandomSampler([1], num_samples=-1)", "u.WeightedRandomSampler([1.0], 0)",
         "u.WeightedRandomSampler([1.0], 1, 'x')", "u.WeightedRandomSampler([[1.0]], 1)", "u.BatchSampler([1], 0, False)",
         "u.BatchSampler([1], True, False)", "u.BatchSampler([1], 2, 1)", "u.DataLoader([1], num_workers=-1)",
         "u.DataLoader([1], timeout=-1)", "u.DataLoader([1], prefetch_factor=2)",
         "u.DataLoader([1], num_workers=1, prefetch_factor=-2)", "u.DataLoader([1], persistent_workers=True)",
         "u.DataLoader([1], sampler=[0], shuffle=True)", "u.DataLoader([1], batch_sampler=[[0]], batch_size=2)",
         "u.DataLoader([1], batch_size=None, drop_last=True)", "u.DataLoader([1], batch_size=0)",
         "u.DataLoader([1], multiprocessing_context='fork')", "u.DataLoader([1], num_workers=1, multiprocessing_context='x')",
         "u.DataLoader([1], num_workers=1, multiprocessing_context=3)", "u.DataLoader(it, shuffle=True)",
         "u.DataLoader(it, sampler=[0])", "u.DataLoader(it, batch_sampler=[[0]])",
         "u.DataLoader([1]).__setattr__('batch_size', 2)"]


def plain(v):
    if hasattr(v, "tolist"):
        return str(v.dtype), v.tolist()
    if isinstance(v, dict):
        return type(v).__name__, {k: plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return type(v).__name__, [plain(x) for x in v]
    return v


class Collation(unittest.TestCase):
    def test_kinds(self):
        for source in ITEMS:
            for fn in ("default_collate", "default_convert"):
                with self.subTest(source, fn=fn):
                    self.assertEqual(*(plain(getattr(m.utils.data, fn)(eval(source, {
                        "m": m, "np": np, "Point": Point, "collections": collections}))) for m in SIDES))

    def test_refused(self):
        for source in WRONG:
            theirs, ours = said(source, {"u": lambda m: m.utils.data, "np": np, "it": lambda m: type(
                "Ones", (m.utils.data.IterableDataset,), {"__iter__": lambda self: iter([1])})()})
            with self.subTest(source):
                self.assertIsNotNone(theirs)
                self.assertEqual(ours, theirs)


class Sets(unittest.TestCase):
    def test_items(self):
        for source in ("u.TensorDataset(m.arange(6).view(3, 2), m.arange(3))[1]", "len(u.TensorDataset(m.ones(3)))",
                       "u.ConcatDataset([[1, 2], [3]])[2]", "u.ConcatDataset([[1, 2], [3]])[-3]",
                       "len(u.ConcatDataset([[1, 2], [3]]))", "u.StackDataset([1, 2], [3, 4])[1]",
                       "u.StackDataset(a=[1, 2], b=[3, 4])[0]", "u.StackDataset([1, 2], [3, 4]).__getitems__([1, 0])",
                       "u.StackDataset(a=[1, 2], b=[3, 4]).__getitems__([1])", "u.Subset([5, 6, 7], [2, 0])[1]",
                       "len(u.Subset([5, 6, 7], [2, 0]))", "u.Subset([5, 6, 7], [2, 0]).__getitems__([0, 1])",
                       "list(u.BatchSampler(u.SequentialSampler(range(5)), 2, False))",
                       "list(u.BatchSampler(u.SequentialSampler(range(5)), 2, True))",
                       "len(u.BatchSampler(range(5), 2, False))", "list(map(len, u.random_split(range(10), [0.5, 0.3, 0.2])))",
                       "list(map(len, u.random_split(range(11), [0.5, 0.5])))"):
            with self.subTest(source):
                self.assertEqual(*(plain(eval(source, {"m": m, "u": m.utils.data})) for m in SIDES))

    def test_split(self):
        g = kiln.Generator().manual_seed(3)
        a, b = kiln.utils.data.random_split(range(10), [7, 3], generator=g)
        self.assertEqual(sorted([*a, *b]), list(range(10)))
        again, _ = kiln.utils.data.random_split(range(10), [7, 3], generator=kiln.Generator().manual_seed(3))
        self.assertEqual(list(a), list(again))
        with self.assertWarnsRegex(UserWarning, "Length of split at index 1 is 0"):
            kiln.utils.data.random_split([1], [0.5, 0.5])

    def test_samplers(self):
        u = kiln.utils.data
        kiln.manual_seed(0)
        self.assertEqual(sorted(u.RandomSampler(range(20))), list(range(20)))
        self.assertNotEqual(list(u.RandomSampler(range(20))), list(u.RandomSampler(range(20))))
        self.assertEqual(len(list(u.RandomSampler(range(5), True, 40))), 40)
        self.assertEqual(len(list(u.RandomSampler(range(5), num_samples=12))), 12)
        self.assertEqual(sorted(u.SubsetRandomSampler([4, 7, 9])), [4, 7, 9])
        drawn = list(u.WeightedRandomSampler([0.0, 1.0, 3.0], 400))
        self.assertEqual(drawn.count(0), 0)
        self.assertAlmostEqual(drawn.count(2) / 400, 0.75, delta=0.1)
        self.assertEqual(sorted(u.WeightedRandomSampler([1.0, 1.0, 3.0], 3, replacement=False)), [0, 1, 2])


class Numbers(kiln.utils.data.Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        info = kiln.utils.data.get_worker_info()
        return kiln.tensor([float(i)]), -1 if info is None else info.id


class Fails(Numbers):
    def __getitem__(self, i):
        if i == 5:
            raise KeyError("five") if not hasattr(self, "dies") else SystemExit(3)
        return i


class Stream(kiln.utils.data.IterableDataset):
    def __iter__(self):
        info = kiln.utils.data.get_worker_info()
        return iter(range(10) if info is None else range(info.id, 10, info.num_workers))

    def __len__(self):
        return 10


class Loading(unittest.TestCase):
    def test_batches(self):
        for more in ("", ", batch_size=3", ", batch_size=3, drop_last=True", ", batch_size=None",
                     ", sampler=[3, 1, 2], batch_size=2", ", batch_sampler=[[0, 1], [2]]",
                     ", batch_size=4, collate_fn=lambda b: len(b)", ", batch_size=4, pin_memory=True"):
            with self.subTest(more), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                got = [eval(f"u.DataLoader(u.TensorDataset(m.arange(10.).view(10, 1), m.arange(10)){more})",
                            {"u": m.utils.data, "m": m}) for m in SIDES]
                self.assertEqual(*([plain(b) for b in loader] for loader in got))
                self.assertEqual(*map(len, got))

    def test_guide(self):
        """The guide's: 100 rows in batches of 32, each once an epoch, in an order of the seed's."""
        u = kiln.utils.data
        x = kiln.arange(100)
        loader = u.DataLoader(u.TensorDataset(x, x * 2), batch_size=32, shuffle=True)
        kiln.manual_seed(7)
        epochs = [[b[0].tolist() for b in loader] for _ in range(2)]
        self.assertEqual([len(b) for b in epochs[0]], [32, 32, 32, 4])
        self.assertEqual(sorted(sum(epochs[0], [])), list(range(100)))
        self.assertNotEqual(*epochs)
        kiln.manual_seed(7)
        self.assertEqual([b[0].tolist() for b in loader], epochs[0])

    def test_workers(self):
        u = kiln.utils.data
        for persistent in (False, True):
            loader = u.DataLoader(Numbers(), batch_size=3, num_workers=2, persistent_workers=persistent)
            for _ in range(2):
                batches = list(loader)
                self.assertEqual([b[0].flatten().tolist() for b in batches], [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]])
                self.assertEqual([b[1].tolist()[0] for b in batches], [0, 1, 0, 1])
            for _ in loader:
                break  # an epoch that is left
            self.assertEqual(len(list(loader)), 4)
            del loader

    def test_stream(self):
        u = kiln.utils.data
        for batch in (3, None):
            loader = u.DataLoader(Stream(), batch_size=batch, num_workers=2, persistent_workers=True)
            for _ in range(2):
                got = sorted(x for b in loader for x in (b.tolist() if batch else [b]))
                self.assertEqual(got, list(range(10)))
        self.assertEqual([b.tolist() for b in u.DataLoader(Stream(), batch_size=4, drop_last=True)],
                         [[0, 1, 2, 3], [4, 5, 6, 7]])
        self.assertEqual(len(u.DataLoader(Stream(), batch_size=4)), 3)

    def test_failures(self):
        u = kiln.utils.data
        with self.assertRaisesRegex(KeyError, "Caught KeyError in DataLoader worker process 1."):
            list(u.DataLoader(Fails(), batch_size=3, num_workers=2))

        def refuse(i):
            raise ValueError(f"worker {i}")

        with self.assertRaisesRegex(ValueError, "(?s)Caught ValueError in DataLoader worker process 0.*worker 0"):
            list(u.DataLoader(Numbers(), num_workers=1, worker_init_fn=refuse))

    def test_seeds(self):
        """Each worker draws its own numbers, the same ones for the same seed of the loader's."""
        class Draws(Numbers):
            def __getitem__(self, i):
                return float(kiln.rand(1)), float(np.random.rand())

        def drawn():
            g = kiln.Generator().manual_seed(5)
            return [b[0].tolist() + b[1].tolist() for b in kiln.utils.data.DataLoader(Draws(), num_workers=2, generator=g)]

        a = drawn()
        self.assertEqual(len({tuple(x) for x in a}), 10)
        self.assertEqual(a, drawn())

    def test_timeout(self):
        class Slow(Numbers):
            def __getitem__(self, i):
                import time
                time.sleep(30)

        with self.assertRaisesRegex(RuntimeError, "DataLoader timed out after 1 seconds"):
            next(iter(kiln.utils.data.DataLoader(Slow(), num_workers=1, timeout=1)))


if __name__ == "__main__":
    unittest.main()
