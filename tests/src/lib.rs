//! The end-to-end tests are in `it/`; `cargo xtask test` runs them.
