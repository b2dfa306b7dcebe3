//! Admission as a user of the API meets it: defaulting, the schema with its rules, and validation
//! together, in an API server.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod round_trip;
mod table;

use std::sync::Arc;

use jobset_api::{FeatureGates, JobSet};
use jobset_cli::admission::JobSetAdmission;
use jobset_local::cluster::{Cluster, ClusterOptions};
use jobset_local::node::{FakeRuntime, Runtime};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

/// An API server that knows JobSets. Nothing acts on them.
struct Server {
    cluster: Cluster,
}

impl Server {
    async fn start(gates: FeatureGates) -> Self {
        let options = ClusterOptions {
            runtime: Runtime::Fake(FakeRuntime::default()),
            admission: Some(Arc::new(JobSetAdmission::new(gates))),
            crds: vec![jobset_api::crd::crd_value().clone()],
            ..ClusterOptions::default()
        };
        Self {
            cluster: Cluster::start(options).await.unwrap(),
        }
    }

    fn api(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<JobSet>(&());
        Api::default_namespaced_with(self.cluster.client(), &resource)
    }

    /// The stored object, or why it is refused.
    async fn create(&self, object: &Value) -> Result<Value, String> {
        let object = serde_json::from_value(object.clone()).unwrap();
        let created = self.api().create(&PostParams::default(), &object).await;
        created
            .map(|object| serde_json::to_value(object).unwrap())
            .map_err(|error| error.to_string())
    }

    async fn update(&self, object: &Value) -> Result<Value, String> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let object = serde_json::from_value(object.clone()).unwrap();
        let (api, parameters) = (self.api(), PostParams::default());
        let updated = api.replace(&name, &parameters, &object).await;
        updated
            .map(|object| serde_json::to_value(object).unwrap())
            .map_err(|error| error.to_string())
    }

    async fn get(&self, name: &str) -> Value {
        serde_json::to_value(self.api().get(name).await.unwrap()).unwrap()
    }
}

/// A replicated job.
fn role(name: &str) -> Value {
    json!({"name": name, "template": {"spec": {"template": {"spec": {
        "containers": [{"name": "c", "image": "i"}]}}}}})
}

fn jobset(name: &str, roles: &[Value]) -> Value {
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicatedJobs": roles},
    })
}
