"""From a constraint to a transform of all real numbers to where it holds: biject_to gives one that
has an inverse, transform_to perhaps a cheaper one."""
from . import constraints
from .transforms import (AffineTransform, ComposeTransform, ExpTransform, IndependentTransform,
                         SigmoidTransform, SoftmaxTransform, identity_transform)
from .transforms_shaped import (CatTransform, CorrCholeskyTransform, LowerCholeskyTransform,
                                PositiveDefiniteTransform, StackTransform, StickBreakingTransform)


class ConstraintRegistry:
    """A table of constraints' classes.

    >>> t = torch.distributions.biject_to(torch.distributions.constraints.unit_interval)
    >>> t(torch.tensor(0.))
    tensor(0.5000)
    """

    def __init__(self):
        self._registry = {}

    def register(self, constraint, factory=None):
        """factory(constraint) makes the transform; without it, a decorator of one."""
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        kind = type(constraint) if isinstance(constraint, constraints.Constraint) else constraint
        if not isinstance(kind, type) or not issubclass(kind, constraints.Constraint):
            raise TypeError("Expected constraint to be either a Constraint subclass or instance, but "
                            f"got {constraint}")
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint):
        if type(constraint) not in self._registry:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return self._registry[type(constraint)](constraint)


biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()


def _between(c):
    if (c.lower_bound, c.upper_bound) == (0, 1):
        return SigmoidTransform()
    return ComposeTransform([SigmoidTransform(),
                             AffineTransform(c.lower_bound, c.upper_bound - c.lower_bound)])


def _above(c):
    return ComposeTransform([ExpTransform(), AffineTransform(c.lower_bound, 1)])


def _below(c):
    return ComposeTransform([ExpTransform(), AffineTransform(c.upper_bound, -1)])


for _table in (biject_to, transform_to):
    for _of, _make in [
            (constraints.real, lambda c: identity_transform),
            (constraints.greater_than, _above), (constraints.greater_than_eq, _above),
            (constraints.less_than, _below), (constraints.interval, _between),
            (constraints.half_open_interval, _between),
            (constraints.independent, lambda c, to=_table: IndependentTransform(
                to(c.base_constraint), c.reinterpreted_batch_ndims)),
            (constraints.lower_cholesky, lambda c: LowerCholeskyTransform()),
            (constraints.corr_cholesky, lambda c: CorrCholeskyTransform()),
            (constraints.cat, lambda c, to=_table: CatTransform(
                [to(e) for e in c.cseq], c.dim, c.lengths)),
            (constraints.stack, lambda c, to=_table: StackTransform([to(e) for e in c.cseq],
                                                                    c.dim))]:
        _table.register(_of, _make)
biject_to.register(constraints.simplex, lambda c: StickBreakingTransform())
transform_to.register(constraints.simplex, lambda c: SoftmaxTransform())
for _of in (constraints.positive_definite, constraints.positive_semidefinite):
    transform_to.register(_of, lambda c: PositiveDefiniteTransform())
