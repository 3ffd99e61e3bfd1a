/* artefact_c.c: kernels as plain C for a CPU: the CUDA C emitter's text, where threads
 * are loops.
 *
 *   for j: 1000 lane 32 { set acc = add(acc, load x[j]) }
 *   ->  for (i32 j_2 = 0; j_2 < 1000; j_2 += 32) {
 *           const i32 lanes = kl_least(1000 - j_2, 32);
 *           for (i32 lane = 0; lane < lanes; lane++) {
 *               const i32 j = j_2 + lane;
 *               acc[lane] = acc[lane] + x[j];
 *
 * A register of lanes that is declared outside of lane loops is an array with one more
 * dimension; within one it is a variable. A lane loop that meets no such array is a loop
 * over its values. Lanes run one after the other, which loops allow (ir.h): none reads
 * what another stores in the same round. A phase is a function of some of its workers:
 *
 *   static void scale_0(const kl_call *call, i64 begin, i64 end, i64 worker) */
#include "codegen/cuda_emit.h"

#include <ctype.h>

/* ---- loops of no rounds ---- */

/* Registers that nobody else may name: a compiler is told that this is meant. */
static kl_status mark_unused(void *ctx, const kl_stmt *s)
{
    kl_cc *e = ctx;
    kl_x roots[6];
    int n = kl_stmt_exprs(s, roots);
    bool sets = s->kind == KL_S_SET || s->kind == KL_S_FOLD || s->kind == KL_S_TURN;
    if (sets && e->reg_level[s->reg] >= 0)
        kl_cc_line(e, kl_cc_level(e), "(void)%s;", e->reg[s->reg]);
    for (int i = 0; i < n; i++) {
        KL_TRY(kl_x_order(e->x, roots[i], &e->order));
        for (uint32_t j = 0; j < e->order.count; j++) {
            const kl_xnode *x = &e->x->nodes[e->order.items[j]];
            if (x->op == KL_X_REG && e->reg_level[x->imm] >= 0)
                kl_cc_line(e, kl_cc_level(e), "(void)%s;", e->reg[x->imm]);
        }
    }
    return KL_OK;
}

static void skipped(kl_cc *e, const kl_stmt *s)
{
    if (kl_stmt_walk(s->body, mark_unused, e) != KL_OK)
        kl_cc_fail(e, KL_ERR_OOM, "no memory for a loop");
}

/* ---- lane loops ---- */

static bool is_by_lane(const kl_cc *e, const kl_xnode *n)
{
    if (n->op == KL_X_REG)
        return e->reg_wide[n->imm] && e->reg_level[n->imm] >= 0;
    const kl_operand *o = n->op == KL_X_LOAD ? &e->k->operands[n->imm] : NULL;
    return o && o->role == KL_ROLE_TILE && o->scope == KL_SCOPE_LANE;
}

/* Does the body name what has an element a lane? */
static kl_status find_lane(void *ctx, const kl_stmt *s)
{
    kl_cc *e = ctx;
    kl_x roots[6];
    int n = kl_stmt_exprs(s, roots);
    const kl_operand *o = s->kind == KL_S_STORE ? &e->k->operands[s->operand] : NULL;
    bool found = o && o->role == KL_ROLE_TILE && o->scope == KL_SCOPE_LANE;
    if (s->kind == KL_S_SET)
        found |= e->reg_wide[s->reg] && e->reg_level[s->reg] >= 0;
    for (int i = 0; i < n && !found; i++) {
        KL_TRY(kl_x_order(e->x, roots[i], &e->order));
        for (uint32_t j = 0; j < e->order.count; j++)
            found |= is_by_lane(e, &e->x->nodes[e->order.items[j]]);
    }
    return found ? KL_ERR_ARG : KL_OK; /* ends the walk */
}

static void body(kl_cc *e, const kl_stmt *s, const uint8_t *sets, const char *var,
                 const char *lane)
{
    kl_cc_loop l = {.var = var, .head = var};
    e->in_lane = true;
    e->lane = lane;
    e->lane_level = kl_cc_level(e);
    kl_cc_bind(e, s->var, &l);
    kl_cc_touch(e, sets);
    kl_cc_body(e, s->body);
    kl_cc_touch(e, sets);
    e->var[s->var] = NULL;
    e->in_lane = false;
    e->lane = NULL;
}

/* One value a round: the lane is the value, or nobody asks. */
static void flat(kl_cc *e, const kl_stmt *s, kl_x extent, int64_t lo)
{
    const uint8_t *sets = kl_cc_sets(e, s->body);
    const char *n = kl_cc_eval(e, extent), *v = kl_cc_var_name(e, s->var);
    kl_cc_push(e, true, lo < 1, false, sets);
    body(e, s, sets, v, v);
    kl_cc_pop(e,
              KL_CC_PRINT(e, "for (%s %s = 0; %s < %s; %s++) {",
                          kl_cc_counter_type(e, s, 1), v, v, n, v),
              "}");
}

static bool names(const kl_text *text, const char *name)
{
    size_t n = strlen(name);
    const char *at = text->s ? strstr(text->s, name) : NULL;
    for (; at; at = strstr(at + 1, name))
        if (!isalnum((unsigned char)at[n]) && at[n] != '_' &&
            (at == text->s || (!isalnum((unsigned char)at[-1]) && at[-1] != '_')))
            return true;
    return false;
}

static void nested(kl_cc *e, const kl_stmt *s, kl_x extent, int64_t lo)
{
    int w = (int)s->lanes;
    const uint8_t *sets = kl_cc_sets(e, s->body);
    const char *n = kl_cc_eval(e, extent), *v = kl_cc_var_name(e, s->var);
    const char *first = kl_cc_var_name(e, s->var), *lanes = kl_cc_name(e, "lanes");
    const char *type = kl_cc_counter_type(e, s, w);
    kl_cc_push(e, true, lo < 1, false, sets);
    kl_cc_line(e, kl_cc_level(e), "const %s %s = %s - %s < %d ? %s - %s : %d;", type, lanes,
               n, first, w, n, first, w);
    kl_cc_push(e, true, false, false, sets);
    body(e, s, sets, v, "lane");
    const char *value =
        names(&kl_cc_top(e)->text, v)
            ? KL_CC_PRINT(e, "\n    const %s %s = %s + lane;", type, v, first)
            : "";
    kl_cc_pop(
        e, KL_CC_PRINT(e, "for (%s lane = 0; lane < %s; lane++) {%s", type, lanes, value),
        "}");
    kl_cc_pop(e,
              KL_CC_PRINT(e, "for (%s %s = 0; %s < %s; %s += %d) {", type, first, first,
                          n, first, w),
              "}");
}

static void lanes(kl_cc *e, const kl_stmt *s)
{
    int64_t lo, hi;
    kl_x extent = kl_cc_lower(e, s->extent);
    if (e->in_lane) {
        kl_cc_fail(e, KL_ERR_INTERNAL, "a lane loop in a lane loop");
        return;
    }
    kl_x_range(e->x, extent, &lo, &hi);
    if (hi <= 0) {
        skipped(e, s);
        return;
    }
    kl_status found = hi <= s->lanes ? KL_OK : kl_stmt_walk(s->body, find_lane, e);
    if (found == KL_ERR_OOM)
        kl_cc_fail(e, KL_ERR_OOM, "no memory for a loop");
    else if (found == KL_OK)
        flat(e, s, extent, lo);
    else
        nested(e, s, extent, lo);
}

/* ---- all lanes of a register ---- */

/* f32 t6[32];  for (l ..) t6[l] = acc[l];  for (h = 16 .. 1) for (l < h) t6[l] += t6[l +
 * h] */
static void fold(kl_cc *e, const kl_stmt *s)
{
    const kl_xnode src = e->x->nodes[s->value];
    const kl_reg *from = &e->k->regs[src.imm];
    kl_x index[3] = {KL_NONE, KL_NONE, KL_NONE};
    for (int i = 0; i < from->ndims; i++) {
        index[i] = kl_cc_lower(e, src.src[i]);
        kl_cc_eval(e, index[i]);
    }
    const char *to = kl_cc_set_target(e, s), *h = kl_cc_name(e, "h"),
               *l = kl_cc_name(e, "l");
    const char *v = kl_cc_element(e, (uint32_t)src.imm, index);
    const char *type = kl_cc_type(from->dtype), *t = kl_cc_temp(e);
    int w = (int)from->lanes;
    if (w == 1) {
        kl_cc_line(e, kl_cc_level(e), "%s = %s;", to, v);
    } else {
        const char *a = KL_CC_PRINT(e, "%s[%s]", t, l),
                   *b = KL_CC_PRINT(e, "%s[%s + %s]", t, l, h);
        const char *y = kl_cc_op(e, s->combine, from->dtype, a, b, NULL);
        kl_cc_line(e, kl_cc_level(e), "%s %s[%d];", type, t, w);
        kl_cc_line(e, kl_cc_level(e), "for (i32 %s = 0; %s < %d; %s++)\n    %s = %s[%s];",
                   l, l, w, l, a, v, l);
        kl_cc_line(e, kl_cc_level(e), "for (i32 %s = %d; %s > 0; %s /= 2)", h, w / 2, h, h);
        kl_cc_line(e, kl_cc_level(e), "    for (i32 %s = 0; %s < %s; %s++)", l, l, h, l);
        kl_cc_line(e, kl_cc_level(e), "        %s = %s;", a, y);
        kl_cc_line(e, kl_cc_level(e), "%s = %s[0];", to, t);
    }
    kl_cc_touch_reg(e, s->reg);
}

static void turn(kl_cc *e, const kl_stmt *s)
{
    const kl_reg *r = &e->k->regs[s->reg];
    const char *m = e->reg[s->reg], *i = kl_cc_name(e, "i"), *l = kl_cc_name(e, "l"),
               *t = kl_cc_temp(e);
    kl_cc_line(e, kl_cc_level(e), "for (i32 %s = 0; %s < %d; %s++)", i, i, (int)r->lanes,
               i);
    kl_cc_line(e, kl_cc_level(e), "    for (i32 %s = 0; %s < %s; %s++) {", l, l, i, l);
    kl_cc_line(e, kl_cc_level(e), "        const %s %s = %s[%s][%s];", kl_cc_type(r->dtype),
               t, m, i, l);
    kl_cc_line(e, kl_cc_level(e), "        %s[%s][%s] = %s[%s][%s];", m, i, l, m, l, i);
    kl_cc_line(e, kl_cc_level(e), "        %s[%s][%s] = %s;", m, l, i, t);
    kl_cc_line(e, kl_cc_level(e), "    }");
    kl_cc_touch_reg(e, s->reg);
}

/* ---- a phase's function ---- */

/* A bool in memory is a byte that may lie where other types did. */
static const char *element_type(kl_dtype dt)
{
    return dt == KL_BOOL ? "b8" : kl_cc_type(dt);
}

static void put_operands(kl_cc *e, kl_text *out)
{
    int at = 0;
    bool tiles = false;
    for (uint32_t i = 0; i < e->k->noperands; i++) {
        const kl_operand *o = &e->k->operands[i];
        const char *type = element_type(o->dtype);
        bool tile = o->role == KL_ROLE_TILE, used = e->op_used[i];
        tiles |= tile && used;
        if (tile && used)
            kl_text_printf(out,
                           "    %s *%s = (void *)(call->tiles + worker * call->stride + "
                           "%s);\n",
                           type, e->op[i], kl_cc_offset(e, i));
        else if (used)
            kl_text_printf(out, "    %s%s *%s = call->at[%d];\n",
                           o->role == KL_ROLE_IN ? "const " : "", type, e->op[i], at);
        at += !tile;
    }
    if (!tiles)
        kl_text_put(out, "    (void)worker;\n");
}

static void head(kl_cc *e, const char *function, const char *worker, const char *type,
                 kl_text *out)
{
    kl_text operands = {0};
    size_t line = out->len;
    kl_text_printf(out, "static void %s(", function);
    kl_cc_parameter(out, &line, "const kl_call *call, ");
    kl_cc_parameter(out, &line, "i64 begin, ");
    kl_cc_parameter(out, &line, "i64 end, ");
    kl_cc_parameter(out, &line, "i64 worker)");
    kl_text_put(out, "\n{\n");
    put_operands(e, &operands); /* offsets name dims too */
    for (int i = 0; i < e->ndims; i++)
        if (e->dim_used[i])
            kl_text_printf(out, "    const i64 %s = call->dims[%d];\n", e->dim[i], i);
    kl_text_put(out, operands.s ? operands.s : "");
    if (e->uses_error)
        kl_text_put(out, "    i64 *error = call->error;\n");
    if (out->s && !strstr(out->s + line, "call->"))
        kl_text_put(out, "    (void)call;\n");
    kl_text_printf(out, "    for (%s %s = (%s)begin; %s < end; %s++) {\n", type, worker,
                   type, worker, worker);
    out->failed |= operands.failed;
    kl_text_free(&operands);
}

static void needs(kl_cc *e, const char *function, kl_dtype dt)
{
    if (kl_c_prelude_add(e->user, function, dt) != KL_OK)
        kl_cc_fail(e, kl_error_status(), "a function of the prelude");
}

static const kl_cc_dialect plain_c = {.name = "C",
                                      .unroll = "KL_UNROLL\n",
                                      .lanes = lanes,
                                      .fold = fold,
                                      .turn = turn,
                                      .skipped = skipped,
                                      .needs = needs,
                                      .head = head,
                                      .tail = "    }\n}\n",
                                      .indent = 2};

kl_status kl_codegen_c(const kl_kernel *const *kernels, int n, kl_text *out)
{
    kl_c_prelude p = {.names = {0}};
    kl_text phases = {0};
    kl_status s = KL_OK;
    unsigned parts = 0;
    kl_arena *a = kl_arena_new();
    for (int i = 0; a && i < n && s == KL_OK; i++) {
        char symbol[128];
        if (kernels[i]->call || kernels[i]->control)
            continue;
        kl_cuda_symbol(kernels[i]->name, symbol, sizeof symbol);
        if (phases.len)
            kl_text_put(&phases, "\n");
        s = kl_cc_kernel(&plain_c, &p, kernels[i], symbol, a, &parts, &phases);
    }
    kl_text_putn(out, p.text.s ? p.text.s : "", p.text.len);
    kl_text_putn(out, phases.s ? phases.s : "", phases.len);
    if (!a || p.text.failed || p.names.failed || phases.failed || out->failed)
        s = kl_fail(KL_ERR_OOM, "C: the text of %d kernels", n);
    kl_text_free(&p.names);
    kl_text_free(&p.text);
    kl_text_free(&phases);
    kl_arena_free(a);
    return s;
}
