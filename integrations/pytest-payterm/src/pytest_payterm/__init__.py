"""A payment terminal and its acquirer for tests. See docs/testing.md."""

from .acquirer import Acquirer, MishapError
from .customer import Customer
from .stack import NotReady, Payterm

__all__ = ["Acquirer", "Customer", "MishapError", "NotReady", "Payterm"]
