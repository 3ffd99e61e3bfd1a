"""Probability distributions: parameters, samples, densities, and how far one is from another."""
from . import constraints, kl  # noqa: F401
from .continuous import (Beta, Cauchy, Chi2, Dirichlet, Exponential, Gamma, Gumbel,  # noqa: F401
                         HalfNormal, Laplace, LogNormal, Normal, StudentT, Uniform)
from .discrete import Bernoulli, Categorical, Geometric, Poisson  # noqa: F401
from .distribution import Distribution  # noqa: F401
from .kl import kl_divergence, register_kl  # noqa: F401
from .several import Independent, MultivariateNormal  # noqa: F401
