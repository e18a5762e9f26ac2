use std::{
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::ModifyKind};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

use crate::{
    app::{
        App, Generation,
        files::{FOLDERS, ProjectFiles, ROOT_FILES},
        generation::Surroundings,
    },
    telemetry::count,
};

/// Files are at rest when nothing has changed for this long.
const QUIET: Duration = Duration::from_millis(60);
/// A burst of changes is looked at after this long, however busy it is.
const PATIENCE: Duration = Duration::from_millis(400);
/// Where the system cannot tell of changes (network file systems, some containers), we look.
const POLL: Duration = Duration::from_secs(2);

/// Watches the project and puts each change in force, until the process stops.
pub async fn watch(app: App) {
    let (sender, mut changes) = mpsc::channel(1);
    let mut watcher = start_watcher(&app.project, sender);
    // What changed between the first reading and the first watch.
    app.reload().await;
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            Some(()) = changes.recv() => settle(&mut changes).await,
            () = app.compiled.notified() => (),
            () = tokio::time::sleep(POLL) => (),
        }
        // A folder that was made, or made anew, is not watched yet. What comes into it after the reload is to
        // be noticed, so the watch comes first.
        if let Some(watcher) = &mut watcher {
            watch_folders(watcher, &app.project);
        }
        app.reload().await;
    }
}

/// Waits until nothing has changed for a moment.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let quiet = (Instant::now() + QUIET).min(deadline);
        if timeout_at(quiet, changes.recv()).await.is_err() {
            return;
        }
    }
}

/// Reads what changed and puts it in force. The files are as of now, whatever became of them.
pub fn reload_now(app: &App) {
    // Held to the end: the last reader is the last to put its generation in force.
    let mut files = app.files.lock().unwrap_or_else(PoisonError::into_inner);
    let found = match ProjectFiles::read(&app.project, &files) {
        Ok(found) => found,
        Err(err) => {
            warn!("the project cannot be read and stays as it is: {}", err.kind());
            return;
        }
    };
    let same = found.same(&files);
    *files = found;
    let current = app.generation();
    if same && !current.is_compiling() {
        return;
    }
    let compiled = app.compiled.clone();
    let surroundings = Surroundings {
        project: &app.project,
        environment: &app.environment,
        store: &app.store,
        mcp: &app.mcp,
        logins: &app.logins,
        models: app.models.clone(),
        compiled: app
            .is_watching
            .then(|| Arc::new(move || compiled.notify_one()) as Arc<dyn Fn() + Send + Sync>),
    };
    // With a previous generation there is always a configuration.
    let Ok(generation) = Generation::build(&files, Some(&current), &surroundings) else { return };
    report(&current, &generation);
    count::reload(if generation.errors.is_empty() { "ok" } else { "failed" });
    if generation.id != current.id || generation.errors != current.errors {
        app.replace_generation(Arc::new(generation));
    }
}

/// Logs each change once.
fn report(before: &Generation, after: &Generation) {
    for err in after.errors.iter().filter(|err| !before.errors.contains(err)) {
        warn!(file = %err.file, line = err.line, "not in force: {err}");
    }
    if before.id != after.id {
        let tools = after.tools.0.len();
        info!(generation = %after.id, tools, "generation {} is in force with {tools} tools", after.id);
    }
}

fn start_watcher(project: &Path, sender: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let root = project.to_path_buf();
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let matters = match &event {
            Ok(event) => matters(event, &root),
            // Events were lost: look at everything.
            Err(_) => true,
        };
        if matters {
            // One that waits already stands for this one too.
            let _ = sender.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(err) => {
            warn!("changes of files are noticed late, every two seconds: {err}");
            return None;
        }
    };
    // Not below: the database may lie there, and changes all the time.
    if let Err(err) = watcher.watch(project, RecursiveMode::NonRecursive) {
        warn!("changes of files are noticed late, every two seconds: {err}");
    }
    watch_folders(&mut watcher, project);
    Some(watcher)
}

fn watch_folders(watcher: &mut RecommendedWatcher, project: &Path) {
    for folder in FOLDERS {
        let path = project.join(folder);
        // It may not be there (yet).
        let _ = watcher.watch(&path, RecursiveMode::Recursive);
    }
}

/// Whether an event can mean that a file of the project changed. Reading is no change.
fn matters(event: &Event, root: &Path) -> bool {
    if event.need_rescan() {
        return true;
    }
    match event.kind {
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => return false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => (),
    }
    event.paths.iter().any(|path| {
        let Ok(path) = path.strip_prefix(root) else { return true };
        let first = path.components().next();
        first.is_none_or(|first| {
            let first = first.as_os_str();
            // Kubernetes swaps whole folders by a link whose name begins with two dots.
            FOLDERS.iter().chain(ROOT_FILES).any(|name| first == *name)
                || first.to_string_lossy().starts_with("..")
        })
    })
}
