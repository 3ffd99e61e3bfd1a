/* math_bessel.c: Bessel's functions of orders 0 and 1, and Airy's, made of primitives, in
 * f64 throughout (math_special.c says why). Each is a Chebyshev series, fitted to 57 bits
 * in multiple precision, of what is left when its growth, its waves or its logarithm are
 * taken out:
 *
 *   J0(x)  =  series in x^2                                        up to 8
 *             sqrt(2 / (pi x)) (P cos(x - pi/4) - Q sin(x - pi/4)) beyond, P Q series in
 * 1/x^2
 *
 * Reference: DLMF (NIST), 10.8, 10.17, 10.31, 10.40 (Bessel), 9.7 (Airy). */
#include "math_compose.h"
#include "terms.h"

#define PI 3.1415926535897932385
#define SERIES(t, c) kl_f_chebyshev(t, KL_COUNT(c), c)

/* Of I over x / 4 - 1 up to 8, 16 / x - 1 beyond. Of J, Y and what is beside their waves,
 * over x^2 / 32 - 1 up to 8, 128 / x^2 - 1 beyond. Of K over x^2 / 2 - 1 up to 2, 4 / x -
 * 1 beyond. */
/* clang-format off */
static const double i0_low[] = {
    0.67679527440947608, -0.3046826723431984, 0.17162090152220878,
    -0.094901097048047644, 0.049305284239670708, -0.023737414805899469,
    0.010546460394594998, -0.0043243099950505759, 0.0016394756169413358,
    -0.00057637557453858237, 0.00018850288509584166, -5.7541950100821037e-5,
    1.6448448070728897e-5, -4.4167383584587506e-6, 1.1173875391201037e-6,
    -2.6707938539406117e-7, 6.0469950225419189e-8, -1.300025009986248e-8,
    2.6598237246823867e-9, -5.1897956016352629e-10, 9.6758090353732369e-11,
    -1.7268262914415557e-11, 2.9550526631296398e-12, -4.8564467831119295e-13,
    7.6761854986049356e-14, -1.1685332877993452e-14, 1.715391285555133e-15,
    -2.4312798465479547e-16, 3.3307945188222381e-17};
static const double i0_high[] = {
    0.80449041101410883, 0.0033691164782556941, 6.889758346916824e-5,
    2.8913705208347565e-6, 2.0489185894690637e-7, 2.2666689904981781e-8,
    3.3962320257083863e-9, 4.9406023882249696e-10, 1.1889147107846438e-11,
    -3.1499165279632414e-11, -1.3215811840447713e-11, -1.7941785315068061e-12,
    7.1801244513836662e-13, 3.8527783827421427e-13, 1.5400862175214098e-14,
    -4.1505693472872221e-14, -9.5548466988283076e-15, 3.8116806693526224e-15,
    1.7725601330565264e-15, -3.4254856196772191e-16, -2.8276239805165835e-16,
    3.4612228676974611e-17, 4.46562142029676e-17, -4.8305044859441821e-18,
    -7.233180487874754e-18};
static const double i1_low[] = {
    0.25258718644363365, -0.17641651835783406, 0.1026436586898471,
    -0.052945981208094991, 0.024726449030626517, -0.010564084894626198,
    0.0041564229443128882, -0.0015135724506312531, 0.00051228595616857577,
    -0.00016176081582589675, 4.7815651075500542e-5, -1.3273163656039436e-5,
    3.4702513081376785e-6, -8.5687202646954547e-7, 2.0032947535521353e-7,
    -4.4450591287963281e-8, 9.3815373864957718e-9, -1.8872497517228293e-9,
    3.625590281552117e-10, -6.6634897235020277e-11, 1.1736186298890902e-11,
    -1.9839743977649437e-12, 3.2237933659455747e-13, -5.0421855047279117e-14,
    7.6006842947354069e-15, -1.1055969477353863e-15, 1.5536319577362005e-16,
    -2.1114212143581661e-17, 2.7779141127610464e-18};
static const double i1_high[] = {
    0.77857623501828012, -0.0097610974913614684, -0.00011058893876262372,
    -3.8825648088776904e-6, -2.5122362378702089e-7, -2.6314688468895195e-8,
    -3.835380385964237e-9, -5.5897434621965838e-10, -1.8974958123505412e-11,
    3.2526035830154882e-11, 1.4125807436613781e-11, 2.0356285441470895e-12,
    -7.1985517762459085e-13, -4.0835511110921973e-13, -2.1015418427726643e-14,
    4.2724400167119514e-14, 1.0420276984128803e-14, -3.8144030724370078e-15,
    -1.8803547755107824e-15, 3.3082023109209283e-16, 2.9626289976459501e-16,
    -3.209525921993424e-17, -4.6503053684893583e-17, 4.4143483230717079e-18,
    7.5172963108421048e-18};
static const double j0_low[] = {
    0.31545594294978024, -0.0087234423528522213, 0.26517861320333681,
    -0.37009499387264978, 0.15806710233209726, -0.034893769411408885,
    0.0048191800694676045, -0.00046062616620627505, 3.2460328821005081e-5,
    -1.7619469077621507e-6, 7.6081635924187819e-8, -2.6792535305576729e-9,
    7.8486963144794644e-11, -1.9438346867370166e-12, 4.1253205956343739e-14,
    -7.5885081254475463e-16, 1.2218515873961411e-17};
static const double j1_low[] = {
    0.16208969265131623, -0.14897514506765211, 0.1609992623572097, -0.082680491766817907,
    0.022213639654966035, -0.003646940600769276, 0.00040503377283548218,
    -3.2555548668572585e-5, 1.9858774049915167e-6, -9.5219847567504362e-8,
    3.6871337590971482e-9, -1.1780266226958848e-10, 3.1601545803480033e-12,
    -7.2217552396517734e-14, 1.4232144003513942e-15, -2.4441972916190464e-17,
    3.6912682997929333e-19};
static const double y0_low[] = {
    -0.066292226406569883, -0.27447430552974527, 0.17903431407718266, 0.26156734625504664,
    -0.17730201278114358, 0.047196689595763387, -0.0072879624795520792,
    0.00075311359325777423, -5.632079141056987e-5, 3.206532537654801e-6,
    -1.4407233274018699e-7, 5.2487947873305161e-9, -1.5837552541812015e-10,
    4.0263308183061208e-12, -8.7473412033107696e-14, 1.6434898714919469e-15,
    -2.6977881152566836e-17, 3.9032584173475983e-19};
static const double y1_low[] = {
    0.0050760264714835635, -0.01608717304766875, -0.095912045360830742,
    0.084451972596523458, -0.028328123944594366, 0.005289897544167113,
    -0.0006414551451326356, 5.5059828733387438e-5, -3.5380800186893499e-6,
    1.7707804556154403e-7, -7.1105500498992798e-9, 2.3443379059115164e-10,
    -6.4651518414115942e-12, 1.51429151205002e-13, -3.0511859694473253e-15,
    5.3466803857286701e-17, -8.2249113720215846e-19};
static const double p0_high[] = {
    1.9989206986950373, -0.00053652204681321174, 3.0751847875194746e-6,
    -5.1705945376060977e-8, 1.6306464635151383e-9, -7.86409137723707e-11,
    5.1682623873491925e-12, -4.3045788699253912e-13, 4.3265957431549406e-14,
    -5.0690340959352361e-15, 6.7480722157338737e-16, -1.0011513723467786e-16,
    1.6305919233744185e-17, -2.8808661694828712e-18};
static const double q0_high[] = {
    -0.031111709210674018, 6.8385199426116496e-5, -7.4144984110606473e-7,
    1.7972457247968992e-8, -7.27191593686632e-10, 4.2201219046687384e-11,
    -3.2067474209966347e-12, 3.0061451253517063e-13, -3.336328185322427e-14,
    4.2552250402454611e-15, -6.09993013164005e-16, 9.6621289703032567e-17,
    -1.6686065214378146e-17, 3.1082440486738144e-18, -6.1911157873581449e-19,
    1.3091448717220122e-19};
static const double p1_high[] = {
    2.0018060817200274, 0.00089898983308594086, -3.9872843004889085e-6,
    6.1776339606442985e-8, -1.8718907491063066e-9, 8.8168986595823389e-11,
    -5.7048636403956447e-12, 4.6991955152305424e-13, -4.6842237839904892e-14,
    5.4526748960447172e-15, -7.2211808422740179e-16, 1.0667689114335412e-16,
    -1.7312313216116335e-17, 3.0492991197665872e-18};
static const double q1_high[] = {
    0.09355557413907065, -9.6277235491570793e-5, 9.1386152579554541e-7,
    -2.0959781384083422e-8, 8.2291933276505541e-10, -4.6863636881769452e-11,
    3.5152187949686081e-12, -3.2643156743278999e-13, 3.5967765829165292e-14,
    -4.5612523950772972e-15, 6.508282957783384e-16, -1.0269147531823243e-16,
    1.7676355487764792e-17, -3.2834519872981615e-18, 6.5240811495892603e-19,
    -1.3765771484849488e-19};
static const double k0_low[] = {
    -0.53532739323390277, 0.34428989992462849, 0.035979936515361502,
    0.0012646154114469259, 2.2862121031194518e-5, 2.5347910790261495e-7,
    1.9045163772202089e-9, 1.0349695257633625e-11, 4.2598161427910826e-14,
    1.3744654358807509e-16};
static const double k1_low[] = {
    1.5253002273389478, -0.35315596077654488, -0.12261118082265715,
    -0.0069757238596398644, -0.00017302889575130521, -2.4334061415659682e-6,
    -2.2133876307347259e-8, -1.4114883926335278e-10, -6.666901694199329e-13,
    -2.4274498505193659e-15, -7.0238634793862876e-18};
static const double k0_high[] = {
    2.4403030820659555, -0.031448101311964501, 0.0015698838857300534,
    -0.00012849549581627803, 1.3949813718876499e-5, -1.8317555227191195e-6,
    2.7668136394450151e-7, -4.6604898976879477e-8, 8.5740340174142261e-9,
    -1.6975345093890615e-9, 3.5773972814003284e-10, -7.957489244477397e-11,
    1.8559491149549266e-11, -4.5145978833745192e-12, 1.1403405882073442e-12,
    -2.9800969231481784e-13, 8.0328907750683744e-14, -2.2275133267462964e-14,
    6.340076476276646e-15, -1.8485933779209072e-15, 5.5120559994043334e-16,
    -1.6782311257549006e-16, 5.2103917776435541e-17, -1.6475805939842633e-17,
    5.3004337711773358e-18};
static const double k1_high[] = {
    2.7206261904844427, 0.10392373657681724, -0.0028578168596227794,
    0.00019521551847135163, -1.936197974166083e-5, 2.4064849478372171e-6,
    -3.5019606030878125e-7, 5.7410841254500493e-8, -1.0345762465678097e-8,
    2.0150497551970346e-9, -4.1903547593419256e-10, 9.2183151876053141e-11,
    -2.129967838427791e-11, 5.1396396734823435e-12, -1.2891739609498229e-12,
    3.3484196660522431e-13, -8.9767051820101461e-14, 2.4771544242195987e-14,
    -7.0198370892147689e-15, 2.0387031662398609e-15, -6.0570472706430178e-16,
    1.8380935752430454e-16, -5.6894628491936484e-17, 1.7940510478863573e-17,
    -5.7567444820733025e-18};
/* clang-format on */

/* ---- modified Bessel functions ---- */

/* e^-|x| I(|x|), order 1 divided by x up to 8: what multiplies it there is x. */
static kl_lazy *scaled_i(kl_lazy *x, bool one)
{
    kl_lazy *y = un(KL_OP_abs, x), *low = kl_n_binc(KL_OP_le, y, 8);
    kl_lazy *t = plus(times(kl_n_where(low, y, num(y, 8)), 0.25), -1);
    kl_lazy *a = one ? SERIES(t, i1_low) : SERIES(t, i0_low);
    kl_lazy *z = kl_n_where(low, num(y, 8), y),
            *u = plus(kl_n_cbin(KL_OP_div, 16, z), -1);
    kl_lazy *b = one ? SERIES(u, i1_high) : SERIES(u, i0_high);
    b = over(b, un(KL_OP_sqrt, z));
    if (!one)
        return kl_n_where(low, a, b);
    return kl_n_where(low, mul(x, a), kl_f_copysign(b, x));
}

static kl_lazy *i0e64(kl_lazy *x)
{
    return scaled_i(x, false);
}
static kl_lazy *i1e64(kl_lazy *x)
{
    return scaled_i(x, true);
}
static kl_lazy *i064(kl_lazy *x)
{
    return mul(un(KL_OP_exp, un(KL_OP_abs, x)), scaled_i(x, false));
}
static kl_lazy *i164(kl_lazy *x)
{
    return mul(un(KL_OP_exp, un(KL_OP_abs, x)), scaled_i(x, true));
}
kl_lazy *kl_f_i0e(kl_lazy *a)
{
    return kl_f_in_f64(i0e64, a);
}
kl_lazy *kl_f_i1e(kl_lazy *a)
{
    return kl_f_in_f64(i1e64, a);
}
kl_lazy *kl_f_i0(kl_lazy *a)
{
    return kl_f_in_f64(i064, a);
}
kl_lazy *kl_f_i1(kl_lazy *a)
{
    return kl_f_in_f64(i164, a);
}

/* ---- of the second kind ---- */

/* e^x K(x); order 1: its part x ln(x / 2) I1 + 1 / x up to 2. */
static kl_lazy *scaled_k(kl_lazy *x, bool one)
{
    kl_lazy *low = kl_n_binc(KL_OP_le, x, 2), *y = or_number(low, x, 2);
    y = kl_n_where(above(y, 0), y, num(y, 1));
    kl_lazy *t = plus(times(mul(y, y), 0.5), -1);
    kl_lazy *log = un(KL_OP_log, times(y, 0.5));
    kl_lazy *a = one ? add(mul(log, i164(y)), over(SERIES(t, k1_low), y))
                     : sub(SERIES(t, k0_low), mul(log, i064(y)));
    kl_lazy *z = kl_n_where(low, num(y, 2), x), *u = plus(kl_n_cbin(KL_OP_div, 4, z), -1);
    kl_lazy *b = over(one ? SERIES(u, k1_high) : SERIES(u, k0_high), un(KL_OP_sqrt, z));
    kl_lazy *r = kl_n_where(low, mul(a, un(KL_OP_exp, y)), b);
    r = kl_n_where(equals(x, 0), num(r, INFINITY), r);
    return kl_n_where(below(x, 0), num(r, NAN), r);
}

static kl_lazy *k0e64(kl_lazy *x)
{
    return scaled_k(x, false);
}
static kl_lazy *k1e64(kl_lazy *x)
{
    return scaled_k(x, true);
}
static kl_lazy *k064(kl_lazy *x)
{
    return mul(un(KL_OP_exp, neg(x)), scaled_k(x, false));
}
static kl_lazy *k164(kl_lazy *x)
{
    return mul(un(KL_OP_exp, neg(x)), scaled_k(x, true));
}
kl_lazy *kl_f_modified_bessel_k0(kl_lazy *a)
{
    return kl_f_in_f64(k064, a);
}
kl_lazy *kl_f_modified_bessel_k1(kl_lazy *a)
{
    return kl_f_in_f64(k164, a);
}
kl_lazy *kl_f_scaled_modified_bessel_k0(kl_lazy *a)
{
    return kl_f_in_f64(k0e64, a);
}
kl_lazy *kl_f_scaled_modified_bessel_k1(kl_lazy *a)
{
    return kl_f_in_f64(k1e64, a);
}

/* ---- Bessel functions ---- */

/* The waves beyond 8, of z >= 8: P c - Q s is J, P s + Q c is Y, over sqrt(z pi / 2), for
 * the cosine and sine of z - pi/4, or of z - 3 pi/4; those from z's own, which lose
 * nothing. */
static kl_lazy *waves(kl_lazy *z, bool one, bool second)
{
    kl_lazy *w = kl_n_cbin(KL_OP_div, 8, z), *u = plus(times(mul(w, w), 2), -1);
    kl_lazy *p = one ? SERIES(u, p1_high) : SERIES(u, p0_high);
    kl_lazy *q = mul(w, one ? SERIES(u, q1_high) : SERIES(u, q0_high));
    kl_lazy *sin = un(KL_OP_sin, z), *cos = un(KL_OP_cos, z);
    kl_lazy *c = one ? sub(sin, cos) : add(cos, sin),
            *s = one ? neg(add(sin, cos)) : sub(sin, cos);
    kl_lazy *r = second ? add(mul(p, s), mul(q, c)) : sub(mul(p, c), mul(q, s));
    return over(r, un(KL_OP_sqrt, times(z, PI)));
}

/* J, its order 1 divided by x, of y in [0, 8]. */
static kl_lazy *j_low(kl_lazy *y, bool one)
{
    kl_lazy *t = plus(times(mul(y, y), 1.0 / 32), -1);
    return one ? SERIES(t, j1_low) : SERIES(t, j0_low);
}

static kl_lazy *bessel_j(kl_lazy *x, bool one)
{
    kl_lazy *y = un(KL_OP_abs, x), *low = kl_n_binc(KL_OP_le, y, 8);
    kl_lazy *a = j_low(or_number(low, y, 8), one);
    kl_lazy *b = waves(kl_n_where(low, num(y, 8), y), one, false);
    if (!one)
        return kl_n_where(low, a, b);
    return kl_n_where(low, mul(x, a), kl_n_where(below(x, 0), neg(b), b));
}

static kl_lazy *bessel_y(kl_lazy *x, bool one)
{
    kl_lazy *low = kl_n_binc(KL_OP_le, x, 8), *in = kl_n_bin(KL_OP_and, low, above(x, 0));
    kl_lazy *y = or_number(in, x, 8), *t = plus(times(mul(y, y), 1.0 / 32), -1);
    kl_lazy *a = mul(un(KL_OP_log, y), j_low(y, one)), *iy = kl_n_cbin(KL_OP_div, 1, y);
    a = one ? add(mul(y, add(times(a, 2 / PI), SERIES(t, y1_low))), times(iy, -2 / PI))
            : add(times(a, 2 / PI), SERIES(t, y0_low));
    kl_lazy *r = kl_n_where(low, a, waves(kl_n_where(low, num(x, 8), x), one, true));
    r = kl_n_where(equals(x, 0), num(r, -INFINITY), r);
    return kl_n_where(below(x, 0), num(r, NAN), r);
}

static kl_lazy *j064(kl_lazy *x)
{
    return bessel_j(x, false);
}
static kl_lazy *j164(kl_lazy *x)
{
    return bessel_j(x, true);
}
static kl_lazy *y064(kl_lazy *x)
{
    return bessel_y(x, false);
}
static kl_lazy *y164(kl_lazy *x)
{
    return bessel_y(x, true);
}
kl_lazy *kl_f_bessel_j0(kl_lazy *a)
{
    return kl_f_in_f64(j064, a);
}
kl_lazy *kl_f_bessel_j1(kl_lazy *a)
{
    return kl_f_in_f64(j164, a);
}
kl_lazy *kl_f_bessel_y0(kl_lazy *a)
{
    return kl_f_in_f64(y064, a);
}
kl_lazy *kl_f_bessel_y1(kl_lazy *a)
{
    return kl_f_in_f64(y164, a);
}

/* sin x / x; near 0 the series, whose derivative has no 0 / 0 */
static kl_lazy *spherical_j064(kl_lazy *x)
{
    static const double series[] = {1,
                                    -1.0 / 6,
                                    1.0 / 120,
                                    -1.0 / 5040,
                                    1.0 / 362880,
                                    -1.0 / 39916800,
                                    1.0 / 6227020800.0};
    kl_lazy *low = below(un(KL_OP_abs, x), 0.5), *inf = kl_f_isinf(x);
    kl_lazy *s = or_number(low, x, 0);
    kl_lazy *y = kl_n_where(kl_n_bin(KL_OP_or, low, inf), num(x, 1), x);
    kl_lazy *r =
        kl_n_where(low, kl_f_poly(mul(s, s), 7, series), over(un(KL_OP_sin, y), y));
    return kl_n_where(inf, num(r, 0), r);
}
kl_lazy *kl_f_spherical_bessel_j0(kl_lazy *a)
{
    return kl_f_in_f64(spherical_j064, a);
}

/* ---- Airy's function ---- */

/* Over [-5, 2]; over 1 / zeta beyond 2, for zeta = 2/3 x^(3/2); of its waves below -5
 * over 1 / zeta^2. */
/* clang-format off */
static const double ai_mid[] = {
    0.30337895256447344, -0.005228692408472365, -0.0071830075633421232,
    -0.27500858251700784, 0.15267285652736612, 0.11299722901833571, -0.12930163519980793,
    0.021717950423082667, 0.024911850702736413, -0.01433585742189573,
    0.00069668945163959804, 0.001974398933529019, -0.00072303939722521993,
    -1.6112414526177466e-5, 8.1332736732499393e-5, -2.0775365813975461e-5,
    -1.6054762687164758e-6, 2.0560158255601388e-6, -3.825520517284178e-7,
    -4.9138705961841781e-8, 3.5141686420518919e-8, -4.8463850108604963e-9,
    -8.897812059422213e-10, 4.3297862486488076e-10, -4.4147455974393014e-11,
    -1.1096862995764342e-11, 4.0248320287978321e-12, -2.9609936249846452e-13,
    -1.0257635127287476e-13, 2.920579876829024e-14, -1.4619955511486231e-15,
    -7.3550505309176696e-16, 1.6986548408182805e-16, -5.0563208224652942e-18,
    -4.2234448483626644e-18, 8.0870088471900248e-19};
static const double ai_high[] = {
    1.9687638279343661, -0.014813911012309098, 0.00073470412876061206,
    -6.1497228432591811e-5, 6.8687068924423162e-6, -9.2925357651798602e-7,
    1.4462174505346957e-7, -2.5089462951594784e-8, 4.7511246091981938e-9,
    -9.6762106294182706e-10, 2.0963036184936144e-10, -4.7906924473131803e-11,
    1.1472872301504825e-11, -2.8639962757472006e-12, 7.4201595170377283e-13,
    -1.9880449021740572e-13, 5.4914819212810601e-14, -1.5598274048897845e-14,
    4.5458679098098258e-15, -1.3566483821212856e-15, 4.1389459165162149e-16,
    -1.288941169562135e-16, 4.0918481693898654e-17, -1.3226143511500501e-17,
    4.348219690125948e-18};
static const double ai_f[] = {
    1.9993446830922011, -0.00032554835610553219, 2.0697451559691188e-6,
    -3.8909617364744235e-8, 1.3645959446950332e-9, -7.2655634388666794e-11,
    5.234675629062905e-12, -4.74966941582145e-13, 5.1721561396041863e-14,
    -6.5337252955452812e-15, 9.339274072777204e-16, -1.4823330512580447e-16,
    2.5745988399643987e-17, -4.8369440585693925e-18};
static const double ai_g[] = {
    0.13823056080321005, -0.00032510603645866948, 3.945977743866322e-6,
    -1.0689290905143407e-7, 4.8003347189516153e-9, -3.0691067169997628e-10,
    2.5517594369013918e-11, -2.6016067317524329e-12, 3.1236668551191847e-13,
    -4.2903251712839463e-14, 6.5967105959774316e-15, -1.1168332160416873e-15,
    2.0551350158850314e-16, -4.068005609843823e-17, 8.5891826313926134e-18,
    -1.9210188189020527e-18, 4.5247794827190845e-19};
/* clang-format on */

static kl_lazy *airy_ai64(kl_lazy *x)
{
    const double widest_high = 0.53125, widest_low = 0.018; /* of the last two series */
    kl_lazy *high = above(x, 2), *low = below(x, -5);
    kl_lazy *out = kl_n_bin(KL_OP_or, high, low);
    kl_lazy *m = kl_n_where(out, num(x, 0), x);
    kl_lazy *r = SERIES(times(plus(m, 1.5), 1 / 3.5), ai_mid);
    kl_lazy *y = un(KL_OP_abs, kl_n_where(out, x, num(x, 8))), *root = un(KL_OP_sqrt, y);
    kl_lazy *zeta = times(mul(y, root), 2.0 / 3), *w = kl_n_cbin(KL_OP_div, 1, zeta);
    kl_lazy *fourth = un(KL_OP_sqrt, root);
    kl_lazy *th = plus(times(or_number(high, w, 0.5), 2 / widest_high), -1);
    kl_lazy *h = mul(un(KL_OP_exp, neg(zeta)), SERIES(th, ai_high));
    h = over(h, times(fourth, 2 * 1.7724538509055160273)); /* sqrt(pi) */
    kl_lazy *wl = or_number(low, w, 0.1),
            *tl = plus(times(mul(wl, wl), 2 / widest_low), -1);
    kl_lazy *sin = un(KL_OP_sin, zeta), *cos = un(KL_OP_cos, zeta);
    kl_lazy *s = add(sin, cos), *c = sub(cos, sin); /* of zeta + pi/4, times sqrt(2) */
    kl_lazy *l = sub(mul(s, SERIES(tl, ai_f)), mul(c, mul(wl, SERIES(tl, ai_g))));
    l = over(l, times(fourth, 2.5066282746310005024)); /* sqrt(2 pi) */
    r = kl_n_where(high, h, kl_n_where(low, l, r));
    return kl_n_where(kl_f_isinf(x), num(r, NAN), r);
}
kl_lazy *kl_f_airy_ai(kl_lazy *a)
{
    return kl_f_in_f64(airy_ai64, a);
}
