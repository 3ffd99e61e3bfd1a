/* fork.c: a child of fork finds everything in order.
 *
 * A child has one thread, and what other threads were amid stays half done in it, with
 * locks that nobody lets go. So a fork waits until no other thread is amid a program
 * (compiling it, or between two kernels or chunks of it); those that come meanwhile wait
 * for the fork.
 *
 *     thread    enter ... compile ... kernel, pause, kernel ... leave
 *     fork                                   ^ here, or after leave
 *
 * Whoever keeps a lock or threads of his own says by kl_at_fork what to do then. */
#include "runtime/runtime.h"

#include <pthread.h>
#include <unistd.h>

enum { MOST = 8, NAP_US = 50 };

static struct {
    void (*before)(void), (*after)(void), (*child)(void);
} hooks[MOST];
static int nhooks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t amid, forks; /* threads' entries that are amid a program; forks begun */
static _Thread_local uint32_t mine;

static uint32_t load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void before(void)
{
    __atomic_add_fetch(&forks, 1, __ATOMIC_SEQ_CST);
    while (load(&amid) > mine)
        usleep(NAP_US);
    pthread_mutex_lock(&lock);
    for (int i = nhooks; i-- > 0;)
        if (hooks[i].before)
            hooks[i].before();
}

static void after(void)
{
    for (int i = 0; i < nhooks; i++)
        if (hooks[i].after)
            hooks[i].after();
    pthread_mutex_unlock(&lock);
    __atomic_sub_fetch(&forks, 1, __ATOMIC_SEQ_CST);
}

static void child(void)
{
    for (int i = 0; i < nhooks; i++)
        if (hooks[i].child)
            hooks[i].child();
    pthread_mutex_unlock(&lock);
    amid = mine;
    forks = 0;
}

static void install(void)
{
    pthread_atfork(before, after, child);
}

static void ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

bool kl_at_fork(void (*before_it)(void), void (*after_it)(void), void (*in_child)(void))
{
    ready();
    pthread_mutex_lock(&lock);
    bool room = nhooks < MOST;
    if (room) {
        hooks[nhooks].before = before_it;
        hooks[nhooks].after = after_it;
        hooks[nhooks++].child = in_child;
    }
    pthread_mutex_unlock(&lock);
    return room;
}

void kl_fork_on(uint32_t entries)
{
    ready();
    for (;;) {
        __atomic_add_fetch(&amid, entries, __ATOMIC_SEQ_CST);
        if (mine || !load(&forks)) /* who is amid already has been waited for */
            break;
        __atomic_sub_fetch(&amid, entries, __ATOMIC_SEQ_CST);
        while (load(&forks))
            usleep(NAP_US);
    }
    mine += entries;
}

uint32_t kl_fork_off(void)
{
    uint32_t entries = mine;
    mine = 0;
    __atomic_sub_fetch(&amid, entries, __ATOMIC_SEQ_CST);
    return entries;
}

void kl_fork_enter(void)
{
    kl_fork_on(1);
}

void kl_fork_leave(void)
{
    mine--;
    __atomic_sub_fetch(&amid, 1, __ATOMIC_SEQ_CST);
}

void kl_fork_pause(void)
{
    if (load(&forks) && mine)
        kl_fork_on(kl_fork_off());
}
