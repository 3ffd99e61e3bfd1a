/* test_fusion.c: how many kernels a program becomes, on the CPU and on a device: counted
 * by kl_stats over a second run, and compared with tests/fusion.txt. With --print the
 * counts are printed in that file's form. 77 without a device. */
#include "frontend/front.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARAMS = 20, ROWS = 64, WIDE = 48 };

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

static const struct {
    const char *name;
    program build;
    bool grad; /* its operands require gradients */
} programs[] = {
    {"chain", chain, false},
    {"softmax", softmax, false},
    {"layer-norm", layer_norm, false},
    {"mean-of-squares", mean_of_squares, false},
    {"linear-gelu", linear_gelu, false},
    {"attention", attention, false},
    {"mlp-step", mlp_step, true},
    {"adam-of-20", adam_of_20, true},
};

/* ---- counting ---- */

static bool make(bool grad)
{
    kl_manual_seed(1);
    for (int i = 0; i < PARAMS; i++) {
        kl_ints shape = i < 2 ? kl_shape(ROWS, WIDE) : kl_shape(WIDE, WIDE);
        in[i] = kl_to_device(kl_realize(kl_randn(shape, KL_F32)), device);
        grads[i] = kl_to_device(kl_realize(kl_randn(shape, KL_F32)), device);
        if (!in[i] || !grads[i] || (grad && !kl_requires_grad_(in[i])))
            return false;
    }
    return true;
}

/* Kernels of the second run; -1 after a failure. */
static int64_t count(int i)
{
    int64_t launched = -1;
    kl_scope_begin();
    bool ok = make(programs[i].grad);
    adam = ok && programs[i].build == adam_of_20 ? kl_adam_new(in, PARAMS, .lr = 1e-3)
                                                 : NULL;
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
