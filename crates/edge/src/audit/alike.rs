//! Counts refusals that are alike.
//!
//! The first is told at once. Those that follow within a second are one more record, when the
//! second is over. However many strangers there are, and whatever they make up, they fill no more
//! than some tens of records a second.

use std::{collections::HashMap, net::IpAddr};

use headworks_bootstrap::subnet;
use headworks_types::{
    AuditResult, CameraId,
    edge::{AuditAction, AuditEntry},
};

/// So many different ones are told apart; what is beyond is counted in one record for each action.
pub(super) const MOST: usize = 32;

/// What is alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    action: AuditAction,
    subject: Option<String>,
    reason: Option<String>,
    protocol: Option<String>,
    camera: Option<CameraId>,
    /// An IPv4 address, or a network of IPv6.
    address: Option<IpAddr>,
}

/// The refusals of the last second.
#[derive(Default)]
pub(super) struct Alike(HashMap<Key, Option<AuditEntry>>);

impl Alike {
    /// The entry, if it is to be told now.
    pub(super) fn sift(&mut self, mut entry: AuditEntry) -> Option<AuditEntry> {
        if entry.result != AuditResult::Refused {
            return Some(entry);
        }
        let mut key = Key {
            action: entry.action,
            subject: entry.subject.clone(),
            reason: entry.reason.clone(),
            protocol: entry.protocol.clone(),
            camera: entry.camera_id,
            address: entry.address.map(subnet),
        };
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            key = Key {
                action: key.action,
                subject: None,
                reason: None,
                protocol: None,
                camera: None,
                address: None,
            };
            entry = AuditEntry {
                subject: None,
                reason: None,
                protocol: None,
                camera_id: None,
                address: None,
                ..entry
            };
        }
        match self.0.get_mut(&key) {
            None => {
                self.0.insert(key, None);
                Some(entry)
            }
            Some(Some(counted)) => {
                counted.count += entry.count;
                None
            }
            Some(more) => {
                *more = Some(entry);
                None
            }
        }
    }

    /// The second is over.
    pub(super) fn tell(&mut self) -> Vec<AuditEntry> {
        // Who goes on is counted on.
        self.0.retain(|_, more| more.is_some());
        self.0.values_mut().filter_map(Option::take).collect()
    }
}
