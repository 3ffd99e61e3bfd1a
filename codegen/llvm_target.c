/* llvm_target.c: a row of ir/target.def as an LLVM target machine.
 *
 * Only rows of our own table pass: LLVM warns on stderr, or ends the process, over a CPU
 * name it does not know. Making a machine costs a good part of a small compile (its
 * scheduling model and feature bits are set up anew), and one machine must not serve two
 * threads at once, so each thread keeps the last few it made:
 *
 *   (zen4, QUICK) -> machine, (zen4, THOROUGH) -> machine, ...      freed when the thread
 * ends */
#include "codegen/codegen.h"

#include <pthread.h>

enum { KEPT = 4, RELOC_PIC = 2, MODEL_SMALL = 3 };

/* What a class asks of LLVM. Measured on a Zen 4, AVX-512, milliseconds of kl_llvm_emit
 * and the kernel's time against the best, for chains of 60, 150, 400 vector instructions
 * (a masked loop) and a contraction's 8x48 tile:
 *
 *                  60           150          400          8x48 tile
 *   QUICK          1.3  1.32    2.4  1.22    5.7  1.17    1.2  5.2      (AVX2: 400
 * runs 2.0) NORMAL         3.2  1.00    5.4  1.00    12   1.01    2.3  1.00 THOROUGH
 * 3.5  1.00    5.8  1.00    13   1.00    2.5  1.00 default<O2>    5.9  1.00    9.7  1.00
 * 21   1.00    5.0  1.00
 *
 * Level 0 selects fast and spills at each block's end: fit for one long body, not for
 * values carried round a loop. Levels 1 and 2 give the same code here. */
static const struct {
    int level;                     /* LLVMCodeGenOptLevel: 0 none, 1 less, 2 default */
    const char *passes, *passes17; /* LLVM 17's, where they are spelt otherwise */
} classes[] = {
    [KL_LLVM_QUICK] = {0, "mem2reg", NULL},
    [KL_LLVM_NORMAL] = {1, "sroa,early-cse", NULL},
    /* 18 and later end the process where one round of instcombine left something to do */
    [KL_LLVM_THOROUGH] = {2,
                          "function(sroa,early-cse,instcombine<no-verify-fixpoint>,"
                          "loop-mssa(licm))",
                          "function(sroa,early-cse,instcombine,loop-mssa(licm))"},
};
_Static_assert(KL_COUNT(classes) == KL_LLVM_CLASS_COUNT, "a row a class");

enum { LONG = 100, VERY_LONG = 600 }; /* vector instructions: 5 ms and 18 ms as NORMAL */

kl_llvm_class kl_llvm_choose(const kl_target *t, int64_t instructions, bool carried)
{
    int64_t limit =
        t->vector_regs >= 32 ? LONG : VERY_LONG; /* QUICK spills from 16 registers */
    return carried || instructions <= limit ? KL_LLVM_NORMAL : KL_LLVM_QUICK;
}

typedef struct machine {
    const kl_target *target;
    kl_llvm_class cls;
    LLVMTargetMachineRef tm;
} machine;
typedef struct machines {
    machine kept[KEPT]; /* most recently used first */
} machines;

static _Thread_local machines mine;
static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void release(void *p)
{
    machines *ms = p;
    for (int i = 0; i < KEPT; i++)
        if (ms->kept[i].tm)
            LL.DisposeTargetMachine(ms->kept[i].tm);
    memset(ms, 0, sizeof *ms);
}

static void make_key(void)
{
    pthread_key_create(&key, release);
}

static machines *thread_machines(void)
{
    pthread_once(&key_once, make_key);
    pthread_setspecific(key, &mine);
    return &mine;
}

static bool is_ours(const kl_target *t)
{
    for (int i = 0; i < kl_target_count(); i++)
        if (t == kl_target_at(i))
            return t->kind == KL_TARGET_CPU;
    return t == kl_target_host();
}

static kl_status make(const kl_target *t, kl_llvm_class cls, LLVMTargetMachineRef *out)
{
    LLVMTargetRef target;
    char *why = NULL;
    if (LL.GetTargetFromTriple(t->triple, &target, &why)) {
        kl_status s =
            kl_fail(KL_ERR_COMPILE, "this libLLVM cannot emit %s: %s", t->triple, why);
        LL.DisposeMessage(why);
        return s;
    }
    *out = LL.CreateTargetMachine(target, t->triple, t->cpu, t->features,
                                  classes[cls].level, RELOC_PIC, MODEL_SMALL);
    return *out ? KL_OK : kl_fail(KL_ERR_COMPILE, "LLVM has no machine for %s", t->name);
}

/* Bring entry i to the front. */
static void to_front(machines *ms, int i)
{
    machine m = ms->kept[i];
    memmove(ms->kept + 1, ms->kept, (size_t)i * sizeof m);
    ms->kept[0] = m;
}

kl_status kl_llvm_machine(const kl_target *t, kl_llvm_class cls,
                          LLVMTargetMachineRef *out)
{
    if (!t || !is_ours(t))
        return kl_fail(KL_ERR_ARG, "llvm: %s is no CPU target of kiln's table",
                       t ? t->name : "(null)");
    KL_TRY(kl_llvm_open());
    machines *ms = thread_machines();
    for (int i = 0; i < KEPT; i++)
        if (ms->kept[i].tm && ms->kept[i].target == t && ms->kept[i].cls == cls) {
            to_front(ms, i);
            *out = ms->kept[0].tm;
            return KL_OK;
        }
    LLVMTargetMachineRef tm;
    KL_TRY(make(t, cls, &tm));
    if (ms->kept[KEPT - 1].tm)
        LL.DisposeTargetMachine(ms->kept[KEPT - 1].tm);
    ms->kept[KEPT - 1] = (machine){t, cls, tm};
    to_front(ms, KEPT - 1);
    *out = tm;
    return KL_OK;
}

void kl_llvm_machines_abandon(void)
{
    memset(&mine, 0, sizeof mine);
}

const char *kl_llvm_passes(kl_llvm_class cls)
{
    bool old = kl_llvm_version() < 18 && classes[cls].passes17;
    return old ? classes[cls].passes17 : classes[cls].passes;
}
