"""Parameters as one vector."""
from ... import _functions as K
from ... import _kiln
from ..._typename import typename


def parameters_to_vector(parameters):
    """All parameters one after the other."""
    return K.cat([p.view(-1) for p in parameters])


def vector_to_parameters(vec, parameters):
    """The reverse of parameters_to_vector."""
    if not isinstance(vec, _kiln.Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {typename(vec)}")
    at = 0
    for p in parameters:
        n = p.numel()
        p.data = vec[at:at + n].view_as(p).data
        at += n
