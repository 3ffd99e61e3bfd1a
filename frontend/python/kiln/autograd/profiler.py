"""The profiler under its older name."""
from ..profiler import profile, record_function  # noqa: F401
