/* rows.c: the operators that kiln has, a row each (rows.def), and how one is found. */
#include "op.h"

#define ROW(name, ...) void kl_onnx_op_##name(kl_onnx_op *n);
#define MAP1(...)
#define MAP2(...)
#include "rows.def"

#define ROW(name_, first_, last_, ...)                                                   \
    {.name = #name_,                                                                     \
     .first = first_,                                                                    \
     .last = last_,                                                                      \
     .fn = kl_onnx_op_##name_,                                                           \
     __VA_ARGS__},
#define MAP1(name_, first_, f) {.name = #name_, .first = first_, .one = kl_##f##_at},
#define MAP2(name_, first_, f) {.name = #name_, .first = first_, .two = kl_##f##_at},
const kl_onnx_row kl_onnx_rows[] = {
#include "rows.def"
};
const int kl_onnx_row_count = (int)KL_COUNT(kl_onnx_rows);

static bool in_domain(const kl_onnx_row *row, const char *domain)
{
    if (!row->domain)
        return !*domain || strcmp(domain, "ai.onnx") == 0;
    return strcmp(row->domain, domain) == 0;
}

bool kl_onnx_other(const kl_onnx_row *near, const node_proto *node)
{
    return !near || strcmp(near->name, node->op_type) != 0 ||
           !in_domain(near, node->domain);
}

/* How many letters must change, for short names. */
static int distance(const char *a, const char *b)
{
    int row[64], n = min_int((int)strlen(b), 62);
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; *a && i < 63; i++, a++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = corner + (*a != b[j - 1]);
            corner = row[j];
            row[j] = min_int(change, min_int(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

const kl_onnx_row *kl_onnx_find(const char *domain, const char *name, int opset,
                                const kl_onnx_row **near)
{
    const kl_onnx_row *like = NULL;
    int best = 1 << 20;
    for (int i = 0; i < kl_onnx_row_count; i++) {
        const kl_onnx_row *row = &kl_onnx_rows[i];
        if (strcmp(row->name, name) != 0 || !in_domain(row, domain))
            continue;
        if (opset >= row->first && (!row->last || opset <= row->last))
            return row;
        like = row;
    }
    for (int i = 0; near && !like && i < kl_onnx_row_count; i++) {
        int d = distance(name, kl_onnx_rows[i].name);
        if (d < best) {
            best = d;
            *near = &kl_onnx_rows[i];
        }
    }
    if (near && like)
        *near = like;
    return NULL;
}
