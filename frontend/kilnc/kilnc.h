/* kilnc.h: the command's parts.
 *
 *   main.c     options, files in and out
 *   target.c   the machine that the options name
 *   model.c    models of all kinds of files
 *   launcher.c a GPU's program as a C file
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

/* Text of a stage of m (read, not compiled) for that target, appended. */
kl_status kl_emit_stage(kl_model *m, const char *stage, const kl_target *t, kl_text *out);
bool kl_emit_known(const char *stage);
bool kl_emit_is_cuda(const char *stage);
extern const char kl_emit_names[]; /* "graph, kernel, .." */
void kl_ops_list(kl_text *out);
void kl_graph_dot(const kl_graph *g, kl_text *out);
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
