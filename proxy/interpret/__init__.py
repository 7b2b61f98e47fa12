"""Step 3 of the journey, *interpret*: raw request in, one value of a closed grammar out, or a refusal.

Enters: an :class:`~proxy.model.Arrival`, whose target and headers are bytes of an enemy; later the chunks of a
store's body. Leaves: a :class:`~proxy.model.DicomRequest`, a :class:`~proxy.model.Capabilities` or a
:class:`~proxy.model.Refusal`, and for a body the :class:`PartEvent` of each DICOM part. ``upstream``, ``target_of``
and ``headers_of`` build what the archive is sent from the value alone, so nothing that was not understood can survive.

Must not know: sockets, files, clocks, who asks, what policy says. Everything here is a pure function, or a parser
that is fed.

Threats: two readers that disagree. The archive decodes ``%2e``, turns ``\\`` into ``/``, strips dots, collapses
``//``, takes the last of two parameters, honours ``_method``, prefers the second ``boundary``, accepts bare LF and
the second of two equal elements. Each of these is a way to have one thing judged and another one done, so whatever
two readers could read differently is refused, never repaired. Also: time and memory that grow faster than the
input. Lengths, counts and depths are bounded, no regular expression backtracks, no parser recurses.
The grammar in words is ``docs/grammar.md``.
"""

from proxy.interpret.capabilities import capabilities
from proxy.interpret.dicom_header import PartUnreadableError
from proxy.interpret.encode import closing, part_opening
from proxy.interpret.grammar import interpret
from proxy.interpret.multipart import MultipartReader, PartEvent
from proxy.interpret.rules import StrictMultipart
from proxy.interpret.serialize import headers_of, target_of, upstream

__all__ = [
    "MultipartReader",
    "PartEvent",
    "PartUnreadableError",
    "StrictMultipart",
    "capabilities",
    "closing",
    "headers_of",
    "interpret",
    "part_opening",
    "target_of",
    "upstream",
]
