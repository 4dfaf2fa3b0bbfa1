//! One watch's part of the directory.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;

use super::{
    DirectoryFeed,
    cursor::Cursor,
    known::{From, Stage, Told},
};

/// Remembers how far its edge was told.
pub(crate) struct Reader {
    feed: DirectoryFeed,
    at: From,
    /// The reads that had begun when it came: only those after them have seen all that its edge
    /// may have been told by another replica.
    begun: u64,
    /// What is being written for it. It goes on when nobody waits for a line for a moment.
    writing: Option<BoxFuture<'static, anyhow::Result<Arc<Told>>>>,
    /// What it is telling, and which line is next.
    telling: Option<(Arc<Told>, usize)>,
    present: watch::Receiver<Stage>,
    taken: watch::Receiver<u64>,
}

impl Reader {
    pub(super) fn new(feed: DirectoryFeed, cursor: i64) -> Self {
        let at = Cursor::parse(cursor).map_or(From::Nothing, From::Claim);
        let reader = Self {
            at,
            begun: feed.begun(),
            writing: None,
            telling: None,
            present: feed.0.present.subscribe(),
            taken: feed.0.taken.subscribe(),
            feed,
        };
        if !reader.has_news() {
            reader.feed.call();
        }
        reader
    }

    /// Waits for the next line. Nothing is lost when it is dropped.
    pub(crate) async fn line(&mut self) -> Bytes {
        loop {
            if let Some((told, next)) = &mut self.telling {
                if let Some(line) = told.lines.get(*next) {
                    *next += 1;
                    return line.clone();
                }
                self.telling = None;
            }
            match self.written().await {
                Ok(told) => {
                    self.at = From::Stage(told.stage);
                    self.telling = Some((told, 0));
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "the directory cannot be told; it is tried again");
                    self.taken.borrow_and_update();
                    self.taken.changed().await.ok();
                }
            }
        }
    }

    /// Waits until there is something to tell, and it is written.
    async fn written(&mut self) -> anyhow::Result<Arc<Told>> {
        if self.writing.is_none() {
            self.news().await;
        }
        let (feed, at) = (self.feed.clone(), self.at);
        let begin = || async move { feed.tell(at).await }.boxed();
        let written = self.writing.get_or_insert_with(begin).await;
        self.writing = None;
        written
    }

    /// Waits until there is something to tell.
    async fn news(&mut self) {
        loop {
            self.present.borrow_and_update();
            self.taken.borrow_and_update();
            if self.has_news() {
                return;
            }
            let judges = matches!(self.at, From::Claim(_));
            tokio::select! {
                _ = self.present.changed() => {}
                _ = self.taken.changed(), if judges => {}
            }
        }
    }

    fn has_news(&self) -> bool {
        let known = self.feed.known();
        let Some(known) = known.as_ref() else {
            return false;
        };
        match self.at {
            From::Nothing => true,
            // What this replica has not seen yet, another one may have, or nobody in this database.
            From::Claim(cursor) => !known.is_behind(cursor) || *self.taken.borrow() > self.begun,
            From::Stage(stage) => stage != known.stage(),
        }
    }
}
