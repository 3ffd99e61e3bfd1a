"""Layers as functions."""
from .. import _kiln

globals().update(_kiln._functions["nn.functional"])
__all__ = list(_kiln._functions["nn.functional"])


# ---- functions whose arguments are Python's matter ----

def triplet_margin_with_distance_loss(anchor, positive, negative, *, distance_function=None,
                                      margin=1.0, swap=False, reduction="mean"):
    """triplet_margin_loss with a distance of the user's."""
    distance = distance_function or pairwise_distance  # noqa: F821
    far = distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return margin_ranking_loss(far, distance(anchor, positive), far.new_ones(()),  # noqa: F821
                               margin=margin, reduction=reduction)


def linear_cross_entropy(input, linear_weight, target, *, linear_bias=None, weight=None,
                         reduction="mean", ignore_index=None, label_smoothing=0.0, options=None):
    """cross_entropy of linear(input, linear_weight), whose classes are the weight's first dimension.
    options has no effect: what is computed at once is the compiler's matter."""
    batch, classes, shape = input.shape[:-1], linear_weight.shape[0], linear_weight.shape[:-1]
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError("expected linear_weight with dimensionality at least 2, got "
                           f"{linear_weight.dim()}")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError("expected equal input and linear_weight last dimensions (in_features), "
                           f"got {input.shape[-1]} and {linear_weight.shape[-1]}, respectively")
    if linear_bias is not None and linear_bias.shape != shape:
        raise RuntimeError(f"expected linear_bias shape {tuple(shape)}, got "
                           f"{tuple(linear_bias.shape)}")
    if len(shape) > 1 and len(batch) == 0:
        raise RuntimeError("K-dimensional loss defined by linear_weight shape "
                           f"{tuple(linear_weight.shape)} requires batched input, (N, "
                           f"{input.shape[-1]}), got unbatched input with shape "
                           f"{tuple(input.shape)}")
    logits = (*batch, classes, *shape[1:])
    if tuple(target.shape) == logits and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    y = linear(input, linear_weight.reshape(-1, input.shape[-1]),  # noqa: F821
               None if linear_bias is None else linear_bias.reshape(-1))
    return cross_entropy(y.reshape(logits), target, weight=weight,  # noqa: F821
                         reduction=reduction, label_smoothing=label_smoothing,
                         ignore_index=-100 if ignore_index is None else ignore_index)


def _masked_rank(query, key, value, key_padding_mask, attn_mask, num_heads):
    """Whether the operands are a batch; refuses ranks that do not fit."""
    n = query.dim()
    if n not in (2, 3):
        raise AssertionError("query should be unbatched 2D or batched 3D tensor but received "
                             f"{n}-D query tensor")
    what = f"For {'batched (3-D)' if n == 3 else 'unbatched (2-D)'} `query`, expected "
    if key.dim() != n or value.dim() != n:
        raise AssertionError(f"{what}`key` and `value` to be {n}-D but found {key.dim()}-D and "
                             f"{value.dim()}-D tensors respectively")
    if key_padding_mask is not None and key_padding_mask.dim() != n - 1:
        raise AssertionError(f"{what}`key_padding_mask` to be `None` or {n - 1}-D but found "
                             f"{key_padding_mask.dim()}-D tensor instead")
    if attn_mask is not None and attn_mask.dim() not in (2, 3):
        raise AssertionError(f"{what}`attn_mask` to be `None`, 2-D or 3-D but found "
                             f"{attn_mask.dim()}-D tensor instead")
    if n == 2 and attn_mask is not None and attn_mask.dim() == 3:
        shape = (num_heads, query.shape[0], key.shape[0])
        if tuple(attn_mask.shape) != shape:
            raise AssertionError(f"Expected `attn_mask` shape to be {shape} but got "
                                 f"{attn_mask.shape}")
    return n == 3


def _check_mask_shape(mask, batch, heads, targets, sources):
    shape = (targets, sources) if mask.dim() == 2 else (batch * heads, targets, sources)
    if tuple(mask.shape) != shape:
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should "
                           f"be {shape}.")


def multi_head_attention_forward(
        query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k,
        bias_v, add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, training=True,
        key_padding_mask=None, need_weights=True, attn_mask=None, use_separate_proj_weight=False,
        q_proj_weight=None, k_proj_weight=None, v_proj_weight=None, static_k=None, static_v=None,
        average_attn_weights=True, is_causal=False):
    """Attention of several heads, and its weights (or None). Sequences first: [L, N, E]."""
    if static_k is not None or static_v is not None:
        raise NotImplementedError("multi_head_attention_forward: static_k and static_v")
    batched = _masked_rank(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))
        key_padding_mask = key_padding_mask if key_padding_mask is None \
            else key_padding_mask.unsqueeze(0)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint. You may use the "
                           "Transformer module method `generate_square_subsequent_mask` to create "
                           "this mask.")
    if query.size(-1) != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got "
                             f"{query.size(-1)}")
    if embed_dim_to_check % num_heads:
        raise AssertionError(f"embed_dim {embed_dim_to_check} not divisible by num_heads "
                             f"{num_heads}")
    if use_separate_proj_weight and key.shape[:2] != value.shape[:2]:
        raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's "
                             f"{value.shape[:2]}")
    if not use_separate_proj_weight and key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
    if attn_mask is not None:
        _check_mask_shape(attn_mask, query.size(1), num_heads, query.size(0), key.size(0))
    weights = [q_proj_weight, k_proj_weight, v_proj_weight] if use_separate_proj_weight \
        else [in_proj_weight]
    flags = bool(training) + 2 * bool(add_zero_attn) + 4 * bool(average_attn_weights)
    out, shown = _multihead(query, key, value, num_heads, weights,  # noqa: F821
                            in_proj_bias, bias_k, bias_v, out_proj_weight, out_proj_bias,
                            attn_mask, key_padding_mask, flags, dropout_p)
    if not batched:
        out, shown = out.squeeze(1), shown.squeeze(0)
    return out, shown if need_weights else None


def _in_place(name):
    """name_(input, ..): name with inplace=True."""
    fn = globals()[name]

    def run(input, *args, **kwargs):
        return fn(input, *args, inplace=True, **kwargs)

    run.__name__, run.__doc__ = name + "_", f"{name}, written to the input."
    return run


for _name in ("relu", "elu", "selu", "celu", "leaky_relu", "hardtanh", "threshold", "rrelu"):
    globals().setdefault(_name + "_", _in_place(_name))
upsample = interpolate  # noqa: F821  by its older name
