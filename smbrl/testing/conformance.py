"""One check per contract."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from smbrl.interfaces import Dynamics, Encoder, Part, Planner, SkillModel, TaskSpec
from smbrl.testing.agents import check_agent
from smbrl.testing.declaration import check_declaration
from smbrl.testing.findings import Finding, Report
from smbrl.testing.heads import check_heads
from smbrl.testing.subjects import check_networks
from smbrl.testing.tasks import check_task

SPEC = TaskSpec(4, 2, shift=(-0.5, -0.5, 0.0, 0.0), scale=(0.1, 0.1, 0.2, 0.2), position=(0, 1), time_limit=50)
"""A small task, so that checks take milliseconds."""
BATCHES: tuple[tuple[int, ...], ...] = ((), (5,), (2, 3))
"""Leading dimensions that every network must accept."""


def check_encoder(build: Callable[..., Encoder], report: Report) -> None:
    """(..., O) -> (..., latent)."""
    encoder = build(SPEC, 16)
    report.expect(encoder.latent == 16, "attribute latent = 16", encoder.latent, "call Encoder.__init__(spec, latent)")
    obs = torch.randn(6, SPEC.observation)
    for lead in BATCHES:
        with report.guarded(f"encoding observations with leading dimensions {lead}"):
            report.shape("latents", encoder(torch.randn(*lead, SPEC.observation)), (*lead, 16))
    with report.guarded("encoding"), report.no_global_randomness("encoding"):
        encoder(obs)
    with report.guarded("encoding a batch"):
        batch = encoder(obs)
        single = torch.stack([encoder(o) for o in obs])
        report.equal("a batch to give what its rows give alone", batch, single, "no statistics over the batch")
        report.equal("the same output twice", batch, encoder(obs), "draw nothing at random")
        report.every_parameter_gets_gradient("the output", encoder, encoder(obs).square().sum())
        report.state_round_trip(encoder, lambda module: module(obs))
    with report.guarded("denormalise"):
        back = encoder.denormalise(encoder.normalise(obs))
        report.equal("denormalise to undo normalise", back, obs, "override both or neither", tolerance=1e-4)


def check_skill_model(build: Callable[..., SkillModel], report: Report) -> None:
    """Posterior, low-level policy and loss of skills."""
    model = build(SPEC)
    horizon, skill = model.horizon, model.skill
    obs = torch.randn(3, 2, horizon, SPEC.observation)
    actions = torch.rand(3, 2, horizon, SPEC.action) * 2 - 1
    for lead in BATCHES:
        with report.guarded(f"posterior and act with leading dimensions {lead}"):
            posterior = model.posterior(
                torch.randn(*lead, horizon, SPEC.observation), torch.rand(*lead, horizon, SPEC.action)
            )
            report.shape("posterior means", posterior.mean, (*lead, skill))
            report.shape("posterior deviations", posterior.std, (*lead, skill))
            report.expect(bool((posterior.std > 0).all()), "positive deviations", "some <= 0", "use exp or softplus")
            action = model.act(torch.randn(*lead, SPEC.observation), torch.rand(*lead, skill) * 2 - 1)
            report.shape("actions", action, (*lead, SPEC.action))
            report.expect(bool((action.abs() <= 1).all()), "actions in [-1, 1]", "larger ones", "end in tanh")
    with report.guarded("the loss"):
        mask = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        generator = torch.Generator().manual_seed(0)
        with report.no_global_randomness("loss"):
            losses = model.loss(obs, actions, mask, generator)
        report.shape("the total loss", losses.total, ())
        report.shape("skill samples", losses.skill, (3, 2, skill))
        report.expect(bool((losses.skill.abs() <= 1).all()), "skills in (-1, 1)", "larger ones", "squash them")
        report.every_parameter_gets_gradient("the loss", model, losses.total)
        changed = actions.clone()
        changed[1, 1] = -changed[1, 1]
        again = model.loss(obs, changed, mask, torch.Generator().manual_seed(0))
        report.equal("masked skills to have no influence", losses.total, again.total, "weight each term by the mask")
        report.state_round_trip(model, lambda module: module.act(obs[:, :, 0], losses.skill.detach()))  # type: ignore[operator]
    fast = model.fast_policy()
    if fast is not None:
        with report.guarded("the fast policy"):
            z = torch.rand(5, skill) * 2 - 1
            o = torch.randn(5, SPEC.observation)
            with torch.no_grad():
                report.equal(
                    "fast_policy to agree with act",
                    torch.from_numpy(fast(o.numpy(), z.numpy())),
                    model.act(o, z),
                    "read the weights again after they change",
                )


def check_dynamics(build: Callable[..., Dynamics], report: Report) -> None:
    """(state, decision) -> next state."""
    dynamics = build(16, 3)
    latent, decision = torch.randn(6, 16), torch.rand(6, 3) * 2 - 1
    for lead in BATCHES:
        with report.guarded(f"a step with leading dimensions {lead}"):
            state = dynamics.initial(torch.randn(*lead, 16))
            report.shape("initial states", state, (*lead, dynamics.state))
            following = dynamics.step(state, torch.rand(*lead, 3))
            report.shape("next states", following, (*lead, dynamics.state))
            report.shape("latents", dynamics.latent(following), (*lead, dynamics.latent_size))
    with report.guarded("a batch of steps"):

        def roll(module: Any, rows: slice = slice(None)) -> Tensor:
            state: Tensor = module.initial(latent[rows])
            for _ in range(3):
                state = module.step(state, decision[rows])
            return module.latent(state)  # type: ignore[no-any-return]

        single = torch.cat([roll(dynamics, slice(i, i + 1)) for i in range(6)])
        report.equal("a batch to give what its rows give alone", roll(dynamics), single, "no statistics over the batch")
        report.equal("the same steps twice", roll(dynamics), roll(dynamics), "draw only where a generator is given")
        report.every_parameter_gets_gradient("three steps", dynamics, roll(dynamics).square().sum())
        state = dynamics.step(dynamics.initial(latent), decision)
        judged = {"uncertainties": dynamics.uncertainty(state)}
        if dynamics.latent_size == latent.shape[-1]:  # elsewhere the learner has a loss of its own
            judged["errors"] = dynamics.error(state, latent)
        for name, value in judged.items():
            report.shape(name, value, (6,))
            report.expect(bool((value >= 0).all()), f"{name} of 0 or more", "smaller ones", "square or clamp them")
        report.state_round_trip(dynamics, roll)
    with report.guarded("a step with a generator"), report.no_global_randomness("step"):
        state = dynamics.initial(latent)
        drawn = [dynamics.step(state, decision, torch.Generator().manual_seed(seed)) for seed in (3, 3)]
        report.shape("next states", drawn[0], (6, dynamics.state))
        report.equal("the same step for the same seed", drawn[0], drawn[1], "use the generator only")


class _Valley:
    """A planning model with a known optimum: one state number, best decision 0.5 everywhere."""

    decision = 3

    def predict(self, state: Tensor, decision: Tensor) -> tuple[Tensor, Tensor]:
        return state, -((decision - 0.5) ** 2).sum(-1)

    def value(self, state: Tensor, generator: torch.Generator) -> Tensor:
        return torch.zeros(state.shape[:-1])

    def propose(self, state: Tensor, generator: torch.Generator) -> Tensor:
        return torch.rand(*state.shape[:-1], 3, generator=generator) * 2 - 1

    def uncertainty(self, state: Tensor) -> Tensor:
        return torch.zeros(state.shape[:-1])

    def policy(self, state: Tensor) -> Any:
        from smbrl.interfaces import TanhNormal

        return TanhNormal(torch.zeros(*state.shape[:-1], 3), torch.ones(*state.shape[:-1], 3))


def check_planner(build: Callable[..., Planner], report: Report) -> None:
    """Batched, seeded, in range, without a state of its own."""
    planner, model = build(), _Valley()
    settings = {name: copy.copy(value) for name, value in vars(planner).items()}
    device = torch.device("cpu")
    for envs in (1, 4):
        with report.guarded(f"planning for {envs} environments"):
            memory = planner.initial_memory(envs, 3, device)
            report.expect(memory.shape[0] == envs, f"memory with {envs} rows", tuple(memory.shape), "one row per env")
            state = torch.zeros(envs, 1)
            for explore in (True, False):
                with report.no_global_randomness("plan"):
                    seeded = [
                        planner.plan(
                            model,
                            state,
                            memory,
                            step=10**9,
                            explore=explore,
                            generator=torch.Generator().manual_seed(3),
                        )
                        for _ in range(2)
                    ]
                decision, after = seeded[0]
                report.shape("decisions", decision, (envs, 3))
                report.expect(bool((decision.abs() <= 1).all()), "decisions in [-1, 1]", "larger ones", "clip them")
                report.equal("the same plan for the same seed", decision, seeded[1][0], "use the generator only")
                report.expect(
                    after.shape == memory.shape, f"memory of shape {tuple(memory.shape)}", tuple(after.shape), "keep it"
                )
    changed = [name for name, value in vars(planner).items() if not _same(settings.get(name), value)]
    report.expect(
        not changed,
        "a planner to be as before it planned",
        f"changed {', '.join(changed)}",
        "keep what it must remember in the memory tensor, which is checkpointed",
    )


def _same(before: Any, after: Any) -> bool:
    if isinstance(after, Tensor):
        return isinstance(before, Tensor) and torch.equal(before, after)
    simple = (int, float, str, bool, list, dict, tuple, type(None))
    return not isinstance(after, simple) or (type(before) is type(after) and bool(before == after))


Check = Callable[[Any, Report, bool], None]
CHECKS: dict[str, Check] = {
    "encoder": lambda build, report, compiled: check_encoder(build, report),
    "skill_model": lambda build, report, compiled: check_skill_model(build, report),
    "dynamics": lambda build, report, compiled: check_dynamics(build, report),
    "heads": lambda build, report, compiled: check_heads(build, report, BATCHES),
    "planner": lambda build, report, compiled: check_planner(build, report),
    "agent": lambda build, report, compiled: check_agent(build, SPEC, report, compiled=compiled),
    "task": lambda build, report, compiled: check_task(build, report),
}
"""The check of each kind: (builder, report, whether compiled is compared with eager)."""


def check(part: type[Part], build: Callable[..., Any] | None = None, *, compiled: bool = False) -> list[Finding]:
    """Findings about a part, none if it keeps its contract.

    Args:
        part: the class.
        build: what to call in its place, with the contract's positional arguments (default: the class). Use it
            for a part whose constructor needs bindings.
        compiled: also compile its networks and compare with eager; takes a minute or so, and a C++ compiler.
    """
    report, built = Report(part.__name__), False
    with report.no_global_changes():
        check_declaration(part, report)
        if not getattr(part, "__abstractmethods__", ()) and part.kind in CHECKS:
            torch.manual_seed(0)
            with report.guarded("building the part with its contract's arguments"):
                CHECKS[part.kind](build or part, report, compiled)
                built = True
        if built:
            with report.guarded("building the part again"):
                check_networks(part.kind, build or part, SPEC, report, compiled=compiled)
    return list(dict.fromkeys(report.findings))


def assert_conforms(part: type[Part], build: Callable[..., Any] | None = None, *, compiled: bool = False) -> None:
    """Raise AssertionError that lists every finding, one a line."""
    findings = check(part, build, compiled=compiled)
    assert not findings, "\n" + "\n".join(map(str, findings))
