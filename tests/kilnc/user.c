/* user.c: the function that tests/kilnc/twice.kl calls, defined by the user. */
#include "user.h"

int user_twice(const float *in0, float *out0, const int64_t *const *shapes)
{
    if (shapes[0][1] != 2 || shapes[1][0] != shapes[0][0])
        return 1;
    for (int64_t i = 0; i < shapes[0][0] * shapes[0][1]; i++) {
        if (in0[i] > 1000)
            return 2;
        out0[i] = 2 * in0[i];
    }
    return 0;
}
