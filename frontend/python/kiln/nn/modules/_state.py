"""A module's state: parameters and persistent buffers by path, out and in."""
import collections
import collections.abc

from ..._grad import no_grad
from ..._hooks import RemovableHandle
from ..._kiln import Tensor
from ..parameter import Parameter

_IncompatibleKeys = collections.namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])


def _keys_repr(self):
    return "<All keys matched successfully>" if not self[0] and not self[1] else \
        f"_IncompatibleKeys(missing_keys={self[0]}, unexpected_keys={self[1]})"


_IncompatibleKeys.__repr__ = _IncompatibleKeys.__str__ = _keys_repr


class State:
    """The part of Module that saves and loads."""

    _version = 1

    def get_extra_state(self):
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be "
                           "called. Please file an issue at https://github.com/pytorch/pytorch/"
                           "issues/new?template=bug-report.yml to report this bug.")

    def set_extra_state(self, state):
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be "
                           "called. Please file an issue at https://github.com/pytorch/pytorch/"
                           "issues/new?template=bug-report.yml to report this bug.")

    def _own_state(self):
        names = {n: p for n, p in self._parameters.items() if p is not None}
        names.update((n, b) for n, b in self._buffers.items()
                     if b is not None and n not in self._non_persistent_buffers_set)
        return names

    # ---- out ----

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        for name, t in self._own_state().items():
            destination[prefix + name] = t if keep_vars else t.detach()
        if type(self).get_extra_state is not State.get_extra_state:
            destination[prefix + "_extra_state"] = self.get_extra_state()

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """All parameters and persistent buffers by path."""
        given = (destination, prefix, keep_vars)
        destination, prefix, keep_vars = args + given[len(args):]
        if destination is None:
            destination = collections.OrderedDict()
            destination._metadata = collections.OrderedDict()  # each module's version
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, m in self._modules.items():
            if m is not None:
                m.state_dict(destination=destination, prefix=f"{prefix}{name}.",
                             keep_vars=keep_vars)
        for hook, public in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, metadata)
            if public and result is not None:
                raise RuntimeError("state_dict post-hook must return None")
            destination = destination if result is None else result
        return destination

    # ---- in ----

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys,
                              unexpected_keys, error_msgs):
        for hook, with_module in self._load_state_dict_pre_hooks.values():
            hook(*((self,) if with_module else ()), state_dict, prefix, local_metadata, strict,
                 missing_keys, unexpected_keys, error_msgs)
        own = self._own_state()
        for name, t in own.items():
            key = prefix + name
            if key in state_dict:
                self._load_one(name, t, key, state_dict[key], error_msgs,
                               local_metadata.get("assign_to_params_buffers", False))
            elif strict:
                missing_keys.append(key)
        extra = prefix + "_extra_state"
        if type(self).set_extra_state is not State.set_extra_state:
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)
        for key in state_dict if strict else ():
            if not key.startswith(prefix) or key == extra:
                continue
            first, *rest = key[len(prefix):].split(".", 1)
            if first not in (self._modules if rest else own):
                unexpected_keys.append(key)

    def _load_one(self, name, t, key, v, errors, assign):
        if not isinstance(v, Tensor):
            errors.append(f'While copying the parameter named "{key}", expected torch.Tensor or '
                          f"Tensor-like object from checkpoint but received {type(v)}")
            return
        if t.dim() == 0 and tuple(v.shape) == (1,):
            v = v[0]
        if v.shape != t.shape:
            errors.append(f"size mismatch for {key}: copying a param with shape {v.shape} "
                          f"from checkpoint, the shape in current model is {t.shape}.")
            return
        try:
            with no_grad():
                if not assign:
                    t.copy_(v)
                elif isinstance(t, Parameter):
                    setattr(self, name, v.requires_grad_(t.requires_grad)
                            if isinstance(v, Parameter) else Parameter(v, t.requires_grad))
                else:
                    setattr(self, name, v)
        except Exception as e:
            errors.append(f'While copying the parameter named "{key}", whose dimensions in the '
                          f"model are {t.size()} and whose dimensions in the checkpoint are "
                          f"{v.size()}, an exception occurred : {e.args}.")

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copy the tensors of a state dict into those of the same names."""
        if not isinstance(state_dict, collections.abc.Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing, unexpected, errors = [], [], []
        metadata = getattr(state_dict, "_metadata", None) or {}

        def load(module, state, prefix):
            local = dict(metadata.get(prefix[:-1], {}))
            if assign:
                local["assign_to_params_buffers"] = True
            module._load_from_state_dict(state, prefix, local, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    path = f"{prefix}{name}."
                    load(child, {k: v for k, v in state.items() if k.startswith(path)}, path)
            keys = _IncompatibleKeys(missing, unexpected)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, keys) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                        "expected to return new values, if incompatible_keys need to be modified, "
                        "it should be done inplace.")

        load(self, dict(state_dict), "")
        if strict:
            for what, keys in (("Unexpected", unexpected), ("Missing", missing)):
                if keys:
                    errors.insert(0, f"{what} key(s) in state_dict: "
                                  + ", ".join(f'"{k}"' for k in keys) + ". ")
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                               + "\n\t".join(errors))
        return _IncompatibleKeys(missing, unexpected)

    # ---- hooks ----

    def register_state_dict_pre_hook(self, hook):
        """hook(module, prefix, keep_vars) before the state is taken."""
        return RemovableHandle.add(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook):
        """hook(module, state_dict, prefix, metadata) after it was."""
        return RemovableHandle.add(self._state_dict_hooks, (hook, True))

    def _register_state_dict_hook(self, hook):
        return RemovableHandle.add(self._state_dict_hooks, (hook, False))

    def register_load_state_dict_pre_hook(self, hook):
        """hook(module, state_dict, prefix, ..) before the state is put in."""
        return RemovableHandle.add(self._load_state_dict_pre_hooks, (hook, True))

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        return RemovableHandle.add(self._load_state_dict_pre_hooks, (hook, with_module))

    def register_load_state_dict_post_hook(self, hook):
        """hook(module, incompatible_keys) after it was."""
        return RemovableHandle.add(self._load_state_dict_post_hooks, hook)
