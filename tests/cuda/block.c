/* block.c: runs a grid on the CPU, block by block, and watches what the kernel does.
 *
 * A block's threads are fibers: a fiber runs one thread after another on its stack until
 * one must wait; then the scheduler turns to the next fiber. So a kernel without barriers
 * needs one fiber, and the order is the same in every run. A barrier opens when all
 * threads that have not returned are at it; a warp exchange when all lanes of its mask
 * are. If nobody can go on, that is the kernel's fault.
 *
 *   next thread -> fiber -> kernel -> barrier: wait -> scheduler -> ... -> all there: go
 * on
 *
 * Switching is by _setjmp and _longjmp (no system call; AddressSanitizer, where the
 * program has it, warns once that it does not know our stacks); a context is made only
 * where a fiber begins. A fault (race, address that is not the device's, out of an
 * allocation, misaligned, dead lock) jumps to the scheduler and ends the launch. */
#undef _FORTIFY_SOURCE /* its _longjmp refuses other stacks */
#include "machine.h"

#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#define MAX_THREADS 1024
#define STACK ((size_t)64 << 10)
#define MAX_SHARED ((size_t)228 << 10)
#define MAX_COPIES 64

typedef enum thread_state { NEW, READY, AT_BARRIER, AT_EXCHANGE, DONE } thread_state;
typedef struct fiber {
    jmp_buf env;
    ucontext_t context;
    struct fiber *next_free;
} fiber;
typedef struct copy {
    void *to;
    const void *from;
    int size, valid, group;
} copy;
typedef struct thread {
    thread_state state;
    fiber *fiber;
    uint32_t record; /* race.c's; 0: none yet since the last barrier */
    int group, ncopies;
    copy copies[MAX_COPIES];
} thread;
typedef struct warp {
    unsigned live, arrived, mask, turn, epoch;
    bool orders; /* the exchange is a __syncwarp */
    unsigned char in[32][16], out[2][32][16];
} warp;

static const grid_launch *launch;
static fiber fibers[MAX_THREADS], *free_fibers;
static unsigned char *stacks;
static ucontext_t pristine;
static thread threads[MAX_THREADS], *self;
static warp warps[MAX_THREADS / 32];
static unsigned n_threads, n_next, n_live, n_waiting, epoch, block_number;
static jmp_buf scheduler;
static cu_result fault_result;
static mem_range dynamic_shared, static_shared;
static kl_host host;

/* ---- faults ---- */

static unsigned number(void)
{
    return (unsigned)(self - threads);
}

static _Noreturn void fault(cu_result r, const char *fmt, ...)
{
    char what[384];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    snprintf(kl_standin.message, sizeof kl_standin.message,
             "%.80s: block %u thread %u: %s", launch->entry->name, block_number,
             self ? number() : 0, what);
    fault_result = r;
    _longjmp(scheduler, 2);
}

/* ---- waiting ---- */

static void resume_as(thread *t)
{
    self = t;
    host.thread.x = number() % launch->block.x;
    host.thread.y = number() / launch->block.x % launch->block.y;
    host.thread.z = number() / launch->block.x / launch->block.y;
}

static void wait_as(thread_state state)
{
    self->state = state;
    if (!_setjmp(self->fiber->env))
        _longjmp(scheduler, 1);
}

static void wake(unsigned begin, unsigned end, thread_state state, bool ordered)
{
    for (unsigned i = begin; i < end; i++) {
        if (threads[i].state == state)
            threads[i].state = READY;
        if (ordered)
            threads[i].record = 0;
    }
}

static void open_barrier(void)
{
    n_waiting = 0;
    epoch++;
    wake(0, n_threads, AT_BARRIER, true);
}

static void barrier(void)
{
    n_waiting++;
    if (n_waiting == n_live)
        open_barrier();
    else
        wait_as(AT_BARRIER);
}

/* ---- warps ---- */

static void open_exchange(warp *w)
{
    unsigned first = (unsigned)(w - warps) * 32;
    for (int i = 0; i < 32; i++)
        if (w->arrived >> i & 1)
            memcpy(w->out[w->turn & 1][i], w->in[i], 16);
        else
            memset(w->out[w->turn & 1][i], 0xff, 16);
    bool ordered = w->orders && (w->mask & w->live) == w->live;
    w->epoch += ordered;
    w->arrived = 0;
    w->turn++;
    wake(first, KL_MIN(first + 32, n_threads), AT_EXCHANGE, ordered);
}

static void meet(unsigned mask, const void *mine, unsigned size, bool orders, void *all)
{
    warp *w = &warps[number() / 32];
    unsigned lane = number() % 32, turn = w->turn;
    if (!(mask >> lane & 1))
        fault(CU_LAUNCH_FAILED, "calls a warp function whose mask %08x leaves it out",
              mask);
    if (w->arrived && (w->mask != mask || w->orders != orders))
        fault(CU_LAUNCH_FAILED, "its warp is at two different warp functions");
    w->mask = mask;
    w->orders = orders;
    w->arrived |= 1u << lane;
    memcpy(w->in[lane], mine, size);
    if (w->arrived == (mask & w->live))
        open_exchange(w);
    else
        wait_as(AT_EXCHANGE);
    for (unsigned i = 0; all && i < 32; i++)
        memcpy((unsigned char *)all + i * size, w->out[turn & 1][i], size);
}

static void exchange(unsigned mask, const void *mine, unsigned size, void *all)
{
    meet(mask, mine, size, false, all);
}

static void warp_barrier(unsigned mask)
{
    meet(mask, "", 0, true, NULL);
}

static void thread_returns(void)
{
    warp *w = &warps[number() / 32];
    self->state = DONE;
    n_live--;
    w->live &= ~(1u << number() % 32);
    if (n_live && n_waiting == n_live)
        open_barrier();
    if (w->arrived && w->arrived == (w->mask & w->live))
        open_exchange(w);
}

/* ---- memory ---- */

static bool inside(const mem_range *r, const void *p, size_t n)
{
    const unsigned char *c = p;
    return r->size && c >= r->base && c < r->base + r->size &&
           n <= (size_t)(r->base + r->size - c);
}

static const char *const doing[] = {
    [KL_READ] = "reads", [KL_WRITE] = "writes", [KL_ATOMIC] = "atomically changes"};

static const mem_range *find_range(const void *p, size_t n, int kind)
{
    const unsigned char *c = p;
    if (inside(&dynamic_shared, p, n))
        return &dynamic_shared;
    if (inside(&static_shared, p, n))
        return &static_shared;
    if (mem_is_device(p)) {
        const mem_range *r = mem_find(p, n), *near = r ? r : mem_find(p, 0);
        if (r)
            return r;
        if (near)
            fault(CU_ILLEGAL_ADDRESS,
                  "%s %zu bytes at offset %zu of an allocation of %zu", doing[kind], n,
                  (size_t)(c - near->base), near->size);
        fault(CU_ILLEGAL_ADDRESS, "%s %zu bytes at %p, where nothing is allocated",
              doing[kind], n, p);
    }
    if (c >= stacks && c < stacks + MAX_THREADS * STACK)
        return NULL;
    if (c >= launch->code && c < launch->code_end)
        return NULL;
    if (c >= host.shared && c < host.shared + MAX_SHARED)
        fault(CU_ILLEGAL_ADDRESS, "%s %zu bytes at offset %zu of %u of shared memory",
              doing[kind], n, (size_t)(c - host.shared), launch->shared);
    fault(CU_ILLEGAL_ADDRESS, "%s %zu bytes at %p, an address of the host", doing[kind],
          n, p);
}

static void access(const void *p, unsigned long n, int kind)
{
    race_report other;
    const mem_range *r = find_range(p, n, kind);
    if (!r)
        return;
    if (n <= 16 && (n & (n - 1)) == 0 && ((uintptr_t)p & (n - 1)) != 0)
        fault(CU_ILLEGAL_ADDRESS, "%s %lu bytes at %p, which is not aligned", doing[kind],
              n, p);
    if (!self->record)
        self->record = race_record(number(), epoch, warps[number() / 32].epoch);
    size_t offset = (size_t)((const unsigned char *)p - r->base);
    if (!race_touch(r->cells + offset, n, kind, self->record, &other))
        return;
    bool shared = r == &dynamic_shared || r == &static_shared;
    fault(
        CU_LAUNCH_FAILED,
        "race: %s %lu bytes at offset %zu of %s of %zu bytes that block %u thread %u %s, "
        "and no barrier is between",
        doing[kind], n, offset, shared ? "shared memory" : "an allocation", r->size,
        other.block, other.thread, other.other_wrote ? "wrote" : "read");
}

/* ---- asynchronous copies ---- */

static void async_copy(void *to, const void *from, int size, int valid)
{
    if (self->ncopies == MAX_COPIES)
        fault(CU_LAUNCH_FAILED, "has %d asynchronous copies under way", MAX_COPIES);
    if (valid < 0 || valid > size || ((uintptr_t)to | (uintptr_t)from) % (unsigned)size)
        fault(CU_ILLEGAL_ADDRESS, "copies %d of %d bytes from %p to %p asynchronously",
              valid, size, from, to);
    if (valid)
        access(from, (unsigned long)valid, KL_READ);
    self->copies[self->ncopies++] = (copy){to, from, size, valid, self->group};
}

static void async_commit(void)
{
    self->group++;
}

static void async_wait(int pending)
{
    int kept = 0;
    for (int i = 0; i < self->ncopies; i++) {
        copy c = self->copies[i];
        if (c.group >= self->group - pending) {
            self->copies[kept++] = c;
            continue;
        }
        access(c.to, (unsigned long)c.size, KL_WRITE);
        memcpy(c.to, c.from, (size_t)c.valid);
        memset((char *)c.to + c.valid, 0, (size_t)(c.size - c.valid));
    }
    self->ncopies = kept;
}

/* ---- fibers ---- */

/* A fiber takes threads until there are none left. */
static void fiber_main(unsigned index)
{
    while (n_next < n_threads) {
        resume_as(&threads[n_next++]);
        self->fiber = &fibers[index];
        launch->entry->call(launch->params);
        thread_returns();
    }
    fibers[index].next_free = free_fibers;
    free_fibers = &fibers[index];
    _longjmp(scheduler, 1);
}

static void start_fiber(void)
{
    fiber *f = free_fibers;
    unsigned index = (unsigned)(f - fibers);
    free_fibers = f->next_free;
    f->context = pristine;
    f->context.uc_stack.ss_sp = stacks + index * STACK;
    f->context.uc_stack.ss_size = STACK;
    makecontext(&f->context, (void (*)(void))fiber_main, 1, index);
    setcontext(&f->context);
}

static bool next_ready(unsigned *from)
{
    for (unsigned i = 0; i < n_threads; i++, ++*from) {
        if (*from >= n_threads)
            *from = 0;
        if (threads[*from].state == READY)
            return true;
    }
    return false;
}

/* Until all threads have returned; false after a fault. */
static bool run_block(void)
{
    static unsigned turn;
    turn = 0;
    if (_setjmp(scheduler) == 2)
        return false;
    if (n_live == 0)
        return true;
    if (next_ready(&turn)) {
        resume_as(&threads[turn]);
        _longjmp(self->fiber->env, 1);
    }
    if (n_next < n_threads)
        start_fiber();
    self = NULL;
    fault(CU_LAUNCH_FAILED,
          "%u threads wait at a barrier and %u at a warp function, for ever", n_waiting,
          n_live - n_waiting);
}

/* ---- grids ---- */

static bool open_machine(void)
{
    if (stacks)
        return true;
    void *s = mmap(NULL, MAX_THREADS * STACK, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    dynamic_shared.base = aligned_alloc(4096, MAX_SHARED);
    dynamic_shared.cells = calloc(MAX_SHARED, sizeof(uint64_t));
    static_shared.cells = calloc(MAX_SHARED, sizeof(uint64_t));
    if (s == MAP_FAILED || !dynamic_shared.base || !dynamic_shared.cells ||
        !static_shared.cells || getcontext(&pristine) != 0)
        return false;
    stacks = s;
    host =
        (kl_host){access,     barrier,      warp_barrier, exchange,
                  async_copy, async_commit, async_wait,   .shared = dynamic_shared.base};
    return true;
}

/* Shared memory is new in each block: nobody touched it, and it holds NaNs. */
static void clear_shared(mem_range *r)
{
    memset(r->base, 0xff, r->size);
    memset(r->cells, 0, r->size * sizeof *r->cells);
}

static void begin_block(unsigned x)
{
    block_number = x;
    host.block = (kl_index3){x, 0, 0};
    n_next = n_waiting = epoch = 0;
    n_live = n_threads;
    memset(warps, 0, sizeof warps);
    for (unsigned i = 0; i < n_threads; i++) {
        threads[i].state = NEW;
        threads[i].record = 0;
        threads[i].group = threads[i].ncopies = 0;
        warps[i / 32].live |= 1u << i % 32;
    }
    if (dynamic_shared.size)
        clear_shared(&dynamic_shared);
    if (static_shared.size)
        clear_shared(&static_shared);
    race_block(x);
}

static void begin_grid(const grid_launch *l)
{
    launch = l;
    n_threads = l->block.x * l->block.y * l->block.z;
    dynamic_shared.size = l->shared;
    static_shared.base = l->module->shared;
    static_shared.size =
        l->module->shared ? (size_t)(l->module->shared_end - l->module->shared) : 0;
    *l->module->host = &host;
    host.block_dim = l->block;
    host.grid_dim = l->grid;
    free_fibers = NULL;
    for (unsigned i = n_threads; i-- > 0;) {
        fibers[i].next_free = free_fibers;
        free_fibers = &fibers[i];
    }
    race_launch();
}

cu_result grid_run(const grid_launch *l)
{
    if (!open_machine())
        return CU_OUT_OF_MEMORY;
    begin_grid(l);
    if (static_shared.size > 48 << 10) {
        snprintf(kl_standin.message, sizeof kl_standin.message,
                 "%.80s: more than 48 KiB of static shared memory", l->entry->name);
        return CU_LAUNCH_FAILED;
    }
    for (unsigned x = 0; x < l->grid.x; x++) {
        begin_block(x);
        if (!run_block())
            return fault_result;
        kl_standin.blocks++;
    }
    return CU_OK;
}
