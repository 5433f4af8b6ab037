//! The server's side of the control socket.
//!
//! It runs on a thread of its own: what it asks of a poll loop is answered in slices between packets, and what it asks of the
//! guard of the shield between two looks of that.

use super::report::{
    Connection, Drops, Info, ListedPrefix, Listener, PrefixChange, PrefixOrder, ShieldReport, Sockets, Stat, Timer,
};
use crate::proxy::{ProxyReport, ProxyStats};
use crate::shield::{Refused, ShieldHandle};
use anyhow::{Context, Result};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use synward_ebpf::{ListVerdict, Prefix, PrefixError};
use synward_engine::{ConnectionRow, ListenerRow, Observer, Snapshot};

/// How long a poll loop may take to list its tables.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the control socket and the metrics show.
pub struct View {
    /// The engine.
    pub observer: Observer,
    /// The guard of the XDP programs.
    pub shield: ShieldHandle,
    /// Modes in force that the engine does not know of.
    pub modes: BTreeMap<String, String>,
    /// `off`, `auto` or `always`.
    pub syncookies: &'static str,
    /// The proxy's numbers, where there is one.
    pub proxy: Option<Arc<ProxyStats>>,
}

impl View {
    /// All modes in force.
    pub(crate) fn modes_with(&self, snapshot: &Snapshot) -> BTreeMap<String, String> {
        let mut modes = self.modes.clone();
        modes.insert("frames".to_owned(), snapshot.modes.mode.to_owned());
        modes.insert("need_wakeup".to_owned(), on_off(snapshot.modes.need_wakeup));
        modes.insert("busy_poll".to_owned(), on_off(snapshot.modes.busy_poll));
        modes
    }
}

/// A control socket that answers until it is dropped.
pub struct ControlSocket {
    path: PathBuf,
}

impl ControlSocket {
    /// Serves `view` at `path`, readable and writable by the owner alone. A socket file that nobody answers is replaced.
    ///
    /// # Errors
    /// When another server answers at `path`, or the socket cannot be made.
    pub fn serve(path: &Path, view: Arc<View>) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            anyhow::bail!("{}: another synward serves here; choose another --control", path.display());
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{}: cannot be replaced", path.display()));
            }
            _ => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(path)
            .with_context(|| format!("{}: cannot serve the control socket here", path.display()))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            runtime.block_on(async {
                let served = match tokio::net::UnixListener::from_std(listener) {
                    Ok(listener) => answer(listener, view).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!("control socket: {error}");
                }
            });
        })?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers whoever comes by `listener`, for as long as the future is polled.
///
/// # Errors
/// None that a client can cause.
pub async fn answer<L: axum::serve::Listener>(listener: L, view: Arc<View>) -> std::io::Result<()>
where
    L::Addr: std::fmt::Debug,
{
    axum::serve(listener, router(view)).await
}

fn router(view: Arc<View>) -> Router {
    Router::new()
        .route("/v1/ss", get(ss))
        .route("/v1/stat", get(stat))
        .route("/v1/drops", get(drops))
        .route("/v1/pools", get(pools))
        .route("/v1/shield", get(shield))
        .route("/v1/prefixes", get(prefixes))
        .route("/v1/block", post(block))
        .route("/v1/allow", post(allow))
        .route("/v1/unblock", post(unblock))
        .with_state(view)
}

type Failure = (StatusCode, String);

/// What `GET /v1/ss` may be asked with.
#[derive(Deserialize)]
struct SocketsQuery {
    /// Listeners only.
    #[serde(default)]
    listening: bool,
}

async fn ss(State(view): State<Arc<View>>, Query(query): Query<SocketsQuery>) -> Result<Json<Sockets>, Failure> {
    let listing = tokio::task::spawn_blocking(move || {
        let listeners = view.observer.listeners()?.collect(PATIENCE)?;
        let connections = if query.listening { Vec::new() } else { view.observer.connections()?.collect(PATIENCE)? };
        Ok(Sockets {
            listeners: self::listeners(listeners, view.syncookies),
            connections: connections.into_iter().map(connection).collect(),
        })
    });
    match listing.await {
        Ok(Ok(sockets)) => Ok(Json(sockets)),
        Ok(Err::<_, synward_engine::ObserveError>(error)) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn stat(State(view): State<Arc<View>>) -> Json<Stat> {
    let snapshot = view.observer.snapshot();
    let modes = view.modes_with(&snapshot);
    Json(Stat { counters: owned(&snapshot.counters), gauges: fields(&snapshot.gauges), modes })
}

async fn drops(State(view): State<Arc<View>>) -> Result<Json<Drops>, Failure> {
    let verdicts = view.shield.verdicts().await.map_err(failure)?;
    let snapshot = view.observer.snapshot();
    let mut outcomes = fields(&snapshot.outcomes);
    let received = outcomes.remove("received").unwrap_or_default();
    outcomes.remove("dropped");
    Ok(Json(Drops {
        drops: owned(&snapshot.drops).into_iter().filter(|(_, count)| *count > 0).collect(),
        outcomes,
        received,
        frames: owned(&snapshot.ledger),
        xdp: verdicts.into_iter().map(|(name, rate)| (name, rate.total)).collect(),
        socket: owned(&snapshot.port),
    }))
}

async fn pools(State(view): State<Arc<View>>) -> Result<Json<ProxyReport>, Failure> {
    match &view.proxy {
        Some(stats) => Ok(Json(stats.report())),
        None => Err((StatusCode::NOT_FOUND, "this is no front end: it has no pools".to_owned())),
    }
}

async fn shield(State(view): State<Arc<View>>) -> Result<Json<ShieldReport>, Failure> {
    view.shield.report().await.map(Json).map_err(failure)
}

async fn prefixes(State(view): State<Arc<View>>) -> Result<Json<Vec<ListedPrefix>>, Failure> {
    view.shield.prefixes().await.map(Json).map_err(failure)
}

async fn block(view: State<Arc<View>>, order: Json<PrefixOrder>) -> Result<Json<PrefixChange>, Failure> {
    list(view, order, ListVerdict::Drop).await
}

async fn allow(view: State<Arc<View>>, order: Json<PrefixOrder>) -> Result<Json<PrefixChange>, Failure> {
    list(view, order, ListVerdict::Allow).await
}

async fn list(
    State(view): State<Arc<View>>,
    Json(PrefixOrder { prefix, seconds }): Json<PrefixOrder>,
    verdict: ListVerdict,
) -> Result<Json<PrefixChange>, Failure> {
    let prefix = wanted_prefix(&prefix)?;
    view.shield.list(prefix, verdict, seconds.map(Duration::from_secs)).await.map(Json).map_err(failure)
}

async fn unblock(
    State(view): State<Arc<View>>,
    Json(PrefixOrder { prefix, .. }): Json<PrefixOrder>,
) -> Result<Json<PrefixChange>, Failure> {
    let prefix = wanted_prefix(&prefix)?;
    view.shield.unlist(prefix).await.map(Json).map_err(failure)
}

fn wanted_prefix(text: &str) -> Result<Prefix, Failure> {
    text.parse().map_err(|error: PrefixError| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn failure(refused: Refused) -> Failure {
    let status = match refused {
        Refused::Order(_) => StatusCode::CONFLICT,
        Refused::Busy | Refused::TimedOut | Refused::Ended => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, refused.to_string())
}

/// The listeners of all shards: what is of one shard alone is added up.
fn listeners(rows: Vec<ListenerRow>, syncookies: &str) -> Vec<Listener> {
    let mut all: Vec<Listener> = Vec::new();
    for row in rows {
        match all.iter_mut().find(|known| known.local == row.local) {
            Some(known) => {
                known.syn_queue += u64::from(row.syn_queue);
                known.syn_limit += u64::from(row.syn_queue_limit);
                known.sending_cookies |= row.cookies_active;
            }
            None => all.push(listener(row, syncookies)),
        }
    }
    all
}

fn listener(row: ListenerRow, syncookies: &str) -> Listener {
    Listener {
        local: row.local,
        accept_queue: row.accept_queue.into(),
        accept_limit: row.accept_queue_limit.into(),
        syn_queue: row.syn_queue.into(),
        syn_limit: row.syn_queue_limit.into(),
        syncookies: syncookies.to_owned(),
        sending_cookies: row.cookies_active,
    }
}

fn connection(row: ConnectionRow) -> Connection {
    let timer = row.timer.zip(row.timer_ms).map(|(name, expires_ms)| Timer { name: name.to_owned(), expires_ms });
    let info = Info {
        rtt_ms: row.srtt_us.map(|us| us as f64 / 1e3),
        rto_ms: row.rto_ms,
        timestamps: row.timestamps,
        sack: row.sack,
        peer_scale: row.peer_scale,
        our_scale: row.our_scale,
        mss: row.mss,
        cwnd: row.cwnd,
        ssthresh: row.ssthresh,
        snd_wnd: row.send_window,
        rcv_wnd: row.receive_window,
        retrans: row.retransmits,
    };
    Connection {
        state: row.state.to_owned(),
        recv_queue: row.recv_queue,
        send_queue: row.send_queue,
        local: row.local,
        peer: row.remote,
        timer,
        info: Some(info),
    }
}

fn owned(counts: &BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// The fields of a struct of numbers, by name.
fn fields(numbers: &impl serde::Serialize) -> BTreeMap<String, u64> {
    serde_json::to_value(numbers).and_then(serde_json::from_value).unwrap_or_default()
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}
