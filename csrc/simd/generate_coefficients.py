"""Print the polynomial coefficients of ``vec_math.h`` (needs mpmath).

q(r) = (exp(r) - 1) / r on |r| <= ln(2)/2, near-minimax by Chebyshev interpolation, with the error bound.
"""

import mpmath as mp

mp.mp.dps = 50


def q(r: mp.mpf) -> mp.mpf:
    return mp.expm1(r) / r if abs(r) > mp.mpf(10) ** -20 else 1 + r / 2 + r * r / 6


for name, terms, digits in (("float", 6, 10), ("double", 11, 20)):
    coefficients, error = mp.chebyfit(q, [-mp.log(2) / 2, mp.log(2) / 2], terms, error=True)
    print(f"{name}: error of q below {mp.nstr(error, 3)}; highest power first")
    for c in coefficients:
        print("   ", mp.nstr(c, digits))

ln2 = mp.log(2)
for name, bits, digits in (("float", 12, 10), ("double", 32, 20)):
    high = mp.floor(ln2 * 2**bits) / mp.mpf(2) ** bits
    print(name, "ln2 high", mp.nstr(high, 20), "low", mp.nstr(ln2 - high, digits))
print("log2(e)", mp.nstr(1 / ln2, 20))
