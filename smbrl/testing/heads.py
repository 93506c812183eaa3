"""The check of the heads contract."""

from __future__ import annotations

from collections.abc import Callable

import torch

from smbrl.interfaces import Heads
from smbrl.testing.findings import Report

LATENT, DECISION, CRITICS = 16, 3, 5


def check_heads(build: Callable[..., Heads], report: Report, batches: tuple[tuple[int, ...], ...]) -> None:
    """Policy, reward and critics, and one value of several."""
    heads = build(LATENT, DECISION, 32, 2, CRITICS)
    policy, scalars, termination = heads.policy(), heads.scalars(), heads.termination()
    report.expect(scalars.heads == 1 + CRITICS, f"{1 + CRITICS} scalars", scalars.heads, "reward first, then critics")
    for lead in batches:
        with report.guarded(f"reading latents with leading dimensions {lead}"):
            latent, decision = torch.randn(*lead, LATENT), torch.rand(*lead, DECISION) * 2 - 1
            found = policy(latent)
            report.shape("policy means", found.mean, (*lead, DECISION))
            report.shape("policy deviations", found.std, (*lead, DECISION))
            report.expect(bool((found.std > 0).all()), "positive deviations", "some <= 0", "use exp or softplus")
            report.shape("scalars", scalars(latent, decision), (1 + CRITICS, *lead))
            values = scalars(latent, decision, heads=slice(1, None))
            report.shape("the critics' values", values, (CRITICS, *lead))
            report.equal("critics picked by a slice", values, scalars(latent, decision)[1:], "honour heads=")
            error = scalars.error(scalars.raw(latent, decision), torch.randn(lead))
            report.shape("errors", error, (1 + CRITICS, *lead))
            for name, combine in (("pessimistic", heads.pessimistic), ("expected", heads.expected)):
                with report.no_global_randomness(name):
                    one, same = (combine(values, torch.Generator().manual_seed(0)) for _ in range(2))
                report.shape(f"{name} values", one, lead)
                report.equal(f"the same {name} value for the same seed", one, same, "use the generator only")
                inside = (one >= values.amin(0) - 1e-5) & (one <= values.amax(0) + 1e-5)
                report.expect(bool(inside.all()), f"{name} values among the critics'", "others", "combine them")
            if termination is not None:
                report.shape("logits of the end", termination(latent), lead)
    with report.guarded("learning"):
        latent, decision = torch.randn(6, LATENT), torch.rand(6, DECISION)
        with report.no_global_randomness("raw"):
            raw = scalars.raw(latent, decision, generator=torch.Generator().manual_seed(0))
        report.every_parameter_gets_gradient("the errors", scalars, scalars.error(raw, torch.randn(6)).sum())
        report.state_round_trip(scalars, lambda module: module(latent, decision))
        report.state_round_trip(policy, lambda module: module(latent).mode)
