"""numpy.linalg: what the table has of it."""
from ._generate import functions as _make

globals().update(_make("linalg"))


class LinAlgError(ValueError):
    """A matrix that has no answer."""
