/* models.c: an ONNX model for each operator that the reader knows: a node over small
 * constants and x [2, 3, 5, 5]. The operators are those of rows.def, so that a new row is
 * reached at once; what its node needs beside x stands in `nodes`:
 *
 *   {"Gemm", "m m", "alpha~0.5 transA=1"}   name=integer, name=a,b or name=a, for a list,
 *                                           name~number, name:text, name@ for a body */
#include "models.h"

#include "../../frontend/onnx/op_flags.h"
#include "fuzz.h"

#include <limits.h>
#include <stdbool.h>

typedef struct row {
    const char *name;
    int first, last, operands; /* 2: x twice, where nodes says nothing else */
    int least;
    unsigned flags;
    const char *domain;
} row;

#define ROW(name_, first_, last_, ...)                                                   \
    {.name = #name_, .first = first_, .last = last_, __VA_ARGS__},
#define MAP1(name_, first_, f) {.name = #name_, .first = first_, .operands = 1},
#define MAP2(name_, first_, f) {.name = #name_, .first = first_, .operands = 2},
static const row rows[] = {
#include "../../frontend/onnx/rows.def"
};

/* Operands, attributes; no row: x, and no attributes. */
static const char *const nodes[][3] = {
    {"BitShift", "bytes bytes", "direction:LEFT"},
    {"BitwiseAnd", "bytes bytes", ""},
    {"BitwiseNot", "bytes", ""},
    {"BitwiseOr", "bytes bytes", ""},
    {"BitwiseXor", "bytes bytes", ""},
    {"Clip", "x half two32", ""},
    {"Div", "x x", ""},
    {"Mod", "x x", "fmod=1"},
    {"PRelu", "x half", ""},
    {"Pow", "x x", ""},
    {"SwiGLU", "x x", ""},
    {"Where", "yes x x", ""},
    {"Max", "x x", ""},
    {"Min", "x x", ""},
    {"Mean", "x x", ""},
    {"Sum", "x x", ""},
    {"BitCast", "x", "to=6"},
    {"Cast", "x", "to=7"},
    {"CastLike", "x i", ""},
    {"CumProd", "x one", "exclusive=1"},
    {"CumSum", "x one", "reverse=1"},
    {"ReduceL1", "x at1", ""},
    {"ReduceL2", "x at1", ""},
    {"ReduceLogSum", "x at1", ""},
    {"ReduceLogSumExp", "x at1", ""},
    {"ReduceMax", "x at1", ""},
    {"ReduceMean", "x at1", ""},
    {"ReduceMin", "x at1", ""},
    {"ReduceProd", "x at1", ""},
    {"ReduceSum", "x at1", "keepdims=0"},
    {"ReduceSumSquare", "x at1", ""},
    {"TopK", "x at1", "axis=1"},
    {"CenterCropPad", "x i", "axes=2,3"},
    {"Concat", "x x", "axis=1"},
    {"Constant", "", "value_ints=2,3"},
    {"ConstantOfShape", "i", ""},
    {"DepthToSpace", "d", "blocksize=2"},
    {"SpaceToDepth", "d", "blocksize=2"},
    {"Expand", "half i", ""},
    {"EyeLike", "m", "k=1"},
    {"Pad", "x pads", "mode:reflect"},
    {"Range", "one two one", ""},
    {"Reshape", "s i", ""},
    {"ReverseSequence", "t n", ""},
    {"Slice", "x h i", ""},
    {"Split", "x", "axis=1"},
    {"Squeeze", "c at0", ""},
    {"Tile", "m i", ""},
    {"Transpose", "x", "perm=1,0,3,2"},
    {"Trilu", "m one", "upper=0"},
    {"Unsqueeze", "x at0", ""},
    {"Compress", "x which", "axis=0"},
    {"Gather", "x i", "axis=2"},
    {"GatherElements", "m a", ""},
    {"GatherND", "m a", "batch_dims=0"},
    {"OneHot", "i two values", ""},
    {"Scatter", "m a m2", ""},
    {"ScatterElements", "m a m2", "reduction:add"},
    {"ScatterND", "m a values", "reduction:max"},
    {"TensorScatter", "x x h", "mode:circular"},
    {"AveragePool", "x", "kernel_shape=2,2 strides=2,2 pads=1,0,1,0 ceil_mode=1"},
    {"BatchNormalization", "x v v v v", "training_mode=1"},
    {"Conv", "x w", "strides=2,1 pads=1,1,0,1 dilations=1,2"},
    {"ConvInteger", "image image byte", ""},
    {"ConvTranspose", "x w", "strides=2,1 output_padding=1,0"},
    {"Det", "m", ""},
    {"Einsum", "m m", "equation:ij,jk->ik"},
    {"Gemm", "m m", "alpha~0.5 transA=1"},
    {"GroupNormalization", "x v v", "num_groups=3"},
    {"InstanceNormalization", "x v v", ""},
    {"LRN", "x", "size=3"},
    {"LayerNormalization", "x half half", "axis=-1"},
    {"LpNormalization", "x", "axis=1 p=1"},
    {"LpPool", "x", "kernel_shape=2,2 dilations=2,1 p=3"},
    {"MatMul", "m m", ""},
    {"MatMulInteger", "bytes bytes", ""},
    {"MaxPool", "x", "kernel_shape=2,2 strides=2,2 pads=1,0,1,0"},
    {"MaxUnpool", "d places", "kernel_shape=2,2 strides=2,2"},
    {"QLinearConv", "image half byte image half byte half byte", ""},
    {"QLinearMatMul", "bytes half byte bytes half byte half byte", ""},
    {"QGemm", "bytes half byte bytes half byte", "transB=1"},
    {"QLinearAdd", "bytes half byte bytes half byte half byte", ""},
    {"QLinearConcat", "half byte bytes half byte bytes half byte", "axis=0"},
    {"RMSNormalization", "x half", ""},
    {"Attention", "x x x", "is_causal=1"},
    {"FlexAttention", "x x x", ""},
    {"CausalConvWithState", "t taps", ""},
    {"GRU", "t c66 c", "hidden_size=2"},
    {"LSTM", "t c86 c82", "hidden_size=2"},
    {"RNN", "t c26 c22", "hidden_size=2 direction:reverse"},
    {"LinearAttention", "t t t", "q_num_heads=1 kv_num_heads=1 update_rule:linear"},
    {"RotaryEmbedding", "d turn turn", ""},
    {"Adagrad", "half two x x x", ""},
    {"Adam", "half two x x x x", ""},
    {"Momentum", "half two x x x", "mode:nesterov"},
    {"NegativeLogLikelihoodLoss", "m n", ""},
    {"SoftmaxCrossEntropyLoss", "m n", "ignore_index=1"},
    {"DequantizeLinear", "bytes half byte", ""},
    {"QuantizeLinear", "x half", ""},
    {"AffineGrid", "theta size", ""},
    {"GridSample", "x grid", "mode:cubic"},
    {"Resize", "x e e s", "mode:linear"},
    {"Upsample", "x s", ""},
    {"Col2Im", "columns i i", ""},
    {"DeformConv", "d point offsets", ""},
    {"NonMaxSuppression", "boxes scores at1", ""},
    {"RoiAlign", "x rois at0", "output_height=2 output_width=2"},
    {"BlackmanWindow", "two", ""},
    {"HammingWindow", "two", ""},
    {"HannWindow", "two", ""},
    {"DFT", "c", ""},
    {"STFT", "c two v", ""},
    {"MelWeightMatrix", "two eight rate half two32", ""},
    {"If", "yes", "then_branch@0 else_branch@0"},
    {"Loop", "two yes x", "body@2"},
    {"Scan", "x x", "num_scan_inputs=1 body@1"},
    {"OptionalGetElement", "q", ""},
    {"Multinomial", "m", "sample_size=2"},
    {"RandomNormal", "", "shape=2,2"},
    {"RandomUniform", "", "shape=2,2"},
    {"TfIdfVectorizer", "n",
     "pool_int64s=1,2,2,1 ngram_counts=0,2 ngram_indexes=0,1,2 max_gram_length=2 "
     "max_skip_count=1"},
    {"ArrayFeatureExtractor", "m n", ""},
    {"ConcatFromSequence", "q", "axis=1"},
    {"SequenceAt", "q one", ""},
    {"SequenceConstruct", "x x", ""},
    {"SequenceEmpty", "", ""},
    {"SequenceErase", "q one", ""},
    {"SequenceInsert", "q x", ""},
    {"SequenceLength", "q", ""},
    {"SequenceMap", "q", "body@0"},
    {"SplitToSequence", "x", "axis=1"},
};

/* ---- constants ---- */

enum { F32 = 1, U8 = 2, I64 = 7, BOOL = 9 };

static const struct constant {
    const char *name;
    int type, rank;
    int64_t dims[4];
    double v[4]; /* over and over */
} constants[] = {
    {"half", F32, 0, {0}, {0.5}},
    {"two32", F32, 0, {0}, {2}},
    {"v", F32, 1, {3}, {1, 2, 3}},
    {"values", F32, 1, {2}, {0, 1}},
    {"e", F32, 1, {0}, {0}},
    {"s", F32, 1, {4}, {1, 1, 2, 2}},
    {"m", F32, 2, {3, 3}, {1, 0, 2}},
    {"m2", F32, 2, {2, 2}, {1, 2}},
    {"t", F32, 3, {2, 3, 6}, {1}},
    {"c", F32, 3, {1, 6, 2}, {1, 2}},
    {"c66", F32, 3, {1, 6, 6}, {0.5}},
    {"c86", F32, 3, {1, 8, 6}, {0.5}},
    {"c82", F32, 3, {1, 8, 2}, {0.5}},
    {"c26", F32, 3, {1, 2, 6}, {0.5}},
    {"c22", F32, 3, {1, 2, 2}, {0.5}},
    {"taps", F32, 3, {3, 1, 2}, {1, 2}},
    {"turn", F32, 3, {1, 2, 1}, {1}},
    {"theta", F32, 3, {1, 2, 3}, {1}},
    {"columns", F32, 3, {1, 4, 1}, {1, 2}},
    {"boxes", F32, 3, {1, 2, 4}, {0, 0, 1, 1}},
    {"scores", F32, 3, {1, 1, 2}, {1}},
    {"rois", F32, 2, {1, 4}, {0, 0, 3, 3}},
    {"d", F32, 4, {1, 4, 2, 2}, {1, 2, 3}},
    {"w", F32, 4, {3, 3, 2, 2}, {1, 2}},
    {"grid", F32, 4, {2, 2, 2, 2}, {0.5, -0.5}},
    {"point", F32, 4, {1, 4, 1, 1}, {1}},
    {"offsets", F32, 4, {1, 2, 2, 2}, {0.5}},
    {"bytes", U8, 2, {3, 3}, {1, 2}},
    {"image", U8, 4, {1, 1, 3, 3}, {1, 2}},
    {"byte", U8, 0, {0}, {1}},
    {"one", I64, 0, {0}, {1}},
    {"two", I64, 0, {0}, {2}},
    {"eight", I64, 0, {0}, {8}},
    {"rate", I64, 0, {0}, {8000}},
    {"at0", I64, 1, {1}, {0}},
    {"at1", I64, 1, {1}, {1}},
    {"i", I64, 1, {2}, {2, 2}},
    {"h", I64, 1, {2}, {0, 1}},
    {"n", I64, 1, {3}, {1, 2, 2}},
    {"size", I64, 1, {4}, {1, 1, 2, 2}},
    {"a", I64, 2, {2, 2}, {0, 1}},
    {"pads", I64, 1, {8}, {0, 0, 1, 1}},
    {"places", I64, 4, {1, 4, 2, 2}, {0, 3}},
    {"yes", BOOL, 0, {0}, {1}},
    {"which", BOOL, 1, {2}, {0, 1}},
};

static pb constant_of(const struct constant *k)
{
    pb raw = {0};
    int64_t count = 1;
    for (int i = 0; i < k->rank; i++)
        count *= k->dims[i];
    for (int64_t i = 0; i < count; i++) {
        float f = (float)k->v[i % 4];
        int64_t n = (int64_t)f; /* little endian */
        pb_raw(&raw, k->type == F32 ? (void *)&f : &n,
               k->type == F32   ? sizeof f
               : k->type == I64 ? sizeof n
                                : 1);
    }
    return onnx_tensor(k->name, k->type, k->dims, k->rank, raw.s, raw.n);
}

static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *w = list; *w; w += strcspn(w, " "), w += *w == ' ')
        if (strcspn(w, " ") == len && memcmp(w, word, len) == 0)
            return true;
    return false;
}

/* What the words name: constants, and the sequence q of x twice. */
static void add_operands(pb *graph, const char *list)
{
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (has_word(list, constants[i].name)) {
            pb t = constant_of(&constants[i]);
            pb_part(graph, 5, &t);
        }
    if (has_word(list, "q")) {
        pb q = onnx_node("SequenceConstruct", "x x", "q");
        pb_part(graph, 1, &q);
    }
}

/* ---- attributes ---- */

/* Bodies by their number of inputs beside a condition: of none gives x; states s become
 * s + what comes beside it (x without), and are results too. */
static pb body_of(int inputs)
{
    static const char *const ins[] = {"", "s b", "trip go s"};
    static const char *const sums[] = {"x x", "s b", "s x"};
    pb g = {0}, none = {0};
    pb sum = onnx_node("Add", sums[inputs], "r"),
       again = onnx_node("Identity", "r", "r2"), on = onnx_node("Identity", "go", "go2");
    pb_part(&g, 1, &sum);
    pb_part(&g, 1, &again);
    if (inputs == 2)
        pb_part(&g, 1, &on);
    pb_text(&g, 2, "body");
    for (const char *w = ins[inputs]; *w; w += strcspn(w, " "), w += *w == ' ') {
        pb v = none;
        pb_bytes(&v, 1, w, strcspn(w, " "));
        pb_part(&g, 11, &v);
    }
    for (const char *w = inputs == 2 ? "go2 r r2" : "r r2"; *w;
         w += strcspn(w, " "), w += *w == ' ') {
        pb v = none;
        pb_bytes(&v, 1, w, strcspn(w, " "));
        pb_part(&g, 12, &v);
    }
    return g;
}

static void add_attribute(pb *node, const char *word, size_t n)
{
    enum { FLOAT = 1, INT, STRING, GRAPH = 5, INTS = 7 };
    size_t name = strcspn(word, "=~:@");
    const char *v = word + name + 1, *end = word + n;
    bool list = memchr(v, ',', (size_t)(end - v)) != NULL;
    pb a = {0}, g;
    int type = word[name] == '~'   ? FLOAT
               : word[name] == ':' ? STRING
               : word[name] == '@' ? GRAPH
               : list              ? INTS
                                   : INT;
    float f = (float)atof(v);
    pb_bytes(&a, 1, word, name);
    switch (type) {
    case FLOAT:
        pb_varint(&a, 2 << 3 | 5);
        pb_raw(&a, &f, sizeof f);
        break;
    case STRING:
        pb_bytes(&a, 4, v, (size_t)(end - v));
        break;
    case GRAPH:
        g = body_of(atoi(v));
        pb_part(&a, 6, &g);
        break;
    default:
        for (; v < end; v += strcspn(v, ", ") + 1)
            pb_int(&a, list ? 8 : 3, atoll(v));
    }
    pb_int(&a, 20, type);
    pb_part(node, 5, &a);
}

/* ---- models ---- */

int models_count(void)
{
    return (int)(sizeof rows / sizeof *rows);
}

static const char *const *node_of(const char *name)
{
    static const char *const plain[] = {"", "x", ""};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        if (strcmp(nodes[i][0], name) == 0)
            return nodes[i];
    return plain;
}

pb models_of(int i)
{
    const row *r = &rows[i];
    const char *const *n = node_of(r->name);
    const char *in = !*n[0] && r->operands == 2 ? "x x" : n[1];
    bool one = strcmp(n[0], "If") == 0 || strcmp(n[0], "SequenceMap") == 0;
    pb g = {0}, x = onnx_value("x", ONNX_FLOAT, "2 3 5 5"),
       y = onnx_value("y", ONNX_FLOAT, "");
    pb node = onnx_node(r->name, in, one ? "y" : "y y1 y2");
    for (const char *w = n[2]; *w; w += strcspn(w, " "), w += *w == ' ')
        add_attribute(&node, w, strcspn(w, " "));
    if (r->domain)
        pb_text(&node, 7, r->domain);
    add_operands(&g, in);
    pb_part(&g, 1, &node);
    pb_part(&g, 11, &x);
    pb_part(&g, 12, &y);
    pb m =
        onnx_model(&g, r->domain || r->first <= 23 ? (r->last ? r->last : 23) : r->first);
    if (r->domain) {
        pb o = onnx_opset(r->domain, r->first);
        pb_part(&m, 8, &o);
    }
    return m;
}

/* ---- damage ---- */

typedef struct rewriting {
    const uint8_t *p, *end;
    int number; /* how many are still to come before the one that changes */
    uint64_t value;
} rewriting;

static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t b = *(*p)++;
        *v |= (uint64_t)(b & 0x7F) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

/* The message once more; what does not read as one inside is bytes. */
static bool rewrite(rewriting *w, int depth, pb *out)
{
    while (w->p < w->end) {
        uint64_t tag, v = 0;
        if (!read_varint(&w->p, w->end, &tag) || tag >> 3 == 0 || tag >> 3 > 1000)
            return false;
        int wire = tag & 7;
        if ((wire == 0 || wire == 2) && !read_varint(&w->p, w->end, &v))
            return false;
        size_t size = wire == 2 ? (size_t)v : wire == 1 ? 8 : wire == 5 ? 4 : 0;
        if ((wire != 0 && !size && wire != 2) || size > (size_t)(w->end - w->p))
            return false;
        pb_varint(out, tag);
        if (wire == 0)
            pb_varint(out, w->number-- == 0 ? w->value : v);
        if (wire == 2) {
            pb part = {0};
            rewriting in = {w->p, w->p + size, w->number, w->value};
            if (size > 1 && depth < 12 && rewrite(&in, depth + 1, &part)) {
                w->number = in.number;
            } else {
                part.n = 0;
                pb_raw(&part, w->p, size);
            }
            pb_varint(out, part.n);
            pb_raw(out, part.s, part.n);
        } else {
            pb_raw(out, w->p, size);
        }
        w->p += size;
    }
    return true;
}

size_t models_damage(char *s, size_t n, size_t most, uint64_t *r)
{
    static const int64_t ends[] = {INT64_MAX, INT64_MAX / 2,
                                   INT64_MIN, INT64_C(1) << 61,
                                   INT32_MAX, -1,
                                   0,         1,
                                   2,         3,
                                   4,         7,
                                   1 << 16};
    const uint8_t *p = (const uint8_t *)s;
    pb out = {0};
    rewriting count = {p, p + n, INT_MAX, 0};
    if (n > sizeof out.s / 2 || !rewrite(&count, 0, &out) || count.number == INT_MAX)
        return n;
    rewriting w = {p, p + n, (int)below(r, INT_MAX - count.number),
                   (uint64_t)ends[below(r, sizeof ends / sizeof *ends)]};
    out.n = 0;
    if (below(r, 2))
        w.value += (uint64_t)below(r, 5) - 2;
    if (!rewrite(&w, 0, &out) || out.n > most)
        return n;
    memcpy(s, out.s, out.n);
    return out.n;
}
