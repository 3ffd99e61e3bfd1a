"""kiln has no openmp: its kernels are its own."""


def is_available():
    return False
