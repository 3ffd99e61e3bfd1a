"""errstate and its like: kiln computes inf and nan silently, as errstate(all='ignore') asks."""
import contextlib

_KINDS = ("divide", "over", "under", "invalid")
_state = dict.fromkeys(_KINDS, "ignore")


def geterr():
    """What is done at each kind of unusual result."""
    return dict(_state)


def seterr(all=None, divide=None, over=None, under=None, invalid=None):
    """What to do at each kind; returns what was done. Warnings are never given, and 'raise',
    'call', 'print' and 'log' are refused."""
    before = geterr()
    for kind, how in zip(_KINDS, (divide, over, under, invalid)):
        how = how or all or before[kind]
        if how not in ("ignore", "warn", "raise", "call", "print", "log"):
            raise ValueError(f"invalid error mode {how!r}")
        if how not in ("ignore", "warn"):
            raise NotImplementedError(f"seterr(): {kind}={how!r} is not implemented")
        _state[kind] = how
    return before


@contextlib.contextmanager
def errstate(**kinds):
    """seterr for a while."""
    before = seterr(**kinds)
    try:
        yield
    finally:
        _state.update(before)
