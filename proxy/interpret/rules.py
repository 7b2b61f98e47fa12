"""The rules of this room for bodies, as one object with a site's limits: :class:`proxy.ports.MultipartRules`."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.interpret.encode import closing, part_opening
from proxy.interpret.multipart import MAX_DICOM_HEADER_BYTES, MAX_PART_HEAD_BYTES, MAX_PARTS, MultipartReader


@dataclass(frozen=True, slots=True, kw_only=True)
class StrictMultipart:
    max_parts: int = MAX_PARTS
    max_part_head_bytes: int = MAX_PART_HEAD_BYTES
    max_dicom_header_bytes: int = MAX_DICOM_HEADER_BYTES

    def reader(self, boundary: str) -> MultipartReader:
        return MultipartReader(
            boundary,
            max_parts=self.max_parts,
            max_part_head_bytes=self.max_part_head_bytes,
            max_dicom_header_bytes=self.max_dicom_header_bytes,
        )

    def opening(self, boundary: str, first: bool) -> bytes:
        return part_opening(boundary, first)

    def closing(self, boundary: str) -> bytes:
        return closing(boundary)
