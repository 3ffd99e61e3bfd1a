/* examples.c: every line of code that stands in a comment of a public header, compiled
 * and run by install.sh against the installed library. A header's new example line
 * belongs here.
 */
#include <kiln.h>

#include <stdio.h>
#include <stdlib.h>

static kl_tensor *w, *b;

/* ---- compile.h ---- */

/* clang-format off */
static void f(kl_tensor *const *in, kl_tensor **out, void *user)
{
    out[0] = kl_relu(kl_linear(in[0], w, b));
    (void)user;
}
/* clang-format on */

static void compile_h(void)
{
    static float x[32 * 64], y[32 * 8];
    kl_input in[] = {{"x", KL_F32, kl_shape(32, 64)}};
    w = kl_kaiming(kl_shape(8, 64));
    b = kl_ones(kl_shape(8), KL_F32);
    kl_function *g = kl_compile(f, NULL, in, 1, 1);
    kl_function_call(g, (const void *[]){x}, (void *[]){y});
    if (y[0] != 1)
        exit(1);
    kl_function_free(g);
}

/* ---- control.h ---- */

/* clang-format off */
static void cell(kl_tensor *const *in, kl_tensor **out, void *user)
{
    out[0] = out[1] = kl_tanh(kl_add(kl_matmul(in[0], w), in[1]));
    (void)user;
}
/* clang-format on */

static void control_h(void)
{
    kl_tensor *h = kl_zeros(kl_shape(1, 4), KL_F32),
              *x = kl_ones(kl_shape(7, 1, 4), KL_F32);
    w = kl_eye(4, KL_F32);
    kl_tensor *out[2];
    kl_scan(cell, NULL, &h, 1, &x, 1, out, 2);
    if (kl_item(kl_sum(out[0])) != kl_item(kl_sum(kl_select(out[1], 0, 6))))
        exit(1);
}

/* ---- device.h ---- */

static void device_h(void)
{
    kl_tensor *x = kl_to_device(kl_ones(kl_shape(8), KL_F32), "cpu");
    if (kl_item(kl_sum(x)) != 8)
        exit(1);
}

/* ---- explain.h ---- */

static void explain_h(void)
{
    kl_tensor *y = kl_exp(kl_realize(kl_ones(kl_shape(1000), KL_F32)));
    kl_cost c;
    kl_plan(&y, 1, &c);
    char *text = kl_explain(&y, 1);
    if (!text || c.launches != 1)
        exit(1);
    free(text);
}

/* ---- native.h ---- */

int spring(const float *x, float *y, const int64_t *const *shapes);
/* clang-format off */
int spring_back(const float *x, const float *y, const float *dy, float *dx,
                const int64_t *const *shapes);
/* clang-format on */

int spring(const float *x, float *y, const int64_t *const *shapes)
{
    for (int64_t i = 0; i < shapes[0][0]; i++)
        y[i] = x[i] * x[i] / 2;
    return 0;
}

int spring_back(const float *x, const float *y, const float *dy, float *dx,
                const int64_t *const *shapes)
{
    (void)y;
    for (int64_t i = 0; i < shapes[0][0]; i++)
        dx[i] = x[i] * dy[i];
    return 0;
}

static void native_h(void)
{
    kl_tensor *x = kl_requires_grad_(kl_ones(kl_shape(64), KL_F32)), *y;
    kl_native("spring", (kl_c_function)spring);
    kl_native("spring_back", (kl_c_function)spring_back);
    y = kl_call_native("spring", "spring_back", &x, 1, KL_F32, kl_shape(64));
    kl_backward(kl_sum(y));
    if (kl_item(kl_sum(kl_grad_of(x))) != 64)
        exit(1);
}

/* ---- optim.h ---- */

static kl_tensor *loss_of(kl_tensor *const *p)
{
    return kl_add(kl_sum(kl_mul(p[0], p[1])), kl_sum(kl_mul(p[2], p[3])));
}

static void optim_h(void)
{
    kl_tensor *p[4];
    for (int i = 0; i < 4; i++)
        p[i] = kl_ones(kl_shape(3), KL_F32);
    kl_adam *opt = kl_adam_new(p, 4, .lr = 1e-2);
    kl_tensor *loss = loss_of(p);
    double first = kl_item(loss);
    kl_adam_step(opt, loss);
    loss = loss_of(p);
    /* clang-format off */
    kl_backward(loss); kl_optim_step(opt); kl_zero_grad(opt);
    /* clang-format on */
    if (kl_item(loss_of(p)) >= first)
        exit(1);
    kl_optim_free(opt);
}

/* ---- fft.h ---- */

static void fft_h(void)
{
    kl_tensor *x = kl_ones(kl_shape(4, 4), KL_F32), *y;
    /* clang-format off */
    y = kl_fft_fft(x, KL_FFT_ALL, -1, NULL);
    if (kl_item(kl_real(kl_select(kl_select(y, 0, 0), 0, 0))) != 4)
        exit(1);
    y = kl_fft_rfftn(x, kl_shape(), kl_axes(0, 1), "ortho");
    /* clang-format on */
    if (kl_item(kl_real(kl_select(kl_select(y, 0, 0), 0, 0))) != 4)
        exit(1);
}

int main(void)
{
    if (!kl_ones(kl_shape(1), KL_F32)) /* KILN_DEVICE names none that is there */
        return fprintf(stderr, "%s\n", kl_error()), 1;
    kl_scope_begin();
    control_h();
    device_h();
    compile_h();
    explain_h();
    fft_h();
    native_h();
    optim_h();
    kl_scope_end();
    kl_cleanup();
    if (kl_failed())
        return fprintf(stderr, "%s\n", kl_error()), 1;
    return 0;
}
