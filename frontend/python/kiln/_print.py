"""set_printoptions: how tensors print."""
import contextlib

from . import _kiln

_PROFILES = {"default": (4, 1000, 3, 80), "short": (2, 1000, 2, 80),
             "full": (4, 2 ** 62, 3, 80)}


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None,
                     profile=None, sci_mode=None):
    """Decimals, above how many elements a tensor is summarised, how many are shown at each end
    of a dimension then, characters in a line, whether in scientific notation (None: where the
    numbers ask for it). profile: "default", "short" or "full"."""
    now = list(_kiln._printoptions())
    if profile is not None:
        now[:4] = _PROFILES[profile]
    for i, v in enumerate((precision, threshold, edgeitems, linewidth)):
        if v is not None:
            now[i] = min(int(v), 2 ** 62) if v != float("inf") else 2 ** 62
    now[4] = -1 if sci_mode is None else int(bool(sci_mode))
    _kiln._printoptions(*now)


def get_printoptions():
    """The options by name."""
    p, t, e, w, s = _kiln._printoptions()
    return {"precision": p, "threshold": t, "edgeitems": e, "linewidth": w,
            "sci_mode": None if s < 0 else bool(s)}


@contextlib.contextmanager
def printoptions(**options):
    """The options inside a with statement."""
    was = _kiln._printoptions()
    set_printoptions(**{**get_printoptions(), **options})
    try:
        yield
    finally:
        _kiln._printoptions(*was)
