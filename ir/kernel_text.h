/* kernel_text.h: what the texts of the levels kernel and loops share: names, expressions
 * with their lets, operands (printer: expr_text.c; parser: expr_parse.c). */
#ifndef KL_KERNEL_TEXT_H
#define KL_KERNEL_TEXT_H

#include "ir/ir.h"

enum { KL_NAME_MAX = 64 };
typedef char kl_name[KL_NAME_MAX];

typedef struct kl_xnote {
    uint32_t uses, size, let;
} kl_xnote; /* let: its number, or KL_NONE */
typedef struct kl_printer {
    const kl_exprs *x;
    const kl_kernel *k; /* NULL: operands and registers are numbers */
    kl_text *out;
    int indent;
    kl_name *names; /* variables, then registers, then operands; unique, readable back */
    uint32_t nnames, reg0, operand0;
    kl_xlist order; /* of the statement now printed */
    kl_xnote *notes;
    uint32_t cap_notes;
    const char *place; /* of the statement before */
    uint32_t line;     /* of the text now being printed; 0: nobody asked */
    bool key;          /* for the kernel's key: nothing that is for readers alone */
    bool failed;
} kl_printer;
bool kl_printer_open(kl_printer *p, const kl_exprs *x, const kl_kernel *k, bool key,
                     kl_text *out);
void kl_printer_close(kl_printer *p);
/* Start a statement that will print these expressions: its lets, a line each. */
void kl_print_lets(kl_printer *p, const kl_x *roots, int n);
void kl_print_expr(kl_printer *p, kl_x a); /* of the statement's */
void kl_print_head(const kl_kernel *k,
                   kl_text *out);  /* kl_kernel_head's line, a comment */
void kl_print_line(kl_printer *p); /* line end and indentation */
void kl_print_int(kl_text *t, int64_t v);
void kl_print_name(kl_text *t, const char *name); /* made readable back */
void kl_print_operands(kl_printer *p, bool *syms /* marks the symbols they use */);
void kl_print_dims(kl_printer *p, const bool *syms);

typedef enum kl_sym_kind {
    KL_N_EXPR /* variable or let */,
    KL_N_REG,
    KL_N_STAGE
} kl_sym_kind;
typedef struct kl_named {
    kl_name name;
    kl_sym_kind kind;
    kl_x e;
    uint32_t index;
    kl_dtype dtype;
} kl_named;
typedef struct kl_parser {
    kl_lex l;
    kl_arena *arena;
    kl_kernel *k;
    kl_named *names; /* the last of a name counts */
    uint32_t nnames, cap_names;
    int nest;
} kl_parser;
kl_status kl_parse_expr(kl_parser *p, kl_x *out);
kl_status kl_parse_exprs(kl_parser *p, const char *close, kl_x *out,
                         int *n);                                       /* up to 3 */
kl_status kl_parse_let(kl_parser *p);                                   /* after "let" */
kl_status kl_parse_name(kl_parser *p, kl_named *as, const char **copy); /* declares it */
const kl_named *kl_parse_find(const kl_parser *p, const char *name, size_t len);
kl_status kl_parse_dtype(kl_parser *p, kl_dtype *out);
kl_status kl_parse_operand_name(kl_parser *p, uint32_t *out);
kl_status kl_parse_operands(kl_parser *p); /* dims and operands, as many as there are */
kl_status kl_parse_word(kl_parser *p, const char *const *words, int n, const char *what,
                        int *out);
/* "WORD NAME .. {": the name; what stands between it and "{" is left in rest. */
kl_status kl_parse_head(kl_parser *p, const char *word, kl_name rest);

extern const char *const kl_bind_names[], *const kl_fault_names[];
enum { KL_NBINDS = KL_BIND_UNROLL + 1, KL_NFAULTS = KL_FAULT_CHECK + 1 };
kl_status kl_parse_check(kl_parser *p, int32_t *kind, kl_x *ok, kl_x *value,
                         uint32_t *node);
void kl_print_check(kl_printer *p, int32_t kind, kl_x ok, kl_x value, uint32_t node);

#endif
