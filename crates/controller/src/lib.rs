//! The controller: HTTP, use cases, SQL, reconcilers.
