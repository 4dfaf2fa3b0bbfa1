//! A server that answers as the test says and remembers what it was asked.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method},
    response::Response,
};
use headworks_bootstrap::Tasks;
use headworks_client::Client;
use tokio::net::TcpListener;
use url::Url;

/// What a server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

type Answer = Arc<dyn Fn(&Asked) -> Response + Send + Sync>;

/// Lives as long as its test.
pub(crate) struct Server {
    pub(crate) url: Url,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: Tasks,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::default();
        let answer: Answer = Arc::new(answer);
        let router = Router::new()
            .fallback(handle)
            .with_state((Arc::clone(&asked), answer));
        let tasks = Tasks::new();
        tasks.spawn("server", async move { axum::serve(listener, router).await });
        Self {
            url: format!("http://{address}/").parse().expect("parses"),
            asked,
            _tasks: tasks,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.url.clone()).expect("is HTTP")
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

async fn handle(
    State((asked, answer)): State<(Arc<Mutex<Vec<Asked>>>, Answer)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let one = Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: axum::body::to_bytes(body, 1 << 20)
            .await
            .expect("a small body"),
    };
    asked.lock().expect("not poisoned").push(one.clone());
    answer(&one)
}
