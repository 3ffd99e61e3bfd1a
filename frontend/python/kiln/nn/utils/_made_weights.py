"""What the hooks that make a weight before each call have in common."""
from ..parameter import is_lazy


def hook_of(module, kind, name):
    """The hook of that kind for the parameter, and its key; (None, None): there is none."""
    return next(((k, h) for k, h in module._forward_pre_hooks.items()
                 if isinstance(h, kind) and h.name == name), (None, None))


def refuse_lazy(weight, kind, action):
    if is_lazy(weight):
        raise ValueError(f"The module passed to `{kind.__name__}` can't have uninitialized parameters. "
                         f"Make sure to run the dummy forward before applying {action}")


def length_except(weight, dim):
    """The norm along all dimensions but dim, which stay; -1: of all as one number."""
    if dim == -1:
        return weight.norm(2)
    return weight.norm(2, [i for i in range(weight.dim()) if i != dim % weight.dim()], True)
