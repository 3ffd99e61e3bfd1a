/* cases.c: a text and a number become everything that a run needs: the graph, the values
 * of its symbols, inputs in guarded memory, and the outputs that the interpreter gives.
 *
 * Most inputs hold plain values, some one special value in sixteen (NaN, infinities, -0,
 * denormals, extreme integers), a few nothing but random bits. An input that indexes
 * something is drawn within its bounds, one in thirty also a little outside. Elements end
 * right before a page that may not be touched, or begin right behind one, so they are
 * rarely aligned to more than themselves.
 */
#include "fuzz.h"

#include <math.h>
#include <sys/mman.h>

/* ---- guarded memory ---- */

enum { PAGE = 4096 };

bool guarded_new(guarded *m, kl_dtype dt, int64_t lo, int64_t hi, bool at_end)
{
    size_t size = kl_dtypes[dt].size, bytes = (size_t)(hi - lo) * size;
    size_t inner = (bytes + PAGE) / PAGE * PAGE;
    *m = (guarded){.size = inner + 2 * PAGE, .bytes = bytes};
    m->pages = mmap(NULL, m->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m->pages == MAP_FAILED)
        return false;
    mprotect(m->pages + PAGE, inner, PROT_READ | PROT_WRITE);
    memset(m->pages + PAGE, 0xa5, inner);
    m->at = at_end ? m->pages + PAGE + inner - bytes : m->pages + PAGE;
    m->memory = (kl_memory){.refs = 1 << 20, .base = m->at, .size = bytes};
    m->view = (kl_buffer){.mem = &m->memory, .dtype = dt, .offset = -lo * (int64_t)size};
    return true;
}

void guarded_free(guarded *m)
{
    if (m->pages)
        munmap(m->pages, m->size);
    m->pages = NULL;
}

/* ---- data ---- */

static void real_element(kl_dtype dt, uint64_t r, int mode, char *out)
{
    static const double odd[] = {0.0,    -0.0,  1,      -1,      INFINITY, -INFINITY,
                                 NAN,    1e-40, -1e-40, 3e38,    0.5,      65504,
                                 -65520, 1e-7,  5e-324, 16777217};
    static const int64_t whole[] = {0,         1,   -1,   INT64_MIN, INT64_MAX, INT32_MIN,
                                    INT32_MAX, 127, -128, 255,       65535,     32768,
                                    31,        32,  63,   64};
    bool special = mode == 2 || (mode == 1 && r % 16 == 0);
    kl_scalar s = {.bits = r >> 3};
    if (mode == 2 && r % 4 == 0)
        ; /* random bits */
    else if (kl_is_float(dt))
        s = kl_scalar_from(
            dt, special ? odd[(r >> 8) % KL_COUNT(odd)]
                        : (double)(int64_t)((r >> 16) % 400001) / 100000.0 - 2.0);
    else
        s = kl_scalar_from_int(dt, special ? whole[(r >> 8) % KL_COUNT(whole)]
                                           : (int64_t)(r >> 40) % 21 - 10);
    if (dt == KL_BOOL)
        s.bits = r >> 33 & 1;
    memcpy(out, &s, kl_dtypes[dt].size);
}

/* Indices lie in [0, bound) when bound is not 0; of some inputs in [-2, bound + 2). */
static void fill(guarded *m, uint64_t seed, int64_t bound)
{
    kl_dtype dt = m->view.dtype, real = kl_dtypes[dt].real;
    size_t size = kl_dtypes[real].size;
    uint64_t s = seed;
    int64_t kind = below(&s, 30), past = bound && kind == 29 ? 2 : 0;
    int mode = kind < 18 ? 0 : kind < 27 ? 1 : 2;
    for (char *p = m->at; p < m->at + m->bytes; p += size) {
        uint64_t r = draw(&s);
        if (!bound) {
            real_element(real, r, mode, p);
            continue;
        }
        int64_t at = (int64_t)(r >> 8) % (bound + 2 * past) - past;
        kl_scalar v = kl_scalar_from_int(dt, at);
        memcpy(p, &v, size);
    }
}

/* What the values of each node may not reach when they serve as indices; 0: no index. */
static void index_bounds(const testcase *c, int64_t *bound)
{
    const kl_graph *g = c->g;
    for (kl_ref r = g->count; r-- > 0;) {
        const kl_node *n = kl_graph_at(g, r);
        const int64_t *attr = kl_graph_attr(g, r);
        kl_ref a = n->nsrc ? kl_graph_src(g, r, 0) : KL_NONE;
        if (n->op == KL_OP_gather || n->op == KL_OP_scatter) {
            int64_t axis = attr[n->op == KL_OP_scatter];
            int64_t e = kl_dim_eval(g->dims, kl_graph_shape(g, a)[axis], c->syms);
            int64_t *b = &bound[kl_graph_src(g, r, 1)];
            *b = *b ? KL_MIN(*b, e) : e;
        }
        if (bound[r] && kl_ops[n->op].kind == KL_KIND_MOVE && n->nsrc == 1)
            bound[a] = bound[a] ? KL_MIN(bound[a], bound[r]) : bound[r];
    }
}

static bool open_input(testcase *c, uint32_t i, const int64_t *bound)
{
    const kl_graph *g = c->g;
    kl_ref r = g->inputs[i];
    const kl_node *n = kl_graph_at(g, r);
    int64_t shape[KL_MAX_RANK], stride[KL_MAX_RANK], lo = 0, hi = 1, dense = 1;
    for (int k = n->rank; k-- > 0;) {
        shape[k] = kl_dim_eval(g->dims, kl_graph_shape(g, r)[k], c->syms);
        stride[k] = n->nattr > 1
                        ? kl_dim_eval(g->dims, kl_graph_attr(g, r)[1 + k], c->syms)
                        : dense;
        dense *= shape[k];
        *(stride[k] < 0 ? &lo : &hi) += (shape[k] - 1) * stride[k];
    }
    if (dense == 0)
        lo = 0, hi = 0;
    uint64_t s = c->seed * 31 + i;
    if (!guarded_new(&c->in[i], n->dtype, lo, hi, draw(&s) % 4 != 0))
        return false;
    kl_buffer *b = &c->in[i].view;
    b->rank = n->rank;
    for (int k = 0; k < n->rank; k++) {
        b->shape[k] = shape[k];
        b->stride[k] = stride[k] * kl_dtypes[n->dtype].size;
    }
    fill(&c->in[i], draw(&s), bound[r]);
    return true;
}

void case_print(const kl_graph *g, kl_text *out)
{
    kl_graph_print(g, out);
}

static bool open_inputs(testcase *c)
{
    const kl_graph *g = c->g;
    int64_t *bound = kl_arena_zeroed(c->arena, g->count + 1, sizeof *bound);
    if (!bound || g->ninputs > MAX_PORTS || g->noutputs > MAX_PORTS ||
        kl_dim_sym_count(g->dims) > MAX_SYMS)
        return false;
    for (int i = 0; i < kl_dim_sym_count(g->dims); i++)
        c->syms[i] = fuzz_symbol(g->dims, i, c->seed);
    for (kl_ref r = 0; r < g->count; r++)
        c->work += kl_dim_eval(g->dims, kl_graph_numel(g, r), c->syms);
    index_bounds(c, bound);
    for (uint32_t i = 0; i < g->ninputs; i++)
        if (!open_input(c, i, bound))
            return false;
    return true;
}

bool case_open(testcase *c, const char *text, uint64_t seed)
{
    *c = (testcase){.text = text, .seed = seed, .arena = kl_arena_new()};
    kl_error_clear();
    if (!c->arena || kl_graph_parse(c->arena, "case", text, &c->g) != KL_OK ||
        !open_inputs(c))
        return false;
    kl_buffer in[MAX_PORTS];
    for (uint32_t i = 0; i < c->g->ninputs; i++)
        in[i] = c->in[i].view;
    kl_status st = kl_graph_interp(c->g, in, c->syms, c->want);
    c->faults = st == KL_ERR_INDEX;
    kl_error_clear();
    return st == KL_OK || c->faults;
}

void case_close(testcase *c)
{
    for (uint32_t i = 0; c->g && i < c->g->noutputs && i < MAX_PORTS; i++)
        kl_memory_unref(c->want[i].mem);
    for (uint32_t i = 0; i < MAX_PORTS; i++)
        guarded_free(&c->in[i]);
    if (c->arena)
        kl_arena_free(c->arena);
    *c = (testcase){0};
}
