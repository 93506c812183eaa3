"""The conformance kit: checks that a part keeps its contract.

For the author of a plugin::

    from smbrl.testing import assert_conforms

    def test_my_dynamics_keeps_the_contract():
        assert_conforms(MyDynamics)

``check`` returns the findings instead of raising. Every finding says what was expected, what came, and how to
mend it. Parts whose constructor needs other parts are checked as gin builds them: parse your gin file first and
pass the configured class.
"""

from smbrl.testing.conformance import CHECKS, assert_conforms, check
from smbrl.testing.findings import Finding

__all__ = ["CHECKS", "Finding", "assert_conforms", "check"]
