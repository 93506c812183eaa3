"""What a conformance check found, and the small comparisons that all checks share."""

from __future__ import annotations

import copy
import os
import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
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
            *_, last = traceback.extract_tb(error.__traceback__)
            found = f"{type(error).__name__}: {first} ({Path(last.filename).name}:{last.lineno})"
            self.findings.append(Finding(self.part, f"{what} to work", found, "see the contract's docstring"))

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
        wild = [n for n, p in module.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
        self.expect(not wild, "finite gradients", f"nan or inf in {', '.join(wild[:3])}", "bound what is divided by")
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
        """All global generators are as before: randomness comes from the generator that was passed."""
        before = _generators()
        yield
        after = _generators()
        used = [name for name in before if before[name] != after[name]]
        self.expect(
            not used,
            f"{what} to draw only from the generator it is given",
            f"{' and '.join(used)} was used",
            "pass generator= to every sampling call",
        )

    @contextmanager
    def no_global_changes(self) -> Iterator[None]:
        """What belongs to the whole process is as before; where it is not, it is put back."""
        before = _process()
        try:
            yield
        finally:
            after = _process()
            for name, (value, put_back) in before.items():
                now = after[name][0]
                if now != value:
                    if isinstance(value, dict):
                        now = ", ".join(sorted(k for k in {*now, *value} if now.get(k) != value.get(k)))
                    self.expect(
                        False,
                        f"{name} as before the checks",
                        f"{now} changed" if isinstance(value, dict) else str(now),
                        "leave to the run what belongs to the whole process",
                    )
                    put_back()


def _generators() -> dict[str, Any]:
    kind, keys, position, *rest = np.random.get_state()  # noqa: NPY002  # the legacy one is what is watched
    return {
        "torch's global generator": torch.get_rng_state().numpy().tobytes(),
        "numpy's global generator": (kind, np.asarray(keys).tobytes(), position, *rest),
        "the generator of random": random.getstate(),
    }


def _environment() -> dict[str, str]:
    """Without what torch and its libraries set for themselves when they are first used."""
    theirs = ("TORCH", "TRITON", "KMP_", "PYTORCH", "CUDA")
    return {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith(theirs)}


def _process() -> dict[str, tuple[Any, Callable[[], Any]]]:
    dtype, threads, grad = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    folder, environment = os.getcwd(), _environment()
    certain = torch.are_deterministic_algorithms_enabled()

    def restore_environment() -> None:
        for name in _environment():
            del os.environ[name]
        os.environ.update(environment)

    return {
        "torch's default dtype": (dtype, lambda: torch.set_default_dtype(dtype)),
        "torch's number of threads": (threads, lambda: torch.set_num_threads(threads)),
        "whether torch computes gradients": (grad, lambda: torch.set_grad_enabled(grad)),
        "torch's choice of deterministic algorithms": (certain, lambda: torch.use_deterministic_algorithms(certain)),
        "the working folder": (folder, lambda: os.chdir(folder)),
        "the environment variables": (environment, restore_environment),
    }
