/* runs.c: a case through the passes, then by its loops' meaning alone, or as machine code
 * or CUDA C on a device, and compared with the oracle to the bit (all NaNs are one).
 * Inputs that nobody donated must be unchanged afterwards. Where the oracle met an index
 * out of range, a run must end (with that error, if it reads what the index gives) and
 * touch nothing of others.
 */
#include "fuzz.h"

#include <stdlib.h>

static char wrong[512];

bool way_compile(const testcase *c, const way *w, const char *name, compiled *out)
{
    *out = (compiled){.arena = kl_arena_new()};
    kl_graph *g;
    kl_error_clear();
    if (!out->arena || kl_graph_parse(out->arena, "case", c->text, &g) != KL_OK)
        return false;
    g->name = kl_arena_strdup(out->arena, name);
    out->u = (kl_unit){.arena = out->arena,
                       .target = kl_target_find(w->target),
                       .graph = g,
                       .fuse_off = w->fuse_off,
                       .share = w->share,
                       .lanes = w->lanes};
    if (!out->u.target || kl_pipeline_run(&out->u, NULL, NULL) != KL_OK)
        return false;
    int n;
    kl_kernel **all = kl_unit_kernels(&out->u, &n);
    for (int i = 0; all && i < n; i++) /* many graphs share a module */
        kl_code_of(all[i])->name = kl_arena_printf(out->arena, "%s.%d", name, i);
    return all != NULL;
}

void way_close(compiled *u)
{
    kl_program_unref(u->u.program);
    if (u->arena)
        kl_arena_free(u->arena);
    *u = (compiled){0};
}

/* ---- what a process is told ---- */

/* glibc's malloc, aligned; what comes is never zero by chance. */
static void *poisoned(void *user, void *old, size_t old_size, size_t new_size)
{
    void *p = NULL;
    (void)user;
    if (new_size && posix_memalign(&p, 64, new_size) != 0)
        return NULL;
    if (p)
        memset(p, 0xa5, new_size);
    if (p && old)
        memcpy(p, old, KL_MIN(old_size, new_size));
    free(old);
    return p;
}

void poison_memory(void)
{
    kl_set_allocator(poisoned, NULL);
}

/* KILN_DEBUG=bounds is read once a process; here kernels with and without it alternate.
 */
void set_bounds(bool on)
{
    ((kl_env *)(uintptr_t)kl_env_get())->bounds = on;
}

/* ---- comparing ---- */

/* Bits equal; all NaNs count as one. */
static bool same_element(kl_dtype dt, const char *a, const char *b)
{
    size_t size = kl_dtypes[dt].size;
    if (memcmp(a, b, size) == 0)
        return true;
    if (kl_is_complex(dt))
        return same_element(kl_dtypes[dt].real, a, b) &&
               same_element(kl_dtypes[dt].real, a + size / 2, b + size / 2);
    if (!kl_is_float(dt))
        return false;
    kl_scalar x = {.bits = 0}, y = {.bits = 0};
    memcpy(&x, a, size), memcpy(&y, b, size);
    double dx = kl_scalar_to_double(dt, x), dy = kl_scalar_to_double(dt, y);
    return dx != dx && dy != dy;
}

static void hex(char *out, const char *p, size_t n)
{
    for (size_t i = n; i-- > 0;)
        out += sprintf(out, "%02x", (unsigned char)p[i]);
}

static const char *compare(uint32_t output, const kl_buffer *want, const char *got)
{
    size_t size = kl_dtypes[want->dtype].size;
    int64_t n = 1;
    for (int i = 0; i < want->rank; i++)
        n *= want->shape[i];
    const char *w = (char *)want->mem->base + want->offset;
    for (int64_t i = 0; i < n; i++) {
        if (same_element(want->dtype, w + i * (int64_t)size, got + i * (int64_t)size))
            continue;
        char a[40], b[40];
        hex(a, w + i * (int64_t)size, size), hex(b, got + i * (int64_t)size, size);
        snprintf(wrong, sizeof wrong,
                 "output %u differs at element %lld of %lld: %s, not %s (%s)", output,
                 (long long)i, (long long)n, b, a, kl_dtypes[want->dtype].name);
        return wrong;
    }
    return NULL;
}

/* ---- places for one run ---- */

typedef struct places {
    guarded out[MAX_PORTS], in[MAX_PORTS];
    void *in_at[MAX_PORTS], *out_at[MAX_PORTS];
} places;

static bool places_new(const testcase *c, places *p, bool at_end)
{
    const kl_graph *g = c->g;
    memset(p, 0, sizeof *p);
    for (uint32_t i = 0; i < g->ninputs; i++) {
        const kl_buffer *v = &c->in[i].view;
        int64_t size = kl_dtypes[v->dtype].size, lo = -v->offset / size,
                n = (int64_t)c->in[i].bytes / size;
        if (!guarded_new(&p->in[i], v->dtype, lo, lo + n, at_end))
            return false;
        memcpy(p->in[i].at, c->in[i].at, c->in[i].bytes);
        p->in_at[i] = p->in[i].at + v->offset;
    }
    for (uint32_t i = 0; i < g->noutputs; i++) {
        int64_t k = g->donated ? g->donated[i] : 0,
                n = kl_dim_eval(g->dims, kl_graph_numel(g, g->outputs[i]), c->syms);
        kl_dtype dt = (kl_dtype)kl_graph_at(g, g->outputs[i])->dtype;
        if (!guarded_new(&p->out[i], dt, 0, n, at_end))
            return false;
        p->out_at[i] = p->out[i].at;
        if (k) { /* the input is a copy, and the output lies on it */
            memcpy(p->out[i].at, c->in[k - 1].at, c->in[k - 1].bytes);
            p->in_at[k - 1] = p->out[i].at;
        }
    }
    return true;
}

static void places_free(places *p)
{
    for (int i = 0; i < MAX_PORTS; i++)
        guarded_free(&p->out[i]), guarded_free(&p->in[i]);
}

static bool inputs_kept(const testcase *c, const places *p)
{
    for (uint32_t i = 0; i < c->g->ninputs; i++)
        if (memcmp(p->in[i].at, c->in[i].at, c->in[i].bytes) != 0)
            return false;
    return true;
}

static const char *judge(const testcase *c, const places *p, kl_status st)
{
    const char *bad = NULL;
    if (st != KL_OK && !(c->faults && st == KL_ERR_INDEX)) {
        snprintf(wrong, sizeof wrong, "%s", kl_error());
        return wrong;
    }
    for (uint32_t i = 0; !c->faults && !bad && i < c->g->noutputs; i++)
        bad = compare(i, &c->want[i], p->out_at[i]);
    return bad ? bad : inputs_kept(c, p) ? NULL : "an input was changed";
}

/* ---- by the loops ---- */

const char *run_on_loops(const testcase *c, const compiled *u)
{
    places p;
    size_t peak = (size_t)kl_program_peak(u->u.program, c->syms) + 64;
    char *arena = kl_alloc(peak);
    kl_status st = arena && places_new(c, &p, true) ? KL_OK : KL_ERR_OOM;
    memset(arena, 0xa5, peak);
    if (st == KL_OK)
        st = kl_unit_interp(&u->u, p.in_at, p.out_at, arena, c->syms);
    const char *bad = judge(c, &p, st);
    kl_error_clear();
    places_free(&p);
    kl_free(arena, peak);
    return bad;
}

/* ---- by a C file ---- */

const char *run_on_c(const testcase *c, run_c_fn run, bytes_c_fn bytes)
{
    places p;
    const void *port[2 * MAX_PORTS + 1];
    size_t n = (size_t)bytes(c->syms) / 64 * 64 + 64;
    char *scratch = aligned_alloc(64, n);
    if (!scratch || !places_new(c, &p, c->seed & 1))
        return "no memory";
    memset(scratch, 0xa5, n);
    uint32_t nin = c->g->ninputs, nout = c->g->noutputs;
    memcpy(port, p.in_at, nin * sizeof *port);
    memcpy(port + nin, p.out_at, nout * sizeof *port);
    port[nin + nout] = scratch;
    int code = run(c->syms, port);
    kl_status st = code == KL_ARTEFACT_OK      ? KL_OK
                   : code == KL_ARTEFACT_INDEX ? KL_ERR_INDEX
                                               : KL_ERR_INTERNAL;
    if (st != KL_OK)
        kl_fail(st, "the entry returned %d", code);
    const char *bad = judge(c, &p, st);
    kl_error_clear();
    places_free(&p);
    free(scratch);
    return bad;
}

/* ---- on a device ---- */

static const char *find_entries(const kl_unit *u, kl_module *code)
{
    char base[160], name[180];
    const char *bad = NULL;
    kl_program *p = u->program;
    p->device = code->ops == &kl_device_cuda; /* 0 is the CPU, 1 cuda:0 */
    for (uint32_t i = 0; i < u->nbodies && !bad; i++)
        bad = find_entries(u->bodies[i], code);
    for (int i = 0, n = 0; i < u->nkernels && !bad; i++) {
        const kl_kernel *k = kl_code_of(u->kernels[i]);
        if (k->call)
            continue;
        kl_codegen_symbol(k->name, base, sizeof base);
        for (int ph = 0; ph < k->nphases; ph++) {
            snprintf(name, sizeof name, "%s.%d", base, ph);
            p->kernels[n].entry[ph] = code->ops->symbol(code, name);
            if (!p->kernels[n].entry[ph]) {
                snprintf(wrong, sizeof wrong, "no entry %s", name);
                return wrong;
            }
        }
        n++;
    }
    /* one item may be worth a thread: that is where mistakes between threads show */
    for (int i = 0; i < p->nsteps; i++)
        for (int ph = 0; ph < p->steps[i].nphases; ph++)
            ((kl_plan_phase *)(uintptr_t)p->steps[i].phases)[ph].grain = 1;
    return bad;
}

const char *run_on_cpu(const testcase *c, const compiled *u, kl_module *code, int threads)
{
    places p;
    const char *bad = find_entries(&u->u, code);
    if (bad)
        return bad;
    kl_set_threads(threads);
    kl_error_clear();
    kl_status st = places_new(c, &p, threads == 1) ? KL_OK : KL_ERR_OOM;
    if (st == KL_OK)
        st = kl_program_run(u->u.program, p.in_at, p.out_at, c->syms);
    bad = judge(c, &p, st);
    kl_error_clear();
    places_free(&p);
    return bad;
}

/* A place's elements on the GPU: they end where their allocation does, and begin some
 * elements behind its start, so that they are aligned to no more than themselves. */
typedef struct mirror {
    void *base;
    size_t lead, size;
} mirror;

static kl_status mirror_new(mirror *m, const guarded *of, uint64_t place)
{
    *m = (mirror){.lead = place % 4 * kl_dtypes[of->view.dtype].size};
    m->size = m->lead + of->bytes;
    KL_TRY(kl_device_cuda.alloc(0, m->size, &m->base));
    return kl_device_cuda.copy(0, (char *)m->base + m->lead, of->at, of->bytes, true,
                               false);
}

static kl_status mirror_back(const mirror *m, const guarded *of)
{
    return kl_device_cuda.copy(0, of->at, (char *)m->base + m->lead, of->bytes, false,
                               true);
}

/* The places' addresses become the mirrors', and what lies there comes back after a run.
 */
static kl_status run_mirrored(const testcase *c, const kl_program *program, places *p,
                              mirror *in, mirror *out)
{
    const kl_graph *g = c->g;
    for (uint32_t i = 0; i < g->ninputs; i++) {
        KL_TRY(mirror_new(&in[i], &p->in[i], c->seed + i));
        p->in_at[i] = (char *)in[i].base + in[i].lead + c->in[i].view.offset;
    }
    for (uint32_t i = 0; i < g->noutputs; i++) {
        KL_TRY(mirror_new(&out[i], &p->out[i], c->seed / 4 + i));
        p->out_at[i] = (char *)out[i].base + out[i].lead;
        if (g->donated && g->donated[i])
            p->in_at[g->donated[i] - 1] = p->out_at[i];
    }
    KL_TRY(kl_program_run(program, p->in_at, p->out_at, c->syms));
    for (uint32_t i = 0; i < g->ninputs; i++)
        KL_TRY(mirror_back(&in[i], &p->in[i]));
    for (uint32_t i = 0; i < g->noutputs; i++) {
        KL_TRY(mirror_back(&out[i], &p->out[i]));
        p->out_at[i] = p->out[i].at;
    }
    return KL_OK;
}

const char *run_on_cuda(const testcase *c, const compiled *u, kl_module *code,
                        bool *broken)
{
    places p;
    mirror in[MAX_PORTS] = {0}, out[MAX_PORTS] = {0};
    const char *bad = find_entries(&u->u, code);
    if (bad)
        return bad;
    kl_error_clear();
    kl_status st =
        places_new(c, &p, true) ? run_mirrored(c, u->u.program, &p, in, out) : KL_ERR_OOM;
    *broken = st == KL_ERR_DEVICE;
    bad = judge(c, &p, st);
    kl_error_clear();
    for (int i = 0; i < MAX_PORTS; i++) {
        kl_device_cuda.free(0, in[i].base, in[i].size);
        kl_device_cuda.free(0, out[i].base, out[i].size);
    }
    places_free(&p);
    return bad;
}
