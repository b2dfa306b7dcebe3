use embedded_apiserver::ApiServer;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;

use super::*;

fn settings(identity: &str) -> Settings {
    Settings {
        name: "lease".to_owned(),
        namespace: "default".to_owned(),
        identity: identity.to_owned(),
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    }
}

fn client(server: &ApiServer) -> Client {
    Client::new(server.router(), "default")
}

fn candidate(server: &ApiServer, identity: &str) -> (Election, Fence) {
    let fence = Fence::closed();
    (
        Election::new(client(server), settings(identity), fence.clone()),
        fence,
    )
}

async fn stored(server: &ApiServer) -> LeaseSpec {
    let api: Api<Lease> = Api::namespaced(client(server), "default");
    api.get("lease").await.unwrap().spec.unwrap()
}

#[test]
fn identities_differ() {
    let one = identity();
    let (host, uuid) = one.rsplit_once('_').unwrap();
    assert!(!host.is_empty());
    assert_eq!(uuid.len(), 36);
    assert_eq!(uuid.as_bytes()[14], b'4');
    assert_ne!(one, identity());
}

#[test]
fn times_have_to_fit_together() {
    let seconds = |lease, renew, retry| {
        let settings = Settings {
            lease_duration: Duration::from_secs(lease),
            renew_deadline: Duration::from_secs(renew),
            retry_period: Duration::from_secs(retry),
            ..settings("a")
        };
        settings.check().is_ok()
    };
    for (lease, renew, retry, fits) in [
        (15, 10, 2, true),
        (10, 10, 2, false),
        (15, 2, 2, false),
        (3, 2, 1, true),
        (15, 10, 0, false),
    ] {
        assert_eq!(
            seconds(lease, renew, retry),
            fits,
            "{lease} {renew} {retry}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_takes_it_and_says_so() {
    let server = ApiServer::builder().build();
    let (mut election, fence) = candidate(&server, "a");
    assert!(fence.check().is_err());
    election.acquire().await;
    assert!(fence.check().is_ok());
    let lease = stored(&server).await;
    assert_eq!(lease.holder_identity.as_deref(), Some("a"));
    assert_eq!(lease.lease_duration_seconds, Some(15));
    assert_eq!(lease.lease_transitions, Some(0));
    let events: Api<Event> = Api::namespaced(client(&server), "default");
    let event = loop {
        let list = events.list(&ListParams::default()).await.unwrap();
        if let Some(event) = list.items.into_iter().next() {
            break event;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(event.message.as_deref(), Some("a became leader"));
    assert_eq!(event.reason.as_deref(), Some("LeaderElection"));
    assert_eq!(event.involved_object.kind.as_deref(), Some("Lease"));
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lease_stays_and_an_unrenewed_one_is_taken_after_its_duration() {
    let server = ApiServer::builder().build();
    let (mut a, _) = candidate(&server, "a");
    a.acquire().await;
    let (mut b, b_fence) = candidate(&server, "b");
    let start = Instant::now();
    let waiting = tokio::spawn(async move {
        b.acquire().await;
        (b, start.elapsed())
    });
    // Renewed for a minute, whatever the clocks of both say.
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(a.attempt().await.unwrap());
    }
    assert!(!waiting.is_finished());
    assert!(b_fence.check().is_err());
    let last = start.elapsed();
    let (_b, taken) = waiting.await.unwrap();
    let unrenewed = taken.checked_sub(last).unwrap();
    assert!(
        (15_000..15_600).contains(&unrenewed.as_millis()),
        "{unrenewed:?}"
    );
    let lease = stored(&server).await;
    assert_eq!(lease.holder_identity.as_deref(), Some("b"));
    assert_eq!(lease.lease_transitions, Some(1));
    // The former holder finds out at its next renewal.
    assert!(!a.renew().await);
}

/// A lease that some other host renewed years ago, or in the future, is judged by our clock alone.
#[tokio::test(start_paused = true)]
async fn times_in_the_record_are_not_compared_with_our_clock() {
    for year in ["2001-01-01T00:00:00Z", "2100-01-01T00:00:00Z"] {
        let server = ApiServer::builder().build();
        let api: Api<Lease> = Api::namespaced(client(&server), "default");
        let time = MicroTime(year.parse().unwrap());
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some("lease".to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some("other".to_owned()),
                lease_duration_seconds: Some(15),
                renew_time: Some(time.clone()),
                acquire_time: Some(time),
                ..LeaseSpec::default()
            }),
        };
        api.create(&PostParams::default(), &lease).await.unwrap();
        let (mut election, _) = candidate(&server, "a");
        let start = Instant::now();
        election.acquire().await;
        let took = start.elapsed().as_millis();
        assert!((15_000..15_600).contains(&took), "{year}: {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_back_is_taken_within_a_retry_period() {
    let server = ApiServer::builder().build();
    let (mut a, a_fence) = candidate(&server, "a");
    a.acquire().await;
    let (mut b, _) = candidate(&server, "b");
    let waiting = tokio::spawn(async move {
        b.acquire().await;
        Instant::now()
    });
    let release = CancellationToken::new();
    let holding = {
        let release = release.clone();
        tokio::spawn(async move { (a.hold(&release).await, Instant::now()) })
    };
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!waiting.is_finished());
    release.cancel();
    let (end, released) = holding.await.unwrap();
    assert_eq!(end, End::Released);
    assert!(
        a_fence.check().is_err(),
        "nothing is written after the release"
    );
    let taken = waiting.await.unwrap();
    let took = taken.saturating_duration_since(released);
    assert!(took <= Duration::from_secs(2), "{took:?}");
    assert_eq!(stored(&server).await.holder_identity.as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_in_time_gives_up() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tower::ServiceExt as _;

    let server = ApiServer::builder().build();
    let down = Arc::new(AtomicBool::new(false));
    let (router, cut) = (server.router(), down.clone());
    let flaky = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (router, cut) = (router.clone(), cut.clone());
        async move {
            if cut.load(Ordering::SeqCst) {
                return Err(tower::BoxError::from("connection refused"));
            }
            Ok(router.oneshot(request.map(axum::body::Body::new)).await?)
        }
    });
    let fence = Fence::closed();
    let mut election = Election::new(Client::new(flaky, "default"), settings("a"), fence.clone());
    election.acquire().await;
    down.store(true, Ordering::SeqCst);
    let start = Instant::now();
    let end = election.hold(&CancellationToken::new()).await;
    assert_eq!(end, End::Lost);
    let took = start.elapsed().as_secs();
    assert!((8..=12).contains(&took), "{took}");
    assert!(fence.check().is_err());
}
