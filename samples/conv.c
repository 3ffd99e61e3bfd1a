/* conv.c: a small convolutional network on the digits, five times.
 *
 *   1x8x8 -> conv 3x3, 16, relu -> conv 3x3, 32, relu -> max-pool 2 -> linear -> 10
 * classes
 *
 * Adam at 0.003, 12 epochs, minibatches of 32, the same split as digits.c. The
 * convolution is a window and a contraction over it: no window is ever stored. Seed 0's
 * net is saved: its weights, and the net as a program for 32 images (conv.kl).
 *   ./conv samples/data/digits.csv conv.npz [epochs] [seeds] */
#include <kiln.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, NPARAMS = 6 };

typedef struct digits {
    kl_tensor *x, *y, *test_x, *test_y;
    int64_t n;
} digits;

static kl_tensor *net(kl_tensor *x, kl_tensor *const *p)
{
    kl_tensor *a = kl_relu(kl_conv2d(x, p[0], p[1], .padding = 1));
    kl_tensor *b = kl_relu(kl_conv2d(a, p[2], p[3], .padding = 1));
    return kl_linear(kl_flatten(kl_max_pool2d(b, 2, 0), 1, -1), p[4], p[5]);
}

static digits load(const char *path)
{
    kl_tensor *data = kl_load_csv(path);
    int64_t rows = kl_extent(data, 0);
    kl_tensor *test = kl_eq(kl_mod(kl_arange(0, rows, 1, KL_I64), 5), 4);
    kl_tensor *of_test = kl_select(kl_nonzero(test), 1, 0);
    kl_tensor *of_train = kl_select(kl_nonzero(kl_logical_not(test)), 1, 0);
    kl_tensor *pixels = kl_div(kl_to(kl_slice(data, 1, 0, 64), KL_F32), 16.0);
    kl_tensor *x = kl_reshape(pixels, kl_shape(rows, 1, 8, 8));
    kl_tensor *y = kl_to(kl_select(data, 1, 64), KL_I64);
    return (digits){kl_index_select(x, 0, of_train), kl_index_select(y, 0, of_train),
                    kl_index_select(x, 0, of_test), kl_index_select(y, 0, of_test),
                    kl_extent(of_train, 0)};
}

static double accuracy(const digits *d, kl_tensor *const *p)
{
    kl_scope_begin();
    kl_tensor *right = kl_eq(kl_argmax(net(d->test_x, p), 1, false), d->test_y);
    double a = kl_item(kl_mean(kl_to(right, KL_F32)));
    kl_scope_end();
    return a;
}

static void epoch(const digits *d, kl_tensor *const *p, kl_adam *opt)
{
    kl_scope_begin();
    kl_tensor *order = kl_randperm(d->n);
    for (int64_t i = 0; i < d->n; i += BATCH) {
        kl_scope_begin();
        kl_tensor *rows = kl_slice(order, 0, i, i + BATCH < d->n ? i + BATCH : d->n);
        kl_tensor *x = kl_index_select(d->x, 0, rows),
                  *y = kl_index_select(d->y, 0, rows);
        kl_adam_step(opt, kl_cross_entropy(net(x, p), y));
        kl_scope_end();
    }
    kl_scope_end();
}

static void predict(kl_tensor *const *in, kl_tensor **out, void *p)
{
    out[0] = kl_named(kl_argmax(net(in[0], p), 1, false), "label");
}

/* net.npz: the weights, net.kl and net.safetensors: the program with them. */
static void save_all(kl_tensor **p, const char *npz)
{
    char kl[4096];
    kl_input in[] = {{"images", KL_F32, kl_shape(BATCH, 1, 8, 8)}};
    snprintf(kl, sizeof kl, "%.*s.kl", (int)strlen(npz) - 4, npz);
    kl_no_grad_begin();
    kl_function *f = kl_compile(predict, p, in, 1, 1);
    kl_no_grad_end();
    kl_save(npz, p, NPARAMS);
    kl_program_save(f, kl);
    kl_function_free(f);
}

static double train(const digits *d, int seed, int epochs, const char *save)
{
    kl_manual_seed((uint64_t)seed);
    kl_tensor *p[NPARAMS] = {kl_named(kl_kaiming(kl_shape(16, 1, 3, 3)), "k1"),
                             kl_named(kl_zeros(kl_shape(16), KL_F32), "b1"),
                             kl_named(kl_kaiming(kl_shape(32, 16, 3, 3)), "k2"),
                             kl_named(kl_zeros(kl_shape(32), KL_F32), "b2"),
                             kl_named(kl_kaiming(kl_shape(10, 512)), "w"),
                             kl_named(kl_zeros(kl_shape(10), KL_F32), "b")};
    kl_adam *opt = kl_adam_new(p, NPARAMS, .lr = 3e-3);
    for (int e = 0; e < epochs && !kl_failed(); e++)
        epoch(d, p, opt);
    double a = accuracy(d, p);
    printf("seed %d: test accuracy %.2f%%\n", seed, 100 * a);
    fflush(stdout);
    if (save)
        save_all(p, save);
    kl_optim_free(opt);
    return a;
}

int main(int argc, char **argv)
{
    int epochs = argc > 3 ? atoi(argv[3]) : 12, seeds = argc > 4 ? atoi(argv[4]) : 5;
    if (argc < 3)
        return fprintf(stderr, "usage: conv digits.csv conv.npz [epochs] [seeds]\n"), 2;
    digits d = load(argv[1]);
    double sum = 0;
    for (int s = 0; s < seeds && !kl_failed(); s++) {
        kl_scope_begin();
        sum += train(&d, s, epochs, s == 0 ? argv[2] : NULL);
        kl_scope_end();
    }
    if (kl_failed())
        return fprintf(stderr, "conv: %s\n", kl_error()), 1;
    printf("mean test accuracy over %d seeds: %.2f%%\n", seeds, 100 * sum / seeds);
    return sum / seeds < 0.982 && epochs >= 12;
}
