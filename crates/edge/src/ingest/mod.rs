//! Pulls cameras.
