use super::{
    Store, StoreError,
    query::{Query, query},
};

/// What was used of limits, by everybody who shares the database.
pub struct LimitStore<'a> {
    store: &'a Store,
}

/// One count.
#[derive(Debug, Clone, Copy)]
pub struct LimitKey<'a> {
    /// Whose it is: a digest.
    pub subject: &'a str,
    pub measure: &'a str,
    /// Seconds since 1970: when it began.
    pub since: i64,
    /// Seconds since 1970: then it means nothing any more.
    pub until: i64,
}

const BEGIN: &str = "insert into limit_counts (subject, measure, since, used, until) values ($1, $2, $3, 0, $4) \
     on conflict (subject, measure, since) do nothing";
const ADD: &str = "update limit_counts set used = used + $1, until = $2 \
     where subject = $3 and measure = $4 and since = $5";
const FIND: &str =
    "select used from limit_counts where subject = $1 and measure = $2 and since = $3";
const SET: &str = "update limit_counts set used = $1, until = $2 \
     where subject = $3 and measure = $4 and since = $5";
const SUM: &str = "select used from limit_counts \
     where subject = $1 and measure like $2 and until > $3";
const SWEEP: &str = "delete from limit_counts where until < $1";

impl Store {
    pub const fn limits(&self) -> LimitStore<'_> {
        LimitStore { store: self }
    }
}

impl LimitStore<'_> {
    /// Adds to a count, or takes from it, and gives what it is then. Of several who add at one time each sees what those
    /// before it added.
    pub async fn add(&self, key: LimitKey<'_>, amount: i64) -> Result<i64, StoreError> {
        let LimitKey { subject, measure, since, until } = key;
        let database = self.store.database()?;
        let add = || query(ADD).bind(amount).bind(until).bind(subject).bind(measure).bind(since);
        if database.execute(add()).await? == 0 {
            database.execute(begin(key)).await?;
            database.execute(add()).await?;
        }
        self.find(key).await
    }

    /// What a count is.
    pub async fn find(&self, key: LimitKey<'_>) -> Result<i64, StoreError> {
        let find = query(FIND).bind(key.subject).bind(key.measure).bind(key.since);
        let row = self.store.database()?.fetch_optional(find).await?;
        row.map_or(Ok(0), |row| row.try_get(0))
    }

    /// Sets a count of one process, and gives the sum of those whose measure begins with `measures` and which still mean
    /// something `now`.
    pub async fn set(
        &self,
        key: LimitKey<'_>,
        used: i64,
        measures: &str,
        now: i64,
    ) -> Result<i64, StoreError> {
        let LimitKey { subject, measure, since, until } = key;
        let database = self.store.database()?;
        database.execute(begin(key)).await?;
        let set = query(SET).bind(used).bind(until).bind(subject).bind(measure).bind(since);
        database.execute(set).await?;
        let pattern = format!("{measures}%");
        let rows = database.fetch_all(query(SUM).bind(subject).bind(&pattern).bind(now)).await?;
        let mut sum = 0;
        for row in rows {
            sum += row.try_get::<i64>(0)?;
        }
        Ok(sum)
    }

    /// Takes away what means nothing any more.
    pub async fn sweep(&self, now: i64) -> Result<(), StoreError> {
        self.store.database()?.execute(query(SWEEP).bind(now)).await?;
        Ok(())
    }
}

fn begin(key: LimitKey<'_>) -> Query<'_> {
    query(BEGIN).bind(key.subject).bind(key.measure).bind(key.since).bind(key.until)
}
