/* explain.c: what a program costs, from its plan, and what bounds each of its kernels.
 *
 *   kernel                        at         bytes     flops  /byte  best us  bound
 *   contract_add                  net.c:41   82.5K      1.3M   15.9      9.1  arithmetic
 *   reduce_max_exp_reduce_add     net.c:42   10.2K     29.4K    2.9      1.0  launch
 *
 * The roofline is this machine's own, measured once: memory by adding two arrays far
 * larger than its caches, arithmetic by a matrix product, both compiled here like any
 * other program. A kernel that both would finish in under a microsecond is bound by its
 * launch. */
#include "function.h"

/* ---- sums over a plan ---- */

static void add_steps(const kl_program *p, int64_t times, kl_cost *c);

/* A loop whose trips are not known before counts once, a branch as its dearer side. */
static void add_step(const kl_step *s, int64_t times, kl_cost *c)
{
    kl_cost yes = {0}, no = {0};
    if (s->kind == KL_STEP_LAUNCH) {
        c->launches += times;
        c->flops += (double)times * s->flops;
        c->bytes += (double)times * s->bytes;
    }
    if (!s->body)
        return;
    if (s->kind == KL_STEP_LOOP && !s->other)
        times *= kl_size_eval(s->trips, NULL);
    add_steps(s->body, times, &yes);
    if (s->other)
        add_steps(s->other, times, &no);
    bool both = s->kind == KL_STEP_LOOP, first = yes.bytes >= no.bytes;
    c->launches +=
        (both || first ? yes.launches : 0) + (both || !first ? no.launches : 0);
    c->flops += (both || first ? yes.flops : 0) + (both || !first ? no.flops : 0);
    c->bytes += (both || first ? yes.bytes : 0) + (both || !first ? no.bytes : 0);
}

static void add_steps(const kl_program *p, int64_t times, kl_cost *c)
{
    for (int i = 0; i < p->nsteps; i++)
        add_step(&p->steps[i], times, c);
}

static kl_status cost_of(const kl_program *p, kl_cost *c)
{
    if (!p)
        return kl_fail(KL_ERR_UNSUPPORTED, "the reference interpreter has no plan");
    if (p->nsyms > 0)
        return kl_fail(KL_ERR_UNSUPPORTED, "the plan of a function with symbolic "
                                           "dimensions depends on the call");
    c->intermediates = kl_program_need(p, NULL);
    add_steps(p, 1, c);
    for (int i = 0; i < p->nslots; i++) {
        const kl_slot *s = &p->slots[i];
        int64_t n = kl_size_eval(s->bytes, NULL);
        c->inputs += s->kind == KL_SLOT_IN ? n : 0;
        c->results += s->kind == KL_SLOT_OUT ? n : 0;
    }
    return KL_OK;
}

/* The program that computing these tensors would run; e NULL: nothing is left to do. */
static kl_status look(kl_tensor *const *t, int n, kl_linear *l, kl_entry **e)
{
    *e = NULL;
    if (!kl_arg_given(t, n, "the list of tensors"))
        return KL_ERR_ARG;
    kl_lazy **v = kl_alloc_zeroed((size_t)n * sizeof *v + 1);
    kl_status st = v ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for %d tensors", n);
    for (int i = 0; i < n && st == KL_OK; i++) { /* whole storages, as kl_realize_all */
        v[i] = t[i] ? kl_lazy_temp(kl_storage_node(t[i]->storage)) : kl_arg_tensor(NULL);
        st = v[i] ? KL_OK : kl_error_status();
    }
    if (st == KL_OK)
        st = kl_force_look(v, n, l, e);
    kl_free(v, (size_t)n * sizeof *v + 1);
    return st;
}

kl_status kl_plan_at(const char *at, kl_tensor *const *t, int n, kl_cost *out)
{
    kl_call c = kl_call_begin(at);
    kl_linear l = {0};
    kl_entry *e;
    if (!kl_arg_given(out, 1, "the place for the cost"))
        return kl_call_done(&c, KL_ERR_ARG);
    *out = (kl_cost){0};
    kl_status st = look(t, n, &l, &e);
    if (st == KL_OK && e)
        st = cost_of(e->program, out);
    kl_entry_unref(e);
    kl_linear_free(&l);
    return kl_call_done(&c, st);
}

kl_status kl_function_plan(const kl_function *f, kl_cost *out)
{
    *out = (kl_cost){0};
    return f ? cost_of(kl_function_program(f), out)
             : kl_fail(KL_ERR_ARG, "the function is NULL");
}

/* ---- the machine ---- */

typedef struct roof {
    double bytes, flops; /* a second */
} roof;

static const char sum[] = "graph sum(%a: f32[8388608], %b: f32[8388608]) {\n"
                          "  %2: f32[8388608] = add %a, %b\n"
                          "  out %2\n"
                          "}\n";
static const char product[] = "graph product(%a: f32[512,512], %b: f32[512,512]) {\n"
                              "  %2: f32[512,512] = contract %a, %b \"mk,kn->mn\"\n"
                              "  out %2\n"
                              "}\n";

/* Work done in a second by the best of five runs on arrays of so many f32. */
static kl_status speed(const char *text, size_t count, double work, double *out)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g = NULL;
    kl_program *p = NULL;
    size_t size = 3 * count * sizeof(float);
    float *m = kl_alloc(size);
    int64_t best = INT64_MAX;
    kl_status st =
        a && m ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory to measure the machine");
    if (st == KL_OK) /* pages of our own: fresh ones share one of zeros */
        memset(m, 0, size);
    if (st == KL_OK)
        st = kl_graph_parse(a, "explain", text, &g);
    if (st == KL_OK)
        st = kl_compile_graph(g, 0, &p);
    for (int i = 0; i < 5 && st == KL_OK; i++) {
        int64_t begin = kl_now_ns();
        st = kl_program_run(p, (void *[]){m, m + count}, (void *[]){m + 2 * count}, NULL);
        best = KL_MIN(best, KL_MAX(kl_now_ns() - begin, 1));
    }
    *out = work / (double)best * 1e9;
    kl_program_unref(p);
    kl_free(m, size);
    kl_arena_free(a);
    return st;
}

static roof machine;

static kl_status measure(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    roof r = {0};
    pthread_mutex_lock(&lock);
    kl_status st = KL_OK;
    if (machine.flops == 0)
        st = speed(sum, 8388608, 12.0 * 8388608, &r.bytes);
    if (machine.flops == 0 && st == KL_OK)
        st = speed(product, 512 * 512, 2.0 * 512 * 512 * 512, &r.flops);
    if (machine.flops == 0 && st == KL_OK)
        machine = r;
    pthread_mutex_unlock(&lock);
    return st;
}

kl_status kl_machine_speed(double *bytes, double *flops)
{
    KL_TRY(measure());
    *bytes = machine.bytes;
    *flops = machine.flops;
    return KL_OK;
}

/* ---- the text ---- */

/* Three digits and a letter: 82.5K. */
static void put_count(kl_text *t, double v, int width)
{
    static const char letters[] = " KMGTPE";
    char buf[32];
    int i = 0;
    for (; v >= 999.5 && letters[i + 1]; i++)
        v /= 1000;
    int64_t tenths = (int64_t)(v * 10 + 0.5);
    snprintf(buf, sizeof buf, "%lld.%lld%c", (long long)tenths / 10,
             (long long)tenths % 10, letters[i]);
    kl_text_printf(t, "%*s", width, buf);
}

static const char *file_of(const char *place)
{
    const char *slash = place ? strrchr(place, '/') : NULL;
    return slash ? slash + 1 : place ? place : "";
}

static void put_line(kl_text *t, const char *name, const char *place, double flops,
                     double bytes, const char *bound)
{
    double memory = bytes / machine.bytes, arithmetic = flops / machine.flops;
    double best = KL_MAX(memory, arithmetic);
    kl_text_printf(t, "%-34.34s %-18.18s", name, file_of(place));
    put_count(t, bytes, 9);
    put_count(t, flops, 10);
    put_count(t, bytes > 0 ? flops / bytes : 0, 8);
    put_count(t, best * 1e6, 9);
    if (!bound)
        bound = best < 1e-6 ? "launch" : memory > arithmetic ? "memory" : "arithmetic";
    kl_text_printf(t, "  %s\n", bound);
}

/* Malloc's bytes, as the caller frees them. */
static char *give(kl_text *t)
{
    char *s = t->failed || !t->s ? NULL : malloc(t->len + 1);
    if (s)
        memcpy(s, t->s, t->len + 1);
    else
        kl_fail(KL_ERR_OOM, "out of memory for an explanation");
    kl_text_free(t);
    return s;
}

/* What stands in a body follows its loop or branch. */
static void put_steps(kl_text *t, const kl_program *p)
{
    static const char *const others[] = {
        [KL_STEP_COPY] = "a copy",     [KL_STEP_FILL] = "a fill",
        [KL_STEP_CALL] = "a call",     [KL_STEP_LOOP] = "a loop",
        [KL_STEP_BRANCH] = "a branch",
    };
    for (int i = 0; i < p->nsteps; i++) {
        const kl_step *s = &p->steps[i];
        put_line(t, s->name, s->place, s->flops, s->bytes, others[s->kind]);
        if (s->body)
            put_steps(t, s->body);
        if (s->other)
            put_steps(t, s->other);
    }
}

static char *explain(const kl_program *p)
{
    kl_cost c = {0};
    kl_text t = {0};
    if (cost_of(p, &c) != KL_OK || measure() != KL_OK)
        return NULL;
    kl_text_printf(&t, "%-34s %-18s%9s%10s%8s%9s  bound\n", "kernel", "at", "bytes",
                   "flops", "/byte", "best us");
    put_steps(&t, p);
    put_line(&t, "together", "", c.flops, c.bytes, "");
    kl_text_put(&t, "peak of intermediates ");
    put_count(&t, (double)c.intermediates, 0);
    kl_text_put(&t, " bytes, results ");
    put_count(&t, (double)c.results, 0);
    kl_text_put(&t, " bytes; this machine: ");
    put_count(&t, machine.bytes, 0);
    kl_text_put(&t, " byte/s, ");
    put_count(&t, machine.flops, 0);
    kl_text_put(&t, " flop/s\n");
    return give(&t);
}

char *kl_explain_at(const char *at, kl_tensor *const *t, int n)
{
    kl_call c = kl_call_begin(at);
    kl_linear l = {0};
    kl_entry *e;
    char *text = NULL;
    if (look(t, n, &l, &e) == KL_OK && !e)
        text = strdup("nothing is left to compute\n");
    else if (e)
        text = explain(e->program);
    kl_entry_unref(e);
    kl_linear_free(&l);
    kl_call_done(&c, KL_OK);
    return text;
}

char *kl_function_explain(const kl_function *f)
{
    if (f)
        return explain(kl_function_program(f));
    kl_fail(KL_ERR_ARG, "the function is NULL");
    return NULL;
}
