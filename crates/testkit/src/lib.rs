//! Dev only: throw-away PostgreSQL, real cameras and players.
