//! What each program does first: config, telemetry, signals, task tracking, clock.
