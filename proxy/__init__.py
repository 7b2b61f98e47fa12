"""Dicomward: a zero-trust policy enforcement proxy in front of an unmodified DICOMweb archive.

Start reading at :mod:`proxy.journey`: it is the life of one request, numbered, and every
package beside it is a room that one of those numbers enters.
"""

__version__ = "0.1.0"
