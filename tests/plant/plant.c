/* plant.c: the main() of every test program in a build with planted faults: chooses the
 * fault, then runs the program's own main, which was compiled under another name.
 *
 *   test_math --plant=math:exp:f32        that program with that fault
 *   test_math --list                      every fault there is: name, tests, what it
 * breaks
 *
 * With a fault the first check that fails ends the program: one is enough.
 *
 * Faults that run over the rows of a table are counted here, one function for each way
 * that plant.def names; a name says fault, row and class or operand. */
#include "ir/ir.h"
#include "ir/math.h"
#include "passes/passes.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#undef main
int kl_test_main(int argc, char **argv);
static pid_t program; /* Check runs each test in a child */

static const struct {
    const char *name;
    enum { ONE, ROW, REST, ID, DERIV, RULED, ALONE, DTYPES, BODY, RULE } per;
    const char *tests, *what;
} faults[] = {
#define KL_PLANT(name, per, tests, what) {#name, per, tests, what},
#include "runtime/plant.def"
};

/* One dtype of each class. */
static const struct {
    const char *name;
    kl_dtype dt;
} classes[] = {
    [KL_CLS_BOOL] = {"bool", KL_BOOL},      [KL_CLS_UINT] = {"uint", KL_U32},
    [KL_CLS_SINT] = {"sint", KL_I32},       [KL_CLS_FLOAT] = {"float", KL_F32},
    [KL_CLS_COMPLEX] = {"complex", KL_C64},
};

/* ---- walking the faults: visit is called for each, and stops the walk by true ---- */

typedef struct walk {
    const char *want; /* NULL: print all */
    int fault;
    bool found;
} walk;

/* Is this the fault that was asked for? Prints it when all are. */
static bool is_it(walk *w, const char *row, const char *detail)
{
    char name[100];
    snprintf(name, sizeof name, "%s%s%s%s%s", faults[w->fault].name, *row ? ":" : "", row,
             *detail ? ":" : "", detail);
    if (!w->want) {
        printf("%s\t%s\t%s\n", name, faults[w->fault].tests, faults[w->fault].what);
        return false;
    }
    if (w->found || strcmp(name, w->want) != 0)
        return false;
    kl_planted.fault = (kl_fault)w->fault;
    return w->found = true;
}

static bool takes(const kl_op_info *o, kl_class cls)
{
    bool number = cls == KL_CLS_FLOAT || cls == KL_CLS_COMPLEX;
    return !((cls == KL_CLS_COMPLEX && !(o->flags & KL_F_CPLX)) ||
             (o->rule == KL_RULE_FLOAT && !number) || (number && o->flags & KL_F_INT) ||
             (cls == KL_CLS_BOOL && o->flags & KL_F_NOBOOL));
}

/* Does row b compute something else than row a somewhere? */
static bool differ(int a, int b, kl_class cls)
{
    kl_dtype dt = classes[cls].dt;
    for (int i = 0; i < 16; i++) {
        kl_scalar x = kl_scalar_from(dt, i % 4 == 0 ? 1 : i % 4 + 0.75),
                  y = kl_scalar_from(dt, i / 4 == 0 ? 0 : i / 4 + 0.5);
        kl_scalar u = kl_eval((kl_op)a, dt, x, y, y), v = kl_eval((kl_op)b, dt, x, y, y);
        if (u.bits != v.bits)
            return true;
    }
    return false;
}

/* A row that can stand in for op: the next of its kind that means something else. -1: its
 * own with operands exchanged; -2: there is none. */
static int stand_in(int op, kl_class cls)
{
    const kl_op_info *o = &kl_ops[op];
    if (o->arity > 1 && !(o->flags & KL_F_COMM))
        return -1;
    for (int i = 1; i < KL_OP_COUNT; i++) {
        int n = (op + i) % KL_OP_COUNT;
        const kl_op_info *p = &kl_ops[n];
        if (p->kind == o->kind && p->arity == o->arity && p->rule == o->rule && p->sem &&
            takes(p, cls) && (cls == KL_CLS_COMPLEX || differ(op, n, cls)))
            return n;
    }
    return -2;
}

static void per_row(walk *w)
{
    for (int op = 0; op < KL_OP_COUNT; op++)
        for (int c = 0; c < (int)KL_COUNT(classes); c++) {
            if (!kl_ops[op].sem || !takes(&kl_ops[op], (kl_class)c))
                continue;
            bool emitted = w->fault != KL_PLANT_sem; /* complex is pairs before that */
            int other = emitted && c == KL_CLS_COMPLEX ? -2 : stand_in(op, (kl_class)c);
            if (other == -2 || !is_it(w, kl_ops[op].name, classes[c].name))
                continue;
            kl_planted.at = KL_PLANT_CELL(op, c);
            kl_planted.other = other;
        }
}

static void per_id(walk *w) /* complex is pairs before a sum begins */
{
    for (int op = 0; op < KL_OP_COUNT; op++)
        for (int c = 0; c < KL_CLS_COMPLEX; c++)
            if (kl_ops[op].flags & KL_F_RED && takes(&kl_ops[op], (kl_class)c) &&
                is_it(w, kl_ops[op].name, classes[c].name))
                kl_planted.at = KL_PLANT_CELL(op, c);
}

static void per_derivative(walk *w)
{
    static char text[400];
    for (int op = 0; op < KL_OP_COUNT; op++)
        for (int i = 0; i < 3; i++) {
            const char *d = kl_ops[op].d[i], digit[2] = {(char)('a' + i), 0};
            if (!d || !*d || !is_it(w, kl_ops[op].name, digit))
                continue;
            snprintf(text, sizeof text, strcmp(d, "0") ? "neg(%s)" : "1", d);
            kl_planted = (kl_planting){kl_planted.fault, op, 0, d, text};
        }
}

static void per_op(walk *w, bool (*has)(const kl_op_info *o))
{
    for (int op = 0; op < KL_OP_COUNT; op++)
        if (has(&kl_ops[op]) && is_it(w, kl_ops[op].name, ""))
            kl_planted.at = op;
}

static bool is_ruled(const kl_op_info *o)
{
    return (o->t || o->deriv) && o->kind != KL_KIND_TRANSFORM; /* gone before that */
}

static bool is_rest(const kl_op_info *o)
{
    return !o->sem && !(o->flags & KL_F_MATH) && o->kind != KL_KIND_TRANSFORM &&
           o != &kl_ops[KL_OP_pick];
}

static bool is_alone(const kl_op_info *o)
{
    return o->kind == KL_KIND_ELT && o->arity == 2 && !(o->flags & KL_F_COMM) &&
           o->rule != KL_RULE_OWN;
}

static bool refuses(const kl_op_info *o)
{
    return o->kind == KL_KIND_ELT && o->rule != KL_RULE_OWN &&
           (o->rule == KL_RULE_FLOAT || o->flags & (KL_F_INT | KL_F_NOBOOL));
}

static void per_body(walk *w)
{
    const char *name, *dtype;
    for (int i = 0; (name = kl_math_body(i, &dtype)); i++)
        if (is_it(w, name, dtype))
            kl_planted.at = i;
}

/* Its last operand for a row, 0 for a value, another for a number. */
static const char *wrong_side(const char *after)
{
    static char text[100];
    const char *last = strrchr(after, ',');
    if (!strchr(after, '('))
        return after[0] == 't'   ? "false"
               : after[0] == 'f' ? "true"
               : after[0] == '0' ? "1"
               : after[0] == '1' ? "0"
                                 : "0";
    snprintf(text, sizeof text, "%s", last ? last + 1 : strchr(after, '(') + 1);
    text[strlen(text) - 1] = 0;
    return text;
}

static void per_rule(walk *w)
{
    int n;
    const kl_rule_row *rows = kl_rule_rows(&n);
    for (int i = 0; i < n; i++)
        if (is_it(w, rows[i].name, ""))
            kl_planted = (kl_planting){kl_planted.fault, i, 0, rows[i].after,
                                       wrong_side(rows[i].after)};
}

static void walk_faults(walk *w)
{
    for (w->fault = 1; w->fault < (int)KL_COUNT(faults); w->fault++)
        switch (faults[w->fault].per) {
        case ONE:
            is_it(w, "", "");
            break;
        case ROW:
            per_row(w);
            break;
        case REST:
            per_op(w, is_rest);
            break;
        case ID:
            per_id(w);
            break;
        case DERIV:
            per_derivative(w);
            break;
        case RULED:
            per_op(w, is_ruled);
            break;
        case ALONE:
            per_op(w, is_alone);
            break;
        case DTYPES:
            per_op(w, refuses);
            break;
        case BODY:
            per_body(w);
            break;
        case RULE:
            per_rule(w);
            break;
        }
}

/* Stands for Check's own by the linker's --wrap. */
void __real__ck_assert_failed(const char *file, int line, const char *expr,
                              const char *format, ...) __attribute__((noreturn, weak));
void __wrap__ck_assert_failed(const char *file, int line, const char *expr,
                              const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

void __wrap__ck_assert_failed(const char *file, int line, const char *expr,
                              const char *format, ...)
{
    char text[2000] = "";
    va_list ap;
    va_start(ap, format);
    if (format)
        vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (!kl_planted.fault)
        __real__ck_assert_failed(file, line, expr, "%s", text);
    printf("%s:%d: %s: %s\n", file, line, expr, text);
    fflush(stdout);
    if (getpid() != program)
        kill(program, SIGTERM);
    _exit(1);
}

int main(int argc, char **argv)
{
    program = getpid();
    walk w = {0};
    const char *a = argc > 1 ? argv[1] : "";
    bool list = strcmp(a, "--list") == 0, plant = strncmp(a, "--plant=", 8) == 0;
    if (!list && !plant)
        return kl_test_main(argc, argv);
    w.want = plant ? a + 8 : NULL;
    walk_faults(&w);
    if (list)
        return 0;
    if (!w.found) {
        fprintf(stderr, "no fault is named %s\n", w.want);
        return 2;
    }
    argv[1] = argv[0];
    return kl_test_main(argc - 1, argv + 1);
}
