"""What there is under kiln, and what there is not."""
from . import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp  # noqa: F401
