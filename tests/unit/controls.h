/* controls.h: programs with loops and branches, in as many shapes as there are ways to
 * plan them: carried values in place and in turns, unchanged, swapped, of every kind of
 * dtype; results picked and not; no trips; bodies within bodies; symbolic extents;
 * derivatives. A symbol T is tried at 0, 1, 4 and 7. Inputs named i are small and not
 * negative. */
#ifndef KL_TEST_CONTROLS_H
#define KL_TEST_CONTROLS_H

#define SUM_BODY                                                                         \
    "graph step(%c: f32[], %x: f32[]) { %2: f32[] = add %c, %x out %2, %2 }\n"
#define TEST_I                                                                           \
    "graph test(%i: i64[], %x: f32[5]) { %n: i64[] = const {0} %t: bool[] = lt %n, %i "  \
    "out %t }\n"

static const char *const controls[] = {
    /* a running sum: a carry, a stacked result */
    SUM_BODY "graph sums(%c: f32[], %x: f32[T]) { dim T 0..1000 %2: f32[] = scan %c, %x "
             "carries 1 body @step "
             "%3: f32[] = pick %2 result 0 %4: f32[T] = pick %2 result 1 out %3, %4 }",
    /* one of its two results only; the other has no pick */
    SUM_BODY
    "graph total(%c: f32[], %x: f32[7]) { %2: f32[] = scan %c, %x carries 1 body @step "
    "%3: f32[] = pick %2 result 0 %4: f32[] = neg %3 out %4 }",
    SUM_BODY
    "graph stacked(%c: f32[], %x: f32[6]) { %2: f32[] = scan %c, %x carries 1 body @step "
    "%4: f32[6] = pick %2 result 1 out %4 }",
    /* a recurrent net: h written in turns, weights carried unchanged */
    "graph cell(%h: f32[3,8], %w: f32[8,8], %x: f32[3,8]) { %a: f32[3,8] = contract %h, "
    "%w \"mk,nk->mn\" "
    "%b: f32[3,8] = add %a, %x %y: f32[3,8] = tanh %b out %y, %w, %y }\n"
    "graph rnn(%h: f32[3,8], %w: f32[8,8], %x: f32[T,3,8]) { dim T 0..9 %s: f32[3,8] = "
    "scan %h, %w, %x carries 2 body @cell "
    "%a: f32[3,8] = pick %s result 0 %b: f32[8,8] = pick %s result 1 %c: f32[T,3,8] = "
    "pick %s result 2 out %a, %b, %c }",
    /* two carries change places */
    "graph swap(%a: f32[70], %b: f32[70], %x: i32[]) { out %b, %a, %x }\n"
    "graph swaps(%a: f32[70], %b: f32[70], %x: i32[T]) { dim T 0..9 %s: f32[70] = scan "
    "%a, %b, %x carries 2 body @swap "
    "%p: f32[70] = pick %s result 0 %q: f32[70] = pick %s result 1 %r: i32[T] = pick %s "
    "result 2 out %p, %q, %r }",
    /* one value becomes both carries; an operand that is used twice; results that are
       read on */
    "graph both(%a: f32[9], %b: f32[9], %x: f32[9]) { %c: f32[9] = mul %a, %x %d: f32[9] "
    "= add %c, %b out %c, %c, %d }\n"
    "graph twice(%a: f32[9], %x: f32[T,9]) { dim T 0..9 %e: f32[9] = exp %a %s: f32[9] = "
    "scan %e, %e, %x carries 2 body @both "
    "%p: f32[9] = pick %s result 0 %q: f32[9] = pick %s result 1 %r: f32[T,9] = pick %s "
    "result 2 "
    "%t: f32[9] = sub %p, %e %u: f32[T,9] = add %r, %r out %t, %q, %u }",
    /* no carry: a map over rows; rows of no bytes */
    "graph row(%x: f32[33], %y: f32[33]) { %a: f32[] = reduce.add %x axes (0) %b: "
    "f32[33] = expand %a %c: f32[33] = mul %b, %y out %c, %a }\n"
    "graph rows(%x: f32[T,33], %y: f32[T,33]) { dim T 0..9 %s: f32[T,33] = scan %x, %y "
    "carries 0 body @row "
    "%p: f32[T,33] = pick %s result 0 %q: f32[T] = pick %s result 1 out %p, %q }",
    "graph none(%c: f32[0,3], %x: f32[0]) { %e: f32[0,3] = exp %c out %e, %x }\n"
    "graph nothing(%c: f32[0,3], %x: f32[T,0]) { dim T 0..9 %s: f32[0,3] = scan %c, %x "
    "carries 1 body @none "
    "%p: f32[0,3] = pick %s result 0 %q: f32[T,0] = pick %s result 1 out %p, %q }",
    /* while: a counter and a value, any number of trips */
    TEST_I
    "graph less(%i: i64[], %x: f32[5]) { %n: i64[] = const {1} %j: i64[] = sub %i, %n "
    "%y: f32[5] = add %x, %x out %j, %y }\n"
    "graph count(%i: i64[], %x: f32[5]) { %s: i64[] = while %i, %x cond @test body @less "
    "%p: i64[] = pick %s result 0 %q: f32[5] = pick %s result 1 out %p, %q }",
    /* collatz: integers, a branch in a loop */
    "graph more(%n: i64[], %k: i32[]) { %1: i64[] = const {1} %t: bool[] = lt %1, %n out "
    "%t }\n"
    "graph odd(%n: i64[]) { %3: i64[] = const {3} %1: i64[] = const {1} %a: i64[] = mul "
    "%n, %3 %b: i64[] = add %a, %1 out %b }\n"
    "graph even(%n: i64[]) { %1: i64[] = const {1} %a: i64[] = shr %n, %1 out %a }\n"
    "graph next(%n: i64[], %k: i32[]) { %1: i64[] = const {1} %a: i64[] = and %n, %1 %p: "
    "bool[] = eq %a, %1 "
    "%c: i64[] = cond %p, %n then @odd else @even %m: i64[] = pick %c result 0 %one: "
    "i32[] = const {1} %j: i32[] = add %k, %one out %m, %j }\n"
    "graph collatz(%i: i64[]) { %k: i32[] = const {0} %s: i64[] = while %i, %k cond "
    "@more body @next "
    "%p: i64[] = pick %s result 0 %q: i32[] = pick %s result 1 out %p, %q }",
    /* branches: results, operands handed on, constants */
    "graph yes(%a: f32[6], %b: f32[6]) { %c: f32[6] = mul %a, %b %d: f32[] = reduce.add "
    "%c axes (0) out %c, %a, %d }\n"
    "graph no(%a: f32[6], %b: f32[6]) { %z: f32[] = const {-1} %e: f32[6] = expand %z "
    "out %b, %e, %z }\n"
    "graph choose(%p: bool[], %a: f32[6], %b: f32[6]) { %s: f32[6] = cond %p, %a, %b "
    "then @yes else @no "
    "%x: f32[6] = pick %s result 0 %y: f32[6] = pick %s result 1 %z: f32[] = pick %s "
    "result 2 out %x, %y, %z }",
    /* both sides of a branch on a computed bool, beside a kernel; one result is not
       picked */
    "graph yes(%a: f32[6]) { %c: f32[6] = exp %a out %c, %a }\ngraph no(%a: f32[6]) { "
    "%c: f32[6] = neg %a out %c, %c }\n"
    "graph sign(%a: f32[6]) { %s: f32[] = reduce.add %a axes (0) %z: f32[] = const {0} "
    "%p: bool[] = lt %z, %s %q: bool[] = not %p "
    "%1: f32[6] = cond %p, %a then @yes else @no %x: f32[6] = pick %1 result 0 "
    "%2: f32[6] = cond %q, %x then @yes else @no %y: f32[6] = pick %2 result 1 %w: "
    "f32[6] = add %x, %y out %w }",
    /* dtypes that are carried */
    "graph step(%a: f16[5], %b: bf16[5], %c: bool[], %d: u8[3], %x: f16[5]) { %e: f16[5] "
    "= add %a, %x %f: bf16[5] = mul %b, %b "
    "%g: bool[] = not %c %h: u8[3] = add %d, %d out %e, %f, %g, %h, %g }\n"
    "graph kinds(%a: f16[5], %b: bf16[5], %c: bool[], %d: u8[3], %x: f16[T,5]) { dim T "
    "0..9 "
    "%s: f16[5] = scan %a, %b, %c, %d, %x carries 4 body @step %p: f16[5] = pick %s "
    "result 0 %q: bf16[5] = pick %s result 1 "
    "%r: bool[] = pick %s result 2 %t: u8[3] = pick %s result 3 %u: bool[T] = pick %s "
    "result 4 out %p, %q, %r, %t, %u }",
    "graph step(%a: c64[5], %x: c64[5]) { %b: c64[5] = mul %a, %x %c: c64[] = reduce.add "
    "%b axes (0) out %b, %c }\n"
    "graph rotor(%a: c64[5], %x: c64[T,5]) { dim T 0..9 %s: c64[5] = scan %a, %x carries "
    "1 body @step "
    "%p: c64[5] = pick %s result 0 %q: c64[T] = pick %s result 1 %r: c64[5] = add %p, %a "
    "out %p, %q, %r }",
    "graph yes(%a: f64[4]) { %z: f64[4] = mul %a, %a %c: c128[4] = complex %a, %z out %c "
    "}\n"
    "graph no(%a: f64[4]) { %c: c128[4] = complex %a, %a out %c }\n"
    "graph parts(%p: bool[], %a: f64[4]) { %s: c128[4] = cond %p, %a then @yes else @no "
    "%c: c128[4] = pick %s result 0 "
    "%i: f64[4] = imag %c out %i, %c }",
    /* loops in loops: a scan in a while in a scan, symbols inside */
    SUM_BODY
    "graph on(%i: i64[], %v: f32[T]) { %n: i64[] = const {0} %t: bool[] = lt %n, %i out "
    "%t }\n"
    "graph again(%i: i64[], %v: f32[T]) { %n: i64[] = const {1} %j: i64[] = sub %i, %n "
    "%z: f32[] = const {0.5} "
    "%s: f32[] = scan %z, %v carries 1 body @step %w: f32[T] = pick %s result 1 out %j, "
    "%w }\n"
    "graph outer(%v: f32[T], %i: i64[]) { %s: i64[] = while %i, %v cond @on body @again "
    "%w: f32[T] = pick %s result 1 "
    "%l: i64[] = pick %s result 0 %m: f32[] = reduce.max %w axes (0) out %w, %m, %l }\n"
    "graph deep(%v: f32[T], %i: i64[3]) { dim T 0..9 %s: f32[T] = scan %v, %i carries 1 "
    "body @outer "
    "%a: f32[T] = pick %s result 0 %b: f32[3] = pick %s result 1 %c: i64[3] = pick %s "
    "result 2 out %a, %b, %c }",
    /* outputs that share: a result twice, a carry's first value too */
    SUM_BODY
    "graph shares(%c: f32[], %x: f32[5]) { %d: f32[] = exp %c %2: f32[] = scan %d, %x "
    "carries 1 body @step "
    "%3: f32[] = pick %2 result 0 %4: f32[5] = pick %2 result 1 out %3, %d, %3, %4, %4 }",
    /* an in-place body: x is updated element by element; reads of its neighbours are not
     */
    "graph near(%a: f32[40], %x: f32[]) { %e: f32[40] = expand %x %b: f32[40] = flip %a "
    "axes (0) %c: f32[40] = add %a, %e "
    "%d: f32[40] = mul %c, %b out %d, %x }\n"
    "graph nears(%a: f32[40], %x: f32[T]) { dim T 0..9 %s: f32[40] = scan %a, %x carries "
    "1 body @near %p: f32[40] = pick %s result 0 out %p }",
    /* rows through a function; a sort and a scatter in a body */
    "graph square(%x: f32[8]) { %y: f32[8] = mul %x, %x out %y }\n"
    "graph step(%a: f32[8], %x: f32[8], %i: i64[2]) { %q: f32[8] = function %x @square "
    "%f: f32[8] = pick %q result 0 "
    "%s: f32[8] = sort %f axis 0 %k: f32[8] = pick %s result 0 %w: f32[2] = slice %k "
    "start (3) step (2) "
    "%y: f32[8] = scatter.add %a, %i, %w axis 0 batch 0 out %y, %k }\n"
    "graph indexed(%a: f32[8], %x: f32[T,8], %i: i64[T,2]) { dim T 0..9 %s: f32[8] = "
    "scan %a, %x, %i carries 1 body @step "
    "%p: f32[8] = pick %s result 0 %q: f32[T,8] = pick %s result 1 out %p, %q }",
    /* the derivative of a scan: a scan of what was kept, backwards */
    "graph cell(%h: f64[4], %w: f64[4,4], %x: f64[4]) { %a: f64[4] = contract %h, %w "
    "\"k,nk->n\" %b: f64[4] = add %a, %x "
    "%y: f64[4] = tanh %b out %y, %w, %y }\n"
    "graph trained(%h: f64[4], %w: f64[4,4], %x: f64[T,4]) { dim T 1..9 %s: f64[4] = "
    "scan %h, %w, %x carries 2 body @cell "
    "%y: f64[T,4] = pick %s result 2 %l: f64[] = reduce.add %y axes (0, 1) %one: f64[] = "
    "const {1} "
    "%d: f64[4] = grad %l, %one, %h, %w, %x %dh: f64[4] = pick %d result 0 %dw: f64[4,4] "
    "= pick %d result 1 "
    "%dx: f64[T,4] = pick %d result 2 out %l, %dh, %dw, %dx }",
    /* .. of a branch; forward mode through a while */
    "graph yes(%a: f64[5]) { %b: f64[5] = sin %a out %b }\ngraph no(%a: f64[5]) { %b: "
    "f64[5] = mul %a, %a out %b }\n"
    "graph slopes(%p: bool[], %a: f64[5]) { %s: f64[5] = cond %p, %a then @yes else @no "
    "%y: f64[5] = pick %s result 0 "
    "%one: f64[] = const {1} %u: f64[5] = expand %one %d: f64[5] = grad %y, %u, %a %g: "
    "f64[5] = pick %d result 0 out %y, %g }",
    "graph test(%i: i64[], %x: f64[5]) { %n: i64[] = const {0} %t: bool[] = lt %n, %i "
    "out %t }\n"
    "graph less(%i: i64[], %x: f64[5]) { %n: i64[] = const {1} %j: i64[] = sub %i, %n "
    "%y: f64[5] = mul %x, %x out %j, %y }\n"
    "graph powers(%i: i64[], %x: f64[5], %t: f64[5]) { %s: i64[] = while %i, %x cond "
    "@test body @less "
    "%q: f64[5] = pick %s result 1 %d: f64[5] = jvp %q, %x, %t out %q, %d }",
    /* two results of one kernel, one operand that dies: only one of them may lie there */
    "graph step(%c: f32[9], %x: f32[9]) { %a: f32[9] = exp %c %s: f32[] = reduce.add %a "
    "axes (0) %e: f32[9] = expand %s "
    "%b: f32[9] = mul %a, %x %d: f32[9] = sub %a, %e out %b, %d }\n"
    "graph both(%c: f32[9], %x: f32[T,9]) { dim T 0..9 %s: f32[9] = scan %c, %x carries "
    "1 body @step "
    "%p: f32[9] = pick %s result 0 %q: f32[T,9] = pick %s result 1 %t: f32[9] = tanh %p "
    "%u: f32[] = reduce.add %t axes (0) "
    "%v: f32[9] = expand %u %w: f32[9] = mul %t, %v %y: f32[9] = sub %t, %v %z: f32[9] = "
    "neg %w %r: f32[9] = exp %y "
    "%m: f32[] = reduce.max %z axes (0) %n: f32[] = reduce.max %r axes (0) out %m, %n, "
    "%q }",
    /* products of many complex numbers of length 1, in blocks; of any number of them; not
       adjacent axes */
    "graph unit(%x: c128[2,9000], %y: c64[3,T,2], %z: c64[2,40,3,50]) { dim T 0..9000 "
    "%r: f64[2,9000] = real %x %i2: f64[2,9000] = imag %x "
    "%a: f64[2,9000] = mul %r, %r %b: f64[2,9000] = mul %i2, %i2 %c: f64[2,9000] = add "
    "%a, %b %d: f64[2,9000] = sqrt %c "
    "%e: f64[2,9000] = div %r, %d %f: f64[2,9000] = div %i2, %d %u: c128[2,9000] = "
    "complex %e, %f "
    "%o: c128[2] = reduce.mul %u axes (1) %p: c64[3,2] = reduce.mul %y axes (1) %q: "
    "c64[40,50] = reduce.mul %z axes (0, 2) out %o, %p, %q }",
    "graph runs(%x: c64[3,20], %y: c64[6,3,2]) { %p: c64[3,20] = prefix.mul %x axis 1 "
    "%q: c64[6,3,2] = prefix.mul %y axis 0 out %p, %q }",
    "graph puts(%a: c64[2,3,9,2], %i: i64[2,2,2], %v: c64[2,3,2,2,2]) { %s: c64[2,3,9,2] "
    "= scatter.mul %a, %i, %v axis 2 batch 1 "
    "%t: c64[2,3,9,2] = scatter.set %a, %i, %v axis 2 batch 1 %u: c64[2,3,9,2] = "
    "scatter.add %a, %i, %v axis 2 batch 1 out %s, %t, %u }",
};
#undef SUM_BODY
#undef TEST_I

#endif
