//! One call: what is sent, and how the answer is read.

use std::{future::IntoFuture, marker::PhantomData, time::Duration};

use futures::future::BoxFuture;
use headworks_types::{Page, Problem, without_value};
use reqwest::{Method, Response, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Client, Error};

/// A call that takes nothing extra.
#[derive(Debug)]
pub struct Plain;
/// A call that creates; it takes an idempotency key.
#[derive(Debug)]
pub struct Create;
/// A call that changes or deletes; it takes an ETag.
#[derive(Debug)]
pub struct Change;

/// A call that is sent when it is awaited.
#[derive(Debug)]
#[must_use = "a call is sent when it is awaited"]
pub struct Call<T, K = Plain> {
    client: Client,
    request: reqwest::RequestBuilder,
    query: Vec<(&'static str, String)>,
    answer: PhantomData<fn() -> (T, K)>,
}

/// An answer with the version of what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged<T> {
    /// The answer.
    pub body: T,
    /// For [`Call::if_match`].
    pub etag: Option<String>,
}

impl<T, K> Call<T, K> {
    pub(crate) fn new(client: &Client, method: Method, path: &[&str]) -> Self {
        let url = client.url(path);
        let mut request = client
            .http()
            .request(method, url)
            .timeout(client.deadline());
        if let Some(credential) = client.credential() {
            request = request.bearer_auth(credential.expose());
        }
        Self {
            client: client.clone(),
            request,
            query: Vec::new(),
            answer: PhantomData,
        }
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Self {
        self.request = self.request.json(body);
        self
    }

    pub(crate) fn with_query(mut self, key: &'static str, value: String) -> Self {
        self.query.push((key, value));
        self
    }

    /// Gives the call less or more time than the client's other calls.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.request = self.request.timeout(deadline);
        self
    }

    /// Base URL of the server, for errors.
    pub(crate) fn base(&self) -> String {
        self.client.base().to_owned()
    }

    pub(crate) async fn send(self) -> Result<Response, Error> {
        let answer = self
            .request
            .query(&self.query)
            .send()
            .await
            .map_err(|error| Error::from_transport(self.client.base(), error))?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(refusal(&self.client, answer).await)
        }
    }
}

impl<T: DeserializeOwned, K> Call<T, K> {
    /// Sends the call; the answer comes with its ETag.
    ///
    /// # Errors
    /// As every call.
    pub async fn tagged(self) -> Result<Tagged<T>, Error> {
        let client = self.client.clone();
        let answer = self.send().await?;
        let status = answer.status().as_u16();
        let etag = answer
            .headers()
            .get(header::ETAG)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let bytes = answer
            .bytes()
            .await
            .map_err(|error| Error::from_transport(client.base(), error))?;
        // Nothing (204) reads as `()`.
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        let body = serde_json::from_slice(text).map_err(|error| Error::Unexpected {
            url: client.base().to_owned(),
            status,
            detail: without_value(&error.to_string()),
        })?;
        Ok(Tagged { body, etag })
    }
}

impl<T> Call<T, Create> {
    /// The server does the work of calls with the same key once, and repeats its answer.
    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.request = self.request.header("idempotency-key", key);
        self
    }
}

impl<T> Call<T, Change> {
    /// Fails if the thing has changed since this ETag.
    pub fn if_match(mut self, etag: &str) -> Self {
        self.request = self.request.header(header::IF_MATCH, etag);
        self
    }
}

impl<T> Call<Page<T>> {
    /// How many items the page has, 1 to 1000.
    pub fn limit(self, limit: u32) -> Self {
        self.with_query("limit", limit.to_string())
    }

    /// Asks for the page after the one that gave this token.
    pub fn page_token(self, token: &str) -> Self {
        self.with_query("page_token", token.to_owned())
    }
}

/// What can be found by labels and by the caller's own names.
pub trait Named {}

impl Named for headworks_types::Camera {}
impl Named for headworks_types::CameraGroup {}
impl Named for headworks_types::Restream {}
impl Named for headworks_types::User {}
impl Named for headworks_types::UserGroup {}

impl<T: Named> Call<Page<T>> {
    /// Only what carries these labels: `site=lyon,floor=2`.
    pub fn labels(self, filter: &str) -> Self {
        self.with_query("labels", filter.to_owned())
    }

    /// Only the item with the caller's own name.
    pub fn external_id(self, external_id: &str) -> Self {
        self.with_query("external_id", external_id.to_owned())
    }
}

impl<T: DeserializeOwned> Call<Page<T>> {
    /// The items of this page and of all that follow.
    ///
    /// # Errors
    /// As every call.
    pub async fn all(self) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut page = self.again()?;
            if let Some(token) = &token {
                page = page.page_token(token);
            }
            let page = page.tagged().await?.body;
            items.extend(page.items);
            match page.next_page_token {
                Some(next) if token.as_ref() != Some(&next) => token = Some(next),
                _ => return Ok(items),
            }
        }
    }

    fn again(&self) -> Result<Self, Error> {
        Ok(Self {
            client: self.client.clone(),
            request: self
                .request
                .try_clone()
                .ok_or_else(|| Error::Request("a list has no body".to_owned()))?,
            query: self.query.clone(),
            answer: PhantomData,
        })
    }
}

impl<T: DeserializeOwned + Send + 'static, K: 'static> IntoFuture for Call<T, K> {
    type Output = Result<T, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.tagged().await?.body) })
    }
}

/// What a server says when it refuses.
async fn refusal(client: &Client, answer: Response) -> Error {
    let status = answer.status().as_u16();
    let bytes = match answer.bytes().await {
        Ok(bytes) => bytes,
        Err(error) => return Error::from_transport(client.base(), error),
    };
    match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => Error::Problem(Box::new(problem)),
        Err(_) => Error::Unexpected {
            url: client.base().to_owned(),
            status,
            detail: String::from_utf8_lossy(&bytes).chars().take(200).collect(),
        },
    }
}
