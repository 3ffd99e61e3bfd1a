"""Containers in containers as a list of what is in them, and back."""
import collections

_kinds = {}


def register_pytree_node(cls, flatten_fn, unflatten_fn, **kwargs):
    """Objects of cls are containers: flatten_fn(object) gives (children, context), and
    unflatten_fn(children, context) an object."""
    _kinds[cls] = flatten_fn, unflatten_fn


_register_pytree_node = register_pytree_node
register_pytree_node(list, lambda x: (list(x), None), lambda c, _: list(c))
register_pytree_node(tuple, lambda x: (list(x), None), lambda c, _: tuple(c))
register_pytree_node(dict, lambda x: (list(x.values()), list(x)), lambda c, k: dict(zip(k, c)))
register_pytree_node(collections.OrderedDict, lambda x: (list(x.values()), list(x)),
                     lambda c, k: collections.OrderedDict(zip(k, c)))
register_pytree_node(collections.defaultdict,
                     lambda x: (list(x.values()), (x.default_factory, list(x))),
                     lambda c, k: collections.defaultdict(k[0], zip(k[1], c)))
register_pytree_node(collections.deque, lambda x: (list(x), x.maxlen),
                     lambda c, n: collections.deque(c, n))
_named = (lambda x: (list(x), type(x)), lambda c, cls: cls(*c))


def _kind(x):
    cls = type(x)
    return cls if cls in _kinds else "named" if isinstance(x, tuple) and hasattr(x, "_fields") else None


def _functions(kind):
    return _named if kind == "named" else _kinds[kind]


class TreeSpec:
    """What the containers are: a type (None: a leaf), its context, its children's specs."""

    def __init__(self, type, context, children_specs):
        self.type, self.context, self.children_specs = type, context, children_specs
        self.num_children = len(children_specs)
        self.num_leaves = sum(c.num_leaves for c in children_specs) if type is not None else 1
        self.num_nodes = 1 + sum(c.num_nodes for c in children_specs)

    def is_leaf(self):
        return self.type is None

    def unflatten(self, leaves):
        return tree_unflatten(leaves, self)

    def __eq__(self, other):
        return isinstance(other, TreeSpec) and (self.type, self.context, self.children_specs) == (
            other.type, other.context, other.children_specs)

    def __repr__(self):
        if self.type is None:
            return "*"
        name = self.type if self.type == "named" else self.type.__name__
        return f"TreeSpec({name}, {self.context}, {self.children_specs})"


def tree_flatten(tree, is_leaf=None):
    """(leaves, spec): None and what is no known container are leaves."""
    leaves = []

    def walk(x):
        kind = None if is_leaf is not None and is_leaf(x) else _kind(x)
        if kind is None:
            leaves.append(x)
            return TreeSpec(None, None, [])
        children, context = _functions(kind)[0](x)
        return TreeSpec(kind, context, [walk(c) for c in children])

    spec = walk(tree)
    return leaves, spec


def tree_unflatten(leaves, treespec):
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(f"tree_unflatten(leaves, treespec): `leaves` has length {len(leaves)} but "
                         f"the spec refers to a pytree that holds {treespec.num_leaves} items "
                         f"({treespec}).")
    rest = iter(leaves)

    def build(spec):
        if spec.type is None:
            return next(rest)
        return _functions(spec.type)[1]([build(c) for c in spec.children_specs], spec.context)

    return build(treespec)


def tree_leaves(tree, is_leaf=None):
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree, is_leaf=None):
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func, tree, *rests, is_leaf=None):
    """func of the leaves, in containers like tree's."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = []
    for other in rests:
        more, like = tree_flatten(other, is_leaf)
        if like != spec:
            raise ValueError(f"Node arity mismatch; expected {spec}, but got {like}.")
        others.append(more)
    return tree_unflatten([func(*x) for x in zip(leaves, *others)], spec)


def tree_map_only(types, func, tree, is_leaf=None):
    """func of the leaves of some types, the others as they are."""
    return tree_map(lambda x: func(x) if isinstance(x, types) else x, tree, is_leaf=is_leaf)


def tree_all(pred, tree, is_leaf=None):
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred, tree, is_leaf=None):
    return any(map(pred, tree_leaves(tree, is_leaf)))
