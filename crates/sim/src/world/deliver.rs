//! What processes send, by the network.

use std::time::Duration;

use headworks_types::edge::WatchMessage;
use rand::RngExt as _;

use super::{Event, Stream, World};
use crate::{
    edge::{self, Refusal},
    network::Place,
    replica::{self, Peer, Query},
};

/// How long a connection that does not come about is waited for.
const CONNECT: Duration = Duration::from_secs(5);
/// How long TCP takes to send something again that got lost.
const AGAIN: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn edge_effects(&mut self, index: usize, effects: Vec<edge::Effect>) {
        for effect in effects {
            match effect {
                edge::Effect::After(wait, input) => {
                    let wait = self.edges[index].clock.truly(wait);
                    self.push(self.now + wait, Event::Edge(index, input));
                }
                edge::Effect::Renew(number, renewal, reports) => {
                    let goodbye = renewal.goodbye;
                    self.say(|| {
                        let what = if goodbye { "says goodbye" } else { "renews" };
                        let at = renewal.revision;
                        format!("{} {what} at revision {at}", self.edge_name(index))
                    });
                    let input = replica::Input::Renew((index, number), renewal, reports);
                    self.send_renewal(index, number, input);
                }
                edge::Effect::Watch(number, revision) => self.watch(index, number, revision),
                edge::Effect::EndWatch(number) => self.hang_up((index, number)),
                edge::Effect::Save(desired) => {
                    self.disks[index].writing = Some(desired);
                    let place = self.edges[index].place;
                    let wait = Duration::from_micros(self.random.random_range(100..20_000));
                    let at = self.now + wait + self.slow_disks[place];
                    self.push(at, Event::Edge(index, edge::Input::Saved));
                }
                edge::Effect::Exit => self.kill(index),
            }
        }
    }

    /// A load balancer knows which controllers run, but not how they are.
    fn balance(&mut self) -> usize {
        let all = 0..self.size.controllers;
        let live: Vec<_> = all
            .filter(|one| self.controller_at(*one).is_some())
            .collect();
        match live[..] {
            [] => 0,
            _ => live[self.random.random_range(0..live.len())],
        }
    }

    /// A renewal, to any controller; it may come twice.
    fn send_renewal(&mut self, index: usize, number: u64, input: replica::Input) {
        let edge = Place::Edge(self.edges[index].place);
        let place = self.balance();
        let controller = Place::Controller(place);
        let Some(process) = self.controller_at(place) else {
            // Nobody listens anywhere.
            if let Some(delay) = self.network.delay(controller, edge, &mut self.random) {
                let refused = edge::Input::Granted(number, Err(Refusal::Unavailable));
                self.push(self.now + delay, Event::Edge(index, refused));
            }
            return;
        };
        if self.network.happens(&mut self.random)
            && let Some(delay) = self.network.delay(edge, controller, &mut self.random)
        {
            let twice = Event::Controller(process, input.clone());
            self.push(self.now + delay, twice);
        }
        if let Some(delay) = self.network.delay(edge, controller, &mut self.random) {
            self.push(self.now + delay, Event::Controller(process, input));
        }
    }

    fn watch(&mut self, index: usize, number: u64, revision: i64) {
        let edge = Place::Edge(self.edges[index].place);
        let place = self.balance();
        let controller = Place::Controller(place);
        let there = self.network.delay(edge, controller, &mut self.random);
        let (Some(delay), Some(process)) = (there, self.controller_at(place)) else {
            let ended = edge::Input::WatchEnded(number);
            let refused = self.network.delay(controller, edge, &mut self.random);
            let wait = there.and(refused).unwrap_or(CONNECT);
            self.push(self.now + wait, Event::Edge(index, ended));
            return;
        };
        let node = self.edges[index].machine.node;
        let stream = Stream {
            controller: process,
            next: self.now,
            held: Vec::new(),
        };
        self.streams.insert((index, number), stream);
        let input = replica::Input::Watch((index, number), node, revision);
        self.push(self.now + delay, Event::Controller(process, input));
    }

    /// The edge ends a watch, or has died.
    pub(super) fn hang_up(&mut self, peer: Peer) {
        let Some(stream) = self.streams.remove(&peer) else {
            return;
        };
        let edge = Place::Edge(self.edges[peer.0].place);
        let controller = Place::Controller(self.controllers[stream.controller].place);
        if !self.network.is_cut(edge, controller) {
            let at = self.now.max(stream.next) + self.network.latency(&mut self.random);
            let ended = replica::Input::EndWatch(peer);
            self.push(at, Event::Controller(stream.controller, ended));
        }
    }

    pub(super) fn controller_effects(&mut self, index: usize, effects: Vec<replica::Effect>) {
        let place = Place::Controller(self.controllers[index].place);
        for effect in effects {
            match effect {
                replica::Effect::After(wait, input) => {
                    let wait = self.controllers[index].clock.truly(wait);
                    self.push(self.now + wait, Event::Controller(index, input));
                }
                replica::Effect::Call(call, query, deadline) => {
                    let until = self.now + self.controllers[index].clock.truly(deadline);
                    let delay = self.network.delay(place, Place::Database, &mut self.random);
                    if matches!(query, Query::Assign(..))
                        && let Some(long) = self.ambush.take()
                    {
                        self.pause_controller(index, long);
                        let sent = self.now + long;
                        let call =
                            Event::Call(index, call, Box::new(query), sent + until - self.now);
                        self.push(sent, call);
                        continue;
                    }
                    let event = match delay {
                        Some(delay) if self.now + delay < until => {
                            (delay, Event::Call(index, call, Box::new(query), until))
                        }
                        _ => {
                            let failed = replica::Input::Answered(call, Err(replica::Failed));
                            (until - self.now, Event::Controller(index, failed))
                        }
                    };
                    self.push(self.now + event.0, event.1);
                }
                replica::Effect::Grant((edge, number), granted) => {
                    let to = Place::Edge(self.edges[edge].place);
                    if let Some(delay) = self.network.delay(place, to, &mut self.random) {
                        let granted = edge::Input::Granted(number, granted);
                        self.push(self.now + delay, Event::Edge(edge, granted));
                    }
                }
                replica::Effect::Line(peer, message) => self.line(peer, message),
                replica::Effect::EndWatch(peer) => self.end_stream(peer),
            }
        }
    }

    /// A line of a watch: in order, or held until something gets through.
    pub(super) fn line(&mut self, peer: Peer, message: WatchMessage) {
        let Some(stream) = self.streams.get_mut(&peer) else {
            return;
        };
        let edge = Place::Edge(self.edges[peer.0].place);
        let controller = Place::Controller(self.controllers[stream.controller].place);
        if self.network.is_cut(controller, edge) {
            stream.held.push(message);
            return;
        }
        let mut delay = self.network.latency(&mut self.random);
        if self.network.happens(&mut self.random) {
            delay += AGAIN.mul_f64(self.random.random_range(0.1..1.0));
        }
        stream.next = stream.next.max(self.now + delay);
        let at = stream.next;
        let line = edge::Input::Watched(peer.1, message);
        self.push(at, Event::Edge(peer.0, line));
    }

    /// The controller ends a watch, or has died.
    pub(super) fn end_stream(&mut self, peer: Peer) {
        let Some(stream) = self.streams.remove(&peer) else {
            return;
        };
        let edge = Place::Edge(self.edges[peer.0].place);
        let controller = Place::Controller(self.controllers[stream.controller].place);
        // Who hears nothing finds out when nothing comes for long.
        if !self.network.is_cut(controller, edge) {
            let at = self.now.max(stream.next) + self.network.latency(&mut self.random);
            let ended = edge::Input::WatchEnded(peer.1);
            self.push(at, Event::Edge(peer.0, ended));
        }
    }

    /// Something gets through again: what was held is sent, or the connection is found broken.
    pub(super) fn release_streams(&mut self) {
        let held: Vec<_> = self
            .streams
            .iter_mut()
            .filter(|(_, stream)| !stream.held.is_empty())
            .map(|(peer, stream)| (*peer, std::mem::take(&mut stream.held)))
            .collect();
        for (peer, held) in held {
            if self.random.random_bool(0.5) {
                for message in held {
                    self.line(peer, message);
                }
            } else {
                self.end_stream(peer);
            }
        }
    }
}
