"""What every planner must do, and what sets each apart."""

import pytest
import torch
from planning_models import PointMass, Quadratic, run
from smbrl_plugins.planners.cem import CEM
from smbrl_plugins.planners.icem import ICEM, coloured
from smbrl_plugins.planners.mppi import MPPI
from smbrl_plugins.planners.sequences import best, finite, weighted
from smbrl_plugins.planners.simple import PolicyOnly, RandomShooting

from smbrl.testing import assert_conforms


def mppi(horizon):
    return MPPI(
        horizon=horizon, first_horizon=horizon, samples=300, smoothing=0.0, std=0.4, temperature=10.0, iterations=20
    )


SEARCHES = {
    "CEM": lambda h: CEM(horizon=h),
    "ICEM": lambda h: ICEM(horizon=h, first_horizon=h, iterations=5),
    "MPPI": mppi,
    "RandomShooting": lambda h: RandomShooting(horizon=h, first_horizon=h, samples=3000),
}


@pytest.mark.parametrize("planner", [CEM, ICEM, MPPI, PolicyOnly, RandomShooting])
def test_keeps_its_contract(planner):
    assert_conforms(planner)


@pytest.mark.parametrize("name", SEARCHES)
def test_finds_the_optimum_of_a_quadratic(name):
    goals = torch.tensor([[0.6, -0.4], [-0.8, 0.1], [0.0, 0.9]])
    decision, _ = run(SEARCHES[name](1), goals)
    torch.testing.assert_close(decision, goals, atol=0.05, rtol=0)


@pytest.mark.parametrize("name", SEARCHES)
def test_reaches_a_goal_in_as_few_decisions_as_there_can_be(name):
    """Three moves at full speed reach the origin from 0.75 away."""
    starts = torch.tensor([[0.75, -0.75], [-0.75, 0.75]])
    planner, model, memory, place = SEARCHES[name](3), PointMass(), None, starts
    for seed in range(3):
        decision, memory = run(planner, place, memory, model=model, seed=seed)
        place, _ = model.predict(place, decision)
    assert float(place.norm(dim=-1).max()) < (0.45 if name == "RandomShooting" else 0.2)


@pytest.mark.parametrize("name", [*SEARCHES, "PolicyOnly"])
@pytest.mark.parametrize("explore", [True, False])
def test_same_seed_same_plan(name, explore):
    planner = PolicyOnly() if name == "PolicyOnly" else SEARCHES[name](2)
    goal = torch.tensor([[0.3, 0.3]])
    first, second = (run(planner, goal, seed=3, explore=explore) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    random = explore or name != "PolicyOnly"
    assert torch.equal(first[0], run(planner, goal, seed=4, explore=explore)[0]) != random


@pytest.mark.parametrize("name", SEARCHES)
def test_an_exploded_model_does_not_end_the_run(name):
    decision, memory = run(SEARCHES[name](2), torch.tensor([[-0.5, 0.5]]), model=Quadratic(broken=True))
    assert bool(torch.isfinite(decision).all() and torch.isfinite(memory).all())
    assert float(decision[0, 0]) < 0.0  # what explodes is the worst there is


@pytest.mark.parametrize("name", SEARCHES)
def test_environments_do_not_see_each_others_memory(name):
    """An episode that begins has the empty row; its neighbour goes on from its plan."""
    planner, goals = SEARCHES[name](3), torch.tensor([[0.6, -0.4], [-0.8, 0.1]])
    _, memory = run(planner, goals)
    fresh = planner.initial_memory(2, 2, torch.device("cpu"))
    mixed = torch.cat([memory[:1], fresh[1:]])
    going, beginning = run(planner, goals, memory, seed=5)[0], run(planner, goals, fresh, seed=5)[0]
    both = run(planner, goals, mixed, seed=5)[0]
    torch.testing.assert_close(both[0], going[0])
    torch.testing.assert_close(both[1], beginning[1])


@pytest.mark.parametrize("planner", [CEM, ICEM, MPPI, RandomShooting])
def test_horizon_grows_with_env_steps(planner):
    built = planner(horizon=5, first_horizon=1, horizon_steps=25_000)
    assert [built.horizon_at(s) for s in (0, 6_249, 6_250, 24_999, 25_000, 10**7)] == [1, 1, 2, 4, 5, 5]
    goal = torch.tensor([[0.6, -0.4]])
    _, memory = run(built, goal, step=0)
    decision, _ = run(built, goal, memory, step=6_250)  # a plan of another length is not gone on from
    assert bool(torch.isfinite(decision).all())


def test_best_weighted_and_finite_by_hand():
    values = torch.tensor([[1.0, torch.nan, 3.0, torch.inf]])
    assert finite(values).tolist() == [[1.0, -1e9, 3.0, -1e9]]
    decisions = torch.arange(8.0).view(1, 4, 1, 2)
    chosen, top = best(decisions, values, 2)
    assert chosen.flatten().tolist() == [4.0, 5.0, 0.0, 1.0]
    assert top.tolist() == [[3.0, 1.0]]
    assert weighted(chosen, torch.tensor([[0.75, 0.25]])).flatten().tolist() == [3.0, 4.0]


# -- policy only -------------------------------------------------------------------------------------
def test_the_policy_alone_plays_its_mode_and_explores_by_sampling():
    state = torch.zeros(400, 2)
    quiet, memory = run(PolicyOnly(), state)
    assert memory.shape == (400, 0)
    torch.testing.assert_close(quiet, torch.full_like(state, 0.3).tanh())
    noisy, _ = run(PolicyOnly(), state, explore=True)
    assert 0.08 < float(noisy.std()) < 0.11


# -- MPPI --------------------------------------------------------------------------------------------
class Tabled(Quadratic):
    """Pays what a decision says; remembers how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def predict(self, state, decision):
        self.steps += 1
        return state.expand(*decision.shape[:-1], 2), decision[..., 0]


def test_mppi_weighs_every_sample_by_its_value():
    planner = MPPI(samples=3, iterations=1, temperature=2.0)
    g = torch.Generator().manual_seed(0)
    first = torch.randn(1, 1, 2, generator=g)
    drawn = (first.unsqueeze(1) + 1.2247 * torch.randn(1, 3, 1, 2, generator=g)).clamp(-1, 1)[0, :, 0]
    weight = torch.exp(2.0 * (drawn[:, 0] - drawn[:, 0].max()))
    expected = (weight[:, None] * drawn).sum(0) / weight.sum()
    decision, memory = run(planner, torch.zeros(1, 2), model=Tabled(), seed=0)
    torch.testing.assert_close(decision[0], expected)
    torch.testing.assert_close(memory, torch.tensor([[1.0, *expected.tolist()]]))


def test_mppi_smooths_over_time():
    drawn = torch.tensor([1.0, 0.0, 0.5]).view(1, 1, 3, 1)
    smoothed = MPPI(smoothing=0.9).smooth(drawn).flatten().tolist()
    assert smoothed == pytest.approx([1.0, 0.9, 0.9 * 0.9 + 0.1 * 0.5])


def test_mppi_holds_each_decision():
    model = Tabled()
    run(MPPI(horizon=4, first_horizon=4, hold=25, samples=2, iterations=1), torch.zeros(1, 2), model=model)
    assert model.steps == 100


def test_mppi_goes_on_from_its_plan_and_appends_a_fresh_decision():
    planner = MPPI(horizon=3, first_horizon=3, iterations=0)
    memory = planner.remembered(planner.initial_memory(1, 2, torch.device("cpu")), torch.arange(6.0).view(1, 3, 2) / 10)
    _, after = run(planner, torch.zeros(1, 2), memory, seed=1)
    fresh = torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(1))[0, -1]
    torch.testing.assert_close(after[0], torch.cat([torch.tensor([3.0, 0.2, 0.3, 0.4, 0.5]), fresh]))


def test_mppi_on_linear_dynamics_reaches_a_goal_within_the_plan():
    """The sparse-reward setting of its paper: four decisions, each held, the goal one plan away."""
    planner = MPPI(horizon=4, first_horizon=4, hold=5, samples=200, smoothing=0.9)

    class Slow(PointMass):
        def predict(self, state, decision):
            return super().predict(state, 0.2 * decision)

    model, place, memory = Slow(), torch.tensor([[0.5, -0.6]]), None
    for seed in range(4):
        decision, memory = run(planner, place, memory, model=model, seed=seed)
        for _ in range(5):
            place, _ = model.predict(place, decision)
    assert float(place.norm()) < 0.15


# -- iCEM --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("length", [1, 2, 7, 10])
@pytest.mark.parametrize("exponent", [0.0, 2.0])
def test_coloured_noise_has_unit_variance(length, exponent):
    g = torch.Generator().manual_seed(0)
    noise = coloured((20_000,), length, exponent, g, torch.device("cpu"))
    assert noise.shape == (20_000, length)
    torch.testing.assert_close(noise.var(0), torch.ones(length), atol=0.05, rtol=0)
    torch.testing.assert_close(noise.mean(0), torch.zeros(length), atol=0.03, rtol=0)


def test_white_noise_is_uncorrelated_and_brown_noise_is_not():
    def correlation(exponent):
        g = torch.Generator().manual_seed(0)
        noise = coloured((20_000,), 10, exponent, g, torch.device("cpu"))
        return float((noise[:, 3] * noise[:, 4]).mean())

    assert abs(correlation(0.0)) < 0.03
    assert correlation(2.0) > 0.6


def test_icem_keeps_elites_between_decisions():
    planner, goal = ICEM(horizon=3, first_horizon=3, elites=4, kept=0.5, samples=20), torch.tensor([[0.6, -0.4]])
    _, memory = run(planner, goal)
    assert memory.shape == (1, 1 + 3 * 3 * 2)
    kept = memory[:, 7:].view(1, 2, 3, 2)
    mean = planner.moved_mean(memory, 3, 2)
    previous = memory[:, 1:7].view(1, 3, 2)
    torch.testing.assert_close(mean, torch.cat([previous[:, 1:], previous[:, -1:]], 1))
    moved = planner.moved_elites(memory, mean, torch.ones_like(mean), torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved[:, :, :2], kept[:, :, 1:])


def test_icem_keeps_elites_between_iterations():
    """With no noise left to draw from, later iterations can only be as good as what was kept."""

    seen = []

    class Watched(ICEM):
        def drawn(self, mean, std, count, generator):
            drawn = super().drawn(mean, std, count, generator)
            return drawn if not seen else torch.full_like(drawn, 0.9)

        def evaluate(self, model, state, decisions, generator):
            values = super().evaluate(model, state, decisions, generator)
            seen.append(float(values.max()))
            return values

    run(Watched(horizon=1, first_horizon=1, iterations=3), torch.tensor([[-0.5, -0.5]]))
    assert seen[1] >= seen[0]
    assert seen[2] >= seen[1]


def test_icem_draws_fewer_samples_in_later_iterations_and_judges_the_mean_last():
    counts = []

    class Counted(ICEM):
        def evaluate(self, model, state, decisions, generator):
            counts.append(decisions.shape[1])
            return super().evaluate(model, state, decisions, generator)

    run(Counted(horizon=1, first_horizon=1, samples=100, elites=10, iterations=3), torch.zeros(1, 2))
    assert counts == [100 + 3, 80 + 3, 64 + 3 + 1]
