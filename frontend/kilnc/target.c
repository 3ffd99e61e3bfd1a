/* target.c: the machine that the options name: a row of ir/target.def, or several levels
 * of x86-64 for one artefact.
 *
 *   --target=aarch64-linux-gnu        the least that its machines have
 *   --cpu=x86-64-v2,x86-64-v4         both, and the processor decides */
#include "kilnc.h"

/* Whose vectors and caches C is cut for, unless said otherwise. */
#define C_CPU "x86-64-v3"

static const char *triple_of(const char *given)
{
    static const char *const same[][2] = {
        {"x86_64-linux-gnu", "x86_64-unknown-linux-gnu"},
        {"x86_64-pc-linux-gnu", "x86_64-unknown-linux-gnu"},
        {"aarch64-linux-gnu", "aarch64-unknown-linux-gnu"}};
    for (size_t i = 0; i < KL_COUNT(same); i++)
        if (strcmp(same[i][0], given) == 0)
            return same[i][1];
    return given;
}

/* The first row of that triple: the least that its machines have. */
static const kl_target *target_of_triple(const char *triple)
{
    kl_text known = {0};
    for (int i = 0; i < kl_target_count(); i++) {
        const kl_target *t = kl_target_at(i);
        if (t->kind != KL_TARGET_CPU)
            continue;
        if (strcmp(t->triple, triple_of(triple)) == 0) {
            kl_text_free(&known);
            return t;
        }
        if (!known.s || !strstr(known.s, t->triple))
            kl_text_printf(&known, "%s%s", known.len ? ", " : "", t->triple);
    }
    kl_fail(KL_ERR_ARG, "no target '%.60s'; known are %s", triple,
            known.s ? known.s : "");
    kl_text_free(&known);
    return NULL;
}

/* sm_90 and sm_90a are one row. */
const kl_target *kl_target_of_arch(const char *arch)
{
    kl_text known = {0};
    size_t n = strlen(arch);
    for (int i = 0; i < kl_target_count(); i++) {
        const kl_target *t = kl_target_at(i);
        if (t->kind != KL_TARGET_CUDA)
            continue;
        size_t m = strlen(t->name) - (t->arch_suffix != 0);
        if (strcmp(t->name, arch) == 0 || (n == m && strncmp(t->name, arch, n) == 0)) {
            kl_text_free(&known);
            return t;
        }
        kl_text_printf(&known, "%s%s", known.len ? ", " : "", t->name);
    }
    kl_fail(KL_ERR_ARG, "no GPU '%.60s'; known are %s", arch, known.s ? known.s : "");
    kl_text_free(&known);
    return NULL;
}

const kl_target *kl_target_of_cpu(const char *cpu)
{
    kl_text known = {0};
    if (strcmp(cpu, "host") == 0)
        return kl_target_host();
    for (int i = 0; i < kl_target_count(); i++) {
        const kl_target *t = kl_target_at(i);
        if (t->kind != KL_TARGET_CPU)
            continue;
        if (strcmp(t->name, cpu) == 0) {
            kl_text_free(&known);
            return t;
        }
        kl_text_printf(&known, ", %s", t->name);
    }
    kl_fail(KL_ERR_ARG, "no CPU '%.60s'; known are host%s", cpu, known.s ? known.s : "");
    kl_text_free(&known);
    return NULL;
}

/* ---- several levels ---- */

static int level_of(const char *name, size_t n)
{
    for (int i = 0; i < KL_CPU_LEVELS; i++)
        if (strlen(kl_cpu_levels[i].row) == n &&
            memcmp(kl_cpu_levels[i].row, name, n) == 0)
            return i;
    return -1;
}

static kl_status read_levels(const char *list, kl_targets *out)
{
    bool wanted[KL_CPU_LEVELS] = {false};
    *out = (kl_targets){.n = 0};
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t n = strcspn(at, ",");
        int i = level_of(at, n);
        if (i < 0)
            return kl_fail(KL_ERR_ARG,
                           "--cpu: several are x86-64-v2, x86-64-v3 and x86-64-v4, not "
                           "'%.*s'",
                           (int)KL_MIN(n, 60), at);
        if (wanted[i])
            return kl_fail(KL_ERR_ARG, "--cpu: %s is given twice", kl_cpu_levels[i].row);
        wanted[i] = true;
    }
    for (int i = 0; i < KL_CPU_LEVELS; i++)
        if (wanted[i])
            out->at[out->n++] = kl_target_find(kl_cpu_levels[i].row);
    return KL_OK;
}

/* ---- one ---- */

static const kl_target *for_cpu(const kl_options *o)
{
    const kl_target *t = o->target ? target_of_triple(o->target) : NULL, *cpu;
    if (!o->cpu && !o->target && kl_is_source(o))
        return kl_target_find(C_CPU); /* the same text on every machine */
    if (!o->cpu)
        return o->target ? t : kl_target_host();
    if (o->target && !t)
        return NULL;
    cpu = kl_target_of_cpu(o->cpu);
    if (cpu && t && strcmp(cpu->triple, t->triple) != 0) {
        kl_fail(KL_ERR_ARG, "CPU %s is %s, not %s", o->cpu, cpu->triple, t->triple);
        return NULL;
    }
    return cpu;
}

static kl_status choose_levels(const kl_options *o, kl_targets *out)
{
    const kl_target *t = o->target ? target_of_triple(o->target) : NULL;
    KL_TRY(read_levels(o->cpu, out));
    if (o->target && !t)
        return kl_error_status();
    return !t || strcmp(t->triple, out->at[0]->triple) == 0
               ? KL_OK
               : kl_fail(KL_ERR_ARG, "CPU %s is %s, not %s", out->at[0]->name,
                         out->at[0]->triple, t->triple);
}

kl_status kl_targets_choose(const kl_options *o, bool gpu, kl_targets *out)
{
    const kl_target *arch = o->arch ? kl_target_of_arch(o->arch) : NULL;
    if (o->arch && !arch)
        return kl_error_status();
    if (o->cpu && strchr(o->cpu, ','))
        return choose_levels(o, out);
    const kl_target *cpu = for_cpu(o);
    if (!cpu)
        return kl_error_status();
    *out = (kl_targets){{cpu}, 1};
    if (gpu)
        out->at[0] = arch ? arch : kl_target_of_arch("sm_80");
    return KL_OK;
}
