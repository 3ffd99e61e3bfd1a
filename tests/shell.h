/* shell.h: commands that tests run. */
#ifndef TESTS_SHELL_H
#define TESTS_SHELL_H

#include "runtime/runtime.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>

/* The command's result; -1: it did not end by itself. */
static inline int sh(const char *fmt, ...) KL_PRINTF(1, 2);
static inline int sh(const char *fmt, ...)
{
    char command[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
