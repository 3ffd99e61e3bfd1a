/* graphs.c: random graphs through the interpreter and through the compiler, equal to the
 * bit.
 *
 *   graphs [--count N] [--seed FIRST] [--jobs J] [--loops PERCENT] [--dir FOLDER]
 *          [--cuda] [FILE.kl ..]
 *
 * A graph is compiled fused and unfused, each for another vector width of those that this
 * machine has and half the time one of the two with bounds checked at each access, and
 * both run on one thread and on two. All kernels of some graphs for one width share an
 * LLVM module. A share of the graphs also goes through the loops' interpreter, which
 * knows bounds, races and reads of what was never written, for CPU and GPU schedules.
 * With --cuda the same graphs, fused and unfused, run on a GPU or its stand-ins instead,
 * where the kernels of some graphs share a CUDA text. Seeds are worked off by child
 * processes, so that a crash or an endless loop is a failure like others. A failing graph
 * is shrunk, and the smallest is written to a file that this program runs again when
 * given it. */
#include "fuzz.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 12, CHUNK = 96, MAX_WAYS = 8, CASE_SECONDS = 60, MAX_FAILURES = 5 };

static struct {
    int64_t count, first, jobs, loops;
    bool cuda;
    const char *dir;
} opt = {.count = 300, .first = 1, .jobs = 2, .loops = 12, .dir = "."};

/* What a child tells its parent while it lives. */
typedef struct report {
    uint64_t seed;       /* now at */
    int64_t done, cases; /* seeds; those that gave a case */
    int64_t unsupported; /* those that the passes say they do not compile */
    uint64_t failed[CHUNK];
    char why[CHUNK][200];
    int nfailed;
} report;

/* ---- ways that this machine can run ---- */

static way ways[MAX_WAYS];
static int nways;

/* Asked in a child: CUDA works in the process alone that opened it. */
static bool has_gpu(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(kl_device_cuda.count() > 0 && kl_nvrtc_found() ? 0 : 1);
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static void find_ways(void)
{
    const kl_target *host = kl_target_host();
    if (opt.cuda) {
        ways[nways++] = (way){.target = "sm_80"};
        ways[nways++] = (way){.target = "sm_90a"};
        return;
    }
    static const struct {
        const char *target;
        int bits;
        int64_t lanes;
    } all[] = {{"x86-64-v2", 128, 0},
               {"x86-64-v3", 256, 0},
               {"x86-64-v4", 512, 0},
               {"x86-64-v3", 256, 4},
               {"aarch64-neon", 128, 0}};
    for (size_t i = 0; i < KL_COUNT(all); i++) {
        const kl_target *t = kl_target_find(all[i].target);
        if (strcmp(t->triple, host->triple) == 0 && all[i].bits <= host->isa_bits)
            ways[nways++] = (way){.target = all[i].target, .lanes = all[i].lanes};
    }
}

/* ---- one batch ---- */

typedef struct entry {
    testcase c;
    kl_text text;
    compiled fused, unfused;
    const char *bad;
    char why[200];
    uint64_t seed;
    bool open, unsupported;
} entry;

static void blame(entry *e, const char *how, const char *why)
{
    if (e->bad)
        return;
    snprintf(e->why, sizeof e->why, "%s: %s", how, why);
    e->bad = e->why;
}

static bool text_of(uint64_t seed, kl_text *out)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g = a ? fuzz_graph(a, seed) : NULL;
    if (g)
        case_print(g, out);
    kl_error_clear();
    kl_arena_free(a);
    return g && !out->failed;
}

/* Two ways for a seed: which widths go together changes from batch to batch, and after
 * all pairs of them, which of the two checks bounds, if one does: it takes LLVM twice as
 * long. */
static void ways_of(uint64_t batch, way out[2])
{
    uint64_t n = (uint64_t)nways;
    out[0] = ways[batch % n];
    out[1] = ways[(batch / n + batch) % n];
    out[1].fuse_off = true;
    out[1].share = 1; /* small kernels, and small graphs: many are alike */
    uint64_t turn = batch / (n * n) % 4;
    if (turn < 2)
        out[turn].bounds = true;
}

/* How many there are; bounds are checked on the CPU alone. */
static int npairs(void)
{
    return (opt.cuda ? 1 : 3) * nways * nways;
}

/* A row that is said not to be compiled makes no failure, and no case. */
static void refused(entry *e, const char *how)
{
    if (kl_error_status() == KL_ERR_UNSUPPORTED)
        e->open = false, e->unsupported = true;
    else
        blame(e, how, kl_error());
}

static void compile_entry(entry *e, const way w[2])
{
    char name[40];
    snprintf(name, sizeof name, "f%llu", (unsigned long long)e->seed);
    if (!way_compile(&e->c, &w[0], name, &e->fused))
        refused(e, "passes, fused");
    snprintf(name, sizeof name, "u%llu", (unsigned long long)e->seed);
    if (e->open && !e->bad && !way_compile(&e->c, &w[1], name, &e->unfused))
        refused(e, "passes, unfused");
}

/* As PTX, which newer devices take too. */
static kl_module *load(const kl_kernel *const *kernels, int n, const kl_target *t)
{
    kl_text object = {0};
    kl_module *code = NULL;
    bool cuda = t->kind == KL_TARGET_CUDA;
    const kl_device_ops *ops = cuda ? &kl_device_cuda : &kl_device_cpu;
    kl_status st = cuda ? kl_codegen_cuda(kernels, n, t, KL_CUDA_PTX, &object)
                        : kl_codegen_cpu(kernels, n, t, KL_LLVM_OBJECT, &object);
    if (st == KL_OK)
        ops->load(0, object.s, object.len, &code);
    kl_text_free(&object);
    return code;
}

static bool is_new(const kl_kernel *const *all, int n, const kl_kernel *k)
{
    while (n > 0 && all[n - 1] != k)
        n--;
    return n == 0;
}

/* One object of all kernels of these units; NULL: kl_error. */
static kl_module *object_of(entry *e, int n, bool unfused, const way *w)
{
    const kl_kernel *kernels[BATCH * 64];
    int count = 0;
    for (int i = 0; i < n; i++) {
        const kl_unit *u = unfused ? &e[i].unfused.u : &e[i].fused.u;
        int all = 0;
        kl_kernel **own = e[i].open && !e[i].bad ? kl_unit_kernels(u, &all) : NULL;
        for (int k = 0; own && k < all && count < (int)KL_COUNT(kernels); k++)
            if (is_new(kernels, count, kl_code_of(own[k])))
                kernels[count++] = kl_code_of(own[k]);
    }
    kl_error_clear();
    set_bounds(w->bounds);
    return load(kernels, count, kl_target_find(w->target));
}

static bool broken; /* the GPU takes no more work of this process */

static void run_entry(entry *e, kl_module *code, const way *w)
{
    bool unfused = w->fuse_off;
    compiled *u = unfused ? &e->unfused : &e->fused;
    const char *bad;
    char how[80];
    for (int threads = 1; threads <= 2 && !opt.cuda && !e->bad; threads++) {
        snprintf(how, sizeof how, "%s, %s%s, %d threads", w->target,
                 unfused ? "unfused" : "fused", w->bounds ? ", bounds" : "", threads);
        if ((bad = run_on_cpu(&e->c, u, code, threads)))
            blame(e, how, bad);
    }
    if (!opt.cuda)
        return;
    snprintf(how, sizeof how, "%s, %s", w->target, unfused ? "unfused" : "fused");
    if ((bad = run_on_cuda(&e->c, u, code, &broken)))
        blame(e, how, bad);
}

static void drop(kl_module *code)
{
    if (code)
        code->ops->unload(code);
}

static void run_batch(entry *e, int n, const way w[2])
{
    for (int side = 0; side < 2 && !broken; side++) {
        kl_module *code = object_of(e, n, side == 1, &w[side]);
        for (int i = 0; i < n && !broken; i++) {
            if (!e[i].open || e[i].bad)
                continue;
            kl_module *own = code ? NULL : object_of(&e[i], 1, side == 1, &w[side]);
            if (!code && !own)
                blame(&e[i], w[side].target, kl_error());
            else
                run_entry(&e[i], code ? code : own, &w[side]);
            drop(own);
        }
        drop(code);
    }
}

/* By the loops alone: slow, so small graphs only. */
static void run_loops(entry *e)
{
    static const way by[] = {{.target = "x86-64-v3"},
                             {.target = "sm_90a"},
                             {.target = "x86-64-v4", .fuse_off = true, .share = 1},
                             {.target = "sm_90a", .fuse_off = true}};
    for (size_t i = 0; i < KL_COUNT(by) && e->open && !e->bad && e->c.work < 20000; i++) {
        compiled u;
        char how[64];
        snprintf(how, sizeof how, "loops for %s, %s", by[i].target,
                 by[i].fuse_off ? "unfused" : "fused");
        if (!way_compile(&e->c, &by[i], "loops", &u))
            refused(e, how);
        else {
            const char *bad = run_on_loops(&e->c, &u);
            if (bad)
                blame(e, how, bad);
        }
        way_close(&u);
    }
}

static bool wants_loops(uint64_t seed)
{
    uint64_t s = seed ^ 0x100f5;
    return below(&s, 100) < opt.loops;
}

static void open_entry(entry *e, uint64_t seed, const char *text)
{
    *e = (entry){.seed = seed};
    kl_text_put(&e->text, text);
    e->open = case_open(&e->c, e->text.s, seed);
    kl_text again = {0};
    if (e->c.g)
        case_print(e->c.g, &again);
    if (e->open && strcmp(again.s, e->text.s) != 0)
        blame(e, "text", "printed again it differs");
    kl_text_free(&again);
}

static void close_entry(entry *e)
{
    way_close(&e->fused);
    way_close(&e->unfused);
    case_close(&e->c);
    kl_text_free(&e->text);
}

/* A signal after so many seconds of this process's own time, or of many more by the
 * clock: the machine may have much else to do. */
static void limit(int seconds)
{
    struct itimerval t = {.it_value.tv_sec = seconds};
    setitimer(ITIMER_PROF, &t, NULL);
    alarm(20 * (unsigned)seconds);
}

/* ---- one case in all ways, in a process of its own: for files and shrinking ---- */

typedef struct verdict {
    enum { EQUAL, UNEQUAL, NO_CASE } is;
    int how; /* number of the way that failed */
    char why[200];
} verdict;

/* Way 0 is the loops, 1.. the pairs that a batch may take; ALL_WAYS: one after the other
 * until one fails. */
enum { ALL_WAYS = -1 };

static void check_text(const char *text, uint64_t seed, int only, verdict *v)
{
    entry *e = calloc(1, sizeof *e);
    int first = only == ALL_WAYS ? 0 : only, last = only == ALL_WAYS ? npairs() : only;
    for (int i = first; i <= last && !e->bad; i++) {
        way w[2];
        v->how = i;
        if (i > first)
            close_entry(e);
        open_entry(e, seed, text);
        if (!e->open)
            break;
        ways_of((uint64_t)i - 1, w);
        if (i == 0)
            run_loops(e);
        else if (!e->bad)
            compile_entry(e, w);
        if (i && e->open && !e->bad)
            run_batch(e, 1, w);
    }
    v->is = !e->open ? NO_CASE : e->bad ? UNEQUAL : EQUAL;
    snprintf(v->why, sizeof v->why, "%s", e->bad ? e->bad : "");
    close_entry(e);
    free(e);
}

static verdict check_apart(const char *text, uint64_t seed, int only)
{
    verdict *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        limit(CASE_SECONDS);
        check_text(text, seed, only, shared);
        _exit(0);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    verdict v = *shared;
    if (WIFSIGNALED(status)) {
        v.is = UNEQUAL;
        v.how += only == ALL_WAYS && v.how < npairs(); /* noted when it is done */
        snprintf(v.why, sizeof v.why, "signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    }
    munmap(shared, sizeof *shared);
    return v;
}

/* By a signal, by its text, by bits, by what it wrote, or else by a message. */
static int kind_of(const char *why)
{
    static const char *const kinds[] = {"signal", "text: ", "differs at element",
                                        "an input was changed"};
    size_t i = 0;
    while (i < KL_COUNT(kinds) && !strstr(why, kinds[i]))
        i++;
    return (int)i;
}

/* Fails as the first did, and the same way. */
typedef struct same_way {
    uint64_t seed;
    verdict first;
} same_way;

static bool still_fails(void *ctx, const char *text)
{
    const same_way *s = ctx;
    verdict v = check_apart(text, s->seed, s->first.how);
    return v.is == UNEQUAL && kind_of(v.why) == kind_of(s->first.why);
}

static void write_failure(uint64_t seed, const char *text, const char *first)
{
    same_way s = {.seed = seed, .first = check_apart(text, seed, ALL_WAYS)};
    kl_text small = {0}, file = {0};
    char path[512];
    if (s.first.is == UNEQUAL)
        shrink(text, still_fails, &s, &small);
    else
        kl_text_put(&small, text); /* only in company: the whole is the smallest known */
    verdict v = check_apart(small.s, seed, ALL_WAYS);
    kl_text_printf(&file, "# seed %llu\n# %s\n%s", (unsigned long long)seed,
                   v.is == UNEQUAL ? v.why : first, small.s);
    snprintf(path, sizeof path, "%s/graph-%llu.kl", opt.dir, (unsigned long long)seed);
    kl_file_write(path, file.s, file.len);
    printf("seed %llu: %s\n  smallest: %s: %s\n%s", (unsigned long long)seed, first, path,
           v.why, small.s);
    fflush(stdout);
    kl_text_free(&small);
    kl_text_free(&file);
}

/* ---- children ---- */

static void note(report *r, const entry *e)
{
    if (!e->bad || r->nfailed == CHUNK)
        return;
    r->failed[r->nfailed] = e->seed;
    snprintf(r->why[r->nfailed], sizeof r->why[0], "%s", e->bad);
    r->nfailed++;
}

static void work(report *r, uint64_t first, int64_t count)
{
    entry *e = calloc(BATCH, sizeof *e);
    for (int64_t at = 0; at < count && !broken; at += BATCH) {
        int n = (int)KL_MIN(BATCH, count - at);
        way w[2];
        limit(4 * CASE_SECONDS);
        ways_of((first + (uint64_t)at) / BATCH, w);
        for (int i = 0; i < n; i++) {
            kl_text t = {0};
            r->seed = first + (uint64_t)(at + i);
            if (text_of(r->seed, &t))
                open_entry(&e[i], r->seed, t.s);
            else
                e[i] = (entry){.seed = r->seed};
            kl_text_free(&t);
            if (e[i].open && wants_loops(r->seed))
                run_loops(&e[i]);
            if (e[i].open && !e[i].bad)
                compile_entry(&e[i], w);
            r->cases += e[i].open;
            r->unsupported += e[i].unsupported;
        }
        r->seed = 0; /* a batch as a whole */
        run_batch(e, n, w);
        for (int i = 0; i < n; i++) {
            note(r, &e[i]);
            close_entry(&e[i]);
        }
        r->done = at + n;
    }
    free(e);
}

typedef struct child {
    pid_t pid;
    report *r;
    uint64_t first;
    int64_t count;
} child;

static void start(child *c, uint64_t first, int64_t count)
{
    c->r = mmap(NULL, sizeof *c->r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
    c->first = first, c->count = count;
    fflush(NULL);
    c->pid = fork();
    if (c->pid == 0) {
        work(c->r, first, count);
        _exit(0);
    }
}

/* A child that died says in which batch: its seeds are tried one by one. */
static void find_culprit(const child *c, int status, int64_t *failures)
{
    for (int64_t i = c->r->done; i < KL_MIN(c->count, c->r->done + BATCH); i++) {
        kl_text t = {0};
        uint64_t seed = c->first + (uint64_t)i;
        verdict v = {.is = NO_CASE};
        if (text_of(seed, &t))
            v = check_apart(t.s, seed, ALL_WAYS);
        if (v.is == UNEQUAL) {
            write_failure(seed, t.s, v.why);
            ++*failures;
            kl_text_free(&t);
            return;
        }
        kl_text_free(&t);
    }
    printf("seeds %llu..: signal %d, and none of them alone\n",
           (unsigned long long)(c->first + (uint64_t)c->r->done), WTERMSIG(status));
    ++*failures;
}

static int64_t unsupported;

static void finish(child *c, int status, int64_t *cases, int64_t *failures)
{
    *cases += c->r->cases;
    unsupported += c->r->unsupported;
    for (int i = 0; i < c->r->nfailed && *failures < MAX_FAILURES; i++, ++*failures) {
        kl_text t = {0};
        if (text_of(c->r->failed[i], &t))
            write_failure(c->r->failed[i], t.s, c->r->why[i]);
        kl_text_free(&t);
    }
    if (!WIFEXITED(status))
        find_culprit(c, status, failures);
    munmap(c->r, sizeof *c->r);
    c->pid = 0;
}

static int64_t run_all(int64_t *cases)
{
    child c[64] = {{0}};
    int64_t next = 0, failures = 0;
    int running = 0;
    for (;;) {
        for (int j = 0; j < opt.jobs && j < (int)KL_COUNT(c); j++)
            if (!c[j].pid && next < opt.count && failures < MAX_FAILURES) {
                int64_t n = KL_MIN(CHUNK, opt.count - next);
                start(&c[j], (uint64_t)(opt.first + next), n);
                next += n, running++;
            }
        if (running == 0)
            return failures;
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        for (int j = 0; j < (int)KL_COUNT(c); j++)
            if (pid > 0 && c[j].pid == pid) {
                finish(&c[j], status, cases, &failures);
                running--;
            }
    }
}

/* ---- files ---- */

static int run_file(const char *path)
{
    void *bytes;
    size_t size;
    unsigned long long seed = 0;
    kl_text t = {0};
    if (kl_file_read(path, &bytes, &size) != KL_OK)
        return fprintf(stderr, "%s\n", kl_error()), 1;
    kl_text_putn(&t, bytes, size);
    kl_free(bytes, size);
    sscanf(t.s, "# seed %llu", &seed);
    const char *body = strstr(t.s, "graph ");
    verdict v = {0};
    if (getenv("FUZZ_DIRECT")) /* in a debugger */
        check_text(body ? body : t.s, seed, ALL_WAYS, &v);
    else
        v = check_apart(body ? body : t.s, seed, ALL_WAYS);
    printf("%s: %s\n", path,
           v.is == EQUAL     ? "equal"
           : v.is == NO_CASE ? "not a case"
                             : v.why);
    kl_text_free(&t);
    return v.is != EQUAL;
}

/* Options into opt, files to the front of argv; how many. */
static int read_arguments(int argc, char **argv)
{
    int files = 0;
    for (int i = 1; i < argc; i++) {
        int64_t *number = strcmp(argv[i], "--count") == 0   ? &opt.count
                          : strcmp(argv[i], "--seed") == 0  ? &opt.first
                          : strcmp(argv[i], "--jobs") == 0  ? &opt.jobs
                          : strcmp(argv[i], "--loops") == 0 ? &opt.loops
                                                            : NULL;
        if (number && i + 1 < argc)
            *number = strtoll(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc)
            opt.dir = argv[++i];
        else if (strcmp(argv[i], "--cuda") == 0)
            opt.cuda = true;
        else
            argv[files++] = argv[i];
    }
    return files;
}

int main(int argc, char **argv)
{
    int rc = 0, files = read_arguments(argc, argv);
    int64_t cases = 0;
    poison_memory();
    find_ways();
    if (opt.cuda && !has_gpu())
        return fprintf(stderr, "no GPU or no NVRTC\n"), 77;
    if (nways == 0 || (!opt.cuda && kl_llvm_open() != KL_OK))
        return fprintf(stderr, "%s\n", kl_error()), 77;
    for (int i = 0; i < files; i++)
        rc |= run_file(argv[i]);
    if (files)
        return rc;
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    int64_t failures = run_all(&cases);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    printf("%lld graphs of %lld seeds, %lld not supported, %lld failures, %.1f s\n",
           (long long)cases, (long long)opt.count, (long long)unsupported,
           (long long)failures,
           (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-9);
    return failures != 0 || 10 * cases < 9 * opt.count; /* few cases prove little */
}
