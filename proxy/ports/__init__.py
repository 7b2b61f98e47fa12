"""What the journey needs of each room, as Protocols. Rooms implement them, simulators in tests implement them."""

from proxy.ports.archive import Archive, ArchiveAnswer
from proxy.ports.asking import Counting, Identifier, Interpreter, PolicyEngine, PolicyShelf, PostureDesk, PostureSource
from proxy.ports.fulfilling import (
    Dataset,
    Fulfilment,
    MultipartRules,
    PartEvent,
    PartReader,
    Recoder,
    RowShaper,
    StoreReport,
)
from proxy.ports.peer import Body, Clock, Exchange
from proxy.ports.recording import Lookup, Observer, Recorder, SpoolReader, Standing, Suppressor

__all__ = [
    "Archive",
    "ArchiveAnswer",
    "Body",
    "Clock",
    "Counting",
    "Dataset",
    "Exchange",
    "Fulfilment",
    "Identifier",
    "Interpreter",
    "Lookup",
    "MultipartRules",
    "Observer",
    "PartEvent",
    "PartReader",
    "PolicyEngine",
    "PolicyShelf",
    "PostureDesk",
    "PostureSource",
    "Recoder",
    "Recorder",
    "RowShaper",
    "SpoolReader",
    "Standing",
    "StoreReport",
    "Suppressor",
]
