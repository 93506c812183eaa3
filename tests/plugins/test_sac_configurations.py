"""The SAC family as gin files make it."""

from collections.abc import Iterator

import gin
import pytest
from smbrl_plugins.agents.sac import SAC

from smbrl import config
from smbrl.training import pretrained
from smbrl.training.experiment import Experiment


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    gin.clear_config()
    yield
    gin.clear_config()


def built(*files: str) -> Experiment:
    experiment: Experiment = config.load(list(files), ['Experiment.device="cpu"']).build()
    gin.clear_config()
    return experiment


def key(experiment: Experiment) -> dict:
    seed = experiment.pretraining_seed
    return pretrained.key(experiment.agent, experiment.task.spec, "data", experiment.pretraining, seed)


@pytest.mark.parametrize(
    ("mine", "skimos"),
    [((), ()), (("budgets/smoke",), ("budgets/smoke",)), (("skimo_sac_as_released",), ("as_released",))],
)
def test_skimo_sac_is_configured_to_find_skimos_model(mine, skimos):
    assert key(built("skimo_sac_maze", *mine)) == key(built("skimo_maze", *skimos))


def test_methods_differ_in_their_parts_only():
    flat, spirl, joint = (built(name).agent for name in ("sac_pendulum", "spirl_maze", "skimo_sac_maze"))
    assert {type(agent) for agent in (flat, spirl, joint)} == {SAC}
    assert (flat.horizon, spirl.horizon, joint.horizon) == (1, 10, 10)
    assert (spirl.offline_window, joint.offline_window) == (1, 10)
    assert (flat.window, spirl.window, joint.window) == (1, 1, 1)
    assert type(spirl.offline) is not type(joint.offline)
