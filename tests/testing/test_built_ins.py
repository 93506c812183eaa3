"""Every built-in part keeps its contract as third parties must (agents and tasks: see their own tests)."""

from __future__ import annotations

import pytest
from smbrl_plugins.encoders.pixels import PixelEncoder

from smbrl.registry import PartInfo, load_plugins
from smbrl.testing import assert_conforms
from smbrl.testing.declaration import check_declaration
from smbrl.testing.findings import Report

PARTS = load_plugins(third_party=False).of_kind(None)
BUILD = {
    "PixelEncoder": lambda spec, latent: PixelEncoder(spec, latent, shape=(1, spec.observation, 1), channels=(8,)),
}


@pytest.mark.parametrize("info", [p for p in PARTS if p.kind not in ("agent", "task")], ids=lambda info: info.name)
def test_a_built_in_part_keeps_its_contract(info: PartInfo) -> None:
    assert_conforms(info.cls, BUILD.get(info.name))


@pytest.mark.parametrize("info", PARTS, ids=lambda info: info.name)
def test_a_built_in_part_is_documented_and_configurable(info: PartInfo) -> None:
    report = Report(info.name)
    check_declaration(info.cls, report)
    assert not report.findings, "\n".join(map(str, report.findings))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MLPEncoder", "SkillDynamics"])
def test_a_built_in_part_is_the_same_compiled(name: str) -> None:
    info = next(info for info in PARTS if info.name == name)
    assert_conforms(info.cls, compiled=True)
