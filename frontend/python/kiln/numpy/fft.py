"""numpy.fft over kiln's transforms."""
from ._generate import functions as _make

globals().update(_make("fft"))
