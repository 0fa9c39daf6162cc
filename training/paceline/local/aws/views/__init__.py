"""Service APIs over what the overlay remembers, so that the AWS SDKs see what a stack made. Reading only.

One file per service; each has `install(store)`.
"""
