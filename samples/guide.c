/* guide.c: the PyTorch guide's network, written in C; guide.py is the same program in
 * Python, and both print the same losses, to the last digit, from the same seed.
 *
 *   100 rows of 10 normal numbers, 2 classes -> Linear(10, 20), ReLU, Linear(20, 2)
 *   cross entropy, Adam at 0.01, 100 epochs
 *
 *   ./guide [epochs] */
#include <kiln.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 100, FEATURES = 10, HIDDEN = 20, CLASSES = 2, NPARAMS = 4 };

/* The weights and bias of a layer, uniform as PyTorch's Linear begins. */
static void linear(kl_tensor **p, int64_t in, int64_t out)
{
    double bound = 1 / sqrt((double)in);
    p[0] = kl_uniform(kl_shape(out, in), KL_F32, -bound, bound);
    p[1] = kl_uniform(kl_shape(out), KL_F32, -bound, bound);
}

static kl_tensor *model(kl_tensor *x, kl_tensor *const *p)
{
    return kl_linear(kl_relu(kl_linear(x, p[0], p[1])), p[2], p[3]);
}

int main(int argc, char **argv)
{
    int epochs = argc > 1 ? atoi(argv[1]) : 100;
    double first = 0, loss = 0;
    kl_manual_seed(0);
    kl_tensor *x = kl_to(kl_randn(kl_shape(ROWS, FEATURES), KL_F64), KL_F32);
    kl_tensor *y = kl_randint(0, CLASSES, kl_shape(ROWS), KL_I64);
    kl_tensor *p[NPARAMS];
    linear(p, FEATURES, HIDDEN);
    linear(p + 2, HIDDEN, CLASSES);
    kl_adam *optimizer = kl_adam_new(p, NPARAMS, .lr = 0.01);
    for (int epoch = 0; epoch < epochs && !kl_failed(); epoch++) {
        kl_scope_begin();
        kl_tensor *out = model(x, p);
        kl_tensor *l = kl_cross_entropy(out, y);
        kl_zero_grad(optimizer);
        kl_backward(l);
        kl_optim_step(optimizer);
        loss = kl_item(l);
        first = epoch == 0 ? loss : first;
        if (epoch % 20 == 0 || epoch == epochs - 1)
            printf("epoch %3d: loss %.6f\n", epoch + 1, loss);
        kl_scope_end();
    }
    kl_optim_free(optimizer);
    if (kl_failed())
        return fprintf(stderr, "guide: %s\n", kl_error()), 1;
    return !(loss < first);
}
