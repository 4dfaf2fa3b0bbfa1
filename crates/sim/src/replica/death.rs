//! Declares nodes dead whose lease has run out, and takes back those that return.

use std::time::{Duration, Instant};

use headworks_duty::Health;

use super::{Answer, Caller, Effect, Failed, Input, Query, Replica};

const PERIOD: Duration = Duration::from_millis(500);

/// What a turn remembers.
#[derive(Debug, Default)]
pub(super) struct Death {
    health: Health,
    begun: Option<Instant>,
}

impl Replica {
    /// A turn begins: list, decide, act.
    pub(super) fn death_turn(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.death.begun = Some(now);
        let query = if self.death.health.was_lost() && self.rules.extends_leases {
            Query::Extend(self.rules.lease)
        } else {
            Query::Census
        };
        self.call(Caller::Death, query, self.rules.lease / 2, out);
    }

    pub(super) fn death_answered(
        &mut self,
        now: Instant,
        answer: Result<Answer, Failed>,
        out: &mut Vec<Effect>,
    ) {
        let tolerance = self.rules.lease / 2;
        let begun = self.death.begun.unwrap_or(now);
        let died = match answer {
            // Both statements of the list have one deadline.
            Ok(Answer::Done) if now - begun < tolerance => {
                self.death.health.extended();
                let left = tolerance - (now - begun);
                self.call(Caller::Death, Query::Census, left, out);
                return;
            }
            Ok(Answer::Census(census)) => {
                let healthy = self
                    .death
                    .health
                    .answered(now, &census, self.rules.lease)
                    .map(|healthy| healthy || !self.rules.awaits_health);
                match healthy.map(|healthy| census.decide(healthy)) {
                    Ok(decided) if decided.die.is_empty() && decided.return_.is_empty() => Some(0),
                    Ok(decided) => {
                        let query = Query::Die(decided.die, decided.return_);
                        self.call(Caller::Death, query, tolerance, out);
                        return;
                    }
                    Err(_) => None,
                }
            }
            Ok(Answer::Died(changed)) => Some(changed),
            _ => None,
        };
        match died {
            None => self.death.health = Health::lost(),
            Some(0) => {}
            Some(_) => self.plan_called(out),
        }
        out.push(Effect::After(PERIOD, Input::DeathDue));
    }
}
