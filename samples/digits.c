/* digits.c: train a small classifier of hand-written digits, five times, and save it.
 *
 *   64 pixels -> 128 -> relu -> 10 classes, Adam at 0.01, minibatches of 32, 20 epochs
 *
 * The test rows are those whose number mod 5 is 4. A step (gather the minibatch, forward,
 * backward, update) is one compiled program: the first step compiles it, the others run
 * it. Seed 0's net is saved: its weights, the compiled net as text with them (digits.kl,
 * for kilnc; predict.c uses that), and what it says of the test rows.
 *   ./digits samples/data/digits.csv digits.npz [epochs] [seeds] */
#include <kiln.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PIXELS = 64, HIDDEN = 128, CLASSES = 10, BATCH = 32, NPARAMS = 4 };

typedef struct digits {
    kl_tensor *x, *y, *test_x, *test_y;
    int64_t n;
} digits;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static kl_tensor *net(kl_tensor *x, kl_tensor *const *p)
{
    kl_tensor *h = kl_relu(kl_linear(x, p[0], p[1]));
    return kl_linear(h, p[2], p[3]);
}

/* Rows of the file by number: test rows, and the rest. */
static digits load(const char *path)
{
    kl_tensor *data =
        kl_load_csv(path); /* f64 [1797, 65]: pixels 0..16, then the label */
    int64_t rows = kl_extent(data, 0);
    kl_tensor *index = kl_arange(0, rows, 1, KL_I64);
    kl_tensor *test = kl_eq(kl_mod(index, 5), 4);
    kl_tensor *of_test = kl_select(kl_nonzero(test), 1, 0);
    kl_tensor *of_train = kl_select(kl_nonzero(kl_logical_not(test)), 1, 0);
    kl_tensor *x = kl_div(kl_to(kl_slice(data, 1, 0, PIXELS), KL_F32), 16.0);
    kl_tensor *y = kl_to(kl_select(data, 1, PIXELS), KL_I64);
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

/* One pass over the shuffled training rows; the mean loss. */
static double epoch(const digits *d, kl_tensor *const *p, kl_adam *opt)
{
    double sum = 0;
    int64_t steps = 0;
    kl_scope_begin();
    kl_tensor *order = kl_randperm(d->n);
    kl_tensor *losses = kl_zeros(kl_shape(1), KL_F32);
    for (int64_t i = 0; i < d->n; i += BATCH, steps++) {
        kl_scope_begin();
        kl_tensor *rows = kl_slice(order, 0, i, i + BATCH < d->n ? i + BATCH : d->n);
        kl_tensor *x = kl_index_select(d->x, 0, rows),
                  *y = kl_index_select(d->y, 0, rows);
        kl_tensor *loss = kl_cross_entropy(net(x, p), y);
        kl_adam_step(opt, loss); /* backward and update with the forward: one program */
        kl_add_(losses, kl_detach(loss));
        kl_scope_end();
    }
    sum = kl_item(losses);
    kl_scope_end();
    return sum / (double)steps;
}

/* The test rows' pixels, 0 to 16, to their labels. */
static void predict(kl_tensor *const *in, kl_tensor **out, void *p)
{
    out[0] = kl_named(kl_argmax(net(kl_div(in[0], 16.0), p), 1, false), "label");
}

/* net.npz: the weights, net.kl and net.safetensors: the program, net.txt: its labels. */
static void save_all(const digits *d, kl_tensor **p, const char *npz)
{
    char kl[4096], txt[4096];
    int stem = (int)strlen(npz) - 4;
    int64_t rows = kl_extent(d->test_x, 0), *label = calloc((size_t)rows, sizeof *label);
    kl_tensor *pixels = kl_mul(d->test_x, 16.0);
    kl_input in[] = {{"pixels", KL_F32, kl_shape(rows, PIXELS)}};
    kl_no_grad_begin();
    kl_function *f = kl_compile(predict, p, in, 1, 1);
    kl_no_grad_end();
    snprintf(kl, sizeof kl, "%.*s.kl", stem, npz);
    snprintf(txt, sizeof txt, "%.*s.txt", stem, npz);
    FILE *out = fopen(txt, "w");
    kl_save(npz, p, NPARAMS);
    kl_program_save(f, kl);
    kl_function_call(f, (const void *[]){kl_data(pixels)}, (void *[]){label});
    for (int64_t i = 0; out && label && i < rows; i++)
        fprintf(out, "%lld\n", (long long)label[i]);
    if (out)
        fclose(out);
    free(label);
    kl_function_free(f);
}

static double train(const digits *d, int seed, int epochs, const char *save)
{
    kl_manual_seed((uint64_t)seed);
    kl_tensor *p[NPARAMS] = {kl_named(kl_kaiming(kl_shape(HIDDEN, PIXELS)), "w1"),
                             kl_named(kl_zeros(kl_shape(HIDDEN), KL_F32), "b1"),
                             kl_named(kl_kaiming(kl_shape(CLASSES, HIDDEN)), "w2"),
                             kl_named(kl_zeros(kl_shape(CLASSES), KL_F32), "b2")};
    kl_adam *opt = kl_adam_new(p, NPARAMS, .lr = 1e-2);
    double began = seconds(), loss = 0;
    for (int e = 0; e < epochs && !kl_failed(); e++)
        loss = epoch(d, p, opt);
    double a = accuracy(d, p);
    printf("seed %d: loss %.4f, test accuracy %.2f%%  (%.2f s)\n", seed, loss, 100 * a,
           seconds() - began);
    fflush(stdout);
    if (save)
        save_all(d, p, save);
    kl_optim_free(opt);
    return a;
}

int main(int argc, char **argv)
{
    int epochs = argc > 3 ? atoi(argv[3]) : 20, seeds = argc > 4 ? atoi(argv[4]) : 5;
    if (argc < 3)
        return fprintf(stderr, "usage: digits digits.csv digits.npz [epochs] [seeds]\n"),
               2;
    digits d = load(argv[1]);
    double sum = 0;
    for (int s = 0; s < seeds && !kl_failed(); s++) {
        kl_scope_begin();
        sum += train(&d, s, epochs, s == 0 ? argv[2] : NULL);
        kl_scope_end();
    }
    if (kl_failed())
        return fprintf(stderr, "digits: %s\n", kl_error()), 1;
    printf("mean test accuracy over %d seeds: %.2f%%\n", seeds, 100 * sum / seeds);
    return sum / seeds < 0.97 && epochs >= 20;
}
