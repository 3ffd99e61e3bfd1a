"""What a parameter or a sample may be: each tells where it holds, and says itself in errors."""
import kiln as _k


class Constraint:
    """check(value): where it holds, a bool an event."""

    is_discrete = False
    event_dim = 0

    def check(self, value):
        raise NotImplementedError

    def __repr__(self):
        name = type(self).__name__[1:]
        fields = ", ".join(f"{k}={v}" for k, v in vars(self).items())
        return f"{name}({fields})"


class _Dependent(Constraint):
    """Known only when the other parameters are."""

    def __init__(self, is_discrete=False, event_dim=0):
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, *, is_discrete=False, event_dim=0):
        return _Dependent(is_discrete, event_dim)

    def check(self, value):
        raise ValueError("Cannot determine validity of dependent constraint")

    def __repr__(self):
        return "Dependent()"


class _DependentProperty(property, _Dependent):
    """A property that gives a constraint; asked of the class it is a dependent one."""

    def __init__(self, fn=None, *, is_discrete=False, event_dim=0):
        property.__init__(self, fn)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, fn):
        return _DependentProperty(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


class _IndependentConstraint(Constraint):
    """A constraint that holds for all of the last dimensions."""

    def __init__(self, base_constraint, reinterpreted_batch_ndims):
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value):
        r = self.base_constraint.check(value)
        for _ in range(self.reinterpreted_batch_ndims):
            r = r.all(-1)
        return r

    def __repr__(self):
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value):
        return (value == 0) | (value == 1)


class _Real(Constraint):
    def check(self, value):
        return value == value


class _GreaterThan(Constraint):
    def __init__(self, lower_bound):
        self.lower_bound = lower_bound

    def check(self, value):
        return value > self.lower_bound


class _GreaterThanEq(_GreaterThan):
    def check(self, value):
        return value >= self.lower_bound


class _LessThan(Constraint):
    def __init__(self, upper_bound):
        self.upper_bound = upper_bound

    def check(self, value):
        return value < self.upper_bound


class _Interval(Constraint):
    def __init__(self, lower_bound, upper_bound):
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value):
        return (value >= self.lower_bound) & (value <= self.upper_bound)


class _HalfOpenInterval(_Interval):
    def check(self, value):
        return (value >= self.lower_bound) & (value < self.upper_bound)


class _IntegerInterval(_Interval):
    is_discrete = True

    def check(self, value):
        return (value % 1 == 0) & super().check(value)


class _IntegerGreaterThan(_GreaterThan):
    is_discrete = True

    def check(self, value):
        return (value % 1 == 0) & (value >= self.lower_bound)


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value):
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _Multinomial(Constraint):
    is_discrete, event_dim = True, 1

    def __init__(self, upper_bound):
        self.upper_bound = upper_bound

    def check(self, value):
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)

    def __repr__(self):
        return "Multinomial()"


class _LowerCholesky(Constraint):
    event_dim = 2

    def check(self, value):
        lower = (value.tril() == value).flatten(-2).all(-1)
        return lower & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _OneHot(Constraint):
    is_discrete, event_dim = True, 1

    def check(self, value):
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _LowerTriangular(Constraint):
    event_dim = 2

    def check(self, value):
        return (value.tril() == value).flatten(-2).all(-1)


class _CorrCholesky(_LowerCholesky):
    def check(self, value):
        near = _k.finfo(value.dtype).eps * value.shape[-1] * 10
        unit = ((value.norm(dim=-1) - 1).abs() <= near).all(-1)
        return unit & super().check(value)


class _Square(Constraint):
    event_dim = 2

    def check(self, value):
        return _k.full(value.shape[:-2], value.shape[-1] == value.shape[-2], dtype=_k.bool)


class _Symmetric(_Square):
    def check(self, value):
        if not bool(super().check(value).all()):
            return super().check(value)
        return _k.isclose(value, value.mT, atol=1e-6).flatten(-2).all(-1)


class _PositiveSemidefinite(_Symmetric):
    def check(self, value):
        symmetric = super().check(value)
        if not bool(symmetric.all()):
            return symmetric
        return (_k.linalg.eigvalsh(value) >= 0).all(-1)


class _PositiveDefinite(_Symmetric):
    def check(self, value):
        symmetric = super().check(value)
        if not bool(symmetric.all()):
            return symmetric
        return _k.linalg.cholesky_ex(value)[1] == 0


class _Several(Constraint):
    """Each constraint of a part of a dimension."""

    is_discrete = property(lambda self: any(c.is_discrete for c in self.cseq))
    event_dim = property(lambda self: max(c.event_dim for c in self.cseq))


class _Cat(_Several):
    def __init__(self, cseq, dim=0, lengths=None):
        self.cseq, self.dim = list(cseq), dim
        self.lengths = list(lengths) if lengths is not None else [1] * len(self.cseq)

    def check(self, value):
        return _k.cat([c.check(v) for c, v in zip(self.cseq, value.split(self.lengths, self.dim))],
                      self.dim)


class _Stack(_Several):
    def __init__(self, cseq, dim=0):
        self.cseq, self.dim = list(cseq), dim

    event_dim = property(lambda self: max(c.event_dim for c in self.cseq) + (
        self.dim + max(c.event_dim for c in self.cseq) < 0))

    def check(self, value):
        return _k.stack([c.check(v) for c, v in zip(self.cseq, value.unbind(self.dim))], self.dim)


class _MixtureSameFamily(Constraint):
    """A constraint that holds for every component."""

    def __init__(self, base_constraint):
        self.base_constraint, self.event_dim = base_constraint, base_constraint.event_dim
        self.is_discrete = base_constraint.is_discrete

    def check(self, value):
        n = value.dim() - self.event_dim
        if n < 0:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        r = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        return r.reshape((*r.shape[:n], -1)).all(-1)

    def __repr__(self):
        return f"MixtureSameFamilyConstraint({self.base_constraint!r})"


boolean, real, simplex, dependent = _Boolean(), _Real(), _Simplex(), _Dependent()
positive, nonnegative, unit_interval = _GreaterThan(0.0), _GreaterThanEq(0.0), _Interval(0.0, 1.0)
nonnegative_integer, positive_integer = _IntegerGreaterThan(0), _IntegerGreaterThan(1)
lower_cholesky, positive_definite = _LowerCholesky(), _PositiveDefinite()
greater_than, greater_than_eq, less_than = _GreaterThan, _GreaterThanEq, _LessThan
multinomial, half_open_interval, dependent_property = (_Multinomial, _HalfOpenInterval,
                                                       _DependentProperty)
one_hot, lower_triangular, corr_cholesky = _OneHot(), _LowerTriangular(), _CorrCholesky()
square, symmetric, positive_semidefinite = _Square(), _Symmetric(), _PositiveSemidefinite()
cat, stack, MixtureSameFamilyConstraint = _Cat, _Stack, _MixtureSameFamily
interval, integer_interval, independent = _Interval, _IntegerInterval, _IndependentConstraint
real_vector = independent(real, 1)


def is_dependent(constraint):
    return isinstance(constraint, _Dependent)
