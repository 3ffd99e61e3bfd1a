"""Worker processes of a loader: each gets numbers of batches with their items' numbers, and
sends the batches back in whatever order they are done."""
import collections
import itertools
import queue
import random
import sys
import traceback

from ...random import manual_seed

WorkerInfo = collections.namedtuple("WorkerInfo", ["id", "num_workers", "seed", "dataset"])
_info = None
_END = "end of this worker's part of an iterable dataset"
_AGAIN = "begin anew"
_LOOK = 5.0  # seconds between looks at whether workers live


def get_worker_info():
    """In a worker: its number and how many there are, its seed and its dataset; else None."""
    return _info


class _Raised:
    """An exception of a worker's, to be raised again in the loader's process."""

    def __init__(self, where):
        kind, value, _ = sys.exc_info()
        self.kind, self.key = kind, isinstance(value, KeyError)
        self.text = f"Caught {kind.__name__} {where}.\nOriginal {traceback.format_exc()}"

    def again(self):
        try:
            e = self.kind(_Text(self.text) if self.key else self.text)
        except TypeError:  # whose constructor takes something else
            e = RuntimeError(self.text)
        raise e


class _Text(str):
    """A KeyError's text, which prints as it is."""

    def __repr__(self):
        return str(self)


def _work(fetcher, dataset, indices, results, seed, id, n, init):
    """A worker's life: until None is asked for."""
    global _info
    _info = WorkerInfo(id, n, seed, dataset)
    random.seed(seed)
    manual_seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2 ** 32)
    failed = None
    try:
        if init is not None:
            init(id)
        fetch = fetcher(dataset)
    except Exception:
        failed = _Raised(f"in DataLoader worker process {id}")
    for job in iter(indices.get, None):
        if job == _AGAIN:
            fetch = fetcher(dataset)
            results.put((_AGAIN, id, None))
            continue
        number, items = job
        try:
            data = failed or fetch(items)
            failed = None
        except StopIteration:
            data = _END
        except KeyboardInterrupt:
            return
        except Exception:
            data = _Raised(f"in DataLoader worker process {id}")
        results.put((number, id, data))


class Workers:
    """The processes, and the batches asked of them, given in order."""

    def __init__(self, loader, fetcher, seed):
        context = loader.multiprocessing_context
        self._results = context.Queue()
        self._indices, self._processes = [], []
        for i in range(loader.num_workers):
            indices = context.Queue()
            p = context.Process(target=_work, daemon=True, args=(
                fetcher, loader.dataset, indices, self._results, seed + i, i,
                loader.num_workers, loader.worker_init_fn))
            p.start()
            self._indices.append(indices)
            self._processes.append(p)
        self.timeout, self._fresh = loader.timeout, True

    def _get(self):
        """The next result, whoever's; a dead worker is an error."""
        waited = 0.0
        while True:
            step = min(_LOOK, self.timeout - waited) if self.timeout > 0 else _LOOK
            try:
                return self._results.get(timeout=step)
            except queue.Empty:
                waited += step
            dead = [str(p.pid) for p in self._processes if not p.is_alive()]
            if dead:
                raise RuntimeError(f"DataLoader worker (pid(s) {', '.join(dead)}) exited "
                                   "unexpectedly")
            if 0 < self.timeout <= waited:
                raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds")

    def _restart(self):
        """Every worker begins its dataset anew; what an abandoned epoch left is dropped."""
        for q in self._indices:
            q.put(_AGAIN)
        waiting = len(self._processes)
        while waiting:
            waiting -= self._get()[0] == _AGAIN

    def run(self, work, ahead, in_order):
        """Results for each of work, at most `ahead` a worker under way."""
        if not self._fresh:
            self._restart()
        self._fresh = False
        work, alive = enumerate(work), set(range(len(self._processes)))
        turn, done = itertools.cycle(sorted(alive)), {}
        pending, of = collections.deque(), {}

        def ask():
            job = next(work, None) if alive else None
            if job is not None:
                w = next(w for w in turn if w in alive)
                self._indices[w].put(job)
                pending.append(job[0])
                of[job[0]] = w

        for _ in range(ahead * len(self._processes)):
            ask()
        while pending:
            number = pending[0] if in_order else next((n for n in pending if n in done),
                                                      pending[0])
            if number not in done:
                got, w, data = self._get()
                done[got] = data
                if isinstance(data, str) and data == _END:
                    alive.discard(w)
                continue
            pending.remove(number)
            data = done.pop(number)
            ask()
            if isinstance(data, _Raised):
                data.again()
            if not (isinstance(data, str) and data == _END):
                yield data

    def close(self):
        """End the processes."""
        for q in self._indices:
            q.put(None)
        for p in self._processes:
            p.join(timeout=_LOOK)
            if p.is_alive():
                p.terminate()
                p.join()
        for q in (*self._indices, self._results):
            q.cancel_join_thread()
            q.close()
        self._processes = []
