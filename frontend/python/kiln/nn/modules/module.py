"""Module: the base of all layers: parameters, buffers and sub-modules by name."""
import collections
import functools
import itertools

from ... import _kiln
from ..._kiln import Tensor
from ..parameter import Buffer, Parameter

_IncompatibleKeys = collections.namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])


def _keys_repr(self):
    return "<All keys matched successfully>" if not self[0] and not self[1] else \
        f"_IncompatibleKeys(missing_keys={self[0]}, unexpected_keys={self[1]})"


_IncompatibleKeys.__repr__ = _keys_repr


class _Handle:
    """Takes a hook out again."""

    _ids = itertools.count()

    def __init__(self, hooks):
        self._hooks, self.id = hooks, next(self._ids)

    def remove(self):
        self._hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def _indented(text, by):
    first, *rest = text.split("\n")
    return "\n".join([first] + [" " * by + line for line in rest])


class Module:
    """A layer or a net: assign Parameters, Modules and buffers as attributes, write forward."""

    dump_patches = False
    training: bool

    def __init__(self, *args, **kwargs):
        put = functools.partial(object.__setattr__, self)
        put("training", True)
        for name in ("_parameters", "_buffers", "_modules", "_forward_hooks",
                     "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks",
                     "_load_state_dict_pre_hooks"):
            put(name, {})
        put("_non_persistent_buffers_set", set())

    # ---- attributes ----

    def __setattr__(self, name, value):
        tables = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in tables:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if "_modules" not in tables:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name)
            tables["_modules"][name] = value
        elif isinstance(value, Buffer):
            self._forget(name)
            self.register_buffer(name, value, value.persistent)
        else:
            self._set_plain(name, value)

    def _set_plain(self, name, value):
        tables = self.__dict__
        for table, kind in (("_parameters", "torch.nn.Parameter"), ("_modules", "torch.nn.Module")):
            if name in tables.get(table, ()):
                if value is not None:
                    raise TypeError(f"cannot assign '{type(value).__name__}' as "
                                    f"{'parameter' if table == '_parameters' else 'child module'} "
                                    f"'{name}' ({kind} or None expected)")
                tables[table][name] = None
                return
        if name in tables.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"cannot assign '{type(value).__name__}' as buffer '{name}' "
                                "(torch.nn.Buffer, torch.Tensor or None expected)")
            tables["_buffers"][name] = value
            return
        object.__setattr__(self, name, value)

    def _forget(self, name):
        self.__dict__.pop(name, None)
        for table in ("_parameters", "_buffers", "_modules"):
            self.__dict__[table].pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __getattr__(self, name):
        for table in ("_parameters", "_buffers", "_modules"):
            entries = self.__dict__.get(table)
            if entries is not None and name in entries:
                return entries[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name):
        for table in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[table]:
                del self.__dict__[table][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self):
        return sorted({*object.__dir__(self), *self._parameters, *self._buffers, *self._modules})

    @staticmethod
    def _check_name(self, name, kind):
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f"{kind} name can't contain \".\"")
        if name == "":
            raise KeyError(f"{kind} name can't be empty string \"\"")

    def register_parameter(self, name, param):
        """Add a parameter (None: there is none) under a name."""
        self._check_name(self, name, "parameter")
        if hasattr(self, name) and name not in self._parameters:
            raise KeyError(f"attribute '{name}' already exists")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"cannot assign '{type(param).__name__}' object to parameter "
                            f"'{name}' (torch.nn.Parameter or None required)")
        self._parameters[name] = param

    def register_buffer(self, name, tensor, persistent=True):
        """Add a tensor that is state but no parameter; persistent ones are saved."""
        self._check_name(self, name, "buffer")
        if hasattr(self, name) and name not in self._buffers:
            raise KeyError(f"attribute '{name}' already exists")
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent
         else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name, module):
        """Add a sub-module under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(self, name, "module")
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        self._modules[name] = module

    register_module = add_module

    # ---- calling ----

    def forward(self, *args, **kwargs):
        raise NotImplementedError(
            f"Module [{type(self).__name__}] is missing the required \"forward\" function")

    def __call__(self, *args, **kwargs):
        if not (self._forward_hooks or self._forward_pre_hooks):
            return self.forward(*args, **kwargs)
        for hook, with_kwargs in tuple(self._forward_pre_hooks.values()):
            r = hook(self, args, kwargs) if with_kwargs else hook(self, args)
            if with_kwargs and r is not None:
                args, kwargs = r
            elif r is not None:
                args = r if isinstance(r, tuple) else (r,)
        out = self.forward(*args, **kwargs)
        for hook, with_kwargs in tuple(self._forward_hooks.values()):
            r = hook(self, args, kwargs, out) if with_kwargs else hook(self, args, out)
            out = out if r is None else r
        return out

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """hook(module, args, output) after each call; what it gives replaces the output."""
        return self._add_hook(self._forward_hooks, (hook, with_kwargs), prepend)

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """hook(module, args) before each call; what it gives replaces the arguments."""
        return self._add_hook(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    @staticmethod
    def _add_hook(hooks, value, prepend):
        handle = _Handle(hooks)
        old = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[handle.id] = value
        hooks.update(old)
        return handle

    # ---- walking ----

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, m in self._modules.items():
            if m is not None:
                yield from m.named_modules(memo, f"{prefix}.{name}" if prefix else name,
                                           remove_duplicate)

    def modules(self):
        return (m for _, m in self.named_modules())

    def named_children(self):
        seen = set()
        for name, m in self._modules.items():
            if m is not None and m not in seen:
                seen.add(m)
                yield name, m

    def children(self):
        return (m for _, m in self.named_children())

    def _named(self, table, prefix, recurse, remove_duplicate):
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) \
            if recurse else [(prefix, self)]
        for path, m in modules:
            for name, v in getattr(m, table).items():
                if v is None or id(v) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(v))
                yield (f"{path}.{name}" if path else name), v

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse=True):
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target):
        m = self
        for name in target.split(".") if target else ():
            if not hasattr(m, name):
                raise AttributeError(f"{type(m).__name__} has no attribute `{name}`")
            m = getattr(m, name)
            if not isinstance(m, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return m

    def get_parameter(self, target):
        path, _, name = target.rpartition(".")
        p = getattr(self.get_submodule(path), name)
        if not isinstance(p, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return p

    def get_buffer(self, target):
        path, _, name = target.rpartition(".")
        m = self.get_submodule(path)
        if name not in m._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return m._buffers[name]

    # ---- changing all of it ----

    def _apply(self, fn, recurse=True):
        for m in self.children() if recurse else ():
            m._apply(fn)
        with _grad_off():
            for name, p in self._parameters.items():
                if p is None:
                    continue
                grad = p.grad
                p.data = fn(p.data)
                if grad is not None:
                    p.grad = fn(grad)
            for name, b in self._buffers.items():
                if b is not None:
                    self._buffers[name] = fn(b)
        return self

    def apply(self, fn):
        """fn(module) for every module, children first."""
        for m in self.children():
            m.apply(fn)
        fn(self)
        return self

    def to(self, *args, **kwargs):
        """Parameters and buffers to a device or dtype; only real ones change dtype."""
        probe = Tensor.to(_kiln._tensor(0.0, None), *args, **kwargs) if args or kwargs else None
        changes = any(isinstance(a, (_kiln.dtype, Tensor)) for a in args) or \
            kwargs.get("dtype") is not None
        moves = any(isinstance(a, (_kiln.device, str, int, Tensor)) for a in args) or \
            kwargs.get("device") is not None

        def convert(t):
            if changes and (t.is_floating_point() or t.is_complex()):
                t = t.to(probe.dtype)
            return t.to(probe.device) if moves else t

        return self._apply(convert)

    def _cast(self, dtype):
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self):
        return self._cast(_kiln.float32)

    def double(self):
        return self._cast(_kiln.float64)

    def half(self):
        return self._cast(_kiln.float16)

    def bfloat16(self):
        return self._cast(_kiln.bfloat16)

    def type(self, dst_type):
        return self._apply(lambda t: t.to(dst_type))

    def cpu(self):
        return self._apply(lambda t: t.cpu())

    def cuda(self, device=None):
        return self._apply(lambda t: t.cuda(device))

    def train(self, mode=True):
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for m in self.children():
            m.train(mode)
        return self

    def eval(self):
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        for p in self.parameters():
            if p.grad is None:
                continue
            if set_to_none:
                p.grad = None
            else:
                p.grad.detach().zero_()

    def share_memory(self):
        return self

    # ---- state ----

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """All parameters and persistent buffers by path."""
        out = collections.OrderedDict() if destination is None else destination
        for name, p in self._parameters.items():
            if p is not None:
                out[prefix + name] = p if keep_vars else p.detach()
        for name, b in self._buffers.items():
            if b is not None and name not in self._non_persistent_buffers_set:
                out[prefix + name] = b if keep_vars else b.detach()
        extra = type(self).__dict__.get("get_extra_state")
        if extra is not None:
            out[prefix + "_extra_state"] = self.get_extra_state()
        for name, m in self._modules.items():
            if m is not None:
                m.state_dict(destination=out, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            hook(self, out, prefix, {})
        return out

    def _own_state(self):
        names = {n: p for n, p in self._parameters.items() if p is not None}
        names.update((n, b) for n, b in self._buffers.items()
                     if b is not None and n not in self._non_persistent_buffers_set)
        return names

    def _load_from_state_dict(self, state, prefix, missing, errors, assign):
        for name, t in self._own_state().items():
            key = prefix + name
            if key not in state:
                missing.append(key)
                continue
            v = state[key]
            if tuple(v.shape) != tuple(t.shape):
                errors.append(f"size mismatch for {key}: copying a param with shape {v.shape} "
                              f"from checkpoint, the shape in current model is {t.shape}.")
                continue
            with _grad_off():
                if assign:
                    t.data = v
                else:
                    t.copy_(v)

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copy the tensors of a state dict into those of the same names."""
        missing, errors, known = [], [], set()
        for path, m in self.named_modules(remove_duplicate=False):
            prefix = path + "." if path else ""
            known.update(prefix + n for n in m._own_state())
            m._load_from_state_dict(state_dict, prefix, missing, errors, assign)
        unexpected = [k for k in state_dict if k not in known]
        if strict and unexpected:
            errors.insert(0, "Unexpected key(s) in state_dict: "
                          + ", ".join(f'"{k}"' for k in unexpected) + ". ")
        if strict and missing:
            errors.insert(0, "Missing key(s) in state_dict: "
                          + ", ".join(f'"{k}"' for k in missing) + ". ")
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                               + "\n\t".join(errors))
        return _IncompatibleKeys(missing, unexpected)

    # ---- printing ----

    def extra_repr(self):
        return ""

    def _get_name(self):
        return type(self).__name__

    def __repr__(self):
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({n}): {_indented(repr(m), 2)}" for n, m in self._modules.items()]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({lines[0]})"
        body = lines + children
        return f"{self._get_name()}(" + ("\n  " + "\n  ".join(body) + "\n" if body else "") + ")"


def _grad_off():
    from ..._grad import no_grad
    return no_grad()
