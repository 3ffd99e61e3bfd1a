"""Random numbers of compiled programs: kiln's Philox stream by a seed that is drawn anew for each
call from PyTorch's default generator, which moves on as by one 64-bit draw: torch.manual_seed
makes a run repeatable, the numbers are not those of PyTorch's kernels."""
import torch

from .. import _kiln


def draw():
    """64 random bits of torch.default_generator, by no kernel of PyTorch."""
    g = torch.default_generator
    state = g.get_state()
    bits = _kiln._mt19937_draw(state.data_ptr(), state.numel())
    g.set_state(state)
    return bits
