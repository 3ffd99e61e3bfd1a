"""kiln has no mkldnn: its kernels are its own."""


def is_available():
    return False
