/* graph_text.h: what the printer (graph_text.c) and the parser (graph_parse.c) of graphs
 * share: how each row's attributes look. One table drives both, so they cannot drift.
 *
 *   a word      itself
 *   i           an integer                     e    an extent
 *   [i] [e]     a list of them in parentheses; all lists of a row have one length
 *   m           an axes mask, as a list        b    a body, "@name"
 *   w           windows: "(axis A size S stride T dilation D)" each
 *   ?word       1 if the word is there, else 0
 *   /word       the rest stands only where the word does: attributes that may be left out
 *   .           the combining row, on the name: "reduce.add" */
#ifndef KL_GRAPH_TEXT_H
#define KL_GRAPH_TEXT_H

#include "ir/ir.h"

extern const char
    *const kl_attr_forms[KL_OP_COUNT]; /* NULL: none, or a syntax of its own */
/* Steps to the form's next word; false at the end. */
bool kl_attr_next(const char **form, const char **word, size_t *len);

#endif
