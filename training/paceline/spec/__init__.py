"""The contract between rooms and with infrastructure: errors, documents, events, manifests, names.

Only the standard library, pydantic and PyYAML may be imported here.
"""
