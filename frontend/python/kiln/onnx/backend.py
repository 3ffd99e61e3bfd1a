"""ONNX's backend interface: what onnx.backend.test and other tools call.

>>> import kiln.onnx.backend as backend            # doctest: +SKIP
>>> backend.run_model(onnx.load("m.onnx"), [x])    # doctest: +SKIP
"""
from . import load
from ._values import as_array


class BackendRep:
    """A model made ready: run(inputs) gives a list of NumPy arrays."""

    def __init__(self, model):
        self.model = model

    def run(self, inputs, **kwargs):
        m = self.model
        if isinstance(inputs, dict):
            given = m._arguments((), inputs)
        else:
            given = m._arguments(inputs if isinstance(inputs, (list, tuple)) else (inputs,), {})
        out, types = m.run(given)
        return [as_array(t, k) for t, k in zip(out, types)]


def is_compatible(model, device="CPU", **kwargs):
    """Whether every operator of the model is there."""
    return supports_device(device) and not load(model.SerializeToString()).missing()


def prepare(model, device="CPU", **kwargs):
    if not supports_device(device):
        raise ValueError(f"kiln.onnx runs on the CPU, not on {device}")
    return BackendRep(load(model if isinstance(model, bytes) else model.SerializeToString()))


def run_model(model, inputs, device="CPU", **kwargs):
    return prepare(model, device, **kwargs).run(inputs)


def run_node(node, inputs, device="CPU", outputs_info=None, **kwargs):
    """One node on its inputs; outputs_info is not needed."""
    from onnx import TensorProto, helper
    given = dict(zip(node.input, inputs)) if not isinstance(inputs, dict) else inputs
    ins = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
           for k, v in given.items()]
    outs = [helper.make_tensor_value_info(k, TensorProto.UNDEFINED, None)
            for k in node.output if k]
    graph = helper.make_graph([node], "node", ins, outs)
    return run_model(helper.make_model(graph, **kwargs), given, device)


def supports_device(device):
    return device.split(":")[0] == "CPU"
