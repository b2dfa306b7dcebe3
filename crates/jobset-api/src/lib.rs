//! The JobSet API: types, names, labels, conditions, defaulting, validation, CRD, feature gates.
