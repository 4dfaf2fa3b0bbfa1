//! Who published with each key last, and how much it has sent lately.

use headworks_types::{Publisher, StreamKeyId, edge::PUBLISHED};

use super::meter::Meter;

/// The last use of each of at most [`PUBLISHED`] keys, the latest first.
#[derive(Default)]
pub(super) struct Uses(Vec<Use>);

struct Use {
    publisher: Publisher,
    meter: Meter,
}

impl Uses {
    /// Somebody begins to publish. What was sent with the key before goes on counting: who is thrown
    /// out does not begin anew by coming back.
    pub(super) fn begin(&mut self, publisher: Publisher) -> Meter {
        let meter = match self.find(publisher.stream_key_id) {
            Some(at) => self.0.remove(at).meter,
            None => Meter::default(),
        };
        self.0.truncate(PUBLISHED - 1);
        let first = Use {
            publisher,
            meter: meter.clone(),
        };
        self.0.insert(0, first);
        meter
    }

    /// The publisher has left, and this is what it has sent.
    pub(super) fn end(&mut self, key: StreamKeyId, meter: Meter) {
        if let Some(at) = self.find(key) {
            self.0[at].meter = meter;
        }
    }

    /// What was sent with the key when its last publisher left.
    pub(super) fn meter(&mut self, key: StreamKeyId) -> Option<&mut Meter> {
        let at = self.find(key)?;
        Some(&mut self.0[at].meter)
    }

    /// For the controller.
    pub(super) fn publishers(&self) -> Vec<Publisher> {
        self.0.iter().map(|one| one.publisher.clone()).collect()
    }

    fn find(&self, key: StreamKeyId) -> Option<usize> {
        self.0
            .iter()
            .position(|one| one.publisher.stream_key_id == key)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use headworks_types::PublishProtocol;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_the_latest_keys_are_remembered() {
        let publisher = |key: u128| Publisher {
            protocol: PublishProtocol::Rtmp,
            address: ([192, 0, 2, 1], 4000).into(),
            stream_key_id: StreamKeyId::from(Uuid::from_u128(key)),
            since: DateTime::UNIX_EPOCH,
        };
        let mut uses = Uses::default();
        for key in (0..100).chain([99, 90]) {
            uses.begin(publisher(key));
        }
        let keys = uses.publishers().into_iter();
        let keys: Vec<_> = keys.map(|one| one.stream_key_id.uuid().as_u128()).collect();
        let latest = [
            90, 99, 98, 97, 96, 95, 94, 93, 92, 91, 89, 88, 87, 86, 85, 84,
        ];
        assert_eq!(keys, latest);
    }
}
