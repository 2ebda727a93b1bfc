//! The rules of a [`Storage`].

use std::time::Duration;

use super::{Broken, RuleResult, done, same};
use crate::error::ErrorCode;
use crate::model::{Blob, JobId};
use crate::work::{ResultKey, Storage, StoredResult};

/// Time limit of a rule.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs every rule of a [`Storage`], each on one from `make`, which must be empty, not shared, and
/// have room for some small results.
///
/// # Errors
///
/// The first violated rule.
pub async fn storage<S: Storage>(make: impl AsyncFn() -> S) -> Result<(), Broken> {
    macro_rules! rules {
        ($($rule:ident)*) => {$(
            let kept = tokio::time::timeout(TIMEOUT, $rule(&make().await)).await;
            kept.unwrap_or_else(|_| Err("the rule does not end".to_owned()))
                .map_err(|found| Broken { rule: stringify!($rule), found })?;
        )*};
    }
    rules! {
        what_is_put_is_got_by_id_and_by_index
        what_is_not_there_is_none
        the_same_job_replaces_its_result
        an_older_hand_out_does_not_replace_a_result
        the_same_index_names_the_last_kept
        remove_removes_one_and_tells_whether
        a_removed_index_names_nothing
        range_goes_on_after_an_id_in_order
        len_counts_and_clear_empties
        close_refuses_puts_and_keeps_the_rest
    }
    Ok(())
}

fn result(id: JobId, index: Option<&str>, output: &str) -> StoredResult {
    let (index, output) = (index.map(Blob::from), Blob::from(output));
    StoredResult { id, epoch: 1, index, output, failures: 2 }
}

async fn put(storage: &impl Storage, results: &[StoredResult]) -> RuleResult {
    let answers = done("put", storage.put(results.to_vec()).await)?;
    same("answers to put", answers, vec![None; results.len()])
}

async fn by_id(storage: &impl Storage, id: JobId) -> Result<Option<StoredResult>, String> {
    done("get", storage.get(ResultKey::Id(id)).await)
}

async fn by_index(storage: &impl Storage, index: &str) -> Result<Option<StoredResult>, String> {
    done("get", storage.get(ResultKey::Index(Blob::from(index))).await)
}

async fn what_is_put_is_got_by_id_and_by_index(storage: &impl Storage) -> RuleResult {
    let (a, b) = (result(7, Some("seven"), "a"), result(3, None, ""));
    put(storage, &[a.clone(), b.clone()]).await?;
    same("by id", by_id(storage, 7).await?, Some(a.clone()))?;
    same("by id, of an empty output", by_id(storage, 3).await?, Some(b))?;
    same("by index", by_index(storage, "seven").await?, Some(a))
}

async fn what_is_not_there_is_none(storage: &impl Storage) -> RuleResult {
    put(storage, &[result(7, Some("seven"), "a")]).await?;
    same("another id", by_id(storage, 8).await?, None)?;
    same("another index", by_index(storage, "eight").await?, None)?;
    let removed = storage.remove(ResultKey::Id(8)).await;
    same("whether another id is removed", done("remove", removed)?, false)
}

async fn the_same_job_replaces_its_result(storage: &impl Storage) -> RuleResult {
    put(storage, &[result(7, Some("seven"), "a")]).await?;
    put(storage, &[result(7, Some("seven"), "b")]).await?;
    same("its result", by_id(storage, 7).await?, Some(result(7, Some("seven"), "b")))?;
    same("len", done("len", storage.len().await)?, 1)
}

async fn an_older_hand_out_does_not_replace_a_result(storage: &impl Storage) -> RuleResult {
    // Epochs that would compare differently as text, or byte by byte from the lowest.
    let of = |epoch: u32, output: &str| StoredResult { epoch, ..result(7, Some("x"), output) };
    put(storage, &[of(255, "a")]).await?;
    put(storage, &[of(256, "b")]).await?;
    let late = [of(2, "c"), StoredResult { epoch: 1, ..result(8, None, "d") }];
    let answers = done("put", storage.put(late.to_vec()).await)?;
    let codes = answers.into_iter().map(|answer| answer.map(|error| error.code)).collect();
    same("answers to put", codes, vec![Some(ErrorCode::StaleReservation), None])?;
    same("its result", by_id(storage, 7).await?, Some(of(256, "b")))?;
    same("by index", by_index(storage, "x").await?, Some(of(256, "b")))?;
    put(storage, &[of(256, "e")]).await?;
    same("its result of the same hand-out", by_id(storage, 7).await?, Some(of(256, "e")))?;
    done("remove", storage.remove(ResultKey::Id(7)).await)?;
    put(storage, &[of(2, "f")]).await?;
    same("its result after the other's removal", by_id(storage, 7).await?, Some(of(2, "f")))
}

async fn the_same_index_names_the_last_kept(storage: &impl Storage) -> RuleResult {
    put(storage, &[result(7, Some("x"), "a")]).await?;
    put(storage, &[result(3, Some("x"), "b")]).await?;
    same("by index", by_index(storage, "x").await?.map(|result| result.id), Some(3))?;
    same("the first by id", by_id(storage, 7).await?.is_some(), true)
}

async fn remove_removes_one_and_tells_whether(storage: &impl Storage) -> RuleResult {
    put(storage, &[result(1, Some("one"), "a"), result(2, Some("two"), "b")]).await?;
    let removed = storage.remove(ResultKey::Index(Blob::from("one"))).await;
    same("whether it is removed", done("remove", removed)?, true)?;
    same("the removed result", by_id(storage, 1).await?, None)?;
    same("whether the other result is kept", by_id(storage, 2).await?.is_some(), true)?;
    same("len", done("len", storage.len().await)?, 1)
}

async fn a_removed_index_names_nothing(storage: &impl Storage) -> RuleResult {
    put(storage, &[result(1, Some("x"), "a")]).await?;
    put(storage, &[result(2, Some("x"), "b")]).await?;
    done("remove", storage.remove(ResultKey::Id(1)).await)?;
    same("the last kept", by_index(storage, "x").await?.map(|result| result.id), Some(2))?;
    done("remove", storage.remove(ResultKey::Id(2)).await)?;
    same("by index", by_index(storage, "x").await?, None)
}

async fn range_goes_on_after_an_id_in_order(storage: &impl Storage) -> RuleResult {
    let results: Vec<_> = [300, 1, 20, 4].map(|id| result(id, None, "x")).into();
    put(storage, &results).await?;
    let mut ids = Vec::new();
    loop {
        let after = ids.last().copied().unwrap_or(0);
        let page = done("range", storage.range(after, 3).await)?;
        if page.is_empty() {
            return same("ids", ids, vec![1, 4, 20, 300]);
        }
        if page.len() > 3 || ids.len() > 4 {
            return Err(format!("{} results where 3 may come, after {ids:?}", page.len()));
        }
        ids.extend(page.iter().map(|result| result.id));
    }
}

async fn len_counts_and_clear_empties(storage: &impl Storage) -> RuleResult {
    same("len of an empty one", done("len", storage.len().await)?, 0)?;
    put(storage, &[result(1, Some("one"), "a"), result(2, None, "b")]).await?;
    same("len", done("len", storage.len().await)?, 2)?;
    same("results cleared", done("clear", storage.clear().await)?, 2)?;
    same("len after clear", done("len", storage.len().await)?, 0)?;
    same("by index after clear", by_index(storage, "one").await?, None)
}

async fn close_refuses_puts_and_keeps_the_rest(storage: &impl Storage) -> RuleResult {
    put(storage, &[result(1, None, "a")]).await?;
    done("close", storage.close().await)?;
    let refused = match storage.put(vec![result(2, None, "b")]).await {
        Ok(answers) => answers.into_iter().next().flatten(),
        Err(error) => Some(error),
    };
    same("put", refused.map(|error| error.code), Some(ErrorCode::Unavailable))?;
    done("a second close", storage.close().await)?;
    same("whether the earlier result is kept", by_id(storage, 1).await?.is_some(), true)?;
    same("the refused result", by_id(storage, 2).await?, None)
}
