"""kiln.numpy.random against NumPy's: each distribution's mean and deviation over many draws (other
numbers, so within 6 standard errors), the share of draws below quartiles, shapes and dtypes, the
same numbers for a seed, and the errors' text."""
import sys

import numpy as np

import kiln.numpy as kp
from agree import done, note, same_error

MANY = 40000
DRAWS = """
uniform(-1, 3)
normal(2, 3)
standard_exponential()
exponential(2.5)
weibull(1.7)
pareto(5.)
power(2.)
rayleigh(2.)
gumbel(1, 2)
logistic(1, 2)
laplace(1, 2)
triangular(-1, 0, 3)
geometric(.3)
geometric(1.)
lognormal(.5, .4)
standard_gamma(.3)
standard_gamma(4.)
gamma(2.5, 3.)
gamma(.7, .5)
chisquare(3)
standard_t(7)
f(5, 12)
beta(2., 3.)
beta(.5, .4)
poisson(.7)
poisson(30.)
poisson(2500.)
negative_binomial(4, .4)
binomial(20, .3)
binomial(1, .5)
noncentral_chisquare(3., 2.)
noncentral_chisquare(.5, 1.)
noncentral_f(5, 12, 2.)
wald(2., 3.)
integers(3, 9)
random()
""".strip().splitlines()
SHAPES = ["exponential([1., 2.])", "gamma([[1.], [2.]], [1., 3.])", "poisson(3., size=(2, 3))", "normal(size=4)",
          "beta([1., 2.], 1.)", "dirichlet([1., 2, 3])", "dirichlet([1., 2, 3], 5)", "multinomial(9, [.2, .3, .5])",
          "multinomial(9, [.2, .3, .5], size=(2, 2))", "multivariate_normal([1., 2], [[1., .5], [.5, 2]])",
          "multivariate_normal([1., 2], [[1., .5], [.5, 2]], size=(3, 2))", "permuted([[1, 2], [3, 4]], axis=1)",
          "binomial([1, 2], .5)", "exponential()", "standard_cauchy(3)", "poisson(0.)", "poisson([])"]
WRONG = """exponential(-1) weibull(-1) pareto(0) power(0) rayleigh(-1) gumbel(0,-1) logistic(0,-1) laplace(0,-1) triangular(2,1,3)
triangular(0,4,3) triangular(1,1,1) geometric(0) lognormal(0,-1) multivariate_normal([[1]],[[1]]) multivariate_normal([1],[1])
multivariate_normal([1,2],[[1]]) standard_gamma(-1) gamma(1,-1) chisquare(0) standard_t(0) f(0,1) f(1,0) beta(0,1) beta(1,0)
dirichlet([-1,1]) poisson(-1) poisson(1e20) negative_binomial(0,.5) negative_binomial(1,0) binomial(-1,.5) binomial(1,2)
multinomial(3,[.7,.7,.1])""".split()


def drawn(module, form, seed=1):
    g = module.random.default_rng(seed)
    return eval("g." + form, {"g": g})


def many(form):
    inside = form[:-1] + (", " if form[-2] != "(" else "") + f"size={MANY})"
    return (np.asarray(drawn(m, inside)) for m in (kp, np))


def walk_draws():
    for form in DRAWS:
        got, want = many(form)
        note(got.dtype == want.dtype and got.shape == want.shape, f"{form}: {got.dtype} for {want.dtype}")
        error = want.std() / np.sqrt(MANY) + 1e-12
        note(abs(got.mean() - want.mean()) < 6 * np.sqrt(2) * error, f"{form}: mean {got.mean()} for {want.mean()}")
        for q in np.quantile(want, [.1, .25, .5, .75, .9]):
            a, b = ((v <= q).mean() for v in (got, want))
            note(abs(a - b) < 6 * np.sqrt(2 * .25 / MANY), f"{form}: {a} below {q} for {b}")


def walk_shapes():
    for form in SHAPES:
        got, want = drawn(kp, form), drawn(np, form)
        note(np.shape(got) == np.shape(want) and np.asarray(got).dtype == np.asarray(want).dtype,
             f"{form}: {np.asarray(got).dtype}{np.shape(got)} for {np.asarray(want).dtype}{np.shape(want)}")
        note(np.array_equal(np.asarray(drawn(kp, form)), np.asarray(got)), f"{form}: other numbers for a seed")


def walk_joint():
    cov = [[1., .5], [.5, 2.]]
    x = np.asarray(drawn(kp, f"multivariate_normal([1., 2], {cov}, size={MANY})"))
    note(np.allclose(x.mean(0), [1, 2], atol=.05) and np.allclose(np.cov(x.T), cov, atol=.08), "multivariate_normal")
    x = np.asarray(drawn(kp, f"dirichlet([1., 2, 3], {MANY})"))
    note(np.allclose(x.sum(1), 1) and np.allclose(x.mean(0), [1 / 6, 1 / 3, 1 / 2], atol=.01), "dirichlet")
    x = np.asarray(drawn(kp, "multinomial(30, [.2, .3, .5], size=4000)"))
    note((x.sum(1) == 30).all() and np.allclose(x.mean(0), [6, 9, 15], atol=.3), "multinomial")
    rows = np.arange(12).reshape(3, 4)
    x = np.asarray(drawn(kp, f"permuted({rows.tolist()}, axis=1)"))
    note(np.array_equal(np.sort(x, 1), rows), "permuted")
    note(len(kp.random.default_rng(3).bytes(11)) == 11, "bytes")
    kp.random.seed(4)
    first = kp.random.poisson(5., size=9).tolist()
    kp.random.seed(4)
    note(first == kp.random.poisson(5., size=9).tolist(), "the module's own stream")
    x = np.abs(np.asarray(drawn(kp, f"standard_cauchy({MANY})")))
    note(abs((x < 1).mean() - .5) < .02, "standard_cauchy")


def walk_errors():
    for form in WRONG:
        errors = []
        for m in (kp, np):
            try:
                errors.append(drawn(m, form))
            except Exception as e:
                errors.append(e)
        note(same_error(*errors), f"{form}: {errors}")


walk_draws()
walk_shapes()
walk_joint()
walk_errors()
sys.exit(done())
