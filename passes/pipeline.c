/* pipeline.c: the recipe. From a graph to the program that runs, in this order and no
 * other:
 *
 *   graph > autodiff > inline > complex > simplify > turn > stride > fuse > schedule >
 *         lower > share > plan
 *
 *   autodiff   grad and jvp become derivative rules        graph to graph
 *   inline     named functions become what they name
 *   complex    complex values become pairs of reals
 *   simplify   rewrite rules, small constants, dead code
 *   turn       loops' weights lie as steps read them
 *   stride     what strided windows and pairs read lies together
 *   fuse       groups become kernels                       graph to kernels
 *   schedule   decisions about each, from the target
 *   lower      decisions become loops                      kernels to loops
 *   share      those that differ in sizes alone get one code
 *   plan       steps, buffers, offsets                     kernels to a program
 *
 * Glossary. u: the unit, all that one compile works on. graph: values. kernel: what one
 * fused group computes. schedule: decisions about it. loops: how it runs. plan: what runs
 * when, where.
 *
 * The driver, not the pass, dumps (KILN_DUMP=fuse,lower or all), verifies (KILN_VERIFY)
 * and says which pass was last when something is wrong. */
#include "passes/passes.h"

const kl_pass kl_pipeline[] = {
    {"autodiff", kl_pass_autodiff, KL_LEVEL_GRAPH, KL_LEVEL_GRAPH},
    {"inline", kl_pass_inline, KL_LEVEL_GRAPH, KL_LEVEL_GRAPH},
    {"complex", kl_pass_complex, KL_LEVEL_GRAPH, KL_LEVEL_GRAPH},
    {"simplify", kl_pass_simplify, KL_LEVEL_GRAPH, KL_LEVEL_GRAPH},
    {"turn", kl_pass_turn, KL_LEVEL_GRAPH, KL_LEVEL_GRAPH},
    {"stride", kl_pass_stride, KL_LEVEL_GRAPH, KL_LEVEL_GRAPH},
    {"fuse", kl_pass_fuse, KL_LEVEL_GRAPH, KL_LEVEL_KERNEL},
    {"schedule", kl_pass_schedule, KL_LEVEL_KERNEL, KL_LEVEL_KERNEL},
    {"lower", kl_pass_lower, KL_LEVEL_KERNEL, KL_LEVEL_LOOPS},
    {"share", kl_pass_share, KL_LEVEL_LOOPS, KL_LEVEL_LOOPS},
    {"plan", kl_pass_plan, KL_LEVEL_LOOPS, KL_LEVEL_PLAN},
};
const int kl_pipeline_count = (int)KL_COUNT(kl_pipeline);

/* What each kernel does, and why it is one of its own. */
static void print_kernels(const kl_unit *u, kl_text *out)
{
    size_t start = out->len;
    for (int i = 0; i < u->nkernels; i++) {
        const kl_kernel *k = u->kernels[i];
        kl_text_put(out, "# ");
        kl_kernel_head(k, out);
        if (k->apart_why)
            kl_text_printf(out, "\n#   reads %s from memory: %s", k->apart, k->apart_why);
        if (k->kept_why)
            kl_text_printf(out, "\n#   its result is kept: %s", k->kept_why);
        kl_text_put(out, "\n");
    }
    kl_text_wrap(out, start, '#');
}

/* Code that several share stands where the first of them does. */
static void print_loops(const kl_unit *u, int i, kl_text *out)
{
    for (int j = 0; u->kernels[i]->code && j < i; j++)
        if (u->kernels[j]->code == u->kernels[i]->code)
            return;
    kl_loops_print(kl_code_of(u->kernels[i]), out);
}

void kl_unit_print(const kl_unit *u, kl_level level, kl_text *out)
{
    bool kernels = level == KL_LEVEL_KERNEL || level == KL_LEVEL_LOOPS;
    for (uint32_t i = 0; i < u->nbodies && kernels; i++)
        kl_unit_print(u->bodies[i], level, out);
    if (level == KL_LEVEL_GRAPH)
        kl_graph_print(u->graph, out);
    for (int i = 0; i < u->nkernels && level == KL_LEVEL_KERNEL; i++)
        kl_kernel_print(u->kernels[i], out);
    for (int i = 0; i < u->nkernels && level == KL_LEVEL_LOOPS; i++)
        print_loops(u, i, out);
    if (level == KL_LEVEL_PLAN && u->program) {
        print_kernels(u, out);
        kl_program_print(u->program, out);
    }
}

static int count_kernels(const kl_unit *u, kl_kernel **into)
{
    int n = 0;
    for (uint32_t i = 0; i < u->nbodies; i++)
        n += count_kernels(u->bodies[i], into ? into + n : NULL);
    for (int i = 0; i < u->nkernels; i++) {
        if (u->kernels[i]->call)
            continue;
        if (into)
            into[n] = u->kernels[i];
        n++;
    }
    return n;
}

kl_kernel **kl_unit_kernels(const kl_unit *u, int *n)
{
    *n = count_kernels(u, NULL);
    kl_kernel **all = kl_arena_alloc(u->arena, ((size_t)*n + 1) * sizeof *all);
    if (all)
        count_kernels(u, all);
    else
        kl_fail(KL_ERR_OOM, "out of memory for %d kernels", *n);
    return all;
}

static bool named(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && memcmp(p, name, n) == 0)
            return true;
    return list && strcmp(list, "all") == 0;
}

static void dump(const kl_unit *u, const kl_pass *p)
{
    kl_text t = {0};
    kl_unit_print(u, p->out, &t);
    if (t.s)
        fprintf(stderr, "# after %s\n%s\n", p->name, t.s);
    kl_text_free(&t);
}

static kl_status verify(const kl_unit *u, kl_level level)
{
    if (level == KL_LEVEL_GRAPH)
        return kl_graph_verify(u->graph);
    if (level == KL_LEVEL_PLAN)
        return u->program ? kl_program_verify(u->program) : KL_OK;
    for (uint32_t i = 0; i < u->nbodies; i++)
        KL_TRY(verify(u->bodies[i], level));
    for (int i = 0; i < u->nkernels; i++) {
        if (u->kernels[i]->call)
            continue;
        if (level == KL_LEVEL_KERNEL)
            KL_TRY(kl_kernel_verify(u->kernels[i]));
        if (level == KL_LEVEL_LOOPS)
            KL_TRY(kl_loops_verify(u->kernels[i]));
        if (level == KL_LEVEL_LOOPS && u->kernels[i]->code)
            KL_TRY(kl_loops_verify(u->kernels[i]->code));
    }
    return KL_OK;
}

static bool verifies(void)
{
    int v = kl_env_get()->verify;
#ifdef NDEBUG
    return v > 0;
#else
    return v != 0;
#endif
}

/* Bodies first: what runs them knows them then. Fusion makes them, and goes into them. */
static kl_status run_on_bodies(kl_unit *u, const kl_pass *p)
{
    for (uint32_t i = 0; i < u->nbodies && p->in != KL_LEVEL_GRAPH; i++)
        KL_TRY(run_on_bodies(u->bodies[i], p));
    return p->fn(u);
}

static kl_status run_pass(kl_unit *u, const kl_pass *p)
{
    int64_t begin = kl_profile_on() ? kl_now_ns() : 0;
    KL_TRY(run_on_bodies(u, p));
    if (kl_arena_failed(u->arena)) /* whoever took no notice */
        return kl_fail(KL_ERR_OOM, "%s: no memory", p->name);
    if (kl_profile_on())
        kl_profile_event("pass", p->name, begin, kl_now_ns(), 0, 0);
    if (named(kl_env_get()->dump, p->name))
        dump(u, p);
    if (verifies() && verify(u, p->out) != KL_OK) {
        kl_fail_more(" (after pass %s)", p->name);
        dump(u, p);
        return kl_error_status();
    }
    return KL_OK;
}

/* Programs of bodies that no program owns yet. */
static void drop_bodies(kl_unit *u)
{
    for (uint32_t i = 0; i < u->nbodies && !u->program; i++) {
        drop_bodies(u->bodies[i]);
        kl_program_unref(u->bodies[i]->program);
        u->bodies[i]->program = NULL;
    }
}

kl_status kl_pipeline_run(kl_unit *u, const char *first, const char *last)
{
    bool on = first == NULL;
    for (int i = 0; i < kl_pipeline_count; i++) {
        on = on || strcmp(kl_pipeline[i].name, first) == 0;
        kl_status s = on ? run_pass(u, &kl_pipeline[i]) : KL_OK;
        if (s != KL_OK) {
            drop_bodies(u);
            return s;
        }
        if (last && strcmp(kl_pipeline[i].name, last) == 0)
            break;
    }
    return on ? KL_OK : kl_fail(KL_ERR_ARG, "no pass named %s", first);
}
