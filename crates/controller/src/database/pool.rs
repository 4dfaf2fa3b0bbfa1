//! The connections to the database, straight or through a pooler.
//!
//! Whoever reads takes [`Pool::acquire`], whoever writes [`Pool::begin`] and commits: outside a
//! transaction nothing can be written, whichever way leads to the database. So what works here
//! works behind a pooler.
//!
//! A pooler in transaction mode (`PgBouncer`) gives each transaction another session of PostgreSQL.
//! Three things follow. Statements are prepared under names, and the next session does not know
//! them; so behind a pooler reading is a transaction, too, each begins by forgetting what somebody
//! else has left prepared in its session, and we keep none ourselves. What limits a connection is
//! set for each transaction. And nobody can listen.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{
    PgConnection, PgPool, Postgres, Transaction, pool::PoolConnection, postgres::PgListener,
};
use tokio::time::timeout;

/// What a transaction behind a pooler begins with: the session is of somebody else before and after.
/// The limits are those of [`super::LIMITS`].
macro_rules! pooled_transaction {
    () => {
        "; DEALLOCATE ALL;
         SET LOCAL statement_timeout = '30s';
         SET LOCAL lock_timeout = '10s';
         SET LOCAL idle_in_transaction_session_timeout = '30s';
         SET LOCAL jit = off"
    };
}

/// How long a request waits for a connection, and a transaction for its begin, before it is told
/// to try again.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// What leads to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Each connection is a session of PostgreSQL.
    Straight,
    /// Each transaction is in another session.
    Pooled,
}

impl Way {
    /// Begins a transaction that may write.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Straight => "BEGIN READ WRITE",
            Self::Pooled => concat!("BEGIN READ WRITE", pooled_transaction!()),
        }
    }

    /// Begins one that sees the database as it is at its first statement.
    fn snapshot(self) -> &'static str {
        match self {
            Self::Straight => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            Self::Pooled => concat!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
                pooled_transaction!()
            ),
        }
    }
}

/// Connections to the database. Clones are cheap, and share them.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    connections: PgPool,
    way: Way,
}

impl Pool {
    pub(super) fn new(connections: PgPool, way: Way) -> Self {
        Self { connections, way }
    }

    /// A connection to read by.
    pub(crate) async fn acquire(&self) -> sqlx::Result<Reader> {
        match self.way {
            Way::Straight => self.connections.acquire().await.map(Reader::Connection),
            Way::Pooled => {
                const READ: &str = concat!("BEGIN READ ONLY", pooled_transaction!());
                self.transaction(READ).await.map(Reader::Transaction)
            }
        }
    }

    /// A transaction to write in. It comes to nothing unless it is committed.
    pub(crate) async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.transaction(self.way.begin()).await
    }

    /// A transaction that reads, and sees the database as it is at its first statement.
    pub(crate) async fn snapshot(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.transaction(self.way.snapshot()).await
    }

    async fn transaction(
        &self,
        begin: &'static str,
    ) -> sqlx::Result<Transaction<'static, Postgres>> {
        timeout(ACQUIRE_TIMEOUT, self.connections.begin_with(begin))
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Hears what is notified on `channel`; none where nobody can listen.
    pub(crate) async fn listen(&self, channel: &str) -> sqlx::Result<Option<PgListener>> {
        if self.way == Way::Pooled {
            return Ok(None);
        }
        let mut listener = PgListener::connect_with(&self.connections).await?;
        listener.listen(channel).await?;
        Ok(Some(listener))
    }

    /// True if [`Pool::listen`] can be of use.
    pub(crate) fn can_listen(&self) -> bool {
        self.way == Way::Straight
    }

    /// Closes all connections when they are not used any more.
    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }
}

/// As tests have it: every connection may write.
#[cfg(test)]
impl From<PgPool> for Pool {
    fn from(connections: PgPool) -> Self {
        Self::new(connections, Way::Straight)
    }
}

/// A connection that reads. Each of its statements sees what is committed by then.
#[derive(Debug)]
pub(crate) enum Reader {
    Connection(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Deref for Reader {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Connection(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Connection(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }
}
