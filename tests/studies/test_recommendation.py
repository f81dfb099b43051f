"""What the studies call recommended is what the commands take."""

from pml_suprank.recipes.choices import RECOMMENDED
from studies.leaderboard import robustness
from studies.leaderboard.runs import find_entrant
from studies.untuned.arms import ARMS


def test_the_measured_settings_are_the_recommended_ones() -> None:
    name, (setting, _) = robustness.RECOMMENDED
    measured = [find_entrant(name).settings[setting], ARMS["happier"][1][1]]
    for options in measured:
        found = {key: options[key] for key in ("tau", "temperature", "alpha")}
        assert found == {
            "tau": RECOMMENDED["tau"],
            "temperature": RECOMMENDED["temperature"],
            "alpha": RECOMMENDED["relevance"]["options"]["alpha"],
        }
