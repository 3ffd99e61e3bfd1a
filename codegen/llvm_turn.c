/* llvm_turn.c: a square of registers turned: lane j of register i becomes lane i of
 * register j.
 *
 *   16 x 16 f32: 16 rows of 4 blocks of 4 lanes
 *
 *   unpack   block l of register 4g+c is column 4l+c of rows 4g..4g+3
 *   choose   block g of register 4l+c is that one: row 4l+c of the result
 *
 * Unpacking interleaves lanes, then pairs of lanes, of two rows within their blocks;
 * choosing takes the even, then the odd blocks of two registers.
 *
 * Blocks are 128 bits wide, so that each step is one instruction of x86 and aarch64 and
 * none needs its pattern in a register.
 *
 * Each step is a basic block. LLVM looks through shuffles for cheaper ones as far as its
 * block goes, and what it looks through doubles with each step: of a square's 10 ms, 8
 * are that. It joins blocks that only follow each other, so each begins behind a branch
 * that is always taken but not known to be. */
#include "codegen/llvm_emit.h"

enum { MOST = 64 /* rows */, BLOCK = 16 /* bytes */, STEPS_APART = 8 };

/* How lanes of the result come from two registers a, b. */
typedef enum pick { LOW, HIGH, EVEN, ODD } pick;

/* The lane of a, or, from `lanes` on, of b, that lane l of the result is. LOW, HIGH: of
 * each group of lanes, units of a half of it in turn. EVEN, ODD: every other group of a,
 * then of b. */
static int lane_from(pick p, int l, int lanes, int group, int unit)
{
    if (p == LOW || p == HIGH) {
        int in = l % group, u = in / unit;
        int half = p == HIGH ? group / 2 : 0;
        return u % 2 * lanes + (l - in) + half + u / 2 * unit + in % unit;
    }
    int groups = lanes / group, g = l / group, half = groups / 2;
    return g / half * lanes + (g % half * 2 + (p == ODD)) * group + l % group;
}

static LLVMValueRef picked(kl_ll *e, LLVMValueRef a, LLVMValueRef b, pick p, int group,
                           int unit)
{
    LLVMValueRef order[256];
    int lanes = kl_ll_lanes_of(a);
    for (int l = 0; l < lanes; l++)
        order[l] =
            kl_ll_const_int(e, 32, (uint64_t)lane_from(p, l, lanes, group, unit), 1);
    return LL.BuildShuffleVector(e->b, a, b, LL.ConstVector(order, (unsigned)lanes), "");
}

/* A basic block that LLVM takes for one of its own. */
static void new_block(kl_ll *e)
{
    LLVMTypeRef i64 = kl_ll_int(e, 64, 1);
    LLVMBasicBlockRef next = kl_ll_block(e, "step"), never = kl_ll_block(e, "never");
    LLVMValueRef at = LL.BuildCast(e->b, LLVMPtrToInt, e->args, i64, "");
    /* no address is so low, and each number is another: none follows from the last */
    LLVMValueRef low = kl_ll_i64(e, e->steps++ % 4096);
    LL.BuildCondBr(e->b, LL.BuildICmp(e->b, LLVMIntNE, at, low, ""), next, never);
    LL.PositionBuilderAtEnd(e->b, never);
    LL.BuildRetVoid(e->b);
    LL.MoveBasicBlockAfter(next, e->block);
    kl_ll_set_block(e, next);
}

/* Lists of n registers beside each other in x: the picks of neighbours, the lows of all
 * before the highs. */
static void step(kl_ll *e, LLVMValueRef *x, int rows, int n, pick first, int group,
                 int unit)
{
    LLVMValueRef y[MOST];
    for (int i = 0; i < rows; i++) {
        int in = i % n, from = i - in + in % (n / 2) * 2;
        y[i] =
            picked(e, x[from], x[from + 1], in < n / 2 ? first : first + 1, group, unit);
    }
    memcpy(x, y, (size_t)rows * sizeof *x);
}

/* i's bits, of a number below n, in reverse. */
static int reversed(int i, int n)
{
    int r = 0;
    for (; n > 1; n /= 2, i /= 2)
        r = r * 2 + i % 2;
    return r;
}

/* rows registers of as many lanes. */
static void turn(kl_ll *e, LLVMValueRef *x, int rows, int size)
{
    LLVMValueRef y[MOST];
    int group = KL_MIN(BLOCK / size, rows), groups = rows / group;
    bool apart = rows >= STEPS_APART;
    for (int unit = 1, n = group; n > 1; unit *= 2, n /= 2) {
        step(e, x, rows, n, LOW, group, unit);
        if (apart && (n > 2 || groups > 1))
            new_block(e);
    }
    for (int i = 0; i < rows; i++)
        y[i % group * groups + i / group] = x[i];
    for (int n = groups; n > 1; n /= 2) {
        step(e, y, rows, n, EVEN, group, 0);
        if (apart && n > 2)
            new_block(e);
    }
    for (int i = 0; i < rows; i++)
        x[reversed(i % groups, groups) * group + i / groups] = y[i];
}

/* A register's elements i * vec .. of chunk j, as a square, and back. */
static void read_square(const kl_ll_reg *g, int i, int j, LLVMValueRef *x)
{
    for (int k = 0; k < g->vec; k++)
        x[k] = g->v[(i * g->vec + k) * g->n + j];
}

static void write_square(kl_ll_reg *g, int i, int j, LLVMValueRef *const x)
{
    for (int k = 0; k < g->vec; k++)
        g->v[(i * g->vec + k) * g->n + j] = x[k];
}

/* Elements of several vectors are squares of squares. */
void kl_ll_turn(kl_ll *e, const kl_stmt *s)
{
    kl_ll_reg *g = &e->regs[s->reg];
    kl_dtype dt = e->k->regs[s->reg].dtype;
    int size = kl_dtypes[dt].size;
    LLVMValueRef x[MOST], y[MOST];
    if (g->vec > MOST || g->elems != g->n * g->vec) {
        kl_ll_fail(e, KL_ERR_INTERNAL, "a square of so many registers");
        return;
    }
    for (int i = 0; i < g->elems * g->n; i++)
        if (!g->v[i])
            g->v[i] = LL.ConstNull(kl_ll_type(e, dt, g->vec));
    kl_ll_here(e);
    for (int i = 0; i < g->n; i++)
        for (int j = i; j < g->n; j++) {
            read_square(g, i, j, x);
            read_square(g, j, i, y);
            turn(e, x, g->vec, size);
            if (i != j)
                turn(e, y, g->vec, size);
            write_square(g, j, i, x);
            if (i != j)
                write_square(g, i, j, y);
        }
    kl_ll_touch_reg(e, s->reg);
}
