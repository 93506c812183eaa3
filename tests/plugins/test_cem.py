import pytest
import torch
from planning_models import Quadratic, run
from smbrl_plugins.planners.cem import CEM

from smbrl.testing import assert_conforms

DEVICE = torch.device("cpu")


def test_keeps_its_contract():
    assert_conforms(CEM)


def test_finds_the_optimum_of_a_quadratic():
    goals = torch.tensor([[0.6, -0.4], [-0.8, 0.1], [0.0, 0.9]])
    decision, memory = run(CEM(horizon=3), goals)
    torch.testing.assert_close(decision, goals, atol=0.05, rtol=0)
    plan = memory[:, 1:].view(3, 3, 2)
    torch.testing.assert_close(plan[:, 1], 0.5 * goals, atol=0.05, rtol=0)


def test_the_policys_sequences_are_among_the_candidates():
    # the search itself starts near zero with no spread; only the policy's sequences come near the goal
    planner = CEM(
        horizon=2, samples=4, policy_samples=8, iterations=1, std=0.01, floor=0.01, floor_steps=0, choice="best"
    )
    goal = torch.full((1, 2), 0.29)
    decision, _ = run(planner, goal)
    assert float((decision - goal).abs().max()) < 0.15
    with torch.no_grad():
        proposals, _ = planner.sequences(Quadratic(), goal, 8, 2, torch.Generator().manual_seed(0))
    assert any(torch.equal(decision[0], sequence[0]) for sequence in proposals[0])
    with torch.no_grad():
        proposals, values = planner.sequences(Quadratic(), goal, 8, 2, torch.Generator().manual_seed(0))
    assert proposals.shape == (1, 8, 2, 2)
    again = planner.evaluate(Quadratic(), goal, proposals, torch.Generator())
    torch.testing.assert_close(values, again)


def test_value_of_a_sequence_is_discounted_rewards_plus_final_value():
    class Known(Quadratic):
        def predict(self, state, decision):
            return state + decision, decision.sum(-1)

        def value(self, state, generator):
            return state.sum(-1)

    planner = CEM(discount=0.9)
    decisions = torch.rand(1, 6, 3, 2)
    values = planner.evaluate(Known(), torch.ones(1, 2), decisions, torch.Generator())
    d = decisions.sum(-1)[0]
    expected = d[:, 0] + 0.9 * d[:, 1] + 0.81 * d[:, 2] + 0.729 * (2 + d.sum(1))
    torch.testing.assert_close(values[0], expected)


def test_weights_of_elites_are_a_softmax_of_their_values():
    planner = CEM(elites=2, temperature=0.5)
    decisions = torch.rand(1, 4, 1, 2)
    chosen, weights = planner.best(decisions, torch.tensor([[1.0, 5.0, 3.0, -1.0]]))
    assert torch.equal(chosen, decisions[:, [1, 2]])
    torch.testing.assert_close(weights, torch.softmax(torch.tensor([[2.5, 1.5]]), 1))


def test_refit_has_momentum_and_a_floor():
    planner = CEM(momentum=0.1, std=2.0)
    elites = torch.tensor([[[[1.0]], [[0.0]]]])
    mean, std = planner.refit(elites, torch.tensor([[0.75, 0.25]]), torch.tensor([[[2.0]]]), 0.01)
    assert float(mean) == pytest.approx(0.1 * 2.0 + 0.9 * 0.75)
    assert float(std) == pytest.approx((0.75 * 0.0625 + 0.25 * 0.5625) ** 0.5)
    assert float(planner.refit(elites, torch.tensor([[1.0, 0.0]]), mean, 0.3)[1]) == pytest.approx(0.3)


def test_schedules():
    planner = CEM(horizon=10, horizon_steps=1_000_000, floor_steps=1_000_000)
    assert [planner.horizon_at(s) for s in (0, 111_111, 111_112, 999_999, 1_000_000)] == [1, 1, 2, 9, 10]
    assert planner.floor_at(500_000) == pytest.approx(0.255)
    assert (planner.horizon_at(0), planner.floor_at(0)) == (1, 0.5)


def test_previous_plan_is_shifted_only_where_the_horizon_is_the_same():
    planner = CEM(horizon=3)
    memory = planner.initial_memory(2, 2, DEVICE)
    plan = torch.arange(6.0).view(3, 2) / 10
    memory[0, 0], memory[0, 1:] = 3, plan.flatten()
    memory[1, 0], memory[1, 1:] = 2, plan.flatten()
    mean, std = planner.first_gaussian(torch.zeros(2, 4, 3, 2), memory, 3, 0.1)
    torch.testing.assert_close(mean[0], torch.tensor([[0.2, 0.3], [0.4, 0.5], [0.0, 0.0]]))
    assert not mean[1].any()
    assert bool((std == 2.0).all())


def test_can_start_from_the_policys_own_sequences():
    planner = CEM(horizon=2, start="policy")
    proposals = torch.rand(1, 25, 2, 2)
    mean, std = planner.first_gaussian(proposals, planner.initial_memory(1, 2, DEVICE), 2, 0.1)
    torch.testing.assert_close(mean, proposals.mean(1))
    torch.testing.assert_close(std, proposals.std(1).clamp(min=0.1))


def test_an_exploded_model_does_not_end_the_run():
    decision, memory = run(CEM(horizon=2), torch.tensor([[-0.5, 0.5]]), model=Quadratic(broken=True))
    assert bool(torch.isfinite(decision).all() and torch.isfinite(memory).all())
    torch.testing.assert_close(decision, torch.tensor([[-0.5, 0.5]]), atol=0.1, rtol=0)


def test_a_batch_of_environments_is_planned_as_well_as_each_alone():
    goals = torch.rand(16, 2, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    planner = CEM(horizon=2, samples=64, elites=8, iterations=3)
    together = (run(planner, goals)[0] - goals).abs().mean()
    alone = torch.stack([(run(planner, g[None], seed=i)[0] - g).abs().mean() for i, g in enumerate(goals)]).mean()
    assert float(together) < 1.5 * float(alone) + 0.01
    assert float(alone) < 1.5 * float(together) + 0.01


def test_exploration_is_as_wide_as_the_floor_and_evaluation_is_not():
    goal = torch.zeros(400, 2)
    planner = CEM(horizon=1, samples=64, floor=0.3, floor_steps=0)
    noisy, _ = run(planner, goal, explore=True)
    # an elite (spread about 0.1 here) plus noise of the floor
    assert 0.28 < float(noisy.std()) < 0.45
    quiet, _ = run(planner, goal)
    assert float(quiet.std()) < 0.1
    sampled, _ = run(CEM(horizon=1, samples=64, floor=0.3, floor_steps=0, choice="sample"), goal)
    assert float(quiet.std()) < float(sampled.std()) < float(noisy.std())


def test_is_deterministic_under_a_seed():
    goal = torch.tensor([[0.3, 0.3]])
    assert torch.equal(run(CEM(), goal, seed=3, explore=True)[0], run(CEM(), goal, seed=3, explore=True)[0])
    assert not torch.equal(run(CEM(), goal, seed=3, explore=True)[0], run(CEM(), goal, seed=4, explore=True)[0])
