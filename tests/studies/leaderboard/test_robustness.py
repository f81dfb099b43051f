"""Fields of data sets and trunks: splits that are drawn anew, tables, picture."""

import json
from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="needs the recipes extra")

from studies.leaderboard import robustness
from studies.leaderboard import runs as runs_module
from studies.leaderboard.robustness_figure import robustness_figure
from studies.leaderboard.robustness_tables import agreement, gains, ranks, tables, values

SPLITS = range(5)


def made(data: str, trunk: str, means: dict[str, float], recommended: float) -> dict:
    """A field whose losses differ by the same on every split, but for a wave that each has at another place."""

    def wave(place: int) -> list[float]:
        return [0.004 * ((split * (place + 1)) % 5) for split in SPLITS]

    rows = [
        {"loss": loss, "values": {"h_ap": [mean + move for move in wave(place)]}}
        for place, (loss, mean) in enumerate(means.items())
    ]
    return {
        "source": {"data": data, "backbone": f"tf_efficientnet_{trunk}"},
        "standings": rows,
        "recommended": [{"loss": "happier", "values": {"h_ap": [recommended + move for move in wave(0)]}}],
        "trunk": {"h_ap": [0.1] * len(SPLITS)},
    }  # fmt: skip


FIELDS = {
    "a0": made("a", "lite0", {"happier": 0.5, "supcon": 0.4, "csl": 0.3}, 0.49),
    "a2": made("a", "lite2", {"happier": 0.6, "supcon": 0.5, "csl": 0.4}, 0.495),
    "b0": made("b", "lite0", {"happier": 0.3, "supcon": 0.4, "csl": 0.5}, 0.3),
}


def lines(table: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_values_and_places() -> None:
    assert ranks(FIELDS["b0"], "h_ap") == {"happier": 3, "supcon": 2, "csl": 1}
    found = lines(values(FIELDS, "h_ap"))
    assert found["loss, tuned"] == ["a, Lite0", "a, Lite2", "b, Lite0", "mean place"]
    assert found["HAPPIER"][0] == "**0.508 ± 0.006**"
    assert found["HAPPIER"][-1] == "1.7"
    assert found["CSL"][2].startswith("**0.508")
    assert found["HAPPIER, recommended, not tuned"][0] == "0.498 ± 0.006"
    assert found["frozen features"][0] == "0.100 ± 0.000"


def test_gains_of_the_recommended_settings() -> None:
    found = lines(gains(FIELDS, "h_ap"))
    assert "HAPPIER" not in found
    assert found["SupCon"] == ["+0.090", "-0.005\\*", "-0.100"]
    assert found["told to be better than"] == ["2", "1", "0"]
    assert found["told to be worse than"] == ["0", "0", "2"]


def test_agreement_of_orders() -> None:
    found = lines(agreement(FIELDS))
    assert found["a"] == ["1.00", "1.00", "", "-1.00"]
    assert found["b"] == ["1.00", "", "-1.00", ""]


def test_the_picture_shows_every_field() -> None:
    assert robustness_figure(FIELDS).startswith(b"\x89PNG")
    assert robustness_figure(FIELDS) != robustness_figure({"a0": FIELDS["a0"]})


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("robustness")
    assert robustness.main(arguments(folder, cache_dir)) == 0
    return folder


def arguments(folder: Path, cache_dir: Path, *more: str) -> list[str]:
    return ["--output", str(folder), "--cache-dir", str(cache_dir), "--data", "emoji", "--losses", "happier", "supcon",
            "--backbones", "tf_efficientnet_lite0", "--seeds", "2", "4", "--steps", "2", "--limit", "400",
            *more]  # fmt: skip


def test_each_seed_draws_its_split_and_the_first_one_tunes(output: Path) -> None:
    runs = [json.loads(path.read_text())["run"] for path in (output / "runs").rglob("*.json")]
    assert {(run["splits"][1], run["seed"], run["source"]["seed"]) for run in runs} == {
        ("val", 2, 2),
        ("test", 2, 2),
        ("test", 4, 4),
    }
    assert len(list((output / "features").iterdir())) == 1
    (found,) = json.loads((output / "robustness.json").read_text()).values()
    assert len(set(found["trunk"]["h_ap"])) == 2
    assert [row["loss"] for row in found["standings"]] == ["happier", "supcon"]
    (recommended,) = found["recommended"]
    assert recommended["options"] == {"tau": 0.1, "alpha": 1.5, "weight": 0.1, "temperature": 0.1}
    for name, table in tables({"emoji": found}).items():
        assert f"### {name}\n\n{table}" in (output / "robustness.md").read_text()


def test_a_second_call_trains_nothing(output: Path, cache_dir: Path, monkeypatch) -> None:
    before = (output / "robustness.json").read_bytes()
    monkeypatch.setattr(runs_module, "train_head", None)
    assert robustness.main(arguments(output, cache_dir)) == 0
    assert (output / "robustness.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backbones", "resnet50"], "invalid choice: 'resnet50'"),
        (["--seeds", "3"], "--seeds: wanted 2 or more, all different, got [3]"),
    ],
)
def test_errors_name_what_was_wanted(options, message, tmp_path, cache_dir, capsys) -> None:
    with pytest.raises(SystemExit):
        robustness.main(arguments(tmp_path, cache_dir, *options))
    assert message in capsys.readouterr().err
