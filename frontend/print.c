/* print.c: a tensor's text, as PyTorch prints it: one width and format for all elements,
 * at most four decimals, long dimensions summarised.
 *
 *   tensor([[1.0000, 2.5000],
 *           [3.0000, 4.0000]], requires_grad=True)
 *
 * All reals whole: no decimals, a trailing dot. Largest over smallest above 1000, largest
 * above 1e8 or smallest below 1e-4: scientific. */
#include "front.h"

enum { PRECISION = 4, LINE = 80, THRESHOLD = 1000, EDGE = 3 };

typedef struct printer {
    kl_text *out;
    const uint8_t *bytes;
    kl_dtype dt;
    int rank;
    const int64_t *shape;
    bool summary, real, whole, scientific;
    size_t width;
    double largest, smallest;
    bool any;
} printer;

/* printf writes the locale's decimal point: whatever stands there becomes a dot. */
void kl_text_put_fixed(kl_text *t, double v, int decimals, bool scientific)
{
    char raw[400], out[400];
    size_t n = 0;
    if (isnan(v) || isinf(v)) {
        kl_text_put(t, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    snprintf(raw, sizeof raw, scientific ? "%.*e" : "%.*f", decimals, v);
    for (const char *p = raw; *p; p++) {
        bool plain = (*p >= '0' && *p <= '9') || *p == '-' || *p == '+' || *p == 'e';
        if (plain)
            out[n++] = *p;
        else if (n == 0 || out[n - 1] != '.')
            out[n++] = '.';
    }
    kl_text_putn(t, out, n);
}

static kl_scalar element(const printer *p, int64_t i)
{
    kl_scalar s = {.bits = 0};
    memcpy(&s, p->bytes + i * kl_dtypes[p->dt].size,
           kl_dtypes[kl_dtypes[p->dt].real].size);
    return s;
}

static double imaginary(const printer *p, int64_t i)
{
    kl_scalar s = {.bits = 0};
    kl_dtype real = kl_dtypes[p->dt].real;
    memcpy(&s, p->bytes + i * kl_dtypes[p->dt].size + kl_dtypes[real].size,
           kl_dtypes[real].size);
    return kl_scalar_to_double(real, s);
}

static void put_real(printer *p, kl_text *t, double v)
{
    if (p->scientific)
        kl_text_put_fixed(t, v, PRECISION, true);
    else if (p->whole && !isnan(v) && !isinf(v)) {
        kl_text_put_fixed(t, v, 0, false);
        kl_text_put(t, ".");
    } else
        kl_text_put_fixed(t, v, p->whole ? 0 : PRECISION, false);
}

static void put_element(printer *p, kl_text *t, int64_t i)
{
    kl_dtype real = kl_dtypes[p->dt].real;
    kl_scalar s = element(p, i);
    if (p->dt == KL_BOOL)
        kl_text_put(t, s.u8 ? "True" : "False");
    else if (p->dt == KL_U64)
        kl_text_printf(t, "%llu", (unsigned long long)s.u64);
    else if (!p->real)
        kl_text_printf(t, "%lld", (long long)kl_eval_cast(KL_I64, p->dt, s).i64);
    else
        put_real(p, t, kl_scalar_to_double(real, s));
    if (kl_is_complex(p->dt)) {
        double im = imaginary(p, i);
        if (!(im < 0 || (im == 0 && signbit(im))))
            kl_text_put(t, "+");
        put_real(p, t, im);
        kl_text_put(t, "j");
    }
}

/* ---- the elements shown ---- */

typedef void (*visit_fn)(printer *p, int64_t i);

static void visit(printer *p, int axis, int64_t at, visit_fn fn)
{
    if (axis == p->rank) {
        fn(p, at);
        return;
    }
    int64_t n = p->shape[axis];
    for (int64_t i = 0; i < n; i++) {
        if (p->summary && n > 2 * EDGE && i == EDGE)
            i = n - EDGE;
        visit(p, axis + 1, at * n + i, fn);
    }
}

static void note(printer *p, double v)
{
    double a = fabs(v);
    if (isnan(v) || isinf(v) || v == 0)
        return;
    p->whole &= v == ceil(v);
    p->largest = p->any ? KL_MAX(p->largest, a) : a;
    p->smallest = p->any ? KL_MIN(p->smallest, a) : a;
    p->any = true;
}

static void measure(printer *p, int64_t i)
{
    if (p->real)
        note(p, kl_scalar_to_double(kl_dtypes[p->dt].real, element(p, i)));
    if (kl_is_complex(p->dt))
        note(p, imaginary(p, i));
}

/* Zeros, infinities and NaN do not count towards a real's width. */
static void widen(printer *p, int64_t i)
{
    double v = p->real ? kl_scalar_to_double(kl_dtypes[p->dt].real, element(p, i)) : 1;
    if (kl_is_float(p->dt) && (v == 0 || isnan(v) || isinf(v)))
        return;
    kl_text t = {0};
    put_element(p, &t, i);
    p->width = KL_MAX(p->width, t.len);
    kl_text_free(&t);
}

/* As PyTorch's _Formatter decides. */
static void choose(printer *p)
{
    p->real = kl_is_float(p->dt) || kl_is_complex(p->dt);
    p->whole = true;
    visit(p, 0, 0, measure);
    if (p->any && p->whole)
        p->scientific = p->largest / p->smallest > 1000. || p->largest > 1.e8;
    else if (p->any)
        p->scientific =
            p->largest / p->smallest > 1000. || p->largest > 1.e8 || p->smallest < 1.e-4;
    if (p->scientific && p->whole)
        p->scientific = p->largest / p->smallest > 1000. || p->largest > 1.e8;
    visit(p, 0, 0, widen);
}

/* ---- rows and blocks ---- */

static void put_padded(printer *p, int64_t i)
{
    kl_text t = {0};
    put_element(p, &t, i);
    for (size_t k = t.len; k < p->width; k++)
        kl_text_put(p->out, " ");
    if (t.s)
        kl_text_putn(p->out, t.s, t.len);
    kl_text_free(&t);
}

static void indent_line(printer *p, int indent)
{
    kl_text_put(p->out, "\n");
    for (int i = 0; i < indent; i++)
        kl_text_put(p->out, " ");
}

static void put_row(printer *p, int64_t at, int indent)
{
    int64_t n = p->shape[p->rank - 1], per = (LINE - indent) / (int64_t)(p->width + 2);
    int64_t column = 0;
    per = KL_MAX(per, 1);
    kl_text_put(p->out, "[");
    for (int64_t i = 0; i < n; i++, column++) {
        if (i > 0)
            kl_text_put(p->out, column % per == 0 ? "," : ", ");
        if (i > 0 && column % per == 0)
            indent_line(p, indent + 1);
        if (p->summary && n > 2 * EDGE && i == EDGE) {
            kl_text_put(p->out, " ...");
            i = n - EDGE - 1;
            continue;
        }
        put_padded(p, at * n + i);
    }
    kl_text_put(p->out, "]");
}

static void put_block(printer *p, int axis, int64_t at, int indent)
{
    if (axis == p->rank - 1) {
        put_row(p, at, indent);
        return;
    }
    int64_t n = p->shape[axis];
    kl_text_put(p->out, "[");
    for (int64_t i = 0; i < n; i++) {
        for (int k = 0; i > 0 && k < p->rank - 1 - axis; k++) {
            if (k == 0)
                kl_text_put(p->out, ",");
            if (k < p->rank - 2 - axis)
                kl_text_put(p->out, "\n");
            else
                indent_line(p, indent + 1);
        }
        if (p->summary && n > 2 * EDGE && i == EDGE) {
            kl_text_put(p->out, "...");
            i = n - EDGE - 1;
            continue;
        }
        put_block(p, axis + 1, at * n + i, indent + 1);
    }
    kl_text_put(p->out, "]");
}

static void put_suffix(printer *p, kl_tensor *t, kl_lazy *n)
{
    bool usual = p->dt == kl_default() || p->dt == KL_I64 || p->dt == KL_BOOL ||
                 (p->dt == KL_C64 && kl_default() == KL_F32);
    char size[400], device[KL_DEVICE_NAME];
    if (n->device != 0 && n->device != KL_FREE)
        kl_text_printf(p->out, ", device='%s'", kl_device_name(n->device, device));
    if (kl_numel(t) == 0 && t->rank != 1)
        kl_text_printf(p->out, ", size=%s",
                       kl_ints_text(kl_shape_of(t), size, sizeof size));
    if (!usual || (kl_numel(t) == 0 && p->dt != kl_default()))
        kl_text_printf(p->out, ", dtype=torch.%s", kl_dtypes[p->dt].torch_name);
    if (kl_tracks(t)) {
        if (t->leaf && !t->view)
            kl_text_put(p->out, ", requires_grad=True");
        else
            kl_text_printf(p->out, ", grad_fn=<%s>", kl_grad_fn(t));
    }
}

static kl_status repr(kl_tensor *t, kl_text *out)
{
    kl_lazy *n = kl_arg_tensor(t);
    const void *bytes = NULL;
    if (!n)
        return KL_ERR_ARG;
    KL_TRY(kl_value(n, &bytes));
    printer p = {.out = out,
                 .bytes = bytes,
                 .dt = (kl_dtype)n->dtype,
                 .rank = n->rank,
                 .shape = kl_lazy_shape(n),
                 .summary = kl_lazy_numel(n) > THRESHOLD};
    kl_text_put(out, "tensor(");
    if (kl_lazy_numel(n) == 0) {
        kl_text_put(out, "[]");
    } else {
        choose(&p);
        if (p.rank == 0)
            put_element(&p, out, 0);
        else
            put_block(&p, 0, 0, 7);
    }
    put_suffix(&p, t, n);
    kl_text_put(out, ")");
    return out->failed ? kl_fail(KL_ERR_OOM, "out of memory to print") : KL_OK;
}

char *kl_repr_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    kl_text text = {0};
    kl_status st = repr(t, &text);
    char *s = st == KL_OK ? malloc(text.len + 1) : NULL;
    if (s)
        memcpy(s, text.s, text.len + 1);
    kl_text_free(&text);
    kl_call_done(&c, st);
    return s;
}

kl_status kl_print_at(const char *at, kl_tensor *t)
{
    char *s = kl_repr_at(at, t);
    if (!s)
        return kl_error_status();
    puts(s);
    free(s);
    return KL_OK;
}
