"""What is called when a backward ends: hooks on what leaves have collected, and callbacks."""
import threading
import weakref

from .. import _kiln
from .._grad import no_grad
from .._kiln import Tensor
from .._hooks import RemovableHandle

_here = threading.local()
_hooked = weakref.WeakValueDictionary()  # leaves with such hooks, by id


class Backward:
    """Around a backward: which hooked leaves it reaches is asked first, while its graph is there."""

    __slots__ = "_leaves", "_outer"

    def __init__(self, tensors=(), inputs=None):
        self._leaves = self._reached(tensors, inputs) if _hooked.data else ()

    @staticmethod
    def _reached(tensors, inputs):
        leaves = [t for t in tuple(_hooked.values()) if t.requires_grad]
        if inputs is not None:
            wanted = {id(x) for x in ((inputs,) if isinstance(inputs, Tensor) else inputs)}
            leaves = [t for t in leaves if id(t) in wanted]
        on = [_kiln._depends(y, tuple(leaves)) for y in tensors if y.requires_grad and leaves]
        return [t for t, used in zip(leaves, zip(*on)) if any(used)]

    def __enter__(self):
        self._outer = outer = getattr(_here, "queue", None)
        if outer is None:
            _here.queue = []
        return self

    def __exit__(self, kind, *exc):
        try:
            if kind is None and (self._leaves or self._outer is None and _here.queue):
                self._end()
        finally:
            _here.queue = self._outer
        return False

    def _end(self):
        with no_grad():
            self._call()

    def _call(self):
        for t in self._leaves:
            for hook in tuple(t._post_accumulate_grad_hooks.values()) if t.grad is not None else ():
                if hook(t) is not None:
                    raise RuntimeError("hooks should return None.")
        while self._outer is None and _here.queue:
            _here.queue.pop(0)()


def queue_callback(fn):
    """fn() at the end of the backward that is running, the outermost one."""
    if getattr(_here, "queue", None) is None:
        raise RuntimeError("Final callbacks can only be installed during backward pass.")
    _here.queue.append(fn)


def register_post_accumulate_grad_hook(self, hook):
    """hook(tensor) after each backward that has added to the leaf's grad."""
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if not self.is_leaf:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if getattr(self, "_post_accumulate_grad_hooks", None) is None:
        self._post_accumulate_grad_hooks = {}
    _hooked[id(self)] = self
    return RemovableHandle.add(self._post_accumulate_grad_hooks, hook)


Tensor.register_post_accumulate_grad_hook = register_post_accumulate_grad_hook
