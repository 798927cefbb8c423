"""Values: classes of named fields, as dataclasses are, made and copied by msgspec in a fraction of the time.

A class of this kind costs a tenth of a dataclass when it is imported, which every command waits for, and so does an
instance (docs/decisions/0027-values.md). Options are dataclasses still: `config` asks those for their fields.
"""

from msgspec import Struct, field
from msgspec.structs import asdict, replace

__all__ = ["Struct", "asdict", "field", "replace"]
