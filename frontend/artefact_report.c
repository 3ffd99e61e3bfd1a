/* artefact_report.c: a page of its own that shows what models became: kilnc --report,
 * kiln.torch.report(html=).
 *
 *   page.html          the page: style, script, no network
 *   {"programs": ..}   its data: each program's kernels at every stage, each line of the
 *                      LLVM IR and of the assembly with the line of the loops that it
 *                      comes from; its steps with what they read and write, for the
 *                      graph, and how long they took; what the machine's memory and
 *                      arithmetic allow
 *
 * The lines come from the line tables that --lines writes into objects: here the texts
 * are made with them, and the tables are read back out of the text. */
#include "artefact.h"
#include "front.h"
#include "function.h"
#include "trial.h"

#include <ctype.h>
#include <stdlib.h>

static const char *const page[] = {
#include "page.inc"
};

typedef struct report {
    kl_text *out;
    const kl_target *cpu, *gpu;
    kl_model *m;             /* of the program that is written now */
    kl_kernel **gpu_kernels; /* the same algorithms, scheduled for the GPU */
    int ngpu;
    int64_t *times; /* by step, nanoseconds; NULL: not run */
} report;

static void put_string(kl_text *out, const char *s)
{
    kl_text_put_json(out, s ? s : "");
}

/* ---- the lines of a text and where they come from ---- */

typedef struct listing {
    kl_text text;
    uint32_t *at; /* a line of the loops each; 0: none */
    size_t n, cap;
} listing;

static void add_line(listing *l, const char *s, size_t len, uint32_t at)
{
    if (!kl_grow(&l->at, l->n, &l->cap, sizeof *l->at)) {
        l->text.failed = true;
        return;
    }
    l->at[l->n++] = at;
    kl_text_putn(&l->text, s, len);
    kl_text_putn(&l->text, "\n", 1);
}

static void put_listing(kl_text *out, const char *name, listing *l)
{
    kl_text_printf(out, ",\"%s\":{\"text\":", name);
    put_string(out, l->text.s);
    kl_text_put(out, ",\"at\":[");
    for (size_t i = 0; i < l->n; i++)
        kl_text_printf(out, i ? ",%u" : "%u", l->at[i]);
    kl_text_put(out, "]}");
    if (l->text.failed)
        out->failed = true;
    kl_text_free(&l->text);
    kl_free(l->at, l->cap * sizeof *l->at);
    *l = (listing){0};
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* "\t.loc\t1 12 1": line 12 from here on. Directives that carry tables are left out. */
static void read_assembly(const char *text, listing *l)
{
    uint32_t at = 0;
    for (const char *s = text; *s;) {
        size_t n = strcspn(s, "\n");
        if (begins(s, "\t.section\t.debug"))
            return;
        if (begins(s, "\t.loc\t")) {
            char *end;
            strtol(s + 6, &end, 10);
            at = (uint32_t)strtoul(end, NULL, 10);
        } else if (!begins(s, ".Ltmp") && !begins(s, "\t.file") && !begins(s, ".Lfunc") &&
                   !begins(s, "\t.cfi")) {
            bool code = s[0] == '\t' && isalpha((unsigned char)s[1]);
            add_line(l, s, n, code ? at : 0);
        }
        s += n + (s[n] == '\n');
    }
}

/* The number of a line: "!12 = !DILocation(line: 34, .." gives 34 for 12. */
static void read_locations(const char *text, uint32_t *line, size_t cap)
{
    for (const char *s = strstr(text, "!DILocation(line: "); s;
         s = strstr(s + 1, "!DILocation(line: ")) {
        const char *id = s;
        while (id > text && id[-1] != '\n')
            id--;
        unsigned long i = *id == '!' ? strtoul(id + 1, NULL, 10) : cap;
        if (i < cap)
            line[i] = (uint32_t)strtoul(s + strlen("!DILocation(line: "), NULL, 10);
    }
}

/* ", !dbg !12" at a line's end. Metadata stands at the end of the text. */
static void read_ir(const char *text, listing *l)
{
    enum { LOCATIONS = 1 << 16 };
    uint32_t *line = kl_alloc_zeroed(LOCATIONS * sizeof *line);
    if (!line) {
        l->text.failed = true;
        return;
    }
    read_locations(text, line, LOCATIONS);
    for (const char *s = text; *s && !begins(s, "!llvm.") && !begins(s, "attributes ");) {
        size_t n = strcspn(s, "\n"), keep = n;
        unsigned long id = 0;
        for (size_t i = 0; i + 8 < n; i++)
            if (begins(s + i, ", !dbg !"))
                keep = i, id = strtoul(s + i + 8, NULL, 10);
        bool head = begins(s, "define");
        if (!begins(s, "source_filename") && !begins(s, "target "))
            add_line(l, s, head ? n : keep, id < LOCATIONS && !head ? line[id] : 0);
        s += n + (s[n] == '\n');
    }
    kl_free(line, LOCATIONS * sizeof *line);
}

/* ---- one kernel ---- */

static void put_text(report *r, const char *name, const kl_text *t)
{
    kl_text_printf(r->out, ",\"%s\":{\"text\":", name);
    put_string(r->out, t->s);
    kl_text_put(r->out, "}");
}

/* LLVM IR or assembly of k, whose statements know their lines. */
static kl_status put_code(report *r, const kl_kernel *k, const char *name,
                          kl_llvm_output what)
{
    kl_text t = {0};
    listing l = {0};
    kl_status s = kl_codegen_cpu_lines(&k, 1, r->cpu, what, &t);
    if (s == KL_OK && t.s)
        (what == KL_LLVM_IR ? read_ir : read_assembly)(t.s, &l);
    if (s == KL_OK)
        put_listing(r->out, name, &l);
    kl_text_free(&t);
    return s;
}

/* The same algorithm on the GPU; without NVRTC there is no PTX. */
static kl_status put_gpu(report *r, const kl_kernel *k)
{
    const kl_kernel *same = NULL;
    kl_text cuda = {0}, ptx = {0};
    for (int i = 0; i < r->ngpu && !same; i++)
        if (strcmp(r->gpu_kernels[i]->name, k->name) == 0)
            same = r->gpu_kernels[i];
    if (!same)
        return KL_OK;
    kl_status s = kl_codegen_cuda(&same, 1, r->gpu, KL_CUDA_BODY, &cuda);
    if (s == KL_OK)
        put_text(r, "cuda", &cuda);
    if (s == KL_OK && kl_codegen_cuda(&same, 1, r->gpu, KL_CUDA_PTX, &ptx) == KL_OK)
        put_text(r, "ptx", &ptx);
    else if (s == KL_OK)
        kl_error_clear();
    kl_text_free(&cuda);
    kl_text_free(&ptx);
    return s;
}

static kl_status put_kernel(report *r, kl_kernel *k)
{
    kl_text form = {0}, loops = {0}, head = {0};
    kl_text_put(r->out, "{\"name\":");
    put_string(r->out, k->name);
    kl_text_put(r->out, ",\"place\":");
    put_string(r->out, k->place);
    kl_kernel_head(k, &head);
    kl_text_put(r->out, ",\"head\":");
    put_string(r->out, head.s);
    kl_kernel_print(k, &form);
    kl_loops_lines(k, 0, &loops);
    put_text(r, "kernel", &form);
    put_text(r, "loops", &loops);
    bool failed = form.failed || loops.failed || head.failed;
    kl_text_free(&form);
    kl_text_free(&loops);
    kl_text_free(&head);
    if (failed)
        return kl_fail(KL_ERR_OOM, "out of memory: report");
    KL_TRY(put_code(r, k, "llvm", KL_LLVM_IR));
    KL_TRY(put_code(r, k, "asm", KL_LLVM_ASM));
    KL_TRY(put_gpu(r, k));
    kl_text_put(r->out, "}");
    return KL_OK;
}

static kl_status put_kernels(report *r)
{
    int n;
    kl_kernel **kernels = kl_unit_kernels(&r->m->unit, &n);
    if (!kernels)
        return kl_error_status();
    kl_text_put(r->out, ",\"kernels\":[");
    for (int i = 0; i < n; i++) {
        kl_text_put(r->out, i ? ",\n" : "\n");
        KL_TRY(put_kernel(r, kernels[i]));
    }
    kl_text_put(r->out, "]");
    return KL_OK;
}

/* ---- the program's steps ---- */

static const char *kind_name(kl_step_kind kind)
{
    static const char *const names[] = {
        [KL_STEP_LAUNCH] = "kernel", [KL_STEP_COPY] = "copy",
        [KL_STEP_FILL] = "fill",     [KL_STEP_CALL] = "call",
        [KL_STEP_LOOP] = "loop",     [KL_STEP_BRANCH] = "branch"};
    return names[kind];
}

/* Is operand i of the step's kernel a result? Of other steps the last slot is one. */
static bool writes(const report *r, const kl_step *s, int i)
{
    if (s->kind == KL_STEP_COPY || s->kind == KL_STEP_FILL)
        return i == 0;
    if (s->kind != KL_STEP_LAUNCH)
        return i >= s->ncarry;
    for (int k = 0; k < r->m->unit.nkernels; k++) {
        const kl_kernel *q = r->m->unit.kernels[k];
        uint32_t at = 0;
        if (q->call || strcmp(q->name, s->name) != 0)
            continue;
        for (uint32_t o = 0; o < q->noperands; o++)
            if (q->operands[o].role != KL_ROLE_TILE && (int)at++ == i)
                return q->operands[o].role != KL_ROLE_IN;
    }
    return false;
}

static void put_slots(report *r, const kl_step *s, bool out)
{
    bool first = true;
    kl_text_printf(r->out, ",\"%s\":[", out ? "writes" : "reads");
    for (int i = 0; i < s->nslots; i++)
        if (writes(r, s, i) == out) {
            kl_text_printf(r->out, first ? "%d" : ",%d", s->slots[i]);
            first = false;
        }
    kl_text_put(r->out, "]");
}

static void put_steps(report *r, const kl_program *p)
{
    kl_text_put(r->out, ",\"steps\":[");
    for (int i = 0; i < p->nsteps; i++) {
        const kl_step *s = &p->steps[i];
        kl_text_printf(r->out, "%s{\"kind\":\"%s\",\"name\":", i ? ",\n" : "\n",
                       kind_name(s->kind));
        put_string(r->out, s->name);
        kl_text_put(r->out, ",\"place\":");
        put_string(r->out, s->place);
        kl_text_put(r->out, ",\"flops\":");
        kl_text_put_float(r->out, KL_F64, s->flops);
        kl_text_put(r->out, ",\"bytes\":");
        kl_text_put_float(r->out, KL_F64, s->bytes);
        if (r->times)
            kl_text_printf(r->out, ",\"ns\":%lld", (long long)r->times[i]);
        put_slots(r, s, false);
        put_slots(r, s, true);
        kl_text_put(r->out, "}");
    }
    kl_text_put(r->out, "],\"slots\":[");
    for (int i = 0; i < p->nslots; i++) {
        const kl_slot *s = &p->slots[i];
        kl_text_printf(r->out,
                       "%s{\"kind\":%d,\"dtype\":\"%s\",\"name\":", i ? ",\n" : "\n",
                       (int)s->kind, kl_dtypes[s->dtype].name);
        put_string(r->out, s->name);
        kl_text_put(r->out, ",\"bytes\":");
        kl_text_put_float(r->out, KL_F64,
                          p->nsyms ? 0 : (double)kl_size_eval(s->bytes, NULL));
        kl_text_put(r->out, "}");
    }
    kl_text_put(r->out, "]");
}

/* r->times; left alone where the program cannot be run. */
static void measure(report *r, const kl_function *f)
{
    const kl_program *p = f ? f->program : NULL;
    kl_trial t;
    if (!p || p->nsteps != r->m->unit.program->nsteps ||
        !kl_trial_new(&t, p, f->held, f->nin))
        return;
    int64_t *best = kl_arena_alloc(r->m->arena, ((size_t)p->nsteps + 1) * sizeof *best);
    if (best && kl_trial_run(&t, p, best))
        r->times = best;
    kl_error_clear();
    kl_trial_free(&t);
}

/* ---- all of it ---- */

static kl_status put_program(report *r, const kl_report_part *part)
{
    r->m = part->cpu;
    r->times = NULL;
    KL_TRY(kl_model_compile(part->cpu, r->cpu, NULL));
    KL_TRY(kl_model_compile(part->gpu, r->gpu, NULL));
    if (!(r->gpu_kernels = kl_unit_kernels(&part->gpu->unit, &r->ngpu)))
        return kl_error_status();
    measure(r, part->run);
    kl_text_put(r->out, "{\"name\":");
    put_string(r->out, part->name);
    put_steps(r, r->m->unit.program);
    KL_TRY(put_kernels(r));
    kl_text_put(r->out, "}");
    return KL_OK;
}

static kl_status put_data(report *r, const char *title, const kl_report_part *parts,
                          int n)
{
    double bytes, flops;
    KL_TRY(kl_machine_speed(&bytes, &flops));
    kl_text_put(r->out, "{\"model\":");
    put_string(r->out, title);
    kl_text_printf(r->out,
                   ",\"target\":\"%s\",\"gpu\":\"%s\",\"roof\":{\"bytes\":", r->cpu->name,
                   r->gpu->name);
    kl_text_put_float(r->out, KL_F64, bytes);
    kl_text_put(r->out, ",\"flops\":");
    kl_text_put_float(r->out, KL_F64, flops);
    kl_text_put(r->out, "},\"programs\":[");
    for (int i = 0; i < n; i++) {
        kl_text_put(r->out, i ? ",\n" : "\n");
        KL_TRY(put_program(r, &parts[i]));
    }
    kl_text_put(r->out, "]}");
    return KL_OK;
}

kl_status kl_report(const char *title, const kl_report_part *parts, int n,
                    const kl_target *cpu, const kl_target *gpu, kl_text *out)
{
    report r = {.out = out, .cpu = cpu, .gpu = gpu};
    for (size_t i = 0; i < KL_COUNT(page); i++) {
        if (strcmp(page[i], "@data\n") == 0)
            KL_TRY(put_data(&r, title, parts, n));
        else
            kl_text_put(out, page[i]);
    }
    return out->failed ? kl_fail(KL_ERR_OOM, "out of memory: report") : KL_OK;
}
