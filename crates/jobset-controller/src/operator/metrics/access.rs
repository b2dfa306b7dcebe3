//! Who may read the metrics: whoever the API server says, asked with a TokenReview and a
//! SubjectAccessReview whose answers are remembered for a while.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;

use super::lock;

/// Longest time for one question to the API server.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long the owner of a token is remembered.
const KNOWN: Duration = Duration::from_mins(1);
/// How long a permission, and a refusal, is remembered.
const ALLOWED: Duration = Duration::from_mins(5);
const REFUSED: Duration = Duration::from_secs(30);
/// Answers that are remembered at most, so that nobody can fill the memory with guesses.
const MOST: usize = 1024;
/// Longer tokens are refused unseen.
const LONGEST_TOKEN: usize = 32 * 1024;

/// What a question was answered with.
type Judgement<T> = Result<T, (StatusCode, String)>;

/// Asks the API server about those who want to read the metrics.
pub(crate) struct Access {
    client: Client,
    /// By token; `None` for tokens that are nobody's.
    users: Memory<String, Option<UserInfo>>,
    /// By user and verb.
    rights: Memory<(String, String), bool>,
}

impl Access {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            users: Memory::default(),
            rights: Memory::default(),
        }
    }

    /// Whether a request with this method and these headers may read this path.
    pub(crate) async fn check(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Judgement<()> {
        let unknown = || (StatusCode::UNAUTHORIZED, "Unauthorized\n".to_owned());
        let token = bearer(headers).ok_or_else(unknown)?;
        let user = self.user(token).await?.ok_or_else(unknown)?;
        let verb = method.as_str().to_ascii_lowercase();
        if self.may(&user, &verb, path).await? {
            return Ok(());
        }
        let name = user.username.unwrap_or_default();
        Err((
            StatusCode::FORBIDDEN,
            format!("Authorization denied for user {name}\n"),
        ))
    }

    async fn user(&self, token: &str) -> Judgement<Option<UserInfo>> {
        if let Some(known) = self.users.get(&token.to_owned()) {
            return Ok(known);
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: None,
            },
            ..TokenReview::default()
        };
        let answer = self.ask(review, "Authentication failed").await?;
        let status = answer.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true));
        self.users.put(token.to_owned(), user.clone(), KNOWN);
        Ok(user)
    }

    async fn may(&self, user: &UserInfo, verb: &str, path: &str) -> Judgement<bool> {
        let name = user.username.clone().unwrap_or_default();
        let key = (name.clone(), format!("{verb} {path}"));
        if let Some(known) = self.rights.get(&key) {
            return Ok(known);
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(name),
                groups: user.groups.clone(),
                uid: user.uid.clone(),
                extra: user.extra.clone().map(BTreeMap::from_iter),
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(path.to_owned()),
                    verb: Some(verb.to_owned()),
                }),
                resource_attributes: None,
            },
            ..SubjectAccessReview::default()
        };
        let answer = self.ask(review, "Authorization failed").await?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        let time = if allowed { ALLOWED } else { REFUSED };
        self.rights.put(key, allowed, time);
        Ok(allowed)
    }

    async fn ask<K>(&self, review: K, failure: &str) -> Judgement<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let params = PostParams::default();
        let asked = tokio::time::timeout(TIME_LIMIT, api.create(&params, &review)).await;
        let error = match asked {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::warn!(error, "cannot ask who may read the metrics: {failure}");
        Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{failure}\n")))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let fits = !token.is_empty() && token.len() <= LONGEST_TOKEN;
    (scheme.eq_ignore_ascii_case("bearer") && fits).then_some(token)
}

/// Remembers answers until they are too old.
struct Memory<K, V>(Mutex<HashMap<K, (V, Instant)>>);

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Memory<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let known = lock(&self.0);
        let (value, until) = known.get(key)?;
        (*until > Instant::now()).then(|| value.clone())
    }

    fn put(&self, key: K, value: V, time: Duration) {
        let mut known = lock(&self.0);
        if known.len() >= MOST {
            let now = Instant::now();
            known.retain(|_, (_, until)| *until > now);
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (value, Instant::now() + time));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    type Asked = Arc<Mutex<Vec<String>>>;

    /// An API server that knows `reader`, who may, and `other`, who may not.
    fn access() -> (Access, Asked) {
        let asked = Asked::default();
        let log = asked.clone();
        let server = tower::service_fn(move |request: Request<Body>| {
            let log = log.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await?.to_bytes();
                let mut review: Value = serde_json::from_slice(&body)?;
                let spec = review["spec"].clone();
                lock(&log).push(format!("{path} {spec}"));
                let code = if spec["token"] == "broken" { 500 } else { 201 };
                review["status"] = if path.ends_with("tokenreviews") {
                    let name = spec["token"].as_str().unwrap_or_default();
                    let known = ["reader", "other"].contains(&name);
                    json!({"authenticated": known, "user": {"username": name, "groups": ["g"]}})
                } else {
                    json!({"allowed": spec["user"] == "reader"})
                };
                let answer = Response::builder()
                    .status(code)
                    .body(Body::from(review.to_string().into_bytes()));
                Ok::<_, tower::BoxError>(answer?)
            }
        });
        (Access::new(Client::new(server, "default")), asked)
    }

    async fn check(access: &Access, authorization: &str) -> u16 {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        match access.check(&Method::GET, "/metrics", &headers).await {
            Ok(()) => 200,
            Err((status, _)) => status.as_u16(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_and_who_may_not() {
        let (access, _) = access();
        for (authorization, status) in [
            ("", 401),
            ("Basic reader", 401),
            ("Bearer ", 401),
            ("Bearer nobody", 401),
            ("Bearer other", 403),
            ("Bearer reader", 200),
            ("bearer reader", 200),
            ("Bearer broken", 500),
        ] {
            assert_eq!(
                check(&access, authorization).await,
                status,
                "{authorization}"
            );
        }
        let long = format!("Bearer {}", "x".repeat(LONGEST_TOKEN + 1));
        assert_eq!(check(&access, &long).await, 401);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_remembered_for_their_time() {
        let (access, asked) = access();
        let count = || lock(&asked).len();
        for _ in 0..3 {
            assert_eq!(check(&access, "Bearer reader").await, 200);
            assert_eq!(check(&access, "Bearer other").await, 403);
        }
        assert_eq!(count(), 4);
        assert!(lock(&asked)[1].contains(r#""path":"/metrics","verb":"get""#));
        tokio::time::advance(REFUSED + Duration::from_secs(1)).await;
        check(&access, "Bearer reader").await;
        check(&access, "Bearer other").await;
        assert_eq!(count(), 5, "the refusal is asked for again");
        tokio::time::advance(KNOWN).await;
        check(&access, "Bearer reader").await;
        assert_eq!(
            count(),
            6,
            "the user is asked for again, the permission is not"
        );
        tokio::time::advance(ALLOWED).await;
        check(&access, "Bearer reader").await;
        assert_eq!(count(), 8);
    }

    #[test]
    fn memory_is_bounded() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let memory = Memory::default();
            for key in 0..10 * MOST {
                memory.put(key, (), KNOWN);
            }
            assert!(lock(&memory.0).len() <= MOST);
        });
    }
}
