"""kiln has no mkl: its kernels are its own."""


def is_available():
    return False
