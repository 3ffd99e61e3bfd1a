/* onnx_bytes.h: ONNX models written by hand, field by field, for the tests: protobuf's
 * wire format and the numbers of ONNX's schema, and nothing of what reads them. */
#ifndef ONNX_BYTES_H
#define ONNX_BYTES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pb {
    size_t n;
    char s[6000];
} pb;

static inline void pb_raw(pb *p, const void *bytes, size_t n)
{
    if (p->n + n > sizeof p->s)
        n = 0; /* a test's mistake: what reads it will say so */
    memcpy(p->s + p->n, bytes, n);
    p->n += n;
}
static inline void pb_varint(pb *p, uint64_t v)
{
    do {
        uint8_t b = (uint8_t)((v & 0x7F) | (v > 0x7F) << 7);
        pb_raw(p, &b, 1);
        v >>= 7;
    } while (v);
}
static inline void pb_int(pb *p, int field, int64_t v)
{
    pb_varint(p, (uint64_t)field << 3);
    pb_varint(p, (uint64_t)v);
}
static inline void pb_bytes(pb *p, int field, const void *bytes, size_t n)
{
    pb_varint(p, (uint64_t)field << 3 | 2);
    pb_varint(p, n);
    pb_raw(p, bytes, n);
}
static inline void pb_text(pb *p, int field, const char *s)
{
    pb_bytes(p, field, s, strlen(s));
}
static inline void pb_part(pb *p, int field, const pb *part)
{
    pb_bytes(p, field, part->s, part->n);
}

/* Each word of a list. */
static inline void pb_words(pb *p, int field, const char *list)
{
    while (*list) {
        size_t n = strcspn(list, " ");
        pb_bytes(p, field, list, n);
        list += n + (list[n] == ' ');
    }
}

/* ---- ONNX ---- */

enum { ONNX_FLOAT = 1, ONNX_INT64 = 7, ONNX_STRING = 8 };

/* type, and dims: numbers and names, "batch 3". */
static inline pb onnx_type(int type, const char *dims)
{
    pb shape = {0}, tensor = {0}, t = {0};
    while (*dims) {
        pb d = {0};
        size_t n = strcspn(dims, " ");
        if (*dims >= '0' && *dims <= '9')
            pb_int(&d, 1, atoll(dims));
        else
            pb_bytes(&d, 2, dims, n);
        pb_part(&shape, 1, &d);
        dims += n + (dims[n] == ' ');
    }
    pb_int(&tensor, 1, type);
    pb_part(&tensor, 2, &shape);
    pb_part(&t, 1, &tensor);
    return t;
}
static inline pb onnx_value(const char *name, int type, const char *dims)
{
    pb v = {0}, t = onnx_type(type, dims);
    pb_text(&v, 1, name);
    pb_part(&v, 2, &t);
    return v;
}
static inline pb onnx_tensor(const char *name, int type, const int64_t *dims, int rank,
                             const void *raw, size_t size)
{
    pb t = {0};
    for (int i = 0; i < rank; i++)
        pb_int(&t, 1, dims[i]);
    pb_int(&t, 2, type);
    pb_text(&t, 8, name);
    pb_bytes(&t, 9, raw, size);
    return t;
}
static inline pb onnx_node(const char *op, const char *in, const char *out)
{
    pb n = {0};
    pb_words(&n, 1, in);
    pb_words(&n, 2, out);
    pb_text(&n, 3, out); /* called as its result */
    pb_text(&n, 4, op);
    return n;
}
static inline void onnx_attr_int(pb *node, const char *name, int64_t v)
{
    pb a = {0};
    pb_text(&a, 1, name);
    pb_int(&a, 3, v);
    pb_int(&a, 20, 2);
    pb_part(node, 5, &a);
}
static inline void onnx_attr_part(pb *node, const char *name, int field, int type,
                                  const pb *part)
{
    pb a = {0};
    pb_text(&a, 1, name);
    pb_part(&a, field, part);
    pb_int(&a, 20, type);
    pb_part(node, 5, &a);
}
static inline pb onnx_opset(const char *domain, int version)
{
    pb o = {0};
    pb_text(&o, 1, domain);
    pb_int(&o, 2, version);
    return o;
}
static inline pb onnx_model(const pb *graph, int opset)
{
    pb m = {0}, o = onnx_opset("", opset);
    pb_int(&m, 1, 8);
    pb_part(&m, 8, &o);
    pb_part(&m, 7, graph);
    return m;
}

/* y = softmax(relu(x w)), x [batch, 3], w [3, 4] = 0, 1, .. / 10 */
static inline pb onnx_head(void)
{
    float w[12];
    for (int i = 0; i < 12; i++)
        w[i] = (float)i / 10;
    pb g = {0}, mm = onnx_node("MatMul", "x w", "h"), act = onnx_node("Relu", "h", "r");
    pb sm = onnx_node("Softmax", "r", "y"), x = onnx_value("x", ONNX_FLOAT, "batch 3");
    pb y = onnx_value("y", ONNX_FLOAT, "batch 4");
    pb t = onnx_tensor("w", ONNX_FLOAT, (const int64_t[]){3, 4}, 2, w, sizeof w);
    pb_part(&g, 1, &mm);
    pb_part(&g, 1, &act);
    pb_part(&g, 1, &sm);
    pb_text(&g, 2, "head");
    pb_part(&g, 5, &t);
    pb_part(&g, 11, &x);
    pb_part(&g, 12, &y);
    return onnx_model(&g, 17);
}

#endif
