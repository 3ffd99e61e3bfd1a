/* test_fusion.c: how many kernels a program becomes, on the CPU and on a device: counted
 * by kl_stats over a second run, and compared with tests/fusion.txt. With --print the
 * counts are printed in that file's form. 77 without a device. */
#include "frontend/front.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARAMS = 20, ROWS = 64, WIDE = 48 };
enum { PIXELS = 64, CLASSES = 10, BATCH = 32, IMAGES = 100, NET = 6 };
enum { DATA = NET, LABELS, ORDER, LOSSES }; /* of a sample, behind its parameters */

typedef kl_tensor *(*program)(kl_tensor *const *in); /* builds; the caller computes */

static const char *device;
static kl_tensor *in[PARAMS], *grads[PARAMS];
static kl_adam *adam;

/* ---- programs ---- */

static kl_tensor *chain(kl_tensor *const *x)
{
    return kl_gelu(kl_tanh(kl_add(kl_mul(x[0], 2.0), x[1])));
}

static kl_tensor *softmax(kl_tensor *const *x)
{
    return kl_mul(kl_softmax(kl_add(x[0], 1.0), 1), 3.0);
}

static kl_tensor *layer_norm(kl_tensor *const *x)
{
    kl_tensor *w = kl_select(x[1], 0, 0), *b = kl_select(x[1], 0, 1);
    return kl_relu(kl_layer_norm(kl_mul(x[0], x[0]), 1, w, b, 1e-5));
}

static kl_tensor *mean_of_squares(kl_tensor *const *x)
{
    return kl_mean(kl_mul(x[0], x[0]));
}

static kl_tensor *linear_gelu(kl_tensor *const *x)
{
    return kl_gelu(kl_linear(x[0], x[2], kl_select(x[3], 0, 0)));
}

static kl_tensor *attention(kl_tensor *const *x)
{
    return kl_attention(x[0], x[1], x[1], NULL, false, 0);
}

static kl_tensor *adam_of_20(kl_tensor *const *x)
{
    (void)x;
    for (int i = 0; i < PARAMS; i++)
        kl_set_grad(in[i], grads[i]);
    kl_optim_step(adam);
    return in[0];
}

static kl_tensor *mlp_step(kl_tensor *const *x)
{
    kl_tensor *h = kl_relu(kl_linear(x[0], x[2], kl_select(x[3], 0, 0)));
    kl_tensor *y = kl_linear(h, x[3], kl_select(x[2], 0, 0));
    kl_tensor *g[2], *loss = kl_mse_loss(y, x[1]);
    kl_tensor *by[] = {x[2], x[3]};
    if (kl_grad(loss, by, 2, g) != KL_OK)
        return NULL;
    kl_tensor *next[] = {loss, kl_sub(x[2], kl_mul(g[0], 0.1)),
                         kl_sub(x[3], kl_mul(g[1], 0.1))};
    return kl_realize_all(next, 3) == KL_OK ? loss : NULL;
}

/* ---- the samples' nets: samples/digits.c and samples/conv.c ---- */

static kl_tensor *digits(kl_tensor *x, kl_tensor *const *p)
{
    kl_tensor *h = kl_relu(kl_linear(x, p[0], p[1]));
    return kl_linear(h, p[2], p[3]);
}

static kl_tensor *conv(kl_tensor *x, kl_tensor *const *p)
{
    kl_tensor *a = kl_relu(kl_conv2d(x, p[0], p[1], .padding = 1));
    kl_tensor *b = kl_relu(kl_conv2d(a, p[2], p[3], .padding = 1));
    return kl_linear(kl_flatten(kl_max_pool2d(b, 2, 0), 1, -1), p[4], p[5]);
}

static kl_tensor *minibatch(kl_tensor *all)
{
    return kl_index_select(all, 0, kl_slice(in[ORDER], 0, 0, BATCH));
}

static kl_tensor *step_of(kl_tensor *(*net)(kl_tensor *, kl_tensor *const *))
{
    kl_tensor *y = net(minibatch(in[DATA]), in);
    kl_tensor *loss = kl_cross_entropy(y, minibatch(in[LABELS]));
    return kl_adam_step(adam, loss) == KL_OK ? kl_add_(in[LOSSES], kl_detach(loss))
                                             : NULL;
}

static kl_tensor *digits_step(kl_tensor *const *x)
{
    (void)x;
    return step_of(digits);
}

static kl_tensor *conv_step(kl_tensor *const *x)
{
    (void)x;
    return step_of(conv);
}

static kl_tensor *digits_labels(kl_tensor *const *x)
{
    return kl_argmax(digits(kl_div(x[DATA], 16.0), x), 1, false);
}

static kl_tensor *conv_labels(kl_tensor *const *x)
{
    return kl_argmax(conv(x[DATA], x), 1, false);
}

/* ---- operands ---- */

static kl_tensor *there(kl_tensor *t)
{
    return kl_to_device(kl_realize(t), device);
}

static void make_squares(void)
{
    for (int i = 0; i < PARAMS; i++) {
        kl_ints shape = i < 2 ? kl_shape(ROWS, WIDE) : kl_shape(WIDE, WIDE);
        in[i] = there(kl_randn(shape, KL_F32));
        grads[i] = there(kl_randn(shape, KL_F32));
    }
}

static void make_sample(kl_ints images)
{
    in[DATA] = there(kl_rand(images, KL_F32));
    in[LABELS] = there(kl_mod(kl_arange(0, IMAGES, 1, KL_I64), CLASSES));
    in[ORDER] = there(kl_randperm(IMAGES));
    in[LOSSES] = there(kl_zeros(kl_shape(1), KL_F32));
}

static void make_digits(void)
{
    make_sample(kl_shape(IMAGES, PIXELS));
    in[0] = there(kl_kaiming(kl_shape(128, PIXELS)));
    in[1] = there(kl_zeros(kl_shape(128), KL_F32));
    in[2] = there(kl_kaiming(kl_shape(CLASSES, 128)));
    in[3] = there(kl_zeros(kl_shape(CLASSES), KL_F32));
}

static void make_conv(void)
{
    make_sample(kl_shape(IMAGES, 1, 8, 8));
    in[0] = there(kl_kaiming(kl_shape(16, 1, 3, 3)));
    in[1] = there(kl_zeros(kl_shape(16), KL_F32));
    in[2] = there(kl_kaiming(kl_shape(32, 16, 3, 3)));
    in[3] = there(kl_zeros(kl_shape(32), KL_F32));
    in[4] = there(kl_kaiming(kl_shape(CLASSES, 512)));
    in[5] = there(kl_zeros(kl_shape(CLASSES), KL_F32));
}

static const struct {
    const char *name;
    program build;
    void (*make)(void);
    int trained; /* its first operands require gradients; adam updates them */
} programs[] = {
    {"chain", chain, make_squares, 0},
    {"softmax", softmax, make_squares, 0},
    {"layer-norm", layer_norm, make_squares, 0},
    {"mean-of-squares", mean_of_squares, make_squares, 0},
    {"linear-gelu", linear_gelu, make_squares, 0},
    {"attention", attention, make_squares, 0},
    {"mlp-step", mlp_step, make_squares, PARAMS},
    {"adam-of-20", adam_of_20, make_squares, PARAMS},
    {"digits-labels", digits_labels, make_digits, 0},
    {"digits-step", digits_step, make_digits, 4},
    {"conv-labels", conv_labels, make_conv, 0},
    {"conv-step", conv_step, make_conv, NET},
};

/* ---- counting ---- */

/* Kernels of the second run; -1 after a failure. */
static int64_t count(int i)
{
    int64_t launched = -1;
    kl_scope_begin();
    int trained = programs[i].trained;
    kl_manual_seed(1);
    programs[i].make();
    adam = trained ? kl_adam_new(in, trained, .lr = 1e-3) : NULL;
    bool ok = !kl_failed();
    for (int run = 0; run < 3 && ok; run++) {
        uint64_t before = kl_stats().kernels_launched;
        kl_scope_begin();
        kl_tensor *y = programs[i].build(in);
        ok = y && kl_realize(y) && kl_synchronize(device) == KL_OK;
        kl_scope_end();
        launched = ok ? (int64_t)(kl_stats().kernels_launched - before) : -1;
    }
    kl_optim_free(adam);
    kl_scope_end();
    return launched;
}

/* The line of that name: what the column says; -1: it is not there. */
static int64_t expected(const char *path, const char *name, bool cuda)
{
    char line[200], word[64];
    int64_t found = -1;
    FILE *f = fopen(path, "r");
    while (f && found < 0 && fgets(line, sizeof line, f)) {
        int on_cpu, on_cuda;
        if (sscanf(line, "%63s %d %d", word, &on_cpu, &on_cuda) == 3 &&
            !strcmp(word, name))
            found = cuda ? on_cuda : on_cpu;
    }
    if (f)
        fclose(f);
    return found;
}

static int check(const char *path, const char *where)
{
    int bad = 0;
    device = where;
    for (size_t i = 0; i < KL_COUNT(programs); i++) {
        int64_t n = count((int)i);
        if (n < 0)
            fprintf(stderr, "%s on %s: %s\n", programs[i].name, where, kl_error());
        if (!path) {
            printf("%-20s %s %lld\n", programs[i].name, where, (long long)n);
            continue;
        }
        int64_t want = expected(path, programs[i].name, strcmp(where, "cpu") != 0);
        if (n != want)
            fprintf(stderr, "%s on %s: %lld kernels, fusion.txt says %lld\n",
                    programs[i].name, where, (long long)n, (long long)want);
        bad += n != want || n < 0;
        kl_error_clear();
    }
    return bad;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 && strcmp(argv[1], "--print") != 0 ? argv[1] : NULL;
    if (kl_device_count() == 0)
        return 77;
    int bad = check(path, "cpu") + check(path, "cuda");
    printf("%zu programs on two devices, %d of other counts\n", KL_COUNT(programs), bad);
    return bad != 0;
}
