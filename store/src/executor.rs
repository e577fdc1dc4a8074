//! How a statement reaches PostgreSQL. Behind a pooler that gives each transaction another session
//! (docs/adr/0031), a statement without a transaction gets one of its own, and none is given a name: between
//! its parsing and its execution the session must not change, and a name would be left behind in it.

use std::ops::{Deref, DerefMut};

use futures_util::{
    TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream, StreamExt as _},
};
use sqlx::{
    Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr, Transaction,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{Db, Result, pool::Pooler};

type Fetched = sqlx::Result<Either<PgQueryResult, PgRow>>;

/// A transaction. Rolled back if it is dropped.
#[derive(Debug)]
pub struct Tx(Connection);

/// The session of a transaction: what executes its statements.
#[derive(Debug)]
pub struct Connection {
    tx: Transaction<'static, Postgres>,
    pooler: Pooler,
}

/// The transaction of a report, and its place among the few that run at once.
#[derive(Debug)]
pub(crate) struct Report {
    /// None only while it is dropped.
    tx: Option<(Tx, OwnedSemaphorePermit)>,
}

impl Tx {
    pub(crate) fn new(tx: Transaction<'static, Postgres>, pooler: Pooler) -> Self {
        Self(Connection { tx, pooler })
    }

    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.0.tx.commit().await?)
    }

    /// The session itself, for what names its statements.
    pub(crate) fn session(&mut self) -> &mut PgConnection {
        &mut self.0.tx
    }
}

impl Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Report {
    pub(crate) fn new(tx: Tx, place: OwnedSemaphorePermit) -> Self {
        Self { tx: Some((tx, place)) }
    }
}

/// The place is free once the connection is: a statement that nobody waits for any more runs to its end.
impl Drop for Report {
    fn drop(&mut self) {
        if let (Some((tx, place)), Ok(runtime)) = (self.tx.take(), tokio::runtime::Handle::try_current()) {
            #[expect(clippy::disallowed_methods, reason = "bounded by the place that the report has")]
            runtime.spawn(async move {
                let _ = tx.0.tx.rollback().await; // it only read
                drop(place);
            });
        }
    }
}

const ALIVE: &str = "it has its transaction until it is dropped";

impl Deref for Report {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.tx.as_ref().expect(ALIVE).0
    }
}

impl DerefMut for Report {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.tx.as_mut().expect(ALIVE).0
    }
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Fetched>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.pooler {
            Pooler::Session => self.tx.fetch_many(query),
            Pooler::Transaction => self.tx.fetch_many(Unnamed(query)),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.pooler {
            Pooler::Session => self.tx.fetch_optional(query),
            Pooler::Transaction => self.tx.fetch_optional(Unnamed(query)),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        self.tx.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        self.tx.describe(sql)
    }
}

impl<'c> Executor<'c> for &'c Db {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Fetched>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.pooler {
            Pooler::Session => self.pool.fetch_many(query),
            Pooler::Transaction => {
                let fetched = stream::once(alone(self, query));
                fetched.map_ok(|all| stream::iter(all.into_iter().map(Ok))).try_flatten().boxed()
            }
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.pooler {
            Pooler::Session => self.pool.fetch_optional(query),
            Pooler::Transaction => Box::pin(async move {
                let mut tx = begin(self).await?;
                let row = tx.fetch_optional(Unnamed(query)).await?;
                tx.commit().await?;
                Ok(row)
            }),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        self.pool.describe(sql)
    }
}

/// Runs one statement in a transaction of its own; it is committed before anything is given.
async fn alone<'q, E: Execute<'q, Postgres> + 'q>(
    db: &Db,
    query: E,
) -> sqlx::Result<Vec<Either<PgQueryResult, PgRow>>> {
    let mut tx = begin(db).await?;
    let fetched = tx.fetch_many(Unnamed(query)).try_collect().await?;
    tx.commit().await?;
    Ok(fetched)
}

async fn begin(db: &Db) -> sqlx::Result<Transaction<'static, Postgres>> {
    match db.begin().await {
        Ok(tx) => Ok(tx.0.tx),
        Err(crate::Fault::Database(error)) => Err(error),
        Err(error) => Err(sqlx::Error::Protocol(error.to_string())),
    }
}

/// A statement that is parsed each time, and leaves nothing in its session.
struct Unnamed<Q>(Q);

impl<'q, Q: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<Q> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}
