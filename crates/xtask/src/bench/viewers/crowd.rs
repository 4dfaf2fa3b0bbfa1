//! All viewers of one process, in one thread with epoll.

use std::time::Duration;

use anyhow::Context;
use headworks_testkit::Deadline;
use mio::{Events, Poll, Token};

use super::{
    Protocol,
    viewer::{SOCKETS, Viewer},
};

/// So much is read at once.
const BUFFER: usize = 256 * 1024;

pub(super) struct Crowd {
    protocol: Protocol,
    url: String,
    size: usize,
    /// Every so many looks at all pictures.
    reader_every: usize,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    viewers: Vec<Viewer>,
}

impl Crowd {
    /// Of `size` viewers, about `readers` look at all pictures.
    pub(super) fn new(
        protocol: Protocol,
        url: &str,
        size: usize,
        readers: usize,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            protocol,
            url: url.to_owned(),
            size,
            reader_every: (size / readers).max(1),
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; BUFFER],
            viewers: Vec::new(),
        })
    }

    /// Lets all come, evenly spread over `time`.
    pub(super) fn arrive(&mut self, time: Duration) -> anyhow::Result<()> {
        let start = Deadline::after(time);
        for index in 0..self.size {
            let viewer = Viewer::connect(
                self.protocol,
                &self.url,
                index.is_multiple_of(self.reader_every),
                self.poll.registry(),
                index * SOCKETS,
            );
            self.viewers
                .push(viewer.with_context(|| format!("viewer {index} connects"))?);
            let left = time.mul_f64(1.0 - (index + 1) as f64 / self.size as f64);
            self.read_for(start.left().saturating_sub(left))?;
        }
        Ok(())
    }

    /// Waits until all have seen a key frame, and returns how many have not.
    pub(super) fn wait_for_keys(&mut self, limit: Duration) -> anyhow::Result<usize> {
        let deadline = Deadline::after(limit);
        loop {
            let late = self.viewers.iter().filter(|viewer| viewer.join.is_none());
            let late = late.count();
            if late == 0 || deadline.has_passed() {
                return Ok(late);
            }
            self.read_for(Duration::from_millis(20))?;
        }
    }

    /// Reads whatever comes for this long.
    pub(super) fn read_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let deadline = Deadline::after(time);
        loop {
            self.poll.poll(&mut self.events, Some(deadline.left()))?;
            for event in &self.events {
                let Token(token) = event.token();
                let (index, socket) = (token / SOCKETS, token % SOCKETS);
                let read = self.viewers[index].read(socket, &mut self.buffer);
                read.with_context(|| format!("viewer {index}"))?;
            }
            if deadline.has_passed() {
                return Ok(());
            }
        }
    }

    /// Bytes so far, by viewer.
    pub(super) fn received(&self) -> Vec<u64> {
        self.viewers.iter().map(|viewer| viewer.received).collect()
    }

    /// How long the first key frame took, ns.
    pub(super) fn joins(&self) -> Vec<u64> {
        self.viewers
            .iter()
            .filter_map(|viewer| viewer.join)
            .collect()
    }

    /// How old pictures were that were looked at, ns.
    pub(super) fn delays(&self) -> Vec<u64> {
        let viewers = self.viewers.iter();
        viewers.flat_map(|viewer| viewer.delays.clone()).collect()
    }

    pub(super) fn forget_delays(&mut self) {
        for viewer in &mut self.viewers {
            viewer.delays.clear();
        }
    }
}
