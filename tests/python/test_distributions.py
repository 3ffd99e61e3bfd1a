"""test_distributions.py: kiln.distributions beside torch.distributions: densities, moments, divergences,
shapes, texts and errors are PyTorch's; samples are held against what they are samples of. Skips
itself without PyTorch."""
import math
import sys
import unittest

try:
    import torch
except ImportError:
    sys.exit(77)
import kiln
from beside import SIDES, close, said

P = "m.tensor([0.5, 1.0, 2.0])"
UNIT = "m.tensor([0.2, 0.5, 0.9])"
MATRIX = "m.tensor([[2.0, 0.5], [0.5, 1.0]])"
# distribution, values for log_prob and cdf
CASES = [
    (f"Normal(m.tensor([0., 1., -2.]), {P})", "m.tensor([[0.1, -1., 3.], [2., 0., 1.]])"),
    ("Normal(0.0, 2.0)", "m.tensor([0.1, -1.])"),
    (f"LogNormal(0.5, {P})", P),
    (f"HalfNormal({P})", P),
    (f"Uniform(-1.0, {P})", "m.tensor([-0.5, 0.1, 0.2])"),
    (f"Laplace(m.tensor([0., 1., -2.]), {P})", "m.tensor([0.1, -1., 3.])"),
    (f"Exponential({P})", P),
    (f"Cauchy(1.0, {P})", "m.tensor([0.1, -1., 3.])"),
    (f"Gumbel(1.0, {P})", "m.tensor([0.1, -1., 3.])"),
    (f"Gamma({P}, m.tensor(1.5))", P),
    ("Chi2(m.tensor([1.0, 3.0, 7.0]))", P),
    ("StudentT(m.tensor([1.0, 2.5, 7.0]), 1.0, 2.0)", "m.tensor([0.1, -1., 3.])"),
    (f"Beta({P}, m.tensor([2.0, 3.0, 0.7]))", UNIT),
    (f"Dirichlet({P})", "m.tensor([0.2, 0.5, 0.3])"),
    (f"Bernoulli({UNIT})", "m.tensor([0., 1., 1.])"),
    ("Bernoulli(logits=m.tensor([-1.0, 0.0, 3.0]))", "m.tensor([0., 1., 1.])"),
    (f"Geometric({UNIT})", "m.tensor([0., 3., 1.])"),
    (f"Poisson({P})", "m.tensor([0., 3., 1.])"),
    ("Categorical(m.tensor([[1.0, 2.0, 1.0], [0.1, 0.2, 0.7]]))", "m.tensor([0, 2])"),
    ("Categorical(logits=m.tensor([0.5, -1.0, 2.0]))", "m.tensor([0, 1, 2])"),
    (f"Binomial(10, {UNIT})", "m.tensor([0., 3., 10.])"),
    ("Binomial(m.tensor([4., 4.]), logits=m.tensor([-1.0, 2.0]))", "m.tensor([0., 3.])"),
    ("Multinomial(10, m.tensor([[1.0, 2.0, 1.0], [0.1, 0.2, 0.7]]))", "m.tensor([1., 2., 7.])"),
    ("Multinomial(4, logits=m.tensor([0.5, -1.0, 2.0]))", "m.tensor([[1., 2., 1.], [0., 4., 0.]])"),
    (f"Independent(D.Normal(m.zeros(2, 3), {P}), 1)", "m.ones(4, 2, 3)"),
    (f"MultivariateNormal(m.tensor([1.0, -1.0]), {MATRIX})", "m.tensor([[0.1, 0.2], [1., 3.]])"),
    (f"MultivariateNormal(m.zeros(3, 2), precision_matrix={MATRIX})", "m.ones(3, 2)"),
    (f"MultivariateNormal(m.zeros(2), scale_tril=m.linalg.cholesky({MATRIX}))", "m.ones(2)"),
    (f"HalfCauchy({P})", P), (f"Pareto(0.4, {P})", P), (f"Weibull({P}, m.tensor(1.5))", P),
    (f"InverseGamma({P}, m.tensor(1.5))", P), ("Kumaraswamy(m.tensor([0.5, 0.7, 2.0]), m.tensor([2.0, 3.0, 0.7]))", UNIT),
    ("FisherSnedecor(m.tensor([1.0, 4.0, 7.0]), m.tensor([1.5, 3.0, 9.0]))", P),
    (f"VonMises(m.tensor([0., 1., -2.]), {P})", "m.tensor([0.1, -1., 3.])"),
    ("GeneralizedPareto(0.1, 1.5, m.tensor([-0.3, 0.0, 0.7]))", P),
    (f"ContinuousBernoulli({UNIT})", UNIT), ("ContinuousBernoulli(logits=m.tensor([-1., 0., 3.]))", UNIT),
    (f"NegativeBinomial(5, {UNIT})", "m.tensor([0., 3., 10.])"),
    ("NegativeBinomial(m.tensor([4., 2.]), logits=m.tensor([-1.0, 2.0]))", "m.tensor([0., 3.])"),
    ("OneHotCategorical(m.tensor([[1.0, 2.0, 1.0], [0.1, 0.2, 0.7]]))", "m.tensor([0., 0., 1.])"),
    ("OneHotCategoricalStraightThrough(logits=m.tensor([0.5, -1.0, 2.0]))", "m.tensor([0., 0., 1.])"),
    (f"RelaxedBernoulli(m.tensor(0.7), {UNIT})", UNIT),
    ("RelaxedOneHotCategorical(m.tensor(0.7), m.tensor([0.2, 0.3, 0.5]))", "m.tensor([0.2, 0.5, 0.3])"),
    (f"LogisticNormal(m.zeros(2), m.ones(2))", "m.tensor([0.2, 0.5, 0.3])"),
    (f"LowRankMultivariateNormal(m.zeros(3), m.tensor([[1.], [2.], [0.5]]), {P})", "m.ones(2, 3)"),
    (f"Wishart(m.tensor(3.5), {MATRIX})", MATRIX), (f"Wishart(m.tensor([3., 4.]), precision_matrix={MATRIX})", MATRIX),
    ("LKJCholesky(3, m.tensor([0.5, 2.0]))", "m.linalg.cholesky(m.tensor([[1., .2, .1], [.2, 1., .3], [.1, .3, 1.]]))"),
    (f"MixtureSameFamily(D.Categorical({P}), D.Normal({P}, 2.0))", "m.tensor([0.1, -1.])"),
    (f"MixtureSameFamily(D.Categorical({P}), D.Independent(D.Normal(m.zeros(3, 2), 2.0 * m.ones(3, 2)), 1))", "m.ones(4, 2)"),
]
NO_MOMENTS = ("Cauchy", "StudentT", "Categorical", "HalfCauchy", "Pareto", "GeneralizedPareto", "InverseGamma",
              "FisherSnedecor", "VonMises", "Relaxed", "Logistic", "LKJ")
PAIRS = [
    (f"Normal(0.0, {P})", f"Normal({P}, 2.0)"), (f"LogNormal(0.0, {P})", f"LogNormal({P}, 2.0)"),
    (f"Bernoulli({UNIT})", "Bernoulli(0.3)"), (f"Geometric({UNIT})", "Geometric(0.3)"),
    (f"Poisson({P})", "Poisson(1.2)"), (f"Exponential({P})", "Exponential(1.2)"),
    (f"Laplace(0.0, {P})", f"Laplace({P}, 2.0)"), (f"Gumbel(0.0, {P})", f"Gumbel({P}, 2.0)"),
    ("Uniform(0.0, m.tensor([1.0, 5.0]))", "Uniform(-1.0, 2.0)"),
    ("Uniform(0.0, 2.0)", f"Normal({P}, 2.0)"), (f"Gamma({P}, 1.0)", "Gamma(2.0, 3.0)"),
    (f"Beta({P}, 1.0)", "Beta(2.0, 3.0)"), (f"Dirichlet({P})", "Dirichlet(m.ones(3))"),
    (f"Categorical({P})", "Categorical(m.ones(3))"),
    (f"MultivariateNormal(m.zeros(2), {MATRIX})", f"MultivariateNormal(m.ones(2), 2 * {MATRIX})"),
    (f"Independent(D.Normal(m.zeros(3), {P}), 1)", "Independent(D.Normal(m.ones(3), 2 * m.ones(3)), 1)"),
    (f"HalfNormal({P})", "HalfNormal(2.0)"), (f"Cauchy(0.0, {P})", "Cauchy(1.0, 2.0)"),
    (f"Pareto(1.0, {P})", f"Pareto({P}, 2.0)"), (f"Binomial(4, {UNIT})", "Binomial(4, 0.3)"),
    ("OneHotCategorical(m.tensor([1.0, 2.0]))", "OneHotCategorical(m.ones(2))"),
    (f"ContinuousBernoulli({UNIT})", "ContinuousBernoulli(0.3)"), (f"Exponential({P})", "Gamma(2.0, 3.0)"),
    (f"Gamma({P}, 1.0)", "Exponential(2.0)"), (f"Exponential({P})", "Normal(1.0, 2.0)"),
    (f"Gamma({P}, 1.0)", "Normal(1.0, 2.0)"), (f"Laplace(0.0, {P})", "Normal(1.0, 2.0)"),
    (f"Gumbel(0.0, {P})", "Normal(1.0, 2.0)"), (f"Beta({P}, 1.0)", "Normal(1.0, 2.0)"),
    (f"Bernoulli({UNIT})", "Poisson(1.2)"), (f"Normal(0.0, {P})", "Laplace(1.0, 2.0)"),
    (f"Normal(0.0, {P})", "Gumbel(1.0, 2.0)"),
    (f"LowRankMultivariateNormal(m.zeros(2), m.ones(2, 1), m.ones(2))", f"MultivariateNormal(m.ones(2), {MATRIX})"),
]


def both(source):
    return [eval(source if source.startswith("m.") else "D." + source, {"m": m, "D": m.distributions})
            for m in SIDES]


class Values(unittest.TestCase):
    def agree(self, get, pair, *args):
        """The same of both; or the same refusal."""
        results = []
        for d, more in zip(pair, zip(*args) if args else ((), ())):
            try:
                results.append(get(d, *more))
            except NotImplementedError:
                results.append(None)
        theirs, ours = results
        if theirs is None or ours is None:
            self.assertIsNone(theirs), self.assertIsNone(ours)
        else:
            close(ours, theirs)

    def test_of_each(self):
        for source, values in CASES:
            with self.subTest(source):
                pair, values = both(source), both(values)
                self.assertEqual(*(tuple(d.batch_shape) for d in pair))
                self.assertEqual(*(tuple(d.event_shape) for d in pair))
                self.assertEqual(*map(repr, pair))
                for name in ("mean", "mode", "variance", "stddev"):
                    self.agree(lambda d: getattr(d, name), pair)
                self.agree(lambda d: d.entropy(), pair)
                self.agree(lambda d, v: d.log_prob(v), pair, values)
                self.agree(lambda d, v: d.cdf(v), pair, values)
                self.agree(lambda d, v: d.icdf(v), pair, both("m.tensor([0.2, 0.5, 0.7])"))
                self.agree(lambda d: d.enumerate_support(), pair)
                self.assertEqual(*(d.has_rsample for d in pair))
                self.assertEqual(*(d.has_enumerate_support for d in pair))

    def test_gradients(self):
        for source in ("Normal(x, x)", "Gamma(x, x)", "Beta(x, x)", "StudentT(x, x, x)", "Poisson(x)",
                       "Bernoulli(logits=x)", "Laplace(x, x)", "Exponential(x)"):
            with self.subTest(source):
                results = []
                for m in SIDES:
                    x = m.tensor([0.5, 0.7], requires_grad=True)
                    d = eval("m.distributions." + source, {"m": m, "x": x})
                    d.log_prob(m.tensor([0.0, 1.0]) if source[0] in "BP" and "Beta" not in source
                               else m.tensor([0.3, 0.6])).sum().backward()
                    results.append(x.grad)
                close(results[1], results[0])

    def test_divergences(self):
        for p, q in PAIRS:
            with self.subTest(p):
                theirs, ours = (m.distributions.kl_divergence(a, b)
                                for m, a, b in zip(SIDES, both(p), both(q)))
                close(ours, theirs)

    def test_shapes(self):
        for source, _ in CASES:
            theirs, ours = both(source)
            for shape in ((), (4,), (2, 3)):
                self.assertEqual(tuple(ours.sample(shape).shape), tuple(theirs.sample(shape).shape), source)
                self.assertEqual(ours.sample(shape).dtype == kiln.int64,
                                 theirs.sample(shape).dtype == torch.int64)
            grown = (5, *theirs.batch_shape)
            self.assertEqual(tuple(ours.expand(grown).sample().shape), tuple(theirs.expand(grown).sample().shape))


class Samples(unittest.TestCase):
    def test_moments(self):
        kiln.manual_seed(0)
        for source, _ in CASES:
            if source.startswith(NO_MOMENTS):
                continue
            with self.subTest(source):
                d = both(source)[1]
                x = d.sample((20000,))
                far = (x.mean(0) - d.mean).abs() / (d.stddev / math.sqrt(20000))
                self.assertLess(far.max().item(), 5)
                if source.startswith("LogNormal"):  # its fourth moment is too large
                    continue
                self.assertLess(((x.var(0) / d.variance) - 1).abs().max().item(), 0.25)

    def test_without_moments(self):
        kiln.manual_seed(0)
        D = kiln.distributions
        x = D.VonMises(0.5, 2.0).sample((5000,))
        self.assertLess(((x - 0.5).cos().mean() - 0.6978).abs().item(), 0.03)  # I1(2) / I0(2)
        lower = D.LKJCholesky(3, 1.0).sample((5000,))
        r = lower @ lower.mT
        self.assertTrue(bool(D.constraints.corr_cholesky.check(lower).all()))
        self.assertLess((r.var(0)[0, 1] - 0.25).abs().item(), 0.02)  # uniform: of Beta(1.5, 1.5) on (-1, 1)
        x = D.RelaxedOneHotCategorical(kiln.tensor(0.1), kiln.tensor([0.2, 0.8])).sample((5000,))
        self.assertLess((x.mean(0)[0] - 0.2).abs().item(), 0.03)

    def test_categorical(self):
        kiln.manual_seed(0)
        d = kiln.distributions.Categorical(kiln.tensor([0.1, 0.2, 0.7]))
        share = kiln.bincount(d.sample((20000,)), minlength=3) / 20000
        self.assertLess((share - d.probs).abs().max().item(), 0.02)

    def test_gradients_of_samples(self):
        """The mean's derivative is that of the samples' mean."""
        kiln.manual_seed(0)
        for source, mean in (("Gamma(a, 2.0)", 0.5), ("Exponential(a)", -1 / 2.25), ("Normal(a, 1.0)", 1.0)):
            a = kiln.tensor(1.5, requires_grad=True)
            d = eval("kiln.distributions." + source, {"kiln": kiln, "a": a})
            d.rsample((20000,)).mean().backward()
            self.assertAlmostEqual(a.grad.item(), mean, delta=0.03)


class Errors(unittest.TestCase):
    def test_said(self):
        env = {"D": lambda m: m.distributions}
        for source in ("D.Normal(0.0, -1.0)", "D.Normal(m.zeros(2), m.zeros(2))", "D.Bernoulli(1.5)",
                       "D.Bernoulli()", "D.Bernoulli(0.5, 0.5)", "D.Categorical(m.tensor(1.0))",
                       "D.Normal(0.0, 1.0).log_prob(1.0)", "D.Exponential(1.0).log_prob(m.tensor(-1.0))",
                       "D.Normal(m.zeros(2), m.ones(2)).log_prob(m.zeros(3))",
                       "D.Categorical(m.ones(3)).log_prob(m.tensor(3))",
                       "D.Independent(D.Normal(m.zeros(2), m.ones(2)), 2)", "D.Binomial(3)",
                       "D.Multinomial(2, m.ones(3)).log_prob(m.tensor([1., 2., 3.]))",
                       "D.Binomial(m.tensor([1., 2.]), 0.5).entropy()", "D.Multinomial(1.5, m.ones(3))",
                       "D.MultivariateNormal(m.zeros(2))", "D.Normal('a', 1.0)",
                       "D.Poisson(1.0).log_prob(m.tensor(0.5))", "D.Dirichlet(m.tensor(1.0))",
                       "D.kl_divergence(D.Uniform(0.0, 1.0), D.Categorical(m.ones(3)))"):
            theirs, ours = said(source, env)
            self.assertEqual(ours, theirs, source)


class Transforms(unittest.TestCase):
    V = "m.tensor([0.3, -0.5])"
    N = "D.Normal(m.tensor([0., 1.]), m.tensor([1., 2.]))"
    SIGMOID = f"D.TransformedDistribution({N}, [D.AffineTransform(1., -2.), D.SigmoidTransform()])"
    CASES = [
        f"D.TransformedDistribution({N}, D.TanhTransform()).log_prob({V})",
        f"D.TransformedDistribution(D.Independent({N}, 1), D.TanhTransform()).log_prob({V})",
        f"{SIGMOID}.cdf(m.tensor([0.3, 0.5]))", f"{SIGMOID}.log_prob(m.tensor([0.3, 0.5]))",
        f"{SIGMOID}.icdf(m.tensor([0.2, 0.7]))",
        f"D.TransformedDistribution({N}, D.AffineTransform(m.zeros(3, 2), m.ones(3, 2), "
        "event_dim=1)).log_prob(m.ones(3, 2))",
        "D.TransformedDistribution(D.Uniform(0., 1.), [D.SigmoidTransform().inv, "
        "D.AffineTransform(loc=1., scale=2.)]).log_prob(m.tensor([0.5, 2.]))",
        f"D.ComposeTransform([D.ExpTransform(), D.PowerTransform(2.)]).log_abs_det_jacobian"
        f"({V}, {V}.exp() ** 2)",
        f"D.SoftplusTransform().inv({V}.abs())", f"D.SoftmaxTransform()({V})",
        f"D.IndependentTransform(D.ExpTransform(), 1).log_abs_det_jacobian({V}, {V}.exp())",
        f"D.biject_to(D.constraints.simplex)({V})", f"D.transform_to(D.constraints.simplex)({V})",
        f"D.transform_to(D.constraints.interval(1., 3.))({V})", f"D.biject_to(D.constraints.less_than(2.))({V})",
        "D.transform_to(D.constraints.positive_definite)(m.tensor([[1., 2.], [3., 4.]]))",
        "D.constraints.corr_cholesky.check(D.CorrCholeskyTransform()(m.tensor([0.3, -0.5, 1.])))",
        "D.constraints.one_hot.check(m.eye(2))", "D.constraints.positive_semidefinite.check(m.ones(2, 2))",
        "D.ReshapeTransform((2,), (1, 2)).log_abs_det_jacobian(m.ones(3, 2), m.ones(3, 1, 2))",
        "D.utils.vec_to_tril_matrix(m.tensor([1., 2., 3.]))", "D.utils.probs_to_logits(m.tensor([0.2, 0.8]), True)",
        *[f"{t}{of}" for t, x in (("D.StickBreakingTransform()", V), ("D.LowerCholeskyTransform()", "m.ones(2, 2)"),
                                  ("D.CorrCholeskyTransform()", "m.tensor([0.3, -0.5, 1.])"),
                                  ("D.CatTransform([D.ExpTransform(), D.AffineTransform(1., 2.)], 0, [1, 1])", V),
                                  ("D.StackTransform([D.ExpTransform(), D.TanhTransform()], 0)", V))
          for of in (f"({x})", f".inv({t}({x}))", f".log_abs_det_jacobian({x}, {t}({x}))") if
          "Lower" not in t or "det" not in of]]

    def test_as_pytorch(self):
        for source in self.CASES:
            with self.subTest(source):
                close(*[eval(source, {"m": m, "D": m.distributions}) for m in SIDES[::-1]])

    def test_samples(self):
        D = kiln.distributions
        mean = kiln.zeros(2, requires_grad=True)
        d = D.TransformedDistribution(D.Normal(mean, kiln.ones(2)), D.TanhTransform(cache_size=1))
        s = d.rsample((100,))
        self.assertTrue(bool(d.log_prob(s).isfinite().all() & (s.abs() <= 1).all()))
        s.sum().backward()
        self.assertTrue(bool((mean.grad > 0).all()))
        self.assertEqual(d.expand((3, 2)).sample().shape, (3, 2))
        with self.assertRaisesRegex(ValueError, "within the support"):
            d.log_prob(kiln.full((2,), 1.5))


if __name__ == "__main__":
    unittest.main()
