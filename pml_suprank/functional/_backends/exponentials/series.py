r"""The tail of the sigmoid as a short sum of exponentials.

For :math:`x \ge 0`

.. math::
    \frac{1}{1 + e^x} = \sum_{k \ge 1} (-1)^{k+1} e^{-k x} \approx \sum_{k=1}^{n} c_k e^{-k x}

The series alternates, and its terms are moments of a positive measure, a point mass at :math:`e^{-x}`. For such series
Cohen, Rodriguez Villegas and Zagier give weights that make n terms as good as all of them whatever the measure, that is
for all x at once, down to x = 0 where the series itself does not converge. The error of the tail is at most
:math:`2 (3 + \sqrt 8)^{-n}` of it, and no weight exceeds 1 in magnitude, so rounding stays that of the exponentials.

The derivative of that sum has weights :math:`k c_k` and an error of about :math:`2 n^2 (3 + \sqrt 8)^{-n}`. In float32
that is less than what its weights cost, up to 6 in magnitude for n = 12: where scores have collapsed, roundings of the
exponentials make 1e-5 of the slope. So the slope has weights of its own, see :func:`slope_coefficients`.

References:
    Cohen, Rodriguez Villegas, Zagier, Convergence acceleration of alternating series, Experimental Mathematics 9
    (2000), algorithm 1.
"""

import functools
import math

import numpy as np

GROWTH = 3 + math.sqrt(8)
"""Each further exponential divides the error of the tail by this much."""


@functools.cache
def coefficients(num_terms: int) -> tuple[float, ...]:
    r"""Return :math:`c_1, \dots, c_n`."""
    scale = (GROWTH**num_terms + GROWTH**-num_terms) / 2
    product, weight, found = -1.0, -scale, []
    for k in range(num_terms):
        weight = product - weight
        found.append(weight / scale)
        product *= (k + num_terms) * (k - num_terms) / ((k + 0.5) * (k + 1))
    return tuple(found)


@functools.cache
def slope_coefficients(num_terms: int, rounding: float) -> tuple[float, ...]:
    r"""Return weights of the same exponentials for the slope of the sigmoid, :math:`e^{-x} / (1 + e^{-x})^2`.

    They are a fit by least squares, at Chebyshev's points in :math:`z = e^{-x}`, to the slope and to small weights: a
    weight costs as much as the ``rounding`` of what it multiplies, a relative error.
    """
    num_points = 1000
    z = (1 + np.cos(np.pi * (np.arange(num_points) + 0.5) / num_points)) / 2
    powers = z[:, None] ** np.arange(1, num_terms + 1)
    cost = math.sqrt(num_points) * rounding * np.eye(num_terms)
    wanted = np.concatenate([z / (1 + z) ** 2, np.zeros(num_terms)])
    fit = np.linalg.lstsq(np.concatenate([powers, cost]), wanted, rcond=None)[0]
    return tuple(fit.tolist())
