use std::{
    collections::{BTreeMap, VecDeque},
    io,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rmcp::{
    RoleClient,
    model::{ClientJsonRpcMessage, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::watch,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::mcp::{
    clean::clean_line,
    file::Program,
    identity::Identity,
    transport::{MAX_MESSAGE, put_in},
};

/// What a program has to end by itself when its input ends, and again when it is asked to.
const PATIENCE: Duration = Duration::from_secs(2);
/// For what a program that ended said last.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Of a line that a program says on its error output.
const LINE_CHARACTERS: usize = 500;
/// Lines of it that are kept for the reason of its end.
const LAST_LINES: usize = 5;
/// Lines of it that are logged in a burst, and how many more each second.
const LOGGED_LINES: u32 = 50;
/// Calls whose answer may still come.
const MAX_WAITING: usize = 1024;
/// Calls that were answered, of which a program may still log something.
const MAX_ANSWERED: usize = 64;

/// A running program that is spoken to over its input and output.
pub struct StdioWire {
    reader: Lines<ChildStdout>,
    /// None: its input has ended.
    writer: Arc<tokio::sync::Mutex<Option<ChildStdin>>>,
    waiting: Arc<Mutex<Waiting>>,
    process: Process,
}

/// The process as those know it who do not own it.
#[derive(Clone)]
pub struct Process {
    end: CancellationToken,
    /// How it ended, once all of its group has.
    ended: watch::Receiver<Option<String>>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
}

/// Whose answers may still come, so that they are freed of the secrets that went out.
struct Waiting {
    own: Identity,
    calls: BTreeMap<i64, Identity>,
    /// Those of the last that were answered: what a program logs of a call may come after its answer.
    answered: VecDeque<Identity>,
}

/// Starts the program, in the project's folder and in a process group of its own.
pub fn start(
    id: &str,
    program: &Program,
    project: &std::path::Path,
    identity: Identity,
    tasks: &TaskTracker,
) -> io::Result<(StdioWire, Process)> {
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .env_clear()
        .envs(&program.inherited)
        .envs(identity.environment())
        .current_dir(project)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn()?;
    let missing = || io::Error::other("it has no input or output");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let (ended_sender, ended) = watch::channel(None);
    let process = Process { end: CancellationToken::new(), ended, last_lines: Arc::default() };
    let waiting = Waiting { own: identity, calls: BTreeMap::new(), answered: VecDeque::new() };
    let waiting = Arc::new(Mutex::new(waiting));
    let listening = listen(id.to_owned(), stderr, waiting.clone(), process.last_lines.clone());
    let ended_process = process.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = listening => (),
            // What it left behind may hold its error output open.
            () = async {
                ended_process.ended().await;
                tokio::time::sleep(LAST_WORDS).await;
            } => (),
        }
    });
    tasks.spawn(keep(child, process.end.clone(), ended_sender));
    let wire = StdioWire {
        reader: Lines::new(stdout),
        writer: Arc::new(tokio::sync::Mutex::new(Some(stdin))),
        waiting,
        process: process.clone(),
    };
    Ok((wire, process))
}

impl Process {
    /// How it ended, with the last that it said; None while it runs.
    pub fn end(&self) -> Option<String> {
        let status = self.ended.borrow().clone()?;
        let lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.back() {
            Some(line) => Some(format!("{status}: {line}")),
            None => Some(status),
        }
    }

    /// Waits until it and all that it started have ended.
    pub async fn ended(&self) {
        // The keeper tells before it goes.
        let _ = self.ended.clone().wait_for(Option::is_some).await;
    }
}

/// Owns the process: nothing of its group is left when this is done, or dropped.
async fn keep(mut child: Child, end: CancellationToken, ended: watch::Sender<Option<String>>) {
    let group = Group(child.id());
    let status = tokio::select! {
        status = child.wait() => status,
        () = end.cancelled() => stop(&mut child, &group).await,
    };
    drop(group);
    let _ = ended.send(Some(describe(status)));
}

/// Its input has ended by now.
async fn stop(child: &mut Child, group: &Group) -> io::Result<ExitStatus> {
    if let Ok(status) = timeout(PATIENCE, child.wait()).await {
        return status;
    }
    group.ask_to_end();
    if let Ok(status) = timeout(PATIENCE, child.wait()).await {
        return status;
    }
    child.start_kill()?;
    child.wait().await
}

fn describe(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) if status.success() => "the program ended".to_owned(),
        Ok(status) => format!("the program ended with {status}"),
        Err(err) => format!("the program was lost: {err}"),
    }
}

/// A process and all that it started. Dropped, none of it is left.
struct Group(Option<u32>);

#[cfg(unix)]
impl Group {
    fn signal(&self, signal: nix::sys::signal::Signal) {
        let Some(id) = self.0.and_then(|it| i32::try_from(it).ok()) else { return };
        // It may have ended already.
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(id), signal);
    }

    fn ask_to_end(&self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
    }
}

#[cfg(not(unix))]
impl Group {
    fn ask_to_end(&self) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        self.signal(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Logs what the program says on its error output, line by line and no more than anybody would read.
async fn listen(
    id: String,
    stderr: impl AsyncRead + Send + Unpin,
    waiting: Arc<Mutex<Waiting>>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
) {
    let mut lines = Lines::new(stderr);
    let (mut left, mut since) = (LOGGED_LINES, tokio::time::Instant::now());
    while let Some(line) = lines.next().await {
        let text = match line {
            Line::Whole(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Line::TooLong(_) => "(a line that is too long)".to_owned(),
        };
        let text = waiting.lock().unwrap_or_else(PoisonError::into_inner).scrub(&text);
        let text = clean_line(&text, LINE_CHARACTERS);
        if text.is_empty() {
            continue;
        }
        if since.elapsed() >= Duration::from_secs(1) {
            (left, since) = (LOGGED_LINES, tokio::time::Instant::now());
        }
        if left > 0 {
            left -= 1;
            tracing::info!(server = %id, "MCP server `{id}`: {text}");
        }
        let mut last_lines = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        if last_lines.len() == LAST_LINES {
            last_lines.pop_front();
        }
        last_lines.push_back(text);
    }
}

impl Transport<RoleClient> for StdioWire {
    type Error = io::Error;

    fn send(
        &mut self,
        mut message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let line = put_in(&mut message).map_err(io::Error::other).and_then(|identity| {
            if let (JsonRpcMessage::Request(request), Some(identity)) = (&message, identity) {
                self.waiting().add(&request.id, identity);
            }
            to_line(&message)
        });
        let writer = self.writer.clone();
        async move {
            let line = line?;
            let mut writer = writer.lock().await;
            let Some(stdin) = writer.as_mut() else {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe));
            };
            stdin.write_all(&line).await?;
            stdin.flush().await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            let line = tokio::select! {
                biased;
                line = self.reader.next() => line?,
                () = self.process.ended() => {
                    // What it left behind may hold its output open.
                    timeout(LAST_WORDS, self.reader.next()).await.ok()??
                }
            };
            match line {
                Line::Whole(line) => {
                    if let Some(message) = self.waiting().read(&line) {
                        return Some(message);
                    }
                }
                Line::TooLong(begin) => {
                    if let Some(id) = id_in(&begin) {
                        let message =
                            format!("the answer is larger than {} MiB", MAX_MESSAGE >> 20);
                        let error = ErrorData::internal_error(message, None);
                        return Some(ServerJsonRpcMessage::error(error, Some(id)));
                    }
                }
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        if let Ok(mut writer) = self.writer.try_lock() {
            writer.take();
        }
        self.process.end.cancel();
        self.process.ended().await;
        Ok(())
    }
}

impl StdioWire {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StdioWire {
    fn drop(&mut self) {
        self.process.end.cancel();
    }
}

fn to_line(message: &ClientJsonRpcMessage) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

impl Waiting {
    fn add(&mut self, id: &RequestId, identity: Identity) {
        let RequestId::Number(id) = id else { return };
        if self.calls.len() >= MAX_WAITING {
            self.calls.pop_first();
        }
        self.calls.insert(*id, identity);
    }

    /// A line as a message. What is none is passed over, as programs print all kinds of things.
    fn read(&mut self, line: &[u8]) -> Option<ServerJsonRpcMessage> {
        let text = str::from_utf8(line).ok()?;
        if !text.trim_start().starts_with('{') {
            return None;
        }
        let mut text = self.own.scrub(text);
        for identity in self.calls.values() {
            if let std::borrow::Cow::Owned(scrubbed) = identity.scrub(&text) {
                text = scrubbed.into();
            }
        }
        let message: ServerJsonRpcMessage = serde_json::from_str(&text).ok()?;
        let id = match &message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        if let Some(RequestId::Number(id)) = id {
            self.answered.extend(self.calls.remove(id));
            if self.answered.len() > MAX_ANSWERED {
                self.answered.pop_front();
            }
        }
        Some(message)
    }

    /// A line of its log, without the secrets that went out to it.
    fn scrub(&self, text: &str) -> String {
        let mut text = self.own.scrub(text).into_owned();
        for identity in self.calls.values().chain(&self.answered) {
            if let std::borrow::Cow::Owned(scrubbed) = identity.scrub(&text) {
                text = scrubbed;
            }
        }
        text
    }
}

/// The id that an answer begins with.
fn id_in(begin: &[u8]) -> Option<RequestId> {
    let text = String::from_utf8_lossy(begin);
    let rest = text.split_once("\"id\"")?.1.trim_start().strip_prefix(':')?.trim_start();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(RequestId::Number)
}

/// The lines of an output, none of them longer than a message may be.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    is_too_long: bool,
}

enum Line {
    Whole(Vec<u8>),
    /// Its beginning.
    TooLong(Vec<u8>),
}

/// Of the beginning that is kept of a line that is too long.
const BEGIN: usize = 256;

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new(), is_too_long: false }
    }

    /// Dropped, it loses nothing: what was read is kept for the next call.
    async fn next(&mut self) -> Option<Line> {
        loop {
            let available = self.reader.fill_buf().await.ok()?;
            if available.is_empty() {
                return None;
            }
            let end = available.iter().position(|it| *it == b'\n');
            let taken = end.map_or(available.len(), |it| it + 1);
            if !self.is_too_long {
                self.line.extend_from_slice(&available[..end.unwrap_or(taken)]);
            }
            self.reader.consume(taken);
            if self.line.len() > MAX_MESSAGE {
                self.is_too_long = true;
                self.line = self.line[..BEGIN].to_vec();
            }
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                let is_too_long = std::mem::take(&mut self.is_too_long);
                return Some(if is_too_long { Line::TooLong(line) } else { Line::Whole(line) });
            }
        }
    }
}
