"""How this build was made, as text."""
from . import _misc, version


def show():
    """The version, and what code is made by."""
    like = version.__version__.split("+")[0]
    return (f"kiln built with:\n  - Version {version.own}, with the interface of PyTorch {like}\n"
            "  - LAPACK is opened when it is first asked for\n"
            "  - Kernels are compiled for the processor that they run on\n")


def parallel_info():
    """The threads that kernels run on."""
    n = _misc.get_num_threads()
    return f"ATen/Parallel:\n\tat::get_num_threads() : {n}\nATen parallel backend: kiln threads\n"
