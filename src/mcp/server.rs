use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Map;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    chatkit::ThreadId,
    config::Config,
    context::RequestContext,
    credential::{CredentialError, Wanted},
    load_error::LoadError,
    mcp::{
        connection::Connection,
        fault::{Fault, UNREACHABLE},
        file::{Instructions, OnChange, Pool, ServerFile, Surroundings, Transport},
        hub::Hub,
        identity::Identity,
        link::{Link, State, Target},
        pins::Pins,
        tools::{self, Listed, ListedTool},
        transport::http,
        view::{Listing, View},
    },
    net::AddressRules,
    store::StoreError,
    user::{User, UserKey},
};

/// What a turn waits for the tools of a server that is about to list them.
const PATIENCE: Duration = Duration::from_secs(2);
/// What listing may take, on a connection that stands.
const LIST: Duration = Duration::from_secs(15);
/// Users and threads for which connections and tools are kept at one time.
const MOST: usize = 1000;

/// An MCP server of the project: its connections, and the tools that it offers to whom.
///
/// Dropped, its connections close and its programs end.
pub struct Server {
    pub target: Arc<Target>,
    /// The file that it was made of.
    pub text: Arc<str>,
    links: Mutex<BTreeMap<LinkKey, Arc<Link>>>,
    /// The one that serves everyone, once the server has turned out to keep no sessions.
    stateless: Mutex<Option<Arc<Link>>>,
    views: Mutex<BTreeMap<ViewKey, Arc<View>>>,
    _closing: DropGuard,
}

/// Who shares a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LinkKey {
    fingerprint: [u8; 32],
    user: Option<UserKey>,
    thread: Option<ThreadId>,
}

/// Who shares a list of tools.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ViewKey {
    fingerprint: [u8; 32],
    user: Option<UserKey>,
}

/// What a server offers a caller.
#[derive(Default)]
pub struct Offered {
    pub tools: Vec<Arc<ListedTool>>,
    /// What it says of how they are used, where its file wants that told.
    pub instructions: Option<String>,
}

/// Who asks.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub request: &'a RequestContext,
    pub thread: Option<&'a ThreadId>,
}

impl Server {
    /// Reads the file at `path`. Nothing is connected yet.
    pub fn load(
        path: &str,
        text: Arc<str>,
        hub: &Hub,
        surroundings: &Surroundings<'_>,
    ) -> Result<Arc<Self>, Vec<LoadError>> {
        let file = ServerFile::parse(path, &text, surroundings)?;
        let client = match &file.transport {
            Transport::Http { url } => {
                // What is wrong with an entry is told where it was written.
                let rules = address_rules(surroundings.config).0;
                if !rules.admit_url(url) {
                    let message = format!("`{url}` cannot be reached: {UNREACHABLE}");
                    return Err(vec![LoadError::new(path, message)]);
                }
                let client = http::client(&Arc::new(rules), url);
                Some(client.map_err(|message| vec![LoadError::new(path, message)])?)
            }
            Transport::Stdio(_) => None,
        };
        let closing = CancellationToken::new();
        let target = Target { file, hub: hub.clone(), client, closing: closing.clone() };
        Ok(Arc::new(Self {
            target: Arc::new(target),
            text,
            links: Mutex::default(),
            stateless: Mutex::default(),
            views: Mutex::default(),
            _closing: closing.drop_guard(),
        }))
    }

    pub fn file(&self) -> &ServerFile {
        &self.target.file
    }

    /// Whether its connection differs from user to user, as things stand.
    pub fn is_per_user(&self) -> bool {
        self.file().rules.is_per_user()
    }

    /// Begins to connect and list, where nobody needs to ask for that.
    pub fn start(self: &Arc<Self>) {
        let is_own = !self.is_per_user() && matches!(self.file().pool, None | Some(Pool::Shared));
        if !is_own {
            return;
        }
        let server = self.clone();
        self.target.hub.tasks.spawn(async move {
            let request = nobody();
            let caller = Caller { request: &request, thread: None };
            if let Ok(identity) = server.identity(caller).await {
                let view = server.view(caller, &identity);
                if !view.is_fresh() {
                    server.refresh(&view, caller, identity);
                }
            }
        });
    }

    /// The tools that the caller may be offered now. A server that is about to list them is waited for a moment.
    pub async fn offered(self: &Arc<Self>, caller: Caller<'_>) -> Offered {
        // Those of a list that was good until its credentials were not taken any more.
        let mut known = Offered::default();
        // What is not taken is given up, and what is had in its place is tried, once.
        for _ in 0..2 {
            // Whoever gives credentials may hang, and no turn waits for that.
            let Ok(identity) = tokio::time::timeout(PATIENCE, self.identity(caller)).await else {
                return known;
            };
            let identity = match identity {
                Ok(identity) => identity,
                // A call of it says what is missing, or what is wrong. What was listed before does so as well.
                Err(CredentialError::Needed(_) | CredentialError::Unusable { .. }) => {
                    return if known.tools.is_empty() { self.connect_tool() } else { known };
                }
                Err(err) => {
                    let id = &self.file().id;
                    tracing::debug!(server = %id, "MCP server `{id}` offers nothing: {err}");
                    return Offered::default();
                }
            };
            let view = self.view(caller, &identity);
            if view.is_fresh() {
                return self.offer(view.listing());
            }
            let link = self.refresh(&view, caller, identity.clone());
            let patience = match link.state() {
                State::Failed { .. } => Duration::ZERO,
                State::Connecting { since } => PATIENCE.saturating_sub(since.elapsed()),
                State::Stopped | State::Ready(_) => PATIENCE,
            };
            view.wait(patience).await;
            let Some(Fault::NeedsLogin { challenge }) = view.fault() else {
                return self.offer(view.listing().filter(|_| !link.is_lost()));
            };
            if !identity.reject(&self.file().rules, caller.request, &challenge).await {
                return self.offer(view.listing().filter(|_| !link.is_lost()));
            }
            known = self.offer(view.listing());
        }
        let rules = &self.file().rules;
        if known.tools.is_empty() && rules.find_connect(caller.request).await.is_some() {
            return self.connect_tool();
        }
        known
    }

    /// The tools of the caller as they are listed now, however long that takes.
    pub async fn list(self: &Arc<Self>, caller: Caller<'_>) -> Result<Arc<Listing>, Fault> {
        let mut tries = 2;
        loop {
            tries -= 1;
            let identity = self.identity(caller).await;
            let identity = identity.map_err(|err| Fault::Other(err.to_string()))?;
            let view = self.view(caller, &identity);
            let link = self.link(caller, &identity);
            let result = self.list_now(&link, &identity).await;
            view.set(result.clone());
            let Err(Fault::NeedsLogin { challenge }) = &result else { return result };
            let rules = &self.file().rules;
            if !identity.reject(rules, caller.request, challenge).await || tries == 0 {
                return result;
            }
        }
    }

    /// What is offered of a listing.
    pub fn admitted(&self, listing: Option<Arc<Listing>>) -> Vec<Arc<ListedTool>> {
        let Some(listing) = listing else { return Vec::new() };
        let is_blocked = |tool: &&Arc<ListedTool>| {
            self.file().on_change == OnChange::Block && listing.changed.contains(&tool.name)
        };
        listing.listed.tools.values().filter(|it| !is_blocked(it)).cloned().collect()
    }

    /// What goes with a connection of the caller's.
    pub async fn identity(&self, caller: Caller<'_>) -> Result<Identity, CredentialError> {
        Identity::of_connection(self.file().rules.connect(caller.request).await?)
    }

    /// The connection that the caller's messages go by, which may be yet to be made.
    pub fn link(&self, caller: Caller<'_>, identity: &Identity) -> Arc<Link> {
        let pool = self.file().pool;
        let may_share = matches!(self.file().transport, Transport::Http { .. })
            && matches!(pool, None | Some(Pool::Shared));
        if may_share && let Some(link) = self.stateless_link() {
            return link;
        }
        let of_user = self.is_per_user() || matches!(pool, Some(Pool::PerUser | Pool::PerThread));
        let key = LinkKey {
            fingerprint: identity.fingerprint(),
            user: caller.user().filter(|_| of_user),
            thread: caller.thread.filter(|_| pool == Some(Pool::PerThread)).cloned(),
        };
        let is_own = key.user.is_none() && key.thread.is_none();
        let mut links = lock(&self.links);
        if let Some(link) = links.get(&key) {
            return link.clone();
        }
        if links.len() >= MOST {
            links.retain(|_, link| !link.is_idle(Duration::from_mins(1)));
        }
        let link = Link::new(self.target.clone(), is_own, key.fingerprint);
        links.insert(key, link.clone());
        link
    }

    /// The one connection of a server that keeps no sessions.
    fn stateless_link(&self) -> Option<Arc<Link>> {
        let mut stateless = lock(&self.stateless);
        if stateless.is_none() && self.is_per_user() {
            *stateless = lock(&self.links)
                .values()
                .find(|it| matches!(it.state(), State::Ready(it) if !it.has_session()))
                .cloned();
        }
        stateless.clone().filter(|it| matches!(it.state(), State::Ready(it) if !it.has_session()))
    }

    fn offer(&self, listing: Option<Arc<Listing>>) -> Offered {
        let includes = self.file().instructions == Instructions::Include;
        let instructions = listing.as_ref().filter(|_| includes);
        let instructions = instructions.and_then(|it| it.instructions.clone());
        Offered { tools: self.admitted(listing), instructions }
    }

    /// In place of its tools, for who has to log in first.
    fn connect_tool(&self) -> Offered {
        Offered { tools: vec![tools::connect(self.file())], instructions: None }
    }

    /// The connections with their users and states.
    pub fn links(&self) -> Vec<Arc<Link>> {
        lock(&self.links).values().cloned().collect()
    }

    /// What is known of its tools, whoever asked for them.
    pub fn listings(&self) -> Vec<Arc<Listing>> {
        lock(&self.views).values().filter_map(|it| it.listing()).collect()
    }

    /// Why tools could not be listed.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.views).values().filter_map(|it| it.fault()).collect()
    }

    /// Takes the tools as they are listed next for what they should be.
    pub async fn forget_pins(&self) -> Result<(), StoreError> {
        self.pins().forget().await
    }

    fn view(&self, caller: Caller<'_>, identity: &Identity) -> Arc<View> {
        let key = ViewKey {
            fingerprint: identity.fingerprint(),
            user: caller.user().filter(|_| self.is_per_user()),
        };
        let mut views = lock(&self.views);
        if views.len() >= MOST && !views.contains_key(&key) {
            views.retain(|_, view| !view.is_unused());
        }
        views.entry(key).or_default().clone()
    }

    /// Begins to list anew where nobody does so already.
    fn refresh(
        self: &Arc<Self>,
        view: &Arc<View>,
        caller: Caller<'_>,
        identity: Identity,
    ) -> Arc<Link> {
        let link = self.link(caller, &identity);
        link.begin(&identity);
        if view.begin() {
            let (server, view, link) = (self.clone(), view.clone(), link.clone());
            self.target.hub.tasks.spawn(async move {
                let result = server.list_now(&link, &identity).await;
                view.set(result);
                server.target.hub.tell_change();
            });
        }
        link
    }

    async fn list_now(&self, link: &Arc<Link>, identity: &Identity) -> Result<Arc<Listing>, Fault> {
        let _use = link.hold();
        let listing = async {
            let connection = link.ready(identity).await?;
            let timeout = || Err(Fault::Timeout(LIST.as_secs()));
            // What a connection was told when it was made was told to whom it was made for.
            let instructions = connection.info.instructions.clone();
            let instructions = instructions.filter(|_| link.is_of(identity));
            tokio::time::timeout(LIST, self.list_over(&connection, instructions, identity))
                .await
                .unwrap_or_else(|_| timeout())
        };
        let result = tokio::select! {
            result = listing => result,
            () = self.target.hub.closing.cancelled() => Err(Fault::Broken),
        };
        if let Err(Fault::NeedsLogin { challenge }) = &result {
            identity.ask_login(&self.file().rules, challenge, Wanted::Everything).await;
        }
        result
    }

    async fn list_over(
        &self,
        connection: &Arc<Connection>,
        instructions: Option<String>,
        identity: &Identity,
    ) -> Result<Arc<Listing>, Fault> {
        // Counted before: what changes meanwhile is a change.
        let seen_changes = connection.changes.count();
        let list = connection.list(identity).await?;
        let mut listed = tools::admit(self.file(), list.tools);
        if list.has_more {
            listed.warnings.push("its list has more pages than are read".to_owned());
        }
        let changed = self.compare(&listed).await;
        for warning in &listed.warnings {
            let id = &self.file().id;
            tracing::warn!(server = %id, "MCP server `{id}`: {warning}");
        }
        let fresh_for = list.fresh_for;
        let listing =
            Listing::new(listed, changed, instructions, connection, seen_changes, fresh_for);
        Ok(Arc::new(listing))
    }

    async fn compare(&self, listed: &Listed) -> Vec<String> {
        let id = &self.file().id;
        let changed = match self.pins().compare(listed).await {
            Ok(changed) => changed,
            Err(err) => {
                tracing::warn!(server = %id, "the pins of MCP server `{id}` are not available: {err}");
                return Vec::new();
            }
        };
        for tool in &changed {
            let what = match self.file().on_change {
                OnChange::Warn => "look at it",
                OnChange::Block => "it is not offered",
            };
            tracing::warn!(
                target: "security", server = %id, tool = %tool,
                "the tool `{tool}` of MCP server `{id}` is not as it was when it was listed first: {what}, and \
                 `kitfox mcp pin {id}` takes it as it is"
            );
        }
        changed
    }

    fn pins(&self) -> Pins<'_> {
        Pins { store: &self.target.hub.store, file: self.file() }
    }
}

impl Caller<'_> {
    fn user(&self) -> Option<UserKey> {
        self.request.user.as_ref().map(|it| it.key.clone())
    }
}

/// Who asks where nobody does, of servers that are the same for all.
pub fn nobody() -> RequestContext {
    RequestContext::of_user(User::new("mcp", "", "nobody"), &Map::new())
}

/// Which addresses servers may have, and what is wrong with `[mcp] allow`.
pub fn address_rules(config: &Config) -> (AddressRules, Vec<LoadError>) {
    let (rules, errors) = AddressRules::parse("mcp.allow", &config.mcp.allow);
    let is_local = config.server.listens_on_loopback();
    (if is_local { rules.with_private() } else { rules }, errors)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("id", &self.file().id).finish_non_exhaustive()
    }
}
