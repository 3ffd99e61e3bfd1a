/* while.c: kl_while_within: a loop of at most so many trips, which has a reverse
 * derivative.
 *
 *   while test(c): c = body(c)   ->   for trips times: c = cond(test(c), body(c), c)
 *
 * It is a scan over trips elements of nothing, each step a branch; once the test fails, a
 * trip costs the test. */
#include "front.h"

typedef struct within {
    kl_trace_fn test, body;
    void *user;
    int n;
} within;

static void once_more(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const within *w = user;
    w->body(in, out, w->user);
}

static void as_it_is(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const within *w = user;
    for (int i = 0; i < w->n; i++)
        out[i] = in[i];
}

static void trip(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const within *w = user;
    kl_tensor *go = NULL;
    w->test(in, &go, w->user);
    if (go)
        kl_cond_at(kl_place(), go, once_more, as_it_is, user, in, w->n, out, w->n);
    else if (!kl_failed())
        kl_fail(KL_ERR_ARG, "kl_while_within: the test gives nothing");
}

kl_status kl_while_within_at(const char *at, kl_trace_fn test, kl_trace_fn body,
                             void *user, kl_tensor *const *carry, int n, int64_t trips,
                             kl_tensor **out)
{
    within w = {test, body, user, n};
    for (int i = 0; out && i < n; i++)
        out[i] = NULL;
    if (!test || !body || !carry || !out || n <= 0 || trips < 1) {
        kl_place_set(at);
        return kl_fail(KL_ERR_ARG,
                       "kl_while_within: a test, a body, at least one carried tensor and "
                       "one trip, but got %d tensors and %lld trips",
                       n, (long long)trips);
    }
    kl_tensor *steps = kl_full_at(at, kl_shape(trips), KL_ARG(0.0), KL_BOOL);
    return steps ? kl_scan_at(at, trip, &w, carry, n, &steps, 1, out, n)
                 : kl_error_status();
}
