use sqlx::{
    ConnectOptions, MySqlConnection, PgConnection, SqlSafeStr,
    migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};

use super::{
    Dialect, StoreError, errors,
    pool::{Pool, PoolLimits},
    url::DatabaseUrl,
};

/// The changes of the database's tables, in their order: number, what they are about, and their text for each database.
struct Step {
    number: i64,
    about: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    mysql: &'static str,
}

macro_rules! steps {
    ($($number:literal $about:literal $file:literal)*) => {
        &[$(Step {
            number: $number,
            about: $about,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../../migrations/postgres/", $file)),
            mysql: include_str!(concat!("../../migrations/mysql/", $file)),
        }),*]
    };
}

const STEPS: &[Step] = steps! {
    1 "threads, items, kv, secrets" "0001_threads_items_kv_secrets.sql"
    2 "attachments" "0002_attachments.sql"
    3 "waiting calls" "0003_waiting_calls.sql"
    4 "sealed" "0004_sealed.sql"
    5 "turn leases" "0005_turn_leases.sql"
    6 "logins" "0006_logins.sql"
    7 "limits" "0007_limits.sql"
};

/// A step, and whether the database has taken it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    pub number: i64,
    pub about: String,
    pub is_applied: bool,
}

const TABLE: &str = "_sqlx_migrations";

/// Takes the steps that are missing, one process at a time.
pub async fn run<C: Migrate>(connection: &mut C, dialect: Dialect) -> Result<(), MigrateError> {
    let mut migrator = migrator(dialect);
    // MySQL's is taken before: MariaDB takes sqlx's for none.
    migrator.set_locking(dialect != Dialect::MySql);
    // `run` would not compile in a task that moves between threads.
    migrator.run_direct(None, connection, false).await
}

async fn list<C: Migrate>(connection: &mut C) -> Result<Vec<MigrationState>, MigrateError> {
    connection.ensure_migrations_table(TABLE).await?;
    Ok(states(&connection.list_applied_migrations(TABLE).await?))
}

/// The steps that a database has taken or is to take. Steps of a newer version are among them.
fn states(applied: &[AppliedMigration]) -> Vec<MigrationState> {
    let is_applied = |number| applied.iter().any(|it| it.version == number);
    let mut states: Vec<_> = STEPS
        .iter()
        .map(|it| MigrationState {
            number: it.number,
            about: it.about.to_owned(),
            is_applied: is_applied(it.number),
        })
        .collect();
    for newer in applied.iter().filter(|it| STEPS.iter().all(|step| step.number != it.version)) {
        let about = "of a newer version of Kitfox".to_owned();
        states.push(MigrationState { number: newer.version, about, is_applied: true });
    }
    states
}

/// The same, of a database that nobody has opened. A file that is not there has taken none.
pub async fn list_of(
    url: &DatabaseUrl,
    limits: &PoolLimits,
) -> Result<Vec<MigrationState>, StoreError> {
    let failed = |err: MigrateError| StoreError::Failed(err.into());
    let connected = |err: sqlx::Error| StoreError::Unavailable(errors::describe_connect(&err));
    match url {
        DatabaseUrl::Memory => Ok(states(&[])),
        DatabaseUrl::File(path) if !path.exists() => Ok(states(&[])),
        DatabaseUrl::File(path) => {
            let mut connection = SqliteConnectOptions::new().filename(path).connect().await?;
            list(&mut connection).await.map_err(failed)
        }
        DatabaseUrl::Postgres(_, options) => {
            let pool = Pool::<PgConnection>::new((**options).clone(), limits.clone());
            list(&mut pool.connect().await.map_err(connected)?).await.map_err(failed)
        }
        DatabaseUrl::MySql(_, options) => {
            let pool = Pool::<MySqlConnection>::new((**options).clone(), limits.clone());
            list(&mut pool.connect().await.map_err(connected)?).await.map_err(failed)
        }
    }
}

/// Why the database called `name` cannot be opened, and what to do.
pub fn describe(name: &str, err: &anyhow::Error) -> String {
    match err.downcast_ref() {
        Some(MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_)) => {
            format!(
                "{name} was made by another version of Kitfox: use that version, or another database"
            )
        }
        Some(MigrateError::Dirty(number)) => format!(
            "{name} was left in the middle of migration {number}: restore it from a backup, or finish by hand what is in \
             migrations/ and set `success` in {TABLE}"
        ),
        Some(_) | None => format!("{name} cannot be opened: {}", err.root_cause()),
    }
}

fn migrator(dialect: Dialect) -> Migrator {
    let migrations = STEPS.iter().map(|step| {
        let sql = match dialect {
            Dialect::Sqlite => step.sqlite,
            Dialect::Postgres => step.postgres,
            Dialect::MySql => step.mysql,
        };
        let kind = MigrationType::Simple;
        Migration::new(step.number, step.about.into(), kind, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}
