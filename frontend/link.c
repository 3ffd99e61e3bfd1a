/* link.c: the kernels of a program become code that is loaded.
 *
 *   kernels -> keys -> modules that are loaded | objects in the store | LLVM, in groups
 *
 * A kernel is known by the hash of its loops' text (kl_loops_key), its target and this
 * build of kiln: two programs that need the same one share its module, and two threads
 * that need it compile it once. Objects are kept in the store.
 *
 * A program's small kernels are compiled in groups, one object each: half a millisecond
 * goes into the passes that LLVM sets up anew for every object. The store has the object
 * under its first kernel's key, and under the others' where to look:
 *
 *   K1 -> object of contract.<K1>, permute.<K2>        K2 -> "kiln: in K1"
 *
 * The first of a group stands before its others in every group that has them, so of two
 * threads that wait for objects none waits for the other; who makes a group waits for
 * nobody. */
#include "front.h"
#include "codegen/codegen.h"

enum {
    GROUP = 16,         /* kernels of one object, at most */
    GROUP_TEXT = 16384, /* bytes of their loops' text */
    SHARES = 3,         /* groups for each core, at least: some take longer than others */
};

void kl_link_setting(kl_text *text, const kl_target *t)
{
    kl_hash h = kl_build_id();
    kl_text_printf(text, "# %s %s %d%d %016llx%016llx\n", t->name,
                   t->features ? t->features : "", kl_env_get()->bounds,
                   kl_env_get()->batch_invariant, (unsigned long long)h.hi,
                   (unsigned long long)h.lo);
}

static kl_status key_of(const kl_kernel *k, const kl_target *t, kl_hash *key,
                        size_t *size)
{
    kl_text text = {0};
    kl_link_setting(&text, t);
    kl_loops_key(k, &text);
    if (!text.failed)
        *key = kl_hash_bytes(text.s, text.len);
    *size = text.len;
    kl_text_free(&text);
    return text.failed ? kl_fail(KL_ERR_OOM, "out of memory for a kernel's text") : KL_OK;
}

/* ---- a kernel's name in an object ---- */

/* On the host kernels of one name stand in one object. */
static void name_of(const kl_kernel_code *code, int device, char out[240])
{
    if (device == 0)
        snprintf(out, 240, "%.200s.%08x", code->name, (unsigned)code->key.lo);
    else
        snprintf(out, 240, "%.200s", code->name);
}

static kl_status find_entries(kl_kernel_code *code, int nphases, int device)
{
    const kl_device_ops *ops;
    int index;
    char name[240], base[240], entry[260];
    KL_TRY(kl_device_get(device, &ops, &index));
    name_of(code, device, name);
    kl_codegen_symbol(name, base, sizeof base);
    for (int i = 0; i < nphases && i < (int)KL_COUNT(code->entry); i++) {
        snprintf(entry, sizeof entry, "%s.%d", base, i);
        code->entry[i] = ops->symbol(code->module, entry);
        if (!code->entry[i])
            return kl_fail(KL_ERR_INTERNAL, "kernel %s has no entry %s", code->name,
                           entry);
    }
    return KL_OK;
}

/* ---- objects in the store ---- */

#define ELSEWHERE "kiln: in "

static kl_status load(int device, const void *bytes, size_t size, kl_module **out)
{
    const kl_device_ops *ops;
    int index;
    KL_TRY(kl_device_get(device, &ops, &index));
    return ops->load(index, bytes, size, out);
}

/* Whose object the kernel is in; false: its own. */
static bool elsewhere(const void *bytes, size_t size, kl_hash *key)
{
    size_t head = sizeof ELSEWHERE - 1;
    if (size != head + sizeof *key || memcmp(bytes, ELSEWHERE, head) != 0)
        return false;
    memcpy(key, (const char *)bytes + head, sizeof *key);
    return true;
}

static void keep(const kl_hash *keys, int n, const kl_text *object)
{
    char where[sizeof ELSEWHERE - 1 + sizeof *keys] = ELSEWHERE;
    memcpy(where + sizeof ELSEWHERE - 1, &keys[0], sizeof *keys);
    kl_store_put(keys[0], "kernel", object->s, object->len);
    for (int i = 1; i < n; i++)
        kl_store_put(keys[i], "kernel", where, sizeof where);
}

/* The module of an object that begins with another kernel; NULL: the store has it no
 * more, or without wait somebody, this thread maybe, is making it. */
static kl_status find_first(kl_hash key, int device, bool wait, kl_module **out)
{
    void *bytes = NULL;
    size_t size;
    kl_hash other;
    bool mine;
    KL_TRY(kl_modules_begin(key, device, wait, out, &mine));
    if (!mine)
        return KL_OK;
    kl_status st = kl_store_get(key, "kernel", &bytes, &size);
    if (st == KL_OK && bytes && !elsewhere(bytes, size, &other))
        st = load(device, bytes, size, out);
    kl_free(bytes, bytes ? size : 0);
    kl_modules_end(key, device, st == KL_OK ? *out : NULL);
    return st;
}

/* *out stays NULL where the store has nothing. */
static kl_status find_stored(kl_hash key, int device, bool wait, kl_module **out)
{
    void *bytes = NULL;
    size_t size = 0;
    kl_hash other;
    KL_TRY(kl_store_get(key, "kernel", &bytes, &size));
    if (!bytes)
        return KL_OK;
    kl_status st = elsewhere(bytes, size, &other) ? find_first(other, device, wait, out)
                                                  : load(device, bytes, size, out);
    kl_free(bytes, size);
    if (*out)
        KL_TICK(kernels_from_disk);
    return st;
}

/* ---- one kernel, from the caches ---- */

/* code->module stays NULL where they have none. *mine: then this thread is to make it,
 * and has to say so by kl_modules_end; mine NULL: nobody is. Without wait neither, where
 * another thread is at it. */
static kl_status find_kernel(kl_kernel_code *code, int nphases, int device, bool wait,
                             bool *mine)
{
    bool first;
    KL_TRY(kl_modules_begin(code->key, device, wait, &code->module, &first));
    if (first) {
        kl_status st = find_stored(code->key, device, wait, &code->module);
        if (mine && st == KL_OK && !code->module) {
            *mine = true;
            return KL_OK;
        }
        kl_modules_end(code->key, device, st == KL_OK ? code->module : NULL);
        KL_TRY(st);
    }
    return code->module ? find_entries(code, nphases, device) : KL_OK;
}

kl_status kl_link_found(kl_kernel_code *code, int nphases, int device)
{
    return find_kernel(code, nphases, device, true, NULL);
}

/* ---- making code ---- */

/* Machine code runs on devices of its own generation; on newer ones the driver compiles
 * PTX. */
static kl_cuda_output cuda_form(const kl_target *t, int index)
{
    int major = 0, minor;
    if (kl_cuda_compute(index, &major, &minor) != KL_OK)
        return KL_CUDA_PTX;
    return t->arch / 10 == major ? KL_CUDA_CUBIN : KL_CUDA_PTX;
}

typedef struct keyed {
    kl_hash key;
    int i;       /* in the program */
    size_t size; /* of its text */
} keyed;
typedef struct job {
    kl_program *p;
    kl_kernel **kernels; /* those that are code, in the program's order */
    int n;
    const kl_target *t;
    int device;
    bool fresh;  /* every kernel is made, whatever the caches hold */
    keyed *each; /* one of every kernel that differs from all others, in groups */
    int *groups; /* where each group begins, and where the last one ends */
    int neach, ngroups, next; /* the next group that nobody has taken */
    pthread_mutex_t lock;
    kl_status status;
    char message[512];
} job;

/* These kernels as objects, by class, under the names that find_entries looks for. */
static kl_status generate(const job *j, const int *group, int n,
                          kl_text object[KL_LLVM_CLASS_COUNT], uint8_t *cls)
{
    const kl_device_ops *ops;
    kl_kernel named[GROUP];
    const kl_kernel *k[GROUP];
    char names[GROUP][240];
    int index;
    KL_TRY(kl_device_get(j->device, &ops, &index));
    for (int i = 0; i < n; i++) {
        named[i] = *j->kernels[group[i]];
        if (kl_env_get()->no_compile)
            return kl_fail(KL_ERR_COMPILE,
                           "KILN_NO_COMPILE is set and kernel %s is in no cache",
                           named[i].name);
        name_of(&j->p->kernels[group[i]], j->device, names[i]);
        named[i].name = names[i];
        k[i] = &named[i];
    }
    KL_TICK_BY(kernels_compiled, n);
    return j->t->kind == KL_TARGET_CUDA
               ? kl_codegen_cuda(k, n, j->t, cuda_form(j->t, index), &object[0])
           : n == 1 ? kl_codegen_cpu(k, n, j->t, KL_LLVM_OBJECT, &object[0])
                    : kl_codegen_cpu_group(k, n, j->t, object, cls);
}

/* Load those of the group that are of this class. */
static kl_status load_class(const job *j, const int *group, int n, const uint8_t *cls,
                            int c, const kl_text *object)
{
    kl_hash keys[GROUP];
    kl_module *m = NULL;
    int nkeys = 0;
    kl_status st = load(j->device, object->s, object->len, &m);
    for (int i = 0; i < n && st == KL_OK; i++) {
        if (cls[i] != c)
            continue;
        kl_kernel_code *code = &j->p->kernels[group[i]];
        keys[nkeys++] = code->key;
        code->module = kl_module_ref(m);
        st = find_entries(code, j->kernels[group[i]]->nphases, j->device);
    }
    if (st == KL_OK && !j->fresh)
        keep(keys, nkeys, object);
    kl_module_unref(m);
    return st;
}

static kl_status make_group(const job *j, const int *group, int n)
{
    kl_text object[KL_LLVM_CLASS_COUNT] = {0};
    uint8_t cls[GROUP] = {0};
    kl_status st = generate(j, group, n, object, cls);
    for (int c = 0; c < KL_LLVM_CLASS_COUNT; c++) {
        if (st == KL_OK && object[c].len)
            st = load_class(j, group, n, cls, c, &object[c]);
        kl_text_free(&object[c]);
    }
    return st;
}

static void failed(job *j, kl_status st, int64_t worker)
{
    pthread_mutex_lock(&j->lock);
    if (j->status == KL_OK) {
        j->status = kl_error_status() ? kl_error_status() : st; /* the first cause's */
        snprintf(j->message, sizeof j->message, "%s", kl_error());
    }
    pthread_mutex_unlock(&j->lock);
    if (worker) /* the caller is told; this thread has failed at nothing */
        kl_error_clear();
}

/* What fails among others is made alone, so that the error names it and harms it alone.
 */
static void make(job *j, const int *group, int n, int64_t worker)
{
    bool failed_before = kl_failed();
    kl_status st = make_group(j, group, n);
    bool again = st != KL_OK && n > 1;
    if (again && !failed_before)
        kl_error_clear();
    if (st != KL_OK && !again)
        failed(j, st, worker);
    for (int i = 0; i < n; i++) {
        kl_kernel_code *code = &j->p->kernels[group[i]];
        if (again && !code->module)
            make(j, &group[i], 1, worker);
        else if (!j->fresh)
            kl_modules_end(code->key, j->device, code->module);
    }
}

/* ---- all kernels of a program; errors come back to the caller ---- */

/* The first place of the code that kernel i is: those that differ in sizes alone have
 * one, and one thread at a time may print it. */
static int first_of(const job *j, int i)
{
    int k = 0;
    while (j->kernels[k] != j->kernels[i])
        k++;
    return k;
}

static void key_some(void *ctx, int64_t begin, int64_t end, int64_t worker)
{
    job *j = ctx;
    for (int64_t i = begin; i < end; i++) {
        keyed *e = &j->each[i];
        kl_status st = first_of(j, (int)i) == i
                           ? key_of(j->kernels[i], j->t, &e->key, &e->size)
                           : KL_OK;
        if (st != KL_OK)
            failed(j, st, worker);
    }
}

static void key_all(job *j, int threads)
{
    kl_parallel_on(threads, j->n, 1, key_some, j);
    for (int i = 0; i < j->n && j->status == KL_OK; i++) {
        const keyed *first = &j->each[first_of(j, i)];
        j->each[i] = (keyed){first->key, i, first->size};
        j->p->kernels[i].key = first->key;
    }
}

/* The longest first, so that the cores end together. */
static int by_size(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    int order = (x->size < y->size) - (x->size > y->size);
    if (order == 0)
        order = memcmp(&x->key, &y->key, sizeof x->key);
    return order ? order : (x->i > y->i) - (x->i < y->i);
}

/* The first of each key. Two threads that came upon a layer's kernels and the next one's
 * would else wait for each other all along. */
static void find_each(job *j)
{
    j->neach = j->n;
    if (j->n == 0 || j->fresh)
        return;
    qsort(j->each, (size_t)j->n, sizeof *j->each, by_size);
    j->neach = 0;
    for (int i = 0; i < j->n; i++)
        if (!j->neach || !kl_hash_same(j->each[i].key, j->each[j->neach - 1].key))
            j->each[j->neach++] = j->each[i];
}

/* Neighbours whose text is short together are a group; few kernels are none, so that all
 * cores have some. */
static void find_groups(job *j, int threads)
{
    size_t all = 0, size = 0;
    j->ngroups = 0;
    for (int i = 0; i < j->neach; i++)
        all += j->each[i].size;
    size_t most = KL_MIN(all / (size_t)(threads * SHARES), (size_t)GROUP_TEXT);
    for (int i = 0, n = 0; i < j->neach; i++, n++) {
        size += j->each[i].size;
        if (i == 0 || size > most || n == GROUP || j->device != 0) {
            j->groups[j->ngroups++] = i;
            size = j->each[i].size, n = 0;
        }
    }
    j->groups[j->ngroups] = j->neach;
}

static void link_group(job *j, const keyed *each, int n, int64_t worker)
{
    int missing[GROUP], m = 0;
    for (int i = 0; i < n; i++) {
        int at = each[i].i;
        bool mine = j->fresh;
        kl_status st = j->fresh ? KL_OK
                                : find_kernel(&j->p->kernels[at], j->kernels[at]->nphases,
                                              j->device, false, &mine);
        if (st != KL_OK)
            failed(j, st, worker);
        else if (mine)
            missing[m++] = at;
    }
    if (m)
        make(j, missing, m, worker);
}

/* A worker takes one group after the other: some take a hundred times as long as others.
 */
static void link_some(void *ctx, int64_t begin, int64_t end, int64_t worker)
{
    job *j = ctx;
    (void)begin, (void)end;
    for (int g; (g = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED)) < j->ngroups;) {
        const keyed *first = &j->each[j->groups[g]];
        int64_t from = kl_profile_on() ? kl_now_ns() : 0;
        link_group(j, first, j->groups[g + 1] - j->groups[g], worker);
        if (kl_profile_on())
            kl_profile_event("compile", j->kernels[first->i]->name, from, kl_now_ns(), 0,
                             0);
    }
}

/* Equal ones, and what another thread was making. */
static kl_status link_rest(job *j)
{
    for (int i = 0; i < j->n && j->status == KL_OK; i++) {
        bool mine = false;
        kl_kernel_code *code = &j->p->kernels[i];
        if (!code->module)
            KL_TRY(find_kernel(code, j->kernels[i]->nphases, j->device, true, &mine));
        if (mine)
            make(j, &i, 1, 0);
    }
    return j->status ? kl_fail(j->status, "%s", j->message) : KL_OK;
}

static kl_status link_job(job *j)
{
    /* however few threads kernels run on: waiting for LLVM is no part of a model */
    int threads = j->device == 0 ? kl_cores() : 1;
    key_all(j, threads);
    if (j->status == KL_OK) {
        find_each(j);
        find_groups(j, threads);
        kl_parallel_on(threads, KL_MIN(threads, j->ngroups), 1, link_some, j);
    }
    return link_rest(j);
}

kl_status kl_link_unit(kl_unit *u, int device, bool fresh)
{
    job j = {.p = u->program,
             .t = u->target,
             .device = device,
             .fresh = fresh,
             .lock = PTHREAD_MUTEX_INITIALIZER};
    size_t n = (size_t)u->nkernels + 1;
    for (uint32_t i = 0; i < u->nbodies; i++)
        KL_TRY(kl_link_unit(u->bodies[i], device, fresh));
    u->program->device = device;
    j.kernels = kl_arena_alloc(u->arena, n * sizeof *j.kernels);
    j.each = kl_arena_alloc(u->arena, n * sizeof *j.each);
    j.groups = kl_arena_alloc(u->arena, n * sizeof *j.groups);
    if (!j.kernels || !j.each || !j.groups)
        return kl_fail(KL_ERR_OOM, "out of memory for %d kernels", u->nkernels);
    for (int i = 0; i < u->nkernels; i++)
        if (!u->kernels[i]->call)
            j.kernels[j.n++] = kl_code_of(u->kernels[i]);
        else if (device != 0 && !u->kernels[i]->control)
            return kl_fail(KL_ERR_UNSUPPORTED,
                           "%s: a native function works on host memory, not on a device",
                           u->kernels[i]->call);
    return link_job(&j);
}
