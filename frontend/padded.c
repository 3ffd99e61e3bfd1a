/* padded.c: results whose size the data decides, within a program: as large as they may
 * get, beside a count of what is meant. Running sums of what is taken are its places:
 *
 *   taken   0 1 0 1 1          values   a b c d e
 *   place   5 0 5 1 2    ->    front    b d e 0 0 | place 5, dropped          count 3 */
#include "front.h"

#undef KL_HERE
#define KL_HERE at /* the user's */

static kl_tensor *flat(const char *at, kl_tensor *t)
{
    return kl_reshape(t, kl_shape(kl_numel(t)));
}

typedef struct front { /* which of n elements are taken, and where to */
    kl_tensor *place;  /* n where it is not taken */
    int64_t n;
} front;

/* taken: bool [n]. */
static front places(const char *at, kl_tensor *taken, kl_tensor **count)
{
    front f = {.n = kl_numel(taken)};
    kl_tensor *ones = kl_to(taken, KL_I64);
    *count = kl_sum(ones);
    f.place = kl_where(taken, kl_sub(kl_cumsum(ones, 0), 1), f.n);
    return f;
}

static kl_tensor *to_front(const char *at, front f, kl_tensor *values)
{
    kl_tensor *room = values ? kl_zeros(kl_shape(f.n + 1), kl_dtype_of(values)) : NULL;
    return kl_slice(kl_scatter(room, 0, f.place, values), 0, 0, f.n);
}

static kl_tensor *numbers(const char *at, int64_t n)
{
    return kl_arange(0, n, 1, KL_I64);
}

/* Flat numbers as indices [n, rank]. */
static kl_tensor *unravel(const char *at, kl_tensor *flat, kl_ints shape)
{
    kl_tensor *column[KL_INTS_MAX];
    int64_t inner = 1;
    if (!shape.n)
        return kl_zeros(kl_shape(kl_numel(flat), 0), KL_I64);
    for (int k = shape.n; k-- > 0; inner *= shape.v[k] > 0 ? shape.v[k] : 1)
        column[k] = kl_mod(kl_floordiv(flat, inner), shape.v[k] > 0 ? shape.v[k] : 1);
    return kl_stack(column, shape.n, 1);
}

kl_tensor *kl_nonzero_padded_at(const char *at, kl_tensor *t, kl_tensor **count)
{
    kl_call c = kl_compose(at);
    if (!kl_arg_given(count, 1, "the place for the count"))
        return kl_composed(&c, NULL, NULL);
    front f = places(at, kl_ne(flat(at, t), 0), count);
    kl_tensor *y = to_front(at, f, numbers(at, f.n));
    return kl_composed_two(&c, __func__, unravel(at, y, kl_shape_of(t)), count);
}

kl_tensor *kl_masked_select_padded_at(const char *at, kl_tensor *t, kl_tensor *mask,
                                      kl_tensor **count)
{
    kl_call c = kl_compose(at);
    if (!kl_arg_given(count, 1, "the place for the count"))
        return kl_composed(&c, NULL, NULL);
    kl_tensor *x = kl_where(mask, t, 0); /* of the shape that both broadcast to */
    kl_tensor *all = x ? kl_full(kl_shape_of(x), 1, KL_BOOL) : NULL;
    front f = places(at, flat(at, kl_logical_and(all, mask)), count);
    return kl_composed_two(&c, __func__, to_front(at, f, flat(at, x)), count);
}

/* Whether each of a sorted list differs from the one before. */
static kl_tensor *begins(const char *at, kl_tensor *sorted)
{
    int64_t n = kl_numel(sorted);
    kl_tensor *before =
        kl_index_select(sorted, 0, kl_clamp(kl_sub(numbers(at, n), 1), 0, NULL));
    return kl_logical_or(kl_ne(sorted, before), kl_eq(numbers(at, n), 0));
}

kl_tensor *kl_unique_padded_at(const char *at, kl_tensor *t, kl_tensor **first,
                               kl_tensor **inverse, kl_tensor **counts, kl_tensor **count)
{
    kl_call c = kl_compose(at);
    if (!kl_arg_given(count, 1, "the place for the count"))
        return kl_composed(&c, NULL, NULL);
    kl_tensor *order = NULL, *x = kl_sort(flat(at, t), 0, false, &order);
    kl_tensor *taken = begins(at, x);
    front f = places(at, taken, count);
    kl_tensor *group = kl_sub(kl_cumsum(kl_to(taken, KL_I64), 0), 1);
    if (first)
        kl_keep(*first = to_front(at, f, order));
    if (inverse)
        kl_keep(*inverse =
                    kl_reshape(kl_scatter(group, 0, order, group), kl_shape_of(t)));
    if (counts)
        kl_keep(*counts = kl_index_add(kl_zeros(kl_shape(f.n), KL_I64), 0, group,
                                       kl_ones(kl_shape(f.n), KL_I64)));
    return kl_composed_two(&c, __func__, to_front(at, f, x), count);
}
