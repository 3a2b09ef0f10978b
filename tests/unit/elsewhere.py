"""The kit's check of what hangs on the order of sets, for many components in one process instead of one in each.

A class of the kit's tests that inherits from `OrderedElsewhere` leaves that check to `same_in_another_order`.
"""

from ftstudio.testing.about_work import _identity, set_order_does_not_matter
from ftstudio.testing.apart import call_apart
from ftstudio.testing.subject import CHECKS
from ftstudio.testing.working import WORKING

(CHECK,) = (check for check in CHECKS if check.make is set_order_does_not_matter)


class OrderedElsewhere:
    """Has no test of its own for that check."""


setattr(OrderedElsewhere, CHECK.method, None)


def same_in_another_order(subjects):
    """Assert that the work of each comes to the same in a process whose sets are in another order."""
    here = [WORKING[subject.kind].identity(subject.result()) for subject in subjects]
    given = [(subject.offer, subject.options, subject.new_run(), subject.arguments()) for subject in subjects]
    there, _ = call_apart(identities, given, hash_seed="1")
    for subject, one, other in zip(subjects, here, there, strict=True):
        assert one == other, subject.who


def identities(given):
    """For `call_apart`: what the work of each comes to."""
    return [_identity(*one) for one in given]
