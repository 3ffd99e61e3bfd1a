/* reader.c: a model's bytes as protobuf-c's structures.
 *
 *   bytes -> scan: depth of messages <= DEEPEST -> unpack with an allocator that counts
 *
 * protobuf-c recurses over nested messages without a limit, and a byte of a file may
 * become a hundred of memory: so the bytes are scanned first by the same descriptors, and
 * memory is refused beyond what a model of that size needs. */
#include "onnx.h"

enum { DEEPEST = 96 };

/* ---- the scan ---- */

typedef struct cursor {
    const uint8_t *p, *end;
} cursor;

static bool varint(cursor *c, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; c->p < c->end && shift < 64; shift += 7) {
        uint8_t b = *c->p++;
        *v |= (uint64_t)(b & 0x7F) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

static const ProtobufCMessageDescriptor *inside(const ProtobufCMessageDescriptor *d,
                                                uint64_t id)
{
    const ProtobufCFieldDescriptor *f =
        id <= 0x1FFFFFFF ? protobuf_c_message_descriptor_get_field(d, (unsigned)id)
                         : NULL;
    return f && f->type == PROTOBUF_C_TYPE_MESSAGE ? f->descriptor : NULL;
}

/* What is wrong with the bytes, or NULL. Recursion is what it bounds: DEEPEST. */
static const char *scan(cursor c, const ProtobufCMessageDescriptor *d, int depth)
{
    if (depth > DEEPEST)
        return "messages nest too deep";
    while (c.p < c.end) {
        uint64_t tag, n = 0;
        if (!varint(&c, &tag))
            return "cut short, or no protobuf";
        int wire = (int)(tag & 7);
        if (wire == 0 ? !varint(&c, &n) : wire == 2 ? !varint(&c, &n) : false)
            return "cut short, or no protobuf";
        uint64_t size = wire == 1 ? 8 : wire == 5 ? 4 : wire == 2 ? n : 0;
        if (wire == 3 || wire == 4 || wire > 5 || size > (uint64_t)(c.end - c.p))
            return "cut short, or no protobuf";
        const ProtobufCMessageDescriptor *sub = wire == 2 ? inside(d, tag >> 3) : NULL;
        const char *bad = sub ? scan((cursor){c.p, c.p + size}, sub, depth + 1) : NULL;
        if (bad)
            return bad;
        c.p += size;
    }
    return NULL;
}

/* ---- unpacking ---- */

typedef struct counted {
    size_t left;
    bool refused;
} counted;

static void *take(void *user, size_t size)
{
    counted *c = user;
    c->refused |= size > c->left;
    void *p = c->refused ? NULL : malloc(size ? size : 1);
    c->left -= p ? size : 0;
    return p;
}

static void drop(void *user, void *p)
{
    (void)user;
    free(p);
}

Onnx__ModelProto *kl_onnx_unpack(const char *name, const void *bytes, size_t size)
{
    const ProtobufCMessageDescriptor *d = &onnx__model_proto__descriptor;
    char line[400];
    const char *bad = scan((cursor){bytes, (const uint8_t *)bytes + size}, d, 0);
    counted c = {.left = 2 * size + (size_t)384 * 1024 * 1024};
    ProtobufCAllocator a = {take, drop, &c};
    Onnx__ModelProto *m = bad ? NULL : onnx__model_proto__unpack(&a, size, bytes);
    if (m)
        return m;
    if (!bad)
        bad = c.refused ? "larger in memory than a model of its size" : "no ONNX model";
    snprintf(line, sizeof line, "%.200s: %s", name, bad);
    kl_error_set(KL_ERR_PARSE, line);
    return NULL;
}

void kl_onnx_unpacked_free(Onnx__ModelProto *p)
{
    ProtobufCAllocator a = {take, drop, NULL};
    if (p)
        onnx__model_proto__free_unpacked(p, &a);
}
