/* kilnc.h: the command's parts.
 *
 *   main.c     options, files in and out
 *   target.c   the machine that the options name
 *   model.c    models of all kinds of files
 *   launcher.c a GPU's program as a C file
 *   source.c   a program as a C file of its own
 *   ctext.c    what C files share
 *   stages.c   the text of each stage; the table of operations
 *   dot.c      a graph for Graphviz
 *   cache.c    kilnc cache
 *   bisect.c   kilnc bisect */
#ifndef KL_KILNC_H
#define KL_KILNC_H

#include "artefact.h"

typedef struct kl_options {
    const char *model, *out, *header, *emit, *report, *launcher;
    const char *target, *cpu, *arch, *weights, *scratch, *name, *dims;
    bool check, lines, list_ops, help, version;
} kl_options;

/* A .kl or .onnx file, as kl_model_read. dims (may be NULL): bounds of an ONNX model's
 * open dimensions, "batch=1..64,seq=128". says (may be NULL): its operators. */
kl_status kl_model_open(const char *path, const char *dims, bool with_weights,
                        kl_text *says, kl_model *m);
bool kl_is_onnx(const char *path);
/* The same compiled for this machine, to be run; NULL, and no error: it cannot be. */
kl_function *kl_function_open(const char *path, const char *dims);

/* The program of a, compiled for a GPU, as C around the module's bytes. */
kl_status kl_launcher(const kl_artefact *a, const kl_text *image, kl_text *out);

/* ---- source.c, ctext.c ---- */

/* The program of a and its kernels as one C file; from: what it was made of. */
kl_status kl_c_source(const kl_artefact *a, const char *from, kl_text *out);

/* Bytes of weights in a C file, and of static memory. */
enum { KL_C_EMBED_MOST = 16 << 20 };
/* Postfix code as an expression of C over d[..]. */
const char *kl_c_size(kl_arena *a, kl_size s);
const char *kl_c_about(kl_arena *a, kl_size s); /* as a double: it does not wrap */
void kl_c_bytes(kl_text *out, const char *name, const void *bytes, size_t n);
/* Codes, bounds of dimensions, which output may lie on which input. */
void kl_c_tables(const kl_artefact *a, kl_text *out);
/* kl_sizes(d, bytes): of each input, weights being 0, each output, and `last`. */
void kl_c_sizes(const kl_artefact *a, kl_arena *into, const char *last, kl_text *out);
const char *kl_c_port_bytes(kl_arena *a, const kl_port *port);
/* Part `part` of a text whose parts stand between lines "@@". */
void kl_c_text(kl_text *out, const char *const *text, int part);
extern const char *const kl_c_checks[];

/* Text of a stage of m (read, not compiled) for that target, appended. */
kl_status kl_emit_stage(kl_model *m, const char *stage, const kl_target *t, kl_text *out);
bool kl_emit_known(const char *stage);
bool kl_emit_is_cuda(const char *stage);
extern const char kl_emit_names[]; /* "graph, kernel, .." */
void kl_ops_list(kl_text *out);
void kl_graph_dot(const kl_graph *g, kl_text *out);
bool kl_is_source(const kl_options *o); /* -o OUT.c */
/* What the options name, one target or several levels of x86-64 in their order; recorded
 * with the list of known ones when there is none such. gpu: a GPU is wanted. */
typedef struct kl_targets {
    const kl_target *at[KL_CPU_LEVELS];
    int n;
} kl_targets;
kl_status kl_targets_choose(const kl_options *o, bool gpu, kl_targets *out);
const kl_target *kl_target_of_arch(const char *arch); /* sm_90 and sm_90a are one row */
const kl_target *kl_target_of_cpu(const char *cpu);

/* Sub-commands: their arguments, without their name; text for standard output. */
kl_status kl_command_cache(int argc, char **argv, kl_text *out);
kl_status kl_command_bisect(int argc, char **argv, kl_text *out);

#endif
