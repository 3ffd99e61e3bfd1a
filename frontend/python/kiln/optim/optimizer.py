"""Optimizer: parameter groups, state by parameter, saving and loading both."""
import collections
import copy
import itertools
import warnings

from .. import _kiln
from .._grad import enable_grad
from .._hooks import RemovableHandle
from .._kiln import Tensor
from .._typename import typename

required = object()


_before, _after = collections.OrderedDict(), collections.OrderedDict()  # each optimizer's steps


def register_optimizer_step_pre_hook(hook):
    """hook(optimizer, args, kwargs) before each step of any optimizer."""
    return RemovableHandle.add(_before, hook)


def register_optimizer_step_post_hook(hook):
    """hook(optimizer, args, kwargs) after each step of any optimizer."""
    return RemovableHandle.add(_after, hook)


class Optimizer:
    """The base: a subclass writes step(closure), or _update(group, parameters, gradients)."""

    _HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks",
              "_optimizer_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks",
              "_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks")

    def __init__(self, params, defaults):
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of "
                            f"Tensors or dicts, but got {typename(params)}")
        self.defaults = defaults
        self.state = collections.defaultdict(dict)
        self.param_groups = []
        for name in self._HOOKS:
            setattr(self, name, collections.OrderedDict())
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state,
                "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for name in self._HOOKS:
            self.__dict__.setdefault(name, collections.OrderedDict())

    def add_param_group(self, param_group):
        """One more group of parameters with settings of its own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, "
                            "but the ordering of tensors in sets will change between runs. "
                            "Please use a list instead.")
        params = [params] if isinstance(params, Tensor) else list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param "
                             "names are missing")
        if names:
            param_group["param_names"] = names
        params = param_group["params"] = [p[1] if isinstance(p, tuple) else p for p in params]
        self._check_parameters(param_group, params)
        for name, value in self.defaults.items():
            if value is required and name not in param_group:
                raise ValueError("parameter group didn't specify a value of required "
                                 f"optimization parameter {name}")
            param_group.setdefault(name, value)
        self.param_groups.append(param_group)

    def _check_parameters(self, group, params):
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is "
                                + typename(p))
            if not (p.is_leaf or getattr(p, "retains_grad", False)):
                raise ValueError("can't optimize a non-leaf Tensor")
        if len({id(p) for p in params}) != len(params):
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in "
                          "future, this will cause an error; see "
                          "github.com/pytorch/pytorch/issues/40967 for more information",
                          stacklevel=4)
        for g in self.param_groups:
            if ("param_names" in group) != ("param_names" in g):
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param "
                    f"group {'with' if 'param_names' in group else 'without'} names to the "
                    "optimizer")
        known = {id(p) for g in self.param_groups for p in g["params"]}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")

    # ---- hooks ----

    def _add(self, name, hook, prepend=False):
        return RemovableHandle.add(getattr(self, name), hook, prepend)

    def register_step_pre_hook(self, hook):
        """hook(optimizer, args, kwargs) before each step."""
        return self._add("_optimizer_step_pre_hooks", hook)

    def register_step_post_hook(self, hook):
        """hook(optimizer, args, kwargs) after each step."""
        return self._add("_optimizer_step_post_hooks", hook)

    def register_state_dict_pre_hook(self, hook, prepend=False):
        return self._add("_optimizer_state_dict_pre_hooks", hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend=False):
        return self._add("_optimizer_state_dict_post_hooks", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend=False):
        return self._add("_optimizer_load_state_dict_pre_hooks", hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend=False):
        return self._add("_optimizer_load_state_dict_post_hooks", hook, prepend)

    def __init_subclass__(cls, **kwargs):
        """Steps of subclasses, too, call the hooks."""
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])

    # ---- steps ----

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

    # ---- state ----

    def state_dict(self):
        """State and groups, parameters by number."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers = {}
        groups = []
        for g in self.param_groups:
            for p in g["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {k: v for k, v in g.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in g["params"]]
            groups.append(packed)
        state = {numbers.get(id(p), p): s for p, s in self.state.items()}
        state_dict = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            result = hook(self, state_dict)
            state_dict = state_dict if result is None else result
        return state_dict

    def load_state_dict(self, state_dict):
        """The reverse of state_dict: state is cast to its parameter's dtype."""
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            result = hook(self, state_dict)
            state_dict = state_dict if result is None else result
        saved = copy.deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        by_number = {}
        for mine, theirs in zip(self.param_groups, saved):
            if len(mine["params"]) != len(theirs["params"]):
                raise ValueError("loaded state dict contains a parameter group that doesn't "
                                 "match the size of optimizer's group")
            by_number.update(zip(theirs["params"], mine["params"]))
        for mine, theirs in zip(self.param_groups, saved):
            kept = {"params": mine["params"]}
            if "param_names" in mine:
                kept["param_names"] = theirs.get("param_names", mine["param_names"])
            mine.clear()
            mine.update(theirs, **kept)
        state = collections.defaultdict(dict)
        for number, values in state_dict["state"].items():
            p = by_number.get(number)
            state[number if p is None else p] = values if p is None or not isinstance(
                values, dict) else {k: _cast_like(p, k, v) for k, v in values.items()}
        self.__setstate__({"state": state, "param_groups": self.param_groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def __repr__(self):
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += [""] * bool(i) + [f"Parameter Group {i}"]
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join(lines) + "\n)"


def _with_hooks(step):
    def run(self, *args, **kwargs):
        for hooks in _before, self._optimizer_step_pre_hooks:
            for hook in hooks.values() if hooks else ():
                result = hook(self, args, kwargs)
                if result is not None:
                    if not (isinstance(result, tuple) and len(result) == 2):
                        raise RuntimeError(f"{step} must return None or a tuple of (new_args, "
                                           f"new_kwargs), but got {result}.")
                    args, kwargs = result
        out = step(self, *args, **kwargs)
        for hooks in self._optimizer_step_post_hooks, _after:
            for hook in hooks.values() if hooks else ():
                hook(self, args, kwargs)
        self._opt_called = True  # for learning-rate schedules
        return out

    run.__name__, run.__doc__, run.__wrapped__ = "step", step.__doc__, step
    return run


Optimizer.step = _with_hooks(Optimizer.step)


def _cast_like(p, name, v):
    if isinstance(v, (list, tuple)):
        return type(v)(_cast_like(p, name, x) for x in v)
    if not isinstance(v, Tensor):
        return copy.deepcopy(v)
    return v.clone() if name == "step" or not p.is_floating_point() else v.to(p.dtype).clone()
