"""Optimizer: parameter groups, state by parameter, saving and loading both."""
import collections
import copy
import itertools

from .. import _kiln
from .._grad import enable_grad
from .._kiln import Tensor


class Optimizer:
    """The base: a subclass writes _update(group, parameters, gradients)."""

    def __init__(self, params, defaults):
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of "
                            f"Tensors or dicts, but got {type(params).__name__}")
        self.defaults = defaults
        self.state = collections.defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group):
        """One more group of parameters with settings of its own."""
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, "
                            "but the ordering of tensors in sets will change between runs. "
                            "Please use a list instead.")
        group["params"] = [params] if isinstance(params, Tensor) else list(params)
        group["params"] = [p[1] if isinstance(p, tuple) else p for p in group["params"]]
        for p in group["params"]:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is "
                                f"{type(p).__name__}")
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        known = {id(p) for g in self.param_groups for p in g["params"]}
        if any(id(p) in known for p in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none=True):
        """Forget the gradients; or make them zero."""
        for p in itertools.chain.from_iterable(g["params"] for g in self.param_groups):
            if p.grad is None:
                continue
            if set_to_none:
                p.grad = None
            else:
                p.grad.detach_().zero_() if p.grad.requires_grad else p.grad.zero_()

    def step(self, closure=None):
        """One update of every parameter that has a gradient; the closure's loss."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        was = _kiln._set_grad_enabled(False)
        try:
            for group in self.param_groups:
                params = [p for p in group["params"] if p.grad is not None]
                if params:
                    self._update(group, params, [p.grad for p in params])
            _kiln._flush()
        finally:
            _kiln._set_grad_enabled(was)
        return loss

    def _update(self, group, params, grads):
        raise NotImplementedError

    def state_dict(self):
        """State and groups, parameters by number."""
        numbers = {}
        groups = []
        for g in self.param_groups:
            for p in g["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {k: v for k, v in g.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in g["params"]]
            groups.append(packed)
        state = {numbers.get(id(p), p): s for p, s in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict):
        """The reverse of state_dict: state is cast to its parameter's dtype."""
        saved = copy.deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        by_number = {}
        for mine, theirs in zip(self.param_groups, saved):
            if len(mine["params"]) != len(theirs["params"]):
                raise ValueError("loaded state dict contains a parameter group that doesn't "
                                 "match the size of optimizer's group")
            by_number.update(zip(theirs["params"], mine["params"]))
            mine.update({k: v for k, v in theirs.items() if k != "params"})
        self.state.clear()
        for number, values in state_dict["state"].items():
            p = by_number[number]
            self.state[p] = {k: _cast_like(p, k, v) for k, v in values.items()}

    def __repr__(self):
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join(lines) + "\n)"


def _cast_like(p, name, v):
    if not isinstance(v, Tensor):
        return copy.deepcopy(v)
    return v.clone() if name == "step" or not p.is_floating_point() else v.to(p.dtype).clone()
