import numpy as np
import pytest
import torch
from PIL import Image
from smbrl_plugins.dynamics.skill_dynamics import SkillDynamics
from smbrl_plugins.encoders.mlp import MLPEncoder

from smbrl.analysis.flat import FlatModel, flat_twin, train_flat
from smbrl.analysis.prediction import as_json, error_curves, held_out, predict, trajectory_pictures
from smbrl.analysis.style import LARGEST
from smbrl.data.episodes import EpisodeStore
from smbrl.errors import SmbrlError
from smbrl.interfaces import SkillWindows
from smbrl.nn.heads import GaussianDecoder


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def store():
    """Smooth random walks through the room of 60, 120, 180, ... steps."""
    obs, actions, starts, lengths = [], [], [], []
    rng, row = np.random.default_rng(0), 0
    for number in range(12):
        steps = 60 * (number % 4 + 1)
        act = np.sin(np.cumsum(rng.normal(0, 0.3, (steps + 1, 2)), 0)).astype(np.float32)
        path = (10 + np.concatenate([[[0, 0]], np.cumsum(0.1 * act[:-1], 0)])).astype(np.float32)
        obs.append(path)
        actions.append(act)
        starts.append(row)
        lengths.append(steps)
        row += steps + 1
    return EpisodeStore(
        torch.from_numpy(np.concatenate(obs)),
        torch.from_numpy(np.concatenate(actions)),
        torch.tensor(starts),
        torch.tensor(lengths),
    )


def test_held_out_stretches_come_from_different_long_episodes(store):
    found = held_out(store, 6, 150, seeded())
    assert found.obs.shape == (6, 151, 2)
    assert found.actions.shape == (6, 150, 2)
    assert len({tuple(row) for row in found.obs[:, -1].tolist()}) == 6
    moved = found.obs[:, 1:] - found.obs[:, :-1]
    torch.testing.assert_close(moved, 0.1 * found.actions, atol=1e-4, rtol=0)
    assert torch.equal(found.obs, held_out(store, 6, 150, seeded()).obs)
    assert not torch.equal(found.obs, held_out(store, 6, 150, seeded(1)).obs)
    assert held_out(store, 20, 150, seeded()).obs.shape == (20, 151, 2)


def test_too_long_a_horizon_is_a_clear_mistake(store):
    with pytest.raises(SmbrlError, match="no held-out trajectory has 500 steps \\(the longest has 240\\)"):
        held_out(store, 10, 500, seeded())


def test_the_error_of_a_model_that_drifts_is_its_drift(room, walker, store):
    truth = held_out(store, 4, 150, seeded())
    truth = type(truth)(
        truth.obs[:, :1] + 0.5 * torch.cat([torch.zeros(4, 1, 2), truth.actions.cumsum(1)], 1), truth.actions
    )
    found = predict("walker", walker, room.spec, truth)
    assert found.steps.tolist() == list(range(0, 151, 5))
    np.testing.assert_allclose(found.error, np.tile(0.1 * np.arange(31), (4, 1)), atol=1e-3)
    table = found.table()
    assert set(table) == {100, 150}
    assert table[100]["mean"] == pytest.approx(2.0, abs=1e-3)
    assert table[100]["std"] == pytest.approx(0.0, abs=1e-3)
    assert found.at(104)[0] == found.at(100)[0]
    assert as_json([found], {"run": "x"})["models"]["walker"]["error"]["100"]["median"] == pytest.approx(2.0, abs=1e-3)


def test_a_model_that_runs_off_counts_as_lost_and_does_not_drown_the_mean(room, walker, store, tmp_path):
    truth = held_out(store, 6, 100, seeded())
    calm = predict("walker", walker, room.spec, truth)
    plain = walker.imagine
    walker.imagine = lambda state, decision: plain(state, decision) * torch.tensor([[1.0]] * 5 + [[1e9]])
    wild = predict("walker", walker, room.spec, truth)
    assert wild.lost[-1, 1:].all()
    assert (wild.lost[:-1] == calm.lost[:-1]).all()
    low, high = truth.obs[:, ::5].flatten(0, 1).amin(0), truth.obs[:, ::5].flatten(0, 1).amax(0)
    assert wild.error[-1, -1] == wild.limit == pytest.approx(float((high - low).norm()), rel=1e-6)
    assert np.isfinite(wild.error).all()
    assert wild.table()[100]["lost"] >= 1 / 6
    assert error_curves([calm, wild], tmp_path / "e.png").exists()
    assert trajectory_pictures(room, truth, [wild], tmp_path / "p.png", count=6).exists()


def flat(room, latent=16):
    torch.manual_seed(0)
    return FlatModel(
        MLPEncoder(room.spec, latent), SkillDynamics(latent, 2, hidden=32, layers=2), GaussianDecoder(latent, [32], 2)
    )


def test_the_flat_loss_matches_the_formula_by_hand(room):
    model = flat(room)
    obs, actions = 20 * torch.rand(3, 3, 2), torch.rand(3, 2, 2)
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    with torch.no_grad():
        first = model.dynamics.step(model.encoder(obs[:, 0]), actions[:, 0])
        second = model.dynamics.step(first, actions[:, 1])
        goal = model.target(obs)
        errors = torch.stack([(first - goal[:, 1]).square().mean(-1), (second - goal[:, 2]).square().mean(-1)], 1)
        consistency = (errors * mask * torch.tensor([1.0, 0.5])).sum(1).mean()
        nll = model.decoder.nll(model.encoder(obs), model.encoder.normalise(obs))
        real = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
        expected = ((nll * real).sum() / 8 + 2.0 * consistency) / 2
    torch.testing.assert_close(model.loss(SkillWindows(obs, actions, mask)).detach(), expected)


def test_a_flat_model_learns_to_predict_and_decodes_raw_units(room, store):
    model = flat(room)
    truth = held_out(store, 6, 100, seeded())
    before = predict("flat", model, room.spec, truth)
    losses = train_flat(model, store, updates=300, batch=32, generator=seeded())
    after = predict("flat", model, room.spec, truth)
    assert losses[-1] < losses[0]
    assert after.error[:, 0].mean() < 0.5 < before.error[:, 0].mean()
    assert after.at(2).mean() < 0.5 * before.at(2).mean()
    assert after.steps.tolist() == list(range(101))


def test_the_flat_twin_has_the_same_parts_for_env_actions(room):
    dynamics = SkillDynamics(16, 10, hidden=24, layers=3)
    twin = flat_twin(MLPEncoder(room.spec, 16, hidden=40), dynamics, GaussianDecoder(16, [32], 2))
    assert twin.dynamics.settings == {"latent": 16, "decision": 2, "hidden": 24, "layers": 3}
    assert twin.encoder.settings["hidden"] == 40
    assert twin.imagine(torch.zeros(5, 16), torch.zeros(5, 2)).shape == (5, 16)


def test_the_pictures_are_drawn(room, walker, store, tmp_path):
    truth = held_out(store, 6, 100, seeded())
    found = [predict("skill dynamics", walker, room.spec, truth), predict("flat model", flat(room), room.spec, truth)]
    curves = error_curves(found, tmp_path / "error.png")
    pictures = trajectory_pictures(room, truth, found, tmp_path / "paths.png")
    for path, size in ((curves, (744, 456)), (pictures, (1200, 714))):
        with Image.open(path) as image:
            assert image.size == size
            assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20
        assert path.stat().st_size <= LARGEST
