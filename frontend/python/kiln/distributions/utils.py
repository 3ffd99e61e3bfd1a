"""Between probabilities and their logarithms, and other helpers of distributions."""
from .._grad import enable_grad as _enable_grad
from .discrete import _clamped as clamp_probs
from .distribution import broadcast_all  # noqa: F401
from .transforms_shaped import tril_matrix_to_vec, vec_to_tril_matrix  # noqa: F401


def logits_to_probs(logits, is_binary=False):
    """Probabilities of log odds, or of logarithms along the last dimension."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def probs_to_logits(probs, is_binary=False):
    """The other way."""
    p = clamp_probs(probs)
    return p.log() - (-p).log1p() if is_binary else p.log()


class lazy_property:
    """A property that is computed once, when it is first asked for."""

    def __init__(self, wrapped):
        self.wrapped, self.__doc__ = wrapped, wrapped.__doc__

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        with _enable_grad():  # it outlives who asks
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value
