"""DataLoader: batches of a dataset, made here or by worker threads."""
import collections
import collections.abc
import concurrent.futures
import threading

from ... import _functions as K
from ..._kiln import Tensor
from ..._make import tensor
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler

_local = threading.local()
WorkerInfo = collections.namedtuple("WorkerInfo", ["id", "num_workers", "seed", "dataset"])


def get_worker_info():
    """In a worker: its number and how many there are; else None."""
    return getattr(_local, "info", None)


def default_collate(batch):
    """Items as one batch: tensors stacked, numbers as tensors, containers by part."""
    first = batch[0]
    if isinstance(first, Tensor):
        return K.stack(batch)
    if type(first).__module__ == "numpy":
        from ..._make import as_tensor
        return K.stack([as_tensor(x) if getattr(x, "ndim", 0) else tensor(x.item())
                        for x in batch])
    if isinstance(first, (bool, int)):
        return tensor(list(batch))
    if isinstance(first, float):
        from ... import _kiln
        return tensor(list(batch), dtype=_kiln.float64)
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, collections.abc.Mapping):
        return {k: default_collate([d[k] for d in batch]) for k in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(x) for x in zip(*batch)))
    if isinstance(first, collections.abc.Sequence):
        if any(len(x) != len(first) for x in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return [default_collate(x) for x in zip(*batch)]
    raise TypeError("default_collate: batch must contain tensors, numpy arrays, numbers, dicts or "
                    f"lists; found {type(first)}")


class DataLoader:
    """Batches of a dataset. Workers are threads: they share the process's memory, and
    compiled code runs without the interpreter's lock."""

    def __init__(self, dataset, batch_size=1, shuffle=None, sampler=None, batch_sampler=None,
                 num_workers=0, collate_fn=None, pin_memory=False, drop_last=False, timeout=0,
                 worker_init_fn=None, multiprocessing_context=None, generator=None, *,
                 prefetch_factor=None, persistent_workers=False, pin_memory_device="",
                 in_order=True):
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to "
                             "disable multiprocessing.")
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable and shuffle:
            raise ValueError("DataLoader with IterableDataset: expected unspecified shuffle "
                             f"option, but got shuffle={shuffle}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None
                                          or drop_last):
            raise ValueError("batch_sampler option is mutually exclusive with batch_size, "
                             "shuffle, sampler, and drop_last")
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.num_workers, self.pin_memory, self.timeout = num_workers, pin_memory, timeout
        self.worker_init_fn, self.generator = worker_init_fn, generator
        self.prefetch_factor = 2 if prefetch_factor is None else prefetch_factor
        if sampler is None and not self._iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle \
                else SequentialSampler(dataset)
        self.sampler = sampler
        if batch_sampler is None and batch_size is not None and not self._iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler
        batched = batch_sampler is not None or (self._iterable and batch_size is not None)
        self.collate_fn = collate_fn or (default_collate if batched else lambda x: x)

    def __len__(self):
        if self._iterable:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def _fetch(self, numbers):
        d = self.dataset
        if self.batch_sampler is None:
            return self.collate_fn(d[numbers])
        if hasattr(d, "__getitems__"):
            return self.collate_fn(d.__getitems__(numbers))
        return self.collate_fn([d[i] for i in numbers])

    def __iter__(self):
        if self._iterable:
            return self._iterate()
        work = self.sampler if self.batch_sampler is None else self.batch_sampler
        return map(self._fetch, work) if self.num_workers == 0 else self._in_threads(iter(work))

    def _iterate(self):
        if self.batch_size is None:
            yield from map(self.collate_fn, self.dataset)
            return
        batch = []
        for item in self.dataset:
            batch.append(item)
            if len(batch) == self.batch_size:
                yield self.collate_fn(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.collate_fn(batch)

    def _in_threads(self, work):
        ids = iter(range(self.num_workers))
        lock = threading.Lock()

        def start():
            with lock:
                i = next(ids)
            _local.info = WorkerInfo(i, self.num_workers, i, self.dataset)
            if self.worker_init_fn:
                self.worker_init_fn(i)

        pending = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(self.num_workers, initializer=start) as pool:
            for numbers in work:
                pending.append(pool.submit(self._fetch, numbers))
                if len(pending) >= self.num_workers * self.prefetch_factor:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
