//! For load balancers and orchestrators. `/livez` says that this process runs and touches nothing
//! else, so that an outage of the database does not restart every controller; `/readyz` says
//! whether it can serve.

use headworks_types::ProblemCode;

use super::error::{Refusal, Result};
use crate::{db::schema, state::State};

/// The process runs.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// The database answers and has our schema.
pub(crate) async fn readyz(state: State) -> Result<&'static str> {
    let mut conn = state.pool.acquire().await?;
    if schema::schema_is_current(&mut conn).await? {
        Ok("ok\n")
    } else {
        Err(Refusal::new(
            ProblemCode::Unavailable,
            "the database's schema is older than this controller",
        ))
    }
}
