r"""The tail of the sigmoid as a short sum of exponentials.

For :math:`x \ge 0`

.. math::
    \frac{1}{1 + e^x} = \sum_{k \ge 1} (-1)^{k+1} e^{-k x} \approx \sum_{k=1}^{n} c_k e^{-k x}

The series alternates, and its terms are moments of a measure that is positive (a point mass at :math:`e^{-x}`). For such
series Cohen, Rodriguez Villegas and Zagier give weights that make n terms as good as all of them whatever the measure,
that is for all x at once, down to x = 0 where the series itself does not converge. The error of the tail is at most
:math:`2 (3 + \sqrt 8)^{-n}` of it, and no weight exceeds 1 in magnitude, so rounding stays that of the exponentials.

References:
    Cohen, Rodriguez Villegas, Zagier, Convergence acceleration of alternating series, Experimental Mathematics 9
    (2000), algorithm 1.
"""

import math

GROWTH = 3 + math.sqrt(8)
"""Each further exponential divides the error of the tail by this much."""


def coefficients(num_terms: int) -> list[float]:
    r"""Return :math:`c_1, \dots, c_n`."""
    scale = (GROWTH**num_terms + GROWTH**-num_terms) / 2
    product, weight, found = -1.0, -scale, []
    for k in range(num_terms):
        weight = product - weight
        found.append(weight / scale)
        product *= (k + num_terms) * (k - num_terms) / ((k + 0.5) * (k + 1))
    return found
