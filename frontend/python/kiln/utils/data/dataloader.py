"""DataLoader: batches of a dataset, made here or by worker processes."""
import functools
import itertools
import multiprocessing

from ... import _functions as K
from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler
from .worker import Workers

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class _InfiniteConstantSampler:
    """Nothing, for ever: an iterable dataset chooses its items itself."""

    def __iter__(self):
        return itertools.repeat(None)


def _indexed(collate, batched, dataset):
    """A function that gives the batch of some items' numbers."""
    def fetch(numbers):
        if not batched:
            return collate(dataset[numbers])
        if callable(getattr(dataset, "__getitems__", None)):
            return collate(dataset.__getitems__(numbers))
        return collate([dataset[i] for i in numbers])

    return fetch


def _iterated(collate, batched, drop_last, dataset):
    """A function that gives the batch of the next items, as many as it is given numbers."""
    items = iter(dataset)

    def fetch(numbers):
        if not batched:
            return collate(next(items))
        batch = list(itertools.islice(items, len(numbers)))
        if not batch or (drop_last and len(batch) < len(numbers)):
            raise StopIteration
        return collate(batch)

    return fetch


def _until_stopped(fetch, work):
    for numbers in work:
        try:
            batch = fetch(numbers)
        except StopIteration:
            return
        yield batch


class DataLoader:
    """Batches of a dataset.

    >>> from kiln.utils.data import DataLoader, TensorDataset
    >>> [len(x) for x, in DataLoader(TensorDataset(torch.arange(10)), batch_size=4)]
    [4, 4, 2]
    """

    def __class_getitem__(cls, kinds):
        return cls  # DataLoader[int] in annotations

    def __init__(self, dataset, batch_size=1, shuffle=None, sampler=None, batch_sampler=None,
                 num_workers=0, collate_fn=None, pin_memory=False, drop_last=False, timeout=0,
                 worker_init_fn=None, multiprocessing_context=None, generator=None, *,
                 prefetch_factor=None, persistent_workers=False, pin_memory_device="",
                 in_order=True):
        self._check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        iterable = isinstance(dataset, IterableDataset)
        self._check_order(iterable, batch_size, shuffle, sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        if sampler is None:
            sampler = _InfiniteConstantSampler() if iterable else RandomSampler(
                dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        self.num_workers, self.timeout, self.worker_init_fn = num_workers, timeout, worker_init_fn
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.persistent_workers, self.in_order = persistent_workers, in_order
        self.multiprocessing_context = self._context(multiprocessing_context)
        batched = batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._iterable, self._workers, self._initialized = iterable, None, True

    @staticmethod
    def _check_workers(num_workers, timeout, prefetch_factor, persistent):
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to "
                             "disable multiprocessing.")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError("prefetch_factor option could only be specified in multiprocessing."
                             "let num_workers > 0 to enable multiprocessing, otherwise set "
                             "prefetch_factor to None.")
        if prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        if persistent and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")

    @staticmethod
    def _check_order(iterable, batch_size, shuffle, sampler, batch_sampler, drop_last):
        if iterable:
            for name, v in (("shuffle", shuffle or None), ("sampler", sampler),
                            ("batch_sampler", batch_sampler)):
                if v is not None:
                    raise ValueError("DataLoader with IterableDataset: expected unspecified "
                                     f"{name} option, but got {name}={v}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None
                                          or drop_last):
            raise ValueError("batch_sampler option is mutually exclusive with batch_size, "
                             "shuffle, sampler, and drop_last")
        if batch_sampler is None and batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually "
                             "exclusive with drop_last")

    def _context(self, given):
        if given is None:
            return multiprocessing.get_context()
        if self.num_workers == 0:
            raise ValueError("multiprocessing_context can only be used with multi-process loading "
                             f"(num_workers > 0), but got num_workers={self.num_workers}")
        if isinstance(given, str):
            known = multiprocessing.get_all_start_methods()
            if given not in known:
                raise ValueError("multiprocessing_context option should specify a valid start "
                                 f"method in {known!r}, but got multiprocessing_context={given!r}")
            return multiprocessing.get_context(given)
        if not isinstance(given, multiprocessing.context.BaseContext):
            raise TypeError("multiprocessing_context option should be a valid context object or a "
                            "string specifying the start method, but got "
                            f"multiprocessing_context={given}")
        return given

    def __setattr__(self, name, value):
        if self.__dict__.get("_initialized") and name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after "
                             f"{type(self).__name__} is initialized")
        object.__setattr__(self, name, value)

    def __len__(self):
        if self._iterable:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def _fetcher(self):
        batched = self.batch_sampler is not None
        if self._iterable:
            return functools.partial(_iterated, self.collate_fn, batched, self.drop_last)
        return functools.partial(_indexed, self.collate_fn, batched)

    def __iter__(self):
        work = iter(self.sampler if self.batch_sampler is None else self.batch_sampler)
        if self.num_workers > 0:
            return self._by_workers(work)
        return _until_stopped(self._fetcher()(self.dataset), work)

    def _by_workers(self, work):
        workers = self._workers
        if workers is None:
            seed = int(K.randint(2 ** 62, (1,), generator=self.generator).item())
            workers = Workers(self, self._fetcher(), seed)
        if self.persistent_workers:
            self._workers = workers
        return self._batches(workers, work)

    def _batches(self, workers, work):
        try:
            yield from workers.run(work, self.prefetch_factor, self.in_order)
        finally:
            if not self.persistent_workers:
                workers.close()

    def __del__(self):
        if self.__dict__.get("_workers") is not None:
            self._workers.close()
