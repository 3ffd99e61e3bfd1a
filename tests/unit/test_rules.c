/* test_rules.c: every rewrite rule of passes/rules.def is true for every bit pattern.
 *
 * The text before is built as a graph over inputs a b c, of every dtype of the rule's
 * class; the rule alone is applied; both graphs are run by the interpreter on random and
 * special values, in all pairs, and must give the same bits (all NaNs are one). A rule
 * that no dtype can show, or that changes nothing, fails. */
#include "harness.h"

#include <check.h>

enum { SPECIAL = 24, N = SPECIAL * SPECIAL + 200 };

typedef struct side {
    kl_graph *g;
    kl_dtype dt;
    kl_dim shape;
    kl_ref var[3];
} side;

/* Variables that stand where a bool has to (where's first) are bool. */
static kl_ref variable(side *s, int i, bool cond)
{
    char name[2] = {(char)('a' + i), 0};
    if (s->var[i] == KL_NONE)
        s->var[i] = kl_graph_input(s->g, name, cond ? KL_BOOL : s->dt, 1, &s->shape);
    return s->var[i];
}

static kl_ref build(side *s, const char **p, bool cond)
{
    size_t len = strcspn(*p, "(),");
    const char *word = *p;
    double v;
    *p += len;
    if (len == 1 && *word >= 'a' && *word <= 'c' && **p != '(')
        return variable(s, *word - 'a', cond);
    if (**p != '(') {
        kl_scan_float(word, &v);
        return kl_g_expand(s->g, kl_g_const(s->g, cond ? KL_BOOL : s->dt, v), 1,
                           &s->shape);
    }
    kl_ref src[3] = {KL_NONE, KL_NONE, KL_NONE};
    int op = kl_op_find(word, len), n = 0;
    do {
        ++*p;
        src[n] = build(s, p, (op == KL_OP_where && n == 0) || (op == KL_OP_not && cond));
        n++;
    } while (**p == ',');
    ++*p;
    return kl_g_elt(s->g, (kl_op)op, src[0], src[1], src[2]);
}

/* Element i of operand v: all pairs of special values, then random ones. */
static void fill(kl_buffer *b, int v, uint64_t *seed)
{
    static const double odd[SPECIAL] = {
        0.0,   -0.0,   1,      -1,    INFINITY, -INFINITY, NAN,  -NAN,
        1e-40, -1e-40, 5e-324, 3e38,  -3e38,    0.5,       -0.5, 1.5,
        2.5,   -2.5,   65504,  1e300, 16777217, -2,        2,    1e-8};
    static const int64_t whole[SPECIAL] = {
        0,         1,     -1,     2,     -2,        127,       -128,       255,
        256,       32767, -32768, 65535, INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX,
        INT64_MIN, 7,     8,      31,    32,        63,        64,         3};
    int size = kl_dtypes[b->dtype].size;
    fill_buffer(b, seed, true);
    for (int i = 0; i < SPECIAL * SPECIAL; i++) {
        int at = v == 0 ? i % SPECIAL : v == 1 ? i / SPECIAL : (i * 7 + i / 5) % SPECIAL;
        kl_scalar s = kl_is_float(b->dtype) ? kl_scalar_from(b->dtype, odd[at])
                                            : kl_scalar_from_int(b->dtype, whole[at]);
        if (b->dtype == KL_BOOL)
            s.bits = (uint64_t)at & 1;
        memcpy((char *)b->mem->base + i * size, &s, (size_t)size);
    }
}

static bool in_class(const kl_rule_row *r, kl_dtype dt)
{
    static const kl_class first[] = {KL_CLS_BOOL, KL_CLS_UINT, KL_CLS_FLOAT, KL_CLS_BOOL,
                                     KL_CLS_SINT};
    static const kl_class last[] = {KL_CLS_FLOAT, KL_CLS_SINT, KL_CLS_FLOAT, KL_CLS_BOOL,
                                    KL_CLS_SINT};
    return kl_dtypes[dt].cls >= first[r->cls] && kl_dtypes[dt].cls <= last[r->cls];
}

static void compare(kl_graph *before, kl_graph *after, const kl_rule_row *r, kl_dtype dt)
{
    kl_buffer in[3], want, got;
    uint64_t seed = 11;
    for (uint32_t i = 0; i < before->ninputs; i++) {
        kl_type t;
        kl_graph_type(before, before->inputs[i], &t);
        ck_assert(new_dense(t.dtype, 1, (int64_t[]){N}, &in[i]) == KL_OK);
        fill(&in[i], (int)i, &seed);
    }
    ck_assert_msg(kl_graph_interp(before, in, NULL, &want) == KL_OK, "%s", kl_error());
    ck_assert_msg(kl_graph_interp(after, in, NULL, &got) == KL_OK, "%s", kl_error());
    int64_t d = first_difference(&want, &got);
    ck_assert_msg(d < 0, "%s at %s: element %lld differs", r->name, kl_dtypes[dt].name,
                  (long long)d);
    kl_memory_unref(want.mem), kl_memory_unref(got.mem);
    for (uint32_t i = 0; i < before->ninputs; i++)
        kl_memory_unref(in[i].mem);
}

/* False: the dtype has no such rows. */
static bool check_dtype(int rule, const kl_rule_row *r, kl_dtype dt, bool *changed)
{
    kl_arena *a = kl_arena_new();
    side s = {.g = kl_graph_new(a, NULL, "rule"),
              .dt = dt,
              .shape = N,
              .var = {KL_NONE, KL_NONE, KL_NONE}};
    const char *text = r->before;
    kl_error_clear();
    s.g->simplify_off = true;
    kl_ref y = build(&s, &text, false);
    bool there = y != KL_NONE && kl_graph_output(s.g, y, NULL) == KL_OK;
    kl_graph *after = s.g;
    if (there) {
        ck_assert_msg(kl_simplify(&after, rule) == KL_OK, "%s: %s", r->name, kl_error());
        ck_assert_msg(kl_graph_verify(after) == KL_OK, "%s: %s", r->name, kl_error());
        *changed = *changed || after->count < s.g->count ||
                   kl_graph_at(after, after->outputs[0])->op != kl_graph_at(s.g, y)->op ||
                   strcmp(r->name, "where_not") == 0;
        compare(s.g, after, r, dt);
    }
    kl_error_clear();
    kl_arena_free(a);
    return there;
}

START_TEST(test_rule)
{
    int count, shown = 0;
    bool changed = false;
    const kl_rule_row *r = &kl_rule_rows(&count)[_i];
    ck_assert_int_lt(_i, count);
    for (int dt = 0; dt < KL_C64; dt++)
        if (in_class(r, (kl_dtype)dt))
            shown += check_dtype(_i, r, (kl_dtype)dt, &changed);
    ck_assert_msg(shown > 0, "%s: no dtype shows it", r->name);
    ck_assert_msg(changed, "%s: changes nothing", r->name);
}
END_TEST

int main(void)
{
    int count;
    kl_rule_rows(&count);
    Suite *s = suite_create("rules");
    TCase *tc = tcase_create("each");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_rule, 0, count);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
