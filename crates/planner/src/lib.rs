//! Pure placement: which node does which work, and why.
