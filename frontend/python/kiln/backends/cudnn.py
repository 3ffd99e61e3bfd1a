"""kiln has no cudnn: its kernels are its own."""


def is_available():
    return False


enabled = allow_tf32 = benchmark = False
deterministic = True  # every kernel gives the same bits each time
