"""Probability distributions: parameters, samples, densities, and how far one is from another."""
import sys as _sys

from . import (constraint_registry, constraints, continuous, discrete, distribution,  # noqa: F401
               exp_family, kl, mixed, relaxed, several, tailed, transforms, transforms_shaped, utils)
from .constraint_registry import biject_to, transform_to  # noqa: F401
from .continuous import (Beta, Cauchy, Chi2, Dirichlet, Exponential, Gamma, Gumbel,  # noqa: F401
                         HalfNormal, Laplace, LogNormal, Normal, StudentT, Uniform)
from .discrete import (Bernoulli, Binomial, Categorical, Geometric, Multinomial,  # noqa: F401
                       NegativeBinomial, Poisson)
from .distribution import Distribution  # noqa: F401
from .exp_family import ExponentialFamily  # noqa: F401
from .kl import kl_divergence, register_kl  # noqa: F401
from .mixed import (LogisticNormal, LowRankMultivariateNormal, MixtureSameFamily,  # noqa: F401
                    Wishart)
from .relaxed import (ContinuousBernoulli, OneHotCategorical,  # noqa: F401
                      OneHotCategoricalStraightThrough, RelaxedBernoulli,
                      RelaxedOneHotCategorical)
from .several import Independent, MultivariateNormal  # noqa: F401
from .tailed import (FisherSnedecor, GeneralizedPareto, HalfCauchy, InverseGamma,  # noqa: F401
                     Kumaraswamy, LKJCholesky, Pareto, VonMises, Weibull)
from .transforms import (AbsTransform, AffineTransform, ComposeTransform, ExpTransform,  # noqa: F401
                         IndependentTransform, PowerTransform, SigmoidTransform,
                         SoftmaxTransform, SoftplusTransform, TanhTransform, Transform,
                         TransformedDistribution, identity_transform)
from .transforms_shaped import (CatTransform, CorrCholeskyTransform,  # noqa: F401
                                CumulativeDistributionTransform, LowerCholeskyTransform,
                                PositiveDefiniteTransform, ReshapeTransform, StackTransform,
                                StickBreakingTransform)

# where PyTorch keeps them
for _name, _of in vars(transforms_shaped).items():
    if _name.endswith("Transform"):
        setattr(transforms, _name, _of)
for _of, _names in {
        continuous: "beta cauchy chi2 dirichlet exponential gamma gumbel half_normal laplace "
                    "log_normal normal studentT uniform",
        discrete: "bernoulli binomial categorical geometric multinomial negative_binomial poisson",
        mixed: "logistic_normal lowrank_multivariate_normal mixture_same_family wishart",
        relaxed: "continuous_bernoulli one_hot_categorical relaxed_bernoulli relaxed_categorical",
        several: "independent multivariate_normal",
        tailed: "fishersnedecor generalized_pareto half_cauchy inverse_gamma kumaraswamy "
                "lkj_cholesky pareto von_mises weibull",
        transforms: "transformed_distribution"}.items():
    for _name in _names.split():
        _sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _of
