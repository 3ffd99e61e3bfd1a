"""Python's multiprocessing under PyTorch's name, and spawn. A tensor goes to another process as
a copy: there is no memory that both see, and Tensor.share_memory_ says so."""
import multiprocessing as _mp
from multiprocessing import *  # noqa: F401,F403

__all__ = [*_mp.__all__, "spawn", "start_processes"]


class _Started:
    """Processes that run."""

    def __init__(self, processes):
        self.processes = processes

    def pids(self):
        """Their numbers."""
        return [p.pid for p in self.processes]

    def join(self, timeout=None):
        """Waits for all; whether they have ended. The first that fails ends the others."""
        for i, p in enumerate(self.processes):
            p.join(timeout)
            if p.exitcode not in (0, None):
                for other in self.processes:
                    other.terminate()
                raise RuntimeError(f"process {i} terminated with exit code {p.exitcode}")
        return all(p.exitcode == 0 for p in self.processes)


def start_processes(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """fn(i, *args) in so many processes, i from 0."""
    context = _mp.get_context(start_method)
    processes = [context.Process(target=fn, args=(i, *args), daemon=daemon)
                 for i in range(nprocs)]
    for p in processes:
        p.start()
    started = _Started(processes)
    if not join:
        return started
    started.join()
    return None


def spawn(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """fn(i, *args) in so many new processes of Python, i from 0."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
