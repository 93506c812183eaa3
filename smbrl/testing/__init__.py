"""The conformance kit: checks that a part keeps its contract.

For the author of a plugin::

    from smbrl.testing import assert_conforms

    def test_my_dynamics_keeps_the_contract():
        assert_conforms(MyDynamics)

``check`` returns the findings instead of raising. Every finding says what was expected, what came, and how to
mend it: shapes, dtypes, devices, batching, gradients, seeds, checkpoints, hidden state, precision, documentation.
Parts whose constructor needs other parts are checked as gin builds them: pass a ``build`` that does. ``tiny_run``
trains in seconds with a plugin's gin files. On the command line: ``smbrl plugin check PACKAGE``.
"""

from smbrl.testing.conformance import CHECKS, assert_conforms, check
from smbrl.testing.findings import Finding
from smbrl.testing.trying import tiny_run

__all__ = ["CHECKS", "Finding", "assert_conforms", "check", "tiny_run"]
