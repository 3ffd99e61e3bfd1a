/* artefact.h: from a model's file to files that a C program is built with.
 *
 *   artefact_model.c    a graph and its weights, read and compiled
 *   artefact_header.c   the C header of an entry
 *   artefact_file.c     static and shared libraries around an object
 *   artefact_report.c   a page that shows what programs became
 *   shrink.c            the smallest part of a graph that still goes wrong */
#ifndef KL_FRONT_ARTEFACT_H
#define KL_FRONT_ARTEFACT_H

#include "codegen/codegen.h"
#include "kiln/compile.h"
#include "passes/passes.h"

/* ---- artefact_model.c ---- */

typedef enum kl_weights_mode {
    KL_WEIGHTS_EMBED,
    KL_WEIGHTS_ARGS,
    KL_WEIGHTS_FILE
} kl_weights_mode;

/* Whose an artefact's working memory is. */
typedef enum kl_scratch_mode {
    KL_SCRATCH_FIT,    /* static; taken by each call where that would be too much */
    KL_SCRATCH_STATIC, /* in the object */
    KL_SCRATCH_HEAP,   /* taken by each call */
    KL_SCRATCH_CALLER
} kl_scratch_mode;

typedef struct kl_model {
    kl_arena *arena;
    kl_graph *graph;    /* as read */
    kl_archive archive; /* the weights' file */
    kl_buffer *in;      /* per input: its value, or no memory: an argument */
    kl_unit unit;       /* once compiled */
    kl_text weights;    /* as kl_artefact_weights gives them */
    int64_t *weight;
    int *syms; /* the entry's dims in order of first appearance among the inputs */
    kl_function *function; /* whose graph it is, or NULL */
} kl_model;

/* A .kl file; with_weights: the file that its head names is read too, and inputs that it
 * names are checked against it. Whatever comes back, kl_model_free. */
kl_status kl_model_read(const char *path, bool with_weights, kl_model *m);
kl_status kl_model_parse(const char *path, const char *text, bool with_weights,
                         kl_model *m);
/* The model of a traced function, which is m's from here on, also on failure. */
kl_status kl_model_of(kl_function *f, bool with_weights, kl_model *m);
void kl_model_free(kl_model *m);
/* Passes up to `last` (NULL: all) for that target; afterwards m->unit has what they made.
 */
kl_status kl_model_compile(kl_model *m, const kl_target *t, const char *last);
/* The model, compiled n times, m[i] for the i-th level, as codegen takes it; name must be
 * kl_c_name's. */
kl_status kl_model_artefact(kl_model *m, int n, const char *name, kl_weights_mode weights,
                            kl_scratch_mode scratch, kl_artefact *out);

/* ---- artefact_header.c ---- */

/* text as a C and C++ identifier: other characters become '_', a keyword gets one more.
 */
void kl_c_name(const char *text, char *out, size_t cap);
bool kl_is_c_name(const char *text);
/* What dtype's elements are in C; complex numbers are pairs. */
const char *kl_c_type(kl_dtype dt);
/* source: what it was made of, for the first line. */
kl_status kl_artefact_header(const kl_artefact *a, const char *source, kl_text *out);

/* Prototypes of the C functions that the program calls. */
kl_status kl_artefact_calls(const kl_artefact *a, kl_text *out);

/* The entry in C, by kl_run(d, port): d the dimensions by the program's numbers, port
 * the inputs' and outputs' addresses, 0 for weights, then the caller's scratch, and
 * NAME_scratch_bytes by kl_scratch_bytes(d). */
kl_status kl_artefact_entry(const kl_artefact *a, kl_text *out);

/* ---- artefact_file.c ---- */

/* The symbols that a linker sees of an artefact: at most 4. */
int kl_artefact_symbols(const kl_artefact *a, char names[4][320]);
/* A static library of one object. */
kl_status kl_static_library(const kl_artefact *a, const void *object, size_t size,
                            kl_text *out);
/* A shared library, by ld.lld or ld, whichever is found first on the path. */
kl_status kl_shared_library(const char *soname, const void *object, size_t size,
                            kl_text *out);

/* ---- artefact_report.c ---- */

/* A program of a report: its model, read twice, once for each target, neither compiled;
 * run (may be NULL): the same compiled for this machine, to be measured. */
typedef struct kl_report_part {
    const char *name;
    kl_model *cpu, *gpu;
    const kl_function *run;
} kl_report_part;

/* A page of its own, appended, that shows what n programs became, each kernel at every
 * stage. Programs that can be run on made-up inputs (trial.h) have their steps timed. */
kl_status kl_report(const char *title, const kl_report_part *parts, int n,
                    const kl_target *cpu, const kl_target *gpu, kl_text *out);

/* ---- shrink.c ---- */

/* While fails(user, part) is true of a smaller part of *g, take that: one output instead
 * of all, an input in place of a node. A part lies in g's arena; fails must not change
 * it. */
typedef bool (*kl_fails_fn)(void *user, const kl_graph *part);
kl_status kl_graph_shrink(kl_graph **g, kl_fails_fn fails, void *user);

#endif
