"""kiln has no mps: its kernels are its own."""


def is_available():
    return False


def is_built():
    return False
