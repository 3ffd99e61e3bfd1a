/* many.h: an assertion for loops of millions.
 *
 *   ck_assert_msg(a == b, "%a", x)     Check notes in a file that it was here, each time
 *   check_msg(a == b, "%a", x)         nothing is done where it holds */
#ifndef KL_TEST_MANY_H
#define KL_TEST_MANY_H
#include <check.h>

#define check_msg(holds, ...)                                                            \
    do {                                                                                 \
        if (!(holds))                                                                    \
            ck_abort_msg(__VA_ARGS__);                                                   \
    } while (0)

#endif
