//! Turns that belong to no conversation: nobody reads them but another attempt of the task that saved one, and after an hour
//! nobody does.

use action::TaskId;
use prost::Message as _;
use proto::conversation::v1::SavedTurn;
use store::Scoped;

use crate::Error;

/// How long a turn is kept, in milliseconds: longer than any task has time.
const KEPT: i64 = 60 * 60 * 1000;

/// Returns the turn that a task saved.
pub(crate) async fn find(scope: &Scoped<'_>, task: TaskId) -> Result<Option<SavedTurn>, Error> {
    let sql = "SELECT turn FROM loose_turns WHERE tenant_id = $1 AND task_id = $2";
    let turn: Option<Vec<u8>> = scope.query_scalar(sql).bind(task.to_string()).fetch_optional(scope.read()).await?;
    let read = |turn: Vec<u8>| SavedTurn::decode(turn.as_slice()).map_err(|_| store::Error::Stored("turn"));
    Ok(turn.map(read).transpose()?)
}

/// Saves a turn, unless its task has saved one, and forgets those that are over. Tells whether it was saved.
pub(crate) async fn save(scope: &Scoped<'_>, task: TaskId, turn: &SavedTurn, now: i64) -> Result<bool, Error> {
    let mut transaction = scope.begin().await?;
    // Of all tenants: one that never comes again must not leave anything either.
    let over = sqlx::query("DELETE FROM loose_turns WHERE created_at < $1").bind(now.saturating_sub(KEPT));
    over.execute(&mut *transaction).await?;
    let sql = "INSERT INTO loose_turns (tenant_id, task_id, turn, created_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (tenant_id, task_id) DO NOTHING";
    let query = scope.query(sql).bind(task.to_string()).bind(turn.encode_to_vec()).bind(now);
    let saved = query.execute(&mut *transaction).await?.rows_affected() > 0;
    transaction.commit().await?;
    Ok(saved)
}
