"""Probability distributions: parameters, samples, densities, and how far one is from another."""
import sys as _sys

from . import constraints, continuous, discrete, distribution, kl, several, transforms  # noqa: F401
from .continuous import (Beta, Cauchy, Chi2, Dirichlet, Exponential, Gamma, Gumbel,  # noqa: F401
                         HalfNormal, Laplace, LogNormal, Normal, StudentT, Uniform)
from .discrete import (Bernoulli, Binomial, Categorical, Geometric, Multinomial,  # noqa: F401
                       Poisson)
from .distribution import Distribution  # noqa: F401
from .kl import kl_divergence, register_kl  # noqa: F401
from .several import Independent, MultivariateNormal  # noqa: F401
from .transforms import (AbsTransform, AffineTransform, ComposeTransform, ExpTransform,  # noqa: F401
                         IndependentTransform, PowerTransform, SigmoidTransform,
                         SoftmaxTransform, SoftplusTransform, TanhTransform, Transform,
                         TransformedDistribution, identity_transform)

# where PyTorch keeps them
for _of, _names in {
        continuous: "beta cauchy chi2 dirichlet exponential gamma gumbel half_normal laplace "
                    "log_normal normal studentT uniform",
        discrete: "bernoulli binomial categorical geometric multinomial poisson",
        several: "independent multivariate_normal", distribution: "utils", transforms: "transformed_distribution"}.items():
    for _name in _names.split():
        _sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _of
