//! Serves viewers over HTTP.
