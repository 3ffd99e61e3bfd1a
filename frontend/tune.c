/* tune.c: KILN_TUNE=MS: schedules measured. A schedule's numbers are computed from the
 * target (passes/schedule.c); for so many milliseconds a program, those that change no
 * result are tried larger and smaller, in the kernels that take longest first:
 *
 *   mc 150  ->  75, 300, 36, 600      run, compared to the bit, timed; the best is kept
 *
 * What was found better stands in tune.txt in the cache's folder, a line a number, and is
 * used from then on, with KILN_TUNE or without:
 *
 *   5f0c..9a 0 mc 75 # contract_tanh for host, 2 threads: 120.5 us, was 151.2
 *   kernel as scheduled for a target and so many threads, its part, number, value
 *
 * Later lines count more. */
#include "front.h"
#include "trial.h"
#include "codegen/codegen.h"

#include <stdio.h>
#include <stdlib.h>

enum { TRIES = 4, NAME = 16, GAIN = 97 /* percent of the time before, at most */ };

typedef struct entry {
    kl_hash key;
    int part;
    char name[NAME];
    int64_t value; /* 0: a try that was no better */
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    entry *v;
    size_t n, cap;
    bool read;
} table;

/* ---- numbers that may change ---- */

/* unit: the number whose multiple it must be. */
static const struct {
    const char *name, *unit;
} numbers[] = {{"mc", "mr"}, {"nc", "nr"}, {"chunk", "turn"}, {"grain", NULL}};

static const char *unit_of(const kl_decision *d, bool *known)
{
    for (size_t i = 0; i < KL_COUNT(numbers); i++)
        if (d->kind == KL_DEC_PARAM && strcmp(d->name, numbers[i].name) == 0) {
            *known = true;
            return numbers[i].unit;
        }
    *known = false;
    return NULL;
}

/* The i-th other value of a decision; 0: there is none. */
static int64_t other_value(const kl_kernel *k, const kl_decision *d, int i)
{
    static const int64_t times[TRIES] = {1, 4, 1, 8}, over[TRIES] = {2, 2, 4, 2};
    bool known;
    const char *unit = unit_of(d, &known);
    int64_t u = unit ? KL_MAX(kl_param(k, d->part, unit, 1), 1) : 1;
    if (unit && strcmp(unit, "turn") == 0)
        u *= 2; /* a chunk's halves take turns */
    int64_t v = d->factor * times[i] / over[i] / u * u;
    return known && v > 0 && v != d->factor ? v : 0;
}

static bool is_other_value(const kl_kernel *k, const kl_decision *d, int64_t v)
{
    for (int i = 0; i < TRIES; i++)
        if (v && other_value(k, d, i) == v)
            return true;
    return false;
}

/* ---- the table ---- */

static kl_status key_of(const kl_kernel *k, const kl_target *t, kl_hash *key)
{
    kl_text text = {0};
    kl_kernel_print(k, &text);
    kl_text_printf(&text, "# %s %d\n", t->name, kl_threads());
    if (!text.failed)
        *key = kl_hash_bytes(text.s, text.len);
    kl_text_free(&text);
    return text.failed ? kl_fail(KL_ERR_OOM, "tune: out of memory") : KL_OK;
}

/* The entry of that number, made if need be; NULL: no memory. */
static entry *entry_of(kl_hash key, int part, const char *name)
{
    for (size_t i = 0; i < table.n; i++) {
        entry *e = &table.v[i];
        if (kl_hash_same(e->key, key) && e->part == part && strcmp(e->name, name) == 0)
            return e;
    }
    if (!kl_grow(&table.v, table.n, &table.cap, sizeof *table.v))
        return NULL;
    entry *e = &table.v[table.n++];
    *e = (entry){.key = key, .part = part};
    snprintf(e->name, sizeof e->name, "%s", name);
    return e;
}

static bool table_path(char *path, size_t cap)
{
    const char *folder = kl_store_folder();
    return *folder && (size_t)snprintf(path, cap, "%s/tune.txt", folder) < cap;
}

static void read_line(const char *line)
{
    unsigned long long hi, lo;
    char name[NAME];
    int part;
    long long value;
    if (sscanf(line, "%16llx%16llx %d %15s %lld #", &hi, &lo, &part, name, &value) < 5)
        return;
    entry *e = entry_of((kl_hash){.hi = hi, .lo = lo}, part, name);
    if (e)
        e->value = value;
}

/* Under the lock. A table that cannot be read is none. */
static void read_table(void)
{
    char path[4200], line[400];
    FILE *f = NULL;
    if (!table.read && table_path(path, sizeof path))
        f = fopen(path, "r");
    table.read = true;
    while (f && fgets(line, sizeof line, f))
        read_line(line);
    if (f)
        fclose(f);
}

static void write_line(const kl_kernel *k, const kl_target *t, const entry *e,
                       int64_t before, int64_t after)
{
    char path[4200];
    FILE *f = table_path(path, sizeof path) ? fopen(path, "a") : NULL;
    if (!f)
        return;
    fprintf(f,
            "%016llx%016llx %d %s %lld # %.60s for %s, %d threads: %.1f us, was %.1f\n",
            (unsigned long long)e->key.hi, (unsigned long long)e->key.lo, e->part,
            e->name, (long long)e->value, k->name, t->name, kl_threads(),
            (double)after / 1e3, (double)before / 1e3);
    fclose(f);
}

/* ---- what was found is used ---- */

static void set_numbers(kl_kernel *k, kl_hash key)
{
    kl_decision old;
    for (uint32_t i = 0; i < k->ndecisions; i++)
        for (size_t j = 0; j < table.n; j++) {
            const entry *e = &table.v[j];
            old = k->schedule[i];
            if (e->value && kl_hash_same(e->key, key) && old.kind == KL_DEC_PARAM &&
                old.part == e->part && strcmp(old.name, e->name) == 0 &&
                is_other_value(k, &old, e->value))
                k->schedule[i].factor = e->value;
        }
}

kl_status kl_tune_apply(kl_unit *u)
{
    int n;
    kl_kernel **k;
    if (u->target->kind != KL_TARGET_CPU)
        return KL_OK;
    pthread_mutex_lock(&lock);
    read_table();
    bool any = table.n > 0;
    pthread_mutex_unlock(&lock);
    if (!any)
        return KL_OK;
    if (!(k = kl_unit_kernels(u, &n)))
        return kl_error_status();
    for (int i = 0; i < n; i++) {
        kl_hash key;
        KL_TRY(key_of(k[i], u->target, &key));
        pthread_mutex_lock(&lock);
        set_numbers(k[i], key);
        pthread_mutex_unlock(&lock);
    }
    return KL_OK;
}

/* ---- finding it ---- */

typedef struct tuning {
    const char *text; /* the graph's */
    kl_arena *arena;  /* of u */
    kl_unit u;        /* the graph's kernels as scheduled by rule */
    kl_program **p;   /* the best so far */
    kl_trial trial;
    char *results;          /* what any program must give */
    int64_t *times, *tried; /* by step: of the best, of the one tried */
    int64_t deadline, cost; /* cost: what a try takes at most */
    bool *done;             /* by kernel */
} tuning;

static int64_t time_of(const kl_program *p, const int64_t *times, int kernel)
{
    int64_t sum = 0;
    for (int i = 0; i < p->nsteps; i++)
        if (p->steps[i].kind == KL_STEP_LAUNCH && p->steps[i].kernel == kernel)
            sum += times[i];
    return sum;
}

static bool begin(tuning *w)
{
    const kl_program *p = *w->p;
    kl_graph *g;
    if (!kl_trial_new(&w->trial, p, NULL, p->nin))
        return false;
    w->arena = kl_arena_new();
    if (!w->arena || kl_graph_parse(w->arena, "tune", w->text, &g) != KL_OK)
        return false;
    w->u = (kl_unit){.arena = w->arena, .target = kl_target_host(), .graph = g};
    size_t steps = (size_t)p->nsteps + 1, size = w->trial.size - w->trial.results;
    w->times = kl_arena_zeroed(w->arena, steps, sizeof *w->times);
    w->tried = kl_arena_zeroed(w->arena, steps, sizeof *w->tried);
    w->results = kl_arena_alloc(w->arena, size);
    w->done = kl_arena_zeroed(w->arena, (size_t)p->nkernels + 1, sizeof *w->done);
    if (!w->times || !w->tried || !w->results || !w->done ||
        kl_pipeline_run(&w->u, NULL, "schedule") != KL_OK ||
        !kl_trial_run(&w->trial, p, w->times))
        return false;
    memcpy(w->results, w->trial.room + w->trial.results, size);
    return true;
}

/* Is the program with what the table holds now better in that kernel, and the same in
 * all results? Then it is the best. */
static bool better(tuning *w, int kernel)
{
    kl_program *q = NULL, *p = *w->p;
    if (kl_compile_text(w->text, &q) != KL_OK)
        return false;
    bool ok = q->nsteps == p->nsteps && q->nkernels == p->nkernels &&
              kl_trial_run(&w->trial, q, w->tried) &&
              memcmp(w->results, w->trial.room + w->trial.results,
                     w->trial.size - w->trial.results) == 0 &&
              time_of(q, w->tried, kernel) * 100 < time_of(p, w->times, kernel) * GAIN;
    if (ok) {
        *w->p = q;
        q = p;
        memcpy(w->times, w->tried, (size_t)p->nsteps * sizeof *w->times);
    }
    kl_program_unref(q);
    return ok;
}

/* One number of a kernel, while there is time. */
static void try_number(tuning *w, const kl_kernel *k, int kernel, kl_hash key,
                       const kl_decision *d)
{
    for (int i = 0; i < TRIES; i++) {
        int64_t start = kl_now_ns(), v = other_value(k, d, i), was = 0,
                before = time_of(*w->p, w->times, kernel);
        if (!v || start + w->cost > w->deadline)
            continue;
        pthread_mutex_lock(&lock);
        entry *e = entry_of(key, d->part, d->name);
        if (e) {
            was = e->value;
            e->value = v;
        }
        pthread_mutex_unlock(&lock);
        bool kept = e && better(w, kernel);
        pthread_mutex_lock(&lock);
        if ((e = entry_of(key, d->part, d->name)) && !kept)
            e->value = was;
        if (kept)
            write_line(k, w->u.target, e, before, time_of(*w->p, w->times, kernel));
        pthread_mutex_unlock(&lock);
        kl_error_clear();
        w->cost = KL_MAX(w->cost, kl_now_ns() - start);
    }
}

static void tune_kernels(tuning *w)
{
    kl_kernel **code =
        kl_arena_alloc(w->arena, ((size_t)w->u.nkernels + 1) * sizeof *code);
    int n = 0;
    kl_hash key;
    for (int i = 0; code && i < w->u.nkernels; i++)
        if (!w->u.kernels[i]->call)
            code[n++] = w->u.kernels[i];
    n = n == (*w->p)->nkernels ? n : 0;
    for (int round = 0; round < n; round++) {
        int longest = -1;
        for (int i = 0; i < n; i++)
            if (!w->done[i] && (longest < 0 || time_of(*w->p, w->times, i) >
                                                   time_of(*w->p, w->times, longest)))
                longest = i;
        w->done[longest] = true;
        const kl_kernel *k = code[longest];
        if (key_of(k, w->u.target, &key) != KL_OK)
            return;
        for (uint32_t i = 0; i < k->ndecisions; i++)
            try_number(w, k, longest, key, &k->schedule[i]);
    }
}

void kl_tune(const char *text, int64_t cost, kl_program **p)
{
    tuning w = {.text = text,
                .p = p,
                .cost = cost,
                .deadline = kl_now_ns() + (int64_t)kl_env_get()->tune_ms * 1000000};
    if (begin(&w))
        tune_kernels(&w);
    kl_error_clear(); /* what could not be tried is left as it was */
    kl_trial_free(&w.trial);
    if (w.arena)
        kl_arena_free(w.arena);
}
