//! What lives as long as the process.

mod event_log;
mod files;
mod generation;
mod limits;
mod rehearsal;
mod reload;
mod retention;
mod running;
mod sweep;
mod timeline;
mod turnstile;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, Environment},
    load_error::LoadError,
    mcp,
    model::Models,
    oauth,
    store::{Blobs, Role, Store},
    vault::{self, Keys, Vault},
};

pub use self::{
    event_log::{Dropped, EventLog, LogReader, NumberedEvent},
    files::ProjectFiles,
    generation::{Generation, Surroundings},
    limits::{Admitted, Exceeded, Limiter, NearlyExceeded, Payer, Scope, StreamPermit},
    retention::{Organisations, sweep as sweep_retention},
    running::{Busy, Running, RunningTurns, TurnGuard},
    timeline::{
        Timeline, TimelineEvent, Traced, TracedModel, TracedStep, TracedTool, TracedTurn, TurnState,
    },
    turnstile::Turnstile,
};

/// The server's state. Clones share it.
#[derive(Clone)]
pub struct App(Arc<Inner>);

pub struct Inner {
    /// The project's folder.
    pub project: PathBuf,
    pub environment: Environment,
    pub store: Store,
    /// Everything spawned runs on it, so that shutdown waits.
    pub tasks: TaskTracker,
    /// Cancelled when the process is asked to stop: no new turns.
    pub stopping: CancellationToken,
    pub running: RunningTurns,
    /// What users, organisations and addresses may take.
    pub limiter: Limiter,
    pub organisations: Organisations,
    /// Where connections to MCP servers live.
    pub mcp: mcp::Hub,
    /// What users entrusted to us, and their logins elsewhere.
    pub logins: Arc<oauth::Shared>,
    /// For what changes a thread while a turn may run in it.
    pub sync_actions: Turnstile,
    /// What the inspector shows of turns.
    pub timeline: Timeline,
    /// In place of the configuration's, for tests.
    models: Option<Arc<Models>>,
    /// Whether changes of files are noticed: then what they take to be compiled is not waited for.
    is_watching: bool,
    /// Told when a component is compiled.
    compiled: Arc<Notify>,
    /// As they were read last.
    files: Mutex<ProjectFiles>,
    generation: ArcSwap<Generation>,
    /// Counts the generations, for those who wait for the next.
    changes: watch::Sender<u64>,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What an [`App`] is started with.
pub struct Options {
    /// The project's folder.
    pub project: PathBuf,
    pub environment: Environment,
    /// In place of the configuration's, for tests.
    pub models: Option<Arc<Models>>,
    /// In place of the configuration's store.
    pub store: Option<String>,
    /// Whether changes of files are noticed.
    pub watch: bool,
}

impl App {
    /// Loads the project, opens its store, and watches its files. Fails only where kitfox.toml cannot
    /// be used: everything else that is wrong is in the generation's errors.
    pub async fn start(options: Options) -> Result<Self, Vec<LoadError>> {
        let Options { project, environment, models, store, watch } = options;
        let unreadable = |err: std::io::Error| {
            let folder = project.display().to_string();
            let message = format!("the project's folder cannot be read: {}", err.kind());
            vec![LoadError::new(folder, message).remedy("name it with `--project DIR`")]
        };
        let project = tokio::fs::canonicalize(&project).await.map_err(unreadable)?;
        let tasks = TaskTracker::new();
        // The store's place is in the configuration, and the generation needs a store: the
        // configuration is read first for its sake.
        let config = first_config(&project, &environment).await?;
        let blobs = Blobs::open(&config.store.attachments, &project);
        if let Some(problem) = blobs.problem() {
            tracing::error!("attachments are not available: {problem}");
        }
        let mut store_config = config.store.clone();
        store_config.url = store.unwrap_or(store_config.url);
        let store = Store::connect(&store_config, Role::Server, &tasks).await;
        let store = store.with_blobs(blobs);
        let keys = Keys::new(
            environment.get(vault::VARIABLE),
            project.join(&config.store.keys),
            config.is_local(),
        );
        let logins = oauth::Shared::new(Vault::new(store.clone(), keys), tasks.clone());
        let mcp = mcp::Hub::new(project.clone(), store.clone());
        let first = {
            let mcp = mcp.clone();
            let logins = logins.clone();
            let (project, environment) = (project.clone(), environment.clone());
            let (store, models) = (store.clone(), models.clone());
            tokio::task::spawn_blocking(move || {
                let files = ProjectFiles::read(&project, &ProjectFiles::default())
                    .map_err(|err| vec![LoadError::new("", err.to_string())])?;
                let surroundings = Surroundings {
                    project: &project,
                    environment: &environment,
                    store: &store,
                    mcp: &mcp,
                    logins: &logins,
                    models,
                    compiled: None,
                };
                let generation = Generation::build(&files, None, &surroundings)?;
                Ok::<_, Vec<LoadError>>((files, generation))
            })
        };
        let (files, generation) = first
            .await
            .map_err(|err| vec![LoadError::new("", format!("loading failed: {err}"))])??;
        for err in &generation.errors {
            tracing::warn!(file = %err.file, line = err.line, "not in force: {err}");
        }
        let app = Self(Arc::new(Inner {
            project,
            environment,
            limiter: Limiter::new(store.clone()),
            organisations: Organisations::default(),
            store,
            tasks,
            stopping: CancellationToken::new(),
            running: RunningTurns::default(),
            mcp,
            logins,
            sync_actions: Turnstile::default(),
            timeline: Timeline::default(),
            models,
            is_watching: watch,
            compiled: Arc::default(),
            files: Mutex::new(files),
            generation: ArcSwap::from_pointee(generation),
            changes: watch::Sender::new(0),
        }));
        if watch {
            app.generation().mcp.start();
            app.tasks.spawn(reload::watch(app.clone()));
            app.tasks.spawn(sweep::sweep_hourly(app.clone()));
            app.tasks.spawn(sweep::keep_up(app.clone()));
        }
        Ok(app)
    }

    /// The generation in force. A turn takes it once and keeps it.
    pub fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// Says when there is another generation (or other errors).
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Closes what is open, at the end of the process.
    pub async fn close(&self) {
        self.mcp.close().await;
        self.limiter.close().await;
        self.store.close().await;
    }

    /// Looks at the project's files now, and puts in force what changed.
    pub async fn reload(&self) {
        let app = self.clone();
        let task = tokio::task::spawn_blocking(move || reload::reload_now(&app));
        if let Err(err) = task.await {
            tracing::error!("a reload failed and changed nothing: {err}");
        }
    }

    /// Puts a generation in force that no files made.
    #[cfg(test)]
    pub fn pretend(&self, generation: Generation) {
        self.replace_generation(Arc::new(generation));
    }

    fn replace_generation(&self, generation: Arc<Generation>) {
        if self.is_watching {
            generation.mcp.start();
        }
        self.generation.store(generation);
        self.changes.send_modify(|count| *count += 1);
    }
}

/// The configuration as it is at start, with the store's path from the project's folder.
pub async fn first_config(
    project: &Path,
    environment: &Environment,
) -> Result<Config, Vec<LoadError>> {
    let file = project.join("kitfox.toml");
    let text = match tokio::fs::read_to_string(&file).await {
        Ok(text) => Some(text),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => None,
        Err(err) => {
            let message = format!("the file cannot be read: {}", err.kind());
            return Err(vec![LoadError::new("kitfox.toml", message)]);
        }
    };
    let mut config = Config::parse(text.as_deref(), environment, project)?;
    // A path that is not absolute is meant from the project's folder, wherever we were started.
    if let Some(path) = config.store.url.strip_prefix("sqlite://")
        && !path.is_empty()
        && Path::new(path).is_relative()
    {
        config.store.url = format!("sqlite://{}", project.join(path).display());
    }
    Ok(config)
}
