/* train_user.c: trains with the object that kilnc made of train.c's step, and with
 * nothing else: plain C99, no kiln. */
#include "train.h"

#include "step.h"

static int one(state *s)
{
    return step(s->x, s->y, &s->t, s->p[0], s->p[1], s->p[2], s->p[3], s->m[0], s->m[1],
                s->m[2], s->m[3], s->v[0], s->v[1], s->v[2], s->v[3], &s->loss, s->p2[0],
                s->p2[1], s->p2[2], s->p2[3], s->m2[0], s->m2[1], s->m2[2], s->m2[3],
                s->v2[0], s->v2[1], s->v2[2], s->v2[3]);
}

int main(void)
{
    static state s;
    return train(&s, one);
}
