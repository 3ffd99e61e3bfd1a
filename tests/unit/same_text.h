/* same_text.h: a program's text without what is for readers alone: comments, and where
 * its lines end. Two texts of one program are then equal. */
#ifndef KL_TEST_SAME_TEXT_H
#define KL_TEST_SAME_TEXT_H

#include "runtime/runtime.h"

static inline void words_only(char *s)
{
    size_t n = 0;
    bool quoted = false, comment = false;
    for (size_t i = 0; s[i]; i++) {
        quoted = s[i] == '"' && !comment ? !quoted : quoted && s[i] != '\n';
        comment = (s[i] == '#' && !quoted) || (comment && s[i] != '\n');
        bool space = s[i] == ' ' || s[i] == '\n';
        if (!comment && !(space && (!n || s[n - 1] == ' ')))
            s[n++] = space ? ' ' : s[i];
    }
    s[n] = 0;
}

#endif
