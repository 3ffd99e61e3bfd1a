/* llvm_lines.c: DWARF line tables: from an instruction to the statement of the loops'
 * text that it comes from, and from there to the user's line.
 *
 *   frame 0: net.c:41 (inlined by)        the statement's place
 *   frame 1: relu.0 at net.o.loops:12     the statement, in the text written beside the
 * object
 *
 * A phase is a function of the text; each of the user's lines is a function of its own
 * that is inlined wherever statements come from it, which is how debuggers and perf show
 * both. */
#include "codegen/llvm_emit.h"

#include <stdlib.h>

enum { C99 = 11 /* LLVMDWARFSourceLanguageC99 */, FULL = 1, WARN = 1, PLACES = 64 };

struct kl_llvm_lines {
    LLVMDIBuilderRef d;
    LLVMMetadataRef file, type,
        phase;           /* of the text; of every function; the one now emitted */
    LLVMMetadataRef now; /* where what is built comes from */
    LLVMMetadataRef outer, outer_now; /* both, while another function is emitted */
    const char *place[PLACES];        /* the user's lines met so far */
    LLVMMetadataRef user[PLACES];
    bool alone; /* of the text, without the user's lines */
    int nplaces;
};

static LLVMMetadataRef file_of(kl_llvm_lines *l, const char *path, size_t n)
{
    const char *slash = memrchr(path, '/', n);
    size_t dir = slash ? (size_t)(slash - path) : 0, base = slash ? dir + 1 : 0;
    return LL.DIBuilderCreateFile(l->d, path + base, n - base, slash ? path : ".",
                                  slash ? dir : 1);
}

static LLVMMetadataRef function(kl_llvm_lines *l, LLVMMetadataRef file, const char *name,
                                unsigned line)
{
    size_t n = strlen(name);
    return LL.DIBuilderCreateFunction(l->d, file, name, n, name, n, file, line, l->type,
                                      1, 1, line, 0, 1);
}

static void flag(kl_llvm_unit *u, const char *name, unsigned v)
{
    LLVMValueRef c = LL.ConstInt(LL.IntTypeInContext(u->ctx, 32), v, 0);
    LL.AddModuleFlag(u->mod, WARN, name, strlen(name), LL.ValueAsMetadata(c));
}

kl_status kl_llvm_lines_begin(kl_llvm_unit *u, const char *path)
{
    kl_llvm_lines *l = kl_alloc_zeroed(sizeof *l);
    if (!l)
        return kl_fail(KL_ERR_OOM, "llvm: line tables");
    l->d = LL.CreateDIBuilder(u->mod);
    l->alone = !path;
    path = path ? path : "loops";
    l->file = file_of(l, path, strlen(path));
    LL.DIBuilderCreateCompileUnit(l->d, C99, l->file, "kiln", 4, 1, "", 0, 0, "", 0, FULL,
                                  0, 0, 0, "", 0, "", 0);
    l->type = LL.DIBuilderCreateSubroutineType(l->d, l->file, NULL, 0, 0);
    flag(u, "Debug Info Version", 3);
    flag(u, "Dwarf Version", 4);
    u->lines = l;
    return KL_OK;
}

void kl_llvm_lines_end(kl_llvm_unit *u, bool whole)
{
    if (!u->lines)
        return;
    if (whole)
        LL.DIBuilderFinalize(u->lines->d);
    LL.DisposeDIBuilder(u->lines->d);
    kl_free(u->lines, sizeof *u->lines);
    u->lines = NULL;
}

void kl_llvm_lines_phase(kl_llvm_unit *u, LLVMValueRef fn, const char *name,
                         uint32_t line)
{
    if (!u->lines)
        return;
    u->lines->phase = function(u->lines, u->lines->file, name, line);
    LL.SetSubprogram(fn, u->lines->phase);
    u->lines->now =
        LL.DIBuilderCreateDebugLocation(u->ctx, line, 1, u->lines->phase, NULL);
    kl_llvm_lines_again(u);
}

void kl_llvm_lines_enter(kl_llvm_unit *u, LLVMValueRef fn, uint32_t line)
{
    size_t n;
    if (!u->lines)
        return;
    u->lines->outer = u->lines->phase;
    u->lines->outer_now = u->lines->now;
    kl_llvm_lines_phase(u, fn, LL.GetValueName2(fn, &n), line);
}

void kl_llvm_lines_leave(kl_llvm_unit *u)
{
    if (!u->lines)
        return;
    u->lines->phase = u->lines->outer;
    u->lines->now = u->lines->outer_now;
}

/* A builder that moves takes the line of the instruction that it moves to. */
void kl_llvm_lines_again(kl_llvm_unit *u)
{
    if (u->lines)
        LL.SetCurrentDebugLocation2(u->b, u->lines->now);
}

/* "net.c:41" as a function at that line; NULL: no such place, or too many. */
static LLVMMetadataRef user_line(kl_llvm_lines *l, const char *place, unsigned *line)
{
    const char *colon = place ? strrchr(place, ':') : NULL;
    int i = 0;
    if (!colon)
        return NULL;
    *line = (unsigned)strtoul(colon + 1, NULL, 10);
    while (i < l->nplaces && strcmp(l->place[i], place) != 0)
        i++;
    if (i == PLACES)
        return NULL;
    if (i == l->nplaces) {
        l->place[l->nplaces] = place;
        l->user[l->nplaces++] =
            function(l, file_of(l, place, (size_t)(colon - place)), place, *line);
    }
    return l->user[i];
}

void kl_llvm_lines_at(kl_llvm_unit *u, const kl_stmt *s)
{
    kl_llvm_lines *l = u->lines;
    unsigned line = 0;
    if (!l || !s->line)
        return;
    LLVMMetadataRef at =
        LL.DIBuilderCreateDebugLocation(u->ctx, s->line, 1, l->phase, NULL);
    LLVMMetadataRef user = l->alone ? NULL : user_line(l, s->place, &line);
    if (user)
        at = LL.DIBuilderCreateDebugLocation(u->ctx, line, 1, user, at);
    l->now = at;
    kl_llvm_lines_again(u);
}
