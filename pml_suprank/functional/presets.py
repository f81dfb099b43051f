"""Published steps of SupRank, and the one that this library recommends."""

_PRESET_A: dict[str, float | None] = {
    "tau": 0.01,
    "rho": 100.0,
    "delta": 0.05,
    "start": 0.5,
    "offset": 1.44,
}
_PRESET_B: dict[str, float | None] = {
    "tau": 0.01,
    "rho": 100.0,
    "delta": 0.05,
    "start": 0.0,
    "offset": 1.0,
}

PRESETS: dict[str, dict[str, float | None]] = {
    "smooth": {"tau": 0.1, "rho": 100.0, "delta": 0.05, "start": 0.5, "offset": None},
    "sop": _PRESET_A,
    "cub": _PRESET_A,
    "cars": _PRESET_A,
    "dyml": _PRESET_A,
    "gldv2": _PRESET_A,
    "inat": _PRESET_B,
}
"""SupRank steps: "smooth", which ranked best on the data sets of ``docs/leaderboard.md``, and those of the authors'
configurations, by data set."""
