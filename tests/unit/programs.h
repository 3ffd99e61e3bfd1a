/* programs.h: small graphs that between them use every recipe: chains, rows, columns,
 * split sums, contractions, movement, indexing, sorting, complex and half numbers. Sizes
 * lie around the blocks of the order of sums, and at 0. */
#ifndef KL_TEST_PROGRAMS_H
#define KL_TEST_PROGRAMS_H

static const char *const programs[] = {
    "graph chain(%0: f32[3,70], %1: f32[3,70]) { %2: f32[3,70] = mul %0, %1 %3: "
    "f32[3,70] = add %2, %0 "
    "%4: f32[3,70] = exp %3 out %4 }",
    "graph two(%0: f32[37]) { %1: f32[37] = neg %0 %2: f32[37] = abs %1 %3: f32[37] = "
    "mul %2, %1 out %2, %3 }",
    "graph bcast(%0: f32[5,33], %1: f32[33], %2: f32[5,1]) { %3: f32[5,33] = expand %1 "
    "%4: f32[5,33] = expand %2 "
    "%5: f32[5,33] = add %0, %3 %6: f32[5,33] = mul %5, %4 out %6 }",
    "graph sum(%0: f32[4,100]) { %1: f32[4] = reduce.add %0 axes (1) out %1 }",
    "graph cols(%0: f32[100,37]) { %1: f32[37] = reduce.add %0 axes (0) out %1 }",
    "graph all(%0: f32[3,5000]) { %1: f32[] = reduce.add %0 axes (0, 1) out %1 }",
    "graph big(%0: f32[40000]) { %1: f32[] = reduce.add %0 axes (0) %2: f32[] = neg %1 "
    "out %2 }",
    "graph mid(%0: f32[3,9000,2]) { %1: f32[3,2] = reduce.add %0 axes (1) out %1 }",
    "graph apart(%0: f32[3,4,50]) { %1: f32[4] = reduce.max %0 axes (0, 2) out %1 }",
    "graph ints(%0: i32[6,45]) { %1: i32[6] = reduce.mul %0 axes (1) %2: i32[6,45] = mul "
    "%0, %0 "
    "%3: i32[45] = reduce.min %2 axes (0) out %1, %3 }",
    "graph softmax(%0: f32[9,77]) { %1: f32[9] = reduce.max %0 axes (1) %2: f32[9,1] = "
    "reshape %1 "
    "%3: f32[9,77] = expand %2 %4: f32[9,77] = sub %0, %3 %5: f32[9,77] = exp %4 %6: "
    "f32[9] = reduce.add %5 axes (1) "
    "%7: f32[9,1] = reshape %6 %8: f32[9,77] = expand %7 %9: f32[9,77] = div %5, %8 out "
    "%9 }",
    "graph matmul(%0: f32[7,19], %1: f32[19,11]) { %2: f32[7,11] = contract %0, %1 "
    "\"mk,kn->mn\" out %2 }",
    "graph linear(%0: f32[33,70], %1: f32[50,70], %2: f32[50]) { %3: f32[33,50] = "
    "contract %0, %1 \"mk,nk->mn\" "
    "%4: f32[33,50] = expand %2 %5: f32[33,50] = add %3, %4 %6: f32[] = const {0} %7: "
    "f32[33,50] = expand %6 "
    "%8: f32[33,50] = max %5, %7 out %8 }",
    "graph alongk(%0: f32[9,83], %1: f32[70,83]) { %2: f32[9,70] = contract %0, %1 "
    "\"mk,nk->mn\" out %2 }",
    "graph alongk64(%0: f64[21,64], %1: f64[64,64]) { %2: f64[21,64] = contract %0, %1 "
    "\"mk,nk->mn\" out %2 }",
    "graph deep(%0: f32[20,9000], %1: f32[9000,18]) { %2: f32[20,18] = contract %0, %1 "
    "\"mk,kn->mn\" out %2 }",
    "graph matvec(%0: f32[30,500], %1: f32[500]) { %2: f32[30] = contract %0, %1 "
    "\"mk,k->m\" out %2 }",
    "graph vecmat(%0: f32[1,500], %1: f32[500,40]) { %2: f32[1,40] = contract %0, %1 "
    "\"mk,kn->mn\" out %2 }",
    "graph batched(%0: f32[3,20,17], %1: f32[3,17,21]) { %2: f32[3,20,21] = contract %0, "
    "%1 \"bmk,bkn->bmn\" out %2 }",
    "graph imatmul(%0: i32[7,19], %1: i32[19,11]) { %2: i32[7,11] = contract %0, %1 "
    "\"mk,kn->mn\" out %2 }",
    "graph moves(%0: f32[4,6,5]) { %1: f32[5,4,6] = permute %0 axes (2, 0, 1) %2: "
    "f32[20,6] = reshape %1 "
    "%3: f32[7,6] = slice %2 start (1, 0) step (3, 1) %4: f32[7,6] = flip %3 axes (0) "
    "out %4 }",
    "graph padded(%0: f32[4,5], %1: f32[]) { %2: f32[8,13] = pad %0, %1 lo (1, 2) hi (0, "
    "2) interior (1, 1) out %2 }",
    "graph cat(%0: f32[2,5], %1: f32[3,5], %2: f32[1,5]) { %3: f32[6,5] = concat %0, %1, "
    "%2 axis 0 %4: f32[6,5] = neg %3 out %4 }",
    "graph win(%0: f32[2,12,9]) { %1: f32[2,5,9,3] = window %0 (axis 1 size 3 stride 2 "
    "dilation 1) "
    "%2: f32[2,5,9] = reduce.max %1 axes (3) out %2 }",
    "graph folded(%0: f32[2,5,9,3]) { %1: f32[2,12,9] = fold %0 (axis 1 size 3 stride 2 "
    "dilation 1) out %1 }",
    "graph views(%0: f32[6,8], %1: f32[3,2]) { %2: f32[3,4] = strided %0 offset 5 "
    "strides (8, 2) "
    "%3: f32[6,8] = update %0, %1 offset 1 strides (16, 3) out %2, %3 }",
    "graph take(%0: f32[9,7], %1: i64[4]) { %2: f32[4,7] = gather %0, %1 axis 0 batch 0 "
    "out %2 }",
    "graph put(%0: f32[9,7], %1: i64[4], %2: f32[4,7]) { %3: f32[9,7] = scatter.add %0, "
    "%1, %2 axis 0 batch 0 out %3 }",
    "graph running(%0: f32[3,40]) { %1: f32[3,40] = prefix.add %0 axis 1 %2: f32[3,40] = "
    "prefix.max %0 axis 0 out %1, %2 }",
    "graph where_is(%0: f32[5,60]) { %1: i64[5] = argmax %0 axis 1 %2: i64[60] = argmin "
    "%0 axis 0 out %1, %2 }",
    "graph sorted(%0: f32[3,50]) { %1: f32[3,50] = sort %0 axis 1 %2: f32[3,50] = pick "
    "%1 result 0 "
    "%3: i64[3,50] = pick %1 result 1 out %2, %3 }",
    "graph sorted0(%0: i32[21,3]) { %1: i32[21,3] = sort %0 axis 0 descending %2: "
    "i32[21,3] = pick %1 result 0 "
    "%3: i64[21,3] = pick %1 result 1 out %2, %3 }",
    "graph cplx(%0: c64[4,9], %1: c64[4,9]) { %2: c64[4,9] = mul %0, %1 %3: c64[4,9] = "
    "div %2, %1 "
    "%4: c64[4] = reduce.add %3 axes (1) out %3, %4 }",
    "graph cmat(%0: c64[5,9], %1: c64[9,6]) { %2: c64[5,6] = contract %0, %1 "
    "\"mk,kn->mn\" out %2 }",
    "graph half(%0: bf16[5,40], %1: bf16[40,8]) { %2: bf16[5,8] = contract %0, %1 "
    "\"mk,kn->mn\" %3: bf16[5,8] = add %2, %2 "
    "%4: bf16[5] = reduce.add %3 axes (1) out %3, %4 }",
    "graph empty(%0: f32[0,4]) { %1: f32[4] = reduce.add %0 axes (0) %2: f32[0,4] = neg "
    "%0 out %1, %2 }",
    "graph conv(%0: f32[2,3,9,9], %1: f32[5,3,3,3]) { %2: f32[2,3,7,7,3,3] = window %0 "
    "(axis 2 size 3 stride 1 dilation 1) "
    "(axis 3 size 3 stride 1 dilation 1) %3: f32[2,5,7,7] = contract %2, %1 "
    "\"nchwyx,ocyx->nohw\" out %3 }",
    "graph layer(%0: f32[12,64]) { %1: f32[12] = reduce.add %0 axes (1) %2: f32[] = "
    "const {0.015625} %3: f32[12] = expand %2 "
    "%4: f32[12] = mul %1, %3 %5: f32[12,1] = reshape %4 %6: f32[12,64] = expand %5 %7: "
    "f32[12,64] = sub %0, %6 "
    "%8: f32[12,64] = mul %7, %7 %9: f32[12] = reduce.add %8 axes (1) %10: f32[12] = mul "
    "%9, %3 %11: f32[12] = sqrt %10 "
    "%12: f32[12,1] = reshape %11 %13: f32[12,64] = expand %12 %14: f32[12,64] = div %7, "
    "%13 out %14 }",
    /* strips: long columns, blocks of 4096 of them, and all that stands in one kernel
       with them */
    "graph down(%0: f32[77,37]) { %1: f32[37] = reduce.max %0 axes (0) %2: f32[77,37] = "
    "expand %1 %3: f32[77,37] = sub %0, %2 "
    "%4: f32[77,37] = exp %3 %5: f32[37] = reduce.add %4 axes (0) %6: f32[77,37] = "
    "expand %5 %7: f32[77,37] = div %4, %6 out %7 }",
    "graph columns(%0: f32[130,40], %1: bf16[150,70], %2: i32[64,33]) { %3: f32[40] = "
    "reduce.add %0 axes (0) "
    "%4: bf16[70] = reduce.max %1 axes (0) %5: i32[33] = reduce.mul %2 axes (0) out %3, "
    "%4, %5 }",
    "graph walked(%0: f32[3,70,37]) { %1: f32[3,70,37] = prefix.add %0 axis 1 %2: "
    "i64[3,37] = argmax %0 axis 1 "
    "%3: i64[3,37] = argmin %1 axis 1 out %1, %2, %3 }",
    "graph tall(%0: f32[17000,5]) { %1: f32[5] = reduce.add %0 axes (0) %2: f32[5] = neg "
    "%1 out %2 }",
    "graph vecmat2(%0: f32[2,4500], %1: f32[4500,18]) { %2: f32[2,18] = contract %0, %1 "
    "\"mk,kn->mn\" %3: f32[2,18] = neg %2 out %3 }",
    "graph put2(%0: f32[9,70], %1: i64[80], %2: f32[80,70]) { %3: f32[9,70] = "
    "scatter.add %0, %1, %2 axis 0 batch 0 out %3 }",
    "graph first(%0: f32[6,33], %1: i32[3,100], %2: f32[4,20]) { %3: i64[6] = argmax %0 "
    "axis 1 %4: i64[3] = argmin %1 axis 1 "
    "%5: f32[4,20] = sub %2, %2 %6: i64[4] = argmax %5 axis 1 out %3, %4, %6 }",
    "graph turned(%0: f32[37,50], %1: f32[50,37], %2: bf16[3,20,70]) { %3: f32[37,50] = "
    "permute %1 axes (1, 0) "
    "%4: f32[37,50] = add %0, %3 %5: bf16[3,70,20] = permute %2 axes (0, 2, 1) %6: "
    "bf16[3,70,20] = neg %5 out %4, %6 }",
    "graph running2(%0: f32[7,90], %1: f32[40,3,80]) { %2: f32[7,90] = prefix.add %0 "
    "axis 1 %3: f32[40,3,80] = prefix.max %1 axis 2 out %2, %3 }",
    "graph same(%0: f32[4]) { out %0, %0 }",
    "graph lit(%0: f32[3]) { %1: f32[3] = const {1, 2.5, -0.0} %2: f32[3] = mul %0, %1 "
    "%3: i64[3,2] = iota axis 0 out %2, %3 }",
    "graph deeper(%0: f32[5000,33], %1: f32[5000,20], %2: f32[33,1]) { %3: f32[33,20] = "
    "contract %0, %1 \"km,kn->mn\" "
    "%4: f32[33,20] = expand %2 %5: f32[33,20] = mul %3, %4 out %5 }",
    "graph set(%0: f32[90], %1: i64[4], %2: f32[4]) { %3: f32[90] = scatter.set %0, %1, "
    "%2 axis 0 batch 0 out %3 }",
    /* not one kernel: what reads the sorted keys needs them, and they need what it reads
       too */
    "graph between(%0: f32[24,20]) { %1: f32[24,20] = exp %0 %2: f32[24,20] = sort %1 "
    "axis 0 %3: f32[24,20] = pick %2 "
    "result 0 %4: f32[24,20] = add %1, %3 out %1, %4 }",
    /* exp may lie where its operand did, but neg reads it too */
    "graph early(%0: f32[50]) { %1: f32[50] = sort %0 axis 0 %2: f32[50] = pick %1 "
    "result 0 %3: f32[50] = exp %2 "
    "%4: f32[50] = neg %2 %5: f32[50] = sort %3 axis 0 descending %6: f32[50] = pick %5 "
    "result 0 out %6, %4 }",
    /* convolutions whose rows of pixels fill no panel: forward, by the weights, by the
       input */
    "graph pixels(%0: f32[2,3,5,21], %1: f32[9,3,3,3]) { %2: f32[] = const {0.0} %3: "
    "f32[2,3,7,23] = pad %0, %2 "
    "lo (0, 0, 1, 1) hi (0, 0, 1, 1) interior (0, 0, 0, 0) %4: f32[2,3,5,21,3,3] = "
    "window %3 (axis 2 size 3 stride 1 dilation 1) "
    "(axis 3 size 3 stride 1 dilation 1) %5: f32[2,9,5,21] = contract %4, %1 "
    "\"nchwyx,ocyx->nohw\" out %5 }",
    "graph taps(%0: f32[2,3,5,13], %1: f32[2,20,5,13]) { %2: f32[] = const {0.0} %3: "
    "f32[2,3,7,15] = pad %0, %2 "
    "lo (0, 0, 1, 1) hi (0, 0, 1, 1) interior (0, 0, 0, 0) %4: f32[2,3,5,13,3,3] = "
    "window %3 (axis 2 size 3 stride 1 dilation 1) "
    "(axis 3 size 3 stride 1 dilation 1) %5: f32[20,3,3,3] = contract %4, %1 "
    "\"nchwyx,nohw->ocyx\" out %5 }",
    "graph flipped(%0: f64[1,6,4,7], %1: f64[6,5,3,3]) { %2: f64[] = const {0.0} %3: "
    "f64[1,6,6,9] = pad %0, %2 "
    "lo (0, 0, 1, 1) hi (0, 0, 1, 1) interior (0, 0, 0, 0) %4: f64[1,6,4,7,3,3] = window "
    "%3 (axis 2 size 3 stride 1 dilation 1) "
    "(axis 3 size 3 stride 1 dilation 1) %5: f64[6,5,3,3] = flip %1 axes (2, 3) "
    "%6: f64[1,5,4,7] = contract %4, %5 \"nchwyx,coyx->nohw\" out %6 }",
    "graph rows(%0: f32[1,4,8,10], %1: f32[9,4,3,3]) { %2: f32[] = const {0.0} %3: "
    "f32[1,4,10,12] = pad %0, %2 "
    "lo (0, 0, 1, 1) hi (0, 0, 1, 1) interior (0, 0, 0, 0) %4: f32[1,4,8,10,3,3] = "
    "window %3 (axis 2 size 3 stride 1 dilation 1) "
    "(axis 3 size 3 stride 1 dilation 1) %5: f32[1,9,8,10] = contract %4, %1 "
    "\"nchwyx,ocyx->nohw\" out %5 }",
    "graph across(%0: f32[5,16], %1: f32[5,100]) { %2: f32[16,100] = contract %0, %1 "
    "\"km,kn->mn\" out %2 }",
    "graph along_k(%0: f32[40,70], %1: f32[21,70]) { %2: f32[21,40] = contract %0, %1 "
    "\"mk,nk->nm\" out %2 }",
#ifdef KL_TEST_LARGE /* too much for the interpreter of loops */
    "graph tiles(%0: f32[130,70,9], %1: f32[130,9,66]) { %2: f32[130,70,66] = contract "
    "%0, %1 \"bmk,bkn->bmn\" out %2 }",
    "graph tiles64(%0: f64[40,70,37], %1: f64[40,66,37]) { %2: f64[40,70,66] = contract "
    "%0, %1 \"bmk,bnk->bmn\" out %2 }",
    "graph wide(%0: f32[3,180000], %1: f32[180000]) { %2: f32[3,180000] = expand %1 %3: "
    "f32[3,180000] = mul %0, %2 "
    "%4: f32[3,180000] = add %3, %0 out %3, %4 }",
    "graph many(%0: f16[1031,513], %1: f16[513]) { %2: f16[1031,513] = expand %1 %3: "
    "f16[1031,513] = max %0, %2 out %3 }",
#endif
};

#endif
