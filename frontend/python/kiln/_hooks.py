"""The handle that takes a hook out again: of tensors, modules and optimizers alike."""
import itertools


class RemovableHandle:
    """What registering a hook gives; as a context manager it removes the hook at its end."""

    _ids = itertools.count()

    def __init__(self, hooks_dict, *, extra_dict=None):
        self._hooks, self.id = hooks_dict, next(self._ids)
        self._notes = [] if extra_dict is None else list(extra_dict) \
            if isinstance(extra_dict, (list, tuple)) else [extra_dict]

    @classmethod
    def add(cls, hooks, hook, prepend=False):
        """Put the hook behind those that are there, or before them."""
        handle = cls(hooks)
        old = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[handle.id] = hook
        hooks.update(old)
        return handle

    def note(self, table):
        """Stand in this table too, which says how the hook is called."""
        table[self.id] = True
        self._notes.append(table)

    def remove(self):
        for table in (self._hooks, *self._notes):
            table.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()
