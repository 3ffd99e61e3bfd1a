"""basics.py: what bars.py and model_bars.py share."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(ROOT, "build", "tests", "bench", "bench")
WORK = os.path.join(ROOT, "build", "bench-work")


class Failed(Exception):
    """This bar cannot be measured; the text says why."""


def environment(threads, **more):
    env = dict(os.environ, KILN_THREADS=str(threads), KILN_CACHE="")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        env[name] = str(threads)
    env.update(more)
    return env
