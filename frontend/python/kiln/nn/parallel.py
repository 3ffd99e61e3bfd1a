"""Modules over several devices."""
from .. import cuda as _cuda
from .modules.module import Module


def _ids(device_ids):
    ids = range(_cuda.device_count()) if device_ids is None else device_ids
    ids = [getattr(d, "index", d) for d in ids]
    if len(ids) > 1:
        raise NotImplementedError("kiln.nn.DataParallel over more than one device is not "
                                  f"implemented yet: device_ids={ids}")
    return ids


def data_parallel(module, inputs, device_ids=None, output_device=None, dim=0, module_kwargs=None):
    """module(*inputs), the batch spread over device_ids: one or none of them here."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,) if inputs is not None else ()
    _ids(device_ids)
    return module(*inputs, **(module_kwargs or {}))


class DataParallel(Module):
    """A module whose batch is spread over device_ids: with one device or none it is the module,
    under the name `module`.

    >>> net = nn.DataParallel(nn.Linear(2, 3))
    >>> list(net.state_dict()), net(torch.ones(1, 2)).shape
    (['module.weight', 'module.bias'], torch.Size([1, 3]))
    """

    def __init__(self, module, device_ids=None, output_device=None, dim=0):
        super().__init__()
        self.dim, self.module = dim, module
        self.device_ids = _ids(device_ids)
        self.output_device = output_device
        if output_device is None and self.device_ids:
            self.output_device = self.device_ids[0]
        if self.device_ids:
            self.module.to(f"cuda:{self.device_ids[0]}")

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(Module):
    """A module of several processes, which there are none of here: making one is an error."""

    def __init__(self, module, *args, **kwargs):
        super().__init__()
        raise RuntimeError("kiln.nn.parallel.DistributedDataParallel: kiln runs in one process and "
                           "has no process groups")
