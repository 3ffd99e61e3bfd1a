"""numpy.linalg: what the table has of it."""
from ._generate import functions as _make
from ._matrix import LinAlgError  # noqa: F401

globals().update(_make("linalg"))
