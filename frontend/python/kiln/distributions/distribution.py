"""What all distributions are: shapes of batches and events, parameters that are checked, samples."""
import kiln as _k

from .._kiln import Tensor
from . import constraints


def broadcast_all(*values):
    """Numbers and tensors as tensors of one shape, numbers of the first tensor's dtype."""
    if not all(isinstance(v, (Tensor, int, float)) for v in values):
        raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects "
                         "implementing __torch_function__.")
    dtype = next((v.dtype for v in values if isinstance(v, Tensor)), _k.get_default_dtype())
    return _k.broadcast_tensors(*[v if isinstance(v, Tensor) else _k.tensor(v, dtype=dtype)
                                  for v in values])


def sum_rightmost(value, dims):
    return value.sum(tuple(range(-dims, 0))) if dims else value


class Distribution:
    """Of a batch (batch_shape) of events (event_shape)."""

    has_rsample = has_enumerate_support = False
    _validate_args = True
    arg_constraints, support = {}, None
    _silent = False  # PyTorch's says nothing of its parameters

    @staticmethod
    def set_default_validate_args(value):
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape=(), event_shape=(), validate_args=None):
        self._batch_shape, self._event_shape = _k.Size(batch_shape), _k.Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if not self._validate_args:
            return
        for name, constraint in self.arg_constraints.items():
            if constraints.is_dependent(constraint) or name not in self.__dict__:
                continue
            value = self.__dict__[name]
            if not bool(constraint.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}")

    @property
    def batch_shape(self):
        return self._batch_shape

    @property
    def event_shape(self):
        return self._event_shape

    @property
    def mean(self):
        raise NotImplementedError

    variance = mean

    @property
    def mode(self):
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def stddev(self):
        return self.variance.sqrt()

    def perplexity(self):
        return self.entropy().exp()

    def sample(self, sample_shape=()):
        with _k.no_grad():
            return self.rsample(sample_shape)

    def _extended_shape(self, sample_shape=()):
        return _k.Size(tuple(sample_shape) + tuple(self._batch_shape) + tuple(self._event_shape))

    def _checked(self, value):
        """value, as log_prob, cdf and icdf take it."""
        if not self._validate_args:
            return value
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        event = tuple(self._event_shape)
        if tuple(value.shape[value.dim() - len(event):]) != event:
            raise ValueError(f"The right-most size of value must match event_shape: {value.size()} "
                             f"vs {self._event_shape}.")
        expected = self._batch_shape + self._event_shape
        for i, j in zip(reversed(value.shape), reversed(expected)):
            if i != 1 and j != 1 and i != j:
                raise ValueError("Value is not broadcastable with batch_shape+event_shape: "
                                 f"{value.size()} vs {expected}.")
        if not bool(self.support.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to "
                f"be within the support ({self.support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}")
        return value

    def __repr__(self):
        held = [(n, self.__dict__[n]) for n in self.arg_constraints
                if n in self.__dict__ and not self._silent]
        return type(self).__name__ + "(" + ", ".join(
            f"{n}: {v if v.numel() == 1 else v.size()}" for n, v in held) + ")"


def _missing(name):
    def f(self, *args, **kwargs):
        raise NotImplementedError

    f.__name__ = name
    return f


for _name in "rsample log_prob cdf icdf enumerate_support entropy expand".split():
    setattr(Distribution, _name, _missing(_name))


class Univariate(Distribution):
    """Of numbers, with parameters that broadcast: those that arg_constraints names, in order."""

    defaults = {}
    of_one = ()  # two names for one parameter, of which one is given

    def __init__(self, *args, validate_args=None, **kwargs):
        names = self.names()
        if len(args) > len(names):
            validate_args, args = args[len(names)], args[:len(names)]
        given = {**self.defaults, **dict(zip(names, args)), **kwargs}
        if self.of_one:
            given = {n: v for n, v in given.items() if v is not None}
            if len(given) != 1:
                raise ValueError(f"Either `{self.of_one[0]}` or `{self.of_one[1]}` must be specified, "
                                 "but not both.")
        unknown = [n for n in given if n not in names]
        lacking = [n for n in names if n not in given and not self.of_one]
        if unknown or lacking:
            raise TypeError(f"{type(self).__name__}.__init__() got unexpected or lacks arguments: "
                            + ", ".join(unknown + lacking))
        for name, value in zip(given, broadcast_all(*given.values())):
            setattr(self, name, value)
        super().__init__(next(iter(self._held().values())).shape, validate_args=validate_args)

    @classmethod
    def names(cls):
        return cls.of_one or list(cls.parameters if hasattr(cls, "parameters") else
                                  cls.arg_constraints)

    def _held(self):
        return {n: self.__dict__[n] for n in self.names() if n in self.__dict__}

    def expand(self, batch_shape, _instance=None):
        new = object.__new__(type(self))
        for name, value in self._held().items():
            setattr(new, name, value.expand(tuple(batch_shape)))
        Distribution.__init__(new, batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _like(self):
        """A parameter, which says dtype and device."""
        return next(iter(self._held().values()))

    def _uniform(self, sample_shape):
        return _k.rand(self._extended_shape(sample_shape), dtype=self._like().dtype)
