"""Distributions whose density is the exponential of a product of parameters and statistics."""
import abc

from .. import autograd
from .continuous import Beta, Dirichlet, Exponential, Gamma, Normal
from .discrete import Bernoulli, Poisson
from .distribution import Distribution


class ExponentialFamily(Distribution, metaclass=abc.ABCMeta):
    """With _natural_params, _log_normalizer of them and _mean_carrier_measure, which give the
    entropy."""

    def entropy(self):
        parameters = [p.detach().requires_grad_() for p in self._natural_params]
        norm = self._log_normalizer(*parameters)
        slopes = autograd.grad(norm.sum(), parameters, create_graph=True)
        result = norm - self._mean_carrier_measure
        for p, g in zip(parameters, slopes):
            result = result - (p * g).reshape((*self._batch_shape, -1)).sum(-1)
        return result


for _known in (Normal, Gamma, Beta, Dirichlet, Exponential, Bernoulli, Poisson):
    ExponentialFamily.register(_known)
