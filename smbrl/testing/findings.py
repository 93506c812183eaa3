"""What a conformance check found, and the small comparisons that all checks share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Finding:
    """One broken clause of a contract."""

    part: str
    expected: str
    found: str
    mend: str

    def __str__(self) -> str:
        return f"{self.part}: expected {self.expected}; found {self.found}; {self.mend}"


@dataclass
class Report:
    """Collects findings about one part; a check that raises becomes a finding too."""

    part: str
    findings: list[Finding] = field(default_factory=list)

    def expect(self, holds: bool, expected: str, found: object, mend: str) -> bool:
        """Note a finding unless ``holds``."""
        if not holds:
            self.findings.append(Finding(self.part, expected, str(found), mend))
        return holds

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """An exception inside is a finding, not the end of the check."""
        try:
            yield
        except Exception as error:
            first = str(error).split("\n")[0]
            self.findings.append(
                Finding(
                    self.part, f"{what} to work", f"{type(error).__name__}: {first}", "see the contract's docstring"
                )
            )

    def shape(self, what: str, value: Tensor, shape: tuple[int, ...]) -> bool:
        """``value`` has ``shape`` and holds finite float32 numbers."""
        right = self.expect(
            tuple(value.shape) == shape,
            f"{what} of shape {shape}",
            tuple(value.shape),
            "work on the last dimension only and keep all leading ones",
        )
        self.expect(
            value.dtype == torch.float32,
            f"{what} as float32",
            value.dtype,
            "cast losses, distributions and decisions to float32",
        )
        self.expect(bool(torch.isfinite(value).all()), f"finite {what}", "nan or inf", "bound the output")
        return right

    def equal(self, what: str, left: Tensor, right: Tensor, mend: str, tolerance: float = 1e-5) -> None:
        """The two agree element-wise."""
        gap = float((left.detach() - right.detach()).abs().max()) if left.shape == right.shape else float("inf")
        self.expect(gap <= tolerance, f"{what} (within {tolerance:g})", f"a difference of {gap:.3g}", mend)

    def every_parameter_gets_gradient(self, what: str, module: nn.Module, loss: Tensor) -> None:
        """Backward through ``loss`` leaves a gradient in every trainable parameter."""
        module.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        without = [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]
        self.expect(
            not without,
            f"a gradient in every parameter from {what}",
            f"none in {', '.join(without[:3])}{' ...' if len(without) > 3 else ''}",
            "use the parameter, or register it as a buffer, or set requires_grad to False",
        )
        module.zero_grad(set_to_none=True)

    def state_round_trip(self, module: nn.Module, output: Callable[[nn.Module], Tensor]) -> None:
        """A perturbed copy that loads the state dict gives the same output again."""
        other = copy.deepcopy(module)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(0.1)
        other.load_state_dict(module.state_dict())
        with torch.no_grad():
            self.equal(
                "the same output after load_state_dict(state_dict())",
                output(module),
                output(other),
                "keep everything the output depends on in parameters or buffers",
            )

    @contextmanager
    def no_global_randomness(self, what: str) -> Iterator[None]:
        """The default generator is as before: randomness comes from the generator that was passed."""
        before = torch.get_rng_state()
        yield
        self.expect(
            torch.equal(before, torch.get_rng_state()),
            f"{what} to draw only from the generator it is given",
            "torch's global generator was used",
            "pass generator= to every sampling call",
        )
