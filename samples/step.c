/* step.c: a whole training step of the digits' net (forward, backward, Adam) as one
 * program of any minibatch, saved for kilnc, and beside it what the net says of a row.
 * train.c trains with them, and knows nothing of kiln.
 *
 *   out[0] = loss;  w1 = w1 - lr * ..            an output lies over the input that it
 *   m.w1 = .9 * m.w1 + ..                        replaces: donated below
 *
 *   ./step FOLDER          writes FOLDER/step.kl and FOLDER/label.kl */
#include <kiln.h>
#include <stdio.h>

enum { PIXELS = 64, HIDDEN = 128, CLASSES = 10, BATCH = 32, ROWS = 359, PARAMS = 4 };
enum { X, Y, T, STATE, INPUTS = STATE + 3 * PARAMS, OUTPUTS = 1 + 3 * PARAMS };

static const char *const names[3 * PARAMS] = {"w1",   "b1",   "w2",   "b2",
                                              "m_w1", "m_b1", "m_w2", "m_b2",
                                              "v_w1", "v_b1", "v_w2", "v_b2"};

static kl_tensor *net(kl_tensor *x, kl_tensor *const *p)
{
    kl_tensor *h = kl_relu(kl_linear(kl_div(x, 16.0), p[0], p[1]));
    return kl_linear(h, p[2], p[3]);
}

/* Step t of Adam: p, m and v are a parameter and its two means, out[0], out[PARAMS] and
 * out[2 * PARAMS] what they become. */
static void adam(kl_tensor *p, kl_tensor *g, kl_tensor *m, kl_tensor *v, kl_tensor *t,
                 kl_tensor **out)
{
    kl_tensor *bias1 = kl_sub(1.0, kl_pow(0.9, t)),
              *bias2 = kl_sub(1.0, kl_pow(0.999, t));
    m = kl_add(kl_mul(m, 0.9), kl_mul(g, 0.1));
    v = kl_add(kl_mul(v, 0.999), kl_mul(kl_mul(g, g), 0.001));
    kl_tensor *d = kl_add(kl_sqrt(kl_div(v, bias2)), 1e-8);
    out[0] = kl_sub(p, kl_mul(kl_div(kl_div(m, bias1), d), 0.01));
    out[PARAMS] = m;
    out[2 * PARAMS] = v;
}

static void step(kl_tensor *const *in, kl_tensor **out, void *user)
{
    kl_tensor *p[PARAMS], *g[PARAMS], *const *state = in + STATE;
    (void)user;
    for (int i = 0; i < PARAMS; i++)
        p[i] = kl_requires_grad_(kl_detach(state[i]));
    kl_tensor *loss = kl_cross_entropy(net(in[X], p), in[Y]);
    kl_grad(loss, p, PARAMS, g);
    out[0] = kl_named(kl_detach(loss), "loss");
    for (int i = 0; i < PARAMS; i++)
        adam(state[i], g[i], state[PARAMS + i], state[2 * PARAMS + i], in[T],
             out + 1 + i);
    for (int i = 0; i < 3 * PARAMS; i++) {
        char name[16];
        snprintf(name, sizeof name, "new_%s", names[i]);
        kl_named(out[1 + i], name);
    }
}

static void label(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_named(kl_argmax(net(in[0], in + 1), 1, false), "label");
}

static kl_ints shape_of(int i) /* of parameter i */
{
    return i == 0   ? kl_shape(HIDDEN, PIXELS)
           : i == 1 ? kl_shape(HIDDEN)
           : i == 2 ? kl_shape(CLASSES, HIDDEN)
                    : kl_shape(CLASSES);
}

static kl_function *compile_step(void)
{
    kl_input in[INPUTS] = {{"x", KL_F32, kl_shape(KL_ANY(0), PIXELS)},
                           {"y", KL_I64, kl_shape(KL_ANY(0))},
                           {"t", KL_F32, kl_shape()}};
    kl_dimension batch = {.name = "batch", .min = 1, .max = BATCH};
    int donated[OUTPUTS] = {0};
    for (int i = 0; i < 3 * PARAMS; i++) {
        in[STATE + i] = (kl_input){names[i], KL_F32, shape_of(i % PARAMS)};
        donated[1 + i] = 1 + STATE + i;
    }
    return kl_compile_sized_donating_at(KL_HERE, step, NULL, in, INPUTS, OUTPUTS, donated,
                                        &batch, 1);
}

static kl_function *compile_label(void)
{
    kl_input in[1 + PARAMS] = {{"x", KL_F32, kl_shape(ROWS, PIXELS)}};
    for (int i = 0; i < PARAMS; i++)
        in[1 + i] = (kl_input){names[i], KL_F32, shape_of(i)};
    return kl_compile(label, NULL, in, 1 + PARAMS, 1);
}

static void save(kl_function *f, const char *folder, const char *file)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (f)
        kl_program_save(f, path);
    kl_function_free(f);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return fprintf(stderr, "usage: step FOLDER\n"), 2;
    save(compile_step(), argv[1], "step.kl");
    save(compile_label(), argv[1], "label.kl");
    if (kl_failed())
        return fprintf(stderr, "step: %s\n", kl_error()), 1;
    return 0;
}
