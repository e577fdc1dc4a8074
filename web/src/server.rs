//! One loop for every listener of ours: so many connections at once, none of them for ever, and an end that
//! no client can put off (docs/adr/0032). HTTP/1 and HTTP/2 alike (docs/adr/0037).

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, StatusCode, header},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{
    Limits,
    body::{AnswerBody, RequestBody, Unread},
    client::Client,
    stream::Stream,
};

/// The longest request line and header, and what is read ahead of a body.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// HTTP/2: requests of one connection at once.
const MAX_STREAMS: u32 = 100;
/// HTTP/2: what a client may send before somebody reads it, of one request and of a connection.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// HTTP/2: what is kept of an answer for a client that does not take it yet.
const MAX_SEND_BYTES: usize = 64 * 1024;
/// HTTP/2: requests that a client took back before we had looked at them. With more than that it is cut off.
const MAX_PENDING_RESETS: usize = 20;
/// Before the next try when there is no place, or no file, for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves, and then until every answer under way is given, or the time for that is
/// over.
pub async fn serve(listener: TcpListener, routes: Router, limits: Limits, stop: impl Future<Output = ()>) {
    let server = Arc::new(Server::new(routes, limits));
    tokio::select! {
        () = server.clone().accept(&listener) => {} // never
        () = stop => {}
    }
    drop(listener);
    server.drain().await;
}

/// How long we have waited for a client, if we do.
type Waited = fn(&Client, Instant) -> Option<Duration>;

struct Server {
    routes: Router,
    limits: Limits,
    places: Arc<Semaphore>,
    /// For requests of HTTP/2: of all connections together there are no more than there would be of HTTP/1.
    streams: Arc<Semaphore>,
    clients: Mutex<HashMap<u64, Arc<Client>>>,
    names: AtomicU64,
    tasks: TaskTracker,
    /// No further request is read.
    stop: CancellationToken,
    /// No answer is waited for.
    end: CancellationToken,
}

impl Server {
    fn new(routes: Router, limits: Limits) -> Self {
        Self {
            routes,
            places: Arc::new(Semaphore::new(limits.connections())),
            streams: Arc::new(Semaphore::new(limits.connections())),
            limits,
            clients: Mutex::default(),
            names: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            end: CancellationToken::new(),
        }
    }

    async fn accept(self: Arc<Self>, listener: &TcpListener) {
        let mut is_failing = false;
        loop {
            match listener.accept().await {
                Ok((tcp, peer)) => {
                    is_failing = false;
                    let place = self.place(&self.places, Client::waited_for).await;
                    #[expect(clippy::disallowed_methods, reason = "bounded by the places for connections")]
                    self.tasks.spawn(self.clone().converse(tcp, peer, place));
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    // Out of files, most likely: one that only waits makes room.
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::error!(%error, "connections cannot be accepted for now");
                    }
                    self.close_longest_waiting(Client::waited_for);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// A place for one more: the connection that has waited longest for its client makes room.
    async fn place(&self, places: &Arc<Semaphore>, waited: Waited) -> OwnedSemaphorePermit {
        loop {
            if let Ok(place) = places.clone().try_acquire_owned() {
                return place;
            }
            self.close_longest_waiting(waited);
            if let Ok(Ok(place)) = timeout(PAUSE, places.clone().acquire_owned()).await {
                return place;
            }
        }
    }

    fn close_longest_waiting(&self, waited: Waited) {
        let now = Instant::now();
        let clients = self.clients();
        let waiting = clients.values().filter(|client| !client.close.is_cancelled());
        let waiting = waiting.filter_map(|client| Some((waited(client, now)?, client)));
        if let Some((_, client)) = waiting.max_by_key(|(waited, _)| *waited) {
            client.close.cancel();
        }
    }

    async fn converse(self: Arc<Self>, tcp: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit) {
        let client = Arc::new(Client::new(self.limits.clone(), self.end.child_token()));
        let _known = Known::new(&self, client.clone());
        let _ = tcp.set_nodelay(true); // a matter of speed alone
        let io = TokioIo::new(Stream::new(tcp, client.clone()));
        let service = {
            let (server, client) = (self.clone(), client.clone());
            service_fn(move |request| server.clone().answer(client.clone(), peer, request))
        };
        let protocols = self.protocols();
        let mut connection = pin!(protocols.serve_connection(io, service));
        let mut is_stopping = false;
        loop {
            tokio::select! {
                _ = connection.as_mut() => return, // that a client breaks off is its own affair
                () = client.close.cancelled() => return,
                () = self.stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// HTTP/1, and HTTP/2 for who begins with it.
    fn protocols(&self) -> auto::Builder<Tasks> {
        let mut protocols = auto::Builder::new(Tasks(self.tasks.clone()));
        protocols
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle.max(self.limits.header)) // the stream is stricter
            .max_buf_size(MAX_BUFFER_BYTES)
            .half_close(true); // who has sent all may say so, and wants its answer
        protocols
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_BUFFER_BYTES as u32)
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(MAX_SEND_BYTES);
        protocols
    }

    async fn answer(
        self: Arc<Self>,
        client: Arc<Client>,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let mut under_way = client.begins(request.version());
        let exchange = under_way.exchange().clone();
        if exchange.has_streams {
            under_way.place = Some(self.place(&self.streams, Client::longest_wait).await);
        }
        let unread = Unread::default();
        let asked = request.headers().contains_key(header::EXPECT);
        let body = |body| Body::new(RequestBody::new(body, exchange.clone(), unread.clone()));
        let mut request = request.map(body);
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut response = self.routes.clone().oneshot(request).await?;
        if !exchange.has_streams {
            unread.discard(&exchange, asked).await;
        }
        if exchange.is_too_slow() {
            if response.status() != StatusCode::REQUEST_TIMEOUT {
                response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            }
            if !exchange.has_streams {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        Ok(response.map(|body| AnswerBody::new(body, under_way)))
    }

    async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(self.limits.drain, self.tasks.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(connections = self.clients().len(), "clients are too slow: their connections are cut");
        // Answers that are being made may still come, and are no client's fault.
        let _ = timeout(self.limits.drain, self.cut_slow()).await;
        self.end.cancel();
        self.tasks.wait().await;
    }

    /// Closes whoever keeps us waiting, until nobody is left.
    async fn cut_slow(&self) {
        let close = || {
            let (now, clients) = (Instant::now(), self.clients());
            clients
                .values()
                .filter(|client| client.waited_for(now).is_some())
                .for_each(|it| it.close.cancel());
        };
        while !self.tasks.is_empty() {
            close();
            sleep(PAUSE).await;
        }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<u64, Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a client among the server's for as long as its connection stands.
struct Known<'a> {
    server: &'a Server,
    name: u64,
}

impl<'a> Known<'a> {
    fn new(server: &'a Server, client: Arc<Client>) -> Self {
        let name = server.names.fetch_add(1, Ordering::Relaxed);
        server.clients().insert(name, client);
        Self { server, name }
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.server.clients().remove(&self.name);
    }
}

/// Where requests of HTTP/2 are answered: among the tasks that the end waits for.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, stream: F) {
        #[expect(clippy::disallowed_methods, reason = "bounded by the connections, and the streams of each")]
        self.0.spawn(stream);
    }
}

/// A connection that was gone before we took it.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
