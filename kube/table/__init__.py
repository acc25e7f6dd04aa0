"""Server-side printing: objects as the rows of a meta.k8s.io Table, as `kubectl get` shows them.

Column names, types, formats and priorities and the contents of cells follow upstream's printers
(`pkg/printers/internalversion`); each module holds the types of one area as `LAYOUTS`, keyed by
storage resource. `printers` finds a type's printer, `documents` makes Tables of rows, `partial`
makes PartialObjectMetadata, `custom` prints custom resources by their declared columns.
Printers see objects in their storage version, decoded and defaulted, and never change them.
"""
