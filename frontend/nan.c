/* nan.c: which operation made the NaN?
 *
 *   y = log(x - 1) ..        x[3] = 0.5
 *   net.c:7: log made a NaN: element 3 of f32[8], of -0.5
 *
 * Results of the compiled kernels are looked at, with the check on, and nothing else of
 * them changes. Only when one holds a NaN the graph is run once more by the reference
 * interpreter, whose bits are the kernels' (DESIGN.md, "One number"), so that it must
 * meet the same NaN; the first node that has one while its operands have none is it.
 * Nodes of derivatives carry the place of what they derive, and "(backward)". */
#include "front.h"

static int state = -1; /* KILN_DEBUG=nan has not been asked yet */

bool kl_nan_on(void)
{
    int s = __atomic_load_n(&state, __ATOMIC_RELAXED);
    if (s < 0) {
        s = kl_env_get()->nan;
        __atomic_store_n(&state, s, __ATOMIC_RELAXED);
    }
    return s == 1;
}

bool kl_set_nan_check(bool on)
{
    bool was = kl_nan_on();
    __atomic_store_n(&state, on, __ATOMIC_RELAXED);
    return was;
}

/* Whether exponent and fraction say so, at any width. */
static bool is_nan(kl_dtype real, const char *at)
{
    static const struct {
        uint64_t infinite, mask;
    } bits[KL_DTYPE_COUNT] = {
        [KL_F16] = {0x7c00, 0x7fff},
        [KL_BF16] = {0x7f80, 0x7fff},
        [KL_F32] = {0x7f800000, 0x7fffffff},
        [KL_F64] = {UINT64_C(0x7ff0000000000000), UINT64_C(0x7fffffffffffffff)},
    };
    uint64_t v = 0;
    memcpy(&v, at, kl_dtypes[real].size); /* little-endian, as all our targets */
    return (v & bits[real].mask) > bits[real].infinite;
}

int64_t kl_nan_in(kl_dtype dt, const void *bytes, int64_t n)
{
    kl_dtype real = kl_dtypes[dt].real;
    int parts = kl_is_complex(dt) ? 2 : 1;
    if (!kl_is_float(real))
        return -1;
    for (int64_t i = 0; i < parts * n; i++)
        if (is_nan(real, (const char *)bytes + i * kl_dtypes[real].size))
            return i / parts;
    return -1;
}

static int64_t count_of(const kl_buffer *b)
{
    return kl_count(b->rank, b->shape);
}

/* The interpreter's buffers are dense, but for views it makes of its inputs. */
static int64_t first_nan(const kl_buffer *b)
{
    return kl_buffer_is_dense(b) ? kl_nan_in(b->dtype, kl_buffer_data(b), count_of(b))
                                 : -1;
}

/* "f32[2,3]" and, for operands that go element by element, what they held. */
static void put_operands(kl_text *t, const kl_graph *g, kl_ref r, int64_t i,
                         const kl_buffer *const *src)
{
    const kl_node *n = kl_graph_at(g, r);
    for (uint32_t k = 0; k < n->nsrc; k++) {
        const kl_buffer *b = src[k];
        bool same = kl_ops[n->op].kind == KL_KIND_ELT && kl_buffer_is_dense(b) &&
                    kl_is_float(b->dtype) && i < count_of(b);
        kl_type type;
        kl_graph_type(g, kl_graph_src(g, r, k), &type);
        kl_text_put(t, k ? " and " : ", of ");
        if (same) {
            size_t size = kl_dtypes[b->dtype].size;
            kl_scalar v = {0};
            memcpy(&v, kl_buffer_data(b) + i * (int64_t)size, size);
            kl_text_put_float(t, b->dtype, kl_scalar_to_double(b->dtype, v));
        } else {
            kl_type_print(g->dims, &type, t);
        }
    }
}

static kl_status watch(void *user, const kl_graph *g, kl_ref r,
                       const kl_buffer *const *src, const kl_buffer *y)
{
    const kl_node *n = kl_graph_at(g, r);
    int64_t at = first_nan(y);
    (void)user;
    for (uint32_t k = 0; k < n->nsrc && at >= 0; k++)
        if (first_nan(src[k]) >= 0)
            at = -1;
    if (at < 0 || kl_ops[n->op].kind == KL_KIND_LEAF)
        return KL_OK;
    kl_text t = {0};
    kl_type type;
    kl_graph_type(g, r, &type);
    const char *place = n->place == KL_NONE ? NULL : g->strings[n->place];
    kl_text_printf(&t, "%s made a NaN: element %lld of ", kl_ops[n->op].name,
                   (long long)at);
    kl_type_print(g->dims, &type, &t);
    put_operands(&t, g, r, at, src);
    kl_status st = kl_fail(KL_ERR_STATE, "%s%s%s", place ? place : "", place ? ": " : "",
                           t.s ? t.s : kl_ops[n->op].name);
    kl_text_free(&t);
    return st;
}

kl_status kl_nan_find(const kl_graph *g, const kl_buffer *in, kl_buffer *out)
{
    KL_TRY(kl_graph_interp_watched(g, in, NULL, out, watch, NULL));
    for (uint32_t i = 0; i < g->noutputs; i++)
        kl_memory_unref(out[i].mem);
    return KL_OK;
}
