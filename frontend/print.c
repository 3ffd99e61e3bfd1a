/* print.c: a tensor's text, as PyTorch prints it: one width and format for all elements
 * (a complex tensor has one for its real parts and one for its imaginary), long
 * dimensions summarised.
 *
 *   tensor([[1.0000, 2.5000],
 *           [3.0000, 4.0000]], requires_grad=True)
 *
 * All reals whole: no decimals, a trailing dot. Largest over smallest above 1000, largest
 * above 1e8 or smallest below 1e-4: scientific. */
#include "front.h"

static kl_printoptions options = {4, 1000, 3, 80, -1};

void kl_set_printoptions(kl_printoptions o)
{
    options = o;
}

kl_printoptions kl_get_printoptions(void)
{
    return options;
}

/* How one kind of number is written: as PyTorch's _Formatter finds it. */
typedef struct format {
    bool real, whole, scientific;
    size_t width;
    double largest, smallest; /* of those neither 0 nor infinite nor NaN */
    bool any;
} format;

typedef struct printer {
    kl_text *out;
    const uint8_t *bytes;
    kl_dtype dt;
    int rank;
    const int64_t *shape;
    kl_printoptions o;
    bool summary;
    format part[2]; /* of the real and the imaginary part */
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

static int parts_of(const printer *p)
{
    return kl_is_complex(p->dt) ? 2 : 1;
}

static kl_scalar element(const printer *p, int64_t i, int part)
{
    kl_scalar s = {.bits = 0};
    size_t size = kl_dtypes[kl_dtypes[p->dt].real].size;
    memcpy(&s, p->bytes + i * kl_dtypes[p->dt].size + (size_t)part * size, size);
    return s;
}

static double real_of(const printer *p, int64_t i, int part)
{
    return kl_scalar_to_double(kl_dtypes[p->dt].real, element(p, i, part));
}

static void put_real(const printer *p, const format *f, kl_text *t, double v)
{
    if (f->scientific)
        kl_text_put_fixed(t, v, p->o.precision, true);
    else if (f->whole && !isnan(v) && !isinf(v)) {
        kl_text_put_fixed(t, v, 0, false);
        kl_text_put(t, ".");
    } else
        kl_text_put_fixed(t, v, f->whole ? 0 : p->o.precision, false);
}

/* One part of element i, unpadded. */
static void put_part(const printer *p, kl_text *t, int64_t i, int part)
{
    kl_scalar s = element(p, i, part);
    if (p->dt == KL_BOOL)
        kl_text_put(t, s.u8 ? "True" : "False");
    else if (p->dt == KL_U64)
        kl_text_printf(t, "%llu", (unsigned long long)s.u64);
    else if (!p->part[part].real)
        kl_text_printf(t, "%lld", (long long)kl_eval_cast(KL_I64, p->dt, s).i64);
    else
        put_real(p, &p->part[part], t, real_of(p, i, part));
}

static void put_element(printer *p, int64_t i)
{
    kl_text t = {0};
    put_part(p, &t, i, 0);
    for (size_t k = t.len; k < p->part[0].width; k++)
        kl_text_put(p->out, " ");
    kl_text_putn(p->out, t.s ? t.s : "", t.len);
    kl_text_free(&t);
    if (parts_of(p) < 2)
        return;
    put_part(p, &t, i, 1);
    if (t.s && *t.s != '-')
        kl_text_put(p->out, "+");
    kl_text_putn(p->out, t.s ? t.s : "", t.len);
    kl_text_put(p->out, "j");
    kl_text_free(&t);
}

/* ---- the elements shown ---- */

typedef void (*visit_fn)(printer *p, int64_t i);

static void visit(printer *p, int axis, int64_t at, visit_fn fn)
{
    if (axis == p->rank) {
        fn(p, at);
        return;
    }
    int64_t n = p->shape[axis], edge = p->o.edgeitems;
    for (int64_t i = 0; i < n; i++) {
        if (p->summary && n > 2 * edge && i == edge) {
            i = n - edge - 1;
            continue;
        }
        visit(p, axis + 1, at * n + i, fn);
    }
}

static bool counts(double v)
{
    return !isnan(v) && !isinf(v) && v != 0;
}

static void measure(printer *p, int64_t i)
{
    for (int part = 0; part < parts_of(p); part++) {
        format *f = &p->part[part];
        double v = f->real ? real_of(p, i, part) : 0, a = fabs(v);
        if (!counts(v))
            continue;
        f->whole &= v == ceil(v);
        f->largest = f->any ? KL_MAX(f->largest, a) : a;
        f->smallest = f->any ? KL_MIN(f->smallest, a) : a;
        f->any = true;
    }
}

static void widen(printer *p, int64_t i)
{
    for (int part = 0; part < parts_of(p); part++) {
        format *f = &p->part[part];
        kl_text t = {0};
        if (f->real && !counts(real_of(p, i, part)))
            continue;
        put_part(p, &t, i, part);
        f->width = KL_MAX(f->width, t.len);
        kl_text_free(&t);
    }
}

static void choose(printer *p)
{
    for (int part = 0; part < 2; part++)
        p->part[part] = (format){.real = kl_is_float(p->dt) || kl_is_complex(p->dt),
                                 .whole = true,
                                 .width = 1};
    visit(p, 0, 0, measure);
    for (int part = 0; part < 2; part++) {
        format *f = &p->part[part];
        if (f->any)
            f->scientific = p->o.sci_mode >= 0
                                ? p->o.sci_mode > 0
                                : f->largest / f->smallest > 1000. || f->largest > 1.e8 ||
                                      f->smallest < 1.e-4;
    }
    visit(p, 0, 0, widen);
}

/* ---- rows and blocks ---- */

static void indent_line(printer *p, int indent)
{
    kl_text_put(p->out, "\n");
    for (int i = 0; i < indent; i++)
        kl_text_put(p->out, " ");
}

static void put_row(printer *p, int64_t at, int indent)
{
    int64_t n = p->shape[p->rank - 1], edge = p->o.edgeitems, column = 0;
    size_t width = p->part[0].width + 2;
    if (parts_of(p) > 1)
        width += p->part[1].width + 1; /* the j */
    int64_t per = KL_MAX((p->o.linewidth - indent) / (int64_t)width, 1);
    kl_text_put(p->out, "[");
    for (int64_t i = 0; i < n; i++, column++) {
        if (i > 0)
            kl_text_put(p->out, column % per == 0 ? "," : ", ");
        if (i > 0 && column % per == 0)
            indent_line(p, indent + 1);
        if (p->summary && n > 2 * edge && i == edge) {
            kl_text_put(p->out, edge ? " ..." : "...");
            i = n - edge - 1;
            continue;
        }
        put_element(p, at * n + i);
    }
    kl_text_put(p->out, "]");
}

static void put_block(printer *p, int axis, int64_t at, int indent)
{
    if (axis == p->rank - 1) {
        put_row(p, at, indent);
        return;
    }
    int64_t n = p->shape[axis], edge = p->o.edgeitems;
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
        if (p->summary && n > 2 * edge && i == edge) {
            kl_text_put(p->out, "...");
            i = n - edge - 1;
            continue;
        }
        put_block(p, axis + 1, at * n + i, indent + 1);
    }
    kl_text_put(p->out, "]");
}

/* What follows the numbers: on a line of its own where the last one has no room. */
typedef struct suffixes {
    kl_text *out;
    size_t line, limit, indent; /* the last line's length, as PyTorch counts it */
} suffixes;

static void put_suffix(suffixes *s, const char *format, ...)
{
    char text[500];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t n = strlen(text);
    if (s->line + n + 2 > s->limit) {
        kl_text_put(s->out, ",\n");
        for (size_t i = 0; i < s->indent; i++)
            kl_text_put(s->out, " ");
        s->line = s->indent + n;
    } else {
        kl_text_put(s->out, ", ");
        s->line += n + 2;
    }
    kl_text_put(s->out, text);
}

static size_t last_line(const kl_text *t)
{
    size_t n = t->len;
    while (n > 0 && t->s[n - 1] != '\n')
        n--;
    return t->len - n + 2;
}

static void put_suffixes(printer *p, kl_tensor *t, kl_lazy *n, size_t indent)
{
    bool usual = p->dt == kl_default() || p->dt == KL_I64 || p->dt == KL_BOOL ||
                 (p->dt == KL_C64 && kl_default() == KL_F32) ||
                 (p->dt == KL_C128 && kl_default() == KL_F64);
    char size[400], device[KL_DEVICE_NAME];
    suffixes s = {p->out, last_line(p->out), (size_t)KL_MAX(p->o.linewidth, 0), indent};
    if (n->device != 0 && n->device != KL_FREE)
        put_suffix(&s, "device='%s'", kl_device_name(n->device, device));
    if (kl_numel(t) == 0 ? t->rank != 1 : p->o.edgeitems == 0) {
        kl_ints_text(kl_shape_of(t), size, sizeof size); /* [..] as a tuple */
        put_suffix(&s, "size=(%.*s%s)", (int)strlen(size) - 2, size + 1,
                   t->rank == 1 ? "," : "");
    }
    if (!usual || (kl_numel(t) == 0 && p->dt != kl_default()))
        put_suffix(&s, "dtype=torch.%s", kl_dtypes[p->dt].torch_name);
    if (kl_tracks(t) && t->leaf && !t->view)
        put_suffix(&s, "requires_grad=True");
    else if (kl_tracks(t))
        put_suffix(&s, "grad_fn=<%s>", kl_grad_fn(t));
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
                 .o = options,
                 .summary = kl_lazy_numel(n) > options.threshold};
    kl_text_put(out, "tensor(");
    if (kl_lazy_numel(n) == 0) {
        kl_text_put(out, "[]");
    } else {
        choose(&p);
        if (p.rank == 0)
            put_element(&p, 0);
        else
            put_block(&p, 0, 0, 7);
    }
    put_suffixes(&p, t, n, 7);
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
