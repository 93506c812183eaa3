"""Any Gymnasium environment as a task."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from smbrl_plugins.tasks.gymnasium_task import Gymnasium

from smbrl.errors import SmbrlError
from smbrl.testing import assert_conforms


class Odd(gymnasium.Env):
    """Spaces as asked for; ends after ``ends`` steps, with a reward of 1 each."""

    def __init__(self, observation=None, action=None, ends=3, render_mode=None):
        self.observation_space = observation or Box(-1, 1, (2, 2), np.float64)
        self.action_space = action or Box(np.array([0.0, -2.0]), np.array([4.0, 2.0]), dtype=np.float64)
        self.ends = ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros((2, 2)), {}

    def step(self, action):
        self.t, self.action = self.t + 1, action
        return np.full((2, 2), self.t), 1.0, self.t >= self.ends, False, {}


@pytest.fixture(autouse=True)
def registered():
    gymnasium.register("smbrl-test/Odd-v0", Odd)
    yield
    gymnasium.registry.pop("smbrl-test/Odd-v0")


def test_keeps_its_contract():
    assert_conforms(Gymnasium)


def test_the_spec_says_what_the_environment_is():
    spec = Gymnasium(id="Pendulum-v1", shift=0.5, scale=(1.0, 1.0, 0.125), position=(0, 1)).spec
    assert (spec.observation, spec.action, spec.time_limit, spec.position) == (3, 1, 200, (0, 1))
    assert spec.shift == (0.5, 0.5, 0.5)
    assert spec.scale == (1.0, 1.0, 0.125)


def test_actions_are_mapped_to_the_bounds_and_observations_are_flat():
    task = Gymnasium(id="smbrl-test/Odd-v0", time_limit=9)
    env = task.make()
    obs, _ = env.reset(seed=0)
    assert (obs.shape, obs.dtype) == ((4,), np.float32)
    for action, played in (([-1.0, -1.0], [0.0, -2.0]), ([1.0, 0.0], [4.0, 0.0]), ([0.0, 7.0], [2.0, 2.0])):
        obs, *_ = env.step(np.array(action, np.float32))
        np.testing.assert_allclose(env.unwrapped.action, played)
    assert obs.tolist() == [3.0] * 4


def test_ended_and_out_of_time_are_two_things():
    for limit, expected in ((9, (True, False)), (2, (False, True))):
        env = Gymnasium(id="smbrl-test/Odd-v0", time_limit=limit).make()
        env.reset(seed=0)
        ends = (False, False)
        while not any(ends):
            *_, terminated, truncated, _ = env.step(np.zeros(2, np.float32))
            ends = (terminated, truncated)
        assert ends == expected


@pytest.mark.parametrize(("wanted", "success"), [(None, False), (3.0, True), (3.5, False)])
def test_success_is_a_return_that_was_asked_for(wanted, success):
    env = Gymnasium(id="smbrl-test/Odd-v0", time_limit=9, success_return=wanted).make()
    for _ in range(2):  # an episode starts from nothing
        env.reset(seed=0)
        said = [env.step(np.zeros(2, np.float32))[-1]["success"] for _ in range(3)]
        assert said == [False, False, success]


class Parts(Odd):
    """A Dict of observations, as dm_control's."""

    def __init__(self, render_mode=None):
        super().__init__(Dict(speed=Box(-1, 1, (1,), np.float64), at=Box(-1, 1, (2,), np.float64)))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"at": np.zeros(2), "speed": np.zeros(1)}, {}

    def step(self, action):
        _, *rest = super().step(action)
        return {"at": np.array([1.0, 2.0]), "speed": np.array([3.0])}, *rest


def test_a_dict_of_boxes_is_flattened_in_its_order():
    gymnasium.register("smbrl-test/Parts-v0", Parts)
    task = Gymnasium(id="smbrl-test/Parts-v0", time_limit=9, position=(0, 1))
    env = task.make()
    gymnasium.registry.pop("smbrl-test/Parts-v0")
    assert task.spec.observation == 3
    assert env.reset(seed=0)[0].tolist() == [0.0] * 3
    obs = env.step(np.zeros(2, np.float32))[0]
    assert obs.dtype == np.float32
    assert obs.tolist() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("limit", "steps", "rewards", "ends"),
    [(9, 2, [2.0, 1.0], (True, False)), (2, 1, [2.0], (False, True))],  # it terminates in its third step
)
def test_an_action_can_be_held(limit, steps, rewards, ends):
    task = Gymnasium(id="smbrl-test/Odd-v0", time_limit=limit, action_repeat=2)
    assert task.spec.time_limit == (limit + 1) // 2
    env = task.make()
    env.reset(seed=0)
    lived = [env.step(np.zeros(2, np.float32)) for _ in range(steps)]
    assert [reward for _, reward, *_ in lived] == rewards
    assert lived[-1][2:4] == ends


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"id": "Pendulm-v1"}, "no Gymnasium environment 'Pendulm-v1': did you mean 'Pendulum-v1'?"),
        ({"id": "nowhere:Thing-v0"}, "No module named 'nowhere'"),
        ({"id": "CartPole-v1"}, "CartPole-v1 has actions of the kind Discrete"),
        ({"id": "Pendulum-v1", "arguments": {"gravity": 1.0}}, "unexpected keyword argument 'gravity'"),
        ({"id": "Pendulum-v1", "scale": (1.0, 2.0)}, "Gymnasium.scale has 2 numbers, .* give one or 3"),
        ({"id": "Pendulum-v1", "position": (3,)}, "position names element 3; .* 0 to 2"),
        ({"id": "Pendulum-v1", "action_repeat": 0}, "action_repeat is 0; expected at least 1"),
        ({"id": "smbrl-test/Odd-v0"}, "has no time limit, and episodes must end: bind Gymnasium.time_limit"),
        (
            {"id": "smbrl-test/Odd-v0", "time_limit": 5, "arguments": {"observation": Dict(a=Discrete(2))}},
            "observations of the kind Dict.* wrap it in FlattenObservation",
        ),
        (
            {"id": "smbrl-test/Odd-v0", "time_limit": 5, "arguments": {"observation": Discrete(3)}},
            "observations of the kind Discrete",
        ),
        (
            {"id": "smbrl-test/Odd-v0", "time_limit": 5, "arguments": {"action": Box(-np.inf, np.inf, (1,))}},
            "unbounded actions",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(settings, words):
    with pytest.raises(SmbrlError, match=words) as raised:
        Gymnasium(**settings)
    assert "\n" not in str(raised.value)
