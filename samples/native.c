/* native.c: a C function of one's own inside a graph, with its derivative, and trained
 * through.
 *
 *   y = wave(x, a, b) = a * sin(b * x)        wave and wave_back are plain C: kiln sees
 * names
 *
 * First the gradients that kiln gives are compared with finite differences, in f64. Then
 * a and b are fitted to samples of 1.5 sin(0.7 x) by Adam: each step is one program that
 * calls both.
 *   ./native */
#include <kiln.h>
#include <math.h>
#include <stdio.h>

enum { POINTS = 200, STEPS = 300 };

/* Operands, the result, then each one's extents. */
static int wave(const double *x, const double *a, const double *b, double *y,
                const int64_t *const *shapes)
{
    for (int64_t i = 0; i < shapes[0][0]; i++)
        y[i] = *a * sin(*b * x[i]);
    return 0;
}

/* Operands, the result, its cotangent; then a cotangent for each operand. */
static int wave_back(const double *x, const double *a, const double *b, const double *y,
                     const double *dy, double *dx, double *da, double *db,
                     const int64_t *const *shapes)
{
    *da = *db = 0;
    for (int64_t i = 0; i < shapes[0][0]; i++) {
        double c = *a * cos(*b * x[i]) * dy[i];
        dx[i] = *b * c;
        *db += x[i] * c;
        *da += dy[i] * y[i] / *a;
    }
    return 0;
}

static kl_tensor *call_wave(kl_tensor *x, kl_tensor *a, kl_tensor *b)
{
    kl_tensor *in[] = {x, a, b};
    return kl_call_native("wave", "wave_back", in, 3, KL_F64, kl_shape(kl_extent(x, 0)));
}

/* ---- gradients ---- */

static kl_tensor *energy(kl_tensor *const *in, int n, void *user)
{
    (void)n;
    (void)user;
    return kl_sum(kl_square(call_wave(in[0], in[1], in[2])));
}

static double energy_at(const double *v, double h, int by)
{
    double x = v[0] + h * (by == 0), a = v[1] + h * (by == 1), b = v[2] + h * (by == 2);
    kl_tensor *in[] = {kl_full(kl_shape(1), x, KL_F64), kl_full(kl_shape(), a, KL_F64),
                       kl_full(kl_shape(), b, KL_F64)};
    return kl_item(energy(in, 3, NULL));
}

static int check_gradients(void)
{
    static const char *const names[] = {"x", "a", "b"};
    const double at[] = {0.6, 1.3, 0.9}, h = 1e-5;
    int wrong = 0;
    kl_tensor *g[3],
        *in[] = {kl_full(kl_shape(1), at[0], KL_F64), kl_full(kl_shape(), at[1], KL_F64),
                 kl_full(kl_shape(), at[2], KL_F64)};
    kl_value_and_grad(energy, NULL, in, 3, g);
    for (int i = 0; i < 3 && !kl_failed(); i++) {
        double difference = (energy_at(at, h, i) - energy_at(at, -h, i)) / (2 * h);
        double given = kl_item(kl_sum(g[i]));
        printf("d/d%s of the sum of wave(x, a, b) squared: %.9f, by finite differences "
               "%.9f\n",
               names[i], given, difference);
        wrong |= !(fabs(given - difference) < 1e-7);
    }
    return wrong;
}

/* ---- a training loop ---- */

static int fit(void)
{
    kl_tensor *x = kl_sub(kl_div(kl_arange(0, POINTS, 1, KL_F64), 20.0), 5.0);
    kl_tensor *y = kl_mul(kl_sin(kl_mul(x, 0.7)), 1.5);
    kl_tensor *p[] = {kl_named(kl_full(kl_shape(), 0.5, KL_F64), "a"),
                      kl_named(kl_full(kl_shape(), 1.0, KL_F64), "b")};
    kl_adam *opt = kl_adam_new(p, 2, .lr = 0.02);
    for (int s = 0; s <= STEPS && !kl_failed(); s++) {
        kl_scope_begin();
        kl_tensor *loss = kl_mse_loss(call_wave(x, p[0], p[1]), y);
        kl_adam_step(opt, loss);
        if (s % 100 == 0)
            printf("step %3d: loss %.2e, a %.4f, b %.4f\n", s, kl_item(loss),
                   kl_item(p[0]), kl_item(p[1]));
        kl_scope_end();
    }
    double a = kl_item(p[0]), b = kl_item(p[1]);
    kl_optim_free(opt);
    return !(fabs(a - 1.5) < 1e-3 && fabs(b - 0.7) < 1e-3);
}

int main(void)
{
    kl_native("wave", (kl_c_function)wave);
    kl_native("wave_back", (kl_c_function)wave_back);
    kl_scope_begin();
    int wrong = check_gradients() | fit();
    kl_scope_end();
    if (kl_failed())
        return fprintf(stderr, "native: %s\n", kl_error()), 1;
    return wrong;
}
